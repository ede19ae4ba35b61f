"""A call in progress: carries out the controller's effects with legs, live store, journal and timers."""

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from b2bua.call import digits
from b2bua.call import effects as do
from b2bua.call.anchor import NO_MEDIA, Anchor, status_of
from b2bua.call.announcement import Announcement
from b2bua.call.attempts import Attempts
from b2bua.call.callee_leg import CalleeLeg
from b2bua.call.caller_leg import CallerLeg
from b2bua.call.controller import NORMAL_CLEARING, Call, State
from b2bua.call.events import (
    Acknowledged,
    Answered,
    CallTimer,
    Cancelled,
    Event,
    HangupOrdered,
    HungUp,
    Side,
    TimerExpired,
)
from b2bua.call.exchange import OFFERING, Described, Exchange
from b2bua.call.exchanges import Exchanges
from b2bua.call.leg import ALLOW, NOBODY, Leg
from b2bua.call.parties import Parties
from b2bua.call.recording import Recording
from b2bua.call.ringback import Ringback
from b2bua.call.session_keeper import SessionKeeper
from b2bua.call.taken import Taken
from b2bua.call.transfers import Transfers
from b2bua.policy.decision import Attempt, Decision
from b2bua.sip.message import Request, Response
from b2bua.sip.timers import Timer
from b2bua.sip.transactions import ServerTransaction
from b2bua.sip.uri import join_host_port
from b2bua.transport.endpoint import TimerOwner
from cdr.record import AttemptRecord
from media.errors import MediaError
from media.sdp import audio_codecs, filter_codecs

if TYPE_CHECKING:
    from b2bua.call.driver import CallDriver


