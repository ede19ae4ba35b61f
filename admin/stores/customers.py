"""Customers as the list shows them."""

import ipaddress
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from admin.paging import COUNT_LIMIT, KeyParts, Page, PageRequest, make_page
from admin.scope import Scope
from admin.stores.reading import Pool, reading
from admin.stores.subtree import sellers

_TYPED: Final = (
    *("search", "search_part", "search_address", "status", "customer_type", "company", "login", "customer_name"),
    *("ip", "code", "sip_user", "ip_address"),
)
"""Names of what `CustomerFilter.parameters` gives."""

STATUSES: Final = ("active", "suspended", "closed")
TYPES: Final = ("live", "demo")
SEARCHED: Final = ("company", "login", "customer_name", "ip", "code", "sip_user")
"""Fields of the search that name one thing each."""
_IN_ADDRESSES: Final = frozenset("0123456789abcdef.:/")


@dataclass(frozen=True, slots=True)
class Customer:
    """A row of the list."""

    account_id: int
    code: str
    name: str
    company: str
    status: str
    customer_type: str
    billing_type: str
    currency: str
    decimals: int
    balance: Decimal
    credit: Decimal
    """What it may spend beyond its balance."""
    max_sessions: int | None
    """None: no limit."""
    cps: int | None
    parent: str | None
    """Code of the reseller above."""
    tariff: str | None
    login: str | None
    """Its oldest login."""
    created_at: datetime
    sort_key: str | Decimal | datetime

    @property
    def is_demo(self) -> bool:
        """Whether it only tries."""
        return self.customer_type == "demo"


@dataclass(frozen=True, slots=True)
class CustomerFilter:
    """What the list is narrowed to; an empty field does not narrow it."""

    search: str = ""
    status: str = ""
    customer_type: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)
    """Of SEARCHED, those that were typed."""

    @classmethod
    def read(cls, query: Mapping[str, str]) -> "CustomerFilter":
        """Take the fields of an address; a status that does not exist is none."""
        status, customer_type = query.get("status", ""), query.get("type", "")
        typed = {name: query.get(name, "").strip()[:100] for name in SEARCHED}
        return cls(
            query.get("q", "").strip()[:100],
            status if status in STATUSES else "",
            customer_type if customer_type in TYPES else "",
            {name: text for name, text in typed.items() if text},
        )

    @property
    def query(self) -> dict[str, str]:
        """The fields of an address."""
        return {"q": self.search, "status": self.status, "type": self.customer_type, **self.fields}

    @property
    def has_case(self) -> bool:
        """Whether something was typed that capitals could be in."""
        return any(text.lower() != text.upper() for text in (self.search, *self.fields.values()))

    @property
    def is_narrow(self) -> bool:
        """Whether it leaves anything out."""
        return any(self.query.values())

    def parameters(self) -> tuple[str | None, ...]:
        """The patterns, addresses and words for the query."""
        typed = {name: _like(self.fields.get(name, "")) for name in SEARCHED}
        return (
            _like(self.search),
            _address_part(self.search),
            _address(self.search),
            self.status or None,
            self.customer_type or None,
            *typed.values(),
            _address(self.fields.get("ip", "")),
        )


def _like(text: str) -> str | None:
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%" if text else None


def _address_part(text: str) -> str | None:
    """The pattern of what may be a part of an address."""
    return _like(text) if set(text) <= _IN_ADDRESSES else None


def _address(text: str) -> str | None:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Sort:
    """An order of the list."""

    expression: str
    """SQL of the first part of the key; the account's id is the second."""
    sql_type: str
    read: Any
    """How the first part of a cursor is read."""

    @property
    def key(self) -> KeyParts:
        """Readers of the parts of a cursor."""
        return (self.read, int)


SORTS: Final = {
    "code": Sort("account.code", "text", str),
    "name": Sort("lower(account.name)", "text", str),
    "company": Sort("lower(account.company)", "text", str),
    "balance": Sort("account_balance.balance", "numeric", Decimal),
    "created": Sort("account.created_at", "timestamptz", datetime.fromisoformat),
}

