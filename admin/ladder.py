"""The messages of a call as a picture: lanes, and arrows between them, in units of an SVG drawing."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cdr.trace import TracedMessage, find_repeated

WIDTH: Final = 760
LANES: Final = {"caller": 20, "switch": 330, "called": 640}
"""Where the three lanes stand."""

TIMES: Final = WIDTH
"""Where times end."""

_TOP: Final = 44
_STEP: Final = 30
_HEAD: Final = 7
_LONGEST: Final = 38
"""Characters that fit between two lanes."""


@dataclass(frozen=True, slots=True)
class Arrow:
    """One message of the picture, and its text below it."""

    number: int
    """From 1, for its address on the page."""
    message: TracedMessage
    title: str
    kind: str
    """`request`, `provisional`, `success`, `failure`, or `note`."""
    is_repeated: bool
    y: int
    start: int
    """Where it begins, sideways."""
    end: int
    head: str
    """Points of its head."""

    @property
    def middle(self) -> int:
        """Where its title stands, sideways."""
        return (self.start + self.end) // 2

    @property
    def short_title(self) -> str:
        """As much of the title as there is room for."""
        return self.title if len(self.title) <= _LONGEST else f"{self.title[: _LONGEST - 1]}\N{HORIZONTAL ELLIPSIS}"


@dataclass(frozen=True, slots=True)
class Ladder:
    """The whole picture."""

    arrows: list[Arrow]
    has_called: bool
    """Whether the called side's messages are there."""
    height: int


def make_ladder(messages: Sequence[TracedMessage]) -> Ladder | None:
    """The picture of a call's messages; None: there are none."""
    if not messages:
        return None
    repeated = find_repeated(messages)
    arrows = [_arrow(place, message, place in repeated) for place, message in enumerate(messages)]
    return Ladder(arrows, any(message.leg == "b" for message in messages), _TOP + _STEP * len(arrows))


def _arrow(place: int, message: TracedMessage, is_repeated: bool) -> Arrow:
    y = _TOP + _STEP * place + 8
    near, far = LANES["switch"], LANES["caller" if message.leg == "a" else "called"]
    if not message.leg:
        near, far = LANES["caller"], LANES["called"]
    start, end = (near, far) if message.is_sent else (far, near)
    back = end - _HEAD if end > start else end + _HEAD
    head = f"{end},{y} {back},{y - 4} {back},{y + 4}"
    title = message.title + (" +SDP" if message.is_sound else "") + (", again" if is_repeated else "")
    return Arrow(place + 1, message, title, _kind(message), is_repeated, y, start, end, head)


def _kind(message: TracedMessage) -> str:
    if not message.leg:
        return "note"
    status = message.status
    if status is None:
        return "request"
    return "provisional" if status < 200 else "success" if status < 300 else "failure"
