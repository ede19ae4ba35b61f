"""Files for outside billing: every record once, whatever happens to the writer in between."""

import asyncio
import csv
import io
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import orjson
import pytest

from cdr.export import CSV_COLUMNS, POSTING_LOCK, Exporter, exported_up_to, is_due
from cdr.journal import JournalWriter
from cdr.record import CARRIER_LEVEL
from cdr.writer import Writer
from tests.support.records import make_billing, make_cdr_line, make_level, make_rate, make_record
from tests.support.servers import Run

NOON = datetime(2026, 9, 15, 12, tzinfo=UTC)


class TestDue:
    @pytest.mark.parametrize(
        ("decided_at", "interval", "due"),
        [
            (None, 3600, True),
            (datetime(2026, 9, 15, 11, 59, 59, tzinfo=UTC), 3600, True),
            (datetime(2026, 9, 15, 12, 0, tzinfo=UTC), 3600, False),
            (datetime(2026, 9, 15, 0, 0, tzinfo=UTC), 86400, False),
            (datetime(2026, 9, 14, 23, 0, tzinfo=UTC), 86400, True),
            (datetime(2026, 9, 15, 11, 59, 59, tzinfo=UTC), 0, True),
        ],
    )
    def test_file_is_due_when_an_interval_has_ended(
        self, decided_at: datetime | None, interval: int, due: bool
    ) -> None:
        assert is_due(decided_at, NOON, interval) is due


class Billing:
    """A database with a customer, its reseller and a carrier; calls are posted into it by a writer."""

    def __init__(self, connection: asyncpg.Connection, directory: Path) -> None:
        self.connection = connection
        self.journals = directory / "journal"
        self.files = directory / "export"
        self._count = 0

    def exporter(self, form: str = "csv", interval: int = 1, **options: Any) -> Exporter:
        return Exporter(self.files, form, interval, "node1", **options)

    async def prepare(self) -> None:
        await self.connection.execute(
            """
            INSERT INTO account (code, kind, name, currency) VALUES ('RESL0001', 'reseller', 'R', 'EUR');
            INSERT INTO account (code, kind, name, currency, parent_id) VALUES ('CUST0001', 'customer', 'C', 'EUR', 1);
            INSERT INTO carrier (code, name, currency) VALUES ('CARR0001', 'C', 'USD');
            """
        )

    async def post(self, *records: dict[str, Any]) -> None:
        """Post calls; with `answered_at`, of a minute at 0.12 for the customer."""
        writer = JournalWriter(self.journals / "sip-1", "sip-1", "run", segment_size=1 << 20, sync_interval=0.01)
        writer.open(0.0, [])
        billing = make_billing(taxes=["19"])
        levels = [
            make_level(0, make_rate("0.12"), billing, account_id=2),
            make_level(1, make_rate("0.11"), account_id=1),
            make_level(
                CARRIER_LEVEL,
                make_rate("0.1"),
                account_id=None,
                carrier_id=1,
                currency="USD",
                billing=make_billing(decimals=10),
            ),
        ]
        for changed in records:
            self._count += 1
            now = datetime.now(UTC).timestamp()
            record = make_record(
                self._count,
                **{"received_at": now, "account_id": 2, "account_chain": [2, 1], "carrier_id": 1, **changed},
            )
            writer.append(make_cdr_line(record, levels))
        writer.close(0.0)
        process = Writer(self.journals, "node1", 100)
        await process.prepare(self.connection)
        while await process.step(self.connection):
            pass

    async def age(self) -> None:
        """Make the interval of the last file end."""
        await self.connection.execute("UPDATE cdr_export SET decided_at = decided_at - interval '10 s'")

    def names(self) -> list[str]:
        return sorted(path.name for path in self.files.iterdir())

    def rows(self) -> list[dict[str, str]]:
        """Rows of all CSV files."""
        rows: list[dict[str, str]] = []
        for name in self.names():
            rows += csv.DictReader(io.StringIO((self.files / name).read_text()))
        return rows

    def calls(self) -> list[str]:
        return [row["a_call_id"] for row in self.rows()]


@asynccontextmanager
async def billing(url: str, directory: Path) -> AsyncIterator[Billing]:
    connection = await asyncpg.connect(url)
    try:
        scene = Billing(connection, directory)
        await scene.prepare()
        yield scene
    finally:
        await connection.close()


class Crash(Exception):
    """The process ends here."""


