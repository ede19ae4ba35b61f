"""Health of the switch's processes, and the settings in force."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime

import asyncpg
from aiohttp import web

from admin import health, render
from admin.in_force import file_in_use, in_force
from admin.keys import CONTROL, ORIGINS, POOL, SETTINGS, STARTED_AT
from admin.stores.processes import Known, read_known
from b2bua.control.client import ControlClient
from b2bua.control.messages import ControlError, Message


@dataclass(frozen=True, slots=True)
class WorkerState:
    """A SIP worker of this machine."""

    name: str
    answer: Message
    """To `ping`; empty: it does not answer."""
    started_at: datetime | None


async def show_health(request: web.Request) -> web.StreamResponse:
    """Show every part and process."""
    control = request.app[CONTROL]
    state, workers, known, engines = await asyncio.gather(
        health.look(request.app), _workers(control), _known(request), _engines(control)
    )
    context = {
        "health": state,
        "workers": workers,
        "known": known,
        "engines": engines,
        "started_at": request.app[STARTED_AT],
        "beat_limit": health.BEAT_LIMIT,
    }
    return await render.page(request, "system/health", context)


async def _known(request: web.Request) -> Known | None:
    """What the database knows; None: it is away."""
    try:
        return await read_known(request.app[POOL])
    except (TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return None


async def _workers(control: ControlClient) -> list[WorkerState]:
    return list(await asyncio.gather(*(_worker(control, name) for name in control.workers())))


async def _engines(control: ControlClient) -> list[Message]:
    """Every media engine once: one that any worker does not reach is silent."""
    found: dict[str, Message] = {}
    for _, engines in await control.engines():
        for engine in engines:
            if engine["name"] not in found or not engine["up"]:
                found[engine["name"]] = engine
    return list(found.values())


async def _worker(control: ControlClient, name: str) -> WorkerState:
    try:
        answer = await control.request(name, "ping")
    except ControlError:
        return WorkerState(name, {}, None)
    started_at = answer.get("started_at")
    return WorkerState(name, answer, None if started_at is None else datetime.fromtimestamp(started_at, UTC))


async def show_settings(request: web.Request) -> web.StreamResponse:
    """Show every setting with where it came from."""
    origins = request.app[ORIGINS]
    context = {
        "sections": in_force(request.app[SETTINGS], origins),
        "file": file_in_use(),
        "started_at": request.app[STARTED_AT],
    }
    return await render.page(request, "system/settings", context)
