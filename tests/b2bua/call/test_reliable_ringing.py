"""Reliable provisional answers (RFC 3262), in both roles, on the wire."""

from typing import Any

import pytest

from b2bua.call.caller_leg import CallerLeg
from b2bua.call.reliable_ringing import is_reliable, offer_tags, read_rseq
from b2bua.sip.flow import Flow
from b2bua.sip.headers import Headers
from b2bua.sip.message import Request, Response
from b2bua.sip.transactions import ServerTransaction
from tests.support.legs import Wire, WiredAnswerer, WiredCaller, on_loop

CALLER, CALLEE = "192.0.2.1", "203.0.113.1"


def invite(**headers: str) -> Request:
    return Request("INVITE", "sip:1@example.com", Headers({name: [value] for name, value in headers.items()}))


def ringing(status: int = 183, **headers: str) -> Response:
    return Response(status, "", Headers({name: [value] for name, value in headers.items()}))


class TestRules:
    @pytest.mark.parametrize(
        ("headers", "mode", "has_session", "reliable"),
        [
            ({}, "supported", True, False),
            ({}, "required", True, False),
            ({"supported": "timer, 100rel"}, "supported", True, True),
            ({"supported": "100REL"}, "supported", False, False),
            ({"supported": "100rel"}, "required", False, True),
            ({"supported": "100rel"}, "off", True, False),
            ({"require": "100rel"}, "off", False, True),
            ({"supported": "x100rel"}, "required", True, False),
        ],
    )
    def test_answer_is_reliable_where_it_is_asked_for_or_matters(
        self, headers: dict[str, str], mode: str, has_session: bool, reliable: bool
    ) -> None:
        assert is_reliable(invite(**headers), mode, has_session=has_session) == reliable

    @pytest.mark.parametrize(
        ("mode", "has_offer", "tags"),
        [
            ("off", True, {}),
            ("supported", True, {"supported": "100rel"}),
            ("required", True, {"require": "100rel"}),
            ("required", False, {}),
        ],
    )
    def test_gateway_is_asked_for_it_as_it_is_set(self, mode: str, has_offer: bool, tags: dict[str, str]) -> None:
        assert offer_tags(mode, has_offer=has_offer) == tags

    @pytest.mark.parametrize(
        ("response", "number"),
        [
            (ringing(require="100rel", rseq="7"), 7),
            (ringing(rseq="7"), 0),
            (ringing(require="100rel"), 0),
            (ringing(require="100rel", rseq="seven"), 0),
            (ringing(require="100rel", rseq="99999999999"), 0),
            (ringing(100, require="100rel", rseq="7"), 0),
        ],
    )
    def test_number_is_read(self, response: Response, number: int) -> None:
        assert read_rseq(response) == number


class Ringer(WiredAnswerer):
    """Says what it is told to, each reliably where it may, and answers when the test says so."""

    def __init__(self, wire: Wire, *sessions: bytes) -> None:
        super().__init__(wire, CALLEE, answers=False, rings=False)
        self.sessions = sessions
        self.is_deaf = False

    def invited(self, transaction: ServerTransaction, request: Request, flow: Flow) -> None:
        """Ring several times at once."""
        super().invited(transaction, request, flow)
        assert isinstance(self.leg, CallerLeg)
        for number, session in enumerate(self.sessions):
            self.leg.send_provisional(180 + number, session)

    def caller_is_deaf(self) -> None:
        """No PRACK came."""
        self.is_deaf = True

    def answer(self) -> None:
        """Take the call."""
        assert isinstance(self.leg, CallerLeg)
        self.leg.answer(self.session)
        self.endpoint.end_of_turn()
        self.wire.settle()


class Pair:
    def __init__(self, *sessions: bytes, **headers: str) -> None:
        self.wire = Wire()
        self.caller = WiredCaller(self.wire, CALLER)
        self.caller.headers = {name: [value] for name, value in headers.items()}
        self.heard: list[tuple[int, bytes]] = []
        self.callee = Ringer(self.wire, *sessions)
        passed_on = self.caller.callee_responded

        def listen(leg: Any, response: Response) -> None:
            self.heard.append((response.status, response.body))
            passed_on(leg, response)

        self.caller.callee_responded = listen  # type: ignore[method-assign]

    def dial(self) -> None:
        self.caller.dial(CALLEE)

    def assert_nothing_is_left(self) -> None:
        self.wire.advance(120.0)
        for endpoint in (self.caller.endpoint, self.callee.endpoint):
            assert endpoint.transactions.count == 0
            assert endpoint.wheel.count == 0


