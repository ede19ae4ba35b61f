"""The switch's side of the `ng` protocol: sends requests to engines, repeats them, and chooses among engines.

A call stays on the engine that took its first offer. An engine that does not answer is left out until it answers pings
again; a first offer goes to the next engine then. Everything is bounded: requests that wait, calls that are remembered,
and the time that each may take. Answers come to plain functions, without a task for each.
"""

import asyncio
import contextlib
import random
import secrets
import socket
from collections import deque
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any, Final, TypeVar

import structlog

from media import ng
from media.engine_address import EngineAddress
from media.errors import EngineRefused, MediaError, NoEngine
from media.report import CallReport

log = structlog.get_logger()

Result = TypeVar("Result")
Done = Callable[[Result | MediaError], None]
"""Takes what came of a request: its result, or why there is none."""

DigitHeard = Callable[[str, str, str, int], None]
"""Takes a call, the tag of a side, the digit that it has pressed, and for how many milliseconds."""

NOTICES_KEPT: Final = 256
"""Numbers of digits by which one that is told again is recognised."""

REPEAT_INTERVALS: Final = (0.1, 0.2, 0.3, 0.4)
"""A request is sent again after each of these; after the last it has failed. Together as long as a caller may wait."""

HEALTH_INTERVAL: Final = 2.0
"""Each engine is pinged so often, and asked for calls that fell silent."""

REQUESTS_LIMIT: Final = 10_000
CALLS_LIMIT: Final = 50_000
_QUERIES_A_ROUND: Final = 20
_RECEIVE_BUFFER: Final = 4 * 1024 * 1024


class _Request:
    """A request that waits for its answer."""

    __slots__ = ("datagram", "done", "engine", "timer", "tries")

    def __init__(self, datagram: bytes, engine: "_Engine", done: Done[ng.Message]) -> None:
        self.datagram = datagram
        self.engine = engine
        self.done = done
        self.tries = 0
        self.timer: asyncio.TimerHandle | None = None


