"""The endpoint: drives the SIP core with sockets and one timer.

A turn is: inputs (what `turns` finds: datagrams, answers of the live store, timers; or one read of a stream), then for
each the core's events handed to the user, then `end_of_turn`: the journal is written, messages are sent, the next
deadline is set. So nothing that a message promises is sent before it is on disk, and every turn costs one write of each
kind.
"""

import asyncio
import secrets
import time
from collections.abc import Callable
from ipaddress import ip_address
from typing import Final, Protocol

import structlog

from b2bua.sip.events import Event as SIPEvent
from b2bua.sip.events import RequestReceived
from b2bua.sip.flow import DEFAULT_PORT, SECURE, WEBSOCKETS, Flow, Trust
from b2bua.sip.stream import StreamBroken
from b2bua.sip.stun import binding_response, is_stun
from b2bua.sip.timers import Timer, TimerWheel, Timing
from b2bua.sip.transactions import Transaction, TransactionLayer
from b2bua.sip.uri import join_host_port
from b2bua.tasks import spawn
from b2bua.transport.address import ListenAddress, is_link_local, local_address, normal_host
from b2bua.transport.pool import ConnectionPool, PoolUser
from b2bua.transport.tls import Certificates
from b2bua.transport.udp import UDPListener
from b2bua.turns import Turns
from conf.errors import ConfigurationError
from conf.settings import SIPSettings, TLSSettings

log = structlog.get_logger()

_ROUTES_LAST: Final = 60.0
"""So long what the kernel said of a route is believed, in seconds."""
_LEAST_LETTER: Final = 0x41
"""No SIP message begins with a lower byte; every STUN message does."""
_ADDRESSES_LIMIT: Final = 20_000


Shown = tuple[float, bool, Flow, bytes]
"""A message that came or was sent: when, whether we sent it, to or from whom, what."""


class PortTaken(ConfigurationError):
    """A listening address cannot be bound."""


class TimerOwner(Protocol):
    """Whoever waits for a deadline of the endpoint's wheel."""

    def on_timer(self, kind: int, now: float) -> None:
        """A deadline of this kind has passed."""


class EndpointUser(Protocol):
    """Who makes calls of SIP events."""

    def handle_event(self, event: SIPEvent, now: float) -> None:
        """One event of the transaction layer."""

    def before_send(self) -> None:
        """The turn ends: write to disk what the messages about to be sent promise."""


