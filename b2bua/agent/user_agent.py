"""A user agent that calls, or that answers calls, and keeps a trace of its messages."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from b2bua.call.callee_leg import CalleeLeg
from b2bua.call.caller_leg import CallerLeg
from b2bua.call.exchange import METHODS, OFFERING
from b2bua.call.leg import NO_HEADERS, NOTHING, SDP, Leg
from b2bua.sip.events import (
    AckReceived,
    CancelReceived,
    RequestReceived,
    ResponseReceived,
    TransactionTimedOut,
    TransportFailed,
)
from b2bua.sip.events import Event as SIPEvent
from b2bua.sip.flow import Flow, Trust
from b2bua.sip.message import Request, Response
from b2bua.sip.reason import format_reason
from b2bua.sip.transactions import ServerTransaction
from b2bua.sip.uri import join_host_port
from b2bua.transport.endpoint import Endpoint, EndpointUser, new_token
from conf.settings import SIPSettings, TLSSettings

SESSION: Final = (
    "v=0\r\no=- 1 1 IN {family} {host}\r\ns=-\r\nc=IN {family} {host}\r\nt=0 0\r\n"
    "m=audio 40000 RTP/AVP 8 0 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n"
    "a=rtpmap:101 telephone-event/8000\r\n"
)
"""A session description for an end that sends no sound."""


@dataclass(slots=True)
class TracedMessage:
    """One message as an agent saw it."""

    at: float
    """Seconds since 1970."""
    is_sent: bool
    title: str
    """`INVITE`, `180 Ringing`."""
    data: bytes


@dataclass(slots=True)
class Trace:
    """The messages of an agent, oldest first."""

    messages: list[TracedMessage] = field(default_factory=list)

    def add(self, data: bytes, *, is_sent: bool) -> None:
        """Note a message."""
        first = data.partition(b"\r\n")[0].decode("utf-8", "replace")
        title = first.partition(" ")[2] if first.startswith("SIP/2.0 ") else first.partition(" ")[0]
        self.messages.append(TracedMessage(time.time(), is_sent, title, data))


class _TracedEndpoint(Endpoint):
    """An endpoint that notes what comes and goes."""

    def __init__(self, settings: SIPSettings, user: EndpointUser, trace: Trace, tls: TLSSettings) -> None:
        super().__init__(settings, user, tls)
        self._trace = trace

    def receive(self, data: bytes, flow: Flow) -> None:
        """Note and handle one message."""
        self._trace.add(data, is_sent=False)
        super().receive(data, flow)

    def _send(self, data: bytes, flow: Flow) -> str:
        self._trace.add(data, is_sent=True)
        return super()._send(data, flow)


class UserAgent(EndpointUser):
    """What both ends have.

    Args:
        host: Address to listen on.
        port: Port; 0: any.
        transport: udp, tcp, tls, ws or wss.
    """

    tls = TLSSettings()
    """Its certificate, where the transport needs one."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0, transport: str = "udp") -> None:
        self.trace = Trace()
        self.host = host
        self._settings = SIPSettings(listen=(f"{transport}://{join_host_port(host, port)}",), user_agent="")
        self.endpoint: Endpoint
        self.leg: Leg | None = None
        self.is_answered = asyncio.Event()
        self.is_ended = asyncio.Event()
        self.status = 0
        """Of the final answer."""

    async def open(self) -> None:
        """Begin to listen.

        Raises:
            PortTaken: somebody else does.
        """
        self.endpoint = _TracedEndpoint(self._settings, self, self.trace, self.tls)
        await self.endpoint.open()
        self.endpoint.start()

    def close(self) -> None:
        """Stop listening."""
        if hasattr(self, "endpoint"):
            self.endpoint.close()

    @property
    def port(self) -> int:
        """Where it listens."""
        return self.endpoint.addresses[0].port

    @property
    def session(self) -> bytes:
        """Our session description."""
        return SESSION.format(host=self.host, family="IP6" if ":" in self.host else "IP4").encode()

    def hang_up(self) -> None:
        """End the call."""
        if self.leg is not None:
            self.leg.send_bye(16, "")
            self.endpoint.end_of_turn()
        self.is_ended.set()

    # EndpointUser

    def before_send(self) -> None:
        """Nothing is promised."""

    def handle_event(self, event: SIPEvent, now: float) -> None:
        """One event of the transaction layer."""
        if isinstance(event, ResponseReceived):
            if isinstance(event.transaction.user, CalleeLeg):
                event.transaction.user.receive_response(event.response)
        elif isinstance(event, RequestReceived):
            self._request_received(event.transaction, event.request, event.flow)
        elif isinstance(event, AckReceived):
            if isinstance(self.leg, CallerLeg):
                self.leg.receive_ack(event.request)
        elif isinstance(event, CancelReceived):
            self.cancelled()
        elif isinstance(event, TransactionTimedOut | TransportFailed) and isinstance(event.transaction.user, CalleeLeg):
            event.transaction.user.unreachable("NO_RESPONSE")

    def _request_received(self, transaction: ServerTransaction, request: Request, flow: Flow) -> None:
        if request.method == "INVITE" and not request.to_tag:
            self.invited(transaction, request, flow)
        elif request.method == "BYE" and self.leg is not None and self.leg.dialog is not None:
            self.leg.receive_bye(transaction, request)
        elif request.method == "PRACK" and isinstance(self.leg, CallerLeg):
            self.leg.receive_prack(transaction, request)
        elif request.method in METHODS and self.leg is not None and self.leg.dialog is not None:
            self.leg.receive_request(transaction, request)
        else:
            status = 200 if request.method == "OPTIONS" else 481
            response = Response.to(request, status, new_token())
            self.endpoint.transactions.send_response(transaction, response, self.endpoint.now())

    def invited(self, transaction: ServerTransaction, request: Request, flow: Flow) -> None:
        """An INVITE came; one that only calls is busy."""
        response = Response.to(request, 486, new_token())
        self.endpoint.transactions.send_response(transaction, response, self.endpoint.now())

    def cancelled(self) -> None:
        """The caller gave up."""

    # LegUser

    def caller_acknowledged(self, body: bytes) -> None:
        """The call is up."""
        self.is_answered.set()

    def caller_is_gone(self) -> None:
        """No ACK came."""
        self.is_ended.set()

    def caller_is_deaf(self) -> None:
        """No PRACK came."""
        self.is_ended.set()

    def early_dialog_begun(self, leg: Leg) -> None:
        """A PRACK may come."""

    def callee_responded(self, leg: CalleeLeg, response: Response) -> None:
        """An answer to our INVITE came."""

    def callee_unreachable(self, leg: CalleeLeg, code: str) -> None:
        """No answer came."""
        self.is_ended.set()

    def leg_hung_up(self, leg: Leg, cause: int | None) -> None:
        """The other side ended the call."""
        self.is_ended.set()

    def request_received(self, leg: Leg, transaction: ServerTransaction, request: Request) -> None:
        """A request within the dialog: agree to it, with the same session as before."""
        response = Response.to(request, 200, body=self.session if request.method in OFFERING else b"")
        assert leg.dialog is not None
        response.headers["contact"] = [leg.dialog.contact]
        if response.body:
            response.headers["content-type"] = [SDP]
        self.endpoint.transactions.send_response(transaction, response, self.endpoint.now())

    def ack_received(self, leg: Leg, request: Request) -> bool:
        """The ACK of a 2xx within the dialog is as good as any."""
        return False


