"""What can be played: an operator's files of a directory, and generated tones, as frames of 20 ms for each codec.

A file is WAV: 8 or 16 kHz, mono, 16 bits. It is converted when it is loaded, once for each codec, so that playing costs
no more than sending. In G.722 a file of 16 kHz keeps what it has above 4 kHz.
"""

import io
import math
import sys
import wave
from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import structlog

from media import g711, g722
from media.errors import InvalidPrompt
from media.tone import SAMPLE_RATE, TONES

log = structlog.get_logger()

CODECS: Final = (*g711.CODECS, g722.CODEC)
"""What can be played in. Each has 8000 bytes and ticks of RTP a second (RFC 3551 §4.5.2 for G.722)."""

FRAME: Final = 160
"""Bytes of a frame, and ticks of RTP."""

FRAME_SECONDS: Final = 0.02

SECONDS_LIMIT: Final = 120
"""Longest file."""

FILES_LIMIT: Final = 200
"""Most files of a directory."""

_WIDE_RATE: Final = 16_000

_REACH: Final = 19
"""Samples before and after that have a part in one."""


def _half_band() -> list[float]:
    """Every other tap, from the middle on, of a low pass at a quarter of the rate; those between are 0."""
    at = range(1, _REACH + 1, 2)
    window = [
        0.42 + 0.5 * math.cos(math.pi * n / (_REACH + 1)) + 0.08 * math.cos(2 * math.pi * n / (_REACH + 1)) for n in at
    ]
    taps = [each * math.sin(math.pi * n / 2) / (math.pi * n) for n, each in zip(at, window, strict=True)]
    return [0.25 * tap / sum(taps) for tap in taps]


@dataclass(slots=True)
class Prompt:
    """Something to play.

    Args:
        name: What it is called.
        samples: Its sound.
        rate: How many of them are a second: 8,000 or 16,000.
    """

    name: str
    samples: "array[int]"
    rate: int = SAMPLE_RATE
    _frames: dict[str, list[bytes]] = field(default_factory=dict)
    _narrow: "array[int] | None" = None
    """The samples of 8 kHz, once they were needed."""

    def __post_init__(self) -> None:
        """Fill the last frame up with silence."""
        missing = -len(self.samples) % round(self.rate * FRAME_SECONDS)
        self.samples = self.samples + array("h", bytes(2 * missing))

    @property
    def seconds(self) -> float:
        """How long it is, played once: whole frames."""
        return len(self.samples) / self.rate

    def frames(self, codec: str) -> list[bytes]:
        """Its payloads in a codec."""
        frames = self._frames.get(codec)
        if frames is None:
            data = self._encode(codec)
            frames = self._frames[codec] = [data[at : at + FRAME] for at in range(0, len(data), FRAME)]
        return frames

    def prepare(self) -> None:
        """Convert it for every codec."""
        for codec in CODECS:
            self.frames(codec)

    def _encode(self, codec: str) -> bytes:
        if codec == g722.CODEC:
            return g722.encode(self.samples, self.rate)
        if self._narrow is None:
            self._narrow = self.samples if self.rate == SAMPLE_RATE else halve(self.samples)
        return g711.encode(self._narrow, codec)


def read_wav(data: bytes, name: str) -> Prompt:
    """Read a file.

    Raises:
        InvalidPrompt: it is not of the right kind; the text names it and says what would be.
    """
    right = "8 or 16 kHz, mono, 16 bits, without compression"
    try:
        with wave.open(io.BytesIO(data)) as file:
            rate, channels, width = file.getframerate(), file.getnchannels(), file.getsampwidth()
            count = file.getnframes()
            found = f"{rate} Hz, {channels} channels, {8 * width} bits"
            if (channels, width) != (1, 2) or rate not in (SAMPLE_RATE, _WIDE_RATE):
                raise InvalidPrompt(f"prompt {name} is of {found}; it must be WAV of {right}")
            if not 0 < count <= SECONDS_LIMIT * rate:
                raise InvalidPrompt(f"prompt {name} must last at most {SECONDS_LIMIT} s, and not be empty")
            samples = array("h", file.readframes(count))
    except (wave.Error, EOFError, ValueError) as error:
        raise InvalidPrompt(f"prompt {name} is no WAV file ({error}); it must be WAV of {right}") from error
    if sys.byteorder == "big":
        samples.byteswap()
    return Prompt(name, samples, rate)


def halve(samples: "array[int]") -> "array[int]":
    """Bring samples from 16 to 8 kHz."""
    reach = _REACH
    padded = [0] * reach + samples.tolist() + [0] * (reach + 1)
    count = len(samples) // 2
    middle = padded[reach : reach + 2 * count : 2]
    total = [0.5 * each for each in middle]
    for number, tap in enumerate(_half_band()):
        distance = 2 * number + 1
        before = padded[reach - distance : reach - distance + 2 * count : 2]
        after = padded[reach + distance : reach + distance + 2 * count : 2]
        total = [sum_ + tap * (b + a) for sum_, b, a in zip(total, before, after, strict=True)]
    return array("h", [max(-32_768, min(32_767, round(each))) for each in total])


class PromptLibrary:
    """What can be played by name: an operator's files, and tones; a file comes before the tone of its name.

    Args:
        directory: Where the files are; None: there are none.
    """

    def __init__(self, directory: Path | None = None) -> None:
        self._directory = directory
        self._prompts: dict[str, Prompt] = {}

    def load(self) -> None:
        """Read and convert everything; files that cannot be used are logged with what is wrong. Takes a while."""
        prompts = {prompt.name: prompt for prompt in self._read_files()}
        for name, tone in TONES.items():
            prompts.setdefault(name, Prompt(name, tone.samples()))
        for prompt in prompts.values():
            prompt.prepare()
        self._prompts = prompts

    def _read_files(self) -> Iterable[Prompt]:
        paths = sorted(self._directory.glob("*.wav")) if self._directory is not None else []
        for path in paths[:FILES_LIMIT]:
            try:
                yield read_wav(path.read_bytes(), path.stem)
            except (InvalidPrompt, OSError) as error:
                log.error("prompt cannot be used", file=str(path), reason=str(error))
        if len(paths) > FILES_LIMIT:
            log.error("too many prompts, the others are left out", directory=str(self._directory), most=FILES_LIMIT)

    @property
    def names(self) -> list[str]:
        """Everything that can be played."""
        return sorted(self._prompts)

    def find(self, name: str) -> Prompt:
        """Return a prompt, with or without `.wav`.

        Raises:
            InvalidPrompt: there is none of this name.
        """
        prompt = self._prompts.get(name.removesuffix(".wav"))
        if prompt is None:
            raise InvalidPrompt(f"there is no prompt {name!r}")
        return prompt
