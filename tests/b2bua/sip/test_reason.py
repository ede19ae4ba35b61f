"""The Reason header."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from b2bua.sip.headers import Headers
from b2bua.sip.reason import format_reason, q850_cause
from tests.support.sip import printable, wire_text


class TestReason:
    """RFC 3326."""

    @pytest.mark.parametrize(
        ("values", "cause"),
        [
            (["Q.850;cause=16"], 16),
            (['q.850 ; cause=17 ; text="User busy, or so; really"'], 17),
            (['SIP;cause=200;text="Call completed elsewhere", Q.850;cause=26'], 26),
            (["SIP;cause=487", "Q.850;cause=31"], 31),
            (["SIP;cause=600"], None),
            (["Q.850"], None),
            (["Q.850;cause=128"], None),
            (["Q.850;cause=-1"], None),
            (["Q.850;cause=" + "9" * 5000], None),
            (['Q.850;text="open, Q.850;cause=16'], None),
        ],
    )
    def test_cause_is_that_of_q850(self, values: list[str], cause: int | None) -> None:
        assert q850_cause(Headers({"reason": values})) == cause

    def test_cause_is_none_when_there_is_no_header(self) -> None:
        assert q850_cause(Headers()) is None

    @given(st.integers(0, 127), printable)
    def test_cause_comes_back_when_written(self, cause: int, text: str) -> None:
        assert q850_cause(Headers({"reason": [format_reason(cause, text)]})) == cause

    def test_text_is_quoted_when_written(self) -> None:
        assert format_reason(16) == "Q.850;cause=16"
        assert format_reason(16, 'a"b') == 'Q.850;cause=16;text="a\\"b"'

    @settings(deadline=None)
    @given(wire_text | wire_text.map(lambda text: f"Q.850;cause={text}"))
    def test_cause_raises_nothing_when_given_any_text(self, text: str) -> None:
        q850_cause(Headers({"reason": [text]}))
