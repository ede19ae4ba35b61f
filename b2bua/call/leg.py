"""What both legs of a call have: each is a user agent of its own, with its own Call-ID, tags, CSeq, Contact and Via.

Nothing of one leg's network is known to the other: bodies and causes pass through the controller, headers do not.
"""

from collections.abc import Mapping
from ipaddress import ip_address
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Protocol

from b2bua.call.client_request import ProvedRequest
from b2bua.policy.media_wishes import PASSED
from b2bua.sip.address import split_address
from b2bua.sip.dialog import Dialog
from b2bua.sip.digest_client import DigestClient
from b2bua.sip.errors import ParseError
from b2bua.sip.flow import DEFAULT_PORT, SECURE, WEBSOCKETS, Flow
from b2bua.sip.headers import Headers
from b2bua.sip.message import Request, Response
from b2bua.sip.reason import format_reason, q850_cause
from b2bua.sip.transactions import ClientTransaction, ServerTransaction
from b2bua.sip.uri import URI
from b2bua.transport.endpoint import Endpoint

if TYPE_CHECKING:
    from b2bua.call.callee_leg import CalleeLeg

ALLOW: Final = "INVITE, ACK, BYE, CANCEL, OPTIONS, PRACK, UPDATE, INFO, MESSAGE, REFER, SUBSCRIBE, NOTIFY"
SDP: Final = "application/sdp"
DTMF_RELAY: Final = "application/dtmf-relay"

NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
NO_HEADERS: Final[Mapping[str, list[str]]] = MappingProxyType({})


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

    __slots__ = ("dialog", "endpoint", "flow", "media", "proof", "user", "user_agent")

    def __init__(self, endpoint: Endpoint, flow: Flow, user: LegUser, user_agent: str) -> None:
        self.endpoint = endpoint
        self.flow = flow
        self.user = user
        self.user_agent = user_agent
        """Our Server or User-Agent header; empty: none."""
        self.dialog: Dialog | None = None
        self.proof: DigestClient | None = None
        """Answers the peer's challenges; None: we can prove nothing to it."""
        self.media = PASSED
        """What the peer asks of media that goes through an engine."""

    @property
    def key(self) -> tuple[str, str]:
        """Call-ID and our tag, by which requests of the peer find this leg."""
        assert self.dialog is not None
        return self.dialog.call_id, self.dialog.local_tag

    def send_digit(self, digit: str, duration_ms: int) -> None:
        """Tell the peer of a digit by INFO; its answer changes nothing."""
        if self.dialog is None:
            return
        info = self.dialog.request("INFO", f"Signal={digit}\r\nDuration={duration_ms}\r\n".encode())
        info.headers["content-type"] = [DTMF_RELAY]
        self._send_last(self.dialog, info)

    def send_bye(self, cause: int, text: str) -> None:
        """End the dialog; the answer, or its absence, changes nothing any more."""
        if self.dialog is None:
            return
        bye = self.dialog.request("BYE")
        bye.headers["reason"] = [format_reason(cause, text)]
        self._send_last(self.dialog, bye)

    def _send_last(self, dialog: Dialog, request: Request) -> None:
        """Send a request whose answer changes nothing."""
        flow = next_hop(self.endpoint, dialog.flow, request)
        if self.proof is not None:
            ProvedRequest(self.endpoint, dialog, flow, self.proof, request).send()
        else:
            self.endpoint.transactions.send_request(request, flow, self.endpoint.now(), None)

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
