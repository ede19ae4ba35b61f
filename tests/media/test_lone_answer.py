"""An answer that nobody has given: to what it fits, and to what there is none."""

import pytest

from media.description import parse
from media.lone_answer import answer_alone
from tests.media.descriptions import description


def test_first_codec_that_can_be_played_is_taken_and_other_media_are_refused() -> None:
    media = "m=video 5002 RTP/AVP 96\na=rtpmap:96 H264/90000\nm=audio 5000 RTP/AVP 18 97 0\na=rtpmap:97 pcma/8000\n"
    answer = answer_alone(description("127.0.0.1", media=media), "192.0.2.1")
    assert answer is not None
    video, audio = parse(answer).media
    assert (video.kind, video.port) == ("video", 0)
    assert (audio.kind, audio.port, audio.formats, audio.address) == ("audio", 9, b"97", "192.0.2.1")
    assert b"a=rtpmap:97 pcma/8000" in answer


def test_caller_with_g722_alone_is_answered() -> None:
    answer = answer_alone(description("127.0.0.1", media="m=audio 5000 RTP/AVP 18 9\n"), "192.0.2.1")
    assert answer is not None
    assert parse(answer).media[0].formats == b"9"
    assert b"a=rtpmap:9 G722/8000" in answer


def test_address_of_ipv6_is_named_as_such() -> None:
    answer = answer_alone(description("::1", media="m=audio 5000 RTP/AVP 8\n"), "2001:db8::1")
    assert answer is not None
    assert b"c=IN IP6 2001:db8::1" in answer


@pytest.mark.parametrize(
    "media",
    [
        "m=audio 5000 RTP/AVP 4 18\n",
        "m=audio 5000 RTP/SAVP 0\n",
        "m=audio 0 RTP/AVP 0\n",
        "m=audio 5000 RTP/AVP 0\na=sendonly\n",
        "m=audio 5000 RTP/AVP 0\nc=IN IP4 0.0.0.0\n",
        "m=video 5000 RTP/AVP 96\n",
        "m=audio 5000 RTP/AVP 97\na=rtpmap:97 PCMU/16000\n",
    ],
)
def test_offer_without_audio_of_ours_has_no_answer(media: str) -> None:
    assert answer_alone(description("127.0.0.1", media=media), "192.0.2.1") is None
    assert answer_alone(b"nonsense", "192.0.2.1") is None
