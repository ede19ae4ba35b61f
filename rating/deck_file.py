"""Files of rates as lines of text: CSV and XLSX, read as a stream whatever their size.

What a file is, its content says and not its name. CSV may be separated by commas, semicolons, tabs or bars; it is
UTF-8, or UTF-16 where it says so.
"""

import csv
import io
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import IO, Any, Final
from xml.etree.ElementTree import ParseError

from rating.errors import InvalidDeck

SHEET_ROWS: Final = 1_048_576
"""Lines of a sheet, the headers among them."""

EXACT_DIGITS: Final = 15
"""Digits of a number that a spreadsheet keeps."""

_SEPARATORS: Final = (",", ";", "\t", "|")
_ZIP: Final = b"PK\x03\x04"
_OLE: Final = b"\xd0\xcf\x11\xe0"
_UTF_16: Final = (b"\xff\xfe", b"\xfe\xff")


@dataclass(slots=True)
class DeckFile:
    """An open file of rates."""

    headers: list[str]
    lines: Iterator[tuple[int, Sequence[str]]]
    """(number of the line in the file, its cells); lines without any text are left out.

    Raises:
        InvalidDeck: the file breaks off or is damaged.
    """
    read_part: Callable[[], float]
    """How much of the file has been read, between 0 and 1."""
    total: int | None = None
    """Lines below the headers, as the file itself says; None: it does not."""


@contextmanager
def open_deck(path: Path) -> Iterator[DeckFile]:
    """Open a file of rates and read its headers, which are its first line that is not empty.

    Raises:
        InvalidDeck: it is neither CSV nor XLSX, or has no headers.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        start = file.read(4)
        file.seek(0)
        if start.startswith(_OLE):
            raise InvalidDeck("the file is of the old Excel format or has a password; save it as XLSX or CSV")
        if start == _ZIP:
            with _open_xlsx(file) as deck:
                yield deck
        else:
            yield _open_csv(file, "utf-16" if start[:2] in _UTF_16 else "utf-8-sig")


def _open_csv(file: IO[bytes], encoding: str) -> DeckFile:
    size = max(file.seek(0, io.SEEK_END), 1)
    file.seek(0)
    # What is no UTF-8 is refused with its line and column, where it matters.
    text = io.TextIOWrapper(file, encoding, "surrogateescape" if encoding == "utf-8-sig" else "replace", newline="")
    first = next((line for line in text if line.strip()), "")
    text.seek(0)
    separator = max(_SEPARATORS, key=first.count)
    lines = _csv_lines(csv.reader(text, delimiter=separator, strict=True))
    # Through the text, which would take the file with it if nobody held it.
    return DeckFile(_headers(lines), lines, lambda: text.buffer.tell() / size)


def _csv_lines(reader: Any) -> Iterator[tuple[int, Sequence[str]]]:  # noqa: ANN401 - csv's class has no public name
    line = 1
    try:
        for cells in reader:
            if any(cells):
                yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        raise InvalidDeck(f"line {line}: the file is not CSV: {error}") from None


@contextmanager
def _open_xlsx(file: IO[bytes]) -> Iterator[DeckFile]:
    # Imported here: it takes a while, and few need it.
    import openpyxl

    try:
        with warnings.catch_warnings():
            # It warns of styles and extensions that it does not know and we do not want.
            warnings.simplefilter("ignore")
            book = openpyxl.load_workbook(file, read_only=True, data_only=True)
    except (zipfile.BadZipFile, KeyError, ValueError, ParseError, OSError) as error:
        raise InvalidDeck(f"the file is not XLSX: {error}") from None
    try:
        if not book.worksheets:
            raise InvalidDeck("the file has no sheet")
        sheet = book.worksheets[0]
        rows = max(sheet.max_row or 1, 1)
        # Some programs write a size that is wrong, and everything beyond would be left out.
        sheet.reset_dimensions()
        progress = [0]
        lines = _xlsx_lines(sheet, progress)
        yield DeckFile(_headers(lines), lines, lambda: min(progress[0] / rows, 1.0), rows - 1)
    finally:
        book.close()


def _xlsx_lines(sheet: Any, progress: list[int]) -> Iterator[tuple[int, Sequence[str]]]:  # noqa: ANN401
    rows = sheet.iter_rows(values_only=True)
    for line in range(1, SHEET_ROWS + 1):
        try:
            row = next(rows, None)
        except (zipfile.BadZipFile, KeyError, ValueError, ParseError, OSError) as error:
            raise InvalidDeck(f"line {line}: the file is damaged: {error}") from None
        if row is None:
            return
        progress[0] = line
        cells = [value if type(value) is str else _text(value) for value in row]
        if any(cells):
            yield line, cells


def _text(value: object) -> str:
    """Write what a cell of a sheet holds."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, float):
        # The one place where a float comes in, since sheets have no other numbers. It becomes the decimal that the
        # spreadsheet shows.
        return f"{Decimal(f'{value:.{EXACT_DIGITS}g}'):f}"
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    return str(value)


def _headers(lines: Iterator[tuple[int, Sequence[str]]]) -> list[str]:
    _, cells = next(lines, (0, []))
    headers = [cell.strip() for cell in cells]
    while headers and not headers[-1]:
        headers.pop()
    if not headers:
        raise InvalidDeck("the file is empty; its first line must be headers")
    return headers


class SheetWriter:
    """Writes an XLSX file line by line.

    Args:
        headers: The first line.
    """

    def __init__(self, headers: Sequence[str]) -> None:
        import openpyxl

        self._book = openpyxl.Workbook(write_only=True)
        self._sheet = self._book.create_sheet("rates")
        self._sheet.freeze_panes = "A2"
        self._lines = 0
        self.append(headers)

    def append(self, cells: Sequence[str | Decimal | int | None]) -> None:
        """Write a line.

        Raises:
            InvalidDeck: a sheet has no more lines.
        """
        self._lines += 1
        if self._lines > SHEET_ROWS:
            raise InvalidDeck(f"a sheet has {SHEET_ROWS} lines and there are more rates; write CSV")
        self._sheet.append([_cell(cell) for cell in cells])

    def save(self, path: Path) -> None:
        """Write the file."""
        self._book.save(path)

    def close(self) -> None:
        """Remove what the writer keeps beside; after `save` or instead of it."""
        self._book.close()


def _cell(value: str | Decimal | int | None) -> str | Decimal | int | None:
    # As text, a number keeps all its digits.
    if isinstance(value, Decimal) and len(value.as_tuple().digits) > EXACT_DIGITS:
        return f"{value:f}"
    return value
