"""A connection to Valkey at microseconds a command: one write for each loop turn, answers handed to callbacks.

Client libraries cost 44 µs and more an operation, for a future, a lock and a task each. Here an operation is packed by
hiredis, joined to the turn's write, and its answer handed to a plain function.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import hiredis
import structlog

from b2bua.tasks import spawn

log = structlog.get_logger()

Reply = Any
Callback = Callable[[Reply], None]

PENDING_LIMIT: Final = 100_000
"""Most operations without an answer; more are refused at once."""


class StoreAway(Exception):
    """The live store gave no answer; handed to callbacks in place of a reply."""


class LiveConnection(asyncio.Protocol):
    """One pipelined connection, made again whenever it is lost.

    Args:
        url: `unix:///path` or `valkey://[user:password@]host:port[/database]`.
        timeout: Longest wait for an answer, in seconds; after it the connection is given up.
        on_connected: Called after each connection, before `is_up` becomes true: what this process took is put back.
        after_replies: Called once after the answers of one read have been handed out.
    """

    def __init__(
        self,
        url: str,
        timeout: float,
        on_connected: "Callable[[LiveConnection], None]",
        after_replies: Callable[[], None],
    ) -> None:
        self._url = urlsplit(url)
        self._timeout = timeout
        self._on_connected = on_connected
        self._after_replies = after_replies
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._reader = hiredis.Reader()
        self._pending: deque[tuple[float, Callback]] = deque()
        self._buffer: list[bytes] = []
        self._wanted = True
        self._lost = asyncio.Event()
        self.is_up = False
        """Whether operations are accepted."""
        self.operations = 0
        """Operations sent, since the start."""

    async def open(self) -> None:
        """Connect, or begin trying to; watch the connection from then on.

        Raises:
            OSError, StoreAway: the first attempt failed.
        """
        await self._connect()
        spawn(self._keep_connected(), "live-connection")

    async def close(self) -> None:
        """Close; whatever is pending hears `StoreAway`."""
        self._wanted = False
        self._lost.set()
        if self._transport is not None:
            self.flush()
            self._transport.close()

    def execute(self, command: tuple[Any, ...], callback: Callback) -> None:
        """Send a command; the callback gets the reply, a `hiredis.ReplyError`, or `StoreAway`."""
        if not self.is_up or len(self._pending) >= PENDING_LIMIT:
            self._loop.call_soon(self._refuse, callback)
            return
        self.send(command, callback)

    def _refuse(self, callback: Callback) -> None:
        callback(StoreAway("live store is away"))
        self._after_replies()

    def send(self, command: tuple[Any, ...], callback: Callback) -> None:
        """Send a command even while a new connection is being prepared; for what `on_connected` puts back."""
        self.operations += 1
        self._buffer.append(hiredis.pack_command(command))
        self._pending.append((self._loop.time() + self._timeout, callback))

    def flush(self) -> None:
        """Write the commands of this turn."""
        if self._buffer and self._transport is not None:
            self._transport.write(b"".join(self._buffer))
            self._buffer.clear()

    async def call(self, *command: Any) -> Reply:  # noqa: ANN401 - what Valkey says
        """Send a command and wait for its reply, for what is not on the path of a call.

        Raises:
            StoreAway: no answer.
            hiredis.ReplyError: the store refused it.
        """
        future: asyncio.Future[Reply] = self._loop.create_future()

        def answered(reply: Reply) -> None:
            if not future.done():
                if isinstance(reply, Exception):
                    future.set_exception(reply)
                else:
                    future.set_result(reply)

        if self._transport is None:
            raise StoreAway("live store is away")
        self.send(command, answered)
        self.flush()
        return await future

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = transport  # type: ignore[assignment]
        self._reader = hiredis.Reader()

    def data_received(self, data: bytes) -> None:
        """Hand out the answers of one read."""
        self._reader.feed(data)
        pending = self._pending
        try:
            while (reply := self._reader.gets()) is not False:
                pending.popleft()[1](reply)
        except hiredis.ProtocolError as error:
            log.error("live store speaks no RESP", error=str(error))
            if self._transport is not None:
                self._transport.abort()
        self._after_replies()
        self.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell everybody who waits, then connect again."""
        if self._wanted:
            log.warning("live store connection lost", error=str(exc or "closed by the store"))
        self.is_up = False
        self._transport = None
        self._buffer.clear()
        pending, self._pending = self._pending, deque()
        for _, callback in pending:
            callback(StoreAway("live store connection lost"))
        self._after_replies()
        self._lost.set()

    # Keeping it up

    async def _connect(self) -> None:
        self._lost.clear()
        try:
            async with asyncio.timeout(self._timeout):
                await self._greet()
            if self._transport is None:
                raise StoreAway("live store connection lost")
        except BaseException as error:
            # A store that is loading its data, say, takes the connection and refuses the greeting: try a new one later.
            if self._transport is not None:
                self._transport.abort()
            if isinstance(error, hiredis.ReplyError):
                raise StoreAway(str(error)) from error
            raise
        self._on_connected(self)
        self.is_up = True
        self.flush()

    async def _greet(self) -> None:
        url = self._url
        if url.scheme == "unix":
            await self._loop.create_unix_connection(lambda: self, unquote(url.path))
        else:
            host, port = url.hostname or "127.0.0.1", url.port or 6379
            await self._loop.create_connection(lambda: self, host, port)
        if url.password:
            names = [unquote(url.username)] if url.username else []
            await self.call("AUTH", *names, unquote(url.password))
        if url.scheme != "unix" and url.path.strip("/"):
            await self.call("SELECT", url.path.strip("/"))
        await self.call("PING")

    async def _keep_connected(self) -> None:
        delay = 0.1
        while self._wanted:
            if self._transport is not None:
                delay = 0.1
                await self._watch()
                continue
            try:
                await self._connect()
                log.info("live store is back")
            except (OSError, TimeoutError, StoreAway) as error:
                log.warning("live store does not answer", error=str(error) or type(error).__name__, next_try=delay)
                if self._transport is not None:
                    # It answers, but not yet for us: it may be loading its data. Begin again from the start.
                    self._transport.abort()
                await asyncio.sleep(delay)
                delay = min(delay * 2, 2.0)

    async def _watch(self) -> None:
        """Give the connection up when its oldest operation has waited too long."""
        try:
            await asyncio.wait_for(self._lost.wait(), self._timeout / 4)
        except TimeoutError:
            if self._pending and self._pending[0][0] < self._loop.time() and self._transport is not None:
                log.warning("live store is silent", waiting=len(self._pending))
                self._transport.abort()
