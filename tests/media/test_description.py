"""Session descriptions taken apart, well-formed or not."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.description import MEDIA_LIMIT, parse
from media.errors import InvalidDescription
from tests.media.descriptions import description


class TestMedium:
    def test_endpoints_of_a_plain_offer_are_beside_each_other(self) -> None:
        (medium,) = parse(description()).media
        assert (medium.kind, medium.endpoint) == ("audio", ("198.51.100.1", 49170))
        assert medium.rtcp_endpoint == ("198.51.100.1", 49171)

    def test_rtcp_is_where_its_own_line_says(self) -> None:
        (medium,) = parse(description(extra="a=rtcp:53020\n")).media
        assert medium.rtcp_endpoint == ("198.51.100.1", 53020)
        (medium,) = parse(description(extra="a=rtcp:53020 IN IP4 198.51.100.2\n")).media
        assert medium.rtcp_endpoint == ("198.51.100.2", 53020)

    def test_own_connection_line_stands_above_the_session_s(self) -> None:
        (medium,) = parse(description(extra="c=IN IP6 2001:DB8::1\n")).media
        assert medium.endpoint == ("2001:db8::1", 49170)

    def test_fax_has_no_rtcp(self) -> None:
        (medium,) = parse(description(media="m=image 5000 udptl t38\n")).media
        assert (medium.is_fax, medium.is_rtp, medium.rtcp_endpoint) == (True, False, None)

    def test_multiplexing_and_encryption_are_seen(self) -> None:
        (medium,) = parse(description(media="m=audio 5000 RTP/SAVPF 0\na=rtcp-mux\n")).media
        assert (medium.is_muxed, medium.is_secure) == (True, True)

    @pytest.mark.parametrize(
        ("session", "extra", "held"),
        [
            ("", "", False),
            ("", "a=sendonly\n", True),
            ("", "a=inactive\n", True),
            ("", "c=IN IP4 0.0.0.0\n", True),
            ("a=sendonly\n", "", True),
            ("a=sendonly\n", "a=sendrecv\n", False),
        ],
    )
    def test_hold_is_known_in_both_notations(self, session: str, extra: str, held: bool) -> None:
        assert parse(description(session=session, extra=extra)).is_held == held

    def test_nothing_is_sent_to_the_address_of_an_old_hold(self) -> None:
        assert parse(description("0.0.0.0")).media[0].endpoint is None

    def test_refused_medium_needs_no_address(self) -> None:
        assert parse(b"v=0\r\no=- 1 1 IN IP4 h\r\ns=-\r\nt=0 0\r\nm=audio 0 RTP/AVP 0\r\n").media[0].endpoint is None


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "v=0"),
        (b"v=1\r\n", "v=0"),
        (b"v=0\r\ns=-\r\n", "o="),
        (description(media="m=audio\n"), "media line"),
        (description(media="m=audio x RTP/AVP 0\n"), "port"),
        (description(media="m=audio 65536 RTP/AVP 0\n"), "port"),
        (description(media="m=audio 5/x RTP/AVP 0\n"), "port"),
        (description(extra="nonsense\n"), "not a line"),
        (description(extra="c=IN IP4 host.example.com\n"), "IP address"),
        (description(extra="c=IN IP4 224.2.1.1\n"), "multicast"),
        (description(extra="c=IN ATM x\n"), "connection"),
        (description(extra="a=rtcp:0\n"), "port"),
        (description().replace(b"c=IN IP4 198.51.100.1\r\n", b""), "no c= line"),
        (description(media="m=audio 5 RTP/AVP 0\n" * (MEDIA_LIMIT + 1)), "too many"),
        (description(extra="a=x\n" * 20_000), "too large"),
    ],
)
def test_malformed_is_refused_with_its_reason(body: bytes, reason: str) -> None:
    with pytest.raises(InvalidDescription, match=reason) as caught:
        parse(body)
    assert caught.value.status_hint == 488


def test_reason_names_no_key() -> None:
    with pytest.raises(InvalidDescription) as caught:
        parse(description(extra=" a=crypto:1 AES inline:secret\n"))
    assert "secret" not in str(caught.value)


@given(st.binary(max_size=200), st.integers(0, 200))
def test_parsing_raises_nothing_but_its_own_error(noise: bytes, at: int) -> None:
    body = description(extra="a=rtcp:5 IN IP4 192.0.2.1\n")
    with contextlib.suppress(InvalidDescription):
        parse(body[:at] + noise + body[at:])
