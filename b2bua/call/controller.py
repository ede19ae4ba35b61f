"""The call: a pure state machine between two legs. `handle(event) -> effects` (docs/architecture.md "One call").

Which method handles what in which state stands in one table at the end. A pair that is not there is legal and idle in
the state ENDED and a bug of ours elsewhere; a test walks the full product.
"""

from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import Any, Final

from b2bua.call.disposition import Disposition, carrier_failure, refusal, towards_caller, tries_next
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
from b2bua.call.ports import GatewayTimers, Plan

NORMAL_CLEARING: Final = 16
"""Q.850 cause of a call that somebody hung up."""


class FundsRules:
    """How funds are held for a call (docs/behaviour.md §7), in seconds.

    Args:
        slice_: Held at first, and each time again.
        lead: More are held so long before those that are held end.
        retry: Wait after a refusal.
        last_try: The last try is made so long before the end.
    """

    __slots__ = ("last_try", "lead", "retry", "slice")

    def __init__(self, slice_: int = 60, lead: float = 20.0, retry: float = 5.0, last_try: float = 0.5) -> None:
        self.slice = slice_
        self.lead = lead
        self.retry = retry
        self.last_try = last_try


DEFAULT_FUNDS_RULES: Final = FundsRules()


class State(IntEnum):
    """Where a call stands."""

    NEW = 0
    REFUSING = 1
    """Decided against; whether its calls per second are used up too is being asked."""
    ADMITTING = 2
    SELECTING = 3
    """The next attempt's carrier is being asked for a session."""
    CALLING = 4
    RINGING = 5
    ANSWERED = 6
    ENDED = 7


