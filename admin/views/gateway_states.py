"""Gateway states: which are down and since when, where they are, our registrations there, sessions taken."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from aiohttp import web

from admin import render
from admin.keys import CONTROL, PICTURES, POOL
from admin.paging import page_request
from admin.stores.gateways import KEY, STATES, Gateway, GatewayFilter, list_gateways
from b2bua.control.client import ControlClient
from b2bua.control.messages import Message

SHARED_FOR: Final = 1.0
"""Seconds that one look at the workers serves for."""

_BEST_FIRST: Final = ("registered", "failed", "trying", "elsewhere")
"""A worker that has the registration knows it better than one that has it not."""
_REGISTRATION_BADGES: Final = {
    "registered": ("ok", "Registered"),
    "failed": ("bad", "Not registered"),
    "trying": ("info", "Registering"),
    "elsewhere": ("mute", "By another machine"),
}


@dataclass(frozen=True, slots=True)
class Registration:
    """Ours at a gateway."""

    badge: tuple[str, str]
    """Kind and word."""
    user: str
    registered_until: datetime | None
    next_at: datetime | None
    reason: str


@dataclass(slots=True)
class Picture:
    """What the workers of this machine know of gateways."""

    workers: int = 0
    """How many answered."""
    down: Counter[int] = field(default_factory=Counter)
    """At how many workers a gateway is down."""
    since: dict[int, datetime] = field(default_factory=dict)
    servers: dict[str, list[str]] = field(default_factory=dict)
    """By the name of the gateway."""
    sessions: Counter[int] = field(default_factory=Counter)
    registrations: dict[int, Registration] = field(default_factory=dict)

    def badge(self, gateway: Gateway) -> tuple[str, str]:
        """Kind and word of the state of a gateway."""
        if not gateway.is_on:
            return "mute", "Off"
        if not self.workers:
            return "mute", "Unknown"
        at = self.down[gateway.gateway_id or 0]
        if not at:
            return "ok", "Up"
        return "bad", "Down" if at == self.workers else f"Down at {at} of {self.workers} workers"


async def show_list(request: web.Request) -> web.StreamResponse:
    """Show a page of the gateways with what the workers know of them."""
    chosen = GatewayFilter.read(request.query)
    picture: Picture = await request.app[PICTURES].get("gateways", SHARED_FOR, lambda: _look(request.app[CONTROL]))
    page = await list_gateways(request.app[POOL], chosen, list(picture.down), page_request(request.query, KEY))
    context = {"page": page, "filter": chosen, "states": STATES, "picture": picture}
    return await render.page(request, "gateway_states/list", context)


async def _look(control: ControlClient) -> Picture:
    states, registrations = await asyncio.gather(
        control.request_all("gateways"), control.request_all("carrier_registrations")
    )
    now, picture = datetime.now(UTC), Picture(workers=len(states))
    for answer in states:
        _add_state(picture, answer, now)
    found = [each for answer in registrations for each in answer["registrations"]]
    picture.registrations = _best(found)
    return picture


def _add_state(picture: Picture, answer: Message, now: datetime) -> None:
    for key, seconds in answer["down"].items():
        began = now - timedelta(seconds=seconds)
        picture.down[int(key)] += 1
        picture.since[int(key)] = min(began, picture.since.get(int(key), began))
    for key, count in answer.get("sessions", {}).items():
        picture.sessions[int(key)] += count
    for name, places in answer.get("servers", {}).items():
        known = picture.servers.setdefault(name, [])
        known += [place for place in places if place not in known]


def _best(found: Sequence[Mapping[str, Any]]) -> dict[int, Registration]:
    worst_first = sorted(found, key=lambda each: _BEST_FIRST.index(each["state"]), reverse=True)
    return {each["gateway_id"]: _registration(each) for each in worst_first}


def _registration(row: Mapping[str, Any]) -> Registration:
    until, next_at = (
        None if row[name] is None else datetime.fromtimestamp(row[name], UTC)
        for name in ("registered_until", "next_at")
    )
    return Registration(_REGISTRATION_BADGES[row["state"]], row["user"], until, next_at, row["reason"])
