"""The process of one long job: `python -m admin.job_process`.

Its order is one line of JSON on standard input. It says how far it is in lines of JSON on standard output; the last one
has its result. When standard input is closed it gives up: what it has not committed is rolled back.
"""

import asyncio
import contextlib
import csv
import os
import resource
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import asyncpg
import orjson

from b2bua.tasks import spawn
from conf.database import connect
from conf.errors import ConfigurationError
from rating.deck import map_columns
from rating.deck_cell import Adjustment, parse_moment
from rating.deck_export import export_deck
from rating.deck_file import DeckFile, open_deck
from rating.deck_import import Change, ImportOptions, ImportReport, import_deck
from rating.deck_undo import undo_import
from rating.errors import InvalidDeck, RatingError
from rating.ledger import Connection

KEPT_FAULTS: Final = 10_000
"""Lines of the file of faults."""
SHOWN: Final = 20
"""Faults and changes of each kind that the page shows."""
FIRST_ROWS: Final = 10
ERRORS: Final = "errors.csv"
MEMORY: Final = 4 * 1024**3
"""Bytes of address space: a file can be made to grow without end when it is unpacked."""
_OUTPUT: Final = 1
_INTERVAL: Final = 0.4
"""Seconds between two words on how far it is."""
_CELL: Final = 100
"""Letters of a cell that are shown."""
_COLUMNS: Final = 60
"""Columns that are shown."""


class Teller:
    """Says how far a job is, not too often."""

    def __init__(self) -> None:
        self.total: int | None = None
        self._step = ""
        self._said_at = float("-inf")

    def __call__(self, step: str, part: float) -> None:
        """Say it."""
        now = time.monotonic()
        if step != self._step or now - self._said_at >= _INTERVAL:
            self._step, self._said_at = step, now
            say({"step": step, "part": round(part, 4), "total": self.total})


def say(words: Mapping[str, Any]) -> None:
    """Write one line to whoever started the job."""
    with open(_OUTPUT, "wb", closefd=False) as output:
        output.write(orjson.dumps(dict(words), default=_plain) + b"\n")


def _plain(value: object) -> object:
    return f"{value:f}" if isinstance(value, Decimal) else str(value)


def read_options(order: Mapping[str, Any], *, dry_run: bool) -> ImportOptions:
    """What an order says of how a file is to be read."""
    factor, effective = order.get("factor", ""), order.get("effective", "")
    return ImportOptions(
        mapping=order.get("mapping", {}),
        adjustments=[Adjustment("rate_per_minute", "multiply", factor)] if factor else [],
        effective=parse_moment(effective) if effective else None,
        replace=bool(order.get("replace")),
        dry_run=dry_run,
        kept_faults=KEPT_FAULTS,
    )


def _total(deck: DeckFile, path: Path) -> int | None:
    if deck.total is not None:
        return deck.total
    with path.open("rb") as file:
        return max(sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b"")) - 1, 1)


def _look(path: Path, mapping: Mapping[str, str], teller: Teller) -> dict[str, Any]:
    """Headers, what they mean, and the first rows."""
    with open_deck(path) as deck:
        teller.total = _total(deck, path)
        rows = []
        with contextlib.suppress(InvalidDeck):
            for _, (line, cells) in zip(range(FIRST_ROWS), deck.lines, strict=False):
                rows.append([str(line), *(cell[:_CELL] for cell in cells[:_COLUMNS])])
        try:
            places = map_columns(deck.headers, mapping)
        except InvalidDeck:
            places = {}
        columns = {name: deck.headers[place] for name, place in places.items()}
    return {"headers": [head[:_CELL] for head in deck.headers[:_COLUMNS]], "columns": columns, "rows": rows}


def _told(report: ImportReport, directory: Path) -> dict[str, Any]:
    if report.fault_count:
        with (directory / ERRORS).open("w", newline="", encoding="utf-8-sig") as file:
            writer = csv.writer(file)
            writer.writerow(("Line", "Column", "Value", "Must be"))
            for fault in report.faults:
                # A cell of somebody's file must not become a formula in another program.
                value = f"'{fault.value}" if fault.value.startswith(("=", "+", "-", "@", "\t", "\r")) else fault.value
                writer.writerow((fault.line, fault.column, value, fault.expected))
    return {
        "new": report.new,
        "changed": report.changed,
        "unchanged": report.unchanged,
        "removed": report.removed,
        "ignored": [head[:_CELL] for head in report.ignored[:_COLUMNS]],
        "changes": [_change(change) for change in report.changes],
        "fault_count": report.fault_count,
        "faults": [
            {"line": fault.line, "column": fault.column, "value": fault.value[:_CELL], "expected": fault.expected}
            for fault in report.faults[:SHOWN]
        ],
        "kept": len(report.faults),
        "import_id": report.import_id,
    }


