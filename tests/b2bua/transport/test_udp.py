"""The UDP listener on loopback sockets."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from b2bua.sip.flow import Flow
from b2bua.transport.address import ListenAddress
from b2bua.transport.udp import UDPListener
from b2bua.turns import BATCH, Turns
from tests.support.legs import on_loop

PATIENCE = 5.0


class Listener:
    """A listener that collects what comes, turn by turn."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0, gather: float = 0.002) -> None:
        self.turns: list[list[tuple[bytes, Flow]]] = [[]]
        self._turn = asyncio.Event()
        self.udp = UDPListener(ListenAddress("udp", host, port), 3, 65_536, self._received)
        self._maker = Turns(gather)
        self._maker.user = self

    def start(self) -> None:
        """Begin to read."""
        self._maker.add(self.udp)

    def close(self) -> None:
        """Read no more."""
        self._maker.close()
        self.udp.close()

    def _received(self, data: bytes, flow: Flow) -> None:
        self.turns[-1].append((data, flow))

    def handle_timers(self) -> None:
        """There are none."""

    def end_of_turn(self) -> None:
        """Begin another."""
        self.turns.append([])
        self._turn.set()

    @property
    def received(self) -> list[tuple[bytes, Flow]]:
        return [each for turn in self.turns for each in turn]

    async def wait_for(self, count: int) -> list[tuple[bytes, Flow]]:
        async with asyncio.timeout(PATIENCE):
            while len(self.received) < count:
                self._turn.clear()
                await self._turn.wait()
        return self.received


@asynccontextmanager
async def listening(host: str = "127.0.0.1", gather: float = 0.002) -> AsyncIterator[tuple[Listener, socket.socket]]:
    """A listener that reads, and a peer of the same family."""
    listener = Listener(host, gather=gather)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as peer:
        peer.bind((host, 0))
        peer.settimeout(PATIENCE)
        peer.connect((host, listener.udp.address.port))
        listener.start()
        try:
            yield listener, peer
        finally:
            listener.close()


@on_loop
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_datagram_arrives_with_its_flow_and_is_answered(host: str) -> None:
    async with listening(host) as (listener, peer):
        peer.send(b"hello there")
        ((data, flow),) = await listener.wait_for(1)
        assert data == b"hello there"
        ours = peer.getsockname()
        assert (flow.transport, flow.host, flow.port, flow.listener, flow.connection) == ("udp", *ours[:2], 3, 0)
        assert not flow.reliable
        assert listener.udp.send(b"hello back", flow) == ""
        assert peer.recv(100) == b"hello back"


@on_loop
@pytest.mark.parametrize("gather", [0.0, 0.002])
async def test_batch_is_bounded_so_that_timers_get_their_turn(gather: float) -> None:
    async with listening(gather=gather) as (listener, peer):
        for number in range(BATCH + 10):
            peer.send(b"datagram %d" % number)
        received = await listener.wait_for(BATCH + 10)
        assert [data for data, _ in received] == [b"datagram %d" % number for number in range(BATCH + 10)]
        assert [len(turn) for turn in listener.turns[:2]] == [BATCH, 10]


@on_loop
async def test_flow_is_the_same_when_a_peer_sends_again() -> None:
    async with listening() as (listener, peer):
        peer.send(b"first one")
        peer.send(b"second one")
        (_, first), (_, second) = await listener.wait_for(2)
        assert first is second


@on_loop
@pytest.mark.parametrize("ping", [b"", b"\r\n", b"\r\n\r\n", b"\0\0\0\0"])
async def test_keep_alive_is_not_a_message(ping: bytes) -> None:
    async with listening() as (listener, peer):
        peer.send(ping)
        peer.send(b"a message")
        assert [data for data, _ in await listener.wait_for(1)] == [b"a message"]


@on_loop
async def test_largest_datagram_arrives_whole() -> None:
    async with listening() as (listener, peer):
        data = bytes(range(256)) * 255
        peer.send(data)
        assert (await listener.wait_for(1))[0][0] == data


@on_loop
async def test_port_is_free_again_when_it_is_closed() -> None:
    first = Listener()
    first.start()
    first.close()
    again = Listener(port=first.udp.address.port)
    again.start()
    try:
        assert again.udp.send(b"to itself", Flow("udp", "127.0.0.1", again.udp.address.port)) == ""
        assert (await again.wait_for(1))[0][0] == b"to itself"
        assert first.received == []
    finally:
        again.close()


@on_loop
async def test_port_is_chosen_by_the_system_when_it_is_zero() -> None:
    one, other = Listener(), Listener()
    try:
        assert one.udp.address.port
        assert other.udp.address.port not in (0, one.udp.address.port)
    finally:
        one.udp.close()
        other.udp.close()


@on_loop
async def test_address_cannot_be_bound_when_the_port_is_taken() -> None:
    first = Listener()
    try:
        with pytest.raises(OSError, match="in use"):
            Listener(port=first.udp.address.port)
    finally:
        first.udp.close()


@on_loop
@pytest.mark.parametrize(
    ("data", "host", "port"), [(b"x" * 70_000, "127.0.0.1", 5060), (b"data", "127.0.0.1", 0), (b"data", "::1", 5060)]
)
async def test_sender_hears_why_a_datagram_cannot_be_sent(data: bytes, host: str, port: int) -> None:
    async with listening() as (listener, _):
        assert listener.udp.send(data, Flow("udp", host, port)) != ""
