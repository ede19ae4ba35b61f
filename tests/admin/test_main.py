"""The panel's process."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientSession

from admin.__main__ import split_address
from admin.errors import ListenFailed
from conf.ready import READY_LINE, READY_VARIABLE
from tests.support.servers import Run


@pytest.mark.parametrize(
    ("listen", "parts"),
    [("127.0.0.1:8080", ("127.0.0.1", 8080)), ("[::1]:80", ("::1", 80)), ("localhost:0", ("localhost", 0))],
)
def test_listening_address_is_split_into_host_and_port(listen: str, parts: tuple[str, int]) -> None:
    assert split_address(listen) == parts


@pytest.mark.parametrize("listen", ["", "8080", ":8080", "host:", "host:http", "host:70000"])
def test_listening_address_is_refused_when_it_is_none(listen: str) -> None:
    with pytest.raises(ListenFailed, match="host:port"):
        split_address(listen)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.asynccontextmanager
async def process(url: str, directory: Path, port: int) -> AsyncIterator[asyncio.subprocess.Process]:
    """The panel as its own process, from when it says that it is ready, or has ended."""
    reading, writing = os.pipe()
    environment = {
        "PATH": os.environ["PATH"],
        "SOFTSWITCH_DATABASE__URL": url,
        "SOFTSWITCH_SYSTEM__DIRECTORY": str(directory),
        "SOFTSWITCH_PANEL__LISTEN": f"127.0.0.1:{port}",
        READY_VARIABLE: str(writing),
    }
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "admin", env=environment, pass_fds=(writing,), stderr=asyncio.subprocess.PIPE
    )
    os.close(writing)
    try:
        async with asyncio.timeout(20):
            ready = await asyncio.to_thread(os.read, reading, 100)
        assert ready in {READY_LINE, b""}
        yield child
    finally:
        os.close(reading)
        if child.returncode is None:
            child.kill()
            await child.communicate()


def test_process_stops_within_two_seconds_when_told_to(run: Run, database_url: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        port = free_port()
        async with process(database_url, tmp_path, port) as child, ClientSession() as browser:
            async with browser.get(f"http://127.0.0.1:{port}/healthz") as answer:
                assert answer.status == 503  # no worker runs
            started = time.monotonic()
            child.send_signal(signal.SIGTERM)
            _output, errors = await child.communicate()
            assert child.returncode == 0, errors
            assert time.monotonic() - started < 2

    run(scenario())


def test_process_names_the_port_when_it_is_taken(run: Run, database_url: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            port = other.getsockname()[1]
            async with process(database_url, tmp_path, port) as child:
                _output, errors = await child.communicate()
        assert child.returncode == 2
        last = errors.decode().strip().splitlines()[-1]
        assert last.startswith(f"softswitch: the panel cannot listen on 127.0.0.1:{port}")

    run(scenario())
