"""A session description taken apart as far as anchoring needs it (RFC 8866, RFC 3264, RFC 3605, RFC 5761).

Lines that are not understood are kept as they are. What cannot be anchored raises InvalidDescription with its reason.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from itertools import pairwise
from typing import Final

from media.errors import InvalidDescription

SIZE_LIMIT: Final = 60_000
"""Most bytes of a description: it has to fit into a datagram with more besides."""

MEDIA_LIMIT: Final = 16
"""Most media of a description."""

DIRECTIONS: Final = (b"a=sendrecv", b"a=sendonly", b"a=recvonly", b"a=inactive")

_UNSPECIFIED: Final = ("0.0.0.0", "::")  # noqa: S104 - on hold, the old way


@dataclass(slots=True)
class Medium:
    """One medium: its m= line and what follows."""

    kind: str
    """audio, video, image, …"""

    port: int
    """0: refused, or not there any more."""

    protocol: bytes
    formats: bytes
    lines: list[bytes]
    """What follows the m= line, without line ends."""

    address: str = ""
    """Where it is to be sent: its own connection address, else the session's."""

    rtcp: tuple[str, int] | None = None
    """Where RTCP is to be sent if not beside it (RFC 3605); its address may be empty: the medium's."""

    is_muxed: bool = False
    """Whether RTP and RTCP may share a port (RFC 5761)."""

    direction: str = "sendrecv"

    @property
    def is_rtp(self) -> bool:
        """Whether it carries RTP, in the clear or not."""
        return b"RTP/" in self.protocol.upper()

    @property
    def is_secure(self) -> bool:
        """Whether its RTP is encrypted."""
        return b"SAVP" in self.protocol.upper()

    @property
    def has_keys(self) -> bool:
        """Whether it is SRTP with keys in its own lines (RFC 4568), so that we can read it."""
        return self.is_secure and any(line.startswith(b"a=crypto:") for line in self.lines)

    @property
    def is_passed_encrypted(self) -> bool:
        """Whether it is SRTP whose keys its ends agree on by themselves."""
        return self.is_secure and not self.has_keys

    @property
    def is_fax(self) -> bool:
        """Whether it carries T.38 over UDPTL."""
        return self.protocol.upper() == b"UDPTL"

    @property
    def is_relayable(self) -> bool:
        """Whether it is datagrams at all."""
        return self.is_fax or self.protocol.upper().startswith((b"RTP/", b"UDP/"))

    @property
    def is_unspecified(self) -> bool:
        """Whether nothing is to be sent to it: on hold, as RFC 2543 had it."""
        return self.address in _UNSPECIFIED

    @property
    def is_held(self) -> bool:
        """Whether it is on hold, in either notation (RFC 3264 §8.4)."""
        return self.is_unspecified or self.direction != "sendrecv"

    @property
    def endpoint(self) -> tuple[str, int] | None:
        """Where RTP is to be sent; None: nowhere."""
        return (self.address, self.port) if self.port and not self.is_unspecified else None

    @property
    def rtcp_endpoint(self) -> tuple[str, int] | None:
        """Where RTCP is to be sent when it has a port of its own; None: nowhere."""
        if not self.is_rtp or self.endpoint is None:
            return None
        if self.rtcp is not None:
            return self.rtcp[0] or self.address, self.rtcp[1]
        return (self.address, self.port + 1) if self.port < 65_535 else None


@dataclass(slots=True)
class Description:
    """A whole description."""

    lines: list[bytes]
    """What stands before the first medium."""

    media: list[Medium] = field(default_factory=list)

    @property
    def is_held(self) -> bool:
        """Whether every medium that is used is on hold."""
        used = [medium for medium in self.media if medium.port]
        return bool(used) and all(medium.is_held for medium in used)


