import asyncio
import os
import signal
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from conf.embedded.location import valkey_socket
from conf.embedded.valkey import Valkey
from conf.errors import ServerUnavailable
from conf.settings import Settings
from tests.support.servers import Run, data_directory, settings_in


@pytest.fixture
def settings() -> Iterator[Settings]:
    with data_directory() as directory:
        yield settings_in(directory)


@asynccontextmanager
async def started(settings: Settings) -> AsyncIterator[Valkey]:
    server = Valkey(settings)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


async def ask(settings: Settings, command: str) -> list[str]:
    reader, writer = await asyncio.open_unix_connection(str(valkey_socket(settings)))
    writer.write(f"{command}\r\nQUIT\r\n".encode())
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer.decode().split("\r\n")[:-2]


class TestStart:
    def test_server_keeps_its_keys_when_it_is_stopped_and_started(self, settings: Settings, run: Run) -> None:
        async def twice() -> list[str]:
            async with started(settings):
                await ask(settings, "SET kept 1")
            async with started(settings):
                return await ask(settings, "GET kept")

        assert run(twice()) == ["$1", "1"]

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("appendonly", "yes"),
            ("appendfsync", "everysec"),
            ("maxmemory-policy", "noeviction"),
            ("port", "0"),
            ("save", ""),
        ],
    )
    def test_server_runs_with_our_options(self, settings: Settings, run: Run, name: str, value: str) -> None:
        async def read() -> list[str]:
            async with started(settings):
                return await ask(settings, f"CONFIG GET {name}")

        assert run(read())[4] == value

    def test_socket_is_closed_to_others(self, settings: Settings, run: Run) -> None:
        async def modes() -> tuple[int, int]:
            async with started(settings):
                socket = valkey_socket(settings)
                return stat.S_IMODE(socket.stat().st_mode), stat.S_IMODE(socket.parent.stat().st_mode)

        assert run(modes()) == (0o700, 0o700)

    def test_fault_names_the_reason_when_the_server_ends_at_once(self, settings: Settings, run: Run) -> None:
        settings.system.path.mkdir(mode=0o711)
        settings.system.path.chmod(0o711)

        async def break_file() -> None:
            async with started(settings):
                await ask(settings, "SET kept 1")
            manifest = next((settings.system.path / "valkey" / "appendonlydir").glob("*.manifest"))
            manifest.write_text("nonsense\n")
            await Valkey(settings).start()

        with pytest.raises(ServerUnavailable, match=r"Valkey ended with exit status 1: .*manifest"):
            run(break_file())


class TestCrash:
    def test_server_starts_again_when_it_was_killed(self, settings: Settings, run: Run) -> None:
        async def crash() -> list[str]:
            server = Valkey(settings)
            await server.start()
            try:
                await ask(settings, "SET kept 1")
                assert server.pid is not None
                os.kill(server.pid, signal.SIGKILL)
                assert await server.wait() == -signal.SIGKILL
                await server.start()
                return await ask(settings, "GET kept")
            finally:
                await server.stop()

        assert run(crash()) == ["$1", "1"]

    def test_server_stops_an_orphan(self, settings: Settings, run: Run) -> None:
        async def meet() -> list[str]:
            orphan, server = Valkey(settings), Valkey(settings)
            await orphan.start()
            await server.start()
            try:
                assert await asyncio.wait_for(orphan.wait(), 1) == 0
                return await ask(settings, "PING")
            finally:
                await server.stop()

        assert run(meet()) == ["+PONG"]
