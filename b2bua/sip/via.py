"""Via (RFC 3261 §20.42, RFC 3581)."""

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from b2bua.sip.errors import ParseError
from b2bua.sip.grammar import BLANKS
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
    version: str = "2.0"
    """Of SIP; another one is read, so that it can be refused (RFC 4475 §3.1.2.16)."""

    @classmethod
    def parse(cls, text: str) -> "Via":
        """Parse `SIP/2.0/UDP host:port;branch=…`.

        Raises:
            ParseError: not that.
        """
        sent, _, parameters = text.partition(";")
        transport, host, port, version = _known(sent) if len(sent) <= _KNOWN_LENGTH else _parse_sent(sent)
        return cls(transport, host, port, parse_parameters(parameters), version)

    @property
    def branch(self) -> str:
        """The branch, or an empty string where there is none (RFC 2543)."""
        return self.parameters.get("branch") or ""

    @property
    def sent_by(self) -> str:
        """Host and port as a part of the transaction's key (§17.2.3), case folded."""
        return f"{self.host.lower()}:{self.port or 5060}"

    def __str__(self) -> str:
        sent_by = join_host_port(self.host, self.port)
        return f"SIP/{self.version}/{self.transport} {sent_by}{format_parameters(self.parameters)}"


# Another case, another version, LWS around the slashes (RFC 4475 §3.1.1.1), or a tab before the host.
_SENT: Final = re.compile(
    r"[ \t]*SIP[ \t]*/[ \t]*([0-9]+\.[0-9]+)[ \t]*/[ \t]*([^ \t/]+)[ \t]+(.+)", re.IGNORECASE | re.DOTALL
)


_KNOWN_LENGTH: Final = 80
"""Longest beginning that is remembered with what it means, so that a peer that invents hosts cannot fill the memory."""


def _parse_sent(sent: str) -> tuple[str, str, int | None, str]:
    """What stands before the parameters: transport, host, port, version."""
    protocol, _, by = sent.strip(BLANKS).partition(" ")
    transport, version = protocol[8:].upper(), "2.0"
    if not transport or not by or protocol[:8] != "SIP/2.0/":
        transport, version, by = _read_sent(sent)
    if " " in by or "\t" in by:
        by = ":".join(part.strip(BLANKS) for part in by.split(":"))
    return transport, *split_host_port(by), version


# Nearly all begin with one of a few peers, or us.
_known = lru_cache(4096)(_parse_sent)


def _read_sent(text: str) -> tuple[str, str, str]:
    found = _SENT.fullmatch(text)
    if found is None:
        raise ParseError("Via is not SIP/2.0")
    version, transport, by = found.groups()
    return transport.upper(), version, by
