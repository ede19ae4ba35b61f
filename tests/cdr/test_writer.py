"""From the journals into a real PostgreSQL: every row, charge and debit exactly once."""

import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import orjson
import pytest

from cdr.journal import JournalWriter, encode_line, read_lines, segment_path, segments
from cdr.record import CARRIER_LEVEL, Level
from cdr.writer import Writer, partition_moments
from rating.ledger import balances_off
from tests.support.records import (
    make_answered_line,
    make_billing,
    make_cdr_line,
    make_level,
    make_rate,
    make_record,
    make_trace_line,
)
from tests.support.servers import Run
from tests.support.traffic import differences


class Database:
    """One connection of a writer, and what it has written."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self.connection = connection

    async def make_account(self, number: int) -> int:
        """An account without money; its id."""
        code = f"CUST{number:04}"
        account_id: int = await self.connection.fetchval(
            "INSERT INTO account (code, kind, name, currency) VALUES ($1, 'customer', $1, 'EUR') RETURNING id", code
        )
        return account_id

    async def calls(self) -> list[str]:
        """SIP Call-IDs of all rows."""
        rows = await self.connection.fetch("SELECT a_call_id FROM cdr ORDER BY call_id, attempt")
        return [row["a_call_id"] for row in rows]

    async def charges(self) -> list[tuple[object, ...]]:
        """Level, who, gross of all charges."""
        rows = await self.connection.fetch(
            "SELECT level, coalesce(account_id, -carrier_id), gross FROM cdr_charge ORDER BY call_id, attempt, level"
        )
        return [tuple(row) for row in rows]

    async def balance(self, account_id: int) -> Decimal:
        """Balance of an account."""
        found: Decimal = await self.connection.fetchval(
            "SELECT balance FROM account_balance WHERE account_id = $1", account_id
        )
        return found

    async def position(self, worker: str = "sip-1") -> tuple[int, int] | None:
        """Segment and offset up to which a journal is committed."""
        row = await self.connection.fetchrow('SELECT segment, "offset" FROM journal_position WHERE worker = $1', worker)
        return tuple(row) if row is not None else None

    async def fail_commits(self, reason: str) -> None:
        """Make every move of a position fail, as if the server broke off just there."""
        await self.connection.execute(
            f"CREATE OR REPLACE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE '{reason}'; END $$;"
            "CREATE OR REPLACE TRIGGER fail BEFORE INSERT OR UPDATE ON journal_position EXECUTE FUNCTION fail()"
        )

    async def let_commits_pass(self) -> None:
        """Undo `fail_commits`."""
        await self.connection.execute("DROP TRIGGER fail ON journal_position")


@asynccontextmanager
async def opened(url: str) -> Any:
    """The database through a connection of its own."""
    connection = await asyncpg.connect(url)
    try:
        yield Database(connection)
    finally:
        await connection.close()


@contextmanager
def journal(directory: Path, segment_size: int = 1 << 20) -> Iterator[JournalWriter]:
    """A journal to write to."""
    writer = JournalWriter(directory, directory.name, "run", segment_size=segment_size, sync_interval=0.01)
    try:
        writer.open(time.time(), [])
        yield writer
    finally:
        writer.close(time.time())


def write(directory: Path, lines: Sequence[dict[str, Any]], segment_size: int = 1 << 20) -> None:
    """A journal of these lines, flushed one by one."""
    with journal(directory, segment_size) as writer:
        for line in lines:
            writer.append(line)
            writer.flush(time.time())


def answered(number: int, levels: Sequence[Level] = (), seconds: float = 60.0, **changed: Any) -> dict[str, Any]:
    """A call of a minute that came just now."""
    now = time.time()
    record = make_record(number, **{"received_at": now, "answered_at": now, **changed})
    return make_cdr_line(record, levels, seconds)


def refused(number: int, **changed: Any) -> dict[str, Any]:
    """A call that was refused just now."""
    record = make_record(number, **{"received_at": time.time(), "sip_code": 404, "code": "NO_ROUTE", **changed})
    return make_cdr_line(record)


async def follow(writer: Writer, database: Database) -> int:
    """Let a new connection follow the journals to their ends; how many steps that took."""
    await writer.prepare(database.connection)
    steps = 1
    while await writer.step(database.connection):
        steps += 1
    return steps


def dozen(account_id: int) -> list[dict[str, Any]]:
    """Twelve calls at 1 cent, 2 cents, …, 12 cents, each behind its `answered` line."""
    lines: list[dict[str, Any]] = []
    for number in range(1, 13):
        levels = [make_level(0, make_rate(f"0.{number:02}"), make_billing(decimals=2), account_id=account_id)]
        now = time.time()
        lines.append(make_answered_line(make_record(number, received_at=now, answered_at=now), levels))
        lines.append(answered(number, levels, received_at=now, answered_at=now))
    return lines


ALL_TWELVE = [f"call-{number}" for number in range(1, 13)]
COST_OF_TWELVE = Decimal("0.78")


class TestRows:
    def test_call_is_a_row_with_its_charges_and_its_debits(self, run: Run, database_url: str, tmp_path: Path) -> None:
        async def main() -> None:
            async with opened(database_url) as database:
                customer, reseller = await database.make_account(1), await database.make_account(2)
                levels = [
                    make_level(0, make_rate("0.10"), make_billing(decimals=2, taxes=("20",)), account_id=customer),
                    make_level(1, make_rate("0.06"), account_id=reseller),
                    make_level(CARRIER_LEVEL, make_rate("0.05"), account_id=None, carrier_id=9, currency="USD"),
                ]
                write(tmp_path / "sip-1", [answered(1, levels, 90.0, codecs_offered=["PCMA"], account_chain=[1, 2])])
                await follow(Writer(tmp_path, "node1", 100), database)
                row = await database.connection.fetchrow("SELECT * FROM cdr")
                assert row is not None
                assert (str(row["call_id"]), row["attempt"], row["is_last"]) == (
                    "00000000-0000-7000-8000-000000000001",
                    1,
                    True,
                )
                assert (row["duration"], row["gross"], row["currency"]) == (Decimal(90), Decimal("0.18"), "EUR")
                assert (row["codecs_offered"], row["account_chain"]) == (["PCMA"], [1, 2])
                assert row["ended_at"] - row["answered_at"] == timedelta(seconds=90)
                assert (row["ringing_at"], row["gateway_id"], row["post_dial_delay"]) == (None, None, None)
                assert await database.charges() == [
                    (-1, -9, Decimal("0.075")),
                    (0, customer, Decimal("0.18")),
                    (1, reseller, Decimal("0.09")),
                ]
                assert await database.balance(customer) == Decimal("-0.18")
                assert await database.balance(reseller) == Decimal("-0.09")

        run(main())

    def test_refused_call_is_a_row_without_charges(self, run: Run, database_url: str, tmp_path: Path) -> None:
        async def main() -> None:
            async with opened(database_url) as database:
                write(tmp_path / "sip-1", [refused(1, attempt=0, q850_cause=3)])
                await follow(Writer(tmp_path, "node1", 100), database)
                row = await database.connection.fetchrow("SELECT code, q850_cause, gross, duration, attempt FROM cdr")
                assert tuple(row or ()) == ("NO_ROUTE", 3, None, 0, 0)
                assert await database.charges() == []

        run(main())

    def test_each_attempt_of_a_call_is_a_row(self, run: Run, database_url: str, tmp_path: Path) -> None:
        async def main() -> None:
            async with opened(database_url) as database:
                write(tmp_path / "sip-1", [refused(1, attempt=1, is_last=False), refused(1, attempt=2)])
                await follow(Writer(tmp_path, "node1", 100), database)
                rows = await database.connection.fetch("SELECT attempt, is_last FROM cdr ORDER BY attempt")
                assert [tuple(row) for row in rows] == [(1, False), (2, True)]

        run(main())

    def test_call_that_is_still_up_is_no_row(self, run: Run, database_url: str, tmp_path: Path) -> None:
        async def main() -> None:
            async with opened(database_url) as database:
                write(tmp_path / "sip-1", [make_answered_line(make_record(1, answered_at=1.0), [make_level()])])
                await follow(Writer(tmp_path, "node1", 100), database)
                assert await database.calls() == []

        run(main())

    def test_accounts_owe_the_sum_of_their_charges_when_many_calls_were_made(
        self, run: Run, database_url: str, tmp_path: Path
    ) -> None:
        async def main() -> None:
            async with opened(database_url) as database:
                accounts = [await database.make_account(number) for number in range(1, 6)]
                lines = []
                for number in range(1, 301):
                    rate = make_rate(f"0.{number:04}", minimum=number % 7, resolution=1 + number % 11)
                    levels = [
                        make_level(level, rate, make_billing(decimals=10, taxes=("7.5", "1")), account_id=account)
                        for level, account in enumerate(accounts[number % 4 :])
                    ]
                    lines.append(answered(number, levels, seconds=number / 3))
                write(tmp_path / "sip-1", lines, segment_size=50_000)
                await follow(Writer(tmp_path, "node1", 37), database)
                assert await balances_off(database.connection) == []
                assert await differences(database.connection) == []
                wrong = await database.connection.fetch(
                    "SELECT account_id FROM account_balance WHERE balance <> -coalesce("
                    "(SELECT sum(gross) FROM cdr_charge WHERE cdr_charge.account_id = account_balance.account_id), 0)"
                )
                assert wrong == []
                assert await database.connection.fetchval("SELECT sum(calls) FROM ledger_entry") == sum(
                    5 - number % 4 for number in range(1, 301)
                )
                assert len(await database.calls()) == 300

        run(main())


class TestOnce:
    def test_nothing_is_doubled_when_the_journal_is_followed_twice(
        self, run: Run, database_url: str, tmp_path: Path
    ) -> None:
        async def main() -> None:
            async with opened(database_url) as database:
                account = await database.make_account(1)
                write(tmp_path / "sip-1", dozen(account))
                writer = Writer(tmp_path, "node1", 5)
                await follow(writer, database)
                await database.connection.execute("DELETE FROM journal_position")
                await follow(writer, database)
                assert await database.calls() == ALL_TWELVE
                assert len(await database.charges()) == 12
                assert await database.balance(account) == -COST_OF_TWELVE
                assert await differences(database.connection) == []
                assert not (tmp_path / "sip-1" / "refused.journal-lines").exists()

        run(main())

    def test_nothing_is_doubled_when_a_record_stands_twice_in_a_batch(
        self, run: Run, database_url: str, tmp_path: Path
    ) -> None:
        async def main() -> None:
            async with opened(database_url) as database:
                account = await database.make_account(1)
                lines = dozen(account)
                write(tmp_path / "sip-1", [*lines, *lines])
                await follow(Writer(tmp_path, "node1", 1000), database)
                assert await database.calls() == ALL_TWELVE
                assert await database.balance(account) == -COST_OF_TWELVE
                assert (tmp_path / "sip-1" / "refused.journal-lines").exists() is False

        run(main())

    @pytest.mark.parametrize("batch", [1, 2, 5, 24])
    def test_next_writer_goes_on_when_one_stops_in_between(
        self, run: Run, database_url: str, tmp_path: Path, batch: int
    ) -> None:
        async def main() -> None:
            async with opened(database_url) as database:
                account = await database.make_account(1)
                write(tmp_path / "sip-1", dozen(account), segment_size=6000)
            for _ in range(100):
                async with opened(database_url) as database:
                    writer = Writer(tmp_path, "node1", batch)
                    await writer.prepare(database.connection)
                    if not await writer.step(database.connection):
                        break
            async with opened(database_url) as database:
                assert await database.calls() == ALL_TWELVE
                assert await database.balance(account) == -COST_OF_TWELVE

        run(main())

    def test_next_writer_reads_on_where_the_last_one_stood(self, run: Run, database_url: str, tmp_path: Path) -> None:
        async def main() -> None:
            with journal(tmp_path / "sip-1") as worker:
                for number in (1, 2):
                    worker.append(refused(number))
                    worker.flush(time.time())
                    async with opened(database_url) as database:
                        await follow(Writer(tmp_path, "node1", 100), database)
                        size = segment_path(tmp_path / "sip-1", 1).stat().st_size
                        assert await database.position() == (1, size)
                        assert len(await database.calls()) == number

        run(main())

    def test_rows_and_position_go_in_together_or_not_at_all(self, run: Run, database_url: str, tmp_path: Path) -> None:
        async def main() -> None:
            async with opened(database_url) as database:
                account = await database.make_account(1)
                write(tmp_path / "sip-1", dozen(account))
                await database.fail_commits("server closes")
                with pytest.raises(asyncpg.RaiseError, match="server closes"):
                    await follow(Writer(tmp_path, "node1", 5), database)
                assert (await database.calls(), await database.charges()) == ([], [])
                assert (await database.balance(account), await database.position()) == (0, None)
                await database.let_commits_pass()
                await follow(Writer(tmp_path, "node1", 5), database)
                assert await database.calls() == ALL_TWELVE
                assert await database.balance(account) == -COST_OF_TWELVE

        run(main())

    def test_rows_go_in_once_when_the_connection_is_cut_while_they_are_posted(
        self, run: Run, database_url: str, tmp_path: Path
    ) -> None:
        async def main() -> None:
            async with opened(database_url) as database, opened(database_url) as cut:
                account = await database.make_account(1)
                write(tmp_path / "sip-1", dozen(account))
                own = await cut.connection.fetchval("SELECT pg_backend_pid()")
                await database.connection.execute(
                    "CREATE FUNCTION cut() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                    f" PERFORM pg_terminate_backend({own}) WHERE pg_backend_pid() = {own}; RETURN NULL; END $$;"
                    "CREATE TRIGGER cut AFTER INSERT ON ledger_entry EXECUTE FUNCTION cut()"
                )
                with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
                    await follow(Writer(tmp_path, "node1", 5), cut)
                assert await database.calls() == []
                await follow(Writer(tmp_path, "node1", 5), database)
                assert await database.calls() == ALL_TWELVE
                assert await database.balance(account) == -COST_OF_TWELVE

        run(main())


class TestRefusedRows:
    """A row that the database refuses is kept in a file, and the others go in."""

    @pytest.mark.parametrize(
        "changed",
        [
            {"ended_by": "nobody"},
            {"received_at": 0.0},
            {"media_mode": "telepathy"},
            {"duration": 1e12, "answered_at": None},
            {"sip_code": 70_000},
            {"account_id": 2**70},
        ],
        ids=["check", "no partition", "other check", "number too large", "integer too large", "bigint too large"],
    )
    def test_others_go_in_when_one_is_refused(
        self, run: Run, database_url: str, tmp_path: Path, changed: dict[str, Any]
    ) -> None:
        async def main() -> None:
            async with opened(database_url) as database:
                account = await database.make_account(1)
                lines = dozen(account)
                lines.insert(10, answered(99, [make_level(account_id=account)], **changed))
                write(tmp_path / "sip-1", lines)
                await follow(Writer(tmp_path, "node1", 100), database)
                assert await database.calls() == ALL_TWELVE
                assert await database.balance(account) == -COST_OF_TWELVE
                kept = list(read_lines(tmp_path / "sip-1" / "refused.journal-lines", 0, 10))
                assert [line["record"]["a_call_id"] for _, line in kept] == ["call-99"]
                assert await database.position() == (1, segment_path(tmp_path / "sip-1", 1).stat().st_size)

        run(main())

    def test_others_go_in_when_one_is_charged_to_an_account_that_does_not_exist(
        self, run: Run, database_url: str, tmp_path: Path
    ) -> None:
        async def main() -> None:
            async with opened(database_url) as database:
                account = await database.make_account(1)
                lines = [*dozen(account), answered(99, [make_level(account_id=424242)])]
                write(tmp_path / "sip-1", lines)
                await follow(Writer(tmp_path, "node1", 100), database)
                assert await database.calls() == ALL_TWELVE
                assert await database.balance(account) == -COST_OF_TWELVE
                assert (tmp_path / "sip-1" / "refused.journal-lines").exists()

        run(main())

    def test_kept_row_goes_in_when_it_is_put_into_a_journal_again(
        self, run: Run, database_url: str, tmp_path: Path
    ) -> None:
        async def main() -> None:
            async with opened(database_url) as database:
                write(tmp_path / "sip-1", [answered(99, [make_level(account_id=1)])])
                await follow(Writer(tmp_path, "node1", 100), database)
                assert await database.calls() == []
                assert await database.make_account(1) == 1
                (tmp_path / "again").mkdir()
                shutil.move(tmp_path / "sip-1" / "refused.journal-lines", segment_path(tmp_path / "again", 1))
                await follow(Writer(tmp_path, "node1", 100), database)
                assert await database.calls() == ["call-99"]
                assert await database.balance(1) == -1

        run(main())

    def test_row_goes_in_when_its_text_holds_a_nul(self, run: Run, database_url: str, tmp_path: Path) -> None:
        async def main() -> None:
            async with opened(database_url) as database:
                write(tmp_path / "sip-1", [refused(1, a_user_agent="a\0b", codecs_offered=["\0PCMA"])])
                await follow(Writer(tmp_path, "node1", 100), database)
                row = await database.connection.fetchrow("SELECT a_user_agent, codecs_offered FROM cdr")
                assert tuple(row or ()) == ("ab", ["PCMA"])

        run(main())


class TestTraces:
    """The messages of calls."""

    @staticmethod
    async def traces(database: Database) -> list[tuple[str, Any, list[Any]]]:
        """Call, time and messages of each."""
        rows = await database.connection.fetch("SELECT call_id, received_at, messages FROM call_trace ORDER BY call_id")
        return [(str(row[0]), row[1].timestamp(), orjson.loads(row[2])) for row in rows]

    def test_messages_go_in_once_and_beside_the_records(self, run: Run, database_url: str, tmp_path: Path) -> None:
        async def main() -> None:
            async with opened(database_url) as database:
                now = round(time.time(), 3)
                line = make_trace_line(1, received_at=now)
                write(tmp_path / "sip-1", [refused(1, received_at=now), line, line, refused(2)])
                await follow(Writer(tmp_path, "node1", 100), database)
                expected = [(line["call_id"], pytest.approx(now, abs=0.001), line["messages"])]
                assert await self.traces(database) == expected
                found = await database.connection.fetchval(
                    "SELECT count(*) FROM call_trace JOIN cdr USING (call_id, received_at)"
                )
                assert found == 1
                await database.connection.execute("DELETE FROM journal_position")
                await follow(Writer(tmp_path, "node1", 100), database)
                assert await self.traces(database) == expected
                assert await database.calls() == ["call-1", "call-2"]

        run(main())

    @pytest.mark.parametrize("bad", [{"received_at": 0.0}, {"messages": [[0, "a", False, "h", "\0"]]}])
    def test_others_go_in_when_one_is_refused(
        self, run: Run, database_url: str, tmp_path: Path, bad: dict[str, Any]
    ) -> None:
        async def main() -> None:
            async with opened(database_url) as database:
                now = time.time()
                lines = [make_trace_line(1, received_at=now), make_trace_line(2, **{"received_at": now, **bad})]
                write(tmp_path / "sip-1", [*lines, refused(3), make_trace_line(3, received_at=now)])
                await follow(Writer(tmp_path, "node1", 100), database)
                assert [call_id[-1] for call_id, _, _ in await self.traces(database)] == ["1", "3"]
                assert await database.calls() == ["call-3"]
                assert not (tmp_path / "sip-1" / "refused.journal-lines").exists()

        run(main())

    def test_batch_ends_when_it_has_many_bytes(
        self, run: Run, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("cdr.writer.BATCH_BYTES", 2000)

        async def main() -> None:
            async with opened(database_url) as database:
                now = time.time()
                write(tmp_path / "sip-1", [make_trace_line(number, received_at=now) for number in range(20)])
                assert await follow(Writer(tmp_path, "node1", 100), database) > 3
                assert len(await self.traces(database)) == 20

        run(main())


class TestSegments:
    def test_consumed_segments_are_removed_but_never_the_newest(
        self, run: Run, database_url: str, tmp_path: Path
    ) -> None:
        async def main() -> None:
            directory = tmp_path / "sip-1"
            async with opened(database_url) as database:
                with journal(directory, segment_size=1) as worker:
                    for number in (1, 2, 3):
                        worker.append(refused(number))
                        worker.flush(time.time())
                    assert segments(directory) == [1, 2, 3, 4]
                    writer = Writer(tmp_path, "node1", 100)
                    await follow(writer, database)
                    assert segments(directory) == [4]
                    worker.append(refused(4))
                    worker.flush(time.time())
                    await follow(writer, database)
                    assert segments(directory) == [5]
                assert await database.calls() == ["call-1", "call-2", "call-3", "call-4"]
                assert await database.position() == (5, segment_path(directory, 5).stat().st_size)

        run(main())

    def test_segment_stays_when_its_batch_was_not_committed(self, run: Run, database_url: str, tmp_path: Path) -> None:
        async def main() -> None:
            async with opened(database_url) as database:
                write(tmp_path / "sip-1", [refused(1), refused(2)], segment_size=1)
                await database.fail_commits("server closes")
                with pytest.raises(asyncpg.RaiseError):
                    await follow(Writer(tmp_path, "node1", 100), database)
                assert segments(tmp_path / "sip-1") == [1, 2, 3]

        run(main())

    def test_writer_goes_on_with_the_next_segment_when_its_own_is_gone(
        self, run: Run, database_url: str, tmp_path: Path
    ) -> None:
        async def main() -> None:
            async with opened(database_url) as database:
                write(tmp_path / "sip-1", [refused(1)])
                await follow(Writer(tmp_path, "node1", 100), database)
                write(tmp_path / "sip-1", [refused(2)])
                segment_path(tmp_path / "sip-1", 1).unlink()
                await follow(Writer(tmp_path, "node1", 100), database)
                assert await database.calls() == ["call-1", "call-2"]

        run(main())

    def test_torn_line_waits_when_its_segment_is_the_newest(self, run: Run, database_url: str, tmp_path: Path) -> None:
        async def main() -> None:
            async with opened(database_url) as database:
                write(tmp_path / "sip-1", [refused(1)])
                line = encode_line(refused(2))
                path = segment_path(tmp_path / "sip-1", 1)
                with path.open("ab") as file:
                    file.write(line[:50])
                writer = Writer(tmp_path, "node1", 100)
                await follow(writer, database)
                assert await database.calls() == ["call-1"]
                with path.open("ab") as file:
                    file.write(line[50:])
                await follow(writer, database)
                assert await database.calls() == ["call-1", "call-2"]

        run(main())

    @pytest.mark.parametrize(("rest", "is_kept"), [(b"half a line", False), (b"a damaged line\nand more\n", True)])
    def test_next_segment_is_read_when_one_ends_badly(
        self, run: Run, database_url: str, tmp_path: Path, rest: bytes, is_kept: bool
    ) -> None:
        async def main() -> None:
            async with opened(database_url) as database:
                directory = tmp_path / "sip-1"
                write(directory, [refused(1)])
                with segment_path(directory, 1).open("ab") as file:
                    file.write(rest)
                write(directory, [refused(2)])
                await follow(Writer(tmp_path, "node1", 100), database)
                assert await database.calls() == ["call-1", "call-2"]
                assert segments(directory) == [2]
                assert [path.name for path in directory.glob("*.damaged")] == ["0000000001.damaged"] * is_kept

        run(main())


class TestWorkers:
    def test_journals_of_several_workers_are_followed_each_at_its_own_place(
        self, run: Run, database_url: str, tmp_path: Path
    ) -> None:
        async def main() -> None:
            async with opened(database_url) as database:
                account = await database.make_account(1)
                lines = dozen(account)
                for number, worker in enumerate(("sip-1", "sip-2", "sip-3")):
                    write(tmp_path / worker, lines[8 * number : 8 * number + 8])
                await follow(Writer(tmp_path, "node1", 3), database)
                assert await database.calls() == ALL_TWELVE
                assert await database.balance(account) == -COST_OF_TWELVE
                for worker in ("sip-1", "sip-2", "sip-3"):
                    assert await database.position(worker) == (1, segment_path(tmp_path / worker, 1).stat().st_size)

        run(main())

    def test_worker_is_followed_when_it_starts_later(self, run: Run, database_url: str, tmp_path: Path) -> None:
        async def main() -> None:
            async with opened(database_url) as database:
                writer = Writer(tmp_path, "node1", 100)
                await writer.prepare(database.connection)
                assert await writer.step(database.connection) == 0
                (tmp_path / "sip-1").mkdir()
                assert await writer.step(database.connection) == 0
                write(tmp_path / "sip-1", [refused(1)])
                assert await writer.step(database.connection) > 0
                assert await database.calls() == ["call-1"]

        run(main())


class TestLifeSigns:
    def test_writer_says_that_it_lives_and_what_it_has_before_it(
        self, run: Run, database_url: str, tmp_path: Path
    ) -> None:
        async def main() -> None:
            async with opened(database_url) as database:
                write(tmp_path / "sip-1", [refused(number) for number in range(10)])
                writer = Writer(tmp_path, "node1", 4)
                await writer.prepare(database.connection)
                await writer.step(database.connection)
                row = await database.connection.fetchrow(
                    "SELECT name, backlog_bytes, now() - beat_at < interval '1 minute' FROM cdr_writer"
                )
                position = await database.position()
                assert position is not None
                rest = segment_path(tmp_path / "sip-1", 1).stat().st_size - position[1]
                assert rest > 0
                assert tuple(row or ()) == ("node1", rest, True)

        run(main())

    def test_step_says_that_there_is_more_when_a_batch_had_no_record(
        self, run: Run, database_url: str, tmp_path: Path
    ) -> None:
        async def main() -> None:
            async with opened(database_url) as database:
                up = [make_answered_line(make_record(number, answered_at=1.0)) for number in range(20)]
                write(tmp_path / "sip-1", [*up, refused(99)])
                await follow(Writer(tmp_path, "node1", 5), database)
                assert await database.calls() == ["call-99"]

        run(main())


class TestPartitions:
    def test_this_month_and_both_beside_it_have_partitions_on_any_day(self) -> None:
        day = datetime(2027, 12, 31, 23, 59, tzinfo=UTC)
        while day.year < 2029:
            day += timedelta(days=1)
            months = [12 * at.year + at.month for at in partition_moments(day)]
            this = 12 * day.year + day.month
            assert months == [this - 1, this, this + 1], day

    def test_writer_makes_the_partitions_that_it_needs(self, run: Run, database_url: str, tmp_path: Path) -> None:
        async def main() -> None:
            async with opened(database_url) as database:
                await follow(Writer(tmp_path, "node1", 5), database)
                for at in partition_moments(datetime.now(UTC)):
                    for parent in ("cdr", "cdr_charge"):
                        name = f"{parent}_{at:%Y_%m}"
                        assert await database.connection.fetchval("SELECT to_regclass($1)::text", name) == name

        run(main())


def test_lines_of_a_journal_are_read_in_the_order_of_their_segments(tmp_path: Path) -> None:
    write(tmp_path / "sip-1", [refused(number) for number in range(11)], segment_size=1)
    calls = [
        line["record"]["a_call_id"]
        for number in segments(tmp_path / "sip-1")
        for _, line in read_lines(segment_path(tmp_path / "sip-1", number), 0, sys.maxsize)
        if line["kind"] == "cdr"
    ]
    assert calls == [f"call-{number}" for number in range(11)]
