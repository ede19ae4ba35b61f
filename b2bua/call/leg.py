"""The two legs of a call: each a user agent of its own, with its own Call-ID, tags, CSeq, Contact and Via.

Nothing of one leg's network is known to the other: bodies and causes pass through the controller, headers do not.
"""

from collections.abc import Callable, Mapping
from enum import IntEnum
from ipaddress import ip_address
from types import MappingProxyType
from typing import Final, Protocol

from b2bua.call.client_request import ProvedRequest, repeated
from b2bua.call.reliable_ringing import RingingReceiver, RingingSender, is_reliable, read_rseq
from b2bua.call.session_timer import lengthen
from b2bua.sip.address import split_address
from b2bua.sip.dialog import Dialog
from b2bua.sip.digest_client import PROOFS, DigestClient, Tries
from b2bua.sip.errors import ParseError
from b2bua.sip.flow import DEFAULT_PORT, SECURE, WEBSOCKETS, Flow
from b2bua.sip.headers import Headers
from b2bua.sip.message import Request, Response
from b2bua.sip.reason import format_reason, q850_cause
from b2bua.sip.timers import Timer
from b2bua.sip.transactions import ClientTransaction, ServerTransaction
from b2bua.sip.uri import URI
from b2bua.transport.endpoint import Endpoint, TimerOwner, new_token

ALLOW: Final = "INVITE, ACK, BYE, CANCEL, OPTIONS, PRACK, UPDATE, INFO, MESSAGE, REFER, SUBSCRIBE, NOTIFY"
SDP: Final = "application/sdp"

_FORKS_LIMIT: Final = 20
"""Dialogs of one INVITE that are ended; those beyond are the peer's to give up."""

NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
NO_HEADERS: Final[Mapping[str, list[str]]] = MappingProxyType({})


class LegTimer(IntEnum):
    """What a leg waits for."""

    REPEAT_ANSWER = 0
    """The ACK of our 2xx (RFC 3261 §13.3.1.4)."""


class LegUser(Protocol):
    """The call that a leg belongs to."""

    def caller_acknowledged(self, body: bytes) -> None:
        """The ACK of our 2xx came."""

    def caller_is_gone(self) -> None:
        """The ACK of our 2xx never came."""

    def caller_is_deaf(self) -> None:
        """A provisional answer that was sent reliably never got its PRACK."""

    def early_dialog_begun(self, leg: "Leg") -> None:
        """The peer may send requests before the call is answered."""

    def callee_responded(self, leg: "CalleeLeg", response: Response) -> None:
        """An answer to our INVITE came."""

    def callee_unreachable(self, leg: "CalleeLeg", code: str) -> None:
        """No answer will come."""

    def leg_hung_up(self, leg: "Leg", cause: int | None) -> None:
        """A BYE came."""

    def request_received(self, leg: "Leg", transaction: ServerTransaction, request: Request) -> None:
        """Another request came within the dialog, in order."""

    def ack_received(self, leg: "Leg", request: Request) -> bool:
        """An ACK came; returns whether it was that of an INVITE within the dialog."""


class Nobody:
    """Stands in for the call of a leg that has outlived it, so that neither keeps the other in memory."""

    def caller_acknowledged(self, body: bytes) -> None:
        """Ignore it."""

    def caller_is_gone(self) -> None:
        """Ignore it."""

    def caller_is_deaf(self) -> None:
        """Ignore it."""

    def early_dialog_begun(self, leg: "Leg") -> None:
        """Ignore it."""

    def callee_responded(self, leg: "CalleeLeg", response: Response) -> None:
        """Ignore it."""

    def callee_unreachable(self, leg: "CalleeLeg", code: str) -> None:
        """Ignore it."""

    def leg_hung_up(self, leg: "Leg", cause: int | None) -> None:
        """Ignore it."""

    def request_received(self, leg: "Leg", transaction: ServerTransaction, request: Request) -> None:
        """Ignore it: the dialog has ended."""
        leg.answer_request(transaction, request, 481)

    def ack_received(self, leg: "Leg", request: Request) -> bool:
        """Ignore it."""
        return False


