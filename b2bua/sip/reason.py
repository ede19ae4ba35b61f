"""The Reason header: why a call ended, as a Q.850 cause (RFC 3326)."""

from b2bua.sip.errors import ParseError
from b2bua.sip.grammar import quote, split_outside_quotes
from b2bua.sip.headers import Headers
from b2bua.sip.params import parse_parameters


def q850_cause(headers: Headers) -> int | None:
    """The Q.850 cause that a message names, or None."""
    values = headers.get("reason")
    if values is None:
        return None
    try:
        for value in values:
            for part in split_outside_quotes(value, ","):
                protocol, _, parameters = part.partition(";")
                if protocol.strip().upper() == "Q.850":
                    cause = parse_parameters(parameters).get("cause") or ""
                    if cause.isascii() and cause.isdigit() and len(cause) <= 3 and int(cause) <= 127:
                        return int(cause)
    except ParseError:
        return None
    return None


def format_reason(cause: int, text: str = "") -> str:
    """Write a Q.850 cause with an optional text."""
    return f"Q.850;cause={cause};text={quote(text)}" if text else f"Q.850;cause={cause}"
