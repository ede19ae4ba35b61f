"""Our addresses: which one a medium is anchored on, and what its peer is shown for it (`[media] interfaces`)."""

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from conf.errors import InvalidSetting
from media.errors import InvalidDescription

_REMEMBERED: Final = 4096
_SOMEWHERE: Final = {4: "192.0.2.1", 6: "2001:db8::1"}
"""Addresses that nobody has, of which the default route leads to."""

_LOOPBACK: Final = {4: "127.0.0.1", 6: "::1"}


@dataclass(frozen=True, slots=True)
class Interface:
    """An address of ours."""

    address: str
    """Where sockets are bound."""

    shown: str
    """What descriptions say: another one where an address is translated in front of us."""

    name: str = ""


def parse_interfaces(texts: Sequence[str]) -> tuple[Interface, ...]:
    """Read `[media] interfaces`.

    Raises:
        InvalidSetting: one is malformed.
    """
    return tuple(_parse(text) for text in texts)


def _parse(text: str) -> Interface:
    name, equals, rest = text.rpartition("=")
    address, mark, shown = rest.partition("!")
    try:
        if (equals and not name) or (mark and not shown):
            raise ValueError
        versions = {ip_address(each).version for each in (address, shown or address)}
    except ValueError:
        versions = set()
    if len(versions) != 1:
        raise InvalidSetting(
            f"[media] interfaces: {text!r} is none; one looks like 192.0.2.1, pub=192.0.2.1 or pub=10.0.0.1!192.0.2.1"
        )
    return Interface(str(ip_address(address)), str(ip_address(shown or address)), name)


class Interfaces:
    """Chooses among our addresses.

    Args:
        interfaces: Those that are set; none: whatever the routes of this machine say.
    """

    def __init__(self, interfaces: Sequence[Interface] = ()) -> None:
        self._interfaces = tuple(interfaces)
        self._routes: dict[str, str] = {}
        self._own: dict[str, bool] = {}

    def choose(self, name: str, version: int, peer: str, shown: str = "") -> Interface:
        """Choose the address for one end of a medium.

        Args:
            name: Of an interface, as `direction` has it; empty: any.
            version: 4 or 6: what the end speaks.
            peer: Address of the end; empty: not known yet.
            shown: Address that the end is to be shown; empty: the interface's. One that is ours is used itself where
                no interface is set.

        Raises:
            InvalidDescription: there is no such interface, or none of this version.
        """
        if shown:
            version = _version(shown)
            if not version:
                raise InvalidDescription(f"no IP address: {shown!r}")
        if not self._interfaces:
            if shown and self.is_own(shown):
                return Interface(shown, shown)
            address = self._route_to(peer if _version(peer) == version else _SOMEWHERE[version])
            return Interface(address or _LOOPBACK[version], shown or address or _LOOPBACK[version])
        for interface in self._interfaces:
            if name in ("", interface.name) and ip_address(interface.address).version == version:
                return Interface(interface.address, shown or interface.shown, interface.name)
        raise InvalidDescription(f"no interface {name or ''} for IPv{version}".replace("  ", " "))

    def forget(self) -> None:
        """Look at addresses and routes again when they are next asked for."""
        self._routes.clear()
        self._own.clear()

    def is_own(self, address: str) -> bool:
        """Whether an address is one of this machine's."""
        if address not in self._own:
            if len(self._own) >= _REMEMBERED:
                self._own.clear()
            with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as probe:
                try:
                    probe.bind((address, 0))
                    self._own[address] = True
                except OSError:
                    self._own[address] = False
        return self._own[address]

    def _route_to(self, peer: str) -> str:
        """Our address on the way to a peer; empty: there is no way."""
        if peer not in self._routes:
            if len(self._routes) >= _REMEMBERED:
                self._routes.clear()
            with socket.socket(socket.AF_INET6 if ":" in peer else socket.AF_INET, socket.SOCK_DGRAM) as probe:
                try:
                    probe.connect((peer, 9))
                    self._routes[peer] = probe.getsockname()[0]
                except OSError:
                    return ""
        return self._routes[peer]


def _version(address: str) -> int:
    """4 or 6; 0: it is no address."""
    try:
        return ip_address(address).version
    except ValueError:
        return 0
