"""Files of packed tables: written once, verified when they are opened, mapped by every process that reads them.

A file is a preface of fixed width (magic, format, checksum, sizes), a header in JSON, and sections of packed values in
the byte order of the machine. What reads a section takes it out of the map value by value, so that a table of a million
rows costs a process no memory of its own. A file is never changed: a newer one takes its place, and who has the older
one mapped keeps it.
"""

import json
import mmap
import os
import struct
import zlib
from array import array
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from rating.errors import InvalidPackedFile

FORMAT: Final = 1
"""Raised with every change of what a file or one of its sections looks like."""

_MAGIC: Final = b"softpack"
_PREFACE: Final = struct.Struct("=8sII")
"""Magic, format, CRC-32 of all that follows."""
_SIZES: Final = struct.Struct("=QQ")
"""Size of the header, size of the file."""
_START: Final = _PREFACE.size + _SIZES.size
_ALIGNMENT: Final = 8
_BLOCK: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Head:
    """What a file is of."""

    table: str
    key: int
    """Of a ratecard its id; 0 where there is one file for all."""
    revision: int
    """Of the configuration when the table was read."""
    rows: int = 0


def write_packed(path: Path, head: Head, sections: "Mapping[str, bytes | bytearray | array[int]]") -> None:
    """Write a file; nobody sees it before it is whole.

    Args:
        path: Where.
        head: What it is of.
        sections: By name; whole numbers are written in the narrowest width that holds all of them.
    """
    places: dict[str, tuple[int, int, str]] = {}
    body: list[bytes | bytearray | array[int]] = []
    offset = 0
    for name, section in sections.items():
        values = _narrowed(section) if isinstance(section, array) else section
        size = len(values) * (values.itemsize if isinstance(values, array) else 1)
        padding = -size % _ALIGNMENT
        places[name] = (offset, size, values.typecode if isinstance(values, array) else "B")
        body += [values, bytes(padding)]
        offset += size + padding
    header = json.dumps({**asdict(head), "sections": places}).encode()
    header += b" " * (-(_START + len(header)) % _ALIGNMENT)
    body[:0] = [_SIZES.pack(len(header), _START + len(header) + offset), header]
    checksum = 0
    for part in body:
        checksum = zlib.crc32(part, checksum)
    working = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with working.open("wb") as file:
            file.write(_PREFACE.pack(_MAGIC, FORMAT, checksum))
            file.writelines(body)
        working.replace(path)
    finally:
        working.unlink(missing_ok=True)


def _narrowed(values: "array[int]") -> "array[int]":
    """The same numbers, each in as few bytes as the greatest takes."""
    greatest = max(values, default=0)
    code = next(code for code in "BHIQ" if greatest < 1 << 8 * array(code).itemsize)
    return values if code == values.typecode else array(code, values)


class PackedFile:
    """An open file.

    Args:
        path: The file.
        table: What it must be of.

    Raises:
        InvalidPackedFile: it is damaged, cut, of another format, or of another table.
        OSError: it cannot be read.
    """

    __slots__ = ("_places", "_view", "head")

    def __init__(self, path: Path, table: str) -> None:
        with path.open("rb") as file:
            # By reading and not over the map, whose pages would be counted as ours.
            _verify(path, file.fileno())
            self.head, self._places, start = _read_header(path, file.fileno())
            self._view = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))[start:]
        if self.head.table != table:
            raise InvalidPackedFile(f"{path} is of the table {self.head.table}, not of {table}")

    def section(self, name: str) -> memoryview:
        """A section: bytes, or whole numbers."""
        offset, size, code = self._places[name]
        return self._view[offset : offset + size].cast(code)  # type: ignore[call-overload, no-any-return]


def read_head(path: Path) -> Head:
    """Read what a file is of, without a look at its rows.

    Raises:
        InvalidPackedFile: it is cut or of another format.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return _read_header(path, file.fileno())[0]


def _read_header(path: Path, descriptor: int) -> tuple[Head, dict[str, tuple[int, int, str]], int]:
    """Return the head, the places of the sections, and where these begin."""
    header_size, _ = _read_preface(path, descriptor)
    header = json.loads(os.pread(descriptor, header_size, _START))
    places = header.pop("sections")
    return Head(**header), places, _START + header_size


def _read_preface(path: Path, descriptor: int) -> tuple[int, int]:
    """Return the size of the header and the checksum."""
    size = os.fstat(descriptor).st_size
    preface = os.pread(descriptor, _START, 0)
    if len(preface) < _START or not preface.startswith(_MAGIC):
        raise InvalidPackedFile(f"{path} is no file of packed rows")
    _, version, checksum = _PREFACE.unpack_from(preface)
    header_size, whole = _SIZES.unpack_from(preface, _PREFACE.size)
    if version != FORMAT:
        raise InvalidPackedFile(f"{path} has format {version}, this code reads {FORMAT}")
    if size != whole:
        raise InvalidPackedFile(f"{path} has {size} bytes of {whole}")
    return header_size, checksum


def _verify(path: Path, descriptor: int) -> None:
    _, checksum = _read_preface(path, descriptor)
    found, offset = 0, _PREFACE.size
    while block := os.pread(descriptor, _BLOCK, offset):
        found = zlib.crc32(block, found)
        offset += len(block)
    if found != checksum:
        raise InvalidPackedFile(f"{path} is damaged: its checksum is {found:08x} and must be {checksum:08x}")
