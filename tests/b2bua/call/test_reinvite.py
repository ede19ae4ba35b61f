"""An INVITE of ours within a dialog (RFC 3261 §14.1)."""

from collections.abc import Callable

import pytest

from b2bua.call.caller_leg import CallerLeg
from b2bua.call.reinvite import GLARE_TRIES, ReInvite
from b2bua.sip.digest_client import DigestClient
from b2bua.sip.events import Event as SIPEvent
from b2bua.sip.events import ResponseReceived, TransactionTimedOut, TransportFailed
from b2bua.sip.message import Response
from b2bua.transport.endpoint import new_token
from tests.support.carriers import SECRET, USER, WaryCarrier
from tests.support.legs import Wire, WiredAnswerer, WiredCaller, on_loop

CALLER, CALLEE = "192.0.2.1", "203.0.113.1"

Outcome = tuple[int, bytes]


class Asking(WiredCaller):
    """A caller whose requests of its own hear of their answers."""

    def handle_event(self, event: SIPEvent, now: float) -> None:
        """Hand answers over, as the driver does."""
        if isinstance(event, ResponseReceived | TransactionTimedOut | TransportFailed):
            user = event.transaction.user
            if isinstance(user, ReInvite):
                if isinstance(event, ResponseReceived):
                    user.answered(event.transaction, event.response)
                else:
                    user.failed(event.transaction, "NO_RESPONSE")  # type: ignore[arg-type]
                return
        super().handle_event(event, now)


class Pair:
    def __init__(self, make: Callable[[Wire], WiredAnswerer] = lambda wire: WiredAnswerer(wire, CALLEE)) -> None:
        self.wire = Wire()
        self.caller = Asking(self.wire, CALLER)
        self.callee = make(self.wire)
        self.caller.dial(CALLEE)
        self.outcomes: list[Outcome] = []
        self.asked: ReInvite

    def ask(self) -> None:
        assert self.caller.leg is not None
        self.asked = ReInvite(self.caller.leg, b"v=0 ours", self._done, {"session-expires": "90"})
        self.asked.send()
        self.turn()

    def _done(self, status: int, response: Response | None) -> None:
        self.outcomes.append((status, response.body if response is not None else b""))

    def turn(self) -> None:
        self.caller.endpoint.end_of_turn()
        self.wire.settle()

    def assert_nothing_is_left(self) -> None:
        self.wire.advance(140.0)
        assert self.caller.endpoint.transactions.count == 0
        assert self.caller.endpoint.wheel.count == 0


class TestOffer:
    @on_loop
    async def test_is_made_and_agreed_to(self) -> None:
        pair = Pair()
        pair.callee.describes = b"v=0 theirs"
        pair.ask()
        assert pair.outcomes == [(200, b"v=0 theirs")]
        (heard,) = pair.callee.heard
        assert heard.request.body == b"v=0 ours"
        assert heard.request.headers["session-expires"] == ["90"]
        assert len(heard.acks) == 1
        pair.assert_nothing_is_left()

    @on_loop
    async def test_answer_that_is_repeated_is_acknowledged_again_and_told_once(self) -> None:
        pair = Pair()
        pair.wire.lose("ACK", CALLER, 2)
        pair.ask()
        pair.wire.advance(5.0)
        assert len(pair.outcomes) == 1
        assert pair.callee.heard[0].acks
        pair.assert_nothing_is_left()

    @on_loop
    @pytest.mark.parametrize("status", [488, 481, 302, 503])
    async def test_that_is_refused_is_told(self, status: int) -> None:
        pair = Pair()
        pair.callee.statuses["INVITE"] = status
        pair.ask()
        assert pair.outcomes == [(status, b"")]
        pair.assert_nothing_is_left()

    @on_loop
    async def test_that_meets_another_is_made_again(self) -> None:
        pair = Pair()
        pair.callee.statuses["INVITE"] = 491
        pair.ask()
        assert pair.outcomes == []
        pair.callee.statuses.clear()
        pair.wire.advance(2.0)
        assert len(pair.callee.heard) == 1
        pair.wire.advance(0.2)
        assert [status for status, _ in pair.outcomes] == [200]
        pair.assert_nothing_is_left()

    @on_loop
    async def test_that_meets_others_again_and_again_is_given_up(self) -> None:
        pair = Pair()
        pair.callee.statuses["INVITE"] = 491
        pair.ask()
        pair.wire.advance(60.0)
        assert pair.outcomes == [(491, b"")]
        assert len(pair.callee.heard) == GLARE_TRIES + 1
        pair.assert_nothing_is_left()

    @on_loop
    async def test_that_is_never_answered_is_given_up(self) -> None:
        pair = Pair()
        pair.wire.lose("INVITE", CALLER, 100)
        pair.ask()
        pair.wire.advance(40.0)
        assert pair.outcomes == [(408, b"")]
        pair.assert_nothing_is_left()

    @on_loop
    async def test_that_was_only_tried_is_given_up(self) -> None:
        pair = Pair()
        pair.callee.statuses["INVITE"] = 0
        pair.ask()
        pair.wire.advance(33.0)
        assert pair.outcomes == [(408, b"")]

    @on_loop
    async def test_that_nobody_waits_for_any_more_is_acknowledged_all_the_same(self) -> None:
        pair = Pair()
        pair.callee.statuses["INVITE"] = 0
        pair.ask()
        pair.asked.abandon()
        pair.callee.reply(pair.callee.heard[0])
        assert pair.outcomes == []
        assert len(pair.callee.heard[0].acks) == 1
        pair.assert_nothing_is_left()

    @on_loop
    async def test_is_proved_where_the_peer_asks_who_we_are(self) -> None:
        pair = Pair(lambda wire: WaryCarrier(wire, CALLEE))
        # The first INVITE was challenged too: its caller has nothing to prove with, so the dialog is made up.
        assert pair.caller.leg is not None
        pair.caller.leg.proof = DigestClient(USER, SECRET, new_token)
        assert not isinstance(pair.caller.leg, CallerLeg)
        pair.ask()
        (first, second) = pair.wire.requests("INVITE", CALLER)[-2:]
        assert [any("authorization" in name for name in each.headers) for each in (first, second)] == [False, True]
        assert second.cseq == first.cseq + 1
