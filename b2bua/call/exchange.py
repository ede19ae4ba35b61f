"""A request within a dialog, carried from one leg of a call to the other: re-INVITE, UPDATE, INFO, MESSAGE.

Each leg stays a user agent of its own: the request is made anew in the other dialog, its answer becomes an answer in
this one. Bodies pass, session descriptions as `Passage.describe` makes them; headers of one side's network do not
(RFC 3261 §14, RFC 3311, RFC 6086, RFC 3428). One offer is under way at a time (RFC 3264 §4, RFC 6141 §3).
"""

from collections.abc import Callable, Mapping
from enum import IntEnum
from functools import partial
from typing import Final, Protocol

from b2bua.call.client_request import repeated
from b2bua.call.leg import ALLOW, NOTHING, SDP, Leg, next_hop
from b2bua.sip.digest_client import PROOFS, Tries
from b2bua.sip.flow import Flow
from b2bua.sip.message import Request, Response
from b2bua.sip.timers import Timer
from b2bua.sip.transactions import ClientTransaction, ServerTransaction
from b2bua.transport.endpoint import TimerOwner

METHODS: Final = frozenset({"INVITE", "UPDATE", "INFO", "MESSAGE"})
"""What is carried on."""

OFFERING: Final = frozenset({"INVITE", "UPDATE"})
"""What may change the session."""

Described = Callable[[bytes | int], None]
"""Takes a session description as a peer should see it, or the status that refuses it."""

_PASSED_ON: Final = (
    "content-type",
    "content-disposition",
    "content-encoding",
    "content-language",
    "info-package",
    "recv-info",
    "subject",
)
"""Headers that belong to what is said, not to who says it."""

_OF_A_REFUSAL: Final = ("retry-after", "accept", "recv-info", "warning")
"""Headers that help whoever is refused."""

_DIALOG_IS_GONE: Final = frozenset({404, 408, 410, 416, 481, 482, 484, 485, 502, 604})
"""Answers that end the dialog of the request (RFC 5057 §5.1)."""

_LONGEST_QUESTION: Final = 180.0
"""Seconds that a user has for the answer to a changed session, from the last 18x on (Timer C, RFC 3261 §16.6)."""

_OURS_ALONE: Final = frozenset({401, 407, 420, 421, 494})
"""A peer's quarrel with us, which the other side cannot mend."""


class ExchangeTimer(IntEnum):
    """What an exchange waits for."""

    REPEAT_ANSWER = 0
    """The ACK of the 2xx that was passed on."""
    FINAL = 1
    """The other side's final answer to an INVITE that it has only said 100 to, or that is being taken back."""
    ASKED = 2
    """The other side's final answer to an INVITE that it asks its user about."""


class Passage(Protocol):
    """The call that an exchange is of."""

    def describe(self, body: bytes, towards: Leg, done: Described, *, is_offer: bool) -> None:
        """Tell how a leg's peer should see a session description: at once, or when an engine has answered."""

    def exchanged(self, exchange: "Exchange", body: bytes) -> dict[str, str]:
        """The other side has agreed, with this session; returns headers for the answer that is passed on."""

    def answered(self, body: bytes) -> None:
        """A session that was offered in an answer was agreed to."""

    def session_headers(self, leg: Leg) -> dict[str, str]:
        """Headers of a request that refreshes a leg's session."""

    def exchange_ended(self, exchange: "Exchange") -> None:
        """Nothing more will come of it."""

    def dialog_is_gone(self, leg: Leg, text: str) -> None:
        """A leg's peer knows nothing of the dialog any more, or answers no more."""


