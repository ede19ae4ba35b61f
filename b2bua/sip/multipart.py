"""Bodies of several parts (RFC 2046 §5.1, RFC 5621): find the one that the switch understands.

Nothing raises; what cannot be read is not found. Parts that are encrypted or compressed are not looked into.
"""

import binascii
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from b2bua.sip.errors import ParseError
from b2bua.sip.grammar import BLANKS, unquote
from b2bua.sip.message import Request, Response
from b2bua.sip.params import Parameters, parse_parameters

SDP: Final = "application/sdp"

NESTING_LIMIT: Final = 4
"""Deepest multipart body inside another that is looked into."""

PART_LIMIT: Final = 32
"""Most parts of one body that are looked at."""

BOUNDARY_LIMIT: Final = 70
"""Longest boundary (RFC 2046 §5.1.1)."""

_LOOK_LIMIT: Final = 1024
"""How often the boundary, or what begins like it, is looked at."""

_OF_THE_WHOLE: Final = ("mime-version", "content-disposition", "content-transfer-encoding", "content-id")
"""Headers that say something of a body of several parts, and not of the one that is taken."""

_DISPOSITIONS: Final = frozenset({"", "session", "render"})
"""What a part may be for. A session description of another kind, such as an early session's, is not the call's."""

_HEAD_END: Final = re.compile(rb"\r?\n\r?\n")
_FOLD: Final = re.compile(r"\r?\n[ \t]+")


class _Part(NamedTuple):
    content_type: str
    body: bytes
    disposition: str
    encoding: str
    identity: str
    is_encoded: bool
    handling: str = ""
    """Its Content-Disposition in lower case; empty: it has none."""


def take_session(message: Request | Response) -> bool:
    """Let the session description be the body of a message that carries it among other parts.

    Returns:
        Whether the message has one, or no body at all; otherwise it stays as it is.
    """
    headers = message.headers
    if not message.body:
        return True
    content_type = headers.first("content-type")
    if "content-encoding" in headers and headers.first("content-encoding").lower() != "identity":
        return False
    if content_type == SDP:
        return True
    session = find_body(content_type, message.body, SDP)
    if session is None:
        return False
    message.body = session
    headers["content-type"] = [SDP]
    for name in _OF_THE_WHOLE:
        headers.pop(name, None)
    return True


def settle_body(message: Request | Response) -> bool:
    """Let the body of a message be a session description, or nothing where the sender can do without the rest.

    Returns:
        Whether it is now; otherwise it stays as it is.
    """
    if take_session(message):
        return True
    headers = message.headers
    whole = _Part(
        headers.first("content-type"), message.body, "", "", "", False, headers.first("content-disposition").lower()
    )
    if not _is_optional(whole):
        return False
    message.body = b""
    for name in [name for name in headers if name.startswith("content-") and name != "content-length"]:
        del headers[name]
    headers.pop("mime-version", None)
    return True


def _is_optional(part: _Part) -> bool:
    """Whether a part may be passed over by whoever does not understand it, or each one in it (RFC 5621 §8.2)."""
    if part.handling:
        return unquote(_parameters(part.handling).get("handling") or "") == "optional"
    if not media_type(part.content_type).startswith("multipart/"):
        return False
    boundary = unquote(_parameters(part.content_type).get("boundary") or "")
    parts = list(_split(part.body, boundary))
    return bool(parts) and all(each.handling and _is_optional(each) for each in parts)


def find_body(content_type: str, body: bytes, wanted: str) -> bytes | None:
    """Find the body of a type in a message's body, which may be that body itself.

    Of alternatives the last that is of the type counts (RFC 2046 §5.1.4), else the first.

    Args:
        content_type: The message's Content-Type as written.
        body: The message's body.
        wanted: A media type in lower case: `application/sdp`.

    Returns:
        The bytes of that body, its transfer encoding undone; None if there is none.
    """
    return _find(_Part(content_type, body, "", "", "", False), wanted, 0)


