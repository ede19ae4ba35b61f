"""Origin lines and codecs of session descriptions, well-formed or not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.sdp import audio_codecs, replace_origin

HEAD = "v=0\r\no=alice 2890844526 2890842807 IN IP4 198.51.100.1\r\ns=-\r\nc=IN IP4 198.51.100.1\r\nt=0 0\r\n"
AUDIO = "m=audio 49170 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\n"
OFFER = (HEAD + AUDIO).encode()


def origin(body: bytes) -> bytes:
    """The one origin line of a body."""
    (line,) = (line for line in body.split(b"\r\n") if line.startswith(b"o="))
    return line


class TestOrigin:
    """RFC 8866 §5.2."""

    def test_origin_is_ours_and_the_rest_stays_as_it_was(self) -> None:
        replaced = replace_origin(OFFER, 42, "192.0.2.1")
        assert replaced == OFFER.replace(
            b"o=alice 2890844526 2890842807 IN IP4 198.51.100.1", b"o=- 42 2890842807 IN IP4 192.0.2.1"
        )

    def test_origin_is_ours_when_the_address_is_ipv6(self) -> None:
        assert origin(replace_origin(OFFER, 42, "2001:db8::1")) == b"o=- 42 2890842807 IN IP6 2001:db8::1"

    def test_origin_is_ours_when_theirs_was_ipv6(self) -> None:
        body = OFFER.replace(b"IN IP4 198.51.100.1\r\ns", b"IN IP6 2001:db8::9\r\ns")
        assert origin(replace_origin(body, 42, "192.0.2.1")) == b"o=- 42 2890842807 IN IP4 192.0.2.1"

    def test_origin_is_ours_when_it_is_the_first_line(self) -> None:
        body = b"o=alice 1 7 IN IP4 198.51.100.1\r\ns=-\r\n"
        assert replace_origin(body, 42, "192.0.2.1") == b"o=- 42 7 IN IP4 192.0.2.1\r\ns=-\r\n"

    def test_version_stays_so_that_changes_show(self) -> None:
        first, second = (OFFER.replace(b"2890842807", version) for version in (b"5", b"6"))
        assert origin(replace_origin(first, 42, "192.0.2.1")).split()[2] == b"5"
        assert origin(replace_origin(second, 42, "192.0.2.1")).split()[2] == b"6"

    @pytest.mark.parametrize(
        "line", [b"o=", b"o=alice", b"o=alice 1", b"o=alice 1 x IN IP4 h", b"o=alice 1 -3 IN IP4 h"]
    )
    def test_version_is_one_when_theirs_is_none(self, line: bytes) -> None:
        body = b"v=0\r\n" + line + b"\r\ns=-\r\n"
        assert replace_origin(body, 42, "192.0.2.1") == b"v=0\r\no=- 42 1 IN IP4 192.0.2.1\r\ns=-\r\n"

    def test_only_the_first_origin_is_replaced(self) -> None:
        body = b"v=0\r\no=a 1 2 IN IP4 h\r\no=b 3 4 IN IP4 h\r\n"
        assert replace_origin(body, 42, "192.0.2.1") == b"v=0\r\no=- 42 2 IN IP4 192.0.2.1\r\no=b 3 4 IN IP4 h\r\n"

    @pytest.mark.parametrize(
        "body",
        [b"", b"v=0\r\ns=-\r\n", b"v=0\r\no=alice 1 1 IN IP4 h", b"s=o=alice 1 1 IN IP4 h\r\n", b"\0\xff\xfe"],
        ids=["empty", "no origin", "unfinished origin", "origin inside a line", "no text"],
    )
    def test_body_stays_when_it_has_no_whole_origin(self, body: bytes) -> None:
        assert replace_origin(body, 42, "192.0.2.1") == body

    def test_origin_is_ours_when_lines_end_in_a_line_feed_only(self) -> None:
        body = OFFER.replace(b"\r\n", b"\n")
        assert replace_origin(body, 42, "192.0.2.1").splitlines()[1] == b"o=- 42 2890842807 IN IP4 192.0.2.1"

    @given(st.binary() | st.text("vos=\r\n 01az").map(str.encode))
    def test_replacing_never_fails_and_says_nothing_twice(self, body: bytes) -> None:
        replaced = replace_origin(body, 42, "192.0.2.1")
        assert replace_origin(replaced, 42, "192.0.2.1") == replaced


class TestCodecs:
    @pytest.mark.parametrize(
        ("media", "codecs"),
        [
            ("m=audio 1 RTP/AVP 0 8 18", ["PCMU", "PCMA", "G729"]),
            ("m=audio 1 RTP/AVP 18 8 0", ["G729", "PCMA", "PCMU"]),
            ("m=audio 1 RTP/AVP 3 4 9", ["GSM", "G723", "G722"]),
            ("m=audio 1 RTP/AVP 96 0\r\na=rtpmap:96 opus/48000/2", ["opus", "PCMU"]),
            ("m=audio 1 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000/1", ["PCMU"]),
            ("m=audio 1 RTP/AVP 97 96\r\na=rtpmap:96 opus/48000/2\r\na=rtpmap:97 AMR-WB/16000", ["AMR-WB", "opus"]),
            ("m=audio 1 RTP/AVP 0 101 13\r\na=rtpmap:101 telephone-event/8000", ["PCMU"]),
            ("m=audio 1 RTP/AVP 13 96\r\na=rtpmap:96 CN/16000", []),
            ("m=audio 1 RTP/AVP 101 0\r\na=rtpmap:101 Telephone-Event/8000", ["PCMU"]),
            ("m=audio 1/2 RTP/AVP 8", ["PCMA"]),
            ("m=audio 0 RTP/AVP 8", ["PCMA"]),
        ],
    )
    def test_codecs_come_in_the_order_of_the_offer(self, media: str, codecs: list[str]) -> None:
        assert audio_codecs(f"{HEAD}{media}\r\n".encode()) == codecs
        assert audio_codecs(f"{HEAD}{media}\r\n".replace("\r\n", "\n").encode()) == codecs

    def test_codec_is_its_number_when_nothing_names_it(self) -> None:
        assert audio_codecs(f"{HEAD}m=audio 1 RTP/AVP 96 0\r\n".encode()) == ["96", "PCMU"]

    def test_name_of_the_offer_wins_when_the_payload_type_is_static(self) -> None:
        assert audio_codecs(f"{HEAD}m=audio 1 RTP/AVP 0\r\na=rtpmap:0 strange/8000\r\n".encode()) == ["strange"]

    def test_only_the_first_audio_line_counts(self) -> None:
        media = "m=video 1 RTP/AVP 31\r\nm=audio 1 RTP/AVP 8\r\nm=audio 1 RTP/AVP 0\r\na=rtpmap:8 other/8000\r\n"
        assert audio_codecs((HEAD + media).encode()) == ["PCMA"]

    def test_names_of_another_medium_do_not_count(self) -> None:
        media = "m=video 1 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\nm=audio 1 RTP/AVP 96\r\na=rtpmap:96 opus/48000/2\r\n"
        assert audio_codecs((HEAD + media).encode()) == ["opus"]

    def test_media_line_counts_only_when_it_is_a_line(self) -> None:
        body = f"{HEAD}i=see m=audio 1 RTP/AVP 0\r\nm=audio 1 RTP/AVP 8\r\n"
        assert audio_codecs(body.encode()) == ["PCMA"]

    def test_codecs_are_found_when_the_media_line_is_the_first(self) -> None:
        assert audio_codecs(b"m=audio 1 RTP/AVP 8") == ["PCMA"]

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"m=audio",
            b"m=audio ",
            b"m=audio 1",
            b"m=audio 1 RTP/AVP",
            b"m=audio 1 RTP/AVP\r\na=rtpmap:",
            b"m=video 1 RTP/AVP 31\r\n",
            b"\xff\xfe\0",
        ],
    )
    def test_no_codec_is_found_when_there_is_none(self, body: bytes) -> None:
        assert audio_codecs(body) == []

    @pytest.mark.parametrize(
        "line", ["a=rtpmap:", "a=rtpmap:0", "a=rtpmap:0 ", "a=rtpmap: PCMA/8000", "a=rtpmap:x y/z"]
    )
    def test_codec_keeps_its_static_name_when_its_line_is_malformed(self, line: str) -> None:
        assert audio_codecs(f"m=audio 1 RTP/AVP 0\r\n{line}\r\n".encode()) == ["PCMU"]

    @given(st.binary() | st.text("m=audio 1RTP/V\r\nrtpmap:08").map(str.encode))
    def test_looking_never_fails(self, body: bytes) -> None:
        for codec in audio_codecs(b"v=0\r\nm=audio " + body):
            assert codec
