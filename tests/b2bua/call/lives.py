"""A caller and carriers that do at any moment what RFC 3261 lets them, for plays of whole calls."""

from typing import Any

from b2bua.call.callee_leg import CalleeLeg
from b2bua.call.caller_leg import CallerLeg
from b2bua.call.leg import SDP
from b2bua.sip.events import AckReceived, RequestReceived
from b2bua.sip.events import Event as SIPEvent
from b2bua.sip.flow import Flow
from b2bua.sip.message import Request, Response
from b2bua.sip.transactions import ServerTransaction
from b2bua.transport.endpoint import TimerOwner, new_token
from tests.support.legs import Wire, WiredAnswerer, WiredCaller
from tests.support.talking import describe_audio

STATUSES = {"agrees": 200, "refuses": 488, "is silent": 0, "is strict": -1, "forgets": 481, "is busy": 491}
"""Moods: how requests within the dialog are answered."""


class Whims:
    """What both have: moods, and something to say within the dialog."""

    leg: Any
    is_over: bool

    @property
    def is_talking(self) -> bool:
        """Whether the dialog is there, acknowledged and not over."""
        raise NotImplementedError

    def act(self, what: str) -> None:
        """Do one thing, where it may be done now."""
        if what in STATUSES:
            self._change_mood(STATUSES[what])
        elif (does := getattr(self, f"do_{what}", None)) is not None:
            does()
        elif self.is_talking:
            self._say(what)

    def _change_mood(self: Any, status: int) -> None:
        self.is_strict = status == -1
        self.statuses = {} if status in (200, -1) else {"INVITE": status, "UPDATE": status}

    def _say(self: Any, what: str) -> None:
        session = self.usual_session
        held = describe_audio(self.host, version=3, direction="sendonly")
        method, body, answer = {
            "reinvite": ("INVITE", session, b""),
            "late": ("INVITE", b"", session),
            "slow": ("INVITE", session, b""),
            "update": ("UPDATE", held, b""),
            "refresh": ("UPDATE", b"", b""),
            "info": ("INFO", b"Signal=1", b""),
        }[what]
        headers = {"content-type": "text/plain"} if method == "INFO" else {}
        if method == "INVITE" and any(each.request.method == "INVITE" and not each.status for each in self.said):
            return  # §14.1
        self.say(method, body, headers, settles=False, answer=answer, acknowledges=what != "slow")

    def do_withdraw(self: Any) -> None:
        for said in self.said:
            if said.request.method == "INVITE" and said.responses and not said.status and not said.is_cancelled:
                said.is_cancelled = True
                self.withdraw(said, settles=False)

    def do_bye(self: Any) -> None:
        if self.is_talking:
            self.hang_up()

    def acknowledge_all(self: Any) -> None:
        """Send the ACKs that are due within the dialog."""
        for said in self.said:
            if said.request.method == "INVITE" and 200 <= said.status < 300 and not said.ack:
                self.acknowledge(said, settles=False)


class WhimsicalCaller(Whims, WiredCaller):
    """Calls, and acknowledges when it likes."""

    def __init__(self, wire: Wire, host: str) -> None:
        super().__init__(wire, host)
        self.is_prompt = True
        """Whether the 2xx is acknowledged as it comes."""
        self._has_acknowledged = False

    @property
    def is_talking(self) -> bool:
        """Whether the call is up and acknowledged."""
        return self._has_acknowledged and not self.is_over

    def callee_responded(self, leg: CalleeLeg, response: Response) -> None:
        """Acknowledge a 2xx now, or later."""
        if response.status < 200:
            return
        self.status = response.status
        if response.status >= 300:
            self.is_over = True
            self.is_ended.set()
        elif self.is_prompt:
            self.do_ack()

    def callee_unreachable(self, leg: CalleeLeg, code: str) -> None:
        """There is no answer."""
        self.is_over = True
        super().callee_unreachable(leg, code)

    def do_ack(self) -> None:
        leg = self.leg
        if isinstance(leg, CalleeLeg) and leg.is_answered and not self._has_acknowledged and not self.is_over:
            self._has_acknowledged = True
            leg.send_ack(self.usual_session if self.offers_late else b"")
            self.is_answered.set()
            self.endpoint.end_of_turn()

    @property
    def usual_session(self) -> bytes:
        """The first session; its description is in the ACK where the INVITE had none."""
        return describe_audio(self.host)

    def do_cancel(self) -> None:
        leg = self.leg
        if not isinstance(leg, CalleeLeg) or leg.is_answered or self.is_over or leg.transaction is None:
            return
        if leg.transaction.state == 1:  # a provisional answer has come (§9.1)
            self.is_over = True
            self.cancel()

    def give_up(self) -> None:
        """End the call, whatever it has come to."""
        self.do_ack()
        if self.is_talking:
            self.hang_up()
        else:
            self.do_cancel()


