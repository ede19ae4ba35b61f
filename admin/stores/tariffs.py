"""Tariffs and ratecards: listed and found within the scope of a login.

Staff sees all of them; a reseller its own and those of the resellers below it, and none of the operator's: a customer
none. `own` in SQL are the accounts whose they may be.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import time
from typing import Any, Final

import asyncpg

from admin.errors import NotFound
from admin.paging import KeyParts, Page, PageRequest, make_page
from admin.scope import Scope
from admin.stores.reading import Pool, reading
from b2bua.account.tariff import show_days, show_hour
from rating.ledger import Connection

KEY: Final[KeyParts] = (str, int)
"""Name in small letters, and id."""
MOST: Final = 1000
"""Ratecards of a tariff that its page shows, and that it offers."""


@dataclass(frozen=True, slots=True)
class Tariff:
    """A tariff."""

    tariff_id: int
    name: str
    kind: str
    currency: str
    status: str
    owner_id: int | None
    owner: str | None
    """Code of the reseller; None: the operator's."""
    ratecards: int
    used_by: int
    """Accounts and carriers."""

    @property
    def title(self) -> str:
        """How a message names it."""
        return f"tariff {self.name}"


@dataclass(frozen=True, slots=True)
class Ratecard:
    """A ratecard."""

    ratecard_id: int
    name: str
    direction: str
    owner_id: int | None
    owner: str | None
    tariffs: list[str]
    """Names of some of those that it is in."""

    @property
    def title(self) -> str:
        """How a message names it."""
        return f"ratecard {self.name}"


@dataclass(frozen=True, slots=True)
class Entry:
    """A ratecard in a tariff."""

    mapping_id: int
    ratecard_id: int
    ratecard: str
    direction: str
    priority: int
    days: int
    hours_from: time
    hours_until: time
    zone: str

    @property
    def window(self) -> str:
        """When it counts, in words."""
        days, hours = show_days(self.days), self.hours_from != self.hours_until
        if not days and not hours:
            return "Always"
        span = f"{show_hour(self.hours_from) or '00:00'}–{show_hour(self.hours_until) or '24:00'}" if hours else ""
        return " ".join(part for part in (days or "every day", span, self.zone) if part)

    def row(self) -> dict[str, Any]:
        """As its form has it."""
        return {
            "ratecard": self.ratecard,
            "priority": self.priority,
            "days": self.days,
            "hours_from": self.hours_from,
            "hours_until": self.hours_until,
            "zone": self.zone,
        }


_TARIFF: Final = """
    WITH RECURSIVE own AS (
        SELECT top.id FROM account AS top WHERE top.id = $1
        UNION ALL
        SELECT below.id FROM account AS below JOIN own ON below.parent_id = own.id WHERE below.kind = 'reseller'
    )
    SELECT tariff.id, tariff.name, tariff.kind, tariff.currency, tariff.status, tariff.owner_id, owner.code AS owner,
           (SELECT count(*) FROM tariff_ratecard WHERE tariff_ratecard.tariff_id = tariff.id) AS ratecards,
           (SELECT count(*) FROM account WHERE account.tariff_id = tariff.id)
               + (SELECT count(*) FROM carrier WHERE carrier.tariff_id = tariff.id) AS used_by
    FROM tariff LEFT JOIN account AS owner ON owner.id = tariff.owner_id
    WHERE ($1::bigint IS NULL OR tariff.owner_id IN (SELECT own.id FROM own))
"""
_TARIFFS: Final = _TARIFF + " AND ($2::text IS NULL OR tariff.name ILIKE $2)"
_TARIFFS_FORWARD: Final = (
    _TARIFFS
    + """
    AND ($3::text IS NULL OR (lower(tariff.name), tariff.id) > ($3, $4::bigint))
    ORDER BY lower(tariff.name), tariff.id LIMIT $5
"""
)
_TARIFFS_BACKWARD: Final = (
    _TARIFFS
    + """
    AND (lower(tariff.name), tariff.id) < ($3, $4::bigint) ORDER BY lower(tariff.name) DESC, tariff.id DESC LIMIT $5
"""
)
_FIND_TARIFF: Final = _TARIFF + " AND tariff.id = $2"

_RATECARD: Final = """
    WITH RECURSIVE own AS (
        SELECT top.id FROM account AS top WHERE top.id = $1
        UNION ALL
        SELECT below.id FROM account AS below JOIN own ON below.parent_id = own.id WHERE below.kind = 'reseller'
    )
    SELECT ratecard.id, ratecard.name, ratecard.direction, ratecard.owner_id, owner.code AS owner,
           ARRAY(SELECT tariff.name FROM tariff_ratecard JOIN tariff ON tariff.id = tariff_ratecard.tariff_id
                 WHERE tariff_ratecard.ratecard_id = ratecard.id ORDER BY lower(tariff.name) LIMIT 4) AS tariffs
    FROM ratecard LEFT JOIN account AS owner ON owner.id = ratecard.owner_id
    WHERE ($1::bigint IS NULL OR ratecard.owner_id IN (SELECT own.id FROM own))
"""
_RATECARDS: Final = _RATECARD + " AND ($2::text IS NULL OR ratecard.name ILIKE $2)"
_RATECARDS_FORWARD: Final = (
    _RATECARDS
    + """
    AND ($3::text IS NULL OR (lower(ratecard.name), ratecard.id) > ($3, $4::bigint))
    ORDER BY lower(ratecard.name), ratecard.id LIMIT $5
"""
)
_RATECARDS_BACKWARD: Final = (
    _RATECARDS
    + """
    AND (lower(ratecard.name), ratecard.id) < ($3, $4::bigint)
    ORDER BY lower(ratecard.name) DESC, ratecard.id DESC LIMIT $5
"""
)
_FIND_RATECARD: Final = _RATECARD + " AND ratecard.id = $2"


