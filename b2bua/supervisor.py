"""The supervisor: starts the servers and our own processes, watches and restarts them, drains and stops them in order.

It holds the lock of the data directory and serves nothing itself. When it dies, the kernel tells every process it
started to end. What it starts and what is done between the servers and the rest is given to it by `b2bua.cli.run`.
"""

import asyncio
import contextlib
import fcntl
import os
import signal
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Protocol

import orjson
import structlog

from b2bua.child import Child, ChildEnded, stop_orphan
from b2bua.control.client import ControlClient
from b2bua.control.messages import ControlError
from b2bua.tasks import spawn
from conf.embedded.location import run_directory
from conf.errors import ConfigurationError, InvalidSetting, ServerUnavailable
from conf.process import describe_status
from conf.settings import Settings

log = structlog.get_logger()

FIRST_DELAY: Final = 0.2
"""Wait before a process that ended is started again, in seconds; doubled each time, …"""

LONGEST_DELAY: Final = 10.0
"""… up to this, …"""

STEADY_AFTER: Final = 30.0
"""… and back to the first when the process had lived for so long."""

START_TIMEOUT: Final = 60.0
"""Longest time from the start of a process to its being ready, in seconds."""

STOP_TIME: Final = 5.0
"""Everything is down so long after the drain, in seconds."""

_SERVER_PATIENCE: Final = 4.0
_SERVER_RESERVE: Final = 0.6
"""Kept for the servers' last signals."""

CONFIGURATION_STATUS: Final = 2
"""Exit status of a process that an operator has to put right."""


class Service(Protocol):
    """What is started and watched: an embedded server or a child."""

    @property
    def name(self) -> str:
        """As it is shown."""
        ...

    @property
    def pid(self) -> int | None:
        """Process id, None before the start."""
        ...

    async def start(self) -> None:
        """Start it and wait until it serves."""
        ...

    async def wait(self) -> int:
        """Wait for its end."""
        ...

    async def stop(self, patience: float) -> None:
        """Stop it, gently for `patience` seconds."""
        ...


class ChildRefused(ConfigurationError):
    """A process of ours ended with status 2 when it was first started; it has said why."""


