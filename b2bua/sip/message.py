"""Requests and responses: parsed once on arrival, written once on departure (RFC 3261 §7, §18.3).

What the transaction and dialog layers need of every message (top Via, Call-ID, CSeq, tags) is read on arrival; the
grammar of every other header is read by whoever needs it. Text is UTF-8 with undecodable bytes kept (surrogateescape),
so that what is passed on leaves as it came.
"""

from typing import Final

from b2bua.sip.address import tag_of
from b2bua.sip.cseq import parse_cseq
from b2bua.sip.errors import ParseError
from b2bua.sip.grammar import is_token, parse_number
from b2bua.sip.headers import Headers, canonical_name, known_names, written_name
from b2bua.sip.status import reason_phrase
from b2bua.sip.via import Via

SIZE_LIMIT: Final = 65_536
"""Longest message in bytes."""

HEADER_LIMIT: Final = 256
"""Most header lines in a message."""


class Message:
    """What requests and responses share."""

    __slots__ = ("body", "call_id", "cseq", "from_tag", "headers", "method", "to_tag", "via")

    headers: Headers
    body: bytes
    via: Via
    """Topmost Via."""
    call_id: str
    cseq: int
    method: str
    """A request's method; a response's is that of its CSeq."""
    from_tag: str
    to_tag: str

    def __init__(self, headers: Headers, body: bytes = b"") -> None:
        self.headers = headers
        self.body = body

    def read_identity(self) -> None:
        """Read the headers that name the transaction and dialog.

        Raises:
            ParseError: one of them is missing, repeated or malformed.
        """
        headers = self.headers
        try:
            vias = headers["via"]
            (sender,) = headers["from"]
            (recipient,) = headers["to"]
            (self.call_id,) = headers["call-id"]
            (cseq,) = headers["cseq"]
        except (KeyError, ValueError) as error:
            raise ParseError(_identity_fault(headers)) from error
        for value in vias:
            if "," in value:
                headers["via"] = vias = [part.strip() for value in vias for part in value.split(",")]
                break
        self.via = Via.parse(vias[0])
        if not self.call_id:
            raise ParseError("Call-ID is empty")
        self.cseq, self.method = parse_cseq(cseq)
        self.from_tag = tag_of(sender)
        self.to_tag = tag_of(recipient)

    def _to_bytes(self, start_line: str) -> bytes:
        lines = [start_line]
        for name, values in self.headers.items():
            written = written_name(name)
            for value in values:
                lines.append(f"{written}: {value}")
        lines.append(f"Content-Length: {len(self.body)}\r\n\r\n")
        head = "\r\n".join(lines).encode("utf-8", "surrogateescape")
        return head + self.body if self.body else head


class Request(Message):
    """A request. One that we make has no `via` until the transaction layer gives it one."""

    __slots__ = ("uri",)

    def __init__(self, method: str, uri: str, headers: Headers, body: bytes = b"") -> None:
        self.headers = headers
        self.body = body
        self.method = method
        self.uri = uri
        """Request-URI as written."""

    def to_bytes(self) -> bytes:
        """The message as it goes on the wire; Content-Length is added."""
        return self._to_bytes(f"{self.method} {self.uri} SIP/2.0")


class Response(Message):
    """A response."""

    __slots__ = ("reason", "status")

    def __init__(self, status: int, reason: str, headers: Headers, body: bytes = b"") -> None:
        self.headers = headers
        self.body = body
        self.status = status
        self.reason = reason

    @classmethod
    def to(cls, request: Request, status: int, to_tag: str = "", body: bytes = b"") -> "Response":
        """Answer a request (§8.2.6.2): Via, From, To, Call-ID and CSeq copied, `to_tag` added where To has none."""
        source = request.headers
        headers = Headers()
        headers["via"] = source["via"]
        headers["from"] = source["from"]
        to = source["to"]
        headers["to"] = [f"{to[0]};tag={to_tag}"] if to_tag and not request.to_tag else to
        headers["call-id"] = source["call-id"]
        headers["cseq"] = source["cseq"]
        if 100 < status < 300 and "record-route" in source:  # §12.1.1
            headers["record-route"] = source["record-route"]
        response = cls(status, reason_phrase(status), headers, body)
        response.method = request.method
        return response

    def to_bytes(self) -> bytes:
        """The message as it goes on the wire; Content-Length is added."""
        return self._to_bytes(f"SIP/2.0 {self.status} {self.reason}")


