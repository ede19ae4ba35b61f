"""A short `make loss`, with timers five times as fast: calls are right though datagrams are lost; nothing is left."""

import asyncio

from tests.support.loss import Leavings, Run, lossy_switch

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
