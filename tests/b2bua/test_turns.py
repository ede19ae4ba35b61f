"""The turns of a worker: sources looked at together, the deadline, and what faults do to them."""

import asyncio
import math
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from structlog.testing import capture_logs

from b2bua.turns import BATCH, Turns
from tests.support.legs import on_loop

PATIENCE = 5.0
FAR = 3600.0
"""A look or a deadline that does not come by itself while a test runs."""


class Pipe:
    """A source that hands over what is written to it, up to a batch."""

    def __init__(self, happened: list[str], name: str) -> None:
        self.ours, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.ours.setblocking(False)
        self._happened, self._name = happened, name
        self.on_read: Callable[[], object] = lambda: None

    def fileno(self) -> int:
        return self.ours.fileno()

    def read(self) -> int:
        taken = 0
        for _ in range(BATCH):
            try:
                data = self.ours.recv(100)
            except BlockingIOError:
                break
            taken += 1
            self._happened.append(f"{self._name} {data.decode()}")
        self.on_read()
        return taken

    def close(self) -> None:
        self.ours.close()
        self.theirs.close()


class Scene:
    """Turns with two sources, and what happened in their order."""

    def __init__(self, interval: float) -> None:
        self.happened: list[str] = []
        self.turns = Turns(interval)
        self.turns.user = self
        self.one, self.other = Pipe(self.happened, "one"), Pipe(self.happened, "other")
        self.turns.add(self.one)
        self.turns.add(self.other)
        self.next_deadline = math.inf
        self.now = asyncio.get_running_loop().time

    def handle_timers(self) -> None:
        self.happened.append("timers")
        self.next_deadline = math.inf

    def end_of_turn(self) -> None:
        self.happened.append("end")
        if self.next_deadline < math.inf:
            self.turns.wake_at(self.next_deadline)

    async def wait_for(self, *what: str) -> None:
        """Wait until something has happened."""
        async with asyncio.timeout(PATIENCE):
            while not set(what) <= set(self.happened):  # noqa: ASYNC110 - it only looks on
                await asyncio.sleep(0.001)

    async def pass_by(self) -> None:
        """Let the loop look at everything a few times."""
        for _ in range(5):
            await asyncio.sleep(0)

    def close(self) -> None:
        self.turns.close()
        self.one.close()
        self.other.close()


@asynccontextmanager
async def scene(interval: float = FAR) -> AsyncIterator[Scene]:
    made = Scene(interval)
    try:
        yield made
    finally:
        made.close()


@on_loop
async def test_first_does_not_wait_and_those_that_follow_are_handled_together() -> None:
    async with scene(interval=0.05) as s:
        s.one.theirs.send(b"1")
        await s.wait_for("one 1")
        s.one.theirs.send(b"2")
        s.other.theirs.send(b"3")
        s.one.theirs.send(b"4")
        await s.pass_by()
        assert s.happened == ["one 1", "end"]
        await s.wait_for("one 4")
        assert s.happened[2:] in (["one 2", "one 4", "other 3", "end"], ["other 3", "one 2", "one 4", "end"])


@on_loop
async def test_what_comes_after_a_silence_does_not_wait() -> None:
    async with scene(interval=0.001) as s:
        for name in ("1", "2", "3"):
            s.one.theirs.send(name.encode())
            await s.wait_for(f"one {name}")
            async with asyncio.timeout(PATIENCE):
                while not s.turns._is_resting:  # noqa: ASYNC110 - it only looks on
                    await asyncio.sleep(0.001)
        assert s.happened == ["one 1", "end", "one 2", "end", "one 3", "end"]


@on_loop
async def test_rest_of_a_full_batch_does_not_wait() -> None:
    async with scene() as s:
        for number in range(BATCH + 1):
            s.one.theirs.send(b"%d" % number)
        await s.wait_for(f"one {BATCH}")
        assert s.happened.index("end") == BATCH
        assert s.happened[-2:] == [f"one {BATCH}", "end"]