# What is typed is looked for in each table by itself, so that its index serves.
_LOOKUPS: Final = {
    "search": """
        SELECT account.id FROM account
        WHERE account.code LIKE upper($1) OR account.name ILIKE $1 OR account.company ILIKE $1
        UNION ALL SELECT panel_user.account_id FROM panel_user WHERE panel_user.login ILIKE $1
        UNION ALL SELECT ip_device.account_id FROM ip_device
                  WHERE text(ip_device.address) LIKE $2 OR ip_device.address >>= $3::text::inet
        UNION ALL SELECT sip_user.account_id FROM sip_user WHERE sip_user.username ILIKE $1
    """,
    "login": """
        SELECT panel_user.account_id FROM panel_user
        WHERE panel_user.login ILIKE $1 AND $2::text IS NULL AND $3::text IS NULL
    """,
    "ip": """
        SELECT ip_device.account_id FROM ip_device
        WHERE (text(ip_device.address) LIKE $1 OR ip_device.address >>= $3::text::inet) AND $2::text IS NULL
    """,
    "sip_user": """
        SELECT sip_user.account_id FROM sip_user
        WHERE sip_user.username ILIKE $1 AND $2::text IS NULL AND $3::text IS NULL
    """,
}
_FOUND: Final = {
    name: f"SELECT array_agg(id), count(*) FROM ({query} LIMIT $4) AS found (id)"  # noqa: S608 - of constants
    for name, query in _LOOKUPS.items()
}

FEW: Final = 20_000
"""So many matches are looked up beforehand; more are found soon by reading the list."""

_MATCHES: Final = """
    account.kind = 'customer'
    AND ($1::bigint IS NULL OR account.id = $1)
    AND ($2::bigint[] IS NULL OR account.parent_id = ANY ($2))
    AND ($3::text IS NULL
         OR account.code LIKE upper($3) OR account.name ILIKE $3 OR account.company ILIKE $3
         OR EXISTS (SELECT FROM panel_user WHERE panel_user.account_id = account.id AND panel_user.login ILIKE $3)
         OR EXISTS (SELECT FROM ip_device WHERE ip_device.account_id = account.id
                    AND (text(ip_device.address) LIKE $4 OR ip_device.address >>= $5::text::inet))
         OR EXISTS (SELECT FROM sip_user WHERE sip_user.account_id = account.id AND sip_user.username ILIKE $3))
    AND CASE WHEN $6::text IS NULL THEN account.status <> 'closed' ELSE account.status = $6 END
    AND ($7::text IS NULL OR account.customer_type = $7)
    AND ($8::text IS NULL OR account.company ILIKE $8)
    AND ($9::text IS NULL
         OR EXISTS (SELECT FROM panel_user WHERE panel_user.account_id = account.id AND panel_user.login ILIKE $9))
    AND ($10::text IS NULL OR account.name ILIKE $10)
    AND ($11::text IS NULL
         OR EXISTS (SELECT FROM ip_device WHERE ip_device.account_id = account.id
                    AND (text(ip_device.address) LIKE $11 OR ip_device.address >>= $14::text::inet)))
    AND ($12::text IS NULL OR account.code LIKE upper($12))
    AND ($13::text IS NULL
         OR EXISTS (SELECT FROM sip_user WHERE sip_user.account_id = account.id AND sip_user.username ILIKE $13))
    AND ($15::bigint[] IS NULL OR account.id = ANY ($15))
"""

_ROW: Final = """
    SELECT account.id, account.code, account.name, account.company, account.status, account.customer_type,
           account.billing_type, account.currency, account.decimals, account_balance.balance,
           account_balance.granted + CASE account.billing_type WHEN 'postpaid' THEN account.credit_limit ELSE 0 END
               AS credit,
           account.max_sessions, account.cps, parent.code AS parent, tariff.name AS tariff,
           (SELECT login FROM panel_user WHERE panel_user.account_id = account.id ORDER BY panel_user.id LIMIT 1)
               AS login,
           account.created_at, {sort_key} AS sort_key
    FROM {source}
    JOIN account_balance ON account_balance.account_id = account.id
    LEFT JOIN account AS parent ON parent.id = account.parent_id
    LEFT JOIN tariff ON tariff.id = account.tariff_id
"""

# The rows of the page are found first, and only they are joined.
_LIST: Final = """
    WITH shown AS MATERIALIZED (
        SELECT account.id, {key} AS sort_key
        FROM account JOIN account_balance ON account_balance.account_id = account.id
        WHERE {matches}
          AND ($17::bigint IS NULL OR ({key}, account.id) {beyond} ($16::{type}, $17))
        ORDER BY {key} {order}, account.id {order}
        LIMIT $18
    )
    {row}
    ORDER BY shown.sort_key {order}, account.id {order}
"""


