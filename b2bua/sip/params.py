"""Parameters `;name=value` of URIs and header values (RFC 3261 §25.1 generic-param)."""

from typing import Final

from b2bua.sip.errors import ParseError
from b2bua.sip.grammar import BLANKS, split_outside_quotes

PARAMETER_LIMIT: Final = 256
"""Most parameters of a value, so that no value is long work."""

Parameters = dict[str, str | None]
"""Name in lower case -> value as written (quotes kept), or None for a parameter without one."""


def parse_parameters(text: str) -> Parameters:
    """Parse `a=1;b;c="x;y"`, without the leading semicolon.

    Raises:
        ParseError: a parameter without a name, or too many of them.
    """
    parameters: Parameters = {}
    if not text:
        return parameters
    parts = text.split(";") if '"' not in text else split_outside_quotes(text, ";")
    if len(parts) > PARAMETER_LIMIT:
        raise ParseError("too many parameters")
    has_blanks = " " in text or "\t" in text
    for part in parts:
        name, equals, value = part.partition("=")
        if has_blanks:
            name, value = name.strip(BLANKS), value.strip(BLANKS)
        if name:
            parameters[name.lower()] = value if equals else None
        elif equals:
            raise ParseError("parameter without a name")
        # ";;" and a trailing ";" are met in the wild and change nothing.
    return parameters


def format_parameters(parameters: Parameters) -> str:
    """Write parameters with a semicolon before each."""
    return "".join(f";{name}" if value is None else f";{name}={value}" for name, value in parameters.items())
