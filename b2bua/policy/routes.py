"""Carriers, gateways and routes (docs/behaviour.md §4)."""

from dataclasses import dataclass, field
from datetime import datetime

from b2bua.policy.accounts import EVERY_CODEC, OPEN_RULES, RuleSet
from b2bua.policy.limits import Chain
from b2bua.policy.media_wishes import PASSED, MediaWishes
from b2bua.policy.presentation import PLAIN, Presentation
from b2bua.sip.flow import DEFAULT_PORT
from media.sdp import CodecList
from rating.charge import Billing
from rating.tariff import Tariff
from rating.window import Window


@dataclass(frozen=True, slots=True)
class Login:
    """What we prove to a carrier by digest."""

    username: str
    secret: str = field(repr=False)


@dataclass(slots=True)
class Gateway:
    """One address of a carrier."""

    id: int
    name: str
    host: str
    port: int | None
    """None: found by DNS (RFC 3263); with an address the transport's own."""
    transport: str
    """`udp`, `tcp`, `tls`, `ws` or `wss`."""
    priority: int
    weight: int
    max_sessions: int | None
    cps: int | None
    invite_timeout: float
    """Seconds without any answer."""
    progress_timeout: float
    """Seconds without a 18x."""
    ring_timeout: float
    """Seconds from the first 18x to an answer."""
    max_duration: int | None
    status: str = "active"
    is_trusted: bool = False
    """Whether its P-Asserted-Identity is the caller's number."""
    probe_interval: int = 0
    """Seconds between two OPTIONS; 0: it is not probed."""
    tls_verify: str = "name"
    """What a certificate has to show: `name` (its issuer and our name for it), `chain` (its issuer) or `none`."""
    prefers_tcp: bool = False
    """Whether requests above 1,300 bytes go by TCP (RFC 3261 §18.1.1)."""
    reliable_ringing: str = "off"
    """100rel: `off`, `supported` or `required` (RFC 3262)."""
    session_timer: int | None = None
    """Seconds between two refreshes that we ask for (RFC 4028); None: we ask for none."""
    follows_redirects: bool = False
    registers: bool = False
    """Whether we register there."""
    register_expires: int = 600
    """Seconds that we ask for."""
    media: MediaWishes = PASSED
    """What is asked of media that goes through an engine."""
    presentation: Presentation = PLAIN
    """How it is told who calls."""
    login: Login | None = None
    """What we prove to it; None: nothing."""
    limits: Chain = field(default_factory=lambda: Chain([]))
    """The carrier and this gateway."""

    @property
    def known_port(self) -> int:
        """The port where no DNS is asked."""
        return self.port if self.port is not None else DEFAULT_PORT.get(self.transport, 5060)


@dataclass(slots=True)
class Carrier:
    """A company that takes calls."""

    id: int
    code: str
    name: str
    currency: str
    tariff_id: int | None
    max_sessions: int | None
    cps: int | None
    status: str = "active"
    tariff: Tariff | None = None
    billing: Billing = field(default_factory=lambda: Billing(decimals=10))
    """How it bills us."""
    codecs: CodecList = EVERY_CODEC
    rules: RuleSet = OPEN_RULES
    gateways: list[Gateway] = field(default_factory=list)
    """Active ones, by priority, then the heavier first."""


@dataclass(slots=True)
class RouteEntry:
    """A prefix that a carrier is used for."""

    id: int
    prefix: str
    carrier: Carrier
    priority: int
    weight: int
    window: Window | None = None
    """When it counts; None: always."""


@dataclass(slots=True)
class Route:
    """A named list of entries."""

    id: int
    name: str
    status: str = "active"
    mode: str = "least_cost"
    """Order within a priority: `least_cost`, or `load_share` by weight."""
    failover_codes: frozenset[int] | None = None
    """Answers after which the next gateway is tried; None: the system's."""
    ring_failover: bool = False
    """Whether a gateway that rings too long is followed by the next."""
    entries: dict[str, list[RouteEntry]] = field(default_factory=dict)
    """Prefix -> active entries."""
    longest: int = 0

    def add(self, entry: RouteEntry) -> None:
        """Take in an entry."""
        self.entries.setdefault(entry.prefix, []).append(entry)
        self.longest = max(self.longest, len(entry.prefix))

    def find(self, number: str, at: datetime) -> list[RouteEntry]:
        """For each carrier its entry with the longest prefix of the number among those that count at a moment.

        By priority, then the heavier first.
        """
        found: dict[int, RouteEntry] = {}
        for length in range(min(self.longest, len(number)), -1, -1):
            for entry in self.entries.get(number[:length], ()):
                if entry.window is None or entry.window.is_open(at):
                    best = found.setdefault(entry.carrier.id, entry)
                    # Several windows of one prefix may be open: the first in order counts.
                    if best.prefix == entry.prefix and _rank(entry) < _rank(best):
                        found[entry.carrier.id] = entry
        return sorted(found.values(), key=_rank)


def _rank(entry: RouteEntry) -> tuple[int, int, int]:
    return entry.priority, -entry.weight, entry.id