def _top(scope: Scope) -> int | None:
    """The account that a list begins with.

    Raises:
        NotFound: a customer has no tariffs of its own.
    """
    if scope.exact is not None:
        raise NotFound
    return scope.top


def like(search: str) -> str | None:
    """What ILIKE takes for a text in the midst of another; None: no text."""
    escaped = search.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%" if escaped else None


def read_id(text: str) -> int:
    """The number of an address.

    Raises:
        NotFound: it is none.
    """
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise NotFound
    return int(text)


async def _page(
    pool: Pool, scope: Scope, search: str, asked: PageRequest, queries: tuple[str, str]
) -> list[asyncpg.Record]:
    async with reading(pool) as connection:
        found: list[asyncpg.Record] = await connection.fetch(
            queries[asked.backward], _top(scope), like(search), *asked.parts(2), asked.size + 1
        )
    return found


async def list_tariffs(pool: Pool, scope: Scope, search: str, asked: PageRequest) -> Page[Tariff]:
    """A page of the tariffs in scope, by name."""
    rows = await _page(pool, scope, search, asked, (_TARIFFS_FORWARD, _TARIFFS_BACKWARD))
    return make_page([Tariff(*row) for row in rows], asked, lambda each: (each.name.lower(), each.tariff_id))


async def find_tariff(source: Pool | Connection, scope: Scope, text: str) -> Tariff:
    """Find a tariff by the number in an address.

    Raises:
        NotFound: there is none in scope.
    """
    row = await source.fetchrow(_FIND_TARIFF, _top(scope), read_id(text))
    if row is None:
        raise NotFound
    return Tariff(*row)


async def list_ratecards(pool: Pool, scope: Scope, search: str, asked: PageRequest) -> Page[Ratecard]:
    """A page of the ratecards in scope, by name."""
    rows = await _page(pool, scope, search, asked, (_RATECARDS_FORWARD, _RATECARDS_BACKWARD))
    return make_page([Ratecard(*row) for row in rows], asked, lambda each: (each.name.lower(), each.ratecard_id))


async def find_ratecard(source: Pool | Connection, scope: Scope, text: str) -> Ratecard:
    """Find a ratecard by the number in an address.

    Raises:
        NotFound: there is none in scope.
    """
    row = await source.fetchrow(_FIND_RATECARD, _top(scope), read_id(text))
    if row is None:
        raise NotFound
    return Ratecard(*row)


_MAPPINGS: Final = """
    SELECT tariff_ratecard.id, ratecard.id AS ratecard_id, ratecard.name, ratecard.direction, tariff_ratecard.priority,
           tariff_ratecard.days, tariff_ratecard.hours_from, tariff_ratecard.hours_until, tariff_ratecard.zone
    FROM tariff_ratecard JOIN ratecard ON ratecard.id = tariff_ratecard.ratecard_id
    WHERE tariff_ratecard.tariff_id = $1 AND ($2::bigint IS NULL OR tariff_ratecard.id = $2)
    ORDER BY tariff_ratecard.priority, lower(ratecard.name) LIMIT $3
"""


async def list_mappings(source: Pool | Connection, tariff: Tariff) -> list[Entry]:
    """The ratecards of a tariff, in the order in which they win."""
    return [Entry(*row) for row in await source.fetch(_MAPPINGS, tariff.tariff_id, None, MOST)]


async def find_mapping(source: Pool | Connection, tariff: Tariff, text: str) -> Entry:
    """Find a ratecard in a tariff by the number in an address.

    Raises:
        NotFound: the tariff has none of this number.
    """
    row = await source.fetchrow(_MAPPINGS, tariff.tariff_id, read_id(text), 1)
    if row is None:
        raise NotFound
    return Entry(*row)


async def offered_ratecards(source: Pool | Connection, tariff: Tariff) -> Mapping[str, str]:
    """Ratecards that can be put into a tariff: of the same owner, and not in it."""
    rows = await source.fetch(
        """
        SELECT ratecard.name, ratecard.direction FROM ratecard
        WHERE ratecard.owner_id IS NOT DISTINCT FROM $2
          AND NOT EXISTS (SELECT FROM tariff_ratecard
                          WHERE tariff_ratecard.ratecard_id = ratecard.id AND tariff_ratecard.tariff_id = $1)
        ORDER BY lower(ratecard.name) LIMIT $3
        """,
        tariff.tariff_id,
        tariff.owner_id,
        MOST,
    )
    return {row["name"]: f"{row['name']} (incoming)" if row["direction"] == "incoming" else row["name"] for row in rows}


async def named(source: Pool | Connection, scope: Scope, name: str) -> tuple[str, int]:
    """`tariff` or `ratecard` and the id of the one in scope that has a name; empty where there is none."""
    row = await source.fetchrow(
        """
        WITH RECURSIVE own AS (
            SELECT top.id FROM account AS top WHERE top.id = $1
            UNION ALL
            SELECT below.id FROM account AS below JOIN own ON below.parent_id = own.id WHERE below.kind = 'reseller'
        )
        SELECT found.kind, found.id FROM (
            SELECT 'tariff' AS kind, id, owner_id FROM tariff WHERE lower(name) = lower($2)
            UNION ALL
            SELECT 'ratecard', id, owner_id FROM ratecard WHERE lower(name) = lower($2)
        ) AS found
        WHERE $1::bigint IS NULL OR found.owner_id IN (SELECT own.id FROM own)
        ORDER BY found.kind DESC LIMIT 1
        """,
        _top(scope),
        name,
    )
    return (row["kind"], row["id"]) if row else ("", 0)
