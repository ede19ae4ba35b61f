"""An INVITE of ours within a dialog that offers a session, because the other side of a call has become another one.

What passes from one side to the other is an `Exchange`; here we ask ourselves (RFC 3261 §14.1, RFC 3725 §4).
"""

from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import Final

from b2bua.call.client_request import ClientRequest, repeated
from b2bua.call.leg import ALLOW, NOTHING, SDP, Leg, next_hop
from b2bua.sip.digest_client import PROOFS, Tries
from b2bua.sip.flow import Flow
from b2bua.sip.message import Request, Response
from b2bua.sip.timers import Timer
from b2bua.sip.transactions import ClientTransaction
from b2bua.transport.endpoint import TimerOwner

GLARE_WAIT: Final = 2.1
"""Seconds after which an INVITE that has met another is sent again (§14.1: 2.1 to 4 where we made the Call-ID)."""

GLARE_TRIES: Final = 3
"""How often, at most."""

Done = Callable[[int, Response | None], None]
"""Gets the status and the answer; 408 and None: there was none."""


class _Kind(IntEnum):
    AGAIN = 0
    """Another INVITE of the peer's is over by now."""
    FINAL = 1
    """There is still no final answer."""


class ReInvite(ClientRequest, TimerOwner):
    """One offer.

    Args:
        leg: Whose peer gets it.
        session: Session description.
        done: Told once.
        headers: More headers of the request.
    """

    __slots__ = (
        "_ack",
        "_ack_flow",
        "_cseq",
        "_done",
        "_glares",
        "_headers",
        "_leg",
        "_sent",
        "_session",
        "_timer",
        "_tries",
    )

    def __init__(self, leg: Leg, session: bytes, done: Done, headers: Mapping[str, str] = NOTHING) -> None:
        self._leg = leg
        self._session = session
        self._done: Done | None = done
        self._headers = headers
        self._tries = Tries()
        self._glares = 0
        self._cseq = 0
        self._sent: Request | None = None
        self._timer: Timer[TimerOwner] | None = None
        self._ack = b""
        self._ack_flow: Flow | None = None

    def send(self) -> None:
        """Make the offer."""
        dialog = self._leg.dialog
        assert dialog is not None
        request = dialog.request("INVITE", self._session)
        request.headers["contact"] = [dialog.contact]
        request.headers["allow"] = [ALLOW]
        request.headers["content-type"] = [SDP]
        for name, value in self._headers.items():
            request.headers[name] = [value]
        self._send(request, dialog.local_cseq)

    def _send(self, request: Request, cseq: int) -> None:
        leg = self._leg
        assert leg.dialog is not None
        self._cseq, self._sent = cseq, request
        if leg.proof is not None:
            leg.proof.prove(request)
        self._wait(leg.endpoint.timing.transaction, _Kind.FINAL)
        flow = next_hop(leg.endpoint, leg.dialog.flow, request)
        leg.endpoint.transactions.send_request(request, flow, leg.endpoint.now(), self)

    def abandon(self) -> None:
        """Nobody wants to know any more; an answer that comes all the same is acknowledged."""
        self._done = None
        self._stop()

    # ClientRequest

    def answered(self, transaction: ClientTransaction, response: Response) -> None:
        """The peer answers."""
        status = response.status
        if status < 200:
            return
        if status < 300:
            self._agreed(response)
        elif self._is_sent_again(response):
            return
        elif status == 491 and self._glares < GLARE_TRIES and self._done is not None:
            self._glares += 1
            self._wait(GLARE_WAIT, _Kind.AGAIN)
        else:
            self._tell(status, response)

    def failed(self, transaction: ClientTransaction, code: str) -> None:
        """No answer will come."""
        self._tell(408, None)

    def on_timer(self, kind: int, now: float) -> None:
        """Try again, or give up."""
        self._timer = None
        if kind == _Kind.AGAIN:
            self.send()
        else:
            self._tell(408, None)

    def _agreed(self, response: Response) -> None:
        leg, dialog = self._leg, self._leg.dialog
        assert dialog is not None
        if self._ack_flow is not None:
            leg.endpoint.transactions.send_again(self._ack, self._ack_flow)
            return
        dialog.refresh_target(response)
        ack = dialog.request("ACK", cseq=self._cseq)
        assert self._sent is not None
        ack.headers.update({name: self._sent.headers[name] for name in PROOFS if name in self._sent.headers})
        self._ack_flow = next_hop(leg.endpoint, dialog.flow, ack)
        self._ack = leg.endpoint.transactions.send_stateless(ack, self._ack_flow)
        self._tell(response.status, response)

    def _is_sent_again(self, response: Response) -> bool:
        """Whether the peer only wants to know who we are, and has been told (RFC 3261 §22.2)."""
        leg, sent = self._leg, self._sent
        if leg.proof is None or sent is None or leg.dialog is None or not leg.proof.take(response, self._tries):
            return False
        leg.dialog.local_cseq += 1
        self._send(repeated(sent, leg.dialog.local_cseq), leg.dialog.local_cseq)
        return True

    def _tell(self, status: int, response: Response | None) -> None:
        self._stop()
        done, self._done = self._done, None
        if done is not None:
            done(status, response)

    def _wait(self, seconds: float, kind: _Kind) -> None:
        self._stop()
        self._timer = self._leg.endpoint.add_timer(seconds, self, kind)

    def _stop(self) -> None:
        if self._timer is not None:
            self._leg.endpoint.wheel.cancel(self._timer)
            self._timer = None
