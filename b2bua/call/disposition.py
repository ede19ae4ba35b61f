"""The one place that turns a failure into SIP status, Q.850 cause and record code (docs/behaviour.md §2, §4)."""

from typing import Final


class Disposition:
    """What a failed call is answered and recorded with."""

    __slots__ = ("cause", "code", "object", "retry_after", "status")

    def __init__(self, code: str, status: int, cause: int, object_: str = "", retry_after: int | None = None) -> None:
        self.code = code
        self.status = status
        self.cause = cause
        self.object = object_
        """What refused: `account CUST0007`."""
        self.retry_after = retry_after
        """Seconds, only where a peer may safely stay away."""


REFUSALS: Final = {
    "DEVICE_INACTIVE": (403, 21),
    "ACCOUNT_INACTIVE": (403, 21),
    "ADDRESS_NOT_ALLOWED": (403, 21),
    "CPS_LIMIT": (503, 42),
    "CODEC_NOT_ALLOWED": (488, 65),
    "NUMBER_NOT_ALLOWED": (404, 1),
    "NUMBER_BLOCKED": (404, 21),
    "CLI_NOT_ALLOWED": (403, 21),
    "CLI_BLOCKED": (603, 21),
    "NO_RATE": (503, 34),
    "RATE_BLOCKED": (503, 34),
    "TARIFF_INACTIVE": (503, 34),
    "CURRENCY_MISMATCH": (503, 34),
    "NO_DIALING_ROUTE": (404, 3),
    "NO_ROUTE": (404, 3),
    "LOSS_ROUTE": (503, 34),
    "LOOP": (482, 25),
    "SESSION_LIMIT": (503, 34),
    "NO_FUNDS": (402, 21),
    "CARRIER_LIMIT": (503, 34),
    "NOT_REGISTERED": (480, 20),
    "DO_NOT_DISTURB": (486, 17),
    "NO_MEDIA": (503, 47),
    "DID_NOT_FOUND": (404, 1),
    "DID_INACTIVE": (404, 1),
    "DID_LIMIT": (503, 34),
    "LIVE_STORE_AWAY": (503, 41),
    "DRAINING": (503, 41),
    "OVERLOAD": (503, 42),
    "BAD_REQUEST": (400, 111),
    "CANCELLED": (487, 16),
    "NO_RESPONSE": (504, 102),
    "TRANSPORT_FAILURE": (503, 38),
    "RING_TIMEOUT": (480, 19),
    "NO_PRACK": (504, 102),
    "NO_DIALOG": (481, 41),
    "HANGUP_BY_OPERATOR": (480, 31),
    "ACCOUNT_SUSPENDED": (403, 21),
    "INTERNAL_ERROR": (500, 41),
}
"""Code -> SIP status, Q.850 cause."""

_RETRY_AFTER: Final = {"OVERLOAD": 5, "LIVE_STORE_AWAY": 5}
"""Seconds; a peer may silence its whole trunk for it, so only these two ask for it."""

_CAUSES: Final = {
    400: 111, 401: 21, 402: 21, 403: 21, 404: 1, 405: 63, 406: 79, 407: 21, 408: 102, 410: 22, 413: 127, 414: 127,
    415: 79, 416: 127, 420: 127, 421: 127, 422: 127, 423: 127, 480: 18, 481: 41, 482: 25, 483: 25, 484: 28, 485: 1,
    486: 17, 487: 16, 488: 65, 491: 41, 500: 41, 501: 79, 502: 38, 503: 41, 504: 102, 505: 127, 513: 127, 600: 17,
    603: 21, 604: 1, 606: 65,
}  # fmt: skip
"""SIP status -> Q.850 cause, where the peer named none (after RFC 3398 §8.2.6.1)."""

_HIDDEN: Final = frozenset({401, 402, 403, 407, 420, 421, 422, 487})
"""A carrier's quarrel with us, which the caller cannot mend."""

STOPS: Final = frozenset({484, 486, 487, 600, 603, 604})
"""Answers after which nothing else is tried (docs/behaviour.md §4)."""
_GO_ON_480: Final = frozenset({34, 38, 41, 42, 44, 47})


def refusal(code: str, object_: str = "") -> Disposition:
    """The disposition of one of our own codes."""
    status, cause = REFUSALS.get(code, REFUSALS["INTERNAL_ERROR"])
    if code == "LOOP" and object_ == "Max-Forwards":
        status = 483
    return Disposition(code, status, cause, object_, _RETRY_AFTER.get(code))


def carrier_failure(status: int, cause: int | None, object_: str) -> Disposition:
    """The disposition of an attempt that a carrier answered with a failure, as it is recorded."""
    if status in (486, 600):
        code = "BUSY"
    elif status in (480, 408):
        code = "NO_ANSWER"
    elif status == 603:
        code = "REJECTED"
    elif status in (404, 410, 484, 604):
        code = "NUMBER_UNKNOWN"
    else:
        code = "CARRIER_FAILURE"
    return Disposition(code, status, cause if cause is not None else _CAUSES.get(status, 31), object_)


def tries_next(status: int, cause: int | None, failover_codes: frozenset[int]) -> bool:
    """Whether the next attempt is made after a carrier's answer (docs/behaviour.md §4)."""
    if status == 480:
        return cause in _GO_ON_480
    if status in STOPS or (status in (404, 410) and cause == 1):
        return False
    return status in failover_codes


def towards_caller(last: Disposition) -> Disposition:
    """The one final answer that the caller gets after the last attempt."""
    if (last.status in _HIDDEN or 300 <= last.status < 400) and last.code != "CANCELLED":
        return Disposition(last.code, 503, last.cause, last.object)
    return last
