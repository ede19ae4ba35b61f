"""May this call go, where to, at which prices, how long: a pure function over the snapshot (docs/behaviour.md §1-6).

`decide(request, snapshot, now)` makes the checks in their order; the first that fails ends the call. What needs the
live store (calls per second, sessions) is taken afterwards, over the limits that the decision names.
"""

from dataclasses import dataclass, field
from datetime import datetime

from b2bua.policy.accounts import Account, Device
from b2bua.policy.devices import network_contains
from b2bua.policy.limits import Chain
from b2bua.policy.routes import Carrier, Gateway, Route, RouteEntry, choose_dialing_route
from b2bua.policy.snapshot import Snapshot
from rating.tariff import Rate, Tariff

Step = tuple[str, str, str]
"""One check of a trace: its name, what it looked at, its outcome."""


@dataclass(slots=True)
class CallRequest:
    """The facts of an INVITE that a decision needs."""

    source_address: str
    """IP address that it came from."""
    destination: str
    """User part of the Request-URI, unescaped."""
    source: str
    """The caller's number: user part of From."""
    codecs: tuple[str, ...] = ()
    max_forwards: int = 70
    is_looped: bool = False
    """Whether a Via of ours is in it."""
    authenticated_user: str | None = None
    """SIP user that has proved its secret."""


@dataclass(slots=True)
class LevelPrice:
    """What one level of the chain pays."""

    account: Account
    tariff: Tariff
    rate: Rate


@dataclass(slots=True)
class Attempt:
    """One gateway to try."""

    carrier: Carrier
    gateway: Gateway
    tariff: Tariff | None
    rate: Rate | None
    source: str
    destination: str


@dataclass(slots=True)
class Decision:
    """A refusal (`code` and `object`), or everything that the call needs."""

    code: str = ""
    """Empty: allowed. Otherwise one of docs/behaviour.md §2."""
    object: str = ""
    """What refused, like `account CUST0007`."""
    device: Device | None = None
    account: Account | None = None
    limits: Chain | None = None
    """What to take sessions of; None: nobody was recognised."""
    source: str = ""
    destination: str = ""
    route: Route | None = None
    levels: list[LevelPrice] = field(default_factory=list)
    """The account first, then each reseller."""
    attempts: list[Attempt] = field(default_factory=list)
    max_duration: int = 0
    """Seconds, before the gateway's own limit."""
    counts_cps: bool = False
    """Whether the INVITE counts in calls per second even though it is refused (every check after 3)."""


def decide(request: CallRequest, snapshot: Snapshot, now: datetime, trace: list[Step] | None = None) -> Decision:
    """Decide on a call.

    Args:
        request: What the INVITE says.
        snapshot: The configuration.
        now: Aware UTC time, for rates and their dates.
        trace: Filled with every check made, where it is given.

    Returns:
        A decision with the code `AUTHENTICATE` where the caller has to prove who it is, any other code for a refusal,
        and none where the call may go.
    """
    decision = Decision(source=request.source, destination=request.destination.removeprefix("+"))
    for check in _CHECKS:
        outcome = check(request, decision, snapshot, now)
        if trace is not None:
            trace.append(
                (check.__name__.removeprefix("_check_"), _looked_at(check.__name__, decision), outcome or "ok")
            )
        if outcome:
            decision.code = outcome
            return decision
    return decision


def _looked_at(name: str, decision: Decision) -> str:
    if name == "_check_caller":
        return decision.device.key if decision.device else "source address, credentials"
    if name in ("_check_device", "_check_accounts") and decision.account:
        return " < ".join(account.code for account in decision.account.chain)
    return decision.destination


def _check_caller(request: CallRequest, decision: Decision, snapshot: Snapshot, _: datetime) -> str:
    if request.authenticated_user is not None:
        device = snapshot.users.get(request.authenticated_user)
        if device is not None and device.network and not network_contains(device.network, request.source_address):
            decision.object = f"user {device.username}"
            return "ADDRESS_NOT_ALLOWED"
    else:
        device = snapshot.devices.find(request.source_address, decision.destination)
    if device is None:
        return "AUTHENTICATE"
    decision.device = device
    decision.account = device.account
    decision.limits = device.limits
    return ""