class ActiveCall(TimerOwner):
    """One call of a worker.

    Args:
        driver: What all calls share.
        call_id: UUID of the call.
        decision: What was decided.
        caller: The leg that called.
        record: Facts of the call that every attempt's record begins with.
        offer: The caller's session description, or empty.
        max_forwards: Hops left for the callee's leg.
        privacy: Privacy header that the caller's number is hidden by; empty: it may be shown.
    """

    __slots__ = (
        "_announcement",
        "_attempts",
        "_driver",
        "_exchanges",
        "_recording",
        "_ringback",
        "_sessions",
        "_taken",
        "_targets",
        "_timer",
        "anchor",
        "call",
        "call_id",
        "decision",
        "early_keys",
        "max_forwards",
        "offer",
        "parties",
        "transfers",
    )

    def __init__(
        self,
        driver: "CallDriver",
        call_id: str,
        decision: Decision,
        record: AttemptRecord,
        offer: bytes,
        max_forwards: int,
        privacy: str = "",
    ) -> None:
        self._driver = driver
        self.max_forwards = max_forwards
        self.offer = offer
        self._timer: Timer[TimerOwner] | None = None
        self.call_id = call_id
        self.decision = decision
        self.parties = Parties(int(call_id[-12:], 16), offer)
        codes = driver.failover_codes if decision.failover_codes is None else frozenset(decision.failover_codes)
        self.call = Call(decision, codes, offer_in_invite=bool(offer), funds=driver.funds_rules)
        self._taken = Taken(driver, decision)
        self._recording = Recording(driver, decision, self._taken, record)
        self._exchanges = Exchanges()
        self._attempts = Attempts(driver, privacy)
        self._sessions = SessionKeeper(self, driver.session_timer)
        self.transfers = Transfers(driver)
        self._ringback: Ringback | None = None
        self._announcement: Announcement | None = None
        """What the caller hears before its refusal, once the call is over."""
        self.early_keys: list[tuple[str, str]] = []
        """Of dialogs in which requests may come before the answer."""
        self._targets: list[str] = []
        """Where the journal says that the peers are."""
        self.anchor: Anchor | None = driver.new_anchor(call_id) if decision.is_anchored else None
        """What session descriptions go through; None: media goes from end to end."""

    @property
    def record(self) -> AttemptRecord:
        """Of the attempt under way."""
        return self._recording.record

    @property
    def caller(self) -> CallerLeg:
        """The leg that called us."""
        return self.parties.caller

    @property
    def callee(self) -> CalleeLeg | None:
        """The leg that we call, or called."""
        return self.parties.callee

    @property
    def is_announced(self) -> bool:
        """Whether the caller hears something before it is refused."""
        return self._announcement is not None

    def handle(self, event: Event) -> None:
        """Take one event and do what follows from it."""
        for effect in self.call.handle(event):
            _EFFECTS[type(effect)](self, effect)

    # What legs and timers say

    def caller_acknowledged(self, body: bytes) -> None:
        """The ACK of our 2xx came."""
        if body:
            self.parties.say(Side.CALLER, body)
        if self.anchor is None or self.offer or not body or self.parties.callee is None:
            self.handle(Acknowledged(self.parties.as_ours(body, self.parties.callee)))
        else:
            self.anchor.answer(self.parties.callee, self.parties.caller, body, self._acknowledgement_passed)

    def _acknowledgement_passed(self, result: bytes | MediaError) -> None:
        if isinstance(result, MediaError):
            self.handle(HangupOrdered(NO_MEDIA))
        else:
            self.handle(Acknowledged(self.parties.as_ours(result, self.parties.callee)))

    def caller_is_gone(self) -> None:
        """The ACK of our 2xx never came."""
        self.handle(HungUp(Side.CALLER, 102, "NO_ACK"))

    def caller_is_deaf(self) -> None:
        """A provisional answer that was sent reliably never got its PRACK."""
        self.handle(HangupOrdered("NO_PRACK"))

    def early_dialog_begun(self, leg: Leg) -> None:
        """A side may send requests before the call is answered."""
        if leg.key not in self.early_keys:
            self.early_keys.append(leg.key)
            self._driver.add_leg(leg.key, leg)

    def cancelled(self) -> None:
        """The caller gave up, before our answer or before it could be sent."""
        if self.parties.caller.is_held:
            self.parties.caller.refuse_held(487, NORMAL_CLEARING)
            self.handle(HungUp(Side.CALLER))
        else:
            self.handle(Cancelled())

    def callee_responded(self, leg: CalleeLeg, response: Response) -> None:
        """An answer to our INVITE came."""
        self._attempts.responded(self, leg, response)

    def callee_unreachable(self, leg: CalleeLeg, code: str) -> None:
        """No answer will come."""
        self._attempts.unreachable(self, leg, code)

    def pass_from_callee(
        self,
        anchor: Anchor,
        leg: CalleeLeg,
        body: bytes,
        done: Callable[[bytes | MediaError], None],
        *,
        is_early: bool = False,
    ) -> None:
        """Lead a callee's description through the engine: an answer, or the offer where the INVITE has none."""
        if self._ringback is not None and self._ringback.stop():
            self.begin_early_dialog()
        self._ringback = None
        if self.offer:
            anchor.answer(self.parties.caller, leg, body, done, is_early=is_early)
        else:
            anchor.offer(leg, self.parties.caller, body, done)

    def answered_by(self, leg: CalleeLeg, response: Response, body: bytes) -> None:
        """A callee has answered, with this session as the caller's engine or it itself describes it."""
        self.parties.callee = leg
        self.parties.say(Side.CALLEE, response.body)
        assert leg.dialog is not None
        flow = leg.transaction.flow if leg.transaction is not None else leg.flow  # a large INVITE may have gone by TCP
        self._recording.record.b_call_id, self._recording.record.b_transport = leg.dialog.call_id, flow.transport
        self._recording.record.b_address = join_host_port(leg.flow.host, leg.flow.port)
        if "session-expires" in response.headers:
            offer = self.offer if self.anchor is None else self.anchor.offered_by(self.parties.caller)
            self._sessions.begin_as_uac(leg, response, self.parties.as_ours(offer, leg))
        self._recording.record.codec_used = next(iter(audio_codecs(body)), "")
        self._recording.record.b_user_agent = response.headers.first("server") or response.headers.first("user-agent")
        self.handle(Answered(self.parties.as_ours(body, self.parties.caller)))

    def permitted(self, body: bytes) -> bytes | None:
        """A callee's session description with the codecs alone that may be spoken; None: there are none.

        An answer keeps its order; an offer (to an INVITE without one) is put into ours.
        """
        return filter_codecs(body, self.attempt.codecs, reorder=not self.offer) if body else body

    @property
    def attempt(self) -> Attempt:
        """The one under way."""
        return self.decision.attempts[self.call.attempt]

    def leg_hung_up(self, leg: Leg, cause: int | None) -> None:
        """A BYE came."""
        if self.call.state < State.ANSWERED:
            if leg is self.parties.caller:
                self.cancelled()  # a BYE in an early dialog is as good (RFC 3261 §15)
            elif isinstance(leg, CalleeLeg):
                self._attempts.hung_up(self, leg, cause)
        elif self.transfers.is_asked_by(leg):
            self.transfers.transferor_left()  # the other side waits for the new connection
        else:
            self.handle(HungUp(self.parties.side_of(leg), cause))

    # Requests within the dialogs

    def request_received(self, leg: Leg, transaction: ServerTransaction, request: Request) -> None:
        """A request to be carried on to the other leg."""
        far = self.parties.opposite(leg)
        if self.call.state < State.ANSWERED and request.method == "UPDATE":
            if self._is_too_early(leg, far, request):
                leg.answer_request(transaction, request, 500, {"retry-after": "1"})  # RFC 3311 §5.2
                return
        elif self.call.state != State.ANSWERED or far is None or far.dialog is None:
            leg.answer_request(transaction, request, 481)
            return
        assert far is not None
        if request.method == "REFER":
            self.transfers.refer_received(self, leg, far, transaction, request)
            return
        if request.method == "UPDATE" and not request.body:
            # It refreshes this leg's session and changes nothing (RFC 4028 §7.4).
            assert leg.dialog is not None
            leg.dialog.refresh_target(request)
            self.targets_refreshed()
            headers = {"contact": leg.dialog.contact, "allow": ALLOW, **self._sessions.answer_headers(leg, request)}
            leg.answer_request(transaction, request, 200, headers)
            return
        if request.method in OFFERING and (refused := self._glare(leg)):
            extra = {"retry-after": "1"} if refused == 500 else {}
            leg.answer_request(transaction, request, refused, extra)
            return
        if request.method == "INFO" and digits.press(self.anchor, leg, far, transaction, request):
            return
        exchange = Exchange(self, leg, far, transaction, request)
        self._exchanges.add(exchange)
        exchange.begin()

    def _is_too_early(self, leg: Leg, far: Leg | None, request: Request) -> bool:
        """Whether a session cannot be changed yet: its first one is not agreed on, or by another fork."""
        for each in (leg, far):
            if each is None or each.dialog is None or not each.dialog.remote_tag:
                return True
        assert leg.dialog is not None
        return self.parties.caller.is_offering or leg.dialog.remote_tag != request.from_tag

    def _glare(self, leg: Leg) -> int:
        """Status that refuses another offer while one is under way (RFC 3261 §14.2, RFC 3311 §5.2); 0: none is."""
        if status := self._exchanges.glare(leg):
            return status
        return 491 if self.parties.caller.is_unacknowledged or self.transfers.is_joining else 0

    def ack_received(self, leg: Leg, request: Request) -> bool:
        """The ACK of an INVITE within the dialog, perhaps."""
        return self._exchanges.ack_received(leg, request)

    def describe(self, body: bytes, towards: Leg, done: Described, *, is_offer: bool) -> None:
        """Tell how a leg's peer should see a session description within the dialog."""
        speaker = self.parties.opposite(towards) if self.anchor is not None else None
        self._describe(body, towards, done, self.anchor, speaker, is_offer=is_offer)

    def _describe(
        self, body: bytes, towards: Leg, done: Described, anchor: Anchor | None, speaker: Leg | None, *, is_offer: bool
    ) -> None:
        self.parties.heard_from(body, towards)
        permitted = filter_codecs(body, self.attempt.codecs, reorder=is_offer)
        if permitted is None:
            done(488)
        elif anchor is None or speaker is None:
            done(self.parties.as_ours(permitted, towards))
        elif is_offer:
            anchor.offer(speaker, towards, permitted, partial(self.described, towards, done))
        else:
            anchor.answer(towards, speaker, permitted, partial(self.described, towards, done))

    def described(self, towards: Leg, done: Described, result: bytes | MediaError) -> None:
        """What an engine has made of a description for a leg's peer."""
        done(status_of(result) if isinstance(result, MediaError) else self.parties.as_ours(result, towards))

    def exchanged(self, exchange: Exchange, body: bytes) -> dict[str, str]:
        """The session goes on as the two sides have agreed."""
        if not exchange.is_offering:
            return {}
        self.targets_refreshed()
        if exchange.request.body:
            self.answered(body)
        self._sessions.refreshed(exchange.far)
        return self._sessions.answer_headers(exchange.near, exchange.request)

    def answered(self, body: bytes) -> None:
        """A session was agreed on."""
        self._recording.record.codec_used = next(iter(audio_codecs(body)), self._recording.record.codec_used)

    def session_headers(self, leg: Leg) -> dict[str, str]:
        """Headers of a request that refreshes a leg's session."""
        return self._sessions.request_headers(leg)

    def is_exchanging(self) -> bool:
        """Whether an offer is under way."""
        return self._exchanges.is_offering or self.parties.caller.is_unacknowledged or self.transfers.is_joining

    def session_expired(self, leg: Leg) -> None:
        """A side has not refreshed its session."""
        self.dialog_is_gone(leg, "SESSION_EXPIRED")

    def exchange_ended(self, exchange: Exchange) -> None:
        """Nothing more comes of it."""
        self._exchanges.remove(exchange)

    def dialog_is_gone(self, leg: Leg, text: str) -> None:
        """A side knows nothing of the call any more."""
        if self.transfers.is_asked_by(leg):
            self.transfers.transferor_left()
        else:
            self.handle(HungUp(self.parties.side_of(leg), 102, text))

    def leg_replaced(self, leg: Leg) -> None:
        """Another leg has taken the place of one."""
        self._sessions.drop(leg)
        self._recording.note_dialogs(self._dialog_records(), self._media_names())

    def next_media(self) -> str:
        """Name of the engine's next call for this one."""
        name, _, number = self.anchor.name.partition(".") if self.anchor is not None else (self.call_id, "", "")
        return f"{name}.{int(number or 0) + 1}"

    # Taking a callee over from another call

    def can_hand_over(self, leg: Leg) -> bool:
        """Whether another call may take over the callee of this one, whose caller is on a leg (RFC 3891 §3)."""
        return (
            self.call.state == State.ANSWERED
            and leg is self.parties.on(Side.CALLER)
            and isinstance(self.parties.on(Side.CALLEE), CalleeLeg)
            and self.transfers.current is None
            and not self.is_exchanging()
        )

    def take_over(self, old: "ActiveCall") -> None:
        """Take over the callee of a call of the same account, which ends; to be done before anything else."""
        self._attempts.custody.take(self, old)

    def on_timer(self, kind: int, now: float) -> None:
        """The call's timer ran out."""
        self._timer = None
        timer = CallTimer(kind)
        if not self._attempts.timed_out(self, timer):
            self.handle(TimerExpired(timer, self.talked()))

    def talked(self) -> float:
        """Seconds since the answer."""
        answered_at = self._recording.record.answered_at
        return 0.0 if answered_at is None else max(0.0, time.time() - answered_at)

    # Effects: live store

    def _admit(self, effect: do.Admit) -> None:
        self._taken.admit(self, take_sessions=effect.take_sessions)

    def _extend_funds(self, effect: do.ExtendFunds) -> None:
        self._taken.extend(self, effect.seconds)

    def _release(self, _: do.Release) -> None:
        self._taken.release()

    def _release_funds(self, _: do.ReleaseFunds) -> None:
        self._taken.release_funds()

    def _admit_carrier(self, effect: do.AdmitCarrier) -> None:
        self._recording.begin_attempt(effect.attempt + 1)
        attempt = self.decision.attempts[effect.attempt]
        self._taken.admit_carrier(self, attempt, is_reached=self._attempts.custody.leg is not None)

    def _release_carrier(self, effect: do.ReleaseCarrier) -> None:
        self._taken.release_carrier(self.decision.attempts[effect.attempt])

    # Effects: signalling

    def _send_invite(self, effect: do.SendInvite) -> None:
        self._attempts.begin(self, effect.attempt)

    def _send_on(self, _: do.SendOn) -> None:
        self._attempts.send_on(self)

    def begin_early_dialog(self) -> None:
        """Somebody else is called: what was said to the one before leads to nothing."""
        self._exchanges.abandon()
        self.parties.caller.new_attempt()

    def _send_cancel(self, _: do.SendCancel) -> None:
        self._attempts.abandon()

    def _send_ack(self, effect: do.SendAck) -> None:
        # One that comes from another call has been acknowledged long ago.
        if self.parties.callee is not None and not self.parties.callee.is_acknowledged:
            self.parties.callee.send_ack(effect.body)

    def _send_provisional(self, effect: do.SendProvisional) -> None:
        if self._driver.ringback and self.anchor is not None and self.offer and not effect.body and not self._ringback:
            self._ringback = Ringback(self._driver, self.anchor, self.parties, effect.status)
            self._ringback.begin(filter_codecs(self.offer, self.attempt.codecs) or b"")
        else:
            self.parties.caller.send_provisional(effect.status, effect.body)

    def _send_answer(self, effect: do.SendAnswer) -> None:
        request = self.parties.caller.request
        headers = self._sessions.begin_as_uas(self.parties.caller, request, effect.body) if request is not None else {}
        self.parties.caller.answer(effect.body, headers)
        self._driver.add_dialogs(self)

    def _send_failure(self, effect: do.SendFailure) -> None:
        disposition = effect.disposition
        extra = {"retry-after": str(disposition.retry_after)} if disposition.retry_after is not None else {}
        caller = self.parties.caller
        if self.record.account_id is not None:
            self._announcement = self._driver.announcements.prepare(self.call_id, caller, disposition, extra)
        if self._announcement is None:
            caller.send_failure(disposition.status, disposition.cause, disposition.code, extra)

    def _send_bye(self, effect: do.SendBye) -> None:
        leg = self.parties.on(effect.side)
        if leg is not None and not self.transfers.has_left(leg):
            leg.send_bye(effect.cause, effect.text)

    def _start_timer(self, effect: do.StartTimer) -> None:
        if self._timer is not None:
            self._driver.endpoint.wheel.cancel(self._timer)
        self._timer = self._driver.endpoint.add_timer(effect.seconds, self, effect.timer)

    def _stop_timer(self, _: do.StopTimer) -> None:
        if self._timer is not None:
            self._driver.endpoint.wheel.cancel(self._timer)
            self._timer = None

    # Effects: records

    def _record_ringing(self, _: do.RecordRinging) -> None:
        self._recording.ringing()

    def _record_answer(self, _: do.RecordAnswer) -> None:
        self._recording.answered(self._dialog_records(), self.attempt, self._media_names())

    def answered_line(self) -> dict[str, Any]:
        """The journal line that lets a successor of this process end the call."""
        return self._recording.answered_line(self._dialog_records(), self.attempt, self._media_names())

    def _media_names(self) -> list[str]:
        """What engines know the call by."""
        return [] if self.anchor is None else [self.anchor.name]

    def targets_refreshed(self) -> None:
        """A peer has said where it is; the journal has to know that when it is somewhere else than before."""
        if self.call.state == State.ANSWERED and self._targets != [
            dialog.remote_target for dialog in self.parties.dialogs
        ]:
            self._recording.note_dialogs(self._dialog_records(), self._media_names())

    def _dialog_records(self) -> list[dict[str, Any]]:
        dialogs = self.parties.dialogs
        self._targets = [dialog.remote_target for dialog in dialogs]
        return [dialog.to_record() for dialog in dialogs]

    def _record_failure(self, effect: do.RecordFailure) -> None:
        self._recording.failed(effect.disposition, is_last=effect.is_last, ended_by=effect.ended_by)

    def _record_end(self, effect: do.RecordEnd) -> None:
        self._recording.ended(self.attempt, effect.cause, effect.ended_by, effect.reason)

    def _forget(self, _: do.Forget) -> None:
        self._exchanges.abandon()
        self._sessions.stop()
        self.transfers.abandon()
        if self.anchor is not None:
            self._end_anchor(self.anchor)
        self._driver.forget(self)
        # Late messages find the legs through their transactions; the call itself is freed at once.
        self.parties.caller.outlive_call(self._driver.remove_dialog)
        for leg in (*self.parties.legs, *self._attempts.legs):
            leg.user = NOBODY
        self._attempts.custody.end()
        if self._announcement is not None:
            self._announcement.begin()

    def _end_anchor(self, anchor: Anchor) -> None:
        legs = self.parties.on(Side.CALLER), self.parties.on(Side.CALLEE)
        if self._recording.record.answered_at is None or legs[0] is None or legs[1] is None:
            anchor.end()
            return
        record = self._recording.record
        tags = anchor.tag_of(legs[0]), anchor.tag_of(legs[1])
        which = record.call_id, record.attempt, record.received_at, record.duration
        anchor.end(partial(self._driver.media_reported, *which, tags))

    def to_live(self) -> dict[str, Any]:
        """The call as the control interface shows it."""
        record = self._recording.record
        state = {State.RINGING: "ringing", State.ANSWERED: "answered"}.get(self.call.state, "trying")
        account = self.decision.account
        attempt = self.decision.attempts[self.call.attempt] if self.call.attempt >= 0 else None
        return {
            "call_id": self.call_id,
            "worker": record.worker,
            "account": account.code if account else "",
            "account_id": record.account_id,
            "account_chain": record.account_chain,
            "device": record.device,
            "source": record.source_received,
            "destination": record.destination_received,
            "carrier": attempt.carrier.code if attempt and attempt.carrier else "",
            "gateway": attempt.gateway.name if attempt else "",
            "attempt": self.call.attempt + 1,
            "state": state,
            "received_at": record.received_at,
            "answered_at": record.answered_at,
        }


