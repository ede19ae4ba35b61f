"""The control client over real sockets: one worker, several, and those that do not answer."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from b2bua.control.client import ControlClient
from b2bua.control.messages import SIZE_LIMIT, ControlError, Message
from b2bua.control.server import ControlServer
from tests.support.legs import on_loop


def live_call(call_id: str, received_at: float, account_id: int = 2) -> Message:
    return {"call_id": call_id, "received_at": received_at, "account_id": account_id, "account_chain": [account_id, 1]}


class Worker:
    """The verbs of a worker with made-up calls; it remembers what it was asked."""

    def __init__(self, *calls: Message) -> None:
        self.calls = list(calls)
        self.asked: list[Message] = []

    def verbs(self) -> dict[str, Callable[[Message], Message]]:
        return {
            "ping": self._ping,
            "calls": self._calls,
            "hangup": self._hang_up,
            "trace": self._trace,
            "registrations": self._registrations,
            "remove_registration": self._remove_registration,
        }

    def _registrations(self, request: Message) -> Message:
        self.asked.append(request)
        rows = [{"username": call["call_id"], "contact": "c"} for call in self.calls]
        return {"total": len(rows), "registrations": rows}

    def _remove_registration(self, request: Message) -> Message:
        if request["contact"] == "refused":
            raise ControlError("no")
        return {"removed": sum(call["call_id"] == request["contact"] for call in self.calls)}

    def _trace(self, request: Message) -> Message:
        known = [call for call in self.calls if call["call_id"] == request["name"]]
        return {"trace": {"messages": [], **known[0]} if known else None}

    def _ping(self, request: Message) -> Message:
        self.asked.append(request)
        return {"calls": len(self.calls)}

    def _calls(self, request: Message) -> Message:
        self.asked.append(request)
        return {"total": len(self.calls), "calls": self.calls[: request["limit"]]}

    def _hang_up(self, request: Message) -> Message:
        self.asked.append(request)
        if request["call_id"] == "refused":
            raise ControlError("no")
        kept = [call for call in self.calls if call["call_id"] != request["call_id"]]
        ended, self.calls = len(self.calls) - len(kept), kept
        return {"ended": ended}


@asynccontextmanager
async def running(directory: Path, **workers: Worker) -> AsyncIterator[ControlClient]:
    """Workers `sip_1=…` on sockets `sip-1.sock`, and a client."""
    async with AsyncExitStack() as stack:
        for name, worker in workers.items():
            server = ControlServer(directory / f"{name.replace('_', '-')}.sock", worker.verbs())
            await server.open()
            stack.callback(server.close)
        yield ControlClient(directory, timeout=5.0)


@asynccontextmanager
async def answering_with(directory: Path, *chunks: bytes, closes: bool = True) -> AsyncIterator[ControlClient]:
    """A worker `sip-1` that says something else than it should."""
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await reader.readline()
        for chunk in chunks:
            writer.write(chunk)
        if closes:
            writer.close()

    server = await asyncio.start_unix_server(serve, str(directory / "sip-1.sock"))
    try:
        yield ControlClient(directory, timeout=5.0 if closes else 0.05)
    finally:
        server.close()
        for writer in writers:
            writer.close()


class TestRequest:
    @on_loop
    async def test_client_gets_the_answer_when_the_worker_is_there(self, sockets: Path) -> None:
        worker = Worker()
        async with running(sockets, sip_1=worker) as client:
            assert await client.request("sip-1", "ping", extra=[1, None]) == {"ok": True, "calls": 0}
        assert worker.asked == [{"verb": "ping", "extra": [1, None]}]

    @on_loop
    async def test_client_says_what_the_worker_said_when_it_refuses(self, sockets: Path) -> None:
        async with running(sockets, sip_1=Worker()) as client:
            with pytest.raises(ControlError, match=r"^worker sip-1: no$"):
                await client.request("sip-1", "hangup", call_id="refused")

    @on_loop
    async def test_client_says_which_verbs_there_are_when_one_is_unknown(self, sockets: Path) -> None:
        async with running(sockets, sip_1=Worker()) as client:
            with pytest.raises(ControlError, match=r"verbs are ping, calls, hangup"):
                await client.request("sip-1", "fly")

    @on_loop
    async def test_client_says_so_when_no_worker_is_there(self, sockets: Path) -> None:
        async with running(sockets) as client:
            with pytest.raises(ControlError, match=r"^worker sip-1 does not answer: .*No such file"):
                await client.request("sip-1", "ping")

    @on_loop
    async def test_client_says_so_when_the_worker_died_and_left_its_socket(self, sockets: Path) -> None:
        async with running(sockets, sip_1=Worker()) as client:
            (sockets / "sip-1.sock").rename(sockets / "sip-2.sock")
        assert client.workers() == ["sip-2"]
        with pytest.raises(ControlError, match=r"^worker sip-2 does not answer: .*refused"):
            await client.request("sip-2", "ping")

    @on_loop
    async def test_client_gives_up_when_the_worker_is_silent(self, sockets: Path) -> None:
        async with answering_with(sockets, closes=False) as client:
            with pytest.raises(ControlError, match=r"^worker sip-1 does not answer: TimeoutError$"):
                await client.request("sip-1", "ping")

    @on_loop
    @pytest.mark.parametrize("answer", [b"", b'{"ok": tr', b"rubbish\n", b'{"ok": true}'])
    async def test_client_says_so_when_the_answer_is_cut_short_or_rubbish(self, sockets: Path, answer: bytes) -> None:
        async with answering_with(sockets, answer) as client:
            with pytest.raises(ControlError, match=r"^worker sip-1 does not answer: "):
                await client.request("sip-1", "ping")

    @on_loop
    async def test_client_says_so_when_the_answer_is_too_long(self, sockets: Path) -> None:
        async with answering_with(sockets, b"x" * SIZE_LIMIT, b"x" * SIZE_LIMIT, b"xx\n") as client:
            with pytest.raises(ControlError, match=r"^worker sip-1 does not answer: "):
                await client.request("sip-1", "ping")

    @on_loop
    @pytest.mark.parametrize("answer", [b"{}\n", b'{"ok": false}\n'])
    async def test_client_says_refused_when_the_worker_names_no_reason(self, sockets: Path, answer: bytes) -> None:
        async with answering_with(sockets, answer) as client:
            with pytest.raises(ControlError, match=r"^worker sip-1: refused$"):
                await client.request("sip-1", "ping")


class TestSeveralWorkers:
    @on_loop
    async def test_messages_of_a_call_come_from_the_worker_that_has_it(self, sockets: Path) -> None:
        one, two = Worker(live_call("a", 1.0)), Worker(live_call("b", 2.0))
        async with running(sockets, sip_1=one, sip_2=two) as client:
            found = await client.trace("b")
            assert found is not None
            assert (found["call_id"], found["received_at"], found["messages"]) == ("b", 2.0, [])
            assert await client.trace("c") is None

    @on_loop
    async def test_workers_are_named_in_order_and_other_sockets_left_out(self, sockets: Path) -> None:
        async with running(sockets, sip_2=Worker(), sip_1=Worker(), valkey=Worker()) as client:
            assert client.workers() == ["sip-1", "sip-2"]
        assert client.workers() == []

    @on_loop
    async def test_calls_of_all_are_merged_oldest_first(self, sockets: Path) -> None:
        one = Worker(live_call("a", 1.0), live_call("d", 4.0))
        other = Worker(live_call("b", 2.0), live_call("c", 2.0), live_call("e", 5.0))
        async with running(sockets, sip_1=one, sip_2=other) as client:
            total, calls = await client.calls([2], limit=4)
        assert total == 5
        assert [call["call_id"] for call in calls] == ["a", "b", "c", "d"]
        assert one.asked == other.asked == [{"verb": "calls", "account_ids": [2], "limit": 4}]

    @on_loop
    async def test_others_are_listed_when_one_does_not_answer(self, sockets: Path) -> None:
        async with running(sockets, sip_2=Worker(live_call("a", 1.0))) as client, answering_with(sockets, b"?\n"):
            total, calls = await client.calls()
        assert (total, len(calls)) == (1, 1)

    @on_loop
    async def test_there_are_no_calls_when_there_is_no_worker(self, sockets: Path) -> None:
        async with running(sockets) as client:
            assert await client.calls() == (0, [])
            assert await client.hang_up(call_id="a") == 0

    @on_loop
    async def test_every_worker_is_asked_when_a_call_is_to_end(self, sockets: Path) -> None:
        one, other = Worker(live_call("a", 1.0)), Worker(live_call("b", 2.0))
        async with running(sockets, sip_1=one, sip_2=other) as client:
            assert await client.hang_up(call_id="b") == 1
            assert await client.hang_up(call_id="b") == 0
        assert [len(one.calls), len(other.calls)] == [1, 0]
        asked: Any = one.asked[0]
        assert asked == {"verb": "hangup", "call_id": "b", "account_id": None}


class TestRegistrations:
    @on_loop
    async def test_client_puts_the_lists_of_all_workers_in_order(self, sockets: Path) -> None:
        one = Worker(live_call("b", 1.0), live_call("d", 2.0))
        other = Worker(live_call("a", 3.0), live_call("c", 4.0))
        async with running(sockets, sip_1=one, sip_2=other) as client:
            total, rows = await client.registrations([2], 3, search="x", after=("a", "c"))
            assert (total, [row["username"] for row in rows]) == (4, ["a", "b", "c"])
            _, rows = await client.registrations(limit=3, before=("x", "c"))
            assert [row["username"] for row in rows] == ["b", "c", "d"]
        asked = one.asked[0]
        assert asked == {**asked, "account_ids": [2], "limit": 3, "search": "x", "after": ["a", "c"], "before": None}

    @on_loop
    async def test_client_tells_every_worker_to_remove_one(self, sockets: Path) -> None:
        async with running(sockets, sip_1=Worker(live_call("a", 1.0)), sip_2=Worker()) as client:
            assert await client.remove_registration(9, "a") == 1
            assert await client.remove_registration(9, "b") == 0
            with pytest.raises(ControlError, match="could remove"):
                await client.remove_registration(9, "refused")
