"""Signatures of the calls that our calls lead to (docs/behaviour.md §8)."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from b2bua.call.forwarding import HEADER, LIFETIME, ForwardSigner
from b2bua.policy.dids import DIDDestination
from tests.b2bua.call.rig import CALLER, CUSTOMER, NEIGHBOUR, NUMBER, SWITCH, Rig
from tests.support import sip
from tests.support.legs import on_loop

MakeRig = Callable[..., Rig]
NOW = 1_790_000_000.5
SIGNER = ForwardSigner(b"key")
SIGNED = SIGNER.sign(2, NUMBER, NOW)
STRANGER = "198.51.100.99"

anything = st.text() | st.binary().map(lambda data: data.decode("utf-8", "surrogateescape"))
"""What may stand in a header, undecodable bytes too."""
like_ours = st.builds(
    "{};{};{}".format,
    st.integers().map(str) | st.text("0123456789٣²-+ ", max_size=25),
    st.integers().map(str) | st.text("0123456789٣²-+ ", max_size=25),
    st.text("0123456789abcdef", min_size=64, max_size=64) | anything,
)


class TestSignature:
    def test_signature_holds_for_its_number(self) -> None:
        assert SIGNER.account_of(SIGNED, NUMBER, NOW) == 2

    @pytest.mark.parametrize("number", ["", NUMBER[:-1], NUMBER + "0", "+" + NUMBER, "911"])
    def test_signature_holds_for_no_other_number(self, number: str) -> None:
        assert SIGNER.account_of(SIGNED, number, NOW) is None

    @pytest.mark.parametrize("account", ["1", "3", "22", "0", "-2", "2 ", "٢"])
    def test_signature_holds_for_no_other_account(self, account: str) -> None:
        assert SIGNER.account_of(account + SIGNED[1:], NUMBER, NOW) is None

    def test_signature_holds_for_half_a_minute(self) -> None:
        assert LIFETIME == 30
        assert SIGNER.account_of(SIGNED, NUMBER, NOW + 29) == 2
        assert SIGNER.account_of(SIGNED, NUMBER, NOW + 30) is None
        assert SIGNER.account_of(SIGNED, NUMBER, NOW + 3600) is None

    def test_time_cannot_be_made_longer(self) -> None:
        account, expires, proof = SIGNED.split(";")
        longer = f"{account};{int(expires) + 1};{proof}"
        assert SIGNER.account_of(longer, NUMBER, NOW) is None

    def test_signature_is_another_when_the_key_is(self) -> None:
        assert ForwardSigner(b"other").account_of(SIGNED, NUMBER, NOW) is None

    @pytest.mark.parametrize("cut", [1, 10, 64, 65])
    def test_signature_is_no_part_of_one(self, cut: int) -> None:
        assert SIGNER.account_of(SIGNED[:-cut], NUMBER, NOW) is None

    @pytest.mark.parametrize("more", [";", ";x", ";1", "0"])
    def test_signature_has_nothing_behind_it(self, more: str) -> None:
        assert SIGNER.account_of(SIGNED + more, NUMBER, NOW) is None

    def test_number_is_not_taken_for_other_parts_when_it_looks_like_them(self) -> None:
        signed = SIGNER.sign(2, "5;99", NOW)
        account, expires, proof = signed.split(";")
        assert SIGNER.account_of(f"{account};{expires};{proof}", "5;99", NOW) == 2
        assert SIGNER.account_of(f"{account};99;{proof}", f"5;99;{expires}", NOW) is None

    @given(st.integers(1, 10**18 - 1), st.text("0123456789*#+", max_size=20), st.floats(0, 1e10))
    def test_what_we_sign_is_ours(self, account_id: int, number: str, now: float) -> None:
        assert SIGNER.account_of(SIGNER.sign(account_id, number, now), number, now) == account_id


class TestGarbage:
    @given(st.text(st.characters(codec="utf-8")) | like_ours.filter(str.isascii), st.text(st.characters(codec="utf-8")))
    def test_text_is_nobodys_and_never_raises(self, value: str, number: str) -> None:
        assert SIGNER.account_of(value, number, NOW) is None

    @given(anything | like_ours, anything)
    def test_garbage_is_nobodys_and_never_raises(self, value: str, number: str) -> None:
        assert SIGNER.account_of(value, number, NOW) is None

    def test_proof_is_nobodys_when_it_is_no_utf8(self) -> None:
        assert SIGNER.account_of("2;1790000030;\udcff", NUMBER, NOW) is None

    def test_number_is_nobodys_when_it_is_no_utf8(self) -> None:
        assert SIGNER.account_of(SIGNED, "44\udcff", NOW) is None


def invite(value: str, source: str, *, number: str = NUMBER) -> bytes:
    return sip.request(
        sent_by=f"{source}:5060", uri=f"sip:{number}@{SWITCH}", branch="z9hG4bKf1", changed={HEADER: value}
    )


class TestForgery:
    """A header that we did not sign leaves a call what it is."""

    @on_loop
    @pytest.mark.parametrize(
        "value", [ForwardSigner(b"other").sign(2, NUMBER, NOW), "2;9999999999;" + "0" * 64, "2", "", ";;"]
    )
    async def test_stranger_is_challenged(self, make_rig: MakeRig, value: str) -> None:
        rig = make_rig()
        assert rig.send(invite(value, STRANGER), STRANGER).status == 407
        assert rig.records() == []

    @on_loop
    async def test_device_calls_as_itself(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.add_neighbour()
        rig.carrier(refuse=486)
        forged = ForwardSigner(b"other").sign(NEIGHBOUR, NUMBER, rig.wire.time_of_day())
        assert rig.send(invite(forged, CALLER)).status == 486
        (record,) = rig.records()
        assert (record["device"], record["account_id"]) == ("ip:7", CUSTOMER)

    @on_loop
    @pytest.mark.parametrize(("later", "number", "status"), [(0, NUMBER, 486), (31, NUMBER, 407), (0, "4420", 407)])
    async def test_our_own_signature_holds_for_its_time_and_number(
        self, make_rig: MakeRig, later: float, number: str, status: int
    ) -> None:
        rig = make_rig()
        rig.carrier(refuse=486)
        signed = rig.driver.signer.sign(CUSTOMER, NUMBER, rig.wire.time_of_day())
        rig.wire.advance(later)
        assert rig.send(invite(signed, STRANGER, number=number), STRANGER).status == status

    @on_loop
    async def test_call_is_refused_when_the_account_is_gone(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        signed = rig.driver.signer.sign(77, NUMBER, rig.wire.time_of_day())
        assert rig.send(invite(signed, STRANGER), STRANGER).status == 403
        (record,) = rig.records()
        assert (record["code"], record["object"], record["account_id"]) == ("ACCOUNT_INACTIVE", "account 77", None)

    @on_loop
    async def test_stranger_is_challenged_when_the_header_is_no_utf8(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        assert rig.send(invite("2;1790000030;\udcff", STRANGER), STRANGER).status == 407

    @on_loop
    async def test_header_goes_to_nobody_else(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.carrier()
        rig.send(invite(rig.driver.signer.sign(CUSTOMER, NUMBER, rig.wire.time_of_day()), CALLER))
        (ours,) = rig.wire.requests("INVITE", SWITCH)
        assert HEADER not in ours.headers

    @on_loop
    async def test_header_of_a_forwarded_call_stays_with_us(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.price_incoming(1, "0.01")
        rig.add_did(DIDDestination("number", number=NUMBER))
        carrier = rig.carrier()
        rig.dial_in(carrier=2)
        assert len(carrier.invites) == 1
        assert {each.target for each in rig.wire.carried if HEADER.encode() in each.data.lower()} == {SWITCH}
