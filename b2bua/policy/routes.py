"""Carriers, gateways, routes and the dialing routes of accounts (docs/behaviour.md §4)."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from b2bua.policy.limits import Chain
from rating.charge import Billing
from rating.tariff import Tariff


@dataclass(slots=True)
class Gateway:
    """One address of a carrier."""

    id: int
    name: str
    host: str
    port: int
    transport: str
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
    limits: Chain = field(default_factory=lambda: Chain([]))
    """The carrier and this gateway."""


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


@dataclass(slots=True)
class Route:
    """A named list of entries."""

    id: int
    name: str
    status: str = "active"
    entries: dict[str, list[RouteEntry]] = field(default_factory=dict)
    """Prefix -> active entries."""
    longest: int = 0

    def add(self, entry: RouteEntry) -> None:
        """Take in an entry."""
        self.entries.setdefault(entry.prefix, []).append(entry)
        self.longest = max(self.longest, len(entry.prefix))

    def find(self, number: str) -> list[RouteEntry]:
        """For each carrier its entry with the longest prefix of the number, by priority, then the heavier first."""
        found: dict[int, RouteEntry] = {}
        for length in range(min(self.longest, len(number)), -1, -1):
            for entry in self.entries.get(number[:length], ()):
                found.setdefault(entry.carrier.id, entry)
        return sorted(found.values(), key=lambda entry: (entry.priority, -entry.weight, entry.id))


@dataclass(slots=True)
class DialingRoute:
    """A pattern of dialled numbers and the route that they take."""

    prefix: str
    """What numbers begin with."""
    exact: bool
    """Whether the number must be the prefix and nothing more."""
    route: Route

    @classmethod
    def of(cls, pattern: str, route: Route) -> "DialingRoute":
        """Read a pattern: `44%` is every number that begins with 44, `44` that number alone."""
        return cls(pattern.removesuffix("%"), not pattern.endswith("%"), route)


def choose_dialing_route(routes: Iterable[DialingRoute], number: str) -> DialingRoute | None:
    """The route whose pattern matches with most literal digits, an exact one before an open one; None: no match."""
    best: DialingRoute | None = None
    for route in routes:
        matches = number == route.prefix if route.exact else number.startswith(route.prefix)
        if matches and (best is None or (len(route.prefix), route.exact) > (len(best.prefix), best.exact)):
            best = route
    return best
