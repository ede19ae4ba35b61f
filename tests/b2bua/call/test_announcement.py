"""What a caller hears before it is refused, and that nothing of it changes the refusal or the record."""

from array import array
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from b2bua.call.announcement import CODES, Announcements, parse_announcements
from conf.errors import InvalidSetting
from media.prompt import Prompt, PromptLibrary
from tests.b2bua.call.anchoring import Anchoring, anchoring
from tests.b2bua.call.rig import CALLER, SWITCH, running_rig
from tests.media.rig import settings
from tests.support.legs import on_loop

LIBRARY = PromptLibrary()
LIBRARY._prompts["closed"] = Prompt("closed", array("h", [5000, -5000]) * 800)

MakeAnchoring = Callable[..., Anchoring]


@pytest.fixture
def announcing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeAnchoring]:
    """Make a rig whose suspended customer hears why, from inside a coroutine."""
    with ExitStack() as made:

        def make(*announcements: str, **changes: Any) -> Anchoring:
            media = made.enter_context(anchoring(made.enter_context(running_rig(tmp_path))))
            media.engine.playing.library = LIBRARY
            named = announcements or ("ACCOUNT_INACTIVE=closed",)
            media.rig.driver.announcements = Announcements(media.rig.driver, settings(announcements=named, **changes))
            media.rig.customer.status = "suspended"
            media.rig.customer.with_media = False
            return media

        yield make


def assert_refused(media: Anchoring, status: int = 403) -> None:
    assert len(media.rig.wire.responses(status, SWITCH, CALLER)) == 1
    (record,) = media.rig.records()
    assert [record[name] for name in ("code", "answered_at", "media_mode")] == ["ACCOUNT_INACTIVE", None, ""]
    assert media.rig.driver.announcements.count == 0
    media.assert_nothing_is_left()


class TestAnnouncement:
    @on_loop
    async def test_prompt_is_heard_once_and_then_the_refusal_comes(self, announcing: MakeAnchoring) -> None:
        media = announcing()
        media.rig.driver.endpoint.show = media.rig.driver.ladders.take
        media.rig.dial()
        (early,) = media.rig.wire.responses(183, SWITCH, CALLER)
        media.caller.end.learn(early.body)
        packets = await media.caller.end.gets(10)  # 0.2 s of it
        assert all(packet[0][1] & 0x7F == 0 and len(packet[0]) == 172 for packet in packets)
        assert media.caller.status == 0
        (name,) = {message.call_id for message in media.rig.wire.requests("INVITE")}
        media.rig.wire.advance(0.25)
        trace = media.rig.driver.ladders.find(name)
        assert trace is not None
        assert "SIP/2.0 403" in str(trace["messages"])  # what was said at the end is in it too
        assert_refused(media)
        assert media.commands() == ["offer", "answer", "play media", "delete"]
        assert media.rig.wire.responses(403, SWITCH, CALLER)[0].headers.first("reason").startswith("Q.850")

    @on_loop
    async def test_long_prompt_is_cut_off(self, announcing: MakeAnchoring) -> None:
        media = announcing(announcement_time=0.1)
        media.rig.dial()
        media.rig.wire.advance(0.15)
        assert_refused(media)

    @on_loop
    async def test_caller_that_gives_up_is_answered_at_once(self, announcing: MakeAnchoring) -> None:
        media = announcing()
        media.rig.dial()
        media.caller.cancel()
        media.rig.wire.settle()
        assert_refused(media, 487)

    @on_loop
    async def test_worker_that_stops_refuses_at_once(self, announcing: MakeAnchoring) -> None:
        media = announcing()
        media.rig.dial()
        media.rig.driver.leave_dialogs()
        media.rig.driver.endpoint.end_of_turn()
        media.rig.wire.settle()
        assert_refused(media)

    @on_loop
    async def test_above_the_limit_callers_are_refused_plainly(self, announcing: MakeAnchoring) -> None:
        media = announcing(max_announcements=0)
        media.rig.dial()
        assert_refused(media)
        assert media.commands() == []

    @on_loop
    async def test_unknown_prompt_leads_to_the_refusal(self, announcing: MakeAnchoring) -> None:
        media = announcing("ACCOUNT_INACTIVE=unknown")
        media.rig.dial()
        assert_refused(media)
        assert media.rig.wire.responses(183, SWITCH, CALLER) == []
        assert media.commands() == ["offer", "answer", "play media", "delete"]

    @on_loop
    async def test_silent_engine_leads_to_the_refusal(self, announcing: MakeAnchoring) -> None:
        media = announcing()
        media.is_dead = True
        media.rig.dial()
        assert media.caller.status == 0
        media.give_up()
        assert media.caller.status == 403

    @on_loop
    async def test_refusal_without_an_offer_or_of_another_code_is_plain(self, announcing: MakeAnchoring) -> None:
        media = announcing("NO_FUNDS=closed")
        media.rig.dial()
        assert_refused(media)
        assert media.commands() == []

    @on_loop
    async def test_caller_that_offers_late_is_refused_plainly(self, announcing: MakeAnchoring) -> None:
        media = announcing()
        media.caller.offers_late = True
        media.rig.dial()
        assert_refused(media)
        assert media.commands() == []


class TestSetting:
    def test_prompts_are_read_by_code(self) -> None:
        assert parse_announcements(("NO_FUNDS=no-funds", " NO_ROUTE = sit ")) == {
            "NO_FUNDS": "no-funds",
            "NO_ROUTE": "sit",
        }
        assert {"NO_FUNDS", "NUMBER_NOT_ALLOWED", "NO_ROUTE", "ACCOUNT_INACTIVE"} <= CODES

    @pytest.mark.parametrize("text", ["NO_FUNDS", "NO_FUNDS=", "NOBODY=sit", "ADDRESS_NOT_ALLOWED=sit", "=sit"])
    def test_entry_that_cannot_be_is_refused(self, text: str) -> None:
        with pytest.raises(InvalidSetting, match="must look like NO_FUNDS=no-funds"):
            parse_announcements((text,))
