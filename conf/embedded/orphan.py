"""Servers that outlived the process that started them: found by their pid files and stopped before a new one starts.

Every server gets a signal from the kernel when its parent dies, so one that is met here is about to end; it is told
again and waited for. Nobody else's can be met: the caller holds the lock of the data directory.
"""

import asyncio
import contextlib
import os
import signal
from pathlib import Path
from typing import Final

from conf.errors import ServerUnavailable

_PATIENCE: Final = 10.0
"""How long an orphan may take to write what it has to, in seconds, before it is told harder."""

_LAST_PATIENCE: Final = 3.0


async def stop_orphan(pid_file: Path, directory: Path, gentle: signal.Signals, hard: signal.Signals) -> None:
    """Stop the server whose pid the file's first line names, if that process works in `directory`."""
    pid = _read_pid(pid_file)
    if pid is None or not _works_in(pid, directory):
        return
    for number, patience in ((gentle, _PATIENCE), (hard, _LAST_PATIENCE)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        if await _has_ended(pid, directory, patience):
            return
    raise ServerUnavailable(f"process {pid} still uses {directory} and does not end; stop it and start again")


async def _has_ended(pid: int, directory: Path, patience: float) -> bool:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(patience):
            while _works_in(pid, directory):  # noqa: ASYNC110 - another's child: there is no event to wait for
                await asyncio.sleep(0.02)
            return True
    return False


def _read_pid(pid_file: Path) -> int | None:
    try:
        first = pid_file.read_text().split("\n", 1)[0].strip()
    except OSError:
        return None
    return int(first) if first.isdecimal() and int(first) > 1 else None


def _works_in(pid: int, directory: Path) -> bool:
    """Tell whether the process runs and has this working directory, as both servers have; pids are used again."""
    try:
        return Path(f"/proc/{pid}/cwd").readlink() == directory.resolve()
    except OSError:
        return False
