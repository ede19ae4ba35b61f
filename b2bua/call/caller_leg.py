"""The leg that called us: its user agent server (RFC 3261 §13.3).

It repeats its 2xx until the ACK comes, rings reliably where that is asked for, and may outlive its call to say goodbye.
"""

from collections.abc import Callable, Mapping
from enum import IntEnum

from b2bua.call.leg import ALLOW, NOBODY, NOTHING, SDP, Leg, LegUser, contact_of
from b2bua.call.reliable_ringing import RingingSender, is_reliable
from b2bua.sip.dialog import Dialog
from b2bua.sip.flow import Flow
from b2bua.sip.message import Request, Response
from b2bua.sip.reason import format_reason
from b2bua.sip.timers import Timer
from b2bua.sip.transactions import ServerTransaction
from b2bua.transport.endpoint import Endpoint, TimerOwner, new_token


class LegTimer(IntEnum):
    """What a leg waits for."""

    REPEAT_ANSWER = 0
    """The ACK of our 2xx (RFC 3261 §13.3.1.4)."""


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
