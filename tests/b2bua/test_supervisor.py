"""The supervisor with real processes that stand in for ours; each writes what happens to it to one file."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from b2bua import supervisor as module
from b2bua.child import Child
from b2bua.control.client import ControlClient
from b2bua.supervisor import ChildRefused, Supervisor, locked, status_file
from b2bua.tasks import spawn
from conf.embedded.location import run_directory
from conf.errors import InvalidSetting, ServerUnavailable
from conf.settings import Settings
from tests.support.servers import Run, data_directory, settings_in

STAND_IN = """
import asyncio, json, os, signal, sys
from conf.ready import announce_ready
name, behaviour = sys.argv[1], sys.argv[2]
def note(what):
    with open(os.environ["DIARY"], "a") as diary:
        diary.write(f"{name} {what}\\n")
async def answer(reader, writer):
    request = json.loads(await reader.readline())
    note(f"{request['verb']} {request['seconds']:g}")
    writer.write(b'{"ok": true, "calls": 1}\\n')
    await writer.drain()
    writer.close()
    if behaviour == "drains":
        ended.set()
async def main():
    global ended
    ended = asyncio.Event()
    note("started")
    if behaviour.startswith("exits"):
        sys.exit(int(behaviour[5:]))
    if behaviour == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    def terminate():
        note("terminated")
        if behaviour != "stubborn":
            ended.set()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, terminate)
    if "CONTROL" in os.environ:
        await asyncio.start_unix_server(answer, os.path.join(os.environ["CONTROL"], name + ".sock"))
    announce_ready()
    await ended.wait()
    note("ended")
