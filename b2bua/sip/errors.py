"""Faults of the SIP core.

    SIPError
        ParseError           bytes or text that are not what the grammar says
            UnacceptableRequest  (message.py) a request with a fault that can be answered
            StreamBroken         (stream.py) a stream in which the next message cannot be found
        InvalidState         we asked a transaction or dialog for what its state does not allow: our own bug

Receiving never raises: the transaction layer turns a `ParseError` into a 400 or drops the message.
"""


class SIPError(Exception):
    """Root of the package."""


class ParseError(SIPError):
    """Text that does not follow the grammar; `str()` names the part and the fault.

    Args:
        reason: What is wrong, fit for a 400's reason.
        status_hint: Which status to answer with.
    """

    def __init__(self, reason: str, status_hint: int = 400) -> None:
        super().__init__(reason)
        self.status_hint = status_hint


class InvalidState(SIPError):
    """Something was sent in a state that does not allow it."""
