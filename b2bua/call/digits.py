"""Digits that come one way and go on another: INFO and telephone-events (RFC 6086, RFC 4733; docs/behaviour.md §5).

INFO has no standard for digits; what telephones and carriers send is `application/dtmf-relay` (Signal= and Duration=)
or `application/dtmf` (the digit alone).
"""

import re
from functools import partial
from typing import TYPE_CHECKING, Final

from b2bua.call.anchor import Anchor
from b2bua.call.controller import State
from b2bua.call.leg import Leg
from b2bua.sip.message import Request
from b2bua.sip.transactions import ServerTransaction
from media.errors import MediaError

if TYPE_CHECKING:
    from b2bua.call.active import ActiveCall

DURATION_MS: Final = 160
"""Where nobody says how long a digit is."""

_DIGIT: Final = re.compile(rb"\s*([0-9*#A-Da-d]|1[0-5])\s*")
_SIGNAL: Final = re.compile(rb"^Signal[ \t]*=[ \t]*([^\r\n]*)", re.IGNORECASE | re.MULTILINE)
_DURATION: Final = re.compile(rb"^Duration[ \t]*=[ \t]*([0-9]{1,5})[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
_BY_NUMBER: Final = {b"10": "*", b"11": "#", b"12": "A", b"13": "B", b"14": "C", b"15": "D"}


def read_digit(request: Request) -> tuple[str, int] | None:
    """The digit of an INFO and how many milliseconds it lasts; None: it has none."""
    kind = request.headers.first("content-type").partition(";")[0].strip().lower()
    if kind == "application/dtmf":
        signal: bytes | None = request.body
    elif kind == "application/dtmf-relay":
        found = _SIGNAL.search(request.body)
        signal = found[1] if found else None
    else:
        return None
    match = _DIGIT.fullmatch(signal) if signal is not None else None
    if match is None:
        return None
    duration = _DURATION.search(request.body) if kind == "application/dtmf-relay" else None
    digit = _BY_NUMBER.get(match[1]) or match[1].decode().upper()
    return digit, int(duration[1]) if duration else DURATION_MS


def press(anchor: Anchor | None, near: Leg, far: Leg, transaction: ServerTransaction, request: Request) -> bool:
    """Let an engine press the digit of an INFO, where the other side takes telephone-events.

    Returns:
        False: the INFO is to be carried on as it is.
    """
    if anchor is None or far.media.dtmf != "telephone-event" or (digit := read_digit(request)) is None:
        return False
    anchor.press(near, *digit, partial(_pressed, near, transaction, request))
    return True


def _pressed(near: Leg, transaction: ServerTransaction, request: Request, error: MediaError | None) -> None:
    if not transaction.is_answered:
        near.answer_request(transaction, request, 503 if error is not None else 200)


def tell(call: "ActiveCall", name: str, tag: str, digit: str, duration_ms: int) -> None:
    """Tell the other side by INFO of a digit that an engine has taken out of the sound.

    Args:
        call: The call.
        name: That the engine knows it by.
        tag: Of the side that has pressed it.
        digit: The digit.
        duration_ms: How long it was pressed.
    """
    anchor = call.anchor
    if anchor is None or anchor.name != name or call.call.state != State.ANSWERED:
        return
    for leg in call.parties.legs:
        if anchor.tag_of(leg) == tag and (far := call.parties.opposite(leg)) is not None:
            far.send_digit(digit, duration_ms)
