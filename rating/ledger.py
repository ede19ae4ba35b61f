"""The ledger: what changes an account's balance, as entries that are never changed themselves.

An account's balance is the sum of its entries, but for those of the kind `credit`, which add up to its granted credit.
Every function here writes entry and sum in one transaction, and takes the locks of balances in ascending order of
account, so that two writers wait for each other and never deadlock.

Left out: what calls in progress hold (that is true only now and lies in the live store) and the price of a call.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final
from uuid import UUID

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from rating.errors import InvalidAmount, InvalidEntryKind, UnknownAccount, UnknownEntry

Connection = asyncpg.Connection | PoolConnectionProxy
"""A connection of its own or one lent by a pool."""

DECIMALS: Final = 10
"""Decimals of an amount in the ledger."""

INTEGER_DIGITS: Final = 20
"""Digits before the point."""

PAYMENT_KINDS: Final = ("payment", "refund", "credit", "charge", "correction")
"""Kinds of entry that `post_payment` books by hand."""

_SIGNS: Final = {"payment": 1, "refund": -1, "charge": -1}
"""What they are in the account's favour: money paid in, paid back out, or asked for. Others may be either."""


@dataclass(frozen=True, slots=True)
class Posting:
    """A ledger entry as it was booked."""

    entry_id: int
    """Its number in the ledger."""
    account_code: str
    """Whose it is."""
    kind: str
    """`payment`, `refund`, `credit` or `correction`."""
    amount: Decimal
    """As booked: positive is in the account's favour."""
    currency: str
    """The account's currency."""
    balance: Decimal
    """The account's balance now, after this entry and any later ones."""
    created_at: datetime
    """When it was booked."""
    repeated: bool
    """True when the reference had been booked before and nothing was changed."""


@dataclass(frozen=True, slots=True)
class Origin:
    """How an entry that is booked by hand came to be."""

    method: str = ""
    """How money came or went: `cash`, `bank_transfer`, `card` or `cheque`."""
    by_whom: str = ""
    """The login that booked it."""
    request_key: UUID | None = None
    """Of the form that it was typed into."""
    reverts_id: int | None = None
    """The entry that it takes back."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What calls cost one account."""

    account_id: int
    """Who pays."""
    amount: Decimal
    """Positive: the account owes it; zero for calls that were free."""
    currency: str
    """Of the amount."""
    calls: int
    """How many call charges the amount adds up."""


@dataclass(frozen=True, slots=True)
class Correction:
    """What an account was charged too much or too little."""

    account_id: int
    """Whose balance changes."""
    amount: Decimal
    """Positive: in the account's favour; negative: it owes more. Not zero."""
    currency: str
    """Of the amount."""
    note: str = ""
    """Why, for people."""


@dataclass(frozen=True, slots=True)
class BalanceOff:
    """An account whose balance, or granted credit, is not the sum of its entries."""

    account_id: int
    code: str
    balance: Decimal
    """What account_balance says, granted credit included."""
    entries: Decimal
    """What the entries add up to."""


def check_amount(amount: Decimal) -> None:
    """Refuse what the ledger could not keep digit by digit.

    Raises:
        InvalidAmount: not a number, not above zero, or with more digits than numeric(30, 10) has.
    """
    if not amount.is_finite() or amount <= 0:
        raise InvalidAmount(f"amount {amount} is not a number above zero")
    exponent = int(amount.as_tuple().exponent)
    if -exponent > DECIMALS or amount.adjusted() >= INTEGER_DIGITS:
        raise InvalidAmount(f"amount {amount} has more than {DECIMALS} decimals or {INTEGER_DIGITS} digits before them")


