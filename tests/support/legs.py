"""Real endpoints on a wire in memory: no socket, no waiting, and a clock that only `advance` moves.

`Wire` carries what endpoints send, loses what a test asks it to, and keeps everything in `carried`. Tests that make
endpoints are coroutines (`@on_loop`), since an endpoint belongs to a loop; the loop itself does nothing.
"""

import asyncio
import functools
import hashlib
from collections import Counter, deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from heapq import heappop, heappush
from importlib import resources
from typing import Any, ParamSpec

from b2bua.agent.user_agent import Answerer, Caller, UserAgent
from b2bua.call.callee_leg import CalleeLeg
from b2bua.call.leg import Leg
from b2bua.live.connection import Callback, LiveConnection, StoreAway
from b2bua.sip.events import Event as SIPEvent
from b2bua.sip.events import RequestReceived
from b2bua.sip.flow import Flow
from b2bua.sip.message import Request, Response, parse_message
from b2bua.transport.endpoint import Endpoint, EndpointUser, new_token
from b2bua.turns import Turns
from conf.settings import SIPSettings
from tests.support.talking import Talker

Parameters = ParamSpec("Parameters")


def on_loop(test: Callable[Parameters, Coroutine[Any, Any, None]]) -> Callable[Parameters, None]:
    """Run a test that is a coroutine on a loop of its own."""

    @functools.wraps(test)
    def run(*args: Parameters.args, **kwargs: Parameters.kwargs) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


PAYLOADS = {"PCMU": 0, "GSM": 3, "PCMA": 8, "G722": 9, "G729": 18, "telephone-event": 101}


def audio_session(host: str, *codecs: str) -> bytes:
    """A session description that has these codecs, in their order."""
    payloads = " ".join(str(PAYLOADS[codec]) for codec in codecs)
    maps = "".join(f"a=rtpmap:{PAYLOADS[codec]} {codec}/8000\r\n" for codec in codecs)
    head = f"v=0\r\no=- 1 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\n"
    return f"{head}m=audio 40000 RTP/AVP {payloads}\r\n{maps}".encode()


def payloads_of(body: bytes) -> list[int]:
    """Payload types of the audio line, in their order."""
    (line,) = [line for line in body.decode().split("\r\n") if line.startswith("m=audio ")]
    return [int(payload) for payload in line.split()[3:]]


# The wire


@dataclass(slots=True)
class Carried:
    """One message that somebody sent."""

    at: float
    """Seconds since the wire was made."""
    source: str
    target: str
    data: bytes
    transport: str
    is_lost: bool = False
    arrived: int = 0
    """How many messages had been sent when it first arrived."""
    came_at: float = 0.0
    """When that was."""

    @property
    def message(self) -> Request | Response:
        """Parsed."""
        return parse_message(self.data)

    @property
    def label(self) -> str:
        """`INVITE`, `180 INVITE`."""
        message = self.message
        return f"{message.status} {message.method}" if isinstance(message, Response) else message.method


