"""An engine in the test's own loop, and ends of calls that send and receive by plain sockets."""

import asyncio
import random
import socket
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from conf.settings import MediaSettings
from media import ng, relay, rtp
from media.description import Description, parse
from media.engine import Engine
from media.ng import Options
from tests.media.descriptions import description
from tests.support.media import until

FIRST_PORT, LAST_PORT = 41_000, 42_999
"""Of tests, which may run beside a system that uses the default range."""


def settings(**changes: Any) -> MediaSettings:
    """Settings of an engine on the loopback interface."""
    given: dict[str, Any] = {"interfaces": ("127.0.0.1", "::1"), "first_port": FIRST_PORT, "last_port": LAST_PORT}
    return MediaSettings(**{**given, **changes})


NEVER = 3600.0


@contextmanager
def silence_before_a_move(seconds: float) -> Iterator[None]:
    """For how long a place must be silent before another is followed: tests may be slower than telephones."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(relay, "MOVE_SILENCE", seconds)
        yield


class End:
    """A telephone: a port of RTP and the next one for RTCP, which remember what came.

    Args:
        address: Where it is.
    """

    def __init__(self, address: str = "127.0.0.1") -> None:
        self.address = address
        self.rtp, self.rtcp = _open_pair(address)
        self.port: int = self.rtp.getsockname()[1]
        self.target: tuple[str, int] = ("", 0)
        """Where it is to send, once it knows."""
        self.sequence = 0
        self.ssrc = random.getrandbits(32)

    def sdp(self, **options: Any) -> bytes:
        """Its description."""
        return description(self.address, self.port, **options)

    def learn(self, answer: bytes, index: int = 0) -> Description:
        """Take up where to send from a description that it was shown."""
        session = parse(answer)
        medium = session.media[index]
        self.target = (medium.address, medium.port)
        return session

    def send(self, count: int = 1, payload_type: int = 0, *, via: socket.socket | None = None) -> None:
        """Send packets of G.711, from its own port or another."""
        for _ in range(count):
            data = rtp.pack(payload_type, self.sequence, 160 * self.sequence, self.ssrc, b"\xff" * 160)
            self.sequence += 1
            (via or self.rtp).sendto(data, self.target)

    def send_rtcp(self, data: bytes, *, muxed: bool = False) -> None:
        """Send RTCP."""
        target = self.target if muxed else (self.target[0], self.target[1] + 1)
        (self.rtp if muxed else self.rtcp).sendto(data, target)

    def received(self, port: socket.socket | None = None) -> list[tuple[bytes, tuple[str, int]]]:
        """What has come since the last time, and where from."""
        found: list[tuple[bytes, tuple[str, int]]] = []
        while True:
            try:
                data, source = (port or self.rtp).recvfrom(4096)
            except BlockingIOError:
                return found
            found.append((data, source[:2]))

    async def gets(self, count: int, port: socket.socket | None = None) -> list[tuple[bytes, tuple[str, int]]]:
        """Wait for so many packets."""
        found: list[tuple[bytes, tuple[str, int]]] = []

        def come() -> bool:
            found.extend(self.received(port))
            return len(found) >= count

        await until(come)
        return found

    def close(self) -> None:
        self.rtp.close()
        self.rtcp.close()

    def __enter__(self) -> "End":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _open_pair(address: str) -> tuple[socket.socket, socket.socket]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    while True:
        first, second = (socket.socket(family, socket.SOCK_DGRAM) for _ in range(2))
        try:
            first.bind((address, 0))
            second.bind((address, first.getsockname()[1] + 1))
        except OSError:
            first.close()
            second.close()
            continue
        first.setblocking(False)
        second.setblocking(False)
        return first, second


class Rig:
    """An engine, a caller and a callee.

    Args:
        engine: The engine.
        caller: Its end.
        callee: The other end.
    """

    def __init__(self, engine: Engine, caller: End, callee: End) -> None:
        self.engine, self.caller, self.callee = engine, caller, callee

    def ask(self, message: ng.Message) -> ng.Message:
        """What the engine answers, as it arrives on the other side."""
        cookie_and_answer = ng.pack(b"c", self.engine.handle(ng.unpack(ng.pack(b"c", message))[1]))
        return ng.unpack(cookie_and_answer)[1]

    def offer(self, sdp: bytes | None = None, *, tag: str = "a", call_id: str = "call", **options: Any) -> bytes:
        """The offer as the callee gets it."""
        answer = self.ask(ng.offer(call_id, tag, sdp or self.caller.sdp(), Options(**options)))
        assert answer["result"] == "ok", answer
        return str(answer["sdp"]).encode()

    def answer(
        self, sdp: bytes | None = None, *, tags: tuple[str, str] = ("a", "b"), call_id: str = "call", **options: Any
    ) -> bytes:
        """The answer as the caller gets it."""
        answer = self.ask(ng.answer(call_id, *tags, sdp or self.callee.sdp(), Options(**options)))
        assert answer["result"] == "ok", answer
        return str(answer["sdp"]).encode()

    def connect(self, call_id: str = "call", **options: Any) -> None:
        """Set a call up, both ends knowing where to send."""
        self.callee.learn(self.offer(call_id=call_id, **options))
        self.caller.learn(self.answer(call_id=call_id, source=options.get("source")))

    async def talk(self, count: int = 4) -> None:
        """Let both ends send, and see that all arrives."""
        for end, other in ((self.caller, self.callee), (self.callee, self.caller)):
            end.send(count)
            await other.gets(count)

    def comes_through(self, moved: End) -> bool:
        """Send from another place of the caller's; whether something has come to the callee."""
        self.caller.send(1, via=moved.rtp)
        return bool(self.callee.received())

    def query(self, call_id: str = "call") -> ng.Message:
        """What is told of the call."""
        return self.ask(ng.query(call_id))

    def medium(self, tag: str, index: int = 0) -> ng.Message:
        """What is told of one medium of one side."""
        found: ng.Message = self.query()["tags"][tag]["medias"][index]
        return found

    def stats(self, tag: str, port: int = 0) -> ng.Message:
        """Counters of RTP (0) or RTCP (1) of one side."""
        found: ng.Message = self.medium(tag)["streams"][port]["stats"]
        return found


@contextmanager
def rig(caller: str = "127.0.0.1", callee: str = "127.0.0.1", **changes: Any) -> Iterator[Rig]:
    """An engine with two ends, in a running loop; nothing is in use afterwards."""
    engine = Engine(settings(**changes))
    ends = End(caller), End(callee)
    made = Rig(engine, *ends)
    try:
        yield made
    finally:
        engine.end()
        used = engine.ports.used
        engine.close()
        for end in (*ends, made.caller, made.callee):
            end.close()
    assert used == 0


def with_rig(**changes: Any) -> Callable[[Callable[..., Coroutine[Any, Any, None]]], Callable[..., None]]:
    """Run a test that is a coroutine with a rig on uvloop's loop."""
    import uvloop

    def decorate(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
        def run(self: Any = None) -> None:
            async def main() -> None:
                with rig(**changes) as made:
                    await test(self, made)

            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(main())

        run.__doc__, run.__name__ = test.__doc__, test.__name__
        return run

    return decorate
