"""A connection to Valkey at microseconds a command: one write for each loop turn, answers handed to callbacks.

Client libraries cost 44 µs and more an operation, for a future, a lock and a task each. Here an operation is packed by
hiredis, joined to the turn's write, and its answer handed to a plain function.
"""

import asyncio
import socket
from collections import deque
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import hiredis
import structlog

from b2bua.tasks import spawn
from b2bua.turns import BATCH, Turns

log = structlog.get_logger()

Reply = Any
Callback = Callable[[Reply], None]

PENDING_LIMIT: Final = 100_000
"""Most operations without an answer; more are refused at once."""

_READ_SIZE: Final = 65_536
"""Most bytes that are read at once."""


class StoreAway(Exception):
    """The live store gave no answer; handed to callbacks in place of a reply."""


class LiveConnection:
    """One pipelined connection, made again whenever it is lost.

    Args:
        url: `unix:///path` or `valkey://[user:password@]host:port[/database]`.
        timeout: Longest wait for an answer, in seconds; after it the connection is given up.
        on_connected: Called after each connection, before `is_up` becomes true: what this process took is put back.
        turns: Looks for answers, and ends the turn in which they were handed out.
    """

    def __init__(
        self,
        url: str,
        timeout: float,
        on_connected: "Callable[[LiveConnection], None]",
        turns: Turns,
    ) -> None:
        self._url = urlsplit(url)
        self._timeout = timeout
        self._on_connected = on_connected
        self._turns = turns
        self._loop = asyncio.get_running_loop()
        self._socket: socket.socket | None = None
        self._unsent = b""
        """What the kernel would not take yet; commands wait behind it."""
        self._reader = hiredis.Reader()
        self._read_buffer = bytearray(_READ_SIZE)
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
        self.flush()
        self._lose("closed by us")

    def execute(self, command: tuple[Any, ...], callback: Callback) -> None:
        """Send a command; the callback gets the reply, a `hiredis.ReplyError`, or `StoreAway`."""
        if not self.is_up or len(self._pending) >= PENDING_LIMIT:
            self._loop.call_soon(self._refuse, callback)
            return
        self.send(command, callback)

    def _refuse(self, callback: Callback) -> None:
        callback(StoreAway("live store is away"))
        self._turns.end()

    def send(self, command: tuple[Any, ...], callback: Callback) -> None:
        """Send a command even while a new connection is being prepared; for what `on_connected` puts back."""
        self.operations += 1
        self._buffer.append(hiredis.pack_command(command))
        self._pending.append((self._loop.time() + self._timeout, callback))

    def flush(self) -> None:
        """Write the commands of this turn."""
        if self._buffer and self._socket is not None and not self._unsent:
            data = b"".join(self._buffer)
            self._buffer.clear()
            self._write(self._socket, data)

    def _write(self, wire: socket.socket, data: bytes) -> None:
        try:
            sent = wire.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            return  # reading tells that it is lost
        if sent < len(data):
            self._unsent = data[sent:]
            self._loop.add_writer(wire.fileno(), self._write_rest, wire)

    def _write_rest(self, wire: socket.socket) -> None:
        self._loop.remove_writer(wire.fileno())
        data, self._unsent = self._unsent, b""
        self._write(wire, data)
        self.flush()

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

        if self._socket is None:
            raise StoreAway("live store is away")
        self.send(command, answered)
        self.flush()
        return await future

    # What comes

    def fileno(self) -> int:
        """The socket's descriptor; -1 without a connection."""
        return self._socket.fileno() if self._socket is not None else -1

    def take(self, wire: socket.socket) -> None:
        """Use a connected, non-blocking socket."""
        self._socket = wire
        self._reader = hiredis.Reader()
        self._turns.add(self)

    def read(self) -> int:
        """Hand out the answers of one read; returns how many there were, at least 1 where anything came."""
        if self._socket is None:
            return 0
        try:
            size = self._socket.recv_into(self._read_buffer)
        except BlockingIOError:
            return 0
        except OSError as error:
            self._lose(error.strerror or str(error))
            return 1
        if not size:
            self._lose("closed by the store")
            return 1
        self._reader.feed(self._read_buffer, 0, size)  # type: ignore[arg-type]  # any buffer will do
        pending, taken = self._pending, 0
        try:
            while (reply := self._reader.gets()) is not False:
                taken += 1
                try:
                    pending.popleft()[1](reply)
                except Exception:
                    # One call's fault must not keep their answers from the others.
                    log.exception("answer of the live store could not be handled")
        except hiredis.ProtocolError as error:
            log.error("live store speaks no RESP", error=str(error))
            self._lose("no RESP")
        return BATCH if size == _READ_SIZE else taken or 1

    def _lose(self, reason: str) -> None:
        """Let go of the connection, tell everybody who waits, and see that another one is made."""
        if self._socket is None:
            return
        if self._wanted:
            log.warning("live store connection lost", error=reason)
        self._turns.remove(self)
        if self._unsent:
            self._loop.remove_writer(self._socket.fileno())
        self._socket.close()
        self._socket, self._unsent, self.is_up = None, b"", False
        self._buffer.clear()
        pending, self._pending = self._pending, deque()
        for _, callback in pending:
            callback(StoreAway("live store connection lost"))
        self._turns.end()
        self._lost.set()

    # Keeping it up

    async def _connect(self) -> None:
        self._lost.clear()
        try:
            async with asyncio.timeout(self._timeout):
                await self._greet()
        except BaseException as error:
            # A store that is loading its data, say, takes the connection and refuses the greeting: try a new one later.
            self._lose(str(error) or type(error).__name__)
            if isinstance(error, hiredis.ReplyError):
                raise StoreAway(str(error)) from error
            raise
        self._on_connected(self)
        self.is_up = True
        self.flush()

    async def _greet(self) -> None:
        url = self._url
        self.take(await self._open_socket())
        if url.password:
            names = [unquote(url.username)] if url.username else []
            await self.call("AUTH", *names, unquote(url.password))
        if url.scheme != "unix" and url.path.strip("/"):
            await self.call("SELECT", url.path.strip("/"))
        await self.call("PING")
        if self._socket is None:
            raise StoreAway("live store connection lost")

    async def _open_socket(self) -> socket.socket:
        url = self._url
        if url.scheme == "unix":
            return await self._dial(socket.AF_UNIX, unquote(url.path))
        host, port = url.hostname or "127.0.0.1", url.port or 6379
        fault: OSError | None = None
        for family, _, _, _, address in await self._loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            try:
                wire = await self._dial(family, address)
            except OSError as error:
                fault = fault or error
                continue
            wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return wire
        raise fault or OSError(f"{host} has no address")

    async def _dial(self, family: int, address: Any) -> socket.socket:  # noqa: ANN401 - as its family has it
        wire = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            await self._loop.sock_connect(wire, address)
        except BaseException:
            wire.close()
            raise
        return wire

    async def _keep_connected(self) -> None:
        delay = 0.1
        while self._wanted:
            if self._socket is not None:
                delay = 0.1
                await self._watch()
                continue
            try:
                await self._connect()
                log.info("live store is back")
            except (OSError, TimeoutError, StoreAway) as error:
                log.warning("live store does not answer", error=str(error) or type(error).__name__, next_try=delay)
                await asyncio.sleep(delay)
                delay = min(delay * 2, 2.0)

    async def _watch(self) -> None:
        """Give the connection up when its oldest operation has waited too long."""
        try:
            await asyncio.wait_for(self._lost.wait(), self._timeout / 4)
        except TimeoutError:
            if self._pending and self._pending[0][0] < self._loop.time():
                log.warning("live store is silent", waiting=len(self._pending))
                self._lose("silent")
