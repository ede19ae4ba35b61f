"""Figures of the overview, each over the records of the last minutes in scope."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from admin.scope import Scope
from admin.stores.reading import Pool, reading

REFUSALS_SHOWN: Final = 8


@dataclass(frozen=True, slots=True)
class CodeCount:
    """How many calls ended with a code."""

    code: str
    calls: int


@dataclass(frozen=True, slots=True)
class GatewayTraffic:
    """A gateway and what it did in the last 15 minutes."""

    name: str
    carrier: str
    status: str
    attempts: int
    answered: int


@dataclass(frozen=True, slots=True)
class Minute:
    """Calls that arrived in one minute."""

    start: datetime
    calls: int
    answered: int


@dataclass(frozen=True, slots=True)
class Traffic:
    """What the records of the last hour say."""

    received_last_minute: int
    """Ended calls that arrived in the last minute; those still up are not in the records."""
    ended_last_minute: int
    calls: int
    """Ended calls that arrived in the last 15 minutes."""
    answered: int
    refusals: list[CodeCount]
    minutes: list[Minute]
    gateways: list[GatewayTraffic]


@dataclass(frozen=True, slots=True)
class OwnAccount:
    """The signed-in account's money and limit."""

    code: str
    name: str
    balance: Decimal
    currency: str
    decimals: int
    max_sessions: int | None


_SUMMARY: Final = """
    SELECT count(*) FILTER (WHERE cdr.received_at > now() - interval '1 minute') AS received_last_minute,
           count(*) FILTER (WHERE cdr.ended_at > now() - interval '1 minute') AS ended_last_minute,
           count(*) AS calls,
           count(*) FILTER (WHERE cdr.code = 'ANSWERED') AS answered
    FROM cdr
    WHERE cdr.is_last AND cdr.received_at > now() - interval '15 minutes'
      AND ($1::bigint IS NULL OR cdr.account_id = $1)
      AND ($2::bigint IS NULL OR $2 = ANY (cdr.account_chain))
"""

_REFUSALS: Final = """
    SELECT cdr.code, count(*) AS calls
    FROM cdr
    WHERE cdr.is_last AND cdr.code <> 'ANSWERED' AND cdr.received_at > now() - interval '15 minutes'
      AND ($1::bigint IS NULL OR cdr.account_id = $1)
      AND ($2::bigint IS NULL OR $2 = ANY (cdr.account_chain))
    GROUP BY cdr.code
    ORDER BY calls DESC, cdr.code
    LIMIT $3
"""

_MINUTES: Final = """
    WITH traffic AS (
        SELECT date_trunc('minute', cdr.received_at) AS start, count(*) AS calls,
               count(*) FILTER (WHERE cdr.code = 'ANSWERED') AS answered
        FROM cdr
        WHERE cdr.is_last AND cdr.received_at >= date_trunc('minute', now()) - interval '59 minutes'
          AND ($1::bigint IS NULL OR cdr.account_id = $1)
          AND ($2::bigint IS NULL OR $2 = ANY (cdr.account_chain))
        GROUP BY 1
    )
    SELECT minute.start, coalesce(traffic.calls, 0) AS calls, coalesce(traffic.answered, 0) AS answered
    FROM generate_series(date_trunc('minute', now()) - interval '59 minutes', date_trunc('minute', now()),
                         interval '1 minute') AS minute (start)
    LEFT JOIN traffic ON traffic.start = minute.start
    ORDER BY minute.start
"""

_GATEWAYS: Final = """
    WITH traffic AS (
        SELECT cdr.gateway_id, count(*) AS attempts, count(*) FILTER (WHERE cdr.code = 'ANSWERED') AS answered
        FROM cdr
        WHERE cdr.gateway_id IS NOT NULL AND cdr.received_at > now() - interval '15 minutes'
        GROUP BY cdr.gateway_id
    )
    SELECT gateway.name, carrier.name AS carrier, gateway.status,
           coalesce(traffic.attempts, 0) AS attempts, coalesce(traffic.answered, 0) AS answered
    FROM gateway
    JOIN carrier ON carrier.id = gateway.carrier_id
    LEFT JOIN traffic ON traffic.gateway_id = gateway.id
    ORDER BY coalesce(traffic.attempts, 0) DESC, gateway.name
    LIMIT 12
"""

_OWN_ACCOUNT: Final = """
    SELECT account.code, account.name, account_balance.balance, account.currency, account.decimals, account.max_sessions
    FROM account JOIN account_balance ON account_balance.account_id = account.id
    WHERE account.id = $1
"""


async def read_traffic(pool: Pool, scope: Scope, *, gateways: bool) -> Traffic:
    """Read the figures of a scope; `gateways` adds those of the carriers' side, for all accounts."""
    narrowing = (scope.exact, scope.top)
    async with reading(pool) as connection:
        summary = await connection.fetchrow(_SUMMARY, *narrowing)
        refusals = await connection.fetch(_REFUSALS, *narrowing, REFUSALS_SHOWN)
        minutes = await connection.fetch(_MINUTES, *narrowing)
        carriers = await connection.fetch(_GATEWAYS) if gateways else []
    return Traffic(
        summary["received_last_minute"],
        summary["ended_last_minute"],
        summary["calls"],
        summary["answered"],
        [CodeCount(row["code"], row["calls"]) for row in refusals],
        [Minute(row["start"], row["calls"], row["answered"]) for row in minutes],
        [
            GatewayTraffic(row["name"], row["carrier"], row["status"], row["attempts"], row["answered"])
            for row in carriers
        ],
    )


async def read_own_account(pool: Pool, account_id: int) -> OwnAccount:
    """Read the money and limit of the signed-in account."""
    row = await pool.fetchrow(_OWN_ACCOUNT, account_id)
    assert row is not None, "a login's account exists: it is a foreign key"
    return OwnAccount(row["code"], row["name"], row["balance"], row["currency"], row["decimals"], row["max_sessions"])
