r"""The messages of every call, kept while it is up, and written when it is over if somebody will want to see them.

The endpoint shows the messages of each turn (`Ladders.take`); its Call-ID, found in its bytes, leads one to its call.
So what the transactions send by themselves, and what was repeated, is there too. Only a reference is kept: secrets are
masked, and text is made, when a ladder is written or asked for. The first and the last messages of a call are kept;
what is too much goes from the middle. A call is written some time after its end, with the last answers and the ACK.

Pure: the clock is an argument. What proved nothing, a challenged INVITE and its 407, belongs to no call.
"""

import re
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Protocol

from b2bua.call.masking import mask, mask_body, mask_head
from b2bua.sip.flow import Flow
from cdr.trace import TEXT_LIMIT, Line, make_line, note_left_out
from conf.settings import TraceSettings

LINGER: Final = 2.0
"""How long after the end of a call its messages are still taken, in seconds."""

MESSAGE_LIMIT: Final = 8192
"""Most bytes of a message that are kept."""

WAITING_LIMIT: Final = 5000
"""Most calls that wait to be written; of a flood of failures beyond it, none has a trace."""

WRITE_LIMIT: Final = 20
"""Most calls that are written at a time, so that messages need not wait for them."""

_CALL_ID: Final = b"\r\nCall-ID: "
_OTHER_FORM: Final = re.compile(rb"\n(?:call-id|i)[ \t]*:([^\r\n]*)", re.IGNORECASE)
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_CONTROLS: Final = bytes(each for each in (*range(32), 127) if each not in b"\t\n\r")
_CUT: Final = b"\r\n(the rest is left out)"

Entry = tuple[float, bool, Flow, bytes]
"""When, whether we sent it, to or from whom, what."""


class Exporter(Protocol):
    """Sends copies of messages to a capture server."""

    def send(self, at: float, is_sent: bool, flow: Flow, payload: bytes, correlation: str) -> None:
        """Take a message; `at` is seconds since 1970."""


def call_id_of(data: bytes, head: int) -> bytes:
    """The Call-ID of a message as its bytes have it, blanks included; `head` is where its headers end."""
    start = data.find(_CALL_ID, 0, head)
    if start >= 0:
        start += len(_CALL_ID)
        return data[start : data.find(b"\r", start)]
    other = _OTHER_FORM.search(data, 0, len(data) if head < 0 else head)
    return other[1].strip() if other else b""


class Ladder:
    """The messages of one call.

    Args:
        call_id: UUID of the call.
        received_at: When it came, in seconds since 1970.
        began: The same on the clock of the messages.
        limit: Most messages that are kept, at least 2.
    """

    __slots__ = (
        "_limit",
        "_place",
        "a_keys",
        "began",
        "call_id",
        "entries",
        "is_over",
        "is_wanted",
        "keys",
        "left_out",
        "received_at",
        "size",
    )

    def __init__(self, call_id: str, received_at: float, began: float, limit: int) -> None:
        self.call_id = call_id
        self.received_at = received_at
        self.began = began
        self.entries: list[Entry] = []
        self.size = 0
        """Bytes of them."""
        self.left_out = 0
        self.keys: list[bytes] = []
        """Call-IDs of its legs as their messages have them."""
        self.a_keys: tuple[bytes, ...] = ()
        """Those of the caller's leg."""
        self.is_over = False
        self.is_wanted = False
        """Whether it is to be written."""
        self._limit = limit
        self._place = 0
        """Where messages were left out."""

    def append(self, entry: Entry) -> None:
        """Add a message."""
        if not self.entries and entry[0] < self.began:
            self.began = entry[0]
        self.entries.append(entry)
        self.size += len(entry[3])
        if len(self.entries) > self._limit or self.size > TEXT_LIMIT:
            self._thin()

    def _thin(self) -> None:
        entries = self.entries
        while len(entries) > self._limit or self.size > TEXT_LIMIT:
            if not self.left_out:
                self._place = len(entries) // 2
            elif self._place >= len(entries) - 1:
                self._place -= 1
            self.size -= len(entries.pop(self._place)[3])
            self.left_out += 1

    def lines(self) -> list[Line]:
        """The messages without secrets, as the journal has them."""
        lines: list[Line] = []
        for at, is_sent, flow, data in self.entries:
            key = call_id_of(data, data.find(b"\r\n\r\n"))
            leg = "a" if key in self.a_keys or key.strip() in self.a_keys else "b"
            lines.append([round(max(0.0, at - self.began), 6), leg, is_sent, repr(flow), _text(data)])
        place, left_out = self._place, self.left_out
        size = sum(len(line[4].encode()) for line in lines)
        while size > TEXT_LIMIT:  # what is no text grows when it is made text
            place = place if left_out and place < len(lines) - 1 else len(lines) // 2
            size -= len(lines.pop(place)[4].encode())
            left_out += 1
        if left_out:
            lines.insert(place, note_left_out(left_out, lines[max(0, place - 1)][0]))
        return lines


