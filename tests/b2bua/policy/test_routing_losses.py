"""The loss guard (docs/behaviour.md §4): no carrier that costs more than the account pays, on every level."""

from decimal import Decimal

import pytest

from b2bua.policy.decision import Trace
from rating.exchange import CurrencyRate, Exchange
from rating.tariff import ALWAYS
from tests.support.policy import World, make_account, make_carrier, make_entry, make_tariff
from tests.support.records import make_rate

LOSS = ("LOSS_ROUTE", "route route-1")


@pytest.fixture
def world() -> World:
    """A world in which account, reseller and carrier each have a tariff of their own: 1, 2 and 3."""
    world = World()
    world.carrier.tariff_id = 3
    world.account.loss_guard = True
    return world


def price(world: World, *, account: str = "1", reseller: str = "1", carrier: str = "1", **currencies: str) -> None:
    """Set what a minute costs on each level, and its currency (`carrier_currency="USD"`)."""
    for tariff_id, (who, per_minute) in enumerate(
        (("account", account), ("reseller", reseller), ("carrier", carrier)), 1
    ):
        currency = currencies.get(f"{who}_currency", "EUR")
        world.snapshot.tariffs[tariff_id] = make_tariff(make_rate(per_minute), tariff_id=tariff_id, currency=currency)
    world.account.currency = currencies.get("account_currency", "EUR")
    world.reseller.currency = currencies.get("reseller_currency", "EUR")


class TestCarrierAgainstAccount:
    @pytest.mark.parametrize(
        ("cost", "verdict"),
        [("0.9", ("", "")), ("1", ("", "")), ("1.0000000001", LOSS), ("0.9999999999", ("", "")), ("2", LOSS)],
    )
    def test_carrier_that_costs_more_is_not_used_and_equal_is(
        self, world: World, cost: str, verdict: tuple[str, str]
    ) -> None:
        price(world, carrier=cost)
        assert world.verdict() == verdict

    def test_difference_of_the_smallest_digit_counts(self, world: World) -> None:
        base = Decimal("0.0312345678")
        for change, verdict in ((Decimal(0), ("", "")), (Decimal("1E-10"), LOSS), (Decimal("-1E-10"), ("", ""))):
            price(world, account=str(base), reseller="0", carrier=str(base + change))
            assert world.verdict() == verdict

    def test_carrier_that_is_not_too_dear_is_used_instead(self, world: World) -> None:
        world.snapshot.tariffs[4] = make_tariff(make_rate("1.5"), tariff_id=4)
        world.lead_to(make_entry(1, make_carrier(2, tariff_id=4), priority=1), make_entry(2, world.carrier, priority=2))
        price(world)
        assert world.carriers_tried() == [1]
        world.account.loss_guard = False
        assert world.carriers_tried() == [2, 1]

    def test_dear_carrier_is_used_when_the_guard_is_off(self, world: World) -> None:
        world.account.loss_guard = False
        price(world, reseller="5", carrier="9")
        assert world.verdict() == ("", "")

    @pytest.mark.parametrize(
        ("account", "carrier", "code"),
        [
            ({"connection": "0.01"}, {}, ""),
            ({}, {"connection": "0.0000000001"}, "LOSS_ROUTE"),
            ({"minimum": 30, "resolution": 45}, {"multiplier": "1.5"}, ""),
            ({"minimum": 30, "resolution": 45}, {"multiplier": "1.5", "addition": "0.0000000001"}, "LOSS_ROUTE"),
            ({}, {"minimum": 61}, "LOSS_ROUTE"),
            ({"grace": 61}, {}, "LOSS_ROUTE"),
            ({"grace": 61}, {"grace": 61}, ""),
            ({"minimum": 61}, {"minimum": 61, "resolution": 60}, ""),
        ],
    )
    def test_whole_price_of_the_reference_call_is_compared(
        self, world: World, account: dict[str, object], carrier: dict[str, object], code: str
    ) -> None:
        world.account.parent_id = None
        world.snapshot.tariffs[1] = make_tariff(make_rate("0.6", **account))  # type: ignore[arg-type]
        world.snapshot.tariffs[3] = make_tariff(make_rate("0.6", **carrier), tariff_id=3)  # type: ignore[arg-type]
        assert world.decide().code == code

    def test_length_of_the_reference_call_decides(self, world: World) -> None:
        world.account.parent_id = None
        world.snapshot.tariffs[1] = make_tariff(make_rate("0.06"))
        world.snapshot.tariffs[3] = make_tariff(make_rate("0.05", connection="0.01"), tariff_id=3)
        for seconds, code in ((59, "LOSS_ROUTE"), (60, ""), (300, "")):
            world.snapshot.reference_seconds = seconds
            assert world.decide().code == code

    def test_rounding_and_taxes_of_the_account_do_not_count(self, world: World) -> None:
        price(world, account="0.014", reseller="0", carrier="0.0141")
        world.account.billing.decimals, world.account.billing.rounding = 2, "CEIL"
        world.account.billing.tax_percents = (Decimal(20),)
        assert world.verdict() == LOSS


