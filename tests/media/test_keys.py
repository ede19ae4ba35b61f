"""The keys of a leg: offered, answered, kept, and taken up again."""

import pytest

from media.description import Medium, parse
from media.errors import InvalidDescription
from media.keys import LegKeys, protocol_towards
from media.ng import Options
from media.sdes import Crypto
from media.srtp import Sealed
from tests.media.descriptions import description

CM = "AES_CM_128_HMAC_SHA1_80"


def medium(protocol: str = "RTP/SAVP", *keys: Crypto) -> Medium:
    lines = "".join(f"{key.to_line().decode()}\n" for key in keys)
    return parse(description(media=f"m=audio 5000 {protocol} 0\n{lines}")).media[0]


@pytest.mark.parametrize(
    ("has", "asked", "shown"),
    [
        ("RTP/AVP", "", "RTP/AVP"),
        ("RTP/AVP", "RTP/SAVP", "RTP/SAVP"),
        ("RTP/AVPF", "rtp/savpf", "RTP/SAVPF"),
        ("UDP/TLS/RTP/SAVPF", "RTP/SAVP", "UDP/TLS/RTP/SAVPF"),
        ("udptl", "RTP/AVP", "udptl"),
    ],
)
def test_protocol_is_the_one_asked_for_if_it_can_be(has: str, asked: str, shown: str) -> None:
    assert protocol_towards(medium(has), Options(transport_protocol=asked)).decode() == shown


def test_key_of_a_side_stays_with_the_suite_and_not_with_another() -> None:
    keys = LegKeys()
    theirs = Crypto.make(1, CM)
    keys.take_offer(medium("RTP/SAVP", theirs))
    (ours,) = keys.answered
    keys.take_offer(medium("RTP/SAVP", theirs.tagged(4)))
    assert keys.answered == (ours.tagged(4),)
    assert keys.offer(is_secure=True, is_first=False) == (ours.tagged(4),)
    keys.take_offer(medium("RTP/SAVP", Crypto.make(1, "AEAD_AES_128_GCM")))
    assert keys.answered[0].suite == "AEAD_AES_128_GCM"
    keys.take_offer(medium("RTP/AVP"))
    assert keys.cipher is None


def test_state_is_taken_up_at_every_stage() -> None:
    keys, again = LegKeys(), LegKeys()
    assert keys.to_state() is None
    again.resume(None)
    assert again.cipher is None
    offered = keys.offer(is_secure=True, is_first=True)
    again.resume(keys.to_state())
    assert again.offered == offered
    assert isinstance(again.cipher, Sealed)
    answer = medium("RTP/SAVP", Crypto.make(offered[1].tag, offered[1].suite))
    again.check_answer(answer)
    again.take_answer(answer)
    third = LegKeys()
    third.resume(again.to_state())
    assert third.answered == again.answered == (offered[1],)
    with pytest.raises(ValueError, match="key"):
        third.resume({"offered": [[1, CM, "c2hvcnQ="]], "is_sealed": False})


def test_answer_that_is_none_of_the_offer_is_refused() -> None:
    keys = LegKeys()
    keys.check_answer(medium("RTP/AVP"))
    with pytest.raises(InvalidDescription, match="was not offered"):
        keys.check_answer(medium("RTP/SAVP", Crypto.make(1, CM)))
    keys.offer(is_secure=True, is_first=True)
    for answer, reason in (
        (medium("RTP/AVP"), "in the clear"),
        (medium("RTP/SAVP"), "no a=crypto"),
        (medium("RTP/SAVP", Crypto.make(9, CM)), "not offered"),
    ):
        with pytest.raises(InvalidDescription, match=reason):
            keys.check_answer(answer)
