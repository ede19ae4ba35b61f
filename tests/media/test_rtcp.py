"""Reports: written, read, and malformed."""

from hypothesis import given
from hypothesis import strategies as st

from media.rtcp import Block, Report, pack, parse

BLOCK = Block(0x1111, 64, -3, 0x10005, 80, 0xCAFEBABE, 32_768)
SENDER = Report(0x2222, [BLOCK], ntp=0xCAFEBABE, packets=500)
RECEIVER = Report(0x3333, [BLOCK, BLOCK])
SDES = bytes.fromhex("81ca0002") + b"\0\0\x22\x22\x01\x01a\0"


def test_reports_are_read_as_they_were_written() -> None:
    assert list(parse(pack(SENDER))) == [SENDER]
    assert list(parse(pack(RECEIVER))) == [RECEIVER]


def test_sender_report_has_its_fields_where_the_standard_says() -> None:
    data = pack(SENDER)
    assert data[:4] == bytes.fromhex("81c8000c")
    assert data[10:14] == bytes.fromhex("cafebabe")
    assert data[33:36] == bytes.fromhex("fffffd")


def test_other_packets_of_a_compound_are_stepped_over() -> None:
    assert list(parse(SDES + pack(SENDER) + SDES + pack(RECEIVER))) == [SENDER, RECEIVER]


def test_what_is_cut_off_ends_the_packet() -> None:
    assert list(parse(pack(SENDER) + pack(RECEIVER)[:-4])) == [SENDER]
    assert list(parse(b"\x9f" + pack(SENDER)[1:])) == []


@given(st.binary(max_size=80))
def test_reading_raises_nothing(data: bytes) -> None:
    list(parse(data))
    list(parse(b"\x81\xc8\0\x06" + data))
