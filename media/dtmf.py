"""Digits in a stream (RFC 4733): telephone-events are read and taken out, or put in the place of what an end sends.

A tap stands in the way of what comes from one end. A digit that is put in takes the place of the packets that come
meanwhile, with their sequence numbers and SSRC, so that the stream has no gap and goes on as it was; where nothing
comes it has packets of its own, and the numbers of what follows are later by as many. What is taken out leaves no gap
in the numbers either.
"""

import asyncio
import random
import struct
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final

from media.errors import EngineRefused
from media.rtp import HEADER, HEADER_SIZE

DIGITS: Final = "0123456789*#ABCD"
"""By the number of their event."""

INTERVAL: Final = 0.02
"""Between the packets of a digit, where none come whose place they could take, in seconds."""

SILENCE: Final = 0.06
"""So long after the last packet nothing is waited for."""

PAUSE: Final = 0.1
"""Between two digits, in seconds."""

END_PACKETS: Final = 3
"""The last packet of a digit is sent so often (RFC 4733 §2.5.1.4)."""

WAITING_LIMIT: Final = 32
"""Digits that wait."""

SHORTEST_MS, LONGEST_MS = 40, 5000

_EVENT: Final = struct.Struct("!BBH")
_END: Final = 0x80
_UNITS_LIMIT: Final = 0xFFFF


class EventReader:
    """Makes digits of packets: each once, when its end has come, or something else.

    Args:
        rates: Clock rate by payload type.
        heard: Told of each digit and how long it was, in milliseconds.
    """

    __slots__ = ("_done", "_heard", "_pressed", "rates")

    def __init__(self, rates: Mapping[int, int], heard: Callable[[str, int], None]) -> None:
        self.rates = rates
        self._heard = heard
        self._pressed: tuple[tuple[int, int, int], int, int] | None = None
        """Source, timestamp and event; units that it has lasted; clock rate."""
        self._done: tuple[int, int, int] | None = None

    def read(self, data: bytes | bytearray, size: int) -> None:
        """Take a packet of an event."""
        at = HEADER_SIZE + 4 * (data[0] & 0x0F)
        if data[0] & 0x10 or size < at + _EVENT.size:
            return
        _, second, _, timestamp, ssrc = HEADER.unpack_from(data)
        event, flags, units = _EVENT.unpack_from(data, at)
        which = ssrc, timestamp, event
        if which == self._done:
            return  # its end comes three times, and what was late afterwards
        if self._pressed is not None:
            if self._pressed[0] == which:
                units = max(units, self._pressed[1])
            else:
                self.finish()
        self._pressed = which, units, self.rates.get(second & 0x7F, 8000)
        if flags & _END:
            self.finish()

    def finish(self) -> None:
        """Nothing more comes of an event whose end was lost."""
        if self._pressed is None:
            return
        (which, units, rate), self._pressed = self._pressed, None
        self._done = which
        if which[2] < len(DIGITS):
            self._heard(DIGITS[which[2]], max(1, round(1000 * units / rate)))


class Press:
    """A digit that is being put in.

    Args:
        digit: One of DIGITS.
        payload_type: Of telephone-events, as the end that hears it has them.
        rate: Their clock rate.
        seconds: How long it lasts.
        volume: In dB below full, as a positive number.
    """

    __slots__ = ("_begun_at", "_ends", "_event", "_total", "_units", "_volume", "payload_type", "rate", "timestamp")

    def __init__(self, digit: str, payload_type: int, rate: int, seconds: float, volume: int = 10) -> None:
        self._event, self._volume = DIGITS.index(digit), volume
        self._total = min(_UNITS_LIMIT, round(seconds * rate))
        self._units = 0
        self._ends = END_PACKETS
        self._begun_at: float | None = None
        self.payload_type, self.rate = payload_type, rate
        self.timestamp = 0
        """Of its beginning; that of all its packets."""

    @property
    def is_begun(self) -> bool:
        """Whether a packet of it was sent."""
        return self._begun_at is not None

    @property
    def is_over(self) -> bool:
        """Whether its last packet was sent."""
        return not self._ends

    def next(self, sequence: int, ssrc: int, now: float) -> bytes:
        """Make its next packet."""
        marker = 0
        if self._begun_at is None:
            self._begun_at, marker = now, 0x80
        # In hundredths of a second, as packets are meant to come.
        units = round(100 * (now - self._begun_at + INTERVAL)) * self.rate // 100
        self._units = min(self._total, max(self._units, units))
        is_end = self._units == self._total
        if is_end:
            self._ends -= 1
        header = HEADER.pack(0x80, marker | self.payload_type, sequence, self.timestamp, ssrc)
        return header + _EVENT.pack(self._event, (_END if is_end else 0) | self._volume, self._units)


