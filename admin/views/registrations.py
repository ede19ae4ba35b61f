"""Registrations: the telephones that are there now, and removing one."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from aiohttp import web

from admin import audit, render
from admin.errors import NotFound
from admin.keys import CONTROL, POOL, USER
from admin.paging import COUNT_LIMIT, KeyParts, make_page, page_request
from b2bua.control.client import ControlClient
from b2bua.control.messages import REGISTRATIONS_LIMIT, ControlError, Message

KEY: Final[KeyParts] = (str, str)
"""Name and contact."""

SILENT: Final = 3
"""After so many OPTIONS in a row without an answer a telephone is shown as silent."""


@dataclass(frozen=True, slots=True)
class Registration:
    """A row of the list."""

    sip_user_id: int
    username: str
    account: str
    contact: str
    source: str
    transport: str
    user_agent: str
    worker: str
    registered_at: datetime
    expires_at: datetime
    way: tuple[str, str]
    """Kind and word of the badge that says how the way to it is kept open."""
    last_seen: datetime | None

    @classmethod
    def read(cls, row: Mapping[str, Any]) -> "Registration":
        """Take it from a worker's answer."""
        last_seen = row.get("last_seen")
        return cls(
            row["sip_user_id"],
            row["username"],
            row["account"],
            row["contact"],
            row["source"],
            row["transport"],
            row["user_agent"],
            row["worker"],
            datetime.fromtimestamp(row["registered_at"], UTC),
            datetime.fromtimestamp(row["expires_at"], UTC),
            _way(row),
            None if last_seen is None else datetime.fromtimestamp(last_seen, UTC),
        )

    @property
    def key(self) -> tuple[str, str]:
        """Its place in the list."""
        return self.username, self.contact


def _way(row: Mapping[str, Any]) -> tuple[str, str]:
    if not row.get("keep_alive"):
        return "mute", "Behind NAT, not kept open" if row.get("behind_nat") else "No NAT"
    if row.get("unanswered", 0) >= SILENT:
        return "warn", "Silent"
    return ("ok", "Answers") if row.get("last_seen") is not None else ("info", "Kept open")


async def show_list(request: web.Request) -> web.StreamResponse:
    """Show a page of the registrations in scope."""
    search = request.query.get("q", "").strip()[:100]
    asked = page_request(request.query, KEY)
    total, rows = await request.app[CONTROL].registrations(
        request[USER].scope.account_ids,
        asked.size + 1,
        search=search,
        after=None if asked.backward else _place(asked.key),
        before=_place(asked.key) if asked.backward else None,
    )
    found = [Registration.read(row) for row in rows]
    if asked.backward:
        found.reverse()  # as a query for the rows before one has them
    page = make_page(found, asked, lambda registration: registration.key)
    context = {"page": page, "total": total, "count_limit": COUNT_LIMIT, "search": search}
    return await render.page(request, "registrations/list", context)


def _place(key: tuple[Any, ...] | None) -> tuple[str, str] | None:
    return None if key is None else (str(key[0]), str(key[1]))


async def remove(request: web.Request) -> web.StreamResponse:
    """Remove one registration in scope: no call reaches the telephone until it registers again."""
    contact = request.query.get("contact", "")
    try:
        sip_user_id = int(request.match_info["sip_user_id"])
    except ValueError:
        raise NotFound from None
    control, scope = request.app[CONTROL], request[USER].scope
    row = await _find(control, scope.account_ids, sip_user_id, contact)
    if not row and scope.account_id is not None:
        raise NotFound  # of somebody else, or gone
    if not row:
        return await render.done_in_place(request, "That telephone was not registered any more", "registration.list")
    try:
        removed = await control.remove_registration(sip_user_id, contact)
    except ControlError as error:
        raise web.HTTPBadGateway from error
    if removed:
        await _keep(request, contact, row)
    return await render.done_in_place(request, f"Registration of {row['username']} removed", "registration.list")


async def _keep(request: web.Request, contact: str, row: Message) -> None:
    old = {name: row[name] for name in ("username", "source", "user_agent")} | {"contact": contact}
    async with request.app[POOL].acquire(timeout=5) as connection, connection.transaction():
        subject = f"registration of {row['username']}"
        await audit.write(connection, request, "registration.remove", subject, account_id=row["account_id"], old=old)


async def _find(control: ControlClient, account_ids: list[int] | None, sip_user_id: int, contact: str) -> Message:
    """The registration as a worker shows it; empty: there is none in scope."""
    _total, rows = await control.registrations(account_ids, REGISTRATIONS_LIMIT, search=contact)
    return next((row for row in rows if row["sip_user_id"] == sip_user_id and row["contact"] == contact), {})
