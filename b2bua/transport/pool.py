"""All connections: listeners, those that we make, their reuse and their bounds (RFC 3261 §18, RFC 5923).

An open connection serves both directions, whoever opened it. One that we opened is used again for whatever goes to the
same transport, address and port from the same listener with the same demands on its certificate. One that a peer opened
is used for the address that it came from; for the port that its Via names (`alias`) only where it has shown a
certificate that we trust (RFC 5923 §7), since otherwise anybody behind the same address could have a carrier's calls.
"""

import asyncio
from collections import Counter
from dataclasses import replace
from typing import Final, Protocol

import structlog

from b2bua.sip.flow import SECURE, WEBSOCKETS, Flow, Trust
from b2bua.sip.stream import StreamBroken
from b2bua.tasks import spawn
from b2bua.transport.address import ListenAddress, is_link_local
from b2bua.transport.certificate import CertificateRefused, handshake_fault, name_fault
from b2bua.transport.channel import SecureChannel
from b2bua.transport.tcp import HANDSHAKE_SECONDS, Connection, ConnectionOwner, Framing, StreamFraming
from b2bua.transport.tls import Certificates
from b2bua.transport.websocket import WebSocketFraming
from conf.errors import InvalidSetting
from conf.settings import SIPSettings

log = structlog.get_logger()

PER_HOST_LIMIT: Final = 2_000
"""Most connections from one address."""
CONNECTING_LIMIT: Final = 256
"""Most connections that are being made."""
WAITING_LIMIT: Final = 256
"""Most messages that wait for a connection to be made, …"""
WAITING_BYTES: Final = 512 * 1024
"""… and most bytes of them."""
CONGESTED_LIMIT: Final = 64
"""Most connections whose peers read slowly: it bounds what all together keep unsent."""
WEBSOCKET_PING: Final = 30.0
"""A silent WebSocket is pinged so often (s), for proxies in between forget it otherwise, …"""
WEBSOCKET_SILENCE: Final = 95.0
"""… and closed after three pings without any answer."""
PATIENCE: Final = 33.0
"""After so long nobody waits for the answer to a request any more (64 × T1)."""
BACKLOG: Final = 1024
_TOLD_LIMIT: Final = 1_000
_TOLD_SECONDS: Final = 10.0

Address = tuple[str, str, int]
Key = tuple[str, str, int, int, Trust | None]


class PoolUser(Protocol):
    """Who gets the messages."""

    def receive(self, data: bytes, flow: Flow) -> None:
        """One message."""

    def end_of_turn(self) -> None:
        """The messages of one read have been handed over."""

    def connection_failed(self, flow: Flow, reason: str) -> None:
        """A connection could not be made, or is gone: what waits for an answer by this flow will get none."""

    def connection_lost(self, flow: Flow) -> None:
        """A connection that had served is gone: what waits for an answer may be sent again, on a new one."""

    def refuse(self, fault: StreamBroken, flow: Flow) -> None:
        """What comes on a connection cannot be followed any further: answer it where that is possible."""

    def is_unwelcome(self, host: str) -> bool:
        """Whether a source is banned."""


