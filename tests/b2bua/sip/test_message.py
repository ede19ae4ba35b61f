"""Parsing and writing of whole messages."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from b2bua.sip.errors import ParseError
from b2bua.sip.headers import Headers
from b2bua.sip.message import (
    HEADER_LIMIT,
    LINE_LIMIT,
    SIZE_LIMIT,
    VIA_LIMIT,
    Message,
    Request,
    Response,
    UnacceptableRequest,
    parse_message,
    split_head,
    unacceptable,
)
from tests.support.sip import (
    message,
    mutations,
    our_request,
    parse_request,
    parse_response,
    request,
    request_lines,
    response,
)

OPTIONS = request("OPTIONS", body=b"hello")
ANSWER = response(parse_request(OPTIONS), 200)


def refused(data: bytes) -> ParseError:
    """Why a message is refused."""
    with pytest.raises(ParseError) as caught:
        parse_message(data)
    return caught.value


def answerable(data: bytes) -> UnacceptableRequest:
    """Why a request is refused that can be answered."""
    error = refused(data)
    assert isinstance(error, UnacceptableRequest)
    return error


class TestRequest:
    """RFC 3261 §7.1."""

    def test_request_is_taken_apart(self) -> None:
        parsed = parse_request(request("INVITE", branch="z9hG4bKx", to_tag="b", cseq=7, body=b"v=0\r\n"))
        assert (parsed.method, parsed.uri) == ("INVITE", "sip:bob@192.0.2.1")
        assert (parsed.call_id, parsed.cseq, parsed.from_tag, parsed.to_tag) == ("call-1", 7, "alice1", "b")
        assert parsed.via.branch == "z9hG4bKx"
        assert parsed.body == b"v=0\r\n"

    @pytest.mark.parametrize(
        "line",
        [
            "",
            "INVITE",
            "INVITE sip:a@b",
            "INVITE  SIP/2.0",
            "IN(VITE sip:a@b SIP/2.0",
            "INVITE sip:a@b HTTP/1.1",
            " INVITE sip:a@b SIP/2.0",
        ],
    )
    def test_request_is_refused_when_its_first_line_is_none(self, line: str) -> None:
        lines = [f"{name}: {value}" for name, value in request_lines().items()]
        assert not isinstance(refused(message(line, lines)), UnacceptableRequest)

    @pytest.mark.parametrize("uri", ["<sip:a@b>", "sip:a@b; lr", " sip:a@b"])
    def test_request_is_answered_with_400_when_its_uri_has_blanks_or_brackets(self, uri: str) -> None:
        assert answerable(request(uri=uri)).status_hint == 400

    def test_request_is_dropped_when_its_uri_has_brackets_and_it_cannot_be_answered(self) -> None:
        assert not isinstance(refused(request(uri="<sip:a@b>", changed={"Via": None})), UnacceptableRequest)

    @pytest.mark.parametrize("uri", ["urn:service:sos", "http://a", "mailto:a@b", "sips"])
    def test_request_is_answered_with_416_when_its_uri_is_of_another_scheme(self, uri: str) -> None:
        assert answerable(request(uri=uri)).status_hint == (400 if uri == "sips" else 416)

    @pytest.mark.parametrize("uri", ["SIP:a@b", "Tel:+1", "sips:a@b", "sip:a:b@[::1]:5060", "sip:a:b@h:1"])
    def test_scheme_may_be_in_any_case_and_an_address_in_brackets(self, uri: str) -> None:
        assert parse_request(request(uri=uri)).uri == uri

    def test_request_is_answered_with_400_when_an_ipv6_address_has_no_brackets(self) -> None:
        assert answerable(request(uri="sip:2001:db8::10")).status_hint == 400

    def test_request_is_answered_with_400_when_blanks_follow_its_version(self) -> None:
        data = request().replace(b" SIP/2.0\r\n", b" SIP/2.0  \r\n", 1)
        assert str(answerable(data)) == "malformed request line"

    @pytest.mark.parametrize("version", ["SIP/7.0", "SIP/1.0", "sip/2.1"])
    def test_request_is_answered_with_505_when_the_version_is_another(self, version: str) -> None:
        data = request().replace(b"SIP/2.0\r\n", version.encode() + b"\r\n", 1)
        error = answerable(data)
        assert error.status_hint == 505
        assert error.request.method == "INVITE"

    def test_request_is_dropped_when_the_version_is_another_and_it_cannot_be_answered(self) -> None:
        data = request(changed={"Via": None}).replace(b"SIP/2.0\r\n", b"SIP/7.0\r\n", 1)
        assert not isinstance(refused(data), UnacceptableRequest)

    def test_version_may_be_in_lower_case(self) -> None:
        assert parse_request(request().replace(b" SIP/2.0\r\n", b" sip/2.0\r\n", 1)).method == "INVITE"


class TestResponse:
    """RFC 3261 §7.2."""

    def test_response_is_taken_apart(self) -> None:
        parsed = parse_response(ANSWER)
        assert (parsed.status, parsed.reason, parsed.method) == (200, "Whatever", "OPTIONS")
        assert (parsed.cseq, parsed.to_tag, parsed.via.branch) == (1, "bob1", "z9hG4bKa1")

    @pytest.mark.parametrize("line", ["SIP/2.0 200 ", "SIP/2.0 200", "SIP/2.0 200 Ça va: très bien"])
    def test_reason_may_be_anything(self, line: str) -> None:
        parsed = parse_response(ANSWER.replace(b"SIP/2.0 200 Whatever", line.encode(), 1))
        assert (parsed.status, parsed.reason) == (200, line[12:])

    @pytest.mark.parametrize("line", ["SIP/2.0 99 x", "SIP/2.0 700 x", "SIP/2.0 -200 x", "SIP/2.0 2OO x", "SIP/2.0  x"])
    def test_response_is_refused_when_the_status_is_none(self, line: str) -> None:
        refused(ANSWER.replace(b"SIP/2.0 200 Whatever", line.encode(), 1))


class TestHeaders:
    """RFC 3261 §7.3."""

    def test_compact_forms_are_read(self) -> None:
        lines = ["v: SIP/2.0/UDP h;branch=z9hG4bKx", "f: <sip:a@b>;tag=1", "t: <sip:c@d>;tag=2", "i: x", "CSeq: 1 BYE"]
        parsed = parse_request(message("BYE sip:c@d SIP/2.0", [*lines, "l: 2", "m: <sip:a@h>"], b"hi"))
        assert (parsed.via.host, parsed.call_id, parsed.from_tag, parsed.to_tag) == ("h", "x", "1", "2")
        assert parsed.headers["contact"] == ["<sip:a@h>"]
        assert parsed.body == b"hi"

    def test_lines_are_joined_when_folded(self) -> None:
        parsed = parse_request(
            request(changed={"Subject": "I know you're there,\r\n \tpick up\r\n\tthe phone  \r\n now"})
        )
        assert parsed.headers["subject"] == ["I know you're there, pick up the phone now"]

    def test_values_are_in_order_when_headers_are_repeated(self) -> None:
        parsed = parse_request(request(changed={"Route": "<sip:a;lr>", "ROUTE": "<sip:b;lr>, <sip:c;lr>"}))
        assert parsed.headers["route"] == ["<sip:a;lr>", "<sip:b;lr>, <sip:c;lr>"]

    def test_vias_are_split_when_separated_by_commas(self) -> None:
        vias = "SIP/2.0/UDP a;branch=z9hG4bK1 ,SIP/2.0/TCP b;branch=z9hG4bK2"
        parsed = parse_request(request(changed={"Via": vias, "v": "SIP/2.0/UDP c"}))
        assert parsed.via.host == "a"
        assert parsed.headers["via"] == [
            "SIP/2.0/UDP a;branch=z9hG4bK1",
            "SIP/2.0/TCP b;branch=z9hG4bK2",
            "SIP/2.0/UDP c",
        ]

    def test_blanks_around_the_colon_are_dropped(self) -> None:
        assert parse_request(request(changed={"Subject\t ": "   x  "})).headers["subject"] == ["x"]

    @pytest.mark.parametrize("line", ["no colon", ": no name", "na me: x", "näme: x"])
    def test_message_is_refused_when_a_header_is_none(self, line: str) -> None:
        lines = [f"{name}: {value}" for name, value in request_lines().items()]
        refused(message("INVITE sip:a@b SIP/2.0", [*lines, line]))

    @pytest.mark.parametrize("name", ["Via", "From", "To", "Call-ID", "CSeq"])
    def test_message_is_refused_when_a_header_of_its_identity_is_missing(self, name: str) -> None:
        error = refused(request(changed={name: None}))
        assert str(error) == f"{name} is missing"
        assert isinstance(error, UnacceptableRequest) == (name != "Via")

    @pytest.mark.parametrize(("name", "value"), [("FROM", "<sip:x@y>;tag=2"), ("t", "<sip:x@y>"), ("i", "x")])
    def test_message_is_refused_when_a_header_of_its_identity_is_repeated(self, name: str, value: str) -> None:
        assert "repeated" in str(answerable(request(changed={name: value})))

    def test_value_keeps_what_is_no_blank_at_its_ends(self) -> None:
        parsed = parse_request(request(changed={"Subject": " \t\xa0\u3000x\u2028\x1f\t "}))
        assert parsed.headers["subject"] == ["\xa0\u3000x\u2028\x1f"]

    def test_unknown_headers_are_carried_on(self) -> None:
        changed = {"X-Unknown": 'ünï, ;;"<', "unheard-of": ""}
        assert (
            b'\r\nX-Unknown: \xc3\xbcn\xc3\xaf, ;;"<\r\nUnheard-Of: \r\n'
            in parse_request(request(changed=changed)).to_bytes()
        )


class TestFolding:
    """RFC 3261 §7.3.1."""

    def test_header_may_be_folded_before_its_value(self) -> None:
        parsed = parse_request(request(changed={"Subject": "\r\n \r\n\t \r\n x"}))
        assert parsed.headers["subject"] == ["x"]

    @pytest.mark.parametrize("uri", ["sip:a@b\r\n ", "sip:a@b SIP/2.0\r\n "])
    def test_request_line_is_not_folded(self, uri: str) -> None:
        refused(request(uri=uri))

    def test_folded_lines_are_no_headers(self) -> None:
        changed = {"Subject": "x" + "\r\n x" * (LINE_LIMIT - 20)}
        assert parse_request(request(changed=changed)).headers["subject"] == [" ".join("x" * (LINE_LIMIT - 19))]

    def test_request_gets_513_when_its_lines_are_too_many(self) -> None:
        assert refused(request(changed={"Subject": "x" + "\r\n x" * LINE_LIMIT})).status_hint == 513


class TestVia:
    """RFC 3261 §20.42: a list."""

    def test_comma_in_a_quoted_parameter_is_no_separator(self) -> None:
        vias = 'SIP/2.0/UDP a;x="1,2";branch=z9hG4bK1, SIP/2.0/TCP b'
        assert len(parse_request(request(changed={"Via": vias})).headers["via"]) == 2

    @pytest.mark.parametrize("more", [",", ", ", ",;", ", HTTP/1.1 h"])
    def test_request_gets_400_when_a_later_value_is_none(self, more: str) -> None:
        error = answerable(request(changed={"Via": f"SIP/2.0/UDP a;branch=z9hG4bK1{more}"}))
        assert str(error) == "malformed Via"
        assert error.request.headers["via"] == ["SIP/2.0/UDP a;branch=z9hG4bK1"]

    @pytest.mark.parametrize("more", [',"', ", SIP/2.0/UDP h" * VIA_LIMIT])
    def test_request_is_dropped_when_its_list_cannot_be_read(self, more: str) -> None:
        assert not isinstance(refused(request(changed={"Via": f"SIP/2.0/UDP a{more}"})), UnacceptableRequest)


class TestInjection:
    """RFC 3261 §25.1: a header holds no CR, LF or NUL."""

    @pytest.mark.parametrize("evil", ["\r", "\n", "\0", "\n\r", "\r\r", "\nVia: SIP/2.0/UDP evil", "\rX: y"])
    @pytest.mark.parametrize("place", ["Subject", "From", "Call-ID", "X\r\n y"])
    def test_message_is_refused_when_a_header_holds_a_control_character(self, evil: str, place: str) -> None:
        assert "control character" in str(refused(request(changed={place: f"a{evil}b"})))

    @pytest.mark.parametrize("evil", ["\r", "\n", "\0"])
    def test_message_is_refused_when_the_first_line_holds_a_control_character(self, evil: str) -> None:
        refused(request(uri=f"sip:a{evil}@b"))

    def test_escaped_nul_is_kept_in_a_quoted_string(self) -> None:
        # RFC 3261 §25.1 quoted-pair, RFC 4475 §3.1.1.2.
        data = request(changed={"Subject": '"\\\0"'})
        assert b'Subject: "\\\0"\r\n' in parse_request(data).to_bytes()
        refused(request(changed={"Subject": '"\\\0\0"'}))

    def test_bytes_are_kept_when_they_are_not_utf8(self) -> None:
        data = request(changed={"Subject": "\udcff\udcfe é"})
        parsed = parse_request(data)
        assert b"Subject: \xff\xfe \xc3\xa9\r\n" in parsed.to_bytes()

    def test_body_may_hold_any_byte(self) -> None:
        body = bytes(range(256)) + b"\r\n\r\n"
        assert parse_request(request(body=body)).body == body


class TestIdentity:
    """RFC 3261 §8.1.1 and §8.2: faults in a request that can be answered."""

    @pytest.mark.parametrize(
        "changed",
        [
            {"CSeq": "1 BYE"},
            {"CSeq": "x INVITE"},
            {"CSeq": "2147483648 INVITE"},
            {"Call-ID": ""},
            {"From": "<sip:alice@h>"},
            {"From": '"open <sip:alice@h>;tag=1'},
            {"To": '"open <sip:alice@h>;tag=1'},
            {"Content-Length": "-1"},
            {"Content-Length": "99999999999"},
            {"Content-Length": "x"},
        ],
    )
    def test_request_can_be_answered_when_a_header_is_malformed(self, changed: dict[str, str | None]) -> None:
        error = answerable(request(changed=changed))
        assert error.status_hint == 400
        assert error.request.method == "INVITE"

    def test_request_is_dropped_when_its_via_is_malformed(self) -> None:
        assert not isinstance(refused(request(changed={"Via": "HTTP/1.1 h"})), UnacceptableRequest)

    def test_request_may_have_no_from_tag_when_its_sender_follows_rfc_2543(self) -> None:
        assert parse_request(request(branch="", from_tag="")).from_tag == ""

    def test_response_is_dropped_when_malformed(self) -> None:
        assert not isinstance(refused(ANSWER.replace(b"CSeq: 1 ", b"CSeq: x ")), UnacceptableRequest)


class TestContentLength:
    """RFC 3261 §18.3."""

    def test_body_is_cut_when_the_datagram_is_longer(self) -> None:
        assert parse_request(OPTIONS + b" and more").body == b"hello"

    def test_body_is_the_rest_when_there_is_no_length(self) -> None:
        assert parse_request(request(changed={"Content-Length": None}, body=b"hello")).body == b"hello"

    def test_request_is_answered_with_400_when_the_datagram_is_shorter(self) -> None:
        error = answerable(OPTIONS[:-1])
        assert error.status_hint == 400
        assert "shorter" in str(error)

    def test_response_is_refused_when_the_datagram_is_shorter(self) -> None:
        refused(ANSWER.replace(b"Content-Length: 0", b"Content-Length: 1"))

    def test_length_may_be_repeated_when_it_is_the_same(self) -> None:
        assert parse_request(request(changed={"l": "2"}, body=b"hi")).body == b"hi"

    def test_request_is_refused_when_two_lengths_differ(self) -> None:
        assert "repeated" in str(answerable(request(changed={"l": "1"}, body=b"hi")))

    def test_length_is_not_read_again_when_the_stream_parser_has_cut(self) -> None:
        data = request(changed={"Content-Length": "99"}, body=b"hi")
        assert parse_message(data, framed=True).body == b"hi"


class TestLimits:
    """What a message may not exceed."""

    def test_message_is_parsed_when_as_long_as_allowed(self) -> None:
        head = len(request(changed={"Content-Length": None}))
        data = request(changed={"Content-Length": None}, body=b"x" * (SIZE_LIMIT - head))
        assert len(data) == SIZE_LIMIT == 64 * 1024
        assert parse_message(data)

    def test_message_is_refused_with_513_when_one_byte_longer(self) -> None:
        error = answerable(request(body=b"x" * SIZE_LIMIT))
        assert (error.status_hint, error.request.method, error.request.via.branch) == (513, "INVITE", "z9hG4bKa1")

    def test_message_is_parsed_when_it_has_as_many_headers_as_allowed(self) -> None:
        lines = [f"{name}: {value}" for name, value in request_lines().items()]
        lines += ["X: y"] * (HEADER_LIMIT - len(lines))
        assert len(lines) == HEADER_LIMIT == 256
        assert parse_message(message("INVITE sip:a@b SIP/2.0", lines))
        assert answerable(message("INVITE sip:a@b SIP/2.0", [*lines, "X: y"])).status_hint == 513

    @pytest.mark.parametrize("data", [b"", b"\r\n", b"\r\n\r\n", b"x", b"INVITE sip:a@b SIP/2.0\r\nVia: x\r\n"])
    def test_message_is_refused_when_its_head_is_empty_or_does_not_end(self, data: bytes) -> None:
        refused(data)


class TestCutMessage:
    """RFC 3261 §18.3, §21.5.7: a message that is not read to its end."""

    def test_request_is_found_when_its_headers_are_cut(self) -> None:
        error = unacceptable(request()[:-30] + b"\r\nFrom: cu", ParseError("cut", 513))
        assert isinstance(error, UnacceptableRequest)
        assert (error.status_hint, str(error), error.request.method) == (513, "cut", "INVITE")

    def test_other_fault_is_told_when_the_request_line_has_one(self) -> None:
        data = request().replace(b" SIP/2.0\r\n", b" SIP/9.0\r\n", 1)
        assert unacceptable(data, ParseError("cut", 513)).status_hint == 505

    @pytest.mark.parametrize(
        "data", [b"", b"x", b"INVITE sip:a SIP/2.0\r\n\r\n", b"INVITE sip:a SIP/2.0\r\nVia: x\r\nX", ANSWER]
    )
    def test_fault_stays_as_it_is_when_there_is_no_request(self, data: bytes) -> None:
        fault = ParseError("cut", 513)
        assert unacceptable(data, fault) is fault


class TestAnswer:
    """RFC 3261 §8.2.6.2."""

    def test_answer_copies_what_names_the_request(self) -> None:
        asked = parse_request(request(changed={"v": "SIP/2.0/UDP second;branch=z9hG4bK2"}))
        answer = parse_response(Response.to(asked, 404, "us1").to_bytes())
        assert answer.headers["via"] == asked.headers["via"]
        assert len(answer.headers["via"]) == 2
        assert answer.headers["from"] == asked.headers["from"]
        assert answer.headers["to"] == ["<sip:bob@192.0.2.1>;tag=us1"]
        assert (answer.status, answer.reason) == (404, "Not Found")
        assert (answer.call_id, answer.cseq, answer.method) == ("call-1", 1, "INVITE")

    def test_answer_adds_no_tag_when_the_request_has_one(self) -> None:
        asked = parse_request(request("BYE", to_tag="old"))
        assert parse_response(Response.to(asked, 200, "new").to_bytes()).to_tag == "old"

    def test_answer_has_no_tag_when_none_is_given(self) -> None:
        assert Response.to(parse_request(request()), 100).headers["to"] == ["<sip:bob@192.0.2.1>"]

    def test_answer_carries_its_body(self) -> None:
        data = Response.to(parse_request(request()), 200, "us1", b"v=0\r\n").to_bytes()
        assert data.endswith(b"\r\nContent-Length: 5\r\n\r\nv=0\r\n")


class TestRecordRoute:
    """RFC 3261 §12.1.1: an answer that makes a dialog copies Record-Route."""

    @pytest.mark.parametrize("status", [180, 183, 200, 202])
    def test_answer_has_the_route_when_it_makes_a_dialog(self, status: int) -> None:
        routes = "<sip:p1;lr>, <sip:p2;lr>"
        asked = parse_request(request(changed={"Record-Route": routes}))
        assert Response.to(asked, status, "us1").headers["record-route"] == [routes]

    @pytest.mark.parametrize("status", [100, 302, 404, 486, 503])
    def test_answer_has_no_route_when_it_makes_no_dialog(self, status: int) -> None:
        asked = parse_request(request(changed={"Record-Route": "<sip:p1;lr>"}))
        assert "record-route" not in Response.to(asked, status, "us1").headers


class TestWriting:
    """RFC 3261 §7: messages as they leave."""

    def test_request_is_written(self) -> None:
        headers = Headers({"via": ["SIP/2.0/UDP h", "SIP/2.0/UDP i"], "call-id": ["x"], "cseq": ["1 MESSAGE"]})
        assert Request("MESSAGE", "sip:a@b", headers, b"hi").to_bytes() == (
            b"MESSAGE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h\r\nVia: SIP/2.0/UDP i\r\nCall-ID: x\r\n"
            b"CSeq: 1 MESSAGE\r\nContent-Length: 2\r\n\r\nhi"
        )

    def test_response_is_written(self) -> None:
        data = Response(180, "Ringing", Headers({"from": ["<sip:a@b>"]})).to_bytes()
        assert data == b"SIP/2.0 180 Ringing\r\nFrom: <sip:a@b>\r\nContent-Length: 0\r\n\r\n"

    @pytest.mark.parametrize("data", [OPTIONS, ANSWER, request(branch="", from_tag="")])
    def test_message_is_the_same_when_written_and_parsed_again(self, data: bytes) -> None:
        first = parse_message(data)
        second = parse_message(first.to_bytes())
        assert (second.headers, second.body) == (first.headers, first.body)
        assert second.to_bytes() == first.to_bytes()

    def test_message_needs_no_more_than_headers_and_body(self) -> None:
        assert Message(Headers()).body == b""
        assert our_request().headers.first("call-id") == "call-2"


class TestRobustness:
    """Nothing but ParseError comes out of the parser, and what it accepts can be sent on."""

    @settings(max_examples=300, deadline=None)
    @given(st.binary(max_size=300) | mutations(OPTIONS) | mutations(ANSWER), st.booleans())
    def test_message_raises_only_parse_errors_when_given_any_bytes(self, data: bytes, framed: bool) -> None:
        try:
            parsed = parse_message(data, framed=framed)
        except ParseError:
            return
        head = parsed.to_bytes()[: -len(parsed.body) or None]
        assert head.count(b"\0") == head.count(b"\\\0")
        assert head.count(b"\r\n") == head.count(b"\r") == head.count(b"\n")
        assert parse_message(parsed.to_bytes()).headers == parsed.headers

    @settings(deadline=None)
    @given(st.binary(max_size=300).map(lambda data: data + b"\r\n\r\n") | mutations(OPTIONS))
    def test_head_raises_only_parse_errors_when_given_any_bytes(self, data: bytes) -> None:
        with contextlib.suppress(ParseError):
            split_head(data)
