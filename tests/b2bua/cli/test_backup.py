"""`softswitch backup` and `restore`: the whole way, and what is refused on it."""

import asyncio
import gzip
import io
import shutil
import tarfile
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncpg
import orjson
import pytest

from cdr.journal import JournalWriter
from cdr.writer import Writer
from conf.embedded.postgresql import PostgreSQL
from conf.migrate import SCHEMA_DIRECTORY, migrate
from conf.schema import SCHEMA_VERSION
from conf.secret import load_secret
from conf.settings import Settings
from rating.ledger import balances_off
from tests.b2bua.cli.command_line import CommandLine
from tests.support.records import make_cdr_line, make_level, make_rate, make_record
from tests.support.servers import Servers, data_directory, settings_in

TABLES = (
    "account",
    "carrier",
    "rate",
    "cdr",
    "cdr_charge",
    "ledger_entry",
    "config_change",
    "panel_user",
    "schema_migration",
)


@pytest.fixture
def other(cli: CommandLine, servers: Servers) -> Iterator[CommandLine]:
    """Another machine: an empty database and an empty data directory."""
    url = servers.make_database()
    directory = Path(tempfile.mkdtemp(prefix="cli-"))
    settings = replace(
        cli.settings,
        system=replace(cli.settings.system, directory=str(directory)),
        database=replace(cli.settings.database, url=url),
    )
    line = CommandLine(settings)
    line.value("DROP SCHEMA public CASCADE")
    line.value("CREATE SCHEMA public")
    yield line
    servers.drop_database(url)
    shutil.rmtree(directory)


def write_calls(cli: CommandLine, first: int, last: int, account_id: int, segment_size: int = 1 << 20) -> None:
    """Let a worker write calls of a minute at 0.10 into its journal."""
    directory = cli.settings.system.path / "journal" / "sip-1"
    journal = JournalWriter(directory, "sip-1", "run", segment_size=segment_size, sync_interval=0.01)
    now = time.time()
    journal.open(now, [])
    for number in range(first, last + 1):
        record = make_record(number, received_at=now, answered_at=now, account_id=account_id)
        journal.append(make_cdr_line(record, [make_level(0, make_rate("0.10"), account_id=account_id)]))
        journal.flush(now)
    journal.close(now)


def post(cli: CommandLine) -> None:
    """Let the writer process commit everything."""

    async def main() -> None:
        connection = await asyncpg.connect(cli.settings.database.url)
        try:
            writer = Writer(cli.settings.system.path / "journal", "node1", 100)
            await writer.prepare(connection)
            while await writer.step(connection):
                pass
        finally:
            await connection.close()

    asyncio.run(main())


def counts(cli: CommandLine) -> dict[str, int]:
    return {table: cli.value(f"SELECT count(*) FROM {table}") for table in TABLES}


def money(cli: CommandLine) -> list[Any]:
    """Balances by account; the ledger agrees with them."""
    assert cli.sql(balances_off) == []
    rows = cli.sql(
        lambda connection: connection.fetch(
            "SELECT code, balance FROM account JOIN account_balance ON account_id = id ORDER BY code"
        )
    )
    return [tuple(row) for row in rows]


@pytest.fixture
def customer(cli: CommandLine) -> int:
    """The demo's customer: ten calls are posted, five wait in the journal."""
    cli("demo")
    account_id: int = cli.value("SELECT id FROM account WHERE code = 'DEMO0002'")
    write_calls(cli, 1, 10, account_id)
    post(cli)
    write_calls(cli, 11, 15, account_id)
    load_secret(cli.settings)
    return account_id


@pytest.fixture
def file(cli: CommandLine, customer: int) -> Path:
    """A backup of all this."""
    path = cli.settings.system.path / "backup.tar.gz"
    cli("backup", str(path))
    return path


def members(file: Path) -> dict[str, bytes]:
    with tarfile.open(file) as archive:
        return {
            member.name: content.read() for member in archive if (content := archive.extractfile(member)) is not None
        }


def pack(file: Path, content: Mapping[str, bytes]) -> Path:
    with tarfile.open(file, "w:gz") as archive:
        for name, data in content.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return file


