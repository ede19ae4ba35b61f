"""Routes: the list, one of them, its entries, and who calls over it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import time
from typing import Any, Final

from admin.errors import NotFound
from admin.paging import KeyParts, Page, PageRequest, make_page
from admin.stores.carriers import like
from admin.stores.reading import Pool, reading
from b2bua.routing.field import show_days, show_hours
from rating.ledger import Connection

ENTRY_KEY: Final[KeyParts] = (str, int, str, int)
"""Prefix, priority, code of the carrier, id."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A row of the list."""

    route_id: int
    name: str
    status: str
    mode: str
    zone: str
    ring_failover: bool
    entries: int
    carriers: int
    accounts: int
    """How many dial over it."""
    resellers: int
    """To how many it is permitted."""


@dataclass(frozen=True, slots=True)
class Route:
    """A route, as the head of its pages shows it."""

    route_id: int
    name: str
    status: str
    mode: str
    zone: str

    @property
    def title(self) -> str:
        """How the audit log names it."""
        return f"route {self.name}"


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of the list."""

    entry_id: int
    prefix: str
    carrier: str
    carrier_name: str
    is_carrier_active: bool
    priority: int
    weight: int
    days: int
    hours_from: time
    hours_until: time
    status: str

    @property
    def when(self) -> str:
        """Its days and hours; empty: always."""
        parts = (show_days(self.days), show_hours(self.hours_from, self.hours_until))
        return " ".join(part for part in parts if part)

    @property
    def title(self) -> str:
        """How the audit log names it."""
        return f"{self.prefix or 'every number'} to {self.carrier}"


_LIST: Final = """
    SELECT route.id AS route_id, route.name, route.status, route.mode, route.zone, route.ring_failover,
           (SELECT count(*) FROM route_entry WHERE route_entry.route_id = route.id) AS entries,
           (SELECT count(DISTINCT carrier_id) FROM route_entry WHERE route_entry.route_id = route.id) AS carriers,
           (SELECT count(DISTINCT account_id) FROM dialing_route WHERE dialing_route.route_id = route.id) AS accounts,
           (SELECT count(*) FROM reseller_route WHERE reseller_route.route_id = route.id) AS resellers
    FROM route
    WHERE ($1::text IS NULL OR route.name ILIKE $1
           OR EXISTS (SELECT FROM route_entry JOIN carrier ON carrier.id = route_entry.carrier_id
                      WHERE route_entry.route_id = route.id AND (carrier.code ILIKE $1 OR carrier.name ILIKE $1)))
"""
_FORWARD: Final = _LIST + " AND ($2::text IS NULL OR route.name > $2) ORDER BY route.name LIMIT $3"
_BACKWARD: Final = _LIST + " AND route.name < $2 ORDER BY route.name DESC LIMIT $3"

_ENTRIES: Final = """
    SELECT route_entry.id AS entry_id, route_entry.prefix, carrier.code AS carrier, carrier.name AS carrier_name,
           carrier.status = 'active' AS is_carrier_active, route_entry.priority, route_entry.weight, route_entry.days,
           route_entry.hours_from, route_entry.hours_until, route_entry.status
    FROM route_entry JOIN carrier ON carrier.id = route_entry.carrier_id
    WHERE route_entry.route_id = $1
"""
_PLACE: Final = "(route_entry.prefix, route_entry.priority, carrier.code, route_entry.id)"
_ENTRIES_FORWARD: Final = f"""
    {_ENTRIES} AND ($2::text IS NULL OR {_PLACE} > ($2, $3::integer, $4::text, $5::bigint))
    ORDER BY route_entry.prefix, route_entry.priority, carrier.code, route_entry.id LIMIT $6
"""
_ENTRIES_BACKWARD: Final = f"""
    {_ENTRIES} AND {_PLACE} < ($2, $3::integer, $4::text, $5::bigint)
    ORDER BY route_entry.prefix DESC, route_entry.priority DESC, carrier.code DESC, route_entry.id DESC LIMIT $6
"""


async def list_routes(pool: Pool, search: str, asked: PageRequest) -> Page[Listed]:
    """A page of the routes, by their names."""
    async with reading(pool) as connection:
        rows = await connection.fetch(
            _BACKWARD if asked.backward else _FORWARD, like(search), *asked.parts(1), asked.size + 1
        )
    return make_page([Listed(*row) for row in rows], asked, lambda route: (route.name,))


async def find_route(source: Pool | Connection, route_id: int) -> Route:
    """Find a route.

    Raises:
        NotFound: there is none of this number.
    """
    record = await source.fetchrow("SELECT id, name, status, mode, zone FROM route WHERE id = $1", route_id)
    if record is None:
        raise NotFound
    return Route(*record)


async def read_form(source: Pool | Connection, route: Route) -> Mapping[str, Any]:
    """The route as its form shows it."""
    record = await source.fetchrow(
        "SELECT mode, zone, failover_codes, ring_failover, status FROM route WHERE id = $1", route.route_id
    )
    if record is None:
        raise NotFound
    return dict(record)


async def list_entries(pool: Pool, route: Route, asked: PageRequest) -> Page[Entry]:
    """A page of a route's entries, by prefix and priority."""
    async with reading(pool) as connection:
        rows = await connection.fetch(
            _ENTRIES_BACKWARD if asked.backward else _ENTRIES_FORWARD, route.route_id, *asked.parts(4), asked.size + 1
        )
    return make_page(
        [Entry(*row) for row in rows],
        asked,
        lambda entry: (entry.prefix, entry.priority, entry.carrier, entry.entry_id),
    )


async def find_entry(source: Pool | Connection, route: Route, entry_id: int) -> Entry:
    """An entry of a route.

    Raises:
        NotFound: the route has none of this number.
    """
    record = await source.fetchrow(f"{_ENTRIES} AND route_entry.id = $2", route.route_id, entry_id)
    if record is None:
        raise NotFound
    return Entry(*record)


async def carrier_names(source: Pool | Connection) -> dict[str, str]:
    """Carriers to choose from."""
    records = await source.fetch("SELECT code, name FROM carrier ORDER BY code LIMIT 2000")
    return {record["code"]: f"{record['code']} {record['name']}" for record in records}


async def used_by(source: Pool | Connection, route: Route) -> Mapping[str, list[str]]:
    """Who calls over a route: at most ten of each kind, by code."""
    record = await source.fetchrow(
        """
        SELECT ARRAY(SELECT account.code FROM dialing_route JOIN account ON account.id = dialing_route.account_id
                     WHERE dialing_route.route_id = $1 GROUP BY account.code
                     ORDER BY account.code LIMIT 10) AS accounts,
               ARRAY(SELECT account.code FROM reseller_route JOIN account ON account.id = reseller_route.account_id
                     WHERE reseller_route.route_id = $1 ORDER BY account.code LIMIT 10) AS resellers,
               ARRAY(SELECT pattern FROM emergency_number WHERE route_id = $1 ORDER BY pattern LIMIT 10) AS emergency
        """,
        route.route_id,
    )
    assert record is not None
    return dict(record)