def _change(change: Change) -> dict[str, Any]:
    pairs = {name: [old, new] for name, (old, new) in change.differences.items()}
    if change.kind != "changed":
        pairs = {"rate_per_minute": pairs.get("rate_per_minute", [None, None])}
    return {
        "kind": change.kind,
        "line": change.line,
        "prefix": change.prefix or "%",
        "destination": change.destination,
        "differences": pairs,
    }


async def _ratecard(connection: Connection, order: Mapping[str, Any]) -> str:
    name: str | None = await connection.fetchval("SELECT name FROM ratecard WHERE id = $1", order["ratecard_id"])
    if name is None:
        raise InvalidDeck("the ratecard was deleted")
    return name


async def _import(connection: Connection, order: Mapping[str, Any], teller: Teller) -> dict[str, Any]:
    path, is_preview = Path(order["file"]), order["kind"] == "preview"
    result: dict[str, Any] = {}
    try:
        result = _look(path, order.get("mapping", {}), teller)
        options = read_options(order, dry_run=is_preview)
        ratecard, now = await _ratecard(connection, order), datetime.now(UTC)
        report = await import_deck(
            connection, path, ratecard, options, by_whom=order["by_whom"], now=now, progress=teller
        )
    except RatingError as error:
        return {"result": result, "fault": str(error)}
    result |= _told(report, Path(order["directory"]))
    fault = f"{report.fault_count} lines are not what they must be: nothing was imported" if report.fault_count else ""
    return {"result": result, "fault": "" if is_preview else fault}


async def _undo(connection: Connection, order: Mapping[str, Any], teller: Teller) -> dict[str, Any]:
    teller("undoing", 0.0)
    try:
        undone = await undo_import(connection, await _ratecard(connection, order), order["import_id"])
    except RatingError as error:
        return {"result": {}, "fault": str(error)}
    return {"result": {"new": undone.new, "changed": undone.changed, "removed": undone.removed}}


async def _export(connection: Connection, order: Mapping[str, Any], teller: Teller) -> dict[str, Any]:
    path = Path(order["directory"]) / f"rates.{order['format']}"
    teller.total = await connection.fetchval("SELECT count(*) FROM rate WHERE ratecard_id = $1", order["ratecard_id"])
    teller("writing", 0.0)
    try:
        count = await export_deck(
            connection, await _ratecard(connection, order), path, progress=lambda part: teller("writing", part)
        )
    except RatingError as error:
        return {"result": {}, "fault": str(error)}
    return {"result": {"rows": count, "file": path.name, "size": path.stat().st_size}}


_WORKS: Final[dict[str, Callable[[Connection, Mapping[str, Any], Teller], Awaitable[dict[str, Any]]]]] = {
    "preview": _import,
    "import": _import,
    "undo": _undo,
    "export": _export,
}


async def work(order: Mapping[str, Any]) -> dict[str, Any]:
    """Carry out an order and return the last words of its job."""
    connection = await connect(order["url"])
    try:
        return await _WORKS[order["kind"]](connection, order, Teller())
    finally:
        connection.terminate()


async def serve() -> None:
    """Read the order, carry it out, and give up when whoever gave it is gone."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    line = await reader.readline()
    if not line:
        return
    job = spawn(work(orjson.loads(line)), "job")
    gone = spawn(reader.read(), "order giver")
    await asyncio.wait((job, gone), return_when=asyncio.FIRST_COMPLETED)
    if not job.done():
        job.cancel()
    gone.cancel()
    try:
        say(await job)
    except asyncio.CancelledError:
        pass
    except MemoryError:
        say({"result": {}, "fault": "the file needs too much memory: save it as CSV, or in parts"})
    except (OSError, ConfigurationError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        say({"result": {}, "fault": f"the database or the disk: {error}"})
    transport.close()


def main() -> None:
    """Run one job, behind everything that cannot wait."""
    sys.stdout = sys.stderr  # what is logged is not what is said
    os.nice(10)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    asyncio.run(serve())


if __name__ == "__main__":
    main()
