"""The lines of a rate deck: which header means which column, and every cell that is not what it must be.

Pure: cells come in as text, lines of PostgreSQL's COPY text go out. Left out: files (`rating.deck_file`) and what
becomes of the lines (`rating.deck_import`).
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from rating.deck_cell import BY_NAME, COLUMNS, DESTINATION_LETTERS, NAMES, Adjustment, Wrong, reader
from rating.errors import InvalidAdjustment, InvalidDeck

KEPT_FAULTS: Final = 100
"""Faults of a file that are kept for showing; all are counted."""

_CACHE: Final = 20_000
"""Different cells of a column that are remembered: a deck of a million lines has few prices and fewer intervals."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a cell of a file."""

    line: int
    column: str
    """Its header in the file; empty: the whole line."""
    value: str
    expected: str
    """What it must be."""

    def __str__(self) -> str:
        if not self.column:
            return f"line {self.line}: {self.expected}"
        return f'line {self.line}, column {self.column} is "{self.value}"; it must be {self.expected}'


def plain(header: str) -> str:
    """Write a header as synonyms are compared: small letters, and one blank for whatever is not a letter or digit."""
    return " ".join(re.split(r"[\W_]+", header.lower())).strip()


def map_columns(headers: Sequence[str], mapping: Mapping[str, str]) -> dict[str, int]:
    """Find the columns of a deck among the headers of a file.

    Args:
        headers: As in the file.
        mapping: Column -> header that means it, or an empty text for a column that is not to be read; what is not in
            here is found by its name and its synonyms.

    Returns:
        Column -> place in the line.

    Raises:
        InvalidDeck: an unknown column or header, or two headers that mean one column.
    """
    words = [plain(header) for header in headers]
    places: dict[str, int] = {}
    for name, header in mapping.items():
        if name not in BY_NAME:
            raise InvalidDeck(f'no column is named "{name}"; one is {", ".join(NAMES)}')
        if header and words.count(plain(header)) != 1:
            many = "more than one" if plain(header) in words else "no"
            raise InvalidDeck(f'the file has {many} header "{header}"; it has {", ".join(headers)}')
        if header:
            places[name] = words.index(plain(header))
    for column in COLUMNS:
        if column.name in mapping:
            continue
        found = [place for place, word in enumerate(words) if word == plain(column.name)] or [
            place for place, word in enumerate(words) if word in column.synonyms and place not in places.values()
        ]
        if len(found) > 1:
            both = " and ".join(f'"{headers[place]}"' for place in found)
            raise InvalidDeck(f"{both} both mean {column.name}; map the right one")
        if found and found[0] not in places.values():
            places[column.name] = found[0]
    return places


class LineReader:
    """Turns lines of a file into lines of COPY text and collects what is wrong with them.

    Args:
        headers: Of the file.
        mapping: See `map_columns`.
        adjustments: At most one per column.
        kept: Faults that are kept for showing.

    Raises:
        InvalidDeck: the headers lack a column that must be there, or see `map_columns`.
        InvalidAdjustment: two adjustments of one column, or one of a column that the file lacks.
    """

    def __init__(
        self,
        headers: Sequence[str],
        mapping: Mapping[str, str],
        adjustments: Sequence[Adjustment] = (),
        kept: int = KEPT_FAULTS,
    ) -> None:
        self._kept = kept
        self.faults: list[Fault] = []
        self.fault_count = 0
        places = map_columns(headers, mapping)
        by_column = {adjustment.column: adjustment for adjustment in adjustments}
        if len(by_column) < len(adjustments):
            raise InvalidAdjustment("a column can be adjusted only once")
        constants = {name: reader(BY_NAME[name])(change.operand)
                     for name, change in by_column.items() if change.action == "replace"}  # fmt: skip
        for name in by_column.keys() - constants.keys() - places.keys():
            raise InvalidAdjustment(f"{name} cannot be adjusted: the file has no such column")
        self._check(headers, places.keys() | constants.keys())
        self.header_of = {name: headers[place] for name, place in places.items()}
        """Column -> its header in the file."""
        self.ignored = [header for place, header in enumerate(headers) if header and place not in places.values()]
        self._headers = headers
        self._width = len(headers)
        read = [name for name in NAMES if name in places and name not in constants]
        self._cells = [(_Cells(reader(BY_NAME[name], by_column.get(name))), places[name]) for name in read]
        self._rest = "".join(f"\t{value}" for value in constants.values()) + "\n"
        self.columns = ("line", *read, *constants)
        """Columns of the lines that come out."""

    @staticmethod
    def _check(headers: Sequence[str], names: set[str]) -> None:
        for name in ("prefix", "rate_per_minute"):
            if name not in names:
                raise InvalidDeck(f"no header means {name}; map one of {', '.join(filter(None, headers))}")
        if "valid_until" in names and "valid_from" not in names:
            raise InvalidDeck("the file says until when its rates hold, but not from when (valid_from)")

    def read(self, line: int, cells: Sequence[str]) -> str | None:
        """Return the COPY text of a line, with its end; None when something is wrong with it."""
        if len(cells) != self._width:
            if any(cells[self._width :]):
                self._fault(
                    Fault(
                        line,
                        "",
                        "",
                        f"{len(cells)} cells below {self._width} headers; is a cell with commas not quoted?",
                    )
                )
                return None
            cells = [*cells, *[""] * (self._width - len(cells))]
        try:
            return f"{line}\t" + "\t".join([known[cells[place]] for known, place in self._cells]) + self._rest
        except Wrong:
            self._find_faults(line, cells)
            return None

    def _find_faults(self, line: int, cells: Sequence[str]) -> None:
        for known, place in self._cells:
            try:
                known[cells[place]]
            except Wrong as wrong:
                value = cells[place][:DESTINATION_LETTERS].encode(errors="replace").decode()
                self._fault(Fault(line, self._headers[place], value, str(wrong)))

    def _fault(self, fault: Fault) -> None:
        self.fault_count += 1
        if len(self.faults) < self._kept:
            self.faults.append(fault)


class _Cells(dict[str, str]):
    """The cells of a column as COPY text, read once each."""

    def __init__(self, read: Callable[[str], str]) -> None:
        super().__init__()
        self._read = read

    def __missing__(self, cell: str) -> str:
        text = self._read(cell)
        if len(self) < _CACHE:
            self[cell] = text
        return text