class TestBothSides:
    @on_loop
    async def test_answer_with_a_session_is_acknowledged(self) -> None:
        pair = Pair(b"v=0", supported="100rel")
        pair.dial()
        assert pair.wire.labels() == ["INVITE", "180 INVITE", "PRACK", "200 PRACK"]
        (response,) = pair.wire.responses(180)
        (prack,) = pair.wire.requests("PRACK")
        assert response.headers["require"] == ["100rel"]
        assert prack.headers["rack"] == [f"{response.headers['rseq'][0]} 1 INVITE"]
        assert (prack.to_tag, prack.cseq) == (response.to_tag, 2)
        pair.callee.answer()
        assert pair.caller.is_answered.is_set()
        pair.caller.hang_up()
        pair.wire.settle()
        pair.assert_nothing_is_left()

    @on_loop
    async def test_second_answer_waits_for_the_prack_of_the_first(self) -> None:
        pair = Pair(b"v=0", b"", b"v=1", require="100rel")
        pair.wire.lose("PRACK", CALLER)
        pair.dial()
        assert [status for status, _ in pair.heard] == [180]
        pair.wire.advance(1.0)
        assert pair.heard == [(180, b"v=0"), (181, b""), (182, b"v=1")]
        numbers = [int(pair.wire.responses(status)[0].headers["rseq"][0]) for status in (180, 181, 182)]
        assert numbers == [numbers[0], numbers[0] + 1, numbers[0] + 2]

    @on_loop
    async def test_lost_answer_is_sent_again_and_heard_once(self) -> None:
        pair = Pair(b"v=0", supported="100rel")
        pair.wire.lose("180 INVITE", CALLEE, 2)
        pair.wire.lose("PRACK", CALLER, 3)
        pair.dial()
        pair.wire.advance(20.0)
        assert pair.heard == [(180, b"v=0")]
        assert pair.wire.labels().count("200 PRACK") == 1
        assert pair.callee.is_deaf is False

    @on_loop
    async def test_2xx_waits_for_the_prack_of_a_session(self) -> None:
        pair = Pair(b"v=0", supported="100rel")
        pair.wire.lose("180 INVITE", CALLEE, 2)
        pair.dial()
        pair.callee.answer()
        assert not pair.caller.is_answered.is_set()
        pair.wire.advance(4.0)
        heard = [label for label in pair.wire.labels() if label not in ("INVITE", "180 INVITE")]
        assert heard == ["PRACK", "200 PRACK", "200 INVITE", "ACK"]
        assert pair.caller.is_answered.is_set()

    @on_loop
    async def test_2xx_does_not_wait_where_there_was_no_session(self) -> None:
        pair = Pair(b"", require="100rel")
        pair.wire.lose("180 INVITE", CALLEE, 20)
        pair.dial()
        pair.callee.answer()
        assert pair.caller.is_answered.is_set()
        pair.caller.hang_up()
        pair.wire.settle()
        pair.assert_nothing_is_left()

    @on_loop
    async def test_leg_is_told_when_no_prack_ever_comes(self) -> None:
        pair = Pair(b"v=0", supported="100rel")
        pair.wire.lose("PRACK", CALLER, 100)
        pair.dial()
        pair.wire.advance(31.0)
        assert not pair.callee.is_deaf
        pair.wire.advance(2.0)
        assert pair.callee.is_deaf

    @on_loop
    async def test_bye_refuses_a_call_whose_2xx_waits(self) -> None:
        pair = Pair(b"v=0", supported="100rel")
        pair.wire.lose("PRACK", CALLER, 100)
        pair.dial()
        pair.callee.answer()
        pair.callee.hang_up()
        pair.wire.settle()
        assert pair.caller.status == 480
        assert pair.wire.requests("BYE") == []
        pair.assert_nothing_is_left()

    @on_loop
    @pytest.mark.parametrize("rack", ["", "1 1 INVITE", "7", "{rseq} 9 INVITE", "{rseq} 1 UPDATE", "a b c"])
    async def test_prack_of_nothing_that_was_sent_is_refused(self, rack: str) -> None:
        pair = Pair(b"v=0", supported="100rel")
        pair.wire.lose("PRACK", CALLER, 100)
        pair.dial()
        (response,) = pair.wire.responses(180)
        assert pair.caller.leg is not None
        assert pair.caller.leg.dialog is not None
        pair.caller.leg.dialog.become_uac(response)
        prack = pair.caller.leg.dialog.request("PRACK")
        prack.headers["rack"] = [rack.format(rseq=response.headers["rseq"][0])]
        pair.wire._losses.clear()
        pair.caller.endpoint.transactions.send_request(prack, pair.caller.leg.flow, pair.wire.now, None)
        pair.caller.endpoint.end_of_turn()
        pair.wire.settle()
        assert len(pair.wire.responses(481)) == 1


class Forking:
    """Answers to one INVITE from several places, as a proxy passes them on."""

    def __init__(self) -> None:
        self.pair = Pair(supported="100rel")
        self.pair.dial()
        (self.request,) = self.pair.wire.requests("INVITE")

    def ring(self, tag: str, rseq: str, status: int = 183) -> None:
        response = Response.to(self.request, status, tag, b"v=0")
        response.headers["require"], response.headers["rseq"] = ["100rel"], [rseq]
        response.headers["contact"] = [f"<sip:{tag}@{CALLEE}>"]
        self.pair.caller.endpoint.receive(response.to_bytes(), Flow("udp", CALLEE, 5060))
        self.pair.caller.endpoint.end_of_turn()
        self.pair.wire.settle()

    @property
    def acknowledged(self) -> list[tuple[str, str]]:
        return [(each.to_tag, each.headers["rack"][0]) for each in self.pair.wire.requests("PRACK")]


class TestOrder:
    """RFC 3262 §4."""

    @on_loop
    async def test_each_fork_has_numbers_of_its_own(self) -> None:
        forking = Forking()
        forking.ring("one", "5")
        forking.ring("two", "900")
        forking.ring("one", "6")
        assert forking.acknowledged == [("one", "5 1 INVITE"), ("two", "900 1 INVITE"), ("one", "6 1 INVITE")]
        assert [each.uri for each in forking.pair.wire.requests("PRACK")][1] == f"sip:two@{CALLEE}"
        assert [each.cseq for each in forking.pair.wire.requests("PRACK")] == [2, 3, 4]

    @on_loop
    async def test_repeated_answer_and_one_that_comes_too_early_are_passed_over(self) -> None:
        forking = Forking()
        for rseq in ("5", "5", "7", "6"):
            forking.ring("one", rseq)
        assert [rack for _, rack in forking.acknowledged] == ["5 1 INVITE", "6 1 INVITE"]
        assert len(forking.pair.heard) == 2

    @on_loop
    async def test_number_of_forks_is_bounded(self) -> None:
        forking = Forking()
        for number in range(40):
            forking.ring(f"tag{number}", "1")
        assert len(forking.acknowledged) == 16
