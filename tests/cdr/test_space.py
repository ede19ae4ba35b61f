"""How much of a journal waits, and when that is said."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import structlog

from cdr.journal import JournalWriter, segment_path, segments
from cdr.space import SpaceWatch
from cdr.writer import Writer
from tests.support.records import make_cdr_line, make_record
from tests.support.servers import Run


@contextmanager
def journal(directory: Path, limit: int, segment_size: int = 1 << 20) -> Iterator[JournalWriter]:
    writer = JournalWriter(
        directory / "sip-1", "sip-1", "run", segment_size=segment_size, sync_interval=0.01, limit=limit
    )
    writer.open(0.0, [])
    try:
        yield writer
    finally:
        writer.close(0.0)


def write(writer: JournalWriter, size: int) -> None:
    """Write until so many bytes wait."""
    number = 0
    while writer.waiting < size:
        number += 1
        writer.append(make_cdr_line(make_record(number, sip_code=404, code="NO_ROUTE")))
        writer.flush(0.0)


@asynccontextmanager
async def pool_of(url: str) -> AsyncIterator["asyncpg.Pool[Any]"]:
    pool = await asyncpg.create_pool(url, min_size=1, max_size=2)
    try:
        yield pool
    finally:
        pool.terminate()


class TestJournal:
    def test_what_is_written_waits_without_a_look_at_the_disk(self, tmp_path: Path) -> None:
        with journal(tmp_path, 0, segment_size=3000) as writer:
            write(writer, 10_000)
            directory = tmp_path / "sip-1"
            assert len(segments(directory)) > 2
            assert writer.waiting == sum(segment_path(directory, n).stat().st_size for n in segments(directory))
            assert not writer.is_stuck

    def test_journal_is_stuck_at_its_limit_until_enough_is_committed(self, tmp_path: Path) -> None:
        with journal(tmp_path, 5000) as writer:
            assert not writer.is_stuck
            write(writer, 5000)
            assert writer.is_stuck
            writer.measure(1, 1000)
            assert not writer.is_stuck
            writer.measure(0, 0)
            assert writer.is_stuck

    def test_segments_before_the_place_do_not_wait(self, tmp_path: Path) -> None:
        with journal(tmp_path, 0, segment_size=3000) as writer:
            write(writer, 10_000)
            last = segments(tmp_path / "sip-1")[-1]
            writer.measure(last, 10)
            assert writer.waiting == segment_path(tmp_path / "sip-1", last).stat().st_size - 10


class TestWatch:
    def test_what_the_writer_process_committed_does_not_wait_in_the_newest_segment(
        self, tmp_path: Path, database_url: str, run: Run
    ) -> None:
        async def work() -> None:
            async with pool_of(database_url) as pool:
                with journal(tmp_path, 5000) as writer:
                    write(writer, 6000)
                    watch = SpaceWatch(writer, "sip-1")
                    await watch.look(pool, 0.0)
                    assert writer.is_stuck
                    connection = await asyncpg.connect(database_url)
                    await commit_all(connection, tmp_path)
                    await connection.close()
                    await watch.look(pool, 5.0)
                    assert writer.waiting == 0
                    assert not writer.is_stuck

        run(work())

    def test_place_that_was_read_last_holds_while_the_database_is_away(
        self, tmp_path: Path, database_url: str, run: Run
    ) -> None:
        async def work() -> None:
            with journal(tmp_path, 0) as writer:
                write(writer, 3000)
                async with pool_of(database_url) as pool:
                    connection = await asyncpg.connect(database_url)
                    await commit_all(connection, tmp_path)
                    await connection.close()
                    watch = SpaceWatch(writer, "sip-1")
                    await watch.look(pool, 0.0)
                    assert writer.waiting == 0
                write(writer, 2000)
                before = writer.waiting
                await watch.look(pool, 5.0)  # the pool is closed
                assert writer.waiting == before

        run(work())

    def test_half_full_journal_is_told_once_a_minute_and_a_full_one_too(
        self, tmp_path: Path, database_url: str, run: Run
    ) -> None:
        async def work() -> None:
            async with pool_of(database_url) as pool:
                with journal(tmp_path, 20_000) as writer, structlog.testing.capture_logs() as logs:
                    watch = SpaceWatch(writer, "sip-1")
                    write(writer, 9000)
                    await watch.look(pool, 0.0)
                    assert logs == []
                    write(writer, 10_000)
                    for now in (5.0, 10.0, 64.9, 65.0, 70.0):
                        await watch.look(pool, now)
                    assert [entry["log_level"] for entry in logs] == ["warning", "warning"]
                    write(writer, 20_000)
                    for now in (70.5, 75.0, 129.0, 131.0):
                        await watch.look(pool, now)
                    full = "journal is at its limit, new calls are refused"
                    assert [entry["event"] for entry in logs[2:]] == [full, full]

        run(work())


async def commit_all(connection: asyncpg.Connection, directory: Path) -> None:
    """Let a writer process commit everything."""
    writer = Writer(directory, "node1", 100)
    await writer.prepare(connection)
    await connection.execute("SELECT cdr_ensure_partition(to_timestamp(1790000000))")
    while await writer.step(connection):
        pass
