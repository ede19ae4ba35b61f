"""HEPv3 packets, read back by a reader of their chunks."""

from ipaddress import ip_address

import pytest

from b2bua.hep.packet import SIZE_LIMIT, UDP_LIMIT, pack, pack_agent, pack_path
from tests.support.hep import read

MESSAGE = b"OPTIONS sip:192.0.2.1 SIP/2.0\r\n\r\n"


def test_packet_has_all_that_capture_needs() -> None:
    path = pack_path("udp", ("198.51.100.7", 5060), ("192.0.2.1", 5062))
    chunks = read(pack(path, pack_agent(2001, "node1"), 1_790_000_000.25, MESSAGE, "call-1"))
    assert chunks == {
        1: b"\x02",
        2: b"\x11",
        3: ip_address("198.51.100.7").packed,
        4: ip_address("192.0.2.1").packed,
        7: (5060).to_bytes(2, "big"),
        8: (5062).to_bytes(2, "big"),
        9: (1_790_000_000).to_bytes(4, "big"),
        10: (250_000).to_bytes(4, "big"),
        11: b"\x01",
        12: (2001).to_bytes(4, "big"),
        15: MESSAGE,
        17: b"call-1",
        19: b"node1",
    }


@pytest.mark.parametrize("transport", ["tcp", "tls", "ws", "wss"])
def test_stream_over_ipv6(transport: str) -> None:
    path = pack_path(transport, ("2001:db8::1", 5060), ("fe80::2%eth0", 5061))
    chunks = read(pack(path, pack_agent(1, ""), 0.0, MESSAGE))
    assert (chunks[1], chunks[2]) == (b"\x0a", b"\x06")
    assert (chunks[5], chunks[6]) == (ip_address("2001:db8::1").packed, ip_address("fe80::2").packed)
    assert not {3, 4, 17, 19} & set(chunks)


@pytest.mark.parametrize(
    ("source", "target", "family"),
    [
        ("sip.example.com", "192.0.2.1", b"\x02"),
        ("192.0.2.1", "sip.example.com", b"\x02"),
        ("sip.example.com", "2001:db8::1", b"\x0a"),
        ("2001:db8::1", "", b"\x0a"),
        ("", "", b"\x02"),
    ],
)
def test_unknown_address_has_the_family_of_the_other(source: str, target: str, family: bytes) -> None:
    chunks = read(pack(pack_path("udp", (source, 5060), (target, 5060)), b"", 0.0, MESSAGE))
    assert chunks[1] == family
    size = 4 if family == b"\x02" else 16
    assert sorted(len(chunks[kind]) for kind in ((3, 4) if size == 4 else (5, 6))) == [size, size]


@pytest.mark.parametrize(("at", "parts"), [(1.9999996, (2, 0)), (1.5, (1, 500_000)), (0.000001, (0, 1))])
def test_time_is_whole_microseconds(at: float, parts: tuple[int, int]) -> None:
    chunks = read(pack(b"", b"", at, MESSAGE))
    assert tuple(int.from_bytes(chunks[kind], "big") for kind in (9, 10)) == parts


@pytest.mark.parametrize("limit", [SIZE_LIMIT, UDP_LIMIT])
def test_long_message_loses_its_end(limit: int) -> None:
    packet = pack(pack_path("udp", ("::1", 1), ("::1", 2)), pack_agent(1, "n" * 400), 0.0, b"x" * 65_536, "call", limit)
    assert len(packet) == limit
    chunks = read(packet)
    assert set(chunks[15]) == {ord("x")}
    assert chunks[19] == b"n" * 255
