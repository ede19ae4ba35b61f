"""Attributes of netlink messages, packed and found again."""

from hypothesis import given
from hypothesis import strategies as st

from media.netlink import NESTED, attribute, attributes, nested


def test_attribute_is_padded_and_its_size_is_not() -> None:
    assert attribute(3, b"abcde") == b"\x09\0\x03\0abcde\0\0\0"


def test_nested_attribute_is_marked_and_found_without_its_mark() -> None:
    data = nested(5, attribute(1, b"a"), attribute(2, b"bc"))
    assert int.from_bytes(data[2:4], "little") == 5 | NESTED
    ((kind, start, end),) = attributes(data, 0, len(data))
    assert kind == 5
    assert [(inner, data[at:to]) for inner, at, to in attributes(data, start, end)] == [(1, b"a"), (2, b"bc")]


@given(st.binary(max_size=60))
def test_anything_is_read_to_an_end(data: bytes) -> None:
    assert len(list(attributes(data, 0, len(data)))) <= len(data)
