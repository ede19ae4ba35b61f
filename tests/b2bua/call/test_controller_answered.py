"""An answered call and its end, and calls that somebody of ours ends (docs/behaviour.md §5)."""

import pytest

from b2bua.call.controller import Call, State
from b2bua.call.disposition import Disposition
from b2bua.call.effects import (
    Forget,
    RecordAnswer,
    RecordEnd,
    RecordFailure,
    Release,
    ReleaseCarrier,
    SendAck,
    SendAnswer,
    SendBye,
    SendCancel,
    SendFailure,
    StartTimer,
    StopTimer,
)
from b2bua.call.events import (
    Acknowledged,
    Admitted,
    Answered,
    AttemptFailed,
    CallTimer,
    Cancelled,
    CarrierAdmitted,
    Event,
    HangupOrdered,
    HungUp,
    Invited,
    Replaced,
    Side,
    TimerExpired,
)
from tests.b2bua.call.flows import answered, calling, in_state, ringing
from tests.support.playbook import (
    FAILOVER_CODES,
    CallPlan,
    Planned,
    PlannedGateway,
    describe,
    new_call,
)


class TestAnsweredCall:
    def test_call_is_connected_when_the_carrier_answers(self) -> None:
        call = new_call()
        answered(call)
        assert call.state == State.ANSWERED
        assert call.attempt == 0

    def test_call_is_connected_when_the_carrier_answers_without_ringing(self) -> None:
        assert (
            calling(new_call())
            >> Answered(b"sdp")
            << RecordAnswer()
            << SendAnswer(b"sdp")
            << StartTimer(CallTimer.DURATION, 7200.0)
            << SendAck(b"")
        )

    def test_record_comes_before_the_answer_when_the_carrier_answers(self) -> None:
        names = [type(effect) for effect in in_state(State.RINGING).handle(Answered(b""))]
        assert names.index(RecordAnswer) < names.index(SendAnswer)

    def test_callee_gets_bye_when_the_caller_hangs_up(self) -> None:
        assert (
            answered(new_call())
            >> HungUp(Side.CALLER)
            << StopTimer()
            << RecordEnd("caller", 16)
            << SendBye(Side.CALLEE, 16)
            << ReleaseCarrier(0)
            << Release()
            << Forget()
        )

    def test_caller_gets_bye_when_the_callee_hangs_up(self) -> None:
        assert (
            answered(new_call())
            >> HungUp(Side.CALLEE)
            << StopTimer()
            << RecordEnd("callee", 16)
            << SendBye(Side.CALLER, 16)
            << ReleaseCarrier(0)
            << Release()
            << Forget()
        )

    def test_cause_is_passed_on_when_the_bye_names_one(self) -> None:
        assert (
            answered(new_call())
            >> HungUp(Side.CALLEE, 31)
            << StopTimer()
            << RecordEnd("callee", 31)
            << SendBye(Side.CALLER, 31)
            << ReleaseCarrier(0)
            << Release()
            << Forget()
        )

    def test_both_sides_get_bye_when_the_caller_never_acknowledges(self) -> None:
        assert (
            answered(new_call())
            >> HungUp(Side.CALLER, 102, "NO_ACK")
            << StopTimer()
            << RecordEnd("system", 102, "NO_ACK")
            << SendBye(Side.CALLER, 102, "NO_ACK")
            << SendBye(Side.CALLEE, 102, "NO_ACK")
            << ReleaseCarrier(0)
            << Release()
            << Forget()
        )

    @pytest.mark.parametrize(
        "event", [HungUp(Side.CALLER), TimerExpired(CallTimer.DURATION), HangupOrdered("ACCOUNT_SUSPENDED")]
    )
    def test_record_comes_before_any_bye_when_an_answered_call_ends(self, event: Event) -> None:
        names = [type(effect) for effect in in_state(State.ANSWERED).handle(event)]
        assert names.index(RecordEnd) < names.index(SendBye)

    def test_second_hang_up_changes_nothing_when_both_sides_hang_up_at_once(self) -> None:
        call = in_state(State.ANSWERED)
        call.handle(HungUp(Side.CALLER))
        assert call.handle(HungUp(Side.CALLEE)) == []

    def test_acknowledgement_changes_nothing_when_the_invite_had_an_offer(self) -> None:
        playbook = answered(new_call())
        assert playbook >> Acknowledged(b"")

    def test_cancel_changes_nothing_when_it_crosses_the_answer(self) -> None:
        playbook = answered(new_call())
        assert playbook >> Cancelled()


