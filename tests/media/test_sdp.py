"""Origin lines, codecs and codec lists of session descriptions, well-formed or not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.sdp import (
    PLACES_LIMIT,
    STATIC_ENCODINGS,
    CodecList,
    audio_codecs,
    filter_codecs,
    is_same_media,
    replace_origin,
    resume,
    session_version,
)

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
            ("m=audio 1 RTP/AVP 6 16 17", ["DVI4", "DVI4", "DVI4"]),
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


def medium(formats: str, *attributes: str, line: str = "m=audio 49170 RTP/AVP") -> str:
    """Write one medium, each line with its end."""
    return "".join(f"{text}\r\n" for text in (f"{line} {formats}", *(f"a={attribute}" for attribute in attributes)))


def cut(media: str, *names: str, reorder: bool = True) -> str | None:
    """Filter a body of these media by a list of these names, and give the media that remain."""
    body = filter_codecs((HEAD + media).encode(), CodecList.of(names), reorder=reorder)
    if body is None:
        return None
    text = body.decode()
    assert text.startswith(HEAD)
    return text.removeprefix(HEAD)


OPUS = "rtpmap:96 opus/48000/2"
DIGITS = ("rtpmap:101 telephone-event/8000", "fmtp:101 0-16")
VIDEO = medium("31 96", "rtpmap:96 H264/90000", "fmtp:96 profile-level-id=42e01f", line="m=video 2 RTP/AVP")
IMAGE = medium("t38", "T38FaxVersion:0", line="m=image 3 udptl")


MALFORMED_NAMES = [
    "", " ", "/", "/8000", "PCMU/", "PCMU/x", "PCMU/0", "PCMU/8000/", "opus/48000/2/1", "L16/-1", "PC MU", "PCMU,PCMA",
    "8", "18/8000", "PCMU\n0", "PCMÜ", "a:b",
]  # fmt: skip


class TestCodecList:
    def test_list_is_open_when_it_has_no_name(self) -> None:
        assert CodecList.of([]).is_open
        assert CodecList.of([]).allows("anything")
        assert not CodecList.of(["PCMU"]).is_open

    @pytest.mark.parametrize("name", ["PCMU", "pcmu", "PcMu", "ulaw", "G711U", "g711u"])
    def test_list_allows_a_codec_when_its_name_is_in_another_case_or_an_alias(self, name: str) -> None:
        assert CodecList.of(["PCMU"]).allows(name)
        assert CodecList.of([name]).allows("PCMU")
        assert not CodecList.of([name]).allows("PCMA")

    @pytest.mark.parametrize(
        ("alias", "name"),
        [
            ("G711A", "PCMA"),
            ("alaw", "PCMA"),
            ("G711U", "PCMU"),
            ("ulaw", "PCMU"),
            ("G.729", "G729"),
            ("G729a", "G729"),
        ],
    )
    def test_list_holds_the_name_of_the_standard_when_given_an_alias(self, alias: str, name: str) -> None:
        assert CodecList.of([alias]).names == (name,)
        assert CodecList.of([f"{alias}/8000"]).names == (f"{name}/8000",)

    def test_list_keeps_the_first_place_when_a_codec_is_given_twice(self) -> None:
        assert CodecList.of(["PCMA", "PCMU", "alaw", "pcmu", " G729 "]).names == ("PCMA", "PCMU", "G729")

    @pytest.mark.parametrize("name", MALFORMED_NAMES)
    def test_list_is_refused_naming_the_culprit_when_a_name_is_malformed(self, name: str) -> None:
        with pytest.raises(ValueError, match="not a codec name") as refusal:
            CodecList.of(["PCMU", name])
        assert repr(name) in str(refusal.value)

    def test_list_allows_only_its_clock_rate_and_channels_when_it_has_them(self) -> None:
        codecs = CodecList.of(["L16/44100", "opus/48000/2"])
        assert codecs.allows("L16/44100")
        assert codecs.allows("L16/44100/2")
        assert codecs.allows("opus/48000/2")
        assert not codecs.allows("L16/8000")
        assert not codecs.allows("opus/48000/1")

    def test_list_allows_a_name_when_one_of_its_clock_rates_is_in_it(self) -> None:
        assert CodecList.of(["L16/44100"]).allows("L16")
        assert CodecList.of(["L16"]).allows("L16/44100")

    @pytest.mark.parametrize("name", ["telephone-event", "CN", "Telephone-Event/8000", "CN/16000"])
    def test_list_allows_what_always_stays_when_it_is_not_in_it(self, name: str) -> None:
        assert CodecList.of(["PCMU"]).allows(name)

    def test_list_says_what_is_in_it_when_it_is_shown(self) -> None:
        assert str(CodecList.of(["pcmu", "opus/48000"])) == "pcmu,opus/48000"
        assert repr(CodecList.of(["pcmu", "opus/48000"])) == "CodecList(pcmu, opus/48000)"
        assert repr(CodecList.of([])) == "CodecList(open)"

    def test_list_equals_another_when_it_allows_the_same_in_the_same_order(self) -> None:
        codecs = CodecList.of(["PCMU", "alaw"])
        assert codecs == CodecList.of(["pcmu", "PCMA"])
        assert hash(codecs) == hash(CodecList.of(["pcmu", "PCMA"]))
        assert codecs != CodecList.of(["PCMA", "PCMU"])
        assert codecs != "PCMU,PCMA"

    def test_list_remembers_only_so_much_when_endpoints_send_anything(self) -> None:
        codecs = CodecList.of(["PCMU"])
        for number in range(3 * PLACES_LIMIT):
            assert codecs.place(b"x%d/8000" % number) is None
            assert codecs.place(b"x" * 1000 + b"%d/8000" % number) is None
            assert codecs.place(b"PCMU/8000") == 0
        assert len(codecs._places) <= PLACES_LIMIT
        assert max(map(len, codecs._places)) < 100

    def test_open_list_has_one_place_when_asked_for_any_codec(self) -> None:
        assert {CodecList.of([]).place(encoding) for encoding in (b"PCMU/8000", b"opus/48000/2")} == {0}


class TestIntersection:
    @pytest.mark.parametrize(
        ("ours", "theirs", "common"),
        [
            (["PCMA", "PCMU", "G729"], ["G729", "PCMA"], ("PCMA", "G729")),
            (["pcma"], ["PCMA"], ("pcma",)),
            (["L16"], ["L16/8000", "PCMU", "L16/44100"], ("L16/8000", "L16/44100")),
            (["L16/44100", "PCMU"], ["PCMU", "L16"], ("L16/44100", "PCMU")),
            (["L16/44100"], ["L16/44100/2"], ("L16/44100/2",)),
            (["L16/44100", "L16"], ["L16"], ("L16/44100", "L16")),
            (["L16/44100"], ["L16/8000"], ()),
        ],
    )
    def test_intersection_has_our_order_and_the_narrower_entry_when_both_allow(
        self, ours: list[str], theirs: list[str], common: tuple[str, ...]
    ) -> None:
        assert CodecList.of(ours).intersect(CodecList.of(theirs)).names == common

    def test_intersection_is_the_other_list_when_one_is_open(self) -> None:
        codecs, everything = CodecList.of(["PCMU"]), CodecList.of([])
        assert codecs.intersect(everything) is codecs
        assert everything.intersect(codecs) is codecs
        assert everything.intersect(CodecList.of([])).is_open

    def test_intersection_allows_nothing_when_nothing_is_common(self) -> None:
        nothing = CodecList.of(["PCMU"]).intersect(CodecList.of(["PCMA"]))
        assert not nothing.is_open
        assert not nothing.allows("PCMU")
        assert filter_codecs(OFFER, nothing) is None
        assert nothing.intersect(CodecList.of([])) is nothing
        assert not nothing.intersect(CodecList.of(["PCMU"])).allows("PCMU")

    def test_intersection_is_made_once_when_asked_again(self) -> None:
        codecs = CodecList.of(["PCMU", "PCMA"])
        assert codecs.intersect(CodecList.of(["PCMA"])) is codecs.intersect(CodecList.of(["pcma"]))

    def test_intersections_are_remembered_only_so_many_when_lists_are_made_anew(self) -> None:
        codecs = CodecList.of(["PCMU"])
        for number in range(1000):
            assert codecs.intersect(CodecList.of(["PCMU", f"x{number}"])).names == ("PCMU",)
        assert len(codecs._intersections) < 500


class TestRemoval:
    """RFC 3264 §5.1 and §6: what a list leaves of the payload types of one line."""

    def test_codec_is_recognised_by_number_when_it_is_static(self) -> None:
        assert cut(medium("0 3 8 18"), "G729", "GSM") == medium("18 3")

    @pytest.mark.parametrize("number", sorted(set(STATIC_ENCODINGS) - {b"13"}))
    def test_codec_is_recognised_by_number_when_the_table_has_it(self, number: bytes) -> None:
        assert cut(medium(f"96 {number.decode()}"), STATIC_ENCODINGS[number].decode()) == medium(number.decode())

    def test_codec_is_recognised_by_rtpmap_when_it_is_dynamic(self) -> None:
        offer = medium("96 97 0", OPUS, "rtpmap:97 AMR-WB/16000")
        assert cut(offer, "AMR-WB") == medium("97", "rtpmap:97 AMR-WB/16000")

    def test_rtpmap_wins_when_it_overrides_a_static_number(self) -> None:
        offer = medium("0 8", "rtpmap:0 strange/8000")
        assert cut(offer, "PCMU", "PCMA") == medium("8")
        assert cut(offer, "strange") == medium("0", "rtpmap:0 strange/8000")

    def test_dynamic_payload_type_is_removed_when_nothing_names_it(self) -> None:
        assert cut(medium("96 0 97"), "PCMU", "opus") == medium("0")

    def test_attributes_go_when_their_payload_type_does(self) -> None:
        gone = (OPUS, "fmtp:96 useinbandfec=1", "rtcp-fb:96 nack", "rtcp-fb:96 transport-cc", "fmtp:18 annexb=no")
        kept = ("rtpmap:0 PCMU/8000", "fmtp:0 x=96", "rtcp-fb:0 nack", "rtcp-fb:* ccm fir", "ptime:20", "sendrecv")
        assert cut(medium("96 0 18", *gone, *kept), "PCMU") == medium("0", *kept)
        assert cut(medium("96 0 18", *kept, *gone), "PCMU") == medium("0", *kept)

    def test_attributes_stay_when_their_number_only_begins_with_one_removed(self) -> None:
        assert cut(medium("8 80", "rtpmap:80 opus/48000/2"), "opus") == medium("80", "rtpmap:80 opus/48000/2")

    def test_attributes_stay_when_their_number_is_not_offered(self) -> None:
        assert cut(medium("0 8", "rtpmap:99 x/8000"), "PCMU") == medium("0", "rtpmap:99 x/8000")

    def test_codec_stays_when_its_name_is_in_another_case_or_an_alias(self) -> None:
        offer = medium("96 18 8", "rtpmap:96 OPUS/48000/2", "rtpmap:18 G729a/8000")
        assert cut(offer, "opus", "g.729", "alaw") == offer

    @pytest.mark.parametrize(
        ("name", "remaining"),
        [
            ("opus", "96 97 98"),
            ("opus/48000", "96 97"),
            ("opus/48000/2", "96"),
            ("opus/48000/1", "97"),
            ("opus/16000/1", "98"),
            ("opus/8000", None),
            ("L16/44100", "10 11"),
            ("L16/44100/2", "10"),
        ],
    )
    def test_codec_stays_only_when_its_clock_rate_is_allowed(self, name: str, remaining: str | None) -> None:
        encodings = {"96": "opus/48000/2", "97": "opus/48000", "98": "opus/16000"}
        offer = medium("96 97 98 10 11", *(f"rtpmap:{payload} {name}" for payload, name in encodings.items()))
        if remaining is None:
            assert cut(offer, name) is None
        else:
            kept = (f"rtpmap:{payload} {encodings[payload]}" for payload in remaining.split() if payload in encodings)
            assert cut(offer, name) == medium(remaining, *kept)

    def test_offer_is_refused_when_nothing_is_common(self) -> None:
        assert cut(medium("0 8 101", *DIGITS), "G729") is None
        assert cut(medium("101 13", *DIGITS), "G729") is None

    def test_body_stays_itself_when_the_list_is_open(self) -> None:
        body = (HEAD + medium("96 97")).encode()
        assert filter_codecs(body, CodecList.of([])) is body

    @pytest.mark.parametrize("body", [b"", b"v=0\r\n", (HEAD + VIDEO + IMAGE).encode(), b"i=m=audio 1 RTP/AVP 0\r\n"])
    def test_body_stays_when_it_has_no_audio(self, body: bytes) -> None:
        assert filter_codecs(body, CodecList.of(["G729"])) == body


class TestOrder:
    def test_offer_has_the_order_of_the_list(self) -> None:
        attributes = ("rtpmap:0 PCMU/8000", "rtpmap:8 PCMA/8000", OPUS)
        assert cut(medium("0 8 96", *attributes), "opus", "PCMA", "PCMU") == medium("96 8 0", *attributes)

    def test_offer_keeps_its_order_when_one_entry_allows_several(self) -> None:
        attributes = ("rtpmap:97 L16/8000", "rtpmap:96 L16/16000")
        assert cut(medium("0 97 96", *attributes), "L16", "PCMU") == medium("97 96 0", *attributes)

    def test_answer_keeps_the_order_of_who_answers(self) -> None:
        assert cut(medium("101 0 18 8", *DIGITS), "PCMA", "PCMU", reorder=False) == medium("101 0 8", *DIGITS)

    def test_answer_is_refused_when_nothing_is_common(self) -> None:
        assert cut(medium("0 8"), "G729", reorder=False) is None


class TestNotSpeech:
    def test_telephone_event_stays_after_the_codecs_when_not_in_the_list(self) -> None:
        assert cut(medium("101 0 8", *DIGITS), "PCMA", "PCMU") == medium("8 0 101", *DIGITS)

    def test_telephone_event_stays_when_it_is_offered_at_two_clock_rates(self) -> None:
        attributes = (*DIGITS, "rtpmap:102 TELEPHONE-EVENT/48000")
        assert cut(medium("102 101 0", *attributes), "PCMU") == medium("0 102 101", *attributes)

    def test_telephone_event_comes_last_when_the_list_has_it_first(self) -> None:
        assert cut(medium("101 0", *DIGITS), "telephone-event", "PCMU") == medium("0 101", *DIGITS)

    def test_comfort_noise_stays_after_the_codecs_when_static_or_dynamic(self) -> None:
        attributes = ("rtpmap:98 CN/16000",)
        assert cut(medium("13 98 0 8", *attributes), "PCMU") == medium("0 13 98", *attributes)


class TestOtherMedia:
    def test_other_media_stay_when_audio_is_cut(self) -> None:
        data = medium("webrtc-datachannel", "sctp-port:5000", line="m=application 9 UDP/DTLS/SCTP")
        attributes = (OPUS, "fmtp:96 useinbandfec=1")
        assert (
            cut(VIDEO + medium("96 0", *attributes) + IMAGE + data, "PCMU", "H264")
            == VIDEO + medium("0") + IMAGE + data
        )

    def test_audio_line_is_refused_by_port_when_it_alone_has_no_codec_left(self) -> None:
        other = medium("18 96 3", "rtpmap:18 G729/8000", OPUS, "ptime:20", line="m=audio 5000/2 RTP/SAVP")
        refused = medium("18", "rtpmap:18 G729/8000", "ptime:20", line="m=audio 0 RTP/SAVP")
        assert cut(medium("8 0") + other, "PCMU") == medium("0") + refused
        assert cut(other + VIDEO + medium("8 0"), "PCMU") == refused + VIDEO + medium("0")

    def test_audio_line_is_refused_by_port_when_its_only_codec_goes(self) -> None:
        assert cut(medium("0") + medium("8"), "PCMU") == medium("0") + medium("8", line="m=audio 0 RTP/AVP")

    def test_offer_is_refused_when_no_audio_line_has_a_codec_left(self) -> None:
        assert cut(medium("8") + VIDEO + medium("18 101", *DIGITS), "PCMU") is None

    def test_audio_lines_have_their_own_names_when_they_use_the_same_number(self) -> None:
        other = medium("96 8", "rtpmap:96 iLBC/8000")
        assert cut(medium("96 0", OPUS) + other, "iLBC", "PCMU") == medium("0") + medium("96", "rtpmap:96 iLBC/8000")

    @pytest.mark.parametrize("port", ["0", "00", "0/2"])
    def test_audio_line_does_not_count_when_it_is_refused_already(self, port: str) -> None:
        refused = medium("8 18", "rtpmap:18 G729/8000", line=f"m=audio {port} RTP/AVP")
        assert cut(refused, "PCMU") == refused
        assert cut(refused + medium("0 8"), "PCMU") == refused + medium("0")
        assert cut(refused + medium("8"), "PCMU") is None

    @pytest.mark.parametrize("protocol", ["RTP/AVPF", "RTP/SAVPF", "UDP/TLS/RTP/SAVPF", "TCP/RTP/AVP"])
    def test_audio_line_is_cut_when_its_protocol_is_any_rtp(self, protocol: str) -> None:
        line = f"m=audio 9 {protocol}"
        assert cut(medium("0 8", line=line), "PCMA") == medium("8", line=line)


class TestBytes:
    @pytest.mark.parametrize("end", ["\r\n", "\n"])
    def test_line_ends_stay_as_they_were(self, end: str) -> None:
        before = HEAD + medium("96 0 8", "rtpmap:0 PCMU/8000", OPUS, "sendrecv") + VIDEO
        after = HEAD + medium("8 0", "rtpmap:0 PCMU/8000", "sendrecv") + VIDEO
        body, expected = (text.replace("\r\n", end).encode() for text in (before, after))
        assert filter_codecs(body, CodecList.of(["PCMA", "PCMU"])) == expected

    @pytest.mark.parametrize("end", [b"\r\n", b"\n"])
    def test_lines_end_as_they_did_when_the_last_has_no_end(self, end: bytes) -> None:
        codecs = CodecList.of(["PCMU"])
        lines = (b"m=audio 1 RTP/AVP 18 0", b"a=rtpmap:18 G729/8000", b"a=sendrecv")
        assert filter_codecs(end.join(lines), codecs) == end.join((b"m=audio 1 RTP/AVP 0", b"a=sendrecv"))
        assert filter_codecs(end.join(lines[:2]), codecs) == b"m=audio 1 RTP/AVP 0" + end
        assert filter_codecs(lines[0], codecs) == b"m=audio 1 RTP/AVP 0"

    def test_medium_before_another_ends_as_it_did_when_its_last_line_goes(self) -> None:
        assert cut(medium("0 18", "fmtp:18 annexb=no") + VIDEO.rstrip(), "PCMU") == medium("0") + VIDEO.rstrip()

    def test_other_bytes_stay_when_they_are_no_text(self) -> None:
        body = b"s=\xff\0\r\nm=audio  1  RTP/AVP  8  0 \t\r\na=\xfe\r\n\r\nx"
        assert filter_codecs(body, CodecList.of(["PCMU"])) == body.replace(b"8  0", b"0")

    def test_spaces_stay_when_nothing_is_cut(self) -> None:
        body = b"m=audio  1  RTP/AVP  8  0 \r\n"
        assert filter_codecs(body, CodecList.of(["PCMA", "PCMU"])) == body


class TestMalformed:
    @pytest.mark.parametrize(
        "line",
        [
            "m=audio ",
            "m=audio x RTP/AVP 0",
            "m=audio 1",
            "m=audio 1 RTP/AVP",
            "m=audio 1 RTP/AVP ",
            "m=audio -1 RTP/AVP 0",
            "m=audio 1/x RTP/AVP 0",
            "m=audio 1 udp 0",
            "m=audio " + "0" * 5000 + " RTP/AVP 0",
        ],
    )
    def test_audio_line_stays_and_does_not_count_when_it_does_not_parse(self, line: str) -> None:
        malformed = f"{line}\r\na=rtpmap:0 PCMU/8000\r\n"
        assert cut(malformed, "PCMA") == malformed
        assert cut(malformed + medium("8 0"), "PCMA") == malformed + medium("8")
        assert cut(malformed + medium("0"), "PCMA") is None

    @pytest.mark.parametrize(
        "line",
        ["rtpmap:", "rtpmap:0", "rtpmap:0 ", "rtpmap: PCMA/8000", "rtpmap:0 /8000", "rtpmap:x y/z", "rtpmap 0 y/1"],
    )
    def test_codec_keeps_its_static_name_when_its_line_is_malformed(self, line: str) -> None:
        assert cut(medium("8 0", line), "PCMU") == medium("0", line)

    def test_last_name_counts_when_a_payload_type_has_several(self) -> None:
        names = ("rtpmap:96 opus/48000/2", "rtpmap:96 iLBC/8000")
        assert cut(medium("96 0", *names), "iLBC") == medium("96", *names)
        assert cut(medium("96 0", *names), "opus") is None

    @pytest.mark.parametrize("line", ["rtpmap:", "fmtp:", "rtcp-fb", "rtpmap: 8 PCMA/8000", "fmtp:x", "fmtp"])
    def test_attribute_stays_when_it_names_no_payload_type(self, line: str) -> None:
        assert cut(medium("8 0", line), "PCMU") == medium("0", line)

    def test_codec_is_known_by_name_when_its_clock_rate_is_missing(self) -> None:
        assert cut(medium("96 0", "rtpmap:96 opus"), "opus/48000") == medium("96", "rtpmap:96 opus")

    def test_payload_type_is_removed_when_it_is_no_number(self) -> None:
        assert cut(medium("x 0 \rz"), "PCMU") == medium("0")


NAMES = ["PCMU", "pcma", "G729", "opus", "opus/48000", "L16/44100", "L16/8000", "telephone-event", "CN", "G729A"]
ENCODINGS = ["PCMU/8000", "PCMA/8000/1", "G729A/8000", "opus/48000/2", "OPUS/16000", "L16/8000", "CN/16000", "/", ""]
PAYLOADS = ["0", "8", "10", "13", "18", "96", "97", "101", "x"]


@st.composite
def media(draw: st.DrawFn) -> str:
    """Draw an audio or video medium whose attributes meet its payload types or not."""
    line = draw(st.sampled_from(["m=audio 9 RTP/AVP", "m=audio 9 RTP/AVP", "m=audio 0 RTP/AVP", "m=video 9 RTP/AVP"]))
    formats = draw(st.lists(st.sampled_from(PAYLOADS), min_size=1, max_size=6))
    attributes = st.builds("rtpmap:{} {}".format, st.sampled_from(PAYLOADS), st.sampled_from(ENCODINGS))
    attributes |= st.builds("fmtp:{} x=1".format, st.sampled_from(PAYLOADS)) | st.just("ptime:20")
    return medium(" ".join(formats), *draw(st.lists(attributes, max_size=8)), line=line)


LISTS = st.lists(st.sampled_from(NAMES), max_size=5).map(CodecList.of)


class TestAnything:
    @given(st.binary() | st.text("m=audio 1RTP/V\r\na=rtpmap:fc-b08").map(str.encode), LISTS, st.booleans())
    def test_filter_never_fails_when_the_body_is_random(self, body: bytes, allowed: CodecList, reorder: bool) -> None:
        for whole in (body, b"m=audio 1 RTP/AVP " + body, b"m=audio 1 RTP/AVP 0 8\na=rtpmap:" + body):
            remaining = filter_codecs(whole, allowed, reorder=reorder)
            assert remaining is None or len(remaining) <= len(whole)

    @given(st.lists(media(), max_size=4), LISTS, st.booleans())
    def test_filter_leaves_a_subset_of_what_was_offered(
        self, offered: list[str], allowed: CodecList, reorder: bool
    ) -> None:
        body = (HEAD + "".join(offered)).encode()
        remaining = filter_codecs(body, allowed, reorder=reorder)
        if remaining is None:
            return
        old, new = body.decode().split("\r\nm="), remaining.decode().split("\r\nm=")
        assert len(new) == len(old)
        for before, after in zip(old, new, strict=True):
            line, *attributes = before.split("\r\n")
            new_line, *new_attributes = after.split("\r\n")
            assert {*new_line.split()[3:]} <= {*line.split()[3:]}
            left = iter(attributes)
            assert all(attribute in left for attribute in new_attributes), "a subsequence"
            if not line.startswith("audio 9"):
                assert after == before

    @given(st.lists(media(), max_size=4), LISTS, st.booleans())
    def test_filter_changes_nothing_more_when_it_is_used_again(
        self, offered: list[str], allowed: CodecList, reorder: bool
    ) -> None:
        once = filter_codecs((HEAD + "".join(offered)).encode(), allowed, reorder=reorder)
        assert once is None or filter_codecs(once, allowed, reorder=reorder) == once

    @given(media().filter(lambda text: text.startswith("m=audio 9")), st.lists(st.sampled_from(NAMES[:4])))
    def test_filter_agrees_with_the_check_of_names_when_the_list_has_no_clock_rate(
        self, offered: str, names: list[str]
    ) -> None:
        body, allowed = (HEAD + offered).encode(), CodecList.of(names)
        passes = allowed.is_open or any(allowed.allows(codec) for codec in audio_codecs(body))
        assert (filter_codecs(body, allowed) is not None) == passes

    @given(media(), LISTS, LISTS)
    def test_intersection_leaves_what_both_lists_leave(self, offered: str, ours: CodecList, theirs: CodecList) -> None:
        body = (HEAD + offered).encode()
        once = filter_codecs(body, theirs, reorder=False)
        both = None if once is None else filter_codecs(once, ours, reorder=False)
        assert filter_codecs(body, ours.intersect(theirs), reorder=False) == both


class TestSessions:
    """What is needed to offer the session of one endpoint to another one."""

    def test_version_is_read(self) -> None:
        assert session_version(b"v=0\r\no=- 5 1700 IN IP4 192.0.2.1\r\n") == 1700

    @pytest.mark.parametrize("body", [b"", b"v=0\r\n", b"o=- 5 x IN IP4 h\r\n", b"o=-\r\n"])
    def test_version_of_what_has_none_is_zero(self, body: bytes) -> None:
        assert session_version(body) == 0

    def test_version_is_raised_where_another_one_spoke_before(self) -> None:
        body = b"v=0\r\no=- 5 3 IN IP4 192.0.2.1\r\ns=-\r\n"
        assert replace_origin(body, 9, "192.0.2.9", 40) == b"v=0\r\no=- 9 43 IN IP4 192.0.2.9\r\ns=-\r\n"

    @pytest.mark.parametrize("direction", [b"sendonly", b"recvonly", b"inactive", b"sendrecv"])
    def test_nobody_is_held_any_more(self, direction: bytes) -> None:
        body = b"v=0\r\nm=audio 4 RTP/AVP 8\r\na=%b\r\na=ptime:20\r\n" % direction
        assert resume(body) == b"v=0\r\nm=audio 4 RTP/AVP 8\r\na=ptime:20\r\n"

    def test_same_media_may_have_another_origin_and_direction(self) -> None:
        one = b"v=0\r\no=- 5 3 IN IP4 192.0.2.1\r\nm=audio 4 RTP/AVP 8\r\na=recvonly\r\n"
        other = b"v=0\r\no=- 5 4 IN IP4 192.0.2.1\r\nm=audio 4 RTP/AVP 8\r\n"
        assert is_same_media(one, other)
        assert not is_same_media(one, other.replace(b"audio 4 ", b"audio 6 "))
