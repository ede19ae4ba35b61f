"""Tones that are worked out and not recorded: ringing, busy, reorder, and the three notes before an announcement (SIT).

Frequencies and times are those of ITU-T E.180 and of the country groups that share them. Samples are of 8 kHz.
"""

import math
from array import array
from dataclasses import dataclass
from typing import Final

SAMPLE_RATE: Final = 8000

LEVEL: Final = 0.18
"""Of a tone of one frequency, as a share of full scale: about -15 dBm0; of two, each has the half."""

_EDGE: Final = 40
"""Samples in which a tone comes and goes: a sudden one clicks."""

Segment = tuple[tuple[float, ...], float]
"""Frequencies that sound together, none for a pause, and for how many seconds."""


@dataclass(frozen=True, slots=True)
class Tone:
    """One period of a tone."""

    segments: tuple[Segment, ...]

    def samples(self) -> "array[int]":
        """Work it out."""
        samples: array[int] = array("h")
        for frequencies, seconds in self.segments:
            samples.extend(_sound(frequencies, round(seconds * SAMPLE_RATE)))
        return samples


def _sound(frequencies: tuple[float, ...], count: int) -> list[int]:
    if not frequencies:
        return [0] * count
    scale = 32_767 * LEVEL / len(frequencies)
    steps = [2 * math.pi * frequency / SAMPLE_RATE for frequency in frequencies]
    return [
        round(scale * min(1.0, (at + 1) / _EDGE, (count - at) / _EDGE) * sum(math.sin(step * at) for step in steps))
        for at in range(count)
    ]


COUNTRIES: Final = ("us", "uk", "eu")
"""Groups of countries whose tones are alike: North America, the United Kingdom, most of Europe."""

TONES: Final = {
    "ringback-us": Tone((((440, 480), 2.0), ((), 4.0))),
    "ringback-uk": Tone((((400, 450), 0.4), ((), 0.2), ((400, 450), 0.4), ((), 2.0))),
    "ringback-eu": Tone((((425,), 1.0), ((), 4.0))),
    "busy-us": Tone((((480, 620), 0.5), ((), 0.5))),
    "busy-uk": Tone((((400,), 0.38), ((), 0.38))),
    "busy-eu": Tone((((425,), 0.5), ((), 0.5))),
    "reorder-us": Tone((((480, 620), 0.26), ((), 0.24))),
    "reorder-uk": Tone((((400,), 0.4), ((), 0.36), ((400,), 0.22), ((), 0.52))),
    "reorder-eu": Tone((((425,), 0.26), ((), 0.24))),
    "sit": Tone((((950,), 0.34), ((1400,), 0.34), ((1800,), 0.34), ((), 1.0))),
}
"""By the names that they are played by. Times are multiples of a packet's 20 ms, so that a repeated tone has no gap."""
