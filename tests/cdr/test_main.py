"""The writer as the process that it is: `python -m cdr`."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import pytest

from cdr.journal import JournalWriter
from conf.ready import READY_LINE, READY_VARIABLE
from tests.support.records import make_answered_line, make_cdr_line, make_record
from tests.support.servers import Run

PATIENCE = 30.0


@contextmanager
def writer_process(directory: Path, database_url: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A writer, and the end of the pipe on which it says that it is ready."""
    reading, writing = os.pipe()
    environ = {
        **os.environ,
        "SOFTSWITCH_SYSTEM__DIRECTORY": str(directory),
        "SOFTSWITCH_DATABASE__URL": database_url,
        "SOFTSWITCH_CDR__BATCH": "5",
        READY_VARIABLE: str(writing),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "cdr"],
        env=environ,
        cwd=Path(__file__).parents[2],
        pass_fds=[writing],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    os.close(writing)
    try:
        yield process, reading
    finally:
        os.close(reading)
        process.kill()
        process.communicate(timeout=PATIENCE)


def write_calls(directory: Path, first: int, last: int) -> None:
    """A journal of refused calls, with more calls that are up before them than a batch has."""
    now = time.time()
    writer = JournalWriter(directory, directory.name, "run", segment_size=1 << 20, sync_interval=0.01)
    writer.open(now, [])
    for number in range(20):
        writer.append(make_answered_line(make_record(1000 + number, answered_at=now)))
    for number in range(first, last + 1):
        writer.append(make_cdr_line(make_record(number, received_at=now, sip_code=404, code="NO_ROUTE")))
    writer.close(now)


def count_records(run: Run, database_url: str) -> int:
    async def count() -> int:
        connection = await asyncpg.connect(database_url)
        try:
            return int(await connection.fetchval("SELECT count(*) FROM cdr"))
        finally:
            await connection.close()

    return run(count())


class TestProcess:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_writer_writes_all_there_is_when_it_is_told_to_stop(
        self, run: Run, database_url: str, tmp_path: Path, number: signal.Signals
    ) -> None:
        write_calls(tmp_path / "journal" / "sip-1", 1, 40)
        with writer_process(tmp_path, database_url) as (process, ready):
            assert os.read(ready, 64) == READY_LINE
            process.send_signal(number)
            assert process.wait(PATIENCE) == 0
        assert count_records(run, database_url) == 40

    def test_next_writer_doubles_nothing_when_one_was_killed(self, run: Run, database_url: str, tmp_path: Path) -> None:
        write_calls(tmp_path / "journal" / "sip-1", 1, 40)
        with writer_process(tmp_path, database_url) as (process, ready):
            assert os.read(ready, 64) == READY_LINE
            process.kill()
        write_calls(tmp_path / "journal" / "sip-1", 41, 50)
        with writer_process(tmp_path, database_url) as (process, ready):
            assert os.read(ready, 64) == READY_LINE
            process.terminate()
            assert process.wait(PATIENCE) == 0
        assert count_records(run, database_url) == 50

    def test_writer_stops_with_one_line_when_the_database_is_not_there(self, tmp_path: Path) -> None:
        with writer_process(tmp_path, f"postgresql://nobody@/none?host={tmp_path}") as (process, _):
            assert process.wait(PATIENCE) == 2
            assert process.stdout is not None
            (line,) = process.stdout.read().decode().splitlines()
        assert "PostgreSQL" in line
