"""Undo of the last import of a ratecard: its rates are again what they were, to the digit and under their old ids."""

from dataclasses import dataclass
from datetime import datetime

from rating import deck_sql as sql
from rating.deck_import import PATIENCE, find_ratecard
from rating.errors import NothingToUndo
from rating.ledger import Connection


@dataclass(frozen=True, slots=True)
class Undone:
    """The import that was undone."""

    import_id: int
    file_name: str
    by_whom: str
    created_at: datetime
    new: int
    """Rates that it had made and that are gone again."""
    changed: int
    removed: int
    """Rates that it had removed and that are back."""


async def undo_import(connection: Connection, ratecard: str, import_id: int | None = None) -> Undone:
    """Undo the last import of a ratecard.

    Args:
        connection: Not in a transaction that has changed rates.
        ratecard: Its name.
        import_id: The import that is meant; None: whichever is the last.

    Raises:
        UnknownRatecard: no ratecard has this name.
        NothingToUndo: nothing was imported, it was undone already, or a rate of the ratecard was changed since.
    """
    async with connection.transaction():
        ratecard_id = await find_ratecard(connection, ratecard)
        await connection.execute("SELECT id FROM ratecard WHERE id = $1 FOR UPDATE", ratecard_id)
        last = await connection.fetchrow(sql.LAST_IMPORT, ratecard_id)
        if last is None:
            raise NothingToUndo(f"nothing was imported into {ratecard}")
        if import_id is not None and last["id"] != import_id:
            raise NothingToUndo(f"another file was imported into {ratecard} since, {last['file_name']}")
        if last["undone_at"] is not None:
            raise NothingToUndo(f"the last import into {ratecard}, {last['file_name']}, was undone before")
        if last["is_overtaken"]:
            raise NothingToUndo(f"rates of {ratecard} were changed after the import of {last['file_name']}")
        await connection.execute(sql.DELETE_NEW, last["id"], timeout=PATIENCE)
        if last["rows_changed"] or last["rows_removed"]:
            await connection.execute(sql.RESTORE_CHANGED, last["id"], timeout=PATIENCE)
        if last["rows_removed"]:
            await connection.execute(sql.RESTORE_REMOVED, last["id"], ratecard_id, timeout=PATIENCE)
        await connection.execute("UPDATE rate_import SET undone_at = now() WHERE id = $1", last["id"])
        await connection.execute(sql.FORGET, last["id"], timeout=PATIENCE)
    return Undone(
        last["id"],
        last["file_name"],
        last["by_whom"],
        last["created_at"],
        last["rows_new"],
        last["rows_changed"],
        last["rows_removed"],
    )
