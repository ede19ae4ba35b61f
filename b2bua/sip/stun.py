"""STUN binding requests on the SIP port (RFC 8489, RFC 5626 §4.4.2): answered, so that a peer keeps its NAT open.

Only what a keep-alive needs: a binding request is answered with the address that it came from. No authentication, no
redirection, no NAT behaviour discovery, and no answer to the peers of RFC 3489, which have no magic cookie.
"""

import struct
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Final
from zlib import crc32

HEADER_SIZE: Final = 20
SIZE_LIMIT: Final = 1280
"""Longest request that is answered; a keep-alive is 20 to 100 bytes."""

_COOKIE: Final = b"\x21\x12\xa4\x42"
_REQUEST: Final = 0x0001
_RESPONSE: Final = 0x0101
_ERROR: Final = 0x0111

_XOR_MAPPED_ADDRESS: Final = 0x0020
_ERROR_CODE: Final = 0x0009
_UNKNOWN_ATTRIBUTES: Final = 0x000A
_FINGERPRINT: Final = 0x8028
_FINGERPRINT_SIZE: Final = 8
_FINGERPRINT_XOR: Final = 0x5354554E

_OPTIONAL: Final = 0x8000
"""Attributes from here on may be passed over."""

_PASSED_OVER: Final = frozenset({0x0006, 0x0008, 0x0014, 0x0015, 0x001C, 0x001D, 0x001E})
"""USERNAME, MESSAGE-INTEGRITY and their kin: understood, but nobody is asked for them here."""


def is_stun(data: bytes) -> bool:
    """Whether a datagram on the SIP port is STUN: two zero bits, the magic cookie and a length that is true."""
    return (
        len(data) >= HEADER_SIZE
        and data[0] < 0x40
        and data[4:8] == _COOKIE
        and int.from_bytes(data[2:4]) == len(data) - HEADER_SIZE
        and len(data) % 4 == 0
    )


def binding_response(data: bytes, host: str, port: int) -> bytes | None:
    """Answer a binding request.

    Args:
        data: A datagram for which `is_stun` holds.
        host: Address that it came from.
        port: Port that it came from.

    Returns:
        The answer, with a fingerprint if the request has one; 420 for an attribute that must be understood and is
        not; None for what gets no answer: another method or class, or a malformed request.
    """
    if len(data) > SIZE_LIMIT or not is_stun(data) or int.from_bytes(data[:2]) != _REQUEST:
        return None
    has_fingerprint, unknown = False, []
    try:
        for kind, offset, value in _attributes(data):
            if kind == _FINGERPRINT:
                # RFC 8489 §7.3, §14.7: it is the last attribute, and a wrong one means that this is no STUN.
                if offset + _FINGERPRINT_SIZE != len(data) or value != _fingerprint(data[:offset]):
                    return None
                has_fingerprint = True
            elif kind < _OPTIONAL and kind not in _PASSED_OVER:
                unknown.append(kind)
        answer = _unknown_answer(unknown) if unknown else (_RESPONSE, _mapped_address(data[4:20], host, port))
    except ValueError:  # an attribute that is cut, or an address that is none
        return None
    kind, attributes = answer
    length = len(attributes) + (_FINGERPRINT_SIZE if has_fingerprint else 0)
    response = struct.pack("!HH", kind, length) + data[4:HEADER_SIZE] + attributes
    if has_fingerprint:
        response += struct.pack("!HH", _FINGERPRINT, 4) + _fingerprint(response)
    return response


def _attributes(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    offset = HEADER_SIZE
    while offset < len(data):
        kind, length = struct.unpack_from("!HH", data, offset)
        value = data[offset + 4 : offset + 4 + length]
        if len(value) < length:
            raise ValueError("attribute is cut")
        yield kind, offset, value
        offset += 4 + length + -length % 4


def _mapped_address(cookie_and_id: bytes, host: str, port: int) -> bytes:
    """XOR-MAPPED-ADDRESS (RFC 8489 §14.2)."""
    address = ip_address(host)
    family = 1 if address.version == 4 else 2
    shown_port = port ^ int.from_bytes(cookie_and_id[:2])
    shown = bytes(one ^ other for one, other in zip(address.packed, cookie_and_id, strict=False))
    return struct.pack("!HHBBH", _XOR_MAPPED_ADDRESS, 4 + len(shown), 0, family, shown_port) + shown


def _unknown_answer(kinds: list[int]) -> tuple[int, bytes]:
    """420 and the attributes that are not understood (RFC 8489 §6.3.1, §14.8, §14.9)."""
    reason = b"Unknown Attribute\0\0\0"
    error = struct.pack("!HHHBB", _ERROR_CODE, 4 + 17, 0, 4, 20) + reason
    listed = b"".join(kind.to_bytes(2) for kind in kinds)
    return _ERROR, error + struct.pack("!HH", _UNKNOWN_ATTRIBUTES, len(listed)) + listed + b"\0" * (-len(listed) % 4)


def _fingerprint(before: bytes) -> bytes:
    """The value of FINGERPRINT for what stands before it (RFC 8489 §14.7), whose length already counts it."""
    return (crc32(before) ^ _FINGERPRINT_XOR).to_bytes(4)
