"""A ratecard in a file that every worker maps, and what was changed since it was written.

Prefixes stand in the order of their characters as numbers of 64 bits, four a character, so that one bisection finds the
last prefix that is not greater than a number. The longest prefix of the number is this one, or the longest that this
one begins with, and so on: each knows its own. The rates of a prefix follow each other; price, destination and the rest
of the terms are places in tables of what differs, since a million rates have few of them. A rate becomes an object when
it is looked for.

What was changed since lies beside in an ordinary ratecard: `OverlaidRatecard` is the two as one.
"""

import struct
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple

from rating.packed_file import Head, PackedFile, write_packed
from rating.tariff import ALWAYS, FOREVER, Rate, Ratecard

TABLE: Final = "ratecard"

RATE_COLUMNS: Final = (
    "id, prefix, rate_per_minute::text, connection_charge::text, minimum, resolution, blocks_mode, grace,"
    " multiplier::text, addition::text, status, valid_from, valid_until, destination"
)
"""Columns of the table `rate` as a `RateRow` has them."""

_DIGITS: Final = 16
"""Characters of a prefix that are in its number."""
_SPANS: Final = (*(16 ** (_DIGITS - length) for length in range(_DIGITS + 1)), 1)
"""By length, how many numbers begin with a prefix; the last is for those that are longer than their number shows."""
_AFTER_ALL: Final = ord("e")
_CODES: Final = bytes(
    b"123456789abc"[place] if (place := b"#*0123456789".find(each)) >= 0 else _AFTER_ALL for each in range(256)
)
"""Characters of numbers as hexadecimal digits in the same order; what no prefix has comes after all."""
_TERMS: Final = struct.Struct("=8Iqq")
"""Connection charge, minimum, resolution, mode, grace, multiplier, addition, status; microseconds from and until."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_NOTHING: Final[frozenset[int]] = frozenset()


class RateRow(NamedTuple):
    """A row of the table `rate`, amounts as their texts."""

    id: int
    prefix: str
    rate_per_minute: str
    connection_charge: str = "0"
    minimum: int = 1
    resolution: int = 1
    blocks_mode: str = "from_zero"
    grace: int = 0
    multiplier: str = "1"
    addition: str = "0"
    status: str = "active"
    valid_from: datetime = ALWAYS
    """As all moments, aware, or as the database's infinities come: without a zone."""
    valid_until: datetime = FOREVER
    destination: str = ""

    def to_rate(self) -> Rate:
        """The rate of the row."""
        return Rate(
            self.id,
            self.prefix,
            _amount(self.rate_per_minute),
            _amount(self.connection_charge),
            self.minimum,
            self.resolution,
            self.blocks_mode,
            self.grace,
            _amount(self.multiplier),
            _amount(self.addition),
            self.status,
            self.valid_from if self.valid_from.tzinfo else ALWAYS,
            self.valid_until if self.valid_until.tzinfo else FOREVER,
            self.destination,
        )


_amount = lru_cache(maxsize=4096)(Decimal)


# Writing


class _Texts:
    """Different texts in the order in which they were first met."""

    def __init__(self) -> None:
        self._places: dict[str, int] = {}

    def place(self, text: str) -> int:
        """The place of a text."""
        return self._places.setdefault(text, len(self._places))

    def sections(self, name: str) -> "dict[str, array[int] | bytearray]":
        """Sections with the ends of the texts, and with the texts."""
        ends, body = array("Q"), bytearray()
        for text in self._places:
            body += text.encode()
            ends.append(len(body))
        return {f"{name}_ends": ends, name: body}