async def post_payment(
    connection: Connection,
    account_code: str,
    amount: Decimal,
    *,
    kind: str = "payment",
    reference: str | None,
    note: str = "",
    reduces: bool = False,
    expires_at: datetime | None = None,
    origin: Origin | None = None,
) -> Posting:
    """Book money by hand, once per reference.

    Args:
        connection: In a transaction or not; the entry and the balance are written together either way.
        account_code: Whose balance grows.
        amount: Above zero, at most 10 decimals, in the account's currency; its direction follows from the kind.
        kind: One of PAYMENT_KINDS.
        reference: The payer's, such as a bank's number of the transfer. The second time that the same account, kind and
            reference come, nothing is booked and the first entry is returned. None is never the same.
        note: Free text for people.
        reduces: Whether credit or a correction goes against the account; a payment never does, a refund and a charge
            always do.
        expires_at: When granted credit is taken back by itself; None: never.
        origin: How the money came, and from which form; sent twice, a form is booked once.

    Raises:
        InvalidAmount: see `check_amount`; or an expiry of something that is not granted credit; or more credit than the
            account may be granted, or less than none.
        InvalidEntryKind: not one of PAYMENT_KINDS, or a payment of a trial account.
        UnknownAccount: no account has this code.
    """
    check_amount(amount)
    if kind not in PAYMENT_KINDS:
        raise InvalidEntryKind(f"{kind} is not booked by hand; one of {', '.join(PAYMENT_KINDS)} is")
    if expires_at is not None and (kind != "credit" or reduces):
        raise InvalidAmount("only credit that is granted expires")
    signed = amount * _SIGNS.get(kind, -1 if reduces else 1)
    async with connection.transaction():
        # The lock of the balance puts two bookings of the same reference in order, so the second finds the first.
        account = await connection.fetchrow(
            """
            SELECT account.id, account.code, account.currency, account.customer_type, account.max_credit_limit,
                   account.credit_limit, account_balance.balance, account_balance.granted
            FROM account JOIN account_balance ON account_balance.account_id = account.id
            WHERE account.code = $1
            FOR UPDATE OF account_balance
            """,
            account_code,
        )
        if account is None:
            raise UnknownAccount(f"no account {account_code}")
        origin = origin or Origin()
        first = await _entry_by_request(connection, account["id"], origin.request_key)
        first = first or await _entry_by_reference(connection, account["id"], kind, reference)
        if first is not None:
            return _posting(account, first, account["balance"], repeated=True)
        _refuse_unfit(account, kind, signed)
        return await _book(
            connection, account, kind, signed, reference=reference, note=note, expires_at=expires_at, origin=origin
        )


def _plain(amount: Decimal) -> str:
    """Write an amount for a message, without needless zeros."""
    return f"{amount.normalize():f}"


def _refuse_unfit(account: asyncpg.Record, kind: str, amount: Decimal) -> None:
    if kind == "payment" and account["customer_type"] == "demo":
        raise InvalidEntryKind(f"DEMO account {account['code']} cannot pay in: it spends its test credit")
    if kind != "credit":
        return
    most = account["max_credit_limit"]
    granted = account["granted"] + amount
    if amount > 0 and most is not None and granted + account["credit_limit"] > most:
        room = max(most - account["granted"] - account["credit_limit"], Decimal(0))
        raise InvalidAmount(
            f"the maximum credit of {account['code']} is {_plain(most)}: {_plain(room)} more may be granted"
        )
    if amount < 0 and granted < 0:
        raise InvalidAmount(f"only {_plain(account['granted'])} of credit is granted to {account['code']}")


async def revert_entry(connection: Connection, account_code: str, entry_id: int, *, note: str, by_whom: str) -> Posting:
    """Take back an entry that was booked by hand and by mistake, by a second one of the opposite amount.

    Done twice, it is booked once. Temporary credit that was taken back so does not expire any more.

    Raises:
        InvalidAmount: credit that has been reduced meanwhile.
        UnknownEntry: the account has no such entry that may be taken back: usage, corrections and reversals may not.
        UnknownAccount: no account has this code.
    """
    async with connection.transaction():
        account = await connection.fetchrow(
            """
            SELECT account.id, account.code, account.currency, account_balance.balance, account_balance.granted
            FROM account JOIN account_balance ON account_balance.account_id = account.id
            WHERE account.code = $1
            FOR UPDATE OF account_balance
            """,
            account_code,
        )
        if account is None:
            raise UnknownAccount(f"no account {account_code}")
        entry = await connection.fetchrow(
            """
            SELECT kind, amount, method FROM ledger_entry
            WHERE id = $2 AND account_id = $1 AND reverts_id IS NULL
              AND kind IN ('payment', 'refund', 'credit', 'charge')
            """,
            account["id"],
            entry_id,
        )
        if entry is None:
            raise UnknownEntry(f"account {account_code} has no entry {entry_id} that can be taken back")
        first = await connection.fetchrow(
            "SELECT id, kind, amount, currency, created_at FROM ledger_entry WHERE reverts_id = $1", entry_id
        )
        if first is not None:
            return _posting(account, first, account["balance"], repeated=True)
        if entry["kind"] == "credit" and account["granted"] < entry["amount"]:
            raise InvalidAmount(f"only {_plain(account['granted'])} of credit is granted to {account_code}")
        return await _book(
            connection,
            account,
            entry["kind"],
            -entry["amount"],
            reference=None,
            note=note,
            expires_at=None,
            origin=Origin(entry["method"], by_whom, reverts_id=entry_id),
        )


