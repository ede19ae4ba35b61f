"""The one list: every row of the tables of docs/behaviour.md §2 and §3.

Each is a change of the configuration, a call, and what must come of it. `python -m tests.behaviour` makes the calls;
test_rows.py finds what is missing.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import replace as but
from itertools import pairwise
from typing import Final

from tests.behaviour import changes as do
from tests.behaviour.traffic import STATIC_CODEC, Call

CODES: Final = {
    "DEVICE_INACTIVE": (403, 21),
    "ACCOUNT_INACTIVE": (403, 21),
    "CPS_LIMIT": (503, 42),
    "CODEC_NOT_ALLOWED": (488, 65),
    "NUMBER_NOT_ALLOWED": (404, 1),
    "NUMBER_BLOCKED": (404, 21),
    "CLI_NOT_ALLOWED": (403, 21),
    "CLI_BLOCKED": (603, 21),
    "NO_RATE": (503, 34),
    "RATE_BLOCKED": (503, 34),
    "TARIFF_INACTIVE": (503, 34),
    "CURRENCY_MISMATCH": (503, 34),
    "NO_DIALING_ROUTE": (404, 3),
    "NO_ROUTE": (404, 3),
    "LOSS_ROUTE": (503, 34),
    "LOOP": (482, 25),
    "SESSION_LIMIT": (503, 34),
    "NO_FUNDS": (402, 21),
    "CARRIER_LIMIT": (503, 34),
    "NOT_REGISTERED": (480, 20),
    "NO_MEDIA": (503, 47),
    "LIVE_STORE_AWAY": (503, 41),
    "DRAINING": (503, 41),
    "OVERLOAD": (503, 42),
    "DID_NOT_FOUND": (404, 1),
    "DID_INACTIVE": (404, 1),
    "DID_LIMIT": (503, 34),
    "ADDRESS_NOT_ALLOWED": (403, 21),
}
"""Code -> SIP status and Q.850 cause, as docs/behaviour.md §2 has them."""

ANY: Final = "*"
"""Something must be named, whatever it is."""

PLAIN: Final = Call()
CALLER: Final = PLAIN.caller
NUMBER: Final = PLAIN.number


@dataclass(frozen=True, slots=True)
class Refusal:
    """The call is refused."""

    code: str
    object: str
    status: int
    cause: int
    retries: bool = False
    """Whether there is a Retry-After."""
    is_recorded: bool = True


@dataclass(frozen=True, slots=True)
class Delivery:
    """The call is answered by somebody who gets these numbers."""

    number: str = NUMBER
    caller: str = CALLER
    to: str = "carrier"
    """`carrier`, `other carrier`, `exchange` or `phone`."""
    kind: str = "outgoing"
    is_free: bool = False
    """Whether the account pays nothing."""


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that must be so."""

    id: str
    expected: Refusal | Delivery
    change: str = ""
    """SQL on top of what was set up."""
    call: Call = PLAIN
    calls: int = 1
    """How many at once; the last one is looked at."""
    earlier: int = 200
    """What the others are answered with."""
    needs: str = ""
    """What is done to the processes: `draining`, or `no live store`."""
    rule: tuple[str, str, str] | None = None
    """The line of the table of §3 that it is of."""


def refused(code: str, object_: str, *, status: int = 0) -> Refusal:
    """A refusal with the status and cause of its code."""
    usual, cause = CODES[code]
    retries = code in ("OVERLOAD", "LIVE_STORE_AWAY")
    return Refusal(code, object_, status or usual, cause, retries, is_recorded=code != "OVERLOAD")


LEVELS: Final = (
    ("account", do.ACCOUNT, f"account {do.ACCOUNT}"),
    ("reseller", do.RESELLER, f"reseller {do.RESELLER}"),
    ("reseller above", do.TOP_RESELLER, f"reseller {do.TOP_RESELLER}"),
)
"""Name in the row's id, code, how a refusal names it."""

OWN: Final = LEVELS[0][2]
DEVICE: Final = "device ip:{device}"
INCOMING: Final = Call(number=do.DID, source=do.INCOMING_ADDRESS)
ON_NET: Final = Call(number=do.PHONE_EXTENSION)
AS_USER: Final = Call(source=do.NOBODYS_ADDRESS, user=do.PHONE)


