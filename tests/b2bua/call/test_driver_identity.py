"""Who calls, where a proxy stands in between, and by which number (docs/behaviour.md §1)."""

from collections.abc import Callable

import pytest

from b2bua.sip.digest import Challenge
from tests.b2bua.call.rig import CALLER, DID_NUMBER, NUMBER, OTHER, SWITCH, Rig
from tests.support import sip
from tests.support.legs import on_loop

MakeRig = Callable[..., Rig]
PROXY = "192.0.2.80"
STRANGER = "198.51.100.99"


def invite(*vias: str, number: str = NUMBER, **changed: str) -> bytes:
    top, *others = vias
    return sip.request(
        sent_by=f"{top}:5060",
        uri=f"sip:{number}@{SWITCH}",
        changed={"Via": ", ".join([f"SIP/2.0/UDP {top}:5060;branch=z9hG4bK{len(changed)}", *others]), **changed},
    )


def behind(rig: Rig, via: str) -> tuple[str, str]:
    """Device of a call that came through the proxy, and its code."""
    rig.send(invite(PROXY, via), PROXY)
    records = rig.records()
    return (records[-1]["device"], records[-1]["code"]) if records else ("", "")


class TestTrustedProxy:
    def trusting(self, make_rig: MakeRig) -> Rig:
        rig = make_rig(trusted_proxies=(PROXY,))
        rig.add_neighbour()
        rig.carrier(refuse=486)
        return rig

    @on_loop
    @pytest.mark.parametrize(
        ("via", "device"),
        [
            (f"SIP/2.0/UDP {CALLER}:5060;branch=z9hG4bKx", "ip:7"),
            (f"SIP/2.0/UDP {OTHER};branch=z9hG4bKx", "ip:8"),
            (f"SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKx;received={CALLER};rport=1024", "ip:7"),
            # What the proxy has seen, and not what the caller claims.
            (f"SIP/2.0/UDP {CALLER}:5060;branch=z9hG4bKx;received={OTHER}", "ip:8"),
            (f"SIP/2.0/TCP pbx.example.org;branch=z9hG4bKx;received=::ffff:{CALLER}", "ip:7"),
            (f"SIP/2.0/UDP [::ffff:{CALLER}]:5060;branch=z9hG4bKx", "ip:7"),
        ],
    )
    async def test_source_is_what_the_second_via_names(self, make_rig: MakeRig, via: str, device: str) -> None:
        assert behind(self.trusting(make_rig), via) == (device, "BUSY")

    @on_loop
    @pytest.mark.parametrize("via", [f"SIP/2.0/UDP {STRANGER}", "SIP/2.0/UDP pbx.example.org"])
    async def test_stranger_is_challenged(self, make_rig: MakeRig, via: str) -> None:
        rig = self.trusting(make_rig)
        assert rig.send(invite(PROXY, f"{via};branch=z9hG4bKx"), PROXY).status == 407

    @on_loop
    async def test_proxy_is_the_source_when_it_calls_by_itself(self, make_rig: MakeRig) -> None:
        rig = self.trusting(make_rig)
        assert rig.send(invite(PROXY), PROXY).status == 407
        rig.snapshot.devices.add(f"{PROXY}/32", rig.device)
        assert rig.send(invite(PROXY, number="4420", Subject="again"), PROXY).status == 486

    @on_loop
    async def test_second_via_says_nothing_when_the_peer_is_no_proxy(self, make_rig: MakeRig) -> None:
        rig = self.trusting(make_rig)
        assert rig.send(invite(STRANGER, f"SIP/2.0/UDP {CALLER};branch=z9hG4bKx"), STRANGER).status == 407
        rig.send(invite(CALLER, f"SIP/2.0/UDP {OTHER};branch=z9hG4bKx"))
        assert [record["device"] for record in rig.records()] == ["ip:7"]

    @on_loop
    async def test_third_via_says_nothing(self, make_rig: MakeRig) -> None:
        rig = self.trusting(make_rig)
        vias = f"SIP/2.0/UDP {OTHER};branch=z9hG4bKx, SIP/2.0/UDP {CALLER};branch=z9hG4bKy"
        assert behind(rig, vias) == ("ip:8", "BUSY")

    @on_loop
    async def test_did_is_called_when_the_proxy_names_a_gateway(self, make_rig: MakeRig) -> None:
        rig = self.trusting(make_rig)
        rig.price_incoming(1, "0.01")
        rig.add_did()
        rig.add_device(refuse=486)
        gateway = rig.gateway(2).host
        via = f"SIP/2.0/UDP {gateway};branch=z9hG4bKx"
        assert rig.send(invite(PROXY, via, number=DID_NUMBER), PROXY).status == 486
        assert [record["kind"] for record in rig.records()] == ["incoming"]

    @on_loop
    async def test_bad_via_is_a_bad_request(self, make_rig: MakeRig) -> None:
        rig = self.trusting(make_rig)
        assert rig.send(invite(PROXY, "SIP/2.0/UDP ;;"), PROXY).status == 400

    @on_loop
    async def test_failed_proof_is_held_against_whom_the_proxy_names(self, make_rig: MakeRig) -> None:
        rig = self.trusting(make_rig)
        via = f"SIP/2.0/UDP {STRANGER};branch=z9hG4bKx"
        challenge = Challenge.parse(rig.send(invite(PROXY, via), PROXY).headers["proxy-authenticate"][0])
        proof = str(challenge.answer("alice", "wrong", "INVITE", f"sip:{NUMBER}@{SWITCH}", "c0ffee"))
        rig.send(invite(PROXY, via, **{"Proxy-Authorization": proof}), PROXY)
        assert rig.failed_addresses == [STRANGER]


