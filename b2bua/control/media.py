"""The verbs `quality`, `engines`, `play` and `stop_playing` of a worker, about the engines of its calls.

Nobody asks, nothing is asked. What was heard of a call serves whoever asks within the next moment, and of calls at most
as many are asked for at a time as a page shows.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from b2bua.call.active import ActiveCall
from b2bua.call.anchor import Anchor
from b2bua.call.driver import CallDriver
from b2bua.call.events import Side
from b2bua.control.messages import QUALITY_LIMIT, ControlError, Message
from b2bua.control.server import Verb
from media.client import MediaClient
from media.errors import MediaError
from media.report import CallReport, MediumReport, read_figures

FRESH: Final = 1.5
"""What was heard serves for so long, in seconds."""

PATIENCE: Final = 1.2
"""Longest wait for engines, a little longer than a request to a silent one takes."""


class MediaVerbs:
    """Answers from the engines of a worker's calls.

    Args:
        driver: Gives the worker's calls; the verbs are there before they are.
    """

    def __init__(self, driver: Callable[[], CallDriver]) -> None:
        self._driver = driver
        self._heard: dict[str, tuple[float, Message]] = {}

    def verbs(self) -> dict[str, Verb]:
        """The verbs by their names."""
        return {
            "quality": self._quality,
            "engines": self._engines,
            "play": self._play,
            "stop_playing": self._stop_playing,
        }

    # Calls

    async def _quality(self, request: Message) -> Message:
        driver, now = self._driver(), time.monotonic()
        self._heard = {name: heard for name, heard in self._heard.items() if now - heard[0] < FRESH}
        wanted = [str(name) for name in (request.get("call_ids") or ())][:QUALITY_LIMIT]
        calls = {name: call for name in wanted if (call := driver.calls.get(name)) is not None and call.anchor}
        if driver.media is not None:
            media = driver.media
            await asyncio.gather(*(self._ask(media, call) for name, call in calls.items() if name not in self._heard))
        return {"calls": {name: self._heard[name][1] for name in calls if name in self._heard}}

    async def _ask(self, media: MediaClient, call: ActiveCall) -> None:
        anchor, legs = call.anchor, (call.parties.on(Side.CALLER), call.parties.on(Side.CALLEE))
        if anchor is None or not media.engine_of(anchor.name):
            return
        tags = ["" if leg is None else anchor.tag_of(leg) for leg in legs]
        try:
            async with asyncio.timeout(PATIENCE):
                report = await media.wait(media.query, anchor.name)
        except (MediaError, TimeoutError):
            return  # not measured now, which is not 0
        self._heard[call.call_id] = time.monotonic(), _describe(report, tags, media.engine_of(anchor.name))

    # Prompts

    async def _play(self, request: Message) -> Message:
        media, anchor, tag = self._listener(request)
        try:
            times = int(request.get("times", 1))
        except (TypeError, ValueError):
            raise ControlError("times is not a number") from None
        try:
            async with asyncio.timeout(PATIENCE):
                seconds = await media.wait(media.play, anchor.name, tag, str(request.get("prompt") or ""), times)
        except (MediaError, TimeoutError) as error:
            raise ControlError(str(error) or "the media engine does not answer in time") from error
        return {"seconds": seconds}

    def _stop_playing(self, request: Message) -> Message:
        media, anchor, tag = self._listener(request)
        media.stop_playing(anchor.name, tag)
        return {}

    def _listener(self, request: Message) -> tuple[MediaClient, Anchor, str]:
        driver = self._driver()
        call = driver.calls.get(str(request.get("call_id") or ""))
        side = {"caller": Side.CALLER, "callee": Side.CALLEE}.get(str(request.get("side")))
        if side is None:
            raise ControlError("side is caller or callee")
        if driver.media is None or call is None or call.anchor is None:
            raise ControlError("no such call goes through a media engine")
        leg = call.parties.on(side)
        if leg is None:
            raise ControlError("nobody is on that side yet")
        return driver.media, call.anchor, call.anchor.tag_of(leg)

    # Engines

    async def _engines(self, _: Message) -> Message:
        media = self._driver().media
        if media is None:
            return {"engines": []}
        return {"engines": list(await asyncio.gather(*(_look_at(media, name) for name in media.engines_up)))}


def _describe(report: CallReport, tags: list[str], engine: str) -> Message:
    caller, callee = (_audio(report, tag) for tag in tags)
    return {"engine": engine, "audio": report.audio, "a": caller, "b": callee}


def _audio(report: CallReport, tag: str) -> Message | None:
    medium: MediumReport | None = next((each for each in report.sides.get(tag, ()) if each.kind == "audio"), None)
    if medium is None:
        return None
    return {
        "packets": medium.packets,
        "lost": medium.lost,
        "jitter_ms": medium.jitter_ms,
        "round_trip_ms": medium.round_trip_ms,
        "mos": medium.mos,
        "in_kernel": medium.in_kernel,
    }


async def _look_at(media: MediaClient, name: str) -> Message:
    try:
        async with asyncio.timeout(PATIENCE):
            figures = await media.wait(media.statistics, name)
    except (MediaError, TimeoutError) as error:
        return {"name": name, "up": False, "reason": str(error) or "does not answer in time"}
    return {"name": name, "up": True, "reason": "", **read_figures(figures)}