class TestFiles:
    def test_each_record_is_in_one_file_and_no_file_is_empty(self, database_url: str, run: Run, tmp_path: Path) -> None:
        async def work() -> None:
            async with billing(database_url, tmp_path) as scene:
                exporter = scene.exporter()
                await exporter.prepare(scene.connection)
                assert await exporter.step(scene.connection) is None
                await scene.post({}, {})
                first = await exporter.step(scene.connection)
                await scene.age()
                assert await exporter.step(scene.connection) is None
                await scene.post({})
                second = await exporter.step(scene.connection)
                assert first is not None
                assert second is not None
                assert scene.names() == sorted([first.name, second.name])
                assert scene.calls() == ["call-1", "call-2", "call-3"]
                assert await exported_up_to(scene.connection) == int(scene.rows()[-1]["posted_id"])

        run(work())

    def test_file_waits_for_the_end_of_its_interval(self, database_url: str, run: Run, tmp_path: Path) -> None:
        async def work() -> None:
            async with billing(database_url, tmp_path) as scene:
                exporter = scene.exporter(interval=10**9)
                await exporter.prepare(scene.connection)
                await scene.post({})
                assert await exporter.step(scene.connection) is not None
                await scene.post({})
                assert await exporter.step(scene.connection) is None

        run(work())

    def test_more_records_than_a_file_takes_are_several_files_at_once(
        self, database_url: str, run: Run, tmp_path: Path
    ) -> None:
        async def work() -> None:
            async with billing(database_url, tmp_path) as scene:
                exporter = scene.exporter(interval=10**9, most_records=2)
                await exporter.prepare(scene.connection)
                await scene.post(*({} for _ in range(5)))
                while await exporter.step(scene.connection):
                    pass
                assert len(scene.names()) == 3
                assert scene.calls() == [f"call-{number}" for number in range(1, 6)]

        run(work())

    def test_csv_has_every_level_and_no_formula(self, database_url: str, run: Run, tmp_path: Path) -> None:
        async def work() -> None:
            async with billing(database_url, tmp_path) as scene:
                exporter = scene.exporter()
                await exporter.prepare(scene.connection)
                now = datetime.now(UTC).timestamp()
                await scene.post(
                    {
                        "answered_at": now,
                        "a_user_agent": "=cmd|' /C calc'!A0",
                        "source_received": "+44",
                        "received_at": now,
                    }
                )
                await exporter.step(scene.connection)
                (row,) = scene.rows()
                assert list(row) == list(CSV_COLUMNS)
                assert (row["a_user_agent"], row["source_received"]) == ("'=cmd|' /C calc'!A0", "'+44")
                assert (row["billed_seconds"], row["net"], row["tax"], row["gross"]) == (
                    "60",
                    "0.12",
                    "0.0228",
                    "0.1428",
                )
                assert (row["carrier_cost"], row["carrier_currency"]) == ("0.10", "USD")
                assert row["resellers"] == "RESL0001:0.11:EUR"
                assert (row["account"], row["account_chain"], row["carrier"]) == (
                    "CUST0001",
                    "CUST0001 RESL0001",
                    "CARR0001",
                )
                assert row["answered_at"].endswith("Z")
                assert (row["is_last"], row["ringing_at"], row["duration"]) == ("true", "", "60.00")

        run(work())

    def test_json_is_an_object_per_line_with_exact_amounts(self, database_url: str, run: Run, tmp_path: Path) -> None:
        async def work() -> None:
            async with billing(database_url, tmp_path) as scene:
                exporter = scene.exporter("json")
                await exporter.prepare(scene.connection)
                await scene.post({"answered_at": datetime.now(UTC).timestamp()}, {"a_user_agent": "a\nb"})
                path = await exporter.step(scene.connection)
                assert path is not None
                first, second = (orjson.loads(line) for line in path.read_bytes().splitlines())
                assert [(one["level"], one["code"], one["gross"]) for one in first["charges"]] == [
                    (0, "CUST0001", "0.1428"),
                    (1, "RESL0001", "0.11"),
                    (-1, "CARR0001", "0.10"),
                ]
                assert Decimal(first["duration"]) == 60
                assert (second["charges"], second["a_user_agent"]) == ([], "a\nb")

        run(work())

    def test_file_is_for_owner_and_group_only(self, database_url: str, run: Run, tmp_path: Path) -> None:
        async def work() -> None:
            async with billing(database_url, tmp_path) as scene:
                exporter = scene.exporter()
                await exporter.prepare(scene.connection)
                await scene.post({})
                path = await exporter.step(scene.connection)
                assert path is not None
                assert path.stat().st_mode & 0o007 == 0

        run(work())