def media_type(content_type: str) -> str:
    """The type and subtype of a Content-Type in lower case, without parameters and blanks."""
    return "".join(content_type.partition(";")[0].split()).lower()


def _find(part: _Part, wanted: str, depth: int) -> bytes | None:
    kind = media_type(part.content_type)
    if kind == wanted:
        return None if part.is_encoded or part.disposition not in _DISPOSITIONS else _decode(part)
    if not kind.startswith("multipart/") or depth > NESTING_LIMIT:
        return None
    parameters = _parameters(part.content_type)
    parts: list[_Part] = list(_split(part.body, unquote(parameters.get("boundary") or "")))
    if kind == "multipart/alternative":
        parts.reverse()
    elif kind == "multipart/related":
        # The root is what counts; the others are what it refers to (RFC 2387 §3.2).
        start = unquote(parameters.get("start") or "")
        parts = [each for each in parts if each.identity == start][:1] if start else parts[:1]
    for each in parts:
        found = _find(each, wanted, depth + 1)
        if found is not None:
            return found
    return None


def _split(body: bytes, boundary: str) -> Iterator[_Part]:
    """The parts between the delimiters; the last may lack the one after it."""
    if not boundary or len(boundary) > BOUNDARY_LIMIT:
        return
    delimiter = b"\n--" + boundary.encode("utf-8", "surrogateescape")
    text = b"\n" + body
    start, count = -1, 0
    for position, after, is_last in _delimiters(text, delimiter):
        if start >= 0:
            yield _read_part(text[start:position])
            count += 1
        start = after
        if is_last or count >= PART_LIMIT:
            return
    if start >= 0:
        yield _read_part(text[start:])


def _delimiters(text: bytes, delimiter: bytes) -> Iterator[tuple[int, int, bool]]:
    """Where each delimiter line begins, its line end included, where the next line does, and if it is the last."""
    position = text.find(delimiter)
    for _ in range(_LOOK_LIMIT):
        if position < 0:
            return
        after = position + len(delimiter)
        end = text.find(b"\n", after, after + BOUNDARY_LIMIT + 2)
        rest = text[after : end if end >= 0 else after + BOUNDARY_LIMIT]
        is_last = rest.startswith(b"--")
        # Else the boundary only begins like this one.
        if not rest[2 * is_last :].strip(b" \t\r") and (is_last or end >= 0):
            before = position - 1 if text[position - 1 : position] == b"\r" else position
            yield before, end + 1, is_last
        # From the line end, with which the next delimiter may begin.
        position = text.find(delimiter, max(after, end))


def _read_part(data: bytes) -> _Part:
    if data.startswith((b"\r\n", b"\n")):  # no header at all
        return _Part("text/plain", data.partition(b"\n")[2], "", "", "", False)
    found = _HEAD_END.search(data)
    head, body = (data[: found.start()], data[found.end() :]) if found else (data, b"")
    headers: dict[str, str] = {}
    for line in _FOLD.sub(" ", head.decode("utf-8", "surrogateescape")).split("\n"):
        name, colon, value = line.partition(":")
        if colon:
            headers.setdefault(name.strip(BLANKS).lower(), value.strip(BLANKS + "\r"))
    return _Part(
        headers.get("content-type") or headers.get("c") or "text/plain",
        body,
        media_type(headers.get("content-disposition", "")),
        headers.get("content-transfer-encoding", "").lower(),
        headers.get("content-id", ""),
        headers.get("content-encoding", "identity").lower() != "identity",
        headers.get("content-disposition", "").lower(),
    )


def _decode(part: _Part) -> bytes | None:
    """A part's body without its transfer encoding; None if that is unknown or broken."""
    try:
        if part.encoding == "base64":
            return binascii.a2b_base64(part.body)
        if part.encoding == "quoted-printable":
            return binascii.a2b_qp(part.body)
    except ValueError:
        return None
    return part.body if part.encoding in ("", "binary", "8bit", "7bit") else None


def _parameters(content_type: str) -> Parameters:
    try:
        return parse_parameters(content_type.partition(";")[2])
    except ParseError:
        return {}
