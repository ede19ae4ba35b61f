"""One file with all that a system must not lose, and the way back (docs/operations.md "Backup").

The file is a tar, mode 0600, with these members in this order:

    manifest.json                what it is, of which schema version, and how many rows the main tables have
    secret.key                   the system's key
    journal/<worker>/<file>      records that were not in the database yet
    database.dump                pg_dump's custom format, compressed by it

The database is dumped from one snapshot. `b2bua.cli.backup` puts the parts together; what a journal is, is known to
`cdr.backup`.
"""

import gzip
import io
import os
import tarfile
import tempfile
import zlib
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Final
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

import asyncpg
import orjson

from conf.database import connect
from conf.embedded.postgresql import program_directory
from conf.errors import BackupFault
from conf.process import ChildProcess, describe_status
from conf.schema import SCHEMA_VERSION
from conf.settings import Settings

MANIFEST: Final = "manifest.json"
SECRET: Final = "secret.key"  # noqa: S105 - the name of the file
DUMP: Final = "database.dump"
JOURNAL: Final = "journal"

FORMAT: Final = 1
"""Of the file; another number is another layout."""

COUNTED: Final = ("account", "carrier", "rate", "cdr", "cdr_charge", "ledger_entry")
"""Tables whose rows are counted into the manifest and again after a restore."""

_REPLACED: Final = "softswitch_replaced"
"""Schema that holds the tables of before until the restore has worked."""

_EXTENSIONS: Final = ("pg_trgm", "btree_gin")
"""What indexes for searches are made with, where the server has them (migration 11)."""

_LARGEST_MANIFEST: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup holds."""

    format: int
    created_at: str
    """ISO, UTC."""
    schema_version: int
    compat_version: int
    """Oldest code, by its schema version, that can use it."""
    counts: dict[str, int]
    """Rows of the main tables."""

    @classmethod
    def from_json(cls, data: bytes) -> "Manifest":
        """Read a manifest.

        Raises:
            BackupFault: it is none, or one that this code does not know.
        """
        try:
            values = orjson.loads(data)
            if values["format"] != FORMAT:
                raise BackupFault(f"the backup has format {values['format']}, this code knows format {FORMAT}")
            manifest = cls(**values)
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise BackupFault("the file has no manifest of a backup") from error
        if manifest.compat_version > SCHEMA_VERSION:
            raise BackupFault(
                f"the backup has schema version {manifest.schema_version}, this code is of version {SCHEMA_VERSION}: "
                "install a newer one"
            )
        return manifest


@dataclass(frozen=True, slots=True)
class Part:
    """A member of the file: the first `size` bytes of a file on the disk."""

    name: str
    path: Path
    size: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One state of the database."""

    connection: "asyncpg.Connection[asyncpg.Record]"
    """In the transaction that sees it."""
    id: str


# Making


@asynccontextmanager
async def take_snapshot(url: str) -> AsyncIterator[Snapshot]:
    """Hold one state of the database, for whoever reads it through this connection or dumps it.

    Raises:
        BackupFault: the database was never migrated.
    """
    connection = await connect(url)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            await connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
            if await connection.fetchval("SELECT to_regclass('schema_version') IS NULL"):
                raise BackupFault("the database has no tables yet, there is nothing to back up")
            yield Snapshot(connection, await connection.fetchval("SELECT pg_export_snapshot()"))
    finally:
        connection.terminate()


async def describe(snapshot: Snapshot) -> Manifest:
    """Make the manifest of a snapshot."""
    connection = snapshot.connection
    row = await connection.fetchrow(
        """
        SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS created_at, compat_version,
            (SELECT max(number) FROM schema_migration) AS version
        FROM schema_version
        """
    )
    assert row is not None
    counts = await count_rows(connection)
    return Manifest(FORMAT, row["created_at"], row["version"], row["compat_version"], counts)


async def count_rows(connection: "asyncpg.Connection[asyncpg.Record]") -> dict[str, int]:
    """Count the rows of the main tables."""
    # The names are ours.
    return {table: await connection.fetchval(f"SELECT count(*) FROM {table}") for table in COUNTED}  # noqa: S608


