"""Timer values and the timer wheel."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from b2bua.sip.timers import SLOTS_PER_SECOND, Timer, TimerQueues, TimerWheel, Timing

SLOT = 1 / SLOTS_PER_SECOND


class TestTiming:
    """RFC 3261 §17 table 4."""

    def test_values_are_those_of_the_table_when_nothing_is_changed(self) -> None:
        timing = Timing()
        assert (timing.t1, timing.t2, timing.t4) == (0.5, 4.0, 5.0)
        assert timing.transaction == 32.0
        assert timing.timer_d == 32.0
        assert timing.trying <= 0.2

    def test_values_follow_t1_when_it_is_longer(self) -> None:
        timing = Timing(t1=1.0)
        assert timing.transaction == 64.0
        assert timing.timer_d == 64.0

    def test_timer_d_is_no_shorter_when_t1_is(self) -> None:
        timing = Timing(t1=0.1)
        assert timing.transaction == pytest.approx(6.4)
        assert timing.timer_d == 32.0


def kinds(timers: list[Timer[str]]) -> list[int]:
    return [timer.kind for timer in timers]


class TestWheel:
    """Deadlines in slots of 10 ms."""

    def test_wheel_has_nothing_to_do_when_empty(self) -> None:
        wheel: TimerWheel[str] = TimerWheel()
        assert wheel.next_deadline() is None
        assert wheel.expire(1e9) == []
        assert wheel.count == 0

    def test_deadline_comes_once_and_not_early(self) -> None:
        wheel: TimerWheel[str] = TimerWheel()
        wheel.add(5.0, "call", 7)
        assert wheel.expire(4.999) == []
        (timer,) = wheel.expire(5.0 + SLOT)
        assert (timer.owner, timer.kind) == ("call", 7)
        assert wheel.expire(1e9) == []

    def test_deadlines_come_in_order_when_added_in_another(self) -> None:
        wheel: TimerWheel[str] = TimerWheel()
        for kind, deadline in ((3, 30.0), (1, 0.5), (4, 3600.0), (2, 4.0)):
            wheel.add(deadline, "x", kind)
        assert wheel.next_deadline() == pytest.approx(0.5, abs=2 * SLOT)
        assert kinds(wheel.expire(30.1)) == [1, 2, 3]
        assert wheel.next_deadline() == pytest.approx(3600.0, abs=2 * SLOT)

    def test_deadlines_come_together_when_in_one_slot(self) -> None:
        wheel: TimerWheel[str] = TimerWheel()
        for kind in range(3):
            wheel.add(1.001 + kind / 1000, "x", kind)
        assert sorted(kinds(wheel.expire(1.0 + 2 * SLOT))) == [0, 1, 2]

    def test_deadline_in_the_past_comes_at_the_next_chance(self) -> None:
        wheel: TimerWheel[str] = TimerWheel()
        wheel.expire(100.0)
        wheel.add(1.0, "x", 1)
        assert kinds(wheel.expire(100.0)) == [1]

    @settings(deadline=None)
    @given(st.lists(st.floats(0, 1e7), max_size=30))
    def test_every_deadline_comes_when_the_wheel_says(self, deadlines: list[float]) -> None:
        wheel: TimerWheel[float] = TimerWheel()
        for deadline in deadlines:
            wheel.add(deadline, deadline, 0)
        came: list[float] = []
        while (now := wheel.next_deadline()) is not None:
            expired = wheel.expire(now)
            assert expired, "the wheel named a time at which it has nothing to give"
            for timer in expired:
                assert now - 2 * SLOT <= timer.owner <= now
                came.append(timer.owner)
        assert sorted(came) == sorted(deadlines)
        assert wheel.count == 0


class TestCancel:
    """A deadline that was cancelled does not come."""

    def test_deadline_does_not_come_when_cancelled(self) -> None:
        wheel: TimerWheel[str] = TimerWheel()
        first, second = wheel.add(1.0, "a", 1), wheel.add(1.0, "b", 2)
        wheel.cancel(first)
        assert wheel.count == 1
        assert wheel.expire(2.0) == [second]

    def test_next_deadline_is_the_next_when_the_first_is_cancelled(self) -> None:
        wheel: TimerWheel[str] = TimerWheel()
        first = wheel.add(1.0, "a", 1)
        wheel.add(9.0, "b", 2)
        wheel.cancel(first)
        assert wheel.next_deadline() == pytest.approx(9.0, abs=2 * SLOT)

    def test_cancelling_changes_nothing_when_repeated_or_late(self) -> None:
        wheel: TimerWheel[str] = TimerWheel()
        first, second = wheel.add(1.0, "a", 1), wheel.add(2.0, "b", 2)
        wheel.cancel(first)
        wheel.cancel(first)
        wheel.expire(3.0)
        wheel.cancel(second)
        assert wheel.count == 0
        wheel.add(2.0, "c", 3)
        wheel.cancel(second)
        assert wheel.count == 1

    def test_wheel_does_not_grow_when_deadlines_are_added_and_cancelled(self) -> None:
        wheel: TimerWheel[str] = TimerWheel()
        for step in range(5000):
            wheel.cancel(wheel.add(step * 0.05, "x", 0))
            wheel.next_deadline()
        assert wheel.count == 0
        assert len(wheel._slots) == len(wheel._order) == 0

    def test_wheel_does_not_grow_when_deadlines_come(self) -> None:
        wheel: TimerWheel[str] = TimerWheel()
        for step in range(5000):
            now = step * 0.05
            wheel.cancel(wheel.add(now + 32.0, "x", 0))
            wheel.add(now + 0.5, "x", 1)
            wheel.expire(now)
        assert wheel.count <= 12
        assert len(wheel._slots) == len(wheel._order) <= 700


class TestQueues:
    """Deadlines that nobody cancels, in a queue for each kind and length."""

    def test_queues_have_nothing_to_do_when_empty(self) -> None:
        queues: TimerQueues[str] = TimerQueues()
        queues.queue(1, 32.0)
        assert (queues.next_deadline(), queues.expire(1e9), queues.count) == (None, [], 0)

    def test_deadline_comes_once_and_not_early(self) -> None:
        queues: TimerQueues[str] = TimerQueues()
        queues.add(queues.queue(7, 5.0), 1.0, "call")
        assert queues.expire(5.999) == []
        assert queues.expire(6.0) == [("call", 7)]
        assert (queues.expire(1e9), queues.next_deadline()) == ([], None)

    def test_length_of_another_kind_is_another_queue(self) -> None:
        queues: TimerQueues[str] = TimerQueues()
        assert queues.queue(1, 5.0) is queues.queue(1, 5.0)
        queues.add(queues.queue(1, 5.0), 0.0, "a")
        queues.add(queues.queue(2, 5.0), 0.0, "b")
        queues.add(queues.queue(1, 0.5), 0.0, "c")
        assert queues.count == 3
        assert queues.expire(1.0) == [("c", 1)]
        assert sorted(queues.expire(5.0)) == [("a", 1), ("b", 2)]

    @settings(deadline=None)
    @given(st.lists(st.tuples(st.floats(0, 1e3), st.sampled_from((0.0, 0.15, 0.5, 4.0, 32.0))), max_size=30))
    def test_every_deadline_comes_when_the_queues_say(self, begun: list[tuple[float, float]]) -> None:
        queues: TimerQueues[float] = TimerQueues()
        for now, seconds in sorted(begun):
            queues.add(queues.queue(0, seconds), now, now + seconds)
        came: list[float] = []
        while (deadline := queues.next_deadline()) is not None:
            found = [owner for owner, _ in queues.expire(deadline)]
            assert found
            assert all(deadline - SLOT - 1e-5 <= owner <= deadline + 1e-5 for owner in found)
            came += found
        assert sorted(came) == sorted(now + seconds for now, seconds in begun)
