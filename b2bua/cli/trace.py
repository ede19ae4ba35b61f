"""The messages of a call for `softswitch call trace`: where they are found, and how they are drawn."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from b2bua.cli.context import NotFound
from cdr.trace import TracedMessage, find_repeated, read_messages
from rating.ledger import Connection

_LANE: Final = 38
"""Characters between two lanes."""


@dataclass(frozen=True, slots=True)
class Trace:
    """A call and its messages."""

    call_id: str
    received_at: datetime
    messages: list[TracedMessage]


async def find_trace(connection: Connection, name: str, since: datetime) -> Trace:
    """The messages that were written of a call.

    Args:
        connection: The database.
        name: The call's id, or the SIP Call-ID of one of its legs.
        since: How far back a SIP Call-ID is looked for; the newest call with it is taken.

    Raises:
        NotFound: no such call, or nothing was kept of it.
    """
    call_id = await _call_id(connection, name, since)
    row = await connection.fetchrow("SELECT call_id, received_at, messages FROM call_trace WHERE call_id = $1", call_id)
    if row is not None:
        return Trace(str(row["call_id"]), row["received_at"], read_messages(row["messages"]))
    if await connection.fetchval("SELECT EXISTS (SELECT FROM cdr WHERE call_id = $1)", call_id):
        raise NotFound(
            f"no messages were kept of call {call_id}; of answered calls a share has them, which [trace] share sets"
        )
    raise NotFound(f"no call {name}")


async def _call_id(connection: Connection, name: str, since: datetime) -> UUID:
    try:
        return UUID(name)
    except ValueError:
        pass
    found: UUID | None = await connection.fetchval(
        """
        SELECT call_id FROM cdr WHERE received_at >= $2 AND (a_call_id = $1 OR b_call_id = $1)
        ORDER BY received_at DESC LIMIT 1
        """,
        name,
        since,
    )
    if found is None:
        raise NotFound(f"no call {name} since {since.astimezone():%Y-%m-%d %H:%M}; --since looks further back")
    return found


def draw(messages: Sequence[TracedMessage], *, with_texts: bool) -> Iterator[str]:
    """The lines of a picture with three lanes, caller, switch and called side; at the right time and peer.

    Args:
        messages: In their order.
        with_texts: Whether each message is followed by what it says.
    """
    yield f"{'caller':<{_LANE}} {'switch':<{_LANE}} {'called side':<18}".rstrip()
    empty = " " * _LANE
    repeated = find_repeated(messages)
    for place, message in enumerate(messages):
        if not message.leg:
            yield f"|{f'... {message.text} ...':^{2 * _LANE + 1}}|"
            continue
        title = message.title + (" +SDP" if message.is_sound else "") + (", again" if place in repeated else "")
        # The caller is at the left of the switch, the called side at its right.
        arrow = _arrow(_clean(title), to_right=message.is_sent == (message.leg == "b"))
        left, right = (arrow, empty) if message.leg == "a" else (empty, arrow)
        yield f"|{left}|{right}|{message.seconds:10.3f} s  {_clean(message.peer)}"
        if with_texts:
            yield ""
            yield from (f"    {_clean(line)}".rstrip() for line in message.text.rstrip("\n").split("\n"))
            yield ""


def _arrow(title: str, *, to_right: bool) -> str:
    text = f" {title[: _LANE - 7]} "
    line = "-" * (_LANE - len(text) - 3)
    return f"--{text}{line}>" if to_right else f"<{line}{text}--"


def _clean(text: str) -> str:
    """Whatever a peer has put there does nothing to the terminal."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
