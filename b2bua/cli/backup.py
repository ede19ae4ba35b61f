"""`softswitch backup` and `softswitch restore`: one file with the database, the waiting journals and the key."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from b2bua.cli.context import CommandError, faults, run, settings_of, tell
from b2bua.supervisor import locked
from cdr.backup import JournalLinks, check_unused, has_records, put_aside, put_back, read_positions
from cdr.errors import RecordError
from conf import backup
from conf.backup import DUMP, JOURNAL, SECRET, Manifest, Part, Unpacked
from conf.database import connect
from conf.embedded.location import database_url
from conf.embedded.owner import make_data_directory
from conf.embedded.postgresql import PostgreSQL
from conf.errors import ServerUnavailable
from conf.migrate import migrate
from conf.settings import Settings
from rating.ledger import balances_off

_TRIES: Final = 5
"""Times that a snapshot is taken again because a segment was removed just before it was linked."""


def command(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="To be made; there must be none of this name.")],
) -> None:
    """Write the database, the journals that are not in it yet and the system's key into one file, mode 0600.

    The switch may be running. Example: softswitch backup /backup/softswitch-2026-01-31.tar.gz
    """
    settings, target = settings_of(context), file.absolute()
    with faults():
        if target.exists():
            raise CommandError(f"there is a file {file} already")
        if not target.parent.is_dir():
            raise CommandError(f"there is no directory {target.parent}")
    manifest = run(_back_up(settings, target))
    typer.echo(f"{file} holds {_describe(manifest)}")


def restore(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Made by softswitch backup.")],
    force: Annotated[
        bool, typer.Option("--force", help="Replace a database, key and journals that are there.")
    ] = False,
) -> None:
    """Put a backup in the place of database, journals and key; the switch must be stopped.

    Example: softswitch restore /backup/softswitch-2026-01-31.tar.gz
    """
    settings, source = settings_of(context), file.absolute()
    with faults():
        if not source.is_file():
            raise CommandError(f"there is no file {file}")
    manifest = run(_restore(settings, source, is_forced=force))
    typer.echo(f"restored {_describe(manifest)}")


def _describe(manifest: Manifest) -> str:
    counts = manifest.counts
    return (
        f"{counts['account']} accounts, {counts['cdr']} records and {counts['ledger_entry']} ledger entries "
        f"of {manifest.created_at}, schema version {manifest.schema_version}"
    )


# Backup


async def _back_up(settings: Settings, file: Path) -> Manifest:
    # Beside the file, where there has to be room anyway; the directory is for its owner only.
    with tempfile.TemporaryDirectory(prefix=".backup-", dir=file.parent) as working:
        async with _running_database(settings) as url:
            return await _collect(settings, url, file, Path(working))


@asynccontextmanager
async def _running_database(settings: Settings) -> AsyncIterator[str]:
    """The database's URL; the embedded server is started for the time where it is not running."""
    url = database_url(settings)
    try:
        await (await connect(url)).close()
    except ServerUnavailable:
        if settings.database.url:
            raise
    else:
        yield url
        return
    make_data_directory(settings)
    with locked(settings.system.path):
        async with _own_server(settings):
            yield url


@asynccontextmanager
async def _own_server(settings: Settings) -> AsyncIterator[None]:
    server = PostgreSQL(settings)
    try:
        await server.start()
        yield
    finally:
        await server.stop()


async def _collect(settings: Settings, url: str, file: Path, working: Path) -> Manifest:
    with JournalLinks(settings.system.path / "journal") as links:
        async with _snapshot(url, links) as (snapshot, positions):
            manifest = await backup.describe(snapshot)
            await backup.dump(settings, url, snapshot, working / DUMP)
        # Segments that were begun while the database was dumped.
        links.add()
        parts = []
        secret = settings.system.path / SECRET
        if secret.exists():
            parts.append(Part(SECRET, secret, secret.stat().st_size))
        parts += links.parts(positions)
        parts.append(Part(DUMP, working / DUMP, (working / DUMP).stat().st_size))
        backup.write_archive(file, manifest, parts)
    return manifest


