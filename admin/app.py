"""Composition of the panel: what it holds, in which order that starts and stops, and what surrounds every view."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import aiohttp_jinja2
import aiohttp_session
import jinja2
from aiohttp import web
from jinja2 import StrictUndefined
from markupsafe import Markup

from admin import format as formats
from admin import keys, middleware, signalling
from admin.assets import Assets, add_static_routes
from admin.in_force import read_origins
from admin.jobs import Runner
from admin.live import Readers
from admin.metrics import PanelMetrics
from admin.passwords import Passwords
from admin.routes import add_routes
from admin.session import DatabaseStorage
from admin.shared import Shared
from b2bua.control.client import ControlClient
from conf.database import connect_pool
from conf.embedded import run_directory
from conf.secret import PANEL, Vault, load_secret
from conf.settings import Settings

TEMPLATES: Final = Path(__file__).parent / "templates"


@jinja2.pass_context
def _time(context: jinja2.runtime.Context, value: datetime | None, now: datetime | None = None) -> Markup:
    """A time in the zone of the login that reads the page."""
    return formats.time(value, now, context.get("zone", UTC))


@jinja2.pass_context
def _exact_time(context: jinja2.runtime.Context, value: datetime | None) -> Markup:
    return formats.exact_time(value, context.get("zone", UTC))


@jinja2.pass_context
def _input_time(context: jinja2.runtime.Context, value: datetime | None) -> str:
    return formats.input_time(value, context.get("zone", UTC))


FILTERS: Final = {
    "compact": formats.compact,
    "money": formats.money,
    "decimal": formats.number,
    "exact": formats.exact,
    "duration": formats.duration,
    "seconds": formats.seconds,
    "count": formats.count,
    "time": _time,
    "exact_time": _exact_time,
    "measured": formats.measured,
    "mos_state": formats.mos_state,
    "mos_word": formats.mos_word,
    "input_time": _input_time,
    "rate": formats.rate,
    "sip_result": signalling.sip_result,
    "q850_cause": signalling.q850_cause,
    "explain": signalling.explain,
}


def init_app(settings: Settings, *, passwords: Passwords | None = None) -> web.Application:
    """Make the application; the database is connected when it starts."""
    app = web.Application(
        middlewares=[
            middleware.answer_faults,
            aiohttp_session.session_middleware(DatabaseStorage(secure=settings.panel.secure_cookie)),
            middleware.require_permission,
            middleware.refuse_forgeries,
        ]
    )
    app[keys.SETTINGS] = settings
    app[keys.ORIGINS] = read_origins()
    app[keys.STARTED_AT] = datetime.now(UTC)
    app[keys.ASSETS] = Assets.load()
    app[keys.PASSWORDS] = passwords or Passwords()
    app[keys.VAULT] = Vault(load_secret(settings), PANEL)
    app[keys.PICTURES] = Shared()
    app[keys.READERS] = Readers()
    app[keys.METRICS] = PanelMetrics()
    app[keys.CONTROL] = ControlClient(run_directory(settings))
    app[keys.EXPORTS] = asyncio.Semaphore(2)
    app[keys.STOPPING] = asyncio.Event()
    app.cleanup_ctx.append(_database)
    app.cleanup_ctx.append(_jobs)
    app.on_response_prepare.append(middleware.add_headers)
    app.on_shutdown.append(_end_streams)
    _set_up_templates(app)
    add_routes(app)
    add_static_routes(app)
    return app


async def _database(app: web.Application) -> AsyncIterator[None]:
    pool = app[keys.POOL] = await connect_pool(app[keys.SETTINGS])
    yield
    try:
        async with asyncio.timeout(1):
            await pool.close()
    except TimeoutError:
        pool.terminate()


async def _jobs(app: web.Application) -> AsyncIterator[None]:
    runner = app[keys.JOBS] = Runner(app[keys.SETTINGS], app[keys.POOL])
    runner.start()
    yield
    await runner.stop()


async def _end_streams(app: web.Application) -> None:
    app[keys.STOPPING].set()


def _set_up_templates(app: web.Application) -> None:
    environment = aiohttp_jinja2.setup(
        app,
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(FILTERS)
    names: dict[str, Any] = {"share": formats.share, "since": formats.since, "total_text": formats.total}
    environment.globals.update(names)