class Call:
    """One call.

    Args:
        plan: What was decided.
        failover_codes: Answers of a carrier after which the next attempt is made.
        offer_in_invite: Whether the INVITE had a session description; otherwise the caller's ACK has the answer.
        funds: How funds are held.
    """

    __slots__ = (
        "_attempt",
        "_failover_codes",
        "_funded",
        "_funds",
        "_has_chain",
        "_has_rung",
        "_is_trying",
        "_offer_in_invite",
        "_plan",
        "state",
    )

    def __init__(
        self,
        plan: Plan,
        failover_codes: frozenset[int],
        *,
        offer_in_invite: bool,
        funds: FundsRules = DEFAULT_FUNDS_RULES,
    ) -> None:
        self._plan = plan
        self._failover_codes = failover_codes
        self._offer_in_invite = offer_in_invite
        self._funds = funds
        self._funded: int | None = None
        """Seconds from the answer on that the funds held last; None: nobody watches them."""
        self._attempt = -1
        self._has_chain = False
        """Whether the chain's sessions are ours to give back."""
        self._has_rung = False
        self._is_trying = False
        """Whether the attempt under way was answered with 100."""
        self.state = State.NEW

    def handle(self, event: Event) -> list[Effect]:
        """Take one event and return what is to be done, in order."""
        handler = HANDLERS[self.state].get(type(event))
        return handler(self, event) if handler is not None else []

    @property
    def attempt(self) -> int:
        """Index of the attempt under way; -1 before the first."""
        return self._attempt

    # Setting up

    def _invited(self, _: Invited) -> list[Effect]:
        if not self._plan.code:
            self.state = State.ADMITTING
            return [Admit(True)]
        if self._plan.counts_cps:
            self.state = State.REFUSING
            return [Admit(False)]
        return self._refuse(refusal(self._plan.code, self._plan.object))

    def _counted(self, _: Admitted) -> list[Effect]:
        return self._refuse(refusal(self._plan.code, self._plan.object))

    def _count_refused(self, event: AdmissionRefused) -> list[Effect]:
        if event.code == "CPS_LIMIT":
            return self._refuse(refusal(event.code, event.object))
        return self._refuse(refusal(self._plan.code, self._plan.object))

    def _admitted(self, event: Admitted) -> list[Effect]:
        self._has_chain = True
        self._funded = event.seconds
        return self._next_attempt()

    def _admission_refused(self, event: AdmissionRefused) -> list[Effect]:
        return self._refuse(refusal(event.code, event.object))

    def _next_attempt(self, index: int = 0) -> list[Effect]:
        self._attempt = index
        self._is_trying = False
        self.state = State.SELECTING
        return [AdmitCarrier(self._attempt)]

    def _carrier_admitted(self, _: CarrierAdmitted) -> list[Effect]:
        self.state = State.CALLING
        # The timer first: an INVITE that cannot be sent at all fails before `SendInvite` returns.
        return [StartTimer(CallTimer.SILENCE, self._gateway.invite_timeout), SendInvite(self._attempt)]

    def _carrier_refused(self, event: CarrierRefused) -> list[Effect]:
        following = self._following(event.code, goes_on=True)
        if following is not None:
            return self._next_attempt(following)
        return self._refuse(refusal(event.code, event.object))

    # Ringing

    def _progressed(self, event: Progressed) -> list[Effect]:
        if event.status <= 100:
            if self._is_trying or self.state == State.RINGING:
                return []  # a second 100, or one that 180 has overtaken, buys no time
            self._is_trying = True
            return [StartTimer(CallTimer.PROGRESS, self._gateway.progress_timeout)]
        if event.status == 199:
            return []
        effects: list[Effect] = []
        if self.state == State.CALLING:
            self.state = State.RINGING
            effects = [RecordRinging(), StartTimer(CallTimer.RING, self._gateway.ring_timeout)]
        if self._has_rung and not event.body:
            return effects  # the caller hears one ringing, however many gateways ring one after the other
        self._has_rung = True
        return [*effects, SendProvisional(event.status, event.body)]

    def _answered(self, event: Answered) -> list[Effect]:
        self.state = State.ANSWERED
        effects: list[Effect] = [RecordAnswer(), SendAnswer(event.body), self._next_limit(0.0)]
        # Without an offer in the INVITE the 2xx has it, and its answer comes with the caller's ACK (RFC 3264 §5).
        return [*effects, SendAck(b"")] if self._offer_in_invite else effects

    def _sent_on(self, _: SentOn) -> list[Effect]:
        self.state = State.CALLING
        self._is_trying = False
        # The timer first, as for the gateway itself.
        return [StartTimer(CallTimer.SILENCE, self._gateway.invite_timeout), SendOn()]

    def _attempt_failed(self, event: AttemptFailed) -> list[Effect]:
        name = f"gateway {self._gateway.name}"
        if event.status == 0:
            if event.code == "NO_MEDIA":
                return self._give_up_attempt(refusal(event.code, "media engine"), goes_on=False)  # whoever is called
            return self._give_up_attempt(refusal(event.code, name), goes_on=True)
        disposition = carrier_failure(event.status, event.cause, name)
        goes_on = self._plan.any_failover or tries_next(event.status, event.cause, self._failover_codes)
        return self._give_up_attempt(disposition, goes_on)

    def _attempt_timed_out(self, event: TimerExpired) -> list[Effect]:
        name = f"gateway {self._gateway.name}"
        if event.timer == CallTimer.RING:
            goes_on = self._plan.ring_failover or self._plan.any_failover
            return [SendCancel(), *self._give_up_attempt(refusal("RING_TIMEOUT", name), goes_on)]
        return [SendCancel(), *self._give_up_attempt(refusal("NO_RESPONSE", name), goes_on=True)]

    def _give_up_attempt(self, disposition: Disposition, goes_on: bool) -> list[Effect]:
        following = self._following(disposition.code, goes_on)
        is_last = following is None
        ended_by = "callee" if disposition.code in _CALLEES_WORD else "system"
        effects: list[Effect] = [
            StopTimer(),
            RecordFailure(disposition, is_last, ended_by),
            ReleaseCarrier(self._attempt),
        ]
        if following is not None:
            return [*effects, *self._next_attempt(following)]
        return [*effects, SendFailure(towards_caller(disposition)), *self._finish()]

    # Giving up

    def _cancelled(self, _: Cancelled) -> list[Effect]:
        return self._abandon(refusal("CANCELLED"), "caller")

    def _ordered_before_answer(self, event: HangupOrdered) -> list[Effect]:
        code = event.reason if event.reason in _OF_THEIR_OWN else "HANGUP_BY_OPERATOR"
        return self._abandon(refusal(code), "system")

    def _abandon(self, disposition: Disposition, ended_by: str) -> list[Effect]:
        effects: list[Effect] = [RecordFailure(disposition, True, ended_by)]
        if self.state in (State.CALLING, State.RINGING):
            effects += [StopTimer(), SendCancel(), ReleaseCarrier(self._attempt)]
        # In the other states an answer of the live store is still to come: ENDED gives back what it took.
        return [*effects, SendFailure(disposition), *self._finish()]

    def _refuse(self, disposition: Disposition) -> list[Effect]:
        return [RecordFailure(disposition, True), SendFailure(disposition), *self._finish()]

    def _finish(self) -> list[Effect]:
        self.state = State.ENDED
        if not self._has_chain:
            return [Forget()]
        self._has_chain = False
        return [Release(), Forget()]

    # Talking

    def _acknowledged(self, event: Acknowledged) -> list[Effect]:
        return [] if self._offer_in_invite else [SendAck(event.body)]

    def _hung_up(self, event: HungUp) -> list[Effect]:
        other = Side.CALLEE if event.side == Side.CALLER else Side.CALLER
        cause = event.cause if event.cause is not None else NORMAL_CLEARING
        if event.reason:
            return self._end("system", event.reason, cause, (Side.CALLER, Side.CALLEE))
        return self._end("caller" if event.side == Side.CALLER else "callee", "", cause, (other,))

    def _limit_reached(self, event: TimerExpired) -> list[Effect]:
        if event.timer == CallTimer.DURATION:
            return self._end("system", "MAX_DURATION", 102, (Side.CALLER, Side.CALLEE))
        assert self._funded is not None
        if event.talked >= self._funded:
            return self._end("system", "FUNDS_EXHAUSTED", 102, (Side.CALLER, Side.CALLEE))
        return [ExtendFunds(min(self._funded + self._funds.slice, self._longest))]

    def _funds_extended(self, event: FundsExtended) -> list[Effect]:
        self._funded = event.seconds
        return [self._next_limit(event.talked)]

    def _funds_refused(self, event: FundsRefused) -> list[Effect]:
        assert self._funded is not None
        left = self._funded - event.talked
        # Money that is paid in late is still seen: the last try comes shortly before the end.
        before_last_try = left - self._funds.last_try
        return [StartTimer(CallTimer.FUNDS, min(self._funds.retry, before_last_try if before_last_try > 0 else left))]

    def _next_limit(self, talked: float) -> StartTimer:
        """Wait for the end of the longest duration, or for the moment to hold more funds, whichever is first."""
        if self._funded is None or self._funded >= self._longest:
            return StartTimer(CallTimer.DURATION, max(0.0, self._longest - talked))
        return StartTimer(CallTimer.FUNDS, max(0.0, self._funded - self._funds.lead - talked))

    def _replaced(self, _: Replaced) -> list[Effect]:
        return self._end("caller", "TRANSFERRED", NORMAL_CLEARING, (Side.CALLER,))

    def _ordered(self, event: HangupOrdered) -> list[Effect]:
        return self._end("system", event.reason, 31, (Side.CALLER, Side.CALLEE))

    def _end(self, ended_by: str, reason: str, cause: int, sides: tuple[Side, ...]) -> list[Effect]:
        # The record comes first: it is in the journal before any BYE is sent or answered.
        effects: list[Effect] = [StopTimer(), RecordEnd(ended_by, cause, reason)]
        effects += [SendBye(side, cause, reason) for side in sides]
        return [*effects, ReleaseCarrier(self._attempt), *self._finish()]

    # What comes after the end

    def _late_admitted(self, _: Admitted) -> list[Effect]:
        return [] if self._plan.code else [Release()]

    def _late_carrier_admitted(self, _: CarrierAdmitted) -> list[Effect]:
        return [ReleaseCarrier(self._attempt)]

    def _late_extended(self, _: FundsExtended) -> list[Effect]:
        return [ReleaseFunds()]

    # Plan

    @property
    def _longest(self) -> int:
        """The longest permitted duration, in seconds."""
        limit = self._gateway.max_duration
        return min(self._plan.max_duration, limit) if limit else self._plan.max_duration

    @property
    def _gateway(self) -> GatewayTimers:
        return self._plan.attempts[self._attempt].gateway

    def _following(self, code: str, goes_on: bool) -> int | None:
        """Index of the attempt that follows one that has failed with a code; None: none does.

        Args:
            code: Of the failure.
            goes_on: Whether attempts follow that ask for no special failure.
        """
        attempts = self._plan.attempts
        failed = attempts[self._attempt]
        for index in range(self._attempt + 1, len(attempts)):
            after = attempts[index].only_after
            if after is None:
                if goes_on:
                    return index
            elif after[0] is failed and code in after[1]:
                return index
        return None