class TestAssertedIdentity:
    """RFC 3325."""

    @on_loop
    @pytest.mark.parametrize(
        ("asserted", "number"),
        [
            ('"Alice" <sip:33140000000@example.org>', "33140000000"),
            ("<sip:+33140000000@example.org;user=phone>", "+33140000000"),
            ("tel:+33140000000", "+33140000000"),
            ("<tel:+33140000000;phone-context=x>, <sip:1@x>", "+33140000000"),
            ("<sip:33140000000;npdi@example.org>", "33140000000"),
        ],
    )
    async def test_number_is_the_asserted_one_when_the_device_is_trusted(
        self, make_rig: MakeRig, asserted: str, number: str
    ) -> None:
        rig = make_rig()
        rig.device.is_trusted = True
        rig.carrier(refuse=486)
        rig.send(invite(CALLER, **{"P-Asserted-Identity": asserted}))
        (ours,) = rig.wire.requests("INVITE", SWITCH)
        # The rule that keeps everything takes a plus sign away.
        assert ours.headers["from"][0].startswith(f"<sip:{number.removeprefix('+')}@{SWITCH}:5060>")
        (record,) = rig.records()
        assert record["source_received"] == "alice"
        assert record["source_used"] == number.removeprefix("+")

    @on_loop
    @pytest.mark.parametrize("asserted", ["<sip:@example.org>", "<<<", '"', "", "<sip:example.org>"])
    async def test_number_is_that_of_from_when_the_asserted_one_cannot_be_read(
        self, make_rig: MakeRig, asserted: str
    ) -> None:
        rig = make_rig()
        rig.device.is_trusted = True
        rig.carrier(refuse=486)
        assert rig.send(invite(CALLER, **{"P-Asserted-Identity": asserted})).status == 486
        assert [record["source_used"] for record in rig.records()] == ["alice"]

    @on_loop
    async def test_number_is_that_of_from_when_the_device_is_not_trusted(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.carrier(refuse=486)
        rig.send(invite(CALLER, **{"P-Asserted-Identity": "<sip:33140000000@example.org>"}))
        assert [record["source_used"] for record in rig.records()] == ["alice"]
        assert "p-asserted-identity" not in rig.wire.requests("INVITE", SWITCH)[0].headers

    @on_loop
    async def test_privacy_is_kept(self, make_rig: MakeRig) -> None:
        """docs/behaviour.md §1.7; RFC 3323, RFC 3325 §9.3."""
        rig = make_rig()
        rig.device.is_trusted = True
        rig.carrier(refuse=486)
        anonymous = "Anonymous <sip:anonymous@anonymous.invalid>;tag=a1"
        asserted = "<sip:33140000000@example.org>"
        rig.send(invite(CALLER, **{"From": anonymous, "P-Asserted-Identity": asserted, "Privacy": "id"}))
        (ours,) = rig.wire.requests("INVITE", SWITCH)
        assert ours.headers["privacy"] == ["id"]
