"""Carriers: the list, one of them, its gateways and its number rules."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from admin.errors import NotFound
from admin.paging import Page, PageRequest, make_page
from admin.rules import explain, in_order
from admin.stores.reading import Pool, reading
from b2bua.account import store
from b2bua.account.errors import AlreadyThere, Refused
from rating.ledger import Connection

STATUSES: Final = ("active", "inactive")
MOST: Final = 1000
"""Rules of a carrier that a page shows: they stand in the order in which they win, not by key."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A row of the list."""

    code: str
    name: str
    status: str
    tariff: str | None
    currency: str
    max_sessions: int | None
    cps: int | None
    gateways: int
    active_gateways: int
    routes: int
    """In how many routes it stands."""


@dataclass(frozen=True, slots=True)
class Carrier:
    """A carrier, as the head of its pages shows it."""

    carrier_id: int
    code: str
    name: str
    status: str
    currency: str

    @property
    def title(self) -> str:
        """How the audit log names it."""
        return f"carrier {self.code}"


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway of a carrier's list."""

    gateway_id: int
    name: str
    host: str
    port: int | None
    transport: str
    priority: int
    weight: int
    max_sessions: int | None
    cps: int | None
    registers: bool
    status: str


_LIST: Final = """
    SELECT carrier.code, carrier.name, carrier.status, tariff.name AS tariff, carrier.currency, carrier.max_sessions,
           carrier.cps,
           (SELECT count(*) FROM gateway WHERE gateway.carrier_id = carrier.id) AS gateways,
           (SELECT count(*) FROM gateway
            WHERE gateway.carrier_id = carrier.id AND gateway.status = 'active') AS active_gateways,
           (SELECT count(DISTINCT route_id) FROM route_entry WHERE route_entry.carrier_id = carrier.id) AS routes
    FROM carrier LEFT JOIN tariff ON tariff.id = carrier.tariff_id
    WHERE ($1::text IS NULL OR carrier.code ILIKE $1 OR carrier.name ILIKE $1
           OR EXISTS (SELECT FROM gateway WHERE gateway.carrier_id = carrier.id
                      AND (gateway.name ILIKE $1 OR gateway.host ILIKE $1)))
      AND ($2::text IS NULL OR carrier.status = $2)
"""
_FORWARD: Final = _LIST + " AND ($3::text IS NULL OR carrier.code > $3) ORDER BY carrier.code LIMIT $4"
_BACKWARD: Final = _LIST + " AND carrier.code < $3 ORDER BY carrier.code DESC LIMIT $4"

_GATEWAYS: Final = """
    SELECT id AS gateway_id, name, host, port, transport, priority, weight, max_sessions, cps, registers, status
    FROM gateway WHERE carrier_id = $1
"""
_GATEWAYS_FORWARD: Final = _GATEWAYS + " AND ($2::text IS NULL OR name > $2) ORDER BY name LIMIT $3"
_GATEWAYS_BACKWARD: Final = _GATEWAYS + " AND name < $2 ORDER BY name DESC LIMIT $3"


def like(search: str) -> str | None:
    """A pattern of what has a text in it; None: everything has."""
    escaped = re.sub(r"([\\%_])", r"\\\1", search)
    return f"%{escaped}%" if escaped else None


async def list_carriers(pool: Pool, search: str, status: str, asked: PageRequest) -> Page[Listed]:
    """A page of the carriers, by their codes."""
    async with reading(pool) as connection:
        rows = await connection.fetch(
            _BACKWARD if asked.backward else _FORWARD, like(search), status or None, *asked.parts(1), asked.size + 1
        )
    return make_page([Listed(*row) for row in rows], asked, lambda carrier: (carrier.code,))


async def find_carrier(source: Pool | Connection, code: str) -> Carrier:
    """Find a carrier.

    Raises:
        NotFound: there is none of this code.
    """
    record = await source.fetchrow("SELECT id, code, name, status, currency FROM carrier WHERE code = $1", code)
    if record is None:
        raise NotFound
    return Carrier(*record)


async def read_form(source: Pool | Connection, carrier: Carrier) -> Mapping[str, Any]:
    """The carrier as its form shows it."""
    record = await source.fetchrow(
        """
        SELECT carrier.name, carrier.status, tariff.name AS tariff, carrier.codecs, carrier.max_sessions, carrier.cps,
               carrier.decimals, carrier.rounding, carrier.tax_inclusive, carrier.tax_percents
        FROM carrier LEFT JOIN tariff ON tariff.id = carrier.tariff_id WHERE carrier.id = $1
        """,
        carrier.carrier_id,
    )
    if record is None:
        raise NotFound
    return dict(record)