async def _entry_by_request(connection: Connection, account_id: int, request_key: UUID | None) -> asyncpg.Record | None:
    if request_key is None:
        return None
    return await connection.fetchrow(
        """
        SELECT id, kind, amount, currency, created_at FROM ledger_entry WHERE request_key = $1 AND account_id = $2
        """,
        request_key,
        account_id,
    )


async def _entry_by_reference(
    connection: Connection, account_id: int, kind: str, reference: str | None
) -> asyncpg.Record | None:
    if reference is None:
        return None
    return await connection.fetchrow(
        """
        SELECT id, kind, amount, currency, created_at
        FROM ledger_entry WHERE account_id = $1 AND kind = $2 AND reference = $3
        """,
        account_id,
        kind,
        reference,
    )


async def _book(
    connection: Connection,
    account: asyncpg.Record,
    kind: str,
    amount: Decimal,
    *,
    reference: str | None,
    note: str,
    expires_at: datetime | None,
    origin: Origin,
) -> Posting:
    entry = await connection.fetchrow(
        """
        INSERT INTO ledger_entry (account_id, kind, amount, currency, reference, note, expires_at, method, by_whom,
                                  request_key, reverts_id)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
        RETURNING id, kind, amount, currency, created_at
        """,
        account["id"],
        kind,
        amount,
        account["currency"],
        reference,
        note,
        expires_at,
        origin.method,
        origin.by_whom,
        origin.request_key,
        origin.reverts_id,
    )
    assert entry is not None
    # Granted credit may be spent, but is not the account's own: it stands beside the balance.
    balance: Decimal = await connection.fetchval(
        """
        UPDATE account_balance
        SET balance = balance + CASE $3 WHEN 'credit' THEN 0 ELSE $2::numeric END,
            granted = granted + CASE $3 WHEN 'credit' THEN $2::numeric ELSE 0 END
        WHERE account_id = $1 RETURNING balance
        """,
        account["id"],
        amount,
        kind,
    )
    return _posting(account, entry, balance, repeated=False)


def _posting(account: asyncpg.Record, entry: asyncpg.Record, balance: Decimal, *, repeated: bool) -> Posting:
    return Posting(
        entry_id=entry["id"],
        account_code=account["code"],
        kind=entry["kind"],
        amount=entry["amount"],
        currency=entry["currency"],
        balance=balance,
        created_at=entry["created_at"],
        repeated=repeated,
    )


async def post_usage(connection: Connection, usages: Sequence[Usage]) -> None:
    """Debit what calls cost: one `usage` entry per account and currency, whatever the number of usages.

    The CDR writer calls it inside the transaction that writes the records, which is what makes a debit happen exactly
    once. A zero amount is written all the same, because its entry says how many calls were free.

    Raises:
        UnknownAccount: an id that no account has; nothing is debited.
    """
    if not usages:
        return
    async with connection.transaction():
        await _lock_balances(connection, {usage.account_id for usage in usages})
        # Added up by PostgreSQL, whose numeric keeps every digit; Python's Decimal rounds sums to 28 of them.
        await connection.execute(
            """
            WITH entry AS (
                INSERT INTO ledger_entry (account_id, kind, amount, currency, calls)
                SELECT account_id, 'usage', -sum(amount), currency, sum(calls)
                FROM unnest($1::bigint[], $2::numeric[], $3::text[], $4::integer[])
                    AS usage (account_id, amount, currency, calls)
                GROUP BY account_id, currency
                ORDER BY account_id, currency
                RETURNING account_id, amount
            )
            UPDATE account_balance SET balance = account_balance.balance + total.amount
            FROM (SELECT account_id, sum(amount) AS amount FROM entry GROUP BY account_id) AS total
            WHERE account_balance.account_id = total.account_id
            """,
            [usage.account_id for usage in usages],
            [usage.amount for usage in usages],
            [usage.currency for usage in usages],
            [usage.calls for usage in usages],
        )


