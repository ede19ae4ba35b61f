"""Options that several commands have, and how their texts are read and shown.

A text that cannot be read is a fault of the command line: one line that shows the text and what it should be.
"""

import contextlib
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import time
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from ipaddress import IPv6Address, IPv6Network, ip_address, ip_network
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer

from b2bua.cli.context import parse_limit
from b2bua.cli.output import Format, exact
from b2bua.policy.numbers import InvalidRule, Pattern
from media.sdp import CodecList
from rating.window import EVERY_DAY, MIDNIGHT

NONE: Final = "none"
"""What takes away a value that need not be there."""
MOST: Final = 2**31 - 1
"""What an integer of the database holds."""

DAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
"""By their bit."""
CODE: Final = re.compile(r"[A-Z]{4}[0-9]{4,}")
"""Codes of accounts and carriers."""

USERNAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
"""Names of SIP users."""

_LABEL: Final = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_NAME: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?")
"""A host name; underscores are met, though no name of a machine should have them."""
_LONGEST_NAME: Final = 253
_HOURS: Final = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])-([01]?[0-9]|2[0-4]):([0-5][0-9])")
_CODES: Final = range(300, 700)
_PREFIX: Final = re.compile(r"[0-9*#]*")


class Status(StrEnum):
    """States of what can be switched off."""

    ACTIVE = "active"
    INACTIVE = "inactive"


class Transport(StrEnum):
    """Transports towards a device or a gateway."""

    UDP = "udp"
    TCP = "tcp"


class Rounding(StrEnum):
    """What happens to the last decimal of an amount."""

    ROUND = "ROUND"
    CEIL = "CEIL"


AccountOption = Annotated[str | None, typer.Option("--account", metavar="CODE", help="Of this account.")]
CarrierOption = Annotated[str | None, typer.Option("--carrier", metavar="CODE", help="Of this carrier.")]
JSONOption = Annotated[bool, typer.Option("--json", help="The same as --format json.")]
StatusOption = Annotated[Status | None, typer.Option("--status", help="What is inactive has no part in new calls.")]
TransportOption = Annotated[Transport | None, typer.Option("--transport", help="Transport of calls to it.")]
PortOption = Annotated[int | None, typer.Option("--port", min=1, max=65535, help="Port of calls to it.")]
TrustOption = Annotated[
    bool | None, typer.Option("--trusted/--untrusted", help="Whether its P-Asserted-Identity is the caller's number.")
]
MaxSessionsOption = Annotated[
    str | None, typer.Option("--max-sessions", metavar="N|none", help="Most calls at once; 0 allows none.")
]
CPSOption = Annotated[
    str | None, typer.Option("--cps", metavar="N|none", help="Most new calls per second; 0 allows none.")
]
MaxDurationOption = Annotated[str | None, typer.Option("--max-duration", metavar="SECONDS|none", help="Longest call.")]
CodecsOption = Annotated[
    str | None,
    typer.Option("--codecs", metavar="LIST|none", help="Codecs, the preferred first, such as PCMA,PCMU,G729."),
]
PriorityOption = Annotated[int | None, typer.Option("--priority", min=0, max=MOST, help="Lower is tried first.")]
WeightOption = Annotated[int | None, typer.Option("--weight", min=0, max=MOST, help="Share among equal priorities.")]
DecimalsOption = Annotated[int | None, typer.Option("--decimals", min=0, max=10, help="Decimals of a call's price.")]
RoundingOption = Annotated[
    Rounding | None, typer.Option("--rounding", help="The last decimal: half-up (ROUND) or up (CEIL).")
]
TaxInclusiveOption = Annotated[
    bool | None, typer.Option("--tax-inclusive/--tax-exclusive", help="Whether prices contain the tax.")
]
TaxPercentsOption = Annotated[
    str | None,
    typer.Option("--tax-percents", metavar="LIST|none", help="Up to three percentages, such as 19 or 5,9.5."),
]


def refuse_nothing(changes: dict[str, Any]) -> None:
    """Refuse a change of nothing."""
    if not changes:
        raise typer.BadParameter("nothing to set: give at least one option")


def chosen(output: Format, *, as_json: bool) -> Format:
    """Return the format in which to write."""
    return Format.JSON if as_json else output


def parse_name(text: str) -> str:
    """Read a name: anything but blanks alone."""
    if not text.strip():
        raise typer.BadParameter("the name is empty")
    return text.strip()


