"""Sockets on which an engine hears requests: its own Unix socket, and UDP where that is set.

A request that comes again, since its answer was lost, gets the same answer: cookies are remembered for a while. What
an engine tells by itself goes to all that have pinged it, or offered or answered something, lately: they know which
calls are theirs.
"""

import asyncio
import socket
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import structlog

from conf.errors import InvalidSetting
from media import ng

log = structlog.get_logger()

BATCH: Final = 32
"""Most requests between two looks at the sockets of media."""

ANSWERS_LIMIT: Final = 4096
"""Answers that are remembered."""

CLIENTS_LIMIT: Final = 64
"""Clients that are told something."""

OF_CLIENTS: Final = frozenset({"ping", "offer", "answer"})
"""Commands of those who are told something: after a restart the first offer may come before the next ping."""

HEARD_WITHIN: Final = 10.0
"""Seconds that one counts."""

NOTICE_REPEATS: Final = (0.06, 0.18)
"""What nobody answers is sent again after so many seconds."""

_RECEIVE_BUFFER: Final = 4 * 1024 * 1024


def parse_listen(text: str) -> tuple[str, int]:
    """Address and port of an entry of `[media] listen`.

    Raises:
        InvalidSetting: it is malformed.
    """
    try:
        parts = urlsplit(text)
        port = parts.port
        address = str(ip_address(parts.hostname or ""))
    except ValueError:
        port, address = None, ""
    if not port or parts.scheme != "udp" or parts.path not in ("", "/"):
        raise InvalidSetting(f"[media] listen: {text!r} must look like udp://127.0.0.1:2223")
    return address, port


class Server:
    """Hears requests and answers them.

    Args:
        handle: Does a request.
        path: Of the Unix socket; one that was left is replaced. None: there is none.
        listen: Addresses and ports for UDP.

    Raises:
        OSError: an address cannot be bound.
    """

    def __init__(
        self, handle: Callable[[ng.Message], ng.Message], path: Path | None, listen: Sequence[tuple[str, int]] = ()
    ) -> None:
        self._handle = handle
        self._path = path
        self._answers: OrderedDict[tuple[bytes, Any], bytes] = OrderedDict()
        self._clients: OrderedDict[Any, tuple[socket.socket, float]] = OrderedDict()
        self._left = 0
        """Of what is told by itself, how much is to be sent again."""
        self._sockets: list[socket.socket] = []
        self._loop = asyncio.get_running_loop()
        try:
            if path is not None:
                path.unlink(missing_ok=True)
                self._open(socket.AF_UNIX, str(path))
                path.chmod(0o600)
            for address, port in listen:
                self._open(socket.AF_INET6 if ":" in address else socket.AF_INET, (address, port))
        except BaseException:
            self.close()
            raise

    @property
    def addresses(self) -> list[Any]:
        """What is bound."""
        return [opened.getsockname() for opened in self._sockets]

    def close(self) -> None:
        """Hear no more."""
        self._clients.clear()
        for opened in self._sockets:
            self._loop.remove_reader(opened.fileno())
            opened.close()
        self._sockets.clear()
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def notify(self, message: ng.Message) -> None:
        """Tell something to whoever was heard of lately; it may come three times."""
        datagram = ng.pack(b"notice", message)
        since = time.monotonic() - HEARD_WITHIN
        for source, (opened, heard_at) in list(self._clients.items()):
            if heard_at < since:
                del self._clients[source]
            else:
                self._tell(opened, datagram, source, NOTICE_REPEATS)

    def _tell(self, opened: socket.socket, datagram: bytes, source: Any, left: Sequence[float]) -> None:  # noqa: ANN401
        if opened.fileno() < 0:
            return
        self._send(opened, datagram, source)
        if left:
            self._left += 1
            self._loop.call_later(left[0], self._repeat, opened, datagram, source, left[1:])

    def _repeat(self, opened: socket.socket, datagram: bytes, source: Any, left: Sequence[float]) -> None:  # noqa: ANN401
        self._left -= 1
        self._tell(opened, datagram, source, left)

    def _note_client(self, opened: socket.socket, source: Any) -> None:  # noqa: ANN401
        self._clients[source] = opened, time.monotonic()
        self._clients.move_to_end(source)
        if len(self._clients) > CLIENTS_LIMIT:
            self._clients.popitem(last=False)

    def _open(self, family: int, address: Any) -> None:  # noqa: ANN401 - as socket has them
        opened = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        self._sockets.append(opened)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        opened.bind(address)
        self._loop.add_reader(opened.fileno(), self._readable, opened)

    def _readable(self, opened: socket.socket) -> None:
        for _ in range(BATCH):
            try:
                datagram, source = opened.recvfrom(65_536)
            except OSError:
                return
            answer, command = self._answer(datagram, source)
            if source and command in OF_CLIENTS:
                self._note_client(opened, source)
            if answer and source:
                self._send(opened, answer, source)

    def _send(self, opened: socket.socket, answer: bytes, source: Any) -> None:  # noqa: ANN401
        try:
            # Of a Unix socket's limit of ten messages, whoever is connected to us is free.
            opened.sendto(answer, source)
        except OSError as error:
            log.debug("answer could not be sent", reason=str(error))

    def _answer(self, datagram: bytes, source: Any) -> tuple[bytes, object]:  # noqa: ANN401
        """The answer to a request, and its command."""
        try:
            cookie, message, form = ng.unpack(datagram)
        except ng.MalformedMessage as error:
            return ng.pack(error.cookie, ng.error(str(error))) if error.cookie else b"", None
        known = self._answers.get((cookie, source))
        if known is not None:
            return known, None
        try:
            answer = ng.pack(cookie, self._handle(message), form)
        except (TypeError, ValueError) as error:
            answer = ng.pack(cookie, ng.error(f"the answer cannot be written: {error}"), form)
        if len(answer) > ng.SIZE_LIMIT:
            answer = ng.pack(cookie, ng.error("the answer is too large"), form)
        self._answers[cookie, source] = answer
        if len(self._answers) > ANSWERS_LIMIT:
            self._answers.popitem(last=False)
        return answer, message.get("command")
