"""name-addr and addr-spec."""

import contextlib

import pytest
from hypothesis import given, settings

from b2bua.sip.address import Address, split_address, tag_of
from b2bua.sip.errors import ParseError
from b2bua.sip.uri import URI
from tests.support.sip import addresses, wire_text


class TestNameAddr:
    """RFC 3261 §20.10."""

    def test_address_is_taken_apart_when_quoted_and_in_brackets(self) -> None:
        address = Address.parse('"Alice \\"A\\" <x>" <sip:alice@example.com;lr>;tag=9;expires=60')
        assert address.display_name == 'Alice "A" <x>'
        assert str(address.uri) == "sip:alice@example.com;lr"
        assert address.parameters == {"tag": "9", "expires": "60"}
        assert address.tag == "9"

    def test_display_name_may_be_bare_words(self) -> None:
        assert Address.parse("Alice in  W <sip:a@b>").display_name == "Alice in  W"

    def test_parameters_are_the_headers_when_there_are_no_brackets(self) -> None:
        address = Address.parse("sip:a@b;tag=7")
        assert (address.uri.parameters, address.tag) == ({}, "7")

    def test_parameters_are_the_uris_when_inside_the_brackets(self) -> None:
        address = Address.parse("<sip:a@b;tag=7>")
        assert (address.uri.parameters, address.tag) == ({"tag": "7"}, "")

    @pytest.mark.parametrize(
        "text",
        ["", '"Alice', '"Alice" <sip:a@b', "<sip:a@b> x", '"A\\" <sip:a@b>', "sip:a@b>", "<>", "<sip:a@b>;=x"],
    )
    def test_address_is_refused_when_malformed(self, text: str) -> None:
        with pytest.raises(ParseError):
            Address.parse(text)

    def test_blanks_inside_the_brackets_are_forgiven(self) -> None:
        # RFC 4475 §3.1.2.14
        assert Address.parse('"T" < sip:t@h\t>;tag=1') == Address(URI.parse("sip:t@h"), "T", {"tag": "1"})

    @pytest.mark.parametrize("text", ["sip:a@b?Route=x", "sip:a@b?Route=x;tag=1", "sip:a@b,sip:c@d"])
    def test_address_is_refused_when_its_uri_needs_brackets(self, text: str) -> None:
        # §20.10, RFC 4475 §3.1.2.13
        with pytest.raises(ParseError):
            Address.parse(text)

    def test_display_name_is_escaped_when_written(self) -> None:
        text = '"a\\"\\\\b" <sip:x@y>;tag=1'
        assert str(Address.parse(text)) == text

    def test_parts_are_as_written_when_only_split(self) -> None:
        assert split_address('"A" <sip:x>;tag=1') == ('"A"', "sip:x", "tag=1")

    @settings(max_examples=300, deadline=None)
    @given(addresses)
    def test_address_comes_back_when_written(self, address: Address) -> None:
        assert Address.parse(str(address)) == address

    @settings(max_examples=300, deadline=None)
    @given(wire_text | wire_text.map(lambda text: f'"{text}" <sip:a@b>{text}') | wire_text.map(lambda t: f"<sip:{t}>"))
    def test_address_raises_only_parse_errors_when_given_any_text(self, text: str) -> None:
        for parse in (Address.parse, split_address, tag_of):
            with contextlib.suppress(ParseError):
                parse(text)


class TestTag:
    """RFC 3261 §19.3."""

    @pytest.mark.parametrize(
        ("text", "tag"),
        [
            ("<sip:a@b>;tag=x", "x"),
            ("<sip:a@b>;tag=x  ", "x"),
            ("<sip:a@b>;TAG=x", "x"),
            ("<sip:a@b> ; tag = x", "x"),
            ("<sip:a@b>;a=1;tag=x;b", "x"),
            ("<sip:a@b>;tag=x;b", "x"),
            ("sip:a@b;tag=x", "x"),
            ("<sip:a@b>", ""),
            ("<sip:a@b>;tag", ""),
            ("<sip:a@b;tag=x>", ""),
            ('">;tag=fake" <sip:a@b>;tag=x', "x"),
            ('">;tag=fake" <sip:a@b>', ""),
            ('"A" <sip:a@b>;tag=x', "x"),
            ('"A"<sip:a@b>;tag=x', "x"),
            ('"A \\">;tag=fake" <sip:a@b>;tag=x', "x"),
            ('"A \\" <" <sip:a@b>;tag=x', "x"),
            ('"<sip:c@d>;tag=fake" <sip:a@b>', ""),
        ],
    )
    def test_tag_is_that_of_the_header(self, text: str, tag: str) -> None:
        assert tag_of(text) == tag
        assert Address.parse(text).tag == tag

    @pytest.mark.parametrize(
        "text", ['"open <sip:a@b>;tag=x', '"open <sip:a@b>', "<sip:a@b", "sip:a@b>", "<sip:a@b;tag=x", '"A" <sip:a@b']
    )
    def test_tag_is_refused_when_the_value_is_malformed(self, text: str) -> None:
        with pytest.raises(ParseError):
            tag_of(text)
