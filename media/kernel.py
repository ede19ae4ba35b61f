"""Streams in the hands of the kernel: one conntrack entry forwards both directions and counts them.

The entry's original direction is first end → our port towards it, and its translation is our port towards the second
end → the second end. What is known to go wrong, and is minded here: CTA_STATUS must be left out; packets that were
relayed in user space have made entries of their own, which are deleted first, again when one came in between; the last
counters of an entry come with the news of its end, whoever ended it.
"""

import contextlib
import errno
import socket
import struct
import time
from typing import Final

import structlog

from media.kernel_flow import Endpoint, Flow, FlowCount
from media.kernel_table import FORWARDING_6, KernelTable, is_refusal
from media.netlink import ACK, CREATE, DUMP, EXCL, NESTED, NetfilterSocket, attribute, attributes

log = structlog.get_logger()

MARK: Final = 0x736D6564
"""What our entries are marked with, so that a dump holds no others."""

_MARK_BYTES: Final = MARK.to_bytes(4, "big")

TIMEOUT: Final = 120
"""Life of an entry that no packet has come for yet, in seconds; the system's own time for UDP afterwards."""

_NEW, _GET, _DELETE = 0x100, 0x101, 0x102
_ENDED_GROUP: Final = 3
_TUPLE_ORIGINAL, _TUPLE_REPLY = 1, 2
_NAT_SOURCE, _TIMEOUT, _MARK, _COUNT_ORIGINAL, _COUNT_REPLY, _NAT_DESTINATION, _MARK_MASK = 6, 7, 8, 9, 10, 13, 21
_TRIES: Final = 8
_WARNING_INTERVAL: Final = 60.0
_HEADERS: Final = {socket.AF_INET: 28, socket.AF_INET6: 48}
"""Bytes of IP and UDP that the kernel counts with each packet."""

Counts = tuple[FlowCount, FlowCount]


