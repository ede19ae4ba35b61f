"""The tone of a call that rings without sound: it is heard, ends in time, and disturbs no session."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from media.prompt import Prompt, PromptLibrary
from media.tone import TONES
from tests.b2bua.call.anchoring import Anchoring, TalkingAnswerer, anchoring, place
from tests.b2bua.call.rig import CALLER, CARRIERS, SWITCH, running_rig
from tests.b2bua.call.test_driver_ringing import EarlyCarrier
from tests.support.legs import on_loop

LIBRARY = PromptLibrary()
LIBRARY._prompts["ringback-eu"] = Prompt("ringback-eu", TONES["ringback-eu"].samples())

MakeAnchoring = Callable[..., Anchoring]


class Ringing(EarlyCarrier, TalkingAnswerer):
    """Rings without sound, and answers or lets something be heard when the test says so."""

    def invited(self, *arguments: object) -> None:
        """Ring."""
        TalkingAnswerer.invited(self, *arguments)  # type: ignore[arg-type]


@pytest.fixture
def ringing(tmp_path: Path) -> Iterator[Callable[[], tuple[Anchoring, Ringing]]]:
    """Make a rig with a carrier that rings, from inside a coroutine."""
    with ExitStack() as made:

        def make(ringback: str = "eu") -> tuple[Anchoring, Ringing]:
            media = made.enter_context(anchoring(made.enter_context(running_rig(tmp_path))))
            media.engine.playing.library = LIBRARY
            media.rig.driver.ringback = ringback
            return media, media.answerer(CARRIERS[0], Ringing, answers=False)

        yield make


class TestRingback:
    @on_loop
    async def test_tone_is_heard_until_the_answer(self, ringing: Callable[[], tuple[Anchoring, Ringing]]) -> None:
        media, carrier = ringing()
        media.rig.dial()
        assert media.rig.wire.responses(180, SWITCH, CALLER) == []
        (early,) = media.rig.wire.responses(183, SWITCH, CALLER)
        media.caller.end.learn(early.body)
        await media.caller.end.gets(5)
        (playing,) = media.engine.calls.values()
        assert playing.is_early
        carrier.answer()
        assert not playing.is_early
        assert media.engine.playing.player.count == 0
        (answer,) = media.rig.wire.responses(200, SWITCH, CALLER)
        assert answer.to_tag != early.to_tag  # a dialog has one answer
        assert place(answer.body) == media.caller.end.target
        carrier.end.learn(carrier.invites[0].body)
        media.caller.end.received()
        await media.talk(media.caller.end, carrier.end)
        media.rig.hang_up(media.caller)
        (record,) = media.rig.records()
        assert (record["code"], record["media_mode"]) == ("ANSWERED", "anchored")
        media.assert_nothing_is_left()

    @on_loop
    async def test_tone_ends_when_the_callee_lets_something_be_heard(
        self, ringing: Callable[[], tuple[Anchoring, Ringing]]
    ) -> None:
        media, carrier = ringing()
        media.rig.dial()
        carrier.leg.send_provisional(183, carrier.session)  # type: ignore[union-attr]
        carrier.endpoint.end_of_turn()
        media.rig.wire.settle()
        assert media.engine.playing.player.count == 0
        tone, sound = media.rig.wire.responses(183, SWITCH, CALLER)
        assert tone.to_tag != sound.to_tag
        media.caller.end.learn(sound.body)
        carrier.end.learn(carrier.invites[0].body)
        media.caller.end.received()
        await media.talk(media.caller.end, carrier.end)
        carrier.answer()
        assert media.rig.wire.responses(200, SWITCH, CALLER)[0].to_tag == sound.to_tag
        media.rig.hang_up(carrier)
        media.assert_nothing_is_left()

    @on_loop
    async def test_caller_that_gives_up_ends_it(self, ringing: Callable[[], tuple[Anchoring, Ringing]]) -> None:
        media, _ = ringing()
        media.rig.dial()
        media.caller.cancel()
        media.rig.wire.settle()
        assert len(media.rig.wire.responses(487, SWITCH, CALLER)) == 1
        assert media.engine.playing.player.count == 0
        media.assert_nothing_is_left()

    @on_loop
    async def test_it_just_rings_when_nothing_can_be_played(
        self, ringing: Callable[[str], tuple[Anchoring, Ringing]]
    ) -> None:
        media, carrier = ringing("us")  # whose tone this library has not
        media.rig.dial()
        assert len(media.rig.wire.responses(180, SWITCH, CALLER)) == 1
        assert media.rig.wire.responses(183, SWITCH, CALLER) == []
        carrier.answer()
        media.rig.hang_up(media.caller)
        media.assert_nothing_is_left()

    @on_loop
    async def test_nothing_is_played_unless_it_is_set(
        self, ringing: Callable[[str], tuple[Anchoring, Ringing]]
    ) -> None:
        media, carrier = ringing("")
        media.rig.dial()
        assert len(media.rig.wire.responses(180, SWITCH, CALLER)) == 1
        assert media.commands() == ["offer"]
        carrier.answer()
        media.rig.hang_up(media.caller)
        media.assert_nothing_is_left()
