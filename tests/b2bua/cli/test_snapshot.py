"""`softswitch snapshot`, as the supervisor runs it."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg

from b2bua.child import Child
from b2bua.cli.run import own_processes
from b2bua.policy.packed_files import all_files
from conf.settings import Settings
from tests.support.calls import until
from tests.support.packed import Rows
from tests.support.servers import Run

PATIENCE = 4.0
"""Less than the process waits before it looks without having been told."""


@asynccontextmanager
async def running(database_url: str, directory: Path) -> AsyncIterator[Child]:
    environ = {
        **os.environ,
        "SOFTSWITCH_DATABASE__URL": database_url,
        "SOFTSWITCH_SYSTEM__DIRECTORY": str(directory),
    }
    child = Child("snapshot", (sys.executable, "-m", "b2bua", "snapshot"), environ)
    await child.start()
    try:
        yield child
    finally:
        await child.stop(1.0)


async def next_told(told: "asyncio.Queue[int]", directory: Path, table: str) -> None:
    """Wait for the news of a file of this table and the revision that they name."""
    async with asyncio.timeout(PATIENCE):
        while (table, await told.get()) not in {(file.table, file.version.revision) for file in all_files(directory)}:
            pass


class TestSnapshot:
    """The process writes the files, and follows changes."""

    def test_files_are_written_at_the_start_and_after_a_change(self, rows: Rows, database_url: str, run: Run) -> None:
        rows.add_rates(1, 2000)

        async def main() -> None:
            told: asyncio.Queue[int] = asyncio.Queue()
            listener = await asyncpg.connect(database_url)
            await listener.add_listener("config", lambda *what: told.put_nowait(int(str(what[3]))))
            async with running(database_url, rows.directory.parent):
                await next_told(told, rows.directory, "ratecard")
                await rows.connection.execute("UPDATE rate SET rate_per_minute = 2")
                await next_told(told, rows.directory, "ratecard")
                # The file of before goes after the new one is there.
                await until(lambda: len(rows.files()) == 2)
            await listener.close()

        run(main())
        assert rows.files() == [("device", 0, rows.revision() - 1), ("ratecard", rows.card, rows.revision())]

    def test_it_goes_on_when_its_connection_was_lost(self, rows: Rows, database_url: str, run: Run) -> None:
        rows.add_rates(1, 2000)

        async def main() -> None:
            told: asyncio.Queue[int] = asyncio.Queue()
            listener = await asyncpg.connect(database_url)
            await listener.add_listener("config", lambda *what: told.put_nowait(int(str(what[3]))))
            async with running(database_url, rows.directory.parent):
                await next_told(told, rows.directory, "ratecard")
                await rows.connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid NOT IN (pg_backend_pid(), $1)",
                    listener.get_server_pid(),
                )
                await rows.connection.execute("UPDATE rate SET rate_per_minute = 2")
                await next_told(told, rows.directory, "ratecard")
            await listener.close()

        run(main())

    def test_it_ends_when_told_to(self, rows: Rows, database_url: str, run: Run) -> None:
        async def main() -> int:
            async with running(database_url, rows.directory.parent) as child:
                assert child.pid is not None
                os.kill(child.pid, signal.SIGTERM)
                async with asyncio.timeout(PATIENCE):
                    return await child.wait()

        assert run(main()) == -signal.SIGTERM

    def test_supervisor_runs_it(self) -> None:
        (child,) = [child for child in own_processes(Settings()) if child.name == "snapshot"]
        assert child.command == (sys.executable, "-m", "b2bua", "snapshot")
