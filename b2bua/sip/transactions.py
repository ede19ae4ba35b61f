"""The transaction layer: matches messages to transactions and walks their tables (RFC 3261 §17, RFC 6026).

Drive it so: hand in one input (`receive`, `send_request`, `send_response`, `handle_timers`, `transport_failed`), then
drain `take_events` and `take_outgoing`, then arm one timer for `next_deadline`. Receiving never raises.
"""

from collections.abc import Callable
from typing import Final

from b2bua.sip import invite_client, invite_server, non_invite_client, non_invite_server
from b2bua.sip.errors import InvalidState, ParseError
from b2bua.sip.events import (
    AckReceived,
    CancelReceived,
    Event,
    RequestReceived,
    ResponseReceived,
    TransactionTimedOut,
    TransportFailed,
)
from b2bua.sip.flow import DEFAULT_PORT, Flow
from b2bua.sip.headers import Headers
from b2bua.sip.machine import Action, Input, Table
from b2bua.sip.message import Request, Response, UnacceptableRequest, parse_message, unacceptable
from b2bua.sip.stream import StreamBroken
from b2bua.sip.timers import TimerQueue, TimerQueues, Timing
from b2bua.sip.uri import split_host_port
from b2bua.sip.via import MAGIC_COOKIE, Via

TRANSACTION_LIMIT: Final = 400_000
"""Most transactions at once, lingering ones included; requests beyond it are dropped, and the peer tries again."""

LARGE: Final = 1300
"""Bytes of a request above which it goes by TCP where the peer takes that (RFC 3261 §18.1.1)."""

_OWN_LIMIT: Final = 1000

Key = tuple[str, str, str]
"""Branch, sent-by and method; a server transaction's of the peer's Via, a client transaction's of ours."""

Moves = dict[int, dict[int, tuple[int, tuple[tuple[Callable[["Transaction", Action], None], Action], ...]]]]
"""A machine's table with the function that carries out each action."""


class Transaction:
    """State of one transaction; only the table changes `state`."""

    __slots__ = ("flow", "interval", "key", "message", "moves", "request", "sent", "state", "user")

    def __init__(self, moves: Moves, key: Key, request: Request, flow: Flow) -> None:
        self.moves = moves
        self.state = 0
        self.key = key
        self.request: Request | None = request
        self.flow = flow
        self.sent = b""
        """What a retransmission repeats."""
        self.interval = 0.0
        self.message: Request | Response | None = None
        """The message of the input that is being handled."""
        self.user: object = None
        """Whoever events of this transaction are for; set by the user."""


class ClientTransaction(Transaction):
    """A request of ours."""

    __slots__ = ("smaller",)

    def __init__(self, moves: Moves, key: Key, request: Request, flow: Flow) -> None:
        super().__init__(moves, key, request, flow)
        self.smaller: Flow | None = None
        """The way to try where that of large requests fails; None: there is no other."""


class ServerTransaction(Transaction):
    """A request of a peer's."""

    __slots__ = ("method",)

    method: str

    @property
    def is_answered(self) -> bool:
        """Whether a final response has been sent."""
        return self.state >= invite_server.State.COMPLETED


