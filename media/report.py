"""What an engine says of a call: the figures of each side, as `query` and `delete` answer them.

The answer is rtpengine's: `tags` by tag, each with its `medias`, each with its `streams` (RTP first, then RTCP). What
our own engine knows besides stands in a medium under `quality`. What nobody measured is None, never 0.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from media import ng

ONE_WAY: Final = "one-way"
"""Sound comes from one side and not from the other."""

SILENT: Final = "silent"
"""Sound comes from neither."""


@dataclass(slots=True)
class MediumReport:
    """What came from one side in one medium."""

    kind: str = ""
    """audio, video, image, …"""

    packets: int = 0
    """RTP packets received, or what else the medium carries."""

    octets: int = 0
    """Bytes of their payloads and RTP headers."""

    errors: int = 0
    """Packets not passed on: from a stranger, or not sendable."""

    source: str = ""
    """Address and port that they came from; empty: none came."""

    last_packet_at: int | None = None
    """When the last one came, in seconds since 1970."""

    in_kernel: bool = False
    """Whether the kernel passes them on."""

    lost: int | None = None
    """Packets that did not arrive; None: not measured, as below."""

    jitter_ms: float | None = None
    round_trip_ms: float | None = None
    mos: float | None = None
    """1 to 4.5 by the E-model, what the other side hears of this one."""


@dataclass(slots=True)
class CallReport:
    """The figures of a call."""

    sides: dict[str, list[MediumReport]] = field(default_factory=dict)
    """By tag, in the order of the media lines."""

    audio: str = ""
    """Who is not heard now: `one-way`, `silent` (`media/listening.py`); empty: no fault, or the engine does not say."""

    audio_seen: str | None = None
    """The worst of these that there was; None: the engine does not say, so only what never came is known."""

    @classmethod
    def from_message(cls, message: ng.Message) -> "CallReport":
        """Read the answer of an engine; what is not there, or malformed, is left out."""
        sides: dict[str, list[MediumReport]] = {}
        qualities = _qualities(_mapping(message.get("SSRC")))
        for tag, side in _mapping(message.get("tags")).items():
            media = _mapping(side).get("medias")
            sides[tag] = [_medium(_mapping(each), qualities) for each in media] if isinstance(media, list) else []
        seen = None if message.get("audio seen") is None else _word(message["audio seen"])
        return cls(sides, _word(message.get("audio")), seen)

    @property
    def silent(self) -> list[str]:
        """Tags of the sides from which no packet of audio came at all."""
        return [
            tag
            for tag, media in self.sides.items()
            if (audio := [each for each in media if each.kind == "audio"]) and not any(each.packets for each in audio)
        ]

    @property
    def is_one_way(self) -> bool:
        """Whether audio came from one side only."""
        return 0 < len(self.silent) < len(self.sides)

    def verdict(self, talked: float, after: float) -> str:
        """Who was not heard in a call that is over: `one-way`, `silent`, or empty.

        Args:
            talked: How long the call lasted, in seconds.
            after: How long a side must have been silent; of an engine that tells no more, the whole call.
        """
        if self.audio_seen is not None or talked < after:
            return self.audio_seen or ""
        return ONE_WAY if self.is_one_way else SILENT if self.silent else ""


def read_figures(figures: Mapping[str, Any]) -> dict[str, Any]:
    """What an engine says of itself, ours or an rtpengine, by the same names; what it does not say is None."""
    # rtpengine's stand below a heading.
    theirs = _mapping(figures.get("currentstatistics"))
    path = figures.get("path")
    return {
        "sessions": _number(figures.get("calls", theirs.get("sessionstotal"))),
        "ports": _number(figures.get("ports")),
        "kernel_streams": _number(figures.get("kernel streams")),
        "plays": _number(figures.get("plays")),
        "packets_per_second": _number(figures.get("packets per second", theirs.get("packetrate"))),
        "path": path if isinstance(path, str) else None,
    }


def _word(value: object) -> str:
    return str(value) if value in (ONE_WAY, SILENT) else ""


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _qualities(sources: Mapping[str, Any]) -> dict[int, Mapping[str, Any]]:
    """What rtpengine measured by SSRC: averages, MOS in tenths, and what was lost."""
    return {
        int(ssrc): {**_mapping(_mapping(each).get("average MOS")), "lost": _mapping(each).get("cumulative loss")}
        for ssrc, each in sources.items()
        if ssrc.isdigit()
    }


def _medium(medium: Mapping[str, Any], qualities: Mapping[int, Mapping[str, Any]]) -> MediumReport:
    report = MediumReport(kind=str(medium.get("type", "")))
    streams = medium.get("streams")
    stream = _mapping(_first(streams if isinstance(streams, list) else ()))
    stats, endpoint = _mapping(stream.get("stats")), _mapping(stream.get("endpoint"))
    report.packets, report.octets = _number(stats.get("packets")) or 0, _number(stats.get("bytes")) or 0
    report.errors = _number(stats.get("errors")) or 0
    report.last_packet_at = _number(stream.get("last packet")) if report.packets else None
    if report.packets and endpoint:
        report.source = f"{endpoint.get('address', '')}:{endpoint.get('port', '')}"
    flags = stream.get("flags")
    report.in_kernel = isinstance(flags, list) and "kernelized" in flags
    if quality := _mapping(medium.get("quality")):
        report.lost = _number(quality.get("lost"))
        report.jitter_ms, report.round_trip_ms = _decimal(quality, "jitter-ms"), _decimal(quality, "round-trip-ms")
        report.mos = _decimal(quality, "mos")
    elif quality := qualities.get(_number(stream.get("SSRC")) or 0, {}):
        report.lost = _number(quality.get("lost"))
        mos = _number(quality.get("MOS"))
        report.mos = mos / 10 if mos else None
        report.jitter_ms = _decimal(quality, "jitter")
        round_trip = _decimal(quality, "round-trip time")
        report.round_trip_ms = round_trip / 1000 if round_trip is not None else None
    return report


def _first(values: Iterable[object]) -> object:
    return next(iter(values), None)


def _number(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _decimal(values: Mapping[str, Any], key: str) -> float | None:
    """A number; bencode has whole ones only, so ours come as texts."""
    try:
        return float(values[key])
    except (KeyError, TypeError, ValueError):
        return None