class ConntrackPath:
    """The faster path.

    Nothing of the system is changed before the first stream is handed over.

    Args:
        first_port: First of the engine's range.
        last_port: Last of it.

    Raises:
        OSError: this process may not, or this system has no netfilter.
    """

    def __init__(self, first_port: int, last_port: int) -> None:
        self._range = range(first_port, last_port + 1)
        opened = contextlib.ExitStack()
        with opened:
            self._socket = opened.enter_context(contextlib.closing(NetfilterSocket()))
            self._news = opened.enter_context(contextlib.closing(NetfilterSocket(_ENDED_GROUP)))
            self._table = opened.enter_context(contextlib.closing(KernelTable(first_port, last_port)))
            self._opened = opened.pop_all()
        self._is_made = False
        self._leaves_something = False
        self._refusal = ""
        self._warned_at = -_WARNING_INTERVAL
        self._counts: dict[Flow, Counts] = {}
        self._ended: dict[Flow, Counts] = {}

    @property
    def state(self) -> str:
        """`kernel`, or why user space is used."""
        return f"user space: {self._refusal}" if self._refusal else "kernel"

    def hand_over(self, flow: Flow) -> bool:
        """Let the kernel pass a stream on; tells whether it does."""
        if self._refusal or (":" in flow.first[0] and not _forwards_ipv6()) or not self._make_table():
            return False
        family, make = _family(flow), self._socket.message
        entry = _entry(flow)
        layout = _LAYOUTS[family]
        own = (
            layout.pack_tuple(_TUPLE_ORIGINAL, flow.first, flow.first_local),
            layout.pack_tuple(_TUPLE_ORIGINAL, flow.second, flow.second_local),
        )
        for _ in range(_TRIES):
            *_, result = self._socket.ask(
                *(make(_DELETE, ACK, family, each) for each in own), make(_NEW, ACK | CREATE | EXCL, family, entry)
            )
            if result == 0:
                self._counts[flow] = (FlowCount(), FlowCount())
                return True
            if result != errno.EEXIST:
                self._refuse(OSError(result, errno.errorcode.get(result, str(result))))
                return False
        return False

    def take_back(self, flow: Flow) -> Counts:
        """Let it no longer, and return what it has counted since the beginning, of the first end and the second."""
        self._socket.ask(self._socket.message(_DELETE, ACK, _family(flow), _original(flow)))
        self._read_news()
        last = self._counts.pop(flow, (FlowCount(), FlowCount()))
        return self._ended.pop(flow, last)

    def count(self) -> dict[Flow, Counts]:
        """Return the counters of every stream that it passes on now."""
        filters = attribute(_MARK, _MARK_BYTES) + attribute(_MARK_MASK, b"\xff" * 4)
        found: dict[Flow, Counts] = {}
        try:
            for data, start, end in self._socket.get(self._socket.message(_GET, DUMP, socket.AF_UNSPEC, filters)):
                if (read := self._read(data, start, end)) is not None:
                    found[read[0]] = read[1]
        except OSError as error:
            self._refuse(error)
            return {}
        self._counts.update(found)
        # The engine before this one has made the table.
        self._leaves_something |= bool(found)
        return found

    def count_one(self, flow: Flow) -> Counts | None:
        """Return the counters of one stream; None: it does not pass it on any more."""
        wanted = _original(flow)
        try:
            for data, start, end in self._socket.get(self._socket.message(_GET, ACK, _family(flow), wanted)):
                if (read := self._read(data, start, end)) is not None and read[0] == flow:
                    self._counts[flow] = read[1]
                    return read[1]
        except OSError:
            pass
        return None

    def take_ended(self) -> list[tuple[Flow, Counts]]:
        """Return the streams that it dropped by itself since the last time, with their counters."""
        self._read_news()
        ended, self._ended = self._ended, {}
        for flow in ended:
            self._counts.pop(flow, None)
        return list(ended.items())

    def close(self, *, keep: bool) -> None:
        """Stop; undo what was set up, unless it is kept for the engine that comes next."""
        if (self._is_made or self._leaves_something) and not keep:
            try:
                self._table.remove()
            except OSError as error:
                log.warning("table of nftables cannot be removed", reason=str(error))
        self._opened.close()

    def _make_table(self) -> bool:
        if not self._is_made:
            try:
                self._table.make()
            except OSError as error:
                self._refuse(error)
                return False
            self._is_made = True
            log.info("media are passed on by the kernel")
        return True

    def _refuse(self, error: OSError) -> None:
        reason = error.strerror or str(error)
        if is_refusal(error):
            self._refusal = reason
            log.info("media stay in user space", reason=reason)
        elif time.monotonic() - self._warned_at > _WARNING_INTERVAL:
            self._warned_at = time.monotonic()
            log.warning("kernel did not take a stream, it stays in user space", reason=reason)

    def _read_news(self) -> None:
        try:
            for data, start, end in self._news.waiting():
                if (read := self._read(data, start, end)) is not None:
                    self._ended[read[0]] = read[1]
        except OSError:
            # More came than the socket holds. What is missing now has ended, with the counters that were read last.
            known, there = dict(self._counts), self.count()
            self._ended.update({flow: counts for flow, counts in known.items() if flow not in there})

    def _read(self, data: bytes, start: int, end: int) -> tuple[Flow, Counts] | None:
        """Read an entry; None: it is not ours."""
        if _MARK_BYTES not in data[start:end]:
            return None  # the news are of every connection of this machine
        parts = {kind: (at, to) for kind, at, to in attributes(data, start, end)}
        if any(kind not in parts for kind in (_MARK, _TUPLE_ORIGINAL, _TUPLE_REPLY)):
            return None
        original, reply = _read_tuple(data, *parts[_TUPLE_ORIGINAL]), _read_tuple(data, *parts[_TUPLE_REPLY])
        if original is None or reply is None or original[1][1] not in self._range:
            return None
        (first, first_local), (second, second_local) = original, reply
        headers = _HEADERS[socket.AF_INET6 if ":" in first[0] else socket.AF_INET]
        counts = [
            _read_count(data, *parts[kind], headers) if kind in parts else FlowCount()
            for kind in (_COUNT_ORIGINAL, _COUNT_REPLY)
        ]
        return Flow(first, first_local, second_local, second), (counts[0], counts[1])


class NoPath:
    """In the place of the faster path where there is none.

    Args:
        reason: Why.
    """

    def __init__(self, reason: str) -> None:
        self.state = f"user space: {reason}"

    def hand_over(self, _: Flow) -> bool:
        """Nothing is handed over."""
        return False

    def take_back(self, _: Flow) -> Counts:
        """Nothing was counted."""
        return FlowCount(), FlowCount()

    def count(self) -> dict[Flow, Counts]:
        """Nothing is passed on."""
        return {}

    def count_one(self, _: Flow) -> Counts | None:
        """Nor this."""
        return None

    def take_ended(self) -> list[tuple[Flow, Counts]]:
        """Nothing has ended."""
        return []

    def close(self, *, keep: bool) -> None:
        """Nothing was set up."""


def open_kernel(first_port: int, last_port: int, *, is_wanted: bool) -> ConntrackPath | NoPath:
    """Make the faster path, or what says why there is none."""
    if not is_wanted:
        return NoPath("switched off")
    try:
        return ConntrackPath(first_port, last_port)
    except OSError as error:
        reason = error.strerror or str(error)
        log.info("media stay in user space", reason=reason)
        return NoPath(reason)


