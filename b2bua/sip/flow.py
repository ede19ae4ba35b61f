"""Where a message came from and where one goes: transport, our side, their side (RFC 3261 §18, RFC 5626 "flow")."""

from typing import Final, NamedTuple

DEFAULT_PORT: Final = {"udp": 5060, "tcp": 5060, "tls": 5061, "ws": 80, "wss": 443}

SECURE: Final = frozenset({"tls", "wss"})
"""Transports over TLS."""
WEBSOCKETS: Final = frozenset({"ws", "wss"})
"""Transports of RFC 7118."""


class Trust(NamedTuple):
    """What a peer's certificate has to show before anything is sent to it."""

    verify: str
    """`name`: a trusted issuer and the name below; `chain`: a trusted issuer; `none`: nothing."""
    name: str
    """Host name or domain that was asked for; what DNS made of it proves nothing (RFC 5922 §4)."""


class Flow:
    """One path to a peer. The transports make them; the core compares and carries them."""

    __slots__ = ("connection", "host", "is_behind_nat", "large", "listener", "port", "reliable", "transport", "trust")

    def __init__(
        self,
        transport: str,
        host: str,
        port: int,
        listener: int = 0,
        connection: int = 0,
        trust: Trust | None = None,
        large: "Flow | None" = None,
    ) -> None:
        self.transport = transport
        """udp, tcp, tls, ws or wss."""
        self.host = host
        """The peer's address."""
        self.port = port
        self.listener = listener
        """Which of our listeners, by index."""
        self.connection = connection
        """Number of the open connection; 0: none yet, or a datagram transport."""
        self.trust = trust
        """For a connection that is yet to be made; None: what the settings say."""
        self.large = large
        """The way of requests above 1,300 bytes (RFC 3261 §18.1.1); None: the same."""
        self.reliable = transport != "udp"
        self.is_behind_nat = False
        """Whether the peer calls itself by another address than that which it is reached at."""

    @property
    def parameter(self) -> str:
        """`;transport=…` of a URI that leads along it; empty for UDP."""
        if self.transport == "udp":
            return ""
        # RFC 7118 §5.2: `ws` over TLS too.
        return f";transport={'ws' if self.transport in WEBSOCKETS else self.transport}"

    @property
    def address(self) -> str:
        """`host:port` for records and logs."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __repr__(self) -> str:
        return f"{self.transport}:{self.address}"
