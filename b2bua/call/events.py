"""All that can happen to a call, as the controller hears it."""

from enum import IntEnum


class Side(IntEnum):
    """One of the two legs."""

    CALLER = 0
    CALLEE = 1


class CallTimer(IntEnum):
    """What the call's one timer is waiting for."""

    SILENCE = 0
    """Any answer of the gateway."""
    PROGRESS = 1
    """A 18x."""
    RING = 2
    """An answer, once it rings."""
    DURATION = 3
    """The end of the longest permitted duration."""
    FUNDS = 4
    """The moment to hold more funds, or the end of what they allow."""


class Invited:
    """The INVITE has been decided on."""

    __slots__ = ()


class Admitted:
    """Sessions and calls per second of the caller's chain were taken, and funds are held."""

    __slots__ = ("seconds",)

    def __init__(self, seconds: int | None = None) -> None:
        self.seconds = seconds
        """How long the funds last that are held; None: nobody watches them."""


class FundsExtended:
    """More funds are held."""

    __slots__ = ("seconds", "talked")

    def __init__(self, seconds: int, talked: float) -> None:
        self.seconds = seconds
        """How long all that is held lasts, from the answer on."""
        self.talked = talked
        """Seconds since the answer."""


class FundsRefused:
    """No more funds could be held, by now."""

    __slots__ = ("talked",)

    def __init__(self, talked: float) -> None:
        self.talked = talked


class AdmissionRefused:
    """They were not."""

    __slots__ = ("code", "object")

    def __init__(self, code: str, object_: str) -> None:
        self.code = code
        self.object = object_


class CarrierAdmitted:
    """A session of the attempt's carrier and gateway was taken."""

    __slots__ = ()


class CarrierRefused:
    """It was not."""

    __slots__ = ("code", "object")

    def __init__(self, code: str, object_: str) -> None:
        self.code = code
        self.object = object_


class Progressed:
    """The callee's side answered provisionally."""

    __slots__ = ("body", "status")

    def __init__(self, status: int, body: bytes) -> None:
        self.status = status
        self.body = body


class Answered:
    """The callee's side answered with a 2xx."""

    __slots__ = ("body",)

    def __init__(self, body: bytes) -> None:
        self.body = body


class AttemptFailed:
    """The callee's side refused, or could not be reached (`status` 0: no answer at all)."""

    __slots__ = ("cause", "code", "status")

    def __init__(self, status: int, cause: int | None = None, code: str = "") -> None:
        self.status = status
        self.cause = cause
        self.code = code
        """Our own code where there was no SIP answer."""


class SentOn:
    """The attempt under way goes on at another place: its gateway has said where."""

    __slots__ = ()


class Acknowledged:
    """The caller's ACK of our 2xx came."""

    __slots__ = ("body",)

    def __init__(self, body: bytes) -> None:
        self.body = body


class HungUp:
    """One side sent BYE, or has gone (its dialog is unknown to it, or its ACK never came)."""

    __slots__ = ("cause", "reason", "side")

    def __init__(self, side: Side, cause: int | None = None, reason: str = "") -> None:
        self.side = side
        self.cause = cause
        self.reason = reason
        """Empty for a BYE; otherwise why we take the side for gone."""


class Cancelled:
    """The caller gave up before an answer."""

    __slots__ = ()


class TimerExpired:
    """The call's timer ran out."""

    __slots__ = ("talked", "timer")

    def __init__(self, timer: CallTimer, talked: float = 0.0) -> None:
        self.timer = timer
        self.talked = talked
        """Seconds since the answer."""


class Replaced:
    """Another call takes over the callee, and the caller's part is over."""

    __slots__ = ()


class HangupOrdered:
    """Somebody of ours ends the call."""

    __slots__ = ("reason",)

    def __init__(self, reason: str) -> None:
        self.reason = reason
        """A reason of docs/behaviour.md §5, or DRAINING."""


Event = (
    Invited
    | Admitted
    | AdmissionRefused
    | FundsExtended
    | FundsRefused
    | CarrierAdmitted
    | CarrierRefused
    | Progressed
    | Answered
    | AttemptFailed
    | SentOn
    | Acknowledged
    | HungUp
    | Cancelled
    | TimerExpired
    | Replaced
    | HangupOrdered
)
