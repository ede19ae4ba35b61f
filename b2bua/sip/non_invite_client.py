"""Non-INVITE client transaction: RFC 3261 §17.1.2."""

from enum import IntEnum
from typing import Final

from b2bua.sip.machine import ENDED, FAILED, IGNORE, TIMED_OUT, Action, Input, Table


class State(IntEnum):
    """States of RFC 3261 figure 6."""

    TRYING = 0
    PROCEEDING = 1
    COMPLETED = 2
    TERMINATED = 3


INPUTS: Final = (
    Input.SEND_REQUEST,
    Input.RECV_1XX,
    Input.RECV_2XX,
    Input.RECV_300_699,
    Input.TIMER_E,
    Input.TIMER_F,
    Input.TIMER_K,
    Input.TRANSPORT_ERROR,
)

_COMPLETED: Final = (State.COMPLETED, (Action.PASS_UP, Action.FORGET_ALL, Action.START_K))

TRANSITIONS: Final[Table] = {
    State.TRYING: {
        Input.SEND_REQUEST: (State.TRYING, (Action.SEND, Action.START_E, Action.START_F)),
        Input.RECV_1XX: (State.PROCEEDING, (Action.PASS_UP,)),
        Input.RECV_2XX: _COMPLETED,
        Input.RECV_300_699: _COMPLETED,
        Input.TIMER_E: (State.TRYING, (Action.RESEND, Action.DOUBLE_E)),
        Input.TIMER_F: (State.TERMINATED, TIMED_OUT),
        Input.TIMER_K: (State.TRYING, IGNORE),
        Input.TRANSPORT_ERROR: (State.TERMINATED, FAILED),
    },
    State.PROCEEDING: {
        Input.SEND_REQUEST: (State.PROCEEDING, IGNORE),
        Input.RECV_1XX: (State.PROCEEDING, (Action.PASS_UP,)),
        Input.RECV_2XX: _COMPLETED,
        Input.RECV_300_699: _COMPLETED,
        Input.TIMER_E: (State.PROCEEDING, (Action.RESEND, Action.T2_E)),
        Input.TIMER_F: (State.TERMINATED, TIMED_OUT),
        Input.TIMER_K: (State.PROCEEDING, IGNORE),
        Input.TRANSPORT_ERROR: (State.TERMINATED, FAILED),
    },
    State.COMPLETED: {
        Input.SEND_REQUEST: (State.COMPLETED, IGNORE),
        Input.RECV_1XX: (State.COMPLETED, IGNORE),
        Input.RECV_2XX: (State.COMPLETED, IGNORE),
        Input.RECV_300_699: (State.COMPLETED, IGNORE),
        Input.TIMER_E: (State.COMPLETED, IGNORE),
        Input.TIMER_F: (State.COMPLETED, IGNORE),
        Input.TIMER_K: (State.TERMINATED, ENDED),
        Input.TRANSPORT_ERROR: (State.COMPLETED, IGNORE),
    },
    State.TERMINATED: dict.fromkeys(INPUTS, (State.TERMINATED, IGNORE)),
}