class TestLateOffer:
    """RFC 3264 §5: without an offer in the INVITE, the 2xx has it and the ACK its answer."""

    def test_callee_is_acknowledged_when_the_caller_has_acknowledged(self) -> None:
        call = new_call(offer_in_invite=False)
        playbook = ringing(call)
        assert (
            playbook
            >> Answered(b"offer")
            << RecordAnswer()
            << SendAnswer(b"offer")
            << StartTimer(CallTimer.DURATION, 7200.0)
        )
        assert playbook >> Acknowledged(b"answer") << SendAck(b"answer")


class TestDuration:
    @pytest.mark.parametrize(("plan", "gateway", "least"), [(7200, None, 7200.0), (7200, 60, 60.0), (30, 60, 30.0)])
    def test_timer_is_the_least_of_the_limits(self, plan: int, gateway: int | None, least: float) -> None:
        attempts = [Planned(PlannedGateway(max_duration=gateway))]
        call = Call(CallPlan(max_duration=plan, attempts=attempts), FAILOVER_CODES, offer_in_invite=True)
        playbook = ringing(call)
        assert (
            playbook
            >> Answered(b"")
            << RecordAnswer()
            << SendAnswer(b"")
            << StartTimer(CallTimer.DURATION, least)
            << SendAck(b"")
        )

    def test_gateways_own_limit_counts_when_an_earlier_one_had_less(self) -> None:
        attempts = [Planned(PlannedGateway("one", max_duration=10)), Planned(PlannedGateway("two", max_duration=20))]
        call = Call(CallPlan(attempts=attempts), FAILOVER_CODES, offer_in_invite=True)
        for event in (Invited(), Admitted(), CarrierAdmitted(), AttemptFailed(503), CarrierAdmitted()):
            call.handle(event)
        started = [effect for effect in call.handle(Answered(b"")) if isinstance(effect, StartTimer)]
        assert [describe(effect) for effect in started] == [describe(StartTimer(CallTimer.DURATION, 20.0))]

    def test_both_sides_get_bye_when_the_longest_duration_is_reached(self) -> None:
        assert (
            answered(new_call())
            >> TimerExpired(CallTimer.DURATION)
            << StopTimer()
            << RecordEnd("system", 102, "MAX_DURATION")
            << SendBye(Side.CALLER, 102, "MAX_DURATION")
            << SendBye(Side.CALLEE, 102, "MAX_DURATION")
            << ReleaseCarrier(0)
            << Release()
            << Forget()
        )


class TestOrderedHangUp:
    @pytest.mark.parametrize(
        ("reason", "disposition"),
        [
            ("HANGUP_BY_OPERATOR", Disposition("HANGUP_BY_OPERATOR", 480, 31)),
            ("DRAINING", Disposition("DRAINING", 503, 41)),
        ],
    )
    def test_caller_is_refused_when_the_call_is_not_answered(self, reason: str, disposition: Disposition) -> None:
        assert (
            ringing(new_call(2))
            >> HangupOrdered(reason)
            << RecordFailure(disposition, True)
            << StopTimer()
            << SendCancel()
            << ReleaseCarrier(0)
            << SendFailure(disposition)
            << Release()
            << Forget()
        )

    @pytest.mark.parametrize("reason", ["HANGUP_BY_OPERATOR", "ACCOUNT_SUSPENDED", "DRAINING"])
    def test_both_sides_get_bye_when_the_call_is_answered(self, reason: str) -> None:
        assert (
            answered(new_call())
            >> HangupOrdered(reason)
            << StopTimer()
            << RecordEnd("system", 31, reason)
            << SendBye(Side.CALLER, 31, reason)
            << SendBye(Side.CALLEE, 31, reason)
            << ReleaseCarrier(0)
            << Release()
            << Forget()
        )


class TestReplaced:
    def test_only_the_caller_is_told_that_the_call_is_over(self) -> None:
        playbook = answered(new_call())
        assert (
            playbook
            >> Replaced()
            << StopTimer()
            << RecordEnd("caller", 16, "TRANSFERRED")
            << SendBye(Side.CALLER, 16, "TRANSFERRED")
            << ReleaseCarrier(0)
            << Release()
            << Forget()
        )
