"""Digest of SIP users (docs/behaviour.md §1.3, §1.5, §1.6; RFC 3261 §22, RFC 7616)."""

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
URI = f"sip:bob@{sip.HERE}"


@pytest.fixture
def snapshot() -> Snapshot:
    account = Account(1, "CUST0001", "customer", None, "active", "EUR", None, Billing(4, "ROUND", (Decimal(0),)))
    alice = Device("user", 9, account, "active", username="alice", ha1_md5=ha1("alice", REALM, SECRET))
    snapshot = Snapshot(realm=REALM)
    snapshot.users.add(alice)
    return snapshot


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
    credentials = challenge.answer(user, secret, "INVITE", URI, "c0ffee")
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
        other = Challenge(REALM, challenge.nonce, "SHA-256").answer("alice", SECRET, "INVITE", URI, "c0ffee")
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
        for challenge in (first, wrong, unknown):
            challenge.nonce = challenge.nonce[:11]
        assert str(wrong) == str(unknown) == str(first)

    def test_method_counts_when_a_proof_was_made_for_another(
        self, authenticator: Authenticator, snapshot: Snapshot
    ) -> None:
        first = challenged(authenticator.check(invite(), HOST, snapshot, NOW))
        proof = first.answer("alice", SECRET, "BYE", URI, "c0ffee")
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
        proof = challenge.answer("alice", SECRET, "INVITE", URI, "")
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


class TestRequestURI:
    """RFC 7616 §3.4.6: a proof is good for one Request-URI."""

    def outcome(
        self, authenticator: Authenticator, snapshot: Snapshot, uri: str, request_uri: str = URI
    ) -> str | Challenge:
        challenge = challenged(authenticator.check(invite(), HOST, snapshot, NOW))
        request = invite(challenge.answer("alice", SECRET, "INVITE", uri, "c0ffee"))
        request.uri = request_uri
        return authenticator.check(request, HOST, snapshot, NOW)

    @pytest.mark.parametrize(
        "uri", [URI, f"{URI}:5060", f"{URI};transport=tcp", f"SIP:bob@{sip.HERE}", f"sip:%62ob@{sip.HERE}"]
    )
    def test_user_is_known_when_the_uri_names_the_same(
        self, authenticator: Authenticator, snapshot: Snapshot, uri: str
    ) -> None:
        assert self.outcome(authenticator, snapshot, uri) == "alice"

    def test_user_is_known_when_the_uri_is_the_same_though_it_is_none(
        self, authenticator: Authenticator, snapshot: Snapshot
    ) -> None:
        assert self.outcome(authenticator, snapshot, "urn:service:sos", "urn:service:sos") == "alice"

    @pytest.mark.parametrize("uri", ["sip:eve@192.0.2.1", "sip:bob@192.0.2.2", f"{URI}:5080", "nonsense"])
    def test_proof_is_refused_when_it_was_made_for_another(
        self, authenticator: Authenticator, snapshot: Snapshot, uri: str
    ) -> None:
        assert not challenged(self.outcome(authenticator, snapshot, uri)).stale


class TestRegister:
    """RFC 3261 §22.2: a REGISTER shows Authorization."""

    def request(self, authenticator: Authenticator, snapshot: Snapshot, header: str, method: str) -> str | Challenge:
        request = sip.parse_request(sip.request("REGISTER"))
        challenge = challenged(authenticator.check(request, HOST, snapshot, NOW))
        request.headers[header] = [str(challenge.answer("alice", SECRET, method, URI, "c0ffee"))]
        return authenticator.check(request, HOST, snapshot, NOW)

    def test_user_is_known_when_it_answers_as_to_a_server(
        self, authenticator: Authenticator, snapshot: Snapshot
    ) -> None:
        assert self.request(authenticator, snapshot, "authorization", "REGISTER") == "alice"

    def test_user_is_challenged_when_it_answers_as_to_a_proxy(
        self, authenticator: Authenticator, snapshot: Snapshot
    ) -> None:
        challenged(self.request(authenticator, snapshot, "proxy-authorization", "REGISTER"))

    def test_user_is_challenged_when_its_proof_is_that_of_a_call(
        self, authenticator: Authenticator, snapshot: Snapshot
    ) -> None:
        challenged(self.request(authenticator, snapshot, "authorization", "INVITE"))


class TestFailures:
    """docs/behaviour.md §1.6: only an answer to a nonce that we sent to that address counts."""

    def failures(self, snapshot: Snapshot, proof: Credentials, now: float = NOW) -> list[str]:
        failed: list[str] = []
        authenticator = Authenticator(NonceMaker(b"key of the system"), lambda host, _: failed.append(host))
        authenticator.check(invite(proof), HOST, snapshot, now)
        return failed

    def challenge(self, snapshot: Snapshot, host: str = HOST) -> Challenge:
        return challenged(Authenticator(NonceMaker(b"key of the system")).check(invite(), host, snapshot, NOW))

    def test_address_is_named_when_user_secret_or_uri_are_wrong(self, snapshot: Snapshot) -> None:
        challenge = self.challenge(snapshot)
        for proof in (
            answer(challenge, secret="wrong"),
            answer(challenge, user="mallory"),
            challenge.answer("alice", SECRET, "INVITE", "sip:eve@x", "c0ffee"),
        ):
            assert self.failures(snapshot, proof) == [HOST]

    def test_address_is_named_when_a_wrong_proof_comes_late(self, snapshot: Snapshot) -> None:
        # Else an old nonce would tell right secrets from wrong ones, as often as one likes.
        assert self.failures(snapshot, answer(self.challenge(snapshot), secret="wrong"), NOW + 3600) == [HOST]

    def test_nobody_is_named_when_the_proof_is_right_or_stale(self, snapshot: Snapshot) -> None:
        proof = answer(self.challenge(snapshot))
        assert self.failures(snapshot, proof) == []
        assert self.failures(snapshot, proof, NOW + 3600) == []

    def test_nobody_is_named_when_the_nonce_was_not_given_to_that_address(self, snapshot: Snapshot) -> None:
        assert self.failures(snapshot, answer(self.challenge(snapshot, "203.0.113.99"), secret="wrong")) == []
        assert self.failures(snapshot, answer(Challenge(REALM, "invented"), secret="wrong")) == []

    def test_nobody_is_named_when_nothing_is_shown(self, snapshot: Snapshot) -> None:
        assert self.failures(snapshot, answer(Challenge("elsewhere", "n"))) == []

    def test_user_that_is_refused_there_is_challenged_whatever_it_proves(self, snapshot: Snapshot) -> None:
        proof = answer(self.challenge(snapshot))
        for refused in ("alice", "bob"):
            authenticator = Authenticator(
                NonceMaker(b"key of the system"),
                is_refused=lambda *asked, refused=refused: asked == (HOST, refused),
            )
            is_proved = isinstance(authenticator.check(invite(proof), HOST, snapshot, NOW), str)
            assert is_proved == (refused != "alice")
