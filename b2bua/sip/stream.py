"""Cut messages out of a byte stream by Content-Length (RFC 3261 §18.3), keep-alives included (RFC 5626 §3.5.1)."""

from b2bua.sip.errors import ParseError
from b2bua.sip.message import SIZE_LIMIT


class StreamParser:
    """Collects the bytes of one connection and gives back whole messages."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def receive(self, data: bytes) -> list[bytes]:
        """Add bytes and return the messages that are now complete; an empty one stands for a keep-alive ping.

        Raises:
            ParseError: no Content-Length, or a message that is too long: the stream cannot be followed any further.
        """
        self._buffer += data
        messages = []
        while (message := self._next()) is not None:
            messages.append(message)
        return messages

    def _next(self) -> bytes | None:
        buffer = self._buffer
        if buffer.startswith(b"\r\n\r\n"):
            del buffer[:4]
            return b""
        if buffer.startswith(b"\r\n") and len(buffer) > 2 and buffer[2:3] != b"\r":
            del buffer[:2]  # one CRLF alone is a pong, or padding before a start line (§7.5)
        end = buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(buffer) > SIZE_LIMIT:
                raise ParseError("message is too long", 513)
            return None
        length = end + 4 + content_length(bytes(buffer[:end]))
        if length > SIZE_LIMIT:
            raise ParseError("message is too long", 513)
        if len(buffer) < length:
            return None
        message = bytes(buffer[:length])
        del buffer[:length]
        return message


def content_length(head: bytes) -> int:
    """The Content-Length in a message's head.

    Raises:
        ParseError: it is missing or not a number.
    """
    lengths = set()
    for line in head.split(b"\r\n")[1:]:
        name, colon, value = line.partition(b":")
        if colon and name.rstrip(b" \t").lower() in (b"content-length", b"l"):
            lengths.add(value.strip())
    length = lengths.pop() if len(lengths) == 1 else b""  # two that differ would let one message hide in another
    if not length.isdigit() or len(length) > 7:
        raise ParseError("stream message without a usable Content-Length")
    return int(length)