class TestCurrencies:
    def test_cost_is_compared_in_the_accounts_currency(self, world: World) -> None:
        world.snapshot.exchange = Exchange([CurrencyRate("USD", "EUR", Decimal("0.8"), ALWAYS)])
        for cost, verdict in (("1.25", ("", "")), ("1.2500000001", LOSS), ("1", ("", ""))):
            price(world, carrier=cost, carrier_currency="USD")
            assert world.verdict() == verdict

    def test_price_of_the_reseller_is_compared_in_the_accounts_currency(self, world: World) -> None:
        world.snapshot.exchange = Exchange([CurrencyRate("USD", "EUR", Decimal("0.8"), ALWAYS)])
        price(world, reseller="1.25", reseller_currency="USD")
        assert world.verdict() == ("", "")
        price(world, reseller="1.26", reseller_currency="USD")
        assert world.verdict() == ("LOSS_ROUTE", "reseller RESE0010")

    def test_carrier_of_unknown_exchange_is_a_loss(self, world: World) -> None:
        price(world, carrier="0.0001", carrier_currency="USD")
        assert world.verdict() == LOSS
        world.account.loss_guard = False
        assert world.verdict() == ("", "")

    def test_equal_amounts_in_one_foreign_currency_stay_equal(self, world: World) -> None:
        # 1 / 3 has no end: what was converted twice must come out the same.
        world.snapshot.exchange = Exchange([CurrencyRate("EUR", "USD", Decimal(3), ALWAYS)])
        world.account.loss_guard, world.reseller.loss_guard = False, True
        price(world, reseller="1", carrier="1", reseller_currency="USD", carrier_currency="USD")
        assert world.verdict() == ("", "")

    def test_carrier_in_the_resellers_currency_is_compared_without_any_exchange_rate(self, world: World) -> None:
        world.account.loss_guard, world.reseller.loss_guard = False, True
        price(world, reseller="1", carrier="0.9", reseller_currency="USD", carrier_currency="USD")
        assert world.verdict() == ("", "")


class TestResellers:
    """The same holds between each reseller's price and the price below it."""

    def test_reseller_whose_price_is_above_the_price_below_is_named(self, world: World) -> None:
        for reseller, verdict in (("1", ("", "")), ("1.0000000001", ("LOSS_ROUTE", "reseller RESE0010"))):
            price(world, account="1", reseller=reseller, carrier="0.5")
            assert world.verdict() == verdict

    def test_guard_of_the_account_looks_at_every_reseller_above(self, world: World) -> None:
        world.accounts.append(make_account(11, tariff_id=4))
        world.reseller.parent_id = 11
        for top, verdict in (("0.8", ("", "")), ("0.81", ("LOSS_ROUTE", "reseller RESE0011"))):
            price(world, account="1", reseller="0.8", carrier="0.5")
            world.snapshot.tariffs[4] = make_tariff(make_rate(top), tariff_id=4)
            assert world.verdict() == verdict

    @pytest.mark.parametrize(
        ("account", "reseller", "carrier", "verdict"),
        [
            ("1", "0.5", "0.5", ("", "")),
            ("1", "0.5", "0.6", LOSS),
            ("0.1", "0.5", "0.5", ("", "")),
        ],
    )
    def test_reseller_is_guarded_when_only_it_has_the_guard(
        self, world: World, account: str, reseller: str, carrier: str, verdict: tuple[str, str]
    ) -> None:
        world.account.loss_guard, world.reseller.loss_guard = False, True
        price(world, account=account, reseller=reseller, carrier=carrier)
        assert world.verdict() == verdict

    def test_lowest_of_the_guarded_prices_counts(self, world: World) -> None:
        world.reseller.loss_guard = True
        price(world, account="1", reseller="0.5", carrier="0.7")
        assert world.verdict() == LOSS
        world.reseller.loss_guard = False
        assert world.verdict() == ("", "")

    def test_reseller_above_a_guarded_one_is_named(self, world: World) -> None:
        world.account.loss_guard, world.reseller.loss_guard = False, True
        world.accounts.append(make_account(11, tariff_id=4))
        world.reseller.parent_id = 11
        price(world, account="0.1", reseller="0.5", carrier="0.1")
        for top, verdict in (("0.5", ("", "")), ("0.6", ("LOSS_ROUTE", "reseller RESE0011"))):
            world.snapshot.tariffs[4] = make_tariff(make_rate(top), tariff_id=4)
            assert world.verdict() == verdict


class TestTrace:
    def test_trace_shows_cost_and_price_of_what_was_dropped(self, world: World) -> None:
        price(world, account="1", reseller="1", carrier="1.5")
        trace = Trace()
        world.decide(trace=trace)
        (candidate,) = trace.candidates
        assert (candidate.cost, candidate.price, candidate.dropped) == (Decimal("1.5"), Decimal(1), "loss")
        assert trace.steps[-1].outcome == "LOSS_ROUTE route route-1"
