"""DNS for RFC 3263: asks what `location` needs to know, and remembers what was said.

Answers are kept question by question, so that each lives by its own TTL, several destinations share them, and each
call draws its own order of the same servers. The packet path reads what is known (`lookup_cached`); `prefetch` keeps it
fresh. DNS that falls silent takes no carrier away: an answer is used for an hour beyond its TTL (RFC 8767). Left out:
DNSSEC, the search list and /etc/hosts; a name is complete.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from ipaddress import ip_address
from typing import Final, NamedTuple

import dns.asyncbackend
import dns.asyncresolver
import dns.exception
import dns.name
import dns.nameserver
import dns.resolver
import structlog
from dns.rdata import Rdata
from dns.rdtypes.IN.A import A
from dns.rdtypes.IN.AAAA import AAAA
from dns.rdtypes.IN.NAPTR import NAPTR as DNSNAPTR
from dns.rdtypes.IN.SRV import SRV as DNSSRV

from b2bua.sip.errors import ParseError
from b2bua.sip.uri import split_host_port
from b2bua.tasks import spawn
from b2bua.transport.location import (
    NAPTR,
    SRV,
    Answer,
    Draw,
    Known,
    Location,
    NameNotFound,
    Plan,
    Question,
    ResolutionFailed,
    ServerNotLocated,
    Target,
    locate,
    plan,
)
from conf.errors import InvalidSetting

log = structlog.get_logger()

SHORTEST: Final = 1.0
"""Seconds that any answer is kept, whatever its TTL."""
LONGEST: Final = 86_400.0
LONGEST_NEGATIVE: Final = 60.0
"""Seconds that "there is none" is kept at most (RFC 2308 §5)."""
STALE: Final = 3600.0
"""Seconds that an answer is used after its TTL while DNS gives no new one."""
RECHECK: Final = 30.0
"""Seconds until a question is asked again whose old answer is used meanwhile (RFC 8767 §5)."""
FAILURE: Final = 5.0
"""Seconds until a question is asked again to which no answer is known."""

LATE: Final = 30.0
"""Seconds that an answer which is kept fresh is used after its TTL, until the next one is there."""

ANSWERS_LIMIT: Final = 20_000
ASKING_LIMIT: Final = 1_000
"""Most questions under way."""
KEPT_LIMIT: Final = 2_000
"""Most destinations that are kept fresh."""
RECORDS_LIMIT: Final = 16
"""Most records of an answer that count."""

SYSTEM_NAMESERVERS: Final = "/etc/resolv.conf"

_PAYLOAD: Final = 1232
"""Bytes of a DNS datagram that pass everywhere; what is longer comes over TCP."""
_ROUNDS: Final = 8
"""NAPTR, SRV, addresses, and as many again for what ended meanwhile."""
_BATCH: Final = 8
"""Destinations that are refreshed at a time."""
_SHORTEST_REST: Final = 0.1


class Destination(NamedTuple):
    """What a URI or a gateway says of its server."""

    host: str
    port: int | None = None
    transport: str | None = None
    """None: not said."""
    is_secure: bool = False
    """Whether it is a `sips:` URI."""


class _Entry:
    """An answer, and how long it counts."""

    __slots__ = ("answer", "refresh_at", "retry_at", "stale_until")

    def __init__(self, answer: Answer, now: float) -> None:
        self.answer = answer
        if answer.failure:
            self.stale_until = self.refresh_at = answer.expires_at
        else:
            self.stale_until = answer.expires_at + STALE
            self.refresh_at = now + 0.8 * (answer.expires_at - now)
        self.retry_at = 0.0
        """When DNS, which failed to give a newer answer, may be asked again; 0: it has not failed."""


class _Kept:
    """A destination that is kept fresh."""

    __slots__ = ("due_at", "plan", "questions")

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.due_at = 0.0
        self.questions: list[Question] = []


class Resolver:
    """Finds servers, and remembers what DNS said.

    Args:
        supported: Transports that we can send on, the preferred first.
        nameservers: `address` or `address:port`; none: those of the system.
        timeout: Seconds that a whole resolution may take.
        families: A and AAAA in the order in which to try them, or the one that we have a listener of.
        clock: Gives monotonic seconds.
        draw: For the order of servers.
        is_quiet: Whether faults of DNS are told to whoever asks alone, and not to the log.

    Raises:
        InvalidSetting: a nameserver that is no address.
    """

    def __init__(
        self,
        supported: Sequence[str] = ("udp", "tcp", "tls"),
        nameservers: Sequence[str] = (),
        timeout: float = 4.0,
        families: Sequence[str] = ("A", "AAAA"),
        clock: Callable[[], float] = time.monotonic,
        draw: Draw | None = None,
        *,
        is_quiet: bool = False,
    ) -> None:
        self._is_quiet = is_quiet
        self._supported = tuple(supported)
        self._timeout = timeout
        # A question gives up before the whole does, so that an old answer to it lets the next one be asked.
        self._patience = timeout * 0.75
        self._families = tuple(families)
        self._clock = clock
        self._draw = random.Random().randint if draw is None else draw
        self._dns = _make_resolver(nameservers, timeout / 4)
        self._entries: dict[Question, _Entry] = {}
        self._asking: dict[Question, asyncio.Task[None]] = {}
        self._kept: dict[Destination, _Kept] = {}
        self._keeper: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self.asked = 0
        """Questions put to DNS since the start."""
        self.failed = 0
        """Those of them without an answer."""
        self.on_learned: Callable[[], None] | None = None
        """Called when what `prefetch` keeps has been asked for; None: nobody is told."""

    def close(self) -> None:
        """Ask no more."""
        for task in (self._keeper, *self._asking.values()):
            if task is not None:
                task.cancel()
        self._keeper = None

    # Resolution

    async def resolve(
        self, host: str, port: int | None = None, transport: str | None = None, secure: bool = False
    ) -> list[Target]:
        """Find the servers of a destination, in the order in which to try them; at least one.

        Raises:
            NameNotFound: there is none.
            ResolutionFailed: DNS did not say in time, and has not for an hour.
            TransportUnsupported: we have none of the transports that would do.
        """
        wanted = self._plan(Destination(host, port, transport, secure))
        reason = f"no answer within {self._timeout:g} s"
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._timeout):
                if not await self._learn(wanted):
                    reason = "too much is being asked of DNS"
        # Where no answer came, an old one has to do.
        location = self._search(wanted, self._known_at_all)
        if location.targets:
            return location.targets
        if location.missing:
            raise ResolutionFailed(host, reason, location.missing)
        if location.failures:
            raise ResolutionFailed(host, "; ".join(location.failures))
        raise NameNotFound(host, "there is no such server", location.used)

    def lookup_cached(
        self, host: str, port: int | None = None, transport: str | None = None, secure: bool = False
    ) -> list[Target] | None:
        """Find the servers of a destination in what is known, at once.

        Returns:
            Them; empty when there are known to be none; None when DNS has to be asked, by `resolve`.
        """
        destination = Destination(host, port, transport, secure)
        try:
            wanted = self._plan(destination)
        except ServerNotLocated:
            return []
        location = self._search(wanted, self._known_kept if destination in self._kept else self._known_now)
        return None if location.missing else location.targets

    def fault(self, host: str, port: int | None = None, transport: str | None = None) -> str:
        """Why `lookup_cached` gives no server."""
        try:
            location = self._search(self._plan(Destination(host, port, transport)), self._known_at_all)
        except ServerNotLocated as error:
            return str(error)
        if location.failures:
            return "; ".join(location.failures)
        asked = ", ".join(map(str, location.missing or location.used))
        return f"DNS has not answered yet: {asked}" if location.missing else f"there is no such server: {asked}"

    def _plan(self, destination: Destination) -> Plan:
        kept = self._kept.get(destination)
        return plan(*destination, self._supported) if kept is None else kept.plan

    def _search(self, wanted: Plan, known: Known) -> Location:
        return locate(wanted, known, self._draw, self._families)

    async def _learn(self, wanted: Plan) -> bool:
        """Ask until a plan needs nothing more; returns False when too much is being asked already."""
        for _ in range(_ROUNDS):
            missing = self._search(wanted, self._known_or_failing).missing
            if not missing:
                break
            if not await self._ask(missing):
                return False
        return True

    # What is known

    def _known_or_failing(self, question: Question) -> Answer | None:
        """The answer within its TTL; beyond it while DNS, asked just before, fails."""
        entry, now = self._entries.get(question), self._clock()
        if entry is not None and (now < entry.answer.expires_at or now < min(entry.retry_at, entry.stale_until)):
            return entry.answer
        return None

    def _known_now(self, question: Question, late: float = 0.0) -> Answer | None:
        """The answer within its TTL; beyond it while DNS fails."""
        entry = self._entries.get(question)
        if entry is None:
            return None
        until = entry.stale_until if entry.retry_at else entry.answer.expires_at
        if late and not entry.answer.failure:
            until = max(until, entry.answer.expires_at + late)
        return entry.answer if self._clock() < until else None

    def _known_kept(self, question: Question) -> Answer | None:
        """The same of what is kept fresh: no call waits because the next answer is a little late."""
        return self._known_now(question, LATE)

    def _known_at_all(self, question: Question) -> Answer | None:
        """The answer, however old it may be."""
        entry = self._entries.get(question)
        return entry.answer if entry is not None and self._clock() < entry.stale_until else None

    def _store(self, question: Question, answer: Answer) -> None:
        if len(self._entries) >= ANSWERS_LIMIT:
            self._make_room()
        before = self._entries.pop(question, None)
        self._entries[question] = _Entry(answer, self._clock())
        if before is not None and before.retry_at and not answer.failure:
            log.info("DNS answers again", name=question.name, kind=question.kind)

    def _store_failure(self, question: Question, reason: str) -> None:
        self.failed += 1
        now = self._clock()
        entry = self._entries.get(question)
        if entry is None or entry.answer.failure or now >= entry.stale_until:
            if (entry is None or not entry.answer.failure) and not self._is_quiet:
                log.warning("DNS does not answer", name=question.name, kind=question.kind, reason=reason)
            self._store(question, Answer(now + FAILURE, reason))
            return
        if not entry.retry_at and not self._is_quiet:
            log.warning("DNS gives no newer answer", name=question.name, kind=question.kind, reason=reason)
        entry.retry_at = entry.refresh_at = now + RECHECK

    def _make_room(self) -> None:
        """Forget the oldest tenth, but for what is kept fresh."""
        kept = {question for kept in self._kept.values() for question in kept.questions}
        for question in [question for question in self._entries if question not in kept][: ANSWERS_LIMIT // 10]:
            del self._entries[question]

    # Asking

    async def _ask(self, questions: Iterable[Question]) -> bool:
        """Wait until all of these have an answer or a failure; returns False when too many are under way."""
        wanted = set(questions)
        if len(self._asking.keys() | wanted) > ASKING_LIMIT:
            return False
        for question in wanted - self._asking.keys():
            task = spawn(self._query(question), f"dns-{question}")
            self._asking[question] = task
            task.add_done_callback(partial(self._has_ended, question))
        # A waiter that goes takes no question back: others may wait for the same.
        await asyncio.wait([self._asking[question] for question in wanted])
        return True

    def _has_ended(self, question: Question, _: asyncio.Task[None]) -> None:
        del self._asking[question]

    async def _query(self, question: Question) -> None:
        self.asked += 1
        try:
            async with asyncio.timeout(self._patience):
                answer = await self._dns.resolve(
                    dns.name.from_text(question.name),
                    question.kind,
                    raise_on_no_answer=False,
                    lifetime=self._patience,
                    search=False,
                    backend=dns.asyncbackend.get_backend("asyncio"),
                )
        except dns.resolver.NXDOMAIN as error:
            (response,) = error.kwargs["responses"].values()
            self._store(question, _read_answer((), response.resolve_chaining().minimum_ttl, self._clock()))
        except (dns.exception.DNSException, OSError) as error:
            self._store_failure(question, self._reason(error))
        else:
            ttl = answer.chaining_result.minimum_ttl
            self._store(question, _read_answer(answer.rrset or (), ttl, self._clock()))

    def _reason(self, error: Exception) -> str:
        if isinstance(error, TimeoutError | dns.exception.Timeout):
            return f"no answer within {self._patience:g} s"
        if isinstance(error, dns.resolver.NoNameservers):
            return "; ".join(f"{one[0]}: {one[3]}" for one in error.kwargs["errors"]) or str(error)
        return str(error)

    # Keeping fresh

    def prefetch(self, names: Iterable[Destination]) -> None:
        """Keep these destinations known, and no others: asked now, and again before their TTL ends."""
        before, self._kept = self._kept, {}
        for destination in names:
            if len(self._kept) >= KEPT_LIMIT:
                log.warning("too many names to keep fresh", limit=KEPT_LIMIT)
                break
            try:
                wanted = plan(*destination, self._supported)
            except ServerNotLocated as error:
                log.warning("gateway cannot be located", reason=str(error))
                continue
            if not wanted.addresses:
                self._kept[destination] = before.get(destination) or _Kept(wanted)
        self._changed.set()
        if self._keeper is None and self._kept:
            self._keeper = spawn(self._keep(), "dns-prefetch")

    async def _keep(self) -> None:
        while True:
            self._changed.clear()
            try:
                rest = await self.refresh_due()
                if self.on_learned is not None:
                    self.on_learned()
            except Exception:
                log.exception("names could not be kept fresh")  # and yet they have to be
                rest = FAILURE
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(rest):
                    await self._changed.wait()

    async def refresh_due(self) -> float:
        """Ask for what `prefetch` keeps and what ends soon; returns the seconds until there is something to ask."""
        now = self._clock()
        due = [kept for kept in self._kept.values() if kept.due_at <= now]
        for start in range(0, len(due), _BATCH):
            await asyncio.gather(*(self._refresh(kept) for kept in due[start : start + _BATCH]))
        soonest = min((kept.due_at for kept in self._kept.values()), default=now + LONGEST)
        return max(soonest - self._clock(), _SHORTEST_REST)

    async def _refresh(self, kept: _Kept) -> None:
        for _ in range(_ROUNDS):
            location, now = self._search(kept.plan, self._known_at_all), self._clock()
            kept.questions = location.used
            wanted = [question for question in location.used if self._entries[question].refresh_at <= now]
            wanted += location.missing
            if not wanted:
                kept.due_at = min(self._entries[question].refresh_at for question in location.used)
                return
            if not await self._ask(wanted):
                break
        kept.due_at = self._clock() + FAILURE


def _make_resolver(nameservers: Sequence[str], server_timeout: float) -> dns.asyncresolver.Resolver:
    resolver = dns.asyncresolver.Resolver(configure=False)
    if nameservers:
        resolver.nameservers = [_parse_nameserver(text) for text in nameservers]
    else:
        try:
            resolver.read_resolv_conf(SYSTEM_NAMESERVERS)
        except (OSError, dns.resolver.NoResolverConfiguration):
            resolver.nameservers = ["127.0.0.1"]  # as the C library does
    resolver.timeout = server_timeout  # then the next one is asked, or the same again
    resolver.use_edns(0, 0, _PAYLOAD)
    return resolver


def _parse_nameserver(text: str) -> dns.nameserver.Nameserver:
    try:
        host, port = (text, None) if text.count(":") > 1 and "[" not in text else split_host_port(text)
        return dns.nameserver.Do53Nameserver(str(ip_address(host)), port or 53)
    except (ParseError, ValueError) as error:
        raise InvalidSetting(f"nameserver {text!r}: must look like 192.0.2.53 or [2001:db8::53]:53") from error


# Records


def _read_answer(records: Iterable[Rdata], ttl: float, now: float) -> Answer:
    """Take what we need from DNS records; none, or an alias that leads nowhere, is a negative answer."""
    services, servers, addresses = [], [], []
    for record in records:
        if isinstance(record, DNSNAPTR):
            services.append(_read_naptr(record))
        elif isinstance(record, DNSSRV):
            servers.append(SRV(record.priority, record.weight, record.port, _text(record.target)))
        elif isinstance(record, A | AAAA):
            addresses.append(record.address)
    # Sorted, so that the same ones count in whatever order a server gives them: NAPTR for SIP before those for other
    # uses, of SRV records of one priority the heavier.
    services.sort(key=lambda one: (not one.service.startswith("sip"), one))
    servers.sort(key=lambda one: (one.priority, -one.weight, one))
    addresses.sort()
    longest = LONGEST if services or servers or addresses else LONGEST_NEGATIVE
    return Answer(
        now + max(SHORTEST, min(ttl, longest)),
        services=tuple(services[:RECORDS_LIMIT]),
        servers=tuple(servers[:RECORDS_LIMIT]),
        addresses=tuple(addresses[:RECORDS_LIMIT]),
    )


def _read_naptr(record: DNSNAPTR) -> NAPTR:
    flag, service = record.flags.decode("latin-1").lower(), record.service.decode("latin-1").lower()
    return NAPTR(record.order, record.preference, flag, service, _text(record.replacement))


def _text(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True).lower()
