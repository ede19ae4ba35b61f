"""What would become of a call, and why: the very `decide` of calls with a trace, told as plain values.

Nothing is changed by it, and nothing of the live store is looked at: sessions, calls per second and funds are taken
after the decision. Amounts are text with all their digits; SIP status and Q.850 cause are added above.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Context, Decimal
from ipaddress import ip_address
from typing import Any, Final, Self

from b2bua.policy.accounts import Account, Device
from b2bua.policy.checks import UNLIMITED, decide
from b2bua.policy.decision import Attempt, CallRequest, Candidate, Case, Conditions, Decision, LevelPrice, Trace
from b2bua.policy.devices import normalise_address
from b2bua.policy.limits import NO_LIMIT, Level
from b2bua.policy.routes import Gateway
from b2bua.policy.routing import choose_attempts
from b2bua.policy.snapshot import Snapshot
from media.sdp import CodecList
from rating.charge import billed_seconds, unrounded
from rating.tariff import Rate, Tariff

Explanation = dict[str, Any]
"""Values that JSON has, and no float among them; its fields are listed in `b2bua.control.messages`."""

_EXACT: Final = Context(prec=120)
"""As in `rating.charge`: a margin is never rounded to nothing."""

_LONGEST: Final = 128
"""Most characters of a number, a name or an address in a question."""


class InvalidQuestion(ValueError):
    """A question that cannot be answered; the text says why in one line."""


@dataclass(slots=True)
class Question:
    """A call that nobody makes."""

    source: str
    """The caller's number, as From would have it."""
    destination: str
    """The number dialled, as the Request-URI would have it."""
    account: str = ""
    """Code; empty: whosever the device is."""
    address: str = ""
    """IP address that the call comes from; empty: from none, and no device is looked for."""
    user: str = ""
    """SIP user that has proved its secret; empty: none has."""
    route: str = ""
    """Name of a route: no call is decided on, only what it would choose."""
    codecs: tuple[str, ...] = ()
    at: datetime | None = None
    """Aware; None: now."""

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Self:
        """Take a question from fields of these names; what is absent, null or empty is not given.

        Raises:
            InvalidQuestion: a field is malformed, or nothing says whose call it is.
        """
        texts = {
            name: _read_text(values, name) for name in ("source", "destination", "account", "address", "user", "route")
        }
        question = cls(**texts)  # type: ignore[arg-type]  # all six are text
        if not (question.account or question.address or question.user or question.route):
            raise InvalidQuestion("whose call? an account, an address or a user is needed")
        question.address = _read_address(question.address)
        question.codecs = _read_codecs(values.get("codecs"))
        question.at = _read_moment(_read_text(values, "at"))
        return question


def explain(question: Question, snapshot: Snapshot, now: datetime, conditions: Conditions) -> Explanation:
    """Decide on a call that nobody makes, and tell how.

    Args:
        question: The call.
        snapshot: The configuration.
        now: Aware; the moment of the call where the question names none.
        conditions: What is down and whose turn it is; only looked at.

    Raises:
        InvalidQuestion: there is no such account or user, or the device is another account's.
    """
    moment, trace = (question.at or now).astimezone(UTC), Trace()
    if question.route:
        decision = _try_route(question, snapshot, moment, conditions, trace)
    else:
        decision = _decide(question, snapshot, moment, conditions, trace)
    return {
        "revision": snapshot.revision,
        "at": moment.isoformat(),
        "reference_seconds": snapshot.reference_seconds,
        "steps": [{"check": step.check, "looked_at": step.looked_at, "outcome": step.outcome} for step in trace.steps],
        "candidates": [_candidate(each, decision, trace, conditions) for each in trace.candidates],
        "decision": _decision(decision, snapshot),
    }


def _decide(question: Question, snapshot: Snapshot, moment: datetime, conditions: Conditions, trace: Trace) -> Decision:
    account = _find_account(snapshot, question.account) if question.account else None
    decision = decide(_request(question, snapshot, account), snapshot, moment, conditions, trace)
    if account is not None and decision.account is not None and decision.account.id != account.id:
        raise InvalidQuestion(
            f"{_whose(question, decision)} belongs to {decision.account.title}, not to {account.title}"
        )
    return decision


