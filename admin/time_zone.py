"""The time zones that a login may choose, as the IANA database names them."""

from datetime import UTC, tzinfo
from functools import cache
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

USUAL: Final = "UTC"


@cache
def names() -> tuple[str, ...]:
    """UTC, and every place by its continent."""
    places = sorted(name for name in available_timezones() if "/" in name and not name.startswith(("Etc/", "SystemV/")))
    return (USUAL, *places)


def zone_of(name: str) -> tzinfo:
    """The zone of a name; UTC for one that the system does not know any more."""
    return ZoneInfo(name) if name != USUAL and name in names() else UTC
