"""Shared grammar of header values (RFC 3261 §25.1): tokens, quoted strings, comma lists.

The usual value has neither quotes nor angle brackets where they matter, so every function looks for them first and
takes a short way when there are none.
"""

import re
from typing import Final

from b2bua.sip.errors import ParseError

TOKEN: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.!%*_+`'~")
"""Characters of `token`."""

METHODS: Final = frozenset({
    "ACK", "BYE", "CANCEL", "INFO", "INVITE", "MESSAGE", "NOTIFY", "OPTIONS", "PRACK", "PUBLISH", "REFER", "REGISTER",
    "SUBSCRIBE", "UPDATE",
})  # fmt: skip
"""The registered methods, which need not be looked at letter by letter."""

BLANKS: Final = " \t"
"""What may stand around a value. `str.strip` alone would take what a peer meant to say, such as U+00A0."""

LIST_LIMIT: Final = 1024
"""Most separators in a value that is a list, so that no value is long work."""

# Each alternative takes all it can and never steps back, so that the time is linear; an unclosed quote or bracket
# reaches to the end and leaves its group empty.
_QUOTED: Final = r'"[^"\\]*(?:\\.[^"\\]*)*(?:(")|\\?\Z)'
_MARKS: Final = {mark: re.compile(rf"{_QUOTED}|<[^>]*(?:(>)|\Z)|{mark}", re.DOTALL) for mark in ",;"}
_QUOTED_STRING: Final = re.compile(_QUOTED, re.DOTALL)


def is_token(text: str) -> bool:
    """Whether the text is a `token`: at least one character, all of them allowed."""
    return bool(text) and TOKEN.issuperset(text)


def split_outside_quotes(text: str, separator: str) -> list[str]:
    """Split at a separator that stands neither in quotes nor in angle brackets; parts are stripped.

    Args:
        text: A header's value.
        separator: A comma or a semicolon.

    Raises:
        ParseError: a quote or bracket is not closed, or there are more than `LIST_LIMIT` separators, or so many quotes
            that the list cannot be one.
    """
    if separator not in text:
        return [text.strip(BLANKS)]
    if text.count(separator) > LIST_LIMIT:
        raise ParseError("list is too long")
    if '"' not in text and "<" not in text:
        return [part.strip(BLANKS) for part in text.split(separator)]
    if text.count('"') > 4 * LIST_LIMIT or text.count("<") > LIST_LIMIT:
        raise ParseError("list is too long")
    parts, start = [], 0
    for found in _MARKS[separator].finditer(text):
        if found[0] == separator:
            parts.append(text[start : found.start()].strip(BLANKS))
            start = found.end()
        elif found.lastindex is None:
            raise ParseError("unclosed quote or bracket")
    parts.append(text[start:].strip(BLANKS))
    return parts


def end_of_quotes(text: str) -> int:
    """Where the quoted-string ends that a text begins with.

    Raises:
        ParseError: it does not end.
    """
    found = _QUOTED_STRING.match(text)
    if found is None or found[1] is None:
        raise ParseError("unclosed quote")
    return found.end()


def unquote(text: str) -> str:
    """Remove the quotes around a quoted-string and its backslash escapes; other text is returned as it is."""
    if len(text) < 2 or text[0] != '"' or text[-1] != '"':
        return text
    inner = text[1:-1]
    if "\\" not in inner:
        return inner
    # Two backslashes are one; any other goes away, and what it stands before stays.
    return "\\".join(part.replace("\\", "") for part in inner.split("\\\\"))


def quote(text: str) -> str:
    """Put text into a quoted-string."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def parse_number(text: str, name: str, highest: int = 2**32 - 1) -> int:
    """Parse 1*DIGIT, at most `highest`.

    Raises:
        ParseError: not ASCII digits, or too large.
    """
    if len(text) <= 10 and text.isascii() and text.isdigit() and (number := int(text)) <= highest:
        return number
    raise ParseError(f"{name} is not a number up to {highest}")
