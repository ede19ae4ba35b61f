"""One of our own processes as the supervisor sees it: a command that says on a pipe when it is ready."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from conf.process import ChildProcess, describe_status
from conf.ready import READY_LINE, READY_VARIABLE

_STANDARD_ERROR: Final = 2


class ChildEnded(Exception):
    """The process ended before it was ready.

    Args:
        name: Name of the process.
        status: Its exit status, minus the signal's number when a signal ended it.
    """

    def __init__(self, name: str, status: int) -> None:
        super().__init__(f"{name} ended before it was ready: {describe_status(status)}")
        self.status = status


@dataclass(slots=True)
class Child:
    """A command that is started, watched and stopped."""

    name: str
    """As it is shown, and the name of its control socket."""

    command: tuple[str, ...]
    """Program and arguments."""

    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    """The whole environment, but for the ready pipe."""

    drains: bool = False
    """Whether its calls may go on for a while after the supervisor was told to stop."""

    patience: float = 1.0
    """How long it may take to end after SIGTERM, in seconds, before it is killed."""

    _process: ChildProcess | None = None

    @property
    def pid(self) -> int | None:
        """Process id, None before the start."""
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Start the command and wait until it says that it is ready.

        Raises:
            ChildEnded: it ended instead.
        """
        reading, writing = os.pipe()
        try:
            self._process = ChildProcess(
                self.command,
                death_signal=signal.SIGTERM,
                environ={**self.environ, READY_VARIABLE: str(writing)},
                output=_STANDARD_ERROR,
                inherit=(writing,),
            )
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        if not await _says_ready(reading):
            # The pipe was closed without a word: the process has ended, or it closed what it did not understand.
            raise ChildEnded(self.name, await self._process.wait())

    async def wait(self) -> int:
        """Wait for the end and return the exit status."""
        assert self._process is not None
        return await self._process.wait()

    async def stop(self, patience: float) -> None:
        """Send SIGTERM, and SIGKILL when it has not ended after `patience` seconds."""
        if self._process is not None:
            await self._process.stop((signal.SIGTERM, patience))


async def stop_orphan(pid: int, command: tuple[str, ...], patience: float) -> bool:
    """Stop a process that an earlier supervisor left, if its command shows that it is one; tell whether it was."""
    if not _runs(pid, command):
        return False
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        deadline = time.monotonic() + patience
        while _runs(pid, command) and time.monotonic() < deadline:  # noqa: ASYNC110 - another's child: no event
            await asyncio.sleep(0.02)
    return True


def _runs(pid: int, command: tuple[str, ...]) -> bool:
    # Process ids are used again. A process that has ended and waits to be reaped has no command any more.
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() == b"".join(os.fsencode(part) + b"\0" for part in command)
    except OSError:
        return False


async def _says_ready(descriptor: int) -> bool:
    """Wait for the ready line or the end of the pipe, and close it."""
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    os.set_blocking(descriptor, False)
    loop.add_reader(descriptor, readable.set)
    seen = b""
    try:
        while READY_LINE not in seen:
            await readable.wait()
            readable.clear()
            with contextlib.suppress(BlockingIOError):
                piece = os.read(descriptor, 64)
                if not piece:
                    return False
                seen = (seen + piece)[-64:]
        return True
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
