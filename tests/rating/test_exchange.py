"""Amounts in another currency: the rate in force, its inverse, and none."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rating.errors import MissingExchangeRate
from rating.exchange import CurrencyRate, Exchange
from rating.tariff import ALWAYS

NOW = datetime(2026, 9, 1, tzinfo=UTC)
MOMENT, DAY = timedelta(microseconds=1), timedelta(days=1)


def rate(value: str, since: datetime = NOW, pair: str = "EURUSD") -> CurrencyRate:
    """What one euro is in dollars, unless told otherwise."""
    return CurrencyRate(pair[:3], pair[3:], Decimal(value), since)


class TestRate:
    def test_amount_is_multiplied_by_the_rate(self) -> None:
        assert Exchange([rate("1.1")]).convert(Decimal("0.07"), "EUR", "USD", NOW) == Decimal("0.077")

    def test_amount_stays_when_the_currency_is_the_same(self) -> None:
        assert Exchange().convert(Decimal("0.07"), "EUR", "EUR", NOW) == Decimal("0.07")

    def test_no_digit_is_lost_when_amount_and_rate_are_as_long_as_the_database_keeps_them(self) -> None:
        amount, value = Decimal("99999999999999999999.9999999999"), Decimal("999999999999999.999999999999999")
        exact = Exchange([rate(str(value))]).convert(amount, "EUR", "USD", NOW)
        product = (10**30 - 1) * (10**30 - 1)
        assert exact.as_tuple() == (0, tuple(map(int, str(product))), -25)

    @pytest.mark.parametrize("turned", [False, True])
    def test_rate_changes_at_the_exact_moment(self, turned: bool) -> None:
        rates = [rate("1", NOW - DAY), rate("2", NOW), rate("3", NOW + DAY)]
        exchange = Exchange(rates[::-1] if turned else rates)
        moments = (NOW - MOMENT, NOW, NOW + DAY - MOMENT, NOW + DAY)
        assert [exchange.convert(Decimal(1), "EUR", "USD", at) for at in moments] == [1, 2, 2, 3]

    def test_rate_without_a_begin_has_always_been_in_force(self) -> None:
        assert Exchange([rate("2", ALWAYS)]).convert(Decimal(1), "EUR", "USD", ALWAYS) == 2


class TestInverse:
    def test_amount_is_divided_when_only_the_other_direction_is_given(self) -> None:
        assert Exchange([rate("1.25")]).convert(Decimal(1), "USD", "EUR", NOW) == Decimal("0.8")

    def test_quotient_is_not_rounded_to_what_an_account_has(self) -> None:
        third = Exchange([rate("3")]).convert(Decimal(1), "USD", "EUR", NOW)
        assert str(third).startswith("0." + "3" * 100)

    def test_own_direction_wins_when_both_are_given(self) -> None:
        exchange = Exchange([rate("2", NOW - DAY), rate("0.4", NOW, "USDEUR")])
        assert exchange.convert(Decimal(1), "EUR", "USD", NOW) == 2
        assert exchange.convert(Decimal(1), "USD", "EUR", NOW) == Decimal("0.4")

    def test_other_direction_is_used_when_the_own_one_is_not_in_force_yet(self) -> None:
        exchange = Exchange([rate("2", NOW + DAY), rate("0.4", NOW, "USDEUR")])
        assert exchange.convert(Decimal(1), "EUR", "USD", NOW) == Decimal("2.5")

    @given(st.decimals("0.000001", "1000000", places=6), st.decimals("0.0001", "10000", places=10))
    def test_amount_comes_back_when_it_goes_there_and_back(self, amount: Decimal, value: Decimal) -> None:
        exchange = Exchange([rate(str(value))])
        there = exchange.convert(amount, "EUR", "USD", NOW)
        assert exchange.convert(there, "USD", "EUR", NOW) == amount


class TestMissing:
    @pytest.mark.parametrize(
        "rates", [[], [rate("2", NOW + MOMENT)], [rate("2", NOW, "EURGBP"), rate("2", NOW, "GBPUSD")]],
        ids=["none", "not yet", "only through a third currency"],
    )  # fmt: skip
    def test_error_names_the_pair_and_the_moment_when_no_rate_holds(self, rates: list[CurrencyRate]) -> None:
        with pytest.raises(MissingExchangeRate, match=r"EUR and USD holds at 2026-09-01"):
            Exchange(rates).convert(Decimal(1), "EUR", "USD", NOW)
