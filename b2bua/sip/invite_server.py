"""INVITE server transaction: RFC 3261 §17.2.1 with the Accepted state of RFC 6026 §7.1.

Proceeding is split in two, so that no flag is needed: in Trying nothing has been answered yet, and 100 is sent when the
caller repeats itself or when TIMER_TRYING says so, whichever is first.
"""

from enum import IntEnum
from typing import Final

from b2bua.sip.machine import ENDED, FAILED, IGNORE, TIMED_OUT, Action, Input, Table


class State(IntEnum):
    """States of RFC 6026 figure 5, and Trying."""

    TRYING = 0
    PROCEEDING = 1
    COMPLETED = 2
    CONFIRMED = 3
    ACCEPTED = 4
    TERMINATED = 5


INPUTS: Final = (
    Input.RECV_REQUEST,
    Input.RECV_ACK,
    Input.SEND_1XX,
    Input.SEND_2XX,
    Input.SEND_300_699,
    Input.TIMER_TRYING,
    Input.TIMER_G,
    Input.TIMER_H,
    Input.TIMER_I,
    Input.TIMER_L,
    Input.TRANSPORT_ERROR,
)

_ACCEPTED: Final = (State.ACCEPTED, (Action.SEND, Action.FORGET_REQUEST, Action.START_L))
_COMPLETED: Final = (State.COMPLETED, (Action.SEND, Action.FORGET_REQUEST, Action.START_G, Action.START_H))

TRANSITIONS: Final[Table] = {
    State.TRYING: {
        Input.RECV_REQUEST: (State.PROCEEDING, (Action.SEND_TRYING,)),
        Input.RECV_ACK: (State.TRYING, IGNORE),
        Input.SEND_1XX: (State.PROCEEDING, (Action.SEND,)),
        Input.SEND_2XX: _ACCEPTED,
        Input.SEND_300_699: _COMPLETED,
        Input.TIMER_TRYING: (State.PROCEEDING, (Action.SEND_TRYING,)),
        Input.TIMER_G: (State.TRYING, IGNORE),
        Input.TIMER_H: (State.TRYING, IGNORE),
        Input.TIMER_I: (State.TRYING, IGNORE),
        Input.TIMER_L: (State.TRYING, IGNORE),
        Input.TRANSPORT_ERROR: (State.TERMINATED, FAILED),
    },
    State.PROCEEDING: {
        Input.RECV_REQUEST: (State.PROCEEDING, (Action.RESEND,)),
        Input.RECV_ACK: (State.PROCEEDING, IGNORE),
        Input.SEND_1XX: (State.PROCEEDING, (Action.SEND,)),
        Input.SEND_2XX: _ACCEPTED,
        Input.SEND_300_699: _COMPLETED,
        Input.TIMER_TRYING: (State.PROCEEDING, IGNORE),
        Input.TIMER_G: (State.PROCEEDING, IGNORE),
        Input.TIMER_H: (State.PROCEEDING, IGNORE),
        Input.TIMER_I: (State.PROCEEDING, IGNORE),
        Input.TIMER_L: (State.PROCEEDING, IGNORE),
        Input.TRANSPORT_ERROR: (State.TERMINATED, FAILED),
    },
    State.COMPLETED: {
        Input.RECV_REQUEST: (State.COMPLETED, (Action.RESEND,)),
        Input.RECV_ACK: (State.CONFIRMED, (Action.START_I,)),
        Input.SEND_1XX: (State.COMPLETED, IGNORE),
        Input.SEND_2XX: (State.COMPLETED, IGNORE),
        Input.SEND_300_699: (State.COMPLETED, IGNORE),
        Input.TIMER_TRYING: (State.COMPLETED, IGNORE),
        Input.TIMER_G: (State.COMPLETED, (Action.RESEND, Action.DOUBLE_G)),
        Input.TIMER_H: (State.TERMINATED, TIMED_OUT),
        Input.TIMER_I: (State.COMPLETED, IGNORE),
        Input.TIMER_L: (State.COMPLETED, IGNORE),
        Input.TRANSPORT_ERROR: (State.TERMINATED, FAILED),
    },
    State.CONFIRMED: {
        Input.RECV_REQUEST: (State.CONFIRMED, IGNORE),
        Input.RECV_ACK: (State.CONFIRMED, IGNORE),
        Input.SEND_1XX: (State.CONFIRMED, IGNORE),
        Input.SEND_2XX: (State.CONFIRMED, IGNORE),
        Input.SEND_300_699: (State.CONFIRMED, IGNORE),
        Input.TIMER_TRYING: (State.CONFIRMED, IGNORE),
        Input.TIMER_G: (State.CONFIRMED, IGNORE),
        Input.TIMER_H: (State.CONFIRMED, IGNORE),
        Input.TIMER_I: (State.TERMINATED, ENDED),
        Input.TIMER_L: (State.CONFIRMED, IGNORE),
        Input.TRANSPORT_ERROR: (State.CONFIRMED, IGNORE),
    },
    State.ACCEPTED: {
        Input.RECV_REQUEST: (State.ACCEPTED, IGNORE),  # RFC 6026 §7.1: absorbed; the user repeats its 2xx
        Input.RECV_ACK: (State.ACCEPTED, (Action.PASS_UP,)),
        Input.SEND_1XX: (State.ACCEPTED, IGNORE),
        Input.SEND_2XX: (State.ACCEPTED, (Action.SEND,)),
        Input.SEND_300_699: (State.ACCEPTED, IGNORE),
        Input.TIMER_TRYING: (State.ACCEPTED, IGNORE),
        Input.TIMER_G: (State.ACCEPTED, IGNORE),
        Input.TIMER_H: (State.ACCEPTED, IGNORE),
        Input.TIMER_I: (State.ACCEPTED, IGNORE),
        Input.TIMER_L: (State.TERMINATED, ENDED),
        Input.TRANSPORT_ERROR: (State.ACCEPTED, (Action.FAILED,)),
    },
    State.TERMINATED: dict.fromkeys(INPUTS, (State.TERMINATED, IGNORE)),
}
