"""INVITE client transaction."""

import pytest

from b2bua.sip.events import ResponseReceived, TransactionTimedOut, TransportFailed
from b2bua.sip.flow import Flow
from b2bua.sip.headers import Headers
from b2bua.sip.invite_client import INPUTS, TRANSITIONS, State
from b2bua.sip.machine import IGNORE, Input
from tests.support.sip import TCP, UDP, Switch, edges, missing_pairs, our_request, response

FINAL = [300, 404, 486, 503, 603]


class TestTable:
    """RFC 3261 figure 5 as changed by RFC 6026 figure 6."""

    def test_table_has_every_pair_of_state_and_input(self) -> None:
        assert missing_pairs(TRANSITIONS, State, INPUTS) == []

    def test_states_follow_each_other_as_in_the_figure(self) -> None:
        assert edges(TRANSITIONS) == {
            (State.CALLING, State.PROCEEDING),
            (State.CALLING, State.ACCEPTED),
            (State.CALLING, State.COMPLETED),
            (State.CALLING, State.TERMINATED),
            (State.PROCEEDING, State.ACCEPTED),
            (State.PROCEEDING, State.COMPLETED),
            (State.PROCEEDING, State.TERMINATED),
            (State.ACCEPTED, State.TERMINATED),
            (State.COMPLETED, State.TERMINATED),
        }

    @pytest.mark.parametrize("happened", INPUTS)
    def test_terminated_is_final_and_does_nothing(self, happened: Input) -> None:
        assert TRANSITIONS[State.TERMINATED][happened] == (State.TERMINATED, IGNORE)


class TestCalling:
    """RFC 3261 §17.1.1.2: timers A and B."""

    def test_invite_is_repeated_at_doubling_intervals_over_udp(self) -> None:
        switch = Switch()
        switch.send(our_request())
        switch.advance(31.9)
        sent = switch.take_sent()
        assert [one.after for one in sent] == pytest.approx([0.0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5], abs=0.1)
        assert {one.data for one in sent} == {sent[0].data}
        assert switch.layer.retransmitted == 6

    def test_invite_is_not_repeated_over_tcp(self) -> None:
        switch = Switch()
        switch.send(our_request(), TCP)
        switch.advance(31.9)
        assert len(switch.take_sent()) == 1

    @pytest.mark.parametrize("flow", [UDP, TCP])
    def test_invite_times_out_when_unanswered_for_64_t1(self, flow: Flow) -> None:
        switch = Switch()
        user = object()
        transaction = switch.send(our_request(), flow, user)
        switch.advance(31.9)
        assert switch.take_events() == []
        switch.advance(0.2)
        event = switch.take_event(TransactionTimedOut)
        assert event.transaction is transaction
        assert event.transaction.user is user
        assert switch.layer.count == 0
        switch.take_sent()
        switch.advance(100.0)
        assert switch.take_sent() == []

    def test_user_is_told_when_the_invite_cannot_be_sent(self) -> None:
        switch = Switch()
        user = object()
        transaction = switch.send(our_request(), user=user)
        switch.fail(transaction, "no route")
        event = switch.take_event(TransportFailed)
        assert (event.transaction, event.reason) == (transaction, "no route")
        assert event.transaction.user is user
        assert switch.layer.count == 0

    def test_events_come_once_when_the_transport_fails_again(self) -> None:
        switch = Switch()
        transaction = switch.send(our_request())
        switch.fail(transaction)
        switch.take_events()
        switch.fail(transaction)
        switch.advance(100.0)
        assert switch.take_events() == []


class TestProceeding:
    """RFC 3261 §17.1.1.2: after a provisional response."""

    def test_invite_is_not_repeated_after_a_provisional_response(self) -> None:
        switch = Switch()
        request = our_request()
        transaction = switch.send(request)
        switch.advance(0.3)
        switch.receive(response(request, 180))
        assert switch.take_event(ResponseReceived).response.status == 180
        assert transaction.state == State.PROCEEDING
        switch.take_sent()
        switch.advance(600.0)
        assert switch.take_sent() == []

    def test_ringing_does_not_time_out(self) -> None:
        switch = Switch()
        request = our_request()
        switch.send(request)
        switch.receive(response(request, 100, to_tag=""))
        switch.take_events()
        switch.advance(180.0)
        assert switch.take_events() == []
        switch.receive(response(request, 180))
        assert switch.take_event(ResponseReceived).response.status == 180

    def test_user_is_told_when_the_transport_fails(self) -> None:
        switch = Switch()
        request = our_request()
        transaction = switch.send(request)
        switch.receive(response(request, 180))
        switch.take_events()
        switch.fail(transaction)
        switch.take_event(TransportFailed)


