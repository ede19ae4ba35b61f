"""The relay in user space: a socket for each port, read as datagrams come, each sent on at once.

Where an end's packets may come from is learned from the first of them and then locked (`Source` in `media/ng.py`): once
locked, a socket is connected, so that the kernel drops what others send, and sending is cheapest. A source that may
move (`learn`) is followed when the old one has been silent while several packets in a row came from the new one.
"""

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable
from typing import Final

from media.dtmf import Tap
from media.ng import Source
from media.rtp import HEADER_SIZE, Reception
from media.srtp import Cipher

Endpoint = tuple[str, int]

LOCK_AFTER: Final = 3
"""Packets in a row from one place that is not in the description, after which it is the source."""

MOVE_AFTER: Final = 5
"""Packets in a row from a new place, after which a source that may move has moved, …"""

MOVE_SILENCE: Final = 0.5
"""… if the old one has been silent for so long, in seconds."""

_DRAINED: Final = 256
_BUFFER: Final = bytearray(65_536)
_VIEW: Final = memoryview(_BUFFER)


class Port:
    """One socket of ours, with the end that it speaks to.

    Args:
        opened: The socket, bound; whoever gave it closes it after `close`.
        is_rtcp: Whether all that comes is RTCP.
    """

    __slots__ = (
        "_candidate", "_candidate_count", "_hints", "_is_reading", "_loop", "_receive_from", "_receive_into", "_send",
        "_send_to", "_socket", "_waiting", "advertised", "blocked", "cipher", "control", "errors", "heard",
        "is_connected", "is_rtcp", "last_at", "locked", "octets", "out", "out_control", "packets", "policy",
        "reception", "sibling", "silent_for", "source", "tap",
    )  # fmt: skip

    def __init__(self, opened: socket.socket, *, is_rtcp: bool = False) -> None:
        self._socket = opened
        self._loop = asyncio.get_running_loop()
        # Bound once: looking a method up costs as much as a comparison.
        self._receive_into, self._receive_from = opened.recv_into, opened.recvfrom_into
        self._send, self._send_to = opened.send, opened.sendto
        self._is_reading = False
        self.is_rtcp = is_rtcp
        self.policy = Source.LEARN_ONCE
        self.advertised: Endpoint | None = None
        """Where the description says that the end is."""
        self.source: Endpoint | None = None
        """Where it is, once that is certain."""
        self.is_connected = False
        self.out: Port | None = None
        """What sends on what comes here."""
        self.out_control: Port | None = None
        """What sends on RTCP."""
        self.control: Port = self
        """Where RTCP that comes here is counted."""
        self.cipher: Cipher | None = None
        """Decrypts what comes from the end, encrypts what goes to it; None: nothing does."""
        self.blocked: int | None = None
        """A payload type that is not sent on; None: all are."""
        self.tap: Tap | None = None
        """Takes digits out of what comes, or puts them in; None: nothing does."""
        self.reception: Reception | None = None
        self.sibling: Port | None = None
        """Of RTCP, the port of RTP: both come from one host."""
        self.locked: Callable[[], None] = _nothing
        """Called when the source has become certain, or another."""
        self.heard: Callable[[bytes, float], None] | None = None
        """Called with every RTCP packet and when it came."""
        self.silent_for: Callable[[float], float] = self.silence
        """How long nothing has come from the source, at a time; another path may know better."""
        self.packets = self.octets = self.errors = 0
        self.last_at = 0.0
        """When the last packet came, monotonic; 0: none did."""
        self._hints: frozenset[str] = frozenset()
        self._candidate: Endpoint | None = None
        self._candidate_count = 0
        self._waiting: list[bytes] = []

    # Setting up

    def aim(self, advertised: Endpoint | None, policy: Source, hint: str = "") -> None:
        """Say where the end is to be; one that was learned stays while the description says the same.

        Args:
            advertised: By its description; None: nothing is to be sent to it now.
            policy: Where its packets may come from.
            hint: Another address that they are likely to come from; empty: none.
        """
        self._hints = frozenset(address for address in ((advertised or ("",))[0], hint) if address)
        if advertised == self.advertised and policy == self.policy and (self.source or not advertised):
            return
        if advertised is None:
            # On hold without an address: what was learned is kept for when it is taken up again.
            return
        self.advertised, self.policy = advertised, policy
        self._forget_source()
        if policy is Source.STRICT:
            self._lock(advertised)
            self._receive_waiting()

    def resume(self, advertised: Endpoint | None, policy: Source, source: Endpoint | None) -> None:
        """Go on from before a restart."""
        self.advertised, self.policy = advertised, policy
        if source is not None:
            self._lock(source)

    def start(self) -> None:
        """Begin to read."""
        if not self._is_reading:
            self._is_reading = True
            self._loop.add_reader(self._socket.fileno(), self._readable)

    def close(self) -> None:
        """Stop reading."""
        if self._is_reading:
            self._is_reading = False
            self._loop.remove_reader(self._socket.fileno())
        self.out = self.out_control = self.heard = self.cipher = None
        if self.tap is not None:
            self.tap.close()
            self.tap = None
        self.locked = _nothing
        self.silent_for = self.silence

    @property
    def target(self) -> Endpoint | None:
        """Where what is for this end is sent."""
        return self.source or self.advertised

    # Receiving

    def _readable(self) -> None:
        now = time.monotonic()
        try:
            if self.is_connected:
                size = self._receive_into(_BUFFER)
                if self.cipher is not None and (size := self._decrypt(size, self.cipher)) < 0:
                    return
            else:
                size, source = self._receive_from(_BUFFER)
                # Where an end is, only packets tell that it has made.
                if self.cipher is not None and (size := self._decrypt(size, self.cipher)) < 0:
                    return
                if source[:2] != self.source and not self._consider(source[:2], now):
                    self.errors += 1
                    return
        except OSError:
            return  # nothing there after all, or an ICMP error of something sent earlier
        self._receive(size, now)
        if self._waiting:
            self._receive_waiting()

    def _decrypt(self, size: int, cipher: Cipher) -> int:
        """Decrypt what is in the buffer; returns its size then, -1: it is to be dropped."""
        data = bytes(_VIEW[:size])
        is_control = self.is_rtcp or (size >= 8 and 192 <= _BUFFER[1] <= 223 and _BUFFER[0] >> 6 == 2)
        plain = cipher.decrypt_control(data) if is_control else cipher.decrypt(data)
        if plain is None:
            self.errors += 1
            return -1
        _BUFFER[: len(plain)] = plain
        return len(plain)

    def _receive(self, size: int, now: float) -> None:
        """Count what is in the buffer and send it on."""
        # RFC 5761 §4: of what comes to a port of RTP, these are RTCP.
        if self.is_rtcp or (192 <= _BUFFER[1] <= 223 and _BUFFER[0] >> 6 == 2 and size >= 8):
            self._receive_control(size, now)
            return
        self.packets += 1
        self.octets += size
        self.last_at = now
        if size >= HEADER_SIZE and _BUFFER[0] >> 6 == 2:
            if self.reception is not None:
                self.reception.receive(_BUFFER, now)
            if self.blocked is not None and _BUFFER[1] & 0x7F == self.blocked:
                return
            if self.tap is not None and not (size := self.tap.take(_BUFFER, size, now)):
                return
        self._pass_on(size)

    def _pass_on(self, size: int) -> None:
        if (out := self.out) is None or not (
            out.send(_VIEW[:size]) if out.cipher is None else out.send_encrypted(_VIEW[:size], out.cipher)
        ):
            self.errors += 1

    def _receive_control(self, size: int, now: float) -> None:
        control = self.control
        control.packets += 1
        control.octets += size
        control.last_at = now
        if self.heard is not None:
            self.heard(bytes(_VIEW[:size]), now)
        if (out := self.out_control) is None or not (
            out.send(_VIEW[:size]) if out.cipher is None else out.send_control_encrypted(_VIEW[:size], out.cipher)
        ):
            control.errors += 1

    def pass_on(self, data: bytes) -> None:
        """Send to the other end what did not come from this one."""
        _BUFFER[: len(data)] = data
        self._pass_on(len(data))

    def send_encrypted(self, data: memoryview, cipher: Cipher) -> bool:
        """Encrypt RTP and send it to the end; tells whether the system took it."""
        encrypted = cipher.encrypt(bytes(data))
        return encrypted is not None and self.send(memoryview(encrypted))

    def send_control_encrypted(self, data: memoryview, cipher: Cipher) -> bool:
        """The same of RTCP."""
        encrypted = cipher.encrypt_control(bytes(data))
        return encrypted is not None and self.send(memoryview(encrypted))

    def send(self, data: memoryview) -> bool:
        """Send to the end; tells whether the system took it."""
        try:
            if self.is_connected:
                self._send(data)
            elif target := self.source or self.advertised:
                self._send_to(data, target)
            else:
                return False
        except ConnectionRefusedError:
            # The error is that of an earlier packet, and took the place of this one.
            with contextlib.suppress(OSError):
                self._send(data)
                return True
            return False
        except OSError:
            return False
        return True

    # Learning

    def _consider(self, place: Endpoint, now: float) -> bool:
        """Think about a packet from a place that is not the source; tells whether it is to be taken."""
        if self.source is not None:
            return self.policy is Source.LEARN and self._has_moved(place, now)
        if self.policy is Source.STRICT or not self._is_beside(place):
            return False
        if place == self.advertised:
            self._lock(place)
            return True
        if place != self._candidate:
            # Whoever is where the end said it would be, or where its signalling is, comes before a stranger.
            if self._candidate is not None and self._rank(place) <= self._rank(self._candidate):
                return False
            self._candidate, self._candidate_count = place, 0
        self._candidate_count += 1
        if self._candidate_count >= LOCK_AFTER:
            self._lock(place)
        return True

    def _is_beside(self, place: Endpoint) -> bool:
        """Whether RTP, where it is known, comes from the same host."""
        source = self.sibling.source if self.sibling is not None else None
        return source is None or source[0] == place[0]

    def _rank(self, place: Endpoint) -> bool:
        return place[0] in self._hints

    def _has_moved(self, place: Endpoint, now: float) -> bool:
        if place != self._candidate:
            self._candidate, self._candidate_count = place, 0
        self._candidate_count += 1
        if self._candidate_count < MOVE_AFTER or self.silent_for(now) < MOVE_SILENCE:
            return False
        self._lock(place)
        return True

    def silence(self, now: float) -> float:
        """How long nothing has come here from the source."""
        return now - self.last_at

    def _lock(self, place: Endpoint) -> None:
        self.source = place
        self._candidate, self._candidate_count = None, 0
        if self.policy is not Source.LEARN:
            self._connect(place)
        self.locked()

    def _connect(self, place: Endpoint) -> None:
        try:
            self._socket.connect(place)
        except OSError:
            return  # no way there now; the source is compared instead
        # What others sent before that still waits, and would be taken for the source's: it is looked at here.
        for _ in range(_DRAINED):
            try:
                data, source = self._socket.recvfrom(len(_BUFFER))
            except OSError:
                break
            if source[:2] == place:
                self._waiting.append(data)
            else:
                self.errors += 1
        self.is_connected = True

    def _receive_waiting(self) -> None:
        """Send on what was found when the socket was connected."""
        waiting, self._waiting = self._waiting, []
        for data in waiting:
            _BUFFER[: len(data)] = data
            size = len(data) if self.cipher is None else self._decrypt(len(data), self.cipher)
            if size >= 0:
                self._receive(size, time.monotonic())

    def _forget_source(self) -> None:
        self.source = self._candidate = None
        self._candidate_count = 0
        if self.is_connected:
            self.is_connected = False
            _disconnect(self._socket)


def _nothing() -> None:
    pass


def _disconnect(connected: socket.socket) -> None:
    """Undo connect(2), for which Python has no call: an address of no family."""
    import ctypes

    address = (ctypes.c_char * 16)()
    ctypes.CDLL(None, use_errno=True).connect(connected.fileno(), ctypes.byref(address), ctypes.sizeof(address))
