"""Figures of everybody, or of a reseller with all below it: what the records of each day came to.

PostgreSQL keeps tables `traffic` and `traffic_money` with every record that is posted or priced again, so a month is a
few hundred rows for most of what it is split by. Of a customer the money is kept, too. Devices and prefixes are as many
as there are customers: of those, the ones with most calls are found without adding up all (`most`).
"""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final

Row = Mapping[str, Any]

CANDIDATES: Final = 2000
"""With more of them than this, adding up all is cheaper; each may have that many calls on several days."""

_SUMS: Final = """
    sum(calls)::bigint AS calls, sum(attempts)::bigint AS attempts, sum(answered)::bigint AS answered,
    sum(seconds) AS seconds, sum(delays)::bigint AS delays, sum(delayed) AS delayed
"""

# The names are ours, none comes from a request.
_TIMES: Final = f"""
    SELECT date_bin($4::interval, (day + make_interval(hours => key::integer)) AT TIME ZONE 'UTC',
                    $2::date::timestamp AT TIME ZONE 'UTC') AS start, {_SUMS}
    FROM traffic
    WHERE account_id = $1 AND kind = 'hour' AND day >= $2 AND day < $3
    GROUP BY 1
"""  # noqa: S608

_PARTS: Final = f"""
    SELECT kind, key, {_SUMS}
    FROM traffic
    WHERE account_id = $1 AND kind = ANY ('{{country,carrier,code,answer}}') AND day >= $2 AND day < $3
    GROUP BY kind, key
    ORDER BY kind, calls DESC, key
"""  # noqa: S608

# Whoever has so many calls in some days has at least their mean in one of them. So those that have that on any day hold
# all that may be among the first; what the first have is not less than what some of the busiest of each day have.
_CANDIDATES: Final = """
    WITH period AS (
        SELECT generate_series($3::date, $4::date - 1, interval '1 day')::date AS day
    ), busy AS (
        SELECT DISTINCT top.key
        FROM period CROSS JOIN LATERAL (
            SELECT traffic.key FROM traffic
            WHERE traffic.account_id = $1 AND traffic.kind = $2 AND traffic.kind IN ('prefix', 'device')
              AND traffic.day = period.day
            ORDER BY traffic.calls DESC LIMIT $5
        ) AS top
    ), sums AS (
        SELECT total.calls
        FROM busy CROSS JOIN LATERAL (
            SELECT sum(traffic.calls) AS calls FROM traffic
            WHERE traffic.account_id = $1 AND traffic.kind = $2 AND traffic.key = busy.key
              AND traffic.day >= $3 AND traffic.day < $4
        ) AS total
        ORDER BY total.calls DESC OFFSET $5 - 1 LIMIT 1
    ), least AS (
        SELECT ceil(coalesce((SELECT sums.calls FROM sums), 0) / ($4::date - $3::date))::bigint AS calls
    )
    SELECT coalesce(array_agg(DISTINCT candidate.key), '{}') AS keys, count(*) AS found
    FROM (
        SELECT found.key
        FROM least CROSS JOIN period CROSS JOIN LATERAL (
            SELECT traffic.key FROM traffic
            WHERE traffic.account_id = $1 AND traffic.kind = $2 AND traffic.kind IN ('prefix', 'device')
              AND traffic.day = period.day AND traffic.calls >= least.calls
        ) AS found
        LIMIT $6::integer + 1
    ) AS candidate
"""

_MOST_OF_SOME: Final = f"""
    SELECT total.key, total.calls, total.attempts, total.answered, total.seconds, total.delays, total.delayed
    FROM unnest($6::text[]) AS candidate (key) CROSS JOIN LATERAL (
        SELECT candidate.key, {_SUMS}
        FROM traffic
        WHERE account_id = $1 AND kind = $2 AND day >= $3 AND day < $4 AND traffic.key = candidate.key
    ) AS total
    ORDER BY total.calls DESC, total.key
    LIMIT $5
"""  # noqa: S608