async def dump(settings: Settings, url: str, snapshot: Snapshot, target: Path) -> None:
    """Dump a snapshot into a file.

    Raises:
        BackupFault: pg_dump failed; the message is its own.
    """
    arguments = ("--format=custom", f"--snapshot={snapshot.id}", "--schema=public", "--no-owner", "--no-privileges")
    await _run(settings, "pg_dump", url, *arguments, f"--file={target}")


def write_archive(target: Path, manifest: Manifest, parts: Sequence[Part]) -> None:
    """Write the file under its name only when it is whole and synced, for the owner's eyes only.

    Raises:
        BackupFault: there is a file of this name.
        OSError: the disk is full, or the like; nothing is left.
    """
    partial = target.with_name(target.name + ".partial")
    partial.unlink(missing_ok=True)
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            with tarfile.open(fileobj=file, mode="w:gz", compresslevel=1, format=tarfile.PAX_FORMAT) as archive:
                _add(archive, MANIFEST, orjson.dumps(asdict(manifest), option=orjson.OPT_INDENT_2))
                for part in parts:
                    with part.path.open("rb") as content:
                        archive.addfile(_member(part.name, part.size), content)
            file.flush()
            os.fsync(file.fileno())
        # A link and not a rename: it never takes the place of another file.
        os.link(partial, target)
    except FileExistsError:
        raise BackupFault(f"there is a file {target} already") from None
    finally:
        partial.unlink(missing_ok=True)
    sync_directory(target.parent)


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    archive.addfile(_member(name, len(data)), io.BytesIO(data))


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o600
    return member


def sync_directory(directory: Path) -> None:
    """Make the names in a directory survive a loss of power."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# Restoring


@dataclass(frozen=True, slots=True)
class Unpacked:
    """A backup on the disk, in a directory of its own."""

    manifest: Manifest
    directory: Path
    names: tuple[str, ...]
    """Of its files, without the manifest."""


@contextmanager
def unpacked(file: Path, place: Path) -> Iterator[Unpacked]:
    """Unpack a backup below a directory, for the time of a restore.

    Raises:
        BackupFault: it is no backup, is damaged, or of newer code.
    """
    with tempfile.TemporaryDirectory(prefix="restore-", dir=place) as name:
        try:
            with gzip.open(file) as stream, tarfile.open(fileobj=stream, mode="r:") as archive:
                backup = _unpack(archive, Path(name))
                # The archive ends before the file does: only its very end tells whether the rest was as it was written.
                while stream.read(1024 * 1024):
                    pass
        except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise BackupFault(f"{file} is no backup, or damaged: {error}") from error
        yield backup


def _unpack(archive: tarfile.TarFile, directory: Path) -> Unpacked:
    first = archive.next()
    if first is None or first.name != MANIFEST or first.size > _LARGEST_MANIFEST:
        raise BackupFault("the file has no manifest of a backup")
    manifest = Manifest.from_json(_content(archive, first).read())
    names = []
    while (member := archive.next()) is not None:
        _check_name(member)
        path = directory / member.name
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            content = _content(archive, member)
            while block := content.read(1024 * 1024):
                file.write(block)
            file.flush()
            os.fsync(file.fileno())
        names.append(member.name)
    if DUMP not in names:
        raise BackupFault("the backup has no database in it")
    return Unpacked(manifest, directory, tuple(names))


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    content = archive.extractfile(member) if member.isfile() else None
    if content is None:
        raise BackupFault(f"{member.name} in the backup is not a file")
    return content


def _check_name(member: tarfile.TarInfo) -> None:
    """A backup may have been in other hands: it writes where its parts belong and nowhere else."""
    parts = member.name.split("/")
    is_journal = len(parts) == 3 and parts[0] == JOURNAL and not {"", ".", ".."} & set(parts)
    if member.name not in (DUMP, SECRET) and not is_journal:
        raise BackupFault(f"{member.name!r} does not belong into a backup")


async def has_tables(connection: "asyncpg.Connection[asyncpg.Record]") -> bool:
    """Whether a database has anything in it that a restore would replace."""
    found: bool = await connection.fetchval(
        "SELECT EXISTS (SELECT FROM pg_class WHERE relnamespace = to_regnamespace('public'))"
    )
    return found


async def count_others(connection: "asyncpg.Connection[asyncpg.Record]") -> int:
    """How many others are connected to the database."""
    found: int = await connection.fetchval(
        """
        SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
        """
    )
    return found


async def _make_extensions(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Make what indexes of a dump may need; where that cannot be, pg_restore says which index lacks it."""
    with suppress(asyncpg.UndefinedFileError, asyncpg.InsufficientPrivilegeError, asyncpg.FeatureNotSupportedError):
        await connection.execute("CREATE SCHEMA IF NOT EXISTS extensions")
        for name in _EXTENSIONS:
            await connection.execute(f"CREATE EXTENSION IF NOT EXISTS {name} SCHEMA extensions")


