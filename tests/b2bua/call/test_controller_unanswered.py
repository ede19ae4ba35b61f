"""Calls that are refused, tried elsewhere, given up or cancelled (docs/behaviour.md §2, §4)."""

import typing

import pytest

from b2bua.call.controller import Call, State
from b2bua.call.disposition import Disposition
from b2bua.call.effects import (
    Admit,
    AdmitCarrier,
    Forget,
    RecordAnswer,
    RecordEnd,
    RecordFailure,
    RecordRinging,
    Release,
    ReleaseCarrier,
    SendAck,
    SendAnswer,
    SendBye,
    SendCancel,
    SendFailure,
    SendInvite,
    SendOn,
    SendProvisional,
    StartTimer,
    StopTimer,
)
from b2bua.call.events import (
    AdmissionRefused,
    Admitted,
    Answered,
    AttemptFailed,
    CallTimer,
    Cancelled,
    CarrierAdmitted,
    CarrierRefused,
    HungUp,
    Invited,
    Progressed,
    SentOn,
    Side,
    TimerExpired,
)
from tests.b2bua.call.flows import CANCELLED, admitting, by_gateway, calling, ringing, selecting, unavailable
from tests.support.playbook import (
    FAILOVER_CODES,
    CallPlan,
    Planned,
    PlannedGateway,
    Playbook,
    gateways,
    new_call,
    refused_call,
)


class TestRefusedCall:
    """docs/behaviour.md §2."""

    def test_caller_is_refused_when_calls_per_second_do_not_count(self) -> None:
        disposition = Disposition("ACCOUNT_INACTIVE", 403, 21, "account C1")
        assert (
            Playbook(refused_call("ACCOUNT_INACTIVE", "account C1", counts_cps=False))
            >> Invited()
            << RecordFailure(disposition, True)
            << SendFailure(disposition)
            << Forget()
        )

    def test_refused_call_takes_no_session_when_it_counts_in_calls_per_second(self) -> None:
        disposition = Disposition("NO_ROUTE", 404, 3, "route all")
        assert (
            Playbook(refused_call("NO_ROUTE", "route all", counts_cps=True))
            >> Invited()
            << Admit(False)
            >> Admitted()
            << RecordFailure(disposition, True)
            << SendFailure(disposition)
            << Forget()
        )

    def test_calls_per_second_are_the_reason_when_they_are_used_up_too(self) -> None:
        disposition = Disposition("CPS_LIMIT", 503, 42, "account C1")
        assert (
            Playbook(refused_call("NO_ROUTE", "route all", counts_cps=True))
            >> Invited()
            << Admit(False)
            >> AdmissionRefused("CPS_LIMIT", "account C1")
            << RecordFailure(disposition, True)
            << SendFailure(disposition)
            << Forget()
        )

    def test_first_reason_stands_when_the_live_store_is_away(self) -> None:
        disposition = Disposition("NO_ROUTE", 404, 3, "route all")
        assert (
            Playbook(refused_call("NO_ROUTE", "route all", counts_cps=True))
            >> Invited()
            << Admit(False)
            >> AdmissionRefused("LIVE_STORE_AWAY", "")
            << RecordFailure(disposition, True)
            << SendFailure(disposition)
            << Forget()
        )

    @pytest.mark.parametrize(
        ("code", "status", "cause", "retry_after"),
        [("SESSION_LIMIT", 503, 34, None), ("CPS_LIMIT", 503, 42, None), ("LIVE_STORE_AWAY", 503, 41, 5)],
    )
    def test_caller_is_refused_when_the_chain_is_not_admitted(
        self, code: str, status: int, cause: int, retry_after: int | None
    ) -> None:
        disposition = Disposition(code, status, cause, "account C1", retry_after)
        assert (
            admitting(new_call())
            >> AdmissionRefused(code, "account C1")
            << RecordFailure(disposition, True)
            << SendFailure(disposition)
            << Forget()
        )

    def test_chain_is_given_back_when_no_carrier_has_a_session(self) -> None:
        disposition = Disposition("CARRIER_LIMIT", 503, 34, "carrier K1")
        assert (
            selecting(new_call())
            >> CarrierRefused("CARRIER_LIMIT", "carrier K1")
            << RecordFailure(disposition, True)
            << SendFailure(disposition)
            << Release()
            << Forget()
        )

    def test_next_gateway_is_asked_when_the_first_has_no_session(self) -> None:
        playbook = selecting(new_call(2))
        assert playbook >> CarrierRefused("CARRIER_LIMIT", "carrier K1") << AdmitCarrier(1)


