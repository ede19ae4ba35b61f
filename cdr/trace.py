"""The SIP messages of a call as they are kept: how they travel in the journal, and how they are read again.

A message is a list: seconds since the first, leg (`a`: the caller's, `b`: the called side's, empty: a note of ours),
whether we sent it, the peer (`udp:192.0.2.1:5060`), and its text, without secrets, with LF at the ends of lines.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import orjson

from cdr.record import moment

TEXT_LIMIT: Final = 64 * 1024
"""Most bytes of text in the trace of a call."""

Line = Sequence[Any]
"""A message as the journal and the database have it."""


@dataclass(frozen=True, slots=True)
class TracedMessage:
    """A message of a call, or a note that some were left out."""

    seconds: float
    """Since the first message."""
    leg: str
    """`a`, `b`, or empty for a note."""
    is_sent: bool
    peer: str
    """Transport and address of the other side."""
    text: str

    @property
    def start_line(self) -> str:
        """The first line."""
        return self.text.partition("\n")[0]

    @property
    def status(self) -> int | None:
        """Status code of a response; None for a request."""
        line = self.start_line
        return int(line[8:11]) if line.startswith("SIP/2.0 ") and line[8:11].isdecimal() else None

    @property
    def is_sound(self) -> bool:
        """Whether it brings a session description."""
        return "application/sdp" in self.header("content-type", "c").lower()

    @property
    def title(self) -> str:
        """What it is: `INVITE`, `180 Ringing`, `200 OK (BYE)`; a note's text."""
        if not self.leg:
            return self.text
        line = self.start_line
        if self.status is None:
            return line.partition(" ")[0]
        method = self.header("cseq").rpartition(" ")[2]
        return line[8:] + (f" ({method})" if method not in ("", "INVITE") else "")

    def header(self, *names: str) -> str:
        """The first value of a header, whose names are given in lower case; empty: there is none."""
        for line in self.text.split("\n")[1:]:
            if not line:
                break
            name, _, value = line.partition(":")
            if name.rstrip().lower() in names:
                return value.strip()
        return ""


def read_messages(lines: str | bytes | Iterable[Line]) -> list[TracedMessage]:
    """The messages of a trace, in their order; the lines may still be JSON."""
    values = orjson.loads(lines) if isinstance(lines, str | bytes) else lines
    return [TracedMessage(float(line[0]), line[1], bool(line[2]), line[3], line[4]) for line in values]


def make_line(call_id: str, received_at: float, messages: list[Line]) -> dict[str, Any]:
    """The journal's line of a call's messages."""
    return {"kind": "trace", "call_id": call_id, "received_at": received_at, "messages": messages}


def to_row(line: dict[str, Any]) -> tuple[UUID, datetime | None, str]:
    """The row of table `call_trace` for a line of the journal."""
    return UUID(line["call_id"]), moment(line["received_at"]), orjson.dumps(line["messages"]).decode()


def note_left_out(count: int, seconds: float) -> Line:
    """A note, in the place of messages that were left out."""
    return [seconds, "", False, "", f"{count} {'message' if count == 1 else 'messages'} left out"]


def find_repeated(messages: Iterable[TracedMessage]) -> set[int]:
    """Places of messages that are the same as one before, byte for byte."""
    seen: set[tuple[bool, str, str]] = set()
    repeated = set()
    for place, message in enumerate(messages):
        key = (message.is_sent, message.peer, message.text)
        if message.leg and key in seen:
            repeated.add(place)
        seen.add(key)
    return repeated