@on_loop
@pytest.mark.parametrize("interval", [0.0, 0.001])
async def test_each_is_handled_when_nothing_is_gathered(interval: float) -> None:
    async with scene(interval=interval) as s:
        for number in range(3):
            s.other.theirs.send(b"%d" % number)
            await s.wait_for(f"other {number}")
        assert s.happened == [each for number in range(3) for each in (f"other {number}", "end")]


@on_loop
async def test_deadline_has_a_turn_while_nothing_comes() -> None:
    async with scene() as s:
        s.turns.wake_at(s.now() + 0.02)
        s.turns.wake_at(s.now() + FAR)
        await s.wait_for("timers")
        assert s.happened == ["timers", "end"]


@on_loop
async def test_sooner_deadline_replaces_a_later_one() -> None:
    async with scene() as s:
        s.turns.wake_at(s.now() + FAR)
        s.turns.wake_at(s.now() + 0.01)
        await s.wait_for("timers")


@on_loop
async def test_deadline_waits_for_the_next_look_while_something_comes() -> None:
    async with scene(interval=0.03) as s:
        s.one.theirs.send(b"1")
        await s.wait_for("one 1")
        s.turns.wake_at(s.now())
        await s.pass_by()
        assert "timers" not in s.happened
        s.one.theirs.send(b"2")
        await s.wait_for("timers")
        assert s.happened == ["one 1", "end", "one 2", "timers", "end"]


@on_loop
async def test_deadline_that_a_turn_asks_for_has_its_turn() -> None:
    async with scene(interval=0.001) as s:
        s.next_deadline = s.now() + 0.03
        s.one.theirs.send(b"1")
        await s.wait_for("timers")
        assert s.happened == ["one 1", "end", "timers", "end"]


@on_loop
async def test_source_that_fails_silences_neither_the_others_nor_itself() -> None:
    async with scene(interval=0.001) as s:
        s.one.on_read = lambda: os.read(-1, 1)
        with capture_logs() as logs:
            s.one.theirs.send(b"1")
            await s.wait_for("one 1", "end")
        assert [entry["event"] for entry in logs] == ["source could not be read"]
        s.one.on_read = lambda: None
        s.one.theirs.send(b"2")
        s.other.theirs.send(b"3")
        await s.wait_for("one 2", "other 3")


@on_loop
@pytest.mark.parametrize("fails", ["handle_timers", "end_of_turn"])
async def test_next_turn_comes_when_one_has_failed(fails: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with scene(interval=0.001) as s:
        with monkeypatch.context() as patch, capture_logs() as logs:
            patch.setattr(s, fails, lambda: os.read(-1, 1))
            s.turns.wake_at(s.now())
            async with asyncio.timeout(PATIENCE):
                while not logs:  # noqa: ASYNC110 - it only looks on
                    await asyncio.sleep(0.001)
        s.happened.clear()
        s.turns.wake_at(s.now())
        s.one.theirs.send(b"1")
        await s.wait_for("timers", "one 1", "end")


@on_loop
async def test_source_that_is_removed_is_not_read() -> None:
    async with scene(interval=0.001) as s:
        s.turns.remove(s.one)
        s.turns.remove(s.one)
        s.one.theirs.send(b"1")
        s.other.theirs.send(b"2")
        await s.wait_for("other 2", "end")
        assert s.happened == ["other 2", "end"]
        s.turns.add(s.one)
        await s.wait_for("one 1")


@on_loop
@pytest.mark.parametrize("interval", [0.0, 0.001])
async def test_nothing_is_looked_at_when_a_turn_closes_them(interval: float) -> None:
    async with scene(interval=interval) as s:
        s.one.on_read = s.turns.close
        s.one.theirs.send(b"1")
        await s.wait_for("one 1")
        s.one.theirs.send(b"2")
        s.turns.wake_at(s.now())
        await asyncio.sleep(0.01)
        assert "one 2" not in s.happened
        assert "timers" not in s.happened