_MOST_OF_ALL: Final = f"""
    SELECT key, {_SUMS}
    FROM traffic
    WHERE account_id = $1 AND kind = $2 AND day >= $3 AND day < $4
    GROUP BY key
    ORDER BY calls DESC, key
    LIMIT $5
"""  # noqa: S608

_MONEY: Final = """
    SELECT currency, sum(price) AS price, sum(prices)::bigint AS prices,
           sum(cost) FILTER (WHERE viewer_id = $4) AS cost, sum(costs) FILTER (WHERE viewer_id = $4)::bigint AS costs,
           sum(profit) FILTER (WHERE viewer_id = $4) AS profit,
           sum(profits) FILTER (WHERE viewer_id = $4)::bigint AS profits
    FROM traffic_money
    WHERE account_id = $1 AND viewer_id IN (0, $4) AND day >= $2 AND day < $3
    GROUP BY currency
    ORDER BY currency
"""


async def summarise(
    connection: Any,  # noqa: ANN401 - asyncpg's connection
    account_id: int,
    since: date,
    until: date,
    step: timedelta,
    shown: int,
) -> dict[str, Sequence[Row]]:
    """Add up a period by each thing that it is split by.

    Args:
        connection: In a transaction.
        account_id: A reseller; 0: everybody.
        since: First day.
        until: The day after the last.
        step: Length of the parts of the period.
        shown: How many devices and prefixes, those with most calls.

    Returns:
        Rows with their figures, those with most calls first, by `start`, `country`, `prefix`, `device`, `carrier_id`,
        `code` and `sip_code`; the name is that of the column, beside `sip_code` there is `cause`.
    """
    period = (account_id, since, until)
    groups: dict[str, list[Row]] = {name: [] for name in ("country", "carrier_id", "code", "sip_code")}
    groups["start"] = await connection.fetch(_TIMES, *period, step)
    for row in await connection.fetch(_PARTS, *period):
        name, columns = _columns(row["kind"], row["key"])
        groups[name].append({**row, **columns})
    for kind in ("prefix", "device"):
        groups[kind] = [{**row, kind: row["key"]} for row in await most(connection, kind, *period, shown)]
    return dict(groups)


def _columns(kind: str, key: str) -> tuple[str, dict[str, Any]]:
    if kind == "carrier":
        return "carrier_id", {"carrier_id": int(key)}
    if kind == "answer":
        code, cause = key.split(" ")
        return "sip_code", {"sip_code": int(code), "cause": int(cause)}
    return kind, {kind: key}


async def most(
    connection: Any,  # noqa: ANN401 - asyncpg's connection
    kind: str,
    account_id: int,
    since: date,
    until: date,
    shown: int,
) -> list[Row]:
    """Those of a kind that have most calls in a period, exactly."""
    asked = (account_id, kind, since, until, shown)
    days = 10 * CANDIDATES
    keys, found = await connection.fetchrow(_CANDIDATES, *asked, days)
    if found > days or len(keys) > CANDIDATES:
        rows: list[Row] = await connection.fetch(_MOST_OF_ALL, *asked)
    else:
        rows = await connection.fetch(_MOST_OF_SOME, *asked, keys)
    return rows


async def money(
    connection: Any,  # noqa: ANN401 - asyncpg's connection
    account_id: int,
    since: date,
    until: date,
    viewer_id: int,
) -> list[tuple[str, Decimal | None, Decimal | None, Decimal | None]]:
    """Currency, price, and what the viewer pays and earns; None for what there is none of.

    Args:
        connection: In a transaction.
        account_id: Whose records, with those of all below it; 0: everybody's.
        since: First day.
        until: The day after the last.
        viewer_id: A reseller, the account or above it; 0: the operator, who pays the carriers.
    """
    rows = await connection.fetch(_MONEY, account_id, since, until, viewer_id)
    return [
        (row["currency"], *(row[name] if row[f"{name}s"] else None for name in ("price", "cost", "profit")))
        for row in rows
    ]
