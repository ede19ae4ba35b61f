"""Files and tones as frames: what is taken, what is refused and why."""

import io
import math
import wave
from array import array
from pathlib import Path

import pytest
import structlog

from media import g722
from media.errors import InvalidPrompt
from media.g711 import encode
from media.prompt import FRAME, SECONDS_LIMIT, PromptLibrary, halve, read_wav
from tests.media.test_tone import strength


def sine(frequency: float, rate: int, seconds: float = 0.5) -> "array[int]":
    return array(
        "h", [round(9000 * math.sin(2 * math.pi * frequency * n / rate)) for n in range(round(seconds * rate))]
    )


def wav(samples: "array[int]", rate: int = 8000, channels: int = 1, width: int = 2) -> bytes:
    data = io.BytesIO()
    with wave.open(data, "wb") as file:
        file.setframerate(rate)
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.writeframes(samples.tobytes())
    return data.getvalue()


class TestReading:
    def test_file_of_8_khz_is_taken_as_it_is(self) -> None:
        samples = sine(1000, 8000)
        prompt = read_wav(wav(samples), "hello")
        assert (prompt.samples, prompt.seconds) == (samples, 0.5)

    @pytest.mark.parametrize("rate", [8000, 16_000])
    def test_last_frame_is_filled_up_with_silence(self, rate: int) -> None:
        prompt = read_wav(wav(sine(1000, rate)[: rate // 50 + 1], rate), "short")
        assert prompt.seconds == 0.04
        for codec, silence in (("PCMU", b"\xff"), ("PCMA", b"\xd5")):
            first, last = prompt.frames(codec)
            assert (len(first), last[20:]) == (FRAME, silence * (FRAME - 20))
            assert prompt.frames(codec) is prompt.frames(codec)  # converted once
        assert [len(frame) for frame in prompt.frames("G722")] == [FRAME, FRAME]

    def test_file_of_16_khz_keeps_speech_and_loses_what_8_khz_cannot_have(self) -> None:
        narrow = halve(sine(1000, 16_000))
        assert len(narrow) == 4000
        assert strength(narrow[400:3600], 1000) == pytest.approx(9000 / 32_767, rel=0.02)
        above = halve(sine(6000, 16_000))
        assert max(map(abs, above[400:3600])) < 100  # it would be heard at 2 kHz
        prompt = read_wav(wav(sine(1000, 16_000), 16_000), "wide")
        assert b"".join(prompt.frames("PCMA")) == encode(narrow, "PCMA")
        assert b"".join(prompt.frames("G722")) == g722.encode(sine(1000, 16_000), 16_000)

    @pytest.mark.parametrize(
        ("data", "reason"),
        [
            (wav(sine(1, 8000), 44_100), "44100 Hz, 1 channels, 16 bits; it must be WAV of 8 or 16 kHz, mono, 16 bits"),
            (wav(sine(1, 8000), channels=2), "2 channels"),
            (wav(sine(1, 8000), width=1), "8 bits"),
            (wav(array("h")), "not be empty"),
            (wav(array("h", [0]) * (8000 * SECONDS_LIMIT + 1)), "at most 120 s"),
            (b"ID3 and what follows", "no WAV file"),
            (b"", "no WAV file"),
        ],
    )
    def test_file_of_another_kind_is_refused_with_what_would_be_right(self, data: bytes, reason: str) -> None:
        with pytest.raises(InvalidPrompt, match="prompt greeting ") as caught:
            read_wav(data, "greeting")
        assert reason in str(caught.value)


class TestLibrary:
    def test_files_come_before_tones_of_their_name_and_bad_ones_are_named(self, tmp_path: Path) -> None:
        (tmp_path / "no-funds.wav").write_bytes(wav(sine(700, 8000)))
        (tmp_path / "sit.wav").write_bytes(wav(sine(700, 8000, 0.1)))
        (tmp_path / "bad.wav").write_bytes(b"nothing")
        (tmp_path / "readme.txt").write_text("no prompt")
        library = PromptLibrary(tmp_path)
        with structlog.testing.capture_logs() as logs:
            library.load()
        (entry,) = logs
        assert (entry["event"], entry["file"]) == ("prompt cannot be used", str(tmp_path / "bad.wav"))
        assert "it must be WAV of 8 or 16 kHz" in entry["reason"]
        assert {"no-funds", "sit", "busy-us", "ringback-eu"} <= set(library.names)
        assert library.find("sit").seconds == 0.1
        assert library.find("no-funds.wav") is library.find("no-funds")
        with pytest.raises(InvalidPrompt, match="no prompt 'bad'"):
            library.find("bad")

    def test_tones_are_there_without_a_directory(self) -> None:
        library = PromptLibrary()
        library.load()
        assert library.find("sit").seconds == 2.02
        with pytest.raises(InvalidPrompt):
            library.find("../../etc/passwd")
