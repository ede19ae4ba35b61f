"""Days and hours in which something counts (docs/behaviour.md §6), on the clock of a zone."""

from dataclasses import dataclass
from datetime import UTC, datetime, time, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

MIDNIGHT: Final = time(0)

EVERY_DAY: Final = 0b1111111


@dataclass(frozen=True, slots=True)
class Window:
    """A span of the day on some days of the week.

    The span of a day begins at `hours_from` and ends at the next `hours_until`: on the day after where that is not
    later than `hours_from`, so that equal hours are 24 hours. What goes past midnight belongs to the day on which it
    began.
    """

    days: int = EVERY_DAY
    """Bit 0: Sunday, … bit 6: Saturday."""
    hours_from: time = MIDNIGHT
    hours_until: time = MIDNIGHT
    """Outside."""
    zone: tzinfo = UTC

    @classmethod
    def of(cls, days: int, hours_from: time, hours_until: time, zone: str) -> "Window | None":
        """The window with the zone of this name; None when it is open at all times.

        Raises:
            ZoneInfoNotFoundError, ValueError: there is no such zone.
        """
        if days == EVERY_DAY and hours_from == hours_until:
            return None
        return cls(days, hours_from, hours_until, UTC if zone == "UTC" else ZoneInfo(zone))

    def is_open(self, at: datetime) -> bool:
        """Whether a moment (aware) is inside. Clocks that change repeat or leave out the hour that they do."""
        local = at.astimezone(self.zone)
        hour = local.time()
        today = local.isoweekday() % 7
        if self.hours_from < self.hours_until:
            return self.hours_from <= hour < self.hours_until and self._has(today)
        return self._has(today) if hour >= self.hours_from else hour < self.hours_until and self._has((today - 1) % 7)

    def _has(self, day: int) -> bool:
        return bool(self.days >> day & 1)