class Caller(UserAgent):
    """Calls a number."""

    headers: Mapping[str, list[str]] = NO_HEADERS
    """More headers of its INVITE."""

    def call(
        self, number: str, source: str, host: str, port: int, transport: str = "udp", *, trust: Trust | None = None
    ) -> None:
        """Send the INVITE to a switch.

        Args:
            number: To call.
            source: Our number.
            host: The switch's address.
            port: Its port.
            transport: udp, tcp, tls, ws or wss.
            trust: What its certificate has to show; for WebSocket it has to be there.
        """
        flow = self.endpoint.flow_to(transport, host, port, trust=trust)
        assert flow is not None
        leg = self.leg = CalleeLeg(self.endpoint, flow, self, "")
        to = f"sip:{number}@{join_host_port(host, port)}"
        here = join_host_port(self.host, self.port)
        leg.send_invite(to, f"<sip:{source}@{here}>", f"<{to}>", 70, self.session, self.headers)
        self.endpoint.end_of_turn()

    def cancel(self) -> None:
        """Give up."""
        assert isinstance(self.leg, CalleeLeg)
        self.leg.abandon()
        self.endpoint.end_of_turn()

    def callee_responded(self, leg: CalleeLeg, response: Response) -> None:
        """Acknowledge a 2xx."""
        if response.status < 200:
            return
        self.status = response.status
        if response.status < 300:
            leg.send_ack(b"")
            self.is_answered.set()
        else:
            self.is_ended.set()


class Answerer(UserAgent):
    """Answers calls: rings, then answers, or refuses with a status.

    Args:
        host: Address to listen on.
        port: Port; 0: any.
        transport: udp or tcp.
        refuse: Status to refuse with; 0: answer.
        cause: Q.850 cause of the refusal; 0: none.
        rings: Whether to send 180.
        answers: Whether to go on to an answer or refusal; otherwise it rings until it is cancelled.
        headers: More headers of the refusal, as the contacts of a redirection.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        transport: str = "udp",
        *,
        refuse: int = 0,
        cause: int = 0,
        rings: bool = True,
        answers: bool = True,
        headers: Mapping[str, str] = NOTHING,
    ) -> None:
        super().__init__(host, port, transport)
        self._refuse = refuse
        self._cause = cause
        self._rings = rings
        self._answers = answers
        self._headers = headers
        self.invites: list[Request] = []
        """Every INVITE that came."""

    def invited(self, transaction: ServerTransaction, request: Request, flow: Flow) -> None:
        """Ring, then answer or refuse."""
        self.invites.append(request)
        leg = CallerLeg(self.endpoint, transaction, request, flow, self, "")
        self.leg = leg
        if self._rings:
            leg.send_provisional(180, b"")
        if not self._answers:
            return
        if self._refuse:
            extra = {"reason": format_reason(self._cause)} if self._cause else {}
            leg.send_failure(self._refuse, self._cause or 31, "", {**self._headers, **extra})
        else:
            leg.answer(self.session)

    def cancelled(self) -> None:
        """Answer the INVITE with 487."""
        if isinstance(self.leg, CallerLeg):
            self.leg.send_failure(487, 16, "", {})
        self.is_ended.set()
