"""Resellers: the list, and the routes that calls of those below one may take."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from admin.paging import Page, PageRequest, make_page
from admin.scope import Scope
from admin.stores.reading import Pool, reading
from rating.ledger import Connection


@dataclass(frozen=True, slots=True)
class Reseller:
    """A row of the list."""

    code: str
    name: str
    company: str
    status: str
    parent: str | None
    """Code of the reseller above it."""
    tariff: str | None
    balance: Decimal
    currency: str
    decimals: int
    max_sessions: int | None
    """None: no limit."""
    customers: int
    """Directly below it, those that were deleted left out."""
    resellers: int


@dataclass(frozen=True, slots=True)
class Permit:
    """A route, and whether a reseller may use it."""

    route_id: int
    name: str
    is_permitted: bool


_LIST: Final = """
    WITH RECURSIVE subtree AS (
        SELECT account.id FROM account WHERE account.parent_id = $1 AND account.kind = 'reseller'
        UNION ALL
        SELECT account.id FROM account JOIN subtree ON account.parent_id = subtree.id WHERE account.kind = 'reseller'
    )
    SELECT account.code, account.name, account.company, account.status, parent.code AS parent, tariff.name AS tariff,
           account_balance.balance, account.currency, account.decimals, account.max_sessions,
           (SELECT count(*) FROM account AS below
            WHERE below.parent_id = account.id AND below.kind = 'customer' AND below.status <> 'closed') AS customers,
           (SELECT count(*) FROM account AS below
            WHERE below.parent_id = account.id AND below.kind = 'reseller' AND below.status <> 'closed') AS resellers
    FROM account
    JOIN account_balance ON account_balance.account_id = account.id
    LEFT JOIN account AS parent ON parent.id = account.parent_id
    LEFT JOIN tariff ON tariff.id = account.tariff_id
    WHERE account.kind = 'reseller' AND account.status <> 'closed'
      AND ($1::bigint IS NULL OR account.id IN (SELECT subtree.id FROM subtree))
      AND ($2::text IS NULL OR account.code ILIKE $2 OR account.name ILIKE $2 OR account.company ILIKE $2
           OR EXISTS (SELECT FROM panel_user WHERE panel_user.account_id = account.id AND panel_user.login ILIKE $2))
"""
_FORWARD: Final = _LIST + " AND ($3::text IS NULL OR account.code > $3) ORDER BY account.code LIMIT $4"
_BACKWARD: Final = _LIST + " AND account.code < $3 ORDER BY account.code DESC LIMIT $4"

_PERMITS: Final = """
    SELECT route.id, route.name,
           EXISTS (SELECT FROM reseller_route
                   WHERE reseller_route.route_id = route.id AND reseller_route.account_id = $1) AS is_permitted
    FROM route
    WHERE $2::bigint IS NULL
       OR EXISTS (SELECT FROM reseller_route
                  WHERE reseller_route.route_id = route.id AND reseller_route.account_id = $2)
    ORDER BY lower(route.name)
    LIMIT 500
"""


async def list_resellers(pool: Pool, scope: Scope, search: str, asked: PageRequest) -> Page[Reseller]:
    """A page of the resellers below the login, by their codes."""
    escaped = search.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    async with reading(pool) as connection:
        rows = await connection.fetch(
            _BACKWARD if asked.backward else _FORWARD,
            scope.top,
            f"%{escaped}%" if escaped else None,
            *asked.parts(1),
            asked.size + 1,
        )
    return make_page([Reseller(*row) for row in rows], asked, lambda reseller: (reseller.code,))


async def permits(source: Pool | Connection, scope: Scope, account_id: int | None) -> list[Permit]:
    """The routes that the login may permit: a reseller those that are permitted to itself.

    Args:
        source: The database.
        scope: Of the login.
        account_id: The reseller that they are, or are not, permitted to; None: one that is still to be made.
    """
    return [Permit(*row) for row in await source.fetch(_PERMITS, account_id, scope.top)]


async def set_permits(connection: Connection, account_id: int, offered: Iterable[Permit], wanted: set[int]) -> None:
    """Permit those of the offered routes that are wanted, and forbid the others."""
    for route in offered:
        if route.route_id in wanted and not route.is_permitted:
            await connection.execute(
                "INSERT INTO reseller_route (account_id, route_id) VALUES ($1, $2)", account_id, route.route_id
            )
        elif route.route_id not in wanted and route.is_permitted:
            await connection.execute(
                "DELETE FROM reseller_route WHERE account_id = $1 AND route_id = $2", account_id, route.route_id
            )