NOBODY: Final = Nobody()


def contact_of(endpoint: Endpoint, flow: Flow, *, is_secure: bool = False) -> str:
    """Our Contact as a flow's peer should see it.

    Args:
        endpoint: Where we listen.
        flow: The way to the peer.
        is_secure: Whether it has called a `sips:` URI and so wants nothing else (RFC 3261 §12.1.1).
    """
    here = endpoint.sent_by(flow)
    if is_secure and flow.transport in SECURE:
        return f"<sips:{here}{'' if flow.transport == 'tls' else flow.parameter}>"
    return f"<sip:{here}{flow.parameter}>"


def next_hop(endpoint: Endpoint, flow: Flow, request: Request) -> Flow:
    """Where a request in a dialog goes: its first Route, else its Request-URI (RFC 3261 §12.2.1.1, §8.1.2).

    The way of the messages before is kept where it leads there anyway, where its connection is open or is a WebSocket,
    which nobody else can make, where the peer is behind NAT, and where the target is a private address that its network
    hides from us, or a name, which would have to be looked up. Another way demands the same of the peer's certificate.
    """
    route = request.headers.first("route")
    target = route or request.uri
    if flow.is_behind_nat and not route:
        return flow
    if flow.transport in WEBSOCKETS or _leads_along(flow, target) or endpoint.is_open(flow):
        return flow
    try:
        uri = URI.parse(split_address(route)[1] if route else target)
        address, source = ip_address(uri.host), ip_address(flow.host)
    except (ParseError, ValueError):
        return flow
    if address.is_private and not source.is_private:
        return flow
    transport = (uri.parameters.get("transport") or flow.transport).lower()
    if uri.scheme == "sips" and transport not in SECURE:
        transport = "tls"
    port = uri.port or DEFAULT_PORT.get(transport, 5060)
    prefers_tcp = flow.large is not None
    return endpoint.flow_to(transport, uri.host, port, trust=flow.trust, prefers_tcp=prefers_tcp) or flow


def _leads_along(flow: Flow, target: str) -> bool:
    """Whether a URI names a flow's address and port, and no other transport."""
    before, address, after = target.partition(flow.address)
    if not address or before[-1:] not in ("@", ":") or after[:1].isdigit():
        return False
    return "transport=" not in after or f"transport={flow.transport}" in after.lower()


