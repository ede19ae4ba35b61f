"""How many packets an engine passes on in a second, over either path."""

from collections.abc import Iterable
from typing import Final

from media.session import Call

INTERVAL: Final = 5.0
"""Packets are added up so often, as the kernel's counters are read."""


class PacketMeter:
    """Counts what has come from all ends."""

    __slots__ = ("_before", "_ended", "_looked_at", "rate")

    def __init__(self) -> None:
        self._ended = 0
        """Packets of calls that are over."""
        self._before = 0
        self._looked_at: float | None = None
        self.rate = 0
        """A second, over the last interval."""

    def look(self, calls: Iterable[Call], now: float) -> None:
        """Add up, if it is time to."""
        if self._looked_at is not None and now - self._looked_at < INTERVAL:
            return
        total = self._ended + sum(_packets(call) for call in calls)
        if self._looked_at is not None:
            self.rate = max(0, round((total - self._before) / (now - self._looked_at)))
        self._before, self._looked_at = total, now

    def forget(self, call: Call) -> None:
        """A call is over."""
        self._ended += _packets(call)


def _packets(call: Call) -> int:
    return sum(leg.packets for stream in call.streams for leg in stream.legs if leg is not None)
