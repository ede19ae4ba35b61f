"""The checks that a call must pass, in their order (docs/behaviour.md §1-5, §8), and `decide`, which makes them.

A check looks at a `Case`, fills in the decision, and returns nothing or the code of its refusal.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

from b2bua.policy.accounts import EVERY_CODEC, PLAIN_HANDLING, Device
from b2bua.policy.decision import (
    AUTHENTICATE,
    FAIR_WEATHER,
    Attempt,
    CallRequest,
    Case,
    Conditions,
    Decision,
    LevelPrice,
    Step,
    Trace,
)
from b2bua.policy.devices import network_contains
from b2bua.policy.dids import DID, DIDDestination
from b2bua.policy.limits import Chain
from b2bua.policy.numbers import Verdict
from b2bua.policy.routes import Carrier, Gateway
from b2bua.policy.routing import choose_attempts
from b2bua.policy.snapshot import Snapshot

Check = Callable[[Case], str]

UNLIMITED: Final = 10 * 365 * 24 * 3600
"""Seconds that no call lasts: the longest duration of one that is never cut."""

RING_TIMEOUT: Final = 60.0
FORWARD_RING_TIMEOUT: Final = 180.0
"""Seconds; a forwarded call has failovers of its own."""


def decide(
    request: CallRequest,
    snapshot: Snapshot,
    now: datetime,
    conditions: Conditions = FAIR_WEATHER,
    trace: Trace | None = None,
) -> Decision:
    """Decide on a call.

    Args:
        request: What the INVITE says.
        snapshot: The configuration.
        now: Aware UTC time, for rates, windows and their dates.
        conditions: What is down, whose turn it is.
        trace: Filled with every check made, where it is given.

    Returns:
        A decision with the code `AUTHENTICATE` where the caller has to prove who it is, any other code for a refusal,
        and none where the call may go.
    """
    decision = Decision(source=request.source, destination=request.destination)
    case = Case(request, snapshot, now, conditions, decision, trace)
    if not _refused(case, _FIRST):
        _refused(case, _THEN[decision.kind])
    return decision


def _refused(case: Case, checks: tuple[Check, ...]) -> bool:
    for check in checks:
        code = check(case)
        if case.trace is not None:
            case.trace.steps.append(_step(check, case, code))
        if code:
            case.decision.code = code
            return True
    return False


# Who is calling (§1)


def check_caller(case: Case) -> str:
    """Find the device, the DID or the forwarding account that the call is of."""
    request, decision, snapshot = case.request, case.decision, case.snapshot
    if request.forwarded_by is not None:
        return _take_forwarded(case, request.forwarded_by)
    carriers = _carriers_at(snapshot, request.source_address)
    if carriers and _take_incoming(case, carriers):
        return decision.code
    if request.authenticated_user is not None:
        device = snapshot.users.get(request.authenticated_user)
        if device is not None and device.network and not network_contains(device.network, request.source_address):
            return case.refuse("ADDRESS_NOT_ALLOWED", f"user {device.username}")
    elif request.claims_user:
        device = None
    else:
        device = snapshot.devices.find(request.source_address, decision.destination.removeprefix("+"))
        if device is None and carriers:
            return case.refuse("DID_NOT_FOUND", f"number {decision.destination}")
    if device is None:
        return AUTHENTICATE
    decision.device, decision.account, decision.limits = device, device.account, device.limits
    if device.is_trusted and request.asserted:
        decision.source = request.asserted
    return ""


def _take_forwarded(case: Case, account_id: int) -> str:
    account = case.snapshot.accounts.get(account_id)
    if account is None:
        return case.refuse("ACCOUNT_INACTIVE", f"account {account_id}")
    case.decision.account, case.decision.limits = account, account.limits
    return ""


def _carriers_at(snapshot: Snapshot, address: str) -> list[tuple[Carrier, Gateway]]:
    found = snapshot.gateways_at.get(address)
    if found is None:
        return []
    return [each for each in found if each[0].status == "active" and each[1].status == "active"]


def _take_incoming(case: Case, carriers: list[tuple[Carrier, Gateway]]) -> bool:
    """Whether the number is one of our DIDs, as the carrier at this address dials it."""
    request, decision = case.request, case.decision
    for carrier, gateway in carriers:
        number = carrier.rules.did_destination.translate(request.destination)
        did = None if number.code else case.snapshot.dids.get(number.number.removeprefix("+"))
        if did is None or did.carrier_id not in (None, carrier.id):
            continue
        caller = request.asserted if gateway.is_trusted and request.asserted else request.source
        source = carrier.rules.did_source.translate(caller)
        decision.kind, decision.did, decision.account = "incoming", did, did.account
        decision.carrier, decision.gateway = carrier, gateway
        decision.source, decision.destination = source.number, did.number
        if did.account is not None:
            decision.limits = did.limits
        if source.code:
            decision.code = _barred(case, "CLI", source, f"carrier {carrier.code}")
        return True
    return False


# May they (§2)


def check_device(case: Case) -> str:
    """1: the device, or the DID, is active."""
    device, did = case.decision.device, case.decision.did
    if device is not None and device.status != "active":
        return case.refuse("DEVICE_INACTIVE", f"device {device.key}")
    if did is not None:
        if did.account is None:
            return case.refuse("DID_NOT_FOUND", did.title)
        if did.status != "active":
            return case.refuse("DID_INACTIVE", did.title)
    return ""


def check_accounts(case: Case) -> str:
    """2: the account and every account above it are active."""
    for account in case.account.chain:
        if account.status != "active":
            return case.refuse("ACCOUNT_INACTIVE", account.title)
    case.decision.counts_cps = True
    return ""


def check_kind(case: Case) -> str:
    """Tell emergency calls, and on-net calls (5), from all others."""
    decision, snapshot = case.decision, case.snapshot
    if decision.kind == "incoming":
        return ""
    number = decision.destination
    found = snapshot.emergency.find(number)
    if found is not None:
        decision.kind, decision.route, decision.destination = "emergency", found[0], number.removeprefix("+")
        decision.sent_destination = decision.destination
        decision.limits, decision.counts_cps = None, False
    elif snapshot.users.by_extension(case.account.id, number) is not None:
        decision.kind = "on_net"
    return ""


def check_codecs(case: Case) -> str:
    """4: with codec checking on, a codec of the list is offered."""
    account, offered = case.account, case.request.codecs
    if account.codec_check and offered and not any(account.codecs.allows(codec) for codec in offered):
        return case.refuse("CODEC_NOT_ALLOWED", account.title)
    return ""


def check_destination(case: Case) -> str:
    """6: destination rules of the account, then of each reseller."""
    decision = case.decision
    if not decision.destination:
        return case.refuse("NUMBER_NOT_ALLOWED", "empty number")
    for account in case.account.chain:
        verdict = account.rules.destination.translate(decision.destination)
        if verdict.code:
            return _barred(case, "NUMBER", verdict, account.title)
        decision.destination = verdict.number
    # Rates, routes and patterns know no plus sign; a carrier that wants one gets it by its rules.
    decision.destination = decision.destination.removeprefix("+")
    if not decision.destination:
        return case.refuse("NUMBER_NOT_ALLOWED", case.account.title)
    return ""


def check_source(case: Case) -> str:
    """7: source rules of the account, then of each reseller."""
    decision = case.decision
    for account in case.account.chain:
        verdict = account.rules.source.translate(decision.source)
        if verdict.code:
            return _barred(case, "CLI", verdict, account.title)
        decision.source = verdict.number
    return ""


def _barred(case: Case, what: str, verdict: Verdict, whose: str) -> str:
    return case.refuse(f"{what}_BLOCKED" if verdict.code == "BLOCKED" else f"{what}_NOT_ALLOWED", whose)


def check_cli(case: Case) -> str:
    """8: the caller's number by the destination; rewrites only."""
    decision = case.decision
    for account in case.account.chain:
        decision.source, _ = account.rules.cli.rewrite(decision.destination, decision.source)
    return ""