class Wire:
    """Carries messages between endpoints, in the order in which they were sent."""

    def __init__(self) -> None:
        self._began = self.now = 1000.0
        self.made_at = 1_700_000_000.0
        """The time of day when the wire was made; what is added later is how late timers are."""
        self._endpoints: dict[str, WiredEndpoint] = {}
        self._queue: deque[Carried] = deque()
        self._losses: Counter[tuple[str, str]] = Counter()
        self._helpers: list[Callable[[], bool]] = []
        self.watchers: list[Callable[[Carried], None]] = []
        """Called for each message just before it leaves."""
        self.unreachable: set[str] = set()
        """Addresses to which sending fails."""
        self.copies: Callable[[Carried], int] = lambda _: 1
        """How many times a message arrives that is not lost by `lose`; 0: it is lost."""
        self.delay: Callable[[Carried], float] = lambda _: 0.0
        """How many seconds each copy of a message is under way."""
        self._late: list[tuple[float, int, Carried]] = []
        self.carried: list[Carried] = []

    def clock(self) -> float:
        """The time of all endpoints."""
        return self.now

    def time_of_day(self) -> float:
        """Seconds since 1970, as records have it; goes with the clock."""
        return self.made_at + self.now - self._began

    def add(self, endpoint: "WiredEndpoint") -> None:
        """Connect an endpoint."""
        self._endpoints[endpoint.host] = endpoint

    def help(self, helper: Callable[[], bool]) -> None:
        """Call something while the wire settles; it returns whether it did anything."""
        self._helpers.append(helper)

    def lose(self, label: str, source: str, times: int = 1) -> None:
        """Lose the next messages with this label from this address."""
        self._losses[(label, source)] += times

    def carry(self, source: str, data: bytes, flow: Flow) -> str:
        """Take a message of an endpoint; returns why that is not possible."""
        if flow.host in self.unreachable:
            return "Network is unreachable"
        carried = Carried(self.now - self._began, source, flow.host, data, flow.transport)
        for watcher in self.watchers:
            watcher(carried)
        key = (carried.label, source)
        if self._losses[key] > 0:
            self._losses[key] -= 1
            carried.is_lost = True
        else:
            copies = self.copies(carried)
            carried.is_lost = not copies
            for _ in range(copies):
                self._dispatch(carried)
        self.carried.append(carried)
        return ""

    def _dispatch(self, carried: Carried) -> None:
        if seconds := self.delay(carried):
            heappush(self._late, (self.now + seconds, len(self.carried), carried))
        else:
            self._queue.append(carried)

    def _next_late(self, until: float) -> bool:
        """Take up the next delayed message that arrives by a time; returns whether there is one."""
        if not self._late or self._late[0][0] > until:
            return False
        arrives, _, carried = heappop(self._late)
        self.now = max(self.now, arrives)
        self._queue.append(carried)
        return True

    def settle(self) -> None:
        """Deliver until nothing is under way but what is delayed."""
        while True:
            while self._queue:
                carried = self._queue.popleft()
                endpoint = self._endpoints.get(carried.target)
                if not carried.arrived:
                    carried.arrived, carried.came_at = len(self.carried), self.now - self._began
                if endpoint is not None:
                    endpoint.arrive(carried)
            if not any([helper() for helper in self._helpers]):
                return

    def advance(self, seconds: float) -> None:
        """Let time pass and handle each deadline when it is due."""
        end = self.now + seconds
        while True:
            due = [(deadline, e) for e in self._endpoints.values() if (deadline := e.next_deadline()) is not None]
            soonest, endpoint = min(due, key=lambda pair: pair[0], default=(end + 1, None))
            if self._next_late(min(soonest, end)):
                self.settle()
                continue
            if endpoint is None or soonest > end:
                break
            self.now = max(self.now, soonest)
            endpoint.ring()
            self.settle()
        self.now = end

    # What was said

    def labels(self, *between: str) -> list[str]:
        """`INVITE`, `100 INVITE`, … of all messages, or of those between two addresses, that were not lost."""
        return [
            each.label
            for each in self.carried
            if not each.is_lost and (not between or {each.source, each.target} == set(between))
        ]

    def requests(self, method: str, source: str = "", target: str = "") -> list[Request]:
        """All requests of a method, lost ones too."""
        return [
            message
            for each in self._between(source, target)
            if isinstance(message := each.message, Request) and message.method == method
        ]

    def responses(self, status: int, source: str = "", target: str = "") -> list[Response]:
        """All responses with a status, lost ones too."""
        return [
            message
            for each in self._between(source, target)
            if isinstance(message := each.message, Response) and message.status == status
        ]

    def _between(self, source: str, target: str) -> list[Carried]:
        return [each for each in self.carried if source in ("", each.source) and target in ("", each.target)]


class WiredEndpoint(Endpoint):
    """An endpoint whose sockets are the wire; it has one address for every transport, at port 5060."""

    def __init__(self, wire: Wire, host: str, user: EndpointUser, transports: tuple[str, ...] = ("udp", "tcp")) -> None:
        listen = tuple(f"{transport}://{host}:5060" for transport in transports)
        super().__init__(SIPSettings(listen=listen, user_agent=""), user)
        self.host = host
        self.now = wire.clock
        self._wire = wire
        wire.add(self)

    def arrive(self, carried: Carried) -> None:
        """Take a message from the wire."""
        listener = next(i for i, each in enumerate(self.addresses) if each.transport == carried.transport)
        connection = 1 if carried.transport == "tcp" else 0
        self.receive(carried.data, Flow(carried.transport, carried.source, 5060, listener, connection))
        self.end_of_turn()

    def next_deadline(self) -> float | None:
        """When `ring` has something to do."""
        deadlines = (self.transactions.next_deadline(), self.wheel.next_deadline())
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def ring(self) -> None:
        """Handle the deadlines that have passed."""
        self.handle_timers()
        self.end_of_turn()

    def _send(self, data: bytes, flow: Flow) -> str:
        return self._wire.carry(self.host, data, flow)

    def _arm(self) -> None:
        """The wire looks at deadlines itself."""