class Tap:
    """Stands in the way of what comes from an end.

    Args:
        send: Sends a packet on, where none came whose place it could take.
    """

    __slots__ = (
        "_last_at", "_loop", "_newest", "_offset", "_presses", "_resume_at", "_send", "_sequence", "_ssrc", "_timer",
        "_timestamp", "reader",
    )  # fmt: skip

    def __init__(self, send: Callable[[bytes], object]) -> None:
        self._send = send
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self.reader: EventReader | None = None
        """What reads the events that are taken out; None: they pass."""
        self._presses: deque[Press] = deque()
        self._resume_at = 0.0
        self._ssrc = -1
        self._sequence = self._timestamp = self._offset = self._newest = 0
        self._last_at = time.monotonic()

    @property
    def is_needed(self) -> bool:
        """Whether anything would be otherwise without it."""
        return self.reader is not None or bool(self._presses) or bool(self._offset)

    def press(self, press: Press) -> None:
        """Put a digit in, after those that wait.

        Raises:
            EngineRefused: too many wait.
        """
        if len(self._presses) >= WAITING_LIMIT:
            raise EngineRefused("too many digits wait")
        self._presses.append(press)
        if self._timer is None:
            self._timer = self._loop.call_later(INTERVAL, self._tick)

    def begin_at(self, ssrc: int, sequence: int, timestamp: int) -> None:
        """Say where the stream is, so that what is put in goes on from there."""
        self._ssrc, self._timestamp = ssrc, timestamp
        self._sequence = self._newest = sequence
        self._last_at = time.monotonic()

    def close(self) -> None:
        """Put in no more."""
        self._presses.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def take(self, buffer: bytearray, size: int, now: float) -> int:
        """Look at a packet of RTP and change it in its place; returns its size then, 0: it goes no further."""
        _, second, sequence, timestamp, ssrc = HEADER.unpack_from(buffer)
        if ssrc != self._ssrc:
            self._ssrc, self._offset, self._newest = ssrc, 0, (sequence - 1) & 0xFFFF
        is_newest = (sequence - self._newest) & 0xFFFF < 0x8000
        if is_newest:
            self._newest = sequence
        if self.reader is not None:
            if second & 0x7F in self.reader.rates:
                self.reader.read(buffer, size)
                self._offset -= is_newest
                return 0
            self.reader.finish()
        sequence = (sequence + self._offset) & 0xFFFF
        if is_newest:
            self._sequence, self._timestamp, self._last_at = sequence, timestamp, now
            if (press := self._pressed(now)) is not None:
                return self._replace(buffer, press, now)
        elif self._presses and self._presses[0].is_begun:
            return 0  # its place is taken
        if self._offset:
            struct.pack_into("!H", buffer, 2, sequence)
        return size

    def _pressed(self, now: float) -> Press | None:
        """The digit whose packets are due."""
        return self._presses[0] if self._presses and now >= self._resume_at else None

    def _replace(self, buffer: bytearray, press: Press, now: float) -> int:
        if not press.is_begun:
            press.timestamp = self._timestamp
        data = press.next(self._sequence, self._ssrc, now)
        buffer[: len(data)] = data
        self._sent(press, now)
        return len(data)

    def _sent(self, press: Press, now: float) -> None:
        if press.is_over:
            self._presses.popleft()
            self._resume_at = now + PAUSE

    def _tick(self) -> None:
        """Send a packet of a digit by itself where the end sends none."""
        now = time.monotonic()
        press = self._pressed(now)
        silent = now - self._last_at
        if press is not None and silent >= SILENCE:
            if self._ssrc < 0:
                self._ssrc, self._sequence, self._timestamp = (random.getrandbits(bits) for bits in (32, 15, 31))
            if not press.is_begun:
                press.timestamp = (self._timestamp + round(silent * press.rate)) & 0xFFFFFFFF
            self._offset += 1
            self._sequence = (self._sequence + 1) & 0xFFFF
            self._send(press.next(self._sequence, self._ssrc, now))
            self._sent(press, now)
        self._timer = self._loop.call_later(INTERVAL, self._tick) if self._presses else None
