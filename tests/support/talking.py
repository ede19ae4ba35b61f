"""What an agent of a test says within its dialog, and a judge of what two sides have said on a wire.

It shares no code with what carries such requests through the switch: it repeats its 2xx until the ACK comes, and
acknowledges each 2xx that comes, by its own means (RFC 3261 §13.2.2.4, §13.3.1.4, §14).
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from b2bua.call.leg import Leg
from b2bua.sip.events import AckReceived, CancelReceived, RequestReceived, ResponseReceived, TransactionTimedOut
from b2bua.sip.events import Event as SIPEvent
from b2bua.sip.flow import Flow
from b2bua.sip.headers import Headers
from b2bua.sip.message import Request, Response
from b2bua.sip.transactions import ClientTransaction, ServerTransaction
from b2bua.transport.endpoint import Endpoint, TimerOwner

if TYPE_CHECKING:
    from tests.support.legs import Carried, Wire

SDP: Final = {"content-type": "application/sdp"}


def describe_audio(
    host: str,
    *,
    version: int = 1,
    direction: str = "",
    connection: str = "",
    payloads: str = "8 0 101",
    more: str = "",
) -> bytes:
    """A session description with one audio line.

    Args:
        host: Of the origin line and, unless `connection` says otherwise, of the sound.
        version: Of the session.
        direction: `sendonly`, `inactive`, …; empty: not said.
        connection: Address of the c= line.
        payloads: Of the audio line.
        more: Lines after it.
    """
    lines = [
        "v=0", f"o=- 77 {version} IN IP4 {host}", "s=-", f"c=IN IP4 {connection or host}", "t=0 0",
        f"m=audio 40000 RTP/AVP {payloads}", "a=rtpmap:101 telephone-event/8000",
        *([f"a={direction}"] if direction else []),
    ]  # fmt: skip
    return ("\r\n".join(lines) + "\r\n" + more).encode()


@dataclass(slots=True, eq=False)
class Said:
    """A request of an agent's within its dialog."""

    request: Request
    cseq: int
    flow: Flow
    acknowledges: bool
    answer: bytes
    """Session description of the ACK."""
    transaction: ClientTransaction | None = None
    responses: list[Response] = field(default_factory=list)
    is_timed_out: bool = False
    is_cancelled: bool = False
    ack: bytes = b""

    @property
    def response(self) -> Response:
        """The one final answer."""
        (response,) = {each.status: each for each in self.responses if each.status >= 200}.values()
        return response

    @property
    def status(self) -> int:
        """Of the final answer; 0: none has come."""
        return self.response.status if any(each.status >= 200 for each in self.responses) else 0


@dataclass(slots=True, eq=False)
class Heard(TimerOwner):
    """A request that came within an agent's dialog."""

    agent: "Talker"
    transaction: ServerTransaction
    request: Request
    acks: list[Request] = field(default_factory=list)
    interval: float = 0.0
    waited: float = 0.0
    is_cancelled: bool = False
    is_given_up: bool = False
    """Whether the ACK of our 2xx never came."""

    def on_timer(self, kind: int, now: float) -> None:
        """Repeat the 2xx, for 64 × T1 in all."""
        if self.acks or self.agent.is_over:
            return
        self.waited += self.interval
        if self.waited >= self.agent.endpoint.timing.transaction:
            self.is_given_up = True
            return
        self.agent.endpoint.transactions.repeat_response(self.transaction)
        self.wait(min(self.interval * 2, self.agent.endpoint.timing.t2))

    def wait(self, seconds: float) -> None:
        """For the ACK."""
        self.interval = seconds
        self.agent.endpoint.add_timer(seconds, self, 0)


