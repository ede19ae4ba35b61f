"""Digest access authentication."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from b2bua.sip.digest import Challenge, Credentials, NonceMaker, ha1
from b2bua.sip.errors import ParseError
from tests.support.sip import credentials, printable, wire_text

NOW = 1_700_000_000.0


def mufasa(algorithm: str, response: str) -> Credentials:
    """The answer of RFC 7616 §3.9.1."""
    return Credentials.parse(
        'Digest username="Mufasa", realm="http-auth@example.org", uri="/dir/index.html", '
        f"algorithm={algorithm}, "
        'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", nc=00000001, '
        'cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", qop=auth, '
        f'response="{response}", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
    )


class TestExamples:
    """RFC 7616 §3.9.1 and RFC 2617 §3.5."""

    @pytest.mark.parametrize(
        ("algorithm", "response"),
        [
            ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
            ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ],
    )
    def test_example_of_rfc_7616_is_proved(self, algorithm: str, response: str) -> None:
        given_answer = mufasa(algorithm, response)
        known = ha1("Mufasa", "http-auth@example.org", "Circle of Life", algorithm)
        assert given_answer.expected_response(known, "GET") == response
        assert given_answer.proves(known, "GET")

    def test_example_of_rfc_2617_is_proved(self) -> None:
        answer = Credentials.parse(
            'Digest username="Mufasa", realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", '
            'uri="/dir/index.html", qop=auth, nc=00000001, cnonce="0a4f113b", '
            'response="6629fae49393a05397450978507c4ef1", opaque="5ccc069c403ebaf9f0171e9517f40e41"'
        )
        assert answer.algorithm == "MD5"
        assert answer.proves(ha1("Mufasa", "testrealm@host.com", "Circle Of Life"), "GET")

    def test_example_is_not_proved_when_secret_method_or_uri_differ(self) -> None:
        answer = mufasa("MD5", "8ca523f5e9506fed4657c9700eebdbec")
        known = ha1("Mufasa", "http-auth@example.org", "Circle of Life")
        assert not answer.proves(ha1("Mufasa", "http-auth@example.org", "Circle Of Life"), "GET")
        assert not answer.proves(known, "POST")
        answer.uri = "/other"
        assert not answer.proves(known, "GET")

    def test_example_is_not_proved_when_another_algorithm_is_named(self) -> None:
        answer = mufasa("SHA-256", "8ca523f5e9506fed4657c9700eebdbec")
        assert not answer.proves(ha1("Mufasa", "http-auth@example.org", "Circle of Life"), "GET")


class TestCredentials:
    """RFC 3261 §20.7, RFC 7616 §3.4."""

    @settings(max_examples=300, deadline=None)
    @given(credentials)
    def test_credentials_come_back_when_written(self, value: Credentials) -> None:
        assert Credentials.parse(str(value)) == value

    def test_names_and_scheme_may_be_in_any_case(self) -> None:
        value = Credentials.parse(
            'dIGEST USERNAME="a",REALM="b",Nonce="c",uri="sip:d",Response="ABC",Algorithm=md5,QOP="AUTH",NC=1,CNonce=e'
        )
        assert value == Credentials("a", "b", "c", "sip:d", "abc", "MD5", "auth", "1", "e")

    @pytest.mark.parametrize("missing", ["username", "realm", "nonce", "uri", "response"])
    def test_credentials_are_refused_when_a_part_is_missing(self, missing: str) -> None:
        parts = {name: f'{name}="x"' for name in ("username", "realm", "nonce", "uri", "response") if name != missing}
        with pytest.raises(ParseError, match=missing):
            Credentials.parse("Digest " + ", ".join(parts.values()))

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
            "Digest",
            'Digest username="a',
            'Digest username="a",realm="b",nonce="c",uri="d",response="e",algorithm=MD4',
            'Digest username="a",realm="b",nonce="c",uri="d",response="e",algorithm=MD5-sess',
        ],
    )
    def test_credentials_are_refused_when_malformed_or_of_an_unknown_algorithm(self, text: str) -> None:
        with pytest.raises(ParseError):
            Credentials.parse(text)

    @pytest.mark.parametrize("response", ["é", "\udcff", "", "x" * 10_000])
    def test_credentials_prove_nothing_when_the_response_is_strange(self, response: str) -> None:
        assert not Credentials("a", "b", "c", "d", response).proves(ha1("a", "b", "s"), "INVITE")

    def test_credentials_prove_nothing_when_the_qop_is_another(self) -> None:
        value = Credentials("a", "b", "c", "d", "", qop="auth-int", nc="00000001", cnonce="x")
        known = ha1("a", "b", "secret")
        value.response = value.expected_response(known, "INVITE")
        assert not value.proves(known, "INVITE")

    @settings(deadline=None)
    @given(wire_text | wire_text.map(lambda text: f"Digest {text}"))
    def test_credentials_and_challenges_raise_only_parse_errors_when_given_any_text(self, text: str) -> None:
        with contextlib.suppress(ParseError):
            Challenge.parse(text)
        with contextlib.suppress(ParseError):
            Credentials.parse(text).proves("", "INVITE")


class TestChallenge:
    """RFC 3261 §22.1, RFC 8760."""

    @given(
        st.builds(
            Challenge,
            printable,
            st.text("0123456789abcdef.", min_size=1),
            st.sampled_from(["MD5", "SHA-256", "SHA-512-256"]),
            st.sampled_from(["", "auth"]),
            st.booleans(),
        )
    )
    def test_challenge_comes_back_when_written(self, challenge: Challenge) -> None:
        assert Challenge.parse(str(challenge)) == challenge

    @pytest.mark.parametrize("algorithm", ["MD5", "SHA-256", "SHA-512-256"])
    @pytest.mark.parametrize("qop", ["", ', qop="auth,auth-int"'])
    def test_challenge_is_met_by_its_answer(self, algorithm: str, qop: str) -> None:
        challenge = Challenge.parse(f'Digest realm="r", nonce="n", algorithm={algorithm}{qop}')
        answer = Credentials.parse(str(challenge.answer("alice", "secret", "REGISTER", "sip:h", "0a4f113b")))
        assert answer.qop == ("auth" if qop else "")
        assert answer.proves(ha1("alice", "r", "secret", algorithm), "REGISTER")
        assert not answer.proves(ha1("alice", "r", "wrong", algorithm), "REGISTER")

    @pytest.mark.parametrize(
        "text", ["", "Basic realm=x", 'Digest realm="x"', 'Digest nonce="n", algorithm=AKAv1-MD5', 'Digest nonce="n']
    )
    def test_challenge_is_refused_when_it_cannot_be_answered(self, text: str) -> None:
        if text == 'Digest nonce="n':
            text += ", x"
        with pytest.raises(ParseError):
            Challenge.parse(text)


class TestNonce:
    """RFC 7616 §3.3: the nonce is ours, for this address and fresh."""

    def test_nonce_is_ours_when_any_process_with_the_key_made_it(self) -> None:
        nonce = NonceMaker(b"key").make(NOW, "192.0.2.7")
        assert NonceMaker(b"key").is_ours(nonce, "192.0.2.7")
        assert not NonceMaker(b"other").is_ours(nonce, "192.0.2.7")

    def test_nonce_is_not_ours_when_for_another_host(self) -> None:
        maker = NonceMaker(b"key")
        assert not maker.is_ours(maker.make(NOW, "192.0.2.7"), "192.0.2.8")

    def test_nonce_is_not_ours_when_its_time_was_changed(self) -> None:
        maker = NonceMaker(b"key")
        _, _, signature = maker.make(NOW, "h").partition(".")
        later = maker.make(NOW + 60, "h").partition(".")[0]
        assert not maker.is_ours(f"{later}.{signature}", "h")

    @pytest.mark.parametrize("nonce", ["", ".", "é.é", "\udcff", "18bcfe56800", "x" * 70_000])
    def test_nonce_is_not_ours_when_invented(self, nonce: str) -> None:
        assert not NonceMaker(b"key").is_ours(nonce, "h")

    def test_nonce_is_fresh_until_its_lifetime_is_over(self) -> None:
        maker = NonceMaker(b"key", lifetime=60.0)
        nonce = maker.make(NOW, "h")
        assert maker.is_fresh(nonce, NOW)
        assert maker.is_fresh(nonce, NOW + 59.9)
        assert not maker.is_fresh(nonce, NOW + 60.1)

    def test_nonce_is_not_fresh_when_from_the_future(self) -> None:
        maker = NonceMaker(b"key")
        assert not maker.is_fresh(maker.make(NOW + 2.0, "h"), NOW)

    @pytest.mark.parametrize("nonce", ["", "xyz", ".abc", "f" * 1000 + ".a", "-1.a"])
    def test_nonce_is_not_fresh_when_it_carries_no_time(self, nonce: str) -> None:
        assert not NonceMaker(b"key").is_fresh(nonce, NOW)

    def test_nonces_differ_when_made_at_once(self) -> None:
        # Each is counted up by one user agent, however many are behind an address.
        maker = NonceMaker(b"key")
        nonces = [maker.make(NOW, "h") for _ in range(1000)]
        assert len(set(nonces)) == 1000
        assert all(maker.is_ours(nonce, "h") and maker.is_fresh(nonce, NOW) for nonce in nonces)
