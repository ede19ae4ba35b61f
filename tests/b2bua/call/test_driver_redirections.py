"""Calls that a gateway sends elsewhere (3xx), or wants a longer session for (422)."""

from collections.abc import Callable

import pytest

from b2bua.policy.routes import Login
from b2bua.sip.flow import Flow
from b2bua.sip.message import Request, Response
from b2bua.sip.transactions import ServerTransaction
from tests.b2bua.call.rig import CALLER, CARRIERS, NUMBER, SWITCH, Rig
from tests.support.carriers import SECRET, USER, WaryCarrier
from tests.support.legs import WiredAnswerer, on_loop

MakeRig = Callable[..., Rig]

ELSEWHERE = "203.0.113.77"
FURTHER = "203.0.113.78"


def to(*hosts: str, number: str = "4400") -> dict[str, str]:
    return {"contact": ", ".join(f"<sip:{number}@{host}:5060>" for host in hosts)}


def redirecting(rig: Rig, *hosts: str, follows: bool = True, status: int = 302) -> None:
    """The first gateway sends all calls elsewhere, and may."""
    rig.gateway().follows_redirects = follows
    rig.carrier(1, refuse=status, headers=to(*hosts))


class Patient(WiredAnswerer):
    """A callee that refuses sessions of less than half an hour."""

    def invited(self, transaction: ServerTransaction, request: Request, flow: Flow) -> None:
        """Look at how long the session would be."""
        self._refuse = 0 if int(request.headers.first("session-expires")) >= 1800 else 422
        super().invited(transaction, request, flow)


