"""A worker's control socket, asked by hand."""

import asyncio
import contextlib
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from b2bua.control.messages import SIZE_LIMIT, ControlError, Message
from b2bua.control.server import ControlServer
from tests.support.legs import on_loop

PATIENCE = 5.0


def ping(request: Message) -> Message:
    return {"worker": "sip-1", "said": request.get("say")}


def refuse(_: Message) -> Message:
    raise ControlError("hangup takes either call_id or account_id")


async def think(request: Message) -> Message:
    await asyncio.sleep(0)
    if request.get("refuses"):
        raise ControlError("thought better of it")
    return {"thought": True}


def break_down(_: Message) -> Message:
    raise ZeroDivisionError("a fault of ours")


@asynccontextmanager
async def serving(directory: Path) -> AsyncIterator[Path]:
    path = directory / "sip-1.sock"
    server = ControlServer(path, {"ping": ping, "hangup": refuse, "break": break_down, "think": think})
    await server.open()
    try:
        yield path
    finally:
        server.close()


async def exchange(path: Path, *lines: bytes) -> list[Any]:
    """Send lines over one connection and return an answer to each."""
    reader, writer = await asyncio.open_unix_connection(str(path), limit=SIZE_LIMIT)
    try:
        answers = []
        async with asyncio.timeout(PATIENCE):
            for line in lines:
                writer.write(line)
                answers.append(orjson.loads(await reader.readline()))
        return answers
    finally:
        writer.close()
        await writer.wait_closed()


@on_loop
async def test_server_answers_each_line_when_several_come_over_one_connection(sockets: Path) -> None:
    async with serving(sockets) as path:
        answers = await exchange(path, b'{"verb": "ping", "say": 1}\n', b'{"verb": "ping"}\n')
    assert answers == [{"ok": True, "worker": "sip-1", "said": 1}, {"ok": True, "worker": "sip-1", "said": None}]


@on_loop
@pytest.mark.parametrize(
    "line",
    [b'{"verb": "fly"}\n', b"{}\n", b"[]\n", b"7\n", b'"ping"\n', b"rubbish\n", b"\n", b'{"verb": []}\n', b"\xff\n"],
)
async def test_server_names_its_verbs_when_it_does_not_understand(sockets: Path, line: bytes) -> None:
    async with serving(sockets) as path:
        answers = await exchange(path, line, b'{"verb": "ping"}\n')
    assert answers[0] == {"ok": False, "error": "unknown request; verbs are ping, hangup, break, think"}
    assert answers[1]["ok"]


@on_loop
async def test_server_says_why_when_a_verb_refuses(sockets: Path) -> None:
    async with serving(sockets) as path:
        (answer,) = await exchange(path, b'{"verb": "hangup"}\n')
    assert answer == {"ok": False, "error": "hangup takes either call_id or account_id"}


@on_loop
async def test_server_waits_for_a_verb_that_takes_its_time(sockets: Path) -> None:
    async with serving(sockets) as path:
        answer, refused = await exchange(path, b'{"verb": "think"}\n', b'{"verb": "think", "refuses": 1}\n')
    assert answer == {"ok": True, "thought": True}
    assert refused == {"ok": False, "error": "thought better of it"}


@on_loop
async def test_server_goes_on_and_says_nothing_of_itself_when_a_verb_breaks_down(sockets: Path) -> None:
    async with serving(sockets) as path:
        broken, healthy = await exchange(path, b'{"verb": "break"}\n', b'{"verb": "ping"}\n')
    assert broken == {"ok": False, "error": "internal error, see the log"}
    assert healthy["ok"]


@on_loop
async def test_only_the_owner_may_open_the_socket(sockets: Path) -> None:
    async with serving(sockets) as path:
        assert stat.S_ISSOCK(path.stat().st_mode)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


@on_loop
async def test_leftover_socket_is_replaced_when_a_worker_died(sockets: Path) -> None:
    async with serving(sockets) as path:
        path.rename(sockets / "old")
        (sockets / "old").rename(path)
        async with serving(sockets) as again:
            assert (await exchange(again, b'{"verb": "ping"}\n'))[0]["ok"]


@on_loop
async def test_socket_is_removed_when_the_server_is_closed(sockets: Path) -> None:
    async with serving(sockets) as path:
        pass
    assert not path.exists()
    with pytest.raises(FileNotFoundError):
        await exchange(path, b'{"verb": "ping"}\n')


@on_loop
async def test_closing_is_harmless_when_the_server_was_never_opened(sockets: Path) -> None:
    ControlServer(sockets / "sip-1.sock", {}).close()


@on_loop
async def test_connection_is_closed_when_a_line_never_ends(sockets: Path) -> None:
    async with serving(sockets) as path:
        reader, writer = await asyncio.open_unix_connection(str(path))
        try:
            async with asyncio.timeout(PATIENCE):
                writer.write(b"x" * (2 * SIZE_LIMIT + 100))
                with contextlib.suppress(OSError):  # it may close while we write, or while we read
                    await writer.drain()
                    assert await reader.read() == b""
        finally:
            writer.close()
        assert (await exchange(path, b'{"verb": "ping"}\n'))[0]["ok"]


@on_loop
async def test_others_are_served_when_one_goes_away_in_the_middle(sockets: Path) -> None:
    async with serving(sockets) as path:
        _, writer = await asyncio.open_unix_connection(str(path))
        writer.write(b'{"verb": "ping"')
        writer.close()
        await writer.wait_closed()
        assert (await exchange(path, b'{"verb": "ping"}\n'))[0]["ok"]
