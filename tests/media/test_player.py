"""The one timer of all plays: late packets are made up for, up to a point."""

import time

from media.player import LATE_LIMIT
from media.prompt import FRAME_SECONDS
from tests.media.rig import Rig, with_rig
from tests.media.test_play_commands import hears, play


class TestTimer:
    @with_rig()
    async def test_short_pause_of_ours_is_made_up_for_and_a_long_one_is_not(self, rig: Rig) -> None:
        rig.connect()
        play(rig, repeat_times=0)
        player = rig.engine.playing.player
        await hears(rig.caller, 1)
        for pause, at_once in ((2.5, 3), (LATE_LIMIT + 200.5, 1)):
            rig.caller.received()
            assert player._timer is not None
            player._timer.cancel()
            player._due = time.monotonic() - pause * FRAME_SECONDS
            player._tick()
            assert len(rig.caller.received()) == at_once

    @with_rig()
    async def test_nothing_is_left_to_do_when_nothing_is_played(self, rig: Rig) -> None:
        rig.connect()
        play(rig)
        player = rig.engine.playing.player
        await hears(rig.caller, 5)
        assert (player.count, player._timer) == (0, None)
        play(rig)
        assert len(await hears(rig.caller, 5)) == 5