class Fork(TimerOwner):
    """A second 2xx of a carrier, with a tag of its own: repeated until its ACK comes."""

    def __init__(self, carrier: "WhimsicalCarrier", transaction: ServerTransaction, request: Request) -> None:
        self._carrier = carrier
        self._flow = transaction.flow
        self.tag = new_token()
        response = Response.to(request, 200, self.tag, carrier.session)
        response.headers["contact"] = [f"<sip:fork@{carrier.host}:5060>"]
        response.headers["content-type"] = [SDP]
        self.is_acknowledged = self.is_ended = False
        self._data = response.to_bytes()
        self._interval = carrier.endpoint.timing.t1
        self._waited = 0.0
        self.on_timer(0, 0.0)

    def on_timer(self, kind: int, now: float) -> None:
        """Send it again."""
        endpoint = self._carrier.endpoint
        if self.is_acknowledged or self._waited >= endpoint.timing.transaction:
            return
        endpoint.transactions.send_again(self._data, self._flow)
        endpoint.add_timer(self._interval, self, 0)
        self._waited += self._interval
        self._interval = min(2 * self._interval, endpoint.timing.t2)


class WhimsicalCarrier(Whims, WiredAnswerer):
    """Rings, answers, refuses, forks when it likes.

    Args:
        wire: What it is on.
        host: Its address.
        at_once: What it does as soon as it is called.
    """

    def __init__(self, wire: Wire, host: str, at_once: str) -> None:
        super().__init__(wire, host)
        self._at_once = at_once
        self.forks: dict[str, Fork] = {}
        self.is_deaf = False
        """Whether an INVITE that was taken back is not answered, against §9.2."""

    @property
    def is_talking(self) -> bool:
        """Whether the ACK has come."""
        return self.is_answered.is_set() and not self.is_over

    def invited(self, transaction: ServerTransaction, request: Request, flow: Flow) -> None:
        """Do the first thing."""
        self.invites.append(request)
        self.leg = CallerLeg(self.endpoint, transaction, request, flow, self, "")
        self.act(self._at_once)

    def handle_event(self, event: SIPEvent, now: float) -> None:
        """What belongs to a fork is not of the call."""
        if isinstance(event, AckReceived | RequestReceived) and event.request.to_tag in self.forks:
            fork = self.forks[event.request.to_tag]
            if isinstance(event, AckReceived):
                fork.is_acknowledged = True
            else:
                fork.is_ended = True
                status = 200 if event.request.method == "BYE" else 481
                self.endpoint.transactions.send_response(event.transaction, Response.to(event.request, status), now)
        else:
            super().handle_event(event, now)

    @property
    def is_ringing(self) -> bool:
        """Whether it has been called and has not answered yet."""
        return isinstance(self.leg, CallerLeg) and self.leg.request is not None

    def do_nothing(self) -> None:
        """Let it wait: 100 is sent all the same."""

    def do_not_hear(self) -> None:
        """Answer no CANCEL from now on."""
        self.is_deaf = True

    def do_ring(self) -> None:
        self._provisional(180)

    def do_progress(self) -> None:
        self._provisional(183, self.usual_session)

    def do_queue(self) -> None:
        self._provisional(182)

    def _provisional(self, status: int, body: bytes = b"") -> None:
        if self.is_ringing:
            self.leg.send_provisional(status, body)
            self.endpoint.end_of_turn()

    def do_answer(self) -> None:
        if self.is_ringing:
            self.leg.answer(self.usual_session)
            self.endpoint.end_of_turn()

    def do_fork(self) -> None:
        leg = self.leg
        if isinstance(leg, CallerLeg) and leg.request is None and leg.dialog is not None and len(self.forks) < 2:
            fork = Fork(self, leg.transaction, self.invites[-1])
            self.forks[fork.tag] = fork
            self.endpoint.end_of_turn()

    def _turn_down(self, status: int) -> None:
        if self.is_ringing:
            self.leg.send_failure(status, 31, "", {})
            self.is_over = True
            self.endpoint.end_of_turn()

    def do_moved(self) -> None:
        self._turn_down(302)

    def do_reject(self) -> None:
        self._turn_down(403)

    def do_busy(self) -> None:
        self._turn_down(486)

    def do_fail(self) -> None:
        self._turn_down(503)

    def do_decline(self) -> None:
        self._turn_down(603)

    def cancelled(self) -> None:
        """The switch has taken the INVITE back."""
        self.is_over = True
        if not self.is_deaf:
            super().cancelled()

    def caller_is_gone(self) -> None:
        """No ACK came."""
        super().caller_is_gone()
        self.is_over = True
