"""The large tables of the snapshot as a worker has them: rates and devices out of mapped files, with later changes.

`softswitch snapshot` writes the files (`b2bua.policy.builder`). `PackedTables.prepare` finds out, within the
transaction of whoever asks, what there is to do: take a newer file, read the rows that were changed, or read a small
table as a whole. `PackedTables.take` then does it at once, so that nobody sees half of it.
"""

import asyncio
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

import structlog

from b2bua.policy import packed_devices
from b2bua.policy.packed_devices import IP_COLUMNS, USER_COLUMNS, DeviceKey, DeviceRow, OverlaidDevices, PackedDevices
from b2bua.policy.packed_files import Connection, Name, TableFile, Version, newest_files, read_version
from rating import packed
from rating.errors import InvalidPackedFile
from rating.packed import RATE_COLUMNS, OverlaidRatecard, PackedRatecard, RateRow, forget_rates
from rating.packed_file import Head
from rating.tariff import Rate

log = structlog.get_logger()

MOST_ROWS: Final = 20_000
"""Rows of tables without files that a worker reads itself: some megabytes, and part of a second."""

LARGEST_PART: Final = 5
"""A file is not used any more when more than one row in so many was changed since."""

_AT_A_TIME: Final = 500
"""Rows that are read without a look at what else there is to do."""


class BuildNeeded(Exception):
    """A large table has no file: `ensure_built`, then begin again in a new transaction."""


@dataclass(slots=True)
class Changes:
    """What was changed of a table."""

    is_whole: bool = False
    """Whether it was too much to be noted."""
    rows: list[Any] = field(default_factory=list)
    """Ids of rates, keys of devices."""


class Base(Protocol):
    """A mapped file."""

    @property
    def head(self) -> Head:
        """What it is of."""
        ...


class Table(Protocol):
    """A file with what was changed since: `OverlaidRatecard` or `OverlaidDevices`."""

    @property
    def revision(self) -> int:
        """Of its rows; 0: they were not read yet."""
        ...

    @property
    def base(self) -> Any:  # noqa: ANN401 - each has its own
        """The file; None when all rows are in memory."""
        ...

    @property
    def changes(self) -> int:
        """Rows in memory."""
        ...

    def based(self, revision: int, base: Any, changed: Collection[Any], rows: Iterable[Any]) -> Any:  # noqa: ANN401
        """The table over another file."""
        ...

    def changed(self, revision: int, changed: Collection[Any], rows: Iterable[Any]) -> Any:  # noqa: ANN401
        """The table with more changes."""
        ...


class Reader(Protocol):
    """How the tables of a kind are read."""

    @property
    def table(self) -> str:
        """As files are named."""
        ...

    def open(self, path: Path) -> Base:
        """Map a file."""
        ...

    async def changes(self, since: Mapping[int, int]) -> dict[int, Changes]:
        """What was changed, by key, since a revision for each."""
        ...

    async def count(self, keys: Collection[int]) -> int:
        """Rows of some tables together; more than MOST_ROWS are not counted on."""
        ...

    async def read(self, key: int, changed: list[Any] | None) -> list[Any]:
        """Rows of a table: of those that were changed the ones that there are, or all."""
        ...


@dataclass(slots=True)
class RateReader:
    """Reads ratecards."""

    connection: Connection
    table: str = packed.TABLE

    def open(self, path: Path) -> PackedRatecard:
        """Map the file of a ratecard."""
        return PackedRatecard(path)

    async def changes(self, since: Mapping[int, int]) -> dict[int, Changes]:
        """Ids of the rates that were changed, by ratecard."""
        rows = await self.connection.fetch(
            "SELECT DISTINCT c.key, c.row_id FROM unnest($1::bigint[], $2::bigint[]) AS t (key, since)"
            " JOIN config_change c ON c.table_name = 'rate' AND c.key = t.key AND c.revision > t.since",
            list(since),
            list(since.values()),
        )
        return _by_key((key, row_id, row_id) for key, row_id in rows)

    async def count(self, keys: Collection[int]) -> int:
        """Rates of some ratecards."""
        query = "SELECT count(*) FROM (SELECT FROM rate WHERE ratecard_id = ANY ($1) LIMIT $2) AS few"
        return int(await self.connection.fetchval(query, keys, MOST_ROWS + 1))

    async def read(self, key: int, changed: list[int] | None) -> list[Rate]:
        """Rates of a ratecard."""
        query = f"SELECT {RATE_COLUMNS} FROM rate WHERE ratecard_id = $1"  # noqa: S608 - our own columns
        if changed is None:
            cursor = self.connection.cursor(query, key, prefetch=_AT_A_TIME)
        else:
            cursor = self.connection.cursor(f"{query} AND id = ANY ($2)", key, changed, prefetch=_AT_A_TIME)
        return [RateRow._make(row).to_rate() async for row in cursor]


