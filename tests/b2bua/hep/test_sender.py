"""Copies reach a capture server on the loopback, and nobody waits for one that is away."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from b2bua.hep import sender as module
from b2bua.hep.packet import Place
from b2bua.hep.sender import WAITING_LIMIT, HEPSender, parse_url
from b2bua.sip.flow import Flow
from conf.errors import InvalidSetting
from conf.settings import HEPSettings
from tests.support.hep import read
from tests.support.legs import on_loop

PEER = Flow("udp", "198.51.100.7", 5060)


def ours(_: Flow) -> Place:
    return "192.0.2.1", 5060


@asynccontextmanager
async def running(url: str, **settings: Any) -> AsyncIterator[HEPSender]:
    """A sender that tries to be connected."""
    sender = HEPSender(HEPSettings(url=url, **settings), "node1", ours)
    task = asyncio.get_running_loop().create_task(sender.run())
    await asyncio.sleep(0.05)
    try:
        yield sender
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


class Server:
    """Takes HEP over TCP."""

    def __init__(self) -> None:
        self.data = b""
        self.writers: list[asyncio.StreamWriter] = []

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        while piece := await reader.read(65_536):
            self.data += piece

    def packets(self) -> list[dict[int, bytes]]:
        """What has come."""
        found, rest = [], self.data
        while rest:
            size = int.from_bytes(rest[4:6], "big")
            found.append(read(rest[:size]))
            rest = rest[size:]
        return found


class TestURL:
    @pytest.mark.parametrize(
        ("url", "parts"),
        [
            ("udp://192.0.2.9:9060", ("udp", "192.0.2.9", 9060)),
            ("tcp://[2001:db8::1]:9061/", ("tcp", "2001:db8::1", 9061)),
            ("udp://homer.example", ("udp", "homer.example", 9060)),
        ],
    )
    def test_transport_host_and_port_are_read(self, url: str, parts: tuple[str, str, int]) -> None:
        assert parse_url(url) == parts

    @pytest.mark.parametrize("url", ["", "homer:9060", "tls://homer", "udp://", "udp://h:x", "udp://h/x", "udp://[::1"])
    def test_anything_else_is_refused(self, url: str) -> None:
        with pytest.raises(InvalidSetting, match="must look like udp://192"):
            HEPSender(HEPSettings(url=url), "node1", ours)


class TestUDP:
    @on_loop
    async def test_message_arrives_with_its_way_and_its_call(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
            server.bind(("127.0.0.1", 0))
            server.settimeout(2.0)
            async with running(f"udp://127.0.0.1:{server.getsockname()[1]}", capture_id=7) as sender:
                sender.send(1.5, False, PEER, b"BYE", "call-1")
                sender.send(2.5, True, PEER, b"200", "")
                received, sent = read(server.recv(65_536)), read(server.recv(65_536))
        assert (received[3], received[4]) == (bytes([198, 51, 100, 7]), bytes([192, 0, 2, 1]))
        assert (sent[3], sent[4]) == (received[4], received[3])
        assert (received[15], received[17], received[19], received[12]) == (b"BYE", b"call-1", b"node1", b"\0\0\0\x07")
        assert 17 not in sent
        assert (sender.sent, sender.dropped) == (2, 0)

    @on_loop
    async def test_name_of_the_section_goes_before_that_of_the_machine(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
            server.bind(("127.0.0.1", 0))
            server.settimeout(2.0)
            async with running(f"udp://127.0.0.1:{server.getsockname()[1]}", node="edge") as sender:
                sender.send(1.5, False, PEER, b"BYE", "")
                assert read(server.recv(65_536))[19] == b"edge"

    @on_loop
    async def test_nobody_there_costs_no_more_than_the_copies(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
            server.bind(("127.0.0.1", 0))
            port = server.getsockname()[1]
        async with running(f"udp://127.0.0.1:{port}") as sender:
            for _ in range(5):
                sender.send(1.0, False, PEER, b"BYE", "")
                await asyncio.sleep(0.01)
        assert sender.dropped > 0
        assert sender.sent + sender.dropped == 5

    @on_loop
    async def test_full_buffer_drops_the_copy(self) -> None:
        class Full:
            def send(self, _: bytes) -> int:
                raise BlockingIOError

            def close(self) -> None:
                pass

        sender = HEPSender(HEPSettings(url="udp://127.0.0.1"), "node1", ours)
        sender._socket = Full()  # type: ignore[assignment]
        sender.send(1.0, False, PEER, b"BYE", "")
        assert (sender.sent, sender.dropped) == (0, 1)
        sender.close()

    @on_loop
    async def test_name_is_looked_up_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "_LOOK_INTERVAL", 0.01)
        async with running("udp://127.0.0.1:9") as sender:
            first = sender._socket
            await asyncio.sleep(0.1)
            assert sender._socket is not None
            assert sender._socket is not first


class TestTCP:
    @on_loop
    async def test_messages_arrive_and_go_on_after_the_server_was_away(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "RETRY_INTERVALS", (0.02,))
        taking = Server()
        server = await asyncio.start_server(taking.take, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with running(f"tcp://127.0.0.1:{port}") as sender:
            sender.send(1.0, False, PEER, b"BYE", "call-1")
            sender.send(1.0, True, PEER, b"x" * 70_000, "call-1")
            await asyncio.sleep(0.05)
            assert [each[15][:3] for each in taking.packets()] == [b"BYE", b"xxx"]
            server.close()
            for writer in taking.writers:
                writer.close()
            await asyncio.sleep(0.05)
            sender.send(2.0, False, PEER, b"lost", "")
            assert sender.dropped == 1
            again = await asyncio.start_server(taking.take, "127.0.0.1", port)
            taking.data = b""
            await asyncio.sleep(0.2)
            sender.send(3.0, False, PEER, b"ACK", "")
            await asyncio.sleep(0.05)
            assert [each[15] for each in taking.packets()] == [b"ACK"]
            again.close()
        for writer in taking.writers:
            writer.close()

    @on_loop
    async def test_server_that_does_not_read_costs_copies_and_no_memory(self) -> None:
        stalled = asyncio.Event()

        async def stall(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await stalled.wait()
            writer.close()

        server = await asyncio.start_server(stall, "127.0.0.1", 0, limit=1024)
        async with running(f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}") as sender:
            for _ in range(400):
                sender.send(1.0, False, PEER, b"x" * 60_000, "")
            assert sender.dropped > 0
            assert sender._stream is not None
            assert sender._stream.get_write_buffer_size() <= WAITING_LIMIT
        stalled.set()
        await asyncio.sleep(0.01)
        server.close()

    @on_loop
    async def test_paths_that_are_remembered_are_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "_PATHS_LIMIT", 2)
        sender = HEPSender(HEPSettings(url="udp://127.0.0.1"), "node1", ours)
        for port in range(5):
            sender._path(True, Flow("udp", "192.0.2.1", port))
            assert sender._path(True, Flow("udp", "192.0.2.1", port)) is sender._path(
                True, Flow("udp", "192.0.2.1", port)
            )
        assert len(sender._paths) <= 2