def check_prices(case: Case) -> str:
    """9: a rate on every level, not blocked, of an active tariff in the account's currency."""
    decision, now = case.decision, case.now
    for account in case.account.chain:
        tariff = account.tariff
        rate = tariff.find(decision.destination, now) if tariff is not None else None
        if tariff is None or rate is None:
            return case.refuse("NO_RATE", account.title)
        if rate.status != "active":
            return case.refuse("RATE_BLOCKED", account.title)
        if tariff.status != "active":
            return case.refuse("TARIFF_INACTIVE", account.title)
        if tariff.currency != account.currency:
            return case.refuse("CURRENCY_MISMATCH", account.title)
        decision.levels.append(LevelPrice(account, tariff, rate))
    return ""


def check_dialing_route(case: Case) -> str:
    """10: a dialing route matches, and each reseller may use it."""
    decision, account = case.decision, case.account
    found = account.patterns.find(decision.destination)
    if found is None:
        return case.refuse("NO_DIALING_ROUTE", account.title)
    decision.route, decision.sent_destination, _ = found
    for each in account.chain:
        if each.kind == "reseller" and decision.route.id not in each.route_ids:
            return case.refuse("NO_DIALING_ROUTE", each.title)
    return ""


def check_route(case: Case) -> str:
    """11 and 12: the route has candidates, and the loss guard leaves one."""
    decision = case.decision
    code, object_ = choose_attempts(case)
    if code:
        return case.refuse(code, object_)
    route = decision.route
    assert route is not None
    decision.failover_codes, decision.ring_failover = route.failover_codes, route.ring_failover
    return ""


