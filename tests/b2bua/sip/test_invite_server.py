"""INVITE server transaction."""

import pytest

from b2bua.sip.errors import InvalidState
from b2bua.sip.events import AckReceived, RequestReceived, TransactionTimedOut, TransportFailed
from b2bua.sip.flow import Flow
from b2bua.sip.invite_server import INPUTS, TRANSITIONS, State
from b2bua.sip.machine import IGNORE, Input
from b2bua.sip.message import Response
from b2bua.sip.transactions import ServerTransaction
from tests.support.sip import TCP, UDP, Switch, edges, missing_pairs, parse_request, request

FINAL = [302, 404, 486, 503, 603]


def called(flow: Flow = UDP) -> tuple[Switch, ServerTransaction]:
    """A switch that has received an INVITE."""
    switch = Switch()
    switch.receive(request(), flow)
    return switch, switch.take_event(RequestReceived).transaction


class TestTable:
    """RFC 3261 figure 7 as changed by RFC 6026 figure 5; Proceeding split in two."""

    def test_table_has_every_pair_of_state_and_input(self) -> None:
        assert missing_pairs(TRANSITIONS, State, INPUTS) == []

    def test_states_follow_each_other_as_in_the_figure(self) -> None:
        assert edges(TRANSITIONS) == {
            (State.TRYING, State.PROCEEDING),
            (State.TRYING, State.ACCEPTED),
            (State.TRYING, State.COMPLETED),
            (State.TRYING, State.TERMINATED),
            (State.PROCEEDING, State.ACCEPTED),
            (State.PROCEEDING, State.COMPLETED),
            (State.PROCEEDING, State.TERMINATED),
            (State.COMPLETED, State.CONFIRMED),
            (State.COMPLETED, State.TERMINATED),
            (State.CONFIRMED, State.TERMINATED),
            (State.ACCEPTED, State.TERMINATED),
        }

    @pytest.mark.parametrize("happened", INPUTS)
    def test_terminated_is_final_and_does_nothing(self, happened: Input) -> None:
        assert TRANSITIONS[State.TERMINATED][happened] == (State.TERMINATED, IGNORE)

    def test_answered_states_come_after_the_others(self) -> None:
        # ServerTransaction.is_answered compares numbers.
        assert {state for state in State if state >= State.COMPLETED} == set(State) - {State.TRYING, State.PROCEEDING}


class TestTrying:
    """RFC 3261 §17.2.1: 100 Trying unless the user answers within 200 ms."""

    def test_trying_is_sent_after_150_ms_when_nothing_was_answered(self) -> None:
        switch, transaction = called()
        switch.advance(0.14)
        assert switch.take_sent() == []
        switch.advance(0.06)
        (sent,) = switch.take_sent()
        assert sent.after == pytest.approx(0.15, abs=0.011)
        assert (sent.response.status, sent.response.to_tag) == (100, "")
        assert sent.transaction is transaction
        assert transaction.state == State.PROCEEDING

    @pytest.mark.parametrize("status", [180, 200, 486])
    def test_trying_is_not_sent_when_answered_before(self, status: int) -> None:
        switch, transaction = called()
        switch.answer(transaction, status)
        switch.take_sent()
        switch.advance(0.4)
        assert switch.take_sent() == []

    def test_trying_is_sent_at_once_when_the_caller_repeats_itself(self) -> None:
        switch, _ = called()
        switch.advance(0.05)
        switch.receive(request())
        assert [one.response.status for one in switch.take_sent()] == [100]
        assert switch.take_events() == []
        switch.advance(1.0)
        assert switch.take_sent() == []

    def test_user_is_told_when_an_answer_cannot_be_sent(self) -> None:
        switch, transaction = called()
        switch.answer(transaction, 180)
        switch.fail(transaction, "refused")
        assert switch.take_event(TransportFailed).transaction is transaction
        assert switch.layer.count == 0


class TestProceeding:
    """RFC 3261 §17.2.1."""

    def test_last_provisional_answer_is_repeated_when_the_caller_repeats_itself(self) -> None:
        switch, transaction = called()
        switch.answer(transaction, 180)
        switch.answer(transaction, 183)
        assert [one.response.status for one in switch.take_sent()] == [180, 183]
        switch.receive(request())
        assert [one.response.status for one in switch.take_sent()] == [183]
        assert switch.take_events() == []

    def test_transaction_waits_for_its_user_however_long_it_rings(self) -> None:
        switch, transaction = called()
        switch.answer(transaction, 180)
        switch.advance(600.0)
        switch.answer(transaction, 200)
        assert [one.response.status for one in switch.take_sent()] == [180, 200]

    def test_ack_is_dropped_when_there_is_nothing_to_acknowledge(self) -> None:
        switch, transaction = called()
        switch.answer(transaction, 180)
        switch.receive(request("ACK"))
        assert switch.take_events() == []
        assert transaction.state == State.PROCEEDING