class TransactionLayer:
    """All transactions of one endpoint.

    Args:
        timing: Values of the timers.
        new_branch: Gives a branch that was never used, without the magic cookie.
        sent_by: `host:port` that a Via of ours shows towards a flow's peer.
    """

    def __init__(self, timing: Timing, new_branch: Callable[[], str], sent_by: Callable[[Flow], str]) -> None:
        self._timing = timing
        self._new_branch = new_branch
        self._sent_by = sent_by
        self._clients: dict[Key, ClientTransaction] = {}
        self._servers: dict[Key, ServerTransaction] = {}
        self._timers: TimerQueues[Transaction] = TimerQueues()
        self._own: dict[str, str] = {}
        self.events: list[Event] = []
        """What happened, and was not taken yet."""
        self.outgoing: list[tuple[Flow, bytes, Transaction | None]] = []
        """What is to be sent, and was not taken yet."""
        self.malformed = 0
        """Messages that could not be parsed, since the start."""
        self.retransmitted = 0
        """Messages sent again, since the start."""
        self._now = 0.0
        t = timing
        queue = self._timers.queue
        self._starts: Final[dict[Action, TimerQueue[Transaction]]] = {
            Action.START_TRYING: queue(Input.TIMER_TRYING, t.trying),
            Action.START_B: queue(Input.TIMER_B, t.transaction),
            Action.START_F: queue(Input.TIMER_F, t.transaction),
            Action.START_H: queue(Input.TIMER_H, t.transaction),
            Action.START_L: queue(Input.TIMER_L, t.transaction),
            Action.START_M: queue(Input.TIMER_M, t.transaction),
            # On a reliable transport these linger no time at all (table 4); see `_start`.
            Action.START_D: queue(Input.TIMER_D, t.timer_d),
            Action.START_I: queue(Input.TIMER_I, t.t4),
            Action.START_J: queue(Input.TIMER_J, t.transaction),
            Action.START_K: queue(Input.TIMER_K, t.t4),
            Action.START_CANCEL: queue(Input.TIMER_CANCEL, t.transaction),
        }
        self._retransmits: Final[dict[Action, tuple[Input, float, float]]] = {
            # input, factor on the last interval (0: begin with T1), upper bound
            Action.START_A: (Input.TIMER_A, 0, t.transaction),
            Action.START_E: (Input.TIMER_E, 0, t.t2),
            Action.START_G: (Input.TIMER_G, 0, t.t2),
            Action.DOUBLE_A: (Input.TIMER_A, 2, t.transaction),
            Action.DOUBLE_E: (Input.TIMER_E, 2, t.t2),
            Action.DOUBLE_G: (Input.TIMER_G, 2, t.t2),
            Action.T2_E: (Input.TIMER_E, 2 * t.t2 / t.t1, t.t2),
        }
        self._actions: Final[dict[Action, Callable[[Transaction, Action], None]]] = {
            Action.PASS_UP: self._pass_up,
            Action.SEND: self._send,
            Action.RESEND: self._resend,
            Action.SEND_TRYING: self._send_trying,
            Action.SEND_ACK: self._send_ack,
            Action.FORGET_REQUEST: self._forget_request,
            Action.FORGET_ALL: self._forget_all,
            Action.TIMED_OUT: self._timed_out,
            Action.FAILED: self._failed,
            Action.END: self._end,
            **dict.fromkeys(self._starts, self._start),
            **dict.fromkeys(self._retransmits, self._start_retransmit),
        }
        self._invite_client = self._moves(invite_client.TRANSITIONS)
        self._invite_server = self._moves(invite_server.TRANSITIONS)
        self._non_invite_client = self._moves(non_invite_client.TRANSITIONS)
        self._non_invite_server = self._moves(non_invite_server.TRANSITIONS)
        self._failure = ""

    def _moves(self, table: Table) -> Moves:
        return {
            state: {
                happened: (following, tuple((self._actions[action], action) for action in actions))
                for happened, (following, actions) in row.items()
            }
            for state, row in table.items()
        }

    # Draining

    def take_events(self) -> list[Event]:
        """Return and forget what happened."""
        events, self.events = self.events, []
        return events

    def take_outgoing(self) -> list[tuple[Flow, bytes, Transaction | None]]:
        """Return and forget what is to be sent, each with the transaction that hears of a failure."""
        outgoing, self.outgoing = self.outgoing, []
        return outgoing

    def next_deadline(self) -> float | None:
        """When `handle_timers` is due, on the caller's monotonic clock."""
        return self._timers.next_deadline()

    @property
    def count(self) -> int:
        """Transactions that exist, lingering ones included."""
        return len(self._clients) + len(self._servers)

    # Inputs

    def receive(self, data: bytes, flow: Flow, now: float, *, framed: bool = False) -> None:
        """Handle one message from the network."""
        self._now = now
        try:
            message = parse_message(data, framed=framed)
        except UnacceptableRequest as error:
            self.malformed += 1
            self._refuse_malformed(error, flow)
            return
        except ParseError:
            self.malformed += 1
            return
        if type(message) is Request:
            self._receive_request(message, flow)
        else:
            self._receive_response(message)  # type: ignore[arg-type]

    def refuse(self, fault: StreamBroken, flow: Flow, now: float) -> None:
        """Answer the request at which a stream broke, where its head says enough (RFC 3261 §18.3)."""
        self._now = now
        self.malformed += 1
        error = unacceptable(fault.head, fault)
        if isinstance(error, UnacceptableRequest):
            self._refuse_malformed(error, flow)

    def send_request(self, request: Request, flow: Flow, now: float, user: object) -> ClientTransaction:
        """Send a request other than ACK in a transaction of its own; the Via is added here."""
        self._now = now
        branch = MAGIC_COOKIE + self._new_branch()
        return self._start_client(request, flow, branch, user)

    def send_cancel(self, invite: ClientTransaction, cancel: Request, now: float, user: object) -> ClientTransaction:
        """Send a CANCEL: its one Via is that of the INVITE that it cancels (§9.1).

        The INVITE's user hears `TransactionTimedOut` should it still have no final answer 64 × T1 later.
        """
        self._now = now
        self._drive(invite, Input.SEND_CANCEL, None)
        cancel.headers.pop("via", None)
        return self._start_client(cancel, invite.flow, invite.key[0], user)

    def send_stateless(self, request: Request, flow: Flow) -> bytes:
        """Send a request without a transaction (the ACK of a 2xx) and return its bytes for repetition."""
        branch = MAGIC_COOKIE + self._new_branch()
        self._add_via(request, flow, branch)
        data = request.to_bytes()
        if flow.large is not None and len(data) > LARGE:
            flow = flow.large
            self._add_via(request, flow, branch)
            data = request.to_bytes()
        self.outgoing.append((flow, data, None))
        return data

    def send_again(self, data: bytes, flow: Flow) -> None:
        """Send bytes that were sent before: an ACK or a 2xx that may have been lost."""
        self.retransmitted += 1
        if flow.large is not None and len(data) > LARGE:
            flow = flow.large
        self.outgoing.append((flow, data, None))

    def send_response(self, transaction: ServerTransaction, response: Response, now: float) -> None:
        """Answer a request.

        Raises:
            InvalidState: a final response was sent before.
        """
        self._now = now
        status = response.status
        if status < 200:
            happened = Input.SEND_1XX
        elif transaction.is_answered and transaction.request is None:
            raise InvalidState(f"{transaction.method} is answered already, cannot send {status}")
        elif status < 300:
            happened = Input.SEND_2XX
        else:
            happened = Input.SEND_300_699
        self._drive(transaction, happened, response)

    def repeat_response(self, transaction: ServerTransaction) -> None:
        """Send the 2xx of an INVITE again, whose ACK has not come (§13.3.1.4)."""
        if transaction.sent:
            self.send_again(transaction.sent, transaction.flow)

    def handle_timers(self, now: float) -> None:
        """Handle every deadline that has passed."""
        self._now = now
        for transaction, kind in self._timers.expire(now):
            self._drive(transaction, kind, None)

    def transport_failed(self, transaction: Transaction, reason: str, now: float) -> None:
        """A message of this transaction could not be sent."""
        self._now = now
        if type(transaction) is ClientTransaction and transaction.smaller is not None and transaction.state == 0:
            self._send_small(transaction, transaction.smaller)
            return
        self._failure = reason
        self._drive(transaction, Input.TRANSPORT_ERROR, None)

    def waiting_on(self, flow: Flow) -> list[Transaction]:
        """Client transactions without an answer whose requests went to a peer; for when it cannot be reached at all."""
        peer = (flow.transport, flow.host, flow.port)
        return [
            transaction
            for transaction in self._clients.values()
            if transaction.state == 0
            and (transaction.flow.transport, transaction.flow.host, transaction.flow.port) == peer
        ]

    def stop_repeating(self, transaction: ClientTransaction) -> None:
        """Let an unanswered request rest: nobody wants its answer any more, but one that comes is still matched."""
        transaction.sent = b""

    # Matching (§17.1.3, §17.2.3)

    def _receive_response(self, response: Response) -> None:
        via = response.via
        transaction = self._clients.get((via.branch, via.sent_by, response.method))
        # §18.1.2, §8.1.3.3: the top Via is ours, and it is the only one. Late answers of ended transactions are the
        # peer's to repeat in vain.
        if transaction is None or len(response.headers["via"]) > 1:
            return
        status = response.status
        if status < 200:
            happened = Input.RECV_1XX
        elif status < 300:
            happened = Input.RECV_2XX
        else:
            happened = Input.RECV_300_699
        self._drive(transaction, happened, response)

    def _receive_request(self, request: Request, flow: Flow) -> None:
        key = _server_key(request)
        method = request.method
        if method == "ACK":
            invite = self._servers.get((key[0], key[1], "INVITE"))
            if invite is None:
                self.events.append(AckReceived(request, flow))
            else:
                self._drive(invite, Input.RECV_ACK, request)
            return
        transaction = self._servers.get(key)
        if transaction is not None:
            self._drive(transaction, Input.RECV_REQUEST, request)
            return
        if len(self._servers) >= TRANSACTION_LIMIT:
            return
        reply_flow = response_flow(request, flow)
        is_invite = method == "INVITE"
        moves = self._invite_server if is_invite else self._non_invite_server
        transaction = ServerTransaction(moves, key, request, reply_flow)
        transaction.method = method
        self._servers[key] = transaction
        if is_invite:
            self._start(transaction, Action.START_TRYING)
        elif method == "CANCEL":
            self._receive_cancel(transaction, request)
            return
        self.events.append(RequestReceived(transaction, request, flow))

    def _receive_cancel(self, transaction: ServerTransaction, cancel: Request) -> None:
        # §9.2: the CANCEL is answered by itself; the INVITE's own answer follows from its user.
        invite = self._servers.get((transaction.key[0], transaction.key[1], "INVITE"))
        if invite is None:
            self._drive(transaction, Input.SEND_300_699, Response.to(cancel, 481, self._new_branch()))
            return
        self._drive(transaction, Input.SEND_2XX, Response.to(cancel, 200, self._to_tag(invite)))
        if not invite.is_answered:
            self.events.append(CancelReceived(invite, cancel))

    def _to_tag(self, invite: ServerTransaction) -> str:
        """The To tag of the answer to a CANCEL: that of the INVITE's answers, where one had any (§9.2)."""
        return (parse_message(invite.sent).to_tag if invite.sent else "") or self._new_branch()

    def _refuse_malformed(self, error: UnacceptableRequest, flow: Flow) -> None:
        request = error.request
        if request.method == "ACK":
            return
        reply_flow = response_flow(request, flow)
        response = Response.to_malformed(request, error.status_hint, self._new_branch())
        response.reason = f"{response.reason} - {error}" if error.status_hint == 400 else response.reason
        self.outgoing.append((reply_flow, response.to_bytes(), None))

    def _start_client(self, request: Request, flow: Flow, branch: str, user: object) -> ClientTransaction:
        is_invite = request.method == "INVITE"
        moves = self._invite_client if is_invite else self._non_invite_client
        self._add_via(request, flow, branch)
        smaller = None
        if flow.large is not None and len(request.to_bytes()) > LARGE:
            smaller, flow = flow, flow.large
            self._add_via(request, flow, branch)
        key = (branch, self._own_sent_by(flow), request.method)
        transaction = ClientTransaction(moves, key, request, flow)
        transaction.user = user
        transaction.smaller = smaller
        self._clients[key] = transaction
        self._drive(transaction, Input.SEND_REQUEST, request)
        return transaction

    def _send_small(self, transaction: ClientTransaction, flow: Flow) -> None:
        """Send a large request by UDP all the same: the peer cannot be reached by TCP (§18.1.1)."""
        request = transaction.request
        assert request is not None  # it has no answer yet
        branch = transaction.key[0]
        self._clients.pop(transaction.key, None)
        transaction.smaller, transaction.flow = None, flow
        transaction.key = (branch, self._own_sent_by(flow), request.method)
        self._clients[transaction.key] = transaction
        self._add_via(request, flow, branch)
        if not transaction.sent:
            return  # nobody wants its answer any more
        transaction.sent = request.to_bytes()
        self.outgoing.append((flow, transaction.sent, transaction))
        self._start_retransmit(transaction, Action.START_A if request.method == "INVITE" else Action.START_E)

    def _own_sent_by(self, flow: Flow) -> str:
        """What `Via.sent_by` gives for a Via of ours."""
        text = self._sent_by(flow)
        known = self._own.get(text)
        if known is None:
            if len(self._own) >= _OWN_LIMIT:
                self._own.clear()
            known = self._own[text] = Via("", *split_host_port(text)).sent_by
        return known

    def _add_via(self, request: Request, flow: Flow, branch: str) -> None:
        # RFC 3581: rport is asked for, so that answers come back through a NAT in front of us.
        via = f"SIP/2.0/{flow.transport.upper()} {self._sent_by(flow)};rport;branch={branch}"
        if "via" not in request.headers:  # whoever has made the request may have kept its place
            request.headers = Headers({"via": [], **request.headers})
        request.headers["via"] = [via]

    # The machine

    def _drive(self, transaction: Transaction, happened: int, message: Request | Response | None) -> None:
        transaction.state, actions = transaction.moves[transaction.state][happened]
        if actions:
            transaction.message = message
            for carry_out, action in actions:
                carry_out(transaction, action)
            transaction.message = None

    def _pass_up(self, transaction: Transaction, _: Action) -> None:
        message = transaction.message
        if type(message) is Response:
            self.events.append(ResponseReceived(transaction, message))  # type: ignore[arg-type]
        else:
            self.events.append(AckReceived(message, transaction.flow))  # type: ignore[arg-type]

    def _send(self, transaction: Transaction, _: Action) -> None:
        transaction.sent = transaction.message.to_bytes()  # type: ignore[union-attr]
        self.outgoing.append((transaction.flow, transaction.sent, transaction))

    def _resend(self, transaction: Transaction, _: Action) -> None:
        if transaction.sent:
            self.retransmitted += 1
            self.outgoing.append((transaction.flow, transaction.sent, transaction))

    def _send_trying(self, transaction: Transaction, _: Action) -> None:
        if transaction.request is not None:
            transaction.sent = Response.to(transaction.request, 100).to_bytes()
            self.outgoing.append((transaction.flow, transaction.sent, transaction))

    def _send_ack(self, transaction: Transaction, _: Action) -> None:
        request, response = transaction.request, transaction.message
        if request is None or response is None:
            return
        source = request.headers
        headers = Headers({name: source[name] for name in ("via", "route") if name in source})
        headers["max-forwards"] = ["70"]
        headers["from"] = source["from"]
        headers["to"] = response.headers["to"]
        headers["call-id"] = source["call-id"]
        headers["cseq"] = [f"{source['cseq'][0].partition(' ')[0]} ACK"]
        transaction.sent = Request("ACK", request.uri, headers).to_bytes()
        self.outgoing.append((transaction.flow, transaction.sent, None))

    def _forget_request(self, transaction: Transaction, _: Action) -> None:
        transaction.request = None

    def _forget_all(self, transaction: Transaction, _: Action) -> None:
        transaction.request = None
        transaction.sent = b""

    def _timed_out(self, transaction: Transaction, _: Action) -> None:
        self.events.append(TransactionTimedOut(transaction))  # type: ignore[arg-type]

    def _failed(self, transaction: Transaction, _: Action) -> None:
        self.events.append(TransportFailed(transaction, self._failure))  # type: ignore[arg-type]

    def _end(self, transaction: Transaction, _: Action) -> None:
        table = self._clients if type(transaction) is ClientTransaction else self._servers
        table.pop(transaction.key, None)
        transaction.sent = b""
        if not self.events:  # one that has not been taken yet may need the user
            transaction.user = None  # which may know the transaction: neither shall keep the other in memory

    def _start(self, transaction: Transaction, action: Action) -> None:
        queue = self._starts[action]
        if transaction.flow.reliable and queue.kind in _NO_LINGER:
            # A zero timer: the next call of handle_timers ends the transaction.
            queue = self._timers.queue(queue.kind, 0.0)
        self._timers.add(queue, self._now, transaction)

    def _start_retransmit(self, transaction: Transaction, action: Action) -> None:
        if transaction.flow.reliable:
            return
        kind, factor, bound = self._retransmits[action]
        transaction.interval = min(transaction.interval * factor or self._timing.t1, bound)
        self._timers.add(self._timers.queue(kind, transaction.interval), self._now, transaction)


