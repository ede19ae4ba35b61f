"""What the seller of each level earns, in that level's currency."""

from dataclasses import replace
from decimal import Decimal

import orjson
import pytest

from cdr.record import CARRIER_LEVEL, Level, finish
from tests.support.records import ARRIVED, make_billing, make_level, make_rate, make_record


def level(number: int, per_minute: str, exchange: str | None = "1", *, currency: str = "EUR", tax: str = "") -> Level:
    """An account's level."""
    billing = make_billing(taxes=(tax,) if tax else ())
    made = make_level(number, make_rate(per_minute), billing, account_id=number + 1, currency=currency)
    return replace(made, exchange=None if exchange is None else Decimal(exchange))


def carrier(per_minute: str, currency: str = "EUR") -> Level:
    """The carrier's level."""
    billing = make_billing(decimals=10)
    return make_level(CARRIER_LEVEL, make_rate(per_minute), billing, account_id=None, carrier_id=9, currency=currency)


def profits(*levels: Level, seconds: float = 60.0) -> list[str | None]:
    """Profit of each level of an answered call."""
    charges = finish(make_record(answered_at=ARRIVED), list(levels), ARRIVED + seconds)
    return [charge[10] for charge in charges]


def test_level_earns_its_net_less_that_of_the_level_above() -> None:
    assert profits(level(0, "1.50"), level(1, "1.00"), level(2, "0.80"), carrier("0.45")) == [
        "0.5000000000", "0.2000000000", "0.3500000000", None,
    ]  # fmt: skip


def test_level_earns_no_tax() -> None:
    assert profits(level(0, "1.50", tax="19"), level(1, "1.00", tax="7")) == ["0.5000000000", None]


def test_level_loses_when_the_one_above_is_dearer() -> None:
    assert profits(level(0, "0.40"), carrier("0.45")) == ["-0.0500000000", None]


@pytest.mark.parametrize(
    ("exchange", "profit"),
    [
        ("1", "0.5500000000"),
        ("0.9", "0.5950000000"),
        ("1.1234567891", "0.4944444449"),
        ("0.00000000011", "0.9999999999505"),
        (None, None),
    ],
)
def test_cost_is_changed_into_the_levels_currency(exchange: str | None, profit: str | None) -> None:
    # To ten decimals, half up.
    expected = None if profit is None else str(Decimal(profit).quantize(Decimal("1e-10"), "ROUND_HALF_UP"))
    assert profits(level(0, "1", exchange), carrier("0.45", "USD")) == [expected, None]


def test_each_level_has_an_exchange_of_its_own() -> None:
    chain = (level(0, "2", "0.5", currency="GBP"), level(1, "3", None), level(2, "2", "0.8"), carrier("1", "USD"))
    assert profits(*chain) == ["0.5000000000", None, "1.2000000000", None]


def test_profit_is_unknown_when_the_carrier_has_no_price() -> None:
    assert profits(level(0, "1.50"), level(1, "1.00")) == ["0.5000000000", None]
    assert profits(level(0, "1.50")) == [None]


def test_profit_counts_what_each_level_bills_when_their_blocks_differ() -> None:
    minute = replace(level(0, "1"), rate=make_rate("1", minimum=60, resolution=60))
    assert profits(minute, carrier("0.60"), seconds=61.0) == ["1.3900000000", None]


def test_profit_is_exact_when_amounts_are_as_long_as_the_ledger_takes() -> None:
    sold = replace(level(0, "12345678901234567890.1234567891"), billing=make_billing(decimals=10))
    assert profits(sold, carrier("0.0000000001")) == ["12345678901234567890.1234567890", None]


@pytest.mark.parametrize("exchange", [None, "1", "0.9000000000"])
def test_exchange_is_the_same_when_it_has_been_through_the_journal(exchange: str | None) -> None:
    made = level(0, "1", exchange)
    again = Level.from_json(orjson.loads(orjson.dumps(made.to_json())))
    assert again == made
    assert str(again.exchange) == str(made.exchange)


def test_exchange_is_one_unless_it_is_said() -> None:
    assert make_level().exchange == 1


def test_profit_is_no_float() -> None:
    charges = finish(make_record(answered_at=ARRIVED), [level(0, "1"), carrier("0.5")], ARRIVED + 1.5)
    assert all(charge[10] is None or isinstance(charge[10], str) for charge in charges)