# §2


def _who_may_call() -> Iterator[Row]:
    inactive = "status = 'inactive'"
    yield Row("§2.1 DEVICE_INACTIVE IP device", refused("DEVICE_INACTIVE", DEVICE), do.device(inactive))
    yield Row(
        "§2.1 DEVICE_INACTIVE SIP user", refused("DEVICE_INACTIVE", "device user:{phone}"),
        do.user(do.PHONE, inactive), AS_USER,
    )  # fmt: skip
    for name, code, title in LEVELS:
        change = do.account(code, "status = 'suspended'")
        yield Row(f"§2.2 ACCOUNT_INACTIVE {name} suspended", refused("ACCOUNT_INACTIVE", title), change)
    yield Row(
        "§2.2 ACCOUNT_INACTIVE account closed", refused("ACCOUNT_INACTIVE", OWN),
        do.account(do.ACCOUNT, "status = 'closed'"),
    )  # fmt: skip
    yield Row("§2.3 CPS_LIMIT device", refused("CPS_LIMIT", DEVICE), do.device("cps = 1"), calls=2)
    yield Row(
        "§2.3 CPS_LIMIT SIP user", refused("CPS_LIMIT", "device user:{phone}"), do.user(do.PHONE, "cps = 0"), AS_USER
    )
    for name, code, title in LEVELS:
        yield Row(f"§2.3 CPS_LIMIT {name}", refused("CPS_LIMIT", title), do.account(code, "cps = 1"), calls=2)
    yield Row(
        "§2.3 CPS_LIMIT counts INVITEs that are refused", refused("CPS_LIMIT", OWN),
        do.account(do.ACCOUNT, "cps = 1") + do.rules(do.ACCOUNT, "destination", "44%"), calls=2, earlier=404,
    )  # fmt: skip
    yield Row("§2.3 CPS_LIMIT 0 means none", refused("CPS_LIMIT", OWN), do.account(do.ACCOUNT, "cps = 0"))


def _what_may_be_spoken() -> Iterator[Row]:
    g729 = do.account(do.ACCOUNT, "codec_check = true, codecs = '{G729}'")
    pcmu = do.account(do.ACCOUNT, "codec_check = true, codecs = '{PCMU}'")
    unchecked = do.account(do.ACCOUNT, "codec_check = false, codecs = '{G729}'")
    number_alone = Call(offer=STATIC_CODEC)
    yield Row("§2.4 CODEC_NOT_ALLOWED by name", refused("CODEC_NOT_ALLOWED", OWN), g729)
    yield Row("§2.4 CODEC_NOT_ALLOWED by number", refused("CODEC_NOT_ALLOWED", OWN), g729, number_alone)
    yield Row("§2.4 passes by number", Delivery(), pcmu, number_alone)
    yield Row("§2.4 passes without an offer", Delivery(), pcmu, Call(offer=""))
    yield Row("§2.4 passes when checking is off", Delivery(), unchecked)


def _on_net() -> Iterator[Row]:
    free = Delivery(do.PHONE, to="phone", kind="on_net", is_free=True)  # the user of its Contact
    barred = do.rules(do.ACCOUNT, "destination") + do.rules(do.ACCOUNT, "source")
    without = "DELETE FROM rate; DELETE FROM dialing_route; DELETE FROM route_entry;"
    yield Row("§2.5 on-net", free, call=ON_NET)
    yield Row(
        "§2.5 on-net needs no rule, rate, route or funds", free, barred + without + do.no_funds(do.ACCOUNT), ON_NET
    )
    yield Row(
        "§2.5 on-net SESSION_LIMIT", refused("SESSION_LIMIT", OWN), do.account(do.ACCOUNT, "max_sessions = 0"), ON_NET
    )
    yield Row("§2.5 extension of another account", Delivery("1001"), call=Call(number="1001"))


