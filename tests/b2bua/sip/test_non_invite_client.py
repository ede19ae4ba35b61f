"""Non-INVITE client transaction."""

import pytest

from b2bua.sip.events import ResponseReceived, TransactionTimedOut, TransportFailed
from b2bua.sip.flow import Flow
from b2bua.sip.machine import IGNORE, Input
from b2bua.sip.non_invite_client import INPUTS, TRANSITIONS, State
from tests.support.sip import TCP, UDP, Switch, edges, missing_pairs, our_request, response


class TestTable:
    """RFC 3261 figure 6."""

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


class TestTrying:
    """RFC 3261 §17.1.2.2: timers E and F."""

    def test_request_is_repeated_at_intervals_that_double_up_to_t2_over_udp(self) -> None:
        switch = Switch()
        switch.send(our_request("OPTIONS"))
        switch.advance(31.9)
        sent = switch.take_sent()
        expected = [0.0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
        assert [one.after for one in sent] == pytest.approx(expected, abs=0.15)
        assert {one.data for one in sent} == {sent[0].data}

    def test_request_is_not_repeated_over_tcp(self) -> None:
        switch = Switch()
        switch.send(our_request("OPTIONS"), TCP)
        switch.advance(31.9)
        assert len(switch.take_sent()) == 1

    @pytest.mark.parametrize("flow", [UDP, TCP])
    def test_request_times_out_when_unanswered_for_64_t1(self, flow: Flow) -> None:
        switch = Switch()
        user = object()
        switch.send(our_request("BYE"), flow, user)
        switch.advance(31.9)
        assert switch.take_events() == []
        switch.advance(0.2)
        assert switch.take_event(TransactionTimedOut).transaction.user is user
        assert switch.layer.count == 0

    def test_user_is_told_when_the_request_cannot_be_sent(self) -> None:
        switch = Switch()
        transaction = switch.send(our_request("BYE"))
        switch.fail(transaction, "reset")
        assert switch.take_event(TransportFailed).reason == "reset"
        assert switch.layer.count == 0


class TestProceeding:
    """RFC 3261 §17.1.2.2: after a provisional response."""

    def test_request_is_repeated_every_t2_after_a_provisional_response(self) -> None:
        switch = Switch()
        request = our_request("OPTIONS")
        switch.send(request)
        switch.receive(response(request, 100))
        assert switch.take_event(ResponseReceived).response.status == 100
        switch.advance(20.0)
        expected = [0.0, 0.5, 4.5, 8.5, 12.5, 16.5]
        assert [one.after for one in switch.take_sent()] == pytest.approx(expected, abs=0.1)

    def test_request_times_out_all_the_same(self) -> None:
        switch = Switch()
        request = our_request("OPTIONS")
        switch.send(request)
        switch.receive(response(request, 100))
        switch.take_events()
        switch.advance(32.1)
        switch.take_event(TransactionTimedOut)
        assert switch.layer.count == 0


class TestCompleted:
    """RFC 3261 §17.1.2.2: timer K."""

    @pytest.mark.parametrize("status", [200, 302, 404, 500, 603])
    def test_answer_is_passed_up_once(self, status: int) -> None:
        switch = Switch()
        request = our_request("OPTIONS")
        transaction = switch.send(request)
        switch.receive(response(request, status))
        assert switch.take_event(ResponseReceived).response.status == status
        switch.receive(response(request, status))
        assert switch.take_events() == []
        assert transaction.state == State.COMPLETED

    def test_nothing_is_repeated_or_acknowledged_when_answered(self) -> None:
        switch = Switch()
        request = our_request("OPTIONS")
        switch.send(request)
        switch.take_sent()
        switch.receive(response(request, 404))
        switch.advance(100.0)
        assert switch.take_sent() == []

    def test_transaction_lingers_t4_over_udp(self) -> None:
        switch = Switch()
        request = our_request("OPTIONS")
        switch.send(request)
        switch.receive(response(request, 200))
        switch.advance(4.9)
        assert switch.layer.count == 1
        switch.advance(0.2)
        assert switch.layer.count == 0

    def test_transaction_ends_at_once_over_tcp(self) -> None:
        switch = Switch()
        request = our_request("OPTIONS")
        switch.send(request, TCP)
        switch.receive(response(request, 200), TCP)
        switch.advance(0.02)
        assert switch.layer.count == 0

    def test_transport_failure_is_not_told_when_answered(self) -> None:
        switch = Switch()
        request = our_request("OPTIONS")
        transaction = switch.send(request)
        switch.receive(response(request, 200))
        switch.take_events()
        switch.fail(transaction)
        assert switch.take_events() == []
