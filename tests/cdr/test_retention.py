"""Months of records that are dropped, and those that are not."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import asyncpg
import pytest

from cdr.retention import drop_old, first_kept, month_of
from cdr.writer import Writer
from tests.support.servers import Run
from tests.support.traffic import differences

NOW = datetime(2026, 9, 15, 12, tzinfo=UTC)
MONTHS = [date(2026, month, 1) for month in (6, 7, 8, 9)]


class TestFirstKept:
    @pytest.mark.parametrize(
        ("months", "kept"),
        [
            (0, date(2026, 9, 1)),
            (1, date(2026, 8, 1)),
            (8, date(2026, 1, 1)),
            (9, date(2025, 12, 1)),
            (24, date(2024, 9, 1)),
            (99999, date.min),
        ],
    )
    def test_whole_months_are_kept_besides_the_current(self, months: int, kept: date) -> None:
        assert first_kept(NOW, months) == kept

    def test_month_is_that_of_utc(self) -> None:
        east = timezone(timedelta(hours=10))
        assert first_kept(datetime(2026, 10, 1, 9, tzinfo=east), 0) == date(2026, 9, 1)


@pytest.mark.parametrize(
    ("name", "month"),
    [
        ("cdr_2026_09", date(2026, 9, 1)),
        ("cdr_charge_2026_12", date(2026, 12, 1)),
        ("call_trace_2026_12", date(2026, 12, 1)),
        ("cdr_charge", None),
        ("cdr_2026_09_old", None),
        ("other_2026_09", None),
    ],
)
def test_month_is_read_from_the_name(name: str, month: date | None) -> None:
    assert month_of(name) == month


@asynccontextmanager
async def filled(url: str) -> AsyncIterator[asyncpg.Connection]:
    """Four months with a record in the middle of each."""
    connection = await asyncpg.connect(url)
    try:
        for number, month in enumerate(MONTHS, 1):
            at = datetime(month.year, month.month, 15, tzinfo=UTC)
            await connection.execute("SELECT cdr_ensure_partition($1)", at)
            await insert(connection, number, at)
        yield connection
    finally:
        await connection.close()


async def insert(connection: asyncpg.Connection, number: int, at: datetime) -> None:
    await connection.execute(
        """
        INSERT INTO cdr (call_id, attempt, is_last, received_at, ended_at, duration, worker, a_call_id, a_address,
            a_transport, sip_code, code, ended_by)
        VALUES (lpad($1::integer::text, 32, '0')::uuid, 0, true, $2, $2, 0, 'sip-1', 'x', 'x', 'udp', 404, 'NO_ROUTE',
            'system')
        """,
        number,
        at,
    )


async def tables(connection: asyncpg.Connection) -> list[str]:
    rows = await connection.fetch(
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname ~ '^(cdr|cdr_charge|call_trace)_2026'"
        " ORDER BY relname"
    )
    return [row["relname"] for row in rows]


class TestDrop:
    def test_months_before_those_that_are_kept_are_dropped(self, database_url: str, run: Run) -> None:
        async def work() -> None:
            async with filled(database_url) as connection:
                assert await drop_old(connection, NOW, 1) == MONTHS[:2]
                assert await tables(connection) == [
                    "call_trace_2026_08",
                    "call_trace_2026_09",
                    "cdr_2026_08",
                    "cdr_2026_09",
                    "cdr_charge_2026_08",
                    "cdr_charge_2026_09",
                ]
                assert await connection.fetchval("SELECT count(*) FROM cdr") == 2
                assert await differences(connection) == []
                assert await drop_old(connection, NOW, 1) == []

        run(work())

    def test_month_that_is_not_exported_yet_is_kept_with_those_after_it(self, database_url: str, run: Run) -> None:
        async def work() -> None:
            async with filled(database_url) as connection:
                second = await connection.fetchval("SELECT posted_id FROM cdr_2026_07")
                assert await drop_old(connection, NOW, 0, second - 1) == MONTHS[:1]
                assert await drop_old(connection, NOW, 0, second) == MONTHS[1:2]
                assert await connection.fetchval("SELECT count(*) FROM cdr") == 2

        run(work())

    def test_month_of_messages_without_records_is_dropped(self, database_url: str, run: Run) -> None:
        async def work() -> None:
            async with filled(database_url) as connection:
                await connection.execute("DROP TABLE cdr_2026_06, cdr_charge_2026_06")
                assert await drop_old(connection, NOW, 2) == MONTHS[:1]
                assert "call_trace_2026_06" not in await tables(connection)

        run(work())

    def test_month_that_somebody_reads_is_dropped_the_next_time(self, database_url: str, run: Run) -> None:
        async def work() -> None:
            async with filled(database_url) as connection:
                reader = await asyncpg.connect(database_url)
                async with reader.transaction():
                    await reader.fetch("SELECT FROM cdr_2026_06")
                    assert await drop_old(connection, NOW, 2) == []
                await reader.close()
                assert await drop_old(connection, NOW, 2) == MONTHS[:1]

        run(work())

    def test_writer_drops_what_is_too_old_and_makes_what_comes(
        self, database_url: str, run: Run, tmp_path: Path
    ) -> None:
        async def work() -> None:
            async with filled(database_url) as connection:
                old = datetime.now(UTC) - timedelta(days=400)
                await connection.execute("SELECT cdr_ensure_partition($1)", old)
                writer = Writer(tmp_path, "node1", 10, 3)
                await writer.prepare(connection)
                await writer.step(connection)
                names = await connection.fetch("SELECT relname FROM pg_class WHERE relkind = 'r'")
                assert f"cdr_{old:%Y_%m}" not in {row["relname"] for row in names}
                assert f"cdr_{datetime.now(UTC):%Y_%m}" in {row["relname"] for row in names}

        run(work())
