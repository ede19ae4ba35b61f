"""`softswitch run`: the whole system in one terminal, with what the supervisor starts and what comes in between."""

import os
import sys

import structlog
import typer
import uvloop

from b2bua.child import Child
from b2bua.supervisor import Service, Supervisor
from conf.database import connect
from conf.embedded.location import database_url, live_url
from conf.embedded.owner import make_data_directory, make_run_directory, server_owner
from conf.embedded.postgresql import PostgreSQL
from conf.embedded.valkey import Valkey
from conf.first_start import ADMINISTRATOR, fix_realm, make_administrator
from conf.loader import load
from conf.log import configure
from conf.migrate import migrate
from conf.settings import Settings
from media.engine_address import OWN, OWN_NAME

log = structlog.get_logger()


def command() -> None:
    """Run the whole system: servers, SIP worker, CDR writer and panel."""
    settings = load()
    configure(settings, "supervisor")
    uvloop.run(run(settings))


async def run(settings: Settings) -> None:
    """Run the system of these settings until it is told to stop."""
    make_data_directory(settings)
    servers = embedded_servers(settings)
    make_run_directory(settings, server_owner() if servers else None)
    supervisor = Supervisor(
        settings,
        servers=servers,
        children=own_processes(settings),
        prepare=lambda: prepare(settings),
        welcome=lambda seconds: welcome(settings, seconds),
    )
    await supervisor.run()


def embedded_servers(settings: Settings) -> list[Service]:
    """Return the servers that no URL in the settings replaces."""
    servers: list[Service] = []
    if not settings.database.url:
        servers.append(PostgreSQL(settings))
    if not settings.live.url:
        servers.append(Valkey(settings))
    return servers


def own_processes(settings: Settings) -> list[Child]:
    """Return our processes in the order they are stopped in: calls first, who writes records last."""
    environ = {
        **os.environ,
        "SOFTSWITCH_DATABASE__URL": database_url(settings),
        "SOFTSWITCH_LIVE__URL": live_url(settings),
        "SOFTSWITCH_SYSTEM__DIRECTORY": str(settings.system.path),
    }
    python = sys.executable
    # An engine that is named elsewhere is somebody else's to start.
    has_engine = any(text.partition("?")[0] == OWN for text in settings.media.engines)
    media = [Child(OWN_NAME, (python, "-m", "media"), environ, patience=0.4)] if has_engine else []
    return [
        Child("sip-1", (python, "-m", "b2bua", "sip", "--name", "sip-1"), environ, drains=True, patience=1.5),
        *media,
        Child("snapshot", (python, "-m", "b2bua", "snapshot"), environ, patience=0.5),
        Child("admin", (python, "-m", "admin"), environ, patience=0.7),
        Child("cdr", (python, "-m", "cdr"), environ, patience=1.2),
    ]


async def prepare(settings: Settings) -> None:
    """Bring the database to this code's version and fix what the first start fixes."""
    url = database_url(settings)
    if count := await migrate(url):
        log.info("database migrated", migrations=count)
    connection = await connect(url)
    try:
        await fix_realm(connection, settings)
    finally:
        await connection.close()


async def welcome(settings: Settings, seconds: float) -> None:
    """Print where everything is, and at the first start the administrator's password."""
    # The administrator is made only now: a start that failed would have shown the password to nobody.
    connection = await connect(database_url(settings))
    try:
        password = await make_administrator(connection)
    finally:
        await connection.close()
    lines = [
        f"softswitch is ready after {seconds:.1f} s",
        f"  SIP    {', '.join(settings.sip.listen)}",
        f"  panel  http://{settings.panel.listen}/",
        f"  data   {settings.system.path}",
    ]
    if password:
        lines.append(
            f"  first sign-in: login {ADMINISTRATOR}, password {password} (shown only now, to be changed then)"
        )
    typer.echo("\n".join(lines))
