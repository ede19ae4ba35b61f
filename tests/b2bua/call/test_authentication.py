"""Digest of SIP users (docs/behaviour.md §1.5, §1.6; RFC 3261 §22, RFC 7616)."""

from decimal import Decimal

import pytest

from b2bua.call import authentication
from b2bua.call.authentication import Authenticator
from b2bua.policy.accounts import Account, Device
from b2bua.policy.snapshot import Snapshot
from b2bua.sip.digest import Challenge, Credentials, NonceMaker, ha1
from b2bua.sip.message import Request
from rating.charge import Billing
from tests.support import sip

HOST = "198.51.100.7"
NOW = 1_700_000_000.0
REALM = "softswitch"
SECRET = "correct horse"


@pytest.fixture
def snapshot() -> Snapshot:
    account = Account(1, "CUST0001", "customer", None, "active", "EUR", None, Billing(4, "ROUND", (Decimal(0),)))
    alice = Device("user", 9, account, "active", username="alice", ha1_md5=ha1("alice", REALM, SECRET))
    return Snapshot(realm=REALM, users={"alice": alice})


@pytest.fixture
def authenticator() -> Authenticator:
    return Authenticator(NonceMaker(b"key of the system"))


def invite(*credentials: Credentials | str) -> Request:
    request = sip.parse_request(sip.request())
    if credentials:
        request.headers["proxy-authorization"] = [str(each) for each in credentials]
    return request


def challenged(outcome: str | Challenge) -> Challenge:
    assert isinstance(outcome, Challenge)
    return outcome


def answer(challenge: Challenge, user: str = "alice", secret: str = SECRET, nc: int = 1) -> Credentials:
    """What a user agent answers, with a nonce count of its own."""
    credentials = challenge.answer(user, secret, "INVITE", f"sip:bob@{sip.HERE}", "c0ffee")
    credentials.nc = f"{nc:08x}"
    key = ha1(user, challenge.realm, secret)
    credentials.response = credentials.expected_response(key, "INVITE")
    return credentials


class TestChallenge:
    def test_caller_is_challenged_when_it_shows_nothing(self, authenticator: Authenticator, snapshot: Snapshot) -> None:
        challenge = challenged(authenticator.check(invite(), HOST, snapshot, NOW))
        assert (challenge.realm, challenge.algorithm, challenge.qop, challenge.stale) == (REALM, "MD5", "auth", False)

    def test_user_is_known_when_it_answers_the_challenge(
        self, authenticator: Authenticator, snapshot: Snapshot
    ) -> None:
        challenge = challenged(authenticator.check(invite(), HOST, snapshot, NOW))
        assert authenticator.check(invite(answer(challenge)), HOST, snapshot, NOW + 1) == "alice"

    def test_user_is_known_when_another_worker_challenged_it(self, snapshot: Snapshot) -> None:
        challenge = challenged(Authenticator(NonceMaker(b"shared")).check(invite(), HOST, snapshot, NOW))
        other = Authenticator(NonceMaker(b"shared"))
        assert other.check(invite(answer(challenge)), HOST, snapshot, NOW + 1) == "alice"

    def test_user_is_known_when_its_credentials_for_another_realm_come_first(
        self, authenticator: Authenticator, snapshot: Snapshot
    ) -> None:
        challenge = challenged(authenticator.check(invite(), HOST, snapshot, NOW))
        foreign = answer(Challenge("elsewhere", challenge.nonce))
        request = invite("Basic YWxpY2U6c2VjcmV0", foreign, answer(challenge))
        assert authenticator.check(request, HOST, snapshot, NOW) == "alice"

    def test_caller_is_challenged_when_the_algorithm_is_not_the_one_that_was_asked_for(
        self, authenticator: Authenticator, snapshot: Snapshot
    ) -> None:
        challenge = challenged(authenticator.check(invite(), HOST, snapshot, NOW))
        other = Challenge(REALM, challenge.nonce, "SHA-256").answer("alice", SECRET, "INVITE", "sip:bob@x", "c0ffee")
        assert not challenged(authenticator.check(invite(other), HOST, snapshot, NOW)).stale

    def test_caller_is_challenged_when_the_header_cannot_be_read(
        self, authenticator: Authenticator, snapshot: Snapshot
    ) -> None:
        assert not challenged(authenticator.check(invite("Digest nonsense"), HOST, snapshot, NOW)).stale


