"""A successor ends what its predecessor left up (docs/behaviour.md §7)."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from b2bua.call.recovery import end_lost, record_lost
from b2bua.sip.flow import Flow, Trust
from cdr.journal import JournalWriter
from tests.b2bua.call.rig import CALLER, CARRIERS, SWITCH, Rig
from tests.support.legs import Wire, WiredEndpoint, on_loop

MakeRig = Callable[..., Rig]


class Successor:
    """A worker that starts with what another's journal says."""

    def __init__(self, directory: Path) -> None:
        self.journal = JournalWriter(directory, "sip-1", "sip-1:2", segment_size=10_000_000, sync_interval=0.01)
        self.lost = self.journal.recover()
        self.journal.open(0.0, self.lost)

    def close(self) -> None:
        self.journal.close(0.0)


class Silent:
    """Somebody who handles nothing."""

    def handle_event(self, event: object, now: float) -> None:
        pass

    def before_send(self) -> None:
        pass


def die(rig: Rig, wire: Wire) -> WiredEndpoint:
    """The worker is gone and with it its lock; an endpoint of its successor has its address."""
    rig.journal.close(0.0)
    rig.journal = JournalWriter(  # only so that the rig has one to close
        rig.directory.parent / "other", "other", "other:1", segment_size=10_000_000, sync_interval=0.01
    )
    return WiredEndpoint(wire, SWITCH, Silent(), ("udp",))


async def with_a_lost_call(make_rig: MakeRig) -> tuple[Rig, WiredEndpoint, Successor]:
    rig = make_rig()
    rig.carrier()
    rig.dial()
    endpoint = die(rig, rig.wire)
    return rig, endpoint, Successor(rig.directory)


def cdr_lines(rig: Rig) -> list[dict[str, Any]]:
    return [line for line in rig.lines() if line["kind"] == "cdr"]


@on_loop
async def test_lost_call_is_recorded_and_charged_when_a_successor_starts(make_rig: MakeRig) -> None:
    rig, _, successor = await with_a_lost_call(make_rig)
    try:
        assert len(successor.lost) == 1
        successor.lost[0]["deadline"] = successor.lost[0]["record"]["answered_at"] + 60.0
        successor.lost[0]["record"]["answered_at"] -= 3600.0
        record_lost(successor.journal, successor.lost)
        (line,) = cdr_lines(rig)
        record = line["record"]
        assert (record["ended_by"], record["reason"], record["q850_cause"]) == ("system", "WORKER_LOST", 41)
        assert (record["code"], record["sip_code"]) == ("ANSWERED", 200)
        assert len(line["charges"]) == 3
        assert record["gross"] > "3.5"
    finally:
        successor.close()


@on_loop
async def test_end_is_the_deadline_when_the_successor_comes_after_it(make_rig: MakeRig) -> None:
    rig, _, successor = await with_a_lost_call(make_rig)
    try:
        lost = successor.lost[0]
        lost["record"]["answered_at"] -= 10_000.0
        lost["deadline"] = lost["record"]["answered_at"] + 90.0
        record_lost(successor.journal, successor.lost)
        assert cdr_lines(rig)[0]["record"]["duration"] == pytest.approx(90.0, abs=0.001)
    finally:
        successor.close()


@on_loop
async def test_lost_call_is_lost_once_when_two_successors_start(make_rig: MakeRig) -> None:
    _, _, successor = await with_a_lost_call(make_rig)
    record_lost(successor.journal, successor.lost)
    successor.close()
    rig_directory = successor.journal._directory
    second = Successor(rig_directory)
    try:
        assert second.lost == []
    finally:
        second.close()


@on_loop
async def test_both_sides_get_bye_when_a_call_was_lost(make_rig: MakeRig) -> None:
    rig, endpoint, successor = await with_a_lost_call(make_rig)
    try:
        carrier = rig.carriers[0]
        await end_lost(endpoint, successor.lost)
        rig.wire.settle()
        assert rig.caller.hang_up_causes == carrier.hang_up_causes == [41]
        byes = rig.wire.requests("BYE", SWITCH)
        assert {bye.headers["reason"][0] for bye in byes} == {'Q.850;cause=41;text="WORKER_LOST"'}
        assert [len(rig.wire.requests("BYE", SWITCH, host)) for host in (CALLER, CARRIERS[0])] == [1, 1]
        assert rig.wire.labels().count("200 BYE") == 2
    finally:
        successor.close()


@on_loop
async def test_other_side_gets_bye_when_one_sides_transport_is_gone(make_rig: MakeRig) -> None:
    rig, endpoint, successor = await with_a_lost_call(make_rig)
    try:
        successor.lost[0]["dialogs"][0]["flow"][0] = "tcp"
        await end_lost(endpoint, successor.lost)
        rig.wire.settle()
        assert [len(rig.wire.requests("BYE", SWITCH, host)) for host in (CALLER, CARRIERS[0])] == [0, 1]
    finally:
        successor.close()


@on_loop
async def test_carrier_by_tls_gets_bye_and_has_to_show_the_same_certificate(make_rig: MakeRig) -> None:
    _, _, successor = await with_a_lost_call(make_rig)
    try:
        sent: list[Flow] = []

        class Watched(WiredEndpoint):
            def _send(self, data: bytes, flow: Flow) -> str:
                sent.append(flow)
                return ""

        callee = successor.lost[0]["dialogs"][1]
        callee["flow"] = ["tls", CARRIERS[0], 5061, 1]
        callee["trust"] = ["name", "carrier.example"]
        callee["remote_target"] = f"sip:{CARRIERS[0]}:5061;transport=tls"
        await end_lost(Watched(Wire(), SWITCH, Silent(), ("udp", "tls")), successor.lost)
        assert [(str(flow), flow.trust) for flow in sent][1] == (
            f"tls:{CARRIERS[0]}:5061", Trust("name", "carrier.example"),
        )  # fmt: skip
    finally:
        successor.close()


@on_loop
async def test_nothing_is_sent_when_nothing_was_lost(make_rig: MakeRig) -> None:
    rig = make_rig()
    record_lost(rig.journal, [])
    await end_lost(rig.switch, [])
    assert rig.wire.carried == []
    assert rig.lines() == []
