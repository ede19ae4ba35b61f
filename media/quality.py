"""How a stream is heard: loss, jitter, round trip and MOS by the E-model (ITU-T G.107, planning values of G.113).

Loss and jitter of what an end sends are measured here while user space relays it, or taken from what the other end
reports by RTCP, which covers the whole way. The round trip is that from one end to the other: from here to each end,
by the sender reports that pass and the reports that answer them (RFC 3550 §6.4.1). What is not known is None.
"""

import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from media import rtcp

BASE_FACTOR: Final = 93.2
"""R of a connection without fault: defaults of G.107."""

IMPAIRMENTS: Final = {
    "pcmu": (0.0, 25.1), "pcma": (0.0, 25.1), "g722": (0.0, 25.1), "g729": (11.0, 19.0), "g723": (15.0, 16.1),
    "gsm": (20.0, 10.0), "g728": (7.0, 17.0), "ilbc": (11.0, 32.0), "amr": (5.0, 10.0),
}  # fmt: skip
"""Equipment impairment and robustness to loss by codec (G.113 Appendix I); G.711 with concealment."""

FRAME_DELAY: Final = 0.020
"""Of a packet that has to be full before it is sent, in seconds."""

_REPORTS_LIMIT: Final = 8


def rate(codec: str, loss: float, jitter: float, round_trip: float | None) -> float | None:
    """Estimate R of one direction.

    Args:
        codec: Encoding name.
        loss: Share of packets that did not arrive, 0 to 1.
        jitter: In seconds; the receiver is taken to wait for twice as long.
        round_trip: In seconds; None: taken as none.

    Returns:
        0 to 93.2; None: nothing is known of the codec.
    """
    known = IMPAIRMENTS.get(codec.lower())
    if known is None:
        return None
    impairment, robustness = known
    percent = 100 * loss
    # G.107 §7.4, losses at random.
    equipment = impairment + (95 - impairment) * percent / (percent + robustness)
    delay = (round_trip or 0.0) / 2 + 2 * jitter + FRAME_DELAY
    return max(0.0, BASE_FACTOR - _delay_impairment(delay) - equipment)


def _delay_impairment(delay: float) -> float:
    """Idd of G.107 §7.3: what too long a delay costs, echoes aside."""
    milliseconds = 1000 * delay
    if milliseconds <= 100:
        return 0.0
    x = math.log2(milliseconds / 100)
    return 25 * (math.pow(1 + math.pow(x, 6), 1 / 6) - 3 * math.pow(1 + math.pow(x / 3, 6), 1 / 6) + 2)


def mos(factor: float) -> float:
    """The mean opinion score of an R (G.107 Annex B), 1 to 4.5."""
    if factor <= 0:
        return 1.0
    bounded = min(factor, 100.0)
    return max(1.0, 1 + 0.035 * bounded + bounded * (bounded - 60) * (100 - bounded) * 7e-6)


@dataclass(slots=True)
class Heard:
    """What an end reported of the stream that it receives."""

    lost: int
    """Packets since the beginning."""

    jitter: int
    """In units of the timestamp."""


class ReportKeeper:
    """What the reports of one end tell: how it hears the other, and how far away it is."""

    __slots__ = ("_sent", "heard", "round_trip")

    def __init__(self) -> None:
        self.heard: Heard | None = None
        """Its newest report of the other end's stream."""
        self.round_trip: float | None = None
        """From here to it and back, in seconds."""
        self._sent: OrderedDict[int, float] = OrderedDict()

    def passed_on(self, ntp: int, now: float) -> None:
        """A sender report was passed on to this end."""
        self._sent[ntp] = now
        while len(self._sent) > _REPORTS_LIMIT:
            self._sent.popitem(last=False)

    def receive(self, report: rtcp.Report, now: float) -> None:
        """A report came from this end."""
        for block in report.blocks:
            self.heard = Heard(block.lost, block.jitter)
            sent_at = self._sent.get(block.last_report)
            if sent_at is not None:
                # Clocks of the ends need not agree: only ours and the delay that it states are used.
                self.round_trip = max(0.0, now - sent_at - block.delay / 65_536)


@dataclass(slots=True)
class Quality:
    """How one direction fared."""

    lost: int | None = None
    jitter: float | None = None
    """In seconds."""

    round_trip: float | None = None
    mos: float | None = None


def judge(
    codec: str, lost: int | None, expected: int, jitter: float | None, there: float | None, here: float | None
) -> Quality:
    """Put together what is known of one direction.

    Args:
        codec: Encoding name; empty: not known.
        lost: Packets that did not arrive.
        expected: Packets that should have.
        jitter: In seconds.
        there: Round trip to the end that sends, in seconds.
        here: Round trip to the end that hears.
    """
    quality = Quality(lost, jitter)
    if there is not None and here is not None:
        quality.round_trip = there + here
    if lost is not None and jitter is not None and expected > 0:
        factor = rate(codec, min(1.0, max(0, lost) / expected), jitter, quality.round_trip)
        quality.mos = None if factor is None else mos(factor)
    return quality
