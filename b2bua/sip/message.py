"""Requests and responses: parsed once on arrival, written once on departure (RFC 3261 §7, §18.3).

What the transaction and dialog layers need of every message (top Via, Call-ID, CSeq, tags) is read on arrival; the
grammar of every other header is read by whoever needs it. Text is UTF-8 with undecodable bytes kept (surrogateescape),
so that what is passed on leaves as it came.
"""

from itertools import islice
from typing import Final

from b2bua.sip.address import tag_of
from b2bua.sip.cseq import parse_cseq
from b2bua.sip.errors import ParseError
from b2bua.sip.grammar import BLANKS, METHODS, is_token, parse_number, split_outside_quotes
from b2bua.sip.headers import Headers, canonical_name, known_names, written_name, written_prefixes
from b2bua.sip.status import reason_phrase
from b2bua.sip.uri import SCHEMES, URI
from b2bua.sip.via import Via

SIZE_LIMIT: Final = 65_536
"""Longest message in bytes."""

HEADER_LIMIT: Final = 256
"""Most header lines in a message."""

LINE_LIMIT: Final = 2048
"""Most lines of a head, those included that continue a header."""

VIA_LIMIT: Final = 256
"""Most Via values."""


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
                headers["via"] = vias = _split_vias(vias)
                if not all(map(_begins_as_via, vias)):
                    raise ParseError("malformed Via")
                break
        self.via = Via.parse(vias[0])
        if not self.call_id:
            raise ParseError("Call-ID is empty")
        self.cseq, self.method = parse_cseq(cseq)
        self.from_tag = tag_of(sender)
        self.to_tag = tag_of(recipient)

    def _to_bytes(self, start_line: str) -> bytes:
        prefixes = written_prefixes
        lines = [prefixes[name] + value for name, values in self.headers.items() for value in values]
        text = "\r\n".join((start_line, *lines, f"Content-Length: {len(self.body)}\r\n\r\n"))
        head = text.encode("utf-8", "surrogateescape")
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

    def accepts(self, media_type: str) -> bool:
        """Whether an answer may have a body of a type, such as `application/sdp` (§20.1); without Accept it may.

        Raises:
            ParseError: Accept is malformed.
        """
        wanted = [part for value in self.headers.get("accept", ()) for part in split_outside_quotes(value, ",")]
        kinds = {part.partition(";")[0].strip().lower() for part in wanted}
        return not kinds or not kinds.isdisjoint((media_type, f"{media_type.partition('/')[0]}/*", "*/*"))

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

    @classmethod
    def to_malformed(cls, request: Request, status: int, to_tag: str) -> "Response":
        """Answer a request that is not all there: what it lacks is left out, and what it repeats is taken once."""
        source = request.headers
        headers = Headers()
        headers["via"] = source["via"]
        for name in ("from", "to", "call-id", "cseq"):
            if name in source:
                headers[name] = source[name][:1]
        if to_tag and "to" in headers and not request.to_tag:
            headers["to"] = [f"{headers['to'][0]};tag={to_tag}"]
        response = cls(status, reason_phrase(status), headers)
        response.method = request.method
        return response

    def to_bytes(self) -> bytes:
        """The message as it goes on the wire; Content-Length is added."""
        return self._to_bytes(f"SIP/2.0 {self.status} {self.reason}")


class UnacceptableRequest(ParseError):
    """A request with a fault, complete enough to be answered: its top Via and its To tag have been read."""

    def __init__(self, reason: str, status_hint: int, request: Request) -> None:
        super().__init__(reason, status_hint)
        self.request = request


def split_head(data: bytes) -> tuple[str, Headers, bytes]:
    """Split a message into start line, headers and what follows the empty line.

    Raises:
        ParseError: no end of the head, a line without a colon, too many headers, or control characters.
    """
    head, separator, body = data.partition(b"\r\n\r\n")
    if not separator:
        raise ParseError("headers do not end")
    text = head.decode("utf-8", "surrogateescape")
    lines = text.split("\r\n")
    # A lone CR, LF or NUL would become a line of its own in a careless peer, once passed on.
    if text.count("\n") + text.count("\r") != 2 * (len(lines) - 1) or ("\0" in text and _has_bare_nul(text)):
        raise ParseError("control character in header")
    try:
        return lines[0], _read_headers(lines), body
    except ParseError:
        # A line that begins with a blank is no header by itself.
        if "\r\n " not in text and "\r\n\t" not in text:
            raise
    if len(lines) > LINE_LIMIT:
        raise ParseError("too many lines", 513)
    return lines[0], _read_headers(_unfold(lines)), body


def _read_headers(lines: list[str]) -> Headers:
    if len(lines) > HEADER_LIMIT + 1:
        raise ParseError("too many headers", 513)
    headers, names = Headers(), known_names
    try:
        for line in islice(lines, 1, None):
            spelling, _, value = line.partition(":")
            headers[names[spelling]] = [value.strip(BLANKS)]
    except KeyError:
        return _read_fields(lines)
    return headers if len(headers) == len(lines) - 1 else _read_fields(lines)


def _read_fields(lines: list[str]) -> Headers:
    """Headers of which one is repeated, or is written as none was before."""
    headers = Headers()
    for line in islice(lines, 1, None):
        spelling, colon, value = line.partition(":")
        if not colon:
            raise ParseError("header without a colon")
        headers.add(canonical_name(spelling), value.strip(BLANKS))
    return headers


