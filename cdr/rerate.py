"""Pricing answered calls again: the rates that the tariffs of their levels have today for the moment the call came.

`reprice` is pure. `rerate` takes every charge of a span through it, and either only reports the differences or writes
them too: charges, the record's gross, and one `correction` in the ledger per account, in one transaction. A charge that
is right already is left alone, so a second run finds nothing to do. A call that has no rate today keeps its price.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Context, Decimal
from typing import Any, Final
from uuid import UUID

from cdr.errors import RecordError
from rating.charge import Billing, Charge, charge
from rating.ledger import Connection, Correction, post_corrections
from rating.tariff import Rate, Tariff

_LOCK: Final = 5_060_117_004
"""Advisory lock: two runs at once would both book the same difference."""

_CHUNK: Final = 1000
_EXACT: Final = Context(prec=60)
_CARRIER_BILLING: Final = Billing(decimals=10)
_ZERO: Final = Decimal(0)

_CHARGES: Final = """
    SELECT charge.call_id, charge.attempt, charge.received_at, charge.level, charge.account_id, charge.carrier_id,
        charge.tariff_id, charge.rate_id, charge.billed_seconds, charge.net, charge.tax, charge.gross, charge.currency,
        cdr.duration, cdr.destination_received AS number
    FROM cdr_charge AS charge JOIN cdr USING (call_id, attempt, received_at)
    WHERE charge.received_at >= $1 AND cdr.received_at >= $1
        AND ($2::timestamptz IS NULL OR charge.received_at < $2) AND ($2::timestamptz IS NULL OR cdr.received_at < $2)
        AND ($3::bigint[] IS NULL OR cdr.account_id = ANY($3))
