"""Session descriptions of anchored calls: our addresses and ports in place of an endpoint's (RFC 3264, RFC 8866).

Media lines stay in number and order; codecs are filtered and ordered as asked; hold stays in the notation it came in;
ptime, fmtp and whatever else is not about addresses stays. ICE (RFC 8839) and bundling (RFC 9143) are taken out, since
both lead past us; so are keys of SRTP, since each side has its own (RFC 4568). What is not datagrams, or is refused by
a setting, gets port 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from media.description import Description, Medium, lines_without, parse
from media.errors import InvalidDescription
from media.ng import Options
from media.sdes import Crypto
from media.sdp import AFTER_CODECS, CodecList, filter_codecs, parse_encoding
from media.telephone_event import NAME, add_events

ICE_LINES: Final = (
    b"a=candidate:", b"a=remote-candidates:", b"a=end-of-candidates", b"a=ice-", b"a=group:BUNDLE", b"a=bundle-only",
)  # fmt: skip

_REPLACED: Final = (*ICE_LINES, b"a=rtcp:", b"a=rtcp-mux", b"a=crypto:")
_OTHER_KEYS: Final = (b"a=key-mgmt:", b"a=fingerprint:", b"a=setup:", b"a=tls-id:", b"k=")
"""What leads to SRTP in other ways than RFC 4568."""

_FEEDBACK: Final = b"a=rtcp-fb:"
CONVERTED: Final = frozenset({NAME})
"""What may be listed to one side though the other does not."""

_EVERYTHING: Final = frozenset({"all", "full"})


@dataclass(frozen=True, slots=True)
class Place:
    """Where a medium's receiver is to send."""

    address: str
    port: int
    rtcp_port: int | None = None
    """None: the medium has no RTCP."""

    is_muxed: bool = False
    """Whether RTCP may come to the port of RTP."""

    protocol: bytes = b""
    """What the receiver is shown; empty: as the sender has it."""

    keys: tuple[Crypto, ...] = ()
    """Ours for the receiver; none: it is in the clear, or its ends agree on keys by themselves."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Which media pass."""

    video: bool = True
    t38: bool = True

    def allows(self, medium: Medium) -> bool:
        """Whether a medium passes."""
        if not medium.is_relayable or (medium.is_fax and not self.t38):
            return False
        return self.video or medium.kind != "video"


def read_offer(body: bytes, options: Options, policy: Policy) -> Description:
    """Take an offer apart, its codecs already as the receiver will be offered them, refused media with port 0.

    Raises:
        InvalidDescription: it is malformed, or nothing of it is left.
    """
    session = parse(filter_offered(body, options))
    if not CONVERTED.isdisjoint(options.codec_transcode):
        for medium in session.media:
            add_events(medium, {})
    is_offered = any(medium.port for medium in session.media)
    for medium in session.media:
        if not policy.allows(medium):
            medium.port = 0
    if is_offered and not any(medium.port for medium in session.media):
        raise InvalidDescription("none of the media offered may be used")
    return session


def read_answer(body: bytes, offer: Sequence[tuple[str, bool]], options: Options) -> Description:
    """Take an answer apart.

    Args:
        body: The answer.
        offer: Kind of each medium of the offer, and whether it was offered.
        options: What the answer asks for.

    Raises:
        InvalidDescription: it is malformed, or does not answer this offer.
    """
    session = parse(filter_offered(body, options, reorder=False))
    # RFC 3264 §6: for each "m=" line in the offer, there MUST be a corresponding "m=" line in the answer.
    if [medium.kind for medium in session.media] != [kind for kind, _ in offer]:
        raise InvalidDescription("the media of the answer are not those of the offer")
    for medium, (_, is_offered) in zip(session.media, offer, strict=True):
        if not is_offered:
            medium.port = 0
    return session


def write(session: Description, places: Sequence[Place | None], options: Options) -> bytes:
    """Put a description together again with our places.

    Args:
        session: As it came.
        places: For each medium where the receiver is to send; None: it is refused.
        options: Which lines get our address.
    """
    first = next((place for place in places if place is not None), None)
    lines = list(lines_without(session.lines, ICE_LINES))
    shown = _session_address(lines, session, first)
    for index, line in enumerate(lines):
        if line.startswith(b"o=") and first is not None and "origin" in options.replace:
            lines[index] = b" ".join([*line.split()[:3], _network(first.address)])
        elif line.startswith(b"c="):
            lines[index] = b"c=" + _network(shown)
    for medium, place in zip(session.media, places, strict=True):
        lines += _write_medium(medium, place, options, shown)
    return b"\r\n".join([*lines, b""])