def _which_numbers() -> Iterator[Row]:
    for check, kind, what in ((6, "destination", "NUMBER"), (7, "source", "CLI")):
        call, matching = Call(), "44%" if kind == "destination" else "33%"
        for name, code, title in LEVELS:
            none, blocked = f"{what}_NOT_ALLOWED", f"{what}_BLOCKED"
            others = do.rules(code, kind, "999%=>%")
            yield Row(f"§2.{check} {none} {name}", refused(none, title), others, call)
            barred = do.rules(code, kind, "%=>%", matching)
            yield Row(f"§2.{check} {blocked} {name}", refused(blocked, title), barred, call)
    for name, code, _ in LEVELS:
        rewritten = Delivery(caller="441234567")
        yield Row(f"§2.8 CLI by destination {name}", rewritten, do.rules(code, "cli", "44%=>441234567"))


def _which_prices() -> Iterator[Row]:
    for name, code, title in LEVELS:
        tariff = do.TARIFFS[code]
        yield Row(f"§2.9 NO_RATE {name}", refused("NO_RATE", title), do.rates(tariff, "prefix = '999'"))
        yield Row(
            f"§2.9 NO_RATE {name} without tariff", refused("NO_RATE", title), do.account(code, "tariff_id = NULL")
        )
        yield Row(f"§2.9 RATE_BLOCKED {name}", refused("RATE_BLOCKED", title), do.rates(tariff, "status = 'blocked'"))
        inactive = do.tariff(tariff, "status = 'inactive'")
        yield Row(f"§2.9 TARIFF_INACTIVE {name}", refused("TARIFF_INACTIVE", title), inactive)
        foreign = do.tariff(tariff, "currency = 'USD'")
        yield Row(f"§2.9 CURRENCY_MISMATCH {name}", refused("CURRENCY_MISMATCH", title), foreign)


def _which_way() -> Iterator[Row]:
    yield Row("§2.10 NO_DIALING_ROUTE account", refused("NO_DIALING_ROUTE", OWN), do.dialing_pattern("999%"))
    for name, code, title in LEVELS[1:]:
        yield Row(f"§2.10 NO_DIALING_ROUTE {name}", refused("NO_DIALING_ROUTE", title), do.forbid_route(code))
    without = {
        "entry for the number": do.entry("prefix = '999'"),
        "active entry": do.entry("status = 'inactive'"),
        "entry at this hour": do.entry(
            "hours_from = (now() AT TIME ZONE 'UTC' + interval '2 hours')::time(0),"
            " hours_until = (now() AT TIME ZONE 'UTC' + interval '3 hours')::time(0)"
        ),
        "active route": do.route("status = 'inactive'"),
        "active carrier": do.carrier(do.CARRIER, "status = 'inactive'"),
        "active gateway": do.gateway("status = 'inactive'"),
    }
    for what, change in without.items():
        yield Row(f"§2.11 NO_ROUTE without {what}", refused("NO_ROUTE", "route demo"), change)
    guard = do.account(do.ACCOUNT, "loss_guard = true")
    dear = do.rates(do.CARRIER_TARIFF, "rate_per_minute = 0.0500000001")
    yield Row("§2.12 LOSS_ROUTE carrier", refused("LOSS_ROUTE", "route demo"), guard + dear)
    equal = do.rates(do.CARRIER_TARIFF, "rate_per_minute = 0.05")
    yield Row("§2.12 passes when the carrier costs as much", Delivery(), guard + equal)
    yield Row("§2.12 passes when nobody guards", Delivery(), dear)
    for (_, low, _), (name, high, title) in pairwise(LEVELS):
        above = do.rates(do.TARIFFS[high], "rate_per_minute = 0.0500000001")
        guarded = do.account(low, "loss_guard = true")
        yield Row(f"§2.12 LOSS_ROUTE {name}", refused("LOSS_ROUTE", title), guarded + above)
    via = "Via: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bKbefore"
    yield Row("§2.13 LOOP Via", refused("LOOP", "Via"), call=Call(headers=(via,)))
    yield Row("§2.13 LOOP Max-Forwards", refused("LOOP", "Max-Forwards", status=483), call=Call(hops=0))