class RatecardPacker:
    """Takes the rates of a ratecard one by one, ordered by prefix (`COLLATE "C"`), and writes the file."""

    def __init__(self) -> None:
        self._prefixes = {"codes": array("Q"), "lengths": array("B"), "parents": array("I"), "firsts": array("I")}
        self._rates = {"ids": array("Q"), "prices": array("I"), "destinations": array("I"), "terms": array("I")}
        self._terms = bytearray()
        self._term_places: dict[tuple[object, ...], int] = {}
        self._texts = _Texts()
        self._long_places = array("Q")
        self._long_texts = _Texts()
        self._prefix: str | None = None
        self._open: list[tuple[str, int]] = []
        self.rows = 0

    def add(self, row: RateRow) -> None:
        """Take in a rate.

        Raises:
            ValueError: it comes after one with a greater prefix.
        """
        if row[1] != self._prefix:
            self._begin(row[1])
        terms = row[3:13]
        place = self._term_places.get(terms)
        if place is None:
            place = self._term_places[terms] = len(self._term_places)
            self._terms += self._pack_terms(row)
        rates, text = self._rates, self._texts.place
        rates["ids"].append(row[0])
        rates["prices"].append(text(row[2]))
        rates["destinations"].append(text(row[13]))
        rates["terms"].append(place)
        self.rows += 1

    def _begin(self, prefix: str) -> None:
        if self._prefix is not None and prefix < self._prefix:
            raise ValueError(f"prefix {prefix!r} comes after {self._prefix!r}")
        self._prefix = prefix
        while self._open and not prefix.startswith(self._open[-1][0]):
            self._open.pop()
        prefixes = self._prefixes
        place = len(prefixes["codes"])
        # From 1 on; 0 is none.
        prefixes["parents"].append(self._open[-1][1] + 1 if self._open else 0)
        self._open.append((prefix, place))
        prefixes["codes"].append(_code(prefix, b"0"))
        prefixes["lengths"].append(min(len(prefix), _DIGITS + 1))
        prefixes["firsts"].append(self.rows)
        if len(prefix) > _DIGITS:
            self._long_places.append(place)
            self._long_texts.place(prefix)

    def _pack_terms(self, row: RateRow) -> bytes:
        text = self._texts.place
        since = row.valid_from if row.valid_from.tzinfo else ALWAYS
        until = row.valid_until if row.valid_until.tzinfo else FOREVER
        return _TERMS.pack(
            text(row.connection_charge),
            row.minimum,
            row.resolution,
            text(row.blocks_mode),
            row.grace,
            text(row.multiplier),
            text(row.addition),
            text(row.status),
            (since - _EPOCH) // _MICROSECOND,
            (until - _EPOCH) // _MICROSECOND,
        )

    def save(self, path: Path, ratecard_id: int, revision: int) -> None:
        """Write the file."""
        firsts = self._prefixes["firsts"]
        if len(firsts) == self.rows:
            # One rate each: the places of rates are those of prefixes.
            del firsts[:]
        else:
            firsts.append(self.rows)
        sections: dict[str, bytes | bytearray | array[int]] = {
            **self._prefixes,
            **self._rates,
            "terms_table": self._terms,
            **self._texts.sections("texts"),
            "long_places": self._long_places,
            **self._long_texts.sections("long_texts"),
        }
        write_packed(path, Head(TABLE, ratecard_id, revision, self.rows), sections)


def write_ratecard(path: Path, ratecard_id: int, revision: int, rows: Iterable[RateRow]) -> None:
    """Write the file of a ratecard; the rows may come in any order."""
    packer = RatecardPacker()
    for row in sorted(rows, key=lambda row: row.prefix):
        packer.add(row)
    packer.save(path, ratecard_id, revision)


def _code(digits: str, rest: bytes) -> int:
    """The number of a prefix or, with a rest that comes after all, of a dialled number."""
    return int(digits.encode("ascii", "replace")[:_DIGITS].translate(_CODES).ljust(_DIGITS, rest), 16)


@lru_cache(maxsize=4096)
def _number_code(number: str) -> int:
    # The same number is looked for in the ratecard of every level and every carrier.
    return _code(number, b"f")


# Reading


