"""Bencode: known pairs, round trips, and malformed input."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.bencode import DEPTH_LIMIT, MalformedBencode, decode, encode

VALUES = st.recursive(
    st.text(max_size=20) | st.integers(-(10**12), 10**12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ({"command": "ping"}, b"d7:command4:pinge"),
        ({"a": [1, -2, "x"], "b": {}}, b"d1:ali1ei-2e1:xe1:bdee"),
        ("ü", "2:ü".encode()),
        ([], b"le"),
    ],
)
def test_value_is_written_and_read_as_the_protocol_has_it(value: object, written: bytes) -> None:
    assert encode(value) == written
    assert decode(written) == value


@given(VALUES)
def test_value_survives_being_written_and_read(value: object) -> None:
    assert decode(encode(value)) == value


@given(st.binary(max_size=60))
def test_bytes_survive_whatever_they_are(data: bytes) -> None:
    assert decode(encode(data)).encode("utf-8", "surrogateescape") == data


@given(st.binary(max_size=60))
def test_reading_raises_nothing_but_its_own_error(data: bytes) -> None:
    with contextlib.suppress(MalformedBencode):
        decode(data)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"d", b"l", b"i12", b"ie", b"i-e", b"3:ab", b"d1:ae", b"di1e1:ae", b"lex", b"99999999999999999999999:a",
        b"l" * (DEPTH_LIMIT + 1) + b"e" * (DEPTH_LIMIT + 1),
    ],
)  # fmt: skip
def test_malformed_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedBencode):
        decode(data)


def test_nesting_is_read_as_deep_as_the_limit() -> None:
    assert decode(b"l" * DEPTH_LIMIT + b"e" * DEPTH_LIMIT) is not None


def test_what_bencode_has_not_is_refused() -> None:
    with pytest.raises(TypeError, match="float"):
        encode([1.5])