def _list_query(sort: Sort, *, ascending: bool) -> str:
    """The list in one order, put together from the constants above when the module is loaded."""
    parts = {
        "{row}": _ROW,
        "{source}": "shown JOIN account ON account.id = shown.id",
        "{sort_key}": "shown.sort_key",
        "{matches}": _MATCHES,
        "{key}": sort.expression,
        "{type}": sort.sql_type,
        "{beyond}": ">" if ascending else "<",
        "{order}": "ASC" if ascending else "DESC",
    }
    query = _LIST
    for mark, text in parts.items():
        query = query.replace(mark, text)
    return query


_QUERIES: Final = {
    (name, ascending): _list_query(sort, ascending=ascending)
    for name, sort in SORTS.items()
    for ascending in (True, False)
}

_OF_CODES: Final = """
    WHERE account.kind = 'customer' AND account.code = ANY ($3::text[])
      AND ($1::bigint IS NULL OR account.id = $1)
      AND ($2::bigint[] IS NULL OR account.parent_id = ANY ($2))
    ORDER BY account.code
"""
_CHOSEN: Final = _ROW.replace("{source}", "account").replace("{sort_key}", "account.code") + _OF_CODES
_COUNT: Final = f"SELECT count(*) FROM (SELECT FROM account WHERE {_MATCHES} LIMIT $16) AS found"  # noqa: S608


def _folding(query: str, chosen: CustomerFilter) -> str:
    """The query without what is not needed: to fold capitals costs as much again as to compare."""
    return query if chosen.has_case else query.replace(" ILIKE ", " LIKE ")


async def _narrowing(connection: Any, scope: Scope, chosen: CustomerFilter) -> tuple[Any, ...]:  # noqa: ANN401
    """The parameters of _MATCHES: what few have is looked up first, and their ids take the place of what was typed."""
    above = await sellers(connection, scope.top)
    typed = dict(zip(_TYPED, chosen.parameters(), strict=True))
    ids: set[int] | None = None
    for name, query in _FOUND.items():
        if typed[name] is None:
            continue
        address = (typed.get(f"{name}_part"), typed.get(f"{name}_address"))
        matches, count = await connection.fetchrow(_folding(query, chosen), typed[name], *address, FEW + 1)
        if count <= FEW:
            found = set(matches or ())
            ids = found if ids is None else ids & found
            typed[name] = None
    return scope.exact, above, *typed.values(), None if ids is None else sorted(each for each in ids if each)


async def list_customers(
    pool: Pool, scope: Scope, chosen: CustomerFilter, asked: PageRequest, *, sort: str, descending: bool
) -> tuple[Page[Customer], int]:
    """A page of the customers in scope, and how many there are (no more than `COUNT_LIMIT`)."""
    query = _folding(_QUERIES[sort, descending == asked.backward], chosen)
    async with reading(pool) as connection:
        narrowing = await _narrowing(connection, scope, chosen)
        rows = await connection.fetch(query, *narrowing, *asked.parts(2), asked.size + 1)
        found: int = await connection.fetchval(_folding(_COUNT, chosen), *narrowing, COUNT_LIMIT)
    return _page(rows, asked), found


async def chosen_customers(pool: Pool, scope: Scope, codes: list[str]) -> list[Customer]:
    """Those of these codes that are in scope, by their codes."""
    async with reading(pool) as connection:
        above = await sellers(connection, scope.top)
        return [Customer(*row) for row in await connection.fetch(_CHOSEN, scope.exact, above, codes)]


def _page(rows: list[Any], asked: PageRequest) -> Page[Customer]:
    customers = [Customer(*row) for row in rows]
    return make_page(customers, asked, lambda customer: (customer.sort_key, customer.account_id))


async def all_customers(
    pool: Pool, scope: Scope, chosen: CustomerFilter, *, sort: str, descending: bool, size: int = 500
) -> AsyncIterator[Customer]:
    """Every customer of a list, page after page."""
    asked = PageRequest(size=size)
    async with reading(pool) as connection:
        narrowing = await _narrowing(connection, scope, chosen)
    query = _folding(_QUERIES[sort, not descending], chosen)
    while True:
        async with reading(pool) as connection:
            rows = await connection.fetch(query, *narrowing, *asked.parts(2), asked.size + 1)
        page = _page(rows, asked)
        for customer in page.rows:
            yield customer
        if page.next is None:
            return
        last = page.rows[-1]
        asked = PageRequest((last.sort_key, last.account_id), size=size)
