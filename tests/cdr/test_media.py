"""What engines have measured comes into the row of its call, whenever it arrives and however often."""

import time
from decimal import Decimal
from pathlib import Path
from typing import Any

from cdr.journal import calls_up
from cdr.media import COLUMNS, make_line
from cdr.writer import Writer
from tests.cdr.test_writer import Database, answered, follow, opened, write
from tests.support.records import make_answered_line, make_record
from tests.support.servers import Run

CALL_ID = "00000000-0000-7000-8000-000000000001"
MEASURED = make_line(CALL_ID, 1, 0.0, (3000, 7, 1.234, 4.37, 40.125), (2990, None, None, None, None), "one-way")


async def figures(database: Database) -> list[dict[str, Any]]:
    rows = await database.connection.fetch(f"SELECT {', '.join(COLUMNS)} FROM cdr ORDER BY call_id")
    return [dict(row) for row in rows]


def test_figures_stand_in_the_row_and_unknown_ones_are_empty(run: Run, database_url: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(database_url) as database:
            now = time.time()
            line = {**MEASURED, "received_at": now}
            lines = [answered(1, received_at=now), answered(2, received_at=now), line]
            write(tmp_path / "sip-1", [*lines, {**line, "call_id": CALL_ID[:-1] + "9"}])
            await follow(Writer(tmp_path, "node1", 2), database)
            expected = [
                3000,
                7,
                Decimal("1.23"),
                Decimal("4.37"),
                Decimal("40.12"),
                2990,
                None,
                None,
                None,
                None,
                "one-way",
            ]
            assert [list(each.values()) for each in await figures(database)] == [expected, [None] * 11]
            # The same again, as after a restore.
            await database.connection.execute("DELETE FROM journal_position")
            await follow(Writer(tmp_path, "node1", 100), database)
            assert [list(each.values()) for each in await figures(database)] == [expected, [None] * 11]

    run(main())


def test_figures_that_the_database_refuses_hold_up_nothing(run: Run, database_url: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(database_url) as database:
            now = time.time()
            line = {**MEASURED, "received_at": now}
            absurd = {**line, "caller": (1 << 70, 0, 0.0, 0.0, 0.0)}
            write(tmp_path / "sip-1", [answered(1, received_at=now), line, absurd, answered(2, received_at=now)])
            await follow(Writer(tmp_path, "node1", 100), database)
            assert [each["a_packets"] for each in await figures(database)] == [3000, None]
            assert not (tmp_path / "sip-1" / "refused.journal-lines").exists()

    run(main())


def test_figures_are_no_call_that_is_up(tmp_path: Path) -> None:
    up = make_answered_line(make_record(2), [])
    write(tmp_path / "sip-1", [MEASURED, up])
    assert [line["record"]["a_call_id"] for line in calls_up(tmp_path / "sip-1")] == ["call-2"]
