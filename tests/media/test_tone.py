"""Generated tones: they have the frequencies and the times that their names promise."""

import math
from array import array

import pytest

from media.prompt import FRAME
from media.tone import COUNTRIES, SAMPLE_RATE, TONES


def strength(samples: "array[int]", frequency: float, rate: int = SAMPLE_RATE) -> float:
    """How much of a frequency there is (Goertzel), as a share of what a full tone has."""
    step = 2 * math.pi * frequency / rate
    sums = [sum(s * wave(step * n) for n, s in enumerate(samples)) for wave in (math.sin, math.cos)]
    return 2 * math.hypot(*sums) / len(samples) / 32_767


@pytest.mark.parametrize(
    ("name", "frequencies", "others"),
    [
        ("ringback-us", (440, 480), (425, 620)),
        ("ringback-uk", (400, 450), (480, 620)),
        ("ringback-eu", (425,), (480, 620)),
        ("busy-us", (480, 620), (425,)),
        ("reorder-eu", (425,), (620,)),
    ],
)
def test_tone_has_its_frequencies_and_no_others(
    name: str, frequencies: tuple[float, ...], others: tuple[float, ...]
) -> None:
    tone = TONES[name]
    sound = tone.samples()[: round(tone.segments[0][1] * SAMPLE_RATE)][:1600]
    assert all(strength(sound, each) > 0.05 for each in frequencies)
    assert all(strength(sound, each) < 0.03 for each in others)


def test_special_information_tone_rises_in_three_notes() -> None:
    samples, length = TONES["sit"].samples(), round(0.34 * SAMPLE_RATE)
    for number, frequency in enumerate((950, 1400, 1800)):
        assert strength(samples[number * length : (number + 1) * length], frequency) > 0.1
    assert set(samples[3 * length :]) == {0}


def test_ringing_lasts_as_long_as_in_its_country() -> None:
    seconds = {each: len(TONES[f"ringback-{each}"].samples()) / SAMPLE_RATE for each in COUNTRIES}
    assert seconds == {"us": 6.0, "uk": 3.0, "eu": 5.0}


@pytest.mark.parametrize("name", TONES)
def test_tone_is_whole_packets_and_never_too_loud(name: str) -> None:
    samples = TONES[name].samples()
    assert len(samples) % FRAME == 0
    assert max(map(abs, samples)) < 7000
