"""Calls in a state, each asserted on its way there."""

from b2bua.call.controller import Call, State
from b2bua.call.disposition import Disposition
from b2bua.call.effects import (
    Admit,
    AdmitCarrier,
    RecordAnswer,
    RecordRinging,
    SendAck,
    SendAnswer,
    SendInvite,
    SendProvisional,
    StartTimer,
)
from b2bua.call.events import (
    Admitted,
    Answered,
    AttemptFailed,
    CallTimer,
    CarrierAdmitted,
    Event,
    Invited,
    Progressed,
)
from tests.support.playbook import Playbook, new_call, refused_call

CANCELLED = Disposition("CANCELLED", 487, 16)


def by_gateway(code: str, status: int, cause: int, name: str = "one") -> Disposition:
    """What a gateway answered, as it is recorded."""
    return Disposition(code, status, cause, f"gateway {name}")


def unavailable(name: str = "one") -> Disposition:
    """A gateway answered 503."""
    return by_gateway("CARRIER_FAILURE", 503, 41, name)


# Calls in a state


def admitting(call: Call) -> Playbook:
    playbook = Playbook(call)
    assert playbook >> Invited() << Admit(True)
    return playbook


def selecting(call: Call, funded: int | None = None) -> Playbook:
    playbook = admitting(call)
    assert playbook >> Admitted(funded) << AdmitCarrier(0)
    return playbook


def calling(call: Call, funded: int | None = None) -> Playbook:
    playbook = selecting(call, funded)
    assert playbook >> CarrierAdmitted() << StartTimer(CallTimer.SILENCE, 5.0) << SendInvite(0)
    return playbook


def ringing(call: Call, funded: int | None = None) -> Playbook:
    playbook = calling(call, funded)
    assert (
        playbook
        >> Progressed(180, b"")
        << RecordRinging()
        << StartTimer(CallTimer.RING, 60.0)
        << SendProvisional(180, b"")
    )
    return playbook


def answered(call: Call) -> Playbook:
    playbook = ringing(call)
    assert (
        playbook
        >> Answered(b"sdp")
        << RecordAnswer()
        << SendAnswer(b"sdp")
        << StartTimer(CallTimer.DURATION, 7200.0)
        << SendAck(b"")
    )
    return playbook


def funded(call: Call, seconds: int, wait: float) -> Playbook:
    """An answered call whose funds last so many seconds, and which waits so long until it asks for more."""
    playbook = ringing(call, seconds)
    assert (
        playbook
        >> Answered(b"sdp")
        << RecordAnswer()
        << SendAnswer(b"sdp")
        << StartTimer(CallTimer.FUNDS, wait)
        << SendAck(b"")
    )
    return playbook


def in_state(state: State, *, offer_in_invite: bool = True) -> Call:
    """A call that came to this state by events, its gateway's and its own; its funds last for 60 s."""
    if state == State.REFUSING:
        call = refused_call("NO_ROUTE", "route all", counts_cps=True)
        call.handle(Invited())
        return call
    call = new_call(offer_in_invite=offer_in_invite)
    path: dict[State, list[Event]] = {
        State.NEW: [],
        State.ADMITTING: [Invited()],
        State.SELECTING: [Invited(), Admitted(60)],
        State.CALLING: [Invited(), Admitted(60), CarrierAdmitted()],
        State.RINGING: [Invited(), Admitted(60), CarrierAdmitted(), Progressed(180, b"")],
        State.ANSWERED: [Invited(), Admitted(60), CarrierAdmitted(), Progressed(180, b""), Answered(b"sdp")],
        State.ENDED: [Invited(), Admitted(60), CarrierAdmitted(), AttemptFailed(486)],
    }
    for event in path[state]:
        call.handle(event)
    return call
