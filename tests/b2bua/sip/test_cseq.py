"""CSeq."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from b2bua.sip.cseq import parse_cseq
from b2bua.sip.errors import ParseError
from tests.support.sip import tokens, wire_text


class TestCSeq:
    """RFC 3261 §20.16 and §8.1.1.5."""

    @given(st.integers(0, 2**31 - 1), tokens)
    def test_number_and_method_come_back(self, number: int, method: str) -> None:
        assert parse_cseq(f"{number} {method}") == (number, method)

    def test_blanks_between_them_are_dropped(self) -> None:
        assert parse_cseq("0009   INVITE") == parse_cseq("9\t \tINVITE") == (9, "INVITE")

    @pytest.mark.parametrize(
        "text", ["", "1", "INVITE", "1 ", "-1 INVITE", "2147483648 INVITE", "1 IN VITE", "1 INVITE;x", "x INVITE"]
    )
    def test_cseq_is_refused_when_malformed_or_too_large(self, text: str) -> None:
        with pytest.raises(ParseError):
            parse_cseq(text)

    @settings(deadline=None)
    @given(wire_text)
    def test_cseq_raises_only_parse_errors_when_given_any_text(self, text: str) -> None:
        with contextlib.suppress(ParseError):
            parse_cseq(text)
