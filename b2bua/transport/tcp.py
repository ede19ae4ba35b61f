"""One connection: TCP, TLS over it, and either framing (RFC 3261 §18.3, RFC 7118)."""

import asyncio
import ssl
from typing import Any, Final, Protocol, cast

import structlog

from b2bua.sip.errors import ParseError
from b2bua.sip.flow import Flow
from b2bua.sip.stream import StreamBroken, StreamParser
from b2bua.transport.certificate import CertificateRefused, chain_fault, handshake_fault
from b2bua.transport.channel import SecureChannel

log = structlog.get_logger()

WRITE_LIMIT: Final = 1024 * 1024
"""Most unsent bytes of a connection; a peer that reads no longer is cut off."""
HIGH_WATER: Final = 32 * 1024
"""With more unsent bytes a connection counts as congested."""
HANDSHAKE_SECONDS: Final = 10.0
"""Longest time from accepting a connection to the end of its handshakes."""
LINGER: Final = 2.0
"""Seconds that a peer has to read our last words before the connection is cut."""


class Framing(Protocol):
    """Cuts messages out of the bytes of a connection."""

    @property
    def is_ready(self) -> bool:
        """Whether messages may be sent."""

    @property
    def is_over(self) -> bool:
        """Whether the connection is to be closed."""

    def begin(self) -> None:
        """The connection is up."""

    def receive(self, data: bytes) -> list[bytes]:
        """Add bytes and return the messages that are now complete.

        Raises:
            ParseError: what comes cannot be followed any further; as StreamBroken where that can be answered.
        """

    def frame(self, data: bytes) -> bytes:
        """A message as it goes on the wire."""

    def ping(self) -> bytes:
        """What asks the peer whether it lives."""

    def take_outgoing(self) -> bytes:
        """Return and forget what the framing itself has to send."""


class StreamFraming:
    """SIP on a bare stream: framed by Content-Length, pinged by CRLF (RFC 5626 §3.5.1)."""

    is_ready: Final = True
    is_over: Final = False

    def __init__(self) -> None:
        self._parser = StreamParser()
        self._pings = 0

    def begin(self) -> None:
        """Nothing has to be said first."""

    def receive(self, data: bytes) -> list[bytes]:
        """Add bytes and return the messages that are now complete.

        Raises:
            StreamBroken: what comes cannot be followed any further.
        """
        messages = self._parser.receive(data)
        if b"" in messages:
            self._pings += messages.count(b"")
            messages = [message for message in messages if message]
        return messages

    def frame(self, data: bytes) -> bytes:
        """A message is its own frame."""
        return data

    def ping(self) -> bytes:
        """Two line ends; the answer is one."""
        self._parser.pongs_due += 1
        return b"\r\n\r\n"

    def take_outgoing(self) -> bytes:
        """One line end for each ping of the peer."""
        pings, self._pings = self._pings, 0
        return b"\r\n" * pings


class ConnectionOwner(Protocol):
    """Who keeps the connections."""

    def is_welcome(self, connection: "Connection", host: str) -> bool:
        """Whether a connection may be; it is kept from then on."""

    def certificate_fault(self, connection: "Connection") -> str:
        """What is wrong with the certificate that a peer has shown, its chain aside; empty: nothing."""

    def handshake_failed(self, connection: "Connection", error: Exception) -> None:
        """A peer has been refused, or has refused us."""

    def received(self, data: bytes, flow: Flow) -> None:
        """One message."""

    def end_of_turn(self) -> None:
        """The messages of one read have been handed over."""

    def refuse(self, fault: StreamBroken, flow: Flow) -> None:
        """What comes cannot be followed any further: answer it where that is possible."""

    def congested(self, connection: "Connection") -> None:
        """The peer reads slowly."""

    def relieved(self, connection: "Connection") -> None:
        """It has caught up."""

    def closed(self, connection: "Connection", reason: str) -> None:
        """It is gone."""