@asynccontextmanager
async def _snapshot(url: str, links: JournalLinks) -> AsyncIterator[tuple[backup.Snapshot, dict[str, int]]]:
    """A state of the database of which every journal that it has not committed is linked."""
    for attempt in range(_TRIES):
        links.add()
        async with backup.take_snapshot(url) as snapshot:
            links.add()
            positions = await read_positions(snapshot)
            # A journal that somebody cleared by hand never has the segment.
            if links.has(positions) or attempt == _TRIES - 1:
                yield snapshot, positions
                return


# Restore


async def _restore(settings: Settings, file: Path, *, is_forced: bool) -> Manifest:
    directory = make_data_directory(settings)
    journals = directory / "journal"
    with locked(directory), backup.unpacked(file, directory) as unpacked:
        try:
            check_unused(journals)
        except RecordError as error:
            raise CommandError(str(error)) from error
        if not is_forced:
            _refuse_to_replace(directory, unpacked)
        if settings.database.url:
            await _restore_database(settings, unpacked, is_forced=is_forced)
        else:
            async with _own_server(settings):
                await _restore_database(settings, unpacked, is_forced=is_forced)
        _restore_files(directory, unpacked)
        return unpacked.manifest


def _refuse_to_replace(directory: Path, unpacked: Unpacked) -> None:
    secret = directory / SECRET
    if _is_other_key(secret, unpacked):
        raise CommandError(f"{secret} is the key of another system; --force replaces it")
    if has_records(directory / "journal"):
        raise CommandError(f"{directory / 'journal'} holds records; --force puts them aside")


def _is_other_key(secret: Path, unpacked: Unpacked) -> bool:
    if SECRET not in unpacked.names or not secret.exists():
        return False
    return secret.read_bytes() != (unpacked.directory / SECRET).read_bytes()


async def _restore_database(settings: Settings, unpacked: Unpacked, *, is_forced: bool) -> None:
    url = database_url(settings)
    connection = await connect(url)
    try:
        if not is_forced and await backup.has_tables(connection):
            raise CommandError("the database is not empty; --force replaces all that is in it")
        if others := await backup.count_others(connection):
            raise CommandError(f"{others} others are connected to the database; stop every process of the switch first")
    finally:
        await connection.close()
    await backup.load(settings, url, unpacked.directory / DUMP)
    connection = await connect(url)
    try:
        if off := backup.counts_off(unpacked.manifest.counts, await backup.count_rows(connection)):
            raise CommandError(f"restored, but {'; '.join(off)}")
        # Every journal is read from its start again, and nobody stays signed in to a system of another day.
        await connection.execute("DELETE FROM journal_position")
        await connection.execute("DELETE FROM cdr_writer")
        await connection.execute("DELETE FROM panel_session")
        if count := await migrate(url):
            tell(f"{count} migrations applied")
        if wrong := await balances_off(connection):
            raise CommandError(
                f"restored, but balances are not the sums of their entries: {', '.join(w.code for w in wrong)}"
            )
        await connection.execute("ANALYZE")
    finally:
        await connection.close()


def _restore_files(directory: Path, unpacked: Unpacked) -> None:
    now = datetime.now(UTC)
    if (aside := put_aside(directory / "journal", now)) is not None:
        tell(f"the journals that were there are in {aside}")
    made_at = datetime.fromisoformat(unpacked.manifest.created_at)
    journals = [name for name in unpacked.names if name.startswith(f"{JOURNAL}/")]
    put_back(directory / "journal", unpacked.directory, journals, made_at)
    if SECRET in unpacked.names:
        secret = directory / SECRET
        if _is_other_key(secret, unpacked):
            old = secret.with_name(f"{SECRET}.replaced-{now:%Y%m%dT%H%M%SZ}")
            secret.rename(old)
            tell(f"the key that was there is in {old}")
        (unpacked.directory / SECRET).rename(secret)
        backup.sync_directory(directory)
