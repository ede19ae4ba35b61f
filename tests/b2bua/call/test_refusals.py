"""Refusals alike that share a record (docs/behaviour.md §2)."""

import math
from collections.abc import Callable

import pytest

from b2bua.call.refusals import RefusalCounter
from b2bua.policy.accounts import NO_PATTERNS
from cdr.record import AttemptRecord
from tests.b2bua.call.rig import CALLER, NUMBER, SWITCH, Rig
from tests.support import sip
from tests.support.legs import on_loop
from tests.support.records import ARRIVED, make_record

MakeRig = Callable[..., Rig]


class Flood:
    """A counter, and what it wrote."""

    def __init__(self, limit: int = 20) -> None:
        self.written: list[AttemptRecord] = []
        self.counter = RefusalCounter(limit, self.written.append)
        self.number = 0

    def refuse(self, times: int = 1, *, at: float = ARRIVED, device: str = "ip:7", code: str = "NO_RATE") -> list[bool]:
        """So many refusals; returns for each whether it was taken into a shared record."""
        taken = []
        for _ in range(times):
            self.number += 1
            record = make_record(self.number, attempt=0, device=device, code=code, sip_code=503, ended_at=at)
            taken.append(self.counter.takes(record))
        return taken

    @property
    def counts(self) -> list[int]:
        """How many refusals each written record stands for."""
        return [record.calls for record in self.written]


class TestCounter:
    def test_twenty_have_a_record_each_and_the_others_share_one(self) -> None:
        flood = Flood()
        assert flood.refuse(100) == [False] * 20 + [True] * 80
        assert flood.written == []
        flood.counter.flush(ARRIVED + 1)
        assert flood.counts == [80]

    def test_nobody_shares_when_there_are_as_many_as_the_limit(self) -> None:
        flood = Flood()
        assert flood.refuse(20) == [False] * 20
        flood.counter.flush(ARRIVED + 1)
        assert flood.written == []

    def test_shared_record_is_that_of_the_first_above_the_limit(self) -> None:
        flood = Flood(limit=2)
        flood.refuse(5)
        flood.counter.flush(ARRIVED + 1)
        assert [record.call_id for record in flood.written] == [make_record(3).call_id]

    def test_everything_is_shared_when_the_limit_is_zero(self) -> None:
        flood = Flood(limit=0)
        assert flood.refuse(3) == [True] * 3
        flood.counter.flush(ARRIVED + 1)
        assert flood.counts == [3]

    def test_devices_and_codes_are_counted_apart(self) -> None:
        flood = Flood(limit=1)
        for device in ("ip:7", "user:7"):
            for code in ("NO_RATE", "NO_ROUTE"):
                assert flood.refuse(2, device=device, code=code) == [False, True]
        flood.counter.flush(ARRIVED + 1)
        assert {(record.device, record.code, record.calls) for record in flood.written} == {
            (device, code, 1) for device in ("ip:7", "user:7") for code in ("NO_RATE", "NO_ROUTE")
        }

    def test_callers_without_a_device_are_told_by_their_addresses(self) -> None:
        flood = Flood(limit=1)
        for address in ("198.51.100.7:5060", "198.51.100.7:9999", "198.51.100.8:5060", "[2001:db8::1]:5060"):
            record = make_record(attempt=0, device="", code="DID_NOT_FOUND", a_address=address, ended_at=ARRIVED)
            assert flood.counter.takes(record) == (address == "198.51.100.7:9999")

    @pytest.mark.parametrize("later", [1.0, 2.0, 3600.0])
    def test_next_second_begins_anew(self, later: float) -> None:
        flood = Flood(limit=2)
        flood.refuse(5, at=ARRIVED + 0.25)
        assert flood.refuse(3, at=ARRIVED + later) == [False, False, True]
        assert flood.counts == [3]
        flood.counter.flush(ARRIVED + later + 1)
        assert flood.counts == [3, 1]

    def test_second_is_that_of_the_clock(self) -> None:
        flood = Flood(limit=1)
        assert flood.refuse(at=ARRIVED + 0.9) + flood.refuse(at=ARRIVED + 1.1) == [False, False]

    def test_second_that_is_not_over_is_not_written(self) -> None:
        flood = Flood(limit=1)
        flood.refuse(3)
        flood.counter.flush(ARRIVED + 0.999)
        assert flood.written == []
        assert flood.refuse() == [True]
        flood.counter.flush(ARRIVED + 1.0)
        assert flood.counts == [3]

    def test_all_are_written_when_the_worker_stops(self) -> None:
        flood = Flood(limit=1)
        flood.refuse(3)
        flood.refuse(4, device="ip:8")
        flood.counter.flush(math.inf)
        assert flood.counts == [2, 3]

    def test_nothing_is_written_twice(self) -> None:
        flood = Flood(limit=1)
        flood.refuse(3)
        for now in (ARRIVED + 1, ARRIVED + 2, math.inf):
            flood.counter.flush(now)
        assert flood.counts == [2]
        assert flood.refuse(at=ARRIVED + 3) == [False]

    def test_nothing_is_remembered_when_the_second_is_over(self) -> None:
        flood = Flood(limit=1)
        for device in range(1000):
            flood.refuse(2, device=f"ip:{device}")
        flood.counter.flush(ARRIVED + 1)
        assert flood.counter._seconds == {}

    def test_none_is_lost_when_the_clock_is_set_back(self) -> None:
        flood = Flood(limit=1)
        flood.refuse(3, at=ARRIVED)
        flood.refuse(3, at=ARRIVED - 100)
        flood.counter.flush(math.inf)
        assert sum(flood.counts) == 4


