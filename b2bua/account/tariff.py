"""The forms of tariffs, of the ratecards in them, and of rates; a rate's fields keep the rules of a deck's columns."""

import re
from collections.abc import Mapping
from datetime import datetime, time
from decimal import Decimal
from typing import Annotated, Any, Final, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import model_validator

from b2bua.account import field as f
from rating.deck_cell import BY_NAME, DESTINATION_LETTERS, Wrong, parse_moment, reader
from rating.window import EVERY_DAY, MIDNIGHT

KINDS: Final = {"customer": "Customers", "carrier": "Carriers"}
"""Whom a tariff is for."""
STATUSES: Final = {"active": "Active", "inactive": "Inactive"}
DIRECTIONS: Final = {"outgoing": "Outgoing calls", "incoming": "Incoming calls, to DIDs"}
BLOCKS_MODES: Final = {"from_zero": "Blocks from zero", "after_minimum": "The minimum, then blocks"}
RATE_STATUSES: Final = {"active": "Active", "blocked": "Blocked"}
DAYS: Final = {"mon": 1, "tue": 2, "wed": 3, "thu": 4, "fri": 5, "sat": 6, "sun": 0}
"""Days of the week as they are typed, Monday first, with their bits."""

_ZONE: Final = r"UTC|[A-Z][A-Za-z_]+(/[A-Z][A-Za-z0-9_+-]+)+"
_HOUR: Final = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])(?::00)?")


def _currency(typed: str) -> str:
    if re.fullmatch("[A-Z]{3}", typed.upper()) is None:
        raise f.Fault("Currency must be three letters, like EUR" if typed else "Currency is needed, like EUR")
    return typed.upper()


def _days(typed: str) -> int:
    """Read days of the week, with commas or as a span; nothing: all."""
    if typed.lower() in ("", "all", str(EVERY_DAY)):
        return EVERY_DAY
    names, days = list(DAYS), 0
    for part in typed.lower().split(","):
        first, dash, last = (name.strip() for name in part.partition("-"))
        if first not in DAYS or (dash and last not in DAYS):
            raise f.Fault("Days must be like mon-fri or sat,sun; empty: every day")
        day, end = names.index(first), names.index(last if dash else first)
        days |= 1 << DAYS[first]
        while day != end:
            day = (day + 1) % 7
            days |= 1 << DAYS[names[day]]
    return days


def show_days(days: int) -> str:
    """Write days of the week as they are typed; nothing for all of them."""
    return "" if days == EVERY_DAY else ",".join(name for name, bit in DAYS.items() if days >> bit & 1)


def _hour(label: str) -> f.Read:
    def read(typed: str) -> time:
        match = _HOUR.fullmatch("0:00" if typed in ("", "24:00") else typed)
        if match is None:
            raise f.Fault(f"{label} must be a time of the day, like 08:00")
        return time(int(match[1]), int(match[2]))

    return read


def show_hour(hour: time) -> str:
    """Write an hour as it is typed; midnight is nothing."""
    return "" if hour == MIDNIGHT else f"{hour:%H:%M}"


def _zone(typed: str) -> str:
    zone = typed or "UTC"
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        zone = ""
    if re.fullmatch(_ZONE, zone) is None:
        raise f.Fault("Time zone must be one by name, like UTC or Europe/Berlin")
    return zone


class Tariff(f.Form):
    """What accounts pay, or what a carrier costs."""

    name: Annotated[str, f.field(f.text("Name", 100))] = ""
    kind: Annotated[str, f.field(lambda typed: f.choice("For", KINDS)(typed or "customer"))] = "customer"
    currency: Annotated[str, f.field(_currency)] = ""
    status: Annotated[str, f.field(lambda typed: f.choice("Status", STATUSES)(typed or "active"))] = "active"


class Ratecard(f.Form):
    """Rates of one direction."""

    name: Annotated[str, f.field(f.text("Name", 100))] = ""
    direction: Annotated[str, f.field(lambda typed: f.choice("Direction", DIRECTIONS)(typed or "outgoing"))] = (
        "outgoing"
    )


