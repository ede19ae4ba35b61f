"""A telephone behind a NAT at a running switch: the way to it stays open, and it shows what messages wait for it."""

import json
import re
import socket
import uuid
from collections.abc import Iterator

import pytest

from b2bua.sip.digest import Challenge
from tests.support.datagrams import header
from tests.support.switch import Switch, wait_until

PATIENCE = 10.0
INSIDE = "192.168.1.7:5060"
"""What the telephone takes for its own address."""


class Phone:
    """A telephone that comes from another address than it names."""

    def __init__(self, switch: Switch, username: str, secret: str) -> None:
        self.switch = switch
        self.username = username
        self.secret = secret
        self.heard: list[str] = []
        """Requests, each answered with 200."""
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.3", 0))
        self.socket.settimeout(PATIENCE)

    def ask(self, method: str, uri: str, *headers: str) -> int:
        """Send a request, and again with what its challenge asks for; returns the last status."""
        call_id, proof, answer = uuid.uuid4().hex, "", ""
        for cseq in (1, 2):
            lines = (
                f"{method} {uri} SIP/2.0",
                f"Via: SIP/2.0/UDP {INSIDE};rport;branch=z9hG4bK{call_id}{cseq}",
                "Max-Forwards: 70",
                f"From: <sip:{self.username}@127.0.0.1>;tag=1",
                f"To: <sip:{self.username}@127.0.0.1>",
                f"Call-ID: {call_id}",
                f"CSeq: {cseq} {method}",
                f"Contact: <sip:{self.username}@{INSIDE}>",
                *headers,
                *([proof] if proof else []),
                "Content-Length: 0",
            )
            self._send("\r\n".join(lines) + "\r\n\r\n")
            answer = self._receive_answer()
            if not answer.startswith(("SIP/2.0 401", "SIP/2.0 407")):
                break
            is_proxy = "Proxy-Authenticate" in answer
            challenge = Challenge.parse(header(answer, "proxy-authenticate" if is_proxy else "www-authenticate"))
            proved = challenge.answer(self.username, self.secret, method, uri, "c0ffee")
            proof = f"{'Proxy-Authorization' if is_proxy else 'Authorization'}: {proved}"
        return int(answer[8:11])

    def hear(self, method: str) -> str:
        """Wait for a request, and answer all that come."""
        while True:
            for request in self.heard:
                if request.startswith(method):
                    self.heard.remove(request)
                    return request
            self._take(self.socket.recv(65536).decode())

    def _receive_answer(self) -> str:
        while (message := self.socket.recv(65536).decode())[:8] != "SIP/2.0 ":
            self._take(message)
        return message

    def _take(self, request: str) -> None:
        self.heard.append(request)
        kept = [line for line in request.split("\r\n") if re.match(r"(Via|From|To|Call-ID|CSeq):", line)]
        self._send("\r\n".join(["SIP/2.0 200 OK", *kept, "Content-Length: 0"]) + "\r\n\r\n")

    def _send(self, message: str) -> None:
        self.socket.sendto(message.encode(), ("127.0.0.1", self.switch.port))


@pytest.fixture
def phone(switch: Switch) -> Iterator[Phone]:
    """A registered telephone of a SIP user that is there for one test."""
    made = json.loads(switch.command("device", "add", "--account", "DEMO0002", "--user", "telephone", "--json"))
    switch.wait_for_configuration()
    phone = Phone(switch, "telephone", made["secret"])
    assert phone.ask("REGISTER", f"sip:127.0.0.1:{switch.port}", "Expires: 600") == 200
    yield phone
    phone.socket.close()
    switch.command("registration", "remove", "telephone", check=False)
    switch.command("device", "remove", made["device"])


def test_way_is_kept_open_and_messages_are_shown(switch: Switch, phone: Phone) -> None:
    assert phone.hear("OPTIONS").startswith(f"OPTIONS sip:telephone@{INSIDE} SIP/2.0")

    def answered() -> bool:
        (row,) = switch.ask("registrations", search="telephone")["registrations"]
        assert (row["behind_nat"], row["keep_alive"]) == (True, "options")
        return row["last_seen"] is not None

    wait_until(answered, "the answer to be noted")
    uri = f"sip:telephone@127.0.0.1:{switch.port}"
    assert phone.ask("SUBSCRIBE", uri, "Event: message-summary", "Expires: 600") == 200
    assert "Messages-Waiting: no" in phone.hear("NOTIFY")
    switch.command("mailbox", "set", "telephone", "--new", "2", "--old", "5")
    assert "Voice-Message: 2/5 (0/0)" in phone.hear("NOTIFY")
    assert '"new": 2' in switch.command("mailbox", "list", "--format", "json")
    row = switch.ask("registrations")["registrations"][0]
    gone = switch.ask("remove_registration", sip_user_id=row["sip_user_id"], contact=row["contact"])
    assert gone["removed"] == 1
    assert switch.ask("registrations")["total"] == 0
