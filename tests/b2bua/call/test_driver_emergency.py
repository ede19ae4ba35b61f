"""Calls to emergency numbers: they pass whatever is in the way, and are never cut (docs/behaviour.md §2)."""

from collections.abc import Callable

import pytest

from b2bua.policy.accounts import NO_PATTERNS, RuleSet
from b2bua.policy.numbers import DialPatterns, NumberRules
from media.sdp import CodecList
from rating.funds import funds_key
from tests.b2bua.call.rig import CALLER, CARRIERS, CUSTOMER, RESELLER, SWITCH, Rig
from tests.support.legs import on_loop

MakeRig = Callable[..., Rig]
EMERGENCY = "112"
DAY = 24 * 3600.0


def with_emergency(rig: Rig) -> Rig:
    """The rig with an emergency number, by the one route that there is."""
    rig.snapshot.emergency = DialPatterns.of([(EMERGENCY, rig.snapshot.routes[1])])
    return rig


class TestWhatIsIgnored:
    @on_loop
    async def test_no_limit_is_taken_and_no_funds_are_held(self, make_rig: MakeRig) -> None:
        rig = with_emergency(make_rig())
        rig.carrier()
        rig.dial(EMERGENCY)
        assert rig.caller.is_answered.is_set()
        assert (rig.store.taken, rig.store.calls, rig.held()) == ({}, {}, [0, 0])
        rig.hang_up(rig.caller)
        assert rig.owed() == [0, 0]
        rig.assert_nothing_is_left()

    @on_loop
    async def test_call_goes_when_no_session_is_allowed(self, make_rig: MakeRig) -> None:
        rig = with_emergency(make_rig())
        for account in rig.snapshot.accounts.values():
            account.max_sessions = account.cps = 0
        rig.device.max_sessions = rig.device.cps = 0
        rig.link()
        rig.carrier()
        rig.dial(EMERGENCY)
        assert rig.caller.is_answered.is_set()

    @on_loop
    async def test_call_goes_when_the_carrier_has_no_session(self, make_rig: MakeRig) -> None:
        rig = with_emergency(make_rig())
        carrier = rig.snapshot.carriers[1]
        carrier.max_sessions = carrier.cps = 0
        rig.snapshot.link_carrier(carrier)
        rig.carrier()
        rig.dial(EMERGENCY)
        assert rig.caller.is_answered.is_set()

    @on_loop
    @pytest.mark.parametrize("balance", ["0", "-1000"])
    async def test_call_goes_when_the_account_has_no_money(self, make_rig: MakeRig, balance: str) -> None:
        rig = with_emergency(make_rig())
        rig.pay(CUSTOMER, balance)
        rig.pay(RESELLER, balance)
        rig.carrier()
        rig.dial(EMERGENCY)
        assert rig.caller.is_answered.is_set()

    @on_loop
    async def test_call_goes_when_the_live_store_is_away(self, make_rig: MakeRig) -> None:
        rig = with_emergency(make_rig())
        del rig.store.funds[funds_key(RESELLER, CUSTOMER)]
        rig.store.is_away = True
        rig.carrier()
        rig.dial(EMERGENCY)
        assert rig.caller.is_answered.is_set()

    @on_loop
    async def test_call_goes_when_nothing_of_the_account_allows_it(self, make_rig: MakeRig) -> None:
        rig = with_emergency(make_rig())
        for account in rig.snapshot.accounts.values():
            account.rules = RuleSet(NumberRules.of([]), NumberRules.of(["1%"]))
            account.tariff, account.loss_guard, account.with_media = None, True, True
            account.codec_check, account.codecs = True, CodecList.of(["G729"])
            account.patterns, account.route_ids = NO_PATTERNS, frozenset()
        rig.carrier()
        rig.dial(EMERGENCY)
        assert rig.caller.is_answered.is_set()
        (invite,) = rig.wire.requests("INVITE", SWITCH)
        assert invite.uri == f"sip:{EMERGENCY}@{CARRIERS[0]}:5060"
        assert b"m=audio 40000 RTP/AVP 8 0 101\r\n" in invite.body

    @on_loop
    async def test_call_goes_when_the_carrier_has_no_price_for_it(self, make_rig: MakeRig) -> None:
        rig = with_emergency(make_rig())
        rig.snapshot.tariffs[2].ratecards.clear()
        rig.carrier()
        rig.dial(EMERGENCY)
        rig.hang_up(rig.caller)
        (line,) = [line for line in rig.lines() if line["kind"] == "cdr"]
        assert (line["record"]["code"], line["charges"]) == ("ANSWERED", [])

    @on_loop
    @pytest.mark.parametrize("status", ["suspended", "closed"])
    async def test_call_is_refused_when_the_account_is_not_active(self, make_rig: MakeRig, status: str) -> None:
        rig = with_emergency(make_rig())
        rig.snapshot.accounts[RESELLER].status = status
        rig.dial(EMERGENCY)
        assert rig.caller.status == 403
        (record,) = rig.records()
        assert (record["code"], record["object"]) == ("ACCOUNT_INACTIVE", "reseller RESE0001")

    @on_loop
    async def test_call_is_tried_when_every_gateway_is_down(self, make_rig: MakeRig) -> None:
        rig = with_emergency(make_rig())
        for gateway in (1, 2):
            for _ in range(3):
                rig.driver.health.silent(gateway)
        rig.carrier()
        rig.dial(EMERGENCY)
        assert rig.caller.is_answered.is_set()

    @on_loop
    async def test_call_goes_when_there_is_no_room_for_others(self, make_rig: MakeRig) -> None:
        rig = with_emergency(make_rig(max_calls=0))
        rig.carrier()
        rig.dial(EMERGENCY)
        assert rig.caller.is_answered.is_set()


