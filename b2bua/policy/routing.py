"""Which gateways a call is tried on, and in which order (docs/behaviour.md §4)."""

from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
from typing import Final

from b2bua.policy.accounts import EVERY_CODEC
from b2bua.policy.decision import Attempt, Candidate, Case, LevelPrice
from b2bua.policy.limits import Chain
from b2bua.policy.routes import Gateway, RouteEntry
from rating.charge import billed_seconds, unrounded
from rating.errors import MissingExchangeRate
from rating.tariff import Rate, Tariff

_GOLDEN: Final = 0.6180339887498949
"""Its multiples fill the unit interval as evenly as anything does, however long the sequence."""

_UNKNOWN: Final = Decimal("Infinity")
_NO_LIMITS: Final = Chain([])


class Choice:
    """An entry that may be used: its numbers, its price, what it costs."""

    __slots__ = ("attempts", "cost", "entry", "trace")

    def __init__(self, entry: RouteEntry, attempts: list[Attempt], trace: Candidate | None) -> None:
        self.entry = entry
        self.attempts = attempts
        self.cost = _UNKNOWN
        """Of the reference call, in the account's currency, unrounded."""
        self.trace = trace


def choose_attempts(case: Case) -> tuple[str, str]:
    """Fill in the attempts of a decision that has its route.

    Returns:
        Code and object of the refusal; both empty: there are attempts.
    """
    decision = case.decision
    route = decision.route
    assert route is not None
    choices = _usable(case) if route.status == "active" else []
    if not choices:
        return "NO_ROUTE", f"route {route.name}"
    if decision.kind != "emergency":
        if len(choices) > 1 or case.trace is not None:
            _find_costs(case, choices)
        choices, loser = _without_losses(case, choices)
        if not choices:
            return "LOSS_ROUTE", loser
    most = case.snapshot.max_attempts
    for choice in _in_order(case, choices):
        if len(decision.attempts) >= most:
            _drop([choice], f"after the first {most} attempts")
        decision.attempts += choice.attempts
    del decision.attempts[most:]
    return "", ""


# What may be used


def _usable(case: Case) -> list[Choice]:
    decision = case.decision
    assert decision.route is not None
    choices = []
    for entry in decision.route.find(decision.destination, case.now):
        candidate = None
        if case.trace is not None:
            candidate = Candidate(entry)
            case.trace.candidates.append(candidate)
        attempts, fault = _attempts(case, entry)
        if attempts:
            choices.append(Choice(entry, attempts, candidate))
        if candidate is not None:
            candidate.dropped = "" if attempts else fault
            candidate.gateway = ", ".join(attempt.gateway.name for attempt in attempts)
            candidate.destination = attempts[0].destination if attempts else ""
    return choices


def _attempts(case: Case, entry: RouteEntry) -> tuple[list[Attempt], str]:
    """One attempt for each gateway of the entry's carrier that is up; or none, and why."""
    decision, carrier = case.decision, entry.carrier
    if carrier.status != "active":
        return [], "carrier inactive"
    tariff = carrier.tariff
    rate = tariff.find(decision.destination, case.now) if tariff is not None and tariff.status == "active" else None
    if (rate is None or rate.status != "active") and decision.kind != "emergency":
        # A carrier that has no price for the number cannot be compared, paid or shown in the record.
        return [], "no rate" if rate is None else "rate blocked"
    destination = carrier.rules.destination.translate(decision.sent_destination)
    source = carrier.rules.source.translate(decision.source)
    if decision.kind != "emergency" and (destination.code or source.code):
        return [], "number not allowed" if destination.code else "caller's number not allowed"
    if destination.number in ("", "+"):
        return [], "nothing is left of the number"
    account = decision.account
    codecs = account.codecs.intersect(carrier.codecs) if account and account.codec_check else carrier.codecs
    found = [
        Attempt(gateway, carrier, tariff, rate, source.number, destination.number, codecs)
        for gateway in carrier.gateways
        if gateway.status == "active" and (decision.kind == "emergency" or not case.conditions.is_down(gateway))
    ]
    if decision.kind == "emergency":
        # Those that are down are tried all the same, after the others.
        found.sort(key=lambda attempt: case.conditions.is_down(attempt.gateway))
        for attempt in found:
            attempt.gateway, attempt.codecs = _unlimited(attempt.gateway), EVERY_CODEC
    return found, "no gateway up"