class Talker:
    """An agent that asks, and is asked, within its dialog."""

    endpoint: Endpoint
    leg: Leg | None
    wire: "Wire"

    def begin(self) -> None:
        """Nothing has been said."""
        self.said: list[Said] = []
        self.heard: list[Heard] = []
        """Without repetitions."""
        self.statuses: dict[str, int] = {}
        """What requests of a method are answered with; 0: nothing, until `reply` is called. Otherwise 200."""
        self.describes: bytes | None = None
        """The session description of answers; None: the usual one."""
        self.is_strict = False
        """Whether an INVITE is refused while one of ours is under way (RFC 3261 §14.2)."""
        self.out_of_order: list[Request] = []
        self.is_over = False

    @property
    def usual_session(self) -> bytes:
        """What is described where nothing else is wanted."""
        raise NotImplementedError

    # Asking

    def say(
        self,
        method: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        *,
        settles: bool = True,
        cseq: int | None = None,
        acknowledges: bool = True,
        answer: bytes = b"",
    ) -> Said:
        """Send a request within the dialog.

        Args:
            method: INVITE, UPDATE, …
            body: Empty: none.
            headers: Beside those that each request has; a session description has its content type anyway.
            settles: Whether to let the wire settle.
            cseq: Instead of the next one.
            acknowledges: Whether a 2xx is acknowledged at once.
            answer: What the ACK says.
        """
        assert self.leg is not None
        assert self.leg.dialog is not None
        dialog = self.leg.dialog
        request = dialog.request(method, body, cseq=cseq)
        if method in ("INVITE", "UPDATE"):
            request.headers["contact"] = [dialog.contact]
        for name, value in ((SDP if body.startswith(b"v=0") else {}) | dict(headers or {})).items():
            request.headers[name] = [value]
        said = Said(request, int(request.headers["cseq"][0].split()[0]), dialog.flow, acknowledges, answer)
        self.said.append(said)
        said.transaction = self.endpoint.transactions.send_request(request, dialog.flow, self.endpoint.now(), said)
        self._turn(settles)
        return said

    def reinvite(self, body: bytes | None = None, *, settles: bool = True) -> Said:
        """Offer a session, the usual one unless told otherwise."""
        return self.say("INVITE", self.usual_session if body is None else body, settles=settles)

    def withdraw(self, said: Said, *, settles: bool = True) -> None:
        """CANCEL an INVITE."""
        assert said.transaction is not None
        source = said.request.headers
        headers = Headers({name: source[name] for name in ("from", "to", "call-id")})
        headers["max-forwards"] = ["70"]
        headers["cseq"] = [f"{said.cseq} CANCEL"]
        cancel = Request("CANCEL", said.request.uri, headers)
        self.endpoint.transactions.send_cancel(said.transaction, cancel, self.endpoint.now(), None)
        self._turn(settles)

    def acknowledge(self, said: Said, *, settles: bool = True) -> None:
        """Send the ACK of an INVITE's 2xx."""
        assert self.leg is not None
        assert self.leg.dialog is not None
        ack = self.leg.dialog.request("ACK", said.answer, cseq=said.cseq)
        if said.answer:
            ack.headers["content-type"] = ["application/sdp"]
        said.ack = self.endpoint.transactions.send_stateless(ack, said.flow)
        self._turn(settles)

    # Being asked

    def reply(
        self,
        heard: Heard,
        status: int = 200,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        settles: bool = True,
    ) -> None:
        """Answer a request; a session is described where one is due, and `body` is None."""
        assert self.leg is not None
        assert self.leg.dialog is not None
        request = heard.request
        is_offering = request.method in ("INVITE", "UPDATE")
        is_described = 200 <= status < 300 and is_offering and (request.method == "INVITE" or bool(request.body))
        if body is None:
            described = self.usual_session if self.describes is None else self.describes
            body = described if is_described else b""
        response = Response.to(request, status, body=body)
        if is_offering and status < 300:
            response.headers["contact"] = [self.leg.dialog.contact]
        for name, value in ((SDP if body.startswith(b"v=0") else {}) | dict(headers or {})).items():
            response.headers[name] = [value]
        self.endpoint.transactions.send_response(heard.transaction, response, self.endpoint.now())
        if request.method == "INVITE" and 200 <= status < 300:
            heard.wait(self.endpoint.timing.t1)
        self._turn(settles)

    def take_leave(self) -> None:
        """The dialog ends: whoever waits for an answer to an INVITE gets it (§15.1.2)."""
        self.is_over = True
        for heard in self.heard:
            if heard.request.method == "INVITE" and not heard.transaction.is_answered:
                self.reply(heard, 487, settles=False)

    def _turn(self, settles: bool) -> None:
        self.endpoint.end_of_turn()
        if settles:
            self.wire.settle()

    # Events

    def talk(self, event: SIPEvent) -> bool:
        """Take an event of the transaction layer; returns whether it was of a request within the dialog."""
        if isinstance(event, RequestReceived):
            return self._heard(event)
        if isinstance(event, AckReceived):
            return self._acknowledged(event.request)
        if isinstance(event, CancelReceived):
            heard = event.transaction.user
            if isinstance(heard, Heard):
                heard.is_cancelled = True
                self.reply(heard, 487, settles=False)
            return isinstance(heard, Heard)
        said = event.transaction.user
        if not isinstance(said, Said):
            return False
        if isinstance(event, ResponseReceived):
            self._answered(said, event.response)
        elif isinstance(event, TransactionTimedOut):
            said.is_timed_out = True
        return True

    def _heard(self, event: RequestReceived) -> bool:
        request = event.request
        if (
            not request.to_tag
            or request.method in ("BYE", "OPTIONS", "PRACK")
            or self.leg is None
            or self.leg.dialog is None
        ):
            return False
        heard = Heard(self, event.transaction, request)
        event.transaction.user = heard
        self.heard.append(heard)
        if self.is_over:
            self.reply(heard, 481, settles=False)
        elif not self.leg.dialog.accepts(request):
            self.out_of_order.append(request)
            self.reply(heard, 500, settles=False)
        elif self.is_strict and request.method == "INVITE" and any(self._is_under_way(said) for said in self.said):
            self.reply(heard, 491, settles=False)
        elif status := self.statuses.get(request.method, 200):
            self.reply(heard, status, settles=False)
        return True

    @staticmethod
    def _is_under_way(said: Said) -> bool:
        return said.request.method == "INVITE" and not said.status and not said.is_timed_out

    def _acknowledged(self, request: Request) -> bool:
        for heard in self.heard:
            if heard.request.method == "INVITE" and heard.request.cseq == request.cseq:
                heard.acks.append(request)
                return True
        return False

    def _answered(self, said: Said, response: Response) -> None:
        said.responses.append(response)
        if said.request.method != "INVITE" or not 200 <= response.status < 300:
            return
        if said.ack:
            self.endpoint.transactions.send_again(said.ack, said.flow)
        elif said.acknowledges:
            self.acknowledge(said, settles=False)