def _has_bare_nul(text: str) -> bool:
    # RFC 3261 §25.1: a quoted-pair may hold any character but CR and LF.
    return text.count("\0") != text.count("\\\0")


def _identity_fault(headers: Headers) -> str:
    for name in ("via", "from", "to", "call-id", "cseq"):
        if name not in headers:
            return f"{written_name(name)} is missing"
    repeated = next(name for name in ("from", "to", "call-id", "cseq") if len(headers[name]) > 1)
    return f"{written_name(repeated)} is repeated"


def _unfold(lines: list[str]) -> list[str]:
    # A line that begins with a blank continues the header before it (§7.3.1).
    parts: list[list[str]] = []
    for number, line in enumerate(lines):
        if number > 1 and line[:1] in (" ", "\t"):
            parts[-1] += filter(None, (line.strip(BLANKS),))
        else:
            parts.append([line.rstrip(BLANKS)] if number else [line])
    return [" ".join(part) if len(part) > 1 else part[0] for part in parts]


def _split_vias(values: list[str]) -> list[str]:
    parts = [part for value in values for part in split_outside_quotes(value, ",")]
    if len(parts) > VIA_LIMIT:
        raise ParseError("too many Via values")
    return parts


def _begins_as_via(value: str) -> bool:
    return value[:3].upper() == "SIP"


def parse_message(data: bytes, *, framed: bool = False) -> Request | Response:
    """Parse one datagram, or one message that the stream parser has cut out (`framed`).

    Raises:
        UnacceptableRequest: a request that can be answered with its `status_hint`.
        ParseError: anything else that is not SIP.
    """
    if len(data) > SIZE_LIMIT:
        raise unacceptable(data, ParseError("message is too long", 513))
    try:
        start_line, headers, body = split_head(data)
    except ParseError as error:
        raise (unacceptable(data, error) if error.status_hint == 513 else error) from None
    if start_line.startswith("SIP/2.0 "):
        response = _parse_status_line(start_line, headers)
        response.read_identity()
        response.body = _body(headers, body, framed)
        return response
    request = _parse_request_line(start_line, headers)
    method = request.method
    try:
        _check_request_uri(request.uri)
        request.read_identity()
        if request.method != method:
            raise ParseError("CSeq names another method")
        request.body = _body(headers, body, framed)
        if not request.from_tag and request.via.branch:
            raise ParseError("From has no tag")
    except ParseError as error:
        request.method = method  # not that of the CSeq
        raise _answerable(request, error) from error
    return request


def unacceptable(data: bytes, fault: ParseError) -> ParseError:
    """What to raise for a message that is not read to its end: the fault, with the request if its beginning has one.

    Args:
        data: The message, or as much of it as there is.
        fault: What is wrong with it.
    """
    head, separator, _ = data[:SIZE_LIMIT].partition(b"\r\n\r\n")
    lines = head.split(b"\r\n", HEADER_LIMIT + 1)[: HEADER_LIMIT + 1]
    if not separator:
        lines.pop()  # it may be cut
    try:
        start_line, headers, _ = split_head(b"\r\n".join(lines) + b"\r\n\r\n")
        return _answerable(_parse_request_line(start_line, headers), fault)
    except UnacceptableRequest as error:
        return error
    except ParseError:
        return fault


def _answerable(request: Request, fault: ParseError) -> ParseError:
    """The fault as one that can be answered, if the request says where to."""
    headers = request.headers
    try:
        vias = _split_vias(headers["via"])
        request.via = Via.parse(vias[0])
    except (KeyError, ParseError):
        return fault
    # What is no Via would not be one in the answer either (RFC 4475 §3.1.2.1).
    headers["via"] = [vias[0], *filter(_begins_as_via, vias[1:])]
    recipient = headers.first("to")
    try:
        request.to_tag = tag_of(recipient)
    except ParseError:
        request.to_tag = "?" if ";tag=" in recipient.lower() else ""
    return UnacceptableRequest(str(fault), fault.status_hint, request)


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
    if not uri or (method not in METHODS and not is_token(method)):
        raise ParseError("malformed request line")
    request = Request(method, uri, headers)
    if version != "SIP/2.0" and version.upper() != "SIP/2.0":
        if version[:4].upper() == "SIP/":
            raise _answerable(request, ParseError("unsupported SIP version", 505))
        fault = ParseError("malformed request line")
        # RFC 4475 §3.1.2.10: blanks after the version. What names no SIP at all is not answered.
        is_sip = not version and uri.rstrip(BLANKS)[-8:].upper() == " SIP/2.0"
        raise _answerable(request, fault) if is_sip else fault
    return request


def _check_request_uri(uri: str) -> None:
    if " " in uri or uri[0] == "<":
        raise ParseError("malformed Request-URI")
    if not uri.startswith(("sip:", "sips:", "tel:")):
        scheme, colon, _ = uri.partition(":")
        if not colon:
            raise ParseError("Request-URI without a scheme")
        if scheme.lower() not in SCHEMES:
            raise ParseError("unsupported URI scheme", 416)  # RFC 3261 §8.2.2.1
    if uri.count(":") > 2:
        # More than a scheme and a port: a password, or an IPv6 address that may lack its brackets (RFC 5118 §4.2).
        URI.parse(uri)


def _parse_status_line(line: str, headers: Headers) -> Response:
    _, _, rest = line.partition(" ")
    code, _, reason = rest.partition(" ")
    status = parse_number(code, "status code", 699)
    if status < 100:
        raise ParseError("status code below 100")
    return Response(status, reason, headers)
