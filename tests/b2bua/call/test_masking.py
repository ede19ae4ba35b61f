"""What proves or decrypts something is masked, and nothing else is."""

import time

import pytest

from b2bua.call.masking import mask


def head(*lines: str) -> bytes:
    return "\r\n".join(["INVITE sip:442079460000@192.0.2.1 SIP/2.0", *lines, "", ""]).encode()


def masked_line(line: str) -> str:
    """What becomes of one header, which may be folded."""
    return mask(head(line)).decode().split("\r\n", 1)[1].removesuffix("\r\n\r\n")


class TestCredentials:
    def test_digest_keeps_what_its_peer_shows_everybody(self) -> None:
        line = (
            'Authorization: Digest username="alice", realm="softswitch", nonce="n1,n2", uri="sip:192.0.2.1", '
            'response="6629fae49393a05397450978507c4ef1", qop=auth, nc=00000001, cnonce="0a4f", algorithm=MD5'
        )
        assert masked_line(line) == (
            'Authorization: Digest username="alice", realm="softswitch", nonce="n1,n2", uri="sip:192.0.2.1", '
            "response=***, qop=auth, nc=00000001, cnonce=***, algorithm=MD5"
        )

    @pytest.mark.parametrize("name", ["Proxy-Authorization", "AUTHORIZATION", "authorization "])
    def test_name_may_be_written_in_any_way(self, name: str) -> None:
        assert masked_line(f"{name}: digest RESPONSE = abc") == f"{name}: digest RESPONSE=***"

    @pytest.mark.parametrize("scheme", ["Basic", "Bearer", "NTLM"])
    def test_nothing_of_another_scheme_is_shown(self, scheme: str) -> None:
        assert masked_line(f"Authorization: {scheme} YWxpY2U6c2VjcmV0") == f"Authorization: {scheme} ***"

    def test_folded_line_is_masked_to_its_end(self) -> None:
        folded = 'Authorization: Digest realm="r",\r\n response="abc",\r\n\tcnonce=def'
        assert masked_line(folded) == 'Authorization: Digest realm="r", response=***, cnonce=***'

    @pytest.mark.parametrize(
        "value", ['Digest nonce="open, response=abcdef', "Digest response:abcdef", 'Digest x="a\\", response=abcdef"']
    )
    def test_response_is_hidden_when_the_value_is_malformed(self, value: str) -> None:
        assert "abcdef" not in masked_line(f"Authorization: {value}")

    def test_challenge_stays_as_it_is(self) -> None:
        line = 'WWW-Authenticate: Digest realm="r", nonce="abc", opaque="def"\r\nProxy-Authenticate: Digest nonce="x"'
        assert masked_line(line) == line

    def test_proof_of_the_server_is_masked(self) -> None:
        line = 'Authentication-Info: nextnonce="n", qop=auth, rspauth="abc", cnonce="def", nc=00000001'
        assert masked_line(line) == (
            'Authentication-Info: nextnonce="n", qop=auth, rspauth=***, cnonce=***, nc=00000001'
        )

    def test_signature_of_calls_to_ourselves_is_masked(self) -> None:
        assert masked_line("P-Softswitch-Forward: 7;1790000000;abcdef") == "P-Softswitch-Forward: 7;1790000000;***"

    def test_header_behind_it_stays(self) -> None:
        assert masked_line("Authorization: Basic abc\r\nSubject: response=1") == (
            "Authorization: Basic ***\r\nSubject: response=1"
        )


class TestPasswords:
    @pytest.mark.parametrize(
        ("line", "masked"),
        [
            ("From: <sip:alice:secret@h>;tag=1", "From: <sip:alice:***@h>;tag=1"),
            ("Contact:sips:alice:se,cr;et@h:5061", "Contact:sips:alice:***@h:5061"),
            ('To: "x:y" <SIP:alice:a:b@h>', 'To: "x:y" <SIP:alice:***@h>'),
            ("Route: <sip:h:5060;lr>,<sip:bob:pw@h2>", "Route: <sip:h:5060;lr>,<sip:bob:***@h2>"),
            ("Route: sip:a:b@h,sip:c:d@h", "Route: sip:a:***@h,sip:c:***@h"),
            ("Call-Info: <http://joe:pass@h/x>", "Call-Info: <http://joe:***@h/x>"),
        ],
    )
    def test_password_of_a_uri_is_masked(self, line: str, masked: str) -> None:
        assert masked_line(line) == masked

    def test_request_uri_may_have_one(self) -> None:
        assert mask(b"INVITE sip:a:secret@h SIP/2.0\r\n\r\n") == b"INVITE sip:a:***@h SIP/2.0\r\n\r\n"

    @pytest.mark.parametrize(
        "line",
        [
            "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1",
            "From: <sip:+442079460000@192.0.2.1:5060>;tag=1",
            "To: <sip:alice@[2001:db8::1]:5060>",
            "Contact: <sip:1.2.3.4:5060>, <sip:alice@h>",
            "Date: Mon, 31 Aug 2026 10:00:00 GMT",
            "Call-ID: a:b@192.0.2.1",
        ],
    )
    def test_what_is_no_password_stays(self, line: str) -> None:
        # A Call-ID with a colon looks like none either: no scheme stands before it.
        assert masked_line(line) == line


class TestBodies:
    def test_keys_of_media_are_masked_in_their_length(self) -> None:
        body = (
            b"v=0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:c2VjcmV0|2^20|1:4 KDR=1\r\n"
            b"a=ice-ufrag:u\r\na=ice-pwd:0123456789\r\nk=clear:key\r\na=key-mgmt:mikey AQAF\r\na=sendrecv\r\n"
        )
        masked = mask(head() + body).partition(b"\r\n\r\n")[2]
        assert len(masked) == len(body)
        assert masked.split(b"\r\n") == [
            b"v=0",
            b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + b"*" * 23,
            b"a=ice-ufrag:u",
            b"a=ice-pwd:**********",
            b"k=clear:***",
            b"a=key-mgmt:mikey ****",
            b"a=sendrecv",
            b"",
        ]

    def test_other_body_stays(self) -> None:
        data = head() + b"Signal=5\r\nDuration=160\r\nx a=crypto:1 inline:abc\r\n"
        assert mask(data) == data


@pytest.mark.parametrize(
    "evil",
    [
        b":a" * 32_000,
        b"sip:" * 16_000,
        b"a@" * 32_000,
        b"sip:a:b@" * 8_000,
        b"\nAuthorization: Digest " + b"a" * 64_000,
        b"\nAuthorization: Digest " + b'a="' * 21_000,
        b"\nAuthorization: Digest a=" + b'"\\"' * 21_000,
        b"\nAuthorization: Digest " + b"a  " * 21_000,
        b"\nAuthorization:" * 4_600,
        b"\r\n\r\n" + b"\na=crypto:" * 6_400,
        b"\r\n\r\n" + b"a=crypto:" * 7_000,
    ],
)
def test_time_is_linear_in_the_length(evil: bytes) -> None:
    began = time.process_time()
    mask(evil)
    assert time.process_time() - began < 0.25
