"""The torture tests of RFC 4475 and RFC 5118: every message, at the transaction layer and at the parsers below it.

What the tables of tests/data/torture/README.md say of a message is what happens. What falls to the user agent above the
layer (415, 420, 406 and the registrar's 400) is in tests/b2bua/call/test_torture.py.
"""

import hashlib
import re
from pathlib import Path

import pytest

from b2bua.registrar.bindings import read_registration
from b2bua.sip.address import Address
from b2bua.sip.dialog import contact_uri
from b2bua.sip.digest import Credentials
from b2bua.sip.errors import ParseError
from b2bua.sip.events import RequestReceived
from b2bua.sip.flow import Flow
from b2bua.sip.grammar import split_outside_quotes
from b2bua.sip.message import Request, Response, UnacceptableRequest, parse_message
from b2bua.sip.multipart import find_body
from b2bua.sip.stream import StreamBroken, StreamParser
from b2bua.sip.uri import URI
from b2bua.sip.via import Via
from tests.support.sip import UDP, Switch, parse_request, parse_response

DIRECTORY = Path(__file__).parents[2] / "data/torture"
FILES = {path.stem: path for path in sorted(DIRECTORY.glob("*valid/*.dat"))}
ROW = re.compile(r"^\| (\S+) \| (\d\S*) \| [^|]+ \| (\S+) \|$", re.MULTILINE)
OUTCOMES = {name: outcome for name, _, outcome in ROW.findall((DIRECTORY / "README.md").read_text("utf-8"))}
RESPONSES = {"unreason", "noreason", "scalarlg", "bigcode", "bcast"}


def torture(name: str) -> bytes:
    """A message of the set."""
    return FILES[name].read_bytes()


def request(name: str) -> Request:
    """A request of the set, which must be well-formed."""
    return parse_request(torture(name))


def header(name: str, field: str) -> list[str]:
    """The values of a header, as they are kept."""
    return request(name).headers[field]


class TestFiles:
    def test_every_message_is_in_a_table(self) -> None:
        assert set(FILES) == set(OUTCOMES)
        assert len(FILES) == 49 + 12

    def test_files_are_as_they_were_written(self) -> None:
        sums = dict(line.split("  ", 1)[::-1] for line in (DIRECTORY / "SHA256SUMS").read_text("utf-8").splitlines())
        found = {
            str(path.relative_to(DIRECTORY)): hashlib.sha256(path.read_bytes()).hexdigest() for path in FILES.values()
        }
        assert found == sums

    def test_well_formed_messages_are_accepted_but_for_unknown_schemes(self) -> None:
        refused = {name for name, path in FILES.items() if path.parent.name == "valid" and OUTCOMES[name] != "accepted"}
        assert refused == {"unkscm", "novelsc"}


@pytest.mark.parametrize("name", [name for name in OUTCOMES if name not in RESPONSES])
def test_request_is_passed_on_or_answered_as_the_documents_say(name: str) -> None:
    switch = Switch()
    switch.receive(torture(name), Flow("udp", "192.0.2.99", 5060))
    events, sent = switch.take_events(), switch.take_sent()
    if OUTCOMES[name] == "accepted":
        (event,) = events
        assert isinstance(event, RequestReceived)
        assert sent == []
        switch.answer(event.transaction, 404)
        (answer,) = switch.take_sent()
        assert parse_response(answer.data).status == 404
    else:
        assert events == []
        (answer,) = sent
        assert answer.first_line.startswith(f"SIP/2.0 {OUTCOMES[name]} ")
        assert answer.flow.host == "192.0.2.99"


@pytest.mark.parametrize("name", [name for name in OUTCOMES if OUTCOMES[name] == "accepted" and name not in RESPONSES])
def test_accepted_request_is_the_same_when_written_and_read_again(name: str) -> None:
    first = request(name)
    second = parse_request(first.to_bytes())
    assert (second.method, second.uri, second.headers) == (first.method, first.uri, first.headers)
    assert second.body == first.body


@pytest.mark.parametrize("name", sorted(RESPONSES))
def test_response_of_nobody_is_dropped(name: str) -> None:
    switch = Switch()
    switch.receive(torture(name))
    assert (switch.take_events(), switch.take_sent()) == ([], [])


