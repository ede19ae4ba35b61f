"""Tokens, quoted strings and comma lists."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from b2bua.sip.errors import ParseError
from b2bua.sip.grammar import LIST_LIMIT, end_of_quotes, is_token, parse_number, quote, split_outside_quotes, unquote
from tests.support.sip import printable, wire_text


class TestToken:
    """RFC 3261 §25.1 token."""

    @pytest.mark.parametrize("text", ["INVITE", "a", "-.!%*_+`'~09Z"])
    def test_text_is_a_token_when_every_character_is_allowed(self, text: str) -> None:
        assert is_token(text)

    @pytest.mark.parametrize("text", ["", "a b", "a:b", "a\r", "é", "a@b", '"a"', "a\0"])
    def test_text_is_no_token_when_empty_or_a_character_is_not_allowed(self, text: str) -> None:
        assert not is_token(text)


class TestList:
    """RFC 3261 §7.3.1: values separated by commas."""

    def test_list_is_split_at_each_separator_and_stripped(self) -> None:
        assert split_outside_quotes(" a , b,c ", ",") == ["a", "b", "c"]

    def test_list_is_one_part_when_there_is_no_separator(self) -> None:
        assert split_outside_quotes(' "a b" ', ",") == ['"a b"']

    def test_separator_in_quotes_is_kept(self) -> None:
        assert split_outside_quotes('"a, b" <sip:x>, c', ",") == ['"a, b" <sip:x>', "c"]

    def test_separator_after_an_escaped_quote_is_kept(self) -> None:
        assert split_outside_quotes(r'"a\",b",c', ",") == [r'"a\",b"', "c"]

    def test_quote_ends_after_an_escaped_backslash(self) -> None:
        assert split_outside_quotes(r'"a\\",b', ",") == [r'"a\\"', "b"]

    def test_separator_in_brackets_is_kept(self) -> None:
        assert split_outside_quotes("<sip:a,b@c>, <sip:d>", ",") == ["<sip:a,b@c>", "<sip:d>"]

    def test_other_separator_is_no_separator(self) -> None:
        assert split_outside_quotes('a;b, "c"', ",") == ["a;b", '"c"']

    @pytest.mark.parametrize("text", ["," * (LIST_LIMIT + 1), '"a"' + "," * (LIST_LIMIT + 1)])
    def test_list_is_refused_when_it_is_too_long(self, text: str) -> None:
        assert len(split_outside_quotes(text[:-1], ",")) == LIST_LIMIT + 1
        with pytest.raises(ParseError):
            split_outside_quotes(text, ",")

    @pytest.mark.parametrize("text", [',""' + '""' * (2 * LIST_LIMIT), ",<>" + "<>" * LIST_LIMIT])
    def test_list_is_refused_when_it_is_all_quotes_or_brackets(self, text: str) -> None:
        assert len(split_outside_quotes(text[:-2], ",")) == 2
        with pytest.raises(ParseError):
            split_outside_quotes(text, ",")

    @pytest.mark.parametrize("text", ['"a, b', "<sip:a, b", r'"a\", b', '"a"," , b', '"a,\\'])
    def test_list_is_refused_when_a_quote_or_bracket_is_open(self, text: str) -> None:
        with pytest.raises(ParseError):
            split_outside_quotes(text, ",")

    @given(st.lists(printable.map(quote), min_size=1))
    def test_quoted_strings_come_back_when_they_were_joined(self, parts: list[str]) -> None:
        assert split_outside_quotes(",".join(parts), ",") == parts


class TestQuotedString:
    """RFC 3261 §25.1 quoted-string."""

    @given(printable)
    def test_text_comes_back_when_quoted(self, text: str) -> None:
        assert unquote(quote(text)) == text

    def test_quote_and_backslash_are_escaped(self) -> None:
        assert quote('a"\\') == r'"a\"\\"'

    @pytest.mark.parametrize("text", ["plain", '"', '"open', 'open"', ""])
    def test_text_stays_when_it_is_not_quoted(self, text: str) -> None:
        assert unquote(text) == text

    @pytest.mark.parametrize(("text", "end"), [('""', 2), ('"a" <b>', 3), (r'"a\"b" "', 6), (r'"\\"c', 4)])
    def test_end_is_behind_the_closing_quote(self, text: str, end: int) -> None:
        assert end_of_quotes(text) == end

    @pytest.mark.parametrize("text", ['"', '"a', r'"a\"', '"a\\', "a", ""])
    def test_end_is_not_found_when_there_is_none(self, text: str) -> None:
        with pytest.raises(ParseError):
            end_of_quotes(text)

    def test_any_character_is_taken_when_escaped(self) -> None:
        assert unquote(r'"\a\b"') == "ab"


class TestNumber:
    """RFC 3261 §25.1 1*DIGIT."""

    @pytest.mark.parametrize(("text", "number"), [("0", 0), ("0070", 70), ("4294967295", 4294967295)])
    def test_digits_are_parsed(self, text: str, number: int) -> None:
        assert parse_number(text, "part") == number

    @pytest.mark.parametrize("text", ["", "-1", "+1", "1.0", "1_0", "4294967296", "٣", "²", " 1", "9" * 5000])
    def test_text_is_refused_when_not_digits_or_too_large(self, text: str) -> None:
        with pytest.raises(ParseError, match="part"):
            parse_number(text, "part")

    def test_number_is_refused_when_over_its_own_limit(self) -> None:
        assert parse_number("65535", "port", 65535) == 65535
        with pytest.raises(ParseError):
            parse_number("65536", "port", 65535)


@settings(deadline=None)
@given(wire_text)
def test_grammar_raises_nothing_else_when_given_any_text(text: str) -> None:
    unquote(text)
    for separator in ",;":
        with contextlib.suppress(ParseError):
            split_outside_quotes(text, separator)
    with contextlib.suppress(ParseError):
        parse_number(text, "part")
