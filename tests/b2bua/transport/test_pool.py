"""Connections on loopback sockets: framing, reuse, bounds, and peers that misbehave (RFC 3261 §18, RFC 5923)."""

import asyncio
import socket
import struct
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvloop

from b2bua.sip.flow import Flow, Trust
from b2bua.sip.stream import StreamBroken
from b2bua.tasks import stop_all
from b2bua.transport import pool as pools
from b2bua.transport import tcp
from b2bua.transport.address import ListenAddress
from b2bua.transport.pool import ConnectionPool
from b2bua.transport.tls import Certificates
from conf.settings import SIPSettings, TLSSettings
from tests.support import sip
from tests.support.loops import on_both_loops

PATIENCE = 5.0
OPTIONS = sip.request("OPTIONS", transport="TCP")
INVITE = sip.request("INVITE", transport="TCP", body=b"v=0\r\n\r\nm=audio\r\n")

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Transport:
    """A pool of connections with one listener, which collects what happens."""

    def __init__(self, settings: SIPSettings | None = None) -> None:
        self.messages: asyncio.Queue[tuple[bytes, Flow]] = asyncio.Queue()
        self.failures: asyncio.Queue[tuple[Flow, str]] = asyncio.Queue()
        self.lost: list[Flow] = []
        self.banned: set[str] = set()
        self.answer = b""
        """To what cannot be followed."""
        self.turns = 0
        self.pool = ConnectionPool(settings or SIPSettings(), Certificates(TLSSettings(), time.time), self)
        self.address: ListenAddress

    def receive(self, data: bytes, flow: Flow) -> None:
        self.messages.put_nowait((data, flow))

    def end_of_turn(self) -> None:
        self.turns += 1

    def connection_failed(self, flow: Flow, reason: str) -> None:
        self.failures.put_nowait((flow, reason))

    def connection_lost(self, flow: Flow) -> None:
        self.lost.append(flow)

    def refuse(self, fault: StreamBroken, flow: Flow) -> None:
        if self.answer:
            assert self.pool.send(self.answer, flow) == ""

    def is_unwelcome(self, host: str) -> bool:
        return host in self.banned

    async def next(self) -> tuple[bytes, Flow]:
        async with asyncio.timeout(PATIENCE):
            return await self.messages.get()

    async def next_failure(self) -> tuple[Flow, str]:
        async with asyncio.timeout(PATIENCE):
            return await self.failures.get()

    async def connect(self) -> Stream:
        return await asyncio.open_connection(self.address.host, self.address.port)


@asynccontextmanager
async def listening(host: str = "127.0.0.1", **settings: Any) -> AsyncIterator[Transport]:
    transport = Transport(SIPSettings(**settings))
    transport.address = await transport.pool.listen(ListenAddress("tcp", host, 0), 2)
    try:
        yield transport
    finally:
        transport.pool.close()
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
    @on_both_loops
    async def test_port_is_chosen_by_the_system_when_it_is_zero(self) -> None:
        async with listening() as transport:
            assert transport.address.port > 0

    @on_both_loops
    async def test_address_cannot_be_bound_when_the_port_is_taken(self) -> None:
        async with listening() as transport:
            with pytest.raises(OSError, match="in use"):
                await transport.pool.listen(transport.address, 0)

    @on_both_loops
    async def test_message_arrives_over_ipv6(self) -> None:
        async with listening("::1") as transport:
            _, writer = await transport.connect()
            writer.write(OPTIONS)
            data, flow = await transport.next()
            assert (data, flow.host) == (OPTIONS, "::1")
            await closed(writer)


class TestFraming:
    """RFC 3261 §18.3."""

    @on_both_loops
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

    @on_both_loops
    async def test_messages_are_cut_when_several_come_in_one_read(self) -> None:
        async with listening() as transport:
            _, writer = await transport.connect()
            writer.write(INVITE + OPTIONS + INVITE)
            assert [(await transport.next())[0] for _ in range(3)] == [INVITE, OPTIONS, INVITE]
            await closed(writer)

    @on_both_loops
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

    @on_both_loops
    async def test_ping_is_answered_with_a_pong(self) -> None:
        # RFC 5626 §3.5.1
        async with listening() as transport:
            reader, writer = await transport.connect()
            writer.write(b"\r\n\r\n" + OPTIONS + b"\r\n\r\n")
            assert await read(reader, 4) == b"\r\n\r\n"
            assert (await transport.next())[0] == OPTIONS
            assert transport.messages.empty()
            await closed(writer)

    @on_both_loops
    @pytest.mark.parametrize("data", [OPTIONS.replace(b"Content-Length: 0\r\n", b""), b"x" * 70_000])
    async def test_connection_is_closed_when_its_stream_cannot_be_followed(self, data: bytes) -> None:
        async with listening() as transport:
            reader, writer = await transport.connect()
            writer.write(data)
            assert await end_of(reader) == b""
            assert transport.messages.empty()
            assert transport.pool._connections == {}
            await closed(writer)


