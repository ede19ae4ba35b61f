"""Session descriptions as far as bypassed media needs them: whose session it is, and which codecs it may use.

RFC 8866 lines, RFC 3551 static payload types, RFC 3264 §6 refusal of a stream. Bodies stay bytes; only the lines that
matter are looked at. What leads from one payload type to another inside a=fmtp (RED, RTX) is not followed.
"""

import re
import sys
from collections.abc import Iterable, Sequence
from typing import Final, Self

STATIC_ENCODINGS: Final = {
    b"0": b"PCMU/8000", b"3": b"GSM/8000", b"4": b"G723/8000", b"5": b"DVI4/8000", b"6": b"DVI4/16000",
    b"7": b"LPC/8000", b"8": b"PCMA/8000", b"9": b"G722/8000", b"10": b"L16/44100/2", b"11": b"L16/44100/1",
    b"12": b"QCELP/8000", b"13": b"CN/8000", b"14": b"MPA/90000", b"15": b"G728/8000", b"16": b"DVI4/11025",
    b"17": b"DVI4/22050", b"18": b"G729/8000", b"26": b"JPEG/90000", b"31": b"H261/90000", b"34": b"H263/90000",
}  # fmt: skip
"""RFC 3551 tables 4 and 5: payload types that need no rtpmap."""

STATIC_PAYLOADS: Final = {
    number.decode(): encoding.decode().partition("/")[0] for number, encoding in STATIC_ENCODINGS.items()
}
"""Their names alone."""

NOT_SPEECH: Final = frozenset({"telephone-event", "cn"})
"""In lower case, which an encoding name may be in or not."""

ALIASES: Final = {
    "g711a": "PCMA", "alaw": "PCMA", "g711u": "PCMU", "ulaw": "PCMU", "g.729": "G729", "g729a": "G729",
}  # fmt: skip
"""What people, and some phones in their rtpmap, call a codec; G.729 Annex A is the same on the wire."""

AFTER_CODECS: Final = sys.maxsize
"""Place of what always stays: telephone-event and comfort noise."""

PLACES_LIMIT: Final = 128
"""Encodings a list remembers the place of; an endpoint may send any."""

ENCODING_LIMIT: Final = 64
"""Bytes of an encoding that is worth remembering."""

INTERSECTIONS_LIMIT: Final = 256
"""Lists a list remembers its intersection with: those of the carriers."""

# RFC 8866 §9: encoding-name is a token. One without a letter would be taken for a payload type number.
CODEC_NAME: Final = re.compile(
    r"(?=[^/]*[A-Za-z])([!#$%&'*+\-.^_`{|}~0-9A-Za-z]+)((?:/[1-9][0-9]{0,8}(?:/[1-9][0-9]{0,2})?)?)"
)

# Offered, for the port is not 0; what follows "m=". The groups are port, protocol and payload types. The protocol is
# possessive, so that no line takes quadratic time.
AUDIO_LINE: Final = re.compile(rb"audio [ \t]*(0*[1-9][0-9]*(?:/[0-9]+)?)[ \t]+(\S++)[ \t]+(\S[^\n]*)")

PAYLOAD_ATTRIBUTES: Final = (b"a=rtpmap:", b"a=fmtp:", b"a=rtcp-fb:")


def parse_encoding(encoding: str) -> tuple[str, ...]:
    """Split into name, clock rate and channels, as far as they are said; in lower case, aliases resolved."""
    name, *rest = [part.strip() for part in encoding.lower().split("/")]
    return (ALIASES.get(name, name).lower(), *rest)


