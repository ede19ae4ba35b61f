"""What a worker says would become of a call, cut to what a login may see.

Who does not see carriers sees prices of its own levels, where its own devices are called, and that some carrier would
be tried: no name, address, cost or number as it is sent, and nothing of the accounts above its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from b2bua.control.messages import Message

AUTHENTICATE: Final = "AUTHENTICATE"
"""The code of a call whose caller is asked who it is."""

HIDDEN: Final = "not shown"

TITLES: Final = {
    "caller": "Who calls",
    "device": "Device",
    "accounts": "Accounts",
    "kind": "Kind of call",
    "codecs": "Codecs",
    "destination": "Destination rules",
    "source": "Source rules",
    "cli": "CLI by destination",
    "prices": "Prices",
    "dialing_route": "Dialing route",
    "route": "Carriers of the route",
    "loop": "Loop",
    "media": "Audio",
    "duration": "Longest duration",
    "unlimited": "Longest duration",
    "callee": "SIP user that is called",
    "did_rules": "Rules of the DID number",
    "did_prices": "Prices of the DID number",
    "did_destination": "Where the DID number leads",
}
"""What each check is called."""

_OF_MONEY: Final = frozenset({"prices", "did_prices"})


@dataclass(frozen=True, slots=True)
class View:
    """What a login may see."""

    carriers: bool
    cost: bool
    money: bool
    accounts: tuple[str, ...] | None = None
    """Codes of the account of the call and those above it, up to the login's own; None: of all."""

    def sees(self, code: str) -> bool:
        """Whether an account is one of its own."""
        return self.accounts is None or code in self.accounts


@dataclass(frozen=True, slots=True)
class Step:
    """One check."""

    title: str
    looked_at: str
    outcome: str
    """Empty: passed."""
    code: str
    """The first word of the outcome."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One carrier of the route."""

    order: str
    """Places among the attempts; empty: it is not tried."""
    carrier: str
    gateways: tuple[tuple[str, str], ...]
    """Name and state of each; none where carriers are hidden."""
    prefix: str
    number: str
    cost: Decimal | None
    price: Decimal | None
    margin: Decimal | None
    currency: str | None
    dropped: str


@dataclass(frozen=True, slots=True)
class Level:
    """What one account pays."""

    account: str
    tariff: str
    prefix: str
    per_minute: Decimal | None
    price: Decimal | None
    """Of the reference call."""
    currency: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt, in its place."""

    kind: str
    to: str
    source: str
    destination: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """The whole answer."""

    decision: Mapping[str, Any]
    """`code`, `object`, `kind`, `sip_status`, `q850_cause`, `account`, `max_duration` of the answer."""
    steps: tuple[Step, ...]
    candidates: tuple[Candidate, ...]
    levels: tuple[Level, ...]
    attempts: tuple[Attempt, ...]
    revision: int
    at: str
    reference_seconds: int
    worker: str
    draining: bool


def cut(answer: Message, view: View) -> Explanation:
    """Take from an answer to the verb `explain` what a login may see."""
    decision = answer["decision"]
    shown = ("code", "kind", "sip_status", "q850_cause", "account", "max_duration", "source", "destination")
    return Explanation(
        decision={**{name: decision[name] for name in shown}, "object": _object(decision["object"], view)},
        steps=tuple(_step(each, answer, view) for each in answer["steps"]),
        candidates=tuple(_candidates(answer["candidates"], view)),
        levels=tuple(_level(each) for each in decision["levels"] if view.money and view.sees(each["account"])),
        attempts=tuple(_attempt(each, view) for each in decision["attempts"]),
        revision=answer["revision"],
        at=answer["at"],
        reference_seconds=answer["reference_seconds"],
        worker=answer["worker"],
        draining=answer["draining"],
    )


def _object(text: str, view: View) -> str:
    """What refused, unless it is an account above or a carrier's."""
    kind, _, name = text.partition(" ")
    if kind == "account" and not view.sees(name):
        return ""
    return "" if kind in {"carrier", "gateway"} and not view.carriers else text


def _step(step: Mapping[str, str], answer: Message, view: View) -> Step:
    check, outcome = step["check"], "" if step["outcome"] == "ok" else step["outcome"]
    code, _, refuser = outcome.partition(" ")
    title = TITLES.get(check) or check.replace("_", " ").capitalize()
    return Step(title, _looked_at(step, answer, view), f"{code} {_object(refuser, view)}".rstrip(), code)


def _looked_at(step: Mapping[str, str], answer: Message, view: View) -> str:
    check, decision = step["check"], answer["decision"]
    if check in _OF_MONEY:
        if not view.money:
            return HIDDEN
        if view.accounts is not None:
            return ", ".join(_rate(each) for each in decision["levels"] if view.sees(each["account"]))
    if check == "accounts" and view.accounts is not None:
        return " < ".join(view.accounts)
    if check == "route" and not view.carriers:
        return f"{decision['route'] or ''}: {len(decision['attempts'])} to try"
    return step["looked_at"]


def _rate(level: Mapping[str, Any]) -> str:
    return f"{level['account']} {level['rate_per_minute']} {level['currency']}/min by {level['prefix'] or 'any'}"


def _candidates(candidates: Sequence[Mapping[str, Any]], view: View) -> list[Candidate]:
    """Those that are tried in their order, then the others."""
    ordered = sorted(candidates, key=lambda each: (not each["order"], each["order"]))
    return [_candidate(each, number, view) for number, each in enumerate(ordered, 1)]


def _candidate(candidate: Mapping[str, Any], number: int, view: View) -> Candidate:
    gateways = tuple((each["name"], each["state"]) for each in candidate["gateways"])
    return Candidate(
        order=", ".join(str(place) for place in candidate["order"]),
        carrier=candidate["carrier"] if view.carriers else f"Carrier {number}",
        gateways=gateways if view.carriers else (),
        prefix=candidate["prefix"] or "any",
        number=candidate["number"] if view.carriers else "",
        cost=_amount(candidate["cost"]) if view.cost else None,
        price=_amount(candidate["price"]) if view.money else None,
        margin=_amount(candidate["margin"]) if view.cost and view.money else None,
        currency=candidate["currency"],
        dropped=candidate["dropped"] if view.carriers or not candidate["dropped"] else "not tried",
    )


def _level(level: Mapping[str, Any]) -> Level:
    return Level(
        account=level["account"],
        tariff=level.get("tariff", ""),
        prefix=level.get("prefix") or "any",
        per_minute=_amount(level.get("rate_per_minute")),
        price=_amount(level["reference_price"]),
        currency=level.get("currency", ""),
    )


def _attempt(attempt: Mapping[str, Any], view: View) -> Attempt:
    is_ours = attempt["kind"] != "gateway" or view.carriers
    carrier = f" of {attempt['carrier']}" if attempt["carrier"] and view.carriers else ""
    return Attempt(
        kind=attempt["kind"],
        to=f"{attempt['gateway']}{carrier}" if is_ours else "a carrier",
        source=attempt["source"] if is_ours else "",
        destination=attempt["destination"] if is_ours else "",
    )


def _amount(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
