"""Carriers, gateways and routes as their forms make and change them, with the tariff and carrier that they name.

Each change returns what was changed, as it was and as it is, for the audit log.
"""

from typing import Any

import orjson

from b2bua.account.errors import AlreadyThere, Refused
from b2bua.routing import store
from b2bua.routing.carrier import Carrier, NewCarrier
from b2bua.routing.gateway import Gateway, NewGateway
from b2bua.routing.route import Entry, NewRoute, Route
from rating.ledger import Connection

Difference = tuple[dict[str, Any], dict[str, Any]]
"""Old and new values of what differs."""


# Carriers


async def add_carrier(connection: Connection, form: NewCarrier) -> int:
    """Make a carrier and return its id.

    Raises:
        Refused: no such tariff, no currency, or the code is taken.
    """
    tariff_id, tariff_currency = await _tariff(connection, form.tariff)
    currency = form.currency or tariff_currency
    if not currency:
        raise Refused("currency", "Currency is needed where there is no tariff, like EUR")
    try:
        await store.add_carrier(
            connection, form.code, name=form.name, currency=currency, values=form.columns() | {"tariff_id": tariff_id}
        )
    except AlreadyThere:
        raise Refused("code", f"Code {form.code} is taken: choose another") from None
    made: int = await connection.fetchval("SELECT id FROM carrier WHERE code = $1", form.code)
    return made


async def change_carrier(connection: Connection, code: str, form: Carrier) -> Difference:
    """Change a carrier.

    Raises:
        Refused: no such tariff.
    """
    tariff_id, _currency = await _tariff(connection, form.tariff)
    before = await _carrier(connection, code)
    await store.set_carrier(connection, code, form.columns() | {"tariff_id": tariff_id})
    return _difference(before, await _carrier(connection, code))


async def _tariff(connection: Connection, name: str) -> tuple[int | None, str]:
    if not name:
        return None, ""
    found = await connection.fetchrow("SELECT id, currency FROM tariff WHERE name = $1 AND kind = 'carrier'", name)
    if found is None:
        raise Refused("tariff", "Tariff must be one of the list")
    return found["id"], found["currency"]


async def _carrier(connection: Connection, code: str) -> dict[str, Any]:
    return await _row(
        connection,
        """
        SELECT (to_jsonb(carrier) - 'tariff_id' || jsonb_build_object('tariff', tariff.name))::text
        FROM carrier LEFT JOIN tariff ON tariff.id = carrier.tariff_id WHERE carrier.code = $1
        """,
        code,
    )


# Gateways


async def add_gateway(connection: Connection, carrier_id: int, form: NewGateway, secret: str) -> int:
    """Make a gateway and return its id.

    Args:
        connection: The database.
        carrier_id: Whose it is.
        form: What was typed.
        secret: As it is kept, encrypted; empty: none.

    Raises:
        Refused: the name is taken.
    """
    try:
        values = form.columns() | {"auth_secret": secret}
        await store.add_gateway(connection, form.name, carrier_id=carrier_id, host=form.host, values=values)
    except AlreadyThere:
        raise Refused("name", f"Name {form.name} is taken: choose another") from None
    made: int = await connection.fetchval("SELECT id FROM gateway WHERE name = $1", form.name)
    return made


async def change_gateway(connection: Connection, name: str, form: Gateway, secret: str | None) -> Difference:
    """Change a gateway.

    Args:
        connection: The database.
        name: Its name, which never changes.
        form: What was typed.
        secret: As it is kept, encrypted; empty: none any more; None: as it was.
    """
    query = "SELECT to_jsonb(gateway)::text FROM gateway WHERE name = $1"
    before = await _row(connection, query, name)
    values = form.columns() if secret is None else form.columns() | {"auth_secret": secret}
    await store.set_gateway(connection, name, values)
    return _difference(before, await _row(connection, query, name))


# Routes


async def add_route(connection: Connection, form: NewRoute) -> int:
    """Make a route without entries and return its id.

    Raises:
        Refused: the name is taken.
    """
    try:
        await store.add_route(connection, form.name, form.columns())
    except AlreadyThere:
        raise Refused("name", f"Name {form.name} is taken: choose another") from None
    made: int = await connection.fetchval("SELECT id FROM route WHERE name = $1", form.name)
    return made


async def change_route(connection: Connection, name: str, form: Route) -> Difference:
    """Change how a route chooses."""
    query = "SELECT to_jsonb(route)::text FROM route WHERE name = $1"
    before = await _row(connection, query, name)
    await store.set_route(connection, name, form.columns())
    return _difference(before, await _row(connection, query, name))


async def add_entry(connection: Connection, route_id: int, form: Entry) -> int:
    """Let a carrier take numbers with a prefix, and return the entry's id.

    Raises:
        Refused: no such carrier, or there is such an entry.
    """
    carrier_id = await _carrier_id(connection, form.carrier)
    try:
        return await store.add_route_entry(
            connection, route_id, prefix=form.prefix, carrier_id=carrier_id, values=form.columns()
        )
    except AlreadyThere:
        raise _entry_fault(form) from None


async def change_entry(connection: Connection, entry_id: int, form: Entry) -> Difference:
    """Change an entry; its prefix and carrier stay.

    Raises:
        Refused: there is such an entry.
    """
    query = """
        SELECT (to_jsonb(route_entry) || jsonb_build_object('carrier', carrier.code))::text
        FROM route_entry JOIN carrier ON carrier.id = route_entry.carrier_id WHERE route_entry.id = $1
    """
    before = await _row(connection, query, entry_id)
    try:
        await store.set_route_entry(connection, entry_id, form.columns())
    except AlreadyThere:
        raise _entry_fault(form) from None
    return _difference(before, await _row(connection, query, entry_id))


def _entry_fault(form: Entry) -> Refused:
    shown = form.prefix or "every number"
    return Refused("carrier", f"{form.carrier} takes {shown} at these days and hours already: change that entry")


async def _carrier_id(connection: Connection, code: str) -> int:
    found: int | None = await connection.fetchval("SELECT id FROM carrier WHERE code = $1", code)
    if found is None:
        raise Refused("carrier", "Carrier must be one of the list")
    return found


# Differences


async def _row(connection: Connection, query: str, key: object) -> dict[str, Any]:
    text: str | None = await connection.fetchval(query, key)
    values: dict[str, Any] = orjson.loads(text or "{}")
    return values


def _difference(before: dict[str, Any], after: dict[str, Any]) -> Difference:
    changed = [name for name, value in before.items() if after.get(name) != value]
    return {name: before[name] for name in changed}, {name: after.get(name) for name in changed}
