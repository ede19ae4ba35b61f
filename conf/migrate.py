"""Bring the database to the schema of this code: `python -m conf.migrate`.

The files `NNNN_verb_noun.sql` of `conf.schema` are applied in order, each once and in a transaction of its own, under
an advisory lock, so that two machines that start at once do not meet. Table `schema_migration` records what was
applied; table `schema_version` says which is the oldest code that may still work with the result. Services only check.
"""

import asyncio
import hashlib
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import asyncpg

from conf.errors import ConfigurationError, MigrationFailed, SchemaMismatch
from conf.schema import SCHEMA_COMPAT_VERSION, SCHEMA_VERSION

SCHEMA_DIRECTORY: Final = Path(__file__).parent / "schema"

_LOCK: Final = 5_060_117_001
"""Number of the advisory lock, any that nobody else uses."""

_LOCK_WAIT: Final = "60s"
"""How long another process may be migrating before this one gives up."""

_TABLE_WAIT: Final = "4s"
"""How long a migration waits for a table: waiting longer would stop everybody who comes after it in the queue."""

_FILE_NAME: Final = re.compile(r"(\d{4})_[a-z0-9]+(?:_[a-z0-9]+)*\.sql")

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file."""

    number: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the text."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def read_migrations(directory: Path = SCHEMA_DIRECTORY) -> list[Migration]:
    """Return the migrations of a directory in order.

    Raises:
        MigrationFailed: a name is not `NNNN_verb_noun.sql`, or the numbers are not 1, 2, 3, …
    """
    migrations: list[Migration] = []
    for path in sorted(directory.glob("*.sql")):
        match = _FILE_NAME.fullmatch(path.name)
        if match is None or int(match[1]) != len(migrations) + 1:
            raise MigrationFailed(f"{path.name} is not named {len(migrations) + 1:04}_verb_noun.sql")
        migrations.append(Migration(int(match[1]), path.name, path.read_text(encoding="utf-8")))
    return migrations


async def migrate(url: str, directory: Path = SCHEMA_DIRECTORY) -> int:
    """Apply what is missing and return how many migrations that were.

    Raises:
        ServerUnavailable: the server does not answer or refuses us.
        SchemaMismatch: the database is newer than this code can work with.
        MigrationFailed: an applied file was changed since, or one could not be applied; those before it are kept.
    """
    from conf.database import connect

    migrations = read_migrations(directory)
    connection = await connect(url)
    try:
        await connection.execute(f"SET lock_timeout = '{_LOCK_WAIT}'")
        try:
            await connection.execute("SELECT pg_advisory_lock($1)", _LOCK)
        except asyncpg.LockNotAvailableError:
            raise MigrationFailed(f"another process has been migrating this database for {_LOCK_WAIT}") from None
        await _make_tables(connection)
        return await _apply_missing(connection, migrations)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        raise MigrationFailed(f"the database could not be migrated: {error}") from error
    finally:
        # Closing gives the lock back too.
        await connection.close()


async def check_version(connection: "Connection") -> None:
    """Verify that this code may work with the database.

    Raises:
        SchemaMismatch: it was never migrated, or by code that is too old or too new.
    """
    if await connection.fetchval("SELECT to_regclass('schema_version') IS NULL"):
        raise SchemaMismatch("the database has no tables yet; run `softswitch migrate`")
    version, compat_version = await _read_version(connection)
    if version < SCHEMA_VERSION:
        raise SchemaMismatch(
            f"the database has schema version {version}, this code needs {SCHEMA_VERSION}; run `softswitch migrate`"
        )
    _refuse_newer(version, compat_version)


def _refuse_newer(version: int, compat_version: int) -> None:
    if compat_version > SCHEMA_VERSION:
        raise SchemaMismatch(
            f"the database has schema version {version}, which code older than version {compat_version} cannot use; "
            f"this code is of version {SCHEMA_VERSION}: install a newer one"
        )


async def _make_tables(connection: "Connection") -> None:
    await connection.execute(
        """
        CREATE TABLE IF NOT EXISTS schema_migration (
            number      integer PRIMARY KEY,
            name        text NOT NULL,
            checksum    text NOT NULL,
            applied_at  timestamptz NOT NULL DEFAULT now()
        );
        CREATE TABLE IF NOT EXISTS schema_version (
            singleton       boolean PRIMARY KEY DEFAULT true CHECK (singleton),
            compat_version  integer NOT NULL
        );
        INSERT INTO schema_version (compat_version) VALUES (0) ON CONFLICT DO NOTHING;
        """
    )


async def _read_version(connection: "Connection") -> tuple[int, int]:
    row = await connection.fetchrow(
        "SELECT compat_version, (SELECT coalesce(max(number), 0) FROM schema_migration) AS version FROM schema_version"
    )
    return (row["version"], row["compat_version"]) if row else (0, 0)


async def _apply_missing(connection: "Connection", migrations: list[Migration]) -> int:
    _refuse_newer(*await _read_version(connection))
    rows = await connection.fetch("SELECT number, name, checksum FROM schema_migration")
    applied = {row["number"]: (row["name"], row["checksum"]) for row in rows}
    missing = []
    for migration in migrations:
        if migration.number not in applied:
            missing.append(migration)
        elif applied[migration.number] != (migration.name, migration.checksum):
            name = applied[migration.number][0]
            raise MigrationFailed(
                f"{name} was changed after it had been applied; put it back and write the change into a new file"
            )
    for migration in missing:
        await _apply(connection, migration)
    return len(missing)


async def _apply(connection: "Connection", migration: Migration) -> None:
    try:
        async with connection.transaction():
            await connection.execute(f"SET LOCAL lock_timeout = '{_TABLE_WAIT}'")
            await connection.execute(migration.sql)
            await connection.execute(
                "INSERT INTO schema_migration (number, name, checksum) VALUES ($1, $2, $3)",
                migration.number,
                migration.name,
                migration.checksum,
            )
            await connection.execute(
                "UPDATE schema_version SET compat_version = greatest(compat_version, $1)", SCHEMA_COMPAT_VERSION
            )
    except asyncpg.PostgresError as error:
        raise MigrationFailed(f"{migration.name} could not be applied: {error}") from error


def main() -> int:
    """Migrate the database of the settings."""
    from conf.embedded.location import database_url
    from conf.loader import load

    try:
        count = asyncio.run(migrate(database_url(load())))
    except ConfigurationError as error:
        sys.stderr.write(f"softswitch migrate: {error}\n")
        return 2
    sys.stdout.write(f"{count} migrations applied, the database has schema version {SCHEMA_VERSION}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