"""


class RerateRunning(RecordError):
    """Calls are being priced again by somebody else."""


@dataclass(frozen=True, slots=True)
class Charged:
    """What one level was charged for a call."""

    call_id: UUID
    attempt: int
    received_at: datetime
    level: int
    account_id: int | None
    carrier_id: int | None
    tariff_id: int
    rate_id: int
    billed_seconds: int
    net: Decimal
    tax: Decimal
    gross: Decimal
    currency: str
    duration: Decimal
    """From answer to end, in seconds, to the millisecond."""
    number: str
    """What the caller dialled."""


@dataclass(frozen=True, slots=True)
class Billings:
    """Rounding and taxes of everybody who is charged."""

    accounts: Mapping[int, Billing]
    """By account id."""
    carriers: Mapping[int, Billing] = field(default_factory=dict)
    """By carrier id; what one that is missing asks is kept to the last digit."""

    def of(self, charged: Charged) -> Billing | None:
        """Who pays this charge; None: an account that is unknown."""
        if charged.account_id is not None:
            return self.accounts.get(charged.account_id)
        return self.carriers.get(charged.carrier_id or 0, _CARRIER_BILLING)


@dataclass(slots=True)
class Line:
    """What the calls of one level of an account, or of a carrier, cost so far and would cost now."""

    calls: int = 0
    changed: int = 0
    """How many of them cost something else now."""
    unpriced: int = 0
    """How many keep their price because their tariff has no rate for them today."""
    old: Decimal = _ZERO
    new: Decimal = _ZERO

    @property
    def difference(self) -> Decimal:
        """Positive: the calls cost more now."""
        return _EXACT.subtract(self.new, self.old)


Payer = tuple[int | None, int | None, int, str]
"""Account id, carrier id, level, currency."""


@dataclass(slots=True)
class Report:
    """All differences of a run."""

    lines: dict[Payer, Line] = field(default_factory=dict)
    corrections: list[Correction] = field(default_factory=list)
    """One per account whose calls cost something else now, in ascending order; booked unless it was a dry run."""

    @property
    def changed(self) -> int:
        """How many charges differ."""
        return sum(line.changed for line in self.lines.values())


def reprice(charged: Charged, tariffs: Mapping[int, Tariff], billings: Billings) -> tuple[Rate, Charge] | None:
    """Price a charge with what its tariff has today for the moment of the call.

    Args:
        charged: The charge as it was written.
        tariffs: By id.
        billings: Rounding and taxes of who pays.

    Returns:
        The rate and the price; None where there is no rate, it is blocked, or the currency is another one today.
    """
    tariff = tariffs.get(charged.tariff_id)
    billing = billings.of(charged)
    if tariff is None or billing is None or tariff.currency != charged.currency:
        return None
    rate = tariff.find(charged.number.removeprefix("+"), charged.received_at)
    if rate is None or rate.status != "active":
        return None
    return rate, charge(math.ceil(charged.duration), rate, billing)


async def rerate(
    connection: Connection,
    tariffs: Mapping[int, Tariff],
    billings: Billings,
    *,
    since: datetime,
    until: datetime | None = None,
    account_ids: Sequence[int] | None = None,
    is_dry_run: bool = False,
) -> Report:
    """Price the answered calls of a span again.

    Args:
        connection: Not in a transaction.
        tariffs: Of today, by id.
        billings: Of today.
        since: First moment of arrival.
        until: First moment that does not belong to the span; None: up to now.
        account_ids: Whose calls; None: everybody's. All levels of a call are priced.
        is_dry_run: Only report.

    Raises:
        RerateRunning: another run has not ended yet.
        asyncpg.SerializationError: another run ended in the moment in which this one began.
    """
    report = Report()
    async with connection.transaction(isolation="repeatable_read", readonly=is_dry_run):
        if not is_dry_run and not await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", _LOCK):
            raise RerateRunning("calls are being priced again already; wait for the other run")
        cursor = await connection.cursor(_CHARGES, since, until, account_ids)
        while rows := await cursor.fetch(_CHUNK):
            changes = _compare([Charged(*row) for row in rows], tariffs, billings, report)
            if changes and not is_dry_run:
                await _write(connection, changes)
        report.corrections = _corrections(report, since, until)
        if not is_dry_run:
            await post_corrections(connection, report.corrections)
    return report


Change = tuple[Charged, Rate, Charge]


def _compare(
    charges: Sequence[Charged], tariffs: Mapping[int, Tariff], billings: Billings, report: Report
) -> list[Change]:
    changes = []
    for charged in charges:
        payer = (charged.account_id, charged.carrier_id, charged.level, charged.currency)
        line = report.lines.setdefault(payer, Line())
        line.calls += 1
        line.old = _EXACT.add(line.old, charged.gross)
        priced = reprice(charged, tariffs, billings)
        if priced is None:
            line.unpriced += 1
            line.new = _EXACT.add(line.new, charged.gross)
            continue
        rate, price = priced
        line.new = _EXACT.add(line.new, price.gross)
        before = (charged.rate_id, charged.billed_seconds, charged.net, charged.tax, charged.gross)
        if before != (rate.id, price.billed_seconds, price.net, price.tax, price.gross):
            line.changed += 1
            changes.append((charged, rate, price))
    return changes


async def _write(connection: Connection, changes: Sequence[Change]) -> None:
    keys = [[each.call_id, each.attempt, each.received_at, each.level] for each, _, _ in changes]
    values = [[rate.id, price.billed_seconds, price.net, price.tax, price.gross] for _, rate, price in changes]
    columns: list[list[Any]] = [list(column) for column in zip(*keys, strict=True)]
    columns += [list(column) for column in zip(*values, strict=True)]
    await connection.execute(
        """
        UPDATE cdr_charge AS charge
        SET rate_id = new.rate_id, billed_seconds = new.billed_seconds, net = new.net, tax = new.tax, gross = new.gross
        FROM unnest($1::uuid[], $2::smallint[], $3::timestamptz[], $4::smallint[], $5::bigint[], $6::integer[],
                $7::numeric[], $8::numeric[], $9::numeric[])
            AS new (call_id, attempt, received_at, level, rate_id, billed_seconds, net, tax, gross)
        WHERE charge.call_id = new.call_id AND charge.attempt = new.attempt AND charge.level = new.level
            AND charge.received_at = new.received_at
        """,
        *columns,
    )
    # What the seller of a level earns follows from its net and that of the level above, at the top the carrier's.
    await connection.execute(
        """
        UPDATE cdr_charge AS charge
        SET profit = CASE WHEN charge.currency = above.currency THEN charge.net - above.net END
        FROM cdr_charge AS above
        WHERE charge.call_id = ANY($1::uuid[]) AND charge.level >= 0
            AND above.call_id = charge.call_id AND above.attempt = charge.attempt
            AND above.received_at = charge.received_at
            AND above.level = coalesce(
                (
                    SELECT min(next.level) FROM cdr_charge AS next
                    WHERE next.call_id = charge.call_id AND next.attempt = charge.attempt
                        AND next.received_at = charge.received_at AND next.level > charge.level
                ),
                -1
            )
        """,
        columns[0],
    )
    await connection.execute(
        """
        UPDATE cdr SET gross = new.gross
        FROM unnest($1::uuid[], $2::smallint[], $3::timestamptz[], $4::smallint[], $5::numeric[])
            AS new (call_id, attempt, received_at, level, gross)
        WHERE cdr.call_id = new.call_id AND cdr.attempt = new.attempt AND cdr.received_at = new.received_at
            AND new.level = 0
        """,
        *columns[:4],
        columns[8],
    )


def _corrections(report: Report, since: datetime, until: datetime | None) -> list[Correction]:
    owed: dict[tuple[int, str], Decimal] = {}
    for (account_id, _, _, currency), line in report.lines.items():
        if account_id is not None:
            key = (account_id, currency)
            owed[key] = _EXACT.add(owed.get(key, _ZERO), line.difference)
    span = f"calls since {since.astimezone(UTC):%Y-%m-%dT%H:%MZ}"
    if until is not None:
        span += f" until {until.astimezone(UTC):%Y-%m-%dT%H:%MZ}"
    return [
        Correction(account_id, difference.copy_negate(), currency, f"{span} priced again")
        for (account_id, currency), difference in sorted(owed.items())
        if difference
    ]