async def tariff_names(source: Pool | Connection) -> dict[str, str]:
    """Tariffs for carriers with their currencies."""
    records = await source.fetch(
        "SELECT name, currency FROM tariff WHERE kind = 'carrier' AND status = 'active' ORDER BY lower(name) LIMIT 1000"
    )
    return {record["name"]: f"{record['name']} ({record['currency']})" for record in records}


async def next_code(source: Pool | Connection) -> str:
    """A code that no carrier has, for a new one."""
    number: int = await source.fetchval(
        r"SELECT coalesce(max(substr(code, 5)::numeric), 0) + 1 FROM carrier WHERE code ~ '^CARR[0-9]{4,9}$'"
    )
    return f"CARR{number:04}"


# Gateways


async def list_gateways(pool: Pool, carrier: Carrier, asked: PageRequest) -> Page[Gateway]:
    """A page of a carrier's gateways, by their names."""
    async with reading(pool) as connection:
        rows = await connection.fetch(
            _GATEWAYS_BACKWARD if asked.backward else _GATEWAYS_FORWARD,
            carrier.carrier_id,
            *asked.parts(1),
            asked.size + 1,
        )
    return make_page([Gateway(*row) for row in rows], asked, lambda gateway: (gateway.name,))


async def find_gateway(source: Pool | Connection, carrier: Carrier, gateway_id: int) -> dict[str, Any]:
    """A gateway of a carrier: every field of its form, its id and name, and whether a secret is kept.

    Raises:
        NotFound: the carrier has none of this number.
    """
    record = await source.fetchrow(
        """
        SELECT id, name, host, port, transport, status, priority, weight, max_sessions, cps, max_duration,
               invite_timeout, progress_timeout, ring_timeout, session_timer, probe_interval, identity, diversion,
               from_user, from_domain, is_trusted, passed_headers, added_headers, auth_user, registers,
               register_expires, tls_verify, reliable_ringing, prefers_tcp, follows_redirects, srtp, dtmf,
               auth_secret <> '' AS has_secret
        FROM gateway WHERE id = $1 AND carrier_id = $2
        """,
        gateway_id,
        carrier.carrier_id,
    )
    if record is None:
        raise NotFound
    return dict(record)


# Number rules


async def list_rules(source: Pool | Connection, carrier: Carrier, kind: str) -> list[dict[str, Any]]:
    """Rules of one kind with what each does, the first to win first."""
    records = await source.fetch(
        "SELECT id, rule FROM number_rule WHERE carrier_id = $1 AND kind = $2 ORDER BY id LIMIT $3",
        carrier.carrier_id,
        kind,
        MOST,
    )
    places = {text: place for place, text in enumerate(in_order([record["rule"] for record in records], kind))}
    ordered = sorted(records, key=lambda record: places[record["rule"]])
    return [{"id": each["id"], "rule": each["rule"], "effect": explain(each["rule"], kind)} for each in ordered]


async def find_rule(source: Pool | Connection, carrier: Carrier, kind: str, rule_id: int) -> dict[str, Any]:
    """One rule.

    Raises:
        NotFound: the carrier has none of this number and kind.
    """
    record = await source.fetchrow(
        "SELECT id, rule FROM number_rule WHERE id = $1 AND carrier_id = $2 AND kind = $3",
        rule_id,
        carrier.carrier_id,
        kind,
    )
    if record is None:
        raise NotFound
    return dict(record)


@contextmanager
def _same(rule: str) -> Iterator[None]:
    try:
        yield
    except AlreadyThere:
        raise Refused("rule", f"Rule {rule} is there already") from None


async def add_rule(connection: Connection, carrier: Carrier, kind: str, rule: str) -> None:
    """Add a rule.

    Raises:
        Refused: there is the same.
    """
    with _same(rule), store.unique(rule):
        await connection.execute(
            "INSERT INTO number_rule (carrier_id, kind, rule) VALUES ($1, $2, $3)", carrier.carrier_id, kind, rule
        )


async def change_rule(connection: Connection, rule_id: int, rule: str) -> None:
    """Change a rule.

    Raises:
        Refused: there is the same.
    """
    with _same(rule), store.unique(rule):
        await connection.execute("UPDATE number_rule SET rule = $2 WHERE id = $1 AND rule <> $2", rule_id, rule)


async def remove_rule(connection: Connection, rule_id: int) -> None:
    """Remove a rule."""
    await connection.execute("DELETE FROM number_rule WHERE id = $1", rule_id)
