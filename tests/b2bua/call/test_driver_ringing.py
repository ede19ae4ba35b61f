"""Reliable ringing through the switch: 100rel as each gateway has it, and as callers ask for it (RFC 3262)."""

from collections.abc import Callable

import pytest

from b2bua.call.caller_leg import CallerLeg
from b2bua.sip.flow import Flow
from b2bua.sip.message import Request
from b2bua.sip.transactions import ServerTransaction
from tests.b2bua.call.rig import CALLER, CARRIERS, SWITCH, Rig
from tests.support.legs import WiredAnswerer, audio_session, on_loop

MakeRig = Callable[..., Rig]
CARRIER = CARRIERS[0]


class EarlyCarrier(WiredAnswerer):
    """Says 183 with a session, reliably where it may, and answers when the test says so."""

    def invited(self, transaction: ServerTransaction, request: Request, flow: Flow) -> None:
        """Let the caller hear something."""
        super().invited(transaction, request, flow)
        assert isinstance(self.leg, CallerLeg)
        self.leg.send_provisional(183, self.session)

    def answer(self) -> None:
        """Take the call."""
        assert isinstance(self.leg, CallerLeg)
        self.leg.answer(self.session)
        self.endpoint.end_of_turn()
        self.wire.settle()


def carrier(rig: Rig) -> EarlyCarrier:
    return EarlyCarrier(rig.wire, CARRIER, answers=False, rings=False, codecs=("PCMA",))


def asks(rig: Rig, **headers: str) -> None:
    rig.caller.headers = {name: [value] for name, value in headers.items()}