class WiredAgent(Talker, UserAgent):
    """What both have: a wire, and something to say within the dialog."""

    def __init__(self, wire: Wire, *parts: Any, **how: Any) -> None:
        super().__init__(*parts, **how)
        self.wire = wire
        self.hang_up_causes: list[int | None] = []
        self.begin()

    @property
    def usual_session(self) -> bytes:
        """The first session again."""
        return self.session or audio_session(self.host, "PCMA", "PCMU", "telephone-event")

    def handle_event(self, event: SIPEvent, now: float) -> None:
        """Requests within the dialog are the talker's."""
        if not self.talk(event):
            super().handle_event(event, now)

    def hang_up(self) -> None:
        """End the call; what comes within it is not known any more."""
        self.take_leave()
        super().hang_up()

    def leg_hung_up(self, leg: Leg, cause: int | None) -> None:
        """Remember why."""
        self.take_leave()
        self.hang_up_causes.append(cause)
        super().leg_hung_up(leg, cause)


class WiredCaller(WiredAgent, Caller):
    """A caller on the wire."""

    def __init__(self, wire: Wire, host: str) -> None:
        super().__init__(wire, host, 5060)
        self.endpoint = WiredEndpoint(wire, host, self)
        self.offers_late = False
        """Whether the INVITE has no session description; then the test sends the ACK, which has one."""
        self.codecs: tuple[str, ...] = ()
        """What is offered; empty: the usual."""

    @property
    def session(self) -> bytes:
        """What the INVITE offers."""
        if self.offers_late:
            return b""
        return audio_session(self.host, *self.codecs) if self.codecs else super().session

    def callee_responded(self, leg: CalleeLeg, response: Response) -> None:
        """Acknowledge a 2xx, unless the test does."""
        if not self.offers_late:
            super().callee_responded(leg, response)

    def dial(self, host: str, number: str = "442079460000", transport: str = "udp") -> None:
        """Call a number at an address, and let the wire settle."""
        self.call(number, "441234567890", host, 5060, transport)
        self.wire.settle()


class WiredAnswerer(WiredAgent, Answerer):
    """A callee on the wire."""

    def __init__(self, wire: Wire, host: str, *, codecs: tuple[str, ...] = (), options: int = 200, **how: Any) -> None:
        super().__init__(wire, host, 5060, **how)
        self.endpoint = WiredEndpoint(wire, host, self)
        self.codecs = codecs
        """What it answers with; empty: the usual."""
        self.options = options
        """Status that OPTIONS is answered with; 0: it is not."""

    @property
    def session(self) -> bytes:
        """What it answers, or offers where nothing was offered to it."""
        return audio_session(self.host, *self.codecs) if self.codecs else super().session

    def handle_event(self, event: SIPEvent, now: float) -> None:
        """Answer OPTIONS as told."""
        if isinstance(event, RequestReceived) and event.request.method == "OPTIONS":
            if self.options:
                response = Response.to(event.request, self.options, new_token())
                self.endpoint.transactions.send_response(event.transaction, response, now)
        else:
            super().handle_event(event, now)


# The live store