class TestRoundTrip:
    def test_other_machine_has_all_of_it_and_goes_on_where_the_first_was(
        self, cli: CommandLine, other: CommandLine, file: Path, customer: int
    ) -> None:
        assert "10 records" in other("restore", str(file)).stdout
        assert counts(other) == counts(cli)
        assert money(other) == money(cli)
        first, second = cli.settings.system.path, other.settings.system.path
        assert (second / "secret.key").read_bytes() == (first / "secret.key").read_bytes()
        assert (second / "secret.key").stat().st_mode & 0o777 == 0o600
        # What waited is posted once, on both; then the new machine has calls of its own.
        for line in (cli, other):
            post(line)
            assert line.value("SELECT count(*) FROM cdr") == 15
        assert money(other) == money(cli)
        write_calls(other, 16, 20, customer)
        post(other)
        assert other.value("SELECT count(*), max(posted_id) FROM cdr") == 20
        assert other.value("SELECT count(DISTINCT posted_id) FROM cdr") == 20
        assert other.sql(balances_off) == []
        other.value("UPDATE account SET name = 'changed' WHERE id = $1", customer)
        assert other.value("SELECT max(revision) FROM config_change") == other.value(
            "SELECT revision FROM config_revision"
        )
        with pytest.raises(asyncpg.RaiseError, match="never changed"):
            other.value("DELETE FROM ledger_entry")

    def test_second_restore_is_like_the_first(
        self, cli: CommandLine, other: CommandLine, file: Path, customer: int
    ) -> None:
        other("restore", str(file))
        write_calls(other, 30, 40, customer)
        post(other)
        again = other("restore", str(file), "--force")
        assert "the journals that were there are in" in again.stderr
        assert counts(other) == counts(cli)
        post(other)
        assert other.value("SELECT count(*) FROM cdr") == 15
        assert list(other.settings.system.path.glob("restore-*")) == []
        back = other.settings.system.path / "second.tar.gz"
        other("backup", str(back))
        cli("restore", str(back), "--force")
        assert counts(cli) == counts(other)
        assert money(cli) == money(other)

    def test_records_that_are_committed_while_the_database_is_dumped_are_not_lost(
        self, cli: CommandLine, other: CommandLine, customer: int
    ) -> None:
        """The writer process removes segments in the very moment in which they are linked and dumped."""
        file = cli.settings.system.path / "backup.tar.gz"
        write_calls(cli, 16, 200, customer, segment_size=2000)
        directory = cli.settings.system.path / "journal" / "sip-1"

        async def commit() -> None:
            connection = await asyncpg.connect(cli.settings.database.url)
            writer = Writer(directory.parent, "node1", 3)
            await writer.prepare(connection)
            while await writer.step(connection):
                pass
            await connection.close()

        thread = threading.Thread(target=lambda: asyncio.run(commit()))
        thread.start()
        cli("backup", str(file))
        thread.join()
        assert list(directory.glob("backup-*")) == []
        other("restore", str(file))
        post(other)
        assert other.value("SELECT count(*) FROM cdr") == 200
        assert money(other) == money(cli)

    def test_embedded_servers_are_started_for_the_time(self, file: Path, cli: CommandLine) -> None:
        with data_directory() as directory:
            settings = replace(settings_in(directory), sip=replace(Settings().sip, listen=()))
            line = CommandLine(settings)
            line("restore", str(file))
            again = directory.parent / "again.tar.gz"
            line("backup", str(again))
            first, second = (orjson.loads(members(path)["manifest.json"]) for path in (file, again))
            assert first["counts"] == second["counts"]

            async def running() -> str:
                server = PostgreSQL(settings)
                await server.start()
                try:
                    third = directory.parent / "third.tar.gz"
                    result = await asyncio.to_thread(line, "backup", str(third))
                    return str(result.stdout)
                finally:
                    await server.stop()

            assert "10 records" in asyncio.run(running())


class TestFile:
    def test_file_is_for_its_owner_only_and_holds_what_waits(self, file: Path) -> None:
        assert file.stat().st_mode & 0o777 == 0o600
        content = members(file)
        assert list(content) == [
            "manifest.json",
            "secret.key",
            *[n for n in content if n.startswith("journal/")],
            "database.dump",
        ]
        manifest = orjson.loads(content["manifest.json"])
        assert manifest["schema_version"] == SCHEMA_VERSION
        assert manifest["counts"]["cdr"] == 10
        lines = b"".join(data for name, data in content.items() if name.startswith("journal/")).splitlines()
        assert sum(b'"call-15"' in line for line in lines) == 1

    def test_last_line_is_whole_when_a_worker_is_just_writing(self, cli: CommandLine, customer: int) -> None:
        directory = cli.settings.system.path / "journal" / "sip-1"
        newest = sorted(directory.glob("*.journal"))[-1]
        whole = newest.read_bytes()
        newest.write_bytes(whole + b"12345678 {half of a li")
        (directory / "refused.journal-lines").write_bytes(b"kept\n")
        file = cli.settings.system.path / "backup.tar.gz"
        cli("backup", str(file))
        content = members(file)
        assert content[f"journal/sip-1/{newest.name}"] == whole
        assert content["journal/sip-1/refused.journal-lines"] == b"kept\n"

    def test_existing_file_is_not_touched(self, cli: CommandLine, file: Path) -> None:
        before = file.read_bytes()
        assert "already" in cli("backup", str(file), status=1).stderr
        assert file.read_bytes() == before
        assert [path.name for path in file.parent.glob("*backup*")] == [file.name]

    def test_nothing_is_left_when_there_is_nothing_to_back_up(self, other: CommandLine) -> None:
        file = other.settings.system.path / "backup.tar.gz"
        assert "no tables" in other("backup", str(file), status=1).stderr
        assert "no directory" in other("backup", str(file / "x"), status=1).stderr
        assert list(other.settings.system.path.iterdir()) == []


