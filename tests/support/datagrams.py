"""Callers and carriers of a few lines, for tests of many calls at once: each a socket and a thread, no transactions."""

import socket
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

from tests.support.switch import NUMBER, Switch, wait_until

SDP: Final = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 8 0\r\n"


class Carrier:
    """Answers every INVITE alike, and notes when it came.

    Args:
        port: Its own.
        answers: Status codes that it sends at once, one after the other; none: it is silent.
        address: Its own, of the loopback network.
    """

    def __init__(self, port: int, answers: Sequence[int], address: str = "127.0.0.1") -> None:
        self._answers = answers
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_000_000)
        self._socket.bind((address, port))
        self.port = port
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.arrivals: list[float] = []
        """Monotonic time of each INVITE, repeated ones left out."""
        self.invites: dict[str, str] = {}
        """INVITE by Call-ID."""
        self.ended_at = 0.0

    def wait_for_bye(self, patience: float) -> float:
        """Monotonic time of the last BYE, once there is one."""
        return float(wait_until(lambda: self.ended_at, "a BYE to the carrier", patience))

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self) -> None:
        """Answer no more."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(5)

    def _run(self) -> None:
        # Closing the socket ends the thread, in whatever it is.
        with suppress(OSError):
            while data := self._socket.recvfrom(65536):
                if not data[0]:
                    return
                self._receive(data[0].decode(), data[1])

    def _receive(self, text: str, source: tuple[str, int]) -> None:
        method, call_id = text.partition(" ")[0], header(text, "call-id")
        if method == "INVITE":
            if call_id not in self.invites:
                self.invites[call_id] = text
                self.arrivals.append(time.monotonic())
            for status in self._answers:
                self._send(answer(text, status, self.port), source)
        elif method == "CANCEL":
            self._send(answer(text, 200, self.port), source)
            self._send(answer(self.invites[call_id], 487, self.port), source)
        elif method not in ("ACK", "SIP/2.0"):
            if method == "BYE":
                self.ended_at = time.monotonic()
            self._send(answer(text, 200, self.port), source)

    def _send(self, text: str, source: tuple[str, int]) -> None:
        self._socket.sendto(text.encode(), source)


@contextmanager
def carriers(*wanted: Carrier) -> Iterator[None]:
    """Run carriers."""
    try:
        for each in wanted:
            each.start()
        yield
    finally:
        for each in wanted:
            each.close()


@dataclass
class Heard:
    """What one call was told."""

    provisional: list[int] = field(default_factory=list)
    final: int = 0
    reason: str = ""
    at: float = 0.0
    """Monotonic time of the final answer."""


class Callers:
    """Many calls from one address: INVITEs, and ACKs of what answers them.

    Args:
        switch: Where they go.
        address: Source, of the loopback network.
    """

    def __init__(self, switch: Switch, address: str = "127.0.0.1") -> None:
        self._target = ("127.0.0.1", switch.port)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_000_000)
        self._socket.bind((address, 0))
        self.address, self.port = self._socket.getsockname()
        self.calls: dict[str, Heard] = {}
        self.invites: dict[str, str] = {}

    def __enter__(self) -> "Callers":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def invite(self, number: str = NUMBER, source: str = "441234567890", extra: str = "") -> str:
        """Call; returns the Call-ID."""
        call_id = uuid.uuid4().hex
        there = f"sip:{number}@127.0.0.1"
        text = (
            f"INVITE {there} SIP/2.0\r\nVia: SIP/2.0/UDP {self.address}:{self.port};branch=z9hG4bK{call_id}\r\n"
            f"Max-Forwards: 70\r\nFrom: <sip:{source}@{self.address}>;tag={call_id[:8]}\r\nTo: <{there}>\r\n"
            f"Call-ID: {call_id}\r\nCSeq: 1 INVITE\r\nContact: <sip:caller@{self.address}:{self.port}>\r\n{extra}"
            f"Content-Type: application/sdp\r\nContent-Length: {len(SDP)}\r\n\r\n{SDP}"
        )
        self.calls[call_id], self.invites[call_id] = Heard(), text
        self._socket.sendto(text.encode(), self._target)
        return call_id

    def listen(self, seconds: float) -> None:
        """Hear answers for some time, or until every call has its final one."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0 and not self.are_answered:
            self._socket.settimeout(left)
            try:
                text = self._socket.recv(65536).decode()
            except TimeoutError:
                return
            self._heard(text)

    def pace(self, rate: float, seconds: float) -> None:
        """Call so many times a second for some time, hearing answers meanwhile."""
        began = time.monotonic()
        for number in range(round(rate * seconds)):
            due = began + number / rate
            while (left := due - time.monotonic()) > 0:
                self._socket.settimeout(left)
                with suppress(TimeoutError):
                    self._heard(self._socket.recv(65536).decode())
            self.invite()

    def wait_for_bye(self, patience: float) -> float:
        """Answer a BYE and return its monotonic time."""
        self._socket.settimeout(patience)
        while True:
            text = self._socket.recv(65536).decode()
            arrived = time.monotonic()
            self._heard(text)
            if text.startswith("BYE"):
                return arrived

    @property
    def are_answered(self) -> bool:
        """Whether every call has its final answer."""
        return all(heard.final for heard in self.calls.values())

    def count(self, status: int) -> int:
        """How many calls got this final answer."""
        return sum(heard.final == status for heard in self.calls.values())

    def _heard(self, text: str) -> None:
        call_id = header(text, "call-id")
        if not text.startswith("SIP/2.0"):
            self._socket.sendto(answer(text, 200, self.port).encode(), self._target)
            return
        heard, status = self.calls.get(call_id), int(text[8:11])
        if heard is None or not header(text, "cseq").endswith("INVITE"):
            return
        if status < 200:
            heard.provisional.append(status)
            return
        if not heard.final:
            heard.final, heard.at = status, time.monotonic()
            heard.reason = header(text, "reason")
        self._socket.sendto(acknowledgement(self.invites[call_id], text).encode(), self._target)


