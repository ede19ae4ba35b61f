"""Options that several commands have, and how their texts are read and shown.

A text that cannot be read is a fault of the command line: one line that shows the text and what it should be.
"""

import re
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from ipaddress import IPv6Network, ip_network
from typing import Annotated, Any, Final

import typer

from b2bua.account.field import Fault, Read
from b2bua.cli.context import parse_limit
from b2bua.cli.output import Format, exact
from b2bua.policy.numbers import InvalidRule, Pattern
from b2bua.routing import field
from media.sdp import CodecList

NONE: Final = "none"
"""What takes away a value that need not be there."""
MOST: Final = 2**31 - 1
"""What an integer of the database holds."""

USERNAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
"""Names of SIP users."""


class Status(StrEnum):
    """States of what can be switched off."""

    ACTIVE = "active"
    INACTIVE = "inactive"


class SRTP(StrEnum):
    """Whether media is encrypted towards it."""

    OFF = "off"
    OFFERED = "offered"
    REQUIRED = "required"


class DTMF(StrEnum):
    """How digits come to it."""

    PASSED = "passed"
    TELEPHONE_EVENT = "telephone-event"
    INFO = "info"


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
SRTPOption = Annotated[
    SRTP | None, typer.Option("--srtp", help="Whether it is offered SRTP; its calls go through an engine then.")
]
DTMFOption = Annotated[
    DTMF | None,
    typer.Option(
        "--dtmf", help="How it wants digits: as they come, or converted; its calls go through an engine then."
    ),
]
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


def read(reader: Read, text: str) -> Any:  # noqa: ANN401
    """Read a text by a rule that the panel's forms have too."""
    try:
        return reader(text)
    except Fault as fault:
        raise typer.BadParameter(f"{text!r}: {fault}") from None


def parse_name(text: str) -> str:
    """Read a name: anything but blanks alone."""
    if not text.strip():
        raise typer.BadParameter("the name is empty")
    return text.strip()


def parse_code(text: str) -> str:
    """Read the code of a new account or carrier."""
    if re.fullmatch(field.CODE, text) is None:
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
    prefix: str = read(field.prefix("the prefix"), text)
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
    host: str = read(field.host("the host"), text)
    return host


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
    zone: str = read(field.zone("the zone"), text)
    return zone


def parse_days(text: str) -> int:
    """Read days of the week: `mon-fri`, `sat,sun`, `all`; bit 0 is Sunday."""
    days: int = read(field.days("the days"), text)
    return days


def parse_hours(text: str) -> tuple[str, str]:
    """Read hours of the day: `08:00-18:00`, past midnight `22:00-06:00`, or `all`."""
    hours: tuple[str, str] = read(field.hours("the hours"), text)
    return hours


def parse_failover_codes(text: str) -> list[int] | None:
    """Read SIP codes: `503,5xx`, `none`, or `default` for the system's (None)."""
    codes = read(field.failover_codes("the failover codes"), text)
    return None if codes is None else list(codes)


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