class TestCompleted:
    """RFC 3261 §17.2.1: timers G and H."""

    def test_answer_is_repeated_at_intervals_that_double_up_to_t2_over_udp(self) -> None:
        switch, transaction = called()
        switch.answer(transaction, 486)
        switch.advance(31.9)
        sent = switch.take_sent()
        expected = [0.0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
        assert [one.after for one in sent] == pytest.approx(expected, abs=0.15)
        assert {one.data for one in sent} == {sent[0].data}

    def test_answer_is_not_repeated_over_tcp(self) -> None:
        switch, transaction = called(TCP)
        switch.answer(transaction, 486)
        switch.advance(31.9)
        assert len(switch.take_sent()) == 1

    @pytest.mark.parametrize("flow", [UDP, TCP])
    def test_user_is_told_when_no_ack_comes_for_64_t1(self, flow: Flow) -> None:
        switch, transaction = called(flow)
        transaction.user = user = object()
        switch.answer(transaction, 486)
        switch.advance(31.9)
        assert switch.take_events() == []
        switch.advance(0.2)
        assert switch.take_event(TransactionTimedOut).transaction.user is user
        assert switch.layer.count == 0

    @pytest.mark.parametrize("status", FINAL)
    def test_answer_is_repeated_when_the_caller_repeats_itself(self, status: int) -> None:
        switch, transaction = called()
        switch.answer(transaction, status)
        switch.take_sent()
        switch.receive(request())
        assert [one.response.status for one in switch.take_sent()] == [status]

    def test_second_final_answer_is_our_bug(self) -> None:
        switch, transaction = called()
        switch.answer(transaction, 486)
        answer = Response.to(parse_request(request()), 200, "us1")
        with pytest.raises(InvalidState, match="INVITE"):
            switch.layer.send_response(transaction, answer, switch.now)

    def test_provisional_answer_is_dropped_when_after_the_final_one(self) -> None:
        switch, transaction = called()
        switch.answer(transaction, 486)
        switch.take_sent()
        switch.layer.send_response(transaction, Response.to(parse_request(request()), 180, "us1"), switch.now)
        assert switch.layer.take_outgoing() == []


class TestConfirmed:
    """RFC 3261 §17.2.1: timer I."""

    def test_answer_is_no_longer_repeated_when_acknowledged(self) -> None:
        switch, transaction = called()
        switch.answer(transaction, 486)
        switch.receive(request("ACK", to_tag="us1"))
        assert transaction.state == State.CONFIRMED
        switch.take_sent()
        switch.receive(request())
        switch.receive(request("ACK", to_tag="us1"))
        switch.advance(100.0)
        assert switch.take_sent() == []
        assert switch.take_events() == []

    def test_transaction_lingers_t4_over_udp(self) -> None:
        switch, transaction = called()
        switch.answer(transaction, 486)
        switch.advance(1.0)
        switch.receive(request("ACK", to_tag="us1"))
        switch.advance(4.9)
        assert switch.layer.count == 1
        switch.advance(0.2)
        assert switch.layer.count == 0

    def test_transaction_ends_at_once_over_tcp(self) -> None:
        switch, transaction = called(TCP)
        switch.answer(transaction, 486)
        switch.receive(request("ACK", to_tag="us1"), TCP)
        switch.advance(0.02)
        assert switch.layer.count == 0


class TestAccepted:
    """RFC 6026 §7.1: timer L."""

    @pytest.mark.parametrize("flow", [UDP, TCP])
    def test_transaction_lingers_64_t1_and_absorbs_the_invite(self, flow: Flow) -> None:
        switch, transaction = called(flow)
        switch.answer(transaction, 200)
        assert [one.response.status for one in switch.take_sent()] == [200]
        switch.advance(31.9)
        switch.receive(request(), flow)
        assert switch.take_events() == []
        assert switch.take_sent() == []
        switch.advance(0.2)
        assert switch.layer.count == 0
        assert switch.take_events() == []

    def test_2xx_is_repeated_when_the_user_says_so(self) -> None:
        switch, transaction = called()
        switch.answer(transaction, 200)
        (first,) = switch.take_sent()
        switch.layer.repeat_response(transaction)
        ((flow, data, _),) = switch.layer.take_outgoing()
        assert (flow, data) == (first.flow, first.data)

    def test_2xx_is_not_repeated_when_the_transaction_has_ended(self) -> None:
        switch, transaction = called()
        switch.answer(transaction, 200)
        switch.advance(40.0)
        switch.layer.repeat_response(transaction)
        assert switch.layer.take_outgoing() == []

    @pytest.mark.parametrize("branch", ["z9hG4bKa1", "z9hG4bKother"])
    def test_ack_is_passed_up_whatever_its_branch(self, branch: str) -> None:
        switch, transaction = called()
        switch.answer(transaction, 200)
        switch.receive(request("ACK", branch=branch, to_tag="us1"))
        assert switch.take_event(AckReceived).request.to_tag == "us1"

    def test_user_is_told_when_the_2xx_cannot_be_sent_and_the_transaction_goes_on(self) -> None:
        switch, transaction = called()
        switch.answer(transaction, 200)
        switch.fail(transaction)
        switch.take_event(TransportFailed)
        assert transaction.state == State.ACCEPTED
