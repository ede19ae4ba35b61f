"""How texts of carriers, gateways, routes and DIDs become values, beside what `b2bua.account.field` reads."""

import contextlib
import re
from collections.abc import Iterable
from datetime import time
from ipaddress import IPv6Address, ip_address
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from b2bua.account.field import MOST, NONE, Fault, Read
from b2bua.policy.presentation import InvalidHeaderRule, parse_added_header, parse_passed_name
from b2bua.sip.errors import ParseError
from b2bua.sip.headers import written_name
from b2bua.sip.uri import split_host_port
from rating.window import EVERY_DAY, MIDNIGHT

DAY: Final = 86_400
"""Seconds, the longest of all timers."""
DAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
"""By their bit."""
ALL: Final = "all"
"""Typed for every day, or every hour."""
DEFAULT: Final = "default"
"""Typed for what the system has."""
CODE: Final = "[A-Z]{4}[0-9]{4,}"
"""Codes of accounts and carriers."""
DID_NUMBER: Final = "[0-9]{3,20}"

_LABEL: Final = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_NAME: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?")
"""A host name; underscores are met, though no name of a machine should have them."""
_LONGEST_NAME: Final = 253
_HOURS: Final = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])-([01]?[0-9]|2[0-4]):([0-5][0-9])")
_CODES: Final = range(300, 700)
_ZONE: Final = re.compile(r"UTC|[A-Z][A-Za-z_]+(/[A-Z][A-Za-z0-9_+-]+)+")
_HEADERS: Final = 20
"""Most headers that are carried on, or added."""


# Gateways


def host(label: str) -> Read:
    """An address, or a name that DNS may know."""

    def read(typed: str) -> str:
        text = typed.strip().removeprefix("[").removesuffix("]")
        with contextlib.suppress(ValueError):
            address = ip_address(text)
            if isinstance(address, IPv6Address) and address.scope_id:
                raise Fault(f"{label} must have no zone: that means something on one machine only")
            return str(address)
        if len(text) > _LONGEST_NAME or not _NAME.fullmatch(text) or text.rstrip(".").rpartition(".")[2].isdigit():
            rule = "an IPv4 or IPv6 address, or a host name like sip.carrier.example"
            raise Fault(f"{label} must be {rule}" if text else f"{label} is needed: {rule}")
        return text.rstrip(".").lower()

    return read


def port(label: str) -> Read:
    """A port, or nothing: found by DNS."""

    def read(typed: str) -> int | None:
        if not typed or typed.lower() == NONE:
            return None
        if not typed.isascii() or not typed.isdigit() or len(typed) > 5 or not 1 <= int(typed) <= 65535:
            raise Fault(f"{label} must be from 1 to 65535, or none for what DNS says")
        return int(typed)

    return read


def seconds(label: str, least: int, most: int = MOST) -> Read:
    """Whole seconds, or nothing: none."""

    def read(typed: str) -> int | None:
        if not typed or typed.lower() == NONE:
            return None
        if not typed.isascii() or not typed.isdigit() or len(typed) > 10 or not least <= int(typed) <= most:
            bound = f"{least} to {most}" if most < MOST else f"{least}"
            raise Fault(f"{label} must be whole seconds from {bound}, or none")
        return int(typed)

    return read


def user(label: str) -> Read:
    """A user name for SIP, or nothing."""

    def read(typed: str) -> str:
        if not typed or typed.lower() == NONE:
            return ""
        if not typed.isprintable() or len(typed) > 128:
            raise Fault(f"{label} must have at most 128 letters, digits and signs")
        return typed

    return read


def domain(label: str) -> Read:
    """A host with or without a port, or nothing."""

    def read(typed: str) -> str:
        if not typed or typed.lower() == NONE:
            return ""
        try:
            split_host_port(typed)
        except ParseError:
            raise Fault(f"{label} must be a host like sip.carrier.example") from None
        return typed

    return read


def passed_headers(label: str) -> Read:
    """Names of headers with commas between."""

    def read(typed: str) -> tuple[str, ...]:
        if typed.lower() == NONE:
            return ()
        try:
            names = [written_name(parse_passed_name(name)) for name in typed.split(",") if name.strip()]
        except InvalidHeaderRule as error:
            raise Fault(f"{label} must be names with commas between, like X-A, X-B: {error}") from None
        return tuple(_few(label, dict.fromkeys(names)))

    return read


def added_headers(label: str) -> Read:
    """Headers, one a line."""

    def read(typed: str) -> tuple[str, ...]:
        if typed.lower() == NONE:
            return ()
        try:
            parsed = [parse_added_header(line) for line in re.split(r"\r?\n", typed) if line.strip()]
        except InvalidHeaderRule as error:
            raise Fault(f"{label} must be headers, one a line, like X-Trunk: 7: {error}") from None
        return tuple(_few(label, [f"{written_name(name)}: {value}" for name, value in parsed]))

    return read


