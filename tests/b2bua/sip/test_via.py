"""Via."""

import contextlib

import pytest
from hypothesis import given, settings

from b2bua.sip.errors import ParseError
from b2bua.sip.via import Via
from tests.support.sip import vias, wire_text


class TestVia:
    """RFC 3261 §20.42."""

    def test_via_is_taken_apart(self) -> None:
        via = Via.parse("SIP/2.0/UDP 192.0.2.9:5062;rport;branch=z9hG4bKabc;received=192.0.2.1")
        assert (via.transport, via.host, via.port, via.branch) == ("UDP", "192.0.2.9", 5062, "z9hG4bKabc")
        assert via.parameters["rport"] is None

    def test_version_is_kept_when_it_is_another(self) -> None:
        # RFC 4475 §3.1.2.16: so that the answer goes back with it.
        via = Via.parse("SIP/7.0/UDP h;branch=z9hG4bKx")
        assert (via.version, via.transport, str(via)) == ("7.0", "UDP", "SIP/7.0/UDP h;branch=z9hG4bKx")

    def test_port_is_none_when_not_written(self) -> None:
        assert Via.parse("SIP/2.0/TLS example.com").port is None

    def test_transport_is_in_upper_case(self) -> None:
        assert Via.parse("sip/2.0/tcp h").transport == "TCP"

    def test_host_has_no_brackets_when_ipv6(self) -> None:
        via = Via.parse("SIP/2.0/UDP [2001:db8::9:1]:5062;branch=z9hG4bKas3-111")
        assert (via.host, via.port) == ("2001:db8::9:1", 5062)

    @pytest.mark.parametrize("text", ["SIP/2.0/UDP h", "SIP/2.0/UDP h;branch", "SIP/2.0/UDP h;branch="])
    def test_branch_is_empty_when_there_is_none(self, text: str) -> None:
        assert Via.parse(text).branch == ""

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "UDP h",
            "SIP/2/UDP h",
            "SIP/2.0/UDP a b",
            "HTTP/1.1/TCP h",
            "SIP/2.0/UDP",
            "SIP/2.0/UDP ;branch=x",
            "SIP/2.0/ h",
            "SIP/2.0 h",
            "/ / /",
            "SIP/2.0/UDP h:99999",
            "SIP/2.0/UDP h:",
            "SIP/2.0/UDP a@b",
            "SIP/2.0/UDP h;=x",
        ],
    )
    def test_via_is_refused_when_malformed(self, text: str) -> None:
        with pytest.raises(ParseError):
            Via.parse(text)

    @settings(max_examples=300, deadline=None)
    @given(vias)
    def test_via_comes_back_when_written(self, via: Via) -> None:
        assert Via.parse(str(via)) == via

    @settings(max_examples=300, deadline=None)
    @given(
        wire_text | wire_text.map(lambda text: f"SIP/2.0/{text}") | wire_text.map(lambda text: f"SIP/2.0/UDP {text}")
    )
    def test_via_raises_only_parse_errors_when_given_any_text(self, text: str) -> None:
        with contextlib.suppress(ParseError):
            Via.parse(text)


class TestBlanks:
    """RFC 4475 §3.1.1.1: blanks wherever the grammar has SLASH, COLON or LWS."""

    @pytest.mark.parametrize(
        "text",
        [
            "SIP/2.0/UDP  192.0.2.2:5060;branch=390",
            "SIP/2.0/UDP\t192.0.2.2:5060;branch=390",
            "SIP / 2.0 / UDP 192.0.2.2:5060;branch=390",
            "SIP  / 2.0  /UDP 192.0.2.2:5060 ; branch = 390",
            "SIP/2.0/ UDP 192.0.2.2 : 5060;branch=390",
            "  SIP/2.0/UDP 192.0.2.2: 5060  ;branch=390",
            "SIP\t/\t2.0\t/\tUDP\t192.0.2.2\t:\t5060;branch=390",
        ],
    )
    def test_via_is_the_same_when_blanks_are_added(self, text: str) -> None:
        assert Via.parse(text) == Via("UDP", "192.0.2.2", 5060, {"branch": "390"})


class TestSentBy:
    """RFC 3261 §17.2.3: sent-by is a part of the transaction's key."""

    def test_sent_by_is_the_same_when_the_case_or_the_usual_port_differs(self) -> None:
        assert Via.parse("SIP/2.0/UDP Example.COM").sent_by == Via.parse("SIP/2.0/UDP example.com:5060").sent_by

    def test_sent_by_differs_when_the_port_does(self) -> None:
        assert Via.parse("SIP/2.0/UDP h:5061").sent_by != Via.parse("SIP/2.0/UDP h").sent_by
