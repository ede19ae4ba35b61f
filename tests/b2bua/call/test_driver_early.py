"""Sessions that change before the call is answered (RFC 3311), and callers that leave by BYE then."""

from collections.abc import Callable

import pytest

from tests.b2bua.call.rig import CALLER, CARRIERS, SWITCH, Rig
from tests.b2bua.call.test_driver_ringing import EarlyCarrier, asks, carrier
from tests.support.legs import Wire, WiredAgent, WiredAnswerer, on_loop
from tests.support.talking import describe_audio

MakeRig = Callable[..., Rig]


def early(rig: Rig, *, lost: bool = False) -> EarlyCarrier:
    """A call that rings with a session that both sides have agreed on, and acknowledged."""
    rig.gateway().reliable_ringing = "supported"
    asks(rig, supported="100rel")
    gateway = carrier(rig)
    if lost:
        rig.wire.lose("PRACK", CALLER, 100)
    rig.dial()
    for agent in (rig.caller, gateway):
        take_early_dialog(rig.wire, agent)
    return gateway


def take_early_dialog(wire: Wire, agent: WiredAgent) -> None:
    """Agents that only call or answer know their dialog from the first session on."""
    leg = agent.leg
    assert leg is not None
    if leg.dialog is None:
        leg.make_dialog()  # type: ignore[attr-defined]
    elif not leg.dialog.remote_tag:
        leg.dialog.become_uac(wire.responses(183, SWITCH, CALLER)[-1])


class TestUpdate:
    @on_loop
    async def test_of_the_caller_reaches_the_callee(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        gateway = early(rig)
        said = rig.caller.say("UPDATE", describe_audio(CALLER, direction="sendonly"))
        assert said.status == 200
        (heard,) = gateway.heard
        assert b"a=sendonly" in heard.request.body
        assert heard.request.to_tag == rig.wire.responses(183, CARRIERS[0])[0].to_tag
        assert b"c=IN IP4 " + CARRIERS[0].encode() in said.response.body
        gateway.answer()
        assert rig.caller.is_answered.is_set()
        rig.hang_up(rig.caller)
        assert [record["code"] for record in rig.records()] == ["ANSWERED"]
        assert [line["kind"] for line in rig.lines()].count("dialogs") == 0
        rig.assert_nothing_is_left()

    @on_loop
    async def test_of_the_callee_reaches_the_caller(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        gateway = early(rig)
        assert gateway.say("UPDATE", describe_audio(CARRIERS[0], version=2)).status == 200
        assert [each.request.method for each in rig.caller.heard] == ["UPDATE"]
        gateway.answer()
        rig.hang_up(gateway)
        rig.assert_nothing_is_left()

    @on_loop
    async def test_is_too_early_while_the_first_session_is_not_acknowledged(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        gateway = early(rig, lost=True)
        said = gateway.say("UPDATE", describe_audio(CARRIERS[0], version=2))
        assert (said.status, said.response.headers["retry-after"]) == (500, ["1"])
        assert rig.caller.heard == []
        rig.caller.cancel()
        rig.wire.settle()
        rig.assert_nothing_is_left()

    @on_loop
    async def test_that_is_under_way_ends_with_its_attempt(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        gateway = early(rig)
        rig.carrier(2)
        gateway.statuses["UPDATE"] = 0
        said = rig.caller.say("UPDATE", describe_audio(CALLER, version=2))
        assert gateway.leg is not None
        gateway.leg.send_failure(503, 41, "", {})  # type: ignore[attr-defined]
        gateway.endpoint.end_of_turn()
        rig.wire.settle()
        assert said.status == 481
        assert rig.caller.is_answered.is_set()
        rig.hang_up(rig.caller)
        rig.assert_nothing_is_left()

    @on_loop
    @pytest.mark.parametrize("method", ["INFO", "MESSAGE", "REFER"])
    async def test_nothing_else_is_carried_on_before_the_answer(self, make_rig: MakeRig, method: str) -> None:
        rig = make_rig()
        gateway = early(rig)
        assert rig.caller.say(method, b"x").status == 481
        assert gateway.heard == []
        rig.caller.cancel()
        rig.wire.settle()
        rig.assert_nothing_is_left()


class TestBye:
    @on_loop
    async def test_gives_the_call_up_when_ringing_needs_no_acknowledgement(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        WiredAnswerer(rig.wire, CARRIERS[0], answers=False)
        rig.dial()
        leg = rig.caller.leg
        assert leg is not None
        assert leg.dialog is not None
        leg.dialog.become_uac(rig.wire.responses(180, SWITCH, CALLER)[0])
        assert rig.caller.say("BYE").status == 200
        assert len(rig.wire.responses(487, SWITCH, CALLER)) == 1
        assert len(rig.wire.requests("CANCEL", SWITCH, CARRIERS[0])) == 1
        assert [record["code"] for record in rig.records()] == ["CANCELLED"]
        rig.assert_nothing_is_left()

    @on_loop
    async def test_of_the_caller_gives_the_call_up(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        early(rig)
        assert rig.caller.say("BYE").status == 200
        assert len(rig.wire.responses(487, SWITCH, CALLER)) == 1
        assert len(rig.wire.requests("CANCEL", SWITCH, CARRIERS[0])) == 1
        assert [record["code"] for record in rig.records()] == ["CANCELLED"]
        rig.assert_nothing_is_left()