class TestFailover:
    """docs/behaviour.md §4."""

    @pytest.mark.parametrize("status", sorted(FAILOVER_CODES))
    def test_next_gateway_is_tried_when_a_code_of_the_list_comes(self, status: int) -> None:
        call = new_call(2)
        for event in (Invited(), Admitted(), CarrierAdmitted()):
            call.handle(event)
        effects = call.handle(AttemptFailed(status))
        assert [type(effect) for effect in effects] == [StopTimer, RecordFailure, ReleaseCarrier, AdmitCarrier]
        assert call.attempt == 1

    def test_call_is_connected_when_the_second_gateway_answers(self) -> None:
        assert (
            calling(new_call(2))
            >> AttemptFailed(503)
            << StopTimer()
            << RecordFailure(unavailable(), False, "callee")
            << ReleaseCarrier(0)
            << AdmitCarrier(1)
            >> CarrierAdmitted()
            << StartTimer(CallTimer.SILENCE, 5.0)
            << SendInvite(1)
            >> Answered(b"sdp")
            << RecordAnswer()
            << SendAnswer(b"sdp")
            << StartTimer(CallTimer.DURATION, 7200.0)
            << SendAck(b"")
            >> HungUp(Side.CALLER)
            << StopTimer()
            << RecordEnd("caller", 16)
            << SendBye(Side.CALLEE, 16)
            << ReleaseCarrier(1)
            << Release()
            << Forget()
        )

    def test_next_gateway_is_tried_when_the_first_is_silent(self) -> None:
        assert (
            calling(new_call(2))
            >> TimerExpired(CallTimer.SILENCE)
            << SendCancel()
            << StopTimer()
            << RecordFailure(by_gateway("NO_RESPONSE", 504, 102), False)
            << ReleaseCarrier(0)
            << AdmitCarrier(1)
        )

    def test_next_gateway_is_tried_when_the_first_does_not_ring(self) -> None:
        assert (
            calling(new_call(2))
            >> Progressed(100, b"")
            << StartTimer(CallTimer.PROGRESS, 10.0)
            >> TimerExpired(CallTimer.PROGRESS)
            << SendCancel()
            << StopTimer()
            << RecordFailure(by_gateway("NO_RESPONSE", 504, 102), False)
            << ReleaseCarrier(0)
            << AdmitCarrier(1)
            >> CarrierAdmitted()
            << StartTimer(CallTimer.SILENCE, 5.0)
            << SendInvite(1)
            >> Progressed(100, b"")
            << StartTimer(CallTimer.PROGRESS, 10.0)
        )

    def test_next_gateway_is_tried_when_the_first_cannot_be_reached(self) -> None:
        assert (
            calling(new_call(2))
            >> AttemptFailed(0, None, "TRANSPORT_FAILURE")
            << StopTimer()
            << RecordFailure(by_gateway("TRANSPORT_FAILURE", 503, 38), False)
            << ReleaseCarrier(0)
            << AdmitCarrier(1)
        )

    def test_caller_gets_504_when_the_only_gateway_is_silent(self) -> None:
        silence = by_gateway("NO_RESPONSE", 504, 102)
        assert (
            calling(new_call())
            >> TimerExpired(CallTimer.SILENCE)
            << SendCancel()
            << StopTimer()
            << RecordFailure(silence, True)
            << ReleaseCarrier(0)
            << SendFailure(silence)
            << Release()
            << Forget()
        )

    def test_caller_gets_the_last_failure_when_all_gateways_fail(self) -> None:
        last = by_gateway("CARRIER_FAILURE", 500, 41, "two")
        assert (
            calling(new_call(2))
            >> AttemptFailed(503)
            << StopTimer()
            << RecordFailure(unavailable(), False, "callee")
            << ReleaseCarrier(0)
            << AdmitCarrier(1)
            >> CarrierAdmitted()
            << StartTimer(CallTimer.SILENCE, 5.0)
            << SendInvite(1)
            >> AttemptFailed(500)
            << StopTimer()
            << RecordFailure(last, True, "callee")
            << ReleaseCarrier(1)
            << SendFailure(last)
            << Release()
            << Forget()
        )

    @pytest.mark.parametrize(
        ("status", "cause", "disposition"),
        [
            (486, None, by_gateway("BUSY", 486, 17)),
            (600, None, by_gateway("BUSY", 600, 17)),
            (603, None, by_gateway("REJECTED", 603, 21)),
            (604, None, by_gateway("NUMBER_UNKNOWN", 604, 1)),
            (484, None, by_gateway("NUMBER_UNKNOWN", 484, 28)),
            (404, 1, by_gateway("NUMBER_UNKNOWN", 404, 1)),
            (410, 1, by_gateway("NUMBER_UNKNOWN", 410, 1)),
            (480, None, by_gateway("NO_ANSWER", 480, 18)),
            (480, 19, by_gateway("NO_ANSWER", 480, 19)),
        ],
    )
    def test_caller_gets_the_code_when_it_stops_the_search(
        self, status: int, cause: int | None, disposition: Disposition
    ) -> None:
        assert (
            calling(new_call(2))
            >> AttemptFailed(status, cause)
            << StopTimer()
            << RecordFailure(disposition, True, "callee")
            << ReleaseCarrier(0)
            << SendFailure(disposition)
            << Release()
            << Forget()
        )

    @pytest.mark.parametrize("cause", [34, 38, 41, 42, 44, 47])
    def test_next_gateway_is_tried_when_480_has_a_network_cause(self, cause: int) -> None:
        assert (
            calling(new_call(2))
            >> AttemptFailed(480, cause)
            << StopTimer()
            << RecordFailure(by_gateway("NO_ANSWER", 480, cause), False, "callee")
            << ReleaseCarrier(0)
            << AdmitCarrier(1)
        )

    @pytest.mark.parametrize(
        ("status", "cause"), [(401, 21), (402, 21), (403, 21), (407, 21), (420, 127), (421, 127), (487, 16)]
    )
    def test_caller_gets_503_when_the_carrier_quarrels_with_us(self, status: int, cause: int) -> None:
        recorded = by_gateway("CARRIER_FAILURE", status, cause)
        assert (
            calling(new_call())
            >> AttemptFailed(status)
            << StopTimer()
            << RecordFailure(recorded, True, "callee")
            << ReleaseCarrier(0)
            << SendFailure(by_gateway("CARRIER_FAILURE", 503, cause))
            << Release()
            << Forget()
        )

    def test_gateways_own_timers_are_used_when_the_next_is_tried(self) -> None:
        slow = PlannedGateway("two", invite_timeout=7.0, progress_timeout=17.0, ring_timeout=77.0)
        call = Call(CallPlan(attempts=[*gateways(1), Planned(slow)]), FAILOVER_CODES, offer_in_invite=True)
        playbook = calling(call)
        assert (
            playbook
            >> AttemptFailed(503)
            << StopTimer()
            << RecordFailure(unavailable(), False, "callee")
            << ReleaseCarrier(0)
            << AdmitCarrier(1)
            >> CarrierAdmitted()
            << StartTimer(CallTimer.SILENCE, 7.0)
            << SendInvite(1)
            >> Progressed(100, b"")
            << StartTimer(CallTimer.PROGRESS, 17.0)
            >> Progressed(180, b"")
            << RecordRinging()
            << StartTimer(CallTimer.RING, 77.0)
            << SendProvisional(180, b"")
        )


