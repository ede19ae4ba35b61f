"""The turns of a worker: what has come by several ways is looked at together, and ends in one write of each kind.

To wake a resting core for each datagram, each answer of the live store and each deadline costs more than to handle it
with the next. So while something comes, all sources are looked at in one go and again a moment later, as network cards
do it; the first thing after a silence never waits.
"""

import asyncio
import math
import select
from collections.abc import Callable
from typing import Final, Protocol

import structlog

log = structlog.get_logger()

BATCH: Final = 64
"""Most things that a source hands over in one turn, so that the others and the timers get theirs."""


class Source(Protocol):
    """A socket that something comes from."""

    def fileno(self) -> int:
        """Its descriptor, the same from `add` to `remove`."""

    def read(self) -> int:
        """Hand over what is there, at most a `BATCH`; returns how much that was."""


class TurnUser(Protocol):
    """Who has a turn's deadlines and its end."""

    def handle_timers(self) -> None:
        """The deadline that was asked for has passed."""

    def end_of_turn(self) -> None:
        """Everything of this turn has been handed over: write, send, and ask for the next deadline."""


class Turns:
    """All sources and the one deadline of a worker.

    Args:
        interval: Seconds from one look to the next while something comes; 0: each thing is handled when it comes.
    """

    def __init__(self, interval: float) -> None:
        self.user: TurnUser | None = None
        """Nobody yet: sources are read all the same."""
        self._interval = interval
        self._loop = asyncio.get_running_loop()
        self._sources: dict[int, Callable[[], int]] = {}
        self._poll = select.epoll()
        self._is_told = False
        """Whether the loop tells us when something comes."""
        self._is_resting = True
        """Whether nothing is being looked at, nor will be before we are told or the deadline has passed."""
        self._next_look: asyncio.Handle | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_set_for = math.inf
        self._deadline = math.inf

    def close(self) -> None:
        """Look no more."""
        self._sources.clear()
        self._is_resting = False
        if self._next_look is not None:
            self._next_look.cancel()
        self._stop_alarm()
        if self._is_told:
            self._is_told = False
            self._loop.remove_reader(self._poll.fileno())
        self._poll.close()

    def add(self, source: Source) -> None:
        """Read a source from now on."""
        self._poll.register(source.fileno(), select.EPOLLIN)
        self._sources[source.fileno()] = source.read
        if self._is_resting:
            self._tell()

    def remove(self, source: Source) -> None:
        """Read a source no more; it is not closed yet. One that was never added is ignored."""
        if self._sources.pop(source.fileno(), None) is not None:
            self._poll.unregister(source.fileno())

    def wake_at(self, deadline: float) -> None:
        """See to it that there is a turn then, at the latest; `deadline` is the loop's time in seconds."""
        if deadline < self._deadline:
            self._deadline = deadline
            if self._is_resting:
                self._set_alarm()

    def end(self) -> None:
        """End a turn that began elsewhere."""
        if self.user is not None:
            self.user.end_of_turn()

    def _set_alarm(self) -> None:
        if self._deadline < self._alarm_set_for:
            self._stop_alarm()
            self._alarm_set_for = self._deadline
            self._alarm = self._loop.call_at(self._deadline, self._ring)

    def _stop_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm, self._alarm_set_for = None, math.inf

    def _ring(self) -> None:
        self._alarm, self._alarm_set_for = None, math.inf
        self._look()

    def _look(self) -> None:
        began = self._loop.time()
        self._is_resting = False
        most = self._read()
        is_due = began >= self._deadline
        if is_due:
            self._deadline = math.inf
            self._handle_timers()
        if most or is_due:
            try:
                self.end()
            except Exception:
                log.exception("turn could not be ended")
        if self._poll.closed:
            return
        if most and self._interval:
            self._look_again(began, most)
        else:
            self._rest()

    def _handle_timers(self) -> None:
        try:
            if self.user is not None:
                self.user.handle_timers()
        except Exception:
            log.exception("deadlines could not be handled")

    def _read(self) -> int:
        """Read every source that has something; returns how much one of them had at most."""
        most = 0
        for descriptor, _ in self._poll.poll(0):
            read = self._sources.get(descriptor)
            if read is None:
                continue  # removed meanwhile
            try:
                taken = read()
            except Exception:
                # One source's fault must not silence the others.
                log.exception("source could not be read")
                taken = 1
            if taken > most:  # noqa: PLR1730 - a call would cost more
                most = taken
        return most

    def _look_again(self, began: float, most: int) -> None:
        if self._is_told:
            self._is_told = False
            self._loop.remove_reader(self._poll.fileno())
            self._stop_alarm()
        if most >= BATCH:
            self._next_look = self._loop.call_soon(self._look)
        else:
            self._next_look = self._loop.call_at(began + self._interval, self._look)

    def _rest(self) -> None:
        self._is_resting, self._next_look = True, None
        self._tell()
        self._set_alarm()

    def _tell(self) -> None:
        if not self._is_told:
            self._is_told = True
            self._loop.add_reader(self._poll.fileno(), self._look)