class TestWellFormed:
    """RFC 4475 §3.1.1: accepted, and what they say is understood."""

    def test_wsinv(self) -> None:
        parsed = request("wsinv")
        assert (parsed.method, parsed.uri) == ("INVITE", "sip:vivekg@chair-dnrc.example.com;unknownparam")
        assert (parsed.to_tag, parsed.from_tag, parsed.cseq) == ("1918181833n", "98asjd8", 9)
        assert Address.parse(parsed.headers["from"][0]).display_name == 'J Rosenberg \\"'
        assert parsed.headers["max-forwards"] == ["0068"]
        assert [str(Via.parse(value)) for value in parsed.headers["via"]] == [
            "SIP/2.0/UDP 192.0.2.2;branch=390skdjuw",
            "SIP/2.0/TCP spindle.example.com;branch=z9hG4bK9ikj8",
            "SIP/2.0/UDP 192.168.255.111;branch=z9hG4bK30239",
        ]
        assert parsed.headers["subject"] == [""]
        assert parsed.headers["newfangledheader"] == ["newfangled value continued newfangled value"]
        assert parsed.headers["unknownheaderwithunusualvalue"] == [";;,,;;,;"]
        assert parsed.headers["route"] == ["<sip:services.example.com;lr;unknownwith=value;unknown-no-value>"]
        contact = Address.parse(parsed.headers["contact"][0])
        assert contact.display_name == 'Quoted string ""'
        assert contact.parameters == {"newparam": "newvalue", "secondparam": None, "q": "0.33"}
        assert len(parsed.body) == 150

    def test_intmeth(self) -> None:
        parsed = request("intmeth")
        assert parsed.method == "!interesting-Method0123456789_*+`.%indeed'~"
        uri = URI.parse(parsed.uri)
        assert (uri.host, uri.parameters) == ("example.com", {})
        assert uri.user == "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d_too.(doesn't-it)"
        assert Address.parse(parsed.headers["to"][0]).display_name == "BEL:\x07 NUL:\0 DEL:\x7f"
        sender = Address.parse(parsed.headers["from"][0])
        assert sender.display_name == "token1~` token2'+_ token3*%!.-"
        assert sender.parameters["fromparam''~+*_!.-%"] == '"работающий"'
        assert parsed.from_tag == "_token~1'+`*%!-."
        assert parsed.call_id == "intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{"
        assert parsed.headers["extensionheader-!.%*+_`'~"] == ["\ufeff大停電"]
        assert parsed.via.branch == "z9hG4bK-.!%66*_+`'~"

    def test_esc01(self) -> None:
        parsed = request("esc01")
        assert URI.parse(parsed.uri).number == "sips:user@example.com"
        assert URI.parse(parsed.headers["to"][0]).number == "user"
        assert Address.parse(parsed.headers["from"][0]).uri.number == "I have spaces"
        assert contact_uri(parsed) == "sip:cal%6Cer@host5.example.net;%6C%72;n%61me=v%61lue%25%34%31"

    def test_escnull(self) -> None:
        parsed = request("escnull")
        assert parsed.headers["contact"] == ["<sip:%00@host5.example.com>", "<sip:%00%00@host5.example.com>"]
        assert URI.parse(parsed.headers["to"][0]).number == "null-%00-null"

    def test_esc02(self) -> None:
        parsed = request("esc02")
        assert parsed.method == "RE%47IST%45R"
        assert Address.parse(parsed.headers["to"][0]).display_name == "%Z%45"
        assert len(parsed.headers["contact"]) == 2
        assert parsed.headers["c%6fntact"] == ["<sip:alias2@host2.example.com>"]

    def test_lwsdisp(self) -> None:
        assert Address.parse(header("lwsdisp", "from")[0]).display_name == "caller"

    def test_longreq(self) -> None:
        parsed = request("longreq")
        assert len(parsed.headers["via"]) == 34
        assert Address.parse(parsed.headers["to"][0]).uri.port == 6000
        assert parsed.from_tag == "12" + "982" * 50 + "424"
        assert len(parsed.body) == 150

    def test_dblreq(self) -> None:
        parsed = request("dblreq")
        assert (parsed.method, parsed.body) == ("REGISTER", b"")

    def test_semiuri(self) -> None:
        uri = URI.parse(request("semiuri").uri)
        assert (uri.user, uri.parameters) == ("user;par=u%40example.net", {})
        assert len(split_outside_quotes(header("semiuri", "accept")[0], ",")) == 6

    def test_transports(self) -> None:
        transports = [Via.parse(value).transport for value in header("transports", "via")]
        assert transports == ["UDP", "SCTP", "TLS", "UNKNOWN", "TCP"]

    def test_mpart01(self) -> None:
        parsed = request("mpart01")
        content_type = parsed.headers.first("content-type")
        assert find_body(content_type, parsed.body, "text/plain") == b"Hello"
        binary = find_body(content_type, parsed.body, "application/octet-stream")
        assert binary is not None
        assert (len(binary), binary[:4].hex()) == (342, "30820152")
        assert find_body(content_type, parsed.body, "application/sdp") is None

    def test_unreason(self) -> None:
        parsed = parse_message(torture("unreason"))
        assert isinstance(parsed, Response)
        assert parsed.reason == "= 2**3 * 5**2 но сто девяносто девять - простое"

    def test_noreason(self) -> None:
        parsed = parse_message(torture("noreason"))
        assert isinstance(parsed, Response)
        assert (parsed.status, parsed.reason) == (100, "")