class _Engine:
    """One engine: its socket, its health, its calls."""

    __slots__ = ("address", "backlog", "calls", "has_answered", "is_up", "knows_timeouts", "socket", "swept")

    def __init__(self, address: EngineAddress) -> None:
        self.address = address
        self.is_up = True
        """Taken for granted until a request goes unanswered."""
        self.has_answered = False
        self.knows_timeouts = True
        self.calls: dict[str, str] = {}
        """From tag by Call-ID, without those that were told to be silent."""
        self.swept = 0
        self.backlog: deque[bytes] = deque()
        """What the engine's socket has no room for at the moment: a Unix socket takes ten messages."""
        self.socket: socket.socket | None = None

    def open(self) -> socket.socket:
        """Make the socket; that of an engine which is not there yet is made again at the next request."""
        if self.socket is None:
            made = socket.socket(self.address.family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
            try:
                made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
                if self.address.family == socket.AF_UNIX:
                    made.bind("")  # an abstract name, chosen by the kernel: the engine answers to it
                made.connect(self.address.target)
            except OSError:
                made.close()
                raise
            self.socket = made
        return self.socket


class MediaClient:
    """Asks media engines.

    Args:
        addresses: The engines; none: every request fails.
        timed_out: Called once for each of our calls that its engine says has fallen silent, or no longer knows.
        digit_heard: Called with the call, the tag of the side, the digit and how many milliseconds it was pressed, of a
            side whose digits are taken out.
        chooser: Randomness by which calls are shared among engines.
        is_logging: Whether engines that fall silent and come back are logged.
    """

    def __init__(
        self,
        addresses: Sequence[EngineAddress],
        timed_out: Callable[[str], None] = lambda _: None,
        chooser: random.Random | None = None,
        digit_heard: DigitHeard = lambda *_: None,
        *,
        is_logging: bool = True,
    ) -> None:
        self._engines = {address.name: _Engine(address) for address in addresses}
        self._timed_out = timed_out
        self._digit_heard = digit_heard
        self._notices: deque[tuple[_Engine, int]] = deque(maxlen=NOTICES_KEPT)
        self._chooser = chooser or random.Random()
        self._is_logging = is_logging
        self._requests: dict[bytes, _Request] = {}
        self._calls: dict[str, _Engine] = {}
        self._prefix = secrets.token_hex(6).encode()
        self._numbers = count()
        self._loop = asyncio.get_running_loop()
        self._health: asyncio.TimerHandle | None = None
        self._is_closed = False

    def open(self) -> None:
        """Begin to watch the engines."""
        self._look_at_engines()

    def close(self) -> None:
        """Stop; what waits fails."""
        self._is_closed = True
        if self._health is not None:
            self._health.cancel()
        for cookie in list(self._requests):
            self._finish(cookie, NoEngine("the media client was closed"))
        for engine in self._engines.values():
            self._drop_socket(engine)

    @property
    def engines_up(self) -> dict[str, bool]:
        """Every engine by its name, and whether it answers."""
        return {name: engine.is_up for name, engine in self._engines.items()}

    @property
    def is_up(self) -> bool:
        """Whether any engine answers."""
        return any(engine.is_up for engine in self._engines.values())

    def is_answering(self, name: str) -> bool:
        """Whether an engine has answered at all, and the last request too."""
        engine = self._engines[name]
        return engine.has_answered and engine.is_up

    def address_of(self, name: str) -> EngineAddress:
        """Where an engine is."""
        return self._engines[name].address

    @property
    def calls(self) -> int:
        """Calls that are on some engine."""
        return len(self._calls)

    def engine_of(self, call_id: str) -> str:
        """Name of the engine that has a call; empty: none."""
        engine = self._calls.get(call_id)
        return engine.address.name if engine else ""

    # What the switch asks for

    def offer(self, call_id: str, from_tag: str, sdp: bytes, options: ng.Options, done: Done[bytes]) -> None:
        """Pass an offer through the call's engine, or through one that is chosen; `done` gets the new description."""
        message = ng.offer(call_id, from_tag, sdp, options)
        if engine := self._calls.get(call_id):
            self._send(engine, message, _description(done))
            return
        if len(self._calls) >= CALLS_LIMIT:
            done(NoEngine("too many calls"))
            return
        self._try(self._in_order(), call_id, message, done)

    def answer(
        self, call_id: str, from_tag: str, to_tag: str, sdp: bytes, options: ng.Options, done: Done[bytes]
    ) -> None:
        """Pass an answer through; `from_tag` is the offering side's."""
        if engine := self._calls.get(call_id):
            # A call that was silent while it rang is listened to again.
            engine.calls.setdefault(call_id, from_tag)
        self._send_to_call(call_id, ng.answer(call_id, from_tag, to_tag, sdp, options), _description(done))

    def query(self, call_id: str, done: Done[CallReport]) -> None:
        """Ask for a call's figures."""
        self._send_to_call(call_id, ng.query(call_id), _report(done))

    def delete(self, call_id: str, done: Done[CallReport]) -> None:
        """End a call, on every engine if none is known to have it; `done` gets its last figures."""
        engine = self._calls.pop(call_id, None)
        if engine is not None:
            # Without a tag rtpengine ends the call too, but tells no figures.
            self._send(engine, ng.delete(call_id, engine.calls.pop(call_id, "")), _report(done))
            return
        for other in self._engines.values():
            self._send(other, ng.delete(call_id), lambda _: None)
        done(NoEngine("no engine is known to have the call"))

    def play_dtmf(self, call_id: str, from_tag: str, digit: str, duration_ms: int, done: Done[ng.Message]) -> None:
        """Let a side press a digit."""
        self._send_to_call(call_id, ng.play_dtmf(call_id, from_tag, digit, duration_ms), done)

    def statistics(self, name: str, done: Done[ng.Message]) -> None:
        """Ask an engine, by its name, how it is."""

        def heard(result: ng.Message | MediaError) -> None:
            figures = {} if isinstance(result, MediaError) else result.get("statistics")
            done(result if isinstance(result, MediaError) else figures if isinstance(figures, dict) else {})

        self._send(self._engines[name], ng.statistics(), heard)

    async def wait(self, method: Callable[..., None], *arguments: object) -> Any:  # noqa: ANN401 - the method's own
        """Do one of the above and wait for what `done` would get: `await client.wait(client.query, call_id)`."""
        future: asyncio.Future[Any] = self._loop.create_future()

        def done(result: object) -> None:
            if future.done():
                return
            if isinstance(result, MediaError):
                future.set_exception(result)
            else:
                future.set_result(result)

        method(*arguments, done)
        return await future

    # Choosing

    def _in_order(self) -> list[_Engine]:
        """Engines to try: those that are up by weighted chance, then the others."""
        keyed = []
        for engine in self._engines.values():
            weight = engine.address.weight
            # The largest of such numbers is each engine's in proportion to its weight.
            chance = self._chooser.random() ** (1 / weight) if weight else -1.0
            keyed.append((engine.is_up, chance, engine))
        keyed.sort(key=lambda each: each[:2], reverse=True)
        return [engine for _, _, engine in keyed]

    def _try(self, engines: list[_Engine], call_id: str, message: ng.Message, done: Done[bytes]) -> None:
        if not engines:
            done(NoEngine("no media engine answers"))
            return
        engine, *others = engines

        def answered(result: ng.Message | MediaError) -> None:
            if isinstance(result, MediaError) and not result.status_hint and others and not self._is_closed:
                if isinstance(result, NoEngine):
                    # It may have taken the call, and its answer may be on the way.
                    self._send(engine, ng.delete(call_id), lambda _: None)
                self._try(others, call_id, message, done)
                return
            if not isinstance(result, MediaError):
                self._calls[call_id] = engine
                engine.calls[call_id] = message["from-tag"]
            _description(done)(result)

        self._send(engine, message, answered)

    # Sending and receiving

    def _send_to_call(self, call_id: str, message: ng.Message, done: Done[ng.Message]) -> None:
        engine = self._calls.get(call_id)
        if engine is None:
            done(NoEngine("no engine has the call"))
        else:
            self._send(engine, message, done)

    def _send(self, engine: _Engine, message: ng.Message, done: Done[ng.Message]) -> None:
        if self._is_closed or len(self._requests) >= REQUESTS_LIMIT:
            done(NoEngine("too many requests wait for media engines"))
            return
        cookie = b"%b_%d" % (self._prefix, next(self._numbers))
        datagram = ng.pack(cookie, message)
        if len(datagram) > ng.SIZE_LIMIT:
            done(EngineRefused("the message is too large", 488))
            return
        self._requests[cookie] = _Request(datagram, engine, done)
        self._transmit(cookie)

    def _transmit(self, cookie: bytes) -> None:
        request = self._requests[cookie]
        if request.tries == len(REPEAT_INTERVALS):
            self._change(request.engine, is_up=False)
            self._finish(cookie, NoEngine(f"media engine {request.engine.address.name} does not answer"))
            return
        self._transmit_on(request.engine, request.datagram)
        request.timer = self._loop.call_later(REPEAT_INTERVALS[request.tries], self._transmit, cookie)
        request.tries += 1

    def _transmit_on(self, engine: _Engine, datagram: bytes) -> None:
        # What fails is sent again, on a new socket: the engine may be about to start.
        try:
            is_new = engine.socket is None
            opened = engine.open()
            if is_new:
                self._loop.add_reader(opened.fileno(), self._readable, engine, opened)
            if engine.backlog:
                engine.backlog.append(datagram)
            else:
                opened.send(datagram)
        except BlockingIOError:
            engine.backlog.append(datagram)
            self._loop.add_writer(opened.fileno(), self._writable, engine, opened)
        except OSError:
            self._drop_socket(engine)

    def _writable(self, engine: _Engine, opened: socket.socket) -> None:
        """Send what had no room."""
        try:
            while engine.backlog:
                opened.send(engine.backlog[0])
                engine.backlog.popleft()
        except BlockingIOError:
            return
        except OSError:
            self._drop_socket(engine)
            return
        self._loop.remove_writer(opened.fileno())

    def _drop_socket(self, engine: _Engine) -> None:
        engine.backlog.clear()
        if engine.socket is not None:
            self._loop.remove_reader(engine.socket.fileno())
            self._loop.remove_writer(engine.socket.fileno())
            engine.socket.close()
            engine.socket = None

    def _readable(self, engine: _Engine, opened: socket.socket) -> None:
        for _ in range(64):
            try:
                datagram = opened.recv(65_536)
            except BlockingIOError:
                return
            except OSError:
                return  # an ICMP error of an earlier request
            with contextlib.suppress(ng.MalformedMessage):
                cookie, message, _ = ng.unpack(datagram)
                if message.get("command") == "DTMF":
                    self._hear_notice(engine, message)
                    continue
                request = self._requests.get(cookie)
                if request is not None and request.engine is engine:
                    engine.has_answered = True
                    self._change(engine, is_up=True)
                    self._finish(cookie, _judge(message))

    def _hear_notice(self, engine: _Engine, message: ng.Message) -> None:
        """An engine tells of a digit, perhaps once more, perhaps of somebody else's call."""
        call_id, tag, digit = (message.get(key) for key in ("call-id", "from-tag", "code"))
        number, duration = message.get("number"), message.get("duration")
        if not (isinstance(call_id, str) and isinstance(tag, str) and isinstance(digit, str)):
            return
        if not isinstance(number, int) or not isinstance(duration, int) or (engine, number) in self._notices:
            return
        self._notices.append((engine, number))
        if self._calls.get(call_id) is not engine:
            return
        try:
            self._digit_heard(call_id, tag, digit, duration)
        except Exception:
            log.exception("digit could not be passed on")

    def _finish(self, cookie: bytes, result: ng.Message | MediaError) -> None:
        request = self._requests.pop(cookie)
        if request.timer is not None:
            request.timer.cancel()
        try:
            request.done(result)
        except Exception:
            log.exception("answer of a media engine could not be handled")

    # Health

    def _look_at_engines(self) -> None:
        for engine in self._engines.values():
            self._send(engine, ng.ping(), lambda _: None)
            if engine.is_up and engine.calls:
                self._ask_for_silence(engine)
        self._health = self._loop.call_later(HEALTH_INTERVAL, self._look_at_engines)

    def _change(self, engine: _Engine, *, is_up: bool) -> None:
        if engine.is_up != is_up:
            engine.is_up = is_up
            name = engine.address.name
            engine.knows_timeouts |= is_up
            if not self._is_logging:
                return
            if is_up:
                log.info("media engine answers again", engine=name)
            else:
                log.error("media engine does not answer, calls go to others", engine=name)

    def _ask_for_silence(self, engine: _Engine) -> None:
        if engine.knows_timeouts:
            self._send(engine, ng.timeouts(), lambda result: self._hear_timeouts(engine, result))
            return
        # rtpengine ends a silent call without a word: some of its calls are asked for in each round.
        known = list(engine.calls)
        start = engine.swept % len(known)
        engine.swept = start + _QUERIES_A_ROUND
        for call_id in known[start : start + _QUERIES_A_ROUND]:
            self._send(engine, ng.query(call_id), self._hear_query(call_id))

    def _hear_timeouts(self, engine: _Engine, result: ng.Message | MediaError) -> None:
        if isinstance(result, EngineRefused):
            engine.knows_timeouts = False
        elif not isinstance(result, MediaError):
            for call_id in result.get("calls", ()):
                if call_id in engine.calls:
                    del engine.calls[call_id]
                    self._timed_out(call_id)

    def _hear_query(self, call_id: str) -> Done[ng.Message]:
        def heard(result: ng.Message | MediaError) -> None:
            if isinstance(result, EngineRefused) and (engine := self._calls.get(call_id)):
                engine.calls.pop(call_id, None)
                self._timed_out(call_id)

        return heard


def _judge(message: ng.Message) -> ng.Message | MediaError:
    result = message.get("result")
    if result in ("ok", "pong"):
        return message
    reason = message.get("error-reason") or message.get("message") or result or "no result"
    status = message.get("sip-status", 0)
    return EngineRefused(str(reason), status if isinstance(status, int) else 0)


def _description(done: Done[bytes]) -> Done[ng.Message]:
    def heard(result: ng.Message | MediaError) -> None:
        if isinstance(result, MediaError):
            done(result)
            return
        sdp = result.get("sdp")
        if isinstance(sdp, str):
            done(sdp.encode("utf-8", "surrogateescape"))
        else:
            done(EngineRefused("the engine's answer has no session description"))

    return heard


def _report(done: Done[CallReport]) -> Done[ng.Message]:
    return lambda result: done(result if isinstance(result, MediaError) else CallReport.from_message(result))
