"""DIDs: the list, one of them, and changes of many, each within the scope of a login."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from admin.errors import NotFound
from admin.paging import COUNT_LIMIT, Page, PageRequest, make_page
from admin.scope import Scope
from admin.stores.carriers import like
from admin.stores.reading import Pool, reading
from admin.stores.subtree import sellers
from b2bua.account.errors import Refused
from b2bua.routing.numbering import said
from rating.ledger import Connection

STATES: Final = {"assigned": "Assigned", "free": "Free", "active": "Active", "inactive": "Inactive"}


@dataclass(frozen=True, slots=True)
class DID:
    """A number of ours."""

    did_id: int
    number: str
    status: str
    channels: int | None
    """None: no limit."""
    account_id: int | None
    account: str | None
    """Code; None: nobody's."""
    account_name: str | None
    is_customer: bool
    carrier: str | None
    """Code of who must bring the calls; None: any."""
    kind: str | None
    target: str | None
    failover_kind: str | None
    failover_target: str | None

    @property
    def title(self) -> str:
        """How the audit log names it."""
        return f"DID {self.number}"

    def destinations(self) -> dict[str, str]:
        """Where calls to it go, as the form has it."""
        names = ("kind", "target", "failover_kind", "failover_target")
        return {name: getattr(self, name) or "" for name in names}


@dataclass(frozen=True, slots=True)
class DIDFilter:
    """What the list is narrowed to; an empty field does not narrow it."""

    search: str = ""
    """Digits of the number, or a part of the account's code or name."""
    state: str = ""
    """One of STATES."""
    account: str = ""
    """Code."""

    @classmethod
    def read(cls, query: Mapping[str, str]) -> "DIDFilter":
        """Take the fields of an address."""
        state = query.get("state", "")
        return cls(
            query.get("q", "").strip()[:100],
            state if state in STATES else "",
            query.get("account", "").strip().upper()[:40],
        )

    @property
    def is_empty(self) -> bool:
        """Whether it lets everything through."""
        return self == DIDFilter()

    def parameters(self) -> tuple[str | None, ...]:
        """Pattern of the number, pattern of the account, state and account for the query."""
        digits = re.sub(r"[ ()+./-]", "", self.search)
        is_number = digits.isascii() and digits.isdigit()
        return (
            like(digits) if is_number else None,
            like(self.search) if self.search and not is_number else None,
            self.state or None,
            self.account or None,
        )


# The resellers alone: an account is visible if it, or its parent, is one of them. Customers may be very many.
_VISIBLE: Final = """
    WITH RECURSIVE seller AS (
        SELECT top.id FROM account AS top WHERE top.id = $2
        UNION ALL
        SELECT below.id FROM account AS below JOIN seller ON below.parent_id = seller.id WHERE below.kind = 'reseller'
    )
"""
_IN_SCOPE: Final = """
    ($1::bigint IS NULL OR did.account_id = $1)
      AND ($2::bigint IS NULL OR EXISTS (
          SELECT FROM account AS owner
          WHERE owner.id = did.account_id
            AND (owner.id IN (SELECT seller.id FROM seller) OR owner.parent_id IN (SELECT seller.id FROM seller))
      ))
"""
FEW: Final = 5000
"""DIDs of so many accounts are looked for by the accounts; of more, a page is found soon by reading the list."""

_OWNERS: Final = """
    SELECT array_agg(id) AS ids, count(*) AS count FROM (
        SELECT id FROM account
        WHERE ($1::bigint[] IS NULL OR id = ANY ($1) OR parent_id = ANY ($1))
          AND ($2::text IS NULL OR code LIKE upper($2) OR name ILIKE $2)
        LIMIT $3
    ) AS found
"""
# Owners are looked at one by one, in the order of the list: a join would read all of them for the first page.
_MATCHES: Final = """
    FROM did WHERE ($1::bigint IS NULL OR did.account_id = $1)
      AND ($2::bigint[] IS NULL OR (
          SELECT owner.id = ANY ($2) OR owner.parent_id = ANY ($2) FROM account AS owner WHERE owner.id = did.account_id
      ))
      AND ($3::text IS NULL OR did.number LIKE $3)
      AND ($4::text IS NULL OR (
          SELECT owner.code LIKE upper($4) OR owner.name ILIKE $4 FROM account AS owner WHERE owner.id = did.account_id
      ))
      AND ($5::text IS NULL OR CASE $5
               WHEN 'assigned' THEN did.account_id IS NOT NULL
               WHEN 'free' THEN did.account_id IS NULL
               ELSE did.status = $5
           END)
      AND ($6::text IS NULL OR did.account_id = (SELECT id FROM account WHERE code = $6))
      AND ($7::bigint[] IS NULL OR did.account_id = ANY ($7))
"""
_COLUMNS: Final = """
    SELECT did.id AS did_id, did.number, did.status, did.channels, did.account_id, account.code AS account,
           account.name AS account_name, coalesce(account.kind = 'customer', false) AS is_customer,
           carrier.code AS carrier, one.kind, one.target, two.kind AS failover_kind, two.target AS failover_target
"""
_JOINS: Final = """
    LEFT JOIN account ON account.id = did.account_id
    LEFT JOIN carrier ON carrier.id = did.carrier_id
    LEFT JOIN LATERAL (
        SELECT did_destination.kind,
               coalesce(sip_user.username, host(ip_device.address), did_destination.number) AS target
        FROM did_destination
        LEFT JOIN sip_user ON sip_user.id = did_destination.sip_user_id
        LEFT JOIN ip_device ON ip_device.id = did_destination.ip_device_id
        WHERE did_destination.did_id = did.id AND did_destination.priority = 1
    ) AS one ON true
    LEFT JOIN LATERAL (
        SELECT did_destination.kind,
               coalesce(sip_user.username, host(ip_device.address), did_destination.number) AS target
        FROM did_destination
        LEFT JOIN sip_user ON sip_user.id = did_destination.sip_user_id
        LEFT JOIN ip_device ON ip_device.id = did_destination.ip_device_id
        WHERE did_destination.did_id = did.id AND did_destination.priority = 2
    ) AS two ON true
"""