class CodecList:
    """Codecs an account or a carrier may use, the preferred first; an open one allows every codec.

    An entry with a clock rate (`L16/44100`), or with channels too (`L16/44100/2`), allows only that; one without allows
    all of its name. Made once and shared: it remembers what it was asked.
    """

    __slots__ = ("_entries", "_intersections", "_places", "is_open", "names")

    def __init__(self, names: tuple[str, ...], *, is_open: bool) -> None:
        self.is_open = is_open
        """Whether every codec is allowed. A list without a name that is not open allows none."""
        self.names = names
        """As they were given, aliases resolved."""
        self._entries = tuple(parse_encoding(name) for name in names)
        self._places: dict[bytes, int | None] = {}
        self._intersections: dict[CodecList, CodecList] = {}

    @classmethod
    def of(cls, names: Sequence[str]) -> Self:
        """Make a list from names such as `PCMU`, `g729`, `alaw` or `opus/48000`; from none, an open one.

        Raises:
            ValueError: A name is empty or malformed; the message holds it.
        """
        unique: dict[tuple[str, ...], str] = {}
        for given in names:
            match = CODEC_NAME.fullmatch(given.strip())
            if match is None:
                msg = f"not a codec name: {given!r}"
                raise ValueError(msg)
            name = ALIASES.get(match[1].lower(), match[1]) + match[2]
            unique.setdefault(parse_encoding(name), name)
        return cls(tuple(unique.values()), is_open=not unique)

    def allows(self, name: str) -> bool:
        """Whether the codec may be used; without its clock rate or channels: whether any of that name may."""
        parts = parse_encoding(name)
        return self.is_open or parts[0] in NOT_SPEECH or self._find(parts) is not None

    def place(self, encoding: bytes) -> int | None:
        """Find the place in the order of preference of an encoding as rtpmap has it; None when it is not allowed.

        Returns:
            0 for the most preferred, the same for all in an open list, AFTER_CODECS for telephone-event and CN.
        """
        try:
            return self._places[encoding]
        except KeyError:
            place = self._look_up(encoding.decode("latin-1"))
            if len(encoding) <= ENCODING_LIMIT:
                if len(self._places) >= PLACES_LIMIT:
                    self._places.clear()
                self._places[encoding] = place
            return place

    def intersect(self, other: "CodecList") -> "CodecList":
        """Keep what both allow, in this order of preference; of two entries that overlap, the narrower."""
        if self.is_open or other.is_open:
            return other if self.is_open else self
        common = self._intersections.get(other)
        if common is None:
            if len(self._intersections) >= INTERSECTIONS_LIMIT:
                self._intersections.clear()
            common = self._intersections[other] = CodecList(self._overlap(other), is_open=False)
        return common

    def _look_up(self, encoding: str) -> int | None:
        parts = parse_encoding(encoding)
        if parts[0] in NOT_SPEECH:
            return AFTER_CODECS
        if self.is_open:
            return 0
        # RFC 8866 §6.6: one channel may be left out.
        return self._find((*parts, "1") if len(parts) == 2 else parts)

    def _find(self, parts: tuple[str, ...]) -> int | None:
        for index, entry in enumerate(self._entries):
            if entry[: len(parts)] == parts[: len(entry)]:
                return index
        return None

    def _overlap(self, other: "CodecList") -> tuple[str, ...]:
        names: dict[tuple[str, ...], str] = {}
        for ours in self.names:
            for theirs in other.names:
                entry, their_entry = parse_encoding(ours), parse_encoding(theirs)
                if entry[: len(their_entry)] == their_entry[: len(entry)]:
                    names.setdefault(*max((entry, ours), (their_entry, theirs), key=lambda named: len(named[0])))
        return tuple(names.values())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, CodecList):
            return NotImplemented
        return self._entries == other._entries and self.is_open == other.is_open

    def __hash__(self) -> int:
        return hash(self._entries)

    def __str__(self) -> str:
        return ",".join(self.names)

    def __repr__(self) -> str:
        return f"CodecList({', '.join(self.names)}{'open' if self.is_open else ''})"


_ORIGIN: Final = re.compile(rb"^o=\S+ \S+ (\d{1,20}) ", re.MULTILINE)
_ORIGIN_LINE: Final = re.compile(rb"^o=[^\n]*\n", re.MULTILINE)
_DIRECTION: Final = re.compile(rb"^a=(?:sendrecv|sendonly|recvonly|inactive)\r?\n", re.MULTILINE)


_RTPMAP: Final = re.compile(r"^a=rtpmap:(\S*)[ \t]*([^/\s]*)", re.MULTILINE)
"""Payload type and name of the encoding."""
_CONNECTION: Final = re.compile(rb"^c=IN IP[46] ([0-9A-Fa-f.:]{2,45})", re.MULTILINE)


def connection_address(body: bytes) -> str:
    """The address of the first connection line; empty: there is none."""
    found = _CONNECTION.search(body)
    return found[1].decode() if found is not None else ""


def session_version(body: bytes) -> int:
    """The version of the origin line; 0 where there is none."""
    found = _ORIGIN.search(body)
    return int(found[1]) if found is not None else 0


def is_same_media(one: bytes, other: bytes) -> bool:
    """Whether two session descriptions differ in nothing but their origin and directions."""
    return resume(_ORIGIN_LINE.sub(b"", one)) == resume(_ORIGIN_LINE.sub(b"", other))


def resume(body: bytes) -> bytes:
    """A session description that holds nobody: its directions are left out (RFC 3264 §5.1, §8.4)."""
    return _DIRECTION.sub(b"", body)


def replace_origin(body: bytes, session_id: int, address: str, later: int = 0) -> bytes:
    """Put our own origin line in place of the endpoint's; the version stays, so that changes show.

    Args:
        body: A session description.
        session_id: Ours.
        address: Ours, as the peer sees it.
        later: Added to the version, where another endpoint spoke before with a higher one.
    """
    start = 0 if body.startswith(b"o=") else body.find(b"\no=") + 1
    if start == 0 and not body.startswith(b"o="):
        return body
    end = body.find(b"\n", start)
    if end < 0:
        return body
    parts = body[start:end].split()
    version = parts[2] if len(parts) > 2 and parts[2].isdigit() else b"1"
    if later:
        version = b"%d" % (int(version) + later)
    family = b"IP6" if ":" in address else b"IP4"
    origin = b"o=- %d %b IN %b %b\r" % (session_id, version, family, address.encode())
    return body[:start] + origin + body[end:]


