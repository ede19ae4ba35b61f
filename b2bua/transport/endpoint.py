"""The endpoint: drives the SIP core with sockets and one timer.

A turn is: inputs (a batch of datagrams, one read of a stream, timers, answers of the live store), then for each the
core's events handed to the user, then `end_of_turn`: the journal is written, messages are sent, the timer is armed. So
nothing that a message promises is sent before it is on disk, and every turn costs one write of each kind.
"""

import asyncio
import secrets
from collections.abc import Callable
from typing import Protocol

import structlog

from b2bua.sip.events import Event as SIPEvent
from b2bua.sip.flow import Flow
from b2bua.sip.timers import Timer, TimerWheel, Timing
from b2bua.sip.transactions import TransactionLayer
from b2bua.sip.uri import join_host_port
from b2bua.transport.address import ListenAddress, local_address
from b2bua.transport.tcp import TCPTransport
from b2bua.transport.udp import UDPListener
from conf.errors import ConfigurationError
from conf.settings import SIPSettings

log = structlog.get_logger()


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


class Endpoint:
    """Listeners, transactions and timers of one worker.

    Args:
        settings: Section [sip].
        user: Gets the events.
    """

    def __init__(self, settings: SIPSettings, user: EndpointUser) -> None:
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
        self._tcp = TCPTransport(self.receive, self.end_of_turn, self._connection_failed)
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = float("inf")
        self._sent_by: dict[tuple[int, str], str] = {}
        self._shown: set[str] = set()
        self._after_turn: list[Callable[[], None]] = []
        self.is_banned: Callable[[str, float], bool] | None = None
        """Whether to drop what an address sends, at a time of `now`; None: nothing is dropped."""
        self.banned = 0
        """Messages dropped since the start because their source is banned."""

    async def open(self) -> None:
        """Bind every listener.

        Raises:
            PortTaken: one cannot be bound.
        """
        for index, address in enumerate(self.addresses):
            try:
                if address.transport == "udp":
                    listener = UDPListener(
                        address, index, self._settings.receive_buffer, self.receive, self.end_of_turn
                    )
                    self._udp[index] = listener
                    self.addresses[index] = listener.address
                else:
                    self.addresses[index] = await self._tcp.listen(address, index)
            except OSError as error:
                self.close()
                raise PortTaken(f"cannot listen on {address}: {error.strerror or error}") from error

    def start(self) -> None:
        """Begin to read."""
        for listener in self._udp.values():
            listener.start()

    def close(self) -> None:
        """Close every socket."""
        for listener in self._udp.values():
            listener.close()
        self._udp.clear()
        self._tcp.close()
        if self._alarm is not None:
            self._alarm.cancel()

    def add_after_turn(self, callback: Callable[[], None]) -> None:
        """Call something at the end of each turn (the live store's write)."""
        self._after_turn.append(callback)

    # Addresses

    def flow_to(self, transport: str, host: str, port: int) -> Flow | None:
        """A flow to an address, from our first listener of that transport and family; None: we have none."""
        is_ipv6 = ":" in host
        for index, address in enumerate(self.addresses):
            if address.transport == transport and (":" in address.host) == is_ipv6:
                return Flow(transport, host, port, index)
        return None

    def flow_to_self(self) -> Flow:
        """A flow to our own first listener, for calls that one of our calls leads to."""
        index, address = next(
            ((index, address) for index, address in enumerate(self.addresses) if address.transport == "udp"),
            (0, self.addresses[0]),
        )
        host = ("::1" if ":" in address.host else "127.0.0.1") if address.is_wildcard else address.host
        return Flow(address.transport, host, address.port, index)

    def is_open(self, flow: Flow) -> bool:
        """Whether a flow's connection is open; a datagram has none."""
        return flow.connection != 0 and self._tcp.is_open(flow.connection)

    def sent_by(self, flow: Flow) -> str:
        """`host:port` of ours as the flow's peer should see it."""
        key = (flow.listener, flow.host)
        known = self._sent_by.get(key)
        if known is None:
            address = self.addresses[flow.listener]
            host = self._settings.advertise or (local_address(flow.host) if address.is_wildcard else address.host)
            known = join_host_port(host, address.port)
            if len(self._sent_by) > 20_000:
                self._sent_by.clear()
            self._sent_by[key] = known
            self._shown.add(known)
        return known

    def is_ours(self, host: str, port: int | None) -> bool:
        """Whether a Via's sent-by names one of our listeners."""
        shown = join_host_port(host, port or 5060)
        return shown in self._sent_by.values() or any(
            not address.is_wildcard and join_host_port(address.host, address.port) == shown
            for address in self.addresses
        )

    # Turns

    def receive(self, data: bytes, flow: Flow) -> None:
        """Handle one message."""
        now = self.now()
        if self.is_banned is not None and self.is_banned(flow.host, now):
            self.banned += 1
            return
        self.transactions.receive(data, flow, now, framed=flow.connection != 0)
        self._drain_events(now)

    def add_timer(self, seconds: float, owner: TimerOwner, kind: int) -> Timer[TimerOwner]:
        """Wait some seconds."""
        return self.wheel.add(self.now() + seconds, owner, kind)

    def end_of_turn(self) -> None:
        """Write, send, arm the timer."""
        self._user.before_send()
        now = self.now()
        while outgoing := self.transactions.take_outgoing():
            for flow, data, transaction in outgoing:
                fault = self._send(data, flow)
                if fault and transaction is not None:
                    self.transactions.transport_failed(transaction, fault, now)
            self._drain_events(now)
            self._user.before_send()
        for callback in self._after_turn:
            callback()
        self._arm()

    def _send(self, data: bytes, flow: Flow) -> str:
        if flow.transport == "udp":
            listener = self._udp.get(flow.listener)
            return listener.send(data, flow) if listener is not None else "listener is closed"
        return self._tcp.send(data, flow)

    def _drain_events(self, now: float) -> None:
        for event in self.transactions.take_events():
            try:
                self._user.handle_event(event, now)
            except Exception:
                # One call's fault must not end the others.
                log.exception("event could not be handled", kind=type(event).__name__)

    def _connection_failed(self, flow: Flow, reason: str) -> None:
        now = self.now()
        for transaction in self.transactions.waiting_on(flow):
            self.transactions.transport_failed(transaction, reason, now)
        self._drain_events(now)

    # Time

    def _arm(self) -> None:
        deadlines = [self.transactions.next_deadline(), self.wheel.next_deadline()]
        soonest = min((deadline for deadline in deadlines if deadline is not None), default=None)
        if soonest is None or soonest >= self._alarm_at:
            return
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm_at = soonest
        self._alarm = self._loop.call_at(soonest, self._ring)

    def _ring(self) -> None:
        self._alarm, self._alarm_at = None, float("inf")
        now = self.now()
        self.transactions.handle_timers(now)
        self._drain_events(now)
        for timer in self.wheel.expire(now):
            try:
                timer.owner.on_timer(timer.kind, now)
            except Exception:
                log.exception("timer could not be handled", kind=timer.kind)
        self.end_of_turn()

    def close_idle(self) -> None:
        """Close connections that nobody has used for long; call it now and then."""
        self._tcp.close_idle(self.now())


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
