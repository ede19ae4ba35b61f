"""Where the files of the large tables lie, what they are called, and of which database and revision they are.

A name is table, key, revision and database: `ratecard-7-123-9f3c11d0.pack`, `device-0-123-9f3c11d0.pack`.
"""

import asyncio
import os
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import asyncpg

from conf.embedded.location import database_url
from conf.errors import ServerUnavailable
from conf.process import describe_status
from conf.settings import Settings

Connection = asyncpg.Connection | asyncpg.pool.PoolConnectionProxy

Name = tuple[str, int]
"""Table and key; the key of a ratecard is its id, that of the devices 0."""

_SUFFIX = ".pack"


class Version(NamedTuple):
    """What a transaction sees."""

    revision: int
    database: str
    """Eight letters that no other database has, nor this one after a restore or on another timeline."""


class TableFile(NamedTuple):
    """A file by its name."""

    table: str
    key: int
    version: Version
    path: Path

    @property
    def name(self) -> Name:
        """What it is of."""
        return self.table, self.key

    @classmethod
    def of(cls, directory: Path, name: Name, version: Version) -> "TableFile":
        """The file of a table at a version."""
        path = directory / f"{name[0]}-{name[1]}-{version.revision}-{version.database}{_SUFFIX}"
        return cls(*name, version, path)

    @classmethod
    def parse(cls, path: Path) -> "TableFile | None":
        """The file of a path; None when it is not named as one."""
        parts = path.name.removesuffix(_SUFFIX).split("-")
        if len(parts) != 4 or not (parts[1].isdecimal() and parts[2].isdecimal()):
            return None
        return cls(parts[0], int(parts[1]), Version(int(parts[2]), parts[3]), path)


def snapshot_directory(settings: Settings) -> Path:
    """Where the files lie."""
    return settings.system.path / "snapshot"


def all_files(directory: Path) -> Iterator[TableFile]:
    """Every file, of whatever database."""
    for path in directory.glob(f"*{_SUFFIX}"):
        file = TableFile.parse(path)
        if file is not None:
            yield file


def newest_files(directory: Path, version: Version) -> dict[Name, TableFile]:
    """The newest file of each table that a transaction can use."""
    newest: dict[Name, TableFile] = {}
    for file in all_files(directory):
        other = newest.get(file.name)
        fits = file.version.database == version.database and file.version.revision <= version.revision
        if fits and (other is None or other.version.revision < file.version.revision):
            newest[file.name] = file
    return newest


async def read_version(connection: Connection) -> Version:
    """What the transaction of a connection sees."""
    row = await connection.fetchrow(
        "SELECT revision, concat_ws(' ', (SELECT system_identifier FROM pg_control_system()),"
        " left(pg_walfile_name(pg_current_wal_lsn()), 8),"
        " (SELECT oid FROM pg_database WHERE datname = current_database()), 'config_change'::regclass::oid) AS database"
        " FROM config_revision"
    )
    assert row is not None
    return Version(row["revision"], f"{zlib.crc32(row['database'].encode()):08x}")


async def ensure_built(settings: Settings) -> None:
    """Have the files that are missing written by `softswitch snapshot --once`; it waits for who writes them already.

    Raises:
        ServerUnavailable: it did not work.
    """
    environ = {
        **os.environ,
        "SOFTSWITCH_DATABASE__URL": database_url(settings),
        "SOFTSWITCH_SYSTEM__DIRECTORY": str(settings.system.path),
    }
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "b2bua", "snapshot", "--once", env=environ)
    try:
        status = await process.wait()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
    if status:
        raise ServerUnavailable(f"the tables of the snapshot cannot be written: {describe_status(status)}, see above")