def _how_many() -> Iterator[Row]:
    yield Row("§2.14 SESSION_LIMIT device", refused("SESSION_LIMIT", DEVICE), do.device("max_sessions = 1"), calls=2)
    yield Row(
        "§2.14 SESSION_LIMIT SIP user", refused("SESSION_LIMIT", "device user:{phone}"),
        do.user(do.PHONE, "max_sessions = 0"), AS_USER,
    )  # fmt: skip
    for name, code, title in LEVELS:
        change = do.account(code, "max_sessions = 1")
        yield Row(f"§2.14 SESSION_LIMIT {name}", refused("SESSION_LIMIT", title), change, calls=2)
    none = do.account(do.ACCOUNT, "max_sessions = 0")
    yield Row("§2.14 SESSION_LIMIT 0 means none", refused("SESSION_LIMIT", OWN), none)
    for name, code, title in LEVELS:
        yield Row(f"§2.15 NO_FUNDS {name}", refused("NO_FUNDS", title), do.no_funds(code))
    limited = {
        "carrier sessions": (f"carrier {do.CARRIER}", do.carrier(do.CARRIER, "max_sessions = 1")),
        "carrier cps": (f"carrier {do.CARRIER}", do.carrier(do.CARRIER, "cps = 1")),
        "gateway sessions": (f"gateway {do.GATEWAY}", do.gateway("max_sessions = 1")),
        "gateway cps": (f"gateway {do.GATEWAY}", do.gateway("cps = 1")),
    }
    for what, (title, change) in limited.items():
        yield Row(f"§2.16 CARRIER_LIMIT {what}", refused("CARRIER_LIMIT", title), change, calls=2)
    for what, (_, change) in limited.items():
        elsewhere = Delivery(to="other carrier")
        yield Row(f"§2.16 next attempt after {what}", elsewhere, change + do.second_carrier(), calls=2)


def _others() -> Iterator[Row]:
    yield Row(
        "§2 NOT_REGISTERED", refused("NOT_REGISTERED", f"user {do.ABSENT_PHONE}"), call=Call(number=do.ABSENT_EXTENSION)
    )
    yield Row("§2 NO_MEDIA", refused("NO_MEDIA", OWN), do.account(do.ACCOUNT, "with_media = true"))
    yield Row(
        "§2 ADDRESS_NOT_ALLOWED", refused("ADDRESS_NOT_ALLOWED", f"user {do.PHONE}"),
        do.user(do.PHONE, f"address = '{do.PHONE_ADDRESS}/32'"), AS_USER,
    )  # fmt: skip
    yield Row("§2 SIP user passes", Delivery(), call=AS_USER)
    yield Row("§2 DID passes", Delivery(do.DID, to="exchange", kind="incoming", is_free=True), call=INCOMING)
    unknown = but(INCOMING, number="4930999999")
    yield Row("§2 DID_NOT_FOUND number", refused("DID_NOT_FOUND", "number 4930999999"), call=unknown)
    nobodys = "DELETE FROM did_destination;" + do.did("account_id = NULL")
    yield Row("§2 DID_NOT_FOUND nobody's", refused("DID_NOT_FOUND", f"did {do.DID}"), nobodys, INCOMING)
    inactive = do.did("status = 'inactive'")
    yield Row("§2 DID_INACTIVE", refused("DID_INACTIVE", f"did {do.DID}"), inactive, INCOMING)
    channel = do.did("channels = 1")
    yield Row("§2 DID_LIMIT", refused("DID_LIMIT", f"did {do.DID}"), channel, INCOMING, calls=2)
    suspended = do.account(do.RESELLER, "status = 'suspended'")
    yield Row("§2 DID ACCOUNT_INACTIVE", refused("ACCOUNT_INACTIVE", LEVELS[1][2]), suspended, INCOMING)
    yield Row("§2 DID CPS_LIMIT", refused("CPS_LIMIT", OWN), do.account(do.ACCOUNT, "cps = 1"), INCOMING, calls=2)
    session = do.account(do.ACCOUNT, "max_sessions = 1")
    yield Row("§2 DID SESSION_LIMIT", refused("SESSION_LIMIT", OWN), session, INCOMING, calls=2)
    for name, code, title in LEVELS:
        # Of incoming calls a level without a price pays nothing, and is asked for nothing.
        charged = do.incoming_price(do.TARIFFS[code])
        yield Row(f"§2 DID NO_FUNDS {name}", refused("NO_FUNDS", title), charged + do.no_funds(code), INCOMING)
        others = "".join(do.no_funds(other) for _, other, _ in LEVELS if other != code)
        passes = Delivery(do.DID, to="exchange", kind="incoming", is_free=code != do.ACCOUNT)
        yield Row(f"§2 DID passes when {name} alone pays and has funds", passes, charged + others, INCOMING)