_NO_LINGER: Final = frozenset({Input.TIMER_D, Input.TIMER_I, Input.TIMER_J, Input.TIMER_K})


def _server_key(request: Request) -> Key:
    via = request.via
    branch = via.branch
    if not branch.startswith(MAGIC_COOKIE) or branch == MAGIC_COOKIE:
        # §17.2.3, RFC 2543 peers: a request is known by its dialog identity and CSeq instead. So is one whose branch
        # is the cookie and nothing else (RFC 4475 §3.2.1).
        branch = f"{request.call_id}|{request.from_tag}|{request.cseq}|{branch}"
    return branch, via.sent_by, request.method


def response_flow(request: Request, flow: Flow) -> Flow:
    """Where answers to a request go (§18.2.2, RFC 3581 §4); `received` and `rport` are set in its top Via."""
    via = request.via
    parameters = via.parameters
    changed = False
    if via.host != flow.host:
        parameters["received"] = flow.host
        changed = True
    if "rport" in parameters:
        parameters["rport"] = str(flow.port)
        parameters["received"] = flow.host
        changed = True
    if changed:
        request.headers["via"][0] = str(via)
    if flow.reliable or "rport" in parameters:
        return flow
    port = via.port or DEFAULT_PORT["udp"]
    if port == flow.port:
        return flow
    return Flow(flow.transport, flow.host, port, flow.listener)
