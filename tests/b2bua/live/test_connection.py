"""The connection to the live store: answers in order, one write a turn, and what happens when it is lost."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import hiredis
import pytest
from structlog.testing import capture_logs

from b2bua.live.connection import PENDING_LIMIT, LiveConnection, Reply, StoreAway
from tests.support.live import (
    PATIENCE,
    ConnectionTurns,
    connection_to,
    fake_store,
    make_connection,
    store_at,
    worker_at,
)
from tests.support.servers import Run

PONG = b"+PONG\r\n"


def ignore(_: object) -> None:
    """What is done at an answer that does not matter."""


def fail(_: object) -> None:
    """What is done at an answer that cannot be handled."""
    raise OSError


@contextmanager
def on_wire() -> Iterator[tuple[LiveConnection, ConnectionTurns, socket.socket]]:
    """A connection that is up, its turns, and the far end of its wire, which keeps each write apart."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        for end in (ours, theirs):
            end.setblocking(False)
        connection, turns = make_connection()
        connection.take(ours)
        connection.is_up = True
        try:
            yield connection, turns, theirs
        finally:
            turns.close()


def writes(wire: socket.socket) -> list[bytes]:
    """What was written, write by write."""
    found: list[bytes] = []
    with suppress(BlockingIOError):
        while data := wire.recv(1 << 20):
            found.append(data)
    return found


async def ask(connection: LiveConnection, *commands: tuple[object, ...]) -> list[Reply]:
    """Execute commands in one turn and wait for all answers."""
    replies: list[Reply] = []
    done = asyncio.Event()

    def answered(reply: Reply) -> None:
        replies.append(reply)
        if len(replies) == len(commands):
            done.set()

    for command in commands:
        connection.execute(command, answered)
    connection.flush()
    async with asyncio.timeout(PATIENCE):
        await done.wait()
    return replies


async def wait_for(made: asyncio.Queue[LiveConnection], count: int) -> None:
    """Wait until the connection has been made so many times."""
    async with asyncio.timeout(PATIENCE):
        for _ in range(count):
            await made.get()


class TestWrites:
    def test_commands_of_one_turn_leave_in_one_write(self, run: Run) -> None:
        async def main() -> None:
            with on_wire() as (connection, _, wire):
                for number in range(100):
                    connection.execute(("ECHO", number), ignore)
                assert writes(wire) == []
                connection.flush()
                connection.flush()
                (data,) = writes(wire)
                assert data.count(b"ECHO") == 100
                assert connection.operations == 100

        run(main())

    def test_turn_ends_once_when_all_answers_of_one_read_were_handed_out(self, run: Run) -> None:
        async def main() -> None:
            with on_wire() as (connection, turns, wire):
                for _ in range(5):
                    connection.execute(("PING",), lambda _: connection.execute(("ECHO", 1), ignore))
                connection.flush()
                assert [data.count(b"ECHO") for data in writes(wire)] == [0]
                wire.send(PONG * 5)
                async with asyncio.timeout(PATIENCE):
                    while not turns.ended:  # noqa: ASYNC110 - it only looks on
                        await asyncio.sleep(0)
                assert [data.count(b"ECHO") for data in writes(wire)] == [5]
                assert turns.ended == 1

        run(main())

    def test_answers_are_handed_out_when_they_come_in_pieces(self, run: Run) -> None:
        async def main() -> None:
            replies: list[Reply] = []
            with on_wire() as (connection, _, wire):
                for _ in range(3):
                    connection.execute(("PING",), replies.append)
                data = b"$5\r\nhello\r\n:42\r\n-ERR no\r\n"
                for index in range(len(data)):
                    wire.send(data[index : index + 1])
                    assert connection.read() == 1
                assert connection.read() == 0
            assert replies[:2] == [b"hello", 42]
            assert isinstance(replies[2], hiredis.ReplyError)

        run(main())

    def test_other_answers_are_handed_out_when_one_cannot_be_handled(self, run: Run) -> None:
        async def main() -> None:
            replies: list[Reply] = []
            with on_wire() as (connection, _, wire), capture_logs() as logs:
                connection.execute(("PING",), fail)
                connection.execute(("PING",), replies.append)
                wire.send(PONG * 2)
                assert connection.read() == 2
            assert replies == [b"PONG"]
            assert [entry["event"] for entry in logs] == ["answer of the live store could not be handled"]

        run(main())

    def test_nothing_is_lost_when_the_store_reads_slowly(self, run: Run, live_url: str) -> None:
        async def main() -> None:
            async with worker_at(live_url) as worker:
                assert worker.connection._socket is not None
                worker.connection._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
                replies: list[Reply] = []
                for number in range(200):
                    worker.connection.execute(("ECHO", b"%d" % number * 5000), replies.append)
                    worker.connection.flush()
                assert worker.connection._unsent
                await worker.connection.call("PING")
                assert replies == [b"%d" % number * 5000 for number in range(200)]
                assert not worker.connection._unsent

        run(main())


