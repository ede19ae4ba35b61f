"""G.711: samples of 16 bits as µ-law and A-law (ITU-T G.711), by tables that are made when they are first needed."""

from array import array
from collections.abc import Callable
from functools import cache
from typing import Final

_BIAS: Final = 0x84
_CLIP: Final = 32_635


def encode_ulaw(sample: int) -> int:
    """The byte of a sample in µ-law."""
    sign = 0x80 if sample < 0 else 0
    magnitude = min(abs(sample), _CLIP) + _BIAS
    exponent = magnitude.bit_length() - 8
    return ~(sign | exponent << 4 | magnitude >> exponent + 3 & 0x0F) & 0xFF


def encode_alaw(sample: int) -> int:
    """The byte of a sample in A-law."""
    sign = 0x80 if sample >= 0 else 0
    magnitude = min(sample if sample >= 0 else ~sample, 0x7FFF)
    exponent = max(0, magnitude.bit_length() - 8)
    mantissa = magnitude >> (exponent + 3 if exponent else 4) & 0x0F
    return (sign | exponent << 4 | mantissa) ^ 0x55


_LAWS: Final[dict[str, Callable[[int], int]]] = {"PCMU": encode_ulaw, "PCMA": encode_alaw}

CODECS: Final = tuple(_LAWS)
"""What can be written."""


@cache
def _table(codec: str) -> bytes:
    """The bytes of all samples, by their upper 13 bits: no law looks at the others."""
    law = _LAWS[codec]
    return bytes(law(((index ^ 0x1000) - 0x1000) << 3) for index in range(1 << 13))


def encode(samples: "array[int]", codec: str) -> bytes:
    """Write samples as PCMU or PCMA."""
    table = _table(codec)
    return bytes([table[sample >> 3 & 0x1FFF] for sample in samples])
