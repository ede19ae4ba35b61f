"""The panel's process: `python -m admin`."""

import asyncio
import signal
import sys
from typing import Final

import structlog
import uvloop
from aiohttp import web

from admin.app import init_app
from admin.errors import ListenFailed
from conf import log as logging
from conf.errors import ConfigurationError
from conf.loader import load
from conf.ready import announce_ready
from conf.settings import Settings

log = structlog.get_logger()

STOP_TIMEOUT: Final = 1.0
"""Longest wait for requests in progress when the panel stops, in seconds."""


def split_address(listen: str) -> tuple[str, int]:
    """Split [panel] listen into host and port; brackets around an IPv6 address are dropped.

    Raises:
        ListenFailed: it is not of the form host:port.
    """
    host, _, port = listen.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise ListenFailed(f"[panel] listen must be host:port, like 127.0.0.1:8080, not {listen!r}")
    return host.strip("[]"), int(port)


async def serve(settings: Settings) -> None:
    """Answer requests until SIGTERM or SIGINT."""
    host, port = split_address(settings.panel.listen)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    runner = web.AppRunner(init_app(settings), access_log=None, shutdown_timeout=STOP_TIMEOUT)
    try:
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            raise ListenFailed(f"the panel cannot listen on {settings.panel.listen}: {error.strerror}") from error
        log.info("panel listens", address=settings.panel.listen)
        announce_ready()
        await stop.wait()
    finally:
        await runner.cleanup()
    log.info("panel stopped")


def run(settings: Settings) -> int:
    """Run the panel; return the exit status."""
    logging.configure(settings, "admin")
    try:
        uvloop.run(serve(settings))
    except ConfigurationError as error:
        sys.stderr.write(f"softswitch: {error}\n")
        return 2
    return 0


def main() -> int:
    """Load the settings and run."""
    try:
        settings = load()
    except ConfigurationError as error:
        sys.stderr.write(f"softswitch: {error}\n")
        return 2
    return run(settings)


if __name__ == "__main__":
    sys.exit(main())
