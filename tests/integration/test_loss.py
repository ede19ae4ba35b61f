"""A short `make loss`, with timers five times as fast: calls are right though datagrams are lost; nothing is left."""

import asyncio

from tests.support.datagrams import header
from tests.support.loss import Leavings, Run, lossy_switch
from tests.support.unreliable import LossyCaller, Port, Relay

T1 = 0.1


class TestLoss:
    def test_calls_are_set_up_and_ended_right_and_nothing_is_left_when_datagrams_are_lost(self) -> None:
        with lossy_switch(T1) as (switch, own, shown):
            leavings = Leavings(switch)
            little, much = Run(60, 10, t1=T1), Run(30, 30, t1=T1)
            for run in (little, much):
                asyncio.run(run.carry(switch, own, shown))
                run.judge(switch)
            assert little.result.right == 60, little.result.as_json()
            # The switch, whose T2 stays as it is, repeats a 200 or BYE six times only: one of a hundred is lost.
            assert much.result.right >= 24, much.result.as_json()
            assert leavings.find(patience=50.0) == {}

    def test_a_caller_that_gave_up_ends_a_call_that_is_answered_all_the_same(self) -> None:
        assert asyncio.run(_answer_late()) == ["ACK", "BYE"]


async def _answer_late() -> list[str]:
    """What a caller sends, beside its INVITE, to a switch that answers once it has given up."""
    relay, switch, caller = Relay(0, 1), Port(), LossyCaller(0.01, 10)
    got: asyncio.Queue[tuple[str, tuple[str, int]]] = asyncio.Queue()
    switch.receive = lambda data, source: got.put_nowait((data.decode(), source))
    await switch.open()
    await relay.open(switch.number, 0)
    await caller.open(relay)
    methods: list[str] = []
    try:
        async with asyncio.timeout(10):
            talk = caller.call(0, "1000", "2000")
            invite, (_, port) = await got.get()
            while not talk.gave_up:  # noqa: ASYNC110 - what is looked at has no event
                await asyncio.sleep(0.01)
            names = ("Via", "From", "To", "Call-ID", "CSeq")
            lines = [f"{name}: {header(invite, name.lower())}" for name in names]
            switch.send(
                "\r\n".join(["SIP/2.0 200 OK", *lines, "Contact: <sip:switch@127.0.0.1>", "", ""]).encode(), port
            )
            while "BYE" not in methods:
                methods.append((await got.get())[0].partition(" ")[0])
    finally:
        for closing in (caller, relay, switch):
            closing.close()
    return [method for method in methods if method != "INVITE"]