class Supervisor:
    """Runs one system until it is told to stop.

    Args:
        settings: All settings; the data directory must exist.
        servers: Embedded servers, started together and first, stopped together and last.
        children: Our own processes, started together, stopped one after the other in this order.
        prepare: Done between the two (migration).
        welcome: Called when all are ready, with the seconds that took; prints the ready message.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        servers: Sequence[Service] = (),
        children: Sequence[Child] = (),
        prepare: Callable[[], Awaitable[None]] | None = None,
        welcome: Callable[[float], Awaitable[None]] | None = None,
    ) -> None:
        self._settings = settings
        self._servers = tuple(servers)
        self._children = tuple(children)
        self._prepare = prepare
        self._welcome = welcome
        self._keepers: dict[str, asyncio.Task[None]] = {}
        self._started: dict[str, datetime] = {}
        self._restarts: dict[str, int] = {}
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._stop_signal = signal.SIGTERM

    async def run(self) -> None:
        """Start everything, watch it until SIGTERM, SIGINT or SIGHUP, and stop it.

        Raises:
            ConfigurationError: something has to be put right before this can start; what had been started is stopped.
        """
        loop = asyncio.get_running_loop()
        signals = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        for number in signals:
            loop.add_signal_handler(number, self._receive_signal, number)
        try:
            with locked(self._settings.system.path):
                await self._run_locked()
        finally:
            for number in signals:
                loop.remove_signal_handler(number)

    async def _run_locked(self) -> None:
        began = time.monotonic()
        try:
            if await self._unless_stopped(self._start(began)):
                await self._stop.wait()
                await self._drain()
        finally:
            await self._stop_all()

    def _receive_signal(self, number: signal.Signals) -> None:
        if self._stop.is_set():
            self._hurry.set()
            return
        self._stop_signal = number
        self._stop.set()

    async def _unless_stopped(self, work: Coroutine[Any, Any, None]) -> bool:
        """Do the work, or leave it when a signal comes first; tell whether it was done."""
        task = spawn(_fault_of(work), "start")
        stopped = spawn(self._stop.wait(), "stop signal")
        try:
            await asyncio.wait((task, stopped), return_when=asyncio.FIRST_COMPLETED)
            if task.done() and (fault := task.result()):
                raise fault
            return task.done()
        finally:
            for each in (task, stopped):
                each.cancel()
            await asyncio.wait((task, stopped), timeout=STOP_TIME)

    # Starting and watching

    async def _start(self, began: float) -> None:
        await self._stop_orphans()
        await self._start_together(self._servers)
        if self._prepare:
            await self._prepare()
        await self._start_together(self._children)
        if self._welcome:
            await self._welcome(time.monotonic() - began)

    async def _stop_orphans(self) -> None:
        """End what a killed supervisor left and the kernel has not ended yet: it would hold the ports."""
        try:
            left = {each["name"]: each["pid"] for each in orjson.loads(self._read_status())["processes"]}
        except (OSError, ValueError, KeyError, TypeError):
            return
        for child in self._children:
            pid = left.get(child.name)
            if isinstance(pid, int) and await stop_orphan(pid, child.command, child.patience):
                log.warning("process of an earlier run was stopped", name=child.name, pid=pid)

    def _read_status(self) -> bytes:
        return status_file(self._settings).read_bytes()

    async def _start_together(self, services: Sequence[Service]) -> None:
        loop = asyncio.get_running_loop()
        firsts: dict[str, asyncio.Future[None]] = {}
        for service in services:
            firsts[service.name] = loop.create_future()
            self._keepers[service.name] = spawn(self._keep(service, firsts[service.name]), f"keep {service.name}")
        if not firsts:
            return
        done, waiting = await asyncio.wait(firsts.values(), timeout=START_TIMEOUT, return_when=asyncio.FIRST_EXCEPTION)
        for first in done:
            first.result()
        if waiting:
            late = [name for name, first in firsts.items() if first in waiting]
            raise ServerUnavailable(f"{', '.join(late)} not ready after {START_TIMEOUT:.0f} s; see the messages above")

    async def _keep(self, service: Service, first: asyncio.Future[None]) -> None:
        """Run a service again and again; `first` is told how its first start went."""
        delay = FIRST_DELAY
        while True:
            began = time.monotonic()
            try:
                reason = await self._run_once(service, first)
            except ConfigurationError as error:
                if not first.done():
                    first.set_exception(error)
                    return
                reason = str(error)
            if time.monotonic() - began >= STEADY_AFTER:
                delay = FIRST_DELAY
            log.error("process ended, it is started again", name=service.name, reason=reason, delay=delay)
            await asyncio.sleep(delay)
            delay = min(2 * delay, LONGEST_DELAY)
            self._restarts[service.name] = self._restarts.get(service.name, 0) + 1

    async def _run_once(self, service: Service, first: asyncio.Future[None]) -> str:
        self._started[service.name] = datetime.now(UTC)
        try:
            await service.start()
        except ChildEnded as error:
            if error.status == CONFIGURATION_STATUS and not first.done():
                raise ChildRefused(f"{service.name} cannot start: see its message above") from error
            return str(error)
        except OSError as error:
            raise ServerUnavailable(f"{service.name} cannot be started: {error}") from error
        self._write_status()
        if first.done():
            log.info("process is ready again", name=service.name, pid=service.pid)
        else:
            log.debug("process is ready", name=service.name, pid=service.pid)
            first.set_result(None)
        return describe_status(await service.wait())

    # Stopping

    async def _drain(self) -> None:
        """Let calls go on as long as the settings say, or until a second signal."""
        interrupted = self._stop_signal == signal.SIGINT
        seconds = self._settings.system.drain_on_interrupt if interrupted else self._settings.system.drain
        workers = [child for child in self._children if child.drains]
        if seconds <= 0 or not workers:
            return
        await asyncio.gather(*(self._release(child.name) for child in workers))
        drained = spawn(self._drain_workers(workers, seconds), "drain")
        hurried = spawn(self._hurry.wait(), "second signal")
        await asyncio.wait((drained, hurried), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in (drained, hurried):
            task.cancel()

    async def _drain_workers(self, workers: Sequence[Child], seconds: float) -> None:
        client = ControlClient(run_directory(self._settings))
        asked = await asyncio.gather(*(self._ask_to_drain(client, worker, seconds) for worker in workers))
        await asyncio.gather(*(worker.wait() for worker, draining in zip(workers, asked, strict=True) if draining))

    async def _ask_to_drain(self, client: ControlClient, worker: Child, seconds: float) -> bool:
        try:
            answer = await client.request(worker.name, "drain", seconds=seconds)
        except ControlError as error:
            log.warning("worker cannot drain, its calls are ended", name=worker.name, reason=str(error))
            return False
        log.info("worker drains", name=worker.name, calls=answer.get("calls"), seconds=seconds)
        return True

    async def _stop_all(self) -> None:
        deadline = time.monotonic() + STOP_TIME
        for child in self._children:
            await self._release(child.name)
            await child.stop(child.patience)
        await asyncio.gather(*(self._release(server.name) for server in self._servers))
        patience = min(_SERVER_PATIENCE, max(0.5, deadline - _SERVER_RESERVE - time.monotonic()))
        await asyncio.gather(*(server.stop(patience) for server in self._servers))
        with contextlib.suppress(OSError):
            status_file(self._settings).unlink()

    async def _release(self, name: str) -> None:
        """End the watch of a service, so that its end is not followed by a restart."""
        if keeper := self._keepers.pop(name, None):
            keeper.cancel()
            await asyncio.wait((keeper,), timeout=STOP_TIME)

    def _write_status(self) -> None:
        """Write who runs, for `softswitch doctor`."""
        services: tuple[Service, ...] = (*self._servers, *self._children)
        processes = [
            {
                "name": service.name,
                "pid": service.pid,
                "started_at": self._started[service.name].isoformat(),
                "restarts": self._restarts.get(service.name, 0),
            }
            for service in services
            if service.name in self._started and service.pid is not None
        ]
        file = status_file(self._settings)
        working = file.with_suffix(".json.new")
        try:
            working.unlink(missing_ok=True)
            descriptor = os.open(working, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "wb") as output:
                output.write(orjson.dumps({"pid": os.getpid(), "processes": processes}))
            working.replace(file)
        except OSError as error:
            log.warning("status file cannot be written", file=str(file), reason=str(error))


async def _fault_of(work: Coroutine[Any, Any, None]) -> ConfigurationError | None:
    """Do the work and return its expected fault as a value: a task that fails with it would be logged as a defect."""
    try:
        await work
    except ConfigurationError as error:
        return error
    return None


def status_file(settings: Settings) -> Path:
    """Return the file that says which processes the supervisor runs.

    A JSON object: `pid`, and `processes`, a list of objects with name, pid, started_at (ISO, UTC) and restarts.
    """
    return run_directory(settings) / "supervisor.json"


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold the lock of a data directory.

    Raises:
        InvalidSetting: another supervisor holds it.
    """
    file = directory / "supervisor.lock"
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
            raise InvalidSetting(f"softswitch already runs in {directory} (process {holder})") from None
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        # Closing gives the lock back; the children do not inherit the descriptor.
        os.close(descriptor)