def parse_code(text: str) -> str:
    """Read the code of a new account or carrier."""
    if CODE.fullmatch(text) is None:
        raise typer.BadParameter(f"{text!r} is not a code of four capital letters and at least four digits")
    return text


def parse_currency(text: str) -> str:
    """Read a currency, such as EUR."""
    if re.fullmatch(r"[A-Z]{3}", text) is None:
        raise typer.BadParameter(f"{text!r} is not a currency such as EUR")
    return text


def parse_codecs(text: str) -> list[str]:
    """Read a list of codecs; `none` is the list without any."""
    if text.lower() == NONE:
        return []
    try:
        names = CodecList.of(text.split(",")).names
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    if len(names) > 32:
        raise typer.BadParameter(f"{len(names)} codecs are more than 32")
    return list(names)


def parse_amount(text: str) -> str:
    """Read an amount of money that is not negative; it stays a text, which loses nothing on its way."""
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or amount < 0 or amount >= 10**20 or amount != round(amount, 10):
        raise typer.BadParameter(f"{text!r} is not an amount such as 250.00")
    return exact(amount)


def parse_percents(text: str) -> list[str]:
    """Read up to three percentages; `none` is no tax."""
    if text.lower() == NONE:
        return []
    percents = [part.strip() for part in text.split(",")]
    if len(percents) > 3:
        raise typer.BadParameter("there may be three percentages, not more")
    for percent in percents:
        if re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,4})?", percent) is None:
            raise typer.BadParameter(f"{percent!r} is not a percentage such as 19 or 7.5")
    return percents


def parse_prefix(text: str) -> str:
    """Read a prefix of numbers; `%` is the empty one."""
    prefix = text.removesuffix("%").removeprefix("+")
    if _PREFIX.fullmatch(prefix) is None:
        raise typer.BadParameter(f"{text!r} is not a prefix: digits, * and #")
    return prefix


def parse_dial_prefix(text: str) -> str:
    """Read a dial prefix, whose `%` means nothing more; `none` is the empty one."""
    if text.lower() == NONE:
        return ""
    if re.fullmatch(r"\+?[0-9*#]*%?", text) is None:
        raise typer.BadParameter(f"{text!r} is not a dial prefix: digits, * and #")
    return text


def parse_extension(text: str) -> str:
    """Read a SIP user's number within its account, or `none`."""
    if text.lower() == NONE:
        return ""
    if re.fullmatch(r"[0-9*#]{1,32}", text) is None:
        raise typer.BadParameter(f"{text!r} is not an extension: digits, * and #")
    return text


def parse_host(text: str) -> str:
    """Read an address, or a name that DNS may know."""
    host = text.strip().removeprefix("[").removesuffix("]")
    with contextlib.suppress(ValueError):
        address = ip_address(host)
        if isinstance(address, IPv6Address) and address.scope_id:
            raise typer.BadParameter(f"{text!r} has a zone, which means something on one machine only")
        return str(address)
    if len(host) > _LONGEST_NAME or not _NAME.fullmatch(host) or host.rstrip(".").rpartition(".")[2].isdigit():
        raise typer.BadParameter(f"{text!r} is neither an address nor a host name")
    return host.rstrip(".").lower()


def parse_network(text: str) -> str:
    """Read an address or a CIDR, IPv4 or IPv6; an IPv4 address in IPv6 clothes is IPv4."""
    if "%" in text:
        raise typer.BadParameter(f"{text!r} has a zone, which means something on one machine only")
    try:
        network = ip_network(text)
    except ValueError as error:
        raise typer.BadParameter(f"no address or CIDR: {error}") from None
    if isinstance(network, IPv6Network) and network.prefixlen >= 96 and network.network_address.ipv4_mapped:
        return f"{network.network_address.ipv4_mapped}/{network.prefixlen - 96}"
    return str(network)


def parse_pattern(text: str) -> Pattern:
    """Read a dialing pattern."""
    try:
        return Pattern.parse(text)
    except InvalidRule as error:
        raise typer.BadParameter(str(error)) from None


def parse_zone(text: str) -> str:
    """Read a time zone by its name, such as Europe/Berlin."""
    try:
        ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise typer.BadParameter(f"{text!r} is not a time zone such as UTC or Europe/Berlin") from None
    if re.fullmatch(r"UTC|[A-Z][A-Za-z_]+(/[A-Z][A-Za-z0-9_+-]+)+", text) is None:
        raise typer.BadParameter(f"{text!r} is an abbreviation: name a time zone such as UTC or Europe/Berlin")
    return text