_OF_THEIR_OWN: Final = frozenset({"DRAINING", "ACCOUNT_SUSPENDED", "NO_PRACK"})
"""Reasons that a call which still rings is recorded with."""
_CALLEES_WORD: Final = frozenset({"BUSY", "NO_ANSWER", "REJECTED", "NUMBER_UNKNOWN", "CARRIER_FAILURE"})

Handler = Callable[[Call, Any], list[Effect]]


def _idle(_: Call, __: Event) -> list[Effect]:
    """Legal here, and changes nothing."""
    return []


_GIVING_UP: Final[dict[type, Handler]] = {
    Cancelled: Call._cancelled,
    HangupOrdered: Call._ordered_before_answer,
}

HANDLERS: Final[Mapping[State, Mapping[type, Handler]]] = {
    State.NEW: {Invited: Call._invited, **_GIVING_UP},
    State.REFUSING: {Admitted: Call._counted, AdmissionRefused: Call._count_refused, **_GIVING_UP},
    State.ADMITTING: {Admitted: Call._admitted, AdmissionRefused: Call._admission_refused, **_GIVING_UP},
    State.SELECTING: {
        CarrierAdmitted: Call._carrier_admitted,
        CarrierRefused: Call._carrier_refused,
        **_GIVING_UP,
    },
    State.CALLING: {
        Progressed: Call._progressed,
        Answered: Call._answered,
        AttemptFailed: Call._attempt_failed,
        SentOn: Call._sent_on,
        TimerExpired: Call._attempt_timed_out,
        **_GIVING_UP,
    },
    State.RINGING: {
        Progressed: Call._progressed,
        Answered: Call._answered,
        AttemptFailed: Call._attempt_failed,
        SentOn: Call._sent_on,
        TimerExpired: Call._attempt_timed_out,
        **_GIVING_UP,
    },
    State.ANSWERED: {
        Acknowledged: Call._acknowledged,
        HungUp: Call._hung_up,
        TimerExpired: Call._limit_reached,
        FundsExtended: Call._funds_extended,
        FundsRefused: Call._funds_refused,
        Replaced: Call._replaced,
        HangupOrdered: Call._ordered,
        Cancelled: _idle,  # crossed our 2xx on the wire (RFC 3261 §9.2)
        Progressed: _idle,
        Answered: _idle,
        AttemptFailed: _idle,
        SentOn: _idle,
    },
    State.ENDED: {
        Admitted: Call._late_admitted,
        CarrierAdmitted: Call._late_carrier_admitted,
        FundsExtended: Call._late_extended,
        **dict.fromkeys(
            (
                AdmissionRefused,
                FundsRefused,
                CarrierRefused,
                Progressed,
                Answered,
                AttemptFailed,
                SentOn,
                Acknowledged,
                HungUp,
                Cancelled,
                TimerExpired,
                Replaced,
                HangupOrdered,
            ),
            _idle,
        ),
    },
}
