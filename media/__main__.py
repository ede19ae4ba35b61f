"""The media engine as a process: `python -m media`, or `softswitch media`."""

import asyncio
import contextlib
import gc
import resource
import signal
import sys
import time
from typing import Final

import structlog
import uvloop

from conf.embedded.location import run_directory
from conf.embedded.owner import make_data_directory, make_run_directory
from conf.errors import ConfigurationError, InvalidSetting
from conf.loader import load
from conf.log import configure
from conf.ready import announce_ready
from conf.settings import Settings
from media.engine import Engine
from media.engine_address import OWN_NAME, own_socket
from media.kernel import open_kernel
from media.restart import SessionFile
from media.server import Server, parse_listen

log = structlog.get_logger()

TICK: Final = 1.0
"""Silence is looked for so often."""

STRAYS_AFTER: Final = 10.0
"""What an earlier engine left in the kernel is removed so long after the start, unless a call has claimed it."""


def run(settings: Settings) -> int:
    """Carry media until told to stop; returns the exit status.

    Raises:
        ConfigurationError: a setting cannot be used, or an address is taken.
    """
    uvloop.run(_run(settings))
    return 0


async def _run(settings: Settings) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    allow_sockets()
    listen = [parse_listen(text) for text in settings.media.listen]
    media = settings.media
    kernel = open_kernel(media.first_port, media.last_port, is_wanted=media.kernel)
    engine = Engine(settings.media, kernel, SessionFile(run_directory(settings) / f"{OWN_NAME}.sessions"))
    engine.restore()
    try:
        server = Server(engine.handle, own_socket(settings), listen)
    except OSError as error:
        raise InvalidSetting(f"[media] listen: {error}") from error
    engine.notify = server.notify
    timer = _Timer(engine)
    # What is there now stays; a collection of it all would hold packets up.
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    log.info("media engine is ready", calls=len(engine.calls))
    announce_ready()
    await stopping.wait()
    timer.stop()
    server.close()
    engine.close()


def allow_sockets() -> None:
    """Take all the descriptors that the system allows: a call with one medium has four."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


class _Timer:
    """Calls the engine every second."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._loop = asyncio.get_running_loop()
        self._strays_at: float | None = time.monotonic() + STRAYS_AFTER
        self._handle = self._loop.call_later(TICK, self._tick)

    def stop(self) -> None:
        self._handle.cancel()

    def _tick(self) -> None:
        self._handle = self._loop.call_later(TICK, self._tick)
        now = time.monotonic()
        self._engine.handle_timers(now)
        if self._strays_at is not None and now >= self._strays_at:
            self._strays_at = None
            self._engine.remove_strays()


def main() -> int:
    """Read the settings and carry media."""
    try:
        settings = load()
        configure(settings, OWN_NAME)
        if not run_directory(settings).is_dir():
            make_data_directory(settings)
            make_run_directory(settings, None)
        return run(settings)
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        return 2


if __name__ == "__main__":
    sys.exit(main())