class TestCancelled:
    """RFC 3261 §9.1: after a CANCEL the final response is waited for no longer than 64 × T1."""

    @pytest.mark.parametrize("flow", [UDP, TCP])
    def test_invite_times_out_when_it_stays_unanswered_for_64_t1(self, flow: Flow) -> None:
        switch = Switch()
        request = our_request()
        transaction = switch.send(request, flow)
        switch.receive(response(request, 180), flow)
        switch.advance(100.0)
        switch.cancel(transaction)
        switch.take_events()
        switch.advance(31.9)
        assert transaction.state == State.PROCEEDING
        switch.advance(0.2)
        assert TransactionTimedOut in {type(event) for event in switch.take_events()}
        assert transaction.state == State.TERMINATED
        switch.advance(32.0)
        assert switch.layer.count == 0

    def test_user_is_told_which_invite_it_was(self) -> None:
        switch = Switch()
        request, user = our_request(), object()
        transaction = switch.send(request, user=user)
        switch.receive(response(request, 100, to_tag=""))
        cancel = switch.cancel(transaction)
        switch.receive(response(cancel, 200))
        switch.take_events()
        switch.advance(32.1)
        event = switch.take_event(TransactionTimedOut)
        assert (event.transaction, event.transaction.user) == (transaction, user)

    def test_provisional_responses_give_it_no_more_time(self) -> None:
        switch = Switch()
        request = our_request()
        transaction = switch.send(request)
        switch.receive(response(request, 180))
        switch.cancel(transaction)
        switch.advance(30.0)
        switch.receive(response(request, 183))
        switch.advance(2.1)
        assert transaction.state == State.TERMINATED

    @pytest.mark.parametrize(("status", "state"), [(487, State.COMPLETED), (200, State.ACCEPTED)])
    def test_final_response_is_taken_as_ever_until_then(self, status: int, state: State) -> None:
        switch = Switch()
        request = our_request()
        transaction = switch.send(request)
        switch.receive(response(request, 180))
        cancel = switch.cancel(transaction)
        switch.receive(response(cancel, 200))
        switch.advance(31.0)
        switch.take_events()
        switch.receive(response(request, status))
        assert switch.take_event(ResponseReceived).response.status == status
        switch.advance(2.0)
        assert transaction.state == state
        assert switch.take_events() == []

    def test_invite_that_nobody_has_answered_times_out_as_if_it_were_not_cancelled(self) -> None:
        switch = Switch()
        transaction = switch.send(our_request())
        switch.advance(20.0)
        switch.cancel(transaction)
        switch.advance(12.1)
        assert switch.take_event(TransactionTimedOut).transaction is transaction