class TestForgiven:
    """RFC 4475 §3.1.2: ill-formed, and left to the receiver to forgive."""

    def test_headers_are_no_part_of_the_target_when_the_request_uri_has_them(self) -> None:
        uri = URI.parse(request("escruri").uri)
        assert (uri.user, uri.host, uri.headers) == ("user", "example.com", "Route=%3Csip:example.com%3E")

    def test_blanks_in_brackets_are_no_part_of_the_uri(self) -> None:
        address = Address.parse(header("badaspec", "to")[0])
        assert (address.display_name, str(address.uri)) == ("Watson, Thomas", "sip:t.watson@example.org")

    def test_comma_in_a_bare_name_is_a_part_of_it(self) -> None:
        address = Address.parse(header("baddn", "from")[0])
        assert (address.display_name, address.tag) == ("Bell, Alexander", "43")

    def test_date_is_not_read(self) -> None:
        assert header("baddate", "date") == ["Fri, 01 Jan 2010 16:00:00 EST"]


class TestAnswers:
    """What the 400 of a request looks like that is not all there."""

    def test_answer_lacks_what_the_request_lacks(self) -> None:
        switch = Switch()
        switch.receive(torture("insuf"))
        (sent,) = switch.take_sent()
        assert sent.data.decode().split("\r\n") == [
            "SIP/2.0 400 Bad Request - From is missing",
            "Via: SIP/2.0/UDP 192.0.2.95;branch=z9hG4bKkdj.insuf;received=198.51.100.7",
            "CSeq: 193942 INVITE",
            "Content-Length: 0",
            "",
            "",
        ]

    def test_answer_has_once_what_the_request_has_twice(self) -> None:
        switch = Switch()
        switch.receive(torture("multi01"))
        (sent,) = switch.take_sent()
        assert sent.response.call_id == "multi01.98asdh@192.0.2.1"
        assert sent.response.headers["from"] == ["sip:caller@example.com;tag=3413415"]
        assert sent.response.headers["to"] == ["sip:user@example.com;tag=own1"]

    def test_answer_has_no_via_that_is_none(self) -> None:
        switch = Switch()
        switch.receive(torture("badinv01"))
        (sent,) = switch.take_sent()
        assert sent.response.headers["via"] == ["SIP/2.0/UDP 192.0.2.15;received=198.51.100.7"]

    def test_answer_has_the_via_of_the_other_version(self) -> None:
        switch = Switch()
        switch.receive(torture("badvers"))
        (sent,) = switch.take_sent()
        assert b"\r\nVia: SIP/7.0/UDP c.example.com;branch=z9hG4bKkdjuw;received=198.51.100.7\r\n" in sent.data


class TestTransactions:
    """RFC 4475 §3.2."""

    def test_requests_are_told_apart_when_their_branch_is_the_cookie_alone(self) -> None:
        switch = Switch()
        switch.receive(torture("badbranch"))
        switch.receive(torture("badbranch"))
        switch.receive(torture("badbranch").replace(b"CSeq: 8 ", b"CSeq: 9 "))
        assert len(switch.take_events()) == 2