def _try_route(
    question: Question, snapshot: Snapshot, moment: datetime, conditions: Conditions, trace: Trace
) -> Decision:
    """What a route would choose for anybody: no account's rules, prices or guards against losses count."""
    route = next((each for each in snapshot.routes.values() if each.name == question.route), None)
    if route is None:
        raise InvalidQuestion(f"no route {question.route}")
    number = question.destination.removeprefix("+")
    decision = Decision(source=question.source, destination=number, sent_destination=number, route=route)
    request = CallRequest(f"route {route.name}", number, question.source)
    decision.code, decision.object = choose_attempts(Case(request, snapshot, moment, conditions, decision, trace))
    return decision


# The question


def _read_text(values: Mapping[str, Any], name: str) -> str:
    value = values.get(name)
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > _LONGEST:
        raise InvalidQuestion(f"{name} is not a text of at most {_LONGEST} characters")
    return value


def _read_address(text: str) -> str:
    if not text:
        return ""
    try:
        ip_address(text)
    except ValueError:
        raise InvalidQuestion(f"{text!r} is not an IPv4 or IPv6 address") from None
    return normalise_address(text)


def _read_codecs(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > _LONGEST or not all(isinstance(name, str) for name in value):
        raise InvalidQuestion("codecs is not a list of names")
    try:
        return CodecList.of(value).names
    except ValueError as error:
        raise InvalidQuestion(str(error)) from None


def _read_moment(text: str) -> datetime | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
        universal = moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidQuestion(f"{text!r} is not a time") from None
    if moment.tzinfo is None:
        raise InvalidQuestion(f"{text!r} has no zone")
    if not 1 < universal.year < 9999:
        # At the very ends of the calendar no zone can be gone over to.
        raise InvalidQuestion(f"{text!r} is not a time of our days")
    return universal


def _find_account(snapshot: Snapshot, code: str) -> Account:
    for account in snapshot.accounts.values():
        if account.code == code:
            return account
    raise InvalidQuestion(f"no account {code}")


def _request(question: Question, snapshot: Snapshot, account: Account | None) -> CallRequest:
    """The facts of the INVITE; where it comes from no address, its place says so in the trace."""
    address = question.address
    request = CallRequest(address, question.destination, question.source, question.codecs)
    if question.user:
        user = snapshot.users.get(question.user)
        if user is None:
            raise InvalidQuestion(f"no SIP user {question.user}")
        request.authenticated_user, request.claims_user = question.user, True
        # A user that must come from some network is taken to do so.
        request.source_address = address or user.network.partition("/")[0] or f"SIP user {question.user}"
    elif not address and account is not None:
        request.forwarded_by, request.source_address = account.id, account.title
    return request


def _whose(question: Question, decision: Decision) -> str:
    device = decision.device
    if device is None:
        return decision.did.title if decision.did is not None else question.address
    return f"SIP user {device.username}" if device.kind == "user" else f"{question.address} (device {device.key})"


# The answer


def _exact(amount: Decimal | None) -> str | None:
    """All digits, at least two decimals, no zeros beyond them."""
    if amount is None:
        return None
    whole, _, fraction = f"{amount:f}".partition(".")
    return f"{whole}.{fraction.rstrip('0').ljust(2, '0')}"


def _candidate(candidate: Candidate, decision: Decision, trace: Trace, conditions: Conditions) -> Explanation:
    entry, cost, price = candidate.entry, candidate.cost, candidate.price
    carrier = entry.carrier
    order = [number for number, each in enumerate(decision.attempts, 1) if each.carrier is carrier]
    return {
        "carrier": carrier.code,
        "gateways": [{"name": each.name, "state": _state(each, conditions)} for each in carrier.gateways],
        "prefix": entry.prefix,
        "priority": entry.priority,
        "weight": entry.weight,
        "number": candidate.destination,
        "cost": _exact(cost),
        "price": _exact(price),
        "margin": _exact(_EXACT.subtract(price, cost) if price is not None and cost is not None else None),
        "currency": trace.currency or (decision.levels[0].tariff.currency if decision.levels else None),
        "order": order,
        "dropped": candidate.dropped,
    }


def _state(gateway: Gateway, conditions: Conditions) -> str:
    if gateway.status != "active":
        return "inactive"
    return "down" if conditions.is_down(gateway) else "up"


def _decision(decision: Decision, snapshot: Snapshot) -> Explanation:
    return {
        "code": decision.code,
        "object": decision.object,
        "kind": decision.kind,
        "account": _or_none(decision.account, lambda account: account.code),
        "device": _or_none(decision.device, _device),
        "did": _or_none(decision.did, lambda did: did.number),
        "from_carrier": _or_none(decision.carrier, lambda carrier: carrier.code),
        "from_gateway": _or_none(decision.gateway, lambda gateway: gateway.name),
        "route": _or_none(decision.route, lambda route: route.name),
        "source": decision.source,
        "destination": decision.destination,
        "sent_destination": decision.sent_destination,
        "max_duration": _duration(decision),
        "levels": [_level(each, snapshot) for each in decision.levels],
        "attempts": [_attempt(each, decision) for each in decision.attempts],
        "limits": [_limit(each) for each in decision.limits.levels] if decision.limits is not None else [],
    }


def _or_none(value: Any, told: Callable[[Any], str]) -> str | None:  # noqa: ANN401
    return None if value is None else told(value)


def _device(device: Device) -> str:
    return f"{device.key} {device.username}".rstrip()


def _duration(decision: Decision, gateway: Gateway | None = None) -> int | None:
    """Longest duration in seconds; None: never cut, or not come to."""
    if decision.max_duration in (0, UNLIMITED):
        return None
    limit = gateway.max_duration if gateway is not None else None
    return min(decision.max_duration, limit) if limit else decision.max_duration


def _level(level: LevelPrice, snapshot: Snapshot) -> Explanation:
    reference = unrounded(billed_seconds(snapshot.reference_seconds, level.rate), level.rate)
    return {
        "account": level.account.code,
        "kind": level.account.kind,
        **_rate(level.tariff, level.rate),
        "reference_price": _exact(reference),
    }


def _rate(tariff: Tariff | None, rate: Rate | None) -> Explanation:
    """Nothing where there is no rate, as towards our own devices."""
    if tariff is None or rate is None:
        return {}
    return {
        "tariff": tariff.name,
        "currency": tariff.currency,
        "prefix": rate.prefix,
        "prefix_name": rate.destination,
        "rate_per_minute": _exact(rate.rate_per_minute),
        "connection_charge": _exact(rate.connection_charge),
        "addition": _exact(rate.addition),
        "multiplier": _exact(rate.multiplier),
        "minimum": rate.minimum,
        "resolution": rate.resolution,
        "grace": rate.grace,
        "blocks_mode": rate.blocks_mode,
    }


def _attempt(attempt: Attempt, decision: Decision) -> Explanation:
    gateway = attempt.gateway
    return {
        "kind": attempt.kind,
        "gateway": gateway.name,
        "carrier": _or_none(attempt.carrier, lambda carrier: carrier.code),
        "host": gateway.host,
        "port": gateway.port,
        "transport": gateway.transport,
        "source": attempt.source,
        "destination": attempt.destination,
        "codecs": None if attempt.codecs.is_open else list(attempt.codecs.names),
        "max_duration": _duration(decision, gateway),
        "rate": _rate(attempt.tariff, attempt.rate) or None,
    }


def _limit(level: Level) -> Explanation:
    sessions, cps = (None if limit == NO_LIMIT else limit for limit in (level.max_sessions, level.cps))
    return {"name": level.name, "max_sessions": sessions, "cps": cps}