class TestRefusal:
    def test_database_with_anything_in_it_is_replaced_by_force_only(
        self, cli: CommandLine, file: Path, other: CommandLine
    ) -> None:
        other.value("CREATE TABLE mine (id integer)")
        assert "not empty" in other("restore", str(file), status=1).stderr
        assert other.value("SELECT count(*) FROM mine") == 0
        other("restore", str(file), "--force")
        assert other.value("SELECT to_regclass('mine')") is None

    def test_journal_and_key_are_replaced_by_force_only(self, file: Path, other: CommandLine) -> None:
        load_secret(other.settings)
        assert "key of another system" in other("restore", str(file), status=1).stderr
        (other.settings.system.path / "secret.key").unlink()
        write_calls(other, 1, 1, 1)
        assert "holds records" in other("restore", str(file), status=1).stderr
        load_secret(other.settings)
        assert "the key that was there is in" in other("restore", str(file), "--force").stderr

    def test_nothing_is_restored_while_a_worker_runs(self, file: Path, other: CommandLine) -> None:
        directory = other.settings.system.path / "journal" / "sip-1"
        journal = JournalWriter(directory, "sip-1", "run", segment_size=1, sync_interval=1.0)
        try:
            assert "sip-1 is running" in other("restore", str(file), "--force", status=1).stderr
        finally:
            journal.close(0.0)

    def test_nothing_is_restored_while_others_use_the_database(self, file: Path, other: CommandLine) -> None:
        async def beside() -> str:
            connection = await asyncpg.connect(other.settings.database.url)
            try:
                result = await asyncio.to_thread(other, "restore", str(file), status=1)
                return str(result.stderr)
            finally:
                await connection.close()

        assert "1 others are connected" in asyncio.run(beside())

    def test_newer_backup_is_refused(self, file: Path, other: CommandLine, tmp_path: Path) -> None:
        content = members(file)
        manifest = orjson.loads(content["manifest.json"]) | {"schema_version": 9999, "compat_version": 9999}
        newer = pack(tmp_path / "newer", content | {"manifest.json": orjson.dumps(manifest)})
        assert "install a newer one" in other("restore", str(newer), status=1).stderr

    def test_older_backup_is_migrated(self, cli: CommandLine, other: CommandLine, tmp_path: Path) -> None:
        first = min(SCHEMA_DIRECTORY.glob("*.sql"))
        shutil.copy(first, tmp_path)
        for statement in ("DROP SCHEMA public CASCADE", "CREATE SCHEMA public"):
            cli.value(statement)
        asyncio.run(migrate(cli.settings.database.url, tmp_path))
        cli.value("INSERT INTO account (code, kind, name, currency) VALUES ('CUST0001', 'customer', 'C', 'EUR')")
        cli("backup", str(tmp_path / "older"))
        assert f"{SCHEMA_VERSION - 1} migrations applied" in other("restore", str(tmp_path / "older")).stderr
        assert money(other) == [("CUST0001", 0)]

    @pytest.mark.parametrize(
        "name", ["../secret.key", "/etc/x", "journal/../../x", "journal/sip-1/a/b", "journal/x", "other"]
    )
    def test_member_that_does_not_belong_there_is_refused(
        self, file: Path, other: CommandLine, tmp_path: Path, name: str
    ) -> None:
        bad = pack(tmp_path / "bad", members(file) | {name: b"x"})
        assert "does not belong" in other("restore", str(bad), status=1).stderr
        assert other.value("SELECT to_regclass('cdr')") is None

    def test_damaged_file_is_refused(self, file: Path, other: CommandLine, tmp_path: Path) -> None:
        whole = file.read_bytes()
        for name, data in (
            ("text", b"hello"),
            ("zip", gzip.compress(b"hello")),
            ("half", whole[: len(whole) // 2]),
            ("bit", whole[:5000] + bytes([whole[5000] ^ 1]) + whole[5001:]),
        ):
            (tmp_path / name).write_bytes(data)
            assert "error: " in other("restore", str(tmp_path / name), status=1).stderr, name
        assert "no file" in other("restore", str(tmp_path / "none"), status=1).stderr
        assert other.value("SELECT to_regclass('cdr')") is None
        assert sorted(path.name for path in other.settings.system.path.iterdir()) == ["supervisor.lock"]

    def test_database_is_as_it_was_when_the_dump_cannot_be_loaded(
        self, cli: CommandLine, file: Path, tmp_path: Path
    ) -> None:
        content = members(file)
        before = counts(cli), money(cli)
        bad = pack(tmp_path / "bad", content | {"database.dump": content["database.dump"][:-3000]})
        assert "pg_restore ended" in cli("restore", str(bad), "--force", status=1).stderr
        assert (counts(cli), money(cli)) == before