class TestRinging:
    def test_caller_gets_480_when_it_rings_too_long(self) -> None:
        disposition = by_gateway("RING_TIMEOUT", 480, 19)
        assert (
            ringing(new_call(2))
            >> TimerExpired(CallTimer.RING)
            << SendCancel()
            << StopTimer()
            << RecordFailure(disposition, True)
            << ReleaseCarrier(0)
            << SendFailure(disposition)
            << Release()
            << Forget()
        )

    def test_caller_hears_one_ringing_when_two_gateways_ring(self) -> None:
        assert (
            ringing(new_call(2))
            >> AttemptFailed(503)
            << StopTimer()
            << RecordFailure(unavailable(), False, "callee")
            << ReleaseCarrier(0)
            << AdmitCarrier(1)
            >> CarrierAdmitted()
            << StartTimer(CallTimer.SILENCE, 5.0)
            << SendInvite(1)
            >> Progressed(180, b"")
            << RecordRinging()
            << StartTimer(CallTimer.RING, 60.0)
        )

    def test_caller_hears_one_ringing_when_the_gateway_repeats_it(self) -> None:
        playbook = ringing(new_call())
        assert playbook >> Progressed(180, b"") >> Progressed(183, b"")

    def test_caller_gets_the_early_media_when_it_comes_after_the_ringing(self) -> None:
        playbook = ringing(new_call())
        assert playbook >> Progressed(183, b"sdp") << SendProvisional(183, b"sdp")

    def test_nothing_is_passed_on_when_the_gateway_only_tries(self) -> None:
        assert calling(new_call()) >> Progressed(100, b"") << StartTimer(CallTimer.PROGRESS, 10.0)

    def test_second_100_buys_no_time_when_the_gateway_repeats_it(self) -> None:
        playbook = calling(new_call())
        assert playbook >> Progressed(100, b"") << StartTimer(CallTimer.PROGRESS, 10.0) >> Progressed(100, b"")

    def test_ring_timer_goes_on_when_100_comes_after_180(self) -> None:
        playbook = ringing(new_call())
        assert playbook >> Progressed(100, b"")

    def test_call_is_not_ringing_when_an_early_dialog_ends(self) -> None:
        # RFC 6228: 199 says that a branch behind a forking proxy has failed.
        call = new_call()
        playbook = calling(call)
        assert playbook >> Progressed(199, b"")
        assert call.state == State.CALLING


