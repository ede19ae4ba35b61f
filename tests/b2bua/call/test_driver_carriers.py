"""What carriers ask of a call: proof of who we are, and how they are told who calls (docs/behaviour.md §4)."""

from collections.abc import Callable
from typing import Any

import pytest

from b2bua.policy.presentation import Presentation
from b2bua.policy.routes import Login
from b2bua.sip.message import Request
from tests.b2bua.call.rig import CALLER, CARRIERS, NUMBER, SWITCH, Rig
from tests.support import sip
from tests.support.carriers import SECRET, USER, WaryCarrier
from tests.support.legs import on_loop

MakeRig = Callable[..., Rig]


def wary(rig: Rig, number: int = 1, **how: Any) -> WaryCarrier:
    """A carrier that wants proof, and whose gateway we can prove it to."""
    rig.gateway(number).login = Login(USER, SECRET)
    return WaryCarrier(rig.wire, CARRIERS[number - 1], **how)


class TestDigest:
    @on_loop
    async def test_call_is_one_attempt_when_the_carrier_wants_proof(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        carrier = wary(rig)
        rig.dial()
        assert rig.caller.is_answered.is_set()
        rig.wire.advance(10.0)
        rig.hang_up(rig.caller)
        (record,) = rig.records()
        assert (record["code"], record["attempt"], record["gateway_id"], record["sip_code"]) == ("ANSWERED", 1, 1, 200)
        assert record["b_call_id"] == rig.wire.requests("INVITE", SWITCH)[0].call_id
        assert carrier.hang_up_causes == [16]
        rig.assert_nothing_is_left()

    @on_loop
    async def test_next_gateway_is_tried_when_the_proof_is_refused(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        wary(rig, status=401).secret = "another"
        rig.carrier(2)
        rig.dial()
        assert len(rig.wire.requests("INVITE", SWITCH, CARRIERS[0])) == 2
        rig.hang_up(rig.caller)
        assert [(record["sip_code"], record["gateway_id"]) for record in rig.records()] == [(401, 1), (200, 2)]
        rig.assert_nothing_is_left()

    @on_loop
    async def test_challenge_is_a_refusal_when_we_have_nothing_to_prove(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        wary(rig, status=401)
        rig.gateway().login = None
        rig.dial()
        assert len(rig.wire.requests("INVITE", SWITCH, CARRIERS[0])) == 1
        assert rig.records()[0]["sip_code"] == 401

    @on_loop
    async def test_secret_is_proved_to_its_own_gateway_only(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.gateway(2).login = Login(USER, SECRET)
        WaryCarrier(rig.wire, CARRIERS[0])
        rig.dial()
        assert len(rig.wire.requests("INVITE", SWITCH, CARRIERS[0])) == 1

    @on_loop
    async def test_caller_that_gives_up_meanwhile_leaves_nothing(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        wary(rig, answers=False)
        rig.dial()
        rig.caller.cancel()
        rig.wire.settle()
        assert [record["code"] for record in rig.records()] == ["CANCELLED"]
        rig.assert_nothing_is_left()


def sent(rig: Rig, rules: Presentation, **changed: str) -> Request:
    """The INVITE that a gateway of these rules gets for a caller's."""
    rig.gateway().presentation = rules
    rig.carrier(refuse=486)
    rig.send(sip.request(sent_by=f"{CALLER}:5060", uri=f"sip:{NUMBER}@{SWITCH}", changed=changed))
    (invite,) = rig.wire.requests("INVITE", SWITCH)
    return invite


class TestIdentity:
    @on_loop
    async def test_gateway_is_told_what_it_asks_for(self, make_rig: MakeRig) -> None:
        rules = Presentation("pai", True, "4930900", "carrier.example", ("x-a",), (("x-trunk", "7"),))
        theirs = {"X-A": "1", "X-B": "2", "Diversion": "<sip:4420@10.0.0.1>;reason=user-busy"}
        invite = sent(make_rig(), rules, **theirs)
        assert invite.headers["from"][0].startswith("<sip:4930900@carrier.example>;tag=")
        assert invite.headers["p-asserted-identity"] == ["<sip:alice@carrier.example>"]
        assert invite.headers["diversion"] == ["<sip:4420@carrier.example>;reason=user-busy"]
        assert (invite.headers["x-a"], invite.headers["x-trunk"]) == (["1"], ["7"])
        assert "x-b" not in invite.headers

    @on_loop
    async def test_gateway_is_told_the_number_only_when_it_asks_for_nothing(self, make_rig: MakeRig) -> None:
        invite = sent(
            make_rig(), Presentation(), **{"Diversion": "<sip:4420@x>", "X-A": "1", "Remote-Party-ID": "<sip:9@x>"}
        )
        assert invite.headers["from"][0].startswith(f"<sip:alice@{SWITCH}:5060>;tag=")
        assert not {"diversion", "x-a", "remote-party-id", "p-asserted-identity", "privacy"} & set(invite.headers)

    @on_loop
    async def test_every_attempt_is_told_as_its_own_gateway_asks(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.gateway(1).presentation = Presentation("pai", passed=("x-a",))
        rig.gateway(2).presentation = Presentation("rpid", passed=("x-b",))
        rig.carrier(1, refuse=503)
        rig.carrier(2, refuse=486)
        both = {"X-A": "1", "X-B": "2"}
        rig.send(sip.request(sent_by=f"{CALLER}:5060", uri=f"sip:{NUMBER}@{SWITCH}", changed=both))
        first, second = rig.wire.requests("INVITE", SWITCH)
        names = ("p-asserted-identity", "remote-party-id", "x-a", "x-b")
        assert [name in first.headers for name in names] == [True, False, True, False]
        assert [name in second.headers for name in names] == [False, True, False, True]

    @on_loop
    @pytest.mark.parametrize("privacy", ["id", "user; id"])
    async def test_caller_is_hidden_when_it_wants_that(self, make_rig: MakeRig, privacy: str) -> None:
        invite = sent(make_rig(), Presentation("pai"), Privacy=privacy)
        assert invite.headers["from"][0].startswith('"Anonymous" <sip:anonymous@anonymous.invalid>;tag=')
        assert invite.headers["privacy"] == [privacy.replace(" ", "")]
        assert invite.headers["p-asserted-identity"] == [f"<sip:alice@{SWITCH}:5060>"]

    @on_loop
    async def test_header_of_the_gateway_takes_the_place_of_ours(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.gateway().presentation = Presentation(added=(("user-agent", "trunk"),))
        rig.carrier()
        rig.dial()
        assert rig.wire.requests("INVITE", SWITCH)[0].headers["user-agent"] == ["trunk"]