class Leg:
    """What both legs have: a dialog that either side may end."""

    __slots__ = ("dialog", "endpoint", "flow", "proof", "user", "user_agent")

    def __init__(self, endpoint: Endpoint, flow: Flow, user: LegUser, user_agent: str) -> None:
        self.endpoint = endpoint
        self.flow = flow
        self.user = user
        self.user_agent = user_agent
        """Our Server or User-Agent header; empty: none."""
        self.dialog: Dialog | None = None
        self.proof: DigestClient | None = None
        """Answers the peer's challenges; None: we can prove nothing to it."""

    @property
    def key(self) -> tuple[str, str]:
        """Call-ID and our tag, by which requests of the peer find this leg."""
        assert self.dialog is not None
        return self.dialog.call_id, self.dialog.local_tag

    def send_bye(self, cause: int, text: str) -> None:
        """End the dialog; the answer, or its absence, changes nothing any more."""
        if self.dialog is None:
            return
        bye = self.dialog.request("BYE")
        bye.headers["reason"] = [format_reason(cause, text)]
        self._send_last(self.dialog, bye)

    def _send_last(self, dialog: Dialog, bye: Request) -> None:
        flow = next_hop(self.endpoint, dialog.flow, bye)
        if self.proof is not None:
            ProvedRequest(self.endpoint, dialog, flow, self.proof, bye).send()
        else:
            self.endpoint.transactions.send_request(bye, flow, self.endpoint.now(), None)

    def answer_request(
        self, transaction: ServerTransaction, request: Request, status: int, extra: Mapping[str, str] = NOTHING
    ) -> None:
        """Answer a request within the dialog ourselves."""
        response = Response.to(request, status)
        if self.user_agent:
            response.headers["server"] = [self.user_agent]
        for name, value in extra.items():
            response.headers[name] = [value]
        self.endpoint.transactions.send_response(transaction, response, self.endpoint.now())

    def receive_request(self, transaction: ServerTransaction, request: Request) -> None:
        """A request other than BYE came within the dialog."""
        assert self.dialog is not None
        if not self.dialog.accepts(request):
            self.answer_request(transaction, request, 500)  # §12.2.2: out of order
        else:
            self.user.request_received(self, transaction, request)

    def receive_ack(self, request: Request) -> None:
        """An ACK came."""
        self.user.ack_received(self, request)

    def send_cancel_of(self, invite: ClientTransaction) -> None:
        """Take back an INVITE that we sent within the dialog (§9.1)."""
        request = invite.request
        if request is None:
            return
        headers = Headers()
        headers["max-forwards"] = ["70"]
        for name in ("from", "to", "call-id", "route"):
            if name in request.headers:
                headers[name] = request.headers[name]
        headers["cseq"] = [f"{request.headers['cseq'][0].partition(' ')[0]} CANCEL"]
        cancel = Request("CANCEL", request.uri, headers)
        self.endpoint.transactions.send_cancel(invite, cancel, self.endpoint.now(), None)

    @property
    def is_lingering(self) -> bool:
        """Whether it has something to say after its call."""
        return False

    def receive_bye(self, transaction: ServerTransaction, request: Request) -> bool:
        """The peer ends the dialog; returns whether it may."""
        assert self.dialog is not None
        now = self.endpoint.now()
        status = 200 if self.dialog.accepts(request) else 500  # §12.2.2: out of order
        self.endpoint.transactions.send_response(transaction, Response.to(request, status), now)
        if status == 200:
            self.user.leg_hung_up(self, q850_cause(request.headers))
        return status == 200


def _keep(_: Leg) -> None:
    """A leg whose call goes on is not forgotten."""


