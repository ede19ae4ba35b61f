"""What a call through a whole driver holds, extends and owes (docs/behaviour.md §7)."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from cdr.record import CARRIER_LEVEL
from rating.exchange import CurrencyRate, Exchange
from rating.funds import funds_key, micros_up
from rating.tariff import ALWAYS, Rate
from tests.b2bua.call.rig import CALLER, CUSTOMER, NUMBER, RESELLER, SWITCH, Rig, make_snapshot
from tests.support.legs import on_loop

MakeRig = Callable[..., Rig]

SECOND = 1000
"""Micros that a second costs the customer, at 0.06 a minute."""

WHOLESALE = 500
"""Micros that a second costs the reseller once `with_margin` was called."""


def with_margin(rig: Rig) -> Rig:
    """The reseller pays half of what its customer pays."""
    rig.snapshot.accounts[RESELLER].tariff = rig.snapshot.tariffs[2]
    return rig


def rate_of(rig: Rig, tariff: int = 1) -> Rate:
    """The one rate of a tariff, to be changed before the call."""
    ((_, ratecard),) = rig.snapshot.tariffs[tariff].ratecards
    ((rate,),) = ratecard.rates.values()
    return rate


def talk(rig: Rig) -> None:
    """The caller dials, and the carrier answers at once."""
    rig.carrier()
    rig.dial()
    assert rig.caller.is_answered.is_set()


def lines(rig: Rig, kind: str) -> list[dict[str, Any]]:
    return [line for line in rig.lines() if line["kind"] == kind]


def ending(rig: Rig) -> tuple[str, float, str]:
    """Reason, duration and price of the one record."""
    (record,) = rig.records()
    return record["reason"], record["duration"], record["gross"]


class TestFirstSlice:
    @on_loop
    async def test_cost_of_a_slice_is_held_on_every_level_when_the_call_begins(self, make_rig: MakeRig) -> None:
        rig = with_margin(make_rig())
        talk(rig)
        assert rig.held() == [60 * SECOND, 60 * WHOLESALE]
        assert rig.owed() == [0, 0]
        (line,) = lines(rig, "answered")
        assert line["deadline"] == line["record"]["answered_at"] + 60

    @on_loop
    async def test_hold_is_the_gross_charge_rounded_up_when_there_is_tax(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        billing = rig.snapshot.accounts[CUSTOMER].billing
        billing.decimals, billing.tax_percents = 10, (Decimal("19"),)
        rate_of(rig).rate_per_minute = Decimal("0.0100000001")
        talk(rig)
        assert rig.held() == [micros_up(Decimal("0.0119000001"))] * 2 == [11_901] * 2

    @on_loop
    async def test_no_more_than_the_longest_duration_is_held(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.snapshot.accounts[CUSTOMER].max_duration = 10
        talk(rig)
        assert rig.held() == [10 * SECOND] * 2
        rig.wire.advance(10.1)
        assert ending(rig) == ("MAX_DURATION", 10.0, "0.0100")

    @on_loop
    @pytest.mark.parametrize(("payer", "balance"), [(CUSTOMER, "0.0305"), (RESELLER, "0.030")])
    async def test_slice_is_as_long_as_every_level_can_pay_when_one_is_short(
        self, make_rig: MakeRig, payer: int, balance: str
    ) -> None:
        rig = make_rig()
        rig.pay(payer, balance)
        talk(rig)
        assert rig.held() == [30 * SECOND] * 2
        (line,) = lines(rig, "answered")
        assert line["deadline"] == line["record"]["answered_at"] + 30

    @on_loop
    async def test_slice_is_that_of_the_poorest_when_all_are_short(self, make_rig: MakeRig) -> None:
        rig = with_margin(make_rig())
        rig.pay(CUSTOMER, "0.040")
        rig.pay(RESELLER, "0.012")
        talk(rig)
        assert rig.held() == [24 * SECOND, 24 * WHOLESALE]

    @on_loop
    async def test_slice_is_the_minimum_when_just_that_can_be_paid(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rate_of(rig).minimum = 30
        rig.pay(CUSTOMER, "0.030")
        talk(rig)
        assert rig.held() == [30 * SECOND] * 2
        rig.wire.advance(30.1)
        assert ending(rig) == ("FUNDS_EXHAUSTED", 30.0, "0.0300")

    @on_loop
    async def test_slice_is_of_whole_blocks_when_the_rate_has_blocks(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rate_of(rig).resolution = 6
        rig.pay(CUSTOMER, "0.029")
        talk(rig)
        assert rig.held() == [24 * SECOND] * 2
        rig.wire.advance(24.1)
        assert ending(rig) == ("FUNDS_EXHAUSTED", 24.0, "0.0240")

    @on_loop
    async def test_slice_is_shorter_again_when_others_were_faster(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.carrier()
        rig.pay(CUSTOMER, "0.040")
        rig.store.is_slow = True
        rig.dial()
        rig.store.is_slow = False
        rig.store.answer()  # 40 s can be paid
        rig.pay(CUSTOMER, "0.025")
        rig.wire.settle()
        assert rig.held() == [25 * SECOND] * 2

    @on_loop
    async def test_call_counts_once_when_its_slice_is_made_shorter(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        device = rig.snapshot.devices.find(CALLER, NUMBER)
        assert device is not None
        device.cps = 1
        rig.snapshot.link_device(device)
        rig.pay(CUSTOMER, "0.010")
        talk(rig)
        assert rig.store.calls[device.limits.levels[0].cps_key] == 1

    @on_loop
    async def test_calls_share_what_there_is_when_two_come_at_once(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.pay(CUSTOMER, "0.100")
        talk(rig)
        rig.dial()
        assert rig.held() == [100 * SECOND] * 2
        rig.dial()
        assert [record["code"] for record in rig.records()] == ["NO_FUNDS"]


class TestNoFunds:
    @on_loop
    @pytest.mark.parametrize(
        ("payer", "balance", "name"),
        [
            (CUSTOMER, "0", "account CUST0001"),
            (CUSTOMER, "-5", "account CUST0001"),
            (CUSTOMER, "0.0009", "account CUST0001"),
            (RESELLER, "0", "reseller RESE0001"),
        ],
    )
    async def test_caller_is_refused_and_the_account_is_named_when_not_a_second_can_be_paid(
        self, make_rig: MakeRig, payer: int, balance: str, name: str
    ) -> None:
        rig = make_rig()
        rig.carrier()
        rig.pay(payer, balance)
        rig.dial()
        (answer,) = rig.wire.responses(402, SWITCH)
        assert answer.headers["reason"] == ['Q.850;cause=21;text="NO_FUNDS"']
        (record,) = rig.records()
        assert (record["code"], record["object"], record["attempt"]) == ("NO_FUNDS", name, 0)
        assert rig.wire.requests("INVITE", SWITCH) == []
        rig.assert_nothing_is_left()

    @on_loop
    @pytest.mark.parametrize("change", [{"minimum": 30}, {"resolution": 30}, {"connection_charge": Decimal("0.03")}])
    async def test_caller_is_refused_when_not_even_the_minimum_can_be_paid(
        self, make_rig: MakeRig, change: dict[str, Any]
    ) -> None:
        rig = make_rig()
        for name, value in change.items():
            setattr(rate_of(rig), name, value)
        rig.pay(CUSTOMER, "0.0299")
        rig.dial()
        assert [record["code"] for record in rig.records()] == ["NO_FUNDS"]
        rig.assert_nothing_is_left()

    @on_loop
    async def test_caller_is_refused_when_only_seconds_that_cost_nothing_can_be_paid(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rate_of(rig).grace = 5
        rig.pay(CUSTOMER, "0")
        rig.carrier()
        rig.dial()
        assert [record["code"] for record in rig.records()] == ["NO_FUNDS"]
        rig.assert_nothing_is_left()

    @on_loop
    async def test_caller_is_asked_to_come_back_when_the_store_has_lost_its_data(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.carrier()
        rig.store.funds.clear()
        rig.dial()
        (answer,) = rig.wire.responses(503, SWITCH)
        assert "retry-after" in answer.headers
        assert [record["code"] for record in rig.records()] == ["LIVE_STORE_AWAY"]
        rig.assert_nothing_is_left()

    @on_loop
    async def test_call_passes_when_it_costs_the_empty_account_nothing(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rate_of(rig).rate_per_minute = Decimal(0)
        rig.pay(CUSTOMER, "-1")
        rig.pay(RESELLER, "-1")
        talk(rig)
        rig.wire.advance(600.0)
        rig.hang_up(rig.caller)
        assert ending(rig) == ("", 600.0, "0.0000")
        rig.assert_nothing_is_left()

    @on_loop
    async def test_session_limit_is_named_when_funds_are_short_too(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        device = rig.snapshot.devices.find(CALLER, NUMBER)
        assert device is not None
        device.account.max_sessions = 0
        rig.snapshot.link_accounts()
        rig.snapshot.link_device(device)
        rig.pay(CUSTOMER, "0")
        rig.dial()
        assert [record["code"] for record in rig.records()] == ["SESSION_LIMIT"]


class TestExtension:
    @on_loop
    async def test_more_is_held_at_the_lead_and_the_journal_says_so(self, make_rig: MakeRig) -> None:
        rig = with_margin(make_rig())
        talk(rig)
        rig.wire.advance(39.9)
        assert rig.held() == [60 * SECOND, 60 * WHOLESALE]
        rig.wire.advance(0.2)
        assert rig.held() == [120 * SECOND, 120 * WHOLESALE]
        (call_id,) = rig.driver.calls
        assert lines(rig, "funded") == [{"kind": "funded", "call_id": call_id, "attempt": 1, "seconds": 120}]
        rig.wire.advance(60.0)
        assert rig.held() == [180 * SECOND, 180 * WHOLESALE]
        assert [line["seconds"] for line in lines(rig, "funded")] == [120, 180]
        (line,) = rig.driver.answered_lines()
        assert line["deadline"] == rig.wire.made_at + 180

    @on_loop
    async def test_call_goes_on_to_its_longest_duration_when_all_can_pay(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.snapshot.accounts[CUSTOMER].max_duration = 150
        talk(rig)
        rig.wire.advance(149.9)
        assert rig.held() == [150 * SECOND] * 2
        rig.wire.advance(0.2)
        assert ending(rig) == ("MAX_DURATION", 150.0, "0.1500")
        rig.assert_nothing_is_left()

    @on_loop
    async def test_part_of_a_slice_is_held_when_more_cannot_be_paid(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.pay(CUSTOMER, "0.0755")
        talk(rig)
        rig.wire.advance(40.1)
        assert rig.held() == [75 * SECOND] * 2
        rig.wire.advance(36.0)
        assert ending(rig) == ("FUNDS_EXHAUSTED", 75.0, "0.0750")
        assert rig.caller.hang_up_causes == rig.carriers[0].hang_up_causes == [102]

    @on_loop
    @pytest.mark.parametrize("payer", [CUSTOMER, RESELLER])
    async def test_call_ends_when_its_seconds_end_and_nobody_has_paid(self, make_rig: MakeRig, payer: int) -> None:
        rig = make_rig()
        rig.pay(payer, "0.060")
        talk(rig)
        rig.wire.advance(59.9)
        assert rig.driver.calls
        rig.wire.advance(0.2)
        assert ending(rig) == ("FUNDS_EXHAUSTED", 60.0, "0.0600")
        reasons = {bye.headers["reason"][0] for bye in rig.wire.requests("BYE", SWITCH)}
        assert reasons == {'Q.850;cause=102;text="FUNDS_EXHAUSTED"'}
        assert rig.owed() == [60 * SECOND] * 2
        rig.assert_nothing_is_left()

    @on_loop
    @pytest.mark.parametrize("paid_at", [41.0, 58.0, 59.4])
    async def test_call_goes_on_when_a_payment_comes_before_the_last_try(
        self, make_rig: MakeRig, paid_at: float
    ) -> None:
        rig = make_rig()
        rig.pay(CUSTOMER, "0.060")
        talk(rig)
        rig.wire.advance(paid_at)
        rig.pay(CUSTOMER, "0.120")
        rig.wire.advance(61.0 - paid_at)
        assert rig.held() == [120 * SECOND] * 2
        rig.hang_up(rig.caller)
        assert ending(rig) == ("", 61.0, "0.0610")

    @on_loop
    async def test_call_ends_when_the_store_is_away_at_every_try(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        talk(rig)
        rig.store.is_away = True
        rig.wire.advance(60.1)
        assert ending(rig) == ("FUNDS_EXHAUSTED", 60.0, "0.0600")

    @on_loop
    async def test_call_ends_when_the_store_has_lost_its_data_and_no_figure_comes(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        talk(rig)
        rig.store.funds.clear()
        rig.wire.advance(60.1)
        assert ending(rig) == ("FUNDS_EXHAUSTED", 60.0, "0.0600")


class TestEnd:
    @on_loop
    @pytest.mark.parametrize("late", [0.0, 0.3, 7.0, 3600.0])
    async def test_record_ends_with_the_funded_seconds_when_the_timer_is_late(
        self, make_rig: MakeRig, late: float
    ) -> None:
        rig = with_margin(make_rig())
        rig.pay(CUSTOMER, "0.030")
        talk(rig)
        rig.wire.made_at += late
        rig.wire.advance(30.1)
        assert ending(rig) == ("FUNDS_EXHAUSTED", 30.0, "0.0300")
        assert rig.owed() == [30 * SECOND, 30 * WHOLESALE]

    @on_loop
    async def test_record_ends_with_the_funded_seconds_when_the_bye_is_late(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.pay(CUSTOMER, "0.030")
        talk(rig)
        rig.wire.made_at += 100.0
        rig.hang_up(rig.caller)
        assert ending(rig) == ("", 30.0, "0.0300")

    @on_loop
    async def test_hold_becomes_a_debt_until_the_journal_is_posted(self, make_rig: MakeRig) -> None:
        rig = with_margin(make_rig())
        talk(rig)
        rig.wire.advance(12.5)
        rig.hang_up(rig.carriers[0])
        assert rig.held() == [0, 0]
        assert rig.owed() == [13 * SECOND, 6500]
        admission = rig.driver.admission
        number, behind = rig.journal.position
        admission.posted((number, behind - 1))
        rig.wire.settle()
        assert rig.owed() == [13 * SECOND, 6500]
        admission.posted((number, behind))
        rig.wire.settle()
        assert rig.owed() == [0, 0]
        rig.assert_nothing_is_left()

    @on_loop
    async def test_debt_stands_behind_its_own_record_when_two_calls_end(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        talk(rig)
        first = next(iter(rig.driver.calls))
        rig.dial()
        second = list(rig.driver.calls)[1]
        rig.wire.advance(10.0)
        rig.driver.hang_up(first, None, "HANGUP_BY_OPERATOR")
        rig.wire.settle()
        position = rig.journal.position
        rig.wire.advance(5.0)
        rig.driver.hang_up(second, None, "HANGUP_BY_OPERATOR")
        rig.wire.settle()
        assert rig.owed() == [25 * SECOND] * 2
        rig.driver.admission.posted(position)
        rig.wire.settle()
        assert rig.owed() == [15 * SECOND] * 2

    @on_loop
    async def test_debts_are_what_the_charges_say(self, make_rig: MakeRig) -> None:
        rig = with_margin(make_rig())
        talk(rig)
        rig.wire.advance(33.3)
        rig.hang_up(rig.caller)
        (line,) = lines(rig, "cdr")
        grosses = [micros_up(Decimal(charged[8])) for charged in line["charges"] if charged[0] != CARRIER_LEVEL]
        assert rig.owed() == grosses

    @on_loop
    @pytest.mark.parametrize("how", [{"refuse": 486}, {"answers": False}])
    async def test_nothing_is_held_or_owed_when_nobody_answered(self, make_rig: MakeRig, how: dict[str, Any]) -> None:
        rig = make_rig()
        rig.carrier(**how)
        rig.dial()
        rig.wire.advance(61.0)
        assert rig.owed() == [0, 0]
        rig.assert_nothing_is_left()

    @on_loop
    async def test_funds_are_held_once_when_the_second_carrier_is_tried(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.carrier(1, refuse=503)
        rig.carrier(2)
        rig.dial()
        assert rig.caller.is_answered.is_set()
        assert rig.held() == [60 * SECOND] * 2

    @on_loop
    async def test_funds_are_given_back_when_the_store_admits_after_the_cancel(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.store.is_slow = True
        rig.dial()
        rig.wire.advance(0.2)
        rig.caller.cancel()
        rig.wire.settle()
        rig.store.is_slow = False
        rig.wire.settle()
        assert [record["code"] for record in rig.records()] == ["CANCELLED"]
        assert rig.owed() == [0, 0]
        rig.assert_nothing_is_left()


class TestLateExtension:
    @staticmethod
    def ended_while_asking(rig: Rig) -> None:
        """The call has ended at 45 s, and an extension that was asked for at 40 s is not answered."""
        rig.wire.advance(39.9)
        rig.store.is_slow = True
        rig.wire.advance(5.1)
        rig.hang_up(rig.caller)

    @on_loop
    async def test_extension_is_given_back_when_it_comes_after_the_end(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        talk(rig)
        self.ended_while_asking(rig)
        rig.store.is_slow = False
        rig.wire.settle()
        assert rig.held() == [0, 0]
        assert rig.owed() == [45 * SECOND] * 2
        assert lines(rig, "funded") == []
        assert len(rig.records()) == 1
        rig.assert_nothing_is_left()

    @on_loop
    async def test_nothing_is_left_when_an_extension_is_refused_after_the_end(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.pay(CUSTOMER, "0.060")
        talk(rig)
        self.ended_while_asking(rig)
        rig.store.is_slow = False
        rig.wire.settle()
        assert rig.owed() == [45 * SECOND] * 2
        rig.assert_nothing_is_left()

    @on_loop
    async def test_nothing_is_left_when_a_part_could_be_held_after_the_end(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.pay(CUSTOMER, "0.010")
        rig.carrier(answers=False)
        rig.dial()
        (carrier,) = rig.carriers
        rig.store.is_slow = True
        carrier.leg.answer(carrier.session)  # type: ignore[union-attr]
        carrier.endpoint.end_of_turn()
        rig.wire.settle()
        rig.wire.advance(1.0)  # of ten seconds that are paid: 60 more were asked for at once
        rig.pay(CUSTOMER, "0.050")
        rig.hang_up(rig.caller)
        rig.store.is_slow = False
        rig.wire.settle()
        assert rig.owed() == [SECOND] * 2
        rig.assert_nothing_is_left()


class TestRates:
    @on_loop
    async def test_rate_of_the_set_up_pays_when_it_changes_during_the_call(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        talk(rig)
        rig.snapshot = type(rig.snapshot)()
        rig.wire.advance(40.1)
        assert rig.held() == [120 * SECOND] * 2

    @on_loop
    async def test_profit_is_unknown_when_the_carriers_currency_is_another_and_no_exchange_is_known(
        self, make_rig: MakeRig
    ) -> None:
        rig = make_rig()
        tariff = rig.snapshot.tariffs[2]
        tariff.currency = "USD"
        talk(rig)
        rig.wire.advance(30.0)
        rig.hang_up(rig.caller)
        (line,) = lines(rig, "cdr")
        assert [(charged[9], charged[10]) for charged in line["charges"]] == [
            ("EUR", "0E-10"), ("EUR", None), ("USD", None),
        ]  # fmt: skip

    @on_loop
    async def test_profit_is_in_the_levels_currency_when_the_exchange_is_known(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.snapshot.tariffs[2].currency = "USD"
        rig.snapshot.exchange = Exchange([CurrencyRate("USD", "EUR", Decimal("0.5"), ALWAYS)])
        talk(rig)
        rig.wire.advance(30.0)
        rig.hang_up(rig.caller)
        (line,) = lines(rig, "cdr")
        profits = [None if charged[10] is None else Decimal(charged[10]) for charged in line["charges"]]
        assert profits == [Decimal(0), Decimal("0.0300") - Decimal("0.015") * Decimal("0.5"), None]


def test_funds_are_those_of_the_accounts_in_the_order_of_the_levels() -> None:
    # NO_FUNDS names an account by its place in the chain: behind the device.
    device = make_snapshot().devices.find(CALLER, NUMBER)
    assert device is not None
    assert [level.name for level in device.limits.levels[1:]] == ["account CUST0001", "reseller RESE0001"]
    assert device.limits.funds_keys == (funds_key(RESELLER, CUSTOMER), funds_key(RESELLER, RESELLER))
