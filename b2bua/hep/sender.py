"""Sends HEPv3 packets to the capture server over UDP or TCP, and never waits for it.

What it does not take, because it is away, slow or unknown, is dropped and counted: capture is a copy.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

import structlog

from b2bua.hep.packet import SIZE_LIMIT, UDP_LIMIT, Place, pack, pack_agent, pack_path
from b2bua.sip.flow import Flow
from conf.errors import InvalidSetting
from conf.settings import HEPSettings

log = structlog.get_logger()

DEFAULT_PORT: Final = 9060
WAITING_LIMIT: Final = 4 * 1024 * 1024
"""Most bytes that wait for a TCP connection to take them."""

RETRY_INTERVALS: Final = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Waits between tries to reach the server; the last one is repeated."""

_LOOK_INTERVAL: Final = 300.0
"""A name is looked up again after so long, and before that when sending fails."""

_CONNECT_TIMEOUT: Final = 5.0
_PATHS_LIMIT: Final = 20_000


def parse_url(url: str) -> tuple[str, str, int]:
    """Transport, host and port of `[hep] url`.

    Raises:
        InvalidSetting: it does not look like udp://host:port or tcp://host:port.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in ("udp", "tcp") or not parts.hostname or parts.path not in ("", "/"):
        raise InvalidSetting(f"[hep] url {url!r}: must look like udp://192.0.2.1:{DEFAULT_PORT} or tcp://host:port")
    return parts.scheme, parts.hostname, port or DEFAULT_PORT


class HEPSender:
    """Sends copies of messages; `run` keeps it connected.

    Args:
        settings: Section [hep], with a URL.
        node: Name of this machine, where the section has none.
        local: Our own address and port of a flow, as its peer sees them.

    Raises:
        InvalidSetting: the URL is not one.
    """

    def __init__(self, settings: HEPSettings, node: str, local: Callable[[Flow], Place]) -> None:
        self._transport, self._host, self._port = parse_url(settings.url)
        self._agent = pack_agent(settings.capture_id, settings.node or node)
        self._local = local
        self._paths: dict[tuple[bool, int, str, int, str], bytes] = {}
        self._socket: socket.socket | None = None
        self._stream: asyncio.WriteTransport | None = None
        self._lost = asyncio.Event()
        self.sent = 0
        """Packets handed to the system since the start."""
        self.dropped = 0
        """Packets that could not be."""

    def send(self, at: float, is_sent: bool, flow: Flow, payload: bytes, correlation: str) -> None:
        """Send a copy of a message.

        Args:
            at: When it was sent or came, in seconds since 1970.
            is_sent: Whether we sent it.
            flow: To or from whom.
            payload: The message.
            correlation: Id of its call; empty: it belongs to none.
        """
        if self._socket is None and self._stream is None:
            self.dropped += 1
            return
        path = self._path(is_sent, flow)
        if self._socket is not None:
            self._send_datagram(self._socket, pack(path, self._agent, at, payload, correlation, UDP_LIMIT))
        elif self._stream is not None:
            self._send_stream(self._stream, pack(path, self._agent, at, payload, correlation, SIZE_LIMIT))

    def _path(self, is_sent: bool, flow: Flow) -> bytes:
        key = (is_sent, flow.listener, flow.host, flow.port, flow.transport)
        path = self._paths.get(key)
        if path is None:
            ours, theirs = self._local(flow), (flow.host, flow.port)
            if len(self._paths) >= _PATHS_LIMIT:
                self._paths.clear()
            path = pack_path(flow.transport, ours if is_sent else theirs, theirs if is_sent else ours)
            self._paths[key] = path
        return path

    def _send_datagram(self, datagrams: socket.socket, packet: bytes) -> None:
        try:
            datagrams.send(packet)
        except BlockingIOError:
            self.dropped += 1
        except OSError:
            # Nobody listens there, or there is no way: `run` looks the name up again.
            self.dropped += 1
            self._lost.set()
        else:
            self.sent += 1

    def _send_stream(self, stream: asyncio.WriteTransport, packet: bytes) -> None:
        if stream.is_closing() or stream.get_write_buffer_size() + len(packet) > WAITING_LIMIT:
            self.dropped += 1
            return
        stream.write(packet)
        self.sent += 1

    # The connection

    async def run(self) -> None:
        """Stay connected until cancelled."""
        failures = 0
        try:
            while True:
                self._lost.clear()
                try:
                    async with asyncio.timeout(_CONNECT_TIMEOUT):
                        await self._connect()
                except OSError as error:  # a timeout is one
                    wait = RETRY_INTERVALS[min(failures, len(RETRY_INTERVALS) - 1)]
                    failures += 1
                    if failures == 1:
                        log.warning("capture server cannot be reached", url=self._url, error=str(error) or "no answer")
                    await asyncio.sleep(wait)
                    continue
                if failures:
                    log.info("capture server is back", url=self._url)
                failures = 0
                await self._wait()
        finally:
            self.close()

    @property
    def _url(self) -> str:
        return f"{self._transport}://{self._host}:{self._port}"

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        if self._transport == "tcp":
            self._stream, _ = await loop.create_connection(lambda: _Stream(self._lost), self._host, self._port)
            return
        found = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_DGRAM)
        family, kind, _, _, address = found[0]
        datagrams = socket.socket(family, kind | socket.SOCK_NONBLOCK)
        try:
            datagrams.connect(address)
        except OSError:
            datagrams.close()
            raise
        self.close()
        self._socket = datagrams

    async def _wait(self) -> None:
        """Wait until there is a reason to connect anew."""
        if self._transport == "tcp":
            await self._lost.wait()
            self._stream = None
            log.warning("capture server has closed the connection", url=self._url)
            await asyncio.sleep(RETRY_INTERVALS[0])
            return
        try:
            async with asyncio.timeout(_LOOK_INTERVAL):
                await self._lost.wait()
                await asyncio.sleep(RETRY_INTERVALS[-1])
        except TimeoutError:
            return

    def close(self) -> None:
        """Close the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._stream is not None:
            self._stream.close()
            self._stream = None


class _Stream(asyncio.Protocol):
    """A connection that is only written to."""

    def __init__(self, lost: asyncio.Event) -> None:
        self._lost = lost

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost.set()
