"""The overview: what the switch does now, and whether it is well."""

import time
from typing import Any, Final

import orjson
from aiohttp import web

from admin import format as formats
from admin import health, live, render
from admin.keys import CONTROL, PICTURES, POOL, USER
from admin.permissions import Permission
from admin.stores.overview import Traffic, read_own_account, read_traffic
from admin.stores.users import User
from admin.views import streams
from b2bua.control.messages import CALLS_LIMIT, Message

INTERVAL: Final = 5.0
"""Seconds between pictures."""


async def show(request: web.Request) -> web.StreamResponse:
    """Show the figures in scope; the page then opens the stream."""
    return await render.page(request, "overview/show", await _figures(request))


async def stream(request: web.Request) -> web.StreamResponse:
    """Send the figures in scope."""

    async def picture() -> live.Picture:
        html = render.part(request, "overview/_stream", await _figures(request))
        return live.Picture(html, html)

    return await streams.follow(request, picture, INTERVAL)


async def _figures(request: web.Request) -> dict[str, Any]:
    user = request[USER]
    key = ("overview", user.role, user.account_id)
    figures: dict[str, Any] = await request.app[PICTURES].get(key, INTERVAL / 2, lambda: _look(request.app, user))
    return figures


async def _look(app: web.Application, user: User) -> dict[str, Any]:
    is_staff = user.may(Permission.CARRIERS_READ)
    total, calls = await app[CONTROL].calls(user.scope.account_ids, limit=CALLS_LIMIT)
    traffic = await read_traffic(app[POOL], user.scope, gateways=is_staff)
    account_id = user.scope.account_id
    return {
        "calls_now": total,
        "rate": _rate(traffic, total, calls),
        "traffic": traffic,
        "most_refusals": max((refusal.calls for refusal in traffic.refusals), default=0),
        "chart": _chart(traffic),
        "account": await read_own_account(app[POOL], account_id) if account_id is not None else None,
        "health": await health.look(app) if user.may(Permission.SYSTEM_READ) else None,
        "last_15_minutes": formats.ago(health.QUARTER),
    }


def _rate(traffic: Traffic, total: int, calls: list[Message]) -> float:
    """Calls per second over the last minute: those still up and those that ended already."""
    if total > len(calls):
        # Not every live call is in the answer; over a minute as many end as begin.
        return traffic.ended_last_minute / 60
    begun = sum(1 for call in calls if call["received_at"] > time.time() - 60)
    return (begun + traffic.received_last_minute) / 60


def _chart(traffic: Traffic) -> str:
    """Data of the chart as JSON that may stand inside an element."""
    columns = [
        [int(minute.start.timestamp()) for minute in traffic.minutes],
        [minute.answered for minute in traffic.minutes],
        [minute.calls - minute.answered for minute in traffic.minutes],
    ]
    return orjson.dumps(columns).decode().replace("<", "\\u003c")
