import asyncio
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from conf.embedded import database_url, run_directory
from conf.embedded.location import live_url
from conf.embedded.postgresql import PostgreSQL
from conf.errors import ServerUnavailable
from conf.settings import DatabaseSettings, LiveSettings, Settings
from tests.support.servers import Run, data_directory, settings_in

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the servers as another user")

KEEPER = """
import asyncio, sys
from tests.support.servers import settings_in
from conf.embedded.postgresql import PostgreSQL
from pathlib import Path
async def main():
    server = PostgreSQL(settings_in(Path(sys.argv[1])))
    await server.start()
    print(server.pid, flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""


@pytest.fixture
def settings() -> Iterator[Settings]:
    with data_directory() as directory:
        yield settings_in(directory)


async def ask(settings: Settings, statement: str) -> object:
    connection = await asyncpg.connect(database_url(settings))
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def owner_of(pid: int | None) -> int:
    return Path(f"/proc/{pid}").stat().st_uid


def has_ended(pid: int) -> bool:
    # A zombie, which somebody else has to reap, has ended too.
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


class TestStart:
    def test_server_keeps_its_data_when_it_is_stopped_and_started(self, settings: Settings, run: Run) -> None:
        async def twice() -> None:
            server = PostgreSQL(settings)
            await server.start()
            try:
                assert await ask(settings, "SELECT current_user::text") == "softswitch"
                assert await ask(settings, "SHOW fsync") == "on"
                assert await ask(settings, "SHOW listen_addresses") == ""
                assert await ask(settings, "SHOW server_encoding") == "UTF8"
                await ask(settings, "CREATE TABLE kept ()")
            finally:
                await server.stop()
            await server.start()
            try:
                assert await ask(settings, "SELECT count(*) FROM kept") == 0
            finally:
                await server.stop()

        run(twice())

    def test_server_changes_no_directory_that_is_not_its_own(self, settings: Settings, run: Run) -> None:
        base = settings.system.path.parent
        before = base.stat()

        async def once() -> None:
            server = PostgreSQL(settings)
            await server.start()
            await server.stop()

        run(once())
        assert (base.stat().st_mode, base.stat().st_uid) == (before.st_mode, before.st_uid)
        assert mode_of(settings.system.path) == (0o711 if os.geteuid() == 0 else 0o700)
        for name in ("postgresql", "run", "log"):
            assert mode_of(settings.system.path / name) == 0o700

    def test_server_trusts_nobody(self, settings: Settings, run: Run) -> None:
        async def once() -> None:
            server = PostgreSQL(settings)
            await server.start()
            try:
                with pytest.raises(asyncpg.PostgresError):
                    await asyncpg.connect(database_url(settings).replace("softswitch@", "pg_monitor@"))
            finally:
                await server.stop()

        run(once())
        rules = (settings.system.path / "postgresql" / "pg_hba.conf").read_text()
        assert {line.split()[3] for line in rules.splitlines() if line.startswith("local")} == {"peer"}
        assert "trust" not in rules

    def test_server_leaves_nothing_behind_when_its_data_cannot_be_made(
        self, settings: Settings, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("conf.embedded.postgresql._TUNING", {"nonsense": "1"})
        with pytest.raises(ServerUnavailable, match=r"initdb ended with exit status 1: .*contains errors"):
            run(PostgreSQL(settings).start())
        assert not (settings.system.path / "postgresql").exists()
        monkeypatch.undo()

        async def once() -> None:
            server = PostgreSQL(settings)
            await server.start()
            await server.stop()

        run(once())


class TestCrash:
    def test_server_starts_again_when_it_was_killed(self, settings: Settings, run: Run) -> None:
        async def crash() -> None:
            server = PostgreSQL(settings)
            await server.start()
            try:
                await ask(settings, "CREATE TABLE kept ()")
                assert server.pid is not None
                os.kill(server.pid, signal.SIGKILL)
                assert await server.wait() == -signal.SIGKILL
                await server.start()
                assert await ask(settings, "SELECT count(*) FROM kept") == 0
            finally:
                await server.stop()

        run(crash())

    def test_server_ends_when_its_supervisor_is_killed_and_the_next_takes_over(
        self, settings: Settings, run: Run
    ) -> None:
        command = [sys.executable, "-c", KEEPER, str(settings.system.path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as keeper:
            assert keeper.stdout is not None
            pid = int(keeper.stdout.readline())
            keeper.kill()

        async def take_over() -> None:
            server = PostgreSQL(settings)
            await server.start()
            try:
                assert server.pid != pid
                assert has_ended(pid)
                assert await ask(settings, "SELECT 1") == 1
            finally:
                await server.stop()

        run(take_over())

    def test_server_stops_an_orphan_that_nobody_told(self, settings: Settings, run: Run) -> None:
        async def meet() -> None:
            orphan, server = PostgreSQL(settings), PostgreSQL(settings)
            await orphan.start()
            await server.start()
            try:
                assert await asyncio.wait_for(orphan.wait(), 1) == 0
                assert await ask(settings, "SELECT 1") == 1
            finally:
                await server.stop()

        run(meet())


class TestStop:
    def test_server_stops_in_time_when_a_client_stays_connected(self, settings: Settings, run: Run) -> None:
        async def stop() -> float:
            server = PostgreSQL(settings)
            await server.start()
            connection = await asyncpg.connect(database_url(settings))
            began = time.monotonic()
            await server.stop()
            connection.terminate()
            return time.monotonic() - began

        assert run(stop()) < 4.0


class TestLocation:
    def test_urls_follow_from_the_settings(self) -> None:
        settings = settings_in(Path("/srv/softswitch"))
        assert database_url(settings) == "postgresql://softswitch@/softswitch?host=/srv/softswitch/run&port=5432"
        assert live_url(settings) == "unix:///srv/softswitch/run/valkey.sock"

    def test_urls_of_the_settings_stand_above_the_embedded_servers(self) -> None:
        settings = Settings(database=DatabaseSettings("postgresql://db/"), live=LiveSettings("valkey://live:6379"))
        assert (database_url(settings), live_url(settings)) == ("postgresql://db/", "valkey://live:6379")

    def test_sockets_lie_in_a_short_directory_when_the_data_directory_is_long(self) -> None:
        settings = settings_in(Path("/srv") / ("x" * 100))
        assert run_directory(settings).parent == Path("/tmp")
        assert len(str(run_directory(settings) / ".s.PGSQL.5432")) <= 107
        assert run_directory(settings) == run_directory(settings_in(Path("/srv") / ("x" * 100)))
        assert run_directory(settings) != run_directory(settings_in(Path("/srv") / ("y" * 100)))

    def test_server_starts_when_the_data_directory_is_long(self, settings: Settings, run: Run) -> None:
        far = settings_in(settings.system.path / ("x" * 100))

        async def once() -> None:
            server = PostgreSQL(far)
            await server.start()
            try:
                assert await ask(far, "SELECT 1") == 1
                assert mode_of(run_directory(far)) == 0o700
            finally:
                await server.stop()

        settings.system.path.mkdir(mode=0o711)
        settings.system.path.chmod(0o711)
        try:
            run(once())
        finally:
            for path in run_directory(far).glob("*"):
                path.unlink()
            run_directory(far).rmdir()

    def test_server_is_refused_when_the_directory_of_its_sockets_is_open_to_others(
        self, settings: Settings, run: Run
    ) -> None:
        settings.system.path.mkdir(mode=0o711)
        run_directory(settings).mkdir()
        run_directory(settings).chmod(0o777)
        with pytest.raises(ServerUnavailable, match="is open to other users"):
            run(PostgreSQL(settings).start())
        assert mode_of(run_directory(settings)) == 0o777

    def test_server_is_refused_when_its_directory_is_a_link(self, settings: Settings, run: Run, tmp_path: Path) -> None:
        settings.system.path.mkdir(mode=0o711)
        run_directory(settings).symlink_to(tmp_path)
        with pytest.raises(ServerUnavailable, match="is not a directory of user"):
            run(PostgreSQL(settings).start())

    @as_root
    def test_server_names_the_directory_that_its_user_cannot_enter(self, run: Run, tmp_path: Path) -> None:
        tmp_path.chmod(0o700)
        with pytest.raises(ServerUnavailable, match=r"user softswitch, as whom .* cannot enter"):
            run(PostgreSQL(settings_in(tmp_path / "data")).start())
        assert mode_of(tmp_path) == 0o700

    @as_root
    def test_server_runs_as_the_system_user_when_root_starts_it(self, settings: Settings, run: Run) -> None:
        async def once() -> int:
            server = PostgreSQL(settings)
            await server.start()
            try:
                return owner_of(server.pid)
            finally:
                await server.stop()

        assert run(once()) == (settings.system.path / "postgresql").stat().st_uid != 0
