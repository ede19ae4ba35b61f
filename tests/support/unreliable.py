"""Callers and carriers for a network that loses datagrams, and the relay that loses them.

The agents keep to RFC 3261 over UDP, and share no code with the switch: what has no answer is repeated (§17.1), so is a
2xx until its ACK comes (§13.3.1.4), whose every copy is acknowledged (§13.2.2.4). All that they and the switch send
each other crosses the relay, which looks like a NAT to both: the switch knows each agent by a port of the relay, and
the agents know the switch by another.
"""

import asyncio
import random
import socket
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tests.support.datagrams import SDP, header

LOCAL: Final = "127.0.0.1"
_BUFFER: Final = 8_000_000

Receive = Callable[[bytes, tuple[str, int]], None]


class Port(asyncio.DatagramProtocol):
    """A socket of loopback that hands on what it gets."""

    def __init__(self) -> None:
        self.receive: Receive = lambda data, source: None
        self.number = 0
        self._transport: asyncio.DatagramTransport

    async def open(self, number: int = 0) -> None:
        """Bind it; 0: to any port."""
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, (LOCAL, number))
        self.number = self._transport.get_extra_info("sockname")[1]
        self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Something came."""
        self.receive(data, addr)

    def send(self, data: bytes, port: int) -> None:
        """Send to another port of loopback."""
        self._transport.sendto(data, (LOCAL, port))

    def close(self) -> None:
        """Give the port back."""
        self._transport.close()


class Relay:
    """Loses a share of what two agents and the switch send each other.

    Args:
        loss: Share of the datagrams that is lost, each way.
        seed: Of what is lost.
    """

    def __init__(self, loss: float, seed: int) -> None:
        self._loss = loss
        self._seed = seed
        self.as_switch = Port()
        """What the agents know the switch by."""
        self._switch = 0
        self._aliases: dict[int, Port] = {}
        self._luck: dict[tuple[int, bool], random.Random] = {}
        self.carried = self.lost = 0
        self.stories: dict[str, list[str]] = {}
        """What was carried and lost of each Call-ID, a line for each datagram."""

    async def open(self, switch: int, number: int) -> None:
        """Begin to carry for a switch on a port, which the agents know by another."""
        self._switch = switch
        await self.as_switch.open(number)
        self.as_switch.receive = self._from_agent

    async def connect(self, agent: int) -> int:
        """Carry for an agent on a port as well; returns the port that the switch knows it by."""
        alias = self._aliases[agent] = Port()
        await alias.open()
        for number, is_up in enumerate((True, False)):
            self._luck[agent, is_up] = random.Random(f"{self._seed} {len(self._aliases)} {number}")
        alias.receive = lambda data, _: self._pass(agent, False, self.as_switch, data, agent)
        return alias.number

    def _from_agent(self, data: bytes, source: tuple[str, int]) -> None:
        self._pass(source[1], True, self._aliases[source[1]], data, self._switch)

    def _pass(self, agent: int, is_up: bool, port: Port, data: bytes, target: int) -> None:
        self.carried += 1
        is_lost = self._luck[agent, is_up].random() < self._loss
        self._note(data, f"{time.monotonic():.3f} {'to' if is_up else 'from'} the switch{', lost' if is_lost else ''}")
        if is_lost:
            self.lost += 1
        else:
            port.send(data, target)

    def _note(self, data: bytes, how: str) -> None:
        text = data.decode()
        line = f"{how}: {text.partition(chr(13))[0]} [{header(text, 'cseq')}, {_branch(text)}]"
        self.stories.setdefault(header(text, "call-id"), []).append(line)

    def close(self) -> None:
        """Carry nothing any more."""
        for port in (self.as_switch, *self._aliases.values()):
            port.close()


@dataclass(slots=True, eq=False)
class Talk:
    """One call, as one of the two ends has it."""

    call_id: str
    number: int
    """Which of the calls it is: even ones are ended by the caller, odd ones by the carrier."""
    local: str
    """From or To of ours, with the tag."""
    remote: str
    target: str = ""
    cseq: int = 1
    final: int = 0
    """What the INVITE was answered with; 0: nothing yet."""
    ack: bytes = b""
    is_acknowledged: bool = False
    """Whether the ACK came, or was sent."""
    bye_status: int = 0
    """What our BYE was answered with; 0: we have sent none, or it has no answer."""
    is_hung_up: bool = False
    """Whether the other end's BYE came."""
    gave_up: str = ""
    """What was repeated in vain."""

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come of it."""
        return bool(self.gave_up or self.final >= 300 or self.bye_status or self.is_hung_up)


class Agent:
    """What both ends have: transactions of RFC 3261 §17 as far as an INVITE and a BYE need them.

    Args:
        t1: Of RFC 3261.
        seconds: How long a call is up that we end.
    """

    def __init__(self, t1: float, seconds: float) -> None:
        self.port = Port()
        self.port.receive = self._received
        self._t1 = t1
        self._seconds = seconds
        self._switch = self.alias = 0
        self.talks: dict[str, Talk] = {}
        self._answers: dict[tuple[str, str], bytes] = {}
        """What requests were answered with, by branch and method."""
        self._repeats: dict[tuple[str, ...], asyncio.TimerHandle] = {}
        self.repeated: Counter[str] = Counter()

    async def open(self, relay: Relay) -> None:
        """Begin, behind a relay."""
        await self.port.open()
        self._switch = relay.as_switch.number
        self.alias = await relay.connect(self.port.number)

    def close(self) -> None:
        """Stop."""
        for handle in self._repeats.values():
            handle.cancel()
        self._repeats.clear()
        self.port.close()

    @property
    def repeats(self) -> int:
        """How much is being repeated."""
        return len(self._repeats)

    # Sending

    def _send(self, data: bytes) -> None:
        self.port.send(data, self._switch)

    def _repeat(self, key: tuple[str, ...], data: bytes, longest: float, give_up: Callable[[], None]) -> None:
        """Send, and again after T1, twice that, …, for 64 × T1 in all."""
        loop = asyncio.get_running_loop()
        end = loop.time() + 64 * self._t1

        def again(interval: float) -> None:
            if loop.time() >= end - 0.01:
                del self._repeats[key]
                give_up()
                return
            self.repeated[key[0]] += 1
            self._send(data)
            wait(min(2 * interval, longest))

        def wait(interval: float) -> None:
            self._repeats[key] = loop.call_at(min(loop.time() + interval, end), again, interval)

        self._send(data)
        wait(self._t1)

    def _stop(self, *key: str) -> bool:
        handle = self._repeats.pop(key, None)
        if handle is not None:
            handle.cancel()
        return handle is not None

    def _request(self, talk: Talk, method: str, branch: str, cseq: int, body: str = "") -> bytes:
        lines = [
            f"{method} {talk.target} SIP/2.0",
            f"Via: SIP/2.0/UDP {LOCAL}:{self.alias};branch={branch};rport",
            "Max-Forwards: 70", f"From: {talk.local}", f"To: {talk.remote}", f"Call-ID: {talk.call_id}",
            f"CSeq: {cseq} {method}", f"Contact: <sip:agent@{LOCAL}:{self.alias}>",
            *(["Content-Type: application/sdp"] if body else []), f"Content-Length: {len(body)}",
        ]  # fmt: skip
        return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()

    def _response(self, request: str, status: int, tag: str = "", body: str = "") -> bytes:
        lines = [f"SIP/2.0 {status} Whatever"]
        for line in request.partition("\r\n\r\n")[0].split("\r\n")[1:]:
            name = line.partition(":")[0].lower()
            if name in ("via", "from", "call-id", "cseq", "record-route"):
                lines.append(line)
            elif name == "to":
                lines.append(f"{line};tag={tag}" if tag and ";tag=" not in line else line)
        lines.append(f"Contact: <sip:agent@{LOCAL}:{self.alias}>")
        lines += ["Content-Type: application/sdp"] if body else []
        return ("\r\n".join([*lines, f"Content-Length: {len(body)}"]) + "\r\n\r\n" + body).encode()

    # Ending

    def _hang_up_later(self, talk: Talk) -> None:
        asyncio.get_running_loop().call_later(self._seconds, self._hang_up, talk)

    def _hang_up(self, talk: Talk) -> None:
        if not talk.is_hung_up:
            talk.cseq += 1
            bye = self._request(talk, "BYE", new_branch(), talk.cseq)
            self._repeat(("BYE", talk.call_id), bye, 8 * self._t1, lambda: self._give_up(talk, "BYE"))

    def _give_up(self, talk: Talk, what: str) -> None:
        if what == "200":
            self._hang_up(talk)  # §13.3.1.4: the session ends when no ACK has come
        talk.gave_up = what

    # Receiving

    def _received(self, data: bytes, _: tuple[str, int]) -> None:
        text = data.decode()
        talk = self.talks.get(header(text, "call-id"))
        method = header(text, "cseq").partition(" ")[2]
        if not text.startswith("SIP/2.0"):
            self._request_received(talk, text, method)
        elif talk is not None:
            self._response_received(talk, text, method, int(text[8:11]))

    def _response_received(self, talk: Talk, text: str, method: str, status: int) -> None:
        if method == "INVITE":
            self._invite_answered(talk, text, status)
        elif method == "BYE" and status >= 200 and self._stop("BYE", talk.call_id):
            talk.bye_status = status

    def _request_received(self, talk: Talk | None, text: str, method: str) -> None:
        known = self._answers.get((_branch(text), method))
        if method == "ACK":
            if talk is not None:
                self._acknowledged(talk)
        elif known is not None:
            self.repeated["answer"] += 1
            if known:
                self._send(known)
        elif method == "BYE":
            self._bye_received(talk, text)
        elif method == "INVITE":
            self._invited(text)
        else:
            self._answer(text, method, 200)

    def _answer(self, text: str, method: str, status: int) -> None:
        answer = self._answers[_branch(text), method] = self._response(text, status)
        self._send(answer)

    def _bye_received(self, talk: Talk | None, text: str) -> None:
        self._answer(text, "BYE", 200 if talk is not None else 481)
        if talk is not None:
            talk.is_hung_up = True

    def _invite_answered(self, talk: Talk, text: str, status: int) -> None:
        """Of an end that calls."""

    def _acknowledged(self, talk: Talk) -> None:
        """Of an end that is called."""

    def _invited(self, text: str) -> None:
        """Of an end that is called."""


class LossyCaller(Agent):
    """Calls."""

    def call(self, number: int, source: str, destination: str) -> Talk:
        """Begin a call; `number` tells the carrier who is to end it."""
        there = f"sip:{destination}@{LOCAL}:{self._switch}"
        local = f"<sip:{source}@{LOCAL}>;tag={uuid.uuid4().hex[:8]}"
        talk = Talk(uuid.uuid4().hex, number, local, f"<{there}>", there)
        self.talks[talk.call_id] = talk
        invite = self._request(talk, "INVITE", f"{new_branch()}{talk.call_id}", 1, SDP)
        self._repeat(("INVITE", talk.call_id), invite, 64 * self._t1, lambda: self._give_up(talk, "INVITE"))
        return talk

    def _invite_answered(self, talk: Talk, text: str, status: int) -> None:
        self._stop("INVITE", talk.call_id)
        if status < 200:
            return
        if talk.ack:
            self.repeated["ACK"] += 1
            self._send(talk.ack)
            return
        talk.final, talk.remote = status, header(text, "to")
        if status >= 300:
            talk.ack = self._request(talk, "ACK", _branch(text), 1)
            self._send(talk.ack)
            return
        talk.is_acknowledged, talk.target = True, header(text, "contact").strip("<>")
        talk.ack = self._request(talk, "ACK", new_branch(), 1)
        self._send(talk.ack)
        if talk.gave_up:
            self._hang_up(talk)  # nobody wants the call any more (RFC 3261 §13.2.2.4)
        elif talk.number % 2 == 0:
            self._hang_up_later(talk)


class LossyCarrier(Agent):
    """Rings for a moment, and answers.

    Args:
        t1: Of RFC 3261.
        seconds: How long a call is up that it ends.
        rings: How long it rings.
    """

    def __init__(self, t1: float, seconds: float, rings: float) -> None:
        super().__init__(t1, seconds)
        self._rings = rings

    def _invited(self, text: str) -> None:
        number = int(header(text, "from").partition("sip:")[2].partition("@")[0][-6:])
        to = f"{header(text, 'to')};tag={uuid.uuid4().hex[:8]}"
        target = header(text, "contact").partition("<")[2].partition(">")[0]
        talk = Talk(header(text, "call-id"), number, to, header(text, "from"), target)
        self.talks[talk.call_id] = talk
        tag = to.rpartition("=")[2]
        ringing = self._answers[_branch(text), "INVITE"] = self._response(text, 180, tag)
        self._send(ringing)

        def answer() -> None:
            talk.final = 200
            self._answers[_branch(text), "INVITE"] = b""  # the 2xx is repeated by itself
            answered = self._response(text, 200, tag, SDP)
            self._repeat(("200", talk.call_id), answered, 8 * self._t1, lambda: self._give_up(talk, "200"))

        asyncio.get_running_loop().call_later(self._rings, answer)

    def _acknowledged(self, talk: Talk) -> None:
        self._stop("200", talk.call_id)
        if not talk.is_acknowledged:
            talk.is_acknowledged = True
            if talk.number % 2:
                self._hang_up_later(talk)


def new_branch() -> str:
    """A branch that was never used."""
    return f"z9hG4bK{uuid.uuid4().hex[:12]}"


def _branch(text: str) -> str:
    for parameter in header(text, "via").split(";"):
        name, _, value = parameter.partition("=")
        if name.strip() == "branch":
            return value
    return ""
