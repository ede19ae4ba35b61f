"""The lines of telephone-events (RFC 4733 §2.4) in a medium: found, added where one side converts digits, taken out."""

from typing import Final

from media.description import Medium
from media.sdp import find_encodings, remove_attributes

NAME: Final = "telephone-event"

_USUAL: Final = 101
_DYNAMIC: Final = range(96, 128)
_RATE: Final = 8000


def events_of(medium: Medium) -> dict[int, int]:
    """Clock rate of the telephone-events that an end takes, by payload type."""
    listed = medium.formats.split() if medium.is_rtp and medium.kind == "audio" else []
    named = find_encodings(medium.lines)
    found: dict[int, int] = {}
    for payload in listed:
        name, _, rest = named.get(payload, b"").decode("latin-1").partition("/")
        rate = rest.partition("/")[0]
        if name.lower() == NAME and payload.isdigit() and len(payload) < 4 and rate.isdigit() and len(rate) < 9:
            found[int(payload)] = int(rate) or _RATE
    return found


def add_events(medium: Medium, known: dict[int, int]) -> None:
    """Let a medium have telephone-events, unless it has.

    Args:
        medium: Of audio; any other stays as it is.
        known: Those that are to be listed; none: a payload type that is free.
    """
    if not medium.is_rtp or medium.kind != "audio" or not medium.port or events_of(medium):
        return
    taken = {int(payload) for payload in medium.formats.split() if payload.isdigit() and len(payload) < 4}
    free = [payload for payload in (_USUAL, *_DYNAMIC) if payload not in taken]
    wanted = {payload: rate for payload, rate in known.items() if payload not in taken}
    if not wanted and not known and free:
        wanted = {free[0]: _RATE}
    for payload, rate in wanted.items():
        medium.formats += b" %d" % payload
        medium.lines += [b"a=rtpmap:%d %b/%d" % (payload, NAME.encode(), rate), b"a=fmtp:%d 0-15" % payload]


def drop_events(medium: Medium, known: dict[int, int]) -> None:
    """Take out telephone-events, but for those that whoever reads it has listed itself."""
    gone = {b"%d" % payload for payload in events_of(medium) if payload not in known}
    left = [payload for payload in medium.formats.split() if payload not in gone]
    if gone and left:
        medium.formats = b" ".join(left)
        medium.lines = remove_attributes(medium.lines, gone, is_last=False)
