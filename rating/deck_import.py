"""Import of a rate deck into a ratecard: staged by COPY, compared and applied by sets, in one transaction.

A file with dates (`valid_from`) names its rates by prefix and date. One without speaks of the rate of each prefix that
is in force: it changes that rate in place or, from an effective date on, ends it there and begins another. A column
that the file lacks keeps its value, or has its default where the prefix is new.

The last import of a ratecard can be undone: `rating.deck_undo`.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from rating import deck_sql as sql
from rating.deck import KEPT_FAULTS, Fault, LineReader
from rating.deck_cell import NAMES, Adjustment
from rating.deck_file import DeckFile, open_deck
from rating.errors import InvalidDeck, UnknownRatecard
from rating.ledger import Connection

PATIENCE: Final = 3600.0
"""Seconds that one statement may take; the pool's own limit is made for short ones."""

KEPT_CHANGES: Final = 20
"""Changes of each kind that are kept for showing."""

_BLOCK: Final = 500
"""Lines that are read between two looks at the rest of the world."""

Progress = Callable[[str, float], None]
"""Told what is being done, and how much of it is done, between 0 and 1."""


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """How a file is to be read and applied."""

    mapping: Mapping[str, str] = field(default_factory=dict)
    """Column -> header; see `rating.deck.map_columns`."""
    adjustments: Sequence[Adjustment] = ()
    effective: datetime | None = None
    """From when the file holds (aware); None: changes are made in place."""
    replace: bool = False
    """Whether the file is the whole ratecard, so that what it lacks is removed."""
    dry_run: bool = False
    kept_faults: int = KEPT_FAULTS
    """Of a file, for showing; all are counted."""


@dataclass(frozen=True, slots=True)
class Change:
    """What an import does to one rate."""

    kind: str
    """`new`, `changed` or `removed`."""
    line: int | None
    """In the file; None for what is removed."""
    prefix: str
    destination: str
    differences: Mapping[str, tuple[object, object]]
    """Column -> (old value, new value), of those that differ."""


@dataclass(slots=True)
class ImportReport:
    """What an import did or, of a dry run or a file with faults, would have done."""

    new: int = 0
    changed: int = 0
    unchanged: int = 0
    removed: int = 0
    faults: list[Fault] = field(default_factory=list)
    """The first of them; when there is any, nothing was compared or changed."""
    fault_count: int = 0
    changes: list[Change] = field(default_factory=list)
    """Some of each kind."""
    ignored: list[str] = field(default_factory=list)
    """Headers that mean nothing here."""
    import_id: int | None = None
    """Its row in rate_import; None: nothing was changed."""


async def import_deck(
    connection: Connection,
    path: Path,
    ratecard: str,
    options: ImportOptions,
    *,
    by_whom: str,
    now: datetime,
    progress: Progress = lambda _what, _part: None,
) -> ImportReport:
    """Import a file of rates, all of it or nothing.

    Args:
        connection: Not in a transaction.
        path: CSV or XLSX.
        ratecard: Its name.
        options: How.
        by_whom: For the record.
        now: The moment whose rates are changed where the file and the options have no dates (aware).
        progress: Told often.

    Raises:
        UnknownRatecard: no ratecard has this name.
        InvalidDeck, InvalidAdjustment: the file cannot be read, or the options do not fit it.
        OSError: the file cannot be opened.
    """
    transaction = connection.transaction()
    await transaction.start()
    try:
        ratecard_id = await find_ratecard(connection, ratecard)
        with open_deck(path) as deck:
            lines = LineReader(deck.headers, options.mapping, options.adjustments, options.kept_faults)
            dated = "valid_from" in lines.columns
            if dated and options.effective is not None:
                raise InvalidDeck("the file has dates of its own (valid_from), so that it takes no effective date")
            await _stage(connection, deck, lines, progress)
        report = ImportReport(ignored=lines.ignored, faults=lines.faults, fault_count=lines.fault_count)
        if not report.fault_count:
            await _find_doubles(connection, lines, report, dated=dated)
        if not report.fault_count:
            await _Plan(connection, ratecard_id, options, now, dated=dated).carry_out(
                report, path.name, by_whom, progress
            )
    except BaseException:
        await transaction.rollback()
        raise
    if report.import_id is None:
        await transaction.rollback()
    else:
        await transaction.commit()
    return report


async def find_ratecard(connection: Connection, name: str) -> int:
    """Return the id of a ratecard.

    Raises:
        UnknownRatecard: no ratecard has this name.
    """
    found: int | None = await connection.fetchval("SELECT id FROM ratecard WHERE name = $1", name)
    if found is None:
        raise UnknownRatecard(f"no ratecard {name}")
    return found


async def _stage(connection: Connection, deck: DeckFile, lines: LineReader, progress: Progress) -> None:
    await connection.execute(sql.MAKE_TABLES)
    await connection.copy_to_table(
        "deck_line", source=_blocks(deck, lines, progress), columns=list(lines.columns), timeout=PATIENCE
    )


