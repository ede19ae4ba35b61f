"""Lines of keys: what is read, what is refused and why, and that no reason names a key."""

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.errors import InvalidDescription
from media.sdes import KEY_SIZES, Crypto, choose, find_answer, make_offer, parse

CM = "AES_CM_128_HMAC_SHA1_80"
SECRET = b64encode(b"0123456789" * 3).decode()
"""Of a suite with AES-CM."""


def line(rest: str) -> bytes:
    return b"a=crypto:" + rest.encode()


class TestParse:
    """RFC 4568 §9.1."""

    @pytest.mark.parametrize("suite", list(KEY_SIZES))
    def test_what_is_written_is_read(self, suite: str) -> None:
        crypto = Crypto.make(7, suite)
        assert parse(crypto.to_line()) == crypto

    @pytest.mark.parametrize("rest", ["", "|2^20", "|1048576", "|2^48"])
    def test_lifetime_is_read(self, rest: str) -> None:
        assert parse(line(f"1 {CM} inline:{SECRET}{rest}")) == Crypto(1, CM, b"0123456789" * 3)

    @pytest.mark.parametrize("rest", [" WSH=64", " KDR=0", " -x=1", "  -x=1 WSH=128"])
    def test_parameters_that_change_nothing_are_taken(self, rest: str) -> None:
        assert parse(line(f"1 {CM} inline:{SECRET}{rest}")).tag == 1

    def test_padding_may_be_missing(self) -> None:
        key = b64encode(b"x" * 28).decode().rstrip("=")
        assert parse(line(f"1 AEAD_AES_128_GCM inline:{key}")).key == b"x" * 28

    @pytest.mark.parametrize(
        ("rest", "reason"),
        [
            (f"1 {CM} inline:{SECRET}|2^20|1:4", "MKI"),
            (f"1 {CM} inline:{SECRET}|1:4", "MKI"),
            (f"1 {CM} inline:{SECRET};inline:{SECRET}", "several keys"),
            (f"1 {CM} inline:{SECRET}|2^49", "lifetime"),
            (f"1 {CM} inline:{SECRET}|x", "lifetime"),
            (f"1 {CM} inline:{SECRET[:20]}", "15 bytes instead of 30"),
            (f"1 {CM} inline:{SECRET[:-1]}?", "base64"),
            (f"1 {CM} other:{SECRET}", "inline"),
            (f"1 F8_128_HMAC_SHA1_80 inline:{SECRET}", "suite F8_128_HMAC_SHA1_80"),
            (f"1 {CM} inline:{SECRET} UNENCRYPTED_SRTP", "UNENCRYPTED_SRTP"),
            (f"1 {CM} inline:{SECRET} KDR=3", "KDR"),
            (f"1 {CM} inline:{SECRET} FEC_KEY=inline:{SECRET}", "FEC_KEY"),
            (f"x {CM} inline:{SECRET}", "malformed"),
            ("", "malformed"),
        ],
    )
    def test_what_cannot_be_used_is_refused_without_its_key(self, rest: str, reason: str) -> None:
        with pytest.raises(InvalidDescription, match=reason) as refused:
            parse(line(rest))
        assert SECRET[:12] not in str(refused.value)
        assert refused.value.status_hint == 488

    @given(st.text())
    def test_anything_is_read_or_refused(self, rest: str) -> None:
        try:
            crypto = parse(line(rest))
        except InvalidDescription:
            return
        assert parse(crypto.to_line()) == crypto


class TestChoice:
    """RFC 4568 §5.1."""

    def test_first_that_we_can_use_is_taken(self) -> None:
        offered = [line(f"1 AES_256_CM_HMAC_SHA1_80 inline:{SECRET}"), line(f"2 {CM} inline:{SECRET}|1:4")]
        chosen = choose([b"a=x", *offered, line(f"3 {CM} inline:{SECRET}")])
        assert chosen.tag == 3
        with pytest.raises(InvalidDescription, match="no key of SRTP can be used: MKI"):
            choose(offered)
        with pytest.raises(InvalidDescription, match="no a=crypto line"):
            choose([b"a=x"])

    def test_answer_belongs_to_the_offer_of_its_tag(self) -> None:
        offered = make_offer()
        assert next(each.suite for each in offered) == CM
        assert len({each.key for each in offered}) == len(offered)
        theirs = Crypto.make(2, offered[1].suite)
        assert find_answer([theirs.to_line()], offered) == (theirs, offered[1])
        for answer in (Crypto.make(9, CM), Crypto.make(2, CM)):
            with pytest.raises(InvalidDescription, match="not offered"):
                find_answer([answer.to_line()], offered)


def test_key_is_not_shown() -> None:
    crypto = Crypto(1, CM, b"0123456789" * 3)
    assert "0123" not in f"{crypto!r} {crypto}"
