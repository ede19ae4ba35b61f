"""Samples as bytes of G.722: what a decoder makes of them."""

from array import array

import pytest
from G722 import G722

from media.g722 import encode
from tests.media.test_prompt import sine
from tests.media.test_tone import strength


def decoded(samples: "array[int]", rate: int) -> "array[int]":
    data = encode(samples, rate)
    assert len(data) == len(samples) * 8000 // rate
    heard: array[int] = G722(16_000, 64_000).decode(data)
    return heard[1600:]  # after it has found its steps


@pytest.mark.parametrize(("frequency", "rate"), [(1000, 8000), (1000, 16_000), (6000, 16_000)])
def test_sound_is_heard_as_loud_as_it_was(frequency: int, rate: int) -> None:
    heard = decoded(sine(frequency, rate), rate)
    assert strength(heard, frequency, 16_000) == pytest.approx(9000 / 32_767, rel=0.02)


def test_samples_of_8_khz_leave_the_upper_half_silent() -> None:
    assert strength(decoded(sine(1000, 8000), 8000), 7000, 16_000) < 0.001


def test_beginning_is_that_of_another_encoder() -> None:
    data = encode(sine(1000, 16_000), 16_000)
    assert data[:20].hex() == "fa9224882190a0a020aec8c6cfddeeeaed7ad3cf"  # FFmpeg's, of the same samples
