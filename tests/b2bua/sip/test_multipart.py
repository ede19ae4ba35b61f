"""Bodies of several parts."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from b2bua.sip.message import Request
from b2bua.sip.multipart import (
    BOUNDARY_LIMIT,
    NESTING_LIMIT,
    PART_LIMIT,
    find_body,
    media_type,
    settle_body,
    take_session,
)
from tests.support.sip import mutations, parse_request, request, wire_text

SDP = b"v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\n"
OTHER = b"v=0\r\no=- 2 2 IN IP4 192.0.2.9\r\ns=-\r\n"
MIXED = "multipart/mixed;boundary=b"


def part(body: bytes, content_type: str | None = "application/sdp", **more: str) -> bytes:
    """A part: header lines, an empty line, the body."""
    lines = [] if content_type is None else [f"Content-Type: {content_type}"]
    lines += [f"Content-{name.capitalize().replace('_', '-')}: {value}" for name, value in more.items()]
    return "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n" + body


def parts(*each: bytes, boundary: str = "b", end: bytes = b"--\r\n") -> bytes:
    """A body of these parts."""
    delimiter = b"--" + boundary.encode()
    return b"".join(delimiter + b"\r\n" + one + b"\r\n" for one in each) + delimiter + end


def found(body: bytes, content_type: str = MIXED) -> bytes | None:
    """The session description in it."""
    return find_body(content_type, body, "application/sdp")


class TestType:
    @pytest.mark.parametrize(
        "content_type",
        ["application/sdp", "Application/SDP;charset=utf-8", " application / sdp ;x", "application/sdp "],
    )
    def test_body_is_the_message_s_when_that_is_of_the_type(self, content_type: str) -> None:
        assert media_type(content_type) == "application/sdp"
        assert found(SDP, content_type) == SDP

    @pytest.mark.parametrize(
        "content_type", ["", "text/plain", "application/sdpx", "multipart/mixed", "multipart/;;=", '"']
    )
    def test_nothing_is_found_when_it_is_of_another(self, content_type: str) -> None:
        assert found(SDP, content_type) is None


class TestParts:
    """RFC 2046 §5.1.1."""

    @pytest.mark.parametrize(
        "content_type",
        ["multipart/mixed;boundary=b", 'MULTIPART/Mixed ; Boundary = "b"', "multipart/report; x=y; boundary=b"],
    )
    def test_part_is_found_among_others(self, content_type: str) -> None:
        assert (
            found(parts(part(b"hi", "text/plain"), part(SDP), part(b"\0\1", "application/isup")), content_type) == SDP
        )

    def test_boundary_may_hold_what_needs_quotes(self) -> None:
        assert found(parts(part(SDP), boundary="a b;c=:/?,'"), 'multipart/mixed;boundary="a b;c=:/?,\'"') == SDP

    def test_preamble_and_epilogue_are_passed_over(self) -> None:
        body = b"This is MIME.\r\n--bad\r\n\r\n" + parts(part(b"x", "text/plain")) + parts(part(SDP))
        assert found(body) is None
        assert found(b"preamble\r\n" + parts(part(SDP)) + b"epilogue") == SDP

    def test_blanks_may_follow_the_boundary(self) -> None:
        assert found(parts(part(SDP)).replace(b"--b\r\n", b"--b \t\r\n")) == SDP

    def test_lines_may_end_with_lf_alone(self) -> None:
        assert found(parts(part(b"x", "text/plain"), part(SDP)).replace(b"\r\n", b"\n")) == SDP.replace(b"\r\n", b"\n")

    @pytest.mark.parametrize("end", [b"--", b"--  ", b"\r\n"])
    def test_last_delimiter_may_be_cut(self, end: bytes) -> None:
        assert found(parts(part(SDP), end=end)) == SDP

    def test_part_reaches_to_the_end_when_the_last_delimiter_is_missing(self) -> None:
        assert found(b"--b\r\n" + part(SDP)) == SDP

    def test_longer_boundary_is_no_delimiter(self) -> None:
        body = part(b"one\r\n--bb\r\n--b-\r\n--b--c\r\ntwo")
        assert found(parts(body)) == b"one\r\n--bb\r\n--b-\r\n--b--c\r\ntwo"

    def test_part_without_headers_is_text(self) -> None:
        assert found(parts(part(SDP, None))) is None
        assert find_body(MIXED, parts(part(b"hello", None)), "text/plain") == b"hello"
        assert find_body(MIXED, parts(part(b"hello", None, id="x")), "text/plain") == b"hello"

    @pytest.mark.parametrize(
        "body", [b"", b"--b", b"--b\r\n--b\r\n--b--", b"--b\r\nContent-Type: application/sdp", b"--c--"]
    )
    def test_nothing_is_found_when_there_is_no_part(self, body: bytes) -> None:
        assert not found(body)

    def test_headers_may_be_folded_and_malformed(self) -> None:
        assert (
            found(parts(b"nonsense\r\nCONTENT-TYPE :\r\n\tapplication/sdp\r\nContent-Type: x/y\r\n\r\n" + SDP)) == SDP
        )

    def test_compact_form_is_known(self) -> None:
        assert found(parts(b"c: application/sdp\r\n\r\n" + SDP)) == SDP


class TestNesting:
    """RFC 5621 §3, RFC 2046 §5.1.4, RFC 2387 §3.2."""

    def test_part_is_found_in_another_multipart(self) -> None:
        inner = parts(part(b"x", "text/plain"), part(SDP), boundary="b-inner")
        assert found(parts(part(inner, "multipart/mixed;boundary=b-inner"))) == SDP

    def test_last_of_the_alternatives_counts(self) -> None:
        body = parts(part(SDP), part(OTHER), part(b"x", "text/html"))
        assert found(body, "multipart/alternative;boundary=b") == OTHER
        assert found(body) == SDP

    def test_root_counts_when_parts_are_related(self) -> None:
        body = parts(part(b"x", "text/plain", id="<1>"), part(SDP, id="<2>"), part(OTHER, id="<3>"))
        assert found(body, "multipart/related;boundary=b") is None
        assert found(body, 'multipart/related;boundary=b;start="<2>"') == SDP
        assert found(body, "multipart/related;boundary=b;start=<9>") is None

    @pytest.mark.parametrize(("depth", "is_found"), [(NESTING_LIMIT, True), (NESTING_LIMIT + 1, False)])
    def test_nesting_is_bounded(self, depth: int, is_found: bool) -> None:
        body, content_type = SDP, "application/sdp"
        for level in range(depth + 1):
            body, content_type = (
                parts(part(body, content_type), boundary=f"b{level}"),
                f"multipart/mixed;boundary=b{level}",
            )
        assert (found(body, content_type) == SDP) == is_found

    @pytest.mark.parametrize(("count", "is_found"), [(PART_LIMIT - 1, True), (PART_LIMIT, False)])
    def test_parts_are_bounded(self, count: int, is_found: bool) -> None:
        assert (found(parts(*[part(b"x", "text/plain")] * count, part(SDP))) == SDP) == is_found

    def test_boundary_is_bounded(self) -> None:
        for length in (BOUNDARY_LIMIT, BOUNDARY_LIMIT + 1):
            body = parts(part(SDP), boundary="b" * length)
            assert (found(body, f"multipart/mixed;boundary={'b' * length}") == SDP) == (length == BOUNDARY_LIMIT)

    def test_false_delimiters_are_bounded(self) -> None:
        assert found(b"\r\n--bX" * 2000 + b"\r\n" + parts(part(SDP))) is None


class TestPurpose:
    """RFC 5621 §4, §8: what a part is for, and how it travels."""

    @pytest.mark.parametrize("disposition", ["session", "Session;handling=required", "render"])
    def test_session_is_found_when_it_says_so(self, disposition: str) -> None:
        assert found(parts(part(SDP, disposition=disposition))) == SDP

    @pytest.mark.parametrize("disposition", ["early-session", "recording-session", "attachment;filename=x"])
    def test_description_of_another_session_is_passed_over(self, disposition: str) -> None:
        assert found(parts(part(OTHER, disposition=disposition), part(SDP))) == SDP

    @pytest.mark.parametrize("encoding", ["binary", "8bit", "7BIT"])
    def test_body_is_as_it_stands_when_its_encoding_is_none(self, encoding: str) -> None:
        assert found(parts(part(SDP, transfer_encoding=encoding))) == SDP

    def test_encoding_is_undone(self) -> None:
        assert found(parts(part(b"dj0wDQo=", transfer_encoding="base64"))) == b"v=0\r\n"
        assert found(parts(part(b"v=3D0=0D=0A", transfer_encoding="Quoted-Printable"))) == b"v=0\r\n"

    @pytest.mark.parametrize(("body", "encoding"), [(b"dj0wD", "base64"), (SDP, "x-unheard-of")])
    def test_body_is_passed_over_when_its_encoding_cannot_be_undone(self, body: bytes, encoding: str) -> None:
        assert found(parts(part(body, transfer_encoding=encoding), part(SDP))) == SDP

    def test_compressed_body_is_passed_over(self) -> None:
        assert found(parts(part(b"\x1f\x8b", encoding="gzip"), part(SDP, encoding="identity"))) == SDP


class TestSession:
    """RFC 5621 §3: the session description becomes the body."""

    def invite(self, body: bytes, **headers: str) -> Request:
        """An INVITE with this body."""
        changed = {name.replace("_", "-"): value for name, value in headers.items()}
        return parse_request(request(body=body, changed=changed))

    def test_session_takes_the_place_of_the_parts(self) -> None:
        body = parts(part(b"\1", "application/isup"), part(SDP))
        invite = self.invite(body, Content_Type=MIXED, MIME_Version="1.0", Content_Disposition="session")
        assert take_session(invite)
        assert (invite.body, invite.headers["content-type"]) == (SDP, ["application/sdp"])
        assert "mime-version" not in invite.headers
        assert "content-disposition" not in invite.headers

    @pytest.mark.parametrize("content_type", ["application/sdp", "Application/SDP"])
    def test_body_stays_when_it_is_the_session(self, content_type: str) -> None:
        invite = self.invite(SDP, Content_Type=content_type)
        assert take_session(invite)
        assert (invite.body, invite.headers["content-type"]) == (SDP, ["application/sdp"])

    def test_nothing_is_missing_when_there_is_no_body(self) -> None:
        assert take_session(self.invite(b"", Content_Type="text/plain"))

    @pytest.mark.parametrize("content_type", ["text/plain", MIXED, ""])
    def test_body_stays_when_it_has_no_session(self, content_type: str) -> None:
        invite = self.invite(b"hello", Content_Type=content_type)
        assert not take_session(invite)
        assert (invite.body, invite.headers["content-type"]) == (b"hello", [content_type])

    @pytest.mark.parametrize(("encoding", "is_read"), [("gzip", False), ("Identity", True)])
    def test_body_is_not_read_when_it_is_compressed(self, encoding: str, is_read: bool) -> None:
        assert take_session(self.invite(SDP, Content_Type="application/sdp", Content_Encoding=encoding)) == is_read

    @pytest.mark.parametrize(
        ("disposition", "is_settled"),
        [("render;handling=optional", True), ("session; Handling=OPTIONAL", True), ("render;handling=required", False),
         ("handling=optional", False), ("render;handling", False), ("", False)],
    )  # fmt: skip
    def test_body_is_dropped_when_its_sender_can_do_without(self, disposition: str, is_settled: bool) -> None:
        headers = {"Content_Type": "text/plain", "MIME_Version": "1.0"}
        invite = self.invite(b"hello", **headers, Content_Disposition=disposition)
        assert settle_body(invite) == is_settled
        assert (invite.body == b"", "content-type" in invite.headers) == (is_settled, not is_settled)
        assert ("mime-version" in invite.headers) != is_settled

    def test_parts_are_dropped_when_each_may_be(self) -> None:
        optional = part(b"hello", "text/plain", disposition="render;handling=optional")
        assert settle_body(self.invite(parts(optional, optional), Content_Type=MIXED))
        for other in (part(b"hello", "text/plain"), part(b"hello", "text/plain", disposition="render")):
            assert not settle_body(self.invite(parts(optional, other), Content_Type=MIXED))

    def test_session_is_taken_whatever_the_others_are_for(self) -> None:
        signalling = part(b"\1", "application/isup", disposition="signal;handling=required")
        invite = self.invite(parts(signalling, part(SDP)), Content_Type=MIXED)
        assert settle_body(invite)
        assert invite.body == SDP


@settings(max_examples=300, deadline=None)
@given(
    wire_text | st.just(MIXED) | st.just("multipart/alternative;boundary=b"),
    st.binary(max_size=200) | mutations(parts(part(parts(part(SDP), boundary="c"), "multipart/mixed;boundary=c"))),
)
def test_nothing_is_raised_when_given_anything(content_type: str, body: bytes) -> None:
    result = found(body, content_type)
    assert result is None or isinstance(result, bytes)
    invite = parse_request(request(body=body))
    invite.headers["content-type"] = [content_type]
    assert settle_body(invite) in (True, False)
