"""Real servers for tests: one PostgreSQL and one Valkey for the session, and a fresh database for every test."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

import asyncpg

from conf.embedded.location import live_url, postgresql_url
from conf.embedded.postgresql import PostgreSQL
from conf.embedded.valkey import Valkey
from conf.migrate import migrate
from conf.settings import Settings, SystemSettings

Result = TypeVar("Result")


class Run(Protocol):
    """Runs a coroutine to its end on the test's own loop."""

    def __call__(self, coroutine: Coroutine[Any, Any, Result], /) -> Result:
        """Return what it returns."""
        ...


TEMPLATE = "template_softswitch"
MEMORY = "/dev/shm"


def _memory() -> str | None:
    """A directory in memory with room for the databases, or None."""
    if not os.access(MEMORY, os.W_OK) or shutil.disk_usage(MEMORY).free < 4 * 1024**3:
        return None
    return MEMORY


@contextmanager
def data_directory() -> Iterator[Path]:
    """A data directory that the servers' user can enter when root runs the tests, which pytest's own is not."""
    # In memory where there is a place for that: databases are copied for every test.
    base = Path(tempfile.mkdtemp(prefix="softswitch-test-", dir=_memory()))
    base.chmod(0o711)
    try:
        yield base / "data"
    finally:
        shutil.rmtree(base, ignore_errors=True)


def settings_in(directory: Path) -> Settings:
    """All defaults, with this data directory."""
    return Settings(system=SystemSettings(directory=str(directory)))


@dataclass
class Servers:
    """The running servers of one session."""

    settings: Settings
    live_url: str
    runner: asyncio.Runner
    _count: int = 0

    def make_database(self) -> str:
        """Make a migrated database of its own and return its URL."""
        self._count += 1
        name = f"test_{self._count}"
        self.runner.run(self._execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE} STRATEGY file_copy"))
        return postgresql_url(self.settings, "softswitch", name)

    def drop_database(self, url: str) -> None:
        """Remove a database again, whoever is still connected."""
        name = url.partition("?")[0].rpartition("/")[2]
        # As the superuser: autovacuum may be at work in it, and only a superuser may end that.
        self.runner.run(self._execute(f"DROP DATABASE {name} WITH (FORCE)", role="postgres"))

    def empty_live_store(self) -> None:
        """Remove every key."""
        self.runner.run(_flush(self.live_url))

    async def _execute(self, statement: str, role: str = "softswitch") -> None:
        connection = await asyncpg.connect(postgresql_url(self.settings, role, "softswitch"))
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


@contextmanager
def running_servers() -> Iterator[Servers]:
    """Start both servers, make the template database, and stop them at the end."""
    with data_directory() as directory, asyncio.Runner() as runner:
        settings = settings_in(directory)
        postgresql, valkey = PostgreSQL(settings), Valkey(settings)

        async def start() -> None:
            await asyncio.gather(postgresql.start(), valkey.start())
            # Hundreds of databases are copied and dropped, and none need outlive this machine.
            superuser = await asyncpg.connect(postgresql_url(settings, "postgres", "postgres"))
            for name in ("fsync", "full_page_writes", "synchronous_commit"):
                await superuser.execute(f"ALTER SYSTEM SET {name} = off")
            await superuser.execute("SELECT pg_reload_conf()")
            await superuser.close()
            connection = await asyncpg.connect(postgresql_url(settings, "softswitch", "softswitch"))
            await connection.execute(f"CREATE DATABASE {TEMPLATE}")
            await connection.close()
            await migrate(postgresql_url(settings, "softswitch", TEMPLATE))

        async def stop() -> None:
            await asyncio.gather(postgresql.stop(), valkey.stop())

        try:
            runner.run(start())
            yield Servers(settings, live_url(settings), runner)
        finally:
            runner.run(stop())


def with_servers(settings: Settings, database_url: str, live_url: str) -> Settings:
    """The same settings with other servers."""
    return replace(
        settings,
        database=replace(settings.database, url=database_url),
        live=replace(settings.live, url=live_url),
    )


async def _flush(url: str) -> None:
    reader, writer = await asyncio.open_unix_connection(url.removeprefix("unix://"))
    writer.write(b"FLUSHALL\r\n")
    assert await reader.readline() == b"+OK\r\n"
    writer.close()
    await writer.wait_closed()
