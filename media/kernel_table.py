"""The table of nftables that makes conntrack entries pass media on, and what must not be tracked.

Chains of NAT without a rule, and one rule that looks at a connection's status, since without them the hooks are not
there. RTCP, on its own port or on that of RTP, and what we send ourselves are left out of tracking: RTCP has to come to
user space, and what we send would leave from another port while an entry stands for ours.

The table outlives the process, so that the kernel goes on while no engine runs; its name holds all that it depends on.
"""

import errno
import socket
import struct
from pathlib import Path
from typing import Final

from media.netlink import ACK, CREATE, EXCL, NetfilterSocket, attribute, nested

_SUBSYSTEM: Final = 10
_NEW_TABLE, _DELETE_TABLE, _NEW_CHAIN, _NEW_RULE = 0, 2, 3, 6
_BATCH_BEGIN, _BATCH_END = 0x10, 0x11
_INET: Final = 1
_PREROUTING, _FORWARD, _OUTPUT, _POSTROUTING = 0, 2, 3, 4
_RAW, _DESTINATION_NAT, _FILTER, _SOURCE_NAT = -300, -100, 0, 100
_ACCEPT, _DROP = 1, 0
_EQUAL, _UNEQUAL, _AT_MOST, _AT_LEAST = 0, 1, 3, 5
_TRANSPORT: Final = 2
_SOURCE_PORT, _DESTINATION_PORT = 0, 2

_STATUS: Final = 2
_TRANSLATED: Final = 0x30
"""IPS_SRC_NAT and IPS_DST_NAT in a connection's status."""

_L4_PROTOCOL: Final = 16

FORWARDING: Final = Path("/proc/sys/net/ipv4/ip_forward")
FORWARDING_6: Final = Path("/proc/sys/net/ipv6/conf/all/forwarding")
COUNTING: Final = Path("/proc/sys/net/netfilter/nf_conntrack_acct")


class KernelTable:
    """The table for a range of ports.

    Args:
        first_port: First of the range.
        last_port: Last of it.
    """

    def __init__(self, first_port: int, last_port: int) -> None:
        self._range = first_port, last_port
        self._socket = NetfilterSocket()

    def make(self) -> None:
        """Make what is not there yet, and switch on forwarding and counting.

        Where nothing was forwarded before, nothing but media is from now on.

        Raises:
            OSError: the kernel refuses.
        """
        is_router = FORWARDING.read_text().strip() == "1"
        if not self._exists(is_router=is_router) and not (is_router and self._exists(is_router=False)):
            # A table of a range that is no longer used, or of a machine that has become a router.
            self._build(is_router=is_router)
        try:
            # Only now: the rules have loaded what this belongs to.
            if COUNTING.read_text().strip() != "1":
                COUNTING.write_text("1\n")
            if not is_router:
                FORWARDING.write_text("1\n")
        except OSError:
            self._delete(is_router=is_router)
            raise

    def remove(self) -> None:
        """Remove the table, and switch forwarding off if it was on for media alone.

        Raises:
            OSError: the kernel refuses.
        """
        self._delete(is_router=True)
        if self._delete(is_router=False):
            FORWARDING.write_text("0\n")

    def close(self) -> None:
        """Close the socket; the table stays."""
        self._socket.close()

    def _name(self, *, is_router: bool) -> bytes:
        first, last = self._range
        return b"softswitch_media_%d_%d%b\0" % (first, last, b"" if is_router else b"_only")

    def _exists(self, *, is_router: bool) -> bool:
        # Made exclusively and thrown away: a look that needs no other message. Both are one batch.
        name = attribute(1, self._name(is_router=is_router))
        try:
            self._send([(_NEW_TABLE, CREATE | EXCL, name), (_DELETE_TABLE, 0, name)])
        except FileExistsError:
            return True
        return False

    def _delete(self, *, is_router: bool) -> bool:
        """Remove one; tells whether it was there."""
        try:
            self._send([(_DELETE_TABLE, 0, attribute(1, self._name(is_router=is_router)))])
        except FileNotFoundError:
            return False
        return True

    def _build(self, *, is_router: bool) -> None:
        name = attribute(1, self._name(is_router=is_router))
        chains = (
            (b"early", b"filter", _PREROUTING, _RAW, _ACCEPT),
            (b"own", b"filter", _OUTPUT, _RAW, _ACCEPT),
            (b"prerouting", b"nat", _PREROUTING, _DESTINATION_NAT, _ACCEPT),
            (b"postrouting", b"nat", _POSTROUTING, _SOURCE_NAT, _ACCEPT),
            (b"forward", b"filter", _FORWARD, _FILTER, _ACCEPT if is_router else _DROP),
        )
        messages = [(_NEW_TABLE, CREATE | EXCL, name)]
        messages += [(_NEW_CHAIN, CREATE | EXCL, name + _chain(*chain)) for chain in chains]
        # RFC 5761 §4: the second byte of RTCP is 192 to 223.
        control = _between(bytes([192]), bytes([223]))
        rules = (
            (b"early", [*self._ports(_DESTINATION_PORT), _payload(9, 1), *control, _expression(b"notrack")]),
            (b"own", [*self._ports(_SOURCE_PORT), _expression(b"notrack")]),
            (b"forward", _accept_translated()),
        )
        for chain, expressions in rules:
            body = name + attribute(2, chain + b"\0") + nested(4, *(nested(1, each) for each in expressions))
            messages.append((_NEW_RULE, CREATE, body))
        self._send(messages)

    def _ports(self, offset: int) -> list[bytes]:
        """UDP, and a port in the range."""
        first, last = (port.to_bytes(2, "big") for port in self._range)
        return [
            _expression(b"meta", attribute(1, _number(1)), attribute(2, _number(_L4_PROTOCOL))),
            _compare(_EQUAL, bytes([socket.IPPROTO_UDP])),
            _payload(offset, 2),
            *_between(first, last),
        ]

    def _send(self, parts: list[tuple[int, int, bytes]]) -> None:
        make = self._socket.message
        begin = make(_BATCH_BEGIN, 0, 0, b"", _SUBSYSTEM)
        messages = [
            make(_SUBSYSTEM << 8 | kind, flags | (ACK if index == len(parts) - 1 else 0), _INET, body)
            for index, (kind, flags, body) in enumerate(parts)
        ]
        last = self._socket.sequence
        self._socket.batch(messages, begin, make(_BATCH_END, 0, 0, b"", _SUBSYSTEM), last)