class TestRouteFailover:
    """docs/behaviour.md §4: what a route may set, and §8: whatever goes wrong on the way to a DID's destination."""

    @pytest.mark.parametrize(("ring", "anything"), [(True, False), (False, True)])
    def test_next_gateway_is_tried_when_the_first_rings_too_long(self, ring: bool, anything: bool) -> None:
        assert (
            ringing(new_call(2, ring_failover=ring, any_failover=anything))
            >> TimerExpired(CallTimer.RING)
            << SendCancel()
            << StopTimer()
            << RecordFailure(by_gateway("RING_TIMEOUT", 480, 19), False)
            << ReleaseCarrier(0)
            << AdmitCarrier(1)
        )

    @pytest.mark.parametrize(("ring", "anything"), [(True, False), (False, True)])
    def test_caller_gets_480_when_the_last_rings_too_long(self, ring: bool, anything: bool) -> None:
        disposition = by_gateway("RING_TIMEOUT", 480, 19)
        assert (
            ringing(new_call(ring_failover=ring, any_failover=anything))
            >> TimerExpired(CallTimer.RING)
            << SendCancel()
            << StopTimer()
            << RecordFailure(disposition, True)
            << ReleaseCarrier(0)
            << SendFailure(disposition)
            << Release()
            << Forget()
        )

    @pytest.mark.parametrize("status", [480, 484, 486, 487, 600, 603, 604])
    def test_ringing_alone_is_no_reason_to_go_on_when_the_answer_stops(self, status: int) -> None:
        call = ringing(new_call(2, ring_failover=True)).call
        assert AdmitCarrier not in [type(effect) for effect in call.handle(AttemptFailed(status))]
        assert call.state == State.ENDED

    @pytest.mark.parametrize("status", [300, 302, 400, 401, 404, 407, 480, 484, 486, 487, 488, 500, 600, 603, 604, 699])
    @pytest.mark.parametrize("cause", [None, 1, 17, 34])
    def test_next_is_tried_whatever_the_answer_when_anything_leads_on(self, status: int, cause: int | None) -> None:
        call = ringing(new_call(2, any_failover=True, failover=())).call
        effects = call.handle(AttemptFailed(status, cause))
        assert [type(effect) for effect in effects] == [StopTimer, RecordFailure, ReleaseCarrier, AdmitCarrier]
        assert call.attempt == 1

    def test_caller_gets_the_last_answer_when_anything_leads_on_and_nothing_is_left(self) -> None:
        busy = by_gateway("BUSY", 486, 17, "two")
        assert (
            calling(new_call(2, any_failover=True))
            >> AttemptFailed(603, 21)
            << StopTimer()
            << RecordFailure(by_gateway("REJECTED", 603, 21), False, "callee")
            << ReleaseCarrier(0)
            << AdmitCarrier(1)
            >> CarrierAdmitted()
            << StartTimer(CallTimer.SILENCE, 5.0)
            << SendInvite(1)
            >> AttemptFailed(486, 17)
            << StopTimer()
            << RecordFailure(busy, True, "callee")
            << ReleaseCarrier(1)
            << SendFailure(busy)
            << Release()
            << Forget()
        )

    @pytest.mark.parametrize(("ring", "anything"), [(True, False), (False, True)])
    def test_nobody_else_is_called_when_the_caller_cancels(self, ring: bool, anything: bool) -> None:
        assert (
            ringing(new_call(2, ring_failover=ring, any_failover=anything))
            >> Cancelled()
            << RecordFailure(CANCELLED, True, "caller")
            << StopTimer()
            << SendCancel()
            << ReleaseCarrier(0)
            << SendFailure(CANCELLED)
            << Release()
            << Forget()
            >> AttemptFailed(487)
        )

    @pytest.mark.parametrize("status", range(400, 700))
    def test_routes_own_codes_take_the_place_of_the_systems(self, status: int) -> None:
        stops = {480, 484, 486, 487, 600, 603, 604}
        for own in (frozenset[int](), frozenset({status}), frozenset({403, 606})):
            call = calling(new_call(2, failover=own)).call
            call.handle(AttemptFailed(status))
            assert (call.attempt == 1) == (status in own and status not in stops)

    @pytest.mark.parametrize("code", ["NO_RESPONSE", "TRANSPORT_FAILURE", "CODEC_NOT_ALLOWED"])
    def test_next_is_tried_after_no_answer_at_all_when_the_route_has_no_codes(self, code: str) -> None:
        call = calling(new_call(2, failover=())).call
        call.handle(AttemptFailed(0, None, code))
        assert call.attempt == 1

    def test_caller_gets_488_when_no_attempt_has_a_codec(self) -> None:
        disposition = by_gateway("CODEC_NOT_ALLOWED", 488, 65)
        assert (
            calling(new_call())
            >> AttemptFailed(0, None, "CODEC_NOT_ALLOWED")
            << StopTimer()
            << RecordFailure(disposition, True)
            << ReleaseCarrier(0)
            << SendFailure(disposition)
            << Release()
            << Forget()
        )