class TestRefusedProof:
    """Whatever is wrong, the answer looks the same."""

    def outcomes(self, authenticator: Authenticator, snapshot: Snapshot, *proofs: Credentials) -> list[Challenge]:
        return [challenged(authenticator.check(invite(proof), HOST, snapshot, NOW + 1)) for proof in proofs]

    def test_unknown_user_and_wrong_secret_cannot_be_told_apart(
        self, authenticator: Authenticator, snapshot: Snapshot
    ) -> None:
        first = challenged(authenticator.check(invite(), HOST, snapshot, NOW + 1))
        wrong, unknown = self.outcomes(
            authenticator, snapshot, answer(first, secret="wrong"), answer(first, user="mallory")
        )
        assert str(wrong) == str(unknown) == str(first)

    def test_method_counts_when_a_proof_was_made_for_another(
        self, authenticator: Authenticator, snapshot: Snapshot
    ) -> None:
        first = challenged(authenticator.check(invite(), HOST, snapshot, NOW))
        proof = first.answer("alice", SECRET, "BYE", f"sip:bob@{sip.HERE}", "c0ffee")
        assert not self.outcomes(authenticator, snapshot, proof)[0].stale

    def test_proof_is_refused_when_the_nonce_was_never_ours(
        self, authenticator: Authenticator, snapshot: Snapshot
    ) -> None:
        foreign = NonceMaker(b"another key").make(NOW, HOST)
        assert not self.outcomes(authenticator, snapshot, answer(Challenge(REALM, foreign)))[0].stale

    def test_proof_is_refused_when_the_nonce_was_given_to_another_address(
        self, authenticator: Authenticator, snapshot: Snapshot
    ) -> None:
        challenge = challenged(authenticator.check(invite(), "203.0.113.99", snapshot, NOW))
        assert not self.outcomes(authenticator, snapshot, answer(challenge))[0].stale

    @pytest.mark.parametrize("nonce", ["", ".", "zz.zz", "ffffffffffffffffffff.00", "18bcfe56800", "é.é"])
    def test_proof_is_refused_when_the_nonce_is_rubbish(
        self, authenticator: Authenticator, snapshot: Snapshot, nonce: str
    ) -> None:
        assert not self.outcomes(authenticator, snapshot, answer(Challenge(REALM, nonce)))[0].stale


class TestReplay:
    """RFC 7616 §3.4.6."""

    def test_caller_may_try_again_at_once_when_its_nonce_is_old(
        self, authenticator: Authenticator, snapshot: Snapshot
    ) -> None:
        old = challenged(authenticator.check(invite(), HOST, snapshot, NOW))
        again = challenged(authenticator.check(invite(answer(old)), HOST, snapshot, NOW + 61))
        assert again.stale
        assert ", stale=true" in str(again)
        assert authenticator.check(invite(answer(again)), HOST, snapshot, NOW + 62) == "alice"

    def test_old_nonce_is_not_stale_when_the_secret_is_wrong(
        self, authenticator: Authenticator, snapshot: Snapshot
    ) -> None:
        old = challenged(authenticator.check(invite(), HOST, snapshot, NOW))
        assert not challenged(authenticator.check(invite(answer(old, secret="wrong")), HOST, snapshot, NOW + 61)).stale

    def test_proof_is_stale_when_it_is_replayed(self, authenticator: Authenticator, snapshot: Snapshot) -> None:
        proof = answer(challenged(authenticator.check(invite(), HOST, snapshot, NOW)))
        assert authenticator.check(invite(proof), HOST, snapshot, NOW) == "alice"
        assert challenged(authenticator.check(invite(proof), HOST, snapshot, NOW)).stale

    def test_nonce_serves_again_when_its_count_goes_up(self, authenticator: Authenticator, snapshot: Snapshot) -> None:
        challenge = challenged(authenticator.check(invite(), HOST, snapshot, NOW))
        for nc in (1, 2, 16):
            assert authenticator.check(invite(answer(challenge, nc=nc)), HOST, snapshot, NOW) == "alice"
        assert challenged(authenticator.check(invite(answer(challenge, nc=9)), HOST, snapshot, NOW)).stale

    def test_nonce_count_that_is_no_number_is_stale_when_the_proof_is_right(
        self, authenticator: Authenticator, snapshot: Snapshot
    ) -> None:
        proof = answer(challenged(authenticator.check(invite(), HOST, snapshot, NOW)))
        proof.nc = "zz"
        proof.response = proof.expected_response(ha1("alice", REALM, SECRET), "INVITE")
        assert challenged(authenticator.check(invite(proof), HOST, snapshot, NOW)).stale

    def test_nonce_serves_once_when_the_caller_does_not_count(
        self, authenticator: Authenticator, snapshot: Snapshot
    ) -> None:
        challenge = challenged(authenticator.check(invite(), HOST, snapshot, NOW))
        challenge.qop = ""  # RFC 2069 callers
        proof = challenge.answer("alice", SECRET, "INVITE", "sip:bob@x", "")
        assert authenticator.check(invite(proof), HOST, snapshot, NOW) == "alice"
        assert challenged(authenticator.check(invite(proof), HOST, snapshot, NOW)).stale

    def test_memory_is_bounded_when_many_nonces_are_used(
        self, authenticator: Authenticator, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(authentication, "_COUNTS_LIMIT", 10)
        for second in range(30):
            now = NOW + second
            challenge = challenged(authenticator.check(invite(), HOST, snapshot, now))
            assert authenticator.check(invite(answer(challenge)), HOST, snapshot, now) == "alice"
        assert len(authenticator._counts) == 10