def _number(value: int) -> bytes:
    return struct.pack("!i", value)


def _chain(name: bytes, kind: bytes, hook: int, priority: int, policy: int) -> bytes:
    place = nested(4, attribute(1, _number(hook)), attribute(2, _number(priority)))
    return attribute(3, name + b"\0") + place + attribute(5, _number(policy)) + attribute(7, kind + b"\0")


def _expression(name: bytes, *parts: bytes) -> bytes:
    return attribute(1, name + b"\0") + (nested(2, *parts) if parts else b"")


def _payload(offset: int, size: int) -> bytes:
    numbers = enumerate((1, _TRANSPORT, offset, size), 1)
    return _expression(b"payload", *(attribute(kind, _number(value)) for kind, value in numbers))


def _compare(operation: int, value: bytes) -> bytes:
    register, kind = attribute(1, _number(1)), attribute(2, _number(operation))
    return _expression(b"cmp", register, kind, nested(3, attribute(1, value)))


def _between(first: bytes, last: bytes) -> list[bytes]:
    return [_compare(_AT_LEAST, first), _compare(_AT_MOST, last)]


def _accept_translated() -> list[bytes]:
    mask = struct.pack("=I", _TRANSLATED)
    return [
        _expression(b"ct", attribute(1, _number(1)), attribute(2, _number(_STATUS))),
        _expression(
            b"bitwise",
            attribute(1, _number(1)),
            attribute(2, _number(1)),
            attribute(3, _number(4)),
            nested(4, attribute(1, mask)),
            nested(5, attribute(1, bytes(4))),
        ),
        _compare(_UNEQUAL, bytes(4)),
        _expression(b"immediate", attribute(1, _number(0)), nested(2, nested(2, attribute(1, _number(_ACCEPT))))),
    ]


def is_refusal(error: OSError) -> bool:
    """Whether an error says that this process may not, or the system has not, and so will be the same the next time."""
    return error.errno in (
        errno.EPERM,
        errno.EACCES,
        errno.EROFS,
        errno.EOPNOTSUPP,
        errno.ENOENT,
        errno.EPROTONOSUPPORT,
    )
