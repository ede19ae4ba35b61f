"""TLS of one connection as bytes in and bytes out, on OpenSSL's memory buffers (RFC 5246, RFC 8446).

The loops' own TLS tells nobody why a handshake with a peer that connected has failed, and begins with it before anybody
could look whether its source is banned.
"""

import ssl
from typing import Any, Final

_READ: Final = 65_536


class SecureChannel:
    """One side of a connection.

    Args:
        context: What this side shows and asks for.
        is_server: Whether the peer has connected.
        name: Whom we mean, for a server of many names (SNI).

    Raises:
        ValueError: the name cannot be one.
    """

    def __init__(self, context: ssl.SSLContext, *, is_server: bool, name: str | None = None) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=is_server, server_hostname=name)
        self.is_up = False
        """Whether the handshake is over."""
        self.is_over = False
        """Whether the peer has said its last word."""

    @property
    def certificate(self) -> dict[str, Any]:
        """What the peer has shown; empty where it had not to prove anything."""
        return self._tls.getpeercert() or {}

    def begin(self) -> None:
        """The connection is up: whoever connects speaks first."""
        self._shake_hands()

    def receive(self, data: bytes) -> bytes:
        """Add bytes of the connection and return what the peer has said.

        Raises:
            ssl.SSLError: the handshake fails, or what comes is no TLS; `take_outgoing` has what the peer is told.
        """
        self._incoming.write(data)
        if not self.is_up:
            self._shake_hands()
            if not self.is_up:
                return b""
        parts = []
        while True:
            try:
                part = self._tls.read(_READ)
            except ssl.SSLWantReadError:
                break
            except ssl.SSLZeroReturnError:
                part = b""
            if not part:
                self.is_over = True
                break
            parts.append(part)
        return b"".join(parts)

    def send(self, data: bytes) -> None:
        """Say something, once the handshake is over."""
        self._tls.write(data)

    def close(self) -> None:
        """Say that this was the last word."""
        try:
            self._tls.unwrap()
        except ssl.SSLError:
            return  # the peer has not said so yet, or there was no handshake

    def take_outgoing(self) -> bytes:
        """Return and forget what is to be sent."""
        return self._outgoing.read()

    def _shake_hands(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return
        self.is_up = True
