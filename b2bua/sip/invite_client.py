"""INVITE client transaction: RFC 3261 §17.1.1, and §9.1 after a CANCEL, with the Accepted state of RFC 6026 §7.2."""

from enum import IntEnum
from typing import Final

from b2bua.sip.machine import ENDED, FAILED, IGNORE, TIMED_OUT, Action, Input, Table


class State(IntEnum):
    """States of RFC 6026 figure 6."""

    CALLING = 0
    PROCEEDING = 1
    COMPLETED = 2
    ACCEPTED = 3
    TERMINATED = 4


INPUTS: Final = (
    Input.SEND_REQUEST,
    Input.SEND_CANCEL,
    Input.RECV_1XX,
    Input.RECV_2XX,
    Input.RECV_300_699,
    Input.TIMER_A,
    Input.TIMER_B,
    Input.TIMER_D,
    Input.TIMER_M,
    Input.TIMER_CANCEL,
    Input.TRANSPORT_ERROR,
)

_ACCEPTED: Final = (State.ACCEPTED, (Action.PASS_UP, Action.FORGET_ALL, Action.START_M))
_COMPLETED: Final = (
    State.COMPLETED,
    (Action.SEND_ACK, Action.PASS_UP, Action.FORGET_REQUEST, Action.START_D),
)

TRANSITIONS: Final[Table] = {
    State.CALLING: {
        Input.SEND_REQUEST: (State.CALLING, (Action.SEND, Action.START_A, Action.START_B)),
        Input.SEND_CANCEL: (State.CALLING, (Action.START_CANCEL,)),
        Input.RECV_1XX: (State.PROCEEDING, (Action.PASS_UP,)),
        Input.RECV_2XX: _ACCEPTED,
        Input.RECV_300_699: _COMPLETED,
        Input.TIMER_A: (State.CALLING, (Action.RESEND, Action.DOUBLE_A)),
        Input.TIMER_B: (State.TERMINATED, TIMED_OUT),
        Input.TIMER_D: (State.CALLING, IGNORE),
        Input.TIMER_M: (State.CALLING, IGNORE),
        Input.TIMER_CANCEL: (State.TERMINATED, TIMED_OUT),
        Input.TRANSPORT_ERROR: (State.TERMINATED, FAILED),
    },
    State.PROCEEDING: {
        Input.SEND_REQUEST: (State.PROCEEDING, IGNORE),
        Input.SEND_CANCEL: (State.PROCEEDING, (Action.START_CANCEL,)),
        Input.RECV_1XX: (State.PROCEEDING, (Action.PASS_UP,)),
        Input.RECV_2XX: _ACCEPTED,
        Input.RECV_300_699: _COMPLETED,
        Input.TIMER_A: (State.PROCEEDING, IGNORE),
        # §17.1.1.2: timer B counts in Calling only; how long it may ring is the user's to say.
        Input.TIMER_B: (State.PROCEEDING, IGNORE),
        Input.TIMER_D: (State.PROCEEDING, IGNORE),
        Input.TIMER_M: (State.PROCEEDING, IGNORE),
        # RFC 3261 §9.1: no final answer for 64 × T1 since the CANCEL; the transaction counts as cancelled.
        Input.TIMER_CANCEL: (State.TERMINATED, TIMED_OUT),
        Input.TRANSPORT_ERROR: (State.TERMINATED, FAILED),
    },
    State.COMPLETED: {
        Input.SEND_REQUEST: (State.COMPLETED, IGNORE),
        Input.SEND_CANCEL: (State.COMPLETED, IGNORE),
        Input.RECV_1XX: (State.COMPLETED, IGNORE),
        Input.RECV_2XX: (State.COMPLETED, IGNORE),
        Input.RECV_300_699: (State.COMPLETED, (Action.RESEND,)),  # the ACK was lost
        Input.TIMER_A: (State.COMPLETED, IGNORE),
        Input.TIMER_B: (State.COMPLETED, IGNORE),
        Input.TIMER_D: (State.TERMINATED, ENDED),
        Input.TIMER_M: (State.COMPLETED, IGNORE),
        Input.TIMER_CANCEL: (State.COMPLETED, IGNORE),
        Input.TRANSPORT_ERROR: (State.TERMINATED, ENDED),
    },
    State.ACCEPTED: {
        Input.SEND_REQUEST: (State.ACCEPTED, IGNORE),
        Input.SEND_CANCEL: (State.ACCEPTED, IGNORE),
        Input.RECV_1XX: (State.ACCEPTED, IGNORE),
        Input.RECV_2XX: (State.ACCEPTED, (Action.PASS_UP,)),  # RFC 6026 §7.2: from the same or a forked dialog
        Input.RECV_300_699: (State.ACCEPTED, IGNORE),
        Input.TIMER_A: (State.ACCEPTED, IGNORE),
        Input.TIMER_B: (State.ACCEPTED, IGNORE),
        Input.TIMER_D: (State.ACCEPTED, IGNORE),
        Input.TIMER_M: (State.TERMINATED, ENDED),
        Input.TIMER_CANCEL: (State.ACCEPTED, IGNORE),
        Input.TRANSPORT_ERROR: (State.ACCEPTED, IGNORE),
    },
    State.TERMINATED: dict.fromkeys(INPUTS, (State.TERMINATED, IGNORE)),
}