class TestReuse:
    """RFC 3261 §18.2.2, §18.1.1."""

    @on_both_loops
    async def test_answer_goes_back_on_the_connection_of_the_request(self) -> None:
        async with listening() as transport:
            (one, first), (other, second) = await transport.connect(), await transport.connect()
            first.write(OPTIONS)
            _, flow = await transport.next()
            second.write(OPTIONS)
            _, another = await transport.next()
            assert transport.pool.send(b"to the second", another) == ""
            assert transport.pool.send(b"to the first", flow) == ""
            assert await read(one, 12) == b"to the first"
            assert await read(other, 13) == b"to the second"
            await closed(first)
            await closed(second)

    @on_both_loops
    async def test_one_connection_is_made_when_many_messages_wait_for_it(self) -> None:
        async with listening() as transport, peer_listening() as (port, accepted):
            flow = Flow("tcp", "127.0.0.1", port, 2)
            for number in range(5):
                assert transport.pool.send(b"message %d." % number, flow) == ""
            reader, writer = await accepted.get()
            assert await read(reader, 50) == b"".join(b"message %d." % number for number in range(5))
            transport.pool.send(b"one more", flow)
            assert await read(reader, 8) == b"one more"
            assert accepted.empty()
            # What comes back on it is read like any other.
            writer.write(OPTIONS)
            data, back = await transport.next()
            assert (data, back.port) == (OPTIONS, port)

    @on_both_loops
    async def test_connection_is_used_again_when_the_peer_was_called_by_name(self) -> None:
        async with listening() as transport, peer_listening() as (port, accepted):
            flow = Flow("tcp", "localhost", port, 2)
            transport.pool.send(b"first", flow)
            reader, writer = await accepted.get()
            await read(reader, 5)
            writer.write(OPTIONS)
            await transport.next()
            transport.pool.send(b"second", flow)
            assert await read(reader, 6) == b"second"
            assert accepted.empty()
            (connection,) = transport.pool._connections.values()
            connection.abort()
            await end_of(reader)
            assert transport.pool._by_peer == {}

    @on_both_loops
    async def test_new_connection_is_made_when_the_old_one_was_closed(self) -> None:
        async with listening() as transport, peer_listening() as (port, accepted):
            flow = Flow("tcp", "127.0.0.1", port, 2)
            transport.pool.send(b"first", flow)
            reader, writer = await accepted.get()
            await read(reader, 5)
            writer.write(OPTIONS)  # so that we know when the closing has been seen
            _, old = await transport.next()
            (connection,) = transport.pool._connections.values()
            connection.abort()
            assert transport.pool.send(b"lost", old) == "connection is closed"
            await end_of(reader)
            assert transport.pool.send(b"second", old) == ""
            again, _ = await accepted.get()
            assert await read(again, 6) == b"second"

    @on_both_loops
    async def test_connection_of_another_transport_or_listener_is_not_used(self) -> None:
        async with listening() as transport, peer_listening() as (port, accepted):
            for flow in (Flow("tcp", "127.0.0.1", port, 2), Flow("ws", "127.0.0.1", port, 2, trust=Trust("none", ""))):
                transport.pool.send(b"message", flow)
                await accepted.get()
            assert accepted.empty()

    @on_both_loops
    async def test_connection_leaves_from_the_address_that_is_listened_on(self) -> None:
        async with listening("127.0.0.2") as transport, peer_listening() as (port, accepted):
            transport.pool.send(b"message", Flow("tcp", "127.0.0.1", port, 2))
            _, writer = await accepted.get()
            assert writer.get_extra_info("peername")[0] == "127.0.0.2"

    @on_both_loops
    async def test_alias_is_taken_only_with_a_certificate(self) -> None:
        # RFC 5923 §7: on a bare stream anybody behind the same address could ask for a carrier's calls.
        async with listening() as transport, peer_listening() as (port, accepted):
            reader, writer = await transport.connect()
            writer.write(OPTIONS)
            _, flow = await transport.next()
            transport.pool.note_alias(flow.connection, port)
            transport.pool.send(b"not to the first", Flow("tcp", "127.0.0.1", port, 2))
            other, _ = await accepted.get()
            assert await read(other, 16) == b"not to the first"
            (connection,) = [each for each in transport.pool._connections.values() if not each.is_outgoing]
            connection.certificate = {"subjectAltName": (("DNS", "carrier.example"),)}
            transport.pool.note_alias(flow.connection, 5071)
            transport.pool.send(b"to the first", Flow("tcp", "127.0.0.1", 5071, 2))
            assert await read(reader, 12) == b"to the first"
            await closed(writer)
            async with asyncio.timeout(PATIENCE):
                while connection.number in transport.pool._connections:  # noqa: ASYNC110 - what is looked at has no event
                    await asyncio.sleep(0)
            assert ("tcp", "127.0.0.1", 5071) not in transport.pool._by_peer


