"""RTP: its header, and what a receiver learns from sequence numbers and timestamps (RFC 3550 §5.1, A.1, A.3, A.8).

Loss and jitter of one stream as it arrives. A new SSRC, or a jump that the stream keeps, begins a new count that is
added to what was counted before.
"""

import struct
from collections.abc import Mapping
from typing import Final

HEADER: Final = struct.Struct("!BBHII")
"""Version and flags, marker and payload type, sequence number, timestamp, SSRC."""

HEADER_SIZE: Final = 12

MAX_DROPOUT: Final = 3000
"""A larger step forward is a jump (RFC 3550 A.1)."""

MAX_MISORDER: Final = 100
"""A packet so far behind is a late one; one further behind, a jump."""

CLOCK_RATE: Final = 8000
"""Of a payload type that nothing is known of."""

_SEQUENCES: Final = 1 << 16


def pack(payload_type: int, sequence: int, timestamp: int, ssrc: int, payload: bytes, *, marker: bool = False) -> bytes:
    """Write a packet without extension or contributing sources."""
    second = (0x80 if marker else 0) | payload_type
    return HEADER.pack(0x80, second, sequence & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc) + payload


class Reception:
    """What has arrived of one stream.

    Args:
        clock_rates: Clock rate of each payload type; None: its timestamps tell no time (telephone-event).
    """

    __slots__ = (
        "_base", "_cycles", "_earlier_expected", "_earlier_received", "_expected_jump", "_highest", "_rate",
        "_received", "_transit", "clock_rates", "jitter", "payload_type", "ssrc",
    )  # fmt: skip

    def __init__(self, clock_rates: Mapping[int, int | None] | None = None) -> None:
        self.clock_rates = clock_rates or {}
        self.ssrc = -1
        """Of the newest packet; -1: none came."""
        self.payload_type = -1
        self.jitter = 0.0
        """Interarrival jitter in seconds, smoothed as in A.8."""
        self._earlier_expected = self._earlier_received = 0
        self._base = self._highest = self._cycles = self._received = 0
        self._expected_jump = -1
        self._transit: float | None = None
        self._rate = 0

    def receive(self, data: bytes | bytearray | memoryview, now: float) -> None:
        """Count a packet of at least 12 bytes.

        Args:
            data: Begins with the packet.
            now: When it arrived, in seconds.
        """
        _, second, sequence, timestamp, ssrc = HEADER.unpack_from(data)
        if ssrc != self.ssrc:
            self._begin(sequence, ssrc)
        elif not self._advance(sequence):
            return
        self._received += 1
        payload_type = second & 0x7F
        if payload_type != self.payload_type:
            self.payload_type = payload_type
            self._rate = self.clock_rates.get(payload_type, CLOCK_RATE) or 0
            self._transit = None
        rate = self._rate
        if rate:
            # A.8, in seconds: the timestamp wraps, so only the difference of two transits counts.
            transit = now * rate - timestamp
            last = self._transit
            if last is not None:
                difference = abs((transit - last + 0x80000000) % 0x100000000 - 0x80000000) / rate
                self.jitter += (difference - self.jitter) / 16
            self._transit = transit

    @property
    def received(self) -> int:
        """Packets that came, those that came twice counted twice."""
        return self._earlier_received + self._received

    @property
    def expected(self) -> int:
        """Packets that should have come, by their sequence numbers."""
        if self.ssrc < 0:
            return 0
        return self._earlier_expected + self._cycles + self._highest - self._base + 1

    @property
    def lost(self) -> int:
        """Packets that did not come."""
        return max(0, self.expected - self.received)

    def reached(self, now: float) -> tuple[int, int, int] | None:
        """The SSRC, the newest sequence number, and the timestamp of what would come now; None: nobody knows."""
        if self.ssrc < 0 or self._transit is None:
            return None
        return self.ssrc, self._highest, round(now * self._rate - self._transit) & 0xFFFFFFFF

    def _begin(self, sequence: int, ssrc: int) -> None:
        self._earlier_expected, self._earlier_received = self.expected, self.received
        self.ssrc, self._base, self._highest = ssrc, sequence, sequence
        self._cycles = self._received = 0
        self._expected_jump = -1
        self._transit = None

    def _advance(self, sequence: int) -> bool:
        """Take in a sequence number; False: the packet is not to be counted."""
        step = (sequence - self._highest) & 0xFFFF
        if step < MAX_DROPOUT:
            if sequence < self._highest:
                self._cycles += _SEQUENCES
            self._highest = sequence
        elif step <= _SEQUENCES - MAX_MISORDER:
            # A.1: two packets in a row make a new beginning of what looked like a stray.
            if sequence != self._expected_jump:
                self._expected_jump = (sequence + 1) & 0xFFFF
                return False
            self._begin(sequence, self.ssrc)
            self._base = (sequence - 1) & 0xFFFF
            self._cycles = _SEQUENCES if self._base > sequence else 0
            self._received = 1
        return True
