"""Descriptions of anchored calls: our addresses, and all else as it was."""

from dataclasses import replace

import pytest

from media.errors import InvalidDescription
from media.ng import Options
from media.offer_answer import Place, Policy, read_answer, read_offer, write
from media.sdes import Crypto
from tests.media.descriptions import description

PLACE = Place("192.0.2.1", 30_000, 30_001)


def anchored(body: bytes, *places: Place | None, policy: Policy | None = None, **options: object) -> list[str]:
    """The lines of an offer when it is passed on."""
    chosen = Options(**options)  # type: ignore[arg-type]
    session = read_offer(body, chosen, policy or Policy())
    if not places:
        places = tuple(PLACE if medium.port else None for medium in session.media)
    return write(session, places, chosen).decode().split("\r\n")[:-1]


class TestAddresses:
    def test_only_addresses_and_the_port_change(self) -> None:
        assert anchored(description()) == [
            "v=0", "o=alice 2890844526 1 IN IP4 192.0.2.1", "s=-", "c=IN IP4 192.0.2.1", "t=0 0",
            "m=audio 30000 RTP/AVP 0 8 101", "a=rtpmap:101 telephone-event/8000", "a=fmtp:101 0-15", "a=ptime:20",
        ]  # fmt: skip

    def test_nothing_of_the_endpoint_s_address_is_left_anywhere(self) -> None:
        body = description(
            extra="c=IN IP4 198.51.100.1\na=rtcp:49171 IN IP4 198.51.100.1\na=ice-ufrag:x\na=ice-pwd:y\n"
            "a=candidate:1 1 UDP 1 198.51.100.1 49170 typ host\na=end-of-candidates\n",
            session="a=ice-lite\na=group:BUNDLE 0\n",
        )
        lines = anchored(body)
        assert "198.51.100" not in "".join(lines)
        assert not [line for line in lines if "ice-" in line or "BUNDLE" in line or "candidates" in line]
        assert "a=rtcp:30001" in lines

    def test_origin_stays_when_it_is_not_to_be_replaced(self) -> None:
        assert "o=alice 2890844526 1 IN IP4 198.51.100.1" in anchored(description(), replace=())

    def test_ipv4_becomes_ipv6(self) -> None:
        lines = anchored(description(), Place("2001:db8::1", 30_000, 30_001))
        assert "c=IN IP6 2001:db8::1" in lines
        assert "o=alice 2890844526 1 IN IP6 2001:db8::1" in lines

    def test_every_medium_gets_its_own_port(self) -> None:
        body = description(media="m=audio 1000 RTP/AVP 0\nm=video 2000 RTP/AVP 96\nc=IN IP4 198.51.100.2\n")
        lines = anchored(body, PLACE, Place("192.0.2.2", 30_002, 30_003))
        assert lines[-3:] == ["m=audio 30000 RTP/AVP 0", "m=video 30002 RTP/AVP 96", "c=IN IP4 192.0.2.2"]

    def test_medium_on_another_address_gets_a_line_of_its_own(self) -> None:
        body = description(media="m=audio 1000 RTP/AVP 0\na=x\nm=video 2000 RTP/AVP 96\ni=title\na=y\n")
        lines = anchored(body, PLACE, Place("192.0.2.2", 30_002, 30_003))
        assert lines[-4:] == ["m=video 30002 RTP/AVP 96", "i=title", "c=IN IP4 192.0.2.2", "a=y"]

    def test_line_ends_without_a_return_are_taken(self) -> None:
        assert anchored(description().replace(b"\r\n", b"\n")) == anchored(description())

    def test_protocol_is_that_of_the_place_with_its_keys_and_feedback_only_where_it_has_any(self) -> None:
        body = description(media="m=audio 1000 RTP/AVPF 0\na=rtcp-fb:0 nack\n")
        assert anchored(body)[-2:] == ["m=audio 30000 RTP/AVPF 0", "a=rtcp-fb:0 nack"]
        assert anchored(body, replace(PLACE, protocol=b"RTP/AVP"))[-1] == "m=audio 30000 RTP/AVP 0"
        key = Crypto(3, "AES_CM_128_HMAC_SHA1_80", b"k" * 30)
        secure = anchored(body, replace(PLACE, protocol=b"RTP/SAVP", keys=(key,)))
        assert secure[-2:] == ["m=audio 30000 RTP/SAVP 0", key.to_line().decode()]

    def test_keys_of_the_sender_go_no_further(self) -> None:
        lines = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x\na=fingerprint:sha-1 00\na=key-mgmt:mikey y\nk=clear:z\n"
        body = description(media=f"m=audio 1000 RTP/SAVP 0\n{lines}a=sendrecv\n")
        assert anchored(body)[-2:] == ["m=audio 30000 RTP/SAVP 0", "a=sendrecv"]
        assert anchored(body, None)[-2:] == ["m=audio 0 RTP/SAVP 0", "a=sendrecv"]

    def test_what_ends_agree_on_by_themselves_passes(self) -> None:
        body = description(media="m=audio 1000 UDP/TLS/RTP/SAVPF 0\na=fingerprint:sha-1 00\n")
        assert anchored(body)[-2:] == ["m=audio 30000 UDP/TLS/RTP/SAVPF 0", "a=fingerprint:sha-1 00"]


