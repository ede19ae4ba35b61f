"""Listening addresses, and which address of ours a peer should see."""

import socket
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlsplit

from conf.errors import InvalidSetting

TRANSPORTS = ("udp", "tcp")


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """One `transport://host:port` of the setting `[sip] listen`."""

    transport: str
    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "ListenAddress":
        """Read one value.

        Raises:
            InvalidSetting: another transport, or no port.
        """
        try:
            url = urlsplit(text)
            port = url.port
        except ValueError:
            port = None
        if port is None or url.scheme not in TRANSPORTS or not url.hostname:
            raise InvalidSetting(f"[sip] listen {text!r}: must look like udp://0.0.0.0:5060 or tcp://[::]:5060")
        return cls(url.scheme, url.hostname, port)

    @property
    def family(self) -> socket.AddressFamily:
        """IPv6 for an address with colons, else IPv4."""
        return socket.AF_INET6 if ":" in self.host else socket.AF_INET

    @property
    def is_wildcard(self) -> bool:
        """Whether it listens on every address of the machine."""
        return self.host in ("0.0.0.0", "::")  # noqa: S104 - compared, not bound

    def __str__(self) -> str:
        return f"{self.transport}://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


@lru_cache(maxsize=10_000)
def local_address(peer: str) -> str:
    """The address of ours that the route to a peer leaves from; no packet is sent."""
    family = socket.AF_INET6 if ":" in peer else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((peer, 9))
        except OSError:
            return "::1" if family == socket.AF_INET6 else "127.0.0.1"
        return str(probe.getsockname()[0])
