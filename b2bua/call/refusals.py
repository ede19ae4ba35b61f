"""Refusals alike that come in a flood share a record (docs/behaviour.md §2)."""

from collections.abc import Callable

from cdr.record import AttemptRecord


class _Second:
    __slots__ = ("count", "number", "shared")

    def __init__(self, number: int) -> None:
        self.number = number
        self.count = 0
        self.shared: AttemptRecord | None = None


class RefusalCounter:
    """Counts refusals by device and code; above a limit a second they are one record that says how many they were.

    Args:
        limit: Refusals a second that have a record each.
        write: Writes a shared record.
    """

    def __init__(self, limit: int, write: Callable[[AttemptRecord], None]) -> None:
        self._limit = limit
        self._write = write
        self._seconds: dict[tuple[str, str], _Second] = {}

    def takes(self, record: AttemptRecord) -> bool:
        """Whether a finished refusal is counted in a shared record, instead of having one of its own."""
        # Whoever was not recognised is told by the address.
        key = (record.device or record.a_address.rpartition(":")[0], record.code)
        number = int(record.ended_at)
        second = self._seconds.get(key)
        if second is None or second.number != number:
            self._close(second)
            second = self._seconds[key] = _Second(number)
        second.count += 1
        if second.count <= self._limit:
            return False
        if second.shared is None:
            second.shared = record
        else:
            second.shared.calls += 1
        return True

    @property
    def waiting(self) -> int:
        """Shared records that are not written yet."""
        return sum(second.shared is not None for second in self._seconds.values())

    def flush(self, now: float) -> None:
        """Write the shared records of seconds that are over; with an infinite time, all."""
        for key, second in list(self._seconds.items()):
            if second.number + 1 <= now:
                self._close(second)
                del self._seconds[key]

    def _close(self, second: _Second | None) -> None:
        if second is not None and second.shared is not None:
            self._write(second.shared)
            second.shared = None
