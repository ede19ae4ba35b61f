"""Background tasks have an owner, and their faults are seen."""

import asyncio
import gc
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from b2bua.tasks import spawn, stop_all
from tests.support.servers import Run


@pytest.fixture
def logs() -> Iterator[list[Any]]:
    structlog.reset_defaults()
    with capture_logs() as logs:
        yield logs


class TestSpawn:
    def test_task_runs_and_gives_its_result_and_name(self, run: Run) -> None:
        async def work() -> int:
            return 42

        async def main() -> None:
            task = spawn(work(), "adding")
            assert task.get_name() == "adding"
            assert await task == 42

        run(main())

    def test_task_is_kept_alive_when_nobody_holds_it(self, run: Run) -> None:
        async def main() -> None:
            gate, done = asyncio.Event(), asyncio.Event()

            async def work() -> None:
                await gate.wait()
                done.set()

            spawn(work(), "work")
            await asyncio.sleep(0)
            gc.collect()
            gate.set()
            async with asyncio.timeout(5):
                await done.wait()

        run(main())

    def test_fault_is_logged_with_the_name_when_nobody_awaits_the_task(self, run: Run, logs: list[Any]) -> None:
        async def work() -> None:
            raise ValueError("broken")

        async def main() -> None:
            task = spawn(work(), "breaking")
            await asyncio.wait([task])
            await asyncio.sleep(0)

        run(main())
        (entry,) = logs
        assert (entry["event"], entry["task"], entry["log_level"]) == ("background task failed", "breaking", "error")
        assert str(entry["exc_info"]) == "broken"

    def test_nothing_is_logged_when_a_task_ends_or_is_cancelled(self, run: Run, logs: list[Any]) -> None:
        async def main() -> None:
            tasks = [spawn(asyncio.sleep(0), "short"), spawn(asyncio.sleep(3600), "long")]
            tasks[1].cancel()
            await asyncio.wait(tasks)
            await asyncio.sleep(0)

        run(main())
        assert logs == []


class TestStopAll:
    def test_every_task_is_cancelled_and_has_cleaned_up(self, run: Run) -> None:
        cleaned: list[int] = []

        async def work(number: int) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0)
                cleaned.append(number)

        async def main() -> None:
            tasks = [spawn(work(number), f"work-{number}") for number in range(5)]
            await asyncio.sleep(0)
            await stop_all(5.0)
            assert all(task.cancelled() for task in tasks)
            await stop_all(5.0)

        run(main())
        assert sorted(cleaned) == [0, 1, 2, 3, 4]

    def test_stopping_returns_when_a_task_refuses_to_end(self, run: Run) -> None:
        async def main() -> None:
            gate = asyncio.Event()

            async def stubborn() -> None:
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    await gate.wait()

            task = spawn(stubborn(), "stubborn")
            await asyncio.sleep(0)
            async with asyncio.timeout(5):
                await stop_all(0.01)
            assert not task.done()
            gate.set()
            await task

        run(main())

    def test_stopping_does_nothing_when_there_is_no_task(self, run: Run) -> None:
        run(stop_all(5.0))
