"""What was booked for an account: by hand, newest first; and all of a period, with the balance after each entry."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from admin.paging import KeyParts, Page, PageRequest, make_page
from admin.stores.accounts import Account
from admin.stores.reading import Pool, reading

REVERSIBLE: Final = ("payment", "refund", "credit", "charge")
"""Kinds that are taken back by a second entry."""

PAYMENT_KEY: Final[KeyParts] = (int,)
STATEMENT_KEY: Final[KeyParts] = (datetime.fromisoformat, int)
CHUNK: Final = 1000
"""Entries that an export reads at a time."""


@dataclass(frozen=True, slots=True)
class Booking:
    """An entry that was booked by hand."""

    entry_id: int
    kind: str
    amount: Decimal
    method: str
    reference: str
    note: str
    by_whom: str
    created_at: datetime
    expires_at: datetime | None
    reverts_id: int | None
    """The entry that it takes back."""
    reverted_by: int | None
    """The entry that takes it back."""

    @property
    def is_reversible(self) -> bool:
        """Whether a second entry may take it back."""
        return self.kind in REVERSIBLE and self.reverts_id is None and self.reverted_by is None


@dataclass(frozen=True, slots=True)
class Line:
    """An entry of a statement."""

    entry_id: int
    kind: str
    amount: Decimal
    calls: int
    reference: str
    note: str
    created_at: datetime
    balance: Decimal
    """After it; granted credit stands beside the balance and does not change it."""

    @property
    def debit(self) -> Decimal | None:
        """What it took from the balance."""
        return -self.amount if self.amount < 0 and self.kind != "credit" else None

    @property
    def credit(self) -> Decimal | None:
        """What it added to the balance."""
        return self.amount if self.amount >= 0 and self.kind != "credit" else None


@dataclass(frozen=True, slots=True)
class Period:
    """From one moment until before another."""

    since: datetime
    until: datetime


async def list_bookings(pool: Pool, account: Account, asked: PageRequest) -> Page[Booking]:
    """A page of what was booked by hand, the newest first."""
    async with reading(pool) as connection:
        records = await connection.fetch(
            """
            SELECT entry.id, entry.kind, entry.amount, entry.method, coalesce(entry.reference, '') AS reference,
                   entry.note, entry.by_whom, entry.created_at, entry.expires_at, entry.reverts_id,
                   (SELECT revert.id FROM ledger_entry AS revert WHERE revert.reverts_id = entry.id) AS reverted_by
            FROM ledger_entry AS entry
            WHERE entry.account_id = $1 AND entry.kind <> 'usage'
              AND ($2::bigint IS NULL OR CASE WHEN $3 THEN entry.id > $2 ELSE entry.id < $2 END)
            ORDER BY CASE WHEN $3 THEN entry.id ELSE -entry.id END
            LIMIT $4
            """,
            account.account_id,
            *asked.parts(1),
            asked.backward,
            asked.size + 1,
        )
    return make_page([Booking(*record) for record in records], asked, lambda booking: (booking.entry_id,))


async def opening_balance(pool: Pool, account: Account, moment: datetime) -> Decimal:
    """What the account owned before a moment."""
    value: Decimal = await pool.fetchval(
        """
        SELECT coalesce(sum(amount), 0) FROM ledger_entry
        WHERE account_id = $1 AND created_at < $2 AND kind <> 'credit'
        """,
        account.account_id,
        moment,
    )
    return value


_STATEMENT: Final = """
    WITH line AS (
        SELECT id, kind, amount, calls, coalesce(reference, '') AS reference, note, created_at,
               $4::numeric + sum(CASE kind WHEN 'credit' THEN 0 ELSE amount END)
                   OVER (ORDER BY created_at, id) AS balance
        FROM ledger_entry
        WHERE account_id = $1 AND created_at >= $2 AND created_at < $3
    )
    SELECT id, kind, amount, calls, reference, note, created_at, balance FROM line
"""

_FORWARD: Final = (
    _STATEMENT + "WHERE $5::timestamptz IS NULL OR (created_at, id) > ($5, $6::bigint) ORDER BY created_at, id LIMIT $7"
)
_BACKWARD: Final = _STATEMENT + "WHERE (created_at, id) < ($5, $6::bigint) ORDER BY created_at DESC, id DESC LIMIT $7"


async def statement(pool: Pool, account: Account, period: Period, asked: PageRequest) -> tuple[Decimal, Page[Line]]:
    """The balance before a period, and a page of its entries in the order in which they were booked."""
    opening = await opening_balance(pool, account, period.since)
    async with reading(pool) as connection:
        records = await connection.fetch(
            _BACKWARD if asked.backward else _FORWARD,
            account.account_id,
            period.since,
            period.until,
            opening,
            *asked.parts(2),
            asked.size + 1,
        )
    lines = [Line(*record) for record in records]
    return opening, make_page(lines, asked, lambda line: (line.created_at.isoformat(), line.entry_id))


async def whole_statement(pool: Pool, account: Account, period: Period) -> AsyncIterator[Line]:
    """Every entry of a period, as of one moment."""
    opening = await opening_balance(pool, account, period.since)
    async with pool.acquire(timeout=5) as connection, connection.transaction(readonly=True):
        cursor = connection.cursor(
            _STATEMENT + "ORDER BY created_at, id",
            account.account_id,
            period.since,
            period.until,
            opening,
            prefetch=CHUNK,
        )
        async for record in cursor:
            yield Line(*record)
