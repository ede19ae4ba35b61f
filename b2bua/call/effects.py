"""All that a call can ask for. The driver carries effects out in order; those that wait are answered by events."""

from b2bua.call.disposition import Disposition
from b2bua.call.events import CallTimer, Side


class Admit:
    """Take calls per second and, unless the call is refused anyway, sessions and the first slice of funds.

    Answered by Admitted or AdmissionRefused.
    """

    __slots__ = ("take_sessions",)

    def __init__(self, take_sessions: bool) -> None:
        self.take_sessions = take_sessions


class Release:
    """Give the chain's sessions and funds back; what the call owes stays held until it is posted."""

    __slots__ = ()


class ExtendFunds:
    """Hold funds for so many seconds from the answer on, or for as many as they pay.

    Answered by FundsExtended or FundsRefused.
    """

    __slots__ = ("seconds",)

    def __init__(self, seconds: int) -> None:
        self.seconds = seconds


class ReleaseFunds:
    """Give back funds that were held after the call had ended."""

    __slots__ = ()


class AdmitCarrier:
    """Take a session of the carrier and gateway of an attempt. Answered by CarrierAdmitted or CarrierRefused."""

    __slots__ = ("attempt",)

    def __init__(self, attempt: int) -> None:
        self.attempt = attempt


class ReleaseCarrier:
    """Give them back."""

    __slots__ = ("attempt",)

    def __init__(self, attempt: int) -> None:
        self.attempt = attempt


class SendInvite:
    """Call the gateway of an attempt."""

    __slots__ = ("attempt",)

    def __init__(self, attempt: int) -> None:
        self.attempt = attempt


class SendOn:
    """Call the next place that the gateway of the attempt under way has named."""

    __slots__ = ()


class SendCancel:
    """Give up the attempt under way; an answer that comes all the same is acknowledged and ended."""

    __slots__ = ()


class SendAck:
    """Acknowledge the callee's 2xx."""

    __slots__ = ("body",)

    def __init__(self, body: bytes) -> None:
        self.body = body


class SendProvisional:
    """Pass a provisional answer to the caller."""

    __slots__ = ("body", "status")

    def __init__(self, status: int, body: bytes) -> None:
        self.status = status
        self.body = body


class SendAnswer:
    """Pass the 2xx to the caller."""

    __slots__ = ("body",)

    def __init__(self, body: bytes) -> None:
        self.body = body


class SendFailure:
    """Give the caller its final answer."""

    __slots__ = ("disposition",)

    def __init__(self, disposition: Disposition) -> None:
        self.disposition = disposition


class SendBye:
    """End the dialog of one side."""

    __slots__ = ("cause", "side", "text")

    def __init__(self, side: Side, cause: int, text: str = "") -> None:
        self.side = side
        self.cause = cause
        self.text = text


class StartTimer:
    """Arm the call's one timer, in place of what it waited for."""

    __slots__ = ("seconds", "timer")

    def __init__(self, timer: CallTimer, seconds: float) -> None:
        self.timer = timer
        self.seconds = seconds


class StopTimer:
    """Disarm it."""

    __slots__ = ()


class RecordRinging:
    """Note when it began to ring."""

    __slots__ = ()


class RecordAnswer:
    """Write to the journal that the call is up; before the caller hears of it."""

    __slots__ = ()


class RecordFailure:
    """Write the record of a refused call or failed attempt."""

    __slots__ = ("disposition", "ended_by", "is_last")

    def __init__(self, disposition: Disposition, is_last: bool, ended_by: str = "system") -> None:
        self.disposition = disposition
        self.is_last = is_last
        self.ended_by = ended_by
        """caller, callee or system."""


class RecordEnd:
    """Price the answered call and write its record."""

    __slots__ = ("cause", "ended_by", "reason")

    def __init__(self, ended_by: str, cause: int, reason: str = "") -> None:
        self.ended_by = ended_by
        self.cause = cause
        self.reason = reason


class Forget:
    """The call is over; its dialogs are no longer known."""

    __slots__ = ()


Effect = (
    Admit
    | Release
    | ExtendFunds
    | ReleaseFunds
    | AdmitCarrier
    | ReleaseCarrier
    | SendInvite
    | SendOn
    | SendCancel
    | SendAck
    | SendProvisional
    | SendAnswer
    | SendFailure
    | SendBye
    | StartTimer
    | StopTimer
    | RecordRinging
    | RecordAnswer
    | RecordFailure
    | RecordEnd
    | Forget
)
