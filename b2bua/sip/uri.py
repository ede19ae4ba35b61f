"""SIP, SIPS and tel URIs (RFC 3261 §19.1, RFC 3966)."""

import re
from dataclasses import dataclass, field
from functools import lru_cache
from string import hexdigits
from typing import Final

from b2bua.sip.errors import ParseError
from b2bua.sip.grammar import parse_number
from b2bua.sip.params import Parameters, format_parameters, parse_parameters

SCHEMES: Final = ("sip", "sips", "tel")
"""Schemes of URIs that can be called."""

_HOST: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._:%")
"""Characters of host names and addresses; the percent sign begins an IPv6 zone. An underscore is met in the wild."""


_KNOWN_LENGTH: Final = 64
"""Longest text that is remembered with what it means, so that a peer that invents hosts cannot fill the memory."""


def split_host_port(text: str) -> tuple[str, int | None]:
    """Split `host[:port]`; an IPv6 reference keeps no brackets.

    Raises:
        ParseError: no host, or a port that is none.
    """
    return _known_host_port(text) if len(text) <= _KNOWN_LENGTH else _split_host_port(text)


def _split_host_port(text: str) -> tuple[str, int | None]:
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ParseError("IPv6 reference is not closed")
        port = rest[1:]
    else:
        host, colon, port = text.partition(":")
        if colon and not port:
            raise ParseError("empty port")
    if not _HOST.issuperset(host) or not host:
        raise ParseError("missing or malformed host")
    return host, parse_number(port, "port", 65535) if port else None


# Nearly all that is parsed names one of a few peers, or us.
_known_host_port = lru_cache(4096)(_split_host_port)


def join_host_port(host: str, port: int | None) -> str:
    """Write `host[:port]`, with brackets around an IPv6 address."""
    shown = f"[{host}]" if ":" in host else host
    return shown if port is None else f"{shown}:{port}"


@dataclass(slots=True)
class URI:
    """A `sip:`, `sips:` or `tel:` URI; for `tel:` the number is the user and the host is empty."""

    scheme: str
    """In lower case."""
    user: str = ""
    """As written, escapes kept; user parameters (`;phone-context=…`) included."""
    host: str = ""
    """Without brackets."""
    port: int | None = None
    """None: not written, which means 5060, or 5061 for sips and TLS."""
    parameters: Parameters = field(default_factory=dict)
    headers: str = ""
    """What follows the question mark, as written."""

    @classmethod
    def parse(cls, text: str) -> "URI":
        """Parse a URI.

        Raises:
            ParseError: another scheme, no host, or a malformed part; status hint 416 for another scheme.
        """
        if "<" in text or ">" in text:
            raise ParseError("angle bracket in URI")  # it would end the brackets that we put around it
        scheme, colon, rest = text.partition(":")
        scheme = scheme.lower()
        if not colon:
            raise ParseError("URI without a scheme")
        if scheme == "tel":
            number, _, parameters = rest.partition(";")
            if not number:
                raise ParseError("tel URI without a number")
            return cls("tel", number, "", None, parse_parameters(parameters))
        if scheme not in SCHEMES:
            raise ParseError("unsupported URI scheme", 416)
        # The user part may hold ';' and '?', so it is cut off first (RFC 3261 §25.1 user-unreserved).
        user, at, hostpart = rest.rpartition("@")
        if not at:
            user = ""
        elif not user:
            raise ParseError("empty user in URI")
        hostpart, _, headers = hostpart.partition("?")
        host, _, parameters = hostpart.partition(";")
        name, port = split_host_port(host)
        return cls(scheme, user, name, port, parse_parameters(parameters), headers)

    @property
    def number(self) -> str:
        """The user without password and parameters, unescaped: the telephone number or user name."""
        user = self.user
        for mark in (";", ":"):
            if mark in user:
                user = user.partition(mark)[0]
        return unescape(user)

    def __str__(self) -> str:
        if self.scheme == "tel":
            return f"tel:{self.user}{format_parameters(self.parameters)}"
        user = f"{self.user}@" if self.user else ""
        headers = f"?{self.headers}" if self.headers else ""
        host = join_host_port(self.host, self.port)
        return f"{self.scheme}:{user}{host}{format_parameters(self.parameters)}{headers}"


_ESCAPE: Final = re.compile(rb"%([2-7][0-9A-Fa-f]|[89A-Fa-f][0-9A-Fa-f])(?<!7[Ff])")
_BYTES: Final = {(a + b).encode(): bytes([int(a + b, 16)]) for a in hexdigits for b in hexdigits}
"""Two hex digits in any case -> the byte."""

_SAFE_USER = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.!~*'()&=+$,?/")


def escape_user(text: str) -> str:
    """Escape what may not stand in a URI's user part (RFC 3261 §19.1.2), among it ';', '@', ':' and '#'."""
    if _SAFE_USER.issuperset(text):
        return text
    return "".join(
        character if character in _SAFE_USER else "".join(f"%{byte:02X}" for byte in _encode(character))
        for character in text
    )


def unescape(text: str) -> str:
    """Replace `%HH` by its byte (UTF-8); a lone percent sign stays, and so does an escaped control character."""
    if "%" not in text:
        return text
    data = _ESCAPE.sub(lambda found: _BYTES[found[1]], _encode(text))
    return data.decode("utf-8", "surrogateescape")


def _encode(character: str) -> bytes:
    return character.encode("utf-8", "surrogateescape")
