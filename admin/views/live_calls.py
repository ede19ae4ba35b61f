"""Live calls: the list that keeps itself up to date, and hanging up."""

import hashlib
import time
from typing import Any, Final
from uuid import UUID

import orjson
from aiohttp import web

from admin import audit, live, render
from admin.errors import NotFound
from admin.keys import CONTROL, PICTURES, POOL, USER
from admin.views import streams
from admin.views.customer_frame import find, place
from b2bua.control.messages import CALLS_LIMIT, Message

SHOWN: Final = 100
"""Most calls of the list."""

INTERVAL: Final = 2.0
"""Seconds between pictures."""


async def show_list(request: web.Request) -> web.StreamResponse:
    """Show the calls in scope; the page then opens the stream."""
    return await render.page(request, "live_calls/list", await _context(request))


async def stream(request: web.Request) -> web.StreamResponse:
    """Send the calls in scope whenever they change."""
    user = request[USER]
    key = ("calls", user.role, user.account_id)

    async def picture() -> live.Picture:
        return await request.app[PICTURES].get(key, INTERVAL / 2, lambda: _picture(request))

    return await streams.follow(request, picture, INTERVAL)


async def _context(request: web.Request) -> dict[str, Any]:
    total, calls = await request.app[CONTROL].calls(request[USER].scope.account_ids, limit=SHOWN)
    return {"calls": calls, "total": total, "shown": SHOWN, "clock": time.time()}


async def _picture(request: web.Request) -> live.Picture:
    context = await _context(request)
    # Durations tick in the browser: a picture is new when the calls are, not when time has passed.
    version = hashlib.sha256(orjson.dumps([context["total"], context["calls"]])).hexdigest()
    return live.Picture(version, render.part(request, "live_calls/_stream", context))


async def hang_up_all(request: web.Request) -> web.StreamResponse:
    """End every call of an account, and of those below it."""
    account = await find(request)
    ended = await request.app[CONTROL].hang_up(account_id=account.account_id)
    if ended:
        await _keep(request, "account_call.hang_up", account.title, account.account_id, {"calls": ended})
    calls = "1 call" if ended == 1 else f"{ended} calls"
    await render.flash(request, f"{calls} of {account.name} hung up" if ended else "There was no call to hang up")
    return render.see_other(place(request, account, "customer.details"))


async def _keep(request: web.Request, action: str, subject: str, account_id: int | None, facts: Message) -> None:
    """Note it in the audit log once it is done: no fault of the database keeps a call up."""
    told = ("account", "source", "destination", "state", "calls")
    old = {name: facts[name] for name in told if facts.get(name) is not None}
    async with request.app[POOL].acquire(timeout=5) as connection, connection.transaction():
        await audit.write(connection, request, action, subject, account_id=account_id, old=old)


async def hang_up(request: web.Request) -> web.StreamResponse:
    """End one call in scope."""
    try:
        call_id = str(UUID(request.match_info["call_id"]))
    except ValueError:
        raise NotFound from None
    control, scope = request.app[CONTROL], request[USER].scope
    _total, calls = await control.calls(scope.account_ids, limit=CALLS_LIMIT)
    call: Message = next((call for call in calls if call["call_id"] == call_id), {})
    if not call and scope.account_id is not None:
        raise NotFound  # of somebody else, or over
    ended = await control.hang_up(call_id=call_id)
    if ended:
        await _keep(request, "call.hang_up", f"call {call_id}", call.get("account_id"), call)
    if not ended:
        return await render.done(request, "The call had already ended", "call.list")
    number = f" to {call['destination']}" if call else ""
    return await render.done(request, f"Call{number} hung up", "call.list")
