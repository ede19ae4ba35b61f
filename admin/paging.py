"""Paging by key: a page begins after (or before) the last row of another, whatever was added meanwhile.

A cursor is the key of a row as it stands in an address: base64url of a JSON list of texts. What is no cursor of this
list is taken as the first page.
"""

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import orjson

Row = TypeVar("Row")

PAGE_SIZE: Final = 50
"""Rows of a page."""

COUNT_LIMIT: Final = 5_000
"""Totals are exact below this."""

KeyParts = Sequence[Callable[[str], Any]]
"""How the parts of a key are read, in order."""


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Which page is asked for."""

    key: tuple[Any, ...] | None = None
    """Key of the row beside the page; None: the first page."""
    backward: bool = False
    """The page ends before that row, instead of beginning after it."""
    size: int = PAGE_SIZE

    def parts(self, count: int) -> tuple[Any, ...]:
        """The key as query parameters: as many NULLs on the first page."""
        return self.key or (None,) * count


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """Rows of a list, and the cursors of its neighbours."""

    rows: list[Row]
    next: str | None
    """For `after=`; None: this is the last page."""
    previous: str | None
    """For `before=`; None: this is the first page."""


def encode_cursor(key: Sequence[Any]) -> str:
    """Write the key of a row for an address."""
    return base64.urlsafe_b64encode(orjson.dumps([str(part) for part in key])).decode().rstrip("=")


def decode_cursor(text: str, parts: KeyParts) -> tuple[Any, ...] | None:
    """Read a key; None if this is no key of the list."""
    try:
        values = orjson.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        if not isinstance(values, list):
            return None
        return tuple(read(value) for read, value in zip(parts, values, strict=True))
    except (ValueError, TypeError, ArithmeticError, AttributeError, binascii.Error):
        return None


def page_request(query: Mapping[str, str], parts: KeyParts, size: int = PAGE_SIZE) -> PageRequest:
    """Read which page an address asks for."""
    if before := query.get("before"):
        key = decode_cursor(before, parts)
        return PageRequest(key, key is not None, size)
    return PageRequest(decode_cursor(query.get("after", ""), parts), False, size)


def make_page(rows: Sequence[Row], asked: PageRequest, key: Callable[[Row], Sequence[Any]]) -> Page[Row]:
    """Make a page of what a query found, which asked for one row more than the page holds.

    Args:
        rows: In the order of the query: backward pages come reversed.
        asked: What was asked for.
        key: The key of a row.
    """
    more = len(rows) > asked.size
    shown = list(rows[: asked.size])
    if asked.backward:
        shown.reverse()
    if not shown:
        return Page([], None, None)
    has_next = asked.backward or more
    has_previous = more if asked.backward else asked.key is not None
    return Page(
        shown,
        encode_cursor(key(shown[-1])) if has_next else None,
        encode_cursor(key(shown[0])) if has_previous else None,
    )
