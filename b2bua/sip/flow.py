"""Where a message came from and where one goes: transport, our side, their side (RFC 3261 §18, RFC 5626 "flow")."""

from typing import Final

DEFAULT_PORT: Final = {"udp": 5060, "tcp": 5060, "tls": 5061, "ws": 80, "wss": 443}


class Flow:
    """One path to a peer. The transports make them; the core compares and carries them."""

    __slots__ = ("connection", "host", "listener", "port", "reliable", "transport")

    def __init__(self, transport: str, host: str, port: int, listener: int = 0, connection: int = 0) -> None:
        self.transport = transport
        """udp, tcp, …"""
        self.host = host
        """The peer's address."""
        self.port = port
        self.listener = listener
        """Which of our listeners, by index."""
        self.connection = connection
        """Number of the open connection; 0: none yet, or a datagram transport."""
        self.reliable = transport != "udp"

    @property
    def address(self) -> str:
        """`host:port` for records and logs."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __repr__(self) -> str:
        return f"{self.transport}:{self.address}"
