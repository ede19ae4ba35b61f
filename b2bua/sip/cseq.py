"""CSeq (RFC 3261 §20.16)."""

from b2bua.sip.errors import ParseError
from b2bua.sip.grammar import METHODS, is_token, parse_number


def parse_cseq(text: str) -> tuple[int, str]:
    """Parse `4711 INVITE` into number (below 2^31, §8.1.1.5) and method.

    Raises:
        ParseError: not that.
    """
    parts = text.split(None, 2)
    if len(parts) != 2:
        raise ParseError("CSeq is not a number and a method")
    number, method = parts
    if method not in METHODS and not is_token(method):
        raise ParseError("CSeq without a method")
    return parse_number(number, "CSeq", 2**31 - 1), method
