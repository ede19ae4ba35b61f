"""Bencode, the form in which rtpengine's control protocol is usually spoken: texts, whole numbers, lists, dictionaries.

Texts are decoded as UTF-8; bytes that are not come back as they were (surrogates), so that a session description
survives. Other than the original, dictionaries need not be sorted, and ours are not.
"""

from typing import Any, Final

DEPTH_LIMIT: Final = 16
"""Deepest nesting that is decoded."""

_DIGITS: Final = frozenset(b"0123456789")
_INTEGER_LIMIT: Final = 20


class MalformedBencode(ValueError):
    """The bytes are not bencode."""


def encode(value: Any) -> bytes:  # noqa: ANN401 - whatever the protocol carries
    """Write a value.

    Args:
        value: str, bytes, int, bool (as 0 and 1), or a list, tuple or dictionary of these.

    Raises:
        TypeError: it is something else.
    """
    parts: list[bytes] = []
    _write(value, parts)
    return b"".join(parts)


def _write(value: Any, parts: list[bytes]) -> None:  # noqa: ANN401
    if isinstance(value, str):
        value = value.encode("utf-8", "surrogateescape")
    if isinstance(value, bytes):
        parts.append(b"%d:%b" % (len(value), value))
    elif isinstance(value, int):
        parts.append(b"i%de" % value)
    elif isinstance(value, dict):
        parts.append(b"d")
        for key, each in value.items():
            _write(key, parts)
            _write(each, parts)
        parts.append(b"e")
    elif isinstance(value, (list, tuple)):
        parts.append(b"l")
        for each in value:
            _write(each, parts)
        parts.append(b"e")
    else:
        msg = f"bencode has no {type(value).__name__}"
        raise TypeError(msg)


def decode(data: bytes) -> Any:  # noqa: ANN401
    """Read one value, which must be all there is.

    Raises:
        MalformedBencode: it is not, or it is nested too deeply.
    """
    try:
        value, end = _read(data, 0, DEPTH_LIMIT)
    except IndexError:
        raise MalformedBencode("ends too early") from None
    if end != len(data):
        raise MalformedBencode(f"goes on after its end, at byte {end}")
    return value


def _read(data: bytes, at: int, depth: int) -> tuple[Any, int]:
    kind = data[at]
    if kind in _DIGITS:
        return _read_text(data, at)
    if kind == 0x69:  # i
        end = data.find(b"e", at, at + _INTEGER_LIMIT + 3)
        return _to_integer(data[at + 1 : end] if end > 0 else b"", at), end + 1
    if kind not in b"dl":
        raise MalformedBencode(f"byte {at} begins nothing")
    if depth == 0:
        raise MalformedBencode("is nested too deeply")
    items: list[Any] = []
    at += 1
    while data[at] != 0x65:  # e
        item, at = _read(data, at, depth - 1)
        items.append(item)
    return (_pair(items) if kind == 0x64 else items), at + 1


def _pair(items: list[Any]) -> dict[str, Any]:
    if len(items) % 2 or not all(isinstance(key, str) for key in items[::2]):
        raise MalformedBencode("a dictionary lacks a value, or has a key that is no text")
    return dict(zip(items[::2], items[1::2], strict=True))


def _read_text(data: bytes, at: int) -> tuple[str, int]:
    colon = data.find(b":", at, at + _INTEGER_LIMIT)
    length = _to_integer(data[at:colon] if colon > 0 else b"", at)
    end = colon + 1 + length
    if end > len(data):
        raise MalformedBencode(f"the text at byte {at} is cut off")
    return data[colon + 1 : end].decode("utf-8", "surrogateescape"), end


def _to_integer(digits: bytes, at: int) -> int:
    if not digits.removeprefix(b"-").isdigit():
        raise MalformedBencode(f"no number at byte {at}")
    return int(digits)