class TestCompleted:
    """RFC 3261 §17.1.1.2: a final response that is no 2xx; timer D."""

    @pytest.mark.parametrize("status", FINAL)
    def test_response_is_passed_up_once_and_acknowledged_each_time(self, status: int) -> None:
        switch = Switch()
        request = our_request()
        switch.send(request)
        switch.take_sent()
        switch.receive(response(request, status))
        assert switch.take_event(ResponseReceived).response.status == status
        (ack,) = switch.take_sent()
        assert ack.first_line.startswith("ACK ")
        switch.receive(response(request, status))
        assert switch.take_events() == []
        assert [one.data for one in switch.take_sent()] == [ack.data]

    def test_transaction_lingers_32_seconds_over_udp(self) -> None:
        switch = Switch()
        request = our_request()
        switch.send(request)
        switch.advance(10.0)
        switch.receive(response(request, 486))
        switch.take_events()
        switch.advance(31.9)
        assert switch.layer.count == 1
        switch.advance(0.2)
        assert switch.layer.count == 0
        assert switch.take_events() == []

    def test_transaction_ends_at_once_over_tcp(self) -> None:
        switch = Switch()
        request = our_request()
        switch.send(request, TCP)
        switch.receive(response(request, 486), TCP)
        switch.advance(0.02)
        assert switch.layer.count == 0

    def test_nothing_is_repeated_when_answered(self) -> None:
        switch = Switch()
        request = our_request()
        switch.send(request)
        switch.receive(response(request, 486))
        switch.take_sent()
        switch.take_events()
        switch.advance(100.0)
        assert switch.take_sent() == []
        assert switch.take_events() == []

    def test_later_responses_of_other_classes_are_dropped(self) -> None:
        switch = Switch()
        request = our_request()
        transaction = switch.send(request)
        switch.receive(response(request, 486))
        switch.take_events()
        switch.receive(response(request, 180))
        switch.receive(response(request, 200))
        assert switch.take_events() == []
        assert transaction.state == State.COMPLETED


class TestAck:
    """RFC 3261 §17.1.1.3."""

    def test_ack_is_built_from_the_invite_and_its_answer(self) -> None:
        switch = Switch()
        extra = Headers({"route": ["<sip:p1;lr>", "<sip:p2;lr>"], "contact": ["<sip:us>"], "subject": ["x"]})
        request = our_request(cseq=4711, extra=extra)
        request.body = b"v=0\r\n"
        switch.send(request)
        (invite,) = (one.request for one in switch.take_sent())
        switch.receive(response(request, 486, to_tag="them"))
        (sent,) = switch.take_sent()
        ack = sent.request
        assert sent.flow is UDP
        assert (ack.method, ack.uri) == ("ACK", invite.uri)
        assert ack.headers["via"] == invite.headers["via"]
        assert ack.headers["route"] == invite.headers["route"]
        assert ack.headers["from"] == invite.headers["from"]
        assert ack.headers["to"] == [f"{invite.headers['to'][0]};tag=them"]
        assert ack.headers["call-id"] == invite.headers["call-id"]
        assert ack.headers["cseq"] == ["4711 ACK"]
        assert ack.headers["max-forwards"] == ["70"]
        assert ack.body == b""
        assert set(ack.headers) == {"via", "route", "from", "to", "call-id", "cseq", "max-forwards"}

    def test_ack_is_not_sent_by_the_transaction_when_the_answer_is_2xx(self) -> None:
        switch = Switch()
        request = our_request()
        switch.send(request)
        switch.take_sent()
        switch.receive(response(request, 200))
        assert switch.take_sent() == []


class TestAccepted:
    """RFC 6026 §7.2: timer M."""

    @pytest.mark.parametrize("flow", [UDP, TCP])
    def test_every_2xx_is_passed_up_for_64_t1(self, flow: Flow) -> None:
        switch = Switch()
        request = our_request()
        transaction = switch.send(request, flow)
        for tag in ("one", "one", "fork"):
            switch.receive(response(request, 200, to_tag=tag), flow)
            assert switch.take_event(ResponseReceived).response.to_tag == tag
        assert transaction.state == State.ACCEPTED
        switch.advance(31.9)
        switch.receive(response(request, 200), flow)
        switch.take_event(ResponseReceived)
        switch.advance(0.2)
        assert switch.layer.count == 0
        switch.receive(response(request, 200), flow)
        assert switch.take_events() == []

    def test_other_responses_are_dropped(self) -> None:
        switch = Switch()
        request = our_request()
        switch.send(request)
        switch.receive(response(request, 200))
        switch.take_events()
        switch.take_sent()
        for status in (180, 486):
            switch.receive(response(request, status))
        assert switch.take_events() == []
        assert switch.take_sent() == []

    def test_invite_is_not_repeated_when_accepted_before_timer_a(self) -> None:
        switch = Switch()
        request = our_request()
        switch.send(request)
        switch.receive(response(request, 200))
        switch.take_sent()
        switch.advance(100.0)
        assert switch.take_sent() == []