def check_loop(case: Case) -> str:
    """13: neither Via nor Max-Forwards shows a loop."""
    if case.request.is_looped:
        return case.refuse("LOOP", "Via")
    if case.request.max_forwards <= 0:
        return case.refuse("LOOP", "Max-Forwards")
    return ""


def check_media(case: Case) -> str:
    """Audio that has to cross our machine can."""
    if case.account.with_media and not case.conditions.has_media:
        return case.refuse("NO_MEDIA", case.account.title)
    return set_media(case)


def set_media(case: Case) -> str:
    """Audio crosses our machine where that is asked for, or ends would not find each other, if it can."""
    if case.account.with_media or case.request.is_behind_nat:
        case.decision.is_anchored = case.conditions.has_media
    return ""


def check_duration(case: Case) -> str:
    """How long the call may last (§5)."""
    limits = [account.max_duration for account in case.account.chain if account.max_duration is not None]
    case.decision.max_duration = min([case.snapshot.max_duration, *limits])
    return ""


def set_unlimited(case: Case) -> str:
    """An emergency call is never cut."""
    case.decision.max_duration = UNLIMITED
    return ""


# Calls to our own devices (§2.5, §8)


def check_callee(case: Case) -> str:
    """The SIP user that the dialled extension is of."""
    decision = case.decision
    user = case.snapshot.users.by_extension(case.account.id, decision.destination)
    if user is None or user.status != "active":
        return case.refuse("NOT_REGISTERED", f"extension {decision.destination}")
    decision.attempts = _to_user(case, user, decision.destination)
    return "" if decision.attempts else case.refuse("DO_NOT_DISTURB", f"user {user.username}")


def check_did_rules(case: Case) -> str:
    """The account's rules for calls to its DIDs."""
    decision, account = case.decision, case.account
    for what, rules in (("NUMBER", account.rules.did_destination), ("CLI", account.rules.did_source)):
        verdict = rules.translate(decision.destination if what == "NUMBER" else decision.source)
        if verdict.code:
            return _barred(case, what, verdict, account.title)
        if what == "NUMBER":
            decision.sent_destination = verdict.number
        else:
            decision.source = verdict.number
    return ""


