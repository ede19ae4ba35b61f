"""What media engines have measured of a call, in the journal and in table `cdr`: it comes after the record.

A line of its own changes the row of the record that it belongs to, in the transaction that moves the writer's position;
done again, it changes nothing. What nobody measured is None, never 0.
"""

from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from cdr.record import moment

Figures = tuple[int, int | None, float | None, float | None, float | None]
"""Packets, lost ones, jitter in milliseconds, MOS, round trip in milliseconds: of the sound that came from a side."""

COLUMNS: Final = (
    *("a_packets", "a_lost", "a_jitter_ms", "a_mos", "a_round_trip_ms"),
    *("b_packets", "b_lost", "b_jitter_ms", "b_mos", "b_round_trip_ms"),
    "audio",
)
"""Of table `cdr`: a_ of what the caller's side sent, b_ of what the callee's did; whether one was not heard."""

UPDATE: Final = """
    UPDATE cdr SET a_packets = $4, a_lost = $5, a_jitter_ms = $6, a_mos = $7, a_round_trip_ms = $8,
        b_packets = $9, b_lost = $10, b_jitter_ms = $11, b_mos = $12, b_round_trip_ms = $13, audio = $14
    WHERE call_id = $1 AND attempt = $2 AND received_at = $3
"""


def make_line(
    call_id: str, attempt: int, received_at: float, caller: Figures | None, callee: Figures | None, audio: str = ""
) -> dict[str, Any]:
    """The journal's line of the figures of both sides; None: it has no sound; `audio`: one was not heard."""
    line = {"kind": "media", "call_id": call_id, "attempt": attempt, "received_at": received_at}
    return {**line, "caller": caller, "callee": callee, **({"audio": audio} if audio else {})}


def to_arguments(line: dict[str, Any]) -> tuple[Any, ...]:
    """The arguments of `UPDATE` for a line of the journal."""
    head: tuple[UUID, int, datetime | None] = UUID(line["call_id"]), line["attempt"], moment(line["received_at"])
    return (*head, *_of_side(line["caller"]), *_of_side(line["callee"]), line.get("audio"))


def _of_side(figures: list[Any] | Figures | None) -> tuple[Any, ...]:
    # A worker of an earlier version has told no round trip.
    packets, lost, *others = [*(figures or ()), *[None] * 5][:5]
    return packets, lost, *(_decimal(value) for value in others)


def _decimal(value: float | None) -> Decimal | None:
    return None if value is None else Decimal(f"{value:.2f}")