class ConnectionPool(ConnectionOwner):
    """All listeners and connections of the transports that have connections.

    Args:
        settings: Section [sip].
        certificates: For TLS.
        user: Gets the messages.
    """

    def __init__(self, settings: SIPSettings, certificates: Certificates, user: PoolUser) -> None:
        self._settings = settings
        self._certificates = certificates
        self._user = user
        self._loop = asyncio.get_running_loop()
        self._addresses: dict[int, ListenAddress] = {}
        self._servers: list[asyncio.Server] = []
        self._connections: dict[int, Connection] = {}
        self._hosts: Counter[str] = Counter()
        self._outgoing: dict[Key, Connection] = {}
        self._by_peer: dict[Address, Connection] = {}
        """Those that peers opened, and those of ours on which no certificate was asked for."""
        self._waiting: dict[Key, _Waiting] = {}
        self._congested: dict[int, Connection] = {}
        self._told: dict[tuple[str, str], float] = {}
        self._next_number = 1
        self._is_closed = False

    @property
    def count(self) -> int:
        """Connections that are open or in a handshake."""
        return len(self._connections)

    # Listeners

    async def listen(self, address: ListenAddress, index: int) -> ListenAddress:
        """Accept connections at an address; returns it with the port that the system chose for port 0.

        Raises:
            OSError: it cannot be bound.
        """
        server = await self._loop.create_server(
            lambda: self._accept(address.transport, index),
            address.host,
            address.port,
            reuse_address=True,
            backlog=BACKLOG,
        )
        self._servers.append(server)
        self._addresses[index] = replace(address, port=server.sockets[0].getsockname()[1])
        return self._addresses[index]

    def close(self) -> None:
        """Close every listener and connection."""
        self._is_closed = True
        for server in self._servers:
            server.close()
        for connection in list(self._connections.values()):
            connection.abort()

    def _accept(self, transport: str, index: int) -> Connection:
        framing: Framing = StreamFraming()
        if transport in WEBSOCKETS:
            framing = WebSocketFraming.accepting(self._settings.websocket_origins)
        channel = SecureChannel(self._certificates.server(), is_server=True) if transport in SECURE else None
        return Connection(self, framing, Flow(transport, "", 0, index, self._new_number()), channel, is_outgoing=False)

    def _new_number(self) -> int:
        number = self._next_number
        self._next_number += 1
        return number

    # What connections say

    def is_welcome(self, connection: Connection, host: str) -> bool:
        """Whether a connection may be: not one too many, and not from a banned or unanswerable source."""
        if self._is_closed or len(self._connections) >= self._settings.max_connections:
            return False
        if not connection.is_outgoing:
            if self._user.is_unwelcome(host) or is_link_local(host) or self._hosts[host] >= PER_HOST_LIMIT:
                return False
            self._hosts[host] += 1
            self._by_peer[(connection.flow.transport, host, connection.flow.port)] = connection
        self._connections[connection.number] = connection
        return True

    def certificate_fault(self, connection: Connection) -> str:
        """Whether a peer that we connected to is the one that was meant."""
        if not connection.is_outgoing:
            return ""
        trust = self._trust(connection.asked)
        if trust.verify != "name":
            return ""
        return name_fault(connection.certificate, trust.name, wildcards=self._certificates.wildcards)

    def _trust(self, flow: Flow) -> Trust:
        return flow.trust or Trust(self._certificates.verify, flow.host)

    def handshake_failed(self, connection: Connection, error: Exception) -> None:
        """Tell of a peer that connected; of one that we connected to, whoever connects tells."""
        peer, fault = connection.flow, handshake_fault(error)
        if connection.is_outgoing or not self._is_news(peer.host, fault):
            return
        if isinstance(error, CertificateRefused):
            log.warning("certificate of a client refused", peer=str(peer), fault=error.fault)
        else:
            log.info("TLS handshake failed", peer=str(peer), fault=fault)

    def _is_news(self, host: str, fault: str) -> bool:
        """Whether a fault of a peer is worth a line: the same one again, soon after, is not."""
        now, key = self._loop.time(), (host, fault)
        if self._told.get(key, float("-inf")) > now - _TOLD_SECONDS:
            return False
        if len(self._told) >= _TOLD_LIMIT:
            self._told.clear()
        self._told[key] = now
        return True

    def received(self, data: bytes, flow: Flow) -> None:
        """One message."""
        self._user.receive(data, flow)

    def end_of_turn(self) -> None:
        """The messages of one read have been handed over."""
        self._user.end_of_turn()

    def refuse(self, fault: StreamBroken, flow: Flow) -> None:
        """What comes on a connection cannot be followed any further."""
        self._user.refuse(fault, flow)

    def congested(self, connection: Connection) -> None:
        """A peer reads slowly; where too many do, the one that has done so for longest is cut off."""
        self._congested[connection.number] = connection
        if len(self._congested) > CONGESTED_LIMIT:
            oldest = self._congested.pop(next(iter(self._congested)))
            log.warning("connection closed: too many peers read too slowly", peer=str(oldest.flow))
            oldest.abort()

    def relieved(self, connection: Connection) -> None:
        """It has caught up."""
        self._congested.pop(connection.number, None)

    def closed(self, connection: Connection, reason: str) -> None:
        """Forget a connection, and tell whoever waits for an answer on it."""
        if self._connections.pop(connection.number, None) is None:
            return
        self._congested.pop(connection.number, None)
        flow, asked = connection.flow, connection.asked
        if not connection.is_outgoing:
            self._hosts[flow.host] -= 1
            if not self._hosts[flow.host]:
                del self._hosts[flow.host]
        if self._outgoing.get(_key(asked)) is connection:
            del self._outgoing[_key(asked)]
        for port in (flow.port, connection.alias_port):
            if self._by_peer.get((flow.transport, flow.host, port)) is connection:
                del self._by_peer[(flow.transport, flow.host, port)]
        if self._is_closed or connection.sent_at < self._loop.time() - PATIENCE:
            return
        if connection.is_outgoing and connection.has_spoken:
            self._user.connection_lost(asked)
        else:
            self._user.connection_failed(asked if connection.is_outgoing else flow, reason)
        self._user.end_of_turn()

    # Looking after them

    def is_open(self, number: int) -> bool:
        """Whether the connection of this number is open."""
        return number in self._connections

    def abort(self, number: int) -> None:
        """Close a connection at once, if it is open."""
        if (connection := self._connections.get(number)) is not None:
            connection.abort()

    def note_alias(self, number: int, port: int) -> None:
        """A peer offers its connection for requests to the port that its Via names (RFC 5923 §5)."""
        connection = self._connections.get(number)
        if connection is not None and connection.certificate:
            connection.alias_port = port
            self._by_peer[(connection.flow.transport, connection.flow.host, port)] = connection

    def look_after(self, now: float) -> None:
        """Close connections that have been silent for long or never came up, and ping others; call it now and then."""
        keep_alive = self._settings.keep_alive
        for connection in list(self._connections.values()):
            is_websocket = connection.flow.transport in WEBSOCKETS
            silence = now - connection.used_at
            longest = min(self._settings.idle_close, WEBSOCKET_SILENCE) if is_websocket else self._settings.idle_close
            if silence > longest or (not connection.is_ready and now - connection.opened_at > HANDSHAKE_SECONDS):
                connection.abort()
                continue
            interval = WEBSOCKET_PING if is_websocket else keep_alive if connection.is_outgoing else 0.0
            if interval and now - max(connection.used_at, connection.pinged_at) >= interval:
                connection.ping()

    def keep_open(self, number: int, silence: float) -> bool:
        """Use a peer's connection that nobody has used for so long (s), so that neither a NAT nor we give it up.

        WebSockets are pinged anyway. Not by a ping: a peer that never answers one would get no answers to its own.

        Returns:
            Whether it is open.
        """
        connection = self._connections.get(number)
        if connection is None:
            return False
        is_websocket = connection.flow.transport in WEBSOCKETS
        if not is_websocket and self._loop.time() - connection.used_at >= silence:
            connection.keep_open()
        return True

    # Sending

    def send(self, data: bytes, flow: Flow) -> str:
        """Send on the flow's connection, else on one to the same peer, else on a new one.

        Returns:
            Why it could not be sent, or an empty string; a connection that cannot be made is told to the user later.
        """
        connection = self._connections.get(flow.connection) or self._find(flow)
        if connection is not None and connection.is_ready:
            return connection.write(data)
        if flow.transport in WEBSOCKETS and flow.trust is None:
            return "connection is closed"  # RFC 7118 §5: nobody can connect to a browser
        key = _key(flow)
        waiting = self._waiting.get(key)
        if waiting is None:
            if len(self._waiting) >= CONNECTING_LIMIT:
                return "too many connections are being made"
            self._waiting[key] = waiting = _Waiting()
            spawn(self._connect(flow, key), f"connect-{flow.address}")
        return waiting.add(data)

    def _find(self, flow: Flow) -> Connection | None:
        connection = self._outgoing.get(_key(flow))
        if connection is not None:
            return connection
        connection = self._by_peer.get((flow.transport, flow.host, flow.port))
        if connection is None or flow.trust is None or flow.transport not in SECURE:
            return connection
        return connection if self._is_proved(connection, flow.trust) else None

    def _is_proved(self, connection: Connection, trust: Trust) -> bool:
        """Whether a peer that connected to us has shown what we would ask of it, had we connected to it."""
        if trust.verify == "name":
            name = trust.name
            return not name_fault(connection.certificate, name, wildcards=self._certificates.wildcards)
        return trust.verify == "none" or bool(connection.certificate)

    async def _connect(self, flow: Flow, key: Key) -> None:
        try:
            async with asyncio.timeout(self._settings.connect_timeout):
                connection = await self._open(flow)
        except CertificateRefused as error:
            name = flow.trust.name if flow.trust is not None else flow.host
            log.warning("certificate refused", peer=str(flow), name=name, fault=error.fault)
            self._give_up(flow, key, str(error))
        except InvalidSetting as error:
            log.error("no connection by TLS can be made", peer=str(flow), reason=str(error))
            self._give_up(flow, key, str(error))
        except (OSError, TimeoutError) as error:
            self._give_up(flow, key, handshake_fault(error) or "connection timed out")
        else:
            self._outgoing[key] = connection
            if flow.transport not in SECURE:
                self._by_peer[(flow.transport, connection.flow.host, flow.port)] = connection
            for data in self._waiting.pop(key).messages:
                connection.write(data)

    async def _open(self, flow: Flow) -> Connection:
        trust, is_secure = self._trust(flow), flow.transport in SECURE
        framing: Framing = StreamFraming()
        if flow.transport in WEBSOCKETS:
            framing = WebSocketFraming.connecting(trust.name or flow.host, flow.port, is_secure=is_secure)
        channel = None
        if is_secure:
            try:
                channel = SecureChannel(
                    self._certificates.client(trust.verify), is_server=False, name=trust.name or None
                )
            except ValueError as error:
                raise OSError(f"{trust.name}: {error}") from error
        asked = Flow(flow.transport, flow.host, flow.port, flow.listener, self._new_number(), flow.trust)
        connection = Connection(self, framing, asked, channel, is_outgoing=True)
        try:
            await self._loop.create_connection(
                lambda: connection, flow.host, flow.port, local_addr=self._local_address(flow.listener)
            )
            await connection.wait_until_ready()
        except BaseException:
            connection.abort()
            raise
        return connection

    def _local_address(self, listener: int) -> tuple[str, int] | None:
        # A peer should see us at the address that our Via and Contact name.
        address = self._addresses.get(listener)
        return None if address is None or address.is_wildcard else (address.host, 0)

    def _give_up(self, flow: Flow, key: Key, reason: str) -> None:
        self._waiting.pop(key, None)
        self._user.connection_failed(flow, reason)
        self._user.end_of_turn()


class _Waiting:
    """Messages that wait for a connection to be made."""

    __slots__ = ("_size", "messages")

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self._size = 0

    def add(self, data: bytes) -> str:
        """Take one more; returns why that is not possible, or an empty string."""
        if len(self.messages) >= WAITING_LIMIT or self._size + len(data) > WAITING_BYTES:
            return "too many messages wait for the connection"
        self.messages.append(data)
        self._size += len(data)
        return ""


def _key(flow: Flow) -> Key:
    """What a connection must have in common with a flow to serve it."""
    return flow.transport, flow.host, flow.port, flow.listener, flow.trust
