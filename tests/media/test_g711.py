"""Samples as bytes of G.711, against the values of the recommendation and what a decoder makes of them."""

from array import array

import pytest

from media.g711 import encode, encode_alaw, encode_ulaw


def decode_ulaw(byte: int) -> int:
    byte = ~byte & 0xFF
    magnitude = (((byte & 0x0F) << 3) + 0x84 << (byte >> 4 & 7)) - 0x84
    return -magnitude if byte & 0x80 else magnitude


def decode_alaw(byte: int) -> int:
    byte ^= 0x55
    exponent, mantissa = byte >> 4 & 7, byte & 0x0F
    magnitude = (mantissa << 4) + 8 if not exponent else (mantissa << 4) + 0x108 << exponent - 1
    return magnitude if byte & 0x80 else -magnitude


@pytest.mark.parametrize(("sample", "ulaw", "alaw"), [(0, 0xFF, 0xD5), (32_767, 0x80, 0xAA), (-32_768, 0x00, 0x2A)])
def test_ends_and_silence_are_those_of_the_recommendation(sample: int, ulaw: int, alaw: int) -> None:
    assert (encode_ulaw(sample), encode_alaw(sample)) == (ulaw, alaw)


@pytest.mark.parametrize(("codec", "decode"), [("PCMU", decode_ulaw), ("PCMA", decode_alaw)])
def test_decoder_gets_each_sample_back_within_a_step(codec: str, decode: object) -> None:
    samples = array("h", range(-32_768, 32_768, 37))
    for sample, byte in zip(samples, encode(samples, codec), strict=True):
        back = decode(byte)  # type: ignore[operator]
        assert abs(back - sample) <= max(8, abs(sample) >> 4), sample
        assert back * sample >= 0