class _PackedTexts:
    """Texts by their places."""

    __slots__ = ("_body", "_ends")

    def __init__(self, file: PackedFile, name: str) -> None:
        self._ends = file.section(f"{name}_ends")
        self._body = file.section(name)

    def __getitem__(self, place: int) -> str:
        return str(self._body[self._ends[place - 1] if place else 0 : self._ends[place]], "utf-8")


class _Rows:
    """Makes rates of what a file holds."""

    __slots__ = ("_codes", "_firsts", "_lengths", "_long_places", "_long_texts", "_rates", "_terms", "_texts")

    def __init__(self, file: PackedFile) -> None:
        self._codes = file.section("codes")
        self._lengths = file.section("lengths")
        self._firsts = file.section("firsts")
        self._rates = tuple(file.section(name) for name in ("ids", "prices", "destinations", "terms"))
        self._terms = file.section("terms_table")
        self._texts = _PackedTexts(file, "texts")
        self._long_places = file.section("long_places")
        self._long_texts = _PackedTexts(file, "long_texts")

    def prefix(self, place: int) -> str:
        """The text of a prefix."""
        length = self._lengths[place]
        if length > _DIGITS:
            return self._long_texts[bisect_left(self._long_places, place)]
        return (b"%016x" % self._codes[place])[:length].translate(_CHARACTERS).decode()

    def read(self, place: int) -> list[Rate]:
        """The rates of a prefix."""
        prefix = self.prefix(place)
        ids, prices, destinations, terms = self._rates
        return [
            Rate(
                ids[rate],
                prefix,
                Decimal(self._texts[prices[rate]]),
                *_terms(self, terms[rate]),
                self._texts[destinations[rate]],
            )
            for rate in (range(self._firsts[place], self._firsts[place + 1]) if self._firsts else (place,))
        ]

    def terms(self, place: int) -> "_Terms":
        """What a rate says but for its price and its destination."""
        texts = self._texts
        once, minimum, resolution, mode, grace, times, plus, status, since, until = _TERMS.unpack_from(
            self._terms, place * _TERMS.size
        )
        return (
            _amount(texts[once]),
            minimum,
            resolution,
            texts[mode],
            grace,
            _amount(texts[times]),
            _amount(texts[plus]),
            texts[status],
            _EPOCH + timedelta(microseconds=since),
            _EPOCH + timedelta(microseconds=until),
        )


_Terms = tuple[Decimal, int, int, str, int, Decimal, Decimal, str, datetime, datetime]

_CHARACTERS: Final = bytes.maketrans(b"123456789abc", b"#*0123456789")


@lru_cache(maxsize=4096)
def _rates(rows: _Rows, place: int) -> list[Rate]:
    """Rates that were looked for lately, in whatever ratecard."""
    return rows.read(place)


@lru_cache(maxsize=4096)
def _terms(rows: _Rows, place: int) -> _Terms:
    return rows.terms(place)


def forget_rates() -> None:
    """Let go of the rates that were looked for, and so of files that have been replaced."""
    _rates.cache_clear()
    _terms.cache_clear()