class TestRedirection:
    @on_loop
    @pytest.mark.parametrize("status", [300, 301, 302, 305, 380])
    async def test_is_followed_where_the_gateway_may_send_calls_elsewhere(self, make_rig: MakeRig, status: int) -> None:
        rig = make_rig()
        redirecting(rig, ELSEWHERE, status=status)
        elsewhere = WiredAnswerer(rig.wire, ELSEWHERE)
        rig.dial()
        assert rig.caller.is_answered.is_set()
        assert elsewhere.invites[0].uri == f"sip:4400@{ELSEWHERE}:5060"
        rig.hang_up(rig.caller)
        (record,) = rig.records()
        assert (record["code"], record["sip_code"], record["gateway_id"]) == ("ANSWERED", 200, 1)
        assert record["b_address"] == f"{ELSEWHERE}:5060"
        rig.assert_nothing_is_left()

    @on_loop
    async def test_is_a_failure_where_it_may_not(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        redirecting(rig, ELSEWHERE, follows=False)
        elsewhere = WiredAnswerer(rig.wire, ELSEWHERE)
        rig.carrier(2, refuse=503)
        rig.dial()
        assert elsewhere.invites == []
        assert rig.caller.status == 503
        assert rig.records()[0]["sip_code"] == 302
        rig.assert_nothing_is_left()

    @on_loop
    async def test_goes_from_place_to_place_until_one_answers(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        redirecting(rig, ELSEWHERE, FURTHER)
        WiredAnswerer(rig.wire, ELSEWHERE, refuse=404)
        further = WiredAnswerer(rig.wire, FURTHER)
        rig.dial()
        assert rig.caller.is_answered.is_set()
        rig.hang_up(further)
        assert [record["code"] for record in rig.records()] == ["ANSWERED"]
        rig.assert_nothing_is_left()

    @on_loop
    async def test_silent_place_is_given_up_for_the_next_and_the_gateway_is_not_blamed(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        redirecting(rig, ELSEWHERE, FURTHER)
        WiredAnswerer(rig.wire, FURTHER)
        for _ in range(4):
            rig.caller.is_answered.clear()
            rig.dial()
            rig.wire.advance(5.1)
            assert rig.caller.is_answered.is_set()
            rig.hang_up(rig.caller)
        assert rig.driver.health.down() == {}
        rig.assert_nothing_is_left()

    @on_loop
    @pytest.mark.parametrize("status", [486, 603])
    async def test_stops_where_the_callee_has_spoken(self, make_rig: MakeRig, status: int) -> None:
        rig = make_rig()
        redirecting(rig, ELSEWHERE, FURTHER)
        WiredAnswerer(rig.wire, ELSEWHERE, refuse=status)
        further = WiredAnswerer(rig.wire, FURTHER)
        rig.dial()
        assert rig.caller.status == status
        assert further.invites == []
        rig.assert_nothing_is_left()

    @on_loop
    async def test_next_gateway_follows_when_no_place_takes_the_call(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        redirecting(rig, ELSEWHERE)
        WiredAnswerer(rig.wire, ELSEWHERE, refuse=500)
        rig.carrier(2)
        rig.dial()
        assert rig.caller.is_answered.is_set()
        rig.hang_up(rig.caller)
        assert [(record["sip_code"], record["gateway_id"]) for record in rig.records()] == [(500, 1), (200, 2)]
        rig.assert_nothing_is_left()

    @on_loop
    async def test_in_a_circle_ends(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        redirecting(rig, ELSEWHERE)
        WiredAnswerer(rig.wire, ELSEWHERE, refuse=302, headers=to(CARRIERS[0], ELSEWHERE))
        rig.carrier(2, refuse=486)
        rig.dial()
        assert rig.caller.status == 486
        assert len(rig.wire.requests("INVITE", SWITCH, ELSEWHERE)) <= 3
        rig.assert_nothing_is_left()

    @on_loop
    @pytest.mark.parametrize("place", [SWITCH, "no.example", "[fe80::1]"])
    async def test_to_ourselves_or_nowhere_is_passed_over(self, make_rig: MakeRig, place: str) -> None:
        rig = make_rig()
        redirecting(rig, place)
        rig.carrier(2)
        rig.dial()
        assert rig.caller.is_answered.is_set()
        assert rig.driver.counts["received"] == 1
        rig.hang_up(rig.caller)
        rig.assert_nothing_is_left()

    @on_loop
    async def test_caller_that_gives_up_ends_what_was_redirected(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        redirecting(rig, ELSEWHERE)
        WiredAnswerer(rig.wire, ELSEWHERE, answers=False)
        rig.dial()
        rig.caller.cancel()
        rig.wire.settle()
        assert len(rig.wire.requests("CANCEL", SWITCH, ELSEWHERE)) == 1
        assert [record["code"] for record in rig.records()] == ["CANCELLED"]
        rig.assert_nothing_is_left()

    @on_loop
    async def test_secret_of_the_gateway_is_proved_to_nobody_else(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        redirecting(rig, ELSEWHERE)
        rig.gateway().login = Login(USER, SECRET)
        stranger = WaryCarrier(rig.wire, ELSEWHERE)
        rig.carrier(2, refuse=486)
        rig.dial()
        assert stranger.accepted == []
        assert all("proxy-authorization" not in each.headers for each in rig.wire.requests("INVITE", SWITCH, ELSEWHERE))
        rig.assert_nothing_is_left()


class TestLongerSession:
    @on_loop
    async def test_gateway_that_wants_one_gets_it(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.gateway().session_timer = 600
        Patient(rig.wire, CARRIERS[0], refuse=422, headers={"min-se": "1800"})
        rig.dial()
        assert rig.caller.is_answered.is_set()
        first, second = rig.wire.requests("INVITE", SWITCH, CARRIERS[0])
        assert (first.headers["session-expires"], second.headers["session-expires"]) == (["600"], ["1800"])
        assert second.headers["min-se"] == ["1800"]
        assert (first.call_id, first.from_tag) == (second.call_id, second.from_tag)
        assert second.cseq == first.cseq + 1
        rig.hang_up(rig.caller)
        assert [record["code"] for record in rig.records()] == ["ANSWERED"]
        rig.assert_nothing_is_left()

    @on_loop
    @pytest.mark.parametrize("min_se", ["300", "", "soon"])
    async def test_gateway_that_does_not_say_what_it_wants_has_failed(self, make_rig: MakeRig, min_se: str) -> None:
        rig = make_rig()
        rig.gateway().session_timer = 600
        rig.carrier(1, refuse=422, headers={"min-se": min_se} if min_se else {})
        rig.dial(NUMBER)
        assert rig.caller.status == 503
        assert len(rig.wire.requests("INVITE", SWITCH, CARRIERS[0])) == 1
        rig.assert_nothing_is_left()

    @on_loop
    async def test_gateway_that_is_never_content_is_not_asked_for_ever(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.gateway().session_timer = 600
        rig.carrier(1, refuse=422, headers={"min-se": "1800"})
        rig.dial()
        assert isinstance(rig.wire.responses(503, SWITCH, CALLER)[-1], Response)
        assert len(rig.wire.requests("INVITE", SWITCH, CARRIERS[0])) == 2
        rig.assert_nothing_is_left()