class TestNeverCut:
    @on_loop
    async def test_call_is_up_after_a_day(self, make_rig: MakeRig) -> None:
        rig = with_emergency(make_rig())
        rig.snapshot.max_duration = rig.customer.max_duration = rig.gateway().max_duration = 60
        carrier = rig.carrier()
        rig.dial(EMERGENCY)
        rig.wire.advance(DAY)
        assert len(rig.driver.calls) == 1
        rig.hang_up(rig.caller)
        assert carrier.hang_up_causes == [16]
        (record,) = rig.records()
        assert (record["ended_by"], record["reason"], record["duration"]) == ("caller", "", DAY)
        rig.assert_nothing_is_left()

    @on_loop
    @pytest.mark.parametrize("account", [CUSTOMER, RESELLER])
    @pytest.mark.parametrize("answers", [True, False])
    async def test_call_goes_on_when_the_account_is_suspended(
        self, make_rig: MakeRig, account: int, answers: bool
    ) -> None:
        rig = with_emergency(make_rig())
        carrier = rig.carrier(answers=answers)
        rig.dial(EMERGENCY)
        rig.snapshot.accounts[account].status = "suspended"
        rig.load()
        rig.wire.advance(10)
        assert len(rig.driver.calls) == 1
        assert rig.records() == []
        assert not carrier.is_ended.is_set()

    @on_loop
    async def test_deadline_of_a_successor_is_years_away(self, make_rig: MakeRig) -> None:
        rig = with_emergency(make_rig())
        rig.carrier()
        rig.dial(EMERGENCY)
        (line,) = [line for line in rig.lines() if line["kind"] == "answered"]
        assert line["deadline"] > line["record"]["answered_at"] + 365 * DAY


class TestRecord:
    @on_loop
    @pytest.mark.parametrize("dialled", [EMERGENCY, "+112"])
    async def test_record_says_what_it_was(self, make_rig: MakeRig, dialled: str) -> None:
        rig = with_emergency(make_rig())
        rig.carrier()
        rig.dial(dialled)
        rig.wire.advance(60)
        rig.hang_up(rig.caller)
        (record,) = rig.records()
        assert (record["kind"], record["account_chain"], record["device"], record["route_id"]) == (
            "emergency", [CUSTOMER, RESELLER], "ip:7", 1,
        )  # fmt: skip
        assert (record["destination_received"], record["destination_sent"]) == (dialled, EMERGENCY)
        assert (record["gross"], record["carrier_id"], record["a_address"]) == (None, 1, f"{CALLER}:5060")

    @on_loop
    async def test_second_carrier_is_called_when_the_first_is_silent(self, make_rig: MakeRig) -> None:
        rig = with_emergency(make_rig())
        rig.carrier(2)
        rig.dial(EMERGENCY)
        rig.wire.advance(5.1)
        assert rig.caller.is_answered.is_set()
        rig.hang_up(rig.caller)
        assert [(record["kind"], record["code"]) for record in rig.records()] == [
            ("emergency", "NO_RESPONSE"), ("emergency", "ANSWERED"),
        ]  # fmt: skip
        rig.assert_nothing_is_left()

    @on_loop
    async def test_other_numbers_are_none(self, make_rig: MakeRig) -> None:
        rig = with_emergency(make_rig())
        rig.carrier()
        rig.dial("1125")
        assert [record["kind"] for record in rig.records()] == ["outgoing"]
        assert rig.caller.status == 503  # the customer has rates for 44 alone