FAILING: Final = (
    ("DEVICE_INACTIVE", DEVICE, do.device("status = 'inactive'")),
    ("ACCOUNT_INACTIVE", OWN, do.account(do.ACCOUNT, "status = 'suspended'")),
    ("CPS_LIMIT", OWN, do.account(do.ACCOUNT, "cps = 0")),
    ("CODEC_NOT_ALLOWED", OWN, do.account(do.ACCOUNT, "codec_check = true, codecs = '{G729}'")),
    ("NUMBER_BLOCKED", OWN, do.rules(do.ACCOUNT, "destination", "44%")),
    ("CLI_BLOCKED", OWN, do.rules(do.ACCOUNT, "source", "33%")),
    ("NO_RATE", OWN, do.rates(do.TARIFFS[do.ACCOUNT], "prefix = '999'")),
    ("NO_DIALING_ROUTE", OWN, do.dialing_pattern("999%")),
    ("NO_ROUTE", "route demo", do.entry("status = 'inactive'")),
    (
        "LOSS_ROUTE", "route demo",
        do.account(do.ACCOUNT, "loss_guard = true") + do.rates(do.CARRIER_TARIFF, "rate_per_minute = 1"),
    ),
    ("LOOP", "Max-Forwards", ""),
    ("SESSION_LIMIT", OWN, do.account(do.ACCOUNT, "max_sessions = 0")),
    ("NO_FUNDS", OWN, do.no_funds(do.ACCOUNT)),
    ("CARRIER_LIMIT", f"carrier {do.CARRIER}", do.carrier(do.CARRIER, "max_sessions = 0")),
)  # fmt: skip
"""Each check that can refuse a call out, in order: its code, its object, and a change that makes it refuse."""


def _in_order() -> Iterator[Row]:
    """Each check fails, and all checks after it would: the first one is heard of."""
    loop = next(place for place, (code, _, _) in enumerate(FAILING) if code == "LOOP")
    for place, (code, title, _) in enumerate(FAILING[:-1]):
        change = "".join(each[2] for each in FAILING[place:])
        call = Call(hops=0 if place <= loop else 70)
        expected = refused(code, title, status=483 if code == "LOOP" else 0)
        yield Row(f"§2 order: {code} before all that follow", expected, change, call)


def _emergencies() -> Iterator[Row]:
    call = Call(do.EMERGENCY)
    needed = ("DEVICE_INACTIVE", "ACCOUNT_INACTIVE", "NO_ROUTE")
    change = "".join(change for code, _, change in FAILING if code not in needed)
    goes = Delivery(do.EMERGENCY, kind="emergency", is_free=True)
    yield Row("§2 emergency call passes everything after 2", goes, change, call)
    for code, title, change in FAILING[:2]:
        yield Row(f"§2 emergency call {code}", refused(code, title), change, call)


def _of_processes() -> Iterator[Row]:
    yield Row("§2 OVERLOAD", refused("OVERLOAD", ""), calls=MAX_CALLS + 1)
    yield Row("§2 LIVE_STORE_AWAY", refused("LIVE_STORE_AWAY", ANY), needs="no live store")
    yield Row("§2 DRAINING", refused("DRAINING", ANY), needs="draining")  # the last: the worker goes away


MAX_CALLS: Final = 4
"""Calls that the switch takes at a time, so that one more is too many."""

# §3