async def load(settings: Settings, url: str, source: Path) -> None:
    """Put a dump in the place of everything that the database holds, or leave that as it was.

    Raises:
        BackupFault: pg_restore failed; the message is its own.
    """
    connection = await connect(url)
    try:
        await _make_extensions(connection)
        await connection.execute(f"DROP SCHEMA IF EXISTS {_REPLACED} CASCADE")
        async with connection.transaction():
            await connection.execute("SET LOCAL lock_timeout = '10s'")
            await connection.execute(f"ALTER SCHEMA public RENAME TO {_REPLACED}")
            await connection.execute("CREATE SCHEMA public")
        try:
            options = ("--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges", "--schema=public")
            await _run(settings, "pg_restore", url, *options, str(source))
        except BaseException:
            async with connection.transaction():
                await connection.execute("DROP SCHEMA public CASCADE")
                await connection.execute(f"ALTER SCHEMA {_REPLACED} RENAME TO public")
            raise
        await connection.execute(f"DROP SCHEMA {_REPLACED} CASCADE")
    finally:
        connection.terminate()


# Programs


async def _run(settings: Settings, program: str, url: str, *arguments: str) -> None:
    """Run a program of PostgreSQL's as the caller, whom the embedded server knows by name (root too)."""
    public, password = split_password(url)
    environ: dict[str, str] = {**os.environ, "LC_ALL": "C"}
    if password is not None:
        environ["PGPASSWORD"] = password
    path = program_directory(settings) / program
    with tempfile.TemporaryFile() as output:
        command = [str(path), f"--dbname={public}", "--no-password", *arguments]
        process = ChildProcess(command, environ=environ, output=output)
        try:
            status = await process.wait()
        finally:
            await process.stop()
        if status == 0:
            return
        output.seek(0)
        said = " / ".join(output.read().decode(errors="replace").strip().splitlines()[-5:])
    raise BackupFault(f"{program} ended with {describe_status(status)}: {said}")


def split_password(url: str) -> tuple[str, str | None]:
    """Return a URL without its password, and the password: a command line is seen by every user of the machine."""
    parts = urlsplit(url)
    user, _, host = parts.netloc.rpartition("@")
    name, colon, password = user.partition(":")
    query = parse_qsl(parts.query, keep_blank_values=True)
    found = unquote(password) if colon else dict(query).get("password")
    rest = urlencode([pair for pair in query if pair[0] != "password"], quote_via=quote)
    public = f"{parts.scheme}://{name}@{host}" if user else f"{parts.scheme}://{host}"
    return public + parts.path + (f"?{rest}" if rest else ""), found


def counts_off(expected: Mapping[str, int], found: Mapping[str, int]) -> list[str]:
    """Say which tables have another number of rows than they should."""
    return [
        f"{table} has {found.get(table, 0)} rows instead of {count}"
        for table, count in expected.items()
        if found.get(table, 0) != count
    ]
