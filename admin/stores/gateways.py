"""Gateways with their carriers, as the page of their states lists them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from admin.paging import KeyParts, Page, PageRequest, make_page
from admin.stores.reading import Pool, reading

KEY: Final[KeyParts] = (str, str)
"""Code of the carrier, name of the gateway."""

STATES: Final = {"up": "Up", "down": "Down", "off": "Off"}


@dataclass(frozen=True, slots=True)
class Gateway:
    """A row of the list: a gateway, or a carrier that has none."""

    carrier: str
    """Code."""
    carrier_name: str
    gateway_id: int | None
    """None: the carrier has no gateway."""
    name: str
    host: str
    port: int | None
    """None: found by DNS."""
    transport: str
    is_on: bool
    """Whether both it and its carrier are active."""
    max_sessions: int | None
    probe_interval: int
    registers: bool

    @property
    def key(self) -> tuple[str, str]:
        """Its place in the list."""
        return self.carrier, self.name


@dataclass(frozen=True, slots=True)
class GatewayFilter:
    """What the list is narrowed to; an empty field does not narrow it."""

    search: str = ""
    state: str = ""
    """One of STATES."""

    @classmethod
    def read(cls, query: Mapping[str, str]) -> "GatewayFilter":
        """Take the fields of an address."""
        state = query.get("state", "")
        return cls(query.get("q", "").strip()[:100], state if state in STATES else "")

    @property
    def is_empty(self) -> bool:
        """Whether it lets everything through."""
        return self == GatewayFilter()

    def parameters(self, down: list[int]) -> tuple[Any, ...]:
        """Search, state and the ids of those that are down for the query."""
        search = re.sub(r"([\\%_])", r"\\\1", self.search)
        return f"%{search}%" if search else None, self.state or None, down


_LIST: Final = """
    SELECT carrier.code AS carrier, carrier.name AS carrier_name, gateway.id AS gateway_id,
           coalesce(gateway.name, '') AS name, coalesce(gateway.host, '') AS host, gateway.port,
           coalesce(gateway.transport, '') AS transport,
           coalesce(gateway.status = 'active' AND carrier.status = 'active', false) AS is_on,
           gateway.max_sessions, coalesce(gateway.probe_interval, 0) AS probe_interval,
           coalesce(gateway.registers, false) AS registers
    FROM carrier
    LEFT JOIN gateway ON gateway.carrier_id = carrier.id
    WHERE ($1::text IS NULL OR carrier.code ILIKE $1 OR carrier.name ILIKE $1 OR gateway.name ILIKE $1
           OR gateway.host ILIKE $1)
      AND ($2::text IS NULL OR CASE
               WHEN gateway.id IS NULL THEN false
               WHEN gateway.status <> 'active' OR carrier.status <> 'active' THEN $2 = 'off'
               WHEN gateway.id = ANY ($3::bigint[]) THEN $2 = 'down'
               ELSE $2 = 'up'
           END)
"""

_AFTER: Final = """
      AND ($4::text IS NULL OR (carrier.code, coalesce(gateway.name, '')) > ($4, $5::text))
    ORDER BY carrier.code, coalesce(gateway.name, '')
    LIMIT $6
"""

_BEFORE: Final = """
      AND (carrier.code, coalesce(gateway.name, '')) < ($4::text, $5::text)
    ORDER BY carrier.code DESC, coalesce(gateway.name, '') DESC
    LIMIT $6
"""


async def list_gateways(pool: Pool, chosen: GatewayFilter, down: list[int], asked: PageRequest) -> Page[Gateway]:
    """A page of the gateways by carrier.

    Args:
        pool: The database.
        chosen: What it is narrowed to.
        down: Ids of those that are down.
        asked: Which page.
    """
    query = _LIST + (_BEFORE if asked.backward else _AFTER)
    async with reading(pool) as connection:
        rows = await connection.fetch(query, *chosen.parameters(down), *asked.parts(2), asked.size + 1)
    return make_page([Gateway(*row) for row in rows], asked, lambda gateway: gateway.key)
