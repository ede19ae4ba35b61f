"""Reads HEPv3 packets."""

import struct


def read(packet: bytes) -> dict[int, bytes]:
    """Type -> value of each chunk; the packet has to be whole, and no chunk may come twice."""
    assert packet[:4] == b"HEP3"
    assert struct.unpack_from("!H", packet, 4) == (len(packet),)
    chunks: dict[int, bytes] = {}
    at = 6
    while at < len(packet):
        vendor, kind, length = struct.unpack_from("!HHH", packet, at)
        assert vendor == 0
        assert kind not in chunks
        chunks[kind] = packet[at + 6 : at + length]
        assert length == 6 + len(chunks[kind])
        at += length
    return chunks