class PackedRatecard:
    """Rates by prefix, out of a file.

    Args:
        path: The file.

    Raises:
        InvalidPackedFile: it is no good.
        OSError: it cannot be read.
    """

    __slots__ = ("_codes", "_lengths", "_parents", "_rows", "head")

    def __init__(self, path: Path) -> None:
        file = PackedFile(path, TABLE)
        self.head = file.head
        self._codes = file.section("codes")
        self._lengths = file.section("lengths")
        self._parents = file.section("parents")
        self._rows = _Rows(file)

    @property
    def id(self) -> int:
        """Of the ratecard."""
        return self.head.key

    def find(self, number: str, at: datetime, hidden: AbstractSet[int] = _NOTHING) -> list[Rate]:
        """Rates in force for the longest prefix of a number that has any.

        Args:
            number: As it is rated.
            at: Moment (aware).
            hidden: Ids of rates that do not count.
        """
        code, codes, lengths, rows = _number_code(number), self._codes, self._lengths, self._rows
        place = bisect_right(codes, code) - 1
        if place >= 0 and lengths[place] > _DIGITS:
            place = self._narrow(place, number)
        while place >= 0:
            length = lengths[place]
            if code - codes[place] < _SPANS[length] and (length <= _DIGITS or number.startswith(rows.prefix(place))):
                found = _rates(rows, place)
                if len(found) == 1:
                    if found[0].is_in_force(at) and found[0].id not in hidden:
                        return found
                else:
                    found = [rate for rate in found if rate.is_in_force(at) and rate.id not in hidden]
                    if found:
                        return found
            place = self._parents[place] - 1
        return []

    def _narrow(self, last: int, number: str) -> int:
        """The last place that is not greater than a number, among those whose first characters are the same."""
        first = bisect_left(self._codes, self._codes[last])
        return first + bisect_right(range(first, last + 1), number, key=self._rows.prefix) - 1


class OverlaidRatecard(Ratecard):
    """A ratecard out of a file, with what was changed since; without a file, one like any other. It is never changed.

    The rates that are in memory are those of the file's that were changed, and those that were added; or all.

    Args:
        ratecard_id: Its id.
        revision: Of the configuration that the rates are of; 0: they were not read yet.
        base: The file; None: all rates are in memory.
    """

    __slots__ = ("_by_id", "_hidden", "base", "revision")

    def __init__(self, ratecard_id: int, revision: int = 0, base: PackedRatecard | None = None) -> None:
        super().__init__(ratecard_id)
        self.revision = revision
        self.base = base
        self._by_id: dict[int, Rate] = {}
        self._hidden: set[int] = set()

    @property
    def changes(self) -> int:
        """Rates that are in memory or hidden."""
        return max(len(self._by_id), len(self._hidden))

    def based(
        self, revision: int, base: PackedRatecard | None, changed: Collection[int], rates: Iterable[Rate]
    ) -> "OverlaidRatecard":
        """The ratecard over another file.

        Args:
            revision: The newest that `changed` knows of.
            base: The file; None when `rates` are all there are.
            changed: Ids of rates that were changed, added or removed since the file was written.
            rates: Those of them that there are.
        """
        card = OverlaidRatecard(self.id, revision, base)
        card._change(changed, rates)
        return card

    def changed(self, revision: int, changed: Collection[int], rates: Iterable[Rate]) -> "OverlaidRatecard":
        """The ratecard with more changes; see `based`."""
        card = OverlaidRatecard(self.id, revision, self.base)
        card.rates, card.longest = self.rates.copy(), self.longest
        card._by_id, card._hidden = self._by_id.copy(), self._hidden.copy()
        card._change(changed, rates)
        return card

    def _change(self, changed: Collection[int], rates: Iterable[Rate]) -> None:
        # Lists of rates are shared with the ratecard before, so they are replaced and never changed.
        for rate_id in changed:
            old = self._by_id.pop(rate_id, None)
            if old is not None:
                self.rates[old.prefix] = [each for each in self.rates[old.prefix] if each.id != rate_id]
                if not self.rates[old.prefix]:
                    del self.rates[old.prefix]
        if self.base is not None:
            self._hidden.update(changed)
        for rate in rates:
            self._by_id[rate.id] = rate
            self.rates[rate.prefix] = [*self.rates.get(rate.prefix, ()), rate]
            self.longest = max(self.longest, len(rate.prefix))

    def find(self, number: str, at: datetime) -> list[Rate]:
        """Rates in force for the longest prefix of a number that has any."""
        if self.base is None:
            return super().find(number, at)
        found = self.base.find(number, at, self._hidden)
        if not self._by_id:
            return found
        changed = super().find(number, at)
        if not found or not changed:
            return found or changed
        if len(found[0].prefix) == len(changed[0].prefix):
            return found + changed
        return max(found, changed, key=lambda rates: len(rates[0].prefix))
