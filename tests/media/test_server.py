"""Requests heard on sockets: answered in the form they came in, and the same again when they come again."""

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from conf.errors import InvalidSetting
from media import client as client_module
from media import ng
from media.client import MediaClient
from media.engine_address import EngineAddress
from media.ng import Form, Options
from media.server import Server, parse_listen
from tests.support.loops import on_both_loops
from tests.support.media import until


class Counting:
    """Answers every request with its number."""

    def __init__(self) -> None:
        self.requests: list[ng.Message] = []

    def handle(self, message: ng.Message) -> ng.Message:
        self.requests.append(message)
        return {"result": "ok", "number": len(self.requests)}


async def ask(address: object, datagram: bytes, *, opened: socket.socket | None = None) -> bytes:
    """Send a datagram and return what comes back."""
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    asking = opened or socket.socket(family, socket.SOCK_DGRAM)
    asking.setblocking(False)
    if opened is None:
        asking.bind("" if family == socket.AF_UNIX else ("127.0.0.1", 0))
    answers: list[bytes] = []

    def come() -> bool:
        try:
            answers.append(asking.recv(65_536))
        except BlockingIOError:
            return False
        return True

    asking.sendto(datagram, address)  # type: ignore[call-overload]
    await until(come)
    if opened is None:
        asking.close()
    return answers[0]


@pytest.mark.parametrize("form", Form)
@on_both_loops
async def test_request_is_answered_in_its_form_on_both_sockets(form: Form, tmp_path: Path) -> None:
    counting = Counting()
    server = Server(counting.handle, tmp_path / "engine.sock", [("127.0.0.1", 0)])
    for number, address in enumerate(server.addresses, 1):
        answer = await ask(address, ng.pack(b"c%d" % number, ng.ping(), form))
        assert ng.unpack(answer) == (b"c%d" % number, {"result": "ok", "number": number}, form)
    server.close()
    assert not (tmp_path / "engine.sock").exists()


@on_both_loops
async def test_request_that_comes_again_is_not_done_again() -> None:
    counting = Counting()
    server = Server(counting.handle, None, [("127.0.0.1", 0)])
    (address,) = server.addresses
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.bind(("127.0.0.1", 0))
        first, again = [await ask(address, ng.pack(b"c", ng.ping()), opened=asking) for _ in range(2)]
        assert first == again
        assert len(counting.requests) == 1
    # Another client may have chosen the same cookie.
    assert await ask(address, ng.pack(b"c", ng.ping())) != first
    server.close()


@on_both_loops
async def test_what_the_engine_tells_comes_once_to_the_client_of_the_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "HEALTH_INTERVAL", 0.05)
    server = Server(lambda _: {"result": "ok", "sdp": "v=0"}, tmp_path / "engine.sock")
    told: dict[str, list[tuple[object, ...]]] = {"ours": [], "others": []}
    address = EngineAddress("own", socket.AF_UNIX, server.addresses[0])

    def keep(name: str) -> Callable[..., None]:
        def heard(*digit: object) -> None:
            told[name].append(digit)

        return heard

    clients = {name: MediaClient([address], digit_heard=keep(name)) for name in told}
    for client in clients.values():
        client.open()
    await until(lambda: all(client.is_answering("own") for client in clients.values()))
    await clients["ours"].wait(clients["ours"].offer, "call", "a", b"v=0", Options())
    for number, digit in enumerate("11"):
        server.notify(ng.digit_heard("call", "a", digit, 100, number))
    server.notify({"command": "DTMF", "call-id": "call"})
    server.notify(ng.digit_heard("call", "a", "2", 100, 2))

    def has_come() -> bool:
        last = [number for client in clients.values() for _, number in client._notices if number == 2]
        return len(last) == len(clients) and not server._left

    await until(has_come)
    assert told == {"ours": [("call", "a", digit, 100) for digit in "112"], "others": []}
    for client in clients.values():
        client.close()
    server.close()


@on_both_loops
async def test_client_is_told_once_it_has_offered_though_no_ping_has_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "HEALTH_INTERVAL", 60.0)
    server = Server(lambda _: {"result": "ok", "sdp": "v=0"}, tmp_path / "engine.sock")
    told: list[tuple[object, ...]] = []
    address = EngineAddress("own", socket.AF_UNIX, server.addresses[0])
    client = MediaClient([address], digit_heard=lambda *digit: told.append(digit))
    client.open()
    await until(lambda: client.is_answering("own"))
    server._clients.clear()  # as one that has just started again
    await client.wait(client.offer, "call", "a", b"v=0", Options())
    server.notify(ng.digit_heard("call", "a", "1", 100, 0))
    await until(lambda: told == [("call", "a", "1", 100)])
    client.close()
    server.close()


@on_both_loops
async def test_burst_on_the_unix_socket_needs_no_repetition(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "REPEAT_INTERVALS", (60.0,))
    counting = Counting()
    server = Server(counting.handle, tmp_path / "engine.sock")
    client = MediaClient([EngineAddress("own", socket.AF_UNIX, server.addresses[0])])
    results: list[object] = []
    # As many as a worker sends in one turn, of which the socket takes ten.
    for number in range(300):
        client.offer(f"call{number}", "a", b"v=0", Options(), results.append)
    await until(lambda: len(results) == 300)
    assert len(counting.requests) == 300
    client.close()
    server.close()


@on_both_loops
async def test_answer_waits_for_a_client_that_is_busy(tmp_path: Path) -> None:
    counting = Counting()
    server = Server(counting.handle, tmp_path / "engine.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as asking:
        asking.bind("")
        asking.setblocking(False)
        asking.connect(server.addresses[0])
        for number in range(40):
            asking.send(ng.pack(b"c%d" % number, ng.ping()))
            await until(lambda: len(counting.requests) == number + 1)  # noqa: B023 - waited for at once
        answers: list[bytes] = []

        def come() -> bool:
            try:
                answers.append(asking.recv(65_536))
            except BlockingIOError:
                return False
            return len(answers) == 40

        await until(come)
        assert {ng.unpack(answer)[0] for answer in answers} == {b"c%d" % number for number in range(40)}
    server.close()


@on_both_loops
async def test_what_is_malformed_is_answered_where_it_has_a_cookie() -> None:
    server = Server(Counting().handle, None, [("127.0.0.1", 0)])
    (address,) = server.addresses
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.bind(("127.0.0.1", 0))
        asking.sendto(b"nonsense", address)
        answer = ng.unpack(await ask(address, b"c d3:", opened=asking))[1]
        assert answer["result"] == "error"
    server.close()


def test_socket_that_was_left_is_replaced_and_closed_to_others(tmp_path: Path) -> None:
    import asyncio

    path = tmp_path / "engine.sock"
    path.write_text("left")

    async def main() -> None:
        server = Server(Counting().handle, path)
        assert path.is_socket()
        assert path.stat().st_mode & 0o077 == 0
        server.close()

    asyncio.run(main())


def test_listening_addresses_are_read() -> None:
    assert parse_listen("udp://127.0.0.1:2223") == ("127.0.0.1", 2223)
    assert parse_listen("udp://[::1]:2223") == ("::1", 2223)
    for text in ("", "127.0.0.1:2223", "tcp://127.0.0.1:1", "udp://host:1", "udp://127.0.0.1", "udp://127.0.0.1:0"):
        with pytest.raises(InvalidSetting, match="listen"):
            parse_listen(text)