class CallerLeg(Leg, TimerOwner):
    """The leg that called us: we are its user agent server."""

    __slots__ = (
        "_farewell",
        "_forget",
        "_held",
        "_interval",
        "_ringing",
        "_timer",
        "_waited",
        "request",
        "ringing_mode",
        "to_tag",
        "transaction",
    )

    def __init__(
        self,
        endpoint: Endpoint,
        transaction: ServerTransaction,
        request: Request,
        flow: Flow,
        user: LegUser,
        user_agent: str,
    ) -> None:
        super().__init__(endpoint, flow, user, user_agent)
        self.transaction = transaction
        self.request: Request | None = request
        self.to_tag = new_token()
        self._timer: Timer[TimerOwner] | None = None
        self._interval = 0.0
        self._waited = 0.0
        self.ringing_mode = "supported"
        """100rel of the gateway that called: `off`, `supported` or `required`."""
        self._ringing: RingingSender | None = None
        self._held: tuple[Request, Response] | None = None
        """The 2xx, while a session description before it has no PRACK (RFC 3262 §3)."""
        self._farewell: tuple[int, str] | None = None
        """The BYE that waits for the ACK."""
        self._forget: Callable[[Leg], None] = _keep

    def new_attempt(self) -> None:
        """In bypass mode each attempt is an early dialog of its own (docs/behaviour.md §4)."""
        self.to_tag = new_token()
        self.dialog = None

    def send_provisional(self, status: int, body: bytes) -> None:
        """Pass on how the call proceeds."""
        request = self.request
        if request is None or self.transaction.is_answered:
            return
        if self.dialog is None:
            self.make_dialog()  # §12.1: a To tag makes one, and the caller may end it (§15)
            self.user.early_dialog_begun(self)
        response = self._response(request, status, body)
        response.headers["contact"] = [contact_of(self.endpoint, self.flow)]
        if is_reliable(request, self.ringing_mode, has_session=bool(body)):
            self._send_reliably(request, response)
        else:
            self.endpoint.transactions.send_response(self.transaction, response, self.endpoint.now())

    def _send_reliably(self, request: Request, response: Response) -> None:
        if self._ringing is None:
            first = int(new_token()[:7], 16) + 1
            self._ringing = RingingSender(self.endpoint, self.transaction, request.cseq, first, self)
        if "record-route" in request.headers:
            response.headers["record-route"] = request.headers["record-route"]
        response.headers["allow"] = [ALLOW]
        self._ringing.send(response)

    def receive_prack(self, transaction: ServerTransaction, request: Request) -> None:
        """A PRACK came: of what has been sent reliably, or of nothing (RFC 3262 §3)."""
        ringing = self._ringing
        if self.dialog is not None:
            self.dialog.accepts(request)
        status = ringing.acknowledge(request) if ringing is not None else 481
        self.answer_request(transaction, request, status)
        if ringing is not None and status != 481:
            if self._held is not None:
                self._send_answer(*self._held)
            else:
                ringing.go_on()

    def ringing_unacknowledged(self) -> None:
        """No PRACK came: the INVITE is refused (RFC 3262 §3)."""
        if self._held is not None:
            self.user.caller_is_gone()
        else:
            self.user.caller_is_deaf()

    @property
    def is_offering(self) -> bool:
        """Whether a session description that rings has not been acknowledged yet."""
        return self._ringing is not None and self._ringing.holds_session

    @property
    def is_held(self) -> bool:
        """Whether the 2xx still waits for a PRACK."""
        return self._held is not None

    def refuse_held(self, status: int, cause: int, text: str = "") -> None:
        """The call has ended before its 2xx could be sent."""
        if self._held is not None:
            self.request, self._held = self._held[0], None
            self.send_failure(status, cause, text, {})

    def send_bye(self, cause: int, text: str) -> None:
        """End the dialog, or refuse the INVITE whose 2xx has not been sent yet.

        A peer that has not acknowledged the 2xx may not have it yet: the BYE waits for the ACK, or its absence (§15).
        """
        if self._held is not None:
            self.refuse_held(480, cause, text)
        elif self._timer is not None:
            self._farewell = cause, text
        elif self.request is None:  # §15: an early dialog is ended by the answer to its INVITE, not by our BYE
            super().send_bye(cause, text)

    def receive_bye(self, transaction: ServerTransaction, request: Request) -> bool:
        """The peer ends the dialog, so that we need not."""
        is_over = super().receive_bye(transaction, request)
        if is_over and self._farewell is not None:
            self._farewell = None
            self.stop()
            self._forget(self)
        return is_over

    @property
    def is_lingering(self) -> bool:
        """Whether a BYE waits for the ACK."""
        return self._farewell is not None

    def outlive_call(self, forget: Callable[[Leg], None]) -> None:
        """The call is over; a leg that lingers calls `forget` once it has no more to say."""
        self.user = NOBODY
        self.transaction.user = None
        if self.is_lingering:
            self._forget = forget
        else:
            self.stop()

    def leave(self) -> None:
        """Send the BYE that waits, if there is one."""
        if self._farewell is not None:
            farewell, self._farewell = self._farewell, None
            self.stop()
            self.send_bye(*farewell)
            self._forget(self)

    def send_failure(self, status: int, cause: int, text: str, extra: dict[str, str]) -> None:
        """Give the final answer."""
        if self.request is None or self.transaction.is_answered:
            return
        response = self._response(self.request, status, b"")
        response.headers["reason"] = [format_reason(cause, text)]
        for name, value in extra.items():
            response.headers[name] = [value]
        if self._ringing is not None:
            self._ringing.end()
        self.endpoint.transactions.send_response(self.transaction, response, self.endpoint.now())
        self.request = None

    def answer(self, body: bytes, extra: Mapping[str, str] = NOTHING) -> Dialog:
        """Send the 2xx, repeated until its ACK comes, and return the dialog that it makes."""
        request = self.request
        assert request is not None
        dialog = self.make_dialog()
        response = self._response(request, 200, body)
        if "record-route" in request.headers:
            response.headers["record-route"] = request.headers["record-route"]
        response.headers["contact"] = [dialog.contact]
        response.headers["allow"] = [ALLOW]
        response.headers["supported"] = ["replaces"]
        for name, value in extra.items():
            response.headers[name] = [value]
        self.request = None
        if self._ringing is not None and self._ringing.holds_session:
            self._held = request, response
        else:
            self._send_answer(request, response)
        return dialog

    def _send_answer(self, _: Request, response: Response) -> None:
        self._held = None
        if self._ringing is not None:
            self._ringing.end()
        self.endpoint.transactions.send_response(self.transaction, response, self.endpoint.now())
        self._interval = self.endpoint.timing.t1
        self._timer = self.endpoint.add_timer(self._interval, self, LegTimer.REPEAT_ANSWER)

    def make_dialog(self) -> Dialog:
        """The dialog of this leg, made when it is first needed."""
        if self.dialog is None:
            assert self.request is not None
            contact = contact_of(self.endpoint, self.flow)
            self.dialog = Dialog.as_uas(self.request, self.to_tag, contact, self.flow)
        return self.dialog

    def receive_ack(self, request: Request) -> None:
        """The ACK of our 2xx; a repeated one changes nothing."""
        if self.user.ack_received(self, request):
            return
        if self._timer is not None:
            self.stop()
            self.transaction.sent = b""
            self.user.caller_acknowledged(request.body)
            self.leave()

    @property
    def is_unacknowledged(self) -> bool:
        """Whether our 2xx has no ACK yet."""
        return self._timer is not None or self._held is not None

    def stop(self) -> None:
        """Repeat no answer any more."""
        if self._ringing is not None:
            self._ringing.end()
        if self._timer is not None:
            self.endpoint.wheel.cancel(self._timer)
            self._timer = None

    def on_timer(self, kind: int, now: float) -> None:
        """No ACK yet: send the 2xx again, after twice as long each time, for 64 × T1 in all."""
        self._timer = None
        self._waited += self._interval
        if self._waited >= self.endpoint.timing.transaction:
            self.user.caller_is_gone()
            self.leave()
            return
        self.endpoint.transactions.repeat_response(self.transaction)
        timing = self.endpoint.timing
        self._interval = min(self._interval * 2, timing.t2, timing.transaction - self._waited)
        self._timer = self.endpoint.add_timer(self._interval, self, LegTimer.REPEAT_ANSWER)

    def _response(self, request: Request, status: int, body: bytes) -> Response:
        response = Response.to(request, status, self.to_tag, body)
        if self.user_agent:
            response.headers["server"] = [self.user_agent]
        if body:
            response.headers["content-type"] = [SDP]
        return response