async def _blocks(deck: DeckFile, lines: LineReader, progress: Progress) -> AsyncIterator[bytes]:
    block: list[str] = []
    for count, (line, cells) in enumerate(deck.lines, 1):
        text = lines.read(line, cells)
        if text is not None:
            block.append(text)
        if count % _BLOCK == 0:
            # Lines after a fault are only looked at for more of them.
            if not lines.fault_count:
                yield "".join(block).encode()
            block.clear()
            progress("reading", deck.read_part())
            await asyncio.sleep(0)
    if not lines.fault_count:
        yield "".join(block).encode()
    progress("reading", 1.0)


async def _find_doubles(connection: Connection, lines: LineReader, report: ImportReport, *, dated: bool) -> None:
    """Look for what no line shows alone: prefixes that come twice, and rates that end before they begin."""
    await connection.execute("ANALYZE deck_line", timeout=PATIENCE)
    for row in await connection.fetch(sql.DOUBLES, timeout=PATIENCE):
        what = "given once for each valid_from" if dated else "given once"
        expected = f"{what}, but line {row['first_line']} has it too"
        report.faults.append(Fault(row["line"], lines.header_of["prefix"], row["prefix"] or "%", expected))
    if "valid_until" in lines.columns:
        for row in await connection.fetch(sql.ENDED_EARLY, timeout=PATIENCE):
            header = lines.header_of.get("valid_until", "valid_until")
            report.faults.append(Fault(row["line"], header, str(row["valid_until"]), "later than valid_from"))
    report.fault_count = len(report.faults)


class _Plan:
    """What the staged lines mean for the rates of a ratecard."""

    def __init__(
        self, connection: Connection, ratecard_id: int, options: ImportOptions, now: datetime, *, dated: bool
    ) -> None:
        self._connection = connection
        self._ratecard_id = ratecard_id
        self._options = options
        self._dated = dated
        self._at = options.effective or now
        self._in_place = options.effective is None

    async def carry_out(self, report: ImportReport, file_name: str, by_whom: str, progress: Progress) -> None:
        """Compare, count, and change the rates unless it is a dry run."""
        progress("comparing", 0.0)
        # Nobody may add a rate to the ratecard meanwhile; its prices can still be read.
        await self._execute("SELECT id FROM ratecard WHERE id = $1 FOR UPDATE", self._ratecard_id)
        if self._dated:
            await self._execute(sql.PLAN_DATED, self._ratecard_id)
        else:
            await self._execute(sql.PLAN_IN_FORCE, self._ratecard_id, self._at, self._in_place, self._options.replace)
        await self._execute("ANALYZE deck_plan")
        if self._options.replace and self._dated:
            await self._execute(sql.REMOVE_DATED, self._ratecard_id)
        elif self._options.replace:
            await self._execute(sql.REMOVE_IN_FORCE, self._ratecard_id, self._at, self._in_place)
        await self._count(report)
        progress("comparing", 1.0)
        if not self._options.dry_run and report.new + report.changed + report.removed:
            report.import_id = await self._apply(report, file_name, by_whom, progress)

    async def _count(self, report: ImportReport) -> None:
        row = await self._connection.fetchrow(sql.COUNT, timeout=PATIENCE)
        assert row is not None
        report.new, report.changed, report.unchanged, report.removed = row
        for row in await self._connection.fetch(sql.SOME_CHANGES, KEPT_CHANGES, timeout=PATIENCE):
            old = {name: row[f"old_{name}"] for name in NAMES} if row["kind"] != "new" else {}
            new = {name: row[name] for name in NAMES} if row["kind"] != "removed" else {}
            report.changes.append(
                Change(
                    row["kind"],
                    row["line"],
                    row["prefix"] if new else row["old_prefix"],
                    row["destination"] if new else row["old_destination"],
                    _differences(old, new),
                )
            )

    async def _apply(self, report: ImportReport, file_name: str, by_whom: str, progress: Progress) -> int:
        import_id: int = await self._connection.fetchval(
            sql.BEGIN_IMPORT,
            self._ratecard_id,
            file_name,
            by_whom,
            self._options.effective,
            report.new,
            report.changed,
            report.removed,
        )
        steps: list[tuple[str, bool, Sequence[object]]] = [
            (sql.FORGET_OLDER, True, (self._ratecard_id, import_id)),
            (sql.KEEP_OLD, bool(report.changed or report.removed), (import_id,)),
            (sql.DELETE_REMOVED, bool(report.removed), ()),
            (sql.END_OLD, bool(report.changed or report.removed), (self._at,)),
            (sql.UPDATE_CHANGED, bool(report.changed), ()),
            (sql.INSERT_NEW, bool(report.new or report.changed), (self._ratecard_id, import_id)),
            (sql.END_IMPORT, True, (import_id,)),
        ]
        for number, (statement, is_needed, arguments) in enumerate(steps):
            progress("writing", number / len(steps))
            if is_needed:
                await self._execute(statement, *arguments)
        progress("writing", 1.0)
        return import_id

    async def _execute(self, statement: str, *arguments: object) -> None:
        await self._connection.execute(statement, *arguments, timeout=PATIENCE)


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, tuple[object, object]]:
    pairs = {name: (_shown(old.get(name)), _shown(new.get(name))) for name in NAMES[2:]}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _shown(value: object) -> object:
    if isinstance(value, datetime) and value.tzinfo is None:
        # PostgreSQL's infinities, which mean no date.
        return None
    return value.normalize() if isinstance(value, Decimal) else value
