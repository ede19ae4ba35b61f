"""What a worker knows of live registrations without asking: where they came from, and a list for people."""

import heapq
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeVar

from b2bua.registrar.bindings import Binding, live

Key = TypeVar("Key")

LIMIT: Final = 200_000
"""Most bindings that are remembered; more are as good as unknown, and have to prove who they are."""

_AT_ONCE: Final = 1000
"""Most SIP users that are looked at in one turn after their bindings expired."""


class Mirror:
    """Bindings by SIP user and by address, forgotten when they expire."""

    def __init__(self) -> None:
        self._bindings: dict[int, list[Binding]] = {}
        self._sources: Counter[tuple[str, int]] = Counter()
        self._hosts: Counter[str] = Counter()
        self._due: list[tuple[float, int]] = []
        """When which SIP user must be looked at, as a heap; what `_due_at` does not know is not due any more."""
        self._due_at: dict[int, float] = {}
        self.count = 0
        """Bindings that are remembered."""
        self.is_full = False
        """Whether some had to be left out, since the start."""
        self.changed: Callable[[int, Sequence[Binding]], None] = lambda _, __: None
        """Told of a SIP user's bindings whenever they may have changed."""

    def update(self, sip_user_id: int, bindings: Sequence[Binding], now: float) -> None:
        """These are a SIP user's bindings now."""
        self.prune(now)
        self._replace(sip_user_id, live(bindings, now))

    def _replace(self, sip_user_id: int, kept: list[Binding]) -> None:
        self._forget(self._bindings.get(sip_user_id, ()))
        if self.count + len(kept) > LIMIT:
            self.is_full = True
            kept = []
        if kept:
            self._remember(sip_user_id, kept)
        else:
            self._bindings.pop(sip_user_id, None)  # its place in the heap is found empty, and dropped, when it is due
        self.changed(sip_user_id, kept)

    def has_source(self, host: str, port: int | None, now: float) -> bool:
        """Whether a live binding came from an address, and from this port where it is given."""
        self.prune(now)
        return host in self._hosts if port is None else (host, port) in self._sources

    def bindings(self, now: float) -> Iterator[tuple[int, Binding]]:
        """Live bindings with the SIP user's id; what they are taken from must not change meanwhile."""
        for sip_user_id, bindings in self._bindings.items():
            for binding in bindings:
                if binding.expires_at > now:
                    yield sip_user_id, binding

    def prune(self, now: float) -> None:
        """Forget what has expired, but not more than a turn can bear."""
        due = self._due
        for _ in range(_AT_ONCE):
            if not due or due[0][0] > now:
                return
            at, sip_user_id = heapq.heappop(due)
            if self._due_at.get(sip_user_id) == at:
                del self._due_at[sip_user_id]
                self._replace(sip_user_id, live(self._bindings.get(sip_user_id, ()), now))

    def _remember(self, sip_user_id: int, kept: list[Binding]) -> None:
        self._bindings[sip_user_id] = kept
        for binding in kept:
            self._sources[binding.received] += 1
            self._hosts[binding.source] += 1
        self.count += len(kept)
        soonest = min(binding.expires_at for binding in kept)
        # A SIP user that registers again and again keeps the place that it has, until it is due.
        if soonest < self._due_at.get(sip_user_id, float("inf")):
            self._due_at[sip_user_id] = soonest
            heapq.heappush(self._due, (soonest, sip_user_id))

    def _forget(self, bindings: Sequence[Binding]) -> None:
        for binding in bindings:
            _take_one(self._sources, binding.received)
            _take_one(self._hosts, binding.source)
        self.count -= len(bindings)


def _take_one(counts: Counter[Key], key: Key) -> None:
    if counts[key] > 1:
        counts[key] -= 1
    else:
        del counts[key]
