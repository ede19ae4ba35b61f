"""The record of one attempt while it runs, and the row and charges that it ends as (docs/behaviour.md §9).

A record travels through the journal as one JSON object, first (when it is answered) with all that a successor needs to
end it, later as the finished row. Times are seconds since 1970, UTC; money is text, so that no float ever touches it.
"""

import math
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any, Final

from rating.charge import Billing, charge
from rating.tariff import ONE, Rate

CARRIER_LEVEL: Final = -1
"""`level` of what the carrier costs; accounts count from 0, the caller's own, upwards."""

_EXACT: Final = Context(prec=120)
_PROFIT_QUANTUM: Final = Decimal(1).scaleb(-10)


@dataclass(slots=True)
class Level:
    """One level that an answered attempt is charged on: the account, each reseller, and the carrier."""

    level: int
    account_id: int | None
    carrier_id: int | None
    tariff_id: int
    rate: Rate
    billing: Billing
    currency: str
    exchange: Decimal | None = ONE
    """What one unit of the next level's currency (at the top, the carrier's) is worth in this one's; None: unknown."""

    def to_json(self) -> dict[str, Any]:
        """The level as plain values."""
        rate, billing = self.rate, self.billing
        return {
            "level": self.level,
            "account_id": self.account_id,
            "carrier_id": self.carrier_id,
            "tariff_id": self.tariff_id,
            "currency": self.currency,
            "exchange": None if self.exchange is None else str(self.exchange),
            "rate": [
                rate.id,
                rate.prefix,
                str(rate.rate_per_minute),
                str(rate.connection_charge),
                rate.minimum,
                rate.resolution,
                rate.blocks_mode,
                rate.grace,
                str(rate.multiplier),
                str(rate.addition),
            ],
            "billing": [
                billing.decimals,
                billing.rounding,
                [str(p) for p in billing.tax_percents],
                billing.tax_inclusive,
            ],
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Level":
        """The level that `to_json` wrote."""
        rate_id, prefix, per_minute, connection, minimum, resolution, blocks, grace, multiplier, addition = data["rate"]
        decimals, rounding, percents, inclusive = data["billing"]
        rate = Rate(
            rate_id,
            prefix,
            Decimal(per_minute),
            Decimal(connection),
            minimum,
            resolution,
            blocks,
            grace,
            Decimal(multiplier),
            Decimal(addition),
        )
        billing = Billing(decimals, rounding, tuple(Decimal(percent) for percent in percents), inclusive)
        exchange = None if data["exchange"] is None else Decimal(data["exchange"])
        level, account, carrier, tariff = data["level"], data["account_id"], data["carrier_id"], data["tariff_id"]
        return cls(level, account, carrier, tariff, rate, billing, data["currency"], exchange)


@dataclass(slots=True)
class AttemptRecord:
    """Columns of table `cdr`, in its order. Empty text and None mean unknown or not applicable."""

    call_id: str
    attempt: int
    is_last: bool
    received_at: float
    ringing_at: float | None = None
    answered_at: float | None = None
    ended_at: float = 0.0
    post_dial_delay: float | None = None
    duration: float = 0.0
    account_id: int | None = None
    account_chain: list[int] = field(default_factory=list)
    device: str = ""
    carrier_id: int | None = None
    gateway_id: int | None = None
    route_id: int | None = None
    worker: str = ""
    a_call_id: str = ""
    b_call_id: str = ""
    source_received: str = ""
    source_sent: str = ""
    destination_received: str = ""
    destination_sent: str = ""
    a_address: str = ""
    a_transport: str = ""
    a_user_agent: str = ""
    b_address: str = ""
    b_transport: str = ""
    b_user_agent: str = ""
    sip_code: int = 0
    q850_cause: int | None = None
    code: str = ""
    object: str = ""
    ended_by: str = "system"
    reason: str = ""
    codecs_offered: list[str] = field(default_factory=list)
    codec_used: str = ""
    media_mode: str = ""
    gross: str | None = None
    currency: str | None = None
    kind: str = "outgoing"
    did_id: int | None = None
    source_used: str = ""
    destination_used: str = ""
    calls: int = 1
    """How many refusals alike the record stands for."""


COLUMNS: Final = tuple(column.name for column in fields(AttemptRecord))
"""Names of the columns, in the order of the fields."""

TIME_COLUMNS: Final = ("received_at", "ringing_at", "answered_at", "ended_at")
NUMERIC_COLUMNS: Final = ("post_dial_delay", "duration", "gross")


def finish(record: AttemptRecord, levels: list[Level], ended_at: float) -> list[list[Any]]:
    """End a record and price it.

    Args:
        record: Its duration, gross and currency are set here.
        levels: What to charge; only an answered attempt is charged.
        ended_at: Seconds since 1970.

    Returns:
        The charges, one list per level: level, account id, carrier id, tariff id, rate id, billed seconds, net, tax,
        gross, currency, profit.
    """
    record.ended_at = ended_at
    if record.answered_at is None:
        return []
    # Milliseconds first: the sum of two clock readings must not turn 60.000 s into 61.
    milliseconds = max(0, round(ended_at * 1000) - round(record.answered_at * 1000))
    record.duration = milliseconds / 1000
    seconds = math.ceil(milliseconds / 1000)
    charges: list[list[Any]] = []
    prices = [charge(seconds, level.rate, level.billing) for level in levels]
    for number, (level, price) in enumerate(zip(levels, prices, strict=True)):
        profit = None
        if level.level != CARRIER_LEVEL and number + 1 < len(prices) and levels[number + 1].level > level.level + 1:
            profit = str(price.net)  # the level above pays nothing for this call
        elif level.level != CARRIER_LEVEL and level.exchange is not None and number + 1 < len(prices):
            cost = _EXACT.multiply(prices[number + 1].net, level.exchange)
            profit = str(_EXACT.subtract(price.net, cost).quantize(_PROFIT_QUANTUM, ROUND_HALF_UP, _EXACT))
        if level.level == 0:
            record.gross, record.currency = str(price.gross), level.currency
        charges.append(
            [
                level.level,
                level.account_id,
                level.carrier_id,
                level.tariff_id,
                level.rate.id,
                price.billed_seconds,
                str(price.net),
                str(price.tax),
                str(price.gross),
                level.currency,
                profit,
            ]
        )
    return charges


def moment(seconds: float | None) -> datetime | None:
    """Seconds since 1970 as aware UTC, to the millisecond."""
    return None if seconds is None else datetime.fromtimestamp(round(seconds, 3), UTC)


def to_row(record: dict[str, Any]) -> list[Any]:
    """The values of table `cdr` for a record read from the journal."""
    row: list[Any] = []
    for name in COLUMNS:
        value = record[name]
        if value is not None:
            if name in TIME_COLUMNS:
                value = moment(value)
            elif name in NUMERIC_COLUMNS:
                value = Decimal(str(value))
            elif isinstance(value, str):
                value = value.replace("\0", "")  # PostgreSQL keeps no NUL in text
            elif name == "codecs_offered":
                value = [codec.replace("\0", "") for codec in value]
        row.append(value)
    return row