_EFFECTS: Final[Mapping[type, Callable[[ActiveCall, Any], None]]] = {
    do.Admit: ActiveCall._admit,
    do.Release: ActiveCall._release,
    do.ExtendFunds: ActiveCall._extend_funds,
    do.ReleaseFunds: ActiveCall._release_funds,
    do.AdmitCarrier: ActiveCall._admit_carrier,
    do.ReleaseCarrier: ActiveCall._release_carrier,
    do.SendInvite: ActiveCall._send_invite,
    do.SendOn: ActiveCall._send_on,
    do.SendCancel: ActiveCall._send_cancel,
    do.SendAck: ActiveCall._send_ack,
    do.SendProvisional: ActiveCall._send_provisional,
    do.SendAnswer: ActiveCall._send_answer,
    do.SendFailure: ActiveCall._send_failure,
    do.SendBye: ActiveCall._send_bye,
    do.StartTimer: ActiveCall._start_timer,
    do.StopTimer: ActiveCall._stop_timer,
    do.RecordRinging: ActiveCall._record_ringing,
    do.RecordAnswer: ActiveCall._record_answer,
    do.RecordFailure: ActiveCall._record_failure,
    do.RecordEnd: ActiveCall._record_end,
    do.Forget: ActiveCall._forget,
}
