"""Writes the files of the large tables that workers map, and keeps them new: the process `softswitch snapshot`.

A file is written again when it lacks more changes than workers should carry beside it, or when they have become old.
Each is of one REPEATABLE READ transaction, and the rows go from the server's cursor into packed arrays. Whoever writes
holds a lock, so that only one does on a machine.
"""

import asyncio
import contextlib
import fcntl
import os
import signal
import time
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from pathlib import Path
from typing import Final

import asyncpg
import structlog
import uvloop

from b2bua.policy import packed_devices
from b2bua.policy.packed_devices import IP_COLUMNS, USER_COLUMNS, DevicePacker, DeviceRow
from b2bua.policy.packed_files import (
    Connection,
    Name,
    TableFile,
    all_files,
    newest_files,
    read_version,
    snapshot_directory,
)
from conf.database import connect
from conf.embedded.location import database_url
from conf.migrate import check_version
from conf.ready import announce_ready
from conf.settings import Settings
from rating import packed
from rating.errors import InvalidPackedFile
from rating.packed import RATE_COLUMNS, RatecardPacker, RateRow
from rating.packed_file import read_head

log = structlog.get_logger()

MOST_CHANGES: Final = 2000
"""Changed rows that a file may lack, …"""

LARGEST_PART: Final = 20
"""… or one row in so many, whichever is more …"""

OLDEST_CHANGE: Final = "12 hours"
"""… and how old they may become: they are merged a while later."""

MERGED_AFTER: Final = "1 day"
"""Age at which changes in `config_change` are merged."""

_DEVICES: Final = (packed_devices.TABLE, 0)
_MERGE_INTERVAL: Final = 3600.0
_LOOK_INTERVAL: Final = 5.0
_RETRY_INTERVAL: Final = 1.0
_AT_A_TIME: Final = 2000
_NICENESS: Final = 10

_CHANGED_RATECARDS: Final = """
    SELECT t.key, count(DISTINCT c.row_id), bool_or(c.row_id IS NULL) OR min(c.changed_at) < now() - $3::text::interval
    FROM unnest($1::bigint[], $2::bigint[]) AS t (key, since)
    JOIN config_change c ON c.table_name = 'rate' AND c.key = t.key AND c.revision > t.since
    GROUP BY t.key
"""

_CHANGED_DEVICES: Final = """
    SELECT 0, count(*), bool_or(row_id IS NULL) OR min(changed_at) < now() - $2::text::interval
    FROM config_change
    WHERE table_name IN ('ip_device', 'sip_user') AND revision > $1
    HAVING count(*) > 0
"""
"""Key, rows that were changed, and whether they are too many to be noted or too old."""


def run(settings: Settings, *, once: bool) -> int:
    """Write the files; returns the exit status.

    Args:
        settings: For the database and the directory.
        once: Whether to end when they are as they should be, or to go on until told to stop.

    Raises:
        ConfigurationError: the database cannot be reached or has another schema version.
    """
    # There is nothing to put in order at the end: a file is whole or not there.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    uvloop.run(_build_once(settings) if once else _follow(settings))
    return 0


async def _build_once(settings: Settings) -> None:
    async with _connected(settings) as connection:
        await build(connection, snapshot_directory(settings))


async def _follow(settings: Settings) -> None:
    """Build after each change, over one connection after the other."""
    os.nice(_NICENESS)
    async with _connected(settings):
        announce_ready()
    while True:
        try:
            async with _connected(settings) as connection:
                await _build_until_lost(connection, snapshot_directory(settings))
        except Exception as error:
            # Workers go on with the files that there are. Whatever it was, the next changes must still be heard of.
            log.warning("snapshot cannot be built", error=str(error) or type(error).__name__)
            await asyncio.sleep(_RETRY_INTERVAL)


@contextlib.asynccontextmanager
async def _connected(settings: Settings) -> AsyncIterator[asyncpg.Connection]:
    connection = await connect(database_url(settings))
    try:
        await check_version(connection)
        yield connection
    finally:
        connection.terminate()


async def _build_until_lost(connection: asyncpg.Connection, directory: Path) -> None:
    changed = asyncio.Event()
    await connection.add_listener("config", lambda *_: changed.set())
    connection.add_termination_listener(lambda *_: changed.set())
    loop = asyncio.get_running_loop()
    merge_at = loop.time()
    while not connection.is_closed():
        changed.clear()
        await build(connection, directory)
        if loop.time() >= merge_at:
            await connection.execute("SELECT merge_config_changes($1::text::interval)", MERGED_AFTER)
            merge_at = loop.time() + _MERGE_INTERVAL
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LOOK_INTERVAL):
                await changed.wait()
    raise ConnectionResetError("database connection lost")