def parse(body: bytes) -> Description:
    """Take a description apart.

    Raises:
        InvalidDescription: it is malformed, or has what cannot be anchored, such as a host name for an address.
    """
    if len(body) > SIZE_LIMIT:
        raise InvalidDescription("the description is too large")
    lines = [line.rstrip(b"\r") for line in body.split(b"\n")]
    while lines and not lines[-1]:
        lines.pop()
    if not lines or lines[0] != b"v=0":
        raise InvalidDescription("the description does not begin with v=0")
    if not any(line.startswith(b"o=") for line in lines):
        raise InvalidDescription("the description has no o= line")
    if odd := next((line for line in lines if line[1:2] != b"=" or not line[:1].isalpha()), None):
        raise InvalidDescription(f"not a line of a description: {_show(odd)}")
    starts = [index for index, line in enumerate(lines) if line.startswith(b"m=")]
    if len(starts) > MEDIA_LIMIT:
        raise InvalidDescription("the description has too many media")
    session = Description(lines[: starts[0]] if starts else lines)
    address = _find_address(session.lines)
    direction = _find_direction(session.lines, "sendrecv")
    for start, end in pairwise([*starts, len(lines)]):
        medium = _parse_medium(lines[start], lines[start + 1 : end])
        medium.address = _find_address(medium.lines) or address
        medium.direction = _find_direction(medium.lines, direction)
        if medium.port and not medium.address:
            raise InvalidDescription(f"no c= line for {medium.kind}")
        session.media.append(medium)
    return session


def _parse_medium(line: bytes, rest: list[bytes]) -> Medium:
    parts = line[2:].split(maxsplit=3)
    if len(parts) < 4:
        raise InvalidDescription(f"not a media line: {_show(line)}")
    number, slash, ports = parts[1].partition(b"/")
    if not number.isdigit() or len(number) > 5 or int(number) > 65_535 or (slash and not ports.isdigit()):
        raise InvalidDescription(f"no port in {_show(line)}")
    medium = Medium(parts[0].decode("latin-1").lower(), int(number), parts[2], parts[3], rest)
    for attribute in rest:
        if attribute == b"a=rtcp-mux":
            medium.is_muxed = True
        elif attribute.startswith(b"a=rtcp:"):
            medium.rtcp = _parse_rtcp(attribute)
    return medium


def _parse_rtcp(line: bytes) -> tuple[str, int]:
    parts = line[7:].split()
    if not parts or not parts[0].isdigit() or len(parts[0]) > 5 or not 0 < int(parts[0]) <= 65_535:
        raise InvalidDescription(f"no port in {_show(line)}")
    return (_check_address(parts[3], line) if len(parts) == 4 else ""), int(parts[0])


def _find_address(lines: Sequence[bytes]) -> str:
    for line in lines:
        if line.startswith(b"c="):
            parts = line[2:].split()
            if len(parts) != 3 or parts[0] != b"IN" or parts[1] not in (b"IP4", b"IP6"):
                raise InvalidDescription(f"not a connection line: {_show(line)}")
            return _check_address(parts[2], line)
    return ""


def _check_address(text: bytes, line: bytes) -> str:
    try:
        address = ip_address(text.decode("ascii"))
    except (ValueError, UnicodeDecodeError):
        raise InvalidDescription(f"no IP address in {_show(line)}") from None
    if address.is_multicast:
        raise InvalidDescription(f"multicast in {_show(line)}")
    return str(address)


def _find_direction(lines: Sequence[bytes], otherwise: str) -> str:
    return next((line[2:].decode() for line in lines if line in DIRECTIONS), otherwise)


def _show(line: bytes) -> str:
    line = line.partition(b"inline:")[0]  # reasons are logged, and name no key
    return repr(line[:60].decode("utf-8", "replace"))


def lines_without(lines: Sequence[bytes], beginnings: tuple[bytes, ...]) -> Iterator[bytes]:
    """The lines that begin with none of these."""
    return (line for line in lines if not line.startswith(beginnings))
