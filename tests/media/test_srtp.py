"""A cipher: what is encrypted and decrypted, dropped and counted, and how another one goes on from it."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pylibsrtp import Policy, Session

from media import rtcp, rtp
from media.sdes import KEY_SIZES, Crypto
from media.srtp import PROFILES, REPORTS_MARGIN, SAVE_EVERY, SOURCES_LIMIT, Cipher, Sealed
from tests.media.secure import is_readable

CM = "AES_CM_128_HMAC_SHA1_80"


def packet(sequence: int, ssrc: int = 7) -> bytes:
    return rtp.pack(0, sequence, 160 * sequence, ssrc, b"\xff" * 160)


class End:
    """The other end of a cipher."""

    def __init__(self, suite: str = CM) -> None:
        self.theirs, self.ours = Crypto.make(1, suite), Crypto.make(1, suite)
        profile = PROFILES[suite]
        self.sending = Session(Policy(self.theirs.key, Policy.SSRC_ANY_OUTBOUND, 0, profile))
        self.receiving = Session(Policy(self.ours.key, Policy.SSRC_ANY_INBOUND, 0, profile))
        self.cipher = Cipher(self.theirs, self.ours)

    def follow(self) -> None:
        """Another cipher goes on."""
        state = self.cipher.to_state()
        self.cipher = Cipher(self.theirs, self.ours)
        self.cipher.resume(state)


@pytest.mark.parametrize("suite", list(KEY_SIZES))
def test_both_directions_of_every_suite(suite: str) -> None:
    end = End(suite)
    report = rtcp.pack(rtcp.Report(7, []))
    for sequence in range(3):
        assert end.cipher.decrypt(end.sending.protect(packet(sequence))) == packet(sequence)
        encrypted = end.cipher.encrypt(packet(sequence))
        assert encrypted is not None
        assert packet(sequence)[12:40] not in encrypted
        assert end.receiving.unprotect(encrypted) == packet(sequence)
    assert end.cipher.decrypt_control(end.sending.protect_rtcp(report)) == report
    encrypted = end.cipher.encrypt_control(report)
    assert encrypted is not None
    assert end.receiving.unprotect_rtcp(encrypted) == report


class TestDropped:
    def test_what_comes_twice_or_is_not_of_the_key_is_counted(self) -> None:
        end, other = End(), End()
        encrypted = end.sending.protect(packet(1))
        assert end.cipher.decrypt(encrypted)
        assert end.cipher.decrypt(encrypted) is None
        assert end.cipher.decrypt(other.sending.protect(packet(2))) is None
        assert end.cipher.decrypt(end.sending.protect(packet(3))[:-1]) is None
        assert end.cipher.decrypt_control(other.sending.protect_rtcp(rtcp.pack(rtcp.Report(7, [])))) is None
        failures = end.cipher.failures
        assert (failures.replay, failures.authentication, failures.other) == (1, 3, 0)

    @given(st.binary(max_size=2000))
    def test_anything_is_taken(self, data: bytes) -> None:
        end = End()
        for change in (end.cipher.decrypt, end.cipher.decrypt_control):
            assert change(data) is None
        end.cipher.encrypt(data)
        end.cipher.encrypt_control(data)

    def test_sources_are_limited(self) -> None:
        end = End()
        for ssrc in range(SOURCES_LIMIT):
            assert end.cipher.encrypt(packet(1, ssrc))
            assert end.cipher.decrypt(end.sending.protect(packet(1, ssrc)))
            assert end.cipher.encrypt_control(rtcp.pack(rtcp.Report(ssrc, [])))
        assert end.cipher.encrypt(packet(1, 999)) is None
        assert end.cipher.decrypt(end.sending.protect(packet(1, 999))) is None
        assert end.cipher.encrypt_control(rtcp.pack(rtcp.Report(999, []))) is None
        assert end.cipher.encrypt(packet(2, 3))

    def test_nothing_passes_what_is_sealed(self) -> None:
        sealed = Sealed()
        for change in (sealed.decrypt, sealed.encrypt, sealed.decrypt_control, sealed.encrypt_control):
            assert change(packet(1)) is None


class TestKeys:
    def test_direction_whose_key_is_the_same_goes_on(self) -> None:
        end, other = End(), End()
        first = end.sending.protect(packet(1))
        end.cipher.decrypt(first)
        end.cipher.encrypt(packet(1))
        end.cipher.renew(end.theirs.tagged(5), end.ours)
        assert end.cipher.decrypt(first) is None  # it comes twice
        end.cipher.renew(other.theirs, end.ours.tagged(5))
        assert end.cipher.decrypt(other.sending.protect(packet(1))) == packet(1)
        assert end.cipher.encrypt(packet(1)) is None  # the number was used: nothing may be encrypted alike
        end.cipher.renew(other.theirs, other.ours)
        encrypted = end.cipher.encrypt(packet(1))
        assert encrypted is not None
        assert is_readable(other.receiving, encrypted)


class TestSuccessor:
    """RFC 3711 §3.3.1: how often the sequence numbers began anew is in no packet."""

    @pytest.mark.parametrize("last", [10, 40_000, 65_535, 65_536 * 3 + 70, 65_536 * 5 + 50_000])
    def test_goes_on_where_the_one_before_was(self, last: int) -> None:
        end = End()
        for index in [*range(last % 20_000, last, 20_000), last]:
            assert end.cipher.decrypt(end.sending.protect(packet(index)))
            encrypted = end.cipher.encrypt(packet(index))
            assert encrypted is not None
            assert is_readable(end.receiving, encrypted)
        end.follow()
        # Some passed that were not noted.
        index = last + SAVE_EVERY - 1
        for skipped in (last + SAVE_EVERY // 2, index - 1):
            end.sending.protect(packet(skipped))
        assert end.cipher.decrypt(end.sending.protect(packet(index))) == packet(index)
        encrypted = end.cipher.encrypt(packet(index))
        assert encrypted is not None
        assert end.receiving.unprotect(encrypted) == packet(index)
        assert end.cipher.encrypt(packet(last)) is None

    def test_place_is_noted_early_enough(self) -> None:
        end = End()
        noted = []
        end.cipher.noted = lambda: noted.append(end.cipher.to_state()["out"][7])
        for index in range(0, 65_536 * 2, 100):
            end.cipher.encrypt(packet(index))
        assert noted[0] == 0
        assert len(noted) == 8
        assert max(later - earlier for earlier, later in pairwise(noted)) < SAVE_EVERY + 200

    def test_reports_are_never_encrypted_alike(self) -> None:
        end = End()
        report = rtcp.pack(rtcp.Report(7, []))
        states = []
        end.cipher.noted = lambda: states.append(end.cipher.to_state()["reports"][7])
        for _ in range(REPORTS_MARGIN):
            encrypted = end.cipher.encrypt_control(report)
            assert encrypted is not None
            end.receiving.unprotect_rtcp(encrypted)
        assert states == [1]
        state = {**end.cipher.to_state(), "reports": {7: 1}}
        end.cipher = Cipher(end.theirs, end.ours)
        end.cipher.resume(state)
        encrypted = end.cipher.encrypt_control(report)
        assert encrypted is not None
        assert end.receiving.unprotect_rtcp(encrypted) == report  # libsrtp would see that it comes twice