def check_did_prices(case: Case) -> str:
    """What each level pays for an incoming call; where one has no rate for it, that level pays nothing."""
    decision = case.decision
    assert decision.did is not None
    for account in case.account.chain:
        tariff = account.tariff
        if tariff is None or tariff.incoming is None or tariff.status != "active":
            continue
        rate = tariff.incoming.find(decision.did.number, case.now)
        if rate is None or tariff.currency != account.currency:
            continue
        if rate.status != "active":
            return case.refuse("RATE_BLOCKED", account.title)
        decision.levels.append(LevelPrice(account, tariff, rate))
    return ""


def check_did_destination(case: Case) -> str:
    """Where the DID leads, one after the other, whatever goes wrong with the one before."""
    decision = case.decision
    did = decision.did
    assert did is not None
    for destination in did.destinations:
        decision.attempts += _to_destination(case, did, destination)
    if not decision.attempts:
        devices = [_device_of(case, destination) for destination in did.destinations]
        quiet = next((device for device in devices if device is not None and device.kind == "user"), None)
        # Whoever is there and cannot be tried wants no calls.
        return case.refuse("DO_NOT_DISTURB", f"user {quiet.username}") if quiet else case.refuse("NO_ROUTE", did.title)
    decision.ring_failover = decision.any_failover = True
    return ""


def _to_destination(case: Case, did: DID, destination: DIDDestination) -> list[Attempt]:
    number = case.decision.sent_destination
    if destination.kind == "number":
        return [_forward(case, destination.number)]
    device = _device_of(case, destination)
    if device is None:
        return []
    return _to_user(case, device, number) if device.kind == "user" else [_to_device(case, device, number)]


def _device_of(case: Case, destination: DIDDestination) -> Device | None:
    """The device that calls to a destination can be sent to."""
    if destination.kind == "extension":
        device = case.snapshot.users.by_extension(case.account.id, destination.number)
    else:
        device = case.snapshot.device(*destination.device) if destination.device is not None else None
    return device if device is not None and device.status == "active" and destination.kind != "voice_mail" else None


def _to_user(case: Case, user: Device, number: str) -> list[Attempt]:
    """The telephones of a SIP user, then where its calls are forwarded to; nothing where it wants no calls."""
    handling = case.snapshot.handling.get(user.id, PLAIN_HANDLING)
    if handling.forward_all:
        return [_forward(case, handling.forward_all)]
    if handling.do_not_disturb:
        return [_forward(case, handling.forward_busy)] if handling.forward_busy else []
    gateway = _local_gateway(f"user {user.username}", handling.ring_time)
    gateway.media = user.media
    codecs = case.account.codecs if case.account.codec_check else EVERY_CODEC
    ringing = Attempt(gateway, None, None, None, case.decision.source, number, codecs, "user", user)
    attempts = [ringing]
    for codes, forwarded_to in (
        (_IS_BUSY, handling.forward_busy),
        (_DOES_NOT_ANSWER, handling.forward_no_answer),
        (_IS_NOT_THERE, handling.forward_not_registered),
    ):
        if forwarded_to:
            attempts.append(_forward(case, forwarded_to))
            attempts[-1].only_after = (ringing, codes)
    return attempts


def _to_device(case: Case, device: Device, number: str) -> Attempt:
    gateway = _local_gateway(f"device {device.key}", RING_TIMEOUT)
    gateway.host, gateway.port = device.network.partition("/")[0], device.port
    gateway.transport, gateway.media = device.transport, device.media
    codecs = case.account.codecs if case.account.codec_check else EVERY_CODEC
    return Attempt(gateway, None, None, None, case.decision.source, number, codecs, "device")


