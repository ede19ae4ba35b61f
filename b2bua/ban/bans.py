"""Which sources are banned, as one worker knows it: looked up for every message (docs/behaviour.md §1, 1).

Pure: deadlines and clock readings are numbers of any one clock, which the caller chooses.
"""

import heapq
from typing import Final

from b2bua.policy.devices import normalise_address

LIMIT: Final = 100_000
"""Most bans that are kept; what would end soonest makes room."""

_MAPPED: Final = "::ffff:"


class BanList:
    """Address -> when its ban ends.

    Args:
        limit: Most bans.
    """

    __slots__ = ("_ends", "_limit", "_until")

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._until: dict[str, float] = {}
        # The same by time; an entry that the dictionary contradicts is of a ban that was changed or lifted.
        self._ends: list[tuple[float, str]] = []

    def __len__(self) -> int:
        return len(self._until)

    def is_banned(self, address: str, now: float) -> bool:
        """Whether messages of an address are to be dropped."""
        until = self._until.get(address)
        if until is None:
            # Sockets of ours show no mapped addresses, other callers may.
            return address.startswith(_MAPPED) and self.ends_at(normalise_address(address)) > now
        return until > now

    def ends_at(self, address: str) -> float:
        """When the ban of a normalised address ends; 0: there is none."""
        return self._until.get(address, 0.0)

    def addresses(self) -> list[str]:
        """Every address, also such whose ban has just ended."""
        return list(self._until)

    def latest(self, search: str, limit: int) -> tuple[int, list[str]]:
        """How many addresses have a text in them, and which of these are banned the longest from now."""
        found = [address for address in self._until if search in address]
        return len(found), heapq.nlargest(limit, found, key=self._until.__getitem__)

    def add(self, address: str, until: float) -> str | None:
        """Ban a normalised address, or change when its ban ends; returns the one that had to make room, if any."""
        self._until[address] = until
        heapq.heappush(self._ends, (until, address))
        if len(self._ends) > 2 * len(self._until) + 64:
            self._ends = [(end, banned) for banned, end in self._until.items()]
            heapq.heapify(self._ends)
        return self._pop_soonest() if len(self._until) > self._limit else None

    def remove(self, address: str) -> bool:
        """Lift a ban; returns whether there was one."""
        return self._until.pop(address, None) is not None

    def purge(self, now: float) -> None:
        """Forget bans that have ended."""
        while self._ends and self._ends[0][0] <= now:
            until, address = heapq.heappop(self._ends)
            if self._until.get(address) == until:
                del self._until[address]

    def _pop_soonest(self) -> str:
        while True:
            until, address = heapq.heappop(self._ends)
            if self._until.get(address) == until:
                del self._until[address]
                return address
