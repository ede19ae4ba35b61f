"""What a worker tells of the audio of its calls, and of the engines."""

from array import array
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from b2bua.control.media import MediaVerbs
from b2bua.control.messages import QUALITY_LIMIT, ControlError
from media.prompt import Prompt
from tests.b2bua.call.anchoring import Anchoring, anchoring
from tests.b2bua.call.rig import CALLER, SWITCH, running_rig
from tests.support.legs import on_loop

MakeAnchoring = Callable[..., Anchoring]


@pytest.fixture
def make_anchoring(tmp_path: Path) -> Iterator[MakeAnchoring]:
    """Make a rig with an engine, from inside a coroutine."""
    with ExitStack() as made:
        yield lambda: made.enter_context(anchoring(made.enter_context(running_rig(tmp_path))))


class TestQuality:
    @on_loop
    async def test_both_directions_are_told_and_what_is_not_measured_is_empty(
        self, make_anchoring: MakeAnchoring
    ) -> None:
        media = make_anchoring()
        carrier = media.carrier()
        media.rig.dial()
        carrier.end.learn(carrier.invites[-1].body)
        media.caller.end.learn(media.rig.wire.responses(200, SWITCH, CALLER)[-1].body)
        for count in range(1, 4):  # one after the other, so that there is jitter to tell
            media.caller.end.send()
            await carrier.end.gets(1)
            assert count
        verbs = MediaVerbs(lambda: media.rig.driver).verbs()
        (call_id,) = media.rig.driver.calls
        answer = await verbs["quality"]({"call_ids": [call_id, "0" * 36]})  # type: ignore[misc]
        (quality,) = answer["calls"].values()
        assert (quality["engine"], quality["audio"]) == ("own", "")
        assert [quality["a"][name] for name in ("packets", "lost", "round_trip_ms", "in_kernel")] == [3, 0, None, False]
        assert quality["a"]["mos"] > 4
        assert (quality["b"]["packets"], quality["b"]["mos"], quality["b"]["lost"]) == (0, None, None)
        # Whoever asks within a moment is told the same, without another question.
        asked = media.commands().count("query")
        assert await verbs["quality"]({"call_ids": [call_id] * (QUALITY_LIMIT + 9)}) == answer  # type: ignore[misc]
        assert media.commands().count("query") == asked
        media.rig.hang_up(media.caller)
        assert await verbs["quality"]({"call_ids": [call_id]}) == {"calls": {}}  # type: ignore[misc]
        media.assert_nothing_is_left()

    @on_loop
    async def test_call_that_goes_from_end_to_end_has_none(self, make_anchoring: MakeAnchoring) -> None:
        media = make_anchoring()
        media.rig.customer.with_media = False
        media.carrier()
        media.rig.dial()
        verbs = MediaVerbs(lambda: media.rig.driver).verbs()
        assert await verbs["quality"]({"call_ids": list(media.rig.driver.calls)}) == {"calls": {}}  # type: ignore[misc]
        media.rig.hang_up(media.caller)


class TestEngines:
    @on_loop
    async def test_engine_is_up_with_its_figures_or_silent(self, make_anchoring: MakeAnchoring) -> None:
        media = make_anchoring()
        verbs = MediaVerbs(lambda: media.rig.driver).verbs()
        (engine,) = (await verbs["engines"]({}))["engines"]  # type: ignore[misc]
        assert (engine["name"], engine["up"], engine["sessions"]) == ("own", True, 0)
        assert engine["path"] == "user space: switched off"
        media.die()
        (engine,) = (await verbs["engines"]({}))["engines"]  # type: ignore[misc]
        assert (engine["up"], engine["reason"]) == (False, "media engine own does not answer")
        media.rig.driver.media = None
        assert await verbs["engines"]({}) == {"engines": []}  # type: ignore[misc]


class TestPrompts:
    @on_loop
    async def test_prompt_is_played_to_a_side_and_stopped(self, make_anchoring: MakeAnchoring) -> None:
        media = make_anchoring()
        media.engine.playing.library._prompts["hello"] = Prompt("hello", array("h", [0] * 1600))
        media.carrier()
        media.rig.dial()
        verbs = MediaVerbs(lambda: media.rig.driver).verbs()
        request = {"call_id": next(iter(media.rig.driver.calls)), "side": "callee", "prompt": "hello"}
        assert await verbs["play"]({**request, "times": 3}) == {"seconds": 0.6}  # type: ignore[misc]
        assert await verbs["play"]({**request, "times": 0}) == {"seconds": None}  # type: ignore[misc]
        assert media.engine.playing.player.count == 1
        assert verbs["stop_playing"](request) == {}
        media.rig.wire.settle()
        assert media.engine.playing.player.count == 0
        for change, reason in (
            ({"side": "nobody"}, "side is caller or callee"),
            ({"prompt": "other"}, "no prompt 'other'"),
            ({"call_id": "x"}, "no such call"),
            ({"times": "x"}, "times is not a number"),
        ):
            with pytest.raises(ControlError, match=reason):
                await verbs["play"]({**request, **change})  # type: ignore[misc]
        media.rig.hang_up(media.caller)
        media.assert_nothing_is_left()
