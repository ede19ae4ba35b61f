"""The engine as a process: carries a call through its sockets, and one that is killed is followed by another."""

import asyncio
import os
import resource
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from conf.settings import MediaSettings, Settings, SystemSettings
from media.__main__ import allow_sockets
from media.client import MediaClient
from media.engine_address import engine_addresses
from media.kernel import ConntrackPath
from media.ng import Options, Source
from tests.media.rig import End
from tests.support.media import until
from tests.support.network import needs_root
from tests.support.networks import CALLEE, CALLER, SWITCH, Networks, in_networks


def environment(directory: Path, **changes: str) -> Mapping[str, str]:
    given = {"SYSTEM__DIRECTORY": str(directory), "MEDIA__FIRST_PORT": "45000", "MEDIA__LAST_PORT": "45999"}
    return {**os.environ, **{f"SOFTSWITCH_{key}": value for key, value in {**given, **changes}.items()}}


def start(environ: Mapping[str, str], writing: int) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-m", "media"], env=environ, pass_fds=(writing,))


@asynccontextmanager
async def running(directory: Path, **changes: str) -> AsyncIterator["subprocess.Popen[bytes]"]:
    """An engine that is ready."""
    reading, writing = os.pipe()
    process = start({**environment(directory, **changes), "SOFTSWITCH_READY_FD": str(writing)}, writing)
    os.close(writing)
    os.set_blocking(reading, False)

    def is_ready() -> bool:
        try:
            return os.read(reading, 64) == b"ready\n"
        except BlockingIOError:
            return False

    try:
        await until(is_ready, 20)
        yield process
    finally:
        os.close(reading)
        process.terminate()
        process.wait(10)


def client_of(directory: Path) -> MediaClient:
    settings = Settings(system=SystemSettings(directory=str(directory)), media=MediaSettings())
    return MediaClient(engine_addresses(settings))


def test_call_goes_on_when_the_engine_is_killed(tmp_path: Path) -> None:
    async def main() -> None:
        caller, callee = End(), End()
        client = client_of(tmp_path)

        async def talk() -> None:
            for end, other in ((caller, callee), (callee, caller)):
                end.send(5)
                await other.gets(5)

        async with running(tmp_path) as engine:
            callee.learn(await client.wait(client.offer, "call", "a", caller.sdp(), Options()))
            caller.learn(await client.wait(client.answer, "call", "a", "b", callee.sdp(), Options()))
            await talk()
            engine.kill()
            engine.wait(10)
        async with running(tmp_path) as engine:
            await talk()
            report = await client.wait(client.query, "call")
            assert report.sides["a"][0].packets >= 5
            await client.wait(client.delete, "call")
            engine.send_signal(signal.SIGTERM)
            assert engine.wait(10) == 0
        assert [path.name for path in (tmp_path / "run").iterdir()] == []
        client.close()
        caller.close()
        callee.close()

    asyncio.run(main())


@needs_root
def test_kernel_goes_on_while_the_engine_is_dead_and_the_next_takes_new_calls(tmp_path: Path) -> None:
    async def main(networks: Networks) -> None:
        caller, callee = (networks.at(address, partial(End, address)) for address in (CALLER, CALLEE))
        client = client_of(tmp_path)

        async def connect(call_id: str) -> None:
            options = Options(media_address=SWITCH[CALLEE], source=Source.STRICT)
            callee.learn(await client.wait(client.offer, call_id, "a", caller.sdp(), options))
            answer = await client.wait(client.answer, call_id, "a", "b", callee.sdp(), Options(source=Source.STRICT))
            caller.learn(answer)

        async def talk(count: int) -> None:
            for end, other in ((caller, callee), (callee, caller)):
                end.send(count)
                await other.gets(count)

        async with running(tmp_path) as engine:
            await connect("old")
            assert (await client.wait(client.query, "old")).sides["a"][0].in_kernel
            await talk(3)
            engine.kill()
            engine.wait(10)
            await talk(20)
        targets = caller.target, callee.target
        async with running(tmp_path):
            await connect("new")
            await talk(5)
            caller.target, callee.target = targets
            await talk(4)
            report = (await client.wait(client.query, "old")).sides["a"][0]
            assert (report.in_kernel, report.packets) == (True, 27)
            for call_id in ("old", "new"):
                await client.wait(client.delete, call_id)
        path = ConntrackPath(45_000, 45_999)
        assert path.count() == {}
        path.close(keep=True)
        client.close()
        caller.close()
        callee.close()

    in_networks(lambda networks: asyncio.run(main(networks)))


def test_engine_takes_all_the_descriptors_there_are() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (512, hard))
        allow_sockets()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_setting_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    for changes, name in (({"MEDIA__LAST_PORT": "44000"}, "last_port"), ({"MEDIA__LISTEN": "x"}, "listen")):
        done = subprocess.run(
            [sys.executable, "-m", "media"],
            env=environment(tmp_path, **changes),
            capture_output=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 2
        assert name in done.stderr.decode()
