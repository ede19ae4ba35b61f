"""Who is not heard: one side, both, or nobody knows yet."""

import time

from media.kernel_flow import Flow
from media.listening import listen
from media.rtp import pack
from media.session import Call
from tests.media.descriptions import description
from tests.media.rig import Rig, with_rig

AFTER = 10.0
COMFORT_NOISE = "m=audio {} RTP/AVP 0 13\n"


def call_of(rig: Rig) -> Call:
    return rig.engine.calls["call"]


def heard(rig: Rig, later: float) -> str:
    """What is said of the call when so many seconds have passed since anything."""
    listen(call_of(rig), time.monotonic() + later, AFTER)
    return call_of(rig).audio


class TestListening:
    @with_rig()
    async def test_side_that_never_sends_makes_it_one_way(self, rig: Rig) -> None:
        rig.connect()
        rig.caller.send(2)
        await rig.callee.gets(2)
        assert heard(rig, AFTER - 1) == ""
        call_of(rig).streams[0].legs[0].rtp.last_at += 5  # type: ignore[union-attr]
        assert heard(rig, AFTER + 1) == "one-way"
        answer = rig.query()
        assert (answer["audio"], answer["audio seen"]) == ("one-way", "one-way")

    @with_rig()
    async def test_worst_is_remembered_when_both_are_heard_again(self, rig: Rig) -> None:
        rig.connect()
        await rig.talk()
        assert listen(call_of(rig), time.monotonic() + AFTER + 1, AFTER)
        assert call_of(rig).audio == "silent"
        assert not listen(call_of(rig), time.monotonic() + AFTER + 2, AFTER)  # it is no news
        await rig.talk()
        assert heard(rig, 0) == ""
        assert rig.query()["audio seen"] == "silent"
        assert rig.ask({"command": "delete", "call-id": "call"})["audio seen"] == "silent"

    @with_rig()
    async def test_nobody_need_be_heard_on_hold_or_before_the_answer(self, rig: Rig) -> None:
        rig.offer()
        assert heard(rig, 60) == ""
        rig.answer()
        rig.offer(rig.caller.sdp(extra="a=sendonly\n"))
        rig.answer(rig.callee.sdp(extra="a=recvonly\n"))
        assert heard(rig, 60) == ""
        rig.offer()
        rig.answer()
        assert heard(rig, AFTER - 1) == ""  # time begins when it is taken up again
        assert heard(rig, 60) == "silent"

    @with_rig()
    async def test_nobody_need_be_heard_while_it_rings(self, rig: Rig) -> None:
        rig.offer()
        rig.answer(tags=("a", "early"), is_early=True)
        assert heard(rig, 60) == ""
        rig.answer()
        assert heard(rig, 60) == "silent"

    @with_rig()
    async def test_nothing_but_comfort_noise_is_silence(self, rig: Rig) -> None:
        rig.callee.learn(
            rig.offer(description("127.0.0.1", rig.caller.port, media=COMFORT_NOISE.format(rig.caller.port)))
        )
        rig.caller.learn(
            rig.answer(description("127.0.0.1", rig.callee.port, media=COMFORT_NOISE.format(rig.callee.port)))
        )
        await rig.talk(2)
        now = time.monotonic() + AFTER + 1
        leg = call_of(rig).streams[0].legs[0]
        assert leg is not None
        rig.caller.rtp.sendto(pack(13, 9, 1440, rig.caller.ssrc, b"\x40"), rig.caller.target)
        await rig.callee.gets(1)
        for each in call_of(rig).streams[0].legs:
            each.rtp.last_at = now  # type: ignore[union-attr]  # packets come all the time
        listen(call_of(rig), now, AFTER)
        assert call_of(rig).audio == "one-way"
        rig.caller.send(1)
        await rig.callee.gets(1)
        assert heard(rig, 1) == ""

    @with_rig()
    async def test_kernels_counters_are_given_the_time_that_they_need(self, rig: Rig) -> None:
        rig.connect()
        await rig.talk()
        listen(call_of(rig), time.monotonic() + 4, 3.0)
        assert call_of(rig).audio == "silent"
        call_of(rig).streams[0].flow = Flow(*[("127.0.0.1", 1)] * 4)
        listen(call_of(rig), time.monotonic() + 4, 3.0)
        assert call_of(rig).audio == ""
        call_of(rig).streams[0].flow = None
