"""Export of a ratecard to CSV or XLSX: every rate with its dates, in a form that imports back to the same.

A file that is there already is replaced when the new one is complete, not before.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from rating.deck_cell import NAMES
from rating.deck_file import SheetWriter
from rating.deck_import import PATIENCE, find_ratecard
from rating.ledger import Connection

_ROWS: Final = 1000
"""Rates that are fetched at a time."""

_EXPORT: Final = """
SELECT CASE prefix WHEN '' THEN '%' ELSE prefix END AS prefix,
    -- A quote before what a spreadsheet would take for a formula; import takes it away.
    CASE WHEN destination ~ '^''*[=+@-]' THEN '''' || destination ELSE destination END AS destination,
    trim_scale(rate_per_minute) AS rate_per_minute, trim_scale(connection_charge) AS connection_charge, minimum,
    resolution, blocks_mode, grace, trim_scale(multiplier) AS multiplier, trim_scale(addition) AS addition,
    trim_scale(setup) AS setup, trim_scale(rental) AS rental, channels, status,
    CASE WHEN isfinite(valid_from)
        THEN to_char(valid_from AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') END AS valid_from,
    CASE WHEN isfinite(valid_until)
        THEN to_char(valid_until AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') END AS valid_until
FROM rate
WHERE ratecard_id = $1
ORDER BY rate.prefix COLLATE "C", rate.valid_from
"""


async def export_deck(
    connection: Connection,
    ratecard: str,
    path: Path,
    *,
    progress: Callable[[float], None] = lambda _part: None,
) -> int:
    """Write all rates of a ratecard and return how many they are.

    Args:
        connection: In a transaction or not.
        ratecard: Its name.
        path: XLSX where its name ends so, else CSV.
        progress: Told how much is done, between 0 and 1.

    Raises:
        UnknownRatecard: no ratecard has this name.
        InvalidDeck: there are more rates than a sheet has lines.
        OSError: the file cannot be written.
    """
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        ratecard_id = await find_ratecard(connection, ratecard)
        part = path.with_name(f".{path.name}.part")
        try:
            if path.suffix.lower() == ".xlsx":
                count = await _write_xlsx(connection, ratecard_id, part, progress)
            else:
                count = await _write_csv(connection, ratecard_id, part)
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
    progress(1.0)
    return count


async def _write_csv(connection: Connection, ratecard_id: int, path: Path) -> int:
    status = await connection.copy_from_query(
        _EXPORT, ratecard_id, output=path, format="csv", header=True, encoding="utf-8", timeout=PATIENCE
    )
    return int(status.removeprefix("COPY "))


async def _write_xlsx(connection: Connection, ratecard_id: int, path: Path, progress: Callable[[float], None]) -> int:
    total: int = await connection.fetchval("SELECT count(*) FROM rate WHERE ratecard_id = $1", ratecard_id)
    writer = SheetWriter(NAMES)
    try:
        count = 0
        async for row in connection.cursor(_EXPORT, ratecard_id, prefetch=_ROWS, timeout=PATIENCE):
            writer.append(tuple(row))
            count += 1
            if count % _ROWS == 0:
                progress(count / total)
        writer.save(path)
    finally:
        writer.close()
    return count
