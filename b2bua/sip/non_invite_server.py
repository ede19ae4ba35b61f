"""Non-INVITE server transaction: RFC 3261 §17.2.2."""

from enum import IntEnum
from typing import Final

from b2bua.sip.machine import ENDED, FAILED, IGNORE, Action, Input, Table


class State(IntEnum):
    """States of RFC 3261 figure 8."""

    TRYING = 0
    PROCEEDING = 1
    COMPLETED = 2
    TERMINATED = 3


INPUTS: Final = (
    Input.RECV_REQUEST,
    Input.SEND_1XX,
    Input.SEND_2XX,
    Input.SEND_300_699,
    Input.TIMER_J,
    Input.TRANSPORT_ERROR,
)

_COMPLETED: Final = (State.COMPLETED, (Action.SEND, Action.FORGET_REQUEST, Action.START_J))

TRANSITIONS: Final[Table] = {
    State.TRYING: {
        Input.RECV_REQUEST: (State.TRYING, IGNORE),
        Input.SEND_1XX: (State.PROCEEDING, (Action.SEND,)),
        Input.SEND_2XX: _COMPLETED,
        Input.SEND_300_699: _COMPLETED,
        Input.TIMER_J: (State.TRYING, IGNORE),
        Input.TRANSPORT_ERROR: (State.TERMINATED, FAILED),
    },
    State.PROCEEDING: {
        Input.RECV_REQUEST: (State.PROCEEDING, (Action.RESEND,)),
        Input.SEND_1XX: (State.PROCEEDING, (Action.SEND,)),
        Input.SEND_2XX: _COMPLETED,
        Input.SEND_300_699: _COMPLETED,
        Input.TIMER_J: (State.PROCEEDING, IGNORE),
        Input.TRANSPORT_ERROR: (State.TERMINATED, FAILED),
    },
    State.COMPLETED: {
        Input.RECV_REQUEST: (State.COMPLETED, (Action.RESEND,)),
        Input.SEND_1XX: (State.COMPLETED, IGNORE),
        Input.SEND_2XX: (State.COMPLETED, IGNORE),
        Input.SEND_300_699: (State.COMPLETED, IGNORE),
        Input.TIMER_J: (State.TERMINATED, ENDED),
        Input.TRANSPORT_ERROR: (State.TERMINATED, ENDED),
    },
    State.TERMINATED: dict.fromkeys(INPUTS, (State.TERMINATED, IGNORE)),
}
