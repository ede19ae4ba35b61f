"""Slices of funds of an answered call: extended, refused, tried again, exhausted (docs/behaviour.md §7)."""

import pytest

from b2bua.call.controller import Call, FundsRules
from b2bua.call.effects import (
    ExtendFunds,
    Forget,
    RecordAnswer,
    RecordEnd,
    Release,
    ReleaseCarrier,
    ReleaseFunds,
    SendAck,
    SendAnswer,
    SendBye,
    StartTimer,
    StopTimer,
)
from b2bua.call.events import (
    Answered,
    AttemptFailed,
    CallTimer,
    CarrierAdmitted,
    FundsExtended,
    FundsRefused,
    HangupOrdered,
    HungUp,
    Side,
    TimerExpired,
)
from tests.b2bua.call.flows import funded, ringing
from tests.support.playbook import FAILOVER_CODES, CallPlan, Planned, PlannedGateway, Playbook, new_call

FUNDS = CallTimer.FUNDS
DURATION = CallTimer.DURATION


def call_of(max_duration: int = 7200, *, gateway: int | None = None, rules: FundsRules | None = None) -> Call:
    """A call with limits and rules of its own."""
    plan = CallPlan(max_duration=max_duration, attempts=[Planned(PlannedGateway(max_duration=gateway))])
    return Call(plan, FAILOVER_CODES, offer_in_invite=True, funds=rules or FundsRules())


def asking(call: Call, talked: float = 40.0) -> Playbook:
    """An answered call of which 60 s are paid, and which has asked for 60 more."""
    playbook = funded(call, 60, 40.0)
    assert playbook >> TimerExpired(FUNDS, talked) << ExtendFunds(120)
    return playbook


class TestSlices:
    def test_more_is_asked_for_at_the_lead_when_the_first_slice_nears_its_end(self) -> None:
        assert funded(new_call(), 60, 40.0) >> TimerExpired(FUNDS, 40.0) << ExtendFunds(120)

    def test_call_waits_for_the_next_lead_when_more_is_held(self) -> None:
        assert (
            asking(new_call())
            >> FundsExtended(120, 40.1)
            << StartTimer(FUNDS, 120 - 20.0 - 40.1)
            >> TimerExpired(FUNDS, 100.0)
            << ExtendFunds(180)
        )

    def test_call_waits_less_when_only_a_part_could_be_held(self) -> None:
        assert (
            asking(new_call())
            >> FundsExtended(75, 40.0)
            << StartTimer(FUNDS, 15.0)
            >> TimerExpired(FUNDS, 55.0)
            << ExtendFunds(135)
        )

    def test_more_is_asked_for_at_once_when_the_first_slice_is_shorter_than_the_lead(self) -> None:
        assert funded(new_call(), 15, 0.0) >> TimerExpired(FUNDS, 0.0) << ExtendFunds(75)

    def test_more_is_asked_for_at_once_when_a_late_extension_is_shorter_than_the_lead(self) -> None:
        assert asking(new_call()) >> FundsExtended(61, 55.0) << StartTimer(FUNDS, 0.0)

    def test_time_before_the_answer_costs_nothing_when_it_rings_long(self) -> None:
        playbook = ringing(new_call(), 60)
        assert playbook >> Answered(b"") << RecordAnswer() << SendAnswer(b"") << StartTimer(FUNDS, 40.0) << SendAck(b"")

    def test_slices_are_as_set_when_the_rules_are_others(self) -> None:
        call = call_of(rules=FundsRules(30, 5.0))
        playbook = funded(call, 30, 25.0)
        assert (
            playbook
            >> TimerExpired(FUNDS, 25.0)
            << ExtendFunds(60)
            >> FundsExtended(60, 25.0)
            << StartTimer(FUNDS, 30.0)
        )

    def test_funds_of_the_chain_last_when_the_second_carrier_answers(self) -> None:
        call = new_call(2)
        playbook = ringing(call, 60)
        for event in (AttemptFailed(503), CarrierAdmitted()):
            call.handle(event)
        assert (
            playbook
            >> Answered(b"")
            << RecordAnswer()
            << SendAnswer(b"")
            << StartTimer(FUNDS, 40.0)
            << SendAck(b"")
            >> TimerExpired(FUNDS, 40.0)
            << ExtendFunds(120)
        )


class TestLongestDuration:
    @pytest.mark.parametrize(
        ("paid", "longest", "gateway"), [(60, 60, None), (60, 45, None), (60, 7200, 60), (60, 7200, 30), (90, 60, 80)]
    )
    def test_call_waits_for_its_longest_duration_when_funds_reach_as_far(
        self, paid: int, longest: int, gateway: int | None
    ) -> None:
        playbook = ringing(call_of(longest, gateway=gateway), paid)
        assert (
            playbook
            >> Answered(b"")
            << RecordAnswer()
            << SendAnswer(b"")
            << StartTimer(DURATION, float(min(longest, gateway or longest)))
            << SendAck(b"")
        )

    @pytest.mark.parametrize(("longest", "gateway"), [(90, None), (7200, 90)])
    def test_no_more_than_the_longest_duration_is_asked_for(self, longest: int, gateway: int | None) -> None:
        assert (
            funded(call_of(longest, gateway=gateway), 60, 40.0)
            >> TimerExpired(FUNDS, 40.0)
            << ExtendFunds(90)
            >> FundsExtended(90, 40.5)
            << StartTimer(DURATION, 49.5)
            >> TimerExpired(DURATION, 90.0)
            << StopTimer()
            << RecordEnd("system", 102, "MAX_DURATION")
            << SendBye(Side.CALLER, 102, "MAX_DURATION")
            << SendBye(Side.CALLEE, 102, "MAX_DURATION")
            << ReleaseCarrier(0)
            << Release()
            << Forget()
        )


