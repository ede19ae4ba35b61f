"""STUN on the SIP port."""

import struct
from ipaddress import ip_address
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from b2bua.sip.stun import SIZE_LIMIT, binding_response, is_stun
from tests.support.sip import mutations, request

COOKIE = bytes.fromhex("2112a442")
ID = bytes.fromhex("b7e7a701bc34d686fa87dfae")
"""Of the test vectors of RFC 5769."""


def attribute(kind: int, value: bytes) -> bytes:
    """An attribute and its padding."""
    return struct.pack("!HH", kind, len(value)) + value + b"\0" * (-len(value) % 4)


def stun(*attributes: bytes, kind: int = 1) -> bytes:
    """A binding request."""
    body = b"".join(attributes)
    return struct.pack("!HH", kind, len(body)) + COOKIE + ID + body


def with_fingerprint(*attributes: bytes) -> bytes:
    """A binding request with a fingerprint."""
    before = struct.pack("!HH", 1, len(b"".join(attributes)) + 8) + COOKIE + ID + b"".join(attributes)
    return before + attribute(0x8028, (crc32(before) ^ 0x5354554E).to_bytes(4))


def answer(data: bytes, host: str = "192.0.2.1", port: int = 32853) -> bytes:
    """The answer, which there must be."""
    response = binding_response(data, host, port)
    assert response is not None
    assert is_stun(response)
    return response


class TestRecognition:
    """RFC 8489 §5, RFC 5626 §8: told from SIP on one port."""

    def test_binding_request_is_stun(self) -> None:
        assert is_stun(stun())
        assert is_stun(with_fingerprint(attribute(0x8022, b"client")))

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"\r\n\r\n",
            request(),
            stun()[:-1],
            stun() + b"\0\0\0\0",
            stun() + b"\0",
            b"\x80" + stun()[1:],
            stun().replace(COOKIE, b"\0\0\0\0"),
            b"\0\1\0\1" + COOKIE + ID + b"\0",
        ],
    )
    def test_other_datagrams_are_not(self, data: bytes) -> None:
        assert not is_stun(data)
        assert binding_response(data, "192.0.2.1", 1) is None


class TestAddress:
    """RFC 8489 §14.2, with the vectors of RFC 5769 §2.2 and §2.3."""

    def test_ipv4_address_is_told(self) -> None:
        response = answer(stun())
        assert response[:20] == b"\x01\x01\x00\x0c" + COOKIE + ID
        assert response[20:] == bytes.fromhex("0020 0008 0001 a147 e112a643")

    def test_ipv6_address_is_told(self) -> None:
        response = answer(stun(), "2001:db8:1234:5678:11:2233:4455:6677")
        assert response[20:] == bytes.fromhex("0020 0014 0002 a147 0113a9faa5d3f179bc25f4b5bed2b9d9")

    @given(st.ip_addresses(), st.integers(0, 65535))
    def test_address_can_be_read_back(self, address: object, port: int) -> None:
        response = answer(stun(), str(address), port)
        assert int.from_bytes(response[26:28]) ^ 0x2112 == port
        shown = bytes(one ^ other for one, other in zip(response[28:], COOKIE + ID, strict=False))
        assert ip_address(shown) == address

    def test_nothing_is_answered_when_the_address_is_none(self) -> None:
        assert binding_response(stun(), "phone.example.com", 5060) is None


class TestFingerprint:
    """RFC 8489 §14.7."""

    def test_answer_has_one_when_the_request_does(self) -> None:
        response = answer(with_fingerprint())
        assert len(response) == 20 + 12 + 8
        assert int.from_bytes(response[-4:]) == crc32(response[:-8]) ^ 0x5354554E
        assert response[-8:-4] == bytes.fromhex("8028 0004")

    def test_answer_has_none_when_the_request_does_not(self) -> None:
        assert len(answer(stun(attribute(0x8022, b"client")))) == 20 + 12

    @pytest.mark.parametrize(
        "data",
        [
            with_fingerprint()[:-1] + b"\0",
            stun(attribute(0x8028, b"\0\0\0\0")),
            stun(attribute(0x8028, b"")),
            stun(with_fingerprint()[-8:], attribute(0x8022, b"x")),
        ],
    )
    def test_request_is_dropped_when_it_is_wrong_or_not_the_last(self, data: bytes) -> None:
        assert binding_response(data, "192.0.2.1", 1) is None


class TestAttributes:
    """RFC 8489 §6.3.1."""

    def test_attributes_of_an_authentication_are_passed_over(self) -> None:
        assert (
            answer(stun(attribute(6, b"alice"), attribute(8, b"x" * 20), attribute(0x8022, b"abc")))[:2] == b"\x01\x01"
        )

    def test_request_gets_420_when_an_attribute_is_not_known_that_must_be(self) -> None:
        response = answer(with_fingerprint(attribute(3, b"\0\0\0\6"), attribute(0x7FFF, b"")))
        assert response[:2] == b"\x01\x11"
        assert response[20:48] == attribute(9, b"\0\0\4\x14Unknown Attribute")
        assert response[48:56] == attribute(10, bytes.fromhex("0003 7fff"))
        assert int.from_bytes(response[-4:]) == crc32(response[:-8]) ^ 0x5354554E

    def test_list_of_unknown_attributes_is_padded(self) -> None:
        assert answer(stun(attribute(3, b"")))[48:] == attribute(10, bytes.fromhex("0003"))

    @pytest.mark.parametrize("data", [stun(b"\x80\x22\0\5abcd"), stun(b"\x80\x22\xff\xff")])
    def test_request_is_dropped_when_an_attribute_is_cut(self, data: bytes) -> None:
        assert is_stun(data)
        assert binding_response(data, "192.0.2.1", 1) is None

    @pytest.mark.parametrize("kind", [0x0101, 0x0111, 0x0011, 0x0003, 0x0000])
    def test_nothing_but_a_binding_request_is_answered(self, kind: int) -> None:
        assert is_stun(stun(kind=kind))
        assert binding_response(stun(kind=kind), "192.0.2.1", 1) is None

    def test_request_is_dropped_when_it_is_long(self) -> None:
        assert answer(stun(attribute(0x8022, b"x" * (SIZE_LIMIT - 24))))
        assert binding_response(stun(attribute(0x8022, b"x" * (SIZE_LIMIT - 20))), "192.0.2.1", 1) is None


@given(st.binary(max_size=80) | mutations(with_fingerprint(attribute(6, b"alice"))))
def test_nothing_is_raised_when_given_any_bytes(data: bytes) -> None:
    response = binding_response(data, "192.0.2.1", 5060)
    assert response is None or is_stun(response)
