"""Answering challenges (RFC 3261 §22.2, §22.3, RFC 7616, RFC 8760)."""

from itertools import count

import pytest

from b2bua.sip.digest import Challenge, Credentials, ha1
from b2bua.sip.digest_client import REALMS_LIMIT, TRIES_LIMIT, DigestClient, Tries
from b2bua.sip.headers import Headers
from b2bua.sip.message import Request, Response

URI = "sip:442079460000@203.0.113.1:5060"


def make_client() -> DigestClient:
    numbers = count(1)
    return DigestClient("alice", "secret", lambda: f"c{next(numbers)}")


def challenged(*challenges: Challenge | str, status: int = 401) -> Response:
    name = "www-authenticate" if status == 401 else "proxy-authenticate"
    return Response(status, "", Headers({name: [str(challenge) for challenge in challenges]}))


def proofs(client: DigestClient, method: str = "INVITE", name: str = "authorization") -> list[Credentials]:
    request = Request(method, URI, Headers())
    client.prove(request)
    return [Credentials.parse(value) for value in request.headers.get(name, ())]


class TestAnswer:
    @pytest.mark.parametrize("algorithm", ["MD5", "SHA-256", "SHA-512-256"])
    @pytest.mark.parametrize("qop", ["auth", ""])
    def test_proof_is_right(self, algorithm: str, qop: str) -> None:
        client = make_client()
        assert client.take(challenged(Challenge("here", "n1", algorithm, qop, opaque="x")), Tries())
        (proof,) = proofs(client, "BYE")
        assert proof.proves(ha1("alice", "here", "secret", algorithm), "BYE")
        assert (proof.uri, proof.nonce, proof.opaque, proof.algorithm) == (URI, "n1", "x", algorithm)
        assert (proof.qop, proof.nc, proof.cnonce) == ((qop, "00000001", "c1") if qop else ("", "", ""))

    def test_proof_goes_where_it_was_asked_for(self) -> None:
        client = make_client()
        tries = Tries()
        assert client.take(challenged(Challenge("proxy", "n1"), status=407), tries)
        assert client.take(challenged(Challenge("end", "n2"), status=401), tries)
        request = Request("INVITE", URI, Headers())
        client.prove(request)
        assert [Credentials.parse(each).realm for each in request.headers["proxy-authorization"]] == ["proxy"]
        assert [Credentials.parse(each).realm for each in request.headers["authorization"]] == ["end"]

    def test_every_realm_is_answered_when_proxies_ask_together(self) -> None:
        client = make_client()
        assert client.take(challenged(Challenge("a", "n1"), Challenge("b", "n2")), Tries())
        assert [proof.realm for proof in proofs(client)] == ["a", "b"]

    @pytest.mark.parametrize("order", [1, -1])
    def test_strongest_algorithm_is_taken(self, order: int) -> None:
        client = make_client()
        unknown = 'Digest realm="here", nonce="n3", algorithm=NEW'
        offered: list[Challenge | str] = [Challenge("here", "n1", "MD5"), Challenge("here", "n2", "SHA-256"), unknown]
        assert client.take(challenged(*offered[::order]), Tries())
        assert [(proof.nonce, proof.algorithm) for proof in proofs(client)] == [("n2", "SHA-256")]

    @pytest.mark.parametrize(
        "challenge",
        ['Basic realm="x"', 'Digest realm="x"', 'Digest realm="x", nonce="n", algorithm=MD5-sess', "",
         'Digest realm="x", nonce="n", qop="auth-int"', 'Digest realm="x, nonce="n'],
    )  # fmt: skip
    def test_nothing_is_answered_when_it_cannot_be(self, challenge: str) -> None:
        client = make_client()
        assert not client.take(challenged(challenge), Tries())
        assert proofs(client) == []

    @pytest.mark.parametrize("status", [200, 403, 423, 486])
    def test_other_answers_are_no_challenges(self, status: int) -> None:
        response = challenged(Challenge("here", "n1"))
        response.status = status
        assert not make_client().take(response, Tries())

    def test_challenge_without_a_header_is_none(self) -> None:
        assert not make_client().take(Response(401, "", Headers()), Tries())


class TestAgain:
    def test_refused_proof_is_not_sent_again(self) -> None:
        client, tries = make_client(), Tries()
        assert client.take(challenged(Challenge("here", "n1")), tries)
        assert not client.take(challenged(Challenge("here", "n2")), tries)

    def test_stale_nonce_is_replaced_once(self) -> None:
        client, tries = make_client(), Tries()
        assert client.take(challenged(Challenge("here", "n1")), tries)
        assert client.take(challenged(Challenge("here", "n2", stale=True)), tries)
        assert [proof.nonce for proof in proofs(client)] == ["n2"]
        assert not client.take(challenged(Challenge("here", "n3", stale=True)), tries)

    def test_nonce_is_used_on_with_the_next_count(self) -> None:
        client = make_client()
        client.take(challenged(Challenge("here", "n1")), Tries())
        assert [proofs(client)[0].nc for _ in range(11)][-2:] == ["0000000a", "0000000b"]

    def test_later_request_may_be_challenged_anew(self) -> None:
        client = make_client()
        client.take(challenged(Challenge("here", "n1")), Tries())
        proofs(client)
        assert client.take(challenged(Challenge("here", "n2")), Tries())
        assert [(proof.nonce, proof.nc) for proof in proofs(client)] == [("n2", "00000001")]

    def test_proof_replaces_that_of_before(self) -> None:
        client = make_client()
        client.take(challenged(Challenge("here", "n1")), Tries())
        request = Request("INVITE", URI, Headers())
        client.prove(request)
        client.prove(request)
        assert len(request.headers["authorization"]) == 1

    def test_request_gives_up_when_every_answer_names_another_realm(self) -> None:
        client, tries = make_client(), Tries()
        taken = [client.take(challenged(Challenge(f"r{number}", "n")), tries) for number in range(TRIES_LIMIT + 2)]
        assert taken == [True] * TRIES_LIMIT + [False, False]

    def test_stale_nonces_of_several_realms_have_one_limit(self) -> None:
        tries = Tries()
        for _ in range(TRIES_LIMIT):
            assert tries.allow(("authorization", "here"), is_stale=True) or tries.allow(("x", "y"), is_stale=True)
            tries.count()
        assert not tries.allow(("authorization", "there"), is_stale=False)

    def test_realms_are_limited(self) -> None:
        client = make_client()
        for number in range(REALMS_LIMIT + 3):
            client.take(challenged(Challenge(f"r{number}", "n")), Tries())
        assert len(proofs(client)) == REALMS_LIMIT