class CalleeLeg(Leg):
    """The leg that we call: we are its user agent client."""

    __slots__ = (
        "_ack",
        "_ack_flow",
        "_forks",
        "_invite",
        "_invite_cseq",
        "_invite_proofs",
        "_is_cancelled",
        "_ringing",
        "_tries",
        "gateway_id",
        "is_abandoned",
        "is_answered",
        "transaction",
    )

    def __init__(self, endpoint: Endpoint, flow: Flow, user: LegUser, user_agent: str) -> None:
        super().__init__(endpoint, flow, user, user_agent)
        self.transaction: ClientTransaction | None = None
        self.gateway_id = 0
        """The gateway that is called; 0: none."""
        self._ack = b""
        self._ack_flow = flow
        self._forks: dict[str, tuple[bytes, Flow]] = {}
        """The ACK of each dialog that was ended, by the peer's tag."""
        self._invite: Request | None = None
        """What is sent again with proof, or for a longer session, while it may be."""
        self._invite_cseq = 0
        self._invite_proofs: dict[str, list[str]] = {}
        self._tries: Tries | None = None
        self._ringing: RingingReceiver | None = None
        """Acknowledges provisional answers that want it."""
        self._is_cancelled = False
        self.is_abandoned = False
        """Whether nobody wants the answer any more."""
        self.is_answered = False

    def send_invite(
        self,
        uri: str,
        caller: str,
        callee: str,
        max_forwards: int,
        body: bytes,
        extra: Mapping[str, list[str]] = NO_HEADERS,
    ) -> Dialog:
        """Call.

        Args:
            uri: Request-URI.
            caller: From value, without a tag.
            callee: To value.
            max_forwards: Hops that are left.
            body: Session description, or empty.
            extra: Further headers, which come before ours of the same name.
        """
        call_id = f"{new_token()}{new_token()}"
        dialog = self.dialog = Dialog(call_id, caller, new_token(), contact_of(self.endpoint, self.flow), self.flow)
        dialog.remote = callee
        dialog.remote_target = uri
        dialog.local_cseq = self._invite_cseq = 1
        headers = Headers()
        headers["max-forwards"] = [str(max_forwards)]
        headers["from"] = [dialog.local_value]
        headers["to"] = [callee]
        headers["call-id"] = [call_id]
        headers["cseq"] = ["1 INVITE"]
        headers["contact"] = [dialog.contact]
        headers["allow"] = [ALLOW]
        if self.user_agent:
            headers["user-agent"] = [self.user_agent]
        if body:
            headers["content-type"] = [SDP]
        for name, values in extra.items():
            headers[name] = list(values)
        self._send_invite(Request("INVITE", uri, headers, body))
        return dialog

    def _send_invite(self, invite: Request) -> None:
        if "session-expires" in invite.headers:
            self._invite = invite
        if self.proof is not None:
            self.proof.prove(invite)
            self._invite = invite
            self._invite_proofs = {name: invite.headers[name] for name in PROOFS if name in invite.headers}
        self.transaction = self.endpoint.transactions.send_request(invite, self.flow, self.endpoint.now(), self)

    def _is_sent_again(self, response: Response) -> bool:
        """Whether the peer only wants to know who we are, or a longer session (RFC 3261 §22.2, RFC 4028 §7.3)."""
        invite, dialog = self._invite, self.dialog
        if invite is None or dialog is None or not (self._is_proved(response) or lengthen(invite, response)):
            return False
        dialog.local_cseq += 1
        self._invite_cseq = dialog.local_cseq
        self._send_invite(repeated(invite, self._invite_cseq))
        return True

    def _is_proved(self, response: Response) -> bool:
        if self.proof is None:
            return False
        if self._tries is None:
            self._tries = Tries()
        return self.proof.take(response, self._tries)

    def receive_response(self, response: Response) -> None:
        """An answer to our INVITE, provisional or final."""
        status = response.status
        if self.is_answered:
            if 200 <= status < 300:
                self._repeated_answer(response)
        elif self.is_abandoned:
            self._answered_in_vain(response)
        elif status < 200:
            if "rseq" not in response.headers or self._is_news(response):
                self.user.callee_responded(self, response)
        elif not self._is_sent_again(response):
            self._invite = None
            if status < 300:
                self.is_answered = True
                assert self.dialog is not None
                self.dialog.become_uac(response)
            self.user.callee_responded(self, response)

    def _is_news(self, response: Response) -> bool:
        """Acknowledge a provisional answer that wants it (RFC 3262 §4); returns whether it has not come before."""
        assert self.dialog is not None
        if self._ringing is None:
            self._ringing = RingingReceiver(self.endpoint, self.dialog, next_hop)
        if not self._ringing.receive(response, self._invite_cseq, self.proof):
            return False
        if read_rseq(response):
            self.dialog.become_uac(response)
            self.user.early_dialog_begun(self)
        return True

    def _repeated_answer(self, response: Response) -> None:
        assert self.dialog is not None
        if response.to_tag == self.dialog.remote_tag:
            if self._ack:
                self.endpoint.transactions.send_again(self._ack, self._ack_flow)
        else:
            self._end_fork(response)

    def _answered_in_vain(self, response: Response) -> None:
        if response.status < 200:
            self._send_cancel()
        elif response.status < 300:
            self._end_fork(response)

    def _end_fork(self, response: Response) -> None:
        """Acknowledge and end a dialog that nobody wants: a second answer, or one that came too late (§13.2.2.4)."""
        assert self.dialog is not None
        known = self._forks.get(response.to_tag)
        if known is not None:
            self.endpoint.transactions.send_again(*known)
            return
        if len(self._forks) >= _FORKS_LIMIT:
            return
        fork = Dialog(
            self.dialog.call_id, self.dialog.local, self.dialog.local_tag, self.dialog.contact, self.dialog.flow
        )
        fork.remote_target = self.dialog.remote_target
        fork.local_cseq = self._invite_cseq
        fork.become_uac(response)
        ack = self._make_ack(fork, b"")
        flow = next_hop(self.endpoint, fork.flow, ack)
        self._forks[response.to_tag] = self.endpoint.transactions.send_stateless(ack, flow), flow
        bye = fork.request("BYE")
        bye.headers["reason"] = [format_reason(16)]
        self._send_last(fork, bye)

    def _make_ack(self, dialog: Dialog, body: bytes) -> Request:
        ack = dialog.request("ACK", body, cseq=self._invite_cseq)
        ack.headers.update(self._invite_proofs)  # §22.1: nobody may ask for proof of an ACK
        if body:
            ack.headers["content-type"] = [SDP]
        return ack

    def send_ack(self, body: bytes) -> None:
        """Acknowledge the 2xx."""
        assert self.dialog is not None
        ack = self._make_ack(self.dialog, body)
        self._ack_flow = next_hop(self.endpoint, self.dialog.flow, ack)
        self._ack = self.endpoint.transactions.send_stateless(ack, self._ack_flow)

    def send_bye(self, cause: int, text: str) -> None:
        """End the dialog; its 2xx is acknowledged before (§13.2.2.4)."""
        self._acknowledge_at_last()
        super().send_bye(cause, text)

    def receive_bye(self, transaction: ServerTransaction, request: Request) -> bool:
        """The peer ends the dialog, whose 2xx may wait for the session description of the caller's ACK."""
        is_over = super().receive_bye(transaction, request)
        if is_over:
            self._acknowledge_at_last()
        return is_over

    def _acknowledge_at_last(self) -> None:
        if self.is_answered and not self._ack:
            self.send_ack(b"")

    def refuse_answer(self, cause: int, text: str) -> None:
        """The 2xx is of no use: acknowledge it and end its dialog."""
        self.is_abandoned = True
        self.send_ack(b"")
        self.send_bye(cause, text)

    def abandon(self) -> None:
        """Give up: CANCEL, once a provisional answer has come (§9.1); what comes all the same is ended."""
        if self.is_abandoned or self.transaction is None:
            return
        self.is_abandoned = True
        if self.transaction.state == 0:
            self.endpoint.transactions.stop_repeating(self.transaction)
        else:
            self._send_cancel()

    def _send_cancel(self) -> None:
        transaction = self.transaction
        assert transaction is not None
        invite = transaction.request
        if invite is None or self._is_cancelled:
            return  # a final answer is in
        self._is_cancelled = True
        headers = Headers()
        headers["max-forwards"] = ["70"]
        for name in ("from", "to", "call-id"):
            headers[name] = invite.headers[name]
        headers["cseq"] = [f"{self._invite_cseq} CANCEL"]
        if "route" in invite.headers:
            headers["route"] = invite.headers["route"]
        cancel = Request("CANCEL", invite.uri, headers)
        self.endpoint.transactions.send_cancel(transaction, cancel, self.endpoint.now(), None)

    def unreachable(self, code: str) -> None:
        """No answer will come: the transaction timed out or its message could not be sent."""
        if not self.is_abandoned and not self.is_answered:
            self.user.callee_unreachable(self, code)
