"""Whether both sides of a call are heard: one-way audio and silence, as a word.

A side is silent when no packet of its sound has come for some time, or nothing but comfort noise (RFC 3389), which only
user space sees. On hold nobody need be heard.
"""

from typing import Final

from media.report import ONE_WAY, SILENT
from media.session import Call, Leg, Stream

_COMFORT_NOISE: Final = 13
_NAME: Final = "cn"


def listen(call: Call, now: float, after: float) -> bool:
    """Note in a call who is heard; returns whether it has come to be worse than ever before.

    Args:
        call: The call.
        now: Monotonic.
        after: A side is silent when nothing has come for so long, in seconds.
    """
    call.audio = ""
    streams = [each for each in call.streams if each.kind == "audio" and each.is_rtp and not each.is_refused]
    if not call.is_answered or call.is_early or any(call.holds) or not streams or now - call.active_at < after:
        return False
    silent = [all(_is_silent(stream, side, now, after) for stream in streams) for side in (0, 1)]
    call.audio = SILENT if all(silent) else ONE_WAY if any(silent) else ""
    if call.audio == call.audio_seen or not call.audio or call.audio_seen == SILENT:
        return False
    call.audio_seen = call.audio
    return True


def _is_silent(stream: Stream, side: int, now: float, after: float) -> bool:
    leg = stream.legs[side]
    return leg is None or now - leg.last_at >= after or _is_noise(stream, leg, now, after)


def _is_noise(stream: Stream, leg: Leg, now: float, after: float) -> bool:
    """Whether what comes has been nothing but comfort noise for so long."""
    reception = leg.rtp.reception
    if stream.flow is not None or reception is None or now - reception.changed_at < after:
        return False
    kind = reception.payload_type
    return kind == _COMFORT_NOISE or stream.codecs.get(kind, "").lower() == _NAME
