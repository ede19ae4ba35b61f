"""Settings, a command line and a worker for the tests of commands."""

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from conf.embedded import run_directory
from conf.settings import Settings
from tests.b2bua.cli.command_line import CommandLine, Worker


@pytest.fixture
def data_directory() -> Iterator[Path]:
    # Sockets lie in it, whose names must be short; pytest's own directories are deep.
    directory = Path(tempfile.mkdtemp(prefix="cli-"))
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def cli(database_url: str, data_directory: Path) -> CommandLine:
    settings = Settings()
    return CommandLine(
        replace(
            settings,
            system=replace(settings.system, directory=str(data_directory)),
            database=replace(settings.database, url=database_url),
            sip=replace(settings.sip, listen=()),
        )
    )


@pytest.fixture
def worker(cli: CommandLine) -> Iterator[Worker]:
    directory = run_directory(cli.settings)
    directory.mkdir()
    ping = {"worker": "sip-1", "instance": "sip-1:A", "started_at": 0, "revision": 3, "calls": 0, "draining": False}
    worker = Worker(directory / "sip-1.sock", {"ping": ping})
    yield worker
    worker.stop()
