"""Rates, ratecards and tariffs as values, and which rate a number gets (docs/behaviour.md §6 "Rate choice")."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal

from rating.window import Window

ZERO = Decimal(0)
ONE = Decimal(1)
ALWAYS = datetime.min.replace(tzinfo=UTC)
FOREVER = datetime.max.replace(tzinfo=UTC)


@dataclass(slots=True)
class Rate:
    """One row of a ratecard."""

    id: int
    prefix: str
    """Digits, * and #; empty matches every number."""
    rate_per_minute: Decimal
    connection_charge: Decimal = ZERO
    minimum: int = 1
    """Seconds billed at least."""
    resolution: int = 1
    """Seconds per block."""
    blocks_mode: str = "from_zero"
    """`from_zero`: whole blocks counted from zero; `after_minimum`: the minimum, then whole blocks."""
    grace: int = 0
    """A call shorter than this many seconds is free."""
    multiplier: Decimal = ONE
    addition: Decimal = ZERO
    """Added once a call, like the connection charge."""
    status: str = "active"
    """`active`, or `blocked`: calls to the prefix are refused."""
    valid_from: datetime = ALWAYS
    valid_until: datetime = FOREVER
    destination: str = ""

    def is_in_force(self, at: datetime) -> bool:
        """Whether the rate holds at a moment (aware UTC); the end is outside."""
        return self.valid_from <= at < self.valid_until


@dataclass(slots=True)
class Ratecard:
    """Rates by prefix."""

    id: int
    rates: dict[str, list[Rate]] = field(default_factory=dict)
    """Prefix -> its rates, whatever their dates."""
    longest: int = 0
    """Length of the longest prefix."""

    @classmethod
    def of(cls, ratecard_id: int, rates: Iterable[Rate]) -> "Ratecard":
        """A ratecard of these rates."""
        card = cls(ratecard_id)
        for rate in rates:
            card.add(rate)
        return card

    def add(self, rate: Rate) -> None:
        """Add a rate, before anybody looks for one."""
        self.rates.setdefault(rate.prefix, []).append(rate)
        self.longest = max(self.longest, len(rate.prefix))

    def find(self, number: str, at: datetime) -> list[Rate]:
        """Rates in force for the longest prefix of a number that has any."""
        rates = self.rates
        for length in range(min(self.longest, len(number)), -1, -1):
            found = rates.get(number[:length])
            if found is not None:
                if len(found) == 1:
                    if found[0].is_in_force(at):
                        return found
                    continue
                in_force = [rate for rate in found if rate.is_in_force(at)]
                if in_force:
                    return in_force
        return []


@dataclass(slots=True)
class Tariff:
    """Ratecards in the order of their priority, priced in one currency."""

    id: int
    name: str
    currency: str
    status: str = "active"
    ratecards: list[tuple[int, Ratecard]] = field(default_factory=list)
    """(priority, ratecard) of those that always count, the lowest priority first."""
    timed: list[tuple[int, Ratecard, Window]] = field(default_factory=list)
    """Those that count within their days and hours only."""
    incoming: "Tariff | None" = None
    """The incoming ratecards, for calls to DIDs; None: there are none, and such calls are free."""

    def add(self, priority: int, ratecard: Ratecard, window: Window | None = None) -> None:
        """Map a ratecard into the tariff, for good or within a window."""
        if window is None:
            self.ratecards.append((priority, ratecard))
        else:
            self.timed.append((priority, ratecard, window))

    def find(self, number: str, at: datetime) -> Rate | None:
        """The rate of a number: the longest prefix over all ratecards that count now; among equals the mapping's
        priority, then the newest in force, then the cheapest.
        """  # noqa: D205 - one rule, one sentence
        best: Rate | None = None
        best_priority = 0
        for priority, ratecard in self._counting(at) if self.timed else self.ratecards:
            for rate in ratecard.find(number, at):
                if best is None or _is_better(rate, priority, best, best_priority):
                    best, best_priority = rate, priority
        return best

    def _counting(self, at: datetime) -> list[tuple[int, Ratecard]]:
        open_now = [(priority, ratecard) for priority, ratecard, window in self.timed if window.is_open(at)]
        return self.ratecards + open_now


def _is_better(rate: Rate, priority: int, best: Rate, best_priority: int) -> bool:
    mine = (-len(rate.prefix), priority)
    theirs = (-len(best.prefix), best_priority)
    if mine != theirs:
        return mine < theirs
    if rate.valid_from != best.valid_from:
        return rate.valid_from > best.valid_from
    return rate.rate_per_minute < best.rate_per_minute
