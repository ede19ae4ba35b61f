"""Streams of server-sent events: each message is the whole picture of what a page watches.

A stream asks for its picture every few seconds through `Shared`, so readers of one scope cost one query, and sends it
only when it changed. It ends when the panel stops, the session ends or its role changes.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import structlog
from aiohttp import web
from aiohttp.client_exceptions import ClientConnectionResetError
from aiohttp_sse import EventSourceResponse

log = structlog.get_logger()

STREAMS_PER_USER: Final = 12
"""A user's open live pages; hidden ones close their stream."""

SESSION_CHECK: Final = 10.0
"""Seconds between looks at the session of a stream."""

LOOK: Final = 0.5
"""Seconds between looks whether the reader is still there."""

PING: Final = 15.0


@dataclass(frozen=True, slots=True)
class Picture:
    """What a page shows now."""

    version: str
    """Equal for pictures that need not be sent again."""
    html: str


class TooManyStreams(Exception):
    """The user has as many live pages open as are allowed."""


class Readers:
    """Counts the open streams of each user."""

    def __init__(self) -> None:
        self._open: Counter[int] = Counter()

    @property
    def total(self) -> int:
        """Open streams of all users."""
        return self._open.total()

    @contextmanager
    def reading(self, user_id: int) -> Iterator[None]:
        """Hold one of the user's streams.

        Raises:
            TooManyStreams: none is left.
        """
        if self._open[user_id] >= STREAMS_PER_USER:
            raise TooManyStreams
        self._open[user_id] += 1
        try:
            yield
        finally:
            self._open[user_id] -= 1
            if not self._open[user_id]:
                del self._open[user_id]


async def stream(
    request: web.Request,
    *,
    interval: float,
    picture: Callable[[], Awaitable[Picture]],
    is_welcome: Callable[[], Awaitable[bool]],
    stopping: asyncio.Event,
) -> web.StreamResponse:
    """Send a picture every `interval` seconds for as long as it is read.

    Args:
        request: The reader's.
        interval: Seconds between pictures.
        picture: Makes the picture, or takes the one another reader made.
        is_welcome: Whether the reader's session still allows it.
        stopping: Ends the stream.
    """
    response = EventSourceResponse(ping_interval=PING, send_timeout=30)
    response.headers["Cache-Control"] = "no-store"
    response.headers["Vary"] = "HX-Request-Type"
    if request.transport is None:
        return response  # the reader left before it was answered
    try:
        await response.prepare(request)
        async with response:
            await _send_pictures(request, response, interval, picture, is_welcome, stopping)
    except (ClientConnectionResetError, ConnectionResetError, TimeoutError):
        pass  # the reader left: the usual end
    except Exception:
        # The answer has begun, so there is no error page: the stream ends, and the browser comes again.
        log.exception("live page failed", path=request.path)
    return response


async def _send_pictures(
    request: web.Request,
    response: EventSourceResponse,
    interval: float,
    picture: Callable[[], Awaitable[Picture]],
    is_welcome: Callable[[], Awaitable[bool]],
    stopping: asyncio.Event,
) -> None:
    sent: str | None = None
    checked_at = time.monotonic()
    while not stopping.is_set() and request.transport is not None and response.is_connected():
        if time.monotonic() - checked_at >= SESSION_CHECK:
            checked_at = time.monotonic()
            if not await is_welcome():
                await response.send("", event="gone")
                return
        now = await picture()
        if now.version != sent:
            await response.send(now.html)
            sent = now.version
        await _pause(request, interval, stopping)


async def _pause(request: web.Request, seconds: float, stopping: asyncio.Event) -> None:
    """Wait until the next picture; a reader who leaves frees the stream at once, not with the next write."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0 and request.transport is not None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(left, LOOK)):
                await stopping.wait()
                return