class Connection(asyncio.Protocol):
    """One connection, whoever opened it.

    Args:
        owner: Who keeps it.
        framing: That of its transport.
        flow: Transport, listener and number; where we connect, whom to, too.
        channel: Its TLS, if it has any.
        is_outgoing: Whether we connect.
    """

    def __init__(
        self,
        owner: ConnectionOwner,
        framing: Framing,
        flow: Flow,
        channel: SecureChannel | None = None,
        *,
        is_outgoing: bool,
    ) -> None:
        self._owner = owner
        self._framing = framing
        self._channel = channel
        self._is_secured = channel is None
        self._transport: asyncio.Transport | None = None
        self._is_discarding = False
        self._error: Exception | None = None
        self._loop = asyncio.get_running_loop()
        self.is_outgoing = is_outgoing
        self.number = flow.connection
        self.asked = flow
        """As it was asked for: perhaps a name, where `flow` has the address."""
        self.flow = flow
        self.opened_at = self.used_at = self._loop.time()
        """When it was made; when a message was last sent, or anything received."""
        self.sent_at = float("-inf")
        """When a message was last sent."""
        self.pinged_at = self.opened_at
        self.has_spoken = False
        """Whether the peer has ever sent a message."""
        self.certificate: dict[str, Any] = {}
        """What the peer has shown, if it had to prove anything."""
        self.alias_port = 0
        """Port of requests that the peer takes on this connection too (RFC 5923 §5); 0: none."""
        self._ready: asyncio.Future[None] = self._loop.create_future()

    @property
    def is_closed(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._transport is None or self._transport.is_closing()

    @property
    def is_ready(self) -> bool:
        """Whether all handshakes are over."""
        return self._ready.done() and not self._ready.cancelled()

    async def wait_until_ready(self) -> None:
        """Wait for the end of all handshakes.

        Raises:
            CertificateRefused: the peer's certificate is expired, not trusted, for somebody else, …
            OSError: the connection is gone.
        """
        await asyncio.wait((self._ready,))
        if self._ready.cancelled():
            raise self._error or OSError(self._fault)

    @property
    def _fault(self) -> str:
        return (handshake_fault(self._error) if self._error else "") or "connection was closed by the peer"

    # What the loop says

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = transport = cast(asyncio.Transport, transport)
        peer, asked = transport.get_extra_info("peername"), self.asked
        if peer is None:  # it was reset before it was accepted
            self.abort()
            return
        self.flow = Flow(asked.transport, peer[0], peer[1], asked.listener, self.number, asked.trust)
        if not self._owner.is_welcome(self, peer[0]):
            self._error = OSError("too many connections")
            self.abort()
            return
        transport.set_write_buffer_limits(HIGH_WATER)
        if self._channel is not None:
            self._channel.begin()
            self._flush()
        else:
            self._begin()

    def data_received(self, data: bytes) -> None:
        """Decrypt, cut messages out and hand them on."""
        if self._is_discarding:
            return
        self.used_at = self._loop.time()
        channel = self._channel
        if channel is not None:
            try:
                data = channel.receive(data)
            except ssl.SSLError as error:
                self._handshake_failed(error)
                return
            self._flush()
            if channel.is_up and not self._secured(channel):
                return
        if data:
            self._receive(data)
        if channel is not None and channel.is_over:
            self.finish()

    def pause_writing(self) -> None:
        """The peer reads slowly."""
        self._owner.congested(self)

    def resume_writing(self) -> None:
        """It has caught up."""
        self._owner.relieved(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the owner."""
        self._error = self._error or exc
        self._ready.cancel()
        self._owner.closed(self, self._fault)

    # Receiving

    def _begin(self) -> None:
        """TLS is up, or there is none: let messages pass."""
        self._framing.begin()
        self._follow_framing()

    def _secured(self, channel: SecureChannel) -> bool:
        """The TLS handshake is over: whether the peer may be spoken to."""
        if self._is_secured:
            return True
        self._is_secured = True
        self.certificate = channel.certificate
        if fault := self._owner.certificate_fault(self):
            self._handshake_failed(CertificateRefused(fault))
            return False
        self._begin()
        return True

    def _handshake_failed(self, error: Exception) -> None:
        if isinstance(error, ssl.SSLCertVerificationError):
            error = CertificateRefused(chain_fault(error))
        self._error = error
        self._flush()  # what the peer is told
        self._owner.handshake_failed(self, error)
        self._ready.cancel()
        self.finish()

    def _receive(self, data: bytes) -> None:
        try:
            messages = self._framing.receive(data)
        except StreamBroken as fault:
            self._hand_on(fault.messages)
            self._refuse(fault)
        except ParseError as fault:
            self._give_up(fault)
        else:
            self._hand_on(messages)
            self._follow_framing()
            if messages:
                self._owner.end_of_turn()

    def _hand_on(self, messages: list[bytes]) -> None:
        for message in messages:
            self.has_spoken = True
            self._owner.received(message, self.flow)

    def _follow_framing(self) -> None:
        """Send what the framing wants, become ready, or end."""
        if answer := self._framing.take_outgoing():
            self._send(answer)
        if not self._ready.done() and self._framing.is_ready:
            self._ready.set_result(None)
        if self._framing.is_over:
            self.finish()

    def _refuse(self, fault: StreamBroken) -> None:
        """Say what is wrong, where that can be said, and end."""
        sent_at = self.sent_at
        self._owner.refuse(fault, self.flow)
        self._owner.end_of_turn()
        if self.sent_at == sent_at:
            self._give_up(fault)
        else:
            self._error = fault
            self.finish()

    def _give_up(self, fault: ParseError) -> None:
        self._error = OSError(str(fault))
        log.info("connection closed: its stream cannot be followed", peer=str(self.flow), fault=str(fault))
        self.abort()

    # Sending

    def write(self, data: bytes) -> str:
        """Send a message; returns why that is not possible, or an empty string."""
        if self._transport is None or self._transport.is_closing() or self._is_discarding:
            return "connection is closed"
        if not self.is_ready:
            return "connection is not ready"
        if self._transport.get_write_buffer_size() > WRITE_LIMIT:
            self.abort()
            return "peer does not read"
        self._send(self._framing.frame(data))
        self.used_at = self.sent_at = self._loop.time()
        return ""

    def ping(self) -> None:
        """Ask whether the peer lives."""
        if self.is_ready and not self.is_closed and not self._is_discarding:
            self.pinged_at = self._loop.time()
            self._send(self._framing.ping())

    def keep_open(self) -> None:
        """Send a line end, which asks for nothing (RFC 3261 §7.5), and count as used."""
        if self.is_ready and not self.is_closed and not self._is_discarding:
            self.used_at = self._loop.time()
            self._send(b"\r\n")

    def _send(self, data: bytes) -> None:
        assert self._transport is not None
        if self._channel is None:
            self._transport.write(data)
        else:
            self._channel.send(data)
            self._flush()

    def _flush(self) -> None:
        """Send what TLS has to say."""
        assert self._channel is not None
        if (data := self._channel.take_outgoing()) and self._transport is not None:
            self._transport.write(data)

    # Ending

    def finish(self) -> None:
        """Let the peer read what was sent, then close; what it still sends is thrown away."""
        if self._is_discarding or self._transport is None or self._transport.is_closing():
            return
        self._is_discarding = True
        if self._channel is not None:
            self._channel.close()
            self._flush()
        self._transport.write_eof()
        self._loop.call_later(LINGER, self.abort)

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()
