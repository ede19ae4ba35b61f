"""Accounts that are suspended or closed while they have calls (docs/behaviour.md §5, §7)."""

from collections.abc import Callable

import pytest

from b2bua.policy.dids import DIDDestination
from tests.b2bua.call.rig import CARRIERS, CUSTOMER, NUMBER, RESELLER, SWITCH, Rig
from tests.support.legs import on_loop

MakeRig = Callable[..., Rig]


def bar(rig: Rig, account: int = CUSTOMER, status: str = "suspended") -> None:
    """An account is active no more, and the driver hears of it."""
    rig.snapshot.accounts[account].status = status
    rig.load()


class TestSuspended:
    @on_loop
    @pytest.mark.parametrize("account", [CUSTOMER, RESELLER])
    @pytest.mark.parametrize("status", ["suspended", "closed", "inactive"])
    async def test_calls_end_on_both_sides(self, make_rig: MakeRig, account: int, status: str) -> None:
        rig = make_rig()
        carrier = rig.carrier()
        rig.dial()
        rig.wire.advance(12.5)
        bar(rig, account, status)
        assert rig.caller.hang_up_causes == carrier.hang_up_causes == [31]
        for target in (CARRIERS[0], rig.caller.host):
            (bye,) = rig.wire.requests("BYE", SWITCH, target)
            assert bye.headers["reason"] == ['Q.850;cause=31;text="ACCOUNT_SUSPENDED"']
        (record,) = rig.records()
        assert (record["code"], record["ended_by"], record["reason"], record["duration"], record["gross"]) == (
            "ANSWERED", "system", "ACCOUNT_SUSPENDED", 12.5, "0.0130",
        )  # fmt: skip
        rig.assert_nothing_is_left()

    @on_loop
    async def test_record_is_on_disk_when_the_byes_leave(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.carrier()
        rig.dial()
        noted = rig.note_lines_at("BYE")
        bar(rig)
        assert noted == [["answered", "cdr"]] * 2

    @on_loop
    async def test_calls_of_other_accounts_stay(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        neighbour = rig.add_neighbour()
        rig.carrier()
        rig.dial()
        neighbour.dial(SWITCH)
        assert len(rig.driver.calls) == 2
        bar(rig)
        assert rig.caller.is_ended.is_set()
        assert not neighbour.is_ended.is_set()
        (left,) = rig.driver.calls.values()
        assert left.decision.device is not None
        assert left.decision.device.key == "ip:8"
        assert [record["device"] for record in rig.records()] == ["ip:7"]

    @on_loop
    async def test_resellers_calls_stay_when_its_customer_is_suspended(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.carrier()
        rig.device.account = rig.snapshot.accounts[RESELLER]
        rig.device.account.patterns = rig.customer.patterns
        rig.link()
        rig.dial()
        bar(rig)
        assert len(rig.driver.calls) == 1

    @on_loop
    async def test_calls_stay_when_it_is_set_so(self, make_rig: MakeRig) -> None:
        rig = make_rig(call={"ends_suspended": False})
        rig.carrier()
        rig.dial()
        bar(rig)
        assert len(rig.driver.calls) == 1
        assert not rig.caller.is_ended.is_set()
        rig.hang_up(rig.caller)
        rig.dial()
        assert rig.caller.status == 403

    @on_loop
    async def test_nothing_ends_when_all_stay_active(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.carrier()
        rig.dial()
        rig.load()
        assert len(rig.driver.calls) == 1

    @on_loop
    async def test_call_ends_when_it_is_still_ringing(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        carrier = rig.carrier(answers=False)
        rig.dial()
        bar(rig)
        assert carrier.is_ended.is_set()
        assert rig.caller.status >= 400
        assert [record["sip_code"] for record in rig.records()] == [rig.caller.status]
        rig.assert_nothing_is_left()

    @on_loop
    async def test_record_says_why_when_it_was_still_ringing(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.carrier(answers=False)
        rig.dial()
        bar(rig)
        (record,) = rig.records()
        assert "ACCOUNT_SUSPENDED" in (record["code"], record["reason"])

    @on_loop
    async def test_call_ends_when_the_live_store_has_not_answered_yet(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.store.is_slow = True
        rig.dial()
        bar(rig)
        rig.store.is_slow = False
        rig.wire.settle()
        assert rig.caller.is_ended.is_set()
        assert rig.wire.requests("INVITE", SWITCH) == []
        assert len(rig.records()) == 1
        rig.assert_nothing_is_left()

    @on_loop
    async def test_call_to_a_did_ends(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.price_incoming(1, "0.01")
        rig.add_did()
        device = rig.add_device()
        caller = rig.dial_in()
        assert device.is_answered.is_set()
        bar(rig)
        assert caller.hang_up_causes == device.hang_up_causes == [31]
        assert [record["reason"] for record in rig.records()] == ["ACCOUNT_SUSPENDED"]
        rig.assert_nothing_is_left()

    @on_loop
    async def test_both_calls_of_a_forwarded_did_end(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.price_incoming(1, "0.01")
        rig.add_did(DIDDestination("number", number=NUMBER))
        carrier = rig.carrier(1)
        caller = rig.dial_in(carrier=2)
        bar(rig)
        assert caller.hang_up_causes == carrier.hang_up_causes == [31]
        assert [record["reason"] for record in rig.records()] == ["ACCOUNT_SUSPENDED"] * 2
        rig.assert_nothing_is_left()