class Exchange(TimerOwner):
    """One request on its way from one leg to the other.

    Args:
        call: What it is of.
        near: The leg that it came on.
        far: The leg that it goes on.
        transaction: The request's.
        request: The request.
    """

    __slots__ = (
        "_ack",
        "_ack_flow",
        "_client",
        "_cseq",
        "_interval",
        "_is_cancel_sent",
        "_is_cancelled",
        "_is_described",
        "_is_offered",
        "_sent",
        "_timer",
        "_tries",
        "_waited",
        "call",
        "far",
        "method",
        "near",
        "request",
        "transaction",
    )

    def __init__(self, call: Passage, near: Leg, far: Leg, transaction: ServerTransaction, request: Request) -> None:
        self.call = call
        self.near = near
        self.far = far
        self.transaction = transaction
        self.request = request
        self.method = request.method
        self._client: ClientTransaction | None = None
        self._timer: Timer[TimerOwner] | None = None
        self._interval = self._waited = 0.0
        self._ack = b""
        self._ack_flow: Flow | None = None
        self._sent: Request | None = None
        """What is sent again with proof."""
        self._tries = Tries()
        self._cseq = 0
        self._is_cancelled = self._is_cancel_sent = False
        self._is_described = True
        """Whether no session description of it is with an engine."""
        self._is_offered = bool(request.body)
        transaction.user = self

    @property
    def is_offering(self) -> bool:
        """Whether the session may change by it."""
        return self.method in OFFERING

    # The request

    def begin(self) -> None:
        """Carry the request on; the call is told when nothing more will come of it."""
        far = self.far
        if self.is_offering and self.request.body and not _is_session(self.request):
            self._answer(415, extra={"accept": SDP})
            self._end()
            return
        self._describe(self.request, far, self._pass_on, is_offer=True)

    def _pass_on(self, body: bytes | int) -> None:
        far = self.far
        dialog = far.dialog
        assert dialog is not None
        if self.transaction.is_answered:
            return  # abandoned meanwhile
        if self._is_cancelled:
            body = 487
        if isinstance(body, int):
            self._answer(body)
            self._end()
            return
        request = dialog.request(self.method, body)
        self._cseq = dialog.local_cseq
        self._copy_headers(self.request, request.headers)
        if self.is_offering:
            request.headers["contact"] = [dialog.contact]
            request.headers["allow"] = [ALLOW]
            for name, value in self.call.session_headers(far).items():
                request.headers[name] = [value]
        if self.method == "INVITE":
            self._wait(far.endpoint.timing.transaction, ExchangeTimer.FINAL)
        self._send(request)

    def _send(self, request: Request) -> None:
        far = self.far
        assert far.dialog is not None
        if far.proof is not None:
            far.proof.prove(request)
            self._sent = request
        flow = next_hop(far.endpoint, far.dialog.flow, request)
        self._client = far.endpoint.transactions.send_request(request, flow, far.endpoint.now(), self)

    def _is_sent_again(self, response: Response) -> bool:
        """Whether the peer only wants to know who we are, and has been told (RFC 3261 §22.2)."""
        far = self.far
        if far.proof is None or self._sent is None or far.dialog is None or not far.proof.take(response, self._tries):
            return False
        far.dialog.local_cseq += 1
        self._cseq = far.dialog.local_cseq
        self._send(repeated(self._sent, self._cseq))
        return True

    def _describe(self, message: Request | Response, towards: Leg, then: Described, *, is_offer: bool) -> None:
        if not message.body or not _is_session(message):
            then(message.body)
            return

        def described(session: bytes | int) -> None:
            self._is_described = True
            then(session)

        self._is_described = False
        self.call.describe(message.body, towards, described, is_offer=is_offer)

    def _copy_headers(self, source: Request | Response, target: dict[str, list[str]]) -> None:
        for name in _PASSED_ON:
            if name in source.headers:
                target[name] = source.headers[name]

    # The answer

    def receive_response(self, response: Response) -> None:
        """The other side answers."""
        status = response.status
        if status < 200:
            self._proceeded(status)
            return
        if not self._is_described:
            return  # a repeated 2xx: the first one is with an engine
        if self._ack_flow is not None and 200 <= status < 300:
            self.far.endpoint.transactions.send_again(self._ack, self._ack_flow)
        elif self.transaction.is_answered:
            if 200 <= status < 300 and self.method == "INVITE" and self._interval == 0.0:
                self._acknowledge(b"")  # nobody waits for it any more
        elif 200 <= status < 300:
            self._succeeded(response)
        elif not self._is_sent_again(response):
            self._failed(status, response)

    def _proceeded(self, status: int) -> None:
        if self._is_cancelled:
            self._send_cancel()
        elif status > 100 and self.method == "INVITE" and not self.transaction.is_answered:
            self._wait(_LONGEST_QUESTION, ExchangeTimer.ASKED)
            self._answer(status)  # so that the near side waits as well; without sound, which nobody has agreed on

    def _succeeded(self, response: Response) -> None:
        dialog = self.far.dialog
        assert dialog is not None
        if self.is_offering:
            dialog.refresh_target(response)
        self._stop_timer()
        if self.method == "INVITE" and self._is_offered:
            self._acknowledge(b"")
        self._describe(response, self.near, partial(self._agreed, response), is_offer=not self._is_offered)

    def _agreed(self, response: Response, body: bytes | int) -> None:
        if self.transaction.is_answered:
            return  # abandoned meanwhile
        if isinstance(body, int):
            if self.method == "INVITE" and not self._is_offered:
                self._acknowledge(b"")
            # The other side speaks by now what may not be spoken, or what nobody hears.
            self._answer(body)
            self._end()
            self.call.dialog_is_gone(self.far, "CODEC_NOT_ALLOWED" if body == 488 else "NO_MEDIA")
            return
        if self.is_offering:
            assert self.near.dialog is not None
            self.near.dialog.refresh_target(self.request)
        headers = self.call.exchanged(self, body)
        self._answer(200 if self.is_offering else response.status, body, response, headers)
        if self.method != "INVITE":
            self._end()
            return
        timing = self.near.endpoint.timing
        self._interval = timing.t1
        self._wait(self._interval, ExchangeTimer.REPEAT_ANSWER)

    def _failed(self, status: int, response: Response | None = None) -> None:
        self._stop_timer()
        if status in _DIALOG_IS_GONE:
            self._answer(481)
            self._end()
            self.call.dialog_is_gone(self.far, "DIALOG_GONE")
            return
        is_ours = status in _OURS_ALONE or 300 <= status < 400
        headers = response.headers if response is not None and not is_ours else {}
        self._answer(
            488 if is_ours else status, extra={name: headers[name][0] for name in _OF_A_REFUSAL if name in headers}
        )
        self._end()

    def unreachable(self) -> None:
        """The other side answers no more: its dialog is gone (§12.2.1.2)."""
        if not self.transaction.is_answered:
            self._failed(408)

    def not_sent(self) -> None:
        """The request could not be sent (§8.1.3.1); without an offer the call goes on."""
        if self.is_offering:
            self.unreachable()
        elif not self.transaction.is_answered:
            self._failed(503)

    def _answer(
        self, status: int, body: bytes = b"", source: Response | None = None, extra: Mapping[str, str] = NOTHING
    ) -> None:
        if self.transaction.is_answered:
            return
        near = self.near
        response = Response.to(self.request, status, body=body)
        if near.user_agent:
            response.headers["server"] = [near.user_agent]
        if status < 300 and self.is_offering:
            assert near.dialog is not None
            response.headers["contact"] = [near.dialog.contact]
            response.headers["allow"] = [ALLOW]
        if source is not None and body:
            self._copy_headers(source, response.headers)
        for name, value in extra.items():
            response.headers[name] = [value]
        near.endpoint.transactions.send_response(self.transaction, response, near.endpoint.now())

    # The ACK of an INVITE's 2xx

    def receive_ack(self, request: Request) -> None:
        """The near side acknowledges; where its INVITE had no offer, the ACK has the answer."""
        if self._interval == 0.0:
            return
        self._interval = 0.0
        self._stop_timer()
        self.transaction.sent = b""
        if self._ack:
            self._end()
        else:
            self._describe(request, self.far, self._acknowledged, is_offer=False)

    def _acknowledged(self, body: bytes | int) -> None:
        if self._ack:
            return  # abandoned meanwhile
        session = b"" if isinstance(body, int) else body
        self._acknowledge(session)
        self.call.answered(session)
        self._end()

    def _acknowledge(self, body: bytes) -> None:
        far = self.far
        assert far.dialog is not None
        ack = far.dialog.request("ACK", body, cseq=self._cseq)
        if self._sent is not None:
            ack.headers.update({name: self._sent.headers[name] for name in PROOFS if name in self._sent.headers})
        if body:
            ack.headers["content-type"] = [SDP]
        self._ack_flow = next_hop(far.endpoint, far.dialog.flow, ack)
        self._ack = far.endpoint.transactions.send_stateless(ack, self._ack_flow)

    # Ending

    def cancelled(self) -> None:
        """The near side takes its INVITE back (§9.1); the other side's answer follows."""
        client = self._client
        if self.transaction.is_answered or (client is not None and client.request is None):
            return
        self._is_cancelled = True
        if client is not None and client.state != 0:
            self._send_cancel()

    def _send_cancel(self) -> None:
        if not self._is_cancel_sent and self._client is not None:
            self._is_cancel_sent = True
            self.far.send_cancel_of(self._client)

    def abandon(self) -> None:
        """The call is over: whoever still waits is told so (§15.1.2)."""
        self._stop_timer()
        if (self._interval or (not self._is_described and self._cseq and self.method == "INVITE")) and not self._ack:
            self._acknowledge(b"")
        self._interval = 0.0
        self._answer(487 if self.method == "INVITE" else 481)

    def on_timer(self, kind: int, now: float) -> None:
        """No ACK, or no final answer, yet."""
        self._timer = None
        if kind == ExchangeTimer.ASKED:
            self.cancelled()
            self._wait(self.near.endpoint.timing.transaction, ExchangeTimer.FINAL)
            return
        if kind == ExchangeTimer.FINAL:
            self.cancelled()
            self.unreachable()
            return
        endpoint = self.near.endpoint
        self._waited += self._interval
        if self._waited >= endpoint.timing.transaction:
            if not self._ack:
                self._acknowledge(b"")
            self._end()
            self.call.dialog_is_gone(self.near, "NO_ACK")
            return
        endpoint.transactions.repeat_response(self.transaction)
        self._interval = min(self._interval * 2, endpoint.timing.t2, endpoint.timing.transaction - self._waited)
        self._wait(self._interval, ExchangeTimer.REPEAT_ANSWER)

    def _wait(self, seconds: float, kind: ExchangeTimer) -> None:
        self._stop_timer()
        self._timer = self.near.endpoint.add_timer(seconds, self, kind)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self.near.endpoint.wheel.cancel(self._timer)
            self._timer = None

    def _end(self) -> None:
        self._stop_timer()
        self.call.exchange_ended(self)


def _is_session(message: Request | Response) -> bool:
    return message.headers.first("content-type").partition(";")[0].strip().lower() == SDP
