"""The answer to an offer that nobody else answers: a caller that hears only an engine (RFC 3264 §6)."""

from typing import Final

from media.description import Description, Medium, parse
from media.errors import InvalidDescription
from media.prompt import CODECS
from media.sdp import STATIC_ENCODINGS, find_encodings

DISCARD: Final = 9
"""Port that nobody listens on: what the caller says is not wanted."""

_PLAIN: Final = (b"RTP/AVP", b"RTP/AVPF")


def answer_alone(offer: bytes, address: str) -> bytes | None:
    """Answer with the first audio that prompts can be played in; the other media are refused.

    Args:
        offer: The caller's.
        address: Of ours; an engine puts its own in its place.

    Returns:
        None: the offer has no such audio, is on hold, or cannot be read.
    """
    try:
        session = parse(offer)
    except InvalidDescription:
        return None
    for medium in session.media:
        if medium.kind == "audio" and medium.port and not medium.is_held and medium.protocol.upper() in _PLAIN:
            payload = _payload(medium)
            if payload is not None:
                return _write(session, medium, *payload, address)
    return None


def _payload(medium: Medium) -> tuple[bytes, bytes] | None:
    """The first payload type that can be played, and its encoding; None: there is none."""
    named = find_encodings(medium.lines)
    for number in medium.formats.split():
        encoding = named.get(number) or STATIC_ENCODINGS.get(number, b"")
        if encoding.decode("latin-1").upper() in {f"{codec}/8000" for codec in CODECS}:
            return number, encoding
    return None


def _write(session: Description, chosen: Medium, number: bytes, encoding: bytes, address: str) -> bytes:
    network = b"IN %b %b" % (b"IP6" if ":" in address else b"IP4", address.encode())
    lines = [b"v=0", b"o=- 1 1 " + network, b"s=-", b"c=" + network, b"t=0 0"]
    for medium in session.media:
        kind = medium.kind.encode("latin-1")
        if medium is chosen:
            lines.append(b"m=%b %d %b %b" % (kind, DISCARD, medium.protocol, number))
            lines += [b"a=rtpmap:%b %b" % (number, encoding), b"a=ptime:20"]
        else:
            lines.append(b"m=%b 0 %b %b" % (kind, medium.protocol, medium.formats))
    return b"\r\n".join([*lines, b""])