class TestCommands:
    def test_answers_come_in_the_order_of_the_commands(self, run: Run, live_url: str) -> None:
        async def main() -> None:
            async with worker_at(live_url) as worker:
                replies = await ask(worker.connection, *(("ECHO", number) for number in range(5000)))
                assert replies == [str(number).encode() for number in range(5000)]

        run(main())

    def test_refusal_of_the_store_is_handed_out_as_such(self, run: Run, live_url: str) -> None:
        async def main() -> None:
            async with worker_at(live_url) as worker:
                refusal, pong = await ask(worker.connection, ("NONSENSE",), ("PING",))
                assert isinstance(refusal, hiredis.ReplyError)
                assert pong == b"PONG"
                with pytest.raises(hiredis.ReplyError):
                    await worker.connection.call("NONSENSE")

        run(main())

    def test_store_is_reached_when_its_path_has_to_be_quoted(self, run: Run, tmp_path: Path, live_url: str) -> None:
        link = tmp_path / "a b%20ü"
        link.symlink_to(live_url.removeprefix("unix://"))
        url = "unix://" + str(tmp_path) + "/a%20b%2520%C3%BC"

        async def main() -> None:
            async with worker_at(url) as worker:
                assert await worker.connection.call("PING") == b"PONG"

        run(main())


class TestAway:
    def test_command_is_refused_at_once_when_there_is_no_connection(self, run: Run) -> None:
        async def main() -> None:
            replies: list[Reply] = []
            connection, turns = make_connection()
            connection.execute(("PING",), replies.append)
            # Not before execute has returned: the caller is not ready for the answer.
            assert replies == []
            await asyncio.sleep(0)
            assert [type(reply) for reply in replies] == [StoreAway]
            assert turns.ended == 1
            assert connection.operations == 0
            with pytest.raises(StoreAway):
                await connection.call("PING")

        run(main())

    def test_command_is_refused_at_once_when_too_many_wait_for_answers(self, run: Run) -> None:
        async def main() -> None:
            with on_wire() as (connection, _, _):
                for _ in range(PENDING_LIMIT):
                    connection.execute(("PING",), ignore)
                replies: list[Reply] = []
                connection.execute(("PING",), replies.append)
                await asyncio.sleep(0)
                assert [type(reply) for reply in replies] == [StoreAway]
                assert connection.operations == PENDING_LIMIT

        run(main())

    def test_opening_fails_when_the_first_connection_does(self, run: Run, tmp_path: Path) -> None:
        async def main() -> None:
            with pytest.raises(OSError, match="No such file"):
                await make_connection(f"unix://{tmp_path}/none")[0].open()

        run(main())


