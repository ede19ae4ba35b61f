"""Parameters `;name=value` of URIs and header values (RFC 3261 §25.1 generic-param)."""

from b2bua.sip.errors import ParseError
from b2bua.sip.grammar import split_outside_quotes

Parameters = dict[str, str | None]
"""Name in lower case -> value as written (quotes kept), or None for a parameter without one."""


def parse_parameters(text: str) -> Parameters:
    """Parse `a=1;b;c="x;y"`, without the leading semicolon.

    Raises:
        ParseError: a parameter without a name.
    """
    parameters: Parameters = {}
    if not text:
        return parameters
    for part in text.split(";") if '"' not in text else split_outside_quotes(text, ";"):
        name, equals, value = part.partition("=")
        name = name.strip().lower()
        if not name:
            if not equals and not part.strip():
                continue  # ";;" and a trailing ";" are met in the wild and change nothing
            raise ParseError("parameter without a name")
        parameters[name] = value.strip() if equals else None
    return parameters


def format_parameters(parameters: Parameters) -> str:
    """Write parameters with a semicolon before each."""
    return "".join(f";{name}" if value is None else f";{name}={value}" for name, value in parameters.items())
