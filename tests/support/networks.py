"""Networks of a test's own with a switch between them: caller, callee and stranger, each on a cable of its own."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Final, TypeVar

from pyroute2 import IPRoute

from tests.support.network import call_system, enter_new_network, in_own_network

Result = TypeVar("Result")

CALLER, CALLEE, STRANGER = "10.1.0.2", "10.2.0.2", "10.3.0.2"
CALLER_6, CALLEE_6 = "fd01::2", "fd02::2"
SWITCH: Final = {CALLER: "10.1.0.1", CALLEE: "10.2.0.1", STRANGER: "10.3.0.1", CALLER_6: "fd01::1", CALLEE_6: "fd02::1"}
"""The switch's address towards each of them."""

_PLACES: Final = {"caller": (CALLER, CALLER_6), "callee": (CALLEE, CALLEE_6), "stranger": (STRANGER,)}
_CLONE_NEWNET: Final = 0x40000000


@dataclass
class Networks:
    """The networks around the one that the test runs in."""

    _descriptors: dict[str, int] = field(default_factory=dict)

    def at(self, address: str, make: Callable[[], Result]) -> Result:
        """Make something, such as a socket, in the network of an address."""
        name = next(name for name, addresses in _PLACES.items() if address in addresses)

        def begin() -> Result:
            call_system("setns", self._descriptors[name], _CLONE_NEWNET)
            return make()

        with ThreadPoolExecutor(1) as thread:
            return thread.submit(begin).result()

    @contextmanager
    def inside(self, address: str) -> Iterator[None]:
        """Be in the network of an address with this thread: sockets made now stay there. Nothing may be awaited."""
        name = next(name for name, addresses in _PLACES.items() if address in addresses)
        here = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            call_system("setns", self._descriptors[name], _CLONE_NEWNET)
            yield
        finally:
            call_system("setns", here, _CLONE_NEWNET)
            os.close(here)

    def connect(self) -> None:
        """Make the networks, and a cable from here to each."""
        for name, addresses in _PLACES.items():
            with ThreadPoolExecutor(1) as thread:
                there = self._descriptors[name] = thread.submit(_make_network).result()
            with IPRoute() as route:
                route.link("add", ifname=name, kind="veth", peer={"ifname": "cable", "net_ns_fd": there})
            _configure(name, [SWITCH[address] for address in addresses])
            self.at(addresses[0], partial(_configure, "cable", addresses, SWITCH[addresses[0]]))

    def close(self) -> None:
        """Let the networks go."""
        for descriptor in self._descriptors.values():
            os.close(descriptor)


def in_networks(work: Callable[[Networks], Result]) -> Result:
    """Run something in a thread whose network is the switch's."""

    def main() -> Result:
        networks = Networks()
        try:
            networks.connect()
            return work(networks)
        finally:
            networks.close()

    return in_own_network(main)


def _make_network() -> int:
    enter_new_network()
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def _configure(name: str, addresses: Sequence[str], gateway: str = "") -> None:
    with IPRoute() as route:
        (index,) = route.link_lookup(ifname=name)
        route.link("set", index=index, state="up")
        for address in addresses:
            # Without the wait for others that may have the address.
            options = {"prefixlen": 64, "flags": 0x02} if ":" in address else {"prefixlen": 24}
            route.addr("add", index=index, address=address, **options)
        if gateway:
            route.route("add", dst="default", gateway=gateway)