def _forward(case: Case, number: str) -> Attempt:
    gateway = _local_gateway(f"number {number}", FORWARD_RING_TIMEOUT)
    # The forwarded call answers when its own gateways do.
    gateway.progress_timeout = FORWARD_RING_TIMEOUT
    return Attempt(gateway, None, None, None, case.decision.source, number, EVERY_CODEC, "forward")


def _local_gateway(name: str, ring_timeout: float) -> Gateway:
    return Gateway(0, name, "", 5060, "udp", 1, 1, None, None, 5.0, 10.0, ring_timeout, None, limits=_NO_LIMITS)


_NO_LIMITS: Final = Chain([])
_IS_BUSY: Final = frozenset({"BUSY", "REJECTED"})
_DOES_NOT_ANSWER: Final = frozenset({"NO_ANSWER", "RING_TIMEOUT", "NO_RESPONSE"})
_IS_NOT_THERE: Final = frozenset({"NOT_REGISTERED", "TRANSPORT_FAILURE"})

_FIRST: Final[tuple[Check, ...]] = (check_caller, check_device, check_accounts, check_kind)
_THEN: Final[Mapping[str, tuple[Check, ...]]] = {
    "outgoing": (
        check_codecs,
        check_destination,
        check_source,
        check_cli,
        check_prices,
        check_dialing_route,
        check_route,
        check_loop,
        check_media,
        check_duration,
    ),
    "on_net": (check_codecs, check_callee, check_loop, check_media, check_duration),
    "incoming": (
        check_did_rules,
        check_did_prices,
        check_did_destination,
        check_loop,
        check_media,
        check_duration,
    ),
    "emergency": (check_route, set_media, set_unlimited),
}


# Traces


def _step(check: Check, case: Case, code: str) -> Step:
    name = check.__name__.removeprefix("check_").removeprefix("set_")
    refused = f"{code} {case.decision.object}".rstrip() if code else "ok"
    return Step(name, _LOOKED_AT.get(check, _numbers)(case), refused)


def _numbers(case: Case) -> str:
    return f"{case.decision.source} -> {case.decision.destination}"


def _caller(case: Case) -> str:
    decision = case.decision
    if decision.did is not None and decision.carrier is not None:
        return f"{decision.did.title} from carrier {decision.carrier.code}"
    return f"{case.request.source_address}: {decision.device.key if decision.device else 'no device'}"


def _accounts(case: Case) -> str:
    account = case.decision.account
    return " < ".join(each.code for each in account.chain) if account is not None else ""


def _prices(case: Case) -> str:
    return ", ".join(
        f"{price.account.code} {price.rate.rate_per_minute.normalize():f} {price.tariff.currency}/min"
        f" by {price.tariff.name} {price.rate.prefix or 'any'}"
        for price in case.decision.levels
    )


def _media(case: Case) -> str:
    return "through us" if case.account.with_media or case.decision.is_anchored else "from end to end"


_LOOKED_AT: Final[Mapping[Check, Callable[[Case], str]]] = {
    check_caller: _caller,
    check_device: _caller,
    check_accounts: _accounts,
    check_kind: lambda case: f"{case.decision.destination}: {case.decision.kind}",
    check_codecs: lambda case: ", ".join(case.request.codecs) or "no offer",
    check_prices: _prices,
    check_did_prices: _prices,
    check_dialing_route: lambda case: (
        f"{case.decision.destination}: {case.decision.route.name if case.decision.route else 'no route'}"
    ),
    check_route: lambda case: (
        f"{case.decision.route.name if case.decision.route else ''}: {len(case.decision.attempts)} to try"
    ),
    check_did_destination: lambda case: ", ".join(attempt.gateway.name for attempt in case.decision.attempts),
    check_callee: lambda case: ", ".join(attempt.gateway.name for attempt in case.decision.attempts),
    check_loop: lambda case: f"Max-Forwards {case.request.max_forwards}",
    check_media: _media,
    set_media: _media,
    check_duration: lambda case: f"{case.decision.max_duration} s",
    set_unlimited: lambda case: "never cut",
}
