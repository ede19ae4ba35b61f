"""Names of files, and which of them a transaction can use."""

from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest

from b2bua.policy.packed_files import (
    TableFile,
    Version,
    all_files,
    ensure_built,
    newest_files,
    read_version,
    snapshot_directory,
)
from conf.errors import ServerUnavailable
from conf.settings import Settings
from tests.support.packed import Rows
from tests.support.servers import Run, Servers


def touch(directory: Path, *names: str) -> None:
    for name in names:
        (directory / name).touch()


class TestNames:
    """A name is table, key, revision and database."""

    def test_file_of_a_name_is_the_one_that_was_named(self, tmp_path: Path) -> None:
        file = TableFile.of(tmp_path, ("ratecard", 7), Version(12, "0badcafe"))
        assert file.path == tmp_path / "ratecard-7-12-0badcafe.pack"
        assert TableFile.parse(file.path) == file

    def test_others_are_left_alone(self, tmp_path: Path) -> None:
        touch(tmp_path, "lock", "a.pack", "ratecard-x-1-a.pack", ".ratecard-1-2-a.pack.9.part", "ratecard-1-2-a-b.pack")
        assert list(all_files(tmp_path)) == []
        assert list(all_files(tmp_path / "missing")) == []

    def test_newest_is_the_last_that_the_transaction_can_see(self, tmp_path: Path) -> None:
        touch(
            tmp_path,
            "ratecard-1-9-a.pack",
            "ratecard-1-10-a.pack",
            "ratecard-1-11-a.pack",
            "ratecard-1-10-b.pack",
            "ratecard-2-11-a.pack",
            "device-0-1-a.pack",
        )
        newest = newest_files(tmp_path, Version(10, "a"))
        assert {name: file.version.revision for name, file in newest.items()} == {("ratecard", 1): 10, ("device", 0): 1}


class TestVersion:
    """A file is of one database as long as its history is one."""

    def test_revision_rises_and_database_stays_when_something_changes(self, rows: Rows) -> None:
        before = rows.run(read_version(rows.connection))
        rows.add_rates(44, 44)
        assert rows.run(read_version(rows.connection)) == (before.revision + 1, before.database)

    def test_database_is_another_when_it_is_a_copy(self, rows: Rows, servers: Servers, run: Run) -> None:
        url = servers.make_database()
        other = run(asyncpg.connect(url))
        assert run(read_version(other)).database != run(read_version(rows.connection)).database
        run(other.close())
        servers.drop_database(url)

    def test_database_is_another_when_its_tables_were_restored(self, rows: Rows) -> None:
        before = rows.run(read_version(rows.connection))
        rows.execute("CREATE TABLE restored (LIKE config_change); DROP TABLE config_change CASCADE")
        rows.execute("ALTER TABLE restored RENAME TO config_change")
        assert rows.run(read_version(rows.connection)).database != before.database


class TestEnsureBuilt:
    """A process of its own writes what is missing."""

    def test_files_are_there_when_it_returns(self, rows: Rows, database_url: str, tmp_path: Path) -> None:
        settings = Settings()
        settings = replace(
            settings,
            system=replace(settings.system, directory=str(tmp_path)),
            database=replace(settings.database, url=database_url),
        )
        assert snapshot_directory(settings) == rows.directory
        rows.add_rates(1, 5)
        rows.run(ensure_built(settings))
        assert rows.files() == [("device", 0, rows.revision()), ("ratecard", rows.card, rows.revision())]

    def test_error_when_it_does_not_work(self, run: Run, tmp_path: Path) -> None:
        settings = Settings()
        settings = replace(
            settings,
            system=replace(settings.system, directory=str(tmp_path)),
            database=replace(settings.database, url=f"postgresql://nobody@/none?host={tmp_path}"),
        )
        with pytest.raises(ServerUnavailable, match="cannot be written: exit status 2"):
            run(ensure_built(settings))
