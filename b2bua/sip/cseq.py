"""CSeq (RFC 3261 §20.16)."""

from functools import lru_cache
from typing import Final

from b2bua.sip.errors import ParseError
from b2bua.sip.grammar import METHODS, is_token, parse_number

_KNOWN_LENGTH: Final = 32
"""Longest text that is remembered with what it means, so that a peer that invents methods cannot fill the memory."""


def parse_cseq(text: str) -> tuple[int, str]:
    """Parse `4711 INVITE` into number (below 2^31, §8.1.1.5) and method.

    Raises:
        ParseError: not that.
    """
    return _known(text) if len(text) <= _KNOWN_LENGTH else _parse(text)


def _parse(text: str) -> tuple[int, str]:
    parts = text.split(None, 2)
    if len(parts) != 2:
        raise ParseError("CSeq is not a number and a method")
    number, method = parts
    if method not in METHODS and not is_token(method):
        raise ParseError("CSeq without a method")
    return parse_number(number, "CSeq", 2**31 - 1), method


# Most numbers are 1 or 2.
_known = lru_cache(1024)(_parse)