class TestLost:
    """A connection that goes while somebody waits for an answer on it."""

    @on_both_loops
    async def test_message_may_be_sent_again_when_the_connection_had_served(self) -> None:
        async with listening() as transport, peer_listening() as (port, accepted):
            flow = Flow("tcp", "127.0.0.1", port, 2)
            transport.pool.send(b"first", flow)
            reader, writer = await accepted.get()
            await read(reader, 5)
            writer.write(OPTIONS)
            await transport.next()
            await closed(writer)
            async with asyncio.timeout(PATIENCE):
                while not transport.lost:  # noqa: ASYNC110 - what is looked at has no event
                    await asyncio.sleep(0)
            (lost,) = transport.lost
            assert (lost.host, lost.port) == ("127.0.0.1", port)
            assert transport.failures.empty()
            assert transport.pool._outgoing == {}

    @on_both_loops
    async def test_user_hears_of_it_when_the_peer_has_never_answered(self) -> None:
        async with listening() as transport, peer_listening() as (port, accepted):
            transport.pool.send(b"first", Flow("tcp", "127.0.0.1", port, 2))
            reader, writer = await accepted.get()
            await read(reader, 5)
            await closed(writer)
            flow, reason = await transport.next_failure()
            assert (flow.port, reason) == (port, "connection was closed by the peer")

    @on_both_loops
    async def test_nobody_is_told_when_nothing_was_sent_for_long(self) -> None:
        async with listening() as transport:
            _, writer = await transport.connect()
            writer.write(OPTIONS)
            await transport.next()
            (connection,) = transport.pool._connections.values()
            connection.abort()
            async with asyncio.timeout(PATIENCE):
                while transport.pool.count:  # noqa: ASYNC110 - what is looked at has no event
                    await asyncio.sleep(0)
            assert transport.failures.empty()
            await closed(writer)