def header(text: str, name: str) -> str:
    """The first value of a header; empty: none."""
    for line in text.partition("\r\n\r\n")[0].split("\r\n")[1:]:
        key, _, value = line.partition(":")
        if key.strip().lower() == name:
            return value.strip()
    return ""


def answer(request: str, status: int, port: int) -> str:
    """A response to a request."""
    lines = [f"SIP/2.0 {status} whatever"]
    for line in request.partition("\r\n\r\n")[0].split("\r\n")[1:]:
        if line.partition(":")[0].lower() in ("via", "from", "to", "call-id", "cseq"):
            is_to = line.lower().startswith("to:") and status > 100 and "tag=" not in line
            lines.append(f"{line};tag=there" if is_to else line)
    body = SDP if status == 200 and request.startswith("INVITE") else ""
    if status < 300:
        lines.append(f"Contact: <sip:there@127.0.0.1:{port}>")
    if body:
        lines.append("Content-Type: application/sdp")
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", body])


def acknowledgement(invite: str, response: str) -> str:
    """The ACK of a final response; of a 2xx to the contact, with a branch of its own."""
    first = invite.split("\r\n", 1)[0]
    branch = "x" if response[8] == "2" else ""
    via = header(invite, "via") + branch
    if branch:
        first = f"INVITE {header(response, 'contact').strip('<>')} SIP/2.0"
    return "\r\n".join(
        [
            first.replace("INVITE", "ACK", 1),
            f"Via: {via}",
            "Max-Forwards: 70",
            f"From: {header(invite, 'from')}",
            f"To: {header(response, 'to')}",
            f"Call-ID: {header(invite, 'call-id')}",
            "CSeq: 1 ACK",
            "Content-Length: 0",
            "",
            "",
        ]
    )
