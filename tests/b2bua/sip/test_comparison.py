"""RFC 3261 §19.1.4."""

import pytest
from hypothesis import given

from b2bua.sip.comparison import is_same_uri
from b2bua.sip.uri import URI
from tests.support.sip import uris


def same(one: str, other: str) -> bool:
    return is_same_uri(URI.parse(one), URI.parse(other))


class TestExamples:
    """The pairs that the section names."""

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
            ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;newparam=5"),
            (
                "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
                "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
            ),
            (
                "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
                "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
            ),
        ],
    )
    def test_pair_is_the_same(self, one: str, other: str) -> None:
        assert same(one, other)
        assert same(other, one)

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
            ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
            ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"),
        ],
    )
    def test_pair_differs(self, one: str, other: str) -> None:
        assert not same(one, other)
        assert not same(other, one)


class TestParts:
    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("sip:a@h", "sips:a@h"),
            ("sip:a%3Ab@h", "sip:a:b@h"),
            ("sip:a@h;maddr=192.0.2.1", "sip:a@h"),
            ("sip:a@h;ttl=1", "sip:a@h"),
            ("sip:a@h;user=phone", "sip:a@h"),
            ("sip:a@h?x=1", "sip:a@h?x=2"),
        ],
    )
    def test_uri_differs_when_one_part_does(self, one: str, other: str) -> None:
        assert not same(one, other)

    def test_escapes_are_the_same_in_either_case(self) -> None:
        assert same("sip:a%3ab@h", "sip:a%3Ab@h")
        assert same("sip:%c3%a9@h", "sip:%C3%A9@h")

    @given(uris, uris)
    def test_every_uri_is_the_same_as_itself_and_order_does_not_matter(self, one: URI, other: URI) -> None:
        assert is_same_uri(one, one)
        assert is_same_uri(one, other) == is_same_uri(other, one)