class TestLost:
    def test_everybody_who_waits_is_told_and_the_next_are_refused_when_the_connection_is_lost(self, run: Run) -> None:
        async def main() -> None:
            replies: list[Reply] = []
            with on_wire() as (connection, turns, wire):
                for _ in range(3):
                    connection.execute(("PING",), replies.append)
                connection.flush()
                connection.execute(("PING",), replies.append)
                wire.shutdown(socket.SHUT_WR)
                async with asyncio.timeout(PATIENCE):
                    while connection.is_up:  # noqa: ASYNC110 - it only looks on
                        await asyncio.sleep(0)
                assert [type(reply) for reply in replies] == [StoreAway] * 4
                assert turns.ended
                assert connection.fileno() == -1
                connection.execute(("PING",), replies.append)
                await asyncio.sleep(0)
                assert [type(reply) for reply in replies] == [StoreAway] * 5

        run(main())

    def test_connection_is_made_again_when_it_was_cut(self, run: Run, live_url: str) -> None:
        async def main() -> None:
            async with worker_at(live_url) as worker:
                with store_at(live_url) as store:
                    for number in (2, 3):
                        assert store.cut_others() == 1
                        await worker.wait_for_connection(number)
                        assert await ask(worker.connection, ("ECHO", number)) == [str(number).encode()]

        run(main())

    def test_connection_is_given_up_and_made_again_when_the_store_is_silent(self, run: Run) -> None:
        is_silent = True

        def answer(command: list[bytes]) -> bytes:
            return b"" if command == [b"ECHO", b"1"] and is_silent else PONG

        async def main() -> None:
            nonlocal is_silent
            async with fake_store(answer) as (address, _):
                made = asyncio.Queue[LiveConnection]()
                async with connection_to(
                    f"valkey://{address}", timeout=0.2, on_connected=made.put_nowait
                ) as connection:
                    (reply,) = await ask(connection, ("ECHO", 1))
                    assert isinstance(reply, StoreAway)
                    is_silent = False
                    await wait_for(made, 2)
                    assert await connection.call("ECHO", 1) == b"PONG"

        run(main())

    @pytest.mark.parametrize(
        "first", [b"-LOADING dataset in memory\r\n", b"-NOAUTH Authentication required.\r\n", b"?what\r\n", b""]
    )
    def test_connection_is_made_again_when_the_store_was_not_ready_for_it(self, run: Run, first: bytes) -> None:
        pings = 0

        def answer(_: list[bytes]) -> bytes:
            nonlocal pings
            pings += 1
            # The first connection is good and then cut; the second finds a store that starts.
            return first if pings == 2 else PONG

        async def main() -> None:
            async with fake_store(answer) as (address, _):
                made = asyncio.Queue[LiveConnection]()
                async with connection_to(
                    f"valkey://{address}", timeout=0.3, on_connected=made.put_nowait
                ) as connection:
                    assert connection._socket is not None
                    connection._socket.shutdown(socket.SHUT_RDWR)
                    await wait_for(made, 2)
                    assert pings == 3
                    assert await connection.call("PING") == b"PONG"
                    assert connection.is_up

        run(main())

    def test_opening_fails_when_the_store_refuses_the_password(self, run: Run) -> None:
        async def main() -> None:
            async with fake_store(lambda _: b"-WRONGPASS invalid\r\n") as (address, _):
                with pytest.raises(StoreAway, match="WRONGPASS"):
                    async with connection_to(f"valkey://:x@{address}"):
                        pass

        run(main())

    def test_closing_tells_who_waits_and_makes_no_new_connection(self, run: Run, live_url: str) -> None:
        async def main() -> None:
            async with worker_at(live_url) as worker:
                replies: list[Reply] = []
                worker.connection.execute(("BLPOP", "nothing", 0), replies.append)
                (keeping,) = (task for task in asyncio.all_tasks() if task.get_name() == "live-connection")
                await worker.connection.close()
                async with asyncio.timeout(PATIENCE):
                    await keeping
                assert [type(reply) for reply in replies] == [StoreAway]
                assert not worker.connection.is_up
                assert worker.attached == 1

        run(main())


class TestGreeting:
    @pytest.mark.parametrize(
        ("head", "tail", "greeting"),
        [
            ("", "", [[b"PING"]]),
            ("", "/3", [[b"SELECT", b"3"], [b"PING"]]),
            (":secret@", "", [[b"AUTH", b"secret"], [b"PING"]]),
            ("me:se%40cret@", "/1", [[b"AUTH", b"me", b"se@cret"], [b"SELECT", b"1"], [b"PING"]]),
        ],
    )
    def test_connection_begins_with_password_database_and_ping(
        self, run: Run, head: str, tail: str, greeting: list[list[bytes]]
    ) -> None:
        async def main() -> None:
            async with fake_store(lambda _: PONG) as (address, commands):
                ups: list[bool] = []
                url = f"valkey://{head}{address}{tail}"
                async with connection_to(url, on_connected=lambda made: ups.append(made.is_up)) as connection:
                    assert commands == greeting
                    # What is put back goes before anybody else's commands.
                    assert ups == [False]
                    assert connection.is_up

        run(main())
