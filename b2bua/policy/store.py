"""Load the snapshot from PostgreSQL and keep it at the newest revision.

Everything is read in one REPEATABLE READ transaction, so that a snapshot is one revision and nothing of another. Rates
and devices, which are many, are mapped from files, and what was changed since is kept beside (`packed_tables`).
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

import asyncpg
import structlog

from b2bua.policy.packed_files import ensure_built, snapshot_directory
from b2bua.policy.packed_tables import BuildNeeded, PackedTables, Refresh
from b2bua.policy.snapshot import Snapshot
from b2bua.policy.tables import OpenSecret, load_tables
from b2bua.tasks import spawn
from conf.errors import ServerUnavailable
from conf.settings import Settings

Connection = asyncpg.pool.PoolConnectionProxy

log = structlog.get_logger()

_ATTEMPTS: Final = 3
"""While the configuration changes, a file may already be newer than what a transaction sees."""


class SnapshotStore:
    """Holds the current snapshot; `current` is replaced, never changed.

    Args:
        pool: The database.
        settings: For the system's own limits.
        changed: Called after each replacement.
        open_secret: Reads the secrets of gateways; None, for whoever calls nobody: they are left out.
    """

    def __init__(
        self,
        pool: asyncpg.Pool,
        settings: Settings,
        changed: Callable[[Snapshot], None],
        open_secret: OpenSecret | None = None,
    ) -> None:
        self._open_secret = open_secret
        self._pool = pool
        self._settings = settings
        self._changed = changed
        self._tables = PackedTables(snapshot_directory(settings))
        self._building: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self.current = Snapshot()

    async def open(self) -> None:
        """Load the first snapshot and follow changes from then on.

        Raises:
            asyncpg.PostgresError, OSError: the database did not answer.
        """
        await self.reload()
        spawn(self._follow(), "snapshot")

    async def reload(self) -> None:
        """Bring the snapshot to the newest revision.

        Raises:
            asyncpg.PostgresError, OSError: the database did not answer.
            ServerUnavailable: a large table has no file that can be used.
        """
        for _ in range(_ATTEMPTS):
            try:
                await self._reload()
            except BuildNeeded as reason:
                log.info("files of the snapshot are written first", reason=str(reason))
                await ensure_built(self._settings)
            else:
                return
        raise ServerUnavailable(f"the files in {snapshot_directory(self._settings)} cannot be used; see above")

    async def _reload(self) -> None:
        async with (
            self._pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            revision = await connection.fetchval("SELECT revision FROM config_revision")
            if revision == self.current.revision and not self._tables.has_newer_files():
                return
            large = await self._tables.prepare(connection)
            snapshot = await self._load(connection, large)
        snapshot.revision = revision
        self._tables.take(large)
        self.current = snapshot
        self._changed(snapshot)
        if large.waiting and (self._building is None or self._building.done()):
            self._building = spawn(ensure_built(self._settings), "files of the snapshot")

    async def _load(self, connection: Connection, large: Refresh) -> Snapshot:
        realm = await connection.fetchval("SELECT value FROM system_value WHERE name = 'realm'")
        snapshot = Snapshot(
            realm=realm or self._settings.sip.realm,
            max_duration=self._settings.call.max_duration,
            max_attempts=self._settings.call.max_attempts,
            reference_seconds=self._settings.call.reference_seconds,
        )
        await load_tables(connection, snapshot, large, self._open_secret)
        return snapshot

    # Following changes

    async def _follow(self) -> None:
        """Reload after each NOTIFY, and every few seconds for one that was missed."""
        while True:
            try:
                async with self._pool.acquire() as connection:
                    await connection.add_listener("config", self._notified)
                    connection.add_termination_listener(self._notified)
                    try:
                        await self._reload_until_lost(connection)
                    finally:
                        await self._stop_listening(connection)
            except Exception as error:
                # Calls go on from the snapshot that there is. Whatever it was, the next changes must still be heard of.
                log.warning("configuration cannot be read", error=str(error) or type(error).__name__)
                await asyncio.sleep(1.0)

    async def _reload_until_lost(self, connection: Connection) -> None:
        while not connection.is_closed():
            self._wake.clear()
            await self.reload()
            try:
                async with asyncio.timeout(5.0):
                    await self._wake.wait()
            except TimeoutError:
                continue
        raise ConnectionResetError("database connection lost")

    async def _stop_listening(self, connection: Connection) -> None:
        # A connection that was lost has gone from the pool, and can be asked for nothing any more.
        with contextlib.suppress(asyncpg.InterfaceError):
            if not connection.is_closed():
                connection.remove_termination_listener(self._notified)
                await connection.remove_listener("config", self._notified)

    def _notified(self, *_: object) -> None:
        self._wake.set()