def _session_address(lines: Sequence[bytes], session: Description, first: Place | None) -> str:
    """What the session's own c= line will say; empty: it has none."""
    if not any(line.startswith(b"c=") for line in lines):
        return ""
    address = first.address if first is not None else "0.0.0.0"  # noqa: S104 - nobody's
    on_hold = any(line.startswith(b"c=") and line.split()[-1] in (b"0.0.0.0", b"::") for line in lines)
    return _nowhere(address) if on_hold else address


def _write_medium(medium: Medium, place: Place | None, options: Options, session_address: str) -> list[bytes]:
    protocol = place.protocol if place is not None and place.protocol else medium.protocol
    port = place.port if place is not None else 0
    written = [b"m=%b %d %b %b" % (medium.kind.encode("latin-1"), port, protocol, medium.formats)]
    lines = list(lines_without(medium.lines, _lines_to_drop(medium, protocol)))
    if place is None:
        return [*written, *(line for line in lines if not line.startswith(b"c="))]
    address = _nowhere(place.address) if medium.is_unspecified else place.address
    has_own = any(line.startswith(b"c=") for line in lines)
    if not has_own and address != session_address:
        # RFC 8866 §5: c= comes before the bandwidth and the attributes, after the title.
        at = 1 if lines and lines[0].startswith(b"i=") else 0
        lines.insert(at, b"c=")
    written += [b"c=" + _network(address) if line.startswith(b"c=") else line for line in lines]
    written += [key.to_line() for key in place.keys]
    if place.is_muxed:
        written.append(b"a=rtcp-mux")
    if place.rtcp_port is not None and medium.rtcp is not None:
        written.append(b"a=rtcp:%d" % (place.port if place.is_muxed else place.rtcp_port))
    return written


def _lines_to_drop(medium: Medium, protocol: bytes) -> tuple[bytes, ...]:
    if not medium.is_rtp:
        return _REPLACED
    dropped = _REPLACED if medium.is_passed_encrypted else (*_REPLACED, *_OTHER_KEYS)
    # RFC 4585 §4.2: only profiles with feedback have it.
    return dropped if protocol.upper().endswith(b"F") else (*dropped, _FEEDBACK)


def _network(address: str) -> bytes:
    return b"IN %b %b" % (b"IP6" if ":" in address else b"IP4", address.encode())


def _nowhere(address: str) -> str:
    return "::" if ":" in address else "0.0.0.0"  # noqa: S104 - on hold, the old way


# Codecs


class _Rules(CodecList):
    """Codecs less those that are stripped, those offered first where order is asked for."""

    __slots__ = ("_all_are_stripped", "_kept", "_order", "_stripped")

    def __init__(self, options: Options) -> None:
        super().__init__((), is_open=False)
        stripped = (*options.codec_strip, *options.codec_mask)
        self._all_are_stripped = not _EVERYTHING.isdisjoint(stripped)
        self._stripped = [parse_encoding(name) for name in stripped if name not in _EVERYTHING]
        self._kept = [parse_encoding(name) for name in (*options.codec_offer, *options.codec_except)]
        self._order = [parse_encoding(name) for name in options.codec_offer]

    def _look_up(self, encoding: str) -> int | None:
        parts = parse_encoding(encoding)
        if _matches(parts, self._stripped):
            return None
        speech = super()._look_up(encoding) != AFTER_CODECS
        if not speech:
            return AFTER_CODECS
        if self._all_are_stripped and not _matches(parts, self._kept):
            return None
        return next(
            (place for place, entry in enumerate(self._order) if entry == parts[: len(entry)]), len(self._order)
        )


def _matches(parts: tuple[str, ...], entries: Sequence[tuple[str, ...]]) -> bool:
    return any(entry == parts[: len(entry)] for entry in entries)


def filter_offered(body: bytes, options: Options, *, reorder: bool = True) -> bytes:
    """Take out and order the codecs of the audio lines as the options say.

    Raises:
        InvalidDescription: audio is offered and no codec is left.
    """
    if not (options.codec_strip or options.codec_mask or (options.reorder and options.codec_offer)):
        return body
    filtered = filter_codecs(body, _Rules(options), reorder=reorder and options.reorder)
    if filtered is None:
        raise InvalidDescription("none of the codecs offered may be used")
    return filtered
