"""Where the server of a SIP URI is, given what DNS says (RFC 3263; RFC 2782 for the order of SRV records).

    ServerNotLocated
        NameNotFound            DNS says that there is no such server
        ResolutionFailed        DNS does not say: it is silent, refuses, or is asked too much
        TransportUnsupported    none of our transports serves this URI

Pure: `plan` decides which lookups a destination needs; `locate` searches the answers that are known and names the
questions that it still needs answered; `Walk` goes from server to server as they fail. `resolver` does the asking.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final, NamedTuple, TypeVar

from b2bua.sip.flow import DEFAULT_PORT

Item = TypeVar("Item")

Draw = Callable[[int, int], int]
"""Gives a whole number between two, both included: `random.Random(seed).randint`."""

TARGETS_LIMIT: Final = 64
"""Most servers of a destination."""
SERVICES_LIMIT: Final = 4
"""Most NAPTR records that are followed."""

FAILED_SECONDS: Final = 30.0
"""A server that failed is not tried first for so long."""
FAILED_LONGEST: Final = 300.0
"""… and for at most so long, whatever it asks for."""
FAILED_LIMIT: Final = 2_000

# RFC 3263 §4.1, §4.2: NAPTR service and SRV prefix of a transport. For WebSocket nobody publishes SRV records.
_SERVICES: Final = {
    "udp": ("sip+d2u", "_sip._udp"),
    "tcp": ("sip+d2t", "_sip._tcp"),
    "tls": ("sips+d2t", "_sips._tcp"),
}
_TRANSPORT_OF: Final = {service: transport for transport, (service, _) in _SERVICES.items()}
_SECURE: Final = {"tcp": "tls", "tls": "tls", "ws": "wss", "wss": "wss"}
"""What a transport parameter means in a sips URI; UDP has no secure form."""


class Question(NamedTuple):
    """What DNS is asked."""

    name: str
    """In lower case, without a final dot."""
    kind: str
    """NAPTR, SRV, A or AAAA."""

    def __str__(self) -> str:
        return f"{self.name} {self.kind}"


class ServerNotLocated(Exception):
    """No server is known for a host.

    Args:
        host: As the URI has it.
        reason: What went wrong.
        asked: What DNS was asked.
    """

    def __init__(self, host: str, reason: str, asked: Iterable[Question] = ()) -> None:
        self.host = host
        self.asked = tuple(asked)
        shown = f" (asked for {', '.join(map(str, self.asked))})" if self.asked else ""
        super().__init__(f"{host}: {reason}{shown}")


class NameNotFound(ServerNotLocated):
    """DNS says that there is no such server."""


class ResolutionFailed(ServerNotLocated):
    """DNS does not say whether there is one."""


class TransportUnsupported(ServerNotLocated):
    """None of our transports serves the URI."""


@dataclass(slots=True)
class Target:
    """One server."""

    transport: str
    host: str
    """IP address."""
    port: int
    name: str
    """Host of the URI, which a certificate has to name: that of an SRV record proves nothing."""
    expires_at: float
    """When the answers that led here end; in the past for stale ones, infinite when DNS was not asked."""


class NAPTR(NamedTuple):
    """One NAPTR record."""

    order: int
    preference: int
    flag: str
    """In lower case; `s`: an SRV record follows, `a`: an address."""
    service: str
    """In lower case."""
    replacement: str


class SRV(NamedTuple):
    """One SRV record."""

    priority: int
    weight: int
    port: int
    host: str
    """A dot: the service is decidedly not there."""


@dataclass(slots=True)
class Answer:
    """What is known of one question; without records: that there are none."""

    expires_at: float
    failure: str = ""
    """Why there is no answer; empty: there is."""
    services: tuple[NAPTR, ...] = ()
    servers: tuple[SRV, ...] = ()
    addresses: tuple[str, ...] = ()


# Order


def order_naptr(records: Iterable[NAPTR], transports: Sequence[str]) -> list[NAPTR]:
    """Those that lead to transports of ours, of the lowest order alone, by preference and then as we like them."""
    usable = [
        record
        for record in records
        if _TRANSPORT_OF.get(record.service) in transports and record.flag in ("s", "a") and record.replacement != "."
    ]
    # RFC 3403 §4.1: once a match is found, records of another order must not be considered.
    lowest = min((record.order for record in usable), default=0)
    usable = [record for record in usable if record.order == lowest]
    return sorted(usable, key=lambda record: (record.preference, transports.index(_TRANSPORT_OF[record.service])))


def order_srv(records: Iterable[SRV], draw: Draw) -> list[SRV]:
    """By priority; within one at random, the heavier the likelier first (RFC 2782, "Weight")."""
    by_priority: dict[int, list[SRV]] = {}
    for record in records:
        by_priority.setdefault(record.priority, []).append(record)
    ordered: list[SRV] = []
    for priority in sorted(by_priority):
        # "In any order", but those of weight 0 first: shuffled, so that records of weight 0 alone share the load.
        left = sorted(shuffle(by_priority[priority], draw), key=lambda record: record.weight > 0)
        while len(left) > 1:
            ordered.append(left.pop(_drawn_position(left, draw)))
        ordered += left
    return ordered


def _drawn_position(records: list[SRV], draw: Draw) -> int:
    drawn, running, position = draw(0, sum(record.weight for record in records)), 0, 0
    for position, record in enumerate(records):  # noqa: B007 - the one at which the loop ends
        running += record.weight
        if running >= drawn:
            break
    return position


def shuffle(items: Sequence[Item], draw: Draw) -> list[Item]:
    """The same in random order."""
    shuffled = list(items)
    for last in range(len(shuffled) - 1, 0, -1):
        other = draw(0, last)
        shuffled[last], shuffled[other] = shuffled[other], shuffled[last]
    return shuffled


# Plan


@dataclass(frozen=True, slots=True)
class Plan:
    """Which lookups a destination needs."""

    host: str
    """In lower case, without a final dot."""
    addresses: tuple[str, ...]
    """Known without asking."""
    by_naptr: bool
    by_srv: bool
    transports: tuple[str, ...]
    """Those that NAPTR and SRV may lead to, ours first."""
    transport: str
    """Where neither says one."""
    port: int | None
    """None: that of the transport."""


def plan(host: str, port: int | None, transport: str | None, is_secure: bool, supported: Sequence[str]) -> Plan:
    """Decide which lookups a destination needs (RFC 3263 §4.1, §4.2).

    Args:
        host: Of the URI, without brackets.
        port: None: the URI has none.
        transport: Of the URI's parameter or the gateway; None: not said.
        is_secure: Whether it is a `sips:` URI: TLS only.
        supported: Transports that we can send on, the preferred first.

    Raises:
        NameNotFound: the host cannot be a name.
        TransportUnsupported: we have none of the transports that would do.
    """
    transports = _transports(host, transport, is_secure, supported)
    addresses = _known_addresses(host)
    name = host.rstrip(".").lower()
    if not addresses and not _is_name(name):
        raise NameNotFound(host, "cannot be a name")
    # An address or a port leaves SRV nothing to say, and a transport that was said leaves NAPTR nothing.
    by_srv = not addresses and port is None
    fallback = "udp" if "udp" in transports else transports[0]
    return Plan(name, addresses, by_srv and transport is None, by_srv, transports, fallback, port)


def _transports(host: str, transport: str | None, is_secure: bool, supported: Sequence[str]) -> tuple[str, ...]:
    if transport is None:
        wanted = tuple(one for one in supported if not is_secure or one == "tls")
    else:
        said = transport.lower()
        meant = _SECURE.get(said) if is_secure else said
        wanted = tuple(one for one in supported if one == meant)
    if not wanted:
        scheme = "sips" if is_secure else "sip"
        raise TransportUnsupported(host, f"no transport of ours serves {scheme} over {transport or 'any'}")
    return wanted


def _known_addresses(host: str) -> tuple[str, ...]:
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return ("127.0.0.1", "::1")  # RFC 6761 §6.3: never asked
    try:
        ip_address(host)
    except ValueError:
        return ()
    return (host,)


def _is_name(name: str) -> bool:
    return len(name) <= 253 and name.isascii() and all(0 < len(label) < 64 for label in name.split("."))


# Search


@dataclass(slots=True)
class Location:
    """What a search found."""

    targets: list[Target] = field(default_factory=list)
    missing: list[Question] = field(default_factory=list)
    """To be asked before the search can end; till then the targets are not complete."""
    used: list[Question] = field(default_factory=list)
    """Those that had an answer or a failure."""
    failures: list[str] = field(default_factory=list)
    """What DNS did not say."""


Known = Callable[[Question], Answer | None]
"""Gives the answer to a question; None: it has to be asked."""


def locate(plan: Plan, known: Known, draw: Draw, families: Sequence[str] = ("A", "AAAA")) -> Location:
    """Find the servers of a plan in what is known, in the order in which to try them.

    Args:
        plan: Which lookups it needs.
        known: What DNS has said.
        draw: For the order of servers and addresses: each call of this function draws anew.
        families: A and AAAA in the order in which to try them, or one of them.
    """
    search = _Search(plan, known, draw, families)
    search.run()
    return search.location


class _Service(NamedTuple):
    transport: str
    kind: str
    """SRV, or A where the name has addresses of its own."""
    name: str


class _Search:
    __slots__ = ("_draw", "_families", "_known", "_plan", "_seen", "_until", "location")

    def __init__(self, plan: Plan, known: Known, draw: Draw, families: Sequence[str]) -> None:
        self._plan = plan
        self._known = known
        self._draw = draw
        self._families = families
        self._seen: set[tuple[str, str, int]] = set()
        self._until = math.inf
        self.location = Location()

    def run(self) -> None:
        plan, location = self._plan, self.location
        if plan.addresses:
            wanted = [one for family in self._families for one in plan.addresses if (":" in one) == (family == "AAAA")]
            self._add(wanted, plan.transport, plan.port, math.inf)
            return
        transport = plan.transport
        if plan.by_srv:
            said = self._services_said()
            if location.missing or location.failures:
                return
            has_servers = self._find_servers(said or self._services_guessed())
            # RFC 3263 §4.2: addresses of the name itself only where there is no SRV record at all.
            if has_servers or location.missing or location.failures:
                return
            transport = said[0].transport if said else transport
        self._find_addresses(plan.host, transport, plan.port)

    def _services_said(self) -> list[_Service]:
        answer = self._ask(self._plan.host, "NAPTR") if self._plan.by_naptr else None
        if answer is None:
            return []
        self._until = min(self._until, answer.expires_at)
        records = order_naptr(answer.services, self._plan.transports)[:SERVICES_LIMIT]
        return [
            _Service(_TRANSPORT_OF[record.service], "SRV" if record.flag == "s" else "A", record.replacement)
            for record in records
        ]

    def _services_guessed(self) -> list[_Service]:
        plan = self._plan
        return [
            _Service(transport, "SRV", f"{_SERVICES[transport][1]}.{plan.host}")
            for transport in plan.transports
            if transport in _SERVICES
        ]

    def _find_servers(self, services: list[_Service]) -> bool:
        """Add the servers of all services; returns whether there are any records."""
        found: list[tuple[str, int | None, str]] = []
        has_records = False
        for transport, kind, name in services:
            if kind == "A":
                found.append((name, None, transport))
                continue
            answer = self._ask(name, "SRV")
            if answer is None:
                continue
            self._until = min(self._until, answer.expires_at)
            has_records = has_records or bool(answer.servers)
            servers = order_srv(answer.servers, self._draw)
            found += [(server.host, server.port, transport) for server in servers if server.host != "."]
        for host, port, transport in found:
            self._find_addresses(host, transport, port)
        return has_records or bool(found)

    def _find_addresses(self, host: str, transport: str, port: int | None) -> None:
        for family in self._families:
            answer = self._ask(host, family)
            if answer is not None:
                addresses = shuffle(answer.addresses, self._draw)
                self._add(addresses, transport, port, min(self._until, answer.expires_at))

    def _ask(self, name: str, kind: str) -> Answer | None:
        question, location = Question(name, kind), self.location
        answer = self._known(question)
        if answer is None:
            location.missing.append(question)
        elif answer.failure:
            location.used.append(question)
            location.failures.append(f"{question}: {answer.failure}")
        else:
            location.used.append(question)
            return answer
        return None

    def _add(self, addresses: Iterable[str], transport: str, port: int | None, until: float) -> None:
        number = DEFAULT_PORT[transport] if port is None else port
        for address in addresses:
            key = (transport, address, number)
            if key not in self._seen and len(self._seen) < TARGETS_LIMIT:
                self._seen.add(key)
                self.location.targets.append(Target(transport, address, number, self._plan.host, until))


# The next server


class FailedTargets:
    """Servers that failed lately, shared by all calls."""

    __slots__ = ("_until",)

    def __init__(self) -> None:
        self._until: dict[tuple[str, str, int], float] = {}

    def __len__(self) -> int:
        return len(self._until)

    def add(self, target: Target, until: float) -> None:
        """A server is not to be tried first before a moment."""
        key = _key(target)
        self._until.pop(key, None)
        while len(self._until) >= FAILED_LIMIT:
            del self._until[next(iter(self._until))]
        self._until[key] = until

    def forget(self, target: Target) -> None:
        """It has answered."""
        self._until.pop(_key(target), None)

    def has(self, target: Target, now: float) -> bool:
        """Whether it failed lately."""
        return self._until.get(_key(target), now) > now


def _key(target: Target) -> tuple[str, str, int]:
    return target.transport, target.host, target.port


class Walk:
    """One request's way from server to server (RFC 3263 §4.3).

    Args:
        targets: In the order in which to try them; those that failed lately come after the others, but they do come.
        failed: What is remembered of them.
        now: Monotonic seconds.
    """

    __slots__ = ("_failed", "_left", "target")

    def __init__(self, targets: Iterable[Target], failed: FailedTargets, now: float) -> None:
        self._left = sorted(targets, key=lambda target: failed.has(target, now))[::-1]
        self._failed = failed
        self.target: Target | None = None
        """The one being tried."""

    @property
    def has_left(self) -> bool:
        """Whether there is another server to try."""
        return bool(self._left)

    def next(self) -> Target | None:
        """The server to try now; None: there is no other."""
        self.target = self._left.pop() if self._left else None
        return self.target

    def fail(self, now: float, seconds: float = FAILED_SECONDS) -> Target | None:
        """The server failed or answered 503, with a Retry-After of so many seconds; returns the next one."""
        if self.target is not None:
            self._failed.add(self.target, now + min(seconds, FAILED_LONGEST))
        return self.next()
