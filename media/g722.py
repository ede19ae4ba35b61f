"""G.722: samples of 16 bits as sub-band ADPCM of 64 kbit/s (ITU-T G.722), by the library of that name."""

from array import array
from typing import Final

from G722 import G722

CODEC: Final = "G722"

_BITS: Final = 64_000
"""A second; what RTP has (RFC 3551 §4.5.2)."""


def encode(samples: "array[int]", rate: int) -> bytes:
    """Write samples of 8,000 or 16,000 a second; those of 8,000 leave the upper half of the band silent."""
    data: bytes = G722(rate, _BITS).encode(samples)
    return data
