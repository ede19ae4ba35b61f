"""What the active call notes while it carries out effects: its record, its price, and what the panel sees."""

import gc
import math
from collections.abc import Callable
from typing import Any

from b2bua.call.active import ActiveCall
from b2bua.call.events import HangupOrdered
from b2bua.sip.dialog import Dialog
from cdr.record import CARRIER_LEVEL, Level
from tests.b2bua.call.rig import CALLER, CARRIERS, NUMBER, Rig
from tests.support.legs import on_loop

MakeRig = Callable[..., Rig]


def the_call(rig: Rig) -> ActiveCall:
    (call,) = rig.driver.calls.values()
    return call


def picked(record: dict[str, Any], *names: str) -> list[Any]:
    return [record[name] for name in names]


class TestRecord:
    @on_loop
    async def test_record_has_all_that_is_known_when_the_call_was_answered(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        carrier = rig.carrier(answers=False)
        rig.dial()
        rig.wire.advance(3.25)
        carrier.leg.answer(carrier.session)  # type: ignore[union-attr]
        carrier.endpoint.end_of_turn()
        rig.wire.settle()
        rig.wire.advance(60.5)
        rig.hang_up(rig.caller)
        (record,) = rig.records()
        assert picked(record, "received_at", "ringing_at", "answered_at", "ended_at") == [
            1_700_000_000.0, 1_700_000_000.0, 1_700_000_003.25, 1_700_000_063.75,
        ]  # fmt: skip
        assert picked(record, "post_dial_delay", "duration", "gross", "currency") == [0.0, 60.5, "0.0610", "EUR"]
        assert picked(record, "account_id", "account_chain", "device", "carrier_id", "gateway_id", "route_id") == [
            2, [2, 1], "ip:7", 1, 1, 1,
        ]  # fmt: skip
        assert picked(record, "source_received", "source_sent") == ["441234567890", "441234567890"]
        assert picked(record, "destination_received", "destination_sent") == [NUMBER, NUMBER]
        assert picked(record, "a_address", "a_transport") == [f"{CALLER}:5060", "udp"]
        assert picked(record, "b_address", "b_transport") == [f"{CARRIERS[0]}:5060", "udp"]
        assert picked(record, "codecs_offered", "codec_used", "media_mode") == [["PCMA", "PCMU"], "PCMA", "bypass"]
        (theirs,) = rig.wire.requests("INVITE", CALLER)
        (ours,) = rig.wire.requests("INVITE", target=CARRIERS[0])
        assert picked(record, "a_call_id", "b_call_id") == [theirs.call_id, ours.call_id]
        assert record["worker"] == "sip-1"

    @on_loop
    async def test_every_level_is_charged_when_the_call_was_answered(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.carrier()
        rig.dial()
        rig.wire.advance(60.0)
        rig.hang_up(rig.caller)
        charges = next(line["charges"] for line in rig.lines() if line["kind"] == "cdr")
        # level, account, carrier, tariff, rate, seconds, net, tax, gross, currency, profit
        assert charges == [
            [0, 2, None, 1, 1, 60, "0.0600", "0.0000", "0.0600", "EUR", "0E-10"],
            [1, 1, None, 1, 1, 60, "0.0600", "0.0000", "0.0600", "EUR", "0.0300000000"],
            [CARRIER_LEVEL, None, 1, 2, 2, 60, "0.0300000000", "0E-10", "0.0300000000", "EUR", None],
        ]

    @on_loop
    async def test_nobody_is_charged_when_the_call_was_not_answered(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.carrier(refuse=486)
        rig.dial()
        (line,) = rig.lines()
        assert line["charges"] == []
        assert picked(line["record"], "gross", "answered_at", "duration") == [None, None, 0.0]

    @on_loop
    async def test_delay_is_that_of_the_answer_when_nothing_rang(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        carrier = rig.carrier(rings=False, answers=False)
        rig.dial()
        rig.wire.advance(2.5)
        carrier.leg.answer(carrier.session)  # type: ignore[union-attr]
        carrier.endpoint.end_of_turn()
        rig.wire.settle()
        rig.hang_up(rig.caller)
        (record,) = rig.records()
        assert picked(record, "ringing_at", "post_dial_delay") == [None, 2.5]

    @on_loop
    async def test_end_is_the_deadline_when_the_timer_was_late(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.carrier()
        rig.snapshot.accounts[2].max_duration = 50
        rig.dial()
        rig.wire.made_at += 5.0
        rig.wire.advance(50.1)
        (record,) = rig.records()
        assert picked(record, "reason", "duration") == ["MAX_DURATION", 50.0]

    @on_loop
    async def test_gateways_limit_counts_when_it_is_the_least(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.carrier()
        rig.snapshot.carriers[1].gateways[0].max_duration = 30
        rig.dial()
        assert rig.lines()[0]["deadline"] == 1_700_000_030.0
        rig.wire.made_at += 1.0
        rig.wire.advance(30.1)
        (record,) = rig.records()
        assert picked(record, "reason", "duration") == ["MAX_DURATION", 30.0]

    @on_loop
    async def test_price_is_that_of_the_set_up_when_the_rates_change_during_the_call(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.carrier()
        rig.dial()
        rig.snapshot = type(rig.snapshot)()
        rig.wire.advance(60.0)
        rig.hang_up(rig.caller)
        assert rig.records()[0]["gross"] == "0.0600"


class TestAnsweredLine:
    @on_loop
    async def test_successor_can_end_and_price_the_call_when_this_worker_dies(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        carrier = rig.carrier()
        rig.dial()
        (line,) = rig.lines()
        call = the_call(rig)
        a_leg, b_leg = (Dialog.from_record(data) for data in line["dialogs"])
        assert (a_leg.call_id, a_leg.local_tag) == call.caller.key
        assert (b_leg.call_id, b_leg.local_tag) == call.callee.key  # type: ignore[union-attr]
        assert a_leg.remote_target == f"sip:{CALLER}:5060"
        assert b_leg.remote_tag == carrier.leg.key[1]  # type: ignore[union-attr]
        assert [Level.from_json(level).to_json() for level in line["levels"]] == line["levels"]
        assert [level["level"] for level in line["levels"]] == [0, 1, CARRIER_LEVEL]
        assert line["record"]["call_id"] == call.call_id
        assert line["deadline"] == line["record"]["answered_at"] + 60.0  # what the first slice of funds pays


class TestLiveCall:
    @on_loop
    async def test_panel_sees_where_the_call_stands(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        carrier = rig.carrier(rings=False, answers=False)
        rig.dial()
        call = the_call(rig)
        shown = call.to_live()
        assert shown == {
            "call_id": call.call_id,
            "worker": "sip-1",
            "account": "CUST0001",
            "account_id": 2,
            "account_chain": [2, 1],
            "device": "ip:7",
            "source": "441234567890",
            "destination": NUMBER,
            "carrier": "CARR0001",
            "gateway": "gateway-1",
            "attempt": 1,
            "state": "trying",
            "received_at": call.record.received_at,
            "answered_at": None,
        }
        carrier.leg.send_provisional(180, b"")  # type: ignore[union-attr]
        carrier.endpoint.end_of_turn()
        rig.wire.settle()
        assert call.to_live()["state"] == "ringing"
        carrier.leg.answer(carrier.session)  # type: ignore[union-attr]
        carrier.endpoint.end_of_turn()
        rig.wire.settle()
        assert call.to_live()["state"] == "answered"
        assert call.to_live()["answered_at"] == call.record.answered_at

    @on_loop
    async def test_panel_sees_no_carrier_when_none_was_chosen_yet(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.store.is_slow = True
        rig.dial()
        shown = the_call(rig).to_live()
        assert [shown["carrier"], shown["gateway"], shown["attempt"], shown["state"]] == ["", "", 0, "trying"]


class TestAfterTheEnd:
    @on_loop
    async def test_call_can_be_freed_when_only_its_transactions_linger(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.carrier()
        rig.dial()
        call = the_call(rig)
        rig.hang_up(rig.caller)
        assert call.caller.user is not call
        assert call.callee is not None
        assert call.callee.user is not call
        assert call.caller.transaction.user is None

    @on_loop
    async def test_call_is_freed_at_once_without_the_garbage_collector(self, make_rig: MakeRig) -> None:
        rig = make_rig(session_timer=90)
        rig.caller.headers = {"supported": ["timer"]}
        rig.carrier()
        gc.collect()
        gc.disable()
        try:
            rig.dial()
            assert calls_in_memory() == 1
            rig.hang_up(rig.caller)
            rig.assert_nothing_is_left()
            rig.driver.ladders.write_due(math.inf)
            assert calls_in_memory() == 0
        finally:
            gc.enable()

    @on_loop
    async def test_second_order_changes_nothing_when_the_call_has_ended(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.carrier()
        rig.dial()
        call = the_call(rig)
        for _ in range(2):
            rig.driver.order(call, HangupOrdered("HANGUP_BY_OPERATOR"))
            rig.switch.end_of_turn()
            rig.wire.settle()
        assert len(rig.records()) == 1
        assert len(rig.wire.requests("BYE")) == 2


def calls_in_memory() -> int:
    return sum(isinstance(each, ActiveCall) for each in gc.get_objects())