async def take_back_expired_credit(connection: Connection) -> int:
    """Take back granted credit whose time has come, by an entry of its own each; returns how many that were."""
    async with connection.transaction():
        await connection.execute(
            """
            SELECT account_id FROM account_balance
            WHERE account_id IN (SELECT account_id FROM ledger_entry WHERE expires_at <= now())
            ORDER BY account_id FOR UPDATE
            """
        )
        taken: int = await connection.fetchval(
            """
            WITH entry AS (
                INSERT INTO ledger_entry (account_id, kind, amount, currency, note, reverts_id)
                SELECT account_id, 'credit', -amount, currency, 'temporary credit has expired', id
                FROM ledger_entry AS granted
                WHERE expires_at <= now()
                    AND NOT EXISTS (SELECT FROM ledger_entry AS revert WHERE revert.reverts_id = granted.id)
                ORDER BY account_id, id
                RETURNING account_id, amount
            ), booked AS (
                UPDATE account_balance SET granted = account_balance.granted + total.amount
                FROM (SELECT account_id, sum(amount) AS amount FROM entry GROUP BY account_id) AS total
                WHERE account_balance.account_id = total.account_id
            )
            SELECT count(*)::integer FROM entry
            """
        )
    return taken


async def post_corrections(connection: Connection, corrections: Sequence[Correction]) -> None:
    """Book corrections of either sign, one `correction` entry each, in ascending order of account.

    Raises:
        InvalidAmount: a zero, or more digits than the ledger has; nothing is booked.
        UnknownAccount: an id that no account has; nothing is booked.
    """
    for correction in corrections:
        check_amount(correction.amount.copy_abs())
    if not corrections:
        return
    async with connection.transaction():
        await _lock_balances(connection, {correction.account_id for correction in corrections})
        await connection.execute(
            """
            WITH entry AS (
                INSERT INTO ledger_entry (account_id, kind, amount, currency, note)
                SELECT account_id, 'correction', amount, currency, note
                FROM unnest($1::bigint[], $2::numeric[], $3::text[], $4::text[])
                    AS correction (account_id, amount, currency, note)
                ORDER BY account_id, currency
                RETURNING account_id, amount
            )
            UPDATE account_balance SET balance = account_balance.balance + total.amount
            FROM (SELECT account_id, sum(amount) AS amount FROM entry GROUP BY account_id) AS total
            WHERE account_balance.account_id = total.account_id
            """,
            [correction.account_id for correction in corrections],
            [correction.amount for correction in corrections],
            [correction.currency for correction in corrections],
            [correction.note for correction in corrections],
        )


async def _lock_balances(connection: Connection, account_ids: Collection[int]) -> None:
    locked = await connection.fetch(
        """
        SELECT account_id FROM account_balance
        WHERE account_id = ANY($1::bigint[]) ORDER BY account_id FOR UPDATE
        """,
        list(account_ids),
    )
    if len(locked) < len(account_ids):
        missing = set(account_ids) - {row["account_id"] for row in locked}
        raise UnknownAccount(f"no account has the id {', '.join(map(str, sorted(missing)))}")


async def balances_off(connection: Connection) -> list[BalanceOff]:
    """Return the accounts whose balance is not the sum of their entries, by code; empty when the books are right.

    It reads the whole ledger in one statement, so that what is booked meanwhile is seen on both sides or on neither.
    """
    rows = await connection.fetch(
        """
        SELECT account.id, account.code, account_balance.balance + account_balance.granted AS balance,
               coalesce(entry.total, 0) + coalesce(entry.granted, 0) AS entries
        FROM account_balance
        JOIN account ON account.id = account_balance.account_id
        LEFT JOIN (
            SELECT account_id, sum(amount) FILTER (WHERE kind <> 'credit') AS total,
                   sum(amount) FILTER (WHERE kind = 'credit') AS granted
            FROM ledger_entry GROUP BY account_id
        ) AS entry ON entry.account_id = account_balance.account_id
        WHERE account_balance.balance <> coalesce(entry.total, 0)
            OR account_balance.granted <> coalesce(entry.granted, 0)
        ORDER BY account.code
        """
    )
    return [BalanceOff(row["id"], row["code"], row["balance"], row["entries"]) for row in rows]
