"""The call's table, and what must hold whatever happens in whatever order (docs/behaviour.md §2, §4)."""

import typing
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from b2bua.call import effects as do
from b2bua.call import events
from b2bua.call.controller import HANDLERS, Call, State
from b2bua.call.effects import (
    Admit,
    AdmitCarrier,
    Effect,
    ExtendFunds,
    Forget,
    RecordAnswer,
    RecordEnd,
    RecordFailure,
    RecordRinging,
    Release,
    ReleaseCarrier,
    ReleaseFunds,
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
    Acknowledged,
    AdmissionRefused,
    Admitted,
    Answered,
    AttemptFailed,
    CallTimer,
    Cancelled,
    CarrierAdmitted,
    CarrierRefused,
    Event,
    FundsExtended,
    FundsRefused,
    HangupOrdered,
    HungUp,
    Invited,
    Progressed,
    Replaced,
    SentOn,
    Side,
    TimerExpired,
)
from tests.b2bua.call.flows import in_state
from tests.support.playbook import (
    new_call,
    refused_call,
    slots_of,
)

EVENTS: tuple[type[Event], ...] = typing.get_args(Event)
# The table

TABLE: dict[State, set[type]] = {
    State.NEW: {Invited, Cancelled, HangupOrdered},
    State.REFUSING: {Admitted, AdmissionRefused, Cancelled, HangupOrdered},
    State.ADMITTING: {Admitted, AdmissionRefused, Cancelled, HangupOrdered},
    State.SELECTING: {CarrierAdmitted, CarrierRefused, Cancelled, HangupOrdered},
    State.CALLING: {Progressed, Answered, AttemptFailed, SentOn, TimerExpired, Cancelled, HangupOrdered},
    State.RINGING: {Progressed, Answered, AttemptFailed, SentOn, TimerExpired, Cancelled, HangupOrdered},
    State.ANSWERED: {Acknowledged, HungUp, TimerExpired, FundsExtended, FundsRefused, Replaced, HangupOrdered},
    State.ENDED: {Admitted, CarrierAdmitted, FundsExtended},
}
"""What a call listens to in which state; everything else changes nothing."""

SAMPLES: dict[type, Event] = {
    Invited: Invited(),
    Admitted: Admitted(60),
    FundsExtended: FundsExtended(120, 40.0),
    FundsRefused: FundsRefused(40.0),
    AdmissionRefused: AdmissionRefused("SESSION_LIMIT", "account C1"),
    CarrierAdmitted: CarrierAdmitted(),
    CarrierRefused: CarrierRefused("CARRIER_LIMIT", "carrier K1"),
    Progressed: Progressed(183, b"sdp"),
    Answered: Answered(b"sdp"),
    AttemptFailed: AttemptFailed(486),
    SentOn: SentOn(),
    Replaced: Replaced(),
    Acknowledged: Acknowledged(b"sdp"),
    HungUp: HungUp(Side.CALLER),
    Cancelled: Cancelled(),
    TimerExpired: TimerExpired(CallTimer.RING),
    HangupOrdered: HangupOrdered("HANGUP_BY_OPERATOR"),
}


def content(call: Call) -> dict[str, object]:
    return {name: getattr(call, name) for name in slots_of(call)}


class TestTable:
    def test_samples_have_every_event(self) -> None:
        assert set(SAMPLES) == set(EVENTS)
        assert len(EVENTS) == len([kind for kind in vars(events).values() if _is_own_class(kind, events)])

    def test_table_has_every_state(self) -> None:
        assert set(HANDLERS) == set(State) == set(TABLE)

    @pytest.mark.parametrize("kind", EVENTS)
    @pytest.mark.parametrize("state", State)
    def test_call_listens_only_to_what_belongs_to_its_state(self, state: State, kind: type[Event]) -> None:
        call = in_state(state, offer_in_invite=False)
        assert call.state == state
        before = content(call)
        effects = call.handle(SAMPLES[kind])
        if kind in TABLE[state]:
            assert effects or content(call) != before
        else:
            assert effects == []
            assert content(call) == before

    @pytest.mark.parametrize("state", State)
    def test_written_idle_pairs_are_idle_when_they_are_in_the_table(self, state: State) -> None:
        # What the source writes down beyond TABLE has to be idle, and what TABLE has must be written down.
        assert TABLE[state] <= set(HANDLERS[state])

    def test_call_listens_to_everything_that_can_come_when_it_is_answered_or_over(self) -> None:
        for state in (State.ANSWERED, State.ENDED):
            # The rest is answered by the store or said by the driver before a call gets here.
            absent = set(EVENTS) - set(HANDLERS[state])
            assert absent <= {Invited, Admitted, AdmissionRefused, CarrierAdmitted, CarrierRefused}


def _is_own_class(kind: object, module: object) -> bool:
    return (
        isinstance(kind, type)
        and kind.__module__ == getattr(module, "__name__", "")
        and kind not in (events.Side, events.CallTimer)
    )


# Whatever happens in whatever order

NETWORK: list[Event] = [
    Progressed(100, b""),
    Progressed(180, b""),
    Progressed(183, b"sdp"),
    Progressed(199, b""),
    Answered(b"sdp"),
    AttemptFailed(503),
    AttemptFailed(486),
    AttemptFailed(480, 34),
    AttemptFailed(487),
    AttemptFailed(0, None, "TRANSPORT_FAILURE"),
    SentOn(),
    Replaced(),
    Acknowledged(b"sdp"),
    HungUp(Side.CALLER),
    HungUp(Side.CALLEE, 31),
    HungUp(Side.CALLER, 102, "NO_ACK"),
    Cancelled(),
    HangupOrdered("HANGUP_BY_OPERATOR"),
    HangupOrdered("DRAINING"),
]


