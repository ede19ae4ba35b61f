"""The audit log: who changed what, when, from what to what."""

from datetime import UTC
from typing import Final

from aiohttp import web

from admin import export, render
from admin.difference import ACTIONS, Change, difference
from admin.errors import NotFound
from admin.keys import POOL, USER
from admin.paging import page_request
from admin.permissions import STAFF, Permission
from admin.stores.audits import KEY, AuditFilter, Kept, all_entries, list_entries
from admin.stores.users import User

SHOWN: Final = 3
"""Fields of an entry that are shown before it is opened."""


async def show_list(request: web.Request) -> web.StreamResponse:
    """Show a page of the entries in scope, newest first."""
    user = request[USER]
    chosen = AuditFilter.read(request.query, user.zone)
    page = await list_entries(request.app[POOL], user.scope, chosen, page_request(request.query, KEY))
    context = {
        "page": page,
        "filter": chosen,
        "actions": ACTIONS,
        "changes": {entry.entry_id: _changes(user, entry) for entry in page.rows},
        "shown": SHOWN,
        "sees_sources": _sees_sources(user),
        "formats": export.NOTES,
    }
    return await render.page(request, "audit_log/list", context)


async def write_file(request: web.Request) -> web.StreamResponse:
    """Send everything that is listed, all pages, as a file."""
    kind = request.query.get("format", "csv")
    if kind not in export.TYPES:
        raise NotFound
    user = request[USER]
    chosen = AuditFilter.read(request.query, user.zone)
    heads = ["Time (UTC)", "Login", "Role", "Working as", "Action", "Account", "Object", "Changes"]
    widths = [32, 22, 20, 22, 28, 20, 50, 90]
    if _sees_sources(user):
        heads += ["Address", "Request"]
        widths += [26, 26]

    async def rows() -> export.Rows:
        async for entry in all_entries(request.app[POOL], user.scope, chosen):
            yield _row(user, entry)

    sheet = export.Sheet("Audit log", "audit-log", heads, widths)
    return await export.send(request, kind, sheet, rows(), has_times=True)


def _changes(user: User, entry: Kept) -> list[Change]:
    return difference(entry.old, entry.new, money=user.may(Permission.MONEY_READ))


def _sees_sources(user: User) -> bool:
    """Where the operator's people sit is nothing for resellers."""
    return user.role in STAFF


def _row(user: User, entry: Kept) -> list[export.Value]:
    return [
        f"{entry.at.astimezone(UTC):%Y-%m-%d %H:%M:%S}",
        entry.login,
        entry.role,
        entry.acting_as,
        entry.action,
        entry.account or "",
        entry.subject,
        "\n".join(str(change) for change in _changes(user, entry)),
        *((entry.source, entry.request_id) if _sees_sources(user) else ()),
    ]
