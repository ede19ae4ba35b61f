"""Who a gateway is told that calls (docs/behaviour.md §4; RFC 3323, RFC 3325, RFC 5806)."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from b2bua.call.caller_identity import ANONYMOUS, DIVERSIONS_LIMIT, present
from b2bua.policy.presentation import PLAIN, Presentation
from b2bua.sip.address import Address
from b2bua.sip.headers import Headers

NUMBER, HOST = "441234567890", "192.0.2.1:5060"
PAI, RPID = Presentation("pai"), Presentation("rpid")
OURS = replace(PLAIN, from_user="4930900", from_domain="carrier.example")


class TestFrom:
    def test_number_and_our_address_are_shown(self) -> None:
        identity = present(NUMBER, HOST)
        assert identity.caller == f"<sip:{NUMBER}@{HOST}>"
        assert identity.headers == {}

    @pytest.mark.parametrize("number", ["", "anonymous", "a b;c@d", "+49"])
    def test_value_can_be_read_whatever_the_number_is(self, number: str) -> None:
        assert Address.parse(present(number, HOST).caller).uri.number == number

    def test_user_and_domain_are_those_of_the_gateway(self) -> None:
        assert present(NUMBER, HOST, rules=OURS).caller == "<sip:4930900@carrier.example>"
        assert present(NUMBER, HOST, rules=replace(OURS, from_user="")).caller == f"<sip:{NUMBER}@carrier.example>"
        assert present(NUMBER, HOST, rules=replace(OURS, from_domain="")).caller == f"<sip:4930900@{HOST}>"

    @pytest.mark.parametrize("rules", [PLAIN, PAI, RPID, OURS])
    def test_caller_is_anonymous_when_it_wants_privacy(self, rules: Presentation) -> None:
        identity = present(NUMBER, HOST, privacy="id", rules=rules)
        assert identity.caller == ANONYMOUS
        assert identity.headers["privacy"] == ["id"]


class TestIdentity:
    def test_number_is_asserted_when_the_gateway_wants_that(self) -> None:
        assert present(NUMBER, HOST, rules=PAI).headers == {"p-asserted-identity": [f"<sip:{NUMBER}@{HOST}>"]}

    def test_number_is_in_the_older_header_when_the_gateway_wants_that(self) -> None:
        value = f"<sip:{NUMBER}@{HOST}>;party=calling;screen=yes;privacy=off"
        assert present(NUMBER, HOST, rules=RPID).headers == {"remote-party-id": [value]}

    def test_number_is_the_callers_when_from_is_not(self) -> None:
        headers = present(NUMBER, HOST, rules=replace(OURS, identity="pai")).headers
        assert headers["p-asserted-identity"] == [f"<sip:{NUMBER}@carrier.example>"]

    def test_asserted_number_is_hidden_when_the_caller_wants_privacy(self) -> None:
        headers = present(NUMBER, HOST, privacy="id;critical", rules=PAI).headers
        assert headers["p-asserted-identity"] == [f"<sip:{NUMBER}@{HOST}>"]
        assert headers["privacy"] == ["id;critical"]
        assert "privacy=full" in present(NUMBER, HOST, privacy="id", rules=RPID).headers["remote-party-id"][0]

    def test_next_network_is_told_to_hide_it_when_another_privacy_was_asked_for(self) -> None:
        # RFC 3325 §9.3
        assert present(NUMBER, HOST, privacy="user;header", rules=PAI).headers["privacy"] == ["user;header;id"]
        assert present(NUMBER, HOST, privacy="user;header").headers["privacy"] == ["user;header"]

    def test_number_is_nowhere_when_the_gateway_is_told_none_and_the_caller_wants_privacy(self) -> None:
        identity = present(NUMBER, HOST, privacy="id", rules=OURS)
        assert NUMBER not in f"{identity.caller}{identity.headers}"

    @pytest.mark.parametrize("number", ["", "anonymous", "Anonymous", "unavailable"])
    @pytest.mark.parametrize("rules", [PAI, RPID])
    def test_nothing_is_asserted_when_there_is_no_number(self, number: str, rules: Presentation) -> None:
        assert present(number, HOST, rules=rules).headers == {}


class TestDiversion:
    """RFC 5806."""

    RULES = replace(PLAIN, passes_diversion=True)

    def passed(self, *values: str, rules: Presentation = RULES) -> list[str]:
        return present(NUMBER, HOST, rules=rules, received=Headers({"diversion": list(values)})).headers.get(
            "diversion", []
        )

    def test_diversion_is_dropped_unless_the_gateway_says_otherwise(self) -> None:
        assert self.passed("<sip:1@10.0.0.1>", rules=PLAIN) == []

    def test_number_and_parameters_go_along_without_name_and_network(self) -> None:
        value = '"Bob" <sip:4420@10.0.0.1;user=phone>;reason=user-busy;counter=1;privacy=full'
        assert self.passed(value) == [f"<sip:4420@{HOST}>;reason=user-busy;counter=1;privacy=full"]

    def test_order_is_kept(self) -> None:
        assert self.passed("<sip:1@a>;reason=x, <tel:+2>", "sip:3@c;reason=y") == [
            f"<sip:1@{HOST}>;reason=x", "<tel:+2>", f"<sip:3@{HOST}>;reason=y",
        ]  # fmt: skip

    @pytest.mark.parametrize("value", ["", "<<<", '"', "<sip:example.org>", "<http://x>"])
    def test_value_is_left_out_when_it_cannot_be_read(self, value: str) -> None:
        assert self.passed(value, "<sip:1@a>") == [f"<sip:1@{HOST}>"]
        assert self.passed(value) == []

    def test_values_are_limited(self) -> None:
        assert len(self.passed(", ".join(["<sip:1@a>"] * 50))) == DIVERSIONS_LIMIT

    @given(st.text())
    def test_any_value_is_survived(self, value: str) -> None:
        self.passed(value)


class TestHeaders:
    def test_only_headers_of_the_list_go_along(self) -> None:
        received = Headers({"x-a": ["1", "2"], "x-b": ["3"], "x-c": ["4"]})
        rules = replace(PLAIN, passed=("x-a", "x-c", "x-d"))
        assert present(NUMBER, HOST, rules=rules, received=received).headers == {"x-a": ["1", "2"], "x-c": ["4"]}
        assert present(NUMBER, HOST, received=received).headers == {}
        assert present(NUMBER, HOST, rules=rules).headers == {}

    def test_headers_of_the_gateway_are_added(self) -> None:
        rules = replace(PLAIN, added=(("x-a", "1"), ("x-b", "2"), ("x-a", "3")))
        assert present(NUMBER, HOST, rules=rules).headers == {"x-a": ["1", "3"], "x-b": ["2"]}

    def test_caller_cannot_say_what_the_gateway_is_told(self) -> None:
        rules = replace(PLAIN, passed=("x-a",), added=(("x-a", "ours"),))
        assert present(NUMBER, HOST, rules=rules, received=Headers({"x-a": ["theirs"]})).headers == {"x-a": ["ours"]}
