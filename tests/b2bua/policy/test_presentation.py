"""What a gateway gets to know of a caller: headers that may be carried on or added."""

import pytest

from b2bua.call.forwarding import HEADER
from b2bua.policy.presentation import HEADER_LENGTH, InvalidHeaderRule, parse_added_header, parse_passed_name

MADE_ANEW = [
    "Via", "v", "Route", "Record-Route", "Contact", "m", "From", "f", "To", "CSeq", "Call-ID", "i", "Max-Forwards",
    "Authorization", "Proxy-Authorization", "WWW-Authenticate", "Content-Type", "c", "Content-Length", "l",
    "Content-Anything", "Require", "Supported", "k", "Session-Expires", "x", "P-Asserted-Identity", "Remote-Party-ID",
    "Privacy", "Diversion", "Replaces", HEADER,
]  # fmt: skip


class TestPassed:
    @pytest.mark.parametrize(
        ("text", "name"),
        [("X-Trunk", "x-trunk"), (" Subject ", "subject"), ("s", "subject"), ("USER-AGENT", "user-agent")],
    )
    def test_name_is_the_canonical_one(self, text: str, name: str) -> None:
        assert parse_passed_name(text) == name

    @pytest.mark.parametrize("text", [*MADE_ANEW, "P-Preferred-Identity", "", " ", "X Trunk", "X:", "X\r\nY", "Ü"])
    def test_name_is_refused_when_it_is_none_or_made_anew_on_each_leg(self, text: str) -> None:
        with pytest.raises(InvalidHeaderRule):
            parse_passed_name(text)


class TestAdded:
    @pytest.mark.parametrize(
        ("line", "parsed"),
        [
            ("X-Trunk: 7", ("x-trunk", "7")),
            ("x-trunk:7", ("x-trunk", "7")),
            ("X-Trunk :  a: b ", ("x-trunk", "a: b")),
            ("P-Preferred-Identity: <sip:1@x>", ("p-preferred-identity", "<sip:1@x>")),
            ("Subject: Grüße", ("subject", "Grüße")),
        ],
    )
    def test_line_is_split(self, line: str, parsed: tuple[str, str]) -> None:
        assert parse_added_header(line) == parsed

    @pytest.mark.parametrize("name", MADE_ANEW)
    def test_line_is_refused_when_its_header_is_made_anew_on_each_leg(self, name: str) -> None:
        with pytest.raises(InvalidHeaderRule, match="made anew"):
            parse_added_header(f"{name}: 1")

    @pytest.mark.parametrize(
        "line",
        ["", "X-Trunk", "X-Trunk:", "X-Trunk: ", ": 7", "X Trunk: 7", "X-A: 1\r\nVia: 2", "X-A: 1\n", "X-A: \0",
         "X-A: 1\x85", "X-A\r\nVia: 2", "X-A: \udcff", f"X-A: {'1' * (HEADER_LENGTH + 1)}"],
    )  # fmt: skip
    def test_line_is_refused_when_it_is_no_header(self, line: str) -> None:
        with pytest.raises(InvalidHeaderRule):
            parse_added_header(line)