class Store(LiveConnection):
    """A live store in memory, as far as the admission scripts go; it answers when the wire settles.

    Calls per second are counted by key, and nobody gains any with time.
    """

    def __init__(self) -> None:
        super().__init__("unix:///nowhere", 1.0, lambda _: None, Turns(0.0))
        self.is_up = True
        self.sessions: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self.funds: dict[str, dict[str, int]] = {}
        """Hashes of accounts: `base`, and for each run `h:<run>` and `p:<run>`."""
        self.values: dict[str, bytes] = {}
        """Where SIP users are registered."""
        self.leases: dict[str, str] = {}
        """Who has what; nothing runs out by itself."""
        self.is_away = False
        self.is_slow = False
        """Whether answers wait until this is false."""
        self._sources = {
            name: resources.files("b2bua.live").joinpath(f"scripts/{name}.lua").read_bytes()
            for name in ("admit", "admit_carrier", "extend", "release", "posted")
        }
        self._loaded: dict[str, str] = {}
        self._waiting: deque[tuple[tuple[Any, ...], Callback]] = deque()

    def send(self, command: tuple[Any, ...], callback: Callback) -> None:
        """Take a command."""
        self._waiting.append((command, callback))

    execute = send

    def answer(self) -> bool:
        """Answer what waits, but not what is asked because of it; returns whether there was anything."""
        if self.is_slow or not self._waiting:
            return False
        for _ in range(len(self._waiting)):
            command, callback = self._waiting.popleft()
            callback(StoreAway("live store is away") if self.is_away else self._reply(command))
        return True

    @property
    def taken(self) -> dict[str, int]:
        """Sessions that are taken, by key, without those that have come to zero."""
        return {key: count for key, count in self.sessions.items() if count}

    @property
    def held(self) -> dict[str, int]:
        """Micros that are held, by key, without those that have come to zero."""
        return self._of_runs("h:")

    @property
    def owed(self) -> dict[str, int]:
        """Micros that are owed and not posted, by key, without those that have come to zero."""
        return self._of_runs("p:")

    def _of_runs(self, prefix: str) -> dict[str, int]:
        sums = {
            key: sum(amount for field, amount in fields.items() if field.startswith(prefix))
            for key, fields in self.funds.items()
        }
        return {key: amount for key, amount in sums.items() if amount}

    def _reply(self, command: tuple[Any, ...]) -> Any:
        match command:
            case ("SCRIPT", "LOAD", source):
                (name,) = [name for name, own in self._sources.items() if source.endswith(own)]
                digest = hashlib.sha1(source, usedforsecurity=False).hexdigest()
                self._loaded[digest] = name
                return digest.encode()
            case ("SET", _, _):
                return b"OK"
            case ("GET", key):
                return self.values.get(key)
            case ("HSET", key, field, amount):
                self.funds.setdefault(key, {})[field] = amount
                return 0
            case ("HDEL", key, field):
                return int(self.funds.get(key, {}).pop(field, None) is not None)
            case ("HINCRBY", key, field, amount):
                return self._add(key, field, amount)
            case ("EVAL", _, 1, key, owner, duration):
                return self._lease(key, owner, duration)
            case ("EVALSHA", digest, count, *rest):
                return self._run(self._loaded[digest], tuple(rest[:count]), rest[count], rest[count + 1 :])
        raise AssertionError(f"unknown command: {command}")

    def _lease(self, key: str, owner: str, duration: int) -> int:
        if self.leases.get(key, owner) != owner:
            return 0
        if duration:
            self.leases[key] = owner
        else:
            self.leases.pop(key, None)
        return 1

    def _run(self, script: str, keys: tuple[str, ...], run: str, arguments: list[Any]) -> Any:
        numbers = [int(argument) for argument in arguments]
        if script == "admit":
            return self._admit(keys, run, numbers)
        if script == "admit_carrier":
            return self._admit_carrier(keys[::2], keys[1::2], numbers)
        if script == "extend":
            return self._hold(keys, run, numbers)
        if script == "posted":
            self.funds.setdefault(keys[0], {})[f"p:{run}"] = numbers[0]
            return 0
        return self._release(keys, run, numbers)

    def _admit(self, keys: tuple[str, ...], run: str, numbers: list[int]) -> Any:
        levels, counts, takes = numbers[:3]
        limits, holds = numbers[3 : 3 + 2 * levels], numbers[3 + 2 * levels :]
        sessions, calls, funds = keys[: 2 * levels : 2], keys[1 : 2 * levels : 2], keys[2 * levels :]
        assert len(funds) == len(holds)
        if counts:
            for index, (key, limit) in enumerate(zip(calls, limits[1::2], strict=True), 1):
                if 0 <= limit <= self.calls[key]:
                    return index
            self.calls.update(calls)
        if not takes:
            return 0
        for index, (key, limit) in enumerate(zip(sessions, limits[::2], strict=True), 1):
            if 0 <= limit <= self.sessions[key]:
                return -index
        shortage = self._hold(funds, run, holds)
        if not shortage:
            self.sessions.update(sessions)
        return shortage

    def _admit_carrier(self, sessions: tuple[str, ...], calls: tuple[str, ...], limits: list[int]) -> int:
        pairs = zip(sessions, calls, limits[::2], limits[1::2], strict=True)
        for index, (session, call, most, cps) in enumerate(pairs, 1):
            if 0 <= most <= self.sessions[session]:
                return -index
            if 0 <= cps <= self.calls[call]:
                return index
        self.sessions.update(sessions)
        self.calls.update(calls)
        return 0

    def _hold(self, keys: tuple[str, ...], run: str, amounts: list[int]) -> Any:
        available = [self._available(key) for key in keys]
        for index, (left, amount) in enumerate(zip(available, amounts, strict=True), 1):
            if left is None or 0 < amount > left:
                return [index, *(None if each is None else str(each).encode() for each in available)]
        for key, amount in zip(keys, amounts, strict=True):
            self._add(key, f"h:{run}", amount)
        return 0

    def _available(self, key: str) -> int | None:
        fields = self.funds.get(key, {})
        if "base" not in fields:
            return None
        return fields["base"] - sum(amount for field, amount in fields.items() if field[:2] in ("h:", "p:"))

    def _release(self, keys: tuple[str, ...], run: str, numbers: list[int]) -> int:
        count, amounts = numbers[0], numbers[1:]
        self.sessions.subtract(keys[:count])
        for key, held, owed in zip(keys[count:], amounts[::2], amounts[1::2], strict=True):
            self._add(key, f"h:{run}", held)
            self._add(key, f"p:{run}", owed)
        return 0

    def _add(self, key: str, field: str, amount: int) -> int:
        fields = self.funds.setdefault(key, {})
        fields[field] = fields.get(field, 0) + amount
        return fields[field]
