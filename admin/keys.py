"""Typed keys of what the application and a request carry."""

import asyncio
from datetime import datetime
from typing import Final

from aiohttp import MultipartReader, web

from admin.assets import Assets
from admin.jobs import Runner
from admin.live import Readers
from admin.metrics import PanelMetrics
from admin.passwords import Passwords
from admin.shared import Shared
from admin.stores.reading import Pool
from admin.stores.users import User
from b2bua.control.client import ControlClient
from conf.secret import Vault
from conf.settings import Settings

SETTINGS: Final = web.AppKey("settings", Settings)
ORIGINS: Final = web.AppKey("origins", dict[tuple[str, str], str])
"""Where each setting that somebody chose came from, by section and name."""
STARTED_AT: Final = web.AppKey("started_at", datetime)
POOL: Final = web.AppKey("pool", Pool)
VAULT: Final = web.AppKey("vault", Vault)
CONTROL: Final = web.AppKey("control", ControlClient)
ASSETS: Final = web.AppKey("assets", Assets)
PASSWORDS: Final = web.AppKey("passwords", Passwords)
PICTURES: Final = web.AppKey("pictures", Shared)
"""What the readers of one scope share: live calls, overview, health."""
READERS: Final = web.AppKey("readers", Readers)
METRICS: Final = web.AppKey("metrics", PanelMetrics)
EXPORTS: Final = web.AppKey("exports", asyncio.Semaphore)
"""Files that are written at the same time."""
JOBS: Final = web.AppKey("jobs", Runner)
STOPPING: Final = web.AppKey("stopping", asyncio.Event)
"""Set when the panel shuts down, so that streams end."""

USER: Final = web.RequestKey("user", User)
REQUEST_ID: Final = web.RequestKey("request_id", str)
UPLOAD: Final = web.RequestKey("upload", MultipartReader)
"""The rest of a form with a file, after its CSRF token."""
VISIT: Final = web.RequestKey("visit", str)
"""Token given to a visitor without a session, for its CSRF token; set when the cookie has to be sent."""