class TariffRatecard(f.Form):
    """When a ratecard counts in a tariff, and before which others."""

    ratecard: Annotated[str, f.field(f.text("Ratecard", 100))] = ""
    priority: Annotated[int, f.field(lambda typed: f.whole("Priority", 0)(typed or "1"))] = 1
    days: Annotated[int, f.field(_days)] = EVERY_DAY
    hours_from: Annotated[time, f.field(_hour("From"))] = MIDNIGHT
    hours_until: Annotated[time, f.field(_hour("Until"))] = MIDNIGHT
    zone: Annotated[str, f.field(_zone)] = "UTC"


def _cell(label: str, name: str) -> f.Read:
    """What a cell of a deck's column may say, a field may say."""
    read_cell = reader(BY_NAME[name])

    def read(typed: str) -> str:
        try:
            return read_cell(typed)
        except Wrong as wrong:
            raise f.Fault(f"{label} must be {wrong}" if typed else f"{label} is needed: {wrong}") from None

    return read


def _amount(label: str, name: str) -> f.Read:
    return lambda typed: Decimal(_cell(label, name)(typed))


def _whole(label: str, name: str) -> f.Read:
    return lambda typed: int(_cell(label, name)(typed))


def _channels(typed: str) -> int | None:
    number = int(_cell("Channels", "channels")(typed))
    return None if number < 0 else number


def _moment(label: str) -> f.Read:
    def read(typed: str) -> datetime | None:
        if not typed:
            return None
        try:
            return parse_moment(typed)
        except ValueError:
            raise f.Fault(f"{label} must be a time in UTC, like 2026-01-31 08:00, or empty") from None

    return read


class Rate(f.Form):
    """What a call to a prefix costs, from when until when."""

    prefix: Annotated[str, f.field(_cell("Prefix", "prefix"))] = ""
    destination: Annotated[str, f.field(f.text("Destination", DESTINATION_LETTERS, needed=False))] = ""
    rate_per_minute: Annotated[Decimal, f.field(_amount("Rate per minute", "rate_per_minute"))] = Decimal(0)
    connection_charge: Annotated[Decimal, f.field(_amount("Connection charge", "connection_charge"))] = Decimal(0)
    minimum: Annotated[int, f.field(_whole("Minimum", "minimum"))] = 1
    resolution: Annotated[int, f.field(_whole("Resolution", "resolution"))] = 1
    blocks_mode: Annotated[str, f.field(_cell("Blocks", "blocks_mode"))] = "from_zero"
    grace: Annotated[int, f.field(_whole("Grace", "grace"))] = 0
    multiplier: Annotated[Decimal, f.field(_amount("Multiplier", "multiplier"))] = Decimal(1)
    addition: Annotated[Decimal, f.field(_amount("Addition", "addition"))] = Decimal(0)
    setup: Annotated[Decimal, f.field(_amount("Set-up", "setup"))] = Decimal(0)
    rental: Annotated[Decimal, f.field(_amount("Rental", "rental"))] = Decimal(0)
    channels: Annotated[int | None, f.field(_channels)] = None
    status: Annotated[str, f.field(_cell("Status", "status"))] = "active"
    valid_from: Annotated[datetime | None, f.field(_moment("Valid from"))] = None
    """None: always was."""
    valid_until: Annotated[datetime | None, f.field(_moment("Valid until"))] = None
    """None: for good."""

    @model_validator(mode="after")
    def _ends_after_it_begins(self) -> Self:
        if self.valid_from and self.valid_until and self.valid_until <= self.valid_from:
            raise f.misfit("valid_until", "Valid until must be later than valid from, or empty")
        return self


def texts_of(row: Mapping[str, Any]) -> dict[str, str]:
    """A row as its form shows it."""
    return {name: _text(name, value) for name, value in row.items()}


def _text(name: str, value: object) -> str:
    if value is None:
        return ""
    if name == "days" and isinstance(value, int):
        return show_days(value)
    if name == "prefix":
        return str(value) or "%"
    if isinstance(value, time):
        return show_hour(value)
    if isinstance(value, datetime):
        whole = value.second == value.microsecond == 0
        return f"{value:%Y-%m-%d %H:%M}" if whole else value.isoformat(" ")
    return f"{value.normalize():f}" if isinstance(value, Decimal) else str(value)