def _unlimited(gateway: Gateway) -> Gateway:
    return replace(gateway, limits=_NO_LIMITS, max_duration=None)


# What it costs


def _reference(case: Case, rate: Rate) -> Decimal:
    return unrounded(billed_seconds(case.snapshot.reference_seconds, rate), rate)


def _find_costs(case: Case, choices: list[Choice]) -> None:
    # A route that is tried by itself has no account: its carriers are compared in the currency of the first.
    own = case.decision.levels[0] if case.decision.levels else None
    into = own.tariff if own is not None else choices[0].attempts[0].tariff
    assert into is not None
    for choice in choices:
        tariff, rate = choice.attempts[0].tariff, choice.attempts[0].rate
        assert tariff is not None
        assert rate is not None
        choice.cost = _converted(case, _reference(case, rate), tariff, into)
        if choice.trace is not None:
            choice.trace.cost = choice.cost if choice.cost.is_finite() else None
            choice.trace.price = _reference(case, own.rate) if own is not None else None
    if case.trace is not None:
        case.trace.currency = into.currency


def _converted(case: Case, amount: Decimal, tariff: Tariff, into: Tariff) -> Decimal:
    try:
        return case.snapshot.exchange.convert(amount, tariff.currency, into.currency, case.now)
    except MissingExchangeRate:
        # What cannot be compared comes last, and is a loss to whoever guards against it.
        return _UNKNOWN


def _without_losses(case: Case, choices: list[Choice]) -> tuple[list[Choice], str]:
    """Those that are no loss to anybody who guards against it; and who would lose otherwise."""
    levels = case.decision.levels
    guarded = [level for level in levels if level.account.loss_guard]
    if not guarded:
        return choices, ""
    for below, above in pairwise(levels):
        # Each reseller's price against the price below it, for whoever guards below.
        is_guarded = levels[0].account.loss_guard or below.account.loss_guard
        if is_guarded and not _is_covered(case, above.rate, above.tariff, below):
            _drop(choices, f"loss of {above.account.title}")
            return [], above.account.title
    kept = []
    for choice in choices:
        tariff, rate = choice.attempts[0].tariff, choice.attempts[0].rate
        assert tariff is not None
        assert rate is not None
        if all(_is_covered(case, rate, tariff, level) for level in guarded):
            kept.append(choice)
        else:
            _drop([choice], "loss")
    assert case.decision.route is not None
    return kept, f"route {case.decision.route.name}"


def _is_covered(case: Case, rate: Rate, tariff: Tariff, level: LevelPrice) -> bool:
    """Whether a cost of the reference call is at most what a level pays for it."""
    return _converted(case, _reference(case, rate), tariff, level.tariff) <= _reference(case, level.rate)


def _drop(choices: list[Choice], why: str) -> None:
    for choice in choices:
        if choice.trace is not None:
            choice.trace.dropped = why


# In which order


def _in_order(case: Case, choices: list[Choice]) -> list[Choice]:
    """By priority; within one by the route's mode."""
    route = case.decision.route
    assert route is not None
    if route.mode == "least_cost" or case.decision.kind == "emergency":
        choices.sort(key=lambda each: (each.entry.priority, each.cost, -each.entry.weight, each.entry.id))
        return choices
    fraction = (case.conditions.turn(route.id) + 1) * _GOLDEN % 1.0
    ordered: list[Choice] = []
    for priority in sorted({choice.entry.priority for choice in choices}):
        ordered += _shared([choice for choice in choices if choice.entry.priority == priority], fraction)
    return ordered


def _shared(choices: list[Choice], fraction: float) -> list[Choice]:
    """A point in the sum of the weights says who is first; where in its part it lies says who is next."""
    ordered: list[Choice] = []
    while choices:
        total = sum(choice.entry.weight for choice in choices)
        if not total:
            return ordered + choices
        point, chosen = fraction * total, choices[0]
        for choice in choices:
            if not choice.entry.weight:
                continue
            chosen = choice
            if point < choice.entry.weight:
                break
            point -= choice.entry.weight
        fraction = min(point / chosen.entry.weight, 0.999999)
        choices.remove(chosen)
        ordered.append(chosen)
    return ordered