def _page(place: str, order: str) -> str:
    """The rows of the page are found first, and only they are joined."""
    return f"""
        WITH shown AS MATERIALIZED (SELECT did.* {_MATCHES} AND {place} ORDER BY did.number {order} LIMIT $9)
        {_COLUMNS} FROM shown AS did {_JOINS} ORDER BY did.number {order}
    """  # noqa: S608 — of constants, when the module is loaded


_FORWARD: Final = _page("($8::text IS NULL OR did.number > $8)", "")
_BACKWARD: Final = _page("did.number < $8::text", "DESC")
_COUNT: Final = f"SELECT count(*) FROM (SELECT {_MATCHES} LIMIT $8) AS counted"  # noqa: S608
_ONE: Final = f"{_VISIBLE} {_COLUMNS} FROM did {_JOINS} WHERE {_IN_SCOPE} AND did.number = $3"
_MANY: Final = f"""
    {_VISIBLE} SELECT did.id, did.number FROM did WHERE {_IN_SCOPE} AND did.number = ANY ($3::text[]) FOR UPDATE OF did
"""  # noqa: S608


_ACCOUNT: Final = (
    _VISIBLE  # noqa: S608
    + """
    SELECT account.id FROM account
    WHERE code = $3 AND status <> 'closed' AND ($1::bigint IS NULL OR account.id = $1)
      AND ($2::bigint IS NULL OR account.id IN (SELECT seller.id FROM seller)
           OR account.parent_id IN (SELECT seller.id FROM seller))
"""
)


async def list_dids(pool: Pool, scope: Scope, chosen: DIDFilter, asked: PageRequest) -> tuple[Page[DID], int]:
    """A page of the DIDs in scope, by number, and how many there are: exact up to COUNT_LIMIT."""
    async with reading(pool) as connection:
        narrowed = await _narrowing(connection, scope, chosen)
        rows = await connection.fetch(
            _BACKWARD if asked.backward else _FORWARD, *narrowed, *asked.parts(1), asked.size + 1
        )
        total: int = await connection.fetchval(_COUNT, *narrowed, COUNT_LIMIT + 1)
    return make_page([DID(*row) for row in rows], asked, lambda did: (did.number,)), total


async def _narrowing(connection: Connection, scope: Scope, chosen: DIDFilter) -> tuple[Any, ...]:
    """The parameters of _MATCHES: a few accounts are looked up, and their ids take the place of what finds them."""
    above = await sellers(connection, scope.top)
    number, account, state, code = chosen.parameters()
    ids = None
    if above is not None or account is not None:
        found = await connection.fetchrow(_OWNERS, above, account, FEW + 1)
        assert found is not None
        if found["count"] <= FEW:
            above, account, ids = None, None, found["ids"] or []
    return scope.exact, above, number, account, state, code, ids


async def find_did(source: Pool | Connection, scope: Scope, number: str) -> DID:
    """Find a DID.

    Raises:
        NotFound: there is none of this number in scope.
    """
    record = await source.fetchrow(_ONE, scope.exact, scope.top, number)
    if record is None:
        raise NotFound
    return DID(*record)


async def account_id(source: Pool | Connection, scope: Scope, code: str) -> int | None:
    """The account in scope of a code. No code: nobody, or for a reseller itself: its numbers stay its own.

    Raises:
        Refused: there is no such account in scope that is open.
    """
    if not code:
        return scope.account_id
    found: int | None = await source.fetchval(
        _ACCOUNT,
        scope.exact,
        scope.top,
        code,
    )
    if found is None:
        raise Refused("account", f"Account must be the code of one of your accounts; there is no {code}")
    return found


async def find_many(connection: Connection, scope: Scope, numbers: Sequence[str]) -> list[int]:
    """Ids of DIDs, held until the change of them is made.

    Raises:
        Refused: some are not in scope.
    """
    records = await connection.fetch(_MANY, scope.exact, scope.top, list(numbers))
    missing = sorted(set(numbers) - {record["number"] for record in records})
    if missing:
        raise Refused(
            "numbers", f"Numbers must be DIDs of yours; {said(missing)} {'is' if len(missing) == 1 else 'are'} not"
        )
    return [record["id"] for record in records]


async def assign_many(connection: Connection, ids: Sequence[int], account: int | None) -> int:
    """Give DIDs to an account, and return how many were not its before; those forget where their calls went."""
    status: str = await connection.execute(
        "UPDATE did SET account_id = $2 WHERE id = ANY ($1::bigint[]) AND account_id IS DISTINCT FROM $2",
        list(ids),
        account,
    )
    return int(status.rpartition(" ")[2])


async def set_status_of_many(connection: Connection, ids: Sequence[int], status: str) -> int:
    """Suspend or activate DIDs, and return how many were changed."""
    done: str = await connection.execute(
        "UPDATE did SET status = $2 WHERE id = ANY ($1::bigint[]) AND status <> $2", list(ids), status
    )
    return int(done.rpartition(" ")[2])