RULES: Final = (
    ("%=>%", "4420", "4420"),
    ("44|%=>%", "442079460000", "2079460000"),
    ("44|%=>0044%", "442079460000", "00442079460000"),
    ("44{4}|%=>%", "4412", "12"),
    ("44{4}|%=>%", "44123", "no match"),
    ("{10}%=>91%", "9876543210", "919876543210"),
    ("%=>919949800228", "any", "919949800228"),
    ("44%", "442079460000", "blocked"),
    ("CLI by destination 44%=>441234567", "call to 442079460000", "CLI 441234567"),
    ("CLI by destination %=>44%", "call to 331, CLI 123", "CLI 44123"),
)
"""The table of docs/behaviour.md §3: rule, number, result."""

_LEAST_DID: Final = 3
"""Digits; the database takes no DID that is shorter."""


def _of_rules() -> Iterator[Row]:
    for line in RULES:
        if line[0].startswith("CLI"):
            yield _cli_row(line)
            continue
        for name, code, title in (LEVELS[0], LEVELS[1]):
            yield from _outgoing(line, name, code, title)
        yield from _carriers(line)
        yield from _to_did(line)
        yield from _from_carrier(line)


def _cli_row(line: tuple[str, str, str]) -> Row:
    rule, number, result = line
    destination, _, caller = number.removeprefix("call to ").partition(", CLI ")
    call = Call(destination, caller or CALLER)
    expected = Delivery(destination, result.removeprefix("CLI "))
    return Row(_title(line), expected, do.rules(do.ACCOUNT, "cli", rule.rpartition(" ")[2]), call, rule=line)


def _title(line: tuple[str, str, str]) -> str:
    return "§3 {} {} {}".format(*line)


def _number(line: tuple[str, str, str]) -> str:
    return NUMBER if line[1] == "any" else line[1]


def _is_number(result: str) -> bool:
    return result.isdigit()


def _both(owner: str, rule: str, prefix: str = "") -> str:
    return do.rules(owner, f"{prefix}destination", rule) + do.rules(owner, f"{prefix}source", rule)


def _verdict(result: str, what: str) -> str:
    return f"{what}_BLOCKED" if result == "blocked" else f"{what}_NOT_ALLOWED"


def _outgoing(line: tuple[str, str, str], name: str, code: str, title: str) -> Iterator[Row]:
    """An account's or a reseller's rules for calls out."""
    rule, _, result = line
    number, row = _number(line), _title(line)
    if _is_number(result):
        call = Call(number, number)
        yield Row(f"{row}: {name}, both numbers", Delivery(result, result), _both(code, rule), call, rule=line)
        return
    for kind, what, call in (
        ("destination", "NUMBER", Call(number)),
        ("source", "CLI", Call(caller=number)),
    ):
        change = do.rules(code, kind, rule)
        yield Row(f"{row}: {name}, {kind}", refused(_verdict(result, what), title), change, call, rule=line)


def _carriers(line: tuple[str, str, str]) -> Iterator[Row]:
    """A carrier's rules for calls that go to it; where they let nothing pass, the route has no way left."""
    rule, _, result = line
    number, row = _number(line), _title(line)
    if _is_number(result):
        change = _both(do.CARRIER, rule)
        yield Row(f"{row}: carrier, both numbers", Delivery(result, result), change, Call(number, number), rule=line)
        return
    for kind, call in (("destination", Call(number)), ("source", Call(caller=number))):
        change = do.rules(do.CARRIER, kind, rule)
        yield Row(f"{row}: carrier, {kind}", refused("NO_ROUTE", "route demo"), change, call, rule=line)


def _to_did(line: tuple[str, str, str]) -> Iterator[Row]:
    """An account's rules for calls to its DIDs."""
    rule, _, result = line
    number, row = _number(line), _title(line)
    call = but(INCOMING, number=number)
    change = do.did(f"number = '{number}'")
    if _is_number(result):
        expected = Delivery(result, result, "exchange", "incoming", is_free=True)
        change += _both(do.ACCOUNT, rule, "did_")
        yield Row(f"{row}: DID, both numbers", expected, change, but(call, caller=number), rule=line)
        return
    expected_code = refused(_verdict(result, "NUMBER"), OWN)
    destination = change + do.rules(do.ACCOUNT, "did_destination", rule)
    yield Row(f"{row}: DID, destination", expected_code, destination, call, rule=line)
    expected_code = refused(_verdict(result, "CLI"), OWN)
    source = change + do.rules(do.ACCOUNT, "did_source", rule)
    yield Row(f"{row}: DID, source", expected_code, source, but(call, caller=number), rule=line)