class TestRefused:
    def test_call_tries_again_every_five_seconds_when_more_is_refused(self) -> None:
        assert (
            asking(new_call())
            >> FundsRefused(40.0)
            << StartTimer(FUNDS, 5.0)
            >> TimerExpired(FUNDS, 45.0)
            << ExtendFunds(120)
            >> FundsRefused(45.0)
            << StartTimer(FUNDS, 5.0)
            >> TimerExpired(FUNDS, 50.0)
            << ExtendFunds(120)
            >> FundsExtended(120, 50.0)
            << StartTimer(FUNDS, 50.0)
        )

    @pytest.mark.parametrize(("talked", "wait"), [(54.5, 5.0), (55.0, 4.5), (57.0, 2.5), (59.25, 0.25)])
    def test_last_try_comes_half_a_second_before_the_end(self, talked: float, wait: float) -> None:
        assert asking(new_call(), talked) >> FundsRefused(talked) << StartTimer(FUNDS, wait)

    def test_call_waits_for_its_end_when_the_last_try_is_refused(self) -> None:
        assert asking(new_call(), 59.5) >> FundsRefused(59.5) << StartTimer(FUNDS, 0.5)

    def test_call_goes_on_when_the_last_try_succeeds(self) -> None:
        assert asking(new_call(), 59.5) >> FundsExtended(120, 59.5) << StartTimer(FUNDS, 40.5)

    def test_both_sides_get_bye_when_its_seconds_have_ended(self) -> None:
        assert (
            asking(new_call(), 59.5)
            >> FundsRefused(59.5)
            << StartTimer(FUNDS, 0.5)
            >> TimerExpired(FUNDS, 60.0)
            << StopTimer()
            << RecordEnd("system", 102, "FUNDS_EXHAUSTED")
            << SendBye(Side.CALLER, 102, "FUNDS_EXHAUSTED")
            << SendBye(Side.CALLEE, 102, "FUNDS_EXHAUSTED")
            << ReleaseCarrier(0)
            << Release()
            << Forget()
        )

    def test_call_tries_once_more_when_its_last_timer_rings_early(self) -> None:
        assert (
            asking(new_call(), 59.5)
            >> FundsRefused(59.5)
            << StartTimer(FUNDS, 0.5)
            >> TimerExpired(FUNDS, 59.75)
            << ExtendFunds(120)
            >> FundsRefused(59.75)
            << StartTimer(FUNDS, 0.25)
        )

    def test_call_ends_when_the_store_has_answered_too_late(self) -> None:
        playbook = asking(new_call(), 59.5)
        effects = playbook.call.handle(FundsRefused(61.5))
        (timer,) = effects
        assert isinstance(timer, StartTimer)
        assert timer.seconds <= 0.0
        ending = playbook.call.handle(TimerExpired(FUNDS, 61.5))
        assert isinstance(ending[1], RecordEnd)
        assert ending[1].reason == "FUNDS_EXHAUSTED"


class TestEnd:
    @pytest.mark.parametrize("event", [HungUp(Side.CALLEE), HangupOrdered("ACCOUNT_SUSPENDED")])
    def test_late_extension_is_given_back_when_the_call_has_ended(self, event: HungUp | HangupOrdered) -> None:
        playbook = asking(new_call())
        released = [type(effect) for effect in playbook.call.handle(event) if isinstance(effect, Release)]
        assert released == [Release]
        assert playbook >> FundsExtended(120, 40.5) << ReleaseFunds()

    def test_late_refusal_changes_nothing_when_the_call_has_ended(self) -> None:
        playbook = asking(new_call())
        playbook.call.handle(HungUp(Side.CALLER))
        assert playbook >> FundsRefused(40.5)

    def test_funds_are_given_back_with_the_sessions_when_nobody_answers(self) -> None:
        playbook = ringing(new_call(), 60)
        effects = playbook.call.handle(TimerExpired(CallTimer.RING))
        assert [type(effect) for effect in effects[-2:]] == [Release, Forget]


def test_nobody_watches_funds_when_none_were_asked_for() -> None:
    playbook = ringing(new_call(), None)
    started = [effect for effect in playbook.call.handle(Answered(b"")) if isinstance(effect, StartTimer)]
    assert [(effect.timer, effect.seconds) for effect in started] == [(DURATION, 7200.0)]
