"""The client against engines of a few lines on real sockets: repetition, failover, weights, silence."""

import asyncio
import random
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from media import client as module
from media import ng
from media.client import MediaClient
from media.engine_address import EngineAddress
from media.errors import EngineRefused, MediaError, NoEngine
from tests.support.loops import on_both_loops
from tests.support.media import until

OPTIONS = ng.Options()
SDP = b"v=0\r\n"


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REPEAT_INTERVALS", (0.05, 0.05, 0.1))


class Peer:
    """An engine of a test's own: answers as it is told, on UDP or a Unix socket.

    Args:
        answer: Makes the answer to a request; None: it is silent.
        path: Of a Unix socket; none: UDP.
    """

    def __init__(self, answer: Callable[[ng.Message], ng.Message | None], path: Path | None = None) -> None:
        self.answer = answer
        self.requests: list[ng.Message] = []
        self.datagrams: list[bytes] = []
        self._socket = socket.socket(socket.AF_UNIX if path else socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind(str(path) if path else ("127.0.0.1", 0))
        family = socket.AF_UNIX if path else socket.AF_INET
        self.address = EngineAddress(f"peer{id(self)}", family, self._socket.getsockname())
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket.fileno(), self._read)

    def _read(self) -> None:
        datagram, source = self._socket.recvfrom(65_536)
        self.datagrams.append(datagram)
        cookie, message, _ = ng.unpack(datagram)
        self.requests.append(message)
        answer = {"result": "pong"} if message["command"] == "ping" else self.answer(message)
        if answer is not None:
            self._socket.sendto(ng.pack(cookie, answer), source)

    @property
    def distinct(self) -> list[str]:
        """Commands of the requests, repeated ones left out."""
        return [ng.unpack(datagram)[1]["command"] for datagram in dict.fromkeys(self.datagrams)]

    def count(self, command: str) -> int:
        """How many requests of a kind came, repeated ones included."""
        return sum(message["command"] == command for message in self.requests)

    def close(self) -> None:
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()


def willing(message: ng.Message) -> ng.Message:
    return {"result": "ok", "sdp": message.get("sdp", ""), "calls": []}


def refusing(_: ng.Message) -> ng.Message:
    return {"result": "error", "error-reason": "Ran out of ports"}


async def using(*peers: Peer, work: Callable[[MediaClient], Any], **options: Any) -> None:
    """Do something with a client of these engines."""
    client = MediaClient([peer.address for peer in peers], **options)
    try:
        await work(client)
    finally:
        client.close()
        for peer in peers:
            peer.close()


class TestRequests:
    @pytest.mark.parametrize("on_unix", [False, True])
    @on_both_loops
    async def test_call_is_offered_answered_asked_for_and_deleted(self, on_unix: bool, tmp_path: Path) -> None:
        peer = Peer(willing, tmp_path / "engine.sock" if on_unix else None)

        async def work(client: MediaClient) -> None:
            assert await client.wait(client.offer, "call", "a", SDP, OPTIONS) == SDP
            assert client.engine_of("call") == peer.address.name
            assert await client.wait(client.answer, "call", "a", "b", SDP, OPTIONS) == SDP
            assert (await client.wait(client.query, "call")).sides == {}
            await client.wait(client.delete, "call")
            assert (client.calls, client.engine_of("call")) == (0, "")
            assert peer.distinct == ["offer", "answer", "query", "delete"]

        await using(peer, work=work)

    @on_both_loops
    async def test_engine_tells_how_it_is(self) -> None:
        peer = Peer(lambda _: {"result": "ok", "statistics": {"calls": 3}})

        async def work(client: MediaClient) -> None:
            assert await client.wait(client.statistics, peer.address.name) == {"calls": 3}

        await using(peer, work=work)

    @on_both_loops
    async def test_lost_request_is_repeated_with_its_cookie(self) -> None:
        seen = []

        def lose_first(message: ng.Message) -> ng.Message | None:
            seen.append(message)
            return willing(message) if len(seen) == 3 else None

        peer = Peer(lose_first)

        async def work(client: MediaClient) -> None:
            assert await client.wait(client.offer, "call", "a", SDP, OPTIONS) == SDP
            assert len(peer.datagrams) >= 3
            assert len(set(peer.datagrams)) == 1

        await using(peer, work=work)

    @on_both_loops
    async def test_answer_of_another_cookie_is_passed_over(self) -> None:
        peer = Peer(lambda _: None)

        async def work(client: MediaClient) -> None:
            results: list[bytes | MediaError] = []
            client.offer("call", "a", SDP, OPTIONS, results.append)
            await until(lambda: peer.requests)
            assert not results

        await using(peer, work=work)

    @on_both_loops
    async def test_request_that_is_too_large_is_refused_here(self) -> None:
        peer = Peer(willing)

        async def work(client: MediaClient) -> None:
            with pytest.raises(EngineRefused) as caught:
                await client.wait(client.offer, "call", "a", b"x" * 70_000, OPTIONS)
            assert caught.value.status_hint == 488

        await using(peer, work=work)


