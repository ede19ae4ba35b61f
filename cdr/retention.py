"""Retention: months that are too old are dropped, one partition of each table that is kept by months.

What was booked stays: the ledger is never shortened. A month with records that outside billing has not been given yet
is kept until it has (`cdr.export`).
"""

import re
from datetime import UTC, date, datetime
from typing import Final

import asyncpg
import structlog

log = structlog.get_logger()

_LOCK: Final = 5_060_117_003
"""Advisory lock, so that the writers of two machines do not drop the same month."""

PARENTS: Final = ("cdr", "cdr_charge", "call_trace", "traffic", "traffic_money")
"""Records, what belongs to them, and what they come to."""

_NAME: Final = re.compile(rf"({'|'.join(PARENTS)})_(\d{{4}})_(\d{{2}})")


def first_kept(now: datetime, months: int) -> date:
    """First day of the oldest month that is kept: `months` whole ones besides the current, in UTC."""
    today = now.astimezone(UTC)
    # Years of 12 months, counted from 0.
    year, month = divmod(today.year * 12 + today.month - 1 - months, 12)
    return date(year, month + 1, 1) if year > 0 else date.min


def month_of(partition: str) -> date | None:
    """The month of a partition; None for a table of another name."""
    match = _NAME.fullmatch(partition)
    return date(int(match[2]), int(match[3]), 1) if match else None


async def drop_old(
    connection: asyncpg.Connection, now: datetime, months: int, exported_up_to: int | None = None
) -> list[date]:
    """Drop the months before those that are kept, the oldest first.

    Args:
        connection: Not in a transaction.
        now: Aware.
        months: Whole months that are kept besides the current one.
        exported_up_to: Up to which posting outside billing has its files; None: nobody wants any.

    Returns:
        The months that were dropped. One that is in use, or not exported yet, is left for the next time.
    """
    kept = first_kept(now, months)
    dropped = []
    for month in await _months(connection):
        if month >= kept:
            break
        try:
            if not await _drop(connection, month, exported_up_to):
                break
        except asyncpg.LockNotAvailableError:
            log.warning("old records are in use, they are dropped later", month=f"{month:%Y-%m}")
            break
        log.info("old records dropped", month=f"{month:%Y-%m}")
        dropped.append(month)
    return dropped


async def _months(connection: asyncpg.Connection) -> list[date]:
    rows = await connection.fetch(
        """
        SELECT partition.relname AS name
        FROM pg_inherits JOIN pg_class AS partition ON partition.oid = inhrelid
        WHERE inhparent = ANY ($1::text[]::regclass[])
        """,
        PARENTS,
    )
    return sorted({month for row in rows if (month := month_of(row["name"])) is not None})


async def _drop(connection: asyncpg.Connection, month: date, exported_up_to: int | None) -> bool:
    async with connection.transaction():
        # Everybody who reads records waits behind us meanwhile, so we do not wait long for those before us.
        await connection.execute("SET LOCAL lock_timeout = '2s'")
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
        for parent in PARENTS:
            name = f"{parent}_{month:%Y_%m}"
            if not await _is_partition(connection, parent, name):
                continue
            if parent == "cdr" and exported_up_to is not None:
                # The name is made of digits of ours.
                waiting = f"SELECT EXISTS (SELECT FROM {name} WHERE posted_id > $1)"  # noqa: S608
                if await connection.fetchval(waiting, exported_up_to):
                    log.warning("old records are kept until they are exported", month=f"{month:%Y-%m}")
                    return False
            await connection.execute(f"ALTER TABLE {parent} DETACH PARTITION {name}")
            await connection.execute(f"DROP TABLE {name}")
    return True


async def _is_partition(connection: asyncpg.Connection, parent: str, name: str) -> bool:
    found: bool = await connection.fetchval(
        "SELECT EXISTS (SELECT FROM pg_inherits WHERE inhparent = to_regclass($1) AND inhrelid = to_regclass($2))",
        parent,
        name,
    )
    return found