class SharedLadders:
    """Two calls with the same Call-ID: one of ours that has come back to us. Their messages belong to both."""

    __slots__ = ("ladders",)

    def __init__(self, *ladders: Ladder) -> None:
        self.ladders = ladders

    def append(self, entry: Entry) -> None:
        """Add a message to both."""
        for ladder in self.ladders:
            ladder.append(entry)


class Ladders:
    """The ladders of all calls of a worker.

    Args:
        settings: Section [trace].
        write: Takes the journal's line of a call; says whether there was room for it.
    """

    def __init__(self, settings: TraceSettings, write: Callable[[dict[str, Any]], bool]) -> None:
        self._limit = settings.messages and max(2, settings.messages)
        self._bodies = settings.bodies
        self._share = settings.share * 2**32
        self._write = write
        self._by_call: dict[str, Ladder] = {}
        self._by_key: dict[bytes, Ladder | SharedLadders] = {}
        self._ended: deque[tuple[float, Ladder]] = deque()
        self._exports: list[tuple[float, bool, Flow, bytes, bytes]] | None = None
        self._exporter: Exporter | None = None
        self.written = 0
        """Traces written since the start."""
        self.dropped = 0
        """Traces that there was no room for."""

    def export_to(self, exporter: Exporter) -> None:
        """Give copies of all messages to a capture server from now on."""
        self._exporter, self._exports = exporter, []

    @property
    def is_on(self) -> bool:
        """Whether anybody looks at messages; otherwise the endpoint need not show them."""
        return bool(self._limit) or self._exporter is not None

    # Every message

    def take(self, entries: list[Entry]) -> None:
        """These came or were sent in one turn: the calls that began in it are known by now."""
        ladders, exports, bodies = self._by_key, self._exports, self._bodies
        for entry in entries:
            data = entry[3]
            head = data.find(b"\r\n\r\n")
            key = call_id_of(data, head)
            if exports is not None:
                exports.append((*entry, key))
            ladder = ladders.get(key)
            if ladder is None:
                ladder = ladders.get(key.strip())  # with blanks around it, as some peers write it
                if ladder is None:
                    continue
            size = len(data)
            # Most messages are kept as they are.
            if size > MESSAGE_LIMIT or (head + 4 < size and not bodies):
                entry = (*entry[:3], self._kept(data, head))  # noqa: PLW2901
            ladder.append(entry)

    def _kept(self, data: bytes, head: int) -> bytes:
        if head >= 0 and not self._bodies:
            data = data[: head + 4]
        if len(data) > MESSAGE_LIMIT:
            # A line is kept whole or not at all: of half a one, secrets could not be told.
            data = data[: max(0, data.rfind(b"\r\n", 0, MESSAGE_LIMIT))] + _CUT
        return data

    # Calls

    def begin(self, call_id: str, sip_call_id: str, received_at: float, now: float) -> None:
        """A call begins, with the INVITE that is being handled; `now` is no earlier than it came."""
        if not self._limit and self._exporter is None:
            return
        ladder = Ladder(call_id, received_at, now, self._limit or 2)
        self._by_call[call_id] = ladder
        self._add_key(ladder, _encode(sip_call_id))
        ladder.a_keys = tuple(ladder.keys)

    def join(self, call_id: str, sip_call_id: str) -> None:
        """A call has one more leg."""
        ladder = self._by_call.get(call_id)
        if ladder is not None:
            self._add_key(ladder, _encode(sip_call_id))

    def drop(self, call_id: str) -> None:
        """A call is over, and has no record of its own."""
        ladder = self._by_call.pop(call_id, None)
        if ladder is not None:
            self._forget(ladder)

    def end(self, call_id: str, is_failed: bool, now: float) -> None:
        """A call is over: it is written a little later if it failed, or if it is one of the share that is kept."""
        ladder = self._by_call.get(call_id)
        if ladder is None or ladder.is_over:
            return
        ladder.is_over = True
        # The last digits of a call's id are random.
        ladder.is_wanted = self._limit > 0 and (is_failed or int(call_id[-8:], 16) < self._share)
        self._ended.append((now + LINGER, ladder))
        if len(self._ended) > WAITING_LIMIT:
            _, oldest = self._ended.popleft()
            self.dropped += oldest.is_wanted
            self.drop(oldest.call_id)

    def write_due(self, now: float, limit: int = WRITE_LIMIT) -> int:
        """Write calls that have been over for long enough, at most so many, the oldest first; returns how many."""
        left = limit
        while self._ended and self._ended[0][0] <= now:
            ladder = self._ended[0][1]
            if ladder.is_wanted:
                if not left:
                    break
                left -= 1
                is_written = self._write(make_line(ladder.call_id, ladder.received_at, ladder.lines()))
                self.written += is_written
                self.dropped += not is_written
            self._ended.popleft()
            self.drop(ladder.call_id)
        return limit - left

    def find(self, name: str) -> dict[str, Any] | None:
        """The messages so far of a call that is up or just over, by its id or the Call-ID of a leg; None: not here."""
        ladder = self._by_call.get(name)
        if ladder is None:
            found = self._by_key.get(_encode(name))
            ladder = found.ladders[-1] if isinstance(found, SharedLadders) else found
        if ladder is None or not self._limit:
            return None
        return make_line(ladder.call_id, ladder.received_at, ladder.lines())

    def _add_key(self, ladder: Ladder, key: bytes) -> None:
        other = self._by_key.get(key)
        if isinstance(other, SharedLadders):
            other = other.ladders[-1]
        # A peer may use a Call-ID again for its next call; one that is over gets nothing of it.
        if other is None or other is ladder or other.is_over:
            self._by_key[key] = ladder
        else:
            self._by_key[key] = SharedLadders(other, ladder)
        ladder.keys.append(key)

    def _forget(self, ladder: Ladder) -> None:
        for key in ladder.keys:
            found = self._by_key.get(key)
            if found is ladder:
                del self._by_key[key]
            elif isinstance(found, SharedLadders) and ladder in found.ladders:
                (self._by_key[key],) = (each for each in found.ladders if each is not ladder)

    # Capture

    def export(self, now: float, epoch: float) -> None:
        """Hand on the messages of this turn, without secrets; `epoch` is `now` in seconds since 1970."""
        if not self._exports or self._exporter is None:
            return
        exports, self._exports = self._exports, []
        for at, is_sent, flow, data, key in exports:
            ladder = self._by_key.get(key) or self._by_key.get(key.strip())
            if isinstance(ladder, SharedLadders):
                ladder = ladder.ladders[0]
            correlation = ladder.call_id if ladder is not None else ""
            self._exporter.send(epoch - now + at, is_sent, flow, mask(data), correlation)


def _encode(call_id: str) -> bytes:
    return call_id.encode("utf-8", "surrogateescape")


def _text(data: bytes) -> str:
    head, _, body = data.partition(b"\r\n\r\n")
    text = mask_head(head).decode("utf-8", "replace").replace("\r\n", "\n")
    if body:
        text = f"{text}\n\n{mask_body(body).decode('utf-8', 'replace').replace(chr(13), '')}"
    # Few have any, and this look is much quicker than the search for them.
    has_control = "\r" in text or len(data.translate(None, _CONTROLS)) < len(data)
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text) if has_control else text