class TestApplication:
    """RFC 4475 §3.3: accepted by the layer, with all that the user agent needs to refuse or take them."""

    @pytest.mark.parametrize("name", ["unkscm", "novelsc"])
    def test_scheme_is_named_by_the_status(self, name: str) -> None:
        with pytest.raises(UnacceptableRequest) as caught:
            parse_message(torture(name))
        assert caught.value.status_hint == 416

    def test_bext01(self) -> None:
        assert header("bext01", "require") == ["nothingSupportsThis, nothingSupportsThisEither"]

    def test_regaut01(self) -> None:
        with pytest.raises(ParseError):
            Credentials.parse(header("regaut01", "authorization")[0])

    @pytest.mark.parametrize("name", ["unksm2", "regbadct"])
    def test_registrar_refuses_what_cannot_be_registered(self, name: str) -> None:
        with pytest.raises(ParseError):
            read_registration(request(name), UDP, UDP.host, "sip-1:1")

    @pytest.mark.parametrize(
        ("name", "contact"),
        [
            ("cparam01", "sip:+19725552222@gw1.example.net"),
            ("cparam02", "sip:+19725552222@gw1.example.net;unknownparam"),
            ("regescrt", "sip:user@example.com?Route=%3Csip:sip.example.com%3E"),
            ("ipv6-good", "sip:caller@[2001:db8::1]"),
        ],
    )
    def test_registrar_takes_the_contact(self, name: str, contact: str) -> None:
        registration = read_registration(request(name), UDP, UDP.host, "sip-1:1")
        assert [each.text for each in registration.contacts] == [contact]

    def test_inv2543(self) -> None:
        parsed = request("inv2543")
        assert (parsed.from_tag, parsed.via.branch) == ("", "")
        assert parsed.body.endswith(b"m=audio 49217 RTP/AVP 0\r\n")


class TestStream:
    """The same messages from a stream: it goes on after those that can be cut out, and ends at the others."""

    @pytest.mark.parametrize("name", [name for name in OUTCOMES if name not in {"clerr", "dblreq", "inv2543"}])
    def test_stream_goes_on_unless_the_length_is_unknown(self, name: str) -> None:
        parser = StreamParser()
        try:
            messages = parser.receive(torture(name) + torture("lwsdisp"))
        except StreamBroken:
            assert name in {"ncl", "mcl01"}
            return
        assert messages == [torture(name), torture("lwsdisp")]

    @pytest.mark.parametrize("name", ["ncl", "mcl01", "inv2543"])
    def test_request_is_answered_when_the_stream_breaks_at_it(self, name: str) -> None:
        parser, switch = StreamParser(), Switch()
        with pytest.raises(StreamBroken) as caught:
            parser.receive(torture("lwsdisp") + torture(name))
        assert caught.value.messages == [torture("lwsdisp")]
        switch.layer.refuse(caught.value, UDP, switch.now)
        ((_, data, _),) = switch.layer.take_outgoing()
        assert data.startswith(b"SIP/2.0 400 ")


class TestIPv6:
    """RFC 5118."""

    @pytest.mark.parametrize(
        ("name", "host", "port"),
        [
            ("ipv6-good", "2001:db8::10", None),
            ("port-ambiguous", "2001:db8::10:5070", None),
            ("port-unambiguous", "2001:db8::10", 5070),
            ("ipv6-bug-abnf-3-colons", "2001:db8:::192.0.2.1", None),
            ("ipv6-correct-abnf-2-colons", "2001:db8::192.0.2.1", None),
        ],
    )
    def test_brackets_tell_the_address_from_the_port(self, name: str, host: str, port: int | None) -> None:
        uri = URI.parse(request(name).uri)
        assert (uri.host, uri.port) == (host, port)

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("via-received-param-with-delim", "[2001:db8::9:255]"),
            ("via-received-param-no-delim", "2001:db8::9:255"),
        ],
    )
    def test_received_may_have_brackets_or_not(self, name: str, value: str) -> None:
        via = request(name).via
        assert (via.host, via.parameters["received"]) == ("2001:db8::9:1", value)

    def test_received_of_ours_has_no_brackets(self) -> None:
        switch = Switch()
        switch.receive(torture("ipv6-bad"), Flow("udp", "2001:db8::9:255", 5060))
        (sent,) = switch.take_sent()
        assert b";received=2001:db8::9:255\r\n" in sent.data

    def test_via_values_may_be_of_both_families(self) -> None:
        vias = [Via.parse(value) for value in header("mult-ip-in-header", "via")]
        assert [(via.host, via.port) for via in vias] == [
            ("2001:db8::9:1", 6050),
            ("192.0.2.1", None),
            ("2001:db8::9:255", None),
        ]

    def test_mapped_address_is_kept_as_it_is_written(self) -> None:
        parsed = request("ipv4-mapped-ipv6")
        assert (parsed.via.host, parsed.via.port) == ("::ffff:192.0.2.10", 19823)
        assert contact_uri(parsed) == "sip:ted@[::ffff:192.0.2.2]"

    @pytest.mark.parametrize("name", ["ipv6-in-sdp", "mult-ip-in-sdp", "ipv4-mapped-ipv6"])
    def test_session_description_is_whole(self, name: str) -> None:
        assert request(name).body.endswith(b"a=rtpmap:107 H263-1998/90000\r\n")