def _check_device(_: CallRequest, decision: Decision, snapshot: Snapshot, now: datetime) -> str:
    device = decision.device
    if device is not None and device.status != "active":
        decision.object = f"device {device.key}"
        return "DEVICE_INACTIVE"
    return ""


def _check_accounts(_: CallRequest, decision: Decision, snapshot: Snapshot, now: datetime) -> str:
    assert decision.account is not None
    for account in decision.account.chain:
        if account.status != "active":
            decision.object = f"{'reseller' if account.kind == 'reseller' else 'account'} {account.code}"
            return "ACCOUNT_INACTIVE"
    decision.counts_cps = True
    return ""


def _check_number(_: CallRequest, decision: Decision, snapshot: Snapshot, now: datetime) -> str:
    if not decision.destination:
        decision.object = "empty number"
        return "NUMBER_NOT_ALLOWED"
    return ""


def _check_prices(_: CallRequest, decision: Decision, snapshot: Snapshot, now: datetime) -> str:
    assert decision.account is not None
    number = decision.destination
    for account in decision.account.chain:
        tariff = account.tariff
        decision.object = f"{'reseller' if account.kind == 'reseller' else 'account'} {account.code}"
        if tariff is None or tariff.status != "active":
            return "TARIFF_INACTIVE"
        if tariff.currency != account.currency:
            return "CURRENCY_MISMATCH"
        rate = tariff.find(number, now)
        if rate is None:
            return "NO_RATE"
        if rate.status != "active":
            return "RATE_BLOCKED"
        decision.levels.append(LevelPrice(account, tariff, rate))
    decision.object = ""
    return ""


def _check_dialing_route(_: CallRequest, decision: Decision, snapshot: Snapshot, now: datetime) -> str:
    assert decision.account is not None
    chosen = choose_dialing_route(snapshot.dialing_routes.get(decision.account.id, ()), decision.destination)
    if chosen is None:
        decision.object = f"account {decision.account.code}"
        return "NO_DIALING_ROUTE"
    decision.route = chosen.route
    return ""


def _check_route(_: CallRequest, decision: Decision, snapshot: Snapshot, now: datetime) -> str:
    route = decision.route
    assert route is not None
    if route.status == "active":
        for entry in route.find(decision.destination):
            decision.attempts.extend(_attempts(entry, decision, now))
    if not decision.attempts:
        decision.object = f"route {route.name}"
        return "NO_ROUTE"
    del decision.attempts[snapshot.max_attempts :]
    return ""


def _attempts(entry: RouteEntry, decision: Decision, now: datetime) -> list[Attempt]:
    carrier = entry.carrier
    if carrier.status != "active":
        return []
    tariff = carrier.tariff
    rate = tariff.find(decision.destination, now) if tariff is not None and tariff.status == "active" else None
    if rate is None or rate.status != "active":
        # A carrier that has no price for the number cannot be compared, paid or shown in the record.
        return []
    return [
        Attempt(carrier, gateway, tariff, rate, decision.source, decision.destination)
        for gateway in carrier.gateways
        if gateway.status == "active"
    ]


def _check_loop(request: CallRequest, decision: Decision, snapshot: Snapshot, now: datetime) -> str:
    if request.is_looped:
        decision.object = "Via"
        return "LOOP"
    if request.max_forwards <= 0:
        decision.object = "Max-Forwards"
        return "LOOP"
    return ""


def _check_duration(_: CallRequest, decision: Decision, snapshot: Snapshot, now: datetime) -> str:
    assert decision.account is not None
    limits = [account.max_duration for account in decision.account.chain if account.max_duration is not None]
    decision.max_duration = min([snapshot.max_duration, *limits])
    return ""


_CHECKS = (
    _check_caller,
    _check_device,
    _check_accounts,
    _check_number,
    _check_prices,
    _check_dialing_route,
    _check_route,
    _check_loop,
    _check_duration,
)
