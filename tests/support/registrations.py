"""REGISTER requests and bindings for tests, and the live store of the session for endpoints on a wire."""

import socket
from collections import deque
from typing import Any

import hiredis

from b2bua.live.connection import Callback, LiveConnection, StoreAway
from b2bua.registrar.bindings import Binding, Registration, read_registration
from b2bua.sip.flow import Flow
from b2bua.sip.message import Request
from b2bua.turns import Turns
from tests.support import sip
from tests.support.live import PATIENCE

NOW = 1_800_000_000.0
WORKER = "sip-1:a"
PHONE = "198.51.100.7"
CONTACT = f"sip:alice@{PHONE}:5062"


def register(*contacts: str, call_id: str = "reg-1", cseq: int = 1, **headers: str) -> Request:
    """A REGISTER of alice with these Contact values; other headers by name, `_` for `-`."""
    changed = {name.replace("_", "-"): value for name, value in headers.items()}
    if contacts:
        changed["Contact"] = ", ".join(contacts)
    to = {"To": "<sip:alice@example.com>", "From": "<sip:alice@example.com>;tag=a1"}
    data = sip.request("REGISTER", uri="sip:example.com", call_id=call_id, cseq=cseq, changed={**to, **changed})
    return sip.parse_request(data)


def registration(*contacts: str, **how: Any) -> Registration:
    """What such a REGISTER asks for."""
    return read_registration(register(*contacts, **how), Flow("udp", PHONE, 5062), PHONE, WORKER)


def make_binding(**changed: Any) -> Binding:
    """A binding of alice's phone, for an hour."""
    values: dict[str, Any] = {
        "contact": CONTACT,
        "expires_at": NOW + 3600,
        "registered_at": NOW,
        "call_id": "reg-1",
        "cseq": 1,
        "transport": "udp",
        "host": PHONE,
        "port": 5062,
        "listener": 0,
        "connection": 0,
        "worker": WORKER,
        "source": PHONE,
        **changed,
    }
    return Binding(**values)


class WiredStore(LiveConnection):
    """A connection to the real store that waits for each answer, and hands them out when the wire settles."""

    def __init__(self, url: str) -> None:
        super().__init__("unix:///nowhere", 1.0, lambda _: None, Turns(0.0))
        self.is_up = True
        self.is_away = False
        self.commands: list[str] = []
        """Names of the commands that were sent."""
        self._own = socket.socket(socket.AF_UNIX)
        self._own.settimeout(PATIENCE)
        self._own.connect(url.removeprefix("unix://"))
        self._replies = hiredis.Reader()
        self._waiting: deque[tuple[tuple[Any, ...], Callback]] = deque()

    def send(self, command: tuple[Any, ...], callback: Callback) -> None:
        """Take a command."""
        self._waiting.append((command, callback))

    execute = send

    def answer(self) -> bool:
        """Answer what waits, but not what is asked because of it; returns whether there was anything."""
        if not self._waiting:
            return False
        for _ in range(len(self._waiting)):
            command, callback = self._waiting.popleft()
            self.commands.append(command[0])
            callback(StoreAway("live store is away") if self.is_away else self._ask(command))
        return True

    def shut(self) -> None:
        """Close the socket."""
        self._own.close()

    def _ask(self, command: tuple[Any, ...]) -> Any:
        self._own.sendall(hiredis.pack_command(command))
        while (reply := self._replies.gets()) is False:
            self._replies.feed(self._own.recv(65536))
        return reply