class TestHold:
    @pytest.mark.parametrize("direction", ["sendonly", "inactive", "recvonly", "sendrecv"])
    def test_direction_is_passed_on(self, direction: str) -> None:
        assert anchored(description(extra=f"a={direction}\n"))[-1] == f"a={direction}"

    def test_address_of_nobody_stays_so(self) -> None:
        lines = anchored(description("0.0.0.0"))
        assert "c=IN IP4 0.0.0.0" in lines
        assert "m=audio 30000 RTP/AVP 0 8 101" in lines

    def test_address_of_nobody_changes_its_family(self) -> None:
        lines = anchored(description(extra="c=IN IP4 0.0.0.0\n"), Place("2001:db8::1", 30_000))
        assert "c=IN IP6 ::" in lines


class TestMultiplexing:
    def test_multiplexing_is_offered_where_the_place_has_it(self) -> None:
        body = description(extra="a=rtcp-mux\na=rtcp:49170\n")
        assert anchored(body, Place("192.0.2.1", 30_000, 30_001, is_muxed=True))[-2:] == [
            "a=rtcp-mux",
            "a=rtcp:30000",
        ]
        assert anchored(body)[-1] == "a=rtcp:30001"

    def test_multiplexing_is_not_invented_in_a_refused_medium(self) -> None:
        assert "a=rtcp-mux" not in anchored(description(extra="a=rtcp-mux\n"), None)


class TestRefusal:
    def test_video_is_refused_by_port_0_where_it_may_not_pass(self) -> None:
        body = description(media="m=audio 1000 RTP/AVP 0\nm=video 2000 RTP/AVP 96\na=rtpmap:96 H264/90000\n")
        lines = anchored(body, policy=Policy(video=False))
        assert "m=audio 30000 RTP/AVP 0" in lines
        assert "m=video 0 RTP/AVP 96" in lines

    def test_fax_passes_or_not_as_it_is_set(self) -> None:
        body = description(media="m=audio 0 RTP/AVP 0\nm=image 4000 udptl t38\na=T38FaxVersion:0\n")
        assert anchored(body)[-2:] == ["m=image 30000 udptl t38", "a=T38FaxVersion:0"]
        with pytest.raises(InvalidDescription, match="none of the media"):
            anchored(body, policy=Policy(t38=False))

    def test_what_is_not_datagrams_is_refused(self) -> None:
        body = description(media="m=audio 1000 RTP/AVP 0\nm=message 2855 TCP/MSRP *\n")
        assert anchored(body)[-1] == "m=message 0 TCP/MSRP *"


class TestCodecs:
    def test_stripped_codec_is_gone_with_its_lines(self) -> None:
        body = description(media="m=audio 1 RTP/AVP 96 0\na=rtpmap:96 opus/48000/2\na=fmtp:96 x=1\n")
        assert anchored(body, codec_strip=("opus",))[-1] == "m=audio 30000 RTP/AVP 0"
        assert anchored(body, codec_mask=("opus",))[-1] == "m=audio 30000 RTP/AVP 0"

    def test_codecs_offered_stay_when_all_are_stripped_and_events_too(self) -> None:
        body = description(media="m=audio 1 RTP/AVP 0 8 18 101\na=rtpmap:101 telephone-event/8000\n")
        lines = anchored(body, codec_strip=("all",), codec_offer=("PCMA",), codec_except=("G729",))
        assert lines[-2] == "m=audio 30000 RTP/AVP 8 18 101"

    def test_codecs_are_ordered_when_it_is_asked_for(self) -> None:
        body = description(media="m=audio 1 RTP/AVP 0 18 8\n")
        assert anchored(body, codec_offer=("PCMA", "G729"), reorder=True)[-1] == "m=audio 30000 RTP/AVP 8 18 0"
        assert anchored(body, codec_offer=("PCMA", "G729"))[-1] == "m=audio 30000 RTP/AVP 0 18 8"

    def test_events_are_stripped_by_name(self) -> None:
        assert "m=audio 30000 RTP/AVP 0 8" in anchored(description(), codec_strip=("telephone-event",))

    def test_offer_without_a_codec_left_is_refused(self) -> None:
        with pytest.raises(InvalidDescription, match="none of the codecs"):
            anchored(description(), codec_strip=("PCMU", "PCMA"))


class TestAnswer:
    def test_answer_must_have_the_media_of_the_offer(self) -> None:
        assert read_answer(description(), [("audio", True)], Options()).media[0].port == 49170
        for offer in ([], [("video", True)], [("audio", True), ("video", True)]):
            with pytest.raises(InvalidDescription, match="not those of the offer"):
                read_answer(description(), offer, Options())

    def test_medium_that_was_not_offered_is_not_accepted(self) -> None:
        assert read_answer(description(), [("audio", False)], Options()).media[0].port == 0

    def test_answer_keeps_its_order_of_codecs(self) -> None:
        options = Options(codec_offer=("PCMA",), reorder=True)
        assert read_answer(description(), [("audio", True)], options).media[0].formats == b"0 8 101"
