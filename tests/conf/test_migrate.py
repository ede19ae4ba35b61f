import asyncio
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest

from conf import migrate as module
from conf.database import connect_pool, without_password
from conf.errors import MigrationFailed, SchemaMismatch, ServerUnavailable
from conf.migrate import check_version, migrate, read_migrations
from conf.schema import SCHEMA_COMPAT_VERSION, SCHEMA_VERSION
from conf.settings import DatabaseSettings, Settings
from tests.support.servers import Run, Servers


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "0001_create_thing.sql").write_text("CREATE TABLE thing (id integer); INSERT INTO thing VALUES (1);")
    (tmp_path / "0002_add_name.sql").write_text("ALTER TABLE thing ADD name text;")
    return tmp_path


@pytest.fixture
def empty_url(servers: Servers, run: Run, database_url: str) -> str:
    async def empty() -> None:
        connection = await asyncpg.connect(database_url)
        await connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        await connection.close()

    run(empty())
    return database_url


async def query(url: str, statement: str) -> list[tuple[object, ...]]:
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(statement)]
    finally:
        await connection.close()


async def check(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await check_version(connection)
    finally:
        await connection.close()


class TestFiles:
    def test_newest_file_has_the_number_of_the_schema(self) -> None:
        migrations = read_migrations()
        assert migrations[-1].number == SCHEMA_VERSION
        assert 1 <= SCHEMA_COMPAT_VERSION <= SCHEMA_VERSION

    @pytest.mark.parametrize("name", ["0003_add_other.sql", "0001_again.sql", "2_add_other.sql", "add.sql"])
    def test_files_are_refused_when_a_number_is_missing_or_taken(self, tmp_path: Path, name: str) -> None:
        (tmp_path / "0001_create_thing.sql").write_text("SELECT 1")
        (tmp_path / name).write_text("SELECT 1")
        with pytest.raises(MigrationFailed, match="is not named 000"):
            read_migrations(tmp_path)


class TestMigrate:
    def test_migrate_applies_each_file_once(self, empty_url: str, files: Path, run: Run) -> None:
        assert run(migrate(empty_url, files)) == 2
        assert run(migrate(empty_url, files)) == 0
        assert run(query(empty_url, "SELECT id, name FROM thing")) == [(1, None)]
        recorded = run(query(empty_url, "SELECT number, name, checksum FROM schema_migration ORDER BY number"))
        assert recorded == [(each.number, each.name, each.checksum) for each in read_migrations(files)]

    def test_migrate_makes_an_empty_database_one_that_services_accept(self, empty_url: str, run: Run) -> None:
        with pytest.raises(SchemaMismatch, match="no tables yet"):
            run(check(empty_url))
        assert run(migrate(empty_url)) == SCHEMA_VERSION
        run(check(empty_url))

    def test_migrate_names_the_file_that_was_changed_since(self, empty_url: str, files: Path, run: Run) -> None:
        run(migrate(empty_url, files))
        (files / "0001_create_thing.sql").write_text("CREATE TABLE thing (id bigint);")
        with pytest.raises(MigrationFailed, match=r"0001_create_thing\.sql was changed"):
            run(migrate(empty_url, files))

    def test_migrate_keeps_earlier_files_when_one_fails(self, empty_url: str, files: Path, run: Run) -> None:
        (files / "0003_break_thing.sql").write_text("ALTER TABLE thing ADD more text; SELECT nonsense;")
        with pytest.raises(MigrationFailed, match=r"0003_break_thing\.sql could not be applied: .*nonsense"):
            run(migrate(empty_url, files))
        assert run(query(empty_url, "SELECT max(number) FROM schema_migration")) == [(2,)]
        assert run(query(empty_url, "SELECT id, name FROM thing")) == [(1, None)]

    def test_migrate_applies_once_when_two_processes_start_together(
        self, empty_url: str, files: Path, run: Run
    ) -> None:
        async def both() -> list[int]:
            return sorted(await asyncio.gather(migrate(empty_url, files), migrate(empty_url, files)))

        assert run(both()) == [0, 2]

    def test_migrate_gives_up_when_a_table_stays_locked(
        self, empty_url: str, files: Path, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "_TABLE_WAIT", "100ms")

        async def migrate_beside_a_lock() -> None:
            connection = await asyncpg.connect(empty_url)
            try:
                await connection.execute("CREATE TABLE held (id integer)")
                (files / "0003_alter_held.sql").write_text("ALTER TABLE held ADD name text")
                async with connection.transaction():
                    await connection.execute("LOCK TABLE held")
                    await migrate(empty_url, files)
            finally:
                await connection.close()

        with pytest.raises(MigrationFailed, match=r"0003_alter_held\.sql could not be applied: .*lock timeout"):
            run(migrate_beside_a_lock())


class TestVersion:
    def test_services_refuse_an_older_database(
        self, database_url: str, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "SCHEMA_VERSION", SCHEMA_VERSION + 1)
        with pytest.raises(SchemaMismatch, match="run `softswitch migrate`"):
            run(check(database_url))

    def test_services_accept_a_newer_database_that_is_compatible(self, database_url: str, run: Run) -> None:
        run(query(database_url, "INSERT INTO schema_migration (number, name, checksum) VALUES (9999, 'new', '')"))
        run(check(database_url))
        assert run(migrate(database_url)) == 0

    def test_services_refuse_a_newer_database_that_is_not(self, database_url: str, run: Run) -> None:
        run(query(database_url, "UPDATE schema_version SET compat_version = 9999"))
        with pytest.raises(SchemaMismatch, match="install a newer one"):
            run(check(database_url))
        with pytest.raises(SchemaMismatch, match="install a newer one"):
            run(migrate(database_url))


class TestPool:
    def test_pool_opens_on_a_migrated_database(self, database_url: str, run: Run) -> None:
        async def count() -> object:
            pool = await connect_pool(Settings(database=DatabaseSettings(database_url)))
            try:
                return await pool.fetchval("SELECT count(*) FROM account")
            finally:
                await pool.close()

        assert run(count()) == 0

    def test_pool_is_refused_on_a_database_without_tables(self, empty_url: str, run: Run) -> None:
        with pytest.raises(SchemaMismatch):
            run(connect_pool(Settings(database=DatabaseSettings(empty_url))))

    def test_pool_names_the_server_without_its_password_when_it_is_away(self, run: Run) -> None:
        away = replace(Settings(), database=DatabaseSettings("postgresql://me:secret@127.0.0.1:1/db"))
        with pytest.raises(
            ServerUnavailable, match=r"PostgreSQL at postgresql://me@127\.0\.0\.1:1/db is not"
        ) as caught:
            run(connect_pool(away))
        assert "secret" not in str(caught.value)

    @pytest.mark.parametrize(
        ("url", "shown"),
        [
            ("postgresql://u:p@h:1/d", "postgresql://u@h:1/d"),
            ("postgresql://u:p%40q@h/d?sslmode=require", "postgresql://u@h/d"),
            ("postgresql://u@/d?host=/run/x&port=5432", "postgresql://u@/d (/run/x)"),
            ("postgresql://h/d?password=secret", "postgresql://h/d"),
        ],
    )
    def test_urls_are_shown_without_password(self, url: str, shown: str) -> None:
        assert without_password(url) == shown