def _from_carrier(line: tuple[str, str, str]) -> Iterator[Row]:
    """A carrier's rules for calls that come from it: what comes out is looked for among the DIDs."""
    rule, _, result = line
    number, row = _number(line), _title(line)
    if not _is_number(result):
        change = do.did(f"number = '{number}'") + do.rules(do.INCOMING_CARRIER, "did_destination", rule)
        expected = refused("DID_NOT_FOUND", f"number {number}")
        yield Row(f"{row}: from carrier, destination", expected, change, but(INCOMING, number=number), rule=line)
    elif len(result) < _LEAST_DID:
        change = do.rules(do.INCOMING_CARRIER, "did_source", rule)
        delivered = Delivery(do.DID, result, "exchange", "incoming", is_free=True)
        yield Row(f"{row}: from carrier, source", delivered, change, but(INCOMING, caller=number), rule=line)
    else:
        change = do.did(f"number = '{result}'") + _both(do.INCOMING_CARRIER, rule, "did_")
        delivered = Delivery(result, result, "exchange", "incoming", is_free=True)
        call = but(INCOMING, number=number, caller=number)
        yield Row(f"{row}: from carrier, both numbers", delivered, change, call, rule=line)


def _of_text() -> Iterator[Row]:
    """What the text around the table says."""

    def destination(*rules: str) -> str:
        return do.rules(do.ACCOUNT, "destination", *rules)

    def source(*rules: str) -> str:
        return do.rules(do.ACCOUNT, "source", *rules)

    plus = Call(f"+{NUMBER}", f"+{CALLER}")
    anonymous = Call(caller="anonymous")
    yield Row("§3 a leading + is removed", Delivery(), call=plus)
    yield Row("§3 a rule that names the +", Delivery("02079460000"), destination("%=>%", "+44|%=>0%"), plus)
    yield Row("§3 parameters of the URI are cut", Delivery(), call=Call(f"{NUMBER};npdi=yes"))
    yield Row("§3 anonymous matches %", Delivery(caller="anonymous"), source("%=>%", "44%"), anonymous)
    yield Row("§3 anonymous matches nothing else", refused("CLI_NOT_ALLOWED", OWN), source("{9}%=>%"), anonymous)
    yield Row("§3 most literal digits win", Delivery(), destination("44%", "4420%=>%"))
    short = Call("4420")
    yield Row("§3 exact wins over %", Delivery("99"), destination("4420%", "4420=>99"), short)
    yield Row("§3 {N} wins over none", Delivery(), destination("44%", "44{12}%=>%"))
    yield Row("§3 disallow wins among equals", refused("NUMBER_BLOCKED", OWN), destination("44%=>%", "44%"))
    yield Row("§3 the dialing pattern's own strip", Delivery(NUMBER[2:]), do.dialing_pattern("44|%"))
    in_turn = destination("00|%=>%") + do.rules(do.ACCOUNT, "cli", "44%=>555")
    yield Row("§3 destination, then CLI by destination", Delivery(caller="555"), in_turn, Call(f"00{NUMBER}"))
    twice = destination("44|%=>33%") + do.rules(do.RESELLER, "destination", "33|%=>49%")
    yield Row("§3 the account's rule, then the reseller's", Delivery(f"49{NUMBER[2:]}"), twice)
    thrice = destination("44|%=>33%") + do.rules(do.CARRIER, "destination", "33|%=>49%") + do.dialing_pattern("33%")
    yield Row("§3 the account's rule, then the carrier's", Delivery(f"49{NUMBER[2:]}"), thrice)


ROWS: Final = (
    *_who_may_call(),
    *_what_may_be_spoken(),
    *_on_net(),
    *_which_numbers(),
    *_which_prices(),
    *_which_way(),
    *_how_many(),
    *_others(),
    *_in_order(),
    *_emergencies(),
    *_of_rules(),
    *_of_text(),
    *_of_processes(),
)