class TestFailover:
    @on_both_loops
    async def test_next_engine_takes_the_call_when_one_is_silent(self) -> None:
        silent, other = Peer(lambda _: None), Peer(willing)
        order = random.Random(1)

        async def work(client: MediaClient) -> None:
            for number in range(6):
                assert await client.wait(client.offer, f"call{number}", "a", SDP, OPTIONS) == SDP
            assert client.engines_up == {silent.address.name: False, other.address.name: True}
            assert client.engine_of("call0") == other.address.name
            # The first call may have been taken after all.
            await until(lambda: silent.count("delete"))
            assert silent.count("offer") == len(module.REPEAT_INTERVALS)

        await using(silent, other, work=work, chooser=order)

    @on_both_loops
    async def test_next_engine_takes_the_call_when_one_is_full(self) -> None:
        full, other = Peer(refusing), Peer(willing)

        async def work(client: MediaClient) -> None:
            for number in range(8):
                assert await client.wait(client.offer, f"call{number}", "a", SDP, OPTIONS) == SDP
            assert full.count("offer") > 0
            assert client.engines_up[full.address.name]

        await using(full, other, work=work, chooser=random.Random(1))

    @on_both_loops
    async def test_description_that_an_engine_refuses_is_not_tried_elsewhere(self) -> None:
        first, second = (Peer(lambda _: ng.error("no port in m=", 488)) for _ in range(2))

        async def work(client: MediaClient) -> None:
            with pytest.raises(EngineRefused, match="no port") as caught:
                await client.wait(client.offer, "call", "a", SDP, OPTIONS)
            assert caught.value.status_hint == 488
            assert first.distinct + second.distinct == ["offer"]

        await using(first, second, work=work)

    @on_both_loops
    async def test_engine_is_used_again_when_it_answers_pings(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "HEALTH_INTERVAL", 0.05)
        peer = Peer(lambda _: None)

        async def work(client: MediaClient) -> None:
            with pytest.raises(NoEngine):
                await client.wait(client.offer, "call", "a", SDP, OPTIONS)
            assert client.engines_up == {peer.address.name: False}
            client.open()
            await until(lambda: client.engines_up[peer.address.name])

        await using(peer, work=work)

    @on_both_loops
    async def test_engine_that_was_started_again_is_found_before_the_next_round(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setattr(module, "HEALTH_INTERVAL", 3600)
        path = tmp_path / "engine.sock"
        client = MediaClient([EngineAddress("own", socket.AF_UNIX, str(path))])
        client.open()
        await until(lambda: not client.is_up)
        peer = Peer(willing, path)
        await until(lambda: client.is_up)
        client.close()
        peer.close()

    @on_both_loops
    async def test_engine_that_starts_later_is_found(self, tmp_path: Path) -> None:
        path = tmp_path / "engine.sock"
        client = MediaClient([EngineAddress("late", socket.AF_UNIX, str(path))])
        results: list[bytes | MediaError] = []
        client.offer("call", "a", SDP, OPTIONS, results.append)
        peer = Peer(willing, path)
        await until(lambda: results)
        assert results == [SDP]
        client.close()
        peer.close()

    @on_both_loops
    async def test_nothing_waits_when_there_is_no_engine(self) -> None:
        client = MediaClient([])
        with pytest.raises(NoEngine):
            await client.wait(client.offer, "call", "a", SDP, OPTIONS)
        with pytest.raises(NoEngine):
            await client.wait(client.answer, "call", "a", "b", SDP, OPTIONS)

    @on_both_loops
    async def test_what_waits_fails_when_the_client_is_closed(self) -> None:
        peer = Peer(lambda _: None)
        client = MediaClient([peer.address])
        results: list[bytes | MediaError] = []
        client.offer("call", "a", SDP, OPTIONS, results.append)
        client.close()
        assert isinstance(results[0], NoEngine)
        peer.close()

    @on_both_loops
    async def test_calls_are_shared_by_weight(self) -> None:
        peers = [Peer(willing), Peer(willing), Peer(willing)]
        for peer, weight in zip(peers, (3, 1, 0), strict=True):
            object.__setattr__(peer.address, "weight", weight)

        async def work(client: MediaClient) -> None:
            for number in range(200):
                await client.wait(client.offer, f"call{number}", "a", SDP, OPTIONS)
            counts = [peer.count("offer") for peer in peers]
            assert counts[2] == 0
            assert 2 < counts[0] / counts[1] < 4.5

        await using(*peers, work=work, chooser=random.Random(7))


class TestSilence:
    @on_both_loops
    async def test_call_that_our_engine_names_is_told_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "HEALTH_INTERVAL", 0.02)
        peer = Peer(lambda message: {**willing(message), "calls": ["call", "of another worker"]})
        told: list[str] = []

        async def work(client: MediaClient) -> None:
            await client.wait(client.offer, "call", "a", SDP, OPTIONS)
            client.open()
            await until(lambda: told)
            await client.wait(client.offer, "other", "a", SDP, OPTIONS)
            count = peer.count("timeouts")
            await until(lambda: peer.count("timeouts") > count + 2)
            assert told == ["call"]

        await using(peer, work=work, timed_out=told.append)

    @on_both_loops
    async def test_call_that_was_silent_while_it_rang_is_told_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "HEALTH_INTERVAL", 0.02)
        peer, told = Peer(lambda message: {**willing(message), "calls": ["call"]}), list[str]()

        async def work(client: MediaClient) -> None:
            await client.wait(client.offer, "call", "a", SDP, OPTIONS)
            client.open()
            await until(lambda: told)
            await client.wait(client.answer, "call", "a", "b", SDP, OPTIONS)
            await until(lambda: len(told) == 2)

        await using(peer, work=work, timed_out=told.append)

    @on_both_loops
    async def test_call_that_rtpengine_no_longer_knows_is_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "HEALTH_INTERVAL", 0.02)

        def answer(message: ng.Message) -> ng.Message:
            if message["command"] == "timeouts":
                return ng.error("Unrecognized command")
            if message["command"] == "query" and message["call-id"] == "gone":
                return ng.error("Unknown call-id")
            return willing(message)

        peer, told = Peer(answer), list[str]()

        async def work(client: MediaClient) -> None:
            for call_id in ("here", "gone"):
                await client.wait(client.offer, call_id, "a", SDP, OPTIONS)
            client.open()
            await until(lambda: told)
            count = peer.count("query")
            await until(lambda: peer.count("query") > count + 2)
            assert told == ["gone"]

        await using(peer, work=work, timed_out=told.append)