class TestCancelledCall:
    def test_nobody_is_called_when_the_caller_cancels_before_admission(self) -> None:
        assert (
            admitting(new_call())
            >> Cancelled()
            << RecordFailure(CANCELLED, True, "caller")
            << SendFailure(CANCELLED)
            << Forget()
            >> Admitted()
            << Release()
        )

    def test_nothing_is_given_back_when_the_admission_is_refused_after_the_cancel(self) -> None:
        assert (
            admitting(new_call())
            >> Cancelled()
            << RecordFailure(CANCELLED, True, "caller")
            << SendFailure(CANCELLED)
            << Forget()
            >> AdmissionRefused("SESSION_LIMIT", "account C1")
        )

    def test_nothing_is_given_back_when_a_refused_call_is_cancelled(self) -> None:
        assert (
            Playbook(refused_call("NO_ROUTE", counts_cps=True))
            >> Invited()
            << Admit(False)
            >> Cancelled()
            << RecordFailure(CANCELLED, True, "caller")
            << SendFailure(CANCELLED)
            << Forget()
            >> Admitted()
        )

    def test_carrier_is_given_back_when_it_admits_after_the_cancel(self) -> None:
        assert (
            selecting(new_call())
            >> Cancelled()
            << RecordFailure(CANCELLED, True, "caller")
            << SendFailure(CANCELLED)
            << Release()
            << Forget()
            >> CarrierAdmitted()
            << ReleaseCarrier(0)
        )

    def test_nothing_more_is_given_back_when_the_carrier_refuses_after_the_cancel(self) -> None:
        assert (
            selecting(new_call())
            >> Cancelled()
            << RecordFailure(CANCELLED, True, "caller")
            << SendFailure(CANCELLED)
            << Release()
            << Forget()
            >> CarrierRefused("CARRIER_LIMIT", "carrier K1")
        )

    def test_second_carrier_is_given_back_when_it_admits_after_the_cancel(self) -> None:
        call = new_call(2)
        playbook = calling(call)
        assert (
            playbook
            >> AttemptFailed(503)
            << StopTimer()
            << RecordFailure(unavailable(), False, "callee")
            << ReleaseCarrier(0)
            << AdmitCarrier(1)
            >> Cancelled()
            << RecordFailure(CANCELLED, True, "caller")
            << SendFailure(CANCELLED)
            << Release()
            << Forget()
            >> CarrierAdmitted()
            << ReleaseCarrier(1)
        )

    @pytest.mark.parametrize("in_state", [calling, ringing])
    def test_callee_is_cancelled_when_the_caller_cancels(self, in_state: typing.Callable[[Call], Playbook]) -> None:
        assert (
            in_state(new_call())
            >> Cancelled()
            << RecordFailure(CANCELLED, True, "caller")
            << StopTimer()
            << SendCancel()
            << ReleaseCarrier(0)
            << SendFailure(CANCELLED)
            << Release()
            << Forget()
            >> AttemptFailed(487)
        )


class TestSentOn:
    def test_place_that_the_gateway_names_has_the_time_of_a_gateway(self) -> None:
        playbook = ringing(new_call())
        assert playbook >> SentOn() << StartTimer(CallTimer.SILENCE, 5.0) << SendOn()
        assert playbook >> Progressed(100, b"") << StartTimer(CallTimer.PROGRESS, 10.0)
        assert playbook >> Progressed(180, b"") << RecordRinging() << StartTimer(CallTimer.RING, 60.0)