def audio_codecs(body: bytes) -> list[str]:
    """Names of the codecs of the first audio line in their order, without telephone-event and comfort noise."""
    text = body.decode("utf-8", "replace")
    position = 0 if text.startswith("m=audio ") else text.find("\nm=audio ") + 1
    if not text.startswith("m=audio ", position):
        return []
    section, _, _ = text[position:].partition("\nm=")
    line, _, attributes = section.partition("\n")
    names = dict(_RTPMAP.findall(attributes))
    codecs = [names.get(payload) or STATIC_PAYLOADS.get(payload, payload) for payload in line.split()[3:]]
    return [name for name in codecs if name.lower() not in NOT_SPEECH]


def filter_codecs(body: bytes, allowed: CodecList, *, reorder: bool = True) -> bytes | None:
    """Take from the audio lines the codecs that are not allowed, with their rtpmap, fmtp and rtcp-fb lines.

    A dynamic payload type that nothing names is not allowed. telephone-event and comfort noise stay. An audio line
    that has no codec left is refused by port 0. Other media, audio lines that are refused already, and lines that do
    not parse stay as they are.

    Args:
        body: The offer or the answer.
        allowed: What may be used; an open list leaves the body as it is.
        reorder: Put payload types in the list's order, telephone-event and comfort noise last (an offer is ours); an
            answer keeps the order of who answers.

    Returns:
        The body with all else as it was; None when audio is offered and no line of it has a codec left.
    """
    if allowed.is_open or b"m=audio " not in body:
        return body
    media = (b"\n" + body).split(b"\nm=")
    outcomes: set[bool] = set()
    for index, medium in enumerate(media):
        offer = AUDIO_LINE.match(medium) if index else None
        if offer is None or b"RTP/" not in offer[2]:
            continue
        lines = medium.split(b"\n")
        payloads = offer[3].split()
        chosen = choose_payloads(payloads, find_encodings(lines), allowed, reorder=reorder)
        outcomes.add(bool(chosen))
        if chosen != payloads:
            lines[0] = write_audio_line(lines[0], offer, chosen or payloads[:1], refused=not chosen)
            gone = {*payloads}.difference(chosen or payloads[:1])
            media[index] = b"\n".join(remove_attributes(lines, gone, is_last=index == len(media) - 1))
    return None if outcomes == {False} else b"\nm=".join(media)[1:]


def choose_payloads(
    payloads: Sequence[bytes], encodings: dict[bytes, bytes], allowed: CodecList, *, reorder: bool
) -> list[bytes]:
    """Choose the payload types that stay, none at all when no codec is among them."""
    places: dict[bytes, int] = {}
    for payload in payloads:
        encoding = encodings.get(payload) or STATIC_ENCODINGS.get(payload)
        if encoding is not None:
            place = allowed.place(encoding)
            if place is not None:
                places[payload] = place
    if min(places.values(), default=AFTER_CODECS) == AFTER_CODECS:
        return []
    chosen = [payload for payload in payloads if payload in places]
    if reorder:
        chosen.sort(key=places.__getitem__)
    return chosen


def find_encodings(lines: Iterable[bytes]) -> dict[bytes, bytes]:
    """Collect what the rtpmap lines of a medium call its payload types, the last of several; empty when nameless."""
    encodings: dict[bytes, bytes] = {}
    for line in lines:
        if line.startswith(b"a=rtpmap:"):
            payload, _, encoding = line[9:].partition(b" ")
            encoding = encoding.strip()
            encodings[payload] = b"" if encoding.startswith(b"/") else encoding
    return encodings


def remove_attributes(lines: list[bytes], payloads: set[bytes], *, is_last: bool) -> list[bytes]:
    """Leave out the lines about these payload types; the last medium is the one that may lack its line end."""
    kept = [
        line
        for line in lines
        if not line.startswith(PAYLOAD_ATTRIBUTES) or line.partition(b":")[2].partition(b" ")[0].strip() not in payloads
    ]
    if is_last and kept[-1] is not lines[-1]:
        # The line before keeps its own end.
        kept.append(b"")
    return kept


def write_audio_line(line: bytes, offer: re.Match[bytes], payloads: Sequence[bytes], *, refused: bool) -> bytes:
    """Write an audio line again with these payload types, spaces and line end as they were."""
    line = line[: offer.start(3)] + b" ".join(payloads) + line[len(line.rstrip()) :]
    # RFC 3264 §6: a stream is refused by port 0; its formats are ignored, but there must be one.
    return line[: offer.start(1)] + b"0" + line[offer.end(1) :] if refused else line