class TestUnwelcome:
    @on_both_loops
    async def test_connection_is_closed_as_it_comes_when_its_source_is_banned(self) -> None:
        async with listening() as transport:
            transport.banned.add("127.0.0.1")
            reader, writer = await transport.connect()
            assert await end_of(reader) == b""
            assert transport.pool.count == 0
            await closed(writer)

    @on_both_loops
    async def test_one_address_has_only_so_many(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(pools, "PER_HOST_LIMIT", 1)
        async with listening() as transport:
            _, first = await transport.connect()
            first.write(OPTIONS)
            await transport.next()
            reader, second = await transport.connect()
            assert await end_of(reader) == b""
            await closed(first)
            await closed(second)


class TestBroken:
    @on_both_loops
    async def test_answer_is_read_before_the_connection_ends(self) -> None:
        async with listening() as transport:
            transport.answer = b"413 or so"
            reader, writer = await transport.connect()
            writer.write(OPTIONS.replace(b"Content-Length: 0", b"Content-Length: 99999") + b"x" * 200_000)
            # The end comes at once, though much of what was sent is never read.
            assert await end_of(reader) == b"413 or so"
            await closed(writer)


class TestFailure:
    @on_both_loops
    async def test_user_hears_of_it_when_the_connection_is_refused(self) -> None:
        async with listening() as transport:
            flow = Flow("tcp", "127.0.0.1", await unused_port(), 2)
            turns = transport.turns
            assert transport.pool.send(OPTIONS, flow) == ""
            failed, reason = await transport.next_failure()
            assert (failed.host, failed.port) == (flow.host, flow.port)
            assert reason
            assert transport.pool._waiting == {}
            await asyncio.sleep(0)
            assert transport.turns == turns + 1

    @on_both_loops
    async def test_connection_is_tried_again_when_it_was_refused_before(self) -> None:
        async with listening() as transport:
            flow = Flow("tcp", "127.0.0.1", await unused_port(), 2)
            for _ in range(2):
                assert transport.pool.send(OPTIONS, flow) == ""
                await transport.next_failure()

    @on_both_loops
    async def test_sender_hears_of_it_when_too_much_waits_for_a_connection(self) -> None:
        async with listening() as transport, peer_listening() as (port, _):
            flow = Flow("tcp", "127.0.0.1", port, 2)
            outcomes = [transport.pool.send(OPTIONS, flow) for _ in range(pools.WAITING_LIMIT + 1)]
            assert outcomes[:-1] == [""] * pools.WAITING_LIMIT
            assert "wait" in outcomes[-1]

    @on_both_loops
    async def test_peer_is_cut_off_when_it_does_not_read(self) -> None:
        async with listening() as transport:
            reader, writer = await transport.connect()
            writer.write(OPTIONS)
            _, flow = await transport.next()
            outcomes = [transport.pool.send(b"x" * 65_536, flow) for _ in range(1000)]
            assert "peer does not read" in outcomes
            sent = outcomes.index("peer does not read")
            # What the kernel took, and our own limit: the rest never costs memory.
            assert sent * 65_536 > tcp.WRITE_LIMIT
            assert set(outcomes[sent + 1 :]) == {"connection is closed"}
            await end_of(reader)
            assert transport.pool._connections == {}
            await closed(writer)

    @on_both_loops
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
            assert transport.pool._connections == {}
            assert transport.pool._by_peer == {}
            await closed(second)

    @on_both_loops
    async def test_connection_is_closed_at_once_when_there_are_too_many(self) -> None:
        async with listening(max_connections=1) as transport:
            _, first = await transport.connect()
            first.write(OPTIONS)
            await transport.next()
            reader, second = await transport.connect()
            assert await end_of(reader) == b""
            first.write(OPTIONS)
            await transport.next()
            await closed(first)
            await closed(second)

    @on_both_loops
    async def test_user_hears_of_it_when_there_are_too_many_to_make_another(self) -> None:
        async with listening(max_connections=0) as transport, peer_listening() as (port, _):
            flow = Flow("tcp", "127.0.0.1", port, 2)
            assert transport.pool.send(OPTIONS, flow) == ""
            assert await transport.next_failure() == (flow, "too many connections")
            assert transport.pool._by_peer == {}

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
                assert len(transport.pool._connections) == 1
                await closed(writer)

        uvloop.run(main())
        assert faults == []


class TestBounds:
    @on_both_loops
    async def test_bytes_that_wait_for_a_connection_are_bounded(self) -> None:
        async with listening() as transport, peer_listening() as (port, _):
            flow, big = Flow("tcp", "127.0.0.1", port, 2), b"x" * 60_000
            outcomes = [transport.pool.send(big, flow) for _ in range(10)]
            assert outcomes.count("") == pools.WAITING_BYTES // 60_000
            assert outcomes[-1] == "too many messages wait for the connection"

    @on_both_loops
    async def test_connections_that_are_being_made_are_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(pools, "CONNECTING_LIMIT", 2)
        async with listening() as transport, peer_listening() as (port, _):
            hosts = ("127.0.0.1", "127.0.0.2", "127.0.0.3")
            outcomes = [transport.pool.send(OPTIONS, Flow("tcp", host, port, 2)) for host in hosts]
            assert outcomes == ["", "", "too many connections are being made"]

    @on_both_loops
    async def test_slowest_reader_is_cut_off_when_too_many_read_slowly(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(pools, "CONGESTED_LIMIT", 1)
        async with listening() as transport:
            streams, flows = [], []
            for _ in range(2):
                streams.append(await transport.connect())
                streams[-1][1].write(OPTIONS)
                flows.append((await transport.next())[1])
            for flow in flows:
                wire = transport.pool._connections[flow.connection]._transport
                assert wire is not None
                while wire.get_write_buffer_size() <= tcp.HIGH_WATER:
                    assert transport.pool.send(b"x" * 60_000, flow) == ""
            assert list(transport.pool._congested) == [flows[1].connection]
            assert transport.pool.send(OPTIONS, flows[0]) == "connection is closed"
            assert transport.pool.send(OPTIONS, flows[1]) == ""
            # It catches up, and counts as slow no more.
            async with asyncio.timeout(PATIENCE):
                while transport.pool._congested:
                    await streams[1][0].read(1_000_000)
            for _, writer in streams:
                await closed(writer)

    @on_both_loops
    async def test_connecting_ends_after_a_while(self) -> None:
        async with listening(connect_timeout=0.05) as transport, peer_listening() as (port, accepted):
            # It accepts, and never answers the handshake.
            transport.pool.send(OPTIONS, Flow("ws", "127.0.0.1", port, 2, trust=Trust("none", "")))
            _, reason = await transport.next_failure()
            assert reason == "connection timed out"
            reader, _ = await accepted.get()
            assert (await end_of(reader)).startswith(b"GET / HTTP/1.1\r\n")


class TestKeepAlive:
    """RFC 5626 §3.5.1."""

    @on_both_loops
    async def test_silent_connection_that_we_made_is_pinged_where_that_is_asked_for(self) -> None:
        async with listening(keep_alive=20.0) as transport, peer_listening() as (port, accepted):
            _, theirs = await transport.connect()
            theirs.write(OPTIONS)
            await transport.next()
            transport.pool.send(b"first", Flow("tcp", "127.0.0.1", port, 2))
            reader, writer = await accepted.get()
            await read(reader, 5)
            now = asyncio.get_running_loop().time()
            transport.pool.look_after(now + 19)
            transport.pool.look_after(now + 21)
            assert await read(reader, 4) == b"\r\n\r\n"
            writer.write(b"\r\n" + OPTIONS)
            await transport.next()
            transport.pool.send(b"second", Flow("tcp", "127.0.0.1", port, 2))
            assert await read(reader, 6) == b"second"
            await closed(theirs)

    @on_both_loops
    async def test_nothing_is_pinged_where_it_is_not(self) -> None:
        async with listening() as transport, peer_listening() as (port, accepted):
            transport.pool.send(b"first", Flow("tcp", "127.0.0.1", port, 2))
            reader, _ = await accepted.get()
            await read(reader, 5)
            transport.pool.look_after(asyncio.get_running_loop().time() + 500)
            transport.pool.send(b"second", Flow("tcp", "127.0.0.1", port, 2))
            assert await read(reader, 6) == b"second"

    @on_both_loops
    async def test_connection_of_a_peer_is_kept_open_when_it_is_silent(self) -> None:
        async with listening() as transport:
            reader, theirs = await transport.connect()
            theirs.write(OPTIONS)
            _, flow = await transport.next()
            (connection,) = transport.pool._connections.values()
            connection.used_at = asyncio.get_running_loop().time() - 13
            assert transport.pool.keep_open(flow.connection, 14.0)
            assert transport.pool.keep_open(flow.connection, 12.0)
            assert transport.pool.keep_open(flow.connection, 12.0)  # it has just been used
            transport.pool.send(b"message", flow)
            assert await read(reader, 9) == b"\r\nmessage"
            # Its own ping gets its answer, though it answered nothing.
            theirs.write(b"\r\n\r\n")
            assert await read(reader, 2) == b"\r\n"
            await closed(theirs)
            await end_of(reader)
            assert not transport.pool.keep_open(99, 0.0)


class TestClosing:
    @on_both_loops
    async def test_connection_is_closed_when_its_handshake_never_ends(self) -> None:
        transport = Transport()
        transport.address = await transport.pool.listen(ListenAddress("ws", "127.0.0.1", 0), 0)
        reader, writer = await transport.connect()
        writer.write(b"GET / HTTP/1.1\r\n")
        async with asyncio.timeout(PATIENCE):
            while not transport.pool.count:  # noqa: ASYNC110 - what is looked at has no event
                await asyncio.sleep(0)
        transport.pool.look_after(asyncio.get_running_loop().time() + tcp.HANDSHAKE_SECONDS + 1)
        assert await end_of(reader) == b""
        await closed(writer)
        transport.pool.close()

    @on_both_loops
    async def test_idle_connection_is_closed_and_busy_one_is_kept(self) -> None:
        async with listening() as transport:
            reader, idle = await transport.connect()
            idle.write(OPTIONS)
            await transport.next()
            _, busy = await transport.connect()
            busy.write(OPTIONS)
            _, flow = await transport.next()
            first, second = transport.pool._connections.values()
            now = asyncio.get_running_loop().time()
            first.used_at, second.used_at = now - 601, now - 540
            transport.pool.look_after(now)
            assert await end_of(reader) == b""
            assert transport.pool.send(OPTIONS, flow) == ""
            assert second.used_at >= now
            await closed(idle)
            await closed(busy)

    @on_both_loops
    async def test_everything_ends_when_the_transport_is_closed(self) -> None:
        async with listening() as transport:
            reader, writer = await transport.connect()
            writer.write(OPTIONS)
            await transport.next()
            transport.pool.close()
            assert await end_of(reader) == b""
            with pytest.raises(OSError, match="Connect"):
                await transport.connect()
            await closed(writer)
