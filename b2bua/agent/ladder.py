"""A call's messages as text: three lanes, caller, switch and carrier."""

from collections.abc import Sequence

from b2bua.agent.user_agent import TracedMessage

_WIDTH = 30
"""Characters between two lanes."""


def draw_ladder(caller: Sequence[TracedMessage], carrier: Sequence[TracedMessage]) -> str:
    """Draw the messages of both ends in the order of their times, seconds at the right."""
    lines = [("caller".ljust(_WIDTH + 1) + "switch".ljust(_WIDTH + 1) + "carrier").rstrip()]
    rows = [(message, 0) for message in caller] + [(message, 1) for message in carrier]
    rows.sort(key=lambda row: row[0].at)
    began = rows[0][0].at if rows else 0.0
    empty = " " * _WIDTH
    for message, lane in rows:
        # The caller's end is left of the switch, the carrier's right of it.
        to_right = message.is_sent == (lane == 0)
        arrow = _arrow(message.title, to_right)
        left, right = (arrow, empty) if lane == 0 else (empty, arrow)
        lines.append(f"|{left}|{right}|{message.at - began:9.3f} s")
    return "\n".join(lines)


def _arrow(title: str, to_right: bool) -> str:
    text = f" {title[: _WIDTH - 8]} "
    if to_right:
        return f"{text}{'-' * (_WIDTH - len(text) - 2)}> "
    return f" <{'-' * (_WIDTH - len(text) - 2)}{text}"
