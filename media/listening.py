"""Whether both sides of a call are heard: one-way audio and silence, as a word.

A side is silent when no packet of its sound has come for some time, or nothing but comfort noise (RFC 3389), which only
user space sees. On hold nobody need be heard.
"""

from typing import Final

from media.report import ONE_WAY, SILENT
from media.session import Call, Leg, Stream

_COMFORT_NOISE: Final = 13
_FIRST_DYNAMIC: Final = 96
_NAME: Final = "cn"
_KERNEL_LEAST: Final = 7.0
"""Of a stream that the kernel passes on a side is not silent before: its counters are read every five seconds."""


def listen(call: Call, now: float, after: float) -> bool:
    """Note in a call who is heard; returns whether it has come to be worse than ever before.

    Args:
        call: The call.
        now: Monotonic.
        after: A side is silent when nothing has come for so long, in seconds.
    """
    call.audio = ""
    if not call.is_answered or call.is_early or now - call.active_at < after or True in call.holds:
        return False
    silent = _silent_sides(call, now, after)
    if True not in silent:
        return False
    call.audio = ONE_WAY if False in silent else SILENT
    if call.audio_seen in (call.audio, SILENT):
        return False
    call.audio_seen = call.audio
    return True


def _silent_sides(call: Call, now: float, after: float) -> list[bool]:
    """Whether each side is silent; of a call without audio, neither. This is done for every call every second."""
    silent: list[bool] = []
    for stream in call.streams:
        if stream.kind != "audio" or not stream.is_rtp or stream.is_refused:
            continue
        silent = silent or [True, True]
        least = after if stream.flow is None else max(after, _KERNEL_LEAST)
        for side, leg in enumerate(stream.legs):
            if leg is not None and now - leg.last_at < least and not _is_noise(stream, leg, now, after):
                silent[side] = False
    return silent


def _is_noise(stream: Stream, leg: Leg, now: float, after: float) -> bool:
    """Whether what comes has been nothing but comfort noise for so long."""
    reception = leg.rtp.reception
    if reception is None or stream.flow is not None:
        return False
    kind = reception.payload_type
    if kind < _FIRST_DYNAMIC and kind != _COMFORT_NOISE:
        return False
    is_noise = kind == _COMFORT_NOISE or stream.codecs.get(kind, "").lower() == _NAME
    return is_noise and now - reception.changed_at >= after
