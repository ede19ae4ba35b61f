"""Provisional answers that are sure to arrive (RFC 3262): ours are repeated until their PRACK comes, others' get one.

`RingingSender` is for the leg that called us, `RingingReceiver` for the one that we call. An answer to our INVITE that
needs a session description of ours in its PRACK is never asked for: calls without an offer do without (§5).
"""

from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from b2bua.call.client_request import ProvedRequest
from b2bua.call.session_timer import supports
from b2bua.sip.dialog import Dialog
from b2bua.sip.digest_client import DigestClient
from b2bua.sip.flow import Flow
from b2bua.sip.message import Request, Response
from b2bua.sip.timers import Timer
from b2bua.sip.transactions import ServerTransaction
from b2bua.transport.endpoint import Endpoint, TimerOwner

TAG: Final = "100rel"
"""The option tag."""

WAITING_LIMIT: Final = 8
"""Most provisional answers that wait for the PRACK of the one before; those without a session may go."""

FORKS_LIMIT: Final = 16
"""Most early dialogs of one INVITE whose answers are acknowledged."""

_LONGEST: Final = 2**31 - 1
"""Largest RSeq (§7.1)."""


def requires(message: Request | Response) -> bool:
    """Whether Require has the tag."""
    return any(TAG in value.lower().replace(",", " ").split() for value in message.headers.get("require", ()))


def is_reliable(request: Request, mode: str, *, has_session: bool) -> bool:
    """Whether a provisional answer to an INVITE is to be sent reliably.

    Args:
        request: The INVITE.
        mode: Of the gateway that it came from, `off`, `supported` or `required`; telephones have `supported`.
        has_session: Whether the answer has a session description: losing that would hurt.
    """
    headers = request.headers
    if "require" in headers and requires(request):
        return True
    if "supported" not in headers:
        return False
    return mode != "off" and (has_session or mode == "required") and supports(request, TAG)


def offer_tags(mode: str, *, has_offer: bool) -> dict[str, str]:
    """Option tags of an INVITE to a gateway: header -> tag."""
    if mode == "off" or not has_offer:
        return {}
    return {"require" if mode == "required" else "supported": TAG}


def read_rseq(response: Response) -> int:
    """RSeq of a provisional answer that wants a PRACK (§7.1); 0: it wants none."""
    value = response.headers.first("rseq").strip()
    if response.status <= 100 or not (value.isascii() and value.isdigit()) or not requires(response):
        return 0
    return int(value) if len(value) <= 10 else 0


