"""Packets a second: of calls that are up and of those that ended meanwhile."""

import time

from media.meter import INTERVAL, PacketMeter
from tests.media.rig import Rig, with_rig


class TestMeter:
    @with_rig()
    async def test_packets_of_an_interval_are_a_rate(self, rig: Rig) -> None:
        rig.connect()
        meter, now = PacketMeter(), time.monotonic()
        calls = rig.engine.calls
        meter.look(calls.values(), now)
        await rig.talk(25)
        meter.look(calls.values(), now + INTERVAL - 1)
        assert meter.rate == 0
        meter.look(calls.values(), now + INTERVAL)
        assert meter.rate == 10
        await rig.talk(5)
        meter.forget(calls["call"])
        meter.look([], now + 2 * INTERVAL)
        assert meter.rate == 2
        meter.look([], now + 3 * INTERVAL)
        assert meter.rate == 0

    @with_rig()
    async def test_engine_tells_it(self, rig: Rig) -> None:
        rig.connect()
        now = time.monotonic()
        rig.engine.handle_timers(now)
        await rig.talk(25)
        rig.engine.handle_timers(now + INTERVAL)
        assert rig.ask({"command": "statistics"})["statistics"]["packets per second"] == 10
