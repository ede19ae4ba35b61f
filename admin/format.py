"""How values are shown: money, durations, times, counts. Exports carry the raw values instead."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import ROUND_HALF_UP, Decimal
from typing import Final

from markupsafe import Markup, escape

MINUS: Final = "\N{MINUS SIGN}"
UNKNOWN: Final = "\N{EN DASH}"
"""Shown for what is not known; never 0."""


def money(amount: Decimal | None, currency: str | None, decimals: int = 4) -> str:
    """An amount with thousands marks and its currency: −1,234.5600 EUR."""
    if amount is None or not currency:
        return UNKNOWN
    return f"{number(amount, decimals)} {currency}"


def number(amount: Decimal | None, decimals: int = 4) -> str:
    """An amount without its currency."""
    if amount is None:
        return UNKNOWN
    rounded = amount.quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP)
    return f"{MINUS if rounded < 0 else ''}{abs(rounded):,.{decimals}f}"


def exact(amount: Decimal | None, decimals: int = 4) -> str:
    """An amount with at least so many decimals, and with as many as it has."""
    if amount is None:
        return UNKNOWN
    return number(amount, max(decimals, -int(amount.normalize().as_tuple().exponent)))


def duration(seconds: Decimal | float | None) -> str:
    """A duration: 3:04, from one hour on 1:02:09. Begun seconds are not shown."""
    if seconds is None:
        return UNKNOWN
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def seconds(value: Decimal | float | None, decimals: int = 3) -> str:
    """Seconds with their fraction: 184.510 s."""
    return UNKNOWN if value is None else f"{value:.{decimals}f} s"


def count(value: int | None) -> str:
    """A count with thousands marks."""
    return UNKNOWN if value is None else f"{value:,}"


def total(value: int, limit: int) -> str:
    """How many rows a list has: exact below `limit`."""
    return f"{value:,}" if value < limit else f"more than {limit - 1:,}"


def share(part: int, whole: int) -> str:
    """A share as a percentage: 57.9 %; unknown when there is nothing to share."""
    return f"{100 * part / whole:.1f} %" if whole else UNKNOWN


GOOD_MOS: Final = 4.0
FAIR_MOS: Final = 3.5
POOR_MOS: Final = 2.8


def mos_state(value: Decimal | float | None) -> str:
    """The colour of a MOS: below 3.5 somebody should look, below 2.8 hardly anybody understands a word."""
    if value is None:
        return "mute"
    return "ok" if value >= FAIR_MOS else "warn" if value >= POOR_MOS else "bad"


def mos_word(value: Decimal | float | None) -> str:
    """A MOS in a word."""
    if value is None:
        return "Not measured"
    return "Good" if value >= GOOD_MOS else "Fair" if value >= FAIR_MOS else "Poor" if value >= POOR_MOS else "Bad"


def measured(value: Decimal | float | None, decimals: int = 1) -> str:
    """A measured number."""
    return UNKNOWN if value is None else f"{value:,.{decimals}f}"


def rate(value: float | None) -> str:
    """Calls per second."""
    return UNKNOWN if value is None else f"{value:.2f}" if value < 10 else f"{value:,.0f}"


def clock(value: datetime, now: datetime, zone: tzinfo = UTC) -> str:
    """A time: 23 Nov 02:14:07, with the year when it is not this one."""
    local = value.astimezone(zone)
    year = "" if local.year == now.astimezone(zone).year else f" {local.year}"
    return f"{local.day} {local:%b}{year} {local:%H:%M:%S}"


def time(value: datetime | None, now: datetime | None = None, zone: tzinfo = UTC) -> Markup:
    """A time as an element, with UTC as its title."""
    if value is None:
        return escape(UNKNOWN)
    text = clock(value, now or datetime.now(UTC), zone)
    in_utc = value.astimezone(UTC)
    return Markup('<time datetime="{}" title="{} UTC">{}</time>').format(
        in_utc.isoformat(timespec="milliseconds"), f"{in_utc:%Y-%m-%d %H:%M:%S}", text
    )


def exact_time(value: datetime | None, zone: tzinfo = UTC) -> Markup:
    """A time to the millisecond, for details."""
    if value is None:
        return escape(UNKNOWN)
    local = value.astimezone(zone)
    return Markup('<time datetime="{}">{}</time>').format(
        value.astimezone(UTC).isoformat(timespec="milliseconds"),
        f"{local.day} {local:%b %Y %H:%M:%S}.{local.microsecond // 1000:03} {local:%Z}",
    )


def since(value: float, now: float) -> str:
    """How long ago a moment of the clock was, as a duration."""
    return duration(max(0.0, now - value))


def input_time(value: datetime | None, zone: tzinfo = UTC) -> str:
    """A time on the clock of a zone, to the minute, as addresses keep it and `parse_input_time` reads it.

    The field datetime-local takes its first 16 characters. When clocks are set back an hour comes twice: a time of the
    second one has its offset behind it.
    """
    if value is None:
        return ""
    local = value.astimezone(zone)
    return (local if local.fold else local.replace(tzinfo=None)).isoformat(timespec="minutes")


def parse_input_time(text: str, zone: tzinfo = UTC) -> datetime | None:
    """Read a field datetime-local, which is on the clock of a zone, as UTC; None when it is empty or no time.

    Of a time that comes twice the first is meant; one that is left out when clocks are set forward is an hour later.
    """
    try:
        moment = datetime.fromisoformat(text)
        moment = (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    # So that it has its time in every zone.
    return moment if 1 < moment.year < 9999 else None


def parse_day(text: str) -> datetime | None:
    """Read a field date, as the begin of that day in UTC; None when it is empty or no day of our time."""
    try:
        day = datetime.fromisoformat(text[:10]).replace(tzinfo=UTC) if text else None
    except ValueError:
        return None
    return day if day is None or 2000 <= day.year < 2200 else None


def ago(span: timedelta, now: datetime | None = None) -> datetime:
    """The moment so long ago."""
    return (now or datetime.now(UTC)) - span


def compact(query: Mapping[str, str]) -> dict[str, str]:
    """The parts of an address that say something."""
    return {name: value for name, value in query.items() if value}