async def build(connection: Connection, directory: Path) -> list[Name]:
    """Write every file that is missing or lacks too much, and remove those that nobody needs any more.

    Args:
        connection: Not in a transaction.
        directory: Made if it is missing.

    Returns:
        What was written.
    """
    with _locked(directory):
        version = await read_version(connection)
        files = newest_files(directory, version)
        ratecards = [row["id"] for row in await connection.fetch("SELECT id FROM ratecard ORDER BY id")]
        wanted = [_DEVICES, *((packed.TABLE, key) for key in ratecards)]
        stale = await _stale(connection, files)
        names = [name for name in wanted if name not in files or name in stale]
        for name in names:
            file = await _write(connection, directory, name)
            files[name] = file
            # Those who wait for the file are told at once.
            await connection.execute("SELECT pg_notify('config', $1)", str(file.version.revision))
        _remove_others(directory, {files[name].path for name in wanted})
    return names


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Make the directory, hold its lock, and clear away what a killed builder left."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    # This process has nothing else to do while another one builds.
    descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        for left in directory.glob(".*.part"):
            left.unlink()
        yield
    finally:
        os.close(descriptor)


async def _stale(connection: Connection, files: Mapping[Name, TableFile]) -> set[Name]:
    """The tables whose files lack too much."""
    cards = [file for file in files.values() if file.table == packed.TABLE]
    keys, since = [file.key for file in cards], [file.version.revision for file in cards]
    changed = await connection.fetch(_CHANGED_RATECARDS, keys, since, OLDEST_CHANGE)
    stale = {(packed.TABLE, row[0]) for row in changed if _lacks_much(files[packed.TABLE, row[0]], *row[1:])}
    if (file := files.get(_DEVICES)) is not None:
        changed = await connection.fetch(_CHANGED_DEVICES, file.version.revision, OLDEST_CHANGE)
        stale |= {_DEVICES for row in changed if _lacks_much(file, *row[1:])}
    return stale


def _lacks_much(file: TableFile, changes: int, is_stale: bool) -> bool:
    if is_stale or changes <= MOST_CHANGES:
        return is_stale
    try:
        return changes > read_head(file.path).rows // LARGEST_PART
    except (InvalidPackedFile, OSError):
        return True


async def _write(connection: Connection, directory: Path, name: Name) -> TableFile:
    """Write the file of a table as it is now."""
    began = time.monotonic()
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        file = TableFile.of(directory, name, await read_version(connection))
        rows = await (_write_devices if name == _DEVICES else _write_ratecard)(connection, file)
    seconds = round(time.monotonic() - began, 1)
    log.info("table of the snapshot written", table=file.table, key=file.key, rows=rows, seconds=seconds)
    return file


async def _write_ratecard(connection: Connection, file: TableFile) -> int:
    packer = RatecardPacker()
    query = f'SELECT {RATE_COLUMNS} FROM rate WHERE ratecard_id = $1 ORDER BY prefix COLLATE "C"'  # noqa: S608 - ours
    async for row in connection.cursor(query, file.key, prefetch=_AT_A_TIME):
        packer.add(RateRow._make(row))
    packer.save(file.path, file.key, file.version.revision)
    return packer.rows


async def _write_devices(connection: Connection, file: TableFile) -> int:
    packer = DevicePacker()
    async for row in connection.cursor(f"SELECT {IP_COLUMNS} FROM ip_device ORDER BY id", prefetch=_AT_A_TIME):  # noqa: S608
        packer.add(DeviceRow.of_ip(row))
    async for row in connection.cursor(f"SELECT {USER_COLUMNS} FROM sip_user ORDER BY id", prefetch=_AT_A_TIME):  # noqa: S608
        packer.add(DeviceRow.of_user(row))
    packer.save(file.path, file.version.revision)
    return packer.rows


def _remove_others(directory: Path, wanted: Collection[Path]) -> None:
    """Remove files that are older, of ratecards that are gone, or of other databases; who has one mapped keeps it."""
    for file in all_files(directory):
        if file.path not in wanted:
            file.path.unlink(missing_ok=True)
