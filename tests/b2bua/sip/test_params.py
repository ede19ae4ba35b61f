"""Parameters of URIs and header values."""

import contextlib

import pytest
from hypothesis import given, settings

from b2bua.sip.errors import ParseError
from b2bua.sip.params import PARAMETER_LIMIT, Parameters, format_parameters, parse_parameters
from tests.support.sip import header_parameters, wire_text


class TestGenericParam:
    """RFC 3261 §25.1 generic-param."""

    def test_parameters_keep_order_and_values(self) -> None:
        assert list(parse_parameters("b=2;a=1;lr").items()) == [("b", "2"), ("a", "1"), ("lr", None)]

    def test_name_is_folded_and_value_is_kept_when_in_upper_case(self) -> None:
        assert parse_parameters("TAG=AbC") == {"tag": "AbC"}

    def test_blanks_are_dropped_when_around_the_signs(self) -> None:
        assert parse_parameters(" a = 1 ; b ") == {"a": "1", "b": None}

    def test_semicolon_is_kept_when_in_quotes(self) -> None:
        assert parse_parameters('a="x;y";b=1') == {"a": '"x;y"', "b": "1"}

    def test_value_is_empty_text_when_only_the_sign_is_there(self) -> None:
        assert parse_parameters("a=") == {"a": ""}

    def test_equals_sign_is_kept_when_in_the_value(self) -> None:
        assert parse_parameters("a=b=c") == {"a": "b=c"}

    @pytest.mark.parametrize("text", ["", ";", ";;", " ; "])
    def test_empty_parts_are_passed_over(self, text: str) -> None:
        assert parse_parameters(text) == {}

    @pytest.mark.parametrize("text", ["=1", "a;=1", 'a="x;b'])
    def test_text_is_refused_when_a_name_is_missing_or_a_quote_open(self, text: str) -> None:
        with pytest.raises(ParseError):
            parse_parameters(text)

    @pytest.mark.parametrize("start", ["", 'x="";'])
    def test_parameters_are_refused_when_they_are_too_many(self, start: str) -> None:
        many = start + ";".join(f"p{number}" for number in range(PARAMETER_LIMIT - bool(start)))
        assert len(parse_parameters(many)) == PARAMETER_LIMIT
        with pytest.raises(ParseError):
            parse_parameters(f"{many};p")

    @given(header_parameters)
    def test_parameters_come_back_when_written(self, parameters: Parameters) -> None:
        assert parse_parameters(format_parameters(parameters).removeprefix(";")) == parameters

    @settings(deadline=None)
    @given(wire_text)
    def test_parameters_raise_only_parse_errors_when_given_any_text(self, text: str) -> None:
        with contextlib.suppress(ParseError):
            parse_parameters(text)
