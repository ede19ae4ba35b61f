"""Cut messages out of a byte stream by Content-Length (RFC 3261 §18.3), keep-alives included (RFC 5626 §3.5.1)."""

import re
from typing import Final

from b2bua.sip.errors import ParseError
from b2bua.sip.message import SIZE_LIMIT

_FOLD: Final = re.compile(rb"\r\n[ \t]+")
_PING: Final = b"\r\n\r\n"


class StreamBroken(ParseError):
    """The stream cannot be followed any further: where the next message begins is not known."""

    def __init__(self, fault: ParseError, messages: list[bytes], head: bytes) -> None:
        super().__init__(str(fault), fault.status_hint)
        self.messages = messages
        """Whole messages that came before."""
        self.head = head
        """Beginning of the message at which it broke, so that it can be answered."""


class StreamParser:
    """Collects the bytes of one connection and gives back whole messages."""

    __slots__ = ("_buffer", "_length", "_searched", "pongs_due")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._searched = 0
        """How far the end of the head has been looked for."""
        self._length = 0
        """Of the message that the buffer begins with; 0: not known yet."""
        self.pongs_due = 0
        """Pings that we sent and that have not been answered. Whoever sends one adds it here."""

    def receive(self, data: bytes) -> list[bytes]:
        """Add bytes and return the messages that are now complete; an empty one stands for a ping, to answer with CRLF.

        Raises:
            StreamBroken: no Content-Length, or a message that is too long. It carries the messages before it.
        """
        self._buffer += data
        messages: list[bytes] = []
        try:
            while (message := self._next()) is not None:
                messages.append(message)
        except ParseError as fault:
            raise StreamBroken(fault, messages, bytes(self._buffer[:SIZE_LIMIT])) from fault
        return messages

    def _next(self) -> bytes | None:
        if not self._length:
            if self._is_ping():
                return b""
            self._measure()
        buffer, length = self._buffer, self._length
        if not length or len(buffer) < length:
            return None
        message = bytes(memoryview(buffer)[:length])
        del buffer[:length]
        self._length = self._searched = 0
        return message

    def _is_ping(self) -> bool:
        """Take the CRLFs before a message away; whether two of them were a ping."""
        buffer = self._buffer
        while buffer.startswith(b"\r\n"):
            if self.pongs_due:
                # Each is the answer to a ping of ours, also where two come together.
                self.pongs_due -= 1
            elif buffer.startswith(_PING):
                self._forget(4)
                return True
            elif _PING.startswith(buffer):
                return False  # perhaps the first half of a ping
            # Else padding before a start line (§7.5), or a pong that nobody waited for.
            self._forget(2)
        return False

    def _forget(self, count: int) -> None:
        del self._buffer[:count]
        self._searched = 0

    def _measure(self) -> None:
        """Look for the end of the head and read how long the message is.

        Raises:
            ParseError: it does not say so, or it is too long.
        """
        buffer = self._buffer
        end = buffer.find(b"\r\n\r\n", max(self._searched - 3, 0))
        if end < 0:
            self._searched = len(buffer)
            if len(buffer) > SIZE_LIMIT:
                raise ParseError("message is too long", 513)
            return
        self._length = end + 4 + content_length(bytes(memoryview(buffer)[:end]))
        if self._length > SIZE_LIMIT:
            raise ParseError("message is too long", 513)


def content_length(head: bytes) -> int:
    """The Content-Length in a message's head.

    Raises:
        ParseError: it is missing or not a number.
    """
    if b"\r\n " in head or b"\r\n\t" in head:
        head = _FOLD.sub(b" ", head)
    lengths = set()
    for line in head.split(b"\r\n")[1:]:
        name, colon, value = line.partition(b":")
        if colon and name.rstrip(b" \t").lower() in (b"content-length", b"l"):
            lengths.add(value.strip(b" \t"))
    length = lengths.pop() if len(lengths) == 1 else b""  # two that differ would let one message hide in another
    if not length.isdigit() or len(length) > 7:
        raise ParseError("stream message without a usable Content-Length")
    return int(length)
