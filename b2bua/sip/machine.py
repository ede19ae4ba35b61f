"""What the four transaction machines share: inputs, actions and the shape of their tables (RFC 3261 §17, RFC 6026).

A machine is a table `TRANSITIONS[state][input] -> (next state, actions)`. Every pair of a state and one of its
`INPUTS` is written down; what is legal but changes nothing has no action (`IGNORE`). A missing pair is a bug of ours,
found by a test that walks the full product.
"""

from collections.abc import Mapping
from enum import IntEnum
from typing import Final


class Input(IntEnum):
    """What can happen to a transaction."""

    SEND_REQUEST = 0
    RECV_1XX = 1
    RECV_2XX = 2
    RECV_300_699 = 3
    RECV_REQUEST = 4
    """A retransmission of the request that made a server transaction."""
    RECV_ACK = 5
    SEND_1XX = 6
    SEND_2XX = 7
    SEND_300_699 = 8
    TRANSPORT_ERROR = 9
    TIMER_TRYING = 10
    """An INVITE has had no answer for so long that 100 Trying is due."""
    TIMER_A = 11
    TIMER_B = 12
    TIMER_D = 13
    TIMER_E = 14
    TIMER_F = 15
    TIMER_G = 16
    TIMER_H = 17
    TIMER_I = 18
    TIMER_J = 19
    TIMER_K = 20
    TIMER_L = 21
    TIMER_M = 22
    SEND_CANCEL = 23
    """An INVITE of ours is taken back."""
    TIMER_CANCEL = 24
    """It has had no final answer for so long since then that none will come (RFC 3261 §9.1)."""


class Action(IntEnum):
    """What a transition does; the transaction layer has one method for each."""

    PASS_UP = 0
    """Give the message to the user."""
    SEND = 1
    """Send the message that the user handed in, and keep it for retransmission."""
    RESEND = 2
    """Send again what was sent last."""
    SEND_TRYING = 3
    SEND_ACK = 4
    """Acknowledge a final response that is no 2xx (§17.1.1.3)."""
    FORGET_REQUEST = 5
    """Let go of the request, which nobody needs after the final response."""
    TIMED_OUT = 6
    FAILED = 7
    END = 8
    """Remove the transaction."""
    START_TRYING = 9
    START_A = 10
    """Retransmission of an INVITE after T1, on an unreliable transport."""
    DOUBLE_A = 11
    START_B = 12
    START_D = 13
    START_E = 14
    DOUBLE_E = 15
    """Twice the interval, at most T2."""
    T2_E = 16
    """T2, once a provisional response has come."""
    START_F = 17
    START_G = 18
    DOUBLE_G = 19
    START_H = 20
    START_I = 21
    START_J = 22
    START_K = 23
    START_L = 24
    START_M = 25
    START_CANCEL = 26
    FORGET_ALL = 27
    """Let go of the request and of its bytes, which are not repeated any more."""


Actions = tuple[Action, ...]
Table = Mapping[int, Mapping[int, tuple[int, Actions]]]

IGNORE: Final[Actions] = ()
"""The actions of a pair that is legal but idle."""
ENDED: Final[Actions] = (Action.END,)
FAILED: Final[Actions] = (Action.FAILED, Action.END)
TIMED_OUT: Final[Actions] = (Action.TIMED_OUT, Action.END)
