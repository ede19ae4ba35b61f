"""When two URIs are the same (RFC 3261 §19.1.4)."""

import re
from string import hexdigits
from typing import Final

from b2bua.sip.uri import URI, unescape

_DECISIVE: Final = ("user", "ttl", "method", "maddr", "transport")
"""Parameters that make a difference even where only one of the two has them."""

_RESERVED: Final = frozenset(";/?:@&=+$,%")
"""Characters that mean something else when they are escaped."""


def is_same_uri(one: URI, other: URI) -> bool:
    """Whether two URIs are equal by the rules for SIP: not what they lead to, but what they say.

    A port that is written differs from one that is not, even where it is the default.
    """
    return (
        one.scheme == other.scheme
        and _plain_user(one.user) == _plain_user(other.user)
        and one.host.lower() == other.host.lower()
        and one.port == other.port
        and _agree_on_parameters(one, other)
        and _header_parts(one.headers) == _header_parts(other.headers)
    )


def _agree_on_parameters(one: URI, other: URI) -> bool:
    mine, theirs = one.parameters, other.parameters
    if not mine and not theirs:
        return True
    if any((name in mine) != (name in theirs) for name in _DECISIVE):
        return False
    return all(
        _plain(value or "").lower() == _plain(theirs[name] or "").lower()
        for name, value in mine.items()
        if name in theirs
    )


def _header_parts(headers: str) -> list[tuple[str, str]]:
    pairs = [part.partition("=") for part in headers.split("&") if part]
    return sorted((name.lower(), _plain(value)) for name, _, value in pairs)


def _plain_user(user: str) -> str:
    return _plain(user) if "%" in user else user


def _plain(text: str) -> str:
    """Undo escapes but those of reserved characters, whose hex digits become upper case."""
    return _ESCAPE.sub(lambda found: _MEANT[found[0]], text) if "%" in text else text


def _meaning(escape: str) -> str:
    meant = unescape(escape)
    # An escape of a byte that is no character alone stays as it is, so that a sequence of them can be compared.
    keeps = meant == escape or meant in _RESERVED or not meant.isascii()
    return escape.upper() if keeps else meant


_ESCAPE: Final = re.compile("%[0-9A-Fa-f]{2}")
_MEANT: Final = {f"%{a}{b}": _meaning(f"%{a}{b}") for a in hexdigits for b in hexdigits}