def _few(label: str, found: Iterable[str]) -> list[str]:
    kept = list(found)
    if len(kept) > _HEADERS:
        raise Fault(f"{label} must be at most {_HEADERS}")
    return kept


# Routes


def prefix(label: str) -> Read:
    """The first digits of numbers; `%` and nothing are those of all."""

    def read(typed: str) -> str:
        text = typed.removesuffix("%").removeprefix("+")
        if re.fullmatch(r"[0-9*#]{0,32}", text) is None:
            raise Fault(f"{label} must be digits, * and #, like 44")
        return text

    return read


def zone(label: str) -> Read:
    """A time zone by its name."""

    def read(typed: str) -> str:
        try:
            ZoneInfo(typed)
            is_known = True
        except (ZoneInfoNotFoundError, ValueError, OSError):
            is_known = False
        if not is_known or _ZONE.fullmatch(typed) is None:
            raise Fault(f"{label} must be a time zone like UTC or Europe/Berlin, by its whole name")
        return typed

    return read


def days(label: str) -> Read:
    """Days of the week: `mon-fri`, `sat,sun`, `all`; bit 0 is Sunday."""

    def read(typed: str) -> int:
        if typed.lower() == ALL:
            return EVERY_DAY
        found = 0
        for part in typed.lower().split(","):
            first, dash, last = (name.strip() for name in part.partition("-"))
            if first not in DAYS or (dash and last not in DAYS):
                raise Fault(f"{label} must be like mon-fri, or sat,sun, or all")
            day, end = DAYS.index(first), DAYS.index(last if dash else first)
            found |= 1 << day
            while day != end:
                day = (day + 1) % 7
                found |= 1 << day
        return found

    return read


def show_days(bits: int) -> str:
    """Write days of the week, Monday first; nothing for all of them."""
    if bits == EVERY_DAY:
        return ""
    return ",".join(DAYS[day] for day in (1, 2, 3, 4, 5, 6, 0) if bits >> day & 1)


def hours(label: str) -> Read:
    """Hours of the day: `08:00-18:00`, past midnight `22:00-06:00`, or `all`."""

    def read(typed: str) -> tuple[str, str]:
        if typed.lower() == ALL:
            return "00:00", "00:00"
        match = _HOURS.fullmatch(typed)
        if match is None or (match[3] == "24" and match[4] != "00"):
            raise Fault(f"{label} must be like 08:00-18:00, 22:00-06:00 or all")
        return f"{match[1]:0>2}:{match[2]}", f"{int(match[3]) % 24:02}:{match[4]}"

    return read


def show_hours(hours_from: time, hours_until: time) -> str:
    """Write hours of the day; nothing for all of them."""
    if hours_from == hours_until == MIDNIGHT:
        return ""
    return f"{hours_from:%H:%M}-{hours_until:%H:%M}"


def failover_codes(label: str) -> Read:
    """SIP codes: `503,5xx`, `none`, or `default` for the system's (None)."""

    def read(typed: str) -> tuple[int, ...] | None:
        if typed.lower() in (DEFAULT, NONE):
            return None if typed.lower() == DEFAULT else ()
        codes: set[int] = set()
        for part in typed.lower().split(","):
            match = re.fullmatch(r"\s*([3-6])([0-9]{2}|xx)\s*", part)
            if match is None:
                raise Fault(f"{label} must be SIP codes from 300 to 699, like 404,5xx, or none, or default")
            hundred = int(match[1]) * 100
            codes.update(range(hundred, hundred + 100) if match[2] == "xx" else (hundred + int(match[2]),))
        return tuple(sorted(codes))

    return read


def show_failover_codes(codes: Iterable[int] | None) -> str:
    """Write SIP codes as they are read."""
    if codes is None:
        return DEFAULT
    left = set(codes)
    texts = []
    for hundred in range(_CODES.start, _CODES.stop, 100):
        group = range(hundred, hundred + 100)
        if left.issuperset(group):
            texts.append((hundred, f"{hundred // 100}xx"))
            left.difference_update(group)
    texts += [(code, str(code)) for code in left]
    return ",".join(text for _, text in sorted(texts)) or NONE


# DIDs


def did_number(label: str) -> Read:
    """A number of ours with its country code; the + before it and the spaces in it are left out."""

    def read(typed: str) -> str:
        number = typed.replace(" ", "").removeprefix("+")
        if re.fullmatch(DID_NUMBER, number) is None:
            rule = "3 to 20 digits with the country code, like 442079460000"
            raise Fault(f"{label} must be {rule}" if typed else f"{label} is needed: {rule}")
        return number

    return read