class TestCrash:
    @pytest.mark.parametrize("place", ["_write", "_publish", "fsync"])
    def test_record_is_in_one_file_when_the_process_ended_before(
        self, database_url: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
    ) -> None:
        def crash(*_: object) -> None:
            raise Crash

        async def work() -> None:
            async with billing(database_url, tmp_path) as scene:
                exporter = scene.exporter()
                await exporter.prepare(scene.connection)
                await scene.post({}, {})
                with monkeypatch.context() as patch:
                    patch.setattr(os if place == "fsync" else exporter, place, crash)
                    with pytest.raises(Crash):
                        await exporter.step(scene.connection)
                assert [name for name in scene.names() if not name.endswith(".partial")] == []
                await scene.post({})
                again = scene.exporter("json")  # the decision keeps its format
                await again.prepare(scene.connection)
                assert scene.calls() == ["call-1", "call-2"]
                assert len(scene.names()) == 1
                await scene.age()
                final = scene.exporter()
                await final.step(scene.connection)
                assert scene.calls() == ["call-1", "call-2", "call-3"]

        run(work())

    def test_file_that_was_taken_away_does_not_come_back(self, database_url: str, run: Run, tmp_path: Path) -> None:
        async def work() -> None:
            async with billing(database_url, tmp_path) as scene:
                exporter = scene.exporter()
                await exporter.prepare(scene.connection)
                await scene.post({})
                path = await exporter.step(scene.connection)
                assert path is not None
                path.unlink()
                await scene.exporter().prepare(scene.connection)
                await scene.age()
                assert await scene.exporter().step(scene.connection) is None
                assert scene.names() == []

        run(work())

    def test_other_files_of_the_directory_are_left_alone(self, database_url: str, run: Run, tmp_path: Path) -> None:
        async def work() -> None:
            async with billing(database_url, tmp_path) as scene:
                scene.files.mkdir()
                (scene.files / "mine.partial").write_text("x")
                await scene.exporter().prepare(scene.connection)
                assert scene.names() == ["mine.partial"]

        run(work())


class TestOrder:
    def test_record_that_is_posted_while_a_file_is_decided_is_in_this_file_or_the_next(
        self, database_url: str, run: Run, tmp_path: Path
    ) -> None:
        """A posting that began first and commits last has the smaller number: the decision waits for it."""

        async def work() -> None:
            async with billing(database_url, tmp_path) as scene:
                exporter = scene.exporter()
                await exporter.prepare(scene.connection)
                await scene.post({}, {})
                poster = await asyncpg.connect(database_url)
                transaction = poster.transaction()
                await transaction.start()
                await poster.execute("SELECT pg_advisory_xact_lock_shared($1)", POSTING_LOCK)
                number = await poster.fetchval("SELECT nextval('cdr_posted_id')")

                async with asyncio.TaskGroup() as group:
                    step = group.create_task(exporter.step(scene.connection))
                    waiting = await asyncpg.connect(database_url)
                    while not await waiting.fetchval("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"):
                        assert not step.done()
                    await poster.execute("UPDATE cdr SET posted_id = $1 WHERE a_call_id = 'call-1'", number)
                    await transaction.commit()
                await waiting.close()
                await poster.close()
                assert scene.calls() == ["call-2", "call-1"]

        run(work())

    def test_two_nodes_share_the_records(self, database_url: str, run: Run, tmp_path: Path) -> None:
        async def work() -> None:
            async with billing(database_url, tmp_path) as scene:
                exporters = [Exporter(scene.files, "csv", 10**9, node, most_records=3) for node in ("node1", "node2")]
                for exporter in exporters:
                    await exporter.prepare(scene.connection)
                await scene.post(*({} for _ in range(10)))
                connections = [await asyncpg.connect(database_url) for _ in exporters]

                for _ in range(4):
                    await asyncio.gather(
                        *(
                            exporter.step(connection)
                            for exporter, connection in zip(exporters, connections, strict=True)
                        )
                    )
                for connection in connections:
                    await connection.close()
                assert sorted(scene.calls()) == sorted(f"call-{number}" for number in range(1, 11))

        run(work())
