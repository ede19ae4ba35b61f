"""TCP on loopback sockets: framing, reuse of connections, and peers that misbehave (RFC 3261 §18, RFC 5626 §3.5.1)."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import uvloop

from b2bua.sip.flow import Flow
from b2bua.tasks import stop_all
from b2bua.transport import tcp
from b2bua.transport.address import ListenAddress
from b2bua.transport.tcp import TCPTransport
from tests.support import sip
from tests.support.legs import on_loop

PATIENCE = 5.0
OPTIONS = sip.request("OPTIONS", transport="TCP")
INVITE = sip.request("INVITE", transport="TCP", body=b"v=0\r\n\r\nm=audio\r\n")

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Transport:
    """A TCP transport with one listener, which collects what happens."""

    def __init__(self) -> None:
        self.received: asyncio.Queue[tuple[bytes, Flow]] = asyncio.Queue()
        self.failed: asyncio.Queue[tuple[Flow, str]] = asyncio.Queue()
        self.turns = 0
        self.tcp = TCPTransport(
            lambda data, flow: self.received.put_nowait((data, flow)),
            self._end_of_turn,
            lambda flow, reason: self.failed.put_nowait((flow, reason)),
        )
        self.address: ListenAddress

    def _end_of_turn(self) -> None:
        self.turns += 1

    async def next(self) -> tuple[bytes, Flow]:
        async with asyncio.timeout(PATIENCE):
            return await self.received.get()

    async def next_failure(self) -> tuple[Flow, str]:
        async with asyncio.timeout(PATIENCE):
            return await self.failed.get()

    async def connect(self) -> Stream:
        return await asyncio.open_connection(self.address.host, self.address.port)


@asynccontextmanager
async def listening(host: str = "127.0.0.1") -> AsyncIterator[Transport]:
    transport = Transport()
    transport.address = await transport.tcp.listen(ListenAddress("tcp", host, 0), 2)
    try:
        yield transport
    finally:
        transport.tcp.close()
        await stop_all()


@asynccontextmanager
async def peer_listening() -> AsyncIterator[tuple[int, "asyncio.Queue[Stream]"]]:
    """Somebody to connect to: the port, and each connection as it comes."""
    accepted: asyncio.Queue[Stream] = asyncio.Queue()
    streams: list[Stream] = []

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        streams.append((reader, writer))
        accepted.put_nowait((reader, writer))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], accepted
    finally:
        server.close()
        for _, writer in streams:
            await closed(writer)


async def closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    try:
        async with asyncio.timeout(PATIENCE):
            await writer.wait_closed()
    except OSError:
        pass  # the other side was quicker


async def read(reader: asyncio.StreamReader, size: int) -> bytes:
    async with asyncio.timeout(PATIENCE):
        return await reader.readexactly(size)


async def end_of(reader: asyncio.StreamReader) -> bytes:
    """What comes until the other side closes, however it does that."""
    async with asyncio.timeout(PATIENCE):
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""


async def unused_port() -> int:
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port = int(server.sockets[0].getsockname()[1])
    server.close()
    await server.wait_closed()
    return port


class TestListening:
    @on_loop
    async def test_port_is_chosen_by_the_system_when_it_is_zero(self) -> None:
        async with listening() as transport:
            assert transport.address.port > 0

    @on_loop
    async def test_address_cannot_be_bound_when_the_port_is_taken(self) -> None:
        async with listening() as transport:
            with pytest.raises(OSError, match="in use"):
                await transport.tcp.listen(transport.address, 0)

    @on_loop
    async def test_message_arrives_over_ipv6(self) -> None:
        async with listening("::1") as transport:
            _, writer = await transport.connect()
            writer.write(OPTIONS)
            data, flow = await transport.next()
            assert (data, flow.host) == (OPTIONS, "::1")
            await closed(writer)


class TestFraming:
    """RFC 3261 §18.3."""

    @on_loop
    async def test_flow_names_listener_and_connection(self) -> None:
        async with listening() as transport:
            _, writer = await transport.connect()
            host, port = writer.get_extra_info("sockname")
            writer.write(OPTIONS)
            _, flow = await transport.next()
            assert (flow.transport, flow.host, flow.port, flow.listener) == ("tcp", host, port, 2)
            assert flow.connection
            assert flow.reliable
            await closed(writer)

    @on_loop
    async def test_messages_are_cut_when_several_come_in_one_read(self) -> None:
        async with listening() as transport:
            _, writer = await transport.connect()
            writer.write(INVITE + OPTIONS + INVITE)
            assert [(await transport.next())[0] for _ in range(3)] == [INVITE, OPTIONS, INVITE]
            await closed(writer)

    @on_loop
    async def test_message_is_whole_when_it_comes_byte_by_byte(self) -> None:
        async with listening() as transport:
            _, writer = await transport.connect()
            writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for position in range(len(INVITE)):
                writer.write(INVITE[position : position + 1])
                await asyncio.sleep(0)
            assert (await transport.next())[0] == INVITE
            writer.write(OPTIONS)
            assert (await transport.next())[0] == OPTIONS
            await closed(writer)

    @on_loop
    async def test_ping_is_answered_with_a_pong(self) -> None:
        # RFC 5626 §3.5.1
        async with listening() as transport:
            reader, writer = await transport.connect()
            writer.write(b"\r\n\r\n" + OPTIONS + b"\r\n\r\n")
            assert await read(reader, 4) == b"\r\n\r\n"
            assert (await transport.next())[0] == OPTIONS
            assert transport.received.empty()
            await closed(writer)

    @on_loop
    @pytest.mark.parametrize("data", [OPTIONS.replace(b"Content-Length: 0\r\n", b""), b"x" * 70_000])
    async def test_connection_is_closed_when_its_stream_cannot_be_followed(self, data: bytes) -> None:
        async with listening() as transport:
            reader, writer = await transport.connect()
            writer.write(data)
            assert await end_of(reader) == b""
            assert transport.received.empty()
            assert transport.tcp._connections == {}
            await closed(writer)


class TestReuse:
    """RFC 3261 §18.2.2, §18.1.1."""

    @on_loop
    async def test_answer_goes_back_on_the_connection_of_the_request(self) -> None:
        async with listening() as transport:
            (one, first), (other, second) = await transport.connect(), await transport.connect()
            first.write(OPTIONS)
            _, flow = await transport.next()
            second.write(OPTIONS)
            _, another = await transport.next()
            assert transport.tcp.send(b"to the second", another) == ""
            assert transport.tcp.send(b"to the first", flow) == ""
            assert await read(one, 12) == b"to the first"
            assert await read(other, 13) == b"to the second"
            await closed(first)
            await closed(second)

    @on_loop
    async def test_one_connection_is_made_when_many_messages_wait_for_it(self) -> None:
        async with listening() as transport, peer_listening() as (port, accepted):
            flow = Flow("tcp", "127.0.0.1", port, 2)
            for number in range(5):
                assert transport.tcp.send(b"message %d." % number, flow) == ""
            reader, writer = await accepted.get()
            assert await read(reader, 50) == b"".join(b"message %d." % number for number in range(5))
            transport.tcp.send(b"one more", flow)
            assert await read(reader, 8) == b"one more"
            assert accepted.empty()
            # What comes back on it is read like any other.
            writer.write(OPTIONS)
            data, back = await transport.next()
            assert (data, back.port) == (OPTIONS, port)

    @on_loop
    async def test_connection_is_used_again_when_the_peer_was_called_by_name(self) -> None:
        async with listening() as transport, peer_listening() as (port, accepted):
            flow = Flow("tcp", "localhost", port, 2)
            transport.tcp.send(b"first", flow)
            reader, writer = await accepted.get()
            await read(reader, 5)
            writer.write(OPTIONS)
            await transport.next()
            transport.tcp.send(b"second", flow)
            assert await read(reader, 6) == b"second"
            assert accepted.empty()
            (connection,) = transport.tcp._connections.values()
            connection.abort()
            await end_of(reader)
            assert transport.tcp._by_peer == {}

    @on_loop
    async def test_new_connection_is_made_when_the_old_one_was_closed(self) -> None:
        async with listening() as transport, peer_listening() as (port, accepted):
            flow = Flow("tcp", "127.0.0.1", port, 2)
            transport.tcp.send(b"first", flow)
            reader, writer = await accepted.get()
            await read(reader, 5)
            writer.write(OPTIONS)  # so that we know when the closing has been seen
            _, old = await transport.next()
            (connection,) = transport.tcp._connections.values()
            connection.abort()
            assert transport.tcp.send(b"lost", old) == "connection is closed"
            await end_of(reader)
            assert transport.tcp.send(b"second", old) == ""
            again, _ = await accepted.get()
            assert await read(again, 6) == b"second"


class TestFailure:
    @on_loop
    async def test_user_hears_of_it_when_the_connection_is_refused(self) -> None:
        async with listening() as transport:
            flow = Flow("tcp", "127.0.0.1", await unused_port(), 2)
            turns = transport.turns
            assert transport.tcp.send(OPTIONS, flow) == ""
            failed, reason = await transport.next_failure()
            assert failed is flow
            assert reason
            assert transport.tcp._waiting == {}
            await asyncio.sleep(0)
            assert transport.turns == turns + 1

    @on_loop
    async def test_connection_is_tried_again_when_it_was_refused_before(self) -> None:
        async with listening() as transport:
            flow = Flow("tcp", "127.0.0.1", await unused_port(), 2)
            for _ in range(2):
                assert transport.tcp.send(OPTIONS, flow) == ""
                await transport.next_failure()

    @on_loop
    async def test_sender_hears_of_it_when_too_much_waits_for_a_connection(self) -> None:
        async with listening() as transport, peer_listening() as (port, _):
            flow = Flow("tcp", "127.0.0.1", port, 2)
            outcomes = [transport.tcp.send(OPTIONS, flow) for _ in range(tcp.WAITING_LIMIT + 1)]
            assert outcomes[:-1] == [""] * tcp.WAITING_LIMIT
            assert "wait" in outcomes[-1]

    @on_loop
    async def test_peer_is_cut_off_when_it_does_not_read(self) -> None:
        async with listening() as transport:
            reader, writer = await transport.connect()
            writer.write(OPTIONS)
            _, flow = await transport.next()
            outcomes = [transport.tcp.send(b"x" * 65_536, flow) for _ in range(1000)]
            assert "peer does not read" in outcomes
            sent = outcomes.index("peer does not read")
            # What the kernel took, and our own limit: the rest never costs memory.
            assert sent * 65_536 > tcp.WRITE_LIMIT
            assert set(outcomes[sent + 1 :]) == {"connection is closed"}
            await end_of(reader)
            assert transport.tcp._connections == {}
            await closed(writer)

    @on_loop
    async def test_connection_is_forgotten_when_the_peer_closes_it(self) -> None:
        async with listening() as transport, listening() as other:
            _, writer = await transport.connect()
            writer.write(OPTIONS)
            await transport.next()
            await closed(writer)
            # Another exchange through the same loop: by its end the closing has been seen.
            _, second = await other.connect()
            second.write(OPTIONS)
            await other.next()
            assert transport.tcp._connections == {}
            assert transport.tcp._by_peer == {}
            await closed(second)

    @on_loop
    async def test_connection_is_closed_at_once_when_there_are_too_many(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tcp, "CONNECTIONS_LIMIT", 1)
        async with listening() as transport:
            _, first = await transport.connect()
            first.write(OPTIONS)
            await transport.next()
            reader, second = await transport.connect()
            assert await end_of(reader) == b""
            first.write(OPTIONS)
            await transport.next()
            await closed(first)
            await closed(second)

    @on_loop
    async def test_user_hears_of_it_when_there_are_too_many_to_make_another(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tcp, "CONNECTIONS_LIMIT", 0)
        async with listening() as transport, peer_listening() as (port, _):
            flow = Flow("tcp", "127.0.0.1", port, 2)
            assert transport.tcp.send(OPTIONS, flow) == ""
            assert await transport.next_failure() == (flow, "connection is closed")
            assert transport.tcp._by_peer == {}

    def test_others_are_served_when_a_peer_resets_at_once(self) -> None:
        # On uvloop, which workers run on, such a connection has no peer name any more.
        faults: list[object] = []

        async def main() -> None:
            asyncio.get_running_loop().set_exception_handler(lambda loop, context: faults.append(context))
            async with listening() as transport:
                for _ in range(3):
                    with socket.create_connection((transport.address.host, transport.address.port)) as peer:
                        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                _, writer = await transport.connect()
                writer.write(OPTIONS)
                assert (await transport.next())[0] == OPTIONS
                assert len(transport.tcp._connections) == 1
                await closed(writer)

        uvloop.run(main())
        assert faults == []


class TestClosing:
    @on_loop
    async def test_idle_connection_is_closed_and_busy_one_is_kept(self) -> None:
        async with listening() as transport:
            reader, idle = await transport.connect()
            idle.write(OPTIONS)
            await transport.next()
            _, busy = await transport.connect()
            busy.write(OPTIONS)
            _, flow = await transport.next()
            first, second = transport.tcp._connections.values()
            now = asyncio.get_running_loop().time()
            first.used_at, second.used_at = now - tcp.IDLE_SECONDS - 1, now - tcp.IDLE_SECONDS + 60
            transport.tcp.close_idle(now)
            assert await end_of(reader) == b""
            assert transport.tcp.send(OPTIONS, flow) == ""
            assert second.used_at >= now
            await closed(idle)
            await closed(busy)

    @on_loop
    async def test_everything_ends_when_the_transport_is_closed(self) -> None:
        async with listening() as transport:
            reader, writer = await transport.connect()
            writer.write(OPTIONS)
            await transport.next()
            transport.tcp.close()
            assert await end_of(reader) == b""
            with pytest.raises(OSError, match="Connect"):
                await transport.connect()
            await closed(writer)
