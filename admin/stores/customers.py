"""Customers as the list shows them."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from admin.paging import COUNT_LIMIT, KeyParts, Page, PageRequest, make_page
from admin.scope import Scope
from admin.stores.reading import Pool, reading

STATUSES: Final = ("active", "suspended", "closed")


@dataclass(frozen=True, slots=True)
class Customer:
    """A row of the list."""

    account_id: int
    code: str
    name: str
    company: str
    status: str
    billing_type: str
    currency: str
    decimals: int
    balance: Decimal
    max_sessions: int | None
    """None: no limit."""
    parent: str | None
    """Code of the reseller above."""
    sort_key: str | Decimal


@dataclass(frozen=True, slots=True)
class CustomerFilter:
    """What the list is narrowed to; an empty field does not narrow it."""

    search: str = ""
    status: str = ""

    @classmethod
    def read(cls, query: Mapping[str, str]) -> "CustomerFilter":
        """Take the fields of an address; a status that does not exist is none."""
        status = query.get("status", "")
        return cls(query.get("q", "").strip()[:100], status if status in STATUSES else "")

    def parameters(self) -> tuple[str | None, str | None, str | None]:
        """The pattern, the address and the status for the query."""
        escaped = self.search.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        return f"%{escaped}%" if self.search else None, _address(self.search), self.status or None


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
    "balance": Sort("account_balance.balance", "numeric", Decimal),
}

_VISIBLE: Final = """
    WITH RECURSIVE subtree AS (
        SELECT account.id FROM account WHERE account.id = $2
        UNION ALL
        SELECT account.id FROM account JOIN subtree ON account.parent_id = subtree.id
    )
"""

_MATCHES: Final = """
    account.kind = 'customer'
    AND ($1::bigint IS NULL OR account.id = $1)
    AND ($2::bigint IS NULL OR account.id IN (SELECT subtree.id FROM subtree))
    AND ($3::text IS NULL
         OR account.code ILIKE $3 OR account.name ILIKE $3 OR account.company ILIKE $3
         OR EXISTS (SELECT FROM ip_device WHERE ip_device.account_id = account.id
                    AND (ip_device.address::text LIKE $3 OR ip_device.address >>= $4::text::inet))
         OR EXISTS (SELECT FROM sip_user WHERE sip_user.account_id = account.id AND sip_user.username ILIKE $3))
    AND ($5::text IS NULL OR account.status = $5)
"""

_LIST: Final = """
    {visible}
    SELECT account.id, account.code, account.name, account.company, account.status, account.billing_type,
           account.currency, account.decimals, account_balance.balance, account.max_sessions,
           parent.code AS parent, {key} AS sort_key
    FROM account
    JOIN account_balance ON account_balance.account_id = account.id
    LEFT JOIN account AS parent ON parent.id = account.parent_id
    WHERE {matches}
      AND ($7::bigint IS NULL OR ({key}, account.id) {beyond} ($6::{type}, $7))
    ORDER BY {key} {order}, account.id {order}
    LIMIT $8
"""


def _list_query(sort: Sort, *, ascending: bool) -> str:
    """The list in one order, put together from the constants above when the module is loaded."""
    parts = {
        "{visible}": _VISIBLE,
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

_COUNT: Final = (
    _VISIBLE + "SELECT count(*) FROM (SELECT FROM account WHERE " + _MATCHES + " LIMIT $6) AS found"  # noqa: S608
)


async def list_customers(
    pool: Pool, scope: Scope, chosen: CustomerFilter, asked: PageRequest, *, sort: str, descending: bool
) -> tuple[Page[Customer], int]:
    """A page of the customers in scope, and how many there are (no more than `COUNT_LIMIT`)."""
    narrowing = (scope.exact, scope.top, *chosen.parameters())
    query = _QUERIES[sort, descending == asked.backward]
    async with reading(pool) as connection:
        rows = await connection.fetch(query, *narrowing, *asked.parts(2), asked.size + 1)
        found: int = await connection.fetchval(_COUNT, *narrowing, COUNT_LIMIT)
    customers = [
        Customer(
            row["id"],
            row["code"],
            row["name"],
            row["company"],
            row["status"],
            row["billing_type"],
            row["currency"],
            row["decimals"],
            row["balance"],
            row["max_sessions"],
            row["parent"],
            row["sort_key"],
        )
        for row in rows
    ]
    return make_page(customers, asked, lambda customer: (customer.sort_key, customer.account_id)), found
