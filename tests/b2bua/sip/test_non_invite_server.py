"""Non-INVITE server transaction."""

import pytest

from b2bua.sip.errors import InvalidState
from b2bua.sip.events import RequestReceived, TransportFailed
from b2bua.sip.flow import Flow
from b2bua.sip.machine import IGNORE, Input
from b2bua.sip.message import Response
from b2bua.sip.non_invite_server import INPUTS, TRANSITIONS, State
from b2bua.sip.transactions import ServerTransaction
from tests.support.sip import TCP, UDP, Switch, edges, missing_pairs, parse_request, request


def asked(flow: Flow = UDP) -> tuple[Switch, ServerTransaction]:
    """A switch that has received an OPTIONS."""
    switch = Switch()
    switch.receive(request("OPTIONS"), flow)
    return switch, switch.take_event(RequestReceived).transaction


class TestTable:
    """RFC 3261 figure 8."""

    def test_table_has_every_pair_of_state_and_input(self) -> None:
        assert missing_pairs(TRANSITIONS, State, INPUTS) == []

    def test_states_follow_each_other_as_in_the_figure(self) -> None:
        assert edges(TRANSITIONS) == {
            (State.TRYING, State.PROCEEDING),
            (State.TRYING, State.COMPLETED),
            (State.TRYING, State.TERMINATED),
            (State.PROCEEDING, State.COMPLETED),
            (State.PROCEEDING, State.TERMINATED),
            (State.COMPLETED, State.TERMINATED),
        }

    @pytest.mark.parametrize("happened", INPUTS)
    def test_terminated_is_final_and_does_nothing(self, happened: Input) -> None:
        assert TRANSITIONS[State.TERMINATED][happened] == (State.TERMINATED, IGNORE)

    def test_answered_states_come_after_the_others(self) -> None:
        # ServerTransaction.is_answered compares numbers with those of the INVITE's states.
        switch, transaction = asked()
        assert not transaction.is_answered
        switch.answer(transaction, 100)
        assert not transaction.is_answered
        switch.answer(transaction, 200)
        assert transaction.is_answered


class TestTrying:
    """RFC 3261 §17.2.2."""

    def test_request_is_passed_up_once_and_nothing_is_sent_by_itself(self) -> None:
        switch, transaction = asked()
        switch.receive(request("OPTIONS"))
        switch.advance(10.0)
        assert switch.take_events() == []
        assert switch.take_sent() == []
        assert transaction.state == State.TRYING

    def test_user_is_told_when_an_answer_cannot_be_sent(self) -> None:
        switch, transaction = asked()
        switch.fail(transaction, "refused")
        assert switch.take_event(TransportFailed).reason == "refused"
        assert switch.layer.count == 0


class TestProceeding:
    """RFC 3261 §17.2.2."""

    def test_provisional_answer_is_repeated_when_the_request_is(self) -> None:
        switch, transaction = asked()
        switch.answer(transaction, 100)
        switch.take_sent()
        switch.receive(request("OPTIONS"))
        assert [one.response.status for one in switch.take_sent()] == [100]


class TestCompleted:
    """RFC 3261 §17.2.2: timer J."""

    @pytest.mark.parametrize("status", [200, 302, 404, 500, 603])
    def test_answer_is_repeated_when_the_request_is_and_not_otherwise(self, status: int) -> None:
        switch, transaction = asked()
        switch.answer(transaction, status)
        switch.advance(10.0)
        (first,) = switch.take_sent()
        assert first.response.status == status
        switch.receive(request("OPTIONS"))
        assert [one.data for one in switch.take_sent()] == [first.data]
        assert switch.take_events() == []

    def test_transaction_lingers_64_t1_over_udp(self) -> None:
        switch, transaction = asked()
        switch.answer(transaction, 200)
        switch.advance(31.9)
        assert switch.layer.count == 1
        switch.advance(0.2)
        assert switch.layer.count == 0
        assert switch.take_events() == []

    def test_transaction_ends_at_once_over_tcp(self) -> None:
        switch, transaction = asked(TCP)
        switch.answer(transaction, 200)
        switch.advance(0.02)
        assert switch.layer.count == 0

    def test_second_final_answer_is_our_bug(self) -> None:
        switch, transaction = asked()
        switch.answer(transaction, 200)
        answer = Response.to(parse_request(request("OPTIONS")), 404, "us1")
        with pytest.raises(InvalidState, match="OPTIONS"):
            switch.layer.send_response(transaction, answer, switch.now)
