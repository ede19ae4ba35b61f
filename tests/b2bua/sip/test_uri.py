"""SIP, SIPS and tel URIs."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from b2bua.sip.errors import ParseError
from b2bua.sip.uri import URI, escape_user, join_host_port, split_host_port, unescape
from tests.support.sip import uris, wire_text


class TestComponents:
    """RFC 3261 §19.1.1."""

    def test_uri_is_taken_apart_when_all_parts_are_there(self) -> None:
        uri = URI.parse("sip:alice:secret@example.com:5062;transport=tcp;lr?subject=x&priority=urgent")
        assert (uri.scheme, uri.user, uri.host, uri.port) == ("sip", "alice:secret", "example.com", 5062)
        assert uri.parameters == {"transport": "tcp", "lr": None}
        assert uri.headers == "subject=x&priority=urgent"

    def test_uri_has_no_user_and_port_when_only_a_host_is_there(self) -> None:
        uri = URI.parse("sips:example.com")
        assert (uri.scheme, uri.user, uri.host, uri.port) == ("sips", "", "example.com", None)

    def test_scheme_is_folded(self) -> None:
        assert URI.parse("SIP:a@b").scheme == "sip"

    def test_user_keeps_semicolon_and_question_mark(self) -> None:
        uri = URI.parse("sip:+1;phone-context=x?y@example.com;user=phone")
        assert uri.user == "+1;phone-context=x?y"
        assert uri.parameters == {"user": "phone"}

    def test_host_has_no_brackets_when_ipv6(self) -> None:
        uri = URI.parse("sip:a@[2001:db8::1]:5060;lr")
        assert (uri.host, uri.port) == ("2001:db8::1", 5060)
        assert str(uri) == "sip:a@[2001:db8::1]:5060;lr"

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "sip",
            "sip:",
            "sip:@host",
            "sip:a@",
            "sip:a@b:",
            "sip:a@b:65536",
            "sip:a@b:x",
            "sip:a@[::1",
            "sip:a@[::1]5060",
            "sip:a@b c",
            "sip:a@b,c",
            "sip:a@b\r\nX",
            "sip:a@b;=x",
            "sip:?x",
            "tel:",
            "tel:;a=b",
        ],
    )
    def test_uri_is_refused_when_malformed(self, text: str) -> None:
        with pytest.raises(ParseError) as caught:
            URI.parse(text)
        assert caught.value.status_hint == 400

    @pytest.mark.parametrize("text", ["sip:a>;tag=evil@h", "sip:a<b@h", "sip:h?x=>", "tel:1>;tag=evil"])
    def test_uri_is_refused_when_it_would_leave_its_brackets(self, text: str) -> None:
        with pytest.raises(ParseError):
            URI.parse(text)

    @pytest.mark.parametrize("text", ["http://a", "mailto:a@b", "urn:service:sos", "soap.beep://192.0.2.103:3002"])
    def test_uri_hints_416_when_the_scheme_is_another(self, text: str) -> None:
        with pytest.raises(ParseError) as caught:
            URI.parse(text)
        assert caught.value.status_hint == 416

    @settings(max_examples=300, deadline=None)
    @given(uris)
    def test_uri_comes_back_when_written(self, uri: URI) -> None:
        assert URI.parse(str(uri)) == uri

    @settings(max_examples=300, deadline=None)
    @given(wire_text | wire_text.map(lambda text: f"sip:{text}") | wire_text.map(lambda text: f"tel:{text}"))
    def test_uri_raises_only_parse_errors_and_settles_when_given_any_text(self, text: str) -> None:
        try:
            uri = URI.parse(text)
        except ParseError:
            return
        assert isinstance(uri.number, str)
        assert URI.parse(str(uri)) == uri


class TestHostPort:
    """RFC 3261 §25.1 hostport."""

    @pytest.mark.parametrize(
        ("text", "parts"),
        [("a", ("a", None)), ("a:0", ("a", 0)), ("192.0.2.1:5060", ("192.0.2.1", 5060)), ("[::1]:9", ("::1", 9))],
    )
    def test_host_and_port_are_split_and_joined(self, text: str, parts: tuple[str, int | None]) -> None:
        assert split_host_port(text) == parts
        assert join_host_port(*parts) == text


class TestTel:
    """RFC 3966."""

    def test_number_is_the_user_when_tel(self) -> None:
        uri = URI.parse("tel:+1-201-555-0123;phone-context=example.com")
        assert (uri.user, uri.host, uri.parameters) == ("+1-201-555-0123", "", {"phone-context": "example.com"})
        assert str(uri) == "tel:+1-201-555-0123;phone-context=example.com"


class TestNumber:
    """RFC 3261 §19.1.1 userinfo and §19.1.6."""

    @pytest.mark.parametrize(
        ("text", "number"),
        [
            ("sip:+1201@h", "+1201"),
            ("sip:alice:secret@h", "alice"),
            ("sip:+1;phone-context=x@h", "+1"),
            ("sip:+1;x:y@h", "+1"),
            ("sip:%2B1%32@h", "+12"),
            ("sip:h", ""),
            ("tel:112", "112"),
        ],
    )
    def test_number_is_the_user_without_password_and_parameters(self, text: str, number: str) -> None:
        assert URI.parse(text).number == number


class TestEscaping:
    """RFC 3261 §19.1.2."""

    def test_user_is_unchanged_when_safe(self) -> None:
        assert escape_user("+1-201.555") == "+1-201.555"

    def test_user_is_escaped_when_it_would_end_the_user_part(self) -> None:
        assert escape_user("a@b;c:d#>") == "a%40b%3Bc%3Ad%23%3E"
        assert escape_user("é ") == "%C3%A9%20"

    @given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1))
    def test_user_comes_back_from_a_uri_when_escaped(self, text: str) -> None:
        assert URI.parse(f"sip:{escape_user(text)}@host").number == text

    @pytest.mark.parametrize("text", ["%", "%4", "%zz", "a%", "%+1", "% 1"])
    def test_percent_sign_stays_when_no_hex_follows(self, text: str) -> None:
        assert unescape(text) == text

    @pytest.mark.parametrize("text", ["%0D%0AX:y", "%00", "%7f", "%1B"])
    def test_control_character_stays_escaped(self, text: str) -> None:
        assert unescape(text) == text

    def test_bytes_survive_when_they_are_not_utf8(self) -> None:
        assert escape_user(unescape("%FF%41")) == "%FFA"
