"""Time as a value: the timers of RFC 3261 §17 (table 4), and what holds deadlines: a wheel, and queues.

Neither knows a clock. Deadlines are rounded up to slots of 10 ms; expiring one costs under a microsecond however
many are waiting, which a heap cannot give at 80,000 of them. Those of transactions are of a few lengths, and nobody
cancels them: in a queue for each length they need no order and no memory of their own.
"""

import math
from collections import deque
from heapq import heappop, heappush
from typing import Final, Generic, TypeVar

SLOTS_PER_SECOND: Final = 100
"""Slots of 10 ms: finer than any timer of SIP, coarse enough that many share one."""


class Timing:
    """The timer values that follow from T1, T2 and T4, in seconds.

    Args:
        t1: Estimate of the round-trip time.
        t2: Longest interval between retransmissions of a non-INVITE request or an INVITE's response.
        t4: Longest time a message stays in the network.
    """

    __slots__ = ("t1", "t2", "t4", "timer_d", "transaction", "trying")

    def __init__(self, t1: float = 0.5, t2: float = 4.0, t4: float = 5.0, trying: float = 0.15) -> None:
        self.t1 = t1
        self.t2 = t2
        self.t4 = t4
        self.transaction = 64 * t1
        """Timers B, F, H, J, L and M, and the wait for an INVITE's answer after its CANCEL."""
        self.timer_d = max(32.0, 64 * t1)
        """Timer D over UDP."""
        self.trying = trying
        """An INVITE without an answer gets 100 Trying after this (§17.2.1 asks for 200 ms at most)."""


Owner = TypeVar("Owner")


class Timer(Generic[Owner]):
    """A pending deadline; `cancel` it through the wheel."""

    __slots__ = ("kind", "owner", "slot")

    def __init__(self, slot: int, owner: Owner, kind: int) -> None:
        self.slot = slot
        self.owner = owner
        self.kind = kind


class TimerWheel(Generic[Owner]):
    """Deadlines in slots; each belongs to an owner and has a kind that the owner understands."""

    __slots__ = ("_order", "_slots")

    def __init__(self) -> None:
        self._slots: dict[int, set[Timer[Owner]]] = {}
        self._order: list[int] = []

    @property
    def count(self) -> int:
        """How many deadlines are waiting."""
        return sum(map(len, self._slots.values()))

    def add(self, deadline: float, owner: Owner, kind: int) -> Timer[Owner]:
        """Wait for a deadline (on the caller's monotonic clock, in seconds)."""
        slot = int(deadline * SLOTS_PER_SECOND) + 1
        timer = Timer(slot, owner, kind)
        try:
            self._slots[slot].add(timer)
        except KeyError:
            self._slots[slot] = {timer}
            heappush(self._order, slot)
        return timer

    def cancel(self, timer: Timer[Owner]) -> None:
        """Forget a deadline; one that has expired or was cancelled before is ignored."""
        waiting = self._slots.get(timer.slot)
        if waiting is not None:
            waiting.discard(timer)

    def next_deadline(self) -> float | None:
        """When `expire` has something to do next, or None; slots that were emptied by cancelling are dropped."""
        order, slots = self._order, self._slots
        while order and not slots[order[0]]:
            del slots[heappop(order)]
        return order[0] / SLOTS_PER_SECOND if order else None

    def expire(self, now: float) -> list[Timer[Owner]]:
        """Remove and return every deadline that has passed, in the order of their slots."""
        order, slots = self._order, self._slots
        limit = now * SLOTS_PER_SECOND + 0.001  # 0.29 * 100 is less than 29
        expired: list[Timer[Owner]] = []
        while order and order[0] <= limit:
            expired.extend(slots.pop(heappop(order)))
        return expired


class TimerQueue(Generic[Owner]):
    """Deadlines of one kind and length: they pass in the order in which they began."""

    __slots__ = ("begun", "kind", "owners", "seconds")

    def __init__(self, kind: int, seconds: float) -> None:
        self.kind = kind
        self.seconds = seconds
        self.begun: deque[float] = deque()
        self.owners: deque[Owner] = deque()


class TimerQueues(Generic[Owner]):
    """Deadlines that nobody cancels, of a few kinds and lengths."""

    __slots__ = ("_next", "_queues")

    def __init__(self) -> None:
        self._queues: dict[tuple[int, float], TimerQueue[Owner]] = {}
        self._next = math.inf

    @property
    def count(self) -> int:
        """How many deadlines are waiting."""
        return sum(len(queue.begun) for queue in self._queues.values())

    def queue(self, kind: int, seconds: float) -> TimerQueue[Owner]:
        """The deadlines of a kind and a length in seconds."""
        queue = self._queues.get((kind, seconds))
        if queue is None:
            queue = self._queues[kind, seconds] = TimerQueue(kind, seconds)
        return queue

    def add(self, queue: TimerQueue[Owner], now: float, owner: Owner) -> None:
        """Wait for a queue's length from now (on the caller's monotonic clock, in seconds, which never goes back)."""
        queue.begun.append(now)
        queue.owners.append(owner)
        if now + queue.seconds < self._next:  # noqa: PLR1730 - a call would cost as much as all the rest
            self._next = now + queue.seconds

    def next_deadline(self) -> float | None:
        """When `expire` has something to do next, or None."""
        return None if self._next == math.inf else math.ceil(self._next * SLOTS_PER_SECOND) / SLOTS_PER_SECOND

    def expire(self, now: float) -> list[tuple[Owner, int]]:
        """Remove and return the owner and kind of every deadline that has passed."""
        now += 1e-6  # what `next_deadline` gave may be less by a rounding
        if now < self._next:
            return []
        expired: list[tuple[Owner, int]] = []
        soonest = math.inf
        for queue in self._queues.values():
            begun, seconds = queue.begun, queue.seconds
            while begun and begun[0] + seconds <= now:
                begun.popleft()
                expired.append((queue.owners.popleft(), queue.kind))
            if begun and begun[0] + seconds < soonest:
                soonest = begun[0] + seconds
        self._next = soonest
        return expired
