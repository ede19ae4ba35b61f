"""Via (RFC 3261 §20.42, RFC 3581)."""

from dataclasses import dataclass, field
from typing import Final

from b2bua.sip.errors import ParseError
from b2bua.sip.params import Parameters, format_parameters, parse_parameters
from b2bua.sip.uri import join_host_port, split_host_port

MAGIC_COOKIE: Final = "z9hG4bK"
"""Begins every branch made by an RFC 3261 implementation (§8.1.1.7)."""


@dataclass(slots=True)
class Via:
    """One Via value."""

    transport: str
    """In upper case, as it is written: UDP, TCP, TLS, WS, WSS."""
    host: str
    port: int | None = None
    """None: not written, which means the transport's default."""
    parameters: Parameters = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> "Via":
        """Parse `SIP/2.0/UDP host:port;branch=…`.

        Raises:
            ParseError: not that.
        """
        sent, _, parameters = text.partition(";")
        protocol, _, by = sent.strip().partition(" ")
        if protocol[:8].upper() != "SIP/2.0/" or len(protocol) == 8 or not by:
            # LWS around the slashes (RFC 4475 §3.1.1.1), or a tab before the host.
            before, _, after = sent.rpartition("/")
            transport, _, by = after.replace("\t", " ").strip().partition(" ")
            protocol = f"{''.join(before.split())}/{transport}"
            if protocol[:8].upper() != "SIP/2.0/" or not transport:
                raise ParseError("Via is not SIP/2.0")
        if " " in by or "\t" in by:
            by = "".join(by.split())
        host, port = split_host_port(by)
        return cls(protocol[8:].upper(), host, port, parse_parameters(parameters))

    @property
    def branch(self) -> str:
        """The branch, or an empty string where there is none (RFC 2543)."""
        return self.parameters.get("branch") or ""

    @property
    def sent_by(self) -> str:
        """Host and port as a part of the transaction's key (§17.2.3), case folded."""
        return f"{self.host.lower()}:{self.port or 5060}"

    def __str__(self) -> str:
        return f"SIP/2.0/{self.transport} {join_host_port(self.host, self.port)}{format_parameters(self.parameters)}"
