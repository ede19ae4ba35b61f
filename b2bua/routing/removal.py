"""What stands against the deletion of carriers, gateways and routes, in sentences; none: it may be deleted."""

from collections.abc import Sequence
from typing import Final

import asyncpg

from rating.ledger import Connection

NAMED: Final = 3
"""How many of a kind a sentence names."""
LOOK: Final = "3s"
"""How long records are looked through."""


async def against_carrier(connection: Connection, carrier_id: int) -> list[str]:
    """What a carrier still has, and where it is named."""
    record = await connection.fetchrow(
        """
        SELECT status, (SELECT count(*) FROM gateway WHERE carrier_id = $1) AS gateways,
               (SELECT count(*) FROM did WHERE carrier_id = $1) AS dids,
               ARRAY(
                   SELECT DISTINCT route.name FROM route_entry JOIN route ON route.id = route_entry.route_id
                   WHERE route_entry.carrier_id = $1 ORDER BY route.name
               ) AS routes
        FROM carrier WHERE id = $1 FOR UPDATE
        """,
        carrier_id,
    )
    if record is None:
        return []
    reasons = []
    if record["status"] == "active":
        reasons.append("It is active: suspend it first")
    if record["gateways"]:
        reasons.append(f"It has {_count(record['gateways'], 'gateway')}: delete them first")
    if record["routes"]:
        reasons.append(f"It is in {_named('route', record['routes'])}: remove its entries there")
    if record["dids"]:
        reasons.append(f"It brings {_count(record['dids'], 'DID number')}: let another carrier bring them")
    return reasons or await _against_records(
        connection, "SELECT EXISTS (SELECT FROM cdr WHERE carrier_id = $1)", carrier_id
    )


async def against_gateway(connection: Connection, gateway_id: int) -> list[str]:
    """What names a gateway."""
    status: str | None = await connection.fetchval("SELECT status FROM gateway WHERE id = $1 FOR UPDATE", gateway_id)
    if status == "active":
        return ["It is active: suspend it first"]
    return await _against_records(connection, "SELECT EXISTS (SELECT FROM cdr WHERE gateway_id = $1)", gateway_id)


async def against_route(connection: Connection, route_id: int) -> list[str]:
    """Who calls over a route."""
    record = await connection.fetchrow(
        """
        SELECT ARRAY(
                   SELECT account.code FROM dialing_route JOIN account ON account.id = dialing_route.account_id
                   WHERE dialing_route.route_id = $1 GROUP BY account.code ORDER BY account.code
               ) AS accounts,
               ARRAY(SELECT pattern FROM emergency_number WHERE route_id = $1 ORDER BY pattern) AS emergency
        FROM route WHERE id = $1 FOR UPDATE
        """,
        route_id,
    )
    if record is None:
        return []
    reasons = []
    if record["accounts"]:
        reasons.append(f"It is dialled over by {_named('account', record['accounts'])}: change their dialing routes")
    if record["emergency"]:
        reasons.append(f"It takes {_named('emergency number', record['emergency'])}: lead them over another route")
    return reasons


async def _against_records(connection: Connection, query: str, key: int) -> list[str]:
    """Records that would name nobody; there is no index for this, so that posting is spared one."""
    try:
        async with connection.transaction():
            await connection.execute(f"SET LOCAL statement_timeout = '{LOOK}'")
            is_named: bool = await connection.fetchval(query, key)
    except asyncpg.QueryCanceledError:
        return ["Whether call records name it could not be found out in time: leave it suspended"]
    return ["Call records name it: leave it suspended"] if is_named else []


def _count(number: int, what: str) -> str:
    return f"1 {what}" if number == 1 else f"{number} {what}s"


def _named(what: str, names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{what}{'' if len(names) == 1 else 's'} {', '.join(names[:NAMED])}{more}"
