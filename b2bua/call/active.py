"""A call in progress: carries out the controller's effects with legs, live store, journal and timers."""

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from b2bua.call import digits
from b2bua.call import effects as do
from b2bua.call.anchor import NO_MEDIA, Anchor, code_of, status_of
from b2bua.call.branches import Branches, Failure
from b2bua.call.callee_leg import CalleeLeg
from b2bua.call.caller_leg import CallerLeg
from b2bua.call.controller import NORMAL_CLEARING, Call, State
from b2bua.call.custody import Custody
from b2bua.call.disposition import STOPS
from b2bua.call.events import (
    Acknowledged,
    Answered,
    AttemptFailed,
    CallTimer,
    Cancelled,
    Event,
    HangupOrdered,
    HungUp,
    Progressed,
    SentOn,
    Side,
    TimerExpired,
)
from b2bua.call.exchange import OFFERING, Described, Exchange
from b2bua.call.exchanges import Exchanges
from b2bua.call.invitation import asked_for, shown_caller
from b2bua.call.leg import ALLOW, NOBODY, Leg
from b2bua.call.parties import Parties
from b2bua.call.places import Places
from b2bua.call.recording import Recording
from b2bua.call.session_keeper import SessionKeeper
from b2bua.call.taken import Taken
from b2bua.call.transfers import Transfers
from b2bua.policy.decision import Attempt, Contact, Decision
from b2bua.sip.digest_client import DigestClient
from b2bua.sip.message import Request, Response
from b2bua.sip.reason import q850_cause
from b2bua.sip.timers import Timer
from b2bua.sip.transactions import ServerTransaction
from b2bua.sip.uri import escape_user, join_host_port
from b2bua.transport.endpoint import TimerOwner, new_token
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
        "_branches",
        "_custody",
        "_driver",
        "_exchanges",
        "_places",
        "_privacy",
        "_recording",
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
        self._privacy = privacy
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
        self._branches = Branches()
        self._places = Places(driver)
        self._sessions = SessionKeeper(self, driver.session_timer)
        self.transfers = Transfers(driver)
        self._custody = Custody(driver)
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
        if leg not in self._branches.legs:
            return
        status = response.status
        if status < 200:
            body = self.permitted(response.body) or b""
            if body and self.anchor is not None:
                self.pass_from_callee(self.anchor, leg, body, partial(self._progressed, leg, status))
            else:
                self.handle(Progressed(status, self.parties.as_ours(body, self.parties.caller)))
        elif status < 300:
            self._callee_answered(leg, response)
        else:
            self._places.refused(self.attempt, response)
            self._branch_failed(leg, status, q850_cause(response.headers))

    def pass_from_callee(
        self, anchor: Anchor, leg: CalleeLeg, body: bytes, done: Callable[[bytes | MediaError], None]
    ) -> None:
        """Lead a callee's description through the engine: an answer, or the offer where the INVITE has none."""
        if self.offer:
            anchor.answer(self.parties.caller, leg, body, done)
        else:
            anchor.offer(leg, self.parties.caller, body, done)

    def _progressed(self, leg: CalleeLeg, status: int, result: bytes | MediaError) -> None:
        if leg in self._branches.legs:
            body = b"" if isinstance(result, MediaError) else result  # it rings all the same
            self.handle(Progressed(status, self.parties.as_ours(body, self.parties.caller)))

    def _branch_failed(self, leg: CalleeLeg, status: int, cause: int | None, code: str = "") -> None:
        whole = self._branches.fail(leg, status, cause, code)
        if whole is None:
            return
        self._recording.record.sip_code = whole[0]
        if (self._places.has_redirection and whole[0] not in STOPS) or self._places.takes_next_server(status, code):
            self.handle(SentOn())
        else:
            self._attempt_failed(whole)

    def _attempt_failed(self, whole: Failure) -> None:
        if 300 <= whole[0] < 400 and self.attempt.gateway.follows_redirects:
            whole = (0, None, "TRANSPORT_FAILURE")  # it has led to nowhere
        self.handle(AttemptFailed(*whole))

    def _callee_answered(self, leg: CalleeLeg, response: Response) -> None:
        body = self.permitted(response.body)
        if body is None:
            leg.refuse_answer(65, "CODEC_NOT_ALLOWED")
            self._branch_failed(leg, 0, None, "CODEC_NOT_ALLOWED")
            return
        self._branches.win(leg)
        self._places.answered()
        if self.anchor is None:
            self.answered_by(leg, response, body)
            return
        self.early_dialog_begun(leg)  # it may hang up meanwhile
        # One that came while it rang is passed again: it may have been silent for long, or another leg's is newer.
        asked = body or self.anchor.last_answer(leg)
        if asked:
            done = partial(self._answer_passed, leg, response, has_session=bool(body))
            self.pass_from_callee(self.anchor, leg, asked, done)
        else:
            self.answered_by(leg, response, body)

    def _answer_passed(
        self, leg: CalleeLeg, response: Response, result: bytes | MediaError, *, has_session: bool
    ) -> None:
        if leg not in self._branches.legs:
            return
        if isinstance(result, MediaError):
            leg.refuse_answer(47, code_of(result))
            self._branch_failed(leg, 0, None, code_of(result))
        else:
            self.answered_by(leg, response, result if has_session else b"")

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

    def _note_silence(self) -> None:
        gateway_id = self.attempt.gateway.id
        if gateway_id and self._places.is_spent:
            self._driver.health.silent(gateway_id)

    def callee_unreachable(self, leg: CalleeLeg, code: str) -> None:
        """No answer will come."""
        if leg in self._branches.legs:
            self._note_silence()
            self._branch_failed(leg, 0, None, code)

    def leg_hung_up(self, leg: Leg, cause: int | None) -> None:
        """A BYE came."""
        if self.call.state < State.ANSWERED:
            if leg is self.parties.caller:
                self.cancelled()  # a BYE in an early dialog is as good (RFC 3261 §15)
            elif isinstance(leg, CalleeLeg) and leg.is_answered and leg in self._branches.legs:
                self._branch_failed(leg, 480, cause)  # its answer still waits for the media engine
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
        self._custody.take(self, old)

    def on_timer(self, kind: int, now: float) -> None:
        """The call's timer ran out."""
        self._timer = None
        if kind == CallTimer.SILENCE:
            self._note_silence()
        if (self._places.has_redirection and kind in (CallTimer.SILENCE, CallTimer.PROGRESS)) or (
            kind == CallTimer.SILENCE and self._places.takes_next_server(0, "NO_RESPONSE")
        ):
            self._branches.abandon()
            self.handle(SentOn())
            return
        self.handle(TimerExpired(CallTimer(kind), self.talked()))

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
        self._taken.admit_carrier(self, attempt, is_reached=self._custody.leg is not None)

    def _release_carrier(self, effect: do.ReleaseCarrier) -> None:
        self._taken.release_carrier(self.decision.attempts[effect.attempt])

    # Effects: signalling

    def _send_invite(self, effect: do.SendInvite) -> None:
        driver = self._driver
        attempt = self.decision.attempts[effect.attempt]
        gateway = attempt.gateway
        if effect.attempt:
            self._begin_early_dialog()
        record = self._recording.record
        record.attempt = effect.attempt + 1
        if attempt.carrier is not None:
            record.carrier_id, record.gateway_id = attempt.carrier.id, gateway.id
        record.source_sent, record.destination_sent = attempt.source, attempt.destination
        self._branches.begin()
        self._places.begin()
        if self._custody.leg is not None:
            self._custody.invite(self, self._custody.leg, attempt)
            return
        places = self._places.first(attempt)
        offer = filter_codecs(self.offer, attempt.codecs) if self.offer else self.offer
        if not places or offer is None:
            self.handle(AttemptFailed(0, None, "CODEC_NOT_ALLOWED" if places else "TRANSPORT_FAILURE"))
            return
        if attempt.carrier is not None and self.decision.kind != "emergency":
            if driver.health.is_down(gateway):
                # Another call went to try it, after this one was decided on.
                self.handle(AttemptFailed(0, None, "NO_RESPONSE"))
                return
            driver.health.tried(gateway.id)
        legs = [CalleeLeg(driver.endpoint, place.flow, self, driver.user_agent) for place in places]
        for leg in legs:
            leg.gateway_id, leg.media = gateway.id, gateway.media
            self._branches.add(leg)
        self.parties.callee = legs[0]
        if self.anchor is None:
            self._anchor_as_needed(attempt, places)
        self._invite_all(list(zip(legs, places, strict=True)), attempt, offer)

    def _anchor_as_needed(self, attempt: Attempt, places: list[Contact]) -> None:
        """Let media go through an engine where it would not find a telephone behind NAT, or is to be converted."""
        driver = self._driver
        is_hidden = attempt.contacts and driver.anchors_nat and any(place.flow.is_behind_nat for place in places)
        is_converted = attempt.gateway.media.needs_engine or self.caller.media.needs_engine
        if (is_hidden or is_converted) and driver.has_media:
            self.anchor = driver.new_anchor(self.call_id)

    def _invite_all(self, calls: list[tuple[CalleeLeg, Contact]], attempt: Attempt, offer: bytes) -> None:
        """Call the places of an attempt, with one offer for all."""
        if self.anchor is None and attempt.gateway.media.needs_encryption:
            self._branches.abandon()
            self.handle(AttemptFailed(0, None, NO_MEDIA))
        elif self.anchor is None:
            for leg, place in calls:
                self._invite(leg, place, attempt, offer)
        elif offer:
            self.anchor.offer(
                self.parties.caller, calls[0][0], offer, partial(self._offer_passed, calls, attempt, offer)
            )
        else:
            self._renew_anchor()
            self._offer_passed(calls, attempt, offer, offer)

    def _renew_anchor(self) -> None:
        """Whoever was called before has made an offer, and has gone: the next one's is the first again."""
        if self.anchor is not None and self.anchor.is_begun:
            self.anchor.end()
            self.anchor = self._driver.new_anchor(self.next_media())

    def _offer_passed(
        self, calls: list[tuple[CalleeLeg, Contact]], attempt: Attempt, offer: bytes, result: bytes | MediaError
    ) -> None:
        left = [(leg, place) for leg, place in calls if leg in self._branches.legs]
        if not left:
            return  # given up meanwhile
        if isinstance(result, MediaError):
            code, must_pass = code_of(result), self.anchor is None or self.decision.must_be_anchored
            if self.anchor is not None and not must_pass:
                # Nobody has asked for it: such a call goes from end to end rather than not at all.
                self.anchor.end()
                self.anchor = None
            if must_pass or attempt.gateway.media.needs_encryption:
                self._branches.abandon()
                self.handle(AttemptFailed(0, None, code))
                return
            result = offer
        for leg, place in left:
            self._invite(leg, place, attempt, result)

    def _begin_early_dialog(self) -> None:
        """Somebody else is called: what was said to the one before leads to nothing."""
        self._exchanges.abandon()
        self.parties.caller.new_attempt()

    def _send_on(self, _: do.SendOn) -> None:
        """Call the next place that the gateway has named, or its next server."""
        self._begin_early_dialog()
        attempt = self.attempt
        offer = filter_codecs(self.offer, attempt.codecs) if self.offer else self.offer
        assert offer is not None  # it was sent to the gateway
        place = self._places.next(attempt)
        if place is None:
            self._attempt_failed(self._branches.best)
            return
        leg = self.parties.callee = CalleeLeg(self._driver.endpoint, place.flow, self, self._driver.user_agent)
        leg.media = attempt.gateway.media
        if not self._places.is_sent_on:
            leg.gateway_id = attempt.gateway.id
        self._recording.record.sip_code = 0
        self._branches.add(leg)
        self._invite_all([(leg, place)], attempt, offer)

    def _invite(self, leg: CalleeLeg, place: Contact, attempt: Attempt, offer: bytes) -> None:
        record, gateway = self._recording.record, attempt.gateway
        # Only the gateway itself may ask for what we prove to it.
        if gateway.login is not None and (not self._places.is_sent_on or place.flow.host == gateway.host):
            leg.proof = DigestClient(gateway.login.username, gateway.login.secret, new_token)
        who = shown_caller(self._driver, attempt, leg.flow, self.parties.caller.request, self._privacy)
        address = leg.flow.address
        to = f"<sip:{escape_user(attempt.destination)}@{self._places.domain or address}>"
        asked = asked_for(self._driver, self.decision.account, attempt, place, has_offer=bool(self.offer))
        extra = who.headers | asked
        dialog = leg.send_invite(place.uri, who.caller, to, self.max_forwards, self.parties.as_ours(offer, leg), extra)
        self._driver.ladders.join(self.call_id, dialog.call_id)
        if leg is self.parties.callee:
            record.b_call_id, record.b_transport, record.b_address = dialog.call_id, leg.flow.transport, address

    def _send_cancel(self, _: do.SendCancel) -> None:
        self._branches.abandon()

    def _send_ack(self, effect: do.SendAck) -> None:
        # One that comes from another call has been acknowledged long ago.
        if self.parties.callee is not None and not self.parties.callee.is_acknowledged:
            self.parties.callee.send_ack(effect.body)

    def _send_provisional(self, effect: do.SendProvisional) -> None:
        self.parties.caller.send_provisional(effect.status, effect.body)

    def _send_answer(self, effect: do.SendAnswer) -> None:
        request = self.parties.caller.request
        headers = self._sessions.begin_as_uas(self.parties.caller, request, effect.body) if request is not None else {}
        self.parties.caller.answer(effect.body, headers)
        self._driver.add_dialogs(self)

    def _send_failure(self, effect: do.SendFailure) -> None:
        disposition = effect.disposition
        extra = {"retry-after": str(disposition.retry_after)} if disposition.retry_after is not None else {}
        self.parties.caller.send_failure(disposition.status, disposition.cause, disposition.code, extra)

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
        for leg in (*self.parties.legs, *self._branches.legs):
            leg.user = NOBODY
        self._custody.end()

    def _end_anchor(self, anchor: Anchor) -> None:
        legs = self.parties.on(Side.CALLER), self.parties.on(Side.CALLEE)
        if self._recording.record.answered_at is None or legs[0] is None or legs[1] is None:
            anchor.end()
            return
        record = self._recording.record
        tags = anchor.tag_of(legs[0]), anchor.tag_of(legs[1])
        anchor.end(partial(self._driver.media_reported, record.call_id, record.attempt, record.received_at, tags))

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