asyncio.run(main())
"""


@pytest.fixture
def settings() -> Iterator[Settings]:
    with data_directory() as directory:
        directory.mkdir(mode=0o711)
        settings = settings_in(directory)
        run_directory(settings).mkdir(mode=0o700)
        yield settings


class Diary:
    """What the stand-ins wrote."""

    def __init__(self, settings: Settings) -> None:
        self.file = settings.system.path / "diary"
        self.file.touch()

    def lines(self) -> list[str]:
        return self.file.read_text().splitlines()

    async def wait_for(self, line: str, count: int = 1) -> None:
        async with asyncio.timeout(10):
            while self.lines().count(line) < count:  # noqa: ASYNC110 - other processes write
                await asyncio.sleep(0.01)


@pytest.fixture
def diary(settings: Settings) -> Diary:
    return Diary(settings)


def stand_in(settings: Settings, name: str, behaviour: str = "runs", *, drains: bool = False) -> Child:
    environ = {**os.environ, "DIARY": str(settings.system.path / "diary")}
    if drains:
        environ["CONTROL"] = str(run_directory(settings))
    return Child(name, (sys.executable, "-c", STAND_IN, name, behaviour), environ, drains=drains, patience=0.5)


@asynccontextmanager
async def running(
    settings: Settings, children: Sequence[Child], prepare: Callable[[], Awaitable[None]] | None = None
) -> AsyncIterator[Supervisor]:
    """A supervisor whose children are ready; SIGTERM is sent at the end if it still runs."""
    ready = asyncio.Event()

    async def welcome(_seconds: float) -> None:
        ready.set()

    supervisor = Supervisor(settings, children=children, prepare=prepare, welcome=welcome)
    task = spawn(supervisor.run(), "supervisor")
    try:
        async with asyncio.timeout(10):
            await ready.wait()
        yield supervisor
    finally:
        if not task.done():
            os.kill(os.getpid(), signal.SIGTERM)
        async with asyncio.timeout(10):
            await task


def write_status(settings: Settings, name: str, pid: int | None) -> None:
    status_file(settings).write_text(json.dumps({"pid": 1, "processes": [{"name": name, "pid": pid}]}))


def without_drain(settings: Settings) -> Settings:
    return replace(settings, system=replace(settings.system, drain=0.0))


class TestStart:
    def test_supervisor_prepares_before_it_starts_children(self, settings: Settings, diary: Diary, run: Run) -> None:
        async def prepare() -> None:
            with diary.file.open("a") as file:
                file.write("prepared\n")

        async def once() -> None:
            async with running(settings, [stand_in(settings, "a")], prepare):
                pass

        run(once())
        assert diary.lines()[:2] == ["prepared", "a started"]

    def test_supervisor_writes_who_runs(self, settings: Settings, diary: Diary, run: Run) -> None:
        async def once() -> dict[str, object]:
            children = [stand_in(settings, "a"), stand_in(settings, "b")]
            async with running(settings, children):
                written: dict[str, object] = json.loads(status_file(settings).read_bytes())
                assert [child.pid for child in children] == [each["pid"] for each in written["processes"]]  # type: ignore[attr-defined]
                return written

        written = run(once())
        assert written["pid"] == os.getpid()
        assert not status_file(settings).exists()

    def test_supervisor_stops_everything_when_a_child_exits_2_at_first(
        self, settings: Settings, diary: Diary, run: Run
    ) -> None:
        children = [stand_in(settings, "good"), stand_in(settings, "bad", "exits2")]
        with pytest.raises(ChildRefused, match="bad cannot start"):
            run(Supervisor(settings, children=children).run())
        assert diary.lines().count("bad started") == 1
        assert children[0].pid is not None
        assert not Path(f"/proc/{children[0].pid}").exists()

    def test_supervisor_names_what_cannot_be_executed(self, settings: Settings, run: Run) -> None:
        with pytest.raises(ServerUnavailable, match=r"a cannot be started: .*nonsense"):
            run(Supervisor(settings, children=[Child("a", ("/nonsense",))]).run())

    def test_supervisor_names_what_is_not_ready_in_time(
        self, settings: Settings, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "START_TIMEOUT", 0.3)
        silent = Child("silent", (sys.executable, "-c", "import time; time.sleep(60)"))
        with pytest.raises(ServerUnavailable, match="silent not ready after"):
            run(Supervisor(settings, children=[silent]).run())

    def test_supervisor_is_refused_where_another_runs(self, settings: Settings, run: Run) -> None:
        with (
            locked(settings.system.path),
            pytest.raises(InvalidSetting, match=rf"already runs in .* \(process {os.getpid()}\)"),
        ):
            run(Supervisor(settings).run())

    def test_supervisor_stops_when_a_signal_comes_before_all_are_ready(
        self, settings: Settings, diary: Diary, run: Run
    ) -> None:
        async def interrupt() -> None:
            task = spawn(Supervisor(settings, children=[stand_in(settings, "a", "exits1")]).run(), "supervisor")
            await diary.wait_for("a started")
            os.kill(os.getpid(), signal.SIGINT)
            async with asyncio.timeout(5):
                await task

        run(interrupt())

    def test_supervisor_ends_what_a_killed_one_left(self, settings: Settings, diary: Diary, run: Run) -> None:
        async def take_over() -> None:
            left = stand_in(settings, "a")
            await left.start()
            write_status(settings, "a", left.pid)
            async with running(settings, [stand_in(settings, "a")]):
                assert await left.wait() == 0

        run(take_over())
        assert diary.lines()[:4] == ["a started", "a terminated", "a ended", "a started"]

    def test_supervisor_leaves_a_process_alone_that_is_not_its_own(
        self, settings: Settings, diary: Diary, run: Run
    ) -> None:
        write_status(settings, "a", os.getpid())

        async def once() -> None:
            async with running(settings, [stand_in(settings, "a")]):
                pass

        run(once())
        assert diary.lines()[0] == "a started"


class TestRestart:
    def test_supervisor_starts_a_child_again_when_it_dies(self, settings: Settings, diary: Diary, run: Run) -> None:
        async def kill() -> list[int | None]:
            child = stand_in(settings, "a")
            async with running(settings, [child]):
                first = child.pid
                assert first is not None
                os.kill(first, signal.SIGKILL)
                await diary.wait_for("a started", 2)
                return [first, child.pid]

        first, second = run(kill())
        assert first != second

    def test_supervisor_waits_twice_as_long_each_time(
        self, settings: Settings, diary: Diary, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "FIRST_DELAY", 0.05)
        monkeypatch.setattr(module, "LONGEST_DELAY", 0.1)
        monkeypatch.setattr(module, "START_TIMEOUT", 1.5)
        with pytest.raises(ServerUnavailable):
            run(Supervisor(settings, children=[stand_in(settings, "a", "dies")]).run())
        # 0.05 s, then 0.1 s each, and the start of an interpreter every time.
        assert 3 <= diary.lines().count("a started") <= 15


class TestStop:
    def test_children_stop_one_after_the_other(self, settings: Settings, diary: Diary, run: Run) -> None:
        settings = without_drain(settings)

        async def once() -> None:
            async with running(settings, [stand_in(settings, name) for name in ("sip", "admin", "cdr")]):
                pass

        run(once())
        assert [line for line in diary.lines() if "started" not in line] == [
            f"{name} {what}" for name in ("sip", "admin", "cdr") for what in ("terminated", "ended")
        ]

    def test_child_is_killed_when_it_does_not_end(self, settings: Settings, diary: Diary, run: Run) -> None:
        settings = without_drain(settings)

        async def once() -> float:
            async with running(settings, [stand_in(settings, "a", "stubborn")]):
                began = time.monotonic()
            return time.monotonic() - began

        assert 0.4 < run(once()) < 3
        assert diary.lines() == ["a started", "a terminated"]

    def test_worker_is_asked_to_drain_and_waited_for(self, settings: Settings, diary: Diary, run: Run) -> None:
        settings = replace(settings, system=replace(settings.system, drain=20.0))

        async def once() -> None:
            children = [stand_in(settings, "sip-1", "drains", drains=True), stand_in(settings, "cdr")]
            async with running(settings, children):
                assert ControlClient(run_directory(settings)).workers() == ["sip-1"]

        run(once())
        assert [line for line in diary.lines() if "started" not in line] == [
            "sip-1 drain 20",
            "sip-1 ended",
            "cdr terminated",
            "cdr ended",
        ]

    def test_drain_ends_after_its_time(self, settings: Settings, diary: Diary, run: Run) -> None:
        settings = replace(settings, system=replace(settings.system, drain=0.3))

        async def once() -> float:
            async with running(settings, [stand_in(settings, "sip-1", drains=True)]):
                began = time.monotonic()
            return time.monotonic() - began

        assert 0.3 <= run(once()) < 3
        assert diary.lines()[1:] == ["sip-1 drain 0.3", "sip-1 terminated", "sip-1 ended"]

    def test_drain_ends_at_once_when_a_second_signal_comes(self, settings: Settings, diary: Diary, run: Run) -> None:
        async def once() -> float:
            async with running(settings, [stand_in(settings, "sip-1", drains=True)]):
                began = time.monotonic()
                os.kill(os.getpid(), signal.SIGTERM)
                await diary.wait_for("sip-1 drain 30")
                os.kill(os.getpid(), signal.SIGINT)
                await diary.wait_for("sip-1 ended")
            return time.monotonic() - began

        assert run(once()) < 5

    def test_interrupt_does_not_drain_by_default(self, settings: Settings, diary: Diary, run: Run) -> None:
        async def once() -> None:
            async with running(settings, [stand_in(settings, "sip-1", drains=True)]):
                os.kill(os.getpid(), signal.SIGINT)
                await diary.wait_for("sip-1 ended")

        run(once())
        assert diary.lines() == ["sip-1 started", "sip-1 terminated", "sip-1 ended"]

    def test_children_end_when_the_supervisor_is_killed(self, settings: Settings, diary: Diary, run: Run) -> None:
        async def kill() -> None:
            script = "import asyncio, sys; from b2bua.child import Child\n"
            script += "async def main():\n    await Child('a', tuple(sys.argv[1:])).start(); await asyncio.sleep(60)\n"
            script += "asyncio.run(main())"
            child = stand_in(settings, "a")
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", script, *child.command, env=child.environ
            )
            await diary.wait_for("a started")
            await asyncio.sleep(0.3)
            process.kill()
            await process.wait()
            await diary.wait_for("a ended")

        run(kill())
