"""The messages of calls through a whole driver: all of both legs, those of the transactions too."""

import math
from collections.abc import Callable

import pytest

from b2bua.call.ladder import LINGER
from cdr.trace import read_messages
from tests.b2bua.call.rig import CALLER, CARRIERS, Rig
from tests.support.legs import on_loop

MakeRig = Callable[..., Rig]


def traced(rig: Rig) -> list[list[tuple[str, str, bool]]]:
    """Leg, title and direction of every message of each trace on disk."""
    rig.journal.flush(0.0)
    lines = [line for line in rig.lines() if line["kind"] == "trace"]
    return [[(each.leg, each.title, each.is_sent) for each in read_messages(line["messages"])] for line in lines]


@pytest.fixture
def tapped(make_rig: MakeRig) -> MakeRig:
    """A rig whose endpoint shows its messages."""

    def make(**settings: object) -> Rig:
        rig = make_rig(**settings)
        rig.switch.show = rig.driver.ladders.take
        return rig

    return make


@on_loop
async def test_failed_call_has_every_message_of_both_attempts(tapped: MakeRig) -> None:
    rig = tapped()
    for number in (1, 2):
        rig.carrier(number, refuse=503, rings=False)
    rig.dial()
    rig.wire.advance(LINGER)
    assert rig.driver.ladders.write_due(rig.switch.now()) == 1
    (messages,) = traced(rig)
    attempt = [("b", "INVITE", True), ("b", "503 Service Unavailable", False), ("b", "ACK", True)]
    assert [each for each in messages if each[0] == "b"] == [*attempt, *attempt]
    assert [each for each in messages if each[0] == "a"] == [
        ("a", "INVITE", False),
        ("a", "503 Service Unavailable", True),
        ("a", "ACK", False),
    ]
    (line,) = [line for line in rig.lines() if line["kind"] == "trace"]
    record = rig.records()[-1]
    assert (line["call_id"], line["received_at"]) == (record["call_id"], record["received_at"])
    peers = {message[3] for message in line["messages"]}
    assert peers == {f"udp:{host}:5060" for host in (CALLER, *CARRIERS[:2])}
    rig.assert_nothing_is_left()


@on_loop
async def test_what_is_repeated_is_there_again(tapped: MakeRig) -> None:
    rig = tapped()
    rig.dial()
    rig.wire.advance(2.0)
    call = next(iter(rig.driver.calls.values()))
    found = rig.driver.ladders.find(call.record.b_call_id)
    assert found is not None
    assert found["call_id"] == call.call_id
    sent = [each.title for each in read_messages(found["messages"]) if each.leg == "b"]
    assert sent == ["INVITE"] * 3
    rig.caller.cancel()
    rig.wire.settle()


@on_loop
async def test_call_that_is_up_can_be_looked_at_and_is_forgotten_when_it_was_answered(tapped: MakeRig) -> None:
    rig = tapped()
    carrier = rig.carrier()
    rig.dial()
    call = next(iter(rig.driver.calls.values()))
    found = rig.driver.ladders.find(call.record.a_call_id)
    assert found is not None
    told = read_messages(found["messages"])
    for leg in ("a", "b"):
        assert [each.title for each in told if each.leg == leg] == ["INVITE", "180 Ringing", "200 OK", "ACK"]
    rig.hang_up(carrier)
    over = rig.driver.ladders.find(call.call_id)
    assert over is not None
    # The caller's answer to our BYE has come after the end of the call.
    for leg in ("a", "b"):
        told = [each for each in read_messages(over["messages"]) if each.leg == leg]
        assert [each.title for each in told][-2:] == ["BYE", "200 OK (BYE)"]
    rig.driver.ladders._share = 0.0
    rig.driver.ladders.write_due(math.inf)
    assert rig.driver.ladders.find(call.call_id) is None
    rig.assert_nothing_is_left()


@on_loop
async def test_refusals_that_share_a_record_have_no_messages(tapped: MakeRig) -> None:
    rig = tapped(call={"refusal_rows": 1})
    for _ in range(3):
        rig.dial("999")
    assert rig.driver.ladders.write_due(math.inf) == 1
    rig.driver.refusals.flush(math.inf)
    rig.journal.flush(0.0)
    assert [record["calls"] for record in rig.records()] == [1, 2]
    (messages,) = traced(rig)
    assert messages[0] == ("a", "INVITE", False)
    assert [title for _, title, _ in messages[1:]] == [messages[1][1], "ACK"]
    assert not rig.driver.ladders._by_key


@on_loop
async def test_message_that_could_not_be_sent_is_not_shown(tapped: MakeRig) -> None:
    rig = tapped()
    rig.wire.unreachable.add(CARRIERS[0])
    rig.carrier(2)
    rig.dial()
    found = rig.driver.ladders.find(next(iter(rig.driver.calls)))
    assert found is not None
    assert f"udp:{CARRIERS[0]}:5060" not in {message[3] for message in found["messages"]}
