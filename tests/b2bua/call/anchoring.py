"""A call driver whose media goes through a real engine: client, socket and engine are read when the wire settles."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from media import ng
from media.client import MediaClient
from media.description import Medium, parse
from media.engine import Engine
from media.engine_address import EngineAddress
from media.server import Server
from tests.b2bua.call.rig import CALLER, CARRIERS, Rig
from tests.media.rig import End, settings
from tests.support.legs import WiredAnswerer, WiredCaller

OURS = "127.0.0.1"
"""Address of the engine, which nobody's signalling has."""


def place(body: bytes, index: int = 0) -> tuple[str, int]:
    """Where a description says that media is to be sent."""
    medium: Medium = parse(body).media[index]
    return medium.address, medium.port


class TalkingCaller(WiredCaller):
    """A caller with a port for its sound."""

    end: End

    @property
    def session(self) -> bytes:
        """What it describes: the place where it hears."""
        return b"" if self.offers_late else self.end.sdp()

    @property
    def usual_session(self) -> bytes:
        """The same."""
        return self.end.sdp()


class TalkingAnswerer(WiredAnswerer):
    """A callee with a port for its sound."""

    end: End

    @property
    def session(self) -> bytes:
        """What it describes: the place where it hears."""
        return self.end.sdp()


class Anchoring:
    """A rig with an engine; the customer's calls have to go through it.

    Args:
        rig: The rig.
        changes: Settings of the engine.
    """

    def __init__(self, rig: Rig, **changes: Any) -> None:
        self.rig = rig
        self.asked: list[ng.Message] = []
        """What the engine was asked for, but for pings."""
        self.is_slow = self.is_dead = False
        """Whether requests wait; whether they are lost."""
        self.engine = Engine(settings(**changes))
        self.server = Server(self._handle, rig.directory.parent / "media.sock")
        address = EngineAddress("own", socket.AF_UNIX, str(rig.directory.parent / "media.sock"), 1)
        self.client = MediaClient([address], rig.driver.media_timed_out, digit_heard=rig.driver.digit_heard)
        self.engine.notify = self.server.notify
        rig.driver.media = self.client
        rig.driver._media = settings(**changes)
        rig.customer.with_media = True
        rig.wire.help(self._pump)
        self.ends: list[End] = []
        self.caller = TalkingCaller(rig.wire, CALLER)
        self.caller.end = self.end()
        rig.caller = self.caller

    def _handle(self, message: ng.Message) -> ng.Message:
        if message["command"] != "ping":
            self.asked.append(message)
        return self.engine.handle(message)

    def _pump(self) -> bool:
        """Let what was sent arrive, either way; returns whether anything was answered."""
        waiting = len(self.client._requests)
        if not waiting or self.is_slow or self.is_dead:
            return False
        for each in self.server._sockets:
            self.server._readable(each)
        for engine in self.client._engines.values():
            if engine.socket is not None:
                self.client._readable(engine, engine.socket)
            if engine.backlog and engine.socket is not None:
                self.client._writable(engine, engine.socket)
        return True

    def introduce(self) -> None:
        """Let the engine know who is to be told of digits."""
        for engine in self.client._engines.values():
            self.client._send(engine, ng.ping(), lambda _: None)
        self.rig.wire.settle()

    def listen(self) -> None:
        """Take what the engine has told by itself."""
        for engine in self.client._engines.values():
            if engine.socket is not None:
                self.client._readable(engine, engine.socket)
        self.rig.wire.settle()

    def die(self) -> None:
        """The engine hears nothing any more."""
        self.is_dead = True
        self.server.close()

    def give_up(self) -> None:
        """Let the time pass that the client waits for answers."""
        for _ in range(6):
            for cookie in list(self.client._requests):
                if cookie in self.client._requests:
                    self.client._transmit(cookie)
            self.rig.wire.settle()

    def commands(self, call_id: str | None = None) -> list[str]:
        """What was asked for, of one call or of all."""
        return [each["command"] for each in self.asked if call_id in (None, each.get("call-id"))]

    def end(self) -> End:
        """A place to hear and speak from."""
        end = End()
        self.ends.append(end)
        return end

    def carrier(self, number: int = 1, **how: Any) -> TalkingAnswerer:
        """A carrier at the address of one of the gateways."""
        carrier: TalkingAnswerer = self.answerer(CARRIERS[number - 1], **how)
        return carrier

    def answerer(self, host: str, kind: type[TalkingAnswerer] = TalkingAnswerer, **how: Any) -> Any:
        """Somebody who is called at an address."""
        answerer = kind(self.rig.wire, host, **how)
        answerer.end = self.end()
        return answerer

    async def talk(self, one: End, other: End, count: int = 4) -> None:
        """Let two ends send, and see that all arrives."""
        for speaker, listener in ((one, other), (other, one)):
            speaker.send(count)
            await listener.gets(count)

    def look(self, now: float) -> None:
        """Let the engine look for silence, and the client ask for it."""
        self.engine.handle_timers(now)
        for engine in self.client._engines.values():
            self.client._ask_for_silence(engine)
        self.rig.wire.settle()

    def assert_nothing_is_left(self) -> None:
        """No call is on the engine, no port in use, nothing waits; and the rig is empty too."""
        assert self.engine.calls == {}
        assert self.engine.ports.used == 0
        assert self.client.calls == 0
        assert self.client._requests == {}
        self.rig.assert_nothing_is_left()

    def close(self) -> None:
        """Stop."""
        self.client.close()
        self.server.close()
        self.engine.end()
        self.engine.close()
        for end in self.ends:
            end.close()


@contextmanager
def anchoring(rig: Rig, **changes: Any) -> Iterator[Anchoring]:
    """An engine for a rig, in a running loop."""
    made = Anchoring(rig, **changes)
    try:
        yield made
    finally:
        made.close()
