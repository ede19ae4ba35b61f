"""Pairs of UDP ports from a range: RTP on the even one, RTCP on the next (RFC 3550 §11)."""

import contextlib
import errno
import random
import socket
from collections import deque
from dataclasses import dataclass
from typing import Final

from conf.errors import InvalidSetting
from media.errors import OutOfPorts

ADDRESSES_LIMIT: Final = 64
"""Most addresses of ours that ports are given out on."""

_SHORTAGES: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_RECEIVE_BUFFER: Final = 256 * 1024


@dataclass(slots=True, eq=False)
class Pair:
    """Two open sockets."""

    address: str
    port: int
    rtp: socket.socket
    rtcp: socket.socket


class PortPool:
    """The ports of an engine.

    A pair that is given back is the last to be given out again, so that what still comes for a call that has ended
    finds nobody.

    Args:
        first: First port of the range; an odd one is left out.
        last: Last port.
        chooser: Randomness by which the first turn goes through the range.

    Raises:
        InvalidSetting: the range holds no pair.
    """

    def __init__(self, first: int, last: int, chooser: random.Random | None = None) -> None:
        if not (0 < first < last <= 65_535) or first + first % 2 >= last:
            raise InvalidSetting(f"[media] first_port {first} and last_port {last} are no range of ports")
        self._even = range(first + first % 2, last, 2)
        self._chooser = chooser or random.SystemRandom()
        self._free: dict[str, deque[int]] = {}
        self._used: set[tuple[str, int]] = set()

    @property
    def used(self) -> int:
        """Pairs that are given out."""
        return len(self._used)

    def open(self, address: str) -> Pair:
        """Give out a pair on an address of this machine.

        Raises:
            OutOfPorts: none is left, or the system gives no socket.
            OSError: the address is not ours.
        """
        free = self._free_of(address)
        for _ in range(len(free)):
            port = free.popleft()
            try:
                return self._bind(address, port)
            except OSError as error:
                free.append(port)
                if error.errno in _SHORTAGES:
                    raise OutOfPorts(f"no socket left: {error.strerror}") from error
                # Another program may have it.
                if error.errno != errno.EADDRINUSE:
                    raise
        raise OutOfPorts(f"no port left on {address}")

    def open_again(self, address: str, port: int) -> Pair:
        """Give out a certain pair, that of a call from before a restart.

        Raises:
            OutOfPorts: it is given out, or not in the range.
            OSError: the address is not ours, or another program has the port.
        """
        free = self._free_of(address)
        if port not in free:
            raise OutOfPorts(f"port {port} on {address} is not free")
        pair = self._bind(address, port)
        free.remove(port)
        return pair

    def close(self, pair: Pair) -> None:
        """Take a pair back."""
        pair.rtp.close()
        pair.rtcp.close()
        self._used.discard((pair.address, pair.port))
        self._free_of(pair.address).append(pair.port)

    def _free_of(self, address: str) -> deque[int]:
        free = self._free.get(address)
        if free is None:
            if len(self._free) >= ADDRESSES_LIMIT:
                raise OutOfPorts(f"ports on too many addresses, {address} is one more")
            ports = list(self._even)
            self._chooser.shuffle(ports)
            free = self._free[address] = deque(ports)
        return free

    def _bind(self, address: str, port: int) -> Pair:
        rtp = _open_socket(address, port)
        try:
            rtcp = _open_socket(address, port + 1)
        except OSError:
            rtp.close()
            raise
        self._used.add((address, port))
        return Pair(address, port, rtp, rtcp)


def _open_socket(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        with contextlib.suppress(OSError):
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        opened.bind((address, port))
    except OSError:
        opened.close()
        raise
    return opened