# The judge


class Judge:
    """Reads what went over a wire, and finds what one party, the switch, may not do.

    Args:
        wire: With all that was carried, lost messages too.
        host: The party's address.
    """

    def __init__(self, wire: "Wire", host: str) -> None:
        self._host = host
        self._carried = wire.carried
        self.faults: list[str] = []

    def find_faults(self) -> list[str]:
        """Everything that is wrong."""
        self._judge_answers()
        self._judge_acks()
        self._judge_numbers()
        self._judge_cancels()
        self._judge_overlaps()
        return self.faults

    def _judge_answers(self) -> None:
        """Each INVITE that came gets one final answer, and no request gets two."""
        finals: dict[tuple[str, str, str], set[int]] = defaultdict(set)
        for carried in self._by_us():
            message = carried.message
            if isinstance(message, Response) and message.status >= 200:
                finals[carried.target, message.via.branch, message.method].add(message.status)
        for key, statuses in finals.items():
            if len(statuses) > 1:
                self.faults.append(f"{key[2]} of {key[0]} has answers {sorted(statuses)}")
        for carried in self._to_us():
            message = carried.message
            if not isinstance(message, Request) or message.method != "INVITE":
                continue
            if (carried.source, message.via.branch, "INVITE") not in finals:
                self.faults.append(f"INVITE {message.cseq} of {carried.source} has no answer")

    def _judge_acks(self) -> None:
        """Each final answer to an INVITE of ours that came is acknowledged."""
        acks = {
            (carried.target, message.call_id, message.cseq)
            for carried in self._by_us()
            if isinstance(message := carried.message, Request) and message.method == "ACK"
        }
        for carried in self._to_us():
            message = carried.message
            if not isinstance(message, Response) or message.method != "INVITE" or message.status < 200:
                continue
            if (carried.source, message.call_id, message.cseq) not in acks:
                self.faults.append(f"{message.status} of INVITE {message.cseq} of {carried.source} has no ACK")

    def _judge_numbers(self) -> None:
        """New requests of a dialog have higher numbers than those before (§12.2.1.1)."""
        highest: dict[tuple[str, str], int] = {}
        seen: set[tuple[str, str]] = set()
        for carried in self._by_us():
            message = carried.message
            if not isinstance(message, Request) or message.method in ("ACK", "CANCEL", "OPTIONS"):
                continue
            branch, dialog = (carried.target, message.via.branch), (carried.target, message.call_id)
            if branch not in seen and message.cseq <= highest.get(dialog, 0):
                self.faults.append(f"{message.method} to {carried.target} has number {message.cseq} again")
            seen.add(branch)
            highest[dialog] = max(highest.get(dialog, 0), message.cseq)

    def _judge_cancels(self) -> None:
        """CANCEL is sent once a provisional answer has come (§9.1)."""
        proceeding: set[str] = set()
        for carried, message in self._as_we_saw_it():
            if carried.source != self._host:
                if isinstance(message, Response) and message.status < 200:
                    proceeding.add(message.via.branch)
            elif isinstance(message, Request) and message.method == "CANCEL" and message.via.branch not in proceeding:
                self.faults.append(f"CANCEL {message.cseq} to {carried.target} before anything was answered")

    def _judge_overlaps(self) -> None:
        """An INVITE is not sent while another of the dialog is under way, in either direction (§14.1)."""
        under_way: dict[tuple[str, str], set[str]] = defaultdict(set)
        seen: set[str] = set()
        for carried, message in self._as_we_saw_it():
            if message.method != "INVITE":
                continue
            is_ours = carried.source == self._host
            peer = carried.target if is_ours else carried.source
            dialog, branch = under_way[peer, message.call_id], message.via.branch
            if isinstance(message, Response):
                if message.status >= 200:
                    dialog.discard(branch)
            elif branch not in seen:
                seen.add(branch)
                if is_ours and dialog:
                    self.faults.append(f"INVITE {message.cseq} to {peer} while another was under way")
                dialog.add(branch)

    def _as_we_saw_it(self) -> list[tuple["Carried", Request | Response]]:
        """What was sent, and what came, in the order in which the party knew of it."""
        sent = [(index + 0.5, each) for index, each in enumerate(self._carried) if each.source == self._host]
        came = [(each.arrived, each) for each in self._to_us()]
        return [(each, each.message) for _, each in sorted([*sent, *came], key=lambda pair: pair[0])]

    def _by_us(self) -> Sequence["Carried"]:
        return [carried for carried in self._carried if carried.source == self._host]

    def _to_us(self) -> Sequence["Carried"]:
        return [carried for carried in self._carried if carried.target == self._host and not carried.is_lost]