SLICE = 60


class World:
    """What is outside a call: it answers, counts what is taken, and checks each effect as it comes."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.chain = 0
        self.carriers: Counter[int] = Counter()
        self.pending: list[Effect] = []
        self.timer: StartTimer | None = None
        self.talked = 0.0
        """Seconds since the answer, as far as timers have waited for them."""
        self.funded = 0
        """Seconds from the answer on for which funds are held."""
        self.is_answered = False
        self.finals = 0
        self.records: list[Effect] = []
        self.is_forgotten = False

    def happens(self, event: Event) -> None:
        for effect in self.call.handle(event):
            self._carry_out(effect)

    def _carry_out(self, effect: Effect) -> None:  # noqa: C901, PLR0912 - one line for each effect
        match effect:
            case Admit() | AdmitCarrier() | ExtendFunds():
                assert not self.pending
                self.pending.append(effect)
            case Release():
                self.chain -= 1
                assert self.chain == 0
                self.funded = 0
            case ReleaseFunds():
                assert self.chain == 0
                assert self.funded
                self.funded = 0
            case ReleaseCarrier():
                self.carriers[effect.attempt] -= 1
                assert self.carriers[effect.attempt] == 0
            case StartTimer():
                self.timer = effect
                if self.is_answered:
                    assert self.talked + effect.seconds <= self.funded, "talks beyond what is paid"
            case StopTimer():
                self.timer = None
            case SendFailure() | SendAnswer():
                self.finals += 1
                assert self.finals == 1
                assert self.records, "answered before it was recorded"
            case SendProvisional():
                assert self.finals == 0
            case RecordFailure() | RecordAnswer() | RecordEnd():
                assert not self.is_ended
                self.records.append(effect)
                self.is_answered |= isinstance(effect, RecordAnswer)
            case SendBye():
                assert self.is_ended
            case SendInvite():
                assert self.carriers[effect.attempt] == 1
            case SendOn():
                assert sum(self.carriers.values()) == 1
                assert self.timer is not None
            case Forget():
                assert not self.is_forgotten
                self.is_forgotten = True
            case _:
                assert isinstance(effect, SendCancel | SendAck | RecordRinging)

    @property
    def is_ended(self) -> bool:
        """Whether the call's last record is written."""
        return any(isinstance(r, RecordEnd) or (isinstance(r, RecordFailure) and r.is_last) for r in self.records)

    def store_answers(self, *, admits: bool) -> None:
        request = self.pending.pop()
        if isinstance(request, Admit):
            self.chain += request.take_sessions and admits
            self.funded = SLICE if request.take_sessions and admits else 0
            funded = self.funded or None
            self.happens(Admitted(funded) if admits else AdmissionRefused("SESSION_LIMIT", "account C1"))
        elif isinstance(request, ExtendFunds):
            if admits:
                assert request.seconds > self.funded
                self.funded = request.seconds
            self.happens(FundsExtended(request.seconds, self.talked) if admits else FundsRefused(self.talked))
        else:
            assert isinstance(request, AdmitCarrier)
            self.carriers[request.attempt] += admits
            self.happens(CarrierAdmitted() if admits else CarrierRefused("CARRIER_LIMIT", "carrier K1"))

    def timer_runs_out(self) -> None:
        timer, self.timer = self.timer, None
        if timer is not None:
            if self.is_answered:
                self.talked += timer.seconds
            self.happens(TimerExpired(timer.timer, self.talked))


steps = st.lists(
    st.sampled_from(["store admits", "store admits", "store refuses", "timer", "timer"]) | st.sampled_from(NETWORK)
)
calls = st.one_of(
    st.builds(new_call, st.integers(1, 3), offer_in_invite=st.booleans()),
    st.builds(refused_call, st.just("NO_ROUTE"), st.just("route all"), counts_cps=st.booleans()),
)


@settings(max_examples=400)
@given(calls, steps, st.booleans())
def test_call_leaks_nothing_and_answers_once_whatever_happens(
    call: Call, story: list[str | Event], admits_late: bool
) -> None:
    world = World(call)
    world.happens(Invited())
    for step in story:
        if isinstance(step, str):
            if step == "timer":
                world.timer_runs_out()
            elif world.pending:
                world.store_answers(admits=step == "store admits")
        else:
            world.happens(step)
    # Its end: somebody hangs up, and what was asked of the store is answered.
    world.happens(HangupOrdered("HANGUP_BY_OPERATOR"))
    while world.pending:
        world.store_answers(admits=admits_late)
    assert call.state == State.ENDED
    assert world.chain == 0
    assert world.funded == 0
    assert set(world.carriers.values()) <= {0}
    assert world.timer is None
    assert world.finals == 1
    assert world.is_forgotten
    lasts = [r for r in world.records if isinstance(r, RecordEnd) or (isinstance(r, RecordFailure) and r.is_last)]
    assert lasts == world.records[-1:]


def test_effects_of_the_world_are_all_that_there_are() -> None:
    own = {kind for kind in vars(do).values() if isinstance(kind, type) and kind.__module__ == do.__name__}
    assert own == set(typing.get_args(Effect))
