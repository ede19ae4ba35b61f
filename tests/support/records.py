"""Rates, billing, levels, records and journal lines for tests, each with defaults that a test changes by name."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from cdr.record import AttemptRecord, Level, finish
from rating.charge import Billing
from rating.tariff import ALWAYS, FOREVER, Rate


def make_rate(
    per_minute: str = "1",
    prefix: str = "",
    *,
    rate_id: int = 1,
    connection: str = "0",
    minimum: int = 1,
    resolution: int = 1,
    mode: str = "from_zero",
    grace: int = 0,
    multiplier: str = "1",
    addition: str = "0",
    status: str = "active",
    valid_from: datetime = ALWAYS,
    valid_until: datetime = FOREVER,
) -> Rate:
    """A rate of 1 a minute, by the second, unless told otherwise."""
    return Rate(
        rate_id,
        prefix,
        Decimal(per_minute),
        Decimal(connection),
        minimum,
        resolution,
        mode,
        grace,
        Decimal(multiplier),
        Decimal(addition),
        status,
        valid_from,
        valid_until,
    )


def make_billing(
    *, decimals: int = 4, rounding: str = "ROUND", taxes: Sequence[str] = (), inclusive: bool = False
) -> Billing:
    """Four decimals, half up, no tax, unless told otherwise."""
    return Billing(decimals, rounding, tuple(Decimal(percent) for percent in taxes), inclusive)


def make_level(
    level: int = 0,
    rate: Rate | None = None,
    billing: Billing | None = None,
    *,
    account_id: int | None = 1,
    carrier_id: int | None = None,
    tariff_id: int = 1,
    currency: str = "EUR",
) -> Level:
    """What one level is charged."""
    return Level(level, account_id, carrier_id, tariff_id, rate or make_rate(), billing or make_billing(), currency)


ARRIVED = 1_790_000_000.0
"""When calls of tests come, unless told otherwise: in September 2026."""


def make_record(number: int = 1, **changed: Any) -> AttemptRecord:
    """The record of an attempt, with everything that the database insists on."""
    values: dict[str, Any] = {
        "call_id": f"00000000-0000-7000-8000-{number:012x}",
        "attempt": 1,
        "is_last": True,
        "received_at": ARRIVED,
        "worker": "sip-1",
        "a_call_id": f"call-{number}",
        "a_address": "198.51.100.7:5060",
        "a_transport": "udp",
        "sip_code": 200,
        "code": "ANSWERED",
        **changed,
    }
    return AttemptRecord(**values)


def make_answered_line(record: AttemptRecord, levels: Sequence[Level] = ()) -> dict[str, Any]:
    """The journal's line of a call that is up."""
    return {
        "kind": "answered",
        "record": record,
        "levels": [level.to_json() for level in levels],
        "dialogs": [],
        "deadline": (record.answered_at or 0.0) + 7200,
    }


def make_trace_line(number: int = 1, **changed: Any) -> dict[str, Any]:
    """The journal's line of a call's messages: an INVITE and its refusal."""
    messages = [
        [0.0, "a", False, "udp:198.51.100.7:5060", "INVITE sip:1@h SIP/2.0\nCSeq: 1 INVITE"],
        [0.25, "a", True, "udp:198.51.100.7:5060", "SIP/2.0 404 Not Found\nCSeq: 1 INVITE"],
    ]
    call_id = f"00000000-0000-7000-8000-{number:012x}"
    return {"kind": "trace", "call_id": call_id, "received_at": ARRIVED, "messages": messages, **changed}


def make_cdr_line(record: AttemptRecord, levels: Sequence[Level] = (), seconds: float = 60.0) -> dict[str, Any]:
    """The journal's line of an attempt that ended `seconds` after its answer or, where there was none, its arrival."""
    charges = finish(record, list(levels), (record.answered_at or record.received_at) + seconds)
    return {"kind": "cdr", "record": record, "charges": charges}
