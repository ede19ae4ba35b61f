"""The audit log as it is read: entries are never changed, and listed with the newest first."""

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any, Final

import orjson

from admin.format import parse_input_time
from admin.paging import KeyParts, Page, PageRequest, make_page
from admin.scope import Scope
from admin.stores.reading import Pool, reading
from admin.stores.subtree import sellers

KEY: Final[KeyParts] = (int,)
"""Parts of a cursor: id."""


async def add_refusal(pool: Pool, login: str, what: str, *, counts: bool, source: str, request_id: str) -> None:
    """Add an entry about a sign-in that was refused, if there is such a login and the attempt was counted."""
    await pool.execute(
        """
        INSERT INTO audit_entry (login, role, action, account_id, object, new, source, request_id)
        SELECT panel_user.login, panel_user.role,
               CASE WHEN panel_user.locked_until > now() THEN 'session.locked' ELSE 'session.refused' END,
               panel_user.account_id, 'login ' || panel_user.login, jsonb_build_object('wrong', $2::text), $3, $4
        FROM panel_user WHERE panel_user.login = $1 AND $5
        """,
        login,
        what,
        source,
        request_id,
        counts,
    )


@dataclass(frozen=True, slots=True)
class Kept:
    """An entry as the list shows it."""

    entry_id: int
    at: datetime
    login: str
    role: str
    acting_as: str
    action: str
    account: str | None
    """Code of the account that it concerns; None: of none, or of one that is gone."""
    is_customer: bool
    subject: str
    old: Mapping[str, Any] | None
    new: Mapping[str, Any] | None
    source: str
    request_id: str


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """What the list is narrowed to; an empty field does not narrow it."""

    login: str = ""
    """Begins the login or the one that it had switched to."""
    what: str = ""
    """An action."""
    account: str = ""
    """Code: the account and those below it."""
    since: datetime | None = None
    until: datetime | None = None

    @classmethod
    def read(cls, query: Mapping[str, str], zone: tzinfo) -> "AuditFilter":
        """Take the fields of an address, whose times are on the clock of a zone."""
        return cls(
            login=query.get("login", "").strip()[:100],
            what=query.get("what", "").strip()[:40],
            account=query.get("account", "").strip().upper()[:40],
            since=parse_input_time(query.get("since", ""), zone),
            until=parse_input_time(query.get("until", ""), zone),
        )

    @property
    def is_empty(self) -> bool:
        """Whether it lets everything through."""
        return self == AuditFilter()

    def parameters(self) -> tuple[Any, ...]:
        """Login, action, account, since, until for the query."""
        login = re.sub(r"([\\%_])", r"\\\1", self.login)
        return f"{login}%" if login else None, self.what or None, self.account or None, self.since, self.until


_LIST: Final = """
    SELECT audit_entry.id, audit_entry.at, audit_entry.login, audit_entry.role, audit_entry.acting_as,
           audit_entry.action, account.code AS account, coalesce(account.kind = 'customer', false) AS is_customer,
           audit_entry.object, audit_entry.old, audit_entry.new, audit_entry.source, audit_entry.request_id
    FROM audit_entry
    LEFT JOIN account ON account.id = audit_entry.account_id
    WHERE ($1::bigint IS NULL OR audit_entry.account_id = $1)
      AND ($2::bigint[] IS NULL OR account.id = ANY ($2) OR account.parent_id = ANY ($2))
      AND ($3::text IS NULL OR audit_entry.login ILIKE $3 OR audit_entry.acting_as ILIKE $3)
      AND ($4::text IS NULL OR audit_entry.action = $4)
      AND ($5::text IS NULL OR audit_entry.account_id = ANY ($10::bigint[]) OR account.parent_id = ANY ($10)
           OR (account.id IS NULL AND audit_entry.object = 'account ' || $5))
      AND ($6::timestamptz IS NULL OR audit_entry.at >= $6)
      AND ($7::timestamptz IS NULL OR audit_entry.at < $7)
"""

_ACCOUNT: Final = "SELECT id FROM account WHERE code = $1"

_OLDER: Final = """
      AND ($8::bigint IS NULL OR audit_entry.id < $8)
    ORDER BY audit_entry.id DESC
    LIMIT $9
"""

_NEWER: Final = """
      AND audit_entry.id > $8
    ORDER BY audit_entry.id
    LIMIT $9
"""


async def list_entries(pool: Pool, scope: Scope, chosen: AuditFilter, asked: PageRequest) -> Page[Kept]:
    """A page of the entries about the accounts in scope, newest first; those about no account are for staff."""
    query = _LIST + (_NEWER if asked.backward else _OLDER)
    async with reading(pool) as connection:
        visible = await sellers(connection, scope.top)
        named = await sellers(connection, await connection.fetchval(_ACCOUNT, chosen.account)) or []
        narrowing = (scope.exact, visible, *chosen.parameters())
        rows = await connection.fetch(query, *narrowing, *asked.parts(1), asked.size + 1, named)
    return make_page([_kept(row) for row in rows], asked, lambda entry: (entry.entry_id,))


async def all_entries(pool: Pool, scope: Scope, chosen: AuditFilter, *, size: int = 500) -> AsyncIterator[Kept]:
    """Every entry of a list, page after page."""
    asked = PageRequest(size=size)
    while True:
        page = await list_entries(pool, scope, chosen, asked)
        for entry in page.rows:
            yield entry
        if page.next is None:
            return
        asked = PageRequest((page.rows[-1].entry_id,), size=size)


def _kept(row: Any) -> Kept:  # noqa: ANN401 - asyncpg's row
    return Kept(
        entry_id=row["id"],
        at=row["at"],
        login=row["login"],
        role=row["role"],
        acting_as=row["acting_as"],
        action=row["action"],
        account=row["account"],
        is_customer=row["is_customer"],
        subject=row["object"],
        old=_values(row["old"]),
        new=_values(row["new"]),
        source=row["source"],
        request_id=row["request_id"],
    )


def _values(text: str | None) -> Mapping[str, Any] | None:
    values: Any = None if text is None else orjson.loads(text)
    return values if isinstance(values, dict) else None
