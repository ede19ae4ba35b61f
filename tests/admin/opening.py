"""Opens what the panel exports: each format as its rows of texts, read from the file's own bytes."""

import csv
import io
import re
import struct
import zlib
from collections.abc import Iterator
from decimal import Decimal

import openpyxl

Rows = list[list[str]]

_SECTOR = 512
_BOUNDSHEET, _SST, _CONTINUE, _LABELSST, _NUMBER, _RK, _MULRK = 0x85, 0xFC, 0x3C, 0xFD, 0x203, 0x27E, 0xBD


def open_file(kind: str, data: bytes) -> Rows:
    """The rows of a file, its head first; numbers without zeros at their end."""
    if kind in {"csv", "txt"}:
        text = data.decode("utf-8-sig")
        return [[plain(cell) for cell in row] for row in csv.reader(io.StringIO(text), delimiter="\t,"[kind == "csv"])]
    if kind == "xlsx":
        sheet = openpyxl.load_workbook(io.BytesIO(data), read_only=True).active
        assert sheet is not None
        rows = [[plain(cell) for cell in row] for row in sheet.iter_rows(values_only=True)]
        return [row + [""] * (len(rows[0]) - len(row)) for row in rows]
    return _open_xls(data) if kind == "xls" else _open_pdf(data)


def plain(value: object) -> str:
    """A cell as text: whitespace once, numbers as short as they can be."""
    text = "" if value is None else " ".join(str(value).split())
    if re.fullmatch(r"-?\d+\.\d+(E-?\d+)?|-?\d+E-?\d+", text, re.IGNORECASE):
        return f"{Decimal(text).normalize():f}"
    return text


# XLS: BIFF8 in a compound document, as [MS-XLS] and [MS-CFB] have it


def _open_xls(data: bytes) -> Rows:
    cells: dict[tuple[int, int], str] = {}
    texts: list[str] = []
    for kind, body in _records(_workbook(data)):
        if kind == _SST:
            texts = list(_shared_texts(body))
        elif kind == _LABELSST:
            row, column, _, number = struct.unpack("<HHHI", body[:10])
            cells[row, column] = plain(texts[number])
        elif kind == _NUMBER:
            row, column, _, value = struct.unpack("<HHHd", body[:14])
            cells[row, column] = _number(value)
        elif kind in {_RK, _MULRK}:
            row, column = struct.unpack("<HH", body[:4])
            for place in range(4, len(body) - 5 if kind == _RK else len(body) - 2, 6):
                (packed,) = struct.unpack("<i", body[place + 2 : place + 6])
                cells[row, column + (place - 4) // 6] = _number(_unpacked(packed))
    width = 1 + max(column for _, column in cells)
    height = 1 + max(row for row, _ in cells)
    return [[cells.get((row, column), "") for column in range(width)] for row in range(height)]


def _number(value: float) -> str:
    return f"{value:.0f}" if value == int(value) else plain(repr(value))


def _unpacked(packed: int) -> float:
    if packed & 2:
        value = float(packed >> 2)
    else:
        (value,) = struct.unpack("<d", struct.pack("<II", 0, packed & 0xFFFFFFFC))
    return value / 100 if packed & 1 else value


def _workbook(data: bytes) -> bytes:
    """The stream of the book: the sectors that follow each other from its first one."""
    (directory,) = struct.unpack("<I", data[48:52])
    count = struct.unpack("<I", data[44:48])[0]
    places = struct.unpack(f"<{min(count, 109)}I", data[76 : 76 + 4 * min(count, 109)])
    following = [each for place in places for each in struct.unpack("<128I", _sector(data, place))]
    entries = b"".join(_chain(data, following, directory))
    for begin in range(0, len(entries), 128):
        entry = entries[begin : begin + 128]
        name = entry[: max(0, struct.unpack("<H", entry[64:66])[0] - 2)].decode("utf-16-le")
        if name == "Workbook":
            first, size = struct.unpack("<II", entry[116:124])
            return b"".join(_chain(data, following, first))[:size]
    raise AssertionError("no workbook")


def _sector(data: bytes, number: int) -> bytes:
    return data[_SECTOR * (number + 1) : _SECTOR * (number + 2)]


def _chain(data: bytes, following: list[int], number: int) -> Iterator[bytes]:
    while number < 0xFFFFFFFC:
        yield _sector(data, number)
        number = following[number]


def _records(book: bytes) -> Iterator[tuple[int, bytes]]:
    place, kind, body = 0, 0, b""
    while place + 4 <= len(book):
        found, size = struct.unpack("<HH", book[place : place + 4])
        piece = book[place + 4 : place + 4 + size]
        place += 4 + size
        if found == _CONTINUE:
            body += piece
            continue
        if kind:
            yield kind, body
        kind, body = found, piece
    yield kind, body


def _shared_texts(body: bytes) -> Iterator[str]:
    """The table of texts; none of a test is so long that it is cut at the end of a record."""
    (count,) = struct.unpack("<I", body[4:8])
    place = 8
    for _ in range(count):
        length, flags = struct.unpack("<HB", body[place : place + 3])
        size = length * (2 if flags & 1 else 1)
        yield body[place + 3 : place + 3 + size].decode("utf-16-le" if flags & 1 else "latin-1")
        place += 3 + size


# PDF

_FOOT = 28.0
"""Points from the lower edge, below which the number of the page stands."""
_TEXT = rb"BT ([\d.]+) ([\d.]+) Td (?:0 g )?\(((?:\\.|[^\\)])*)\) Tj"


def _open_pdf(data: bytes) -> Rows:
    """Texts in the order of pages and lines, without cells that are empty; a text that was cut ends in three dots."""
    found = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", data, re.DOTALL)
    # Not zlib.decompress: a line's end after a stream may be taken for its last byte, or that for one.
    streams = [zlib.decompressobj().decompress(each) if each.startswith(b"x") else each for each in found]
    letters = _letters(streams)
    rows: Rows = []  # the first one is the title, and the head stands on each page
    for stream in streams:
        lines: dict[float, list[tuple[float, str]]] = {}
        for x, y, text in re.findall(_TEXT, stream, re.DOTALL):
            if float(y) > _FOOT:
                lines.setdefault(float(y), []).append((float(x), _decoded(text, letters)))
        rows += [[plain(text) for _, text in sorted(line)] for _, line in sorted(lines.items(), reverse=True)]
    return [rows[1], *(row for row in rows[2:] if row != rows[1])]


def _decoded(raw: bytes, letters: dict[int, str]) -> str:
    raw = re.sub(rb"\\(.)", lambda found: {b"r": b"\r", b"n": b"\n"}.get(found[1], found[1]), raw, flags=re.DOTALL)
    if not letters:
        return raw.decode("latin-1")
    return "".join(letters.get(code, "?") for (code,) in struct.iter_unpack(">H", raw))


def _letters(streams: list[bytes]) -> dict[int, str]:
    """What the font's codes mean, from its table for that."""
    found = {}
    for stream in streams:
        if b"beginbfchar" in stream:
            for code, letter in re.findall(rb"<([0-9A-Fa-f]{4})> <([0-9A-Fa-f]+)>", stream):
                found[int(code, 16)] = bytes.fromhex(letter.decode()).decode("utf-16-be")
    return found
