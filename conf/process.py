"""A child process in the foreground: started with another user where asked, watched, signalled, never left behind.

The kernel ends the child when this process dies (PR_SET_PDEATHSIG), also by SIGKILL. The child has a session of its
own, so that Ctrl-C on the terminal reaches only us. `subprocess` is used and not asyncio's own because uvloop cannot
start a child as another user; the end of the child is seen through its pidfd.
"""

import asyncio
import contextlib
import ctypes
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Final

_PR_SET_PDEATHSIG: Final = 1

# Loaded here, because nothing may be loaded between fork and exec.
_libc: Final = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Owner:
    """The system user a server runs as and its data belong to."""

    name: str
    uid: int
    gid: int


class ChildProcess:
    """One run of a command.

    Args:
        command: Program and arguments.
        death_signal: What the kernel sends the child when this process dies.
        owner: User to run as; None: this process's own.
        environ: The whole environment; None: this process's own.
        output: File or descriptor that takes standard output and error; None: they go where ours go.
        directory: Working directory; None: ours.
        inherit: Descriptors the child keeps.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        death_signal: signal.Signals = signal.SIGTERM,
        owner: Owner | None = None,
        environ: Mapping[str, str] | None = None,
        output: IO[bytes] | int | None = None,
        directory: str | None = None,
        inherit: Sequence[int] = (),
    ) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - the commands are ours
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environ,
            cwd=directory,
            pass_fds=tuple(inherit),
            start_new_session=True,
            user=owner.uid if owner else None,
            group=owner.gid if owner else None,
            extra_groups=[] if owner else None,
            # The parent has no threads at work here, and the function calls nothing but prctl and getppid. It has to
            # run in the child after the change of user, which clears the death signal.
            preexec_fn=_die_with_parent(death_signal, os.getpid()),  # noqa: PLW1509
        )
        self._exited = asyncio.Event()
        self._pidfd = os.pidfd_open(self._process.pid)
        asyncio.get_running_loop().add_reader(self._pidfd, self._reap)

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def status(self) -> int | None:
        """Exit status, minus the signal's number when a signal ended it; None while it runs."""
        return self._process.returncode

    async def wait(self) -> int:
        """Wait for the end and return the exit status, which is minus the signal's number when a signal ended it."""
        await self._exited.wait()
        assert self._process.returncode is not None
        return self._process.returncode

    def send(self, number: signal.Signals) -> None:
        """Send a signal, unless the process has ended."""
        if not self._exited.is_set():
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)

    async def stop(self, *steps: tuple[signal.Signals, float]) -> int:
        """Send signals, waiting after each the given seconds for the end; SIGKILL to the whole session comes last."""
        for number, patience in steps:
            self.send(number)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, patience)):
                    return await self.wait()
        if not self._exited.is_set():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        return await self.wait()

    def _reap(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._process.wait()
        self._exited.set()


def describe_status(status: int) -> str:
    """Say an exit status in words: `exit status 2`, `signal SIGKILL`."""
    if status >= 0:
        return f"exit status {status}"
    return f"signal {signal.Signals(-status).name}"


def _die_with_parent(number: signal.Signals, parent: int) -> Callable[[], None]:
    def prepare() -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, int(number))
        if os.getppid() != parent:
            # The parent died before the line above took effect.
            os._exit(1)

    return prepare
