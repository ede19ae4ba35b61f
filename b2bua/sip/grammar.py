"""Shared grammar of header values (RFC 3261 §25.1): tokens, quoted strings, comma lists.

The usual value has neither quotes nor angle brackets where they matter, so every function looks for them first and
takes a short way when there are none.
"""

from collections.abc import Iterator
from typing import Final

from b2bua.sip.errors import ParseError

TOKEN: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.!%*_+`'~")
"""Characters of `token`."""


def is_token(text: str) -> bool:
    """Whether the text is a `token`: at least one character, all of them allowed."""
    return bool(text) and TOKEN.issuperset(text)


def split_outside_quotes(text: str, separator: str) -> list[str]:
    """Split at a separator that stands neither in quotes nor in angle brackets; parts are stripped.

    Raises:
        ParseError: a quote or bracket is not closed.
    """
    if separator not in text:
        return [text.strip()]
    if '"' not in text and "<" not in text:
        return [part.strip() for part in text.split(separator)]
    parts, start = [], 0
    for position in _outside_quotes(text):
        if text[position] == separator:
            parts.append(text[start:position].strip())
            start = position + 1
    parts.append(text[start:].strip())
    return parts


def _outside_quotes(text: str) -> Iterator[int]:
    quoted, bracket, escaped = False, False, False
    for position, character in enumerate(text):
        if quoted:
            quoted = escaped or character != '"'
            escaped = not escaped and character == "\\"
        elif character == '"':
            quoted = True
        elif character == "<":
            bracket = True
        elif character == ">":
            bracket = False
        elif not bracket:
            yield position
    if quoted or bracket:
        raise ParseError("unclosed quote or bracket")


def unquote(text: str) -> str:
    """Remove the quotes around a quoted-string and its backslash escapes; other text is returned as it is."""
    if len(text) < 2 or text[0] != '"' or text[-1] != '"':
        return text
    inner = text[1:-1]
    if "\\" not in inner:
        return inner
    characters, escaped = [], False
    for character in inner:
        if not escaped and character == "\\":
            escaped = True
            continue
        characters.append(character)
        escaped = False
    return "".join(characters)


def quote(text: str) -> str:
    """Put text into a quoted-string."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def parse_number(text: str, name: str, highest: int = 2**32 - 1) -> int:
    """Parse 1*DIGIT, at most `highest`.

    Raises:
        ParseError: not ASCII digits, or too large.
    """
    if not (text.isascii() and text.isdigit()) or len(text) > 10 or int(text) > highest:
        raise ParseError(f"{name} is not a number up to {highest}")
    return int(text)
