"""/healthz and /metrics."""

from admin.keys import PICTURES, POOL
from admin.shared import Shared
from tests.admin.conftest import Play
from tests.admin.panel import Answer, Panel
from tests.support.servers import Run


async def look(panel: Panel) -> tuple[int, list[str]]:
    panel.app[PICTURES]._entries.clear()
    answer: Answer = await panel.get("/healthz")
    body = await answer.response.json()
    return answer.status, body["failing"]


def test_monitor_gets_200_when_every_part_works(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        await panel.data.beat()
        assert await look(panel) == (200, [])

    play(scenario)


def test_monitor_is_told_which_part_fails(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        assert await look(panel) == (503, ["cdr"])
        await panel.data.beat(age=11)
        assert await look(panel) == (503, ["cdr"])
        await panel.data.beat()
        panel.worker.live_up = False
        assert await look(panel) == (503, ["live"])
        panel.worker.live_up = True
        (panel.worker.path.parent / "sip-2.sock").touch()
        assert await look(panel) == (503, ["sip"])
        (panel.worker.path.parent / "sip-2.sock").unlink()
        assert await look(panel) == (200, [])

    play(scenario)


def test_monitor_is_told_when_no_worker_runs_and_the_database_is_away(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        await panel.data.beat()
        panel.worker.path.unlink()
        assert await look(panel) == (503, ["live", "sip"])
        await panel.app[POOL].close()
        assert await look(panel) == (503, ["database", "live", "sip", "cdr"])

    play(scenario)


def test_prometheus_reads_the_samples_of_every_worker(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        panel.worker.samples = [
            ["softswitch_calls_total", {"code": "ANSWERED"}, 12],
            ["softswitch_calls_total", {"code": "NO_FUNDS"}, 3],
            ["softswitch_calls", {}, 7],
        ]
        answer = await panel.get("/metrics")
        assert answer.header("Content-Type").startswith("text/plain")
        assert 'softswitch_calls_total{code="ANSWERED",worker="sip-1"} 12.0' in answer.text
        assert 'softswitch_calls_total{code="NO_FUNDS",worker="sip-1"} 3.0' in answer.text
        assert 'softswitch_calls{worker="sip-1"} 7.0' in answer.text
        assert "# TYPE softswitch_calls_total counter" in answer.text
        assert 'softswitch_part_up{part="sip"} 1.0' in answer.text
        assert "softswitch_panel_requests_total" in answer.text

    play(scenario)


def test_shared_value_is_made_once_for_readers_that_come_together(run: Run) -> None:
    made = 0

    async def make() -> int:
        nonlocal made
        made += 1
        return made

    async def scenario() -> None:
        shared = Shared()
        assert [await shared.get("key", 60, make) for _ in range(3)] == [1, 1, 1]
        assert await shared.get("key", 0, make) == 2

    run(scenario())
