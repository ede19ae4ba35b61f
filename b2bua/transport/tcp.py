"""TCP: listeners, connections and their reuse (RFC 3261 §18.1.1, §18.2.2)."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import structlog

from b2bua.sip.errors import ParseError
from b2bua.sip.flow import Flow
from b2bua.sip.stream import StreamParser
from b2bua.tasks import spawn
from b2bua.transport.address import ListenAddress

log = structlog.get_logger()

CONNECTIONS_LIMIT: Final = 10_000
WRITE_LIMIT: Final = 1024 * 1024
"""Most unsent bytes of a connection; a peer that reads no longer is cut off."""
WAITING_LIMIT: Final = 256
"""Most messages that wait for a connection to be made."""
IDLE_SECONDS: Final = 600.0


class TCPConnection(asyncio.Protocol):
    """One connection, whoever opened it."""

    def __init__(self, pool: "TCPTransport", number: int, listener: int) -> None:
        self._pool = pool
        self._parser = StreamParser()
        self._transport: asyncio.Transport | None = None
        self.number = number
        self.listener = listener
        self.flow: Flow | None = None
        self.asked_for: tuple[str, int] | None = None
        """Host and port that we connected to: a name, where the flow has its address; None: the peer connected."""
        self.used_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = transport  # type: ignore[assignment]
        peer = transport.get_extra_info("peername")
        if peer is None:  # it was reset before it was accepted
            self.abort()
            return
        self.flow = Flow("tcp", peer[0], peer[1], self.listener, self.number)
        self.used_at = asyncio.get_running_loop().time()
        self._pool.opened(self)

    def data_received(self, data: bytes) -> None:
        """Cut messages out and hand them on."""
        assert self.flow is not None
        self.used_at = asyncio.get_running_loop().time()
        try:
            messages = self._parser.receive(data)
        except ParseError as error:
            log.info("TCP connection closed: its stream cannot be followed", peer=self.flow.address, fault=str(error))
            self.abort()
            return
        for message in messages:
            if message:
                self._pool.received(message, self.flow)
            else:
                self.write(b"\r\n")  # pong (RFC 5626 §3.5.1)
        self._pool.end_of_turn()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._pool.closed(self)

    def write(self, data: bytes) -> str:
        """Send; returns why that is not possible, or an empty string."""
        if self._transport is None or self._transport.is_closing():
            return "connection is closed"
        if self._transport.get_write_buffer_size() > WRITE_LIMIT:
            self.abort()
            return "peer does not read"
        self._transport.write(data)
        return ""

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()


class TCPTransport:
    """All TCP listeners and connections.

    Args:
        received: Called for each message.
        end_of_turn: Called after the messages of one read.
        failed: Called with a flow and a reason when a connection could not be made.
    """

    def __init__(
        self,
        received: Callable[[bytes, Flow], None],
        end_of_turn: Callable[[], None],
        failed: Callable[[Flow, str], None],
    ) -> None:
        self.received = received
        self.end_of_turn = end_of_turn
        self._failed = failed
        self._servers: list[asyncio.Server] = []
        self._connections: dict[int, TCPConnection] = {}
        self._by_peer: dict[tuple[str, int], TCPConnection] = {}
        self._waiting: dict[tuple[str, int], list[bytes]] = {}
        self._next_number = 1

    async def listen(self, address: ListenAddress, index: int) -> ListenAddress:
        """Accept connections at an address; returns it with the port that the system chose for port 0.

        Raises:
            OSError: it cannot be bound.
        """
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: self._make(index), address.host, address.port, reuse_address=True)
        self._servers.append(server)
        return replace(address, port=server.sockets[0].getsockname()[1])

    def close(self) -> None:
        """Close every listener and connection."""
        for server in self._servers:
            server.close()
        for connection in list(self._connections.values()):
            connection.abort()

    def close_idle(self, now: float) -> None:
        """Close connections that have been silent for long."""
        for connection in list(self._connections.values()):
            if connection.used_at < now - IDLE_SECONDS:
                connection.abort()

    def _make(self, listener: int) -> TCPConnection:
        number = self._next_number
        self._next_number += 1
        return TCPConnection(self, number, listener)

    def opened(self, connection: TCPConnection) -> None:
        """A connection is up; one too many is closed at once."""
        assert connection.flow is not None
        if len(self._connections) >= CONNECTIONS_LIMIT:
            connection.abort()
            return
        self._connections[connection.number] = connection
        self._by_peer[(connection.flow.host, connection.flow.port)] = connection

    def closed(self, connection: TCPConnection) -> None:
        """A connection is gone."""
        self._connections.pop(connection.number, None)
        flow = connection.flow
        address = (flow.host, flow.port) if flow is not None else None
        for peer in (address, connection.asked_for):
            if peer is not None and self._by_peer.get(peer) is connection:
                del self._by_peer[peer]

    def is_open(self, number: int) -> bool:
        """Whether the connection of this number is open."""
        return number in self._connections

    def send(self, data: bytes, flow: Flow) -> str:
        """Send on the flow's connection, else on one to the same peer, else on a new one.

        Returns:
            Why it could not be sent, or an empty string; a connection that cannot be made is told to `failed` later.
        """
        peer = (flow.host, flow.port)
        connection = self._connections.get(flow.connection) or self._by_peer.get(peer)
        if connection is not None:
            connection.used_at = asyncio.get_running_loop().time()
            return connection.write(data)
        waiting = self._waiting.get(peer)
        if waiting is None:
            self._waiting[peer] = [data]
            spawn(self._connect(flow), f"connect-{flow.address}")
        elif len(waiting) < WAITING_LIMIT:
            waiting.append(data)
        else:
            return "too many messages wait for the connection"
        return ""

    async def _connect(self, flow: Flow) -> None:
        peer = (flow.host, flow.port)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(4.0):
                _, connection = await loop.create_connection(lambda: self._make(flow.listener), flow.host, flow.port)
        except (OSError, TimeoutError) as error:
            self._give_up(flow, str(error) or "connection timed out")
            return
        if connection.number not in self._connections:  # one too many, or lost again
            self._give_up(flow, "connection is closed")
            return
        connection.asked_for = peer
        self._by_peer[peer] = connection
        for data in self._waiting.pop(peer, []):
            connection.write(data)

    def _give_up(self, flow: Flow, reason: str) -> None:
        self._waiting.pop((flow.host, flow.port), None)
        self._failed(flow, reason)
        self.end_of_turn()