class TestGateway:
    @on_loop
    @pytest.mark.parametrize(
        ("mode", "supported", "required", "pracks"),
        [("off", [], [], 0), ("supported", ["100rel"], [], 1), ("required", [], ["100rel"], 1)],
    )
    async def test_is_asked_for_what_is_set(
        self, make_rig: MakeRig, mode: str, supported: list[str], required: list[str], pracks: int
    ) -> None:
        rig = make_rig()
        rig.gateway().reliable_ringing = mode
        gateway = carrier(rig)
        rig.dial()
        (invite,) = rig.wire.requests("INVITE", SWITCH)
        assert "100rel" in invite.headers.first("supported") if supported else True
        assert invite.headers.get("require", []) == required
        assert len(rig.wire.requests("PRACK", SWITCH, CARRIER)) == pracks
        assert len(rig.wire.responses(183, SWITCH, CALLER)) == 1
        assert "rseq" not in rig.wire.responses(183, SWITCH, CALLER)[0].headers
        gateway.answer()
        rig.hang_up(gateway)
        assert rig.caller.is_ended.is_set()
        assert [record["code"] for record in rig.records()] == ["ANSWERED"]
        rig.assert_nothing_is_left()

    @on_loop
    async def test_wants_no_session_of_ours_in_a_prack(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.gateway().reliable_ringing = "required"
        rig.caller.offers_late = True
        rig.carrier(1)
        rig.dial()
        (invite,) = rig.wire.requests("INVITE", SWITCH)
        assert "require" not in invite.headers

    @on_loop
    async def test_option_stands_beside_that_of_session_timers(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.gateway().reliable_ringing, rig.gateway().session_timer = "supported", 600
        rig.carrier(1)
        rig.dial()
        (invite,) = rig.wire.requests("INVITE", SWITCH)
        assert {"timer", "100rel"} <= set(invite.headers.first("supported").replace(",", " ").split())


class TestCaller:
    @on_loop
    @pytest.mark.parametrize("header", ["supported", "require"])
    async def test_that_asks_for_it_hears_the_session_reliably(self, make_rig: MakeRig, header: str) -> None:
        rig = make_rig()
        asks(rig, **{header: "100rel"})
        gateway = carrier(rig)
        rig.wire.lose("183 INVITE", SWITCH, 2)
        rig.dial()
        rig.wire.advance(2.0)
        response = rig.wire.responses(183, SWITCH, CALLER)[0]
        assert response.headers["require"] == ["100rel"]
        assert response.body
        assert len(rig.wire.requests("PRACK", CALLER, SWITCH)) == 1
        assert len(rig.wire.responses(200, SWITCH, CALLER)) == 1
        gateway.answer()
        assert rig.caller.is_answered.is_set()
        rig.hang_up(rig.caller)
        rig.assert_nothing_is_left()

    @on_loop
    async def test_that_requires_it_hears_even_180_so(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        asks(rig, require="100rel")
        rig.carrier(1, answers=False)
        rig.dial()
        assert "rseq" in rig.wire.responses(180, SWITCH, CALLER)[0].headers
        rig.caller.cancel()
        rig.wire.settle()
        rig.assert_nothing_is_left()

    @on_loop
    async def test_that_never_acknowledges_is_refused(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        asks(rig, supported="100rel")
        carrier(rig)
        rig.wire.lose("PRACK", CALLER, 100)
        rig.dial()
        rig.wire.advance(33.0)
        assert rig.caller.status == 504
        assert len(rig.wire.requests("CANCEL", SWITCH, CARRIER)) == 1
        (record,) = rig.records()
        assert (record["code"], record["q850_cause"]) == ("NO_PRACK", 102)
        rig.assert_nothing_is_left()

    @on_loop
    async def test_answer_waits_for_the_acknowledgement_of_a_session(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        asks(rig, supported="100rel")
        gateway = carrier(rig)
        rig.wire.lose("PRACK", CALLER, 2)
        rig.dial()
        gateway.answer()
        assert not rig.caller.is_answered.is_set()
        rig.wire.advance(2.0)
        assert rig.caller.is_answered.is_set()
        rig.hang_up(gateway)
        assert [record["code"] for record in rig.records()] == ["ANSWERED"]
        rig.assert_nothing_is_left()

    @on_loop
    async def test_that_gives_up_while_the_answer_waits_gets_487(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        asks(rig, supported="100rel")
        gateway = carrier(rig)
        rig.wire.lose("PRACK", CALLER, 100)
        rig.dial()
        gateway.answer()
        rig.caller.cancel()
        rig.wire.settle()
        assert len(rig.wire.responses(487, SWITCH, CALLER)) == 1
        assert gateway.is_ended.is_set()
        (record,) = rig.records()
        assert (record["code"], record["ended_by"]) == ("ANSWERED", "caller")
        rig.assert_nothing_is_left()

    @on_loop
    async def test_that_is_gone_before_the_answer_could_be_sent_is_charged_and_refused(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        asks(rig, supported="100rel")
        gateway = carrier(rig)
        rig.wire.lose("PRACK", CALLER, 100)
        rig.dial()
        gateway.answer()
        rig.wire.advance(40.0)
        assert rig.caller.status == 480
        assert gateway.is_ended.is_set()
        assert [record["reason"] for record in rig.records()] == ["NO_ACK"]
        rig.assert_nothing_is_left()

    @on_loop
    async def test_next_gateway_rings_in_an_early_dialog_of_its_own(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        asks(rig, require="100rel")
        rig.carrier(1, refuse=503)
        rig.carrier(2, codecs=("PCMA",))
        rig.dial()
        assert rig.caller.is_answered.is_set()
        rig.hang_up(rig.caller)
        rig.assert_nothing_is_left()

    @on_loop
    async def test_offer_in_a_prack_is_refused(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        asks(rig, supported="100rel")
        carrier(rig)
        rig.wire.lose("PRACK", CALLER)
        rig.dial()
        response = rig.wire.responses(183, SWITCH, CALLER)[0]
        (lost,) = rig.wire.requests("PRACK", CALLER)
        lost.body = audio_session(CALLER, "PCMU")
        lost.headers["content-type"] = ["application/sdp"]
        answer = rig.send(lost.to_bytes())
        assert (answer.status, answer.to_tag) == (488, response.to_tag)
        rig.caller.cancel()
        rig.wire.settle()
        rig.assert_nothing_is_left()