def parse_days(text: str) -> int:
    """Read days of the week: `mon-fri`, `sat,sun`, `all`; bit 0 is Sunday."""
    if text.lower() == "all":
        return EVERY_DAY
    days = 0
    for part in text.lower().split(","):
        first, dash, last = (name.strip() for name in part.partition("-"))
        if first not in DAYS or (dash and last not in DAYS):
            raise typer.BadParameter(f"{text!r} are not days such as mon-fri, or sat,sun, or all")
        day, end = DAYS.index(first), DAYS.index(last if dash else first)
        days |= 1 << day
        while day != end:
            day = (day + 1) % 7
            days |= 1 << day
    return days


def show_days(days: int) -> str:
    """Write days of the week, Monday first; nothing for all of them."""
    if days == EVERY_DAY:
        return ""
    return ",".join(DAYS[day] for day in (1, 2, 3, 4, 5, 6, 0) if days >> day & 1)


def parse_hours(text: str) -> tuple[str, str]:
    """Read hours of the day: `08:00-18:00`, past midnight `22:00-06:00`, or `all`."""
    if text.lower() == "all":
        return "00:00", "00:00"
    match = _HOURS.fullmatch(text)
    if match is None or (match[3] == "24" and match[4] != "00"):
        raise typer.BadParameter(f"{text!r} are not hours such as 08:00-18:00, 22:00-06:00 or all")
    return f"{match[1]:0>2}:{match[2]}", f"{int(match[3]) % 24:02}:{match[4]}"


def show_hours(hours_from: time, hours_until: time) -> str:
    """Write hours of the day; nothing for all of them."""
    if hours_from == hours_until == MIDNIGHT:
        return ""
    return f"{hours_from:%H:%M}-{hours_until:%H:%M}"


def parse_failover_codes(text: str) -> list[int] | None:
    """Read SIP codes: `503,5xx`, `none`, or `default` for the system's (None)."""
    if text.lower() in ("default", NONE):
        return None if text.lower() == "default" else []
    codes: set[int] = set()
    for part in text.lower().split(","):
        match = re.fullmatch(r"\s*([3-6])([0-9]{2}|xx)\s*", part)
        if match is None:
            raise typer.BadParameter(f"{part!r} is not a SIP code from 300 to 699, nor like 5xx, none or default")
        hundred = int(match[1]) * 100
        codes.update(range(hundred, hundred + 100) if match[2] == "xx" else (hundred + int(match[2]),))
    return sorted(codes)


def show_failover_codes(codes: Iterable[int] | None) -> str:
    """Write SIP codes as they are read."""
    if codes is None:
        return "default"
    left = set(codes)
    texts = []
    for hundred in range(_CODES.start, _CODES.stop, 100):
        group = range(hundred, hundred + 100)
        if left.issuperset(group):
            texts.append((hundred, f"{hundred // 100}xx"))
            left.difference_update(group)
    texts += [(code, str(code)) for code in left]
    return ",".join(text for _, text in sorted(texts)) or NONE


def parse_duration(text: str) -> int | None:
    """Read the length of the longest call, or `none`."""
    seconds = parse_limit(text)
    if seconds == 0:
        raise typer.BadParameter("the longest call has at least one second")
    return seconds


PARSERS: Final[Mapping[str, Callable[[str], Any]]] = {
    "cps": parse_limit,
    "channels": parse_limit,
    "codecs": parse_codecs,
    "credit_limit": parse_amount,
    "currency": parse_currency,
    "days": parse_days,
    "dial_prefix": parse_dial_prefix,
    "extension": parse_extension,
    "failover_codes": parse_failover_codes,
    "host": parse_host,
    "max_duration": parse_duration,
    "max_sessions": parse_limit,
    "name": parse_name,
    "tax_percents": parse_percents,
    "zone": parse_zone,
}
"""How the text of an option becomes the value of the column of its name."""


def given(**options: object) -> dict[str, Any]:
    """Return those options that were given, as values of their columns."""
    return {
        name: PARSERS[name](str(value)) if name in PARSERS else value
        for name, value in options.items()
        if value is not None
    }


def show(changes: Mapping[str, Any]) -> str:
    """Write changes in one line: `cps 5, codecs PCMA PCMU, max_duration none`."""
    return ", ".join(f"{name} {_value(value)}" for name, value in changes.items())


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return " ".join(str(part) for part in value) or NONE
    return NONE if value is None else str(value) or NONE
