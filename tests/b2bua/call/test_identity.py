"""UUIDv7 (RFC 9562 §5.7)."""

import uuid

from hypothesis import given
from hypothesis import strategies as st

from b2bua.call.identity import new_call_id

moments = st.floats(0, 2**48 / 1000 - 1, allow_nan=False)


@given(moments)
def test_identifier_is_a_uuid_of_version_seven_with_its_time(now: float) -> None:
    text = new_call_id(now)
    parsed = uuid.UUID(text)
    assert str(parsed) == text
    assert parsed.version == 7
    assert parsed.variant == uuid.RFC_4122
    assert parsed.int >> 80 == int(now * 1000)


@given(moments, moments)
def test_identifiers_sort_by_time_when_they_are_a_millisecond_apart(one: float, other: float) -> None:
    earlier, later = sorted((one, other))
    if int(later * 1000) > int(earlier * 1000):
        assert new_call_id(earlier) < new_call_id(later)


def test_identifiers_differ_when_they_are_made_in_the_same_millisecond() -> None:
    made = [uuid.UUID(new_call_id(1_700_000_000.0)).int for _ in range(20_000)]
    assert len(set(made)) == len(made)


def test_every_random_bit_varies_when_many_are_made() -> None:
    ones, zeros = 0, (1 << 128) - 1
    for _ in range(500):
        number = uuid.UUID(new_call_id(1_700_000_000.0)).int
        ones |= number
        zeros &= number
    varying = ones & ~zeros
    assert varying == (1 << 80) - 1 & ~(0xF << 76) & ~(0x3 << 62)


def test_no_random_digit_repeats_another() -> None:
    made = [new_call_id(1_700_000_000.0).replace("-", "")[13:] for _ in range(200)]
    columns = ["".join(column) for column in zip(*made, strict=True)]
    assert len(set(columns)) == len(columns)