def _forwards_ipv6() -> bool:
    # Switching it on would change how this machine gets its own addresses; that is for its operator to decide.
    try:
        return FORWARDING_6.read_text().strip() == "1"
    except OSError:
        return False


# Pieces of messages, each packed at once: this is done for every call


class _Layout:
    """Tuples and translations with addresses of one family: attributes within attributes, of fixed size."""

    def __init__(self, family: int, size: int, kinds: tuple[int, int], translated: tuple[int, int]) -> None:
        self._family = family
        address = f"HH{size}s"
        # Of a tuple: itself, its addresses (two), its protocol with number and two ports.
        self._tuple = struct.Struct(f"=HHHH{address}{address}HHHHB3xHH2s2xHH2s2x")
        # Of a translation: itself, the least and the highest address, the least and the highest port.
        self._translation = struct.Struct(f"=HH{address}{address}HHHH2s2xHH2s2x")
        self._address = 4 + size
        self._kinds = kinds
        self._translated = translated

    def pack_tuple(self, kind: int, source: Endpoint, destination: Endpoint) -> bytes:
        """A tuple of UDP."""
        size, (first, second), pack = self._address, self._kinds, socket.inet_pton
        return self._tuple.pack(
            self._tuple.size, kind | NESTED, 4 + 2 * size, 1 | NESTED,
            size, first, pack(self._family, source[0]), size, second, pack(self._family, destination[0]),
            28, 2 | NESTED, 5, 1, socket.IPPROTO_UDP,
            6, 2, source[1].to_bytes(2, "big"), 6, 3, destination[1].to_bytes(2, "big"),
        )  # fmt: skip

    def pack_translation(self, kind: int, end: Endpoint) -> bytes:
        """A translation to one address and port."""
        size, (least, highest) = self._address, self._translated
        address, port = socket.inet_pton(self._family, end[0]), end[1].to_bytes(2, "big")
        return self._translation.pack(
            self._translation.size, kind | NESTED, size, least, address, size, highest, address,
            20, 3 | NESTED, 6, 1, port, 6, 2, port,
        )  # fmt: skip

    def read_tuple(self, data: bytes, start: int, end: int) -> tuple[Endpoint, Endpoint] | None:
        """Source and destination; None: it is laid out in another way."""
        if end - start != self._tuple.size - 4:
            return None
        # From the tuple's own header on.
        parts = self._tuple.unpack_from(data, start - 4)
        name = socket.inet_ntop
        source = name(self._family, parts[6]), int.from_bytes(parts[17], "big")
        return source, (name(self._family, parts[9]), int.from_bytes(parts[20], "big"))


_LAYOUTS: Final = {
    socket.AF_INET: _Layout(socket.AF_INET, 4, (1, 2), (1, 2)),
    socket.AF_INET6: _Layout(socket.AF_INET6, 16, (3, 4), (4, 5)),
}
_LIFE_AND_MARK: Final = attribute(_TIMEOUT, struct.pack("!I", TIMEOUT)) + attribute(_MARK, _MARK_BYTES)


def _family(flow: Flow) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in flow.first[0] else socket.AF_INET


def _entry(flow: Flow) -> bytes:
    """The attributes of an entry for both directions."""
    layout = _LAYOUTS[_family(flow)]
    return b"".join(
        (
            layout.pack_tuple(_TUPLE_ORIGINAL, flow.first, flow.first_local),
            layout.pack_tuple(_TUPLE_REPLY, flow.first_local, flow.first),
            layout.pack_translation(_NAT_SOURCE, flow.second_local),
            layout.pack_translation(_NAT_DESTINATION, flow.second),
            _LIFE_AND_MARK,
        )
    )


def _original(flow: Flow) -> bytes:
    return _LAYOUTS[_family(flow)].pack_tuple(_TUPLE_ORIGINAL, flow.first, flow.first_local)


def _read_tuple(data: bytes, start: int, end: int) -> tuple[Endpoint, Endpoint] | None:
    for layout in _LAYOUTS.values():
        if (found := layout.read_tuple(data, start, end)) is not None:
            return found
    return None


def _read_count(data: bytes, start: int, end: int, headers: int) -> FlowCount:
    values = {kind: int.from_bytes(data[at:to], "big") for kind, at, to in attributes(data, start, end)}
    packets = values.get(1, 0)
    return FlowCount(packets, max(0, values.get(2, 0) - headers * packets))
