"""HEPv3 packets: `HEP3`, the whole length, then chunks of vendor, type, length and value (github.com/sipcapture/HEP).

Pure. Only what SIP needs is written: addresses, time, capture agent, the message and the call that it belongs to.
"""

import struct
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

SIZE_LIMIT: Final = 65_535
"""Longest packet in bytes; it has 16 bits for its length. Over UDP the IP header takes its part of that."""

UDP_LIMIT: Final = 65_507
"""Longest packet that a datagram over IPv4 holds."""

_MAGIC: Final = b"HEP3"
_FAMILIES: Final = {4: 2, 6: 10}
_PROTOCOLS: Final = {"udp": 17}
_TCP: Final = 6
_SIP: Final = 1

_FAMILY, _PROTOCOL = 1, 2
_SOURCES: Final = {4: 3, 6: 5}
_TARGETS: Final = {4: 4, 6: 6}
_SOURCE_PORT, _TARGET_PORT = 7, 8
_SECONDS, _MICROSECONDS, _KIND, _CAPTURE_ID = 9, 10, 11, 12
_PAYLOAD, _CORRELATION, _NODE = 15, 17, 19

_CHUNK: Final = struct.Struct("!HHH")
_BYTE: Final = struct.Struct("!HHHB")
_SHORT: Final = struct.Struct("!HHHH")
_LONG: Final = struct.Struct("!HHHL")
_TIME: Final = struct.Struct("!HHHLHHHL")
_LENGTH: Final = struct.Struct("!H")

Place = tuple[str, int]
"""IP address and port."""


def pack_path(transport: str, source: Place, target: Place) -> bytes:
    """The chunks of a message's way, the same for all messages that take it.

    Args:
        transport: udp, tcp, tls, …
        source: Who sent it; what is no IP address is written as an unspecified one.
        target: To whom.
    """
    first, second = _address(source[0]), _address(target[0])
    if first.version != second.version:
        # Both have the family of the one that is known.
        known = first if int(first) else second
        other = IPv4Address(0) if known.version == 4 else IPv6Address(0)
        first, second = (first, other) if known is first else (other, second)
    version = first.version
    return b"".join(
        (
            _BYTE.pack(0, _FAMILY, 7, _FAMILIES[version]),
            _BYTE.pack(0, _PROTOCOL, 7, _PROTOCOLS.get(transport, _TCP)),
            _chunk(_SOURCES[version], first.packed),
            _chunk(_TARGETS[version], second.packed),
            _SHORT.pack(0, _SOURCE_PORT, 8, source[1] & 0xFFFF),
            _SHORT.pack(0, _TARGET_PORT, 8, target[1] & 0xFFFF),
            _BYTE.pack(0, _KIND, 7, _SIP),
        )
    )


def pack_agent(capture_id: int, node: str) -> bytes:
    """The chunks that say who captures, the same for all messages."""
    agent = _LONG.pack(0, _CAPTURE_ID, 10, capture_id & 0xFFFFFFFF)
    return agent + (_chunk(_NODE, node.encode()[:255]) if node else b"")


def pack(path: bytes, agent: bytes, at: float, payload: bytes, correlation: str = "", limit: int = SIZE_LIMIT) -> bytes:
    """A packet.

    Args:
        path: Of `pack_path`.
        agent: Of `pack_agent`.
        at: When the message was sent or came, in seconds since 1970.
        payload: The message; its end is cut off where the packet would be too long.
        correlation: Names the call, the same for both of its legs; empty: none.
        limit: Longest packet in bytes.
    """
    seconds, microseconds = divmod(round(at * 1_000_000), 1_000_000)
    head = path + _TIME.pack(0, _SECONDS, 10, seconds & 0xFFFFFFFF, 0, _MICROSECONDS, 10, microseconds) + agent
    if correlation:
        head += _chunk(_CORRELATION, correlation.encode())
    size = 6 + len(head) + 6 + len(payload)
    if size > limit:
        payload = payload[: len(payload) - (size - limit)]
        size = limit
    return b"".join((_MAGIC, _LENGTH.pack(size), head, _CHUNK.pack(0, _PAYLOAD, 6 + len(payload)), payload))


def _chunk(kind: int, value: bytes) -> bytes:
    return _CHUNK.pack(0, kind, 6 + len(value)) + value


def _address(text: str) -> IPv4Address | IPv6Address:
    try:
        # A link-local address may name its interface.
        return ip_address(text.partition("%")[0])
    except ValueError:
        return IPv4Address(0)