class RingingSender(TimerOwner):
    """The reliable provisional answers to one INVITE, one under way at a time (§3).

    Args:
        endpoint: Sends them.
        transaction: The INVITE's.
        cseq: The INVITE's.
        first: RSeq of the first one.
        user: Is told.
    """

    __slots__ = (
        "_cseq",
        "_data",
        "_endpoint",
        "_has_session",
        "_interval",
        "_rseq",
        "_timer",
        "_transaction",
        "_user",
        "_waited",
        "_waiting",
    )

    def __init__(
        self, endpoint: Endpoint, transaction: ServerTransaction, cseq: int, first: int, user: "RingingUser"
    ) -> None:
        self._endpoint = endpoint
        self._transaction = transaction
        self._cseq = cseq
        self._rseq = first - 1
        self._user = user
        self._data = b""
        self._has_session = False
        self._timer: Timer[TimerOwner] | None = None
        self._interval = self._waited = 0.0
        self._waiting: deque[Response] = deque()

    @property
    def holds_session(self) -> bool:
        """Whether a session description is under way, so that no 2xx may be sent yet (§3)."""
        return self._timer is not None and self._has_session

    def send(self, response: Response) -> None:
        """Send a provisional answer, as soon as the one before has its PRACK."""
        if self._timer is None:
            self._begin(response)
        elif len(self._waiting) < WAITING_LIMIT:
            self._waiting.append(response)

    def _begin(self, response: Response) -> None:
        endpoint = self._endpoint
        self._rseq += 1
        response.headers["require"] = [TAG]
        response.headers["rseq"] = [str(self._rseq)]
        self._has_session = bool(response.body)
        endpoint.transactions.send_response(self._transaction, response, endpoint.now())
        self._data = self._transaction.sent
        self._waited, self._interval = 0.0, endpoint.timing.t1
        self._timer = endpoint.add_timer(self._interval, self, 0)

    def on_timer(self, kind: int, now: float) -> None:
        """No PRACK yet: send it again, after twice as long each time, for 64 × T1 in all."""
        self._timer = None
        timing = self._endpoint.timing
        self._waited += self._interval
        if self._waited >= timing.transaction:
            self._waiting.clear()
            self._user.ringing_unacknowledged()
            return
        self._endpoint.transactions.send_again(self._data, self._transaction.flow)
        self._interval = min(self._interval * 2, timing.transaction - self._waited)
        self._timer = self._endpoint.add_timer(self._interval, self, 0)

    def acknowledge(self, prack: Request) -> int:
        """Take a PRACK; returns the status of its answer (§3): 481 where it is of nothing that we have sent."""
        parts = prack.headers.first("rack").split()
        if len(parts) != 3 or parts[1:] != [str(self._cseq), "INVITE"] or not parts[0].isdigit():
            return 481
        if self._timer is None or parts[0] != str(self._rseq):
            return 481
        self.stop()
        # An offer of the caller's own would want an answer that the other side has not been asked for.
        return 488 if prack.body else 200

    def go_on(self) -> None:
        """The PRACK has been answered: send what has waited for it."""
        if self._waiting and not self._transaction.is_answered:
            self._begin(self._waiting.popleft())

    def stop(self) -> None:
        """Repeat nothing any more."""
        if self._timer is not None:
            self._endpoint.wheel.cancel(self._timer)
            self._timer = None

    def end(self) -> None:
        """A final answer is sent: nothing else is."""
        self.stop()
        self._waiting.clear()


class RingingUser(Protocol):
    """The leg that called us."""

    def ringing_unacknowledged(self) -> None:
        """No PRACK came in 64 × T1."""


class RingingReceiver:
    """The reliable provisional answers to an INVITE of ours: each is passed up once, in order, and gets its PRACK (§4).

    Args:
        endpoint: Sends the PRACK.
        invite: The dialog that the INVITE began; early ones have its Call-ID, tag and numbers.
        next_hop: Finds the way of a request in a dialog.
    """

    __slots__ = ("_endpoint", "_forks", "_invite", "_next_hop")

    def __init__(self, endpoint: Endpoint, invite: Dialog, next_hop: Callable[[Endpoint, Flow, Request], Flow]) -> None:
        self._endpoint = endpoint
        self._invite = invite
        self._next_hop = next_hop
        self._forks: dict[str, int] = {}
        """Tag of an early dialog -> last RSeq."""

    def receive(self, response: Response, cseq: int, proof: DigestClient | None) -> bool:
        """Take a provisional answer; returns whether it is news.

        Args:
            response: With or without RSeq.
            cseq: The INVITE's.
            proof: What the peer is proved to by.
        """
        rseq, tag = read_rseq(response), response.to_tag
        if not rseq or not tag:
            return True
        last = self._forks.get(tag)
        if last is None:
            if len(self._forks) >= FORKS_LIMIT:
                return False
        elif rseq != last + 1:
            return False  # repeated, or one before it is still to come (§4)
        self._forks[tag] = rseq
        self._send_prack(response, f"{rseq} {cseq} INVITE", proof)
        return True

    def _send_prack(self, response: Response, rack: str, proof: DigestClient | None) -> None:
        invite = self._invite
        early = Dialog(invite.call_id, invite.local, invite.local_tag, invite.contact, invite.flow)
        early.remote_target = invite.remote_target
        early.become_uac(response)
        invite.local_cseq += 1
        prack = early.request("PRACK", cseq=invite.local_cseq)
        prack.headers["rack"] = [rack]
        flow = self._next_hop(self._endpoint, early.flow, prack)
        if proof is not None:
            ProvedRequest(self._endpoint, invite, flow, proof, prack).send()
        else:
            self._endpoint.transactions.send_request(prack, flow, self._endpoint.now(), None)
