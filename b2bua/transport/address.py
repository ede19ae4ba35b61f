"""Listening addresses, and which address of ours a peer should see."""

import socket
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from b2bua.sip.errors import ParseError
from b2bua.sip.uri import join_host_port, split_host_port
from conf.errors import InvalidSetting

TRANSPORTS: Final = ("udp", "tcp", "tls", "ws", "wss")


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """One `transport://host:port` of the setting `[sip] listen`, with `?advertise=host` or `host:port` after it."""

    transport: str
    host: str
    port: int
    advertise: str = ""
    """Host that peers are shown instead of ours; empty: `[sip] advertise` holds."""
    advertise_port: int | None = None
    """Port that they are shown; None: ours."""

    @classmethod
    def parse(cls, text: str) -> "ListenAddress":
        """Read one value.

        Raises:
            InvalidSetting: another transport, no port, a link-local address, or an option that does not exist.
        """
        try:
            url = urlsplit(text)
            port = url.port
        except ValueError:
            port = None
        if port is None or url.scheme not in TRANSPORTS or not url.hostname or url.path.strip("/"):
            raise InvalidSetting(f"[sip] listen {text!r}: must look like udp://0.0.0.0:5060 or tls://[::]:5061")
        if is_link_local(url.hostname):
            raise InvalidSetting(f"[sip] listen {text!r}: link-local addresses cannot be listened on")
        host, advertise_port = _advertised(text, url.query)
        return cls(url.scheme, url.hostname, port, host, advertise_port)

    @property
    def family(self) -> socket.AddressFamily:
        """IPv6 for an address with colons, else IPv4."""
        return socket.AF_INET6 if ":" in self.host else socket.AF_INET

    @property
    def is_wildcard(self) -> bool:
        """Whether it listens on every address of the machine."""
        return self.host in ("0.0.0.0", "::")  # noqa: S104 - compared, not bound

    def __str__(self) -> str:
        shown = f"{self.transport}://{join_host_port(self.host, self.port)}"
        return f"{shown}?advertise={join_host_port(self.advertise, self.advertise_port)}" if self.advertise else shown


def _advertised(text: str, query: str) -> tuple[str, int | None]:
    if not query:
        return "", None
    try:
        ((name, value),) = parse_qsl(query, strict_parsing=True)
        host, port = (value, None) if is_ipv6(value) else split_host_port(value)
    except (ValueError, ParseError):
        name = host = ""
    if name != "advertise" or not host or is_link_local(host):
        raise InvalidSetting(f"[sip] listen {text!r}: after ? may stand advertise=host or advertise=host:port alone")
    return host, port


def is_ipv6(host: str) -> bool:
    """Whether a host is an IPv6 address."""
    try:
        return isinstance(ip_address(host), IPv6Address)
    except ValueError:
        return False


def is_link_local(host: str) -> bool:
    """Whether a host is an IPv6 address that holds on one link only: without its zone nobody can answer to it."""
    try:
        address = ip_address(host)
    except ValueError:
        return "%" in host
    return isinstance(address, IPv6Address) and address.is_link_local


def normal_host(host: str) -> str:
    """A host as two writings of the same one are compared: names in lower case, IPv6 addresses in their short form."""
    host = host.lower()
    if ":" not in host:
        return host
    try:
        return str(ip_address(host))
    except ValueError:
        return host


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