@dataclass(slots=True)
class DeviceReader:
    """Reads IP devices and SIP users, which are one table."""

    connection: Connection
    table: str = packed_devices.TABLE

    def open(self, path: Path) -> PackedDevices:
        """Map the file of the devices."""
        return PackedDevices(path)

    async def changes(self, since: Mapping[int, int]) -> dict[int, Changes]:
        """Keys of the devices that were changed."""
        if not since:
            return {}
        rows = await self.connection.fetch(
            "SELECT DISTINCT CASE table_name WHEN 'ip_device' THEN 'ip' ELSE 'user' END, row_id FROM config_change"
            " WHERE table_name IN ('ip_device', 'sip_user') AND revision > $1",
            since[0],
        )
        return _by_key((0, row_id, (kind, row_id)) for kind, row_id in rows)

    async def count(self, keys: Collection[int]) -> int:
        """Devices."""
        query = (
            "SELECT (SELECT count(*) FROM (SELECT FROM ip_device LIMIT $1) AS few)"
            " + (SELECT count(*) FROM (SELECT FROM sip_user LIMIT $1) AS few)"
        )
        return int(await self.connection.fetchval(query, MOST_ROWS + 1)) if keys else 0

    async def read(self, key: int, changed: list[DeviceKey] | None) -> list[DeviceRow]:
        """Devices."""
        assert key == 0
        found: list[DeviceRow] = []
        for kind, source, make in (
            ("ip", f"SELECT {IP_COLUMNS} FROM ip_device", DeviceRow.of_ip),  # noqa: S608 - our own columns
            ("user", f"SELECT {USER_COLUMNS} FROM sip_user", DeviceRow.of_user),  # noqa: S608
        ):
            if changed is None:
                cursor = self.connection.cursor(source, prefetch=_AT_A_TIME)
            else:
                ids = [number for of, number in changed if of == kind]
                cursor = self.connection.cursor(f"{source} WHERE id = ANY ($1)", ids, prefetch=_AT_A_TIME)
            found += [make(row) async for row in cursor]
        return found


def _by_key(rows: Iterable[tuple[int, int | None, Any]]) -> dict[int, Changes]:
    found: dict[int, Changes] = {}
    for key, row_id, changed in rows:
        changes = found.setdefault(key, Changes())
        if row_id is None:
            changes.is_whole = True
        else:
            changes.rows.append(changed)
    return found


@dataclass(slots=True)
class Refresh:
    """The tables at another revision; those that were not changed are the same objects."""

    version: Version
    ratecards: dict[int, OverlaidRatecard]
    devices: OverlaidDevices
    waiting: frozenset[Name]