def split_head(data: bytes) -> tuple[str, Headers, bytes]:
    """Split a message into start line, headers and what follows the empty line.

    Raises:
        ParseError: no end of the head, a line without a colon, too many headers, control characters, or too long.
    """
    if len(data) > SIZE_LIMIT:
        raise ParseError("message is too long", 513)
    head, separator, body = data.partition(b"\r\n\r\n")
    if not separator:
        raise ParseError("headers do not end")
    text = head.decode("utf-8", "surrogateescape")
    if "\r\n " in text or "\r\n\t" in text:
        text = _unfold(text)
    lines = text.split("\r\n")
    # A lone CR, LF or NUL would become a line of its own in a careless peer, once passed on.
    if text.count("\n") + text.count("\r") != 2 * (len(lines) - 1) or "\0" in text:
        raise ParseError("control character in header")
    if len(lines) > HEADER_LIMIT + 1:
        raise ParseError("too many headers", 513)
    headers = Headers()
    start_line = lines[0]
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon:
            raise ParseError("header without a colon")
        name = known_names.get(name) or canonical_name(name)
        if name in headers:
            headers[name].append(value.strip())
        else:
            headers[name] = [value.strip()]
    return start_line, headers, body


def _identity_fault(headers: Headers) -> str:
    for name in ("via", "from", "to", "call-id", "cseq"):
        if name not in headers:
            return f"{written_name(name)} is missing"
    repeated = next(name for name in ("from", "to", "call-id", "cseq") if len(headers[name]) > 1)
    return f"{written_name(repeated)} is repeated"


def _unfold(text: str) -> str:
    # A line that begins with a blank continues the one before it (§7.3.1).
    lines: list[str] = []
    for line in text.split("\r\n"):
        if line[:1] in (" ", "\t") and lines:
            lines[-1] = f"{lines[-1].rstrip()} {line.strip()}"
        else:
            lines.append(line)
    return "\r\n".join(lines)


def parse_message(data: bytes, *, framed: bool = False) -> Request | Response:
    """Parse one datagram, or one message that the stream parser has cut out (`framed`).

    Bytes of a datagram after Content-Length are dropped; too few are a fault (§18.3).

    Raises:
        ParseError: not a SIP message. Where it is a request that can be answered all the same, the error has it as
            its attribute `request`.
    """
    start_line, headers, body = split_head(data)
    if start_line.startswith("SIP/2.0 "):
        response = _parse_status_line(start_line, headers)
        response.read_identity()
        response.body = _body(headers, body, framed)
        return response
    request = _parse_request_line(start_line, headers)
    method = request.method
    try:
        request.read_identity()
        if request.method != method:
            request.method = method
            raise ParseError("CSeq names another method")
        request.body = _body(headers, body, framed)
        if not request.from_tag and request.via.branch:
            raise ParseError("From has no tag")
    except ParseError as error:
        if _can_be_answered(headers):
            raise UnacceptableRequest(str(error), error.status_hint, request) from error
        raise
    return request


class UnacceptableRequest(ParseError):
    """A request with a fault, complete enough to be answered with one."""

    def __init__(self, reason: str, status_hint: int, request: Request) -> None:
        super().__init__(reason, status_hint)
        self.request = request


def _can_be_answered(headers: Headers) -> bool:
    if any(name not in headers for name in ("via", "from", "to", "call-id", "cseq")):
        return False
    try:
        Via.parse(headers["via"][0].partition(",")[0])
    except ParseError:
        return False
    return True


def _body(headers: Headers, body: bytes, framed: bool) -> bytes:
    values = headers.pop("content-length", None)
    if values is None or framed:
        return body
    if len(values) > 1 and len(set(values)) > 1:
        raise ParseError("Content-Length is repeated")
    length = parse_number(values[0], "Content-Length")
    if length > len(body):
        raise ParseError("body is shorter than Content-Length")
    return body[:length]


def _parse_request_line(line: str, headers: Headers) -> Request:
    method, _, rest = line.partition(" ")
    uri, _, version = rest.rpartition(" ")
    if not uri or not is_token(method):
        raise ParseError("malformed request line")
    request = Request(method, uri, headers)
    if version.upper() != "SIP/2.0":
        if version[:4].upper() == "SIP/" and _can_be_answered(headers):
            raise UnacceptableRequest("unsupported SIP version", 505, request)
        raise ParseError("malformed request line")
    if " " in uri or uri[0] == "<":
        if _can_be_answered(headers):
            raise UnacceptableRequest("malformed Request-URI", 400, request)
        raise ParseError("malformed Request-URI")
    return request


def _parse_status_line(line: str, headers: Headers) -> Response:
    _, _, rest = line.partition(" ")
    code, _, reason = rest.partition(" ")
    status = parse_number(code, "status code", 699)
    if status < 100:
        raise ParseError("status code below 100")
    return Response(status, reason, headers)
