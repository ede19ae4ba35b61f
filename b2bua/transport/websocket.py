"""WebSocket as a transport for SIP: handshake and frames of one connection, no input or output (RFC 7118, RFC 6455).

One SIP message is one WebSocket message. The protocol itself is the `websockets` library's, whose core is bytes in and
bytes out as ours is. Not here: compression, cookies and HTTP authentication (RFC 7118 §7); SIP has its own.
"""

import logging
from collections.abc import Sequence
from typing import Final

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.typing import Origin, Subprotocol
from websockets.uri import parse_uri

from b2bua.sip.errors import ParseError
from b2bua.sip.message import SIZE_LIMIT
from b2bua.sip.uri import join_host_port

SUBPROTOCOL: Final = Subprotocol("sip")

# The library tells of every connection; we tell of those that matter.
_SILENT: Final = logging.getLogger("b2bua.websocket")
_SILENT.addHandler(logging.NullHandler())
_SILENT.propagate = False
_SILENT.setLevel(logging.CRITICAL)


class WebSocketFraming:
    """Cuts messages out of a WebSocket connection and puts them in.

    Args:
        protocol: Either side's.
    """

    def __init__(self, protocol: ServerProtocol | ClientProtocol) -> None:
        self._protocol = protocol
        self._parts: list[bytes] = []

    @classmethod
    def accepting(cls, origins: Sequence[str]) -> "WebSocketFraming":
        """The side that a peer has connected to.

        Args:
            origins: Web pages that may, as their browsers name them; none: all.
        """
        allowed = [Origin(origin) for origin in origins] or None
        return cls(
            ServerProtocol(origins=allowed, subprotocols=[SUBPROTOCOL], max_size=SIZE_LIMIT, logger=_SILENT),
        )

    @classmethod
    def connecting(cls, host: str, port: int, *, is_secure: bool) -> "WebSocketFraming":
        """The side that connects."""
        uri = parse_uri(f"{'wss' if is_secure else 'ws'}://{join_host_port(host, port)}/")
        return cls(ClientProtocol(uri, subprotocols=[SUBPROTOCOL], max_size=SIZE_LIMIT, logger=_SILENT))

    @property
    def is_ready(self) -> bool:
        """Whether the handshake is over and messages may be sent."""
        return self._protocol.state is State.OPEN

    @property
    def is_over(self) -> bool:
        """Whether the connection is to be closed once `take_outgoing` is sent."""
        return self._protocol.close_expected()

    def begin(self) -> None:
        """The connection is up: whoever connects asks first."""
        if isinstance(self._protocol, ClientProtocol):
            self._protocol.send_request(self._protocol.connect())

    def receive(self, data: bytes) -> list[bytes]:
        """Add bytes and return the messages that are now complete.

        Raises:
            ParseError: the other side answers our handshake with a refusal.
        """
        self._protocol.receive_data(data)
        messages = []
        for event in self._protocol.events_received():
            if isinstance(event, Request):
                self._answer(event)
            elif isinstance(event, Frame) and (message := self._take(event)) is not None:
                messages.append(message)
        if isinstance(self._protocol, ClientProtocol) and self._protocol.handshake_exc is not None:
            raise ParseError(f"WebSocket refused: {self._protocol.handshake_exc}")
        return messages

    def frame(self, data: bytes) -> bytes:
        """A message as it goes on the wire: as text where it is text (RFC 7118 §5)."""
        try:
            data.decode()
        except UnicodeDecodeError:
            self._protocol.send_binary(data)
        else:
            self._protocol.send_text(data)
        return self.take_outgoing()

    def ping(self) -> bytes:
        """A ping, which a living peer answers (RFC 6455 §5.5.2)."""
        self._protocol.send_ping(b"")
        return self.take_outgoing()

    def take_outgoing(self) -> bytes:
        """Return and forget what the protocol itself has to send: answers to a handshake, to pings and to a close."""
        return b"".join(self._protocol.data_to_send())

    def _answer(self, request: Request) -> None:
        assert isinstance(self._protocol, ServerProtocol)
        self._protocol.send_response(self._protocol.accept(request))

    def _take(self, frame: Frame) -> bytes | None:
        if frame.opcode not in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            return None
        if frame.data:  # empty ones count for no limit
            self._parts.append(bytes(frame.data))
        if not frame.fin:
            return None
        message = b"".join(self._parts)
        self._parts.clear()
        if message.strip(b"\r\n"):
            return message
        if message == b"\r\n\r\n" and self.is_ready:
            self._protocol.send_text(b"\r\n")  # pong (RFC 5626 §3.5.1), which telephones ask for here too
        return None