class Endpoint(PoolUser):
    """Listeners, transactions and timers of one worker.

    Args:
        settings: Section [sip].
        user: Gets the events.
        tls: Section [tls].
        turns: That others have sources in too; None: its own.
    """

    def __init__(
        self, settings: SIPSettings, user: EndpointUser, tls: TLSSettings | None = None, turns: Turns | None = None
    ) -> None:
        self._settings = settings
        self._user = user
        self._loop = asyncio.get_running_loop()
        self.now: Callable[[], float] = self._loop.time
        self.addresses = [ListenAddress.parse(text) for text in settings.listen]
        timing = Timing(t1=settings.t1, trying=settings.trying_after)
        self.timing = timing
        self.transactions = TransactionLayer(timing, new_token, self.sent_by)
        self.wheel: TimerWheel[TimerOwner] = TimerWheel()
        self._udp: dict[int, UDPListener] = {}
        self.certificates = Certificates(tls or TLSSettings(), time.time)
        self._pool = ConnectionPool(settings, self.certificates, self)
        self._watch: asyncio.Task[None] | None = None
        self._turns, self._has_own_turns = turns, turns is None
        self._sent_by: dict[tuple[int, str], str] = {}
        self._shown: set[tuple[str, int]] = set()
        """Every host and port of ours that a peer was shown."""
        self._listeners: dict[tuple[str, str], int | None] = {}
        """By transport and peer: which listener messages leave from."""
        self._routes_until = 0.0
        self._after_turn: list[Callable[[], None]] = []
        self.is_banned: Callable[[str, float], bool] | None = None
        """Whether to drop what an address sends, at a time of `now`; None: nothing is dropped."""
        self.show: Callable[[list[Shown]], None] | None = None
        """Shown what came and went, turn by turn; None: nobody is."""
        self._turn: list[Shown] = []
        self.banned = 0
        """Messages dropped since the start because their source is banned."""

    async def open(self) -> None:
        """Bind every listener.

        Raises:
            PortTaken: one cannot be bound.
            InvalidSetting: one needs a certificate, and there is none or it cannot be used.
        """
        if any(address.transport in SECURE for address in self.addresses):
            self.certificates.open()
        if self._turns is None:
            self._turns = Turns(self._settings.gather)
        self._turns.user = self
        for index, address in enumerate(self.addresses):
            try:
                if address.transport == "udp":
                    listener = UDPListener(address, index, self._settings.receive_buffer, self.receive)
                    self._udp[index] = listener
                    self.addresses[index] = listener.address
                else:
                    self.addresses[index] = await self._pool.listen(address, index)
            except OSError as error:
                self.close()
                raise PortTaken(f"cannot listen on {address}: {error.strerror or error}") from error

    def start(self) -> None:
        """Begin to read."""
        assert self._turns is not None, "open comes first"
        for listener in self._udp.values():
            self._turns.add(listener)
        if self._watch is None and self.certificates.has_files:
            self._watch = spawn(self.certificates.watch(), "certificates")

    def close(self) -> None:
        """Close every socket."""
        for listener in self._udp.values():
            if self._turns is not None:
                self._turns.remove(listener)
            listener.close()
        self._udp.clear()
        if self._turns is not None:
            self._turns.user = None
            if self._has_own_turns:
                self._turns.close()
        self._pool.close()
        if self._watch is not None:
            self._watch.cancel()

    def add_after_turn(self, callback: Callable[[], None]) -> None:
        """Call something at the end of each turn (the live store's write)."""
        self._after_turn.append(callback)

    # Addresses

    def flow_to(
        self, transport: str, host: str, port: int, *, trust: Trust | None = None, prefers_tcp: bool = False
    ) -> Flow | None:
        """A flow to an address, from the listener that the route to it begins at.

        Args:
            transport: One of ours.
            host: The peer's address.
            port: Its port.
            trust: What its certificate has to show; None: what section [tls] says.
            prefers_tcp: Whether requests above 1,300 bytes go by TCP, where `transport` is UDP and we listen on TCP.

        Returns:
            None where nothing of ours listens on that transport and version of IP, for a link-local address, and for a
            WebSocket without `trust`: it is only connected to where it is known to be a server (RFC 7118 §5).
        """
        if transport in WEBSOCKETS and trust is None:
            return None
        index = self._listener_for(transport, host)
        if index is None:
            return None
        if transport == "udp":
            large = self.flow_to("tcp", host, port) if prefers_tcp else None
            return Flow(transport, host, port, index, large=large)
        return Flow(transport, host, port, index, trust=None if transport == "tcp" else trust)

    def _listener_for(self, transport: str, host: str) -> int | None:
        key = (transport, host)
        try:
            return self._listeners[key]
        except KeyError:
            if len(self._listeners) > _ADDRESSES_LIMIT:
                self._listeners.clear()
            index = self._listeners[key] = self._choose_listener(transport, host)
            return index

    def _choose_listener(self, transport: str, host: str) -> int | None:
        is_ipv6 = ":" in host
        fitting = [
            (index, address)
            for index, address in enumerate(self.addresses)
            if address.transport == transport and (":" in address.host) == is_ipv6
        ]
        if not fitting or is_link_local(host):
            return None
        if len(fitting) > 1:
            local = local_address(host)
            fitting.sort(key=lambda pair: (normal_host(pair[1].host) != local, not pair[1].is_wildcard))
        return fitting[0][0]

    def flow_to_self(self) -> Flow:
        """A flow to a listener of our own, UDP where there is one, for calls that one of our calls leads to."""
        order = tuple(DEFAULT_PORT)
        index, address = min(enumerate(self.addresses), key=lambda pair: (order.index(pair[1].transport), pair[0]))
        host = ("::1" if ":" in address.host else "127.0.0.1") if address.is_wildcard else address.host
        trust = Trust("none", "") if address.transport not in ("udp", "tcp") else None
        return Flow(address.transport, host, address.port, index, trust=trust)

    def is_open(self, flow: Flow) -> bool:
        """Whether a flow's connection is open; a datagram has none."""
        return flow.connection != 0 and self._pool.is_open(flow.connection)

    def keep_open(self, flow: Flow, silence: float) -> None:
        """Keep the way to a peer open without a message: two line ends on UDP, else as the pool does it.

        Args:
            flow: The way.
            silence: A connection that was used in so many seconds needs nothing.
        """
        if flow.transport != "udp":
            self._pool.keep_open(flow.connection, silence)
        elif (listener := self._udp.get(flow.listener)) is not None:
            listener.send(b"\r\n\r\n", flow)

    def sent_by(self, flow: Flow) -> str:
        """`host:port` of ours as the flow's peer should see it."""
        key = (flow.listener, flow.host)
        known = self._sent_by.get(key)
        if known is None:
            address = self.addresses[flow.listener]
            host, port = self._advertised(address, flow.host)
            known = join_host_port(host, port)
            if len(self._sent_by) > _ADDRESSES_LIMIT:
                self._sent_by.clear()
            self._sent_by[key] = known
            self._shown.add((normal_host(host), port))
        return known

    def _advertised(self, address: ListenAddress, peer: str) -> tuple[str, int]:
        if address.advertise:
            return address.advertise, address.advertise_port or address.port
        host = self._settings.advertise.strip("[]")
        if host and not _is_other_family(host, peer):
            return host, address.port
        return (local_address(peer) if address.is_wildcard else address.host), address.port

    def is_ours(self, host: str, port: int | None, transport: str = "udp") -> bool:
        """Whether a Via's sent-by names one of our listeners; without a port, the one that its transport has."""
        shown = (normal_host(host), DEFAULT_PORT.get(transport.lower(), 5060) if port is None else port)
        return shown in self._shown or any(shown in self._names(address) for address in self.addresses)

    def _names(self, address: ListenAddress) -> list[tuple[str, int]]:
        """What a listener is called, but for the addresses of one that listens on all."""
        names = [(host, address.port) for host in (self._settings.advertise.strip("[]"), address.host) if host]
        if address.is_wildcard:
            names.pop()
        if address.advertise:
            names.append((address.advertise, address.advertise_port or address.port))
        return [(normal_host(host), port) for host, port in names]

    # Turns

    def receive(self, data: bytes, flow: Flow) -> None:
        """Handle one message."""
        now = self.now()
        if self.is_banned is not None and self.is_banned(flow.host, now):
            self.banned += 1
            if flow.connection:
                self._pool.abort(flow.connection)
            return
        if data[0] < _LEAST_LETTER and flow.transport == "udp" and is_stun(data):
            self._answer_stun(data, flow)
            return
        if self.show is not None:
            self._turn.append((now, False, flow, data))
        self.transactions.receive(data, flow, now, framed=flow.connection != 0)
        if self.transactions.events:
            self._drain_events(now)

    def _answer_stun(self, data: bytes, flow: Flow) -> None:
        # RFC 5626 §4.4.2: a peer behind a NAT keeps its way open.
        answer, listener = binding_response(data, flow.host, flow.port), self._udp.get(flow.listener)
        if answer is not None and listener is not None:
            listener.send(answer, flow)

    def add_timer(self, seconds: float, owner: TimerOwner, kind: int) -> Timer[TimerOwner]:
        """Wait some seconds."""
        return self.wheel.add(self.now() + seconds, owner, kind)

    def end_of_turn(self) -> None:
        """Write, send, arm the timer."""
        self._user.before_send()
        layer = self.transactions
        while layer.outgoing:
            now = self.now()
            for flow, data, transaction in layer.take_outgoing():
                fault = self._send(data, flow)
                if self.show is not None and not fault:
                    self._turn.append((now, True, flow, data))
                if fault and transaction is not None:
                    layer.transport_failed(transaction, fault, now)
            if layer.events:
                self._drain_events(now)
                self._user.before_send()
        if self._turn and self.show is not None:
            turn, self._turn = self._turn, []
            self.show(turn)
        for callback in self._after_turn:
            callback()
        self._arm()

    def _send(self, data: bytes, flow: Flow) -> str:
        if flow.transport == "udp":
            listener = self._udp.get(flow.listener)
            return listener.send(data, flow) if listener is not None else "listener is closed"
        return self._pool.send(data, flow)

    def _drain_events(self, now: float) -> None:
        for event in self.transactions.take_events():
            if type(event) is RequestReceived and event.flow.connection:
                self._note_alias(event)
            try:
                self._user.handle_event(event, now)
            except Exception:
                # One call's fault must not end the others.
                log.exception("event could not be handled", kind=type(event).__name__)

    def _note_alias(self, event: RequestReceived) -> None:
        via = event.request.via
        if "alias" in via.parameters:
            port = DEFAULT_PORT.get(event.flow.transport, 5060) if via.port is None else via.port
            self._pool.note_alias(event.flow.connection, port)

    # What the pool says

    def connection_failed(self, flow: Flow, reason: str) -> None:
        """A connection could not be made, or is gone: what waits for an answer by this flow will get none."""
        now = self.now()
        for transaction in self._waiting_on(flow):
            self.transactions.transport_failed(transaction, reason, now)
        self._drain_events(now)

    def connection_lost(self, flow: Flow) -> None:
        """A connection that had served is gone: the peer may have closed it just when we sent; so send again, once."""
        for transaction in self._waiting_on(flow):
            if transaction.sent:
                self.transactions.send_again(transaction.sent, flow)

    def _waiting_on(self, flow: Flow) -> list[Transaction]:
        return [
            each
            for each in self.transactions.waiting_on(flow)
            if each.flow.trust == flow.trust or (flow.connection and each.flow.connection == flow.connection)
        ]

    def refuse(self, fault: StreamBroken, flow: Flow) -> None:
        """What comes on a connection cannot be followed any further: a message of more than 64 KiB gets 513."""
        if self.is_banned is None or not self.is_banned(flow.host, self.now()):
            self.transactions.refuse(fault, flow, self.now())

    def is_unwelcome(self, host: str) -> bool:
        """Whether a source that connects is banned."""
        if self.is_banned is None or not self.is_banned(host, self.now()):
            return False
        self.banned += 1
        return True

    # Time

    def _arm(self) -> None:
        if self._turns is not None:
            for deadline in (self.transactions.next_deadline(), self.wheel.next_deadline()):
                if deadline is not None:
                    self._turns.wake_at(deadline)

    def handle_timers(self) -> None:
        """Handle the deadlines that have passed; `end_of_turn` comes after it."""
        now = self.now()
        self.transactions.handle_timers(now)
        self._drain_events(now)
        for timer in self.wheel.expire(now):
            try:
                timer.owner.on_timer(timer.kind, now)
            except Exception:
                log.exception("timer could not be handled", kind=timer.kind)

    def close_idle(self) -> None:
        """Close connections that nobody uses, ping others, and ask for routes anew; call it now and then."""
        now = self.now()
        self._pool.look_after(now)
        if now >= self._routes_until:
            self._routes_until = now + _ROUTES_LAST
            local_address.cache_clear()
            self._sent_by.clear()
            self._listeners.clear()

    @property
    def connections(self) -> int:
        """Connections that are open."""
        return self._pool.count


def _is_other_family(host: str, peer: str) -> bool:
    """Whether a host is an address of the version of IP that a peer does not have."""
    try:
        return (ip_address(host).version == 6) != (":" in peer)
    except ValueError:
        return False


class TokenSource:
    """Unpredictable tokens for branches, tags and Call-IDs, drawn from the system in blocks."""

    __slots__ = ("_pool", "_position")

    def __init__(self) -> None:
        self._pool = ""
        self._position = 0

    def __call__(self) -> str:
        """Sixteen hex digits that were never used."""
        position = self._position
        if position >= len(self._pool):
            self._pool = secrets.token_hex(4096)
            position = 0
        self._position = position + 16
        return self._pool[position : position + 16]


new_token = TokenSource()
"""The process's source."""