class PackedTables:
    """Rates and devices of one revision.

    Args:
        directory: Where the files lie.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.version = Version(0, "")
        self.ratecards: dict[int, OverlaidRatecard] = {}
        """By id."""
        self.devices = OverlaidDevices()
        self.waiting: frozenset[Name] = frozenset()
        """Large tables that were changed as a whole: they are as they were until there is a file."""

    def has_newer_files(self) -> bool:
        """Whether there is a file that is newer than the one in use."""
        files = newest_files(self._directory, self.version)
        return any(
            file.version.revision > _base_revision(table)
            for file in files.values()
            if (table := self.devices if file.table == packed_devices.TABLE else self.ratecards.get(file.key))
        )

    async def prepare(self, connection: Connection) -> Refresh:
        """Find out what it takes to bring the tables to the revision that a transaction sees.

        Args:
            connection: In a REPEATABLE READ transaction.

        Raises:
            BuildNeeded: a large table has no file, or only a newer one.
        """
        version = await read_version(connection)
        is_same = version.database == self.version.database
        ids = [row["id"] for row in await connection.fetch("SELECT id FROM ratecard")]
        cards = {key: (is_same and self.ratecards.get(key)) or OverlaidRatecard(key) for key in ids}
        devices = {0: self.devices if is_same else OverlaidDevices()}
        files = newest_files(self._directory, version)
        waiting = [
            *await _Preparation(RateReader(connection), cards, files, version).run(),
            *await _Preparation(DeviceReader(connection), devices, files, version).run(),
        ]
        return Refresh(version, cards, devices[0], frozenset(waiting))

    def take(self, refresh: Refresh) -> None:
        """Put what was prepared in the place of what there was."""
        is_older = any(card.base is not self._base(key) for key, card in refresh.ratecards.items())
        self.version, self.ratecards, self.devices = refresh.version, refresh.ratecards, refresh.devices
        self.waiting = refresh.waiting
        if is_older:
            forget_rates()

    def _base(self, key: int) -> PackedRatecard | None:
        card = self.ratecards.get(key)
        return card.base if card is not None else None


async def load_packed(connection: Connection, directory: Path) -> PackedTables:
    """Read the tables of the revision that a transaction sees; see `PackedTables.prepare`."""
    tables = PackedTables(directory)
    tables.take(await tables.prepare(connection))
    return tables


def _base_revision(table: Table) -> int:
    return table.base.head.revision if table.base is not None else 0


@dataclass(slots=True)
class _Preparation:
    """Brings the tables of one kind to the revision of a transaction."""

    reader: Reader
    tables: dict[int, Any]
    """By key, a `Table` each; replaced by what they become."""
    files: Mapping[Name, TableFile]
    version: Version
    bases: dict[int, Base] = field(default_factory=dict)
    """Newer files."""

    async def run(self) -> list[Name]:
        """Do it, and return which tables stay as they were until there is a file."""
        for key in self.tables:
            await self._open_newer(key)
        since = {key: self._since(key) for key in self.tables}
        changes = await self.reader.changes({key: revision for key, revision in since.items() if revision})
        whole = [key for key in self.tables if not since[key] or self._is_too_much(key, changes.get(key))]
        for key in self.tables.keys() - set(whole):
            await self._refresh(key, changes.get(key))
        return await self._replace(whole) if whole else []

    async def _open_newer(self, key: int) -> None:
        file = self.files.get((self.reader.table, key))
        if file is None or file.version.revision <= _base_revision(self.tables[key]):
            return
        try:
            self.bases[key] = await asyncio.to_thread(self.reader.open, file.path)
        except InvalidPackedFile as error:
            # It is written anew when it is missing.
            log.warning("file of the snapshot is no good", reason=str(error))
            file.path.unlink(missing_ok=True)
        except OSError as error:
            log.warning("file of the snapshot cannot be read", file=str(file.path), reason=str(error))

    def _since(self, key: int) -> int:
        """The revision from which on changes count; 0 when there is nothing to begin with."""
        base, table = self.bases.get(key), self._table(key)
        return base.head.revision if base is not None else table.revision

    def _table(self, key: int) -> Table:
        table: Table = self.tables[key]
        return table

    def _is_too_much(self, key: int, changes: Changes | None) -> bool:
        if changes is None:
            return False
        base = self.bases.get(key) or self._table(key).base
        rows = base.head.rows if base is not None else 0
        return changes.is_whole or len(changes.rows) > max(MOST_ROWS, rows // LARGEST_PART)

    async def _refresh(self, key: int, changes: Changes | None) -> None:
        """Take a newer file or the rows that were changed, if there are any."""
        changed = changes.rows if changes is not None else []
        rows = await self.reader.read(key, changed) if changed else []
        table, base = self._table(key), self.bases.get(key)
        if base is not None:
            self.tables[key] = table.based(self.version.revision, base, changed, rows)
        elif changed:
            self.tables[key] = table.changed(self.version.revision, changed, rows)

    async def _replace(self, keys: list[int]) -> list[Name]:
        """Read tables as a whole if they are small; else they stay as they are until there is a file."""
        held = sum(table.changes for key, table in self.tables.items() if table.base is None and key not in keys)
        if held + await self.reader.count(keys) > MOST_ROWS:
            missing = [key for key in keys if not self._table(key).revision]
            if missing:
                raise BuildNeeded(f"no file of {self.reader.table} {', '.join(map(str, missing))}")
            return [(self.reader.table, key) for key in keys]
        for key in keys:
            rows = await self.reader.read(key, None)
            self.tables[key] = self._table(key).based(self.version.revision, None, [], rows)
        return []