def without_routes(rig: Rig) -> Rig:
    rig.customer.patterns = NO_PATTERNS
    return rig


def flush(rig: Rig, now: float = math.inf) -> None:
    """What the worker does twice a second, and at its end."""
    rig.driver.refusals.flush(now)
    rig.switch.end_of_turn()


class TestFlood:
    @on_loop
    async def test_hundred_refusals_are_twenty_one_records_that_count_a_hundred(self, make_rig: MakeRig) -> None:
        rig = without_routes(make_rig())
        for _ in range(100):
            rig.dial()
            assert rig.caller.status == 404
        assert len(rig.records()) == 20
        flush(rig)
        records = rig.records()
        assert len(records) == 21
        assert [record["calls"] for record in records] == [1] * 20 + [80]
        assert {(record["code"], record["device"], record["sip_code"], record["is_last"]) for record in records} == {
            ("NO_DIALING_ROUTE", "ip:7", 404, True)
        }
        assert rig.driver.counts == {"received": 100, "NO_DIALING_ROUTE": 100}
        rig.assert_nothing_is_left()

    @on_loop
    async def test_number_of_rows_is_a_setting(self, make_rig: MakeRig) -> None:
        rig = without_routes(make_rig(call={"refusal_rows": 3}))
        for _ in range(10):
            rig.dial()
        flush(rig)
        assert [record["calls"] for record in rig.records()] == [1, 1, 1, 7]

    @on_loop
    async def test_next_second_has_rows_of_its_own(self, make_rig: MakeRig) -> None:
        rig = without_routes(make_rig())
        for _ in range(2):
            for _ in range(30):
                rig.dial()
            rig.wire.advance(1.0)
            flush(rig, rig.wire.time_of_day())
        assert [record["calls"] for record in rig.records()] == ([1] * 20 + [10]) * 2

    @on_loop
    async def test_refusals_by_the_live_store_share_a_record_too(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.customer.max_sessions = 0
        rig.link()
        for _ in range(30):
            rig.dial()
        flush(rig)
        assert [record["calls"] for record in rig.records()] == [1] * 20 + [10]
        assert rig.records()[-1]["object"] == "account CUST0001"
        rig.assert_nothing_is_left()

    @on_loop
    async def test_refusals_for_want_of_a_carrier_share_a_record_too(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        for carrier in rig.snapshot.carriers.values():
            carrier.max_sessions = 0
            rig.snapshot.link_carrier(carrier)
        for _ in range(30):
            rig.dial()
        flush(rig)
        assert [record["calls"] for record in rig.records()] == [1] * 20 + [10]
        assert {record["code"] for record in rig.records()} == {"CARRIER_LIMIT"}
        rig.assert_nothing_is_left()

    @on_loop
    async def test_attempts_are_never_folded(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.carrier(1, refuse=503)
        rig.carrier(2, refuse=486)
        for _ in range(40):
            rig.dial()
        flush(rig)
        assert [(record["code"], record["calls"]) for record in rig.records()] == [
            ("CARRIER_FAILURE", 1), ("BUSY", 1),
        ] * 40  # fmt: skip
        rig.assert_nothing_is_left()

    @on_loop
    async def test_attempts_that_could_not_be_sent_are_never_folded(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        for number in (1, 2):
            rig.gateway(number).transport = "tcp"
        for _ in range(30):
            rig.dial()
        flush(rig)
        assert [record["attempt"] for record in rig.records()] == [1, 2] * 30

    @on_loop
    async def test_answered_calls_are_never_folded(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.carrier()
        for _ in range(30):
            rig.dial()
            rig.hang_up(rig.caller)
        flush(rig)
        assert [(record["code"], record["calls"]) for record in rig.records()] == [("ANSWERED", 1)] * 30
        rig.assert_nothing_is_left()

    @on_loop
    async def test_bad_requests_have_no_record(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        for number in range(30):
            invite = sip.request(
                sent_by=f"{CALLER}:5060",
                uri=f"sip:{NUMBER}@{SWITCH}",
                branch=f"z9hG4bK{number}",
                changed={"Max-Forwards": "x"},
            )
            assert rig.send(invite).status == 400
        flush(rig)
        assert rig.records() == []
