"""Cells of a deck: what each may say, what it becomes, and adjustments on the way in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rating.deck_cell import BY_NAME, Adjustment, Wrong, parse_moment, reader, unquote
from rating.errors import InvalidAdjustment


def read(column: str, cell: str, adjustment: str = "") -> str:
    """What a cell becomes."""
    return reader(BY_NAME[column], Adjustment.parse(f"{column}={adjustment}") if adjustment else None)(cell)


class TestCell:
    @pytest.mark.parametrize(
        ("column", "cell", "text"),
        [
            ("prefix", "44", "44"), ("prefix", "+44", "44"), ("prefix", "44%", "44"), ("prefix", "%", ""),
            ("prefix", "*#21", "*#21"), ("prefix", "0044", "0044"), ("prefix", "1" * 30, "1" * 30),
            ("destination", "United\N{NO-BREAK SPACE}Kingdom", "United Kingdom"), ("destination", "", ""),
            ("destination", "'=1+1", "=1+1"), ("destination", "''-x", "'-x"),
            ("destination", "'s-Hertogenbosch", "'s-Hertogenbosch"),
            ("rate_per_minute", "0.06", "0.06"), ("rate_per_minute", "+.5", "0.5"), ("rate_per_minute", "5.", "5"),
            ("rate_per_minute", "1e-05", "0.00001"), ("rate_per_minute", "1E3", "1000"), ("rate_per_minute", "0", "0"),
            ("rate_per_minute", "0.0612345678", "0.0612345678"), ("rate_per_minute", "0.06000000000000", "0.06"),
            ("rate_per_minute", "9999999999.9999999999", "9999999999.9999999999"),
            ("connection_charge", "", "0"), ("multiplier", "", "1"), ("setup", "", "0"), ("rental", "2.50", "2.50"),
            ("minimum", "60", "60"), ("minimum", "60.0", "60"), ("minimum", "0", "0"), ("minimum", "", "1"),
            ("resolution", "1", "1"), ("grace", "", "0"), ("channels", "", "-1"), ("channels", "30", "30"),
            ("status", "Active", "active"), ("status", "0", "blocked"), ("status", "inactive", "blocked"),
            ("status", "", "active"),
            ("blocks_mode", "after_minimum", "after_minimum"), ("blocks_mode", "", "from_zero"),
            ("valid_from", "", "-infinity"), ("valid_until", "", "infinity"),
            ("valid_from", "2026-01-31", "2026-01-31T00:00:00+00:00"),
            ("valid_from", "2026-01-31T01:30+02:00", "2026-01-30T23:30:00+00:00"),
            ("valid_until", "2026-01-31T00:00:00.000001Z", "2026-01-31T00:00:00.000001+00:00"),
        ],
    )  # fmt: skip
    def test_cell_is_read(self, column: str, cell: str, text: str) -> None:
        assert read(column, cell) == text

    @pytest.mark.parametrize(
        ("column", "cell", "expected"),
        [
            ("prefix", "", "a prefix; % is the one of every number"), ("prefix", "44a", "digits"),
            ("prefix", "4.4E+11", "digits"), ("prefix", "1" * 31, "up to 30"), ("prefix", "٤٤", "digits"),
            ("destination", "a\tb", "control characters"), ("destination", "x" * 201, "at most 200 letters"),
            ("rate_per_minute", "", "a number"), ("rate_per_minute", "free", "a number such as 0.06"),
            ("rate_per_minute", "0,06", "with a point"), ("rate_per_minute", "1,000.00", "no other signs"),
            ("rate_per_minute", "-0.06", "0 or more"), ("rate_per_minute", "NaN", "a number"),
            ("rate_per_minute", "Infinity", "a number"), ("rate_per_minute", "0.00000000001", "at most 10 decimals"),
            ("rate_per_minute", "10000000000", "10 zeros"), ("rate_per_minute", "1e99", "10 zeros"),
            ("rate_per_minute", "1e-99", "10 decimals"), ("rate_per_minute", "$0.06", "a number"),
            ("rate_per_minute", "٠", "a number"), ("rate_per_minute", "0" * 61, "10 zeros"),
            ("minimum", "1.5", "a whole number"), ("minimum", "-1", "0 or more"),
            ("minimum", "2147483648", "0 or more"),
            ("minimum", "60/6", "such as 60"), ("resolution", "0", "1 or more"), ("channels", "-1", "0 or more"),
            ("status", "maybe", "active or blocked"), ("blocks_mode", "60/60", "from_zero or after_minimum"),
            ("valid_from", "31.01.2026", "a time such as 2026-01-31"),
            ("valid_from", "0001-01-01T00:00+10:00", "a time"),
        ],
    )  # fmt: skip
    def test_cell_is_refused_with_what_it_must_be(self, column: str, cell: str, expected: str) -> None:
        with pytest.raises(Wrong) as wrong:
            read(column, cell)
        assert expected in str(wrong.value)

    @given(st.text())
    def test_any_text_is_read_or_refused(self, cell: str) -> None:
        for column in BY_NAME.values():
            try:
                assert "\t" not in reader(column)(cell)
            except Wrong:
                continue


class TestAdjustment:
    @pytest.mark.parametrize(
        ("column", "cell", "adjustment", "text"),
        [
            ("rate_per_minute", "0.06", "as_is", "0.06"),
            ("rate_per_minute", "0.06", "multiply:1.1", "0.066"),
            ("rate_per_minute", "0.0000000001", "multiply:1.5", "0.0000000002"),
            ("rate_per_minute", "0.0000000001", "multiply:1.4", "0.0000000001"),
            ("rate_per_minute", "0.06", "add:0.005", "0.065"),
            ("rate_per_minute", "0.06", "add:-0.01", "0.05"),
            ("rate_per_minute", "0.06", "replace:0.5", "0.06"),
            ("connection_charge", "", "add:0.01", "0.01"),
            ("minimum", "30", "multiply:1.5", "45"),
            ("resolution", "1", "add:5", "6"),
            ("channels", "", "add:5", "-1"),
        ],
    )
    def test_number_is_adjusted(self, column: str, cell: str, adjustment: str, text: str) -> None:
        # Replacing is done by whole columns, for which cells are not even read.
        assert read(column, cell, adjustment) == text

    @pytest.mark.parametrize(
        ("column", "cell", "adjustment", "expected"),
        [
            ("rate_per_minute", "0.06", "add:-0.07", "0 or more, and add -0.07 makes it -0.01"),
            ("rate_per_minute", "9999999999", "multiply:2", "10 zeros, and multiply 2 makes it 19999999998"),
            ("minimum", "1", "multiply:1.5", "a whole number of 0 or more, and multiply 1.5 makes it 1.5"),
            ("resolution", "1", "add:-1", "1 or more, and add -1 makes it 0"),
        ],
    )
    def test_cell_is_refused_when_its_adjusted_value_does_not_fit(
        self, column: str, cell: str, adjustment: str, expected: str
    ) -> None:
        with pytest.raises(Wrong) as wrong:
            read(column, cell, adjustment)
        assert expected in str(wrong.value)

    @pytest.mark.parametrize(
        ("text", "fault"),
        [
            ("speed=add:1", 'no column to adjust is "speed"'),
            ("prefix=replace:44", 'no column to adjust is "prefix"'),
            ("rate_per_minute", 'rate_per_minute cannot ""'),
            ("rate_per_minute=divide:2", 'cannot "divide"; an action is as_is, multiply, add, replace'),
            ("rate_per_minute=multiply:0", '"0" is not a number above 0'),
            ("rate_per_minute=multiply:-1", "above 0"),
            ("rate_per_minute=add:a little", '"a little" is not a number'),
            ("rate_per_minute=replace:", "it must be a number"),
            ("rate_per_minute=replace:0,05", "with a point"),
            ("status=replace:gone", "it must be active or blocked"),
            ("status=add:1", "status is not a number; it can only be replaced"),
        ],
    )
    def test_adjustment_is_refused_when_it_makes_no_sense(self, text: str, fault: str) -> None:
        with pytest.raises(InvalidAdjustment) as invalid:
            Adjustment.parse(text)
        assert fault in str(invalid.value)


class TestText:
    @pytest.mark.parametrize(
        ("text", "plain"), [("'=x", "=x"), ("''+x", "'+x"), ("'x", "'x"), ("=x", "=x"), ("", ""), ("'", "'")]
    )
    def test_quote_is_taken_from_what_would_be_a_formula(self, text: str, plain: str) -> None:
        assert unquote(text) == plain

    def test_moment_is_utc_when_it_has_no_zone(self) -> None:
        assert parse_moment("2026-01-31T08:00").isoformat() == "2026-01-31T08:00:00+00:00"
