"""Bans: sources that get no answer, as the live store has them for every worker; adding and lifting one."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from aiohttp import web

from admin import audit, render
from admin.forms.ban import INPUTS, LONGEST, read_minutes
from admin.forms.field import Filled, typed
from admin.keys import CONTROL, POOL, SETTINGS, USER
from admin.paging import KeyParts, Page, PageRequest, make_page, page_request
from b2bua.control.messages import BANS_LIMIT, ControlError, Refused

KEY: Final[KeyParts] = (float, str)
"""Since when, and address."""


@dataclass(frozen=True, slots=True)
class Ban:
    """A row of the list."""

    address: str
    """Or `user@address`: a user that is refused where the address cannot be banned."""
    since: datetime
    until: datetime
    by: str
    reason: str

    @classmethod
    def read(cls, row: Mapping[str, Any]) -> "Ban":
        """Take it from a worker's answer."""
        since, until = (datetime.fromtimestamp(row[name], UTC) for name in ("since", "until"))
        return cls(row["address"], since, until, row["by"], row["reason"])

    @property
    def key(self) -> tuple[float, str]:
        """Its place in the list, which begins with the latest."""
        return -self.since.timestamp(), self.address


async def show_list(request: web.Request) -> web.StreamResponse:
    """Show a page of the bans, with an empty form."""
    return await _page(request, {"minutes": str(-(-request.app[SETTINGS].ban.time // 60))}, {})


async def add(request: web.Request) -> web.StreamResponse:
    """Ban a source; every worker drops what it sends within a second."""
    values = typed(await request.post(), INPUTS)
    source, minutes = values["source"].strip(), read_minutes(values["minutes"])
    if minutes is None:
        return await _page(request, values, {"minutes": f"How long must be 1 to {LONGEST:,} minutes, like 15"})
    user = request[USER]
    by, reason = f"panel: {user.switched_by or user.login}", values["reason"].strip()
    try:
        async with request.app[POOL].acquire(timeout=5) as connection, connection.transaction():
            # Said last: where no worker does it, nothing is kept of it either.
            new = {"minutes": minutes, "reason": reason}
            await audit.write(connection, request, "ban.add", f"source {source}", new=new)
            address = await request.app[CONTROL].ban(source, minutes * 60, by=by, reason=reason)
    except Refused as refused:
        return await _page(request, values, {"source": refused.reason})
    except ControlError as error:
        return await _page(request, values, {"": str(error)})
    return await render.done(request, f"{address} is banned: what it sends gets no answer", "ban.list")


async def lift(request: web.Request) -> web.StreamResponse:
    """Lift one ban; every worker hears the source again within a second."""
    control, source = request.app[CONTROL], request.query.get("source", "")[:200]
    try:
        _total, rows = await control.bans(source, BANS_LIMIT)
        ban = next((Ban.read(row) for row in rows if row["address"] == source), None)
        if ban is None:
            return await render.done_in_place(request, "That source was not banned any more", "ban.list")
        async with request.app[POOL].acquire(timeout=5) as connection, connection.transaction():
            old = {"since": str(ban.since), "until": str(ban.until), "by": ban.by, "reason": ban.reason}
            await audit.write(connection, request, "ban.lift", f"source {source}", old=old)
            await control.unban(source)
    except ControlError as error:
        raise web.HTTPBadGateway from error
    return await render.done_in_place(request, f"Ban of {source} lifted", "ban.list")


async def _page(request: web.Request, values: Mapping[str, str], errors: Mapping[str, str]) -> web.StreamResponse:
    search = request.query.get("q", "").strip()[:64]
    asked, fault = page_request(request.query, KEY), ""
    try:
        total, rows = await request.app[CONTROL].bans(search, BANS_LIMIT)
    except ControlError as error:
        total, rows, fault = 0, [], error.reason if isinstance(error, Refused) else str(error)
    context = {
        "page": _cut([Ban.read(row) for row in rows], asked),
        "total": total,
        "told": len(rows),
        "search": search,
        "fault": fault,
        "form": Filled(values, errors),
        "inputs": INPUTS,
    }
    return await render.page(request, "bans/list", context, status=422 if errors else 503 if fault else 200)


def _cut(bans: list[Ban], asked: PageRequest) -> Page[Ban]:
    """One page of those that a worker told."""
    bans = sorted(bans, key=lambda ban: ban.key)
    if asked.key is not None:
        beside = (float(asked.key[0]), str(asked.key[1]))
        bans = [ban for ban in bans if (ban.key < beside if asked.backward else ban.key > beside)]
    if asked.backward:
        bans.reverse()  # as a query for the rows before one has them
    return make_page(bans[: asked.size + 1], asked, lambda ban: ban.key)
