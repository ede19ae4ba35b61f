"""The verb `explain` of a worker, over its socket: the driver's own decision, and a driver that never notices."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from b2bua.call.health import FAILURES
from b2bua.control.client import ControlClient
from b2bua.control.messages import ControlError, Refused
from b2bua.control.server import ControlServer
from b2bua.worker import Worker
from tests.b2bua.call.rig import CALLER, NUMBER, Rig, running_rig
from tests.support.legs import on_loop

CALL = {"source": "4930123456", "destination": NUMBER}


@asynccontextmanager
async def asking(sockets: Path) -> AsyncIterator[tuple[ControlClient, Rig]]:
    """A client of a worker that has the driver and the snapshot of a rig."""
    with running_rig(sockets / "rig") as rig:
        worker: Any = Worker(rig.settings, "sip-1")
        worker._driver, worker._snapshots = rig.driver, SimpleNamespace(current=rig.snapshot)
        server = ControlServer(sockets / "sip-1.sock", {"explain": worker._verbs()["explain"]})
        await server.open()
        try:
            yield ControlClient(sockets, timeout=5.0), rig
        finally:
            server.close()


@on_loop
async def test_worker_tells_what_it_would_do_with_a_call(sockets: Path) -> None:
    async with asking(sockets) as (client, rig):
        answer = await client.explain(**CALL, address=CALLER, codecs=["PCMA"])
        revision = rig.snapshot.revision
    assert (answer["worker"], answer["draining"], answer["revision"]) == ("sip-1", False, revision)
    decision = answer["decision"]
    assert (decision["code"], decision["sip_status"], decision["q850_cause"]) == ("", None, None)
    assert [attempt["gateway"] for attempt in decision["attempts"]] == ["gateway-1", "gateway-2"]
    assert [(each["cost"], each["price"], each["margin"]) for each in answer["candidates"]] == [
        ("0.03", "0.06", "0.03")
    ] * 2


@on_loop
@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"address": "203.0.113.99"}, ("AUTHENTICATE", "", 407, None)),
        ({"address": CALLER, "destination": "33"}, ("NO_RATE", "account CUST0001", 503, 34)),
        ({"account": "CUST0001", "destination": ""}, ("NUMBER_NOT_ALLOWED", "empty number", 404, 1)),
    ],
)
async def test_refusal_has_the_status_and_cause_of_a_call(
    sockets: Path, fields: dict[str, str], expected: tuple[Any, ...]
) -> None:
    async with asking(sockets) as (client, _):
        decision = (await client.explain(**{**CALL, **fields}))["decision"]
    assert tuple(decision[name] for name in ("code", "object", "sip_status", "q850_cause")) == expected


@on_loop
async def test_nothing_is_changed_by_asking(sockets: Path) -> None:
    async with asking(sockets) as (client, rig):
        rig.snapshot.routes[1].mode = "load_share"
        for entry in rig.snapshot.routes[1].entries[""]:
            entry.priority = 1
        first = await client.explain(**CALL, address=CALLER, at="2026-01-31T08:00Z")
        for _ in range(5):
            assert await client.explain(**CALL, address=CALLER, at="2026-01-31T08:00Z") == first
        assert (rig.driver.turn(1), rig.driver.calls, sum(rig.driver.counts.values())) == (0, {}, 0)
        assert not rig.store.answer(), "something was sent to the live store"
        assert rig.lines() == []
        rig.assert_nothing_is_left()


@on_loop
async def test_gateway_that_is_down_stays_down_and_is_not_tried(sockets: Path) -> None:
    async with asking(sockets) as (client, rig):
        for _ in range(FAILURES):
            rig.driver.health.silent(1)
        answer = await client.explain(**CALL, address=CALLER)
        assert list(rig.driver.health.down()) == [1]
    assert [each["dropped"] for each in answer["candidates"]] == ["no gateway up", ""]
    assert answer["candidates"][0]["gateways"] == [{"name": "gateway-1", "state": "down"}]


@on_loop
async def test_worker_that_is_being_stopped_says_so(sockets: Path) -> None:
    async with asking(sockets) as (client, rig):
        rig.driver.is_draining = True
        assert (await client.explain(**CALL, address=CALLER))["draining"]


@on_loop
async def test_question_that_cannot_be_answered_is_refused_in_one_line(sockets: Path) -> None:
    async with asking(sockets) as (client, _):
        with pytest.raises(Refused, match=r"^worker sip-1: no account NONE0001$") as caught:
            await client.explain(**CALL, account="NONE0001")
        assert caught.value.reason == "no account NONE0001"


class TestClient:
    @on_loop
    async def test_next_worker_is_asked_when_the_first_is_dead(self, sockets: Path) -> None:
        async with asking(sockets) as (client, _):
            (sockets / "sip-0.sock").touch()
            assert client.workers() == ["sip-0", "sip-1"]
            assert (await client.explain(**CALL, address=CALLER))["worker"] == "sip-1"

    @on_loop
    async def test_client_says_so_when_nothing_runs(self, sockets: Path) -> None:
        (sockets / "sip-1.sock").touch()
        with pytest.raises(ControlError, match=r"^no SIP worker runs on this machine$"):
            await ControlClient(sockets).explain(**CALL, account="CUST0001")
