"""The process that writes records to the database: `python -m cdr`, or `softswitch cdr write`."""

import asyncio
import contextlib
import signal
import sys
from pathlib import Path

import asyncpg
import structlog
import uvloop

from cdr.export import LOOK_INTERVAL, Exporter
from cdr.keeper import FundsKeeper
from cdr.writer import Writer
from conf.database import connect, connect_pool
from conf.embedded.location import database_url, live_url
from conf.errors import ConfigurationError
from conf.loader import load
from conf.log import configure
from conf.ready import announce_ready
from conf.settings import Settings

log = structlog.get_logger()

AWAY = (
    OSError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    ConfigurationError,
)
"""What is raised while a server is away."""

FUNDS_PATIENCE = 5.0
"""Longest wait, at the start, for the accounts' funds to be in the live store, in seconds."""

IDLE = 0.1
"""Wait between two looks at journals that have nothing new, in seconds."""

RETRY_INTERVAL = 10.0
"""Wait after an export that failed, in seconds."""


def run(settings: Settings) -> int:
    """Write records until told to stop; returns the exit status.

    Raises:
        ConfigurationError: the database cannot be reached or has another schema version.
    """
    uvloop.run(_run(settings))
    return 0


async def _run(settings: Settings) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    pool = await connect_pool(settings, max_size=1)  # refuses a database of another version
    pool.terminate()
    journals = settings.system.path / "journal"
    journals.mkdir(parents=True, exist_ok=True, mode=0o700)
    writer = Writer(
        journals,
        settings.system.node,
        settings.cdr.batch,
        settings.cdr.retention_months,
        is_exporting=bool(settings.cdr.export_directory),
    )
    keeper = FundsKeeper(live_url(settings), writer.live_workers, writer.backlog)
    writer.posted = keeper.posted
    async with asyncio.TaskGroup() as group:
        # What they leave half done is done at the next start.
        beside = [group.create_task(_keep_funds(keeper, settings), name="funds")]
        if settings.cdr.export_directory:
            beside.append(group.create_task(_export(settings), name="export"))
        await _write(settings, writer, keeper, stopping)
        for task in beside:
            task.cancel()
    await keeper.close()


async def _write(settings: Settings, writer: Writer, keeper: FundsKeeper, stopping: asyncio.Event) -> None:
    """Follow the journals until told to stop, over one connection after the other."""
    delay = 0.2
    while True:
        try:
            connection = await connect(database_url(settings))
            try:
                await writer.prepare(connection)
                await writer.step(connection)
                await _wait(keeper.is_loaded, FUNDS_PATIENCE)
                announce_ready()
                delay = 0.2
                await _follow(writer, connection, stopping)
                return
            finally:
                connection.terminate()
        except AWAY as error:
            log.warning("records wait in the journal", error=str(error) or type(error).__name__, next_try=delay)
        if stopping.is_set():
            return
        await _wait(stopping, delay)
        delay = min(delay * 2, 5.0)


async def _keep_funds(keeper: FundsKeeper, settings: Settings) -> None:
    while True:
        try:
            connection = await connect(database_url(settings))
            try:
                await keeper.run(connection)
            finally:
                connection.terminate()
        except AWAY as error:
            log.warning("funds are not kept up", error=str(error) or type(error).__name__)
            await asyncio.sleep(0.5)


async def _follow(writer: Writer, connection: asyncpg.Connection, stopping: asyncio.Event) -> None:
    """Commit batch after batch; once told to stop, end when nothing is left."""
    while True:
        stops = stopping.is_set()
        if await writer.step(connection):
            continue
        if stops:
            return
        await _wait(stopping, IDLE)


async def _export(settings: Settings) -> None:
    """Write files for outside billing until cancelled; whatever hinders that hinders no record."""
    options = settings.cdr
    exporter = Exporter(
        Path(options.export_directory), options.export_format, options.export_interval, settings.system.node
    )
    while True:
        try:
            connection = await connect(database_url(settings))
            try:
                await exporter.prepare(connection)
                while True:
                    if await exporter.step(connection) is None:
                        await asyncio.sleep(LOOK_INTERVAL)
            finally:
                connection.terminate()
        except AWAY as error:
            log.warning("records are not exported", error=str(error) or type(error).__name__)
        except Exception:
            log.exception("records are not exported")
        await asyncio.sleep(RETRY_INTERVAL)


async def _wait(stopping: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stopping.wait()


def main() -> int:
    """Entry point of `python -m cdr`."""
    try:
        settings = load()
        configure(settings, "cdr")
        return run(settings)
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        return 2


if __name__ == "__main__":
    sys.exit(main())
