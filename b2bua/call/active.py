"""A call in progress: carries out the controller's effects with legs, live store, journal and timers."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final

from b2bua.call import effects as do
from b2bua.call.anchor import NO_MEDIA, Anchor, code_of, status_of
from b2bua.call.branches import Branches, Failure
from b2bua.call.callee_leg import CalleeLeg
from b2bua.call.caller_identity import CallerIdentity, present
from b2bua.call.caller_leg import CallerLeg
from b2bua.call.controller import NORMAL_CLEARING, Call, State
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
    Replaced,
    SentOn,
    Side,
    TimerExpired,
)
from b2bua.call.exchange import OFFERING, Described, Exchange
from b2bua.call.forwarding import HEADER as FORWARD_HEADER
from b2bua.call.gateway_location import Servers
from b2bua.call.leg import ALLOW, NOBODY, Leg
from b2bua.call.parties import Parties
from b2bua.call.recording import Recording
from b2bua.call.redirection import Redirections
from b2bua.call.reinvite import ReInvite
from b2bua.call.reliable_ringing import offer_tags
from b2bua.call.session_keeper import SessionKeeper
from b2bua.call.session_timer import request_headers
from b2bua.call.taken import Taken
from b2bua.call.transfer import REPLACES, Transfer, read_refer_to
from b2bua.policy.accounts import Account
from b2bua.policy.decision import Attempt, Contact, Decision
from b2bua.sip.digest_client import DigestClient
from b2bua.sip.errors import ParseError
from b2bua.sip.flow import DEFAULT_PORT, Flow, Trust
from b2bua.sip.headers import Headers
from b2bua.sip.message import Request, Response
from b2bua.sip.reason import q850_cause
from b2bua.sip.timers import Timer
from b2bua.sip.transactions import ServerTransaction
from b2bua.sip.uri import URI, escape_user, join_host_port
from b2bua.transport.endpoint import TimerOwner, new_token
from cdr.record import AttemptRecord
from media.errors import MediaError
from media.sdp import audio_codecs, filter_codecs, is_same_media, resume

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
        "_max_forwards",
        "_offer",
        "_privacy",
        "_recording",
        "_redirections",
        "_servers",
        "_sessions",
        "_taken",
        "_targets",
        "_timer",
        "_transfer",
        "anchor",
        "call",
        "call_id",
        "decision",
        "early_keys",
        "parties",
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
        self._max_forwards = max_forwards
        self._offer = offer
        self._timer: Timer[TimerOwner] | None = None
        self.call_id = call_id
        self.decision = decision
        self.parties = Parties(int(call_id[-12:], 16), offer)
        codes = driver.failover_codes if decision.failover_codes is None else frozenset(decision.failover_codes)
        self.call = Call(decision, codes, offer_in_invite=bool(offer), funds=driver.funds_rules)
        self._taken = Taken(driver, decision)
        self._recording = Recording(driver, decision, self._taken, record)
        self._exchanges: list[Exchange] = []
        self._branches = Branches()
        self._redirections = Redirections()
        self._servers: Servers | None = None
        """Those of the attempt's gateway, where it has a name."""
        self._sessions = SessionKeeper(self, driver.session_timer)
        self._transfer: Transfer | None = None
        self._custody: CalleeLeg | None = None
        """A callee taken over from another call, until this one is answered."""
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
        if self.anchor is None or self._offer or not body or self.callee is None:
            self.handle(Acknowledged(self.parties.as_ours(body, self.callee)))
        else:
            self.anchor.answer(self.callee, self.caller, body, self._acknowledgement_passed)

    def _acknowledgement_passed(self, result: bytes | MediaError) -> None:
        if isinstance(result, MediaError):
            self.handle(HangupOrdered(NO_MEDIA))
        else:
            self.handle(Acknowledged(self.parties.as_ours(result, self.callee)))

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
        if self.caller.is_held:
            self.caller.refuse_held(487, NORMAL_CLEARING)
            self.handle(HungUp(Side.CALLER))
        else:
            self.handle(Cancelled())

    def callee_responded(self, leg: CalleeLeg, response: Response) -> None:
        """An answer to our INVITE came."""
        if leg not in self._branches.legs:
            return
        status = response.status
        if status < 200:
            body = self._permitted(response.body) or b""
            if body and self.anchor is not None:
                self._pass_from_callee(self.anchor, leg, body, partial(self._progressed, leg, status))
            else:
                self.handle(Progressed(status, self.parties.as_ours(body, self.caller)))
        elif status < 300:
            self._callee_answered(leg, response)
        else:
            if status < 400 and self._attempt.gateway.follows_redirects:
                self._redirections.note(response)
            elif status == 503 and self._servers is not None:
                self._servers.refused(response)
            self._branch_failed(leg, status, q850_cause(response.headers))

    def _pass_from_callee(
        self, anchor: Anchor, leg: CalleeLeg, body: bytes, done: Callable[[bytes | MediaError], None]
    ) -> None:
        """Lead a callee's description through the engine: an answer, or the offer where the INVITE has none."""
        if self._offer:
            anchor.answer(self.caller, leg, body, done)
        else:
            anchor.offer(leg, self.caller, body, done)

    def _progressed(self, leg: CalleeLeg, status: int, result: bytes | MediaError) -> None:
        if leg in self._branches.legs:
            body = b"" if isinstance(result, MediaError) else result  # it rings all the same
            self.handle(Progressed(status, self.parties.as_ours(body, self.caller)))

    def _branch_failed(self, leg: CalleeLeg, status: int, cause: int | None, code: str = "") -> None:
        whole = self._branches.fail(leg, status, cause, code)
        if whole is None:
            return
        self.record.sip_code = whole[0]
        if (self._redirections.has_left and whole[0] not in STOPS) or self._takes_next_server(status, code):
            self.handle(SentOn())
        else:
            self._attempt_failed(whole)

    def _takes_next_server(self, status: int, code: str) -> bool:
        """Whether there is another server of the gateway's name, now that one has failed (RFC 3263 §4.3)."""
        is_failed = status == 503 or code in ("NO_RESPONSE", "TRANSPORT_FAILURE")
        servers = None if self._redirections.is_sent_on else self._servers
        return is_failed and servers is not None and servers.fail() is not None

    def _attempt_failed(self, whole: Failure) -> None:
        if 300 <= whole[0] < 400 and self._attempt.gateway.follows_redirects:
            whole = (0, None, "TRANSPORT_FAILURE")  # it has led to nowhere
        self.handle(AttemptFailed(*whole))

    def _callee_answered(self, leg: CalleeLeg, response: Response) -> None:
        body = self._permitted(response.body)
        if body is None:
            leg.refuse_answer(65, "CODEC_NOT_ALLOWED")
            self._branch_failed(leg, 0, None, "CODEC_NOT_ALLOWED")
            return
        self._branches.win(leg)
        if self._servers is not None and not self._redirections.is_sent_on:
            self._servers.answered()
        if self.anchor is None:
            self._answered_by(leg, response, body)
            return
        self.early_dialog_begun(leg)  # it may hang up meanwhile
        # One that came while it rang is passed again: it may have been silent for long, or another leg's is newer.
        asked = body or self.anchor.last_answer(leg)
        if asked:
            done = partial(self._answer_passed, leg, response, has_session=bool(body))
            self._pass_from_callee(self.anchor, leg, asked, done)
        else:
            self._answered_by(leg, response, body)

    def _answer_passed(
        self, leg: CalleeLeg, response: Response, result: bytes | MediaError, *, has_session: bool
    ) -> None:
        if leg not in self._branches.legs:
            return
        if isinstance(result, MediaError):
            leg.refuse_answer(47, code_of(result))
            self._branch_failed(leg, 0, None, code_of(result))
        else:
            self._answered_by(leg, response, result if has_session else b"")

    def _answered_by(self, leg: CalleeLeg, response: Response, body: bytes) -> None:
        self.parties.callee = leg
        self.parties.say(Side.CALLEE, response.body)
        assert leg.dialog is not None
        flow = leg.transaction.flow if leg.transaction is not None else leg.flow  # a large INVITE may have gone by TCP
        self.record.b_call_id, self.record.b_transport = leg.dialog.call_id, flow.transport
        self.record.b_address = join_host_port(leg.flow.host, leg.flow.port)
        if "session-expires" in response.headers:
            offer = self._offer if self.anchor is None else self.anchor.offered_by(self.caller)
            self._sessions.begin_as_uac(leg, response, self.parties.as_ours(offer, leg))
        self.record.codec_used = next(iter(audio_codecs(body)), "")
        self.record.b_user_agent = response.headers.first("server") or response.headers.first("user-agent")
        self.handle(Answered(self.parties.as_ours(body, self.caller)))

    def _permitted(self, body: bytes) -> bytes | None:
        """A callee's session description with the codecs alone that may be spoken; None: there are none.

        An answer keeps its order; an offer (to an INVITE without one) is put into ours.
        """
        return filter_codecs(body, self._attempt.codecs, reorder=not self._offer) if body else body

    @property
    def _attempt(self) -> Attempt:
        return self.decision.attempts[self.call.attempt]

    def _note_silence(self) -> None:
        if self._redirections.is_sent_on or (self._servers is not None and self._servers.has_left):
            return  # the gateway is more than what is silent
        gateway_id = self._attempt.gateway.id
        if gateway_id:
            self._driver.health.silent(gateway_id)

    def callee_unreachable(self, leg: CalleeLeg, code: str) -> None:
        """No answer will come."""
        if leg in self._branches.legs:
            self._note_silence()
            self._branch_failed(leg, 0, None, code)

    def leg_hung_up(self, leg: Leg, cause: int | None) -> None:
        """A BYE came."""
        if self.call.state < State.ANSWERED:
            if leg is self.caller:
                self.cancelled()  # a BYE in an early dialog is as good (RFC 3261 §15)
            elif isinstance(leg, CalleeLeg) and leg.is_answered and leg in self._branches.legs:
                self._branch_failed(leg, 480, cause)  # its answer still waits for the media engine
        elif self._transfer is not None and leg is self._transfer.transferor:
            self._transfer.transferor_left()  # the other side waits for the new connection
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
            self._refer_received(leg, far, transaction, request)
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
        exchange = Exchange(self, leg, far, transaction, request)
        self._exchanges.append(exchange)
        exchange.begin()

    def _is_too_early(self, leg: Leg, far: Leg | None, request: Request) -> bool:
        """Whether a session cannot be changed yet: its first one is not agreed on, or by another fork."""
        for each in (leg, far):
            if each is None or each.dialog is None or not each.dialog.remote_tag:
                return True
        assert leg.dialog is not None
        return self.caller.is_offering or leg.dialog.remote_tag != request.from_tag

    def _glare(self, leg: Leg) -> int:
        """Status that refuses another offer while one is under way (RFC 3261 §14.2, RFC 3311 §5.2); 0: none is."""
        for exchange in self._exchanges:
            if exchange.is_offering:
                return 500 if exchange.near is leg else 491
        return 491 if self.caller.is_unacknowledged or self._is_joining else 0

    def ack_received(self, leg: Leg, request: Request) -> bool:
        """The ACK of an INVITE within the dialog, perhaps."""
        for exchange in self._exchanges:
            if exchange.near is leg and exchange.method == "INVITE" and exchange.request.cseq == request.cseq:
                exchange.receive_ack(request)
                return True
        return False

    def describe(self, body: bytes, towards: Leg, done: Described, *, is_offer: bool) -> None:
        """Tell how a leg's peer should see a session description within the dialog."""
        speaker = self.parties.opposite(towards) if self.anchor is not None else None
        self._describe(body, towards, done, self.anchor, speaker, is_offer=is_offer)

    def _describe(
        self, body: bytes, towards: Leg, done: Described, anchor: Anchor | None, speaker: Leg | None, *, is_offer: bool
    ) -> None:
        self.parties.heard_from(body, towards)
        permitted = filter_codecs(body, self._attempt.codecs, reorder=is_offer)
        if permitted is None:
            done(488)
        elif anchor is None or speaker is None:
            done(self.parties.as_ours(permitted, towards))
        elif is_offer:
            anchor.offer(speaker, towards, permitted, partial(self._described, towards, done))
        else:
            anchor.answer(towards, speaker, permitted, partial(self._described, towards, done))

    def _described(self, towards: Leg, done: Described, result: bytes | MediaError) -> None:
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
        self.record.codec_used = next(iter(audio_codecs(body)), self.record.codec_used)

    def session_headers(self, leg: Leg) -> dict[str, str]:
        """Headers of a request that refreshes a leg's session."""
        return self._sessions.request_headers(leg)

    def is_exchanging(self) -> bool:
        """Whether an offer is under way."""
        is_offering = any(exchange.is_offering for exchange in self._exchanges)
        return is_offering or self.caller.is_unacknowledged or self._is_joining

    def session_expired(self, leg: Leg) -> None:
        """A side has not refreshed its session."""
        self.dialog_is_gone(leg, "SESSION_EXPIRED")

    def exchange_ended(self, exchange: Exchange) -> None:
        """Nothing more comes of it."""
        if exchange in self._exchanges:
            self._exchanges.remove(exchange)

    def dialog_is_gone(self, leg: Leg, text: str) -> None:
        """A side knows nothing of the call any more."""
        if self._transfer is not None and leg is self._transfer.transferor:
            self._transfer.transferor_left()
        else:
            self.handle(HungUp(self.parties.side_of(leg), 102, text))

    # Transfers

    @property
    def _is_joining(self) -> bool:
        return self._transfer is not None and self._transfer.is_joining

    def _refer_received(self, leg: Leg, far: Leg, transaction: ServerTransaction, request: Request) -> None:
        """A side wants the other one to be connected with somebody else."""
        assert leg.dialog is not None
        account = self._pays_for_transfers(self.parties.side_of(leg))
        try:
            target = read_refer_to(request)
        except ParseError:
            leg.answer_request(transaction, request, 400)
            return
        if account is None:
            leg.answer_request(transaction, request, 403)
        elif self._transfer is not None or self.is_exchanging():
            leg.answer_request(transaction, request, 491)
        else:
            leg.answer_request(transaction, request, 202, {"contact": leg.dialog.contact})
            self._transfer = Transfer(self, leg, far, target, request)
            signature = self._driver.signer.sign(account.id, target.number, time.time())
            here = leg.endpoint.sent_by(leg.endpoint.flow_to_self())
            caller = f"<sip:{escape_user(self.record.source_received)}@{here}>"
            self._transfer.begin({FORWARD_HEADER: [signature]}, caller, self._max_forwards)

    def _pays_for_transfers(self, side: Side) -> Account | None:
        """The account of whoever is on a side; None: it is no device of ours, and may not make us call anybody."""
        decision = self.decision
        if self.parties.is_replaced(side) or decision.account is None:
            return None
        if side == Side.CALLER:
            return decision.account if decision.kind != "incoming" else None
        return decision.account if self._attempt.kind in ("user", "device") else None

    def offer_of(self, transfer: Transfer, done: Described) -> None:
        """Tell how the peer of a new leg should see the session of the transferee, not on hold."""
        speaker, towards = transfer.transferee, transfer.leg
        offer = resume(self.parties.said(self.parties.side_of(speaker)))
        if not offer:
            done(488)  # nobody knows what the transferee speaks
        elif self.anchor is None:
            done(self.parties.as_ours(offer, towards))
        else:
            # A call of the engine has two sides: the new connection is another one.
            transfer.anchor = self._driver.new_anchor(self._next_media())
            if transfer.anchor is None:
                done(503)
            else:
                transfer.anchor.offer(speaker, towards, offer, partial(self._described, towards, done))

    def _next_media(self) -> str:
        """Name of the engine's next call for this one."""
        name, _, number = self.anchor.name.partition(".") if self.anchor is not None else (self.call_id, "", "")
        return f"{name}.{int(number or 0) + 1}"

    def leg_added(self, leg: CalleeLeg) -> None:
        """A new connection has its dialog."""
        self._driver.add_leg(leg.key, leg)

    def leg_removed(self, leg: Leg) -> None:
        """A dialog is over before the call is."""
        self._driver.remove_dialog(leg)

    def prepare_session(self, transfer: Transfer, body: bytes, done: Described) -> None:
        """Tell how the transferee should see the new connection's session: later than all that it has seen before."""
        towards, anchor = transfer.transferee, transfer.anchor
        self.parties.begin_anew(body, towards)
        self.parties.heard_from(body, towards)
        permitted = filter_codecs(body, self._attempt.codecs)
        if permitted is None:
            done(488)
        elif anchor is None:
            done(self.parties.as_ours(permitted, towards))
        else:
            anchor.answer(towards, transfer.leg, permitted, partial(self._described, towards, done))

    def transferred(self, transfer: Transfer, response: Response) -> None:
        """The transferee talks with the new leg from now on."""
        side = self.parties.side_of(transfer.transferor)
        self._sessions.drop(transfer.transferor)
        self._transfer = None
        self.parties.replace(side, transfer.leg)
        transfer.leg.user = self
        if self.anchor is not None and transfer.anchor is not None:
            self.anchor.end()  # what is recorded is of the connection at the end
            self.anchor, transfer.anchor = transfer.anchor, None
        offered, answer = self.parties.said(self.parties.side_of(transfer.transferee)), response.body
        self.parties.heard_from(answer, transfer.leg)
        self._driver.ladders.join(self.call_id, transfer.leg.key[0])
        self._recording.note_dialogs(self._dialog_records(), self._media_names())
        if not is_same_media(offered, answer):
            self.describe(answer, transfer.leg, partial(self._renew_session, transfer.leg), is_offer=True)

    def _renew_session(self, leg: CalleeLeg, session: bytes | int) -> None:
        """Tell whoever a side is connected with now how that describes its session."""
        if not isinstance(session, int):
            ReInvite(leg, session, partial(self._session_renewed, leg)).send()

    def _session_renewed(self, leg: CalleeLeg, status: int, response: Response | None) -> None:
        speaker = self.parties.opposite(leg)
        if self.anchor is not None and speaker is not None and response is not None and response.body and status < 300:
            self.anchor.answer(speaker, leg, response.body, _whatever)

    def transfer_failed(self, transfer: Transfer) -> None:
        """All is as it was, but that the transferor may have left."""
        self._transfer = None
        if transfer.has_left:
            self.handle(HungUp(self.parties.side_of(transfer.transferor)))

    # Taking a callee over from another call

    def can_hand_over(self, leg: Leg) -> bool:
        """Whether another call may take over the callee of this one, whose caller is on a leg (RFC 3891 §3)."""
        return (
            self.call.state == State.ANSWERED
            and leg is self.parties.on(Side.CALLER)
            and isinstance(self.parties.on(Side.CALLEE), CalleeLeg)
            and self._transfer is None
            and not self.is_exchanging()
        )

    def take_over(self, old: "ActiveCall") -> None:
        """Take over the callee of a call of the same account, which ends; to be done before anything else."""
        leg = old.parties.on(Side.CALLEE)
        assert isinstance(leg, CalleeLeg)
        self.decision.attempts = [replace(old._attempt, only_after=None)]
        self.parties.take_callee(old.parties, leg)
        old.handle(Replaced())
        self._custody = leg
        leg.user = self
        self._driver.add_leg(leg.key, leg)

    def _invite_custody(self, leg: CalleeLeg, attempt: Attempt) -> None:
        offer = filter_codecs(self._offer, attempt.codecs) if self._offer else None
        self.parties.callee = leg
        record = self.record
        assert leg.dialog is not None
        record.b_call_id, record.b_transport, record.b_address = (
            leg.dialog.call_id,
            leg.flow.transport,
            leg.flow.address,
        )
        self._driver.ladders.join(self.call_id, leg.dialog.call_id)
        if offer is None:
            self.handle(AttemptFailed(0, None, "CODEC_NOT_ALLOWED"))
            return
        if self.anchor is None or not offer:
            self._offer_custody(leg, offer)
        else:
            self.anchor.offer(self.caller, leg, offer, partial(self._offer_custody, leg))

    def _offer_custody(self, leg: CalleeLeg, offer: bytes | MediaError) -> None:
        if self._custody is not leg:
            return  # the call is over
        if isinstance(offer, MediaError):
            self.handle(AttemptFailed(0, None, code_of(offer)))
        else:
            ReInvite(leg, self.parties.as_ours(offer, leg), self._custody_answered).send()

    def _custody_answered(self, status: int, response: Response | None) -> None:
        leg = self._custody
        if leg is None:
            return  # the call is over
        body = self._permitted(response.body) if response is not None and status < 300 else None
        if response is None or body is None:
            self.handle(AttemptFailed(status if status >= 300 else 0, None, "CODEC_NOT_ALLOWED"))
        elif self.anchor is None or not body:
            self._custody_described(leg, response, body)
        else:
            self._pass_from_callee(self.anchor, leg, body, partial(self._custody_described, leg, response))

    def _custody_described(self, leg: CalleeLeg, response: Response, body: bytes | MediaError) -> None:
        if self._custody is not leg:
            return
        if isinstance(body, MediaError):
            self.handle(AttemptFailed(0, None, code_of(body)))
            return
        self._custody = None
        self._answered_by(leg, response, body)

    def on_timer(self, kind: int, now: float) -> None:
        """The call's timer ran out."""
        self._timer = None
        if kind == CallTimer.SILENCE:
            self._note_silence()
        if (self._redirections.has_left and kind in (CallTimer.SILENCE, CallTimer.PROGRESS)) or (
            kind == CallTimer.SILENCE and self._takes_next_server(0, "NO_RESPONSE")
        ):
            self._branches.abandon()
            self.handle(SentOn())
            return
        self.handle(TimerExpired(CallTimer(kind), self.talked()))

    def talked(self) -> float:
        """Seconds since the answer."""
        answered_at = self.record.answered_at
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
        self._taken.admit_carrier(self, attempt, is_reached=self._custody is not None)

    def _release_carrier(self, effect: do.ReleaseCarrier) -> None:
        self._taken.release_carrier(self.decision.attempts[effect.attempt])

    # Effects: signalling

    def _send_invite(self, effect: do.SendInvite) -> None:
        driver = self._driver
        attempt = self.decision.attempts[effect.attempt]
        gateway = attempt.gateway
        if effect.attempt:
            self._begin_early_dialog()
        record = self.record
        record.attempt = effect.attempt + 1
        if attempt.carrier is not None:
            record.carrier_id, record.gateway_id = attempt.carrier.id, gateway.id
        record.source_sent, record.destination_sent = attempt.source, attempt.destination
        self._branches.begin()
        self._redirections.begin()
        self._servers = None
        if self._custody is not None:
            self._invite_custody(self._custody, attempt)
            return
        places = self._places(attempt)
        offer = filter_codecs(self._offer, attempt.codecs) if self._offer else self._offer
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
            leg.gateway_id = gateway.id
            self._branches.add(leg)
        self.parties.callee = legs[0]
        if self.anchor is None and attempt.contacts and driver.anchors_nat:
            self._anchor_hidden(places)
        self._invite_all(list(zip(legs, places, strict=True)), attempt, offer)

    def _anchor_hidden(self, places: list[Contact]) -> None:
        """Let media go through an engine where it would not find a telephone behind NAT."""
        if any(place.flow.is_behind_nat for place in places) and self._driver.has_media:
            self.anchor = self._driver.new_anchor(self.call_id)

    def _invite_all(self, calls: list[tuple[CalleeLeg, Contact]], attempt: Attempt, offer: bytes) -> None:
        """Call the places of an attempt, with one offer for all."""
        if self.anchor is None:
            for leg, place in calls:
                self._invite(leg, place, attempt, offer)
        elif offer:
            self.anchor.offer(self.caller, calls[0][0], offer, partial(self._offer_passed, calls, attempt, offer))
        else:
            self._renew_anchor()
            self._offer_passed(calls, attempt, offer, offer)

    def _renew_anchor(self) -> None:
        """Whoever was called before has made an offer, and has gone: the next one's is the first again."""
        if self.anchor is not None and self.anchor.is_begun:
            self.anchor.end()
            self.anchor = self._driver.new_anchor(self._next_media())

    def _offer_passed(
        self, calls: list[tuple[CalleeLeg, Contact]], attempt: Attempt, offer: bytes, result: bytes | MediaError
    ) -> None:
        left = [(leg, place) for leg, place in calls if leg in self._branches.legs]
        if not left:
            return  # given up meanwhile
        if isinstance(result, MediaError):
            if self.anchor is None or self.decision.must_be_anchored:
                self._branches.abandon()
                self.handle(AttemptFailed(0, None, code_of(result)))
                return
            # Nobody has asked for it: such a call goes from end to end rather than not at all.
            self.anchor.end()
            self.anchor, result = None, offer
        for leg, place in left:
            self._invite(leg, place, attempt, result)

    def _begin_early_dialog(self) -> None:
        """Somebody else is called: what was said to the one before leads to nothing."""
        for exchange in self._exchanges[:]:
            exchange.abandon()
        self._exchanges.clear()
        self.caller.new_attempt()

    def _send_on(self, _: do.SendOn) -> None:
        """Call the next place that the gateway has named, or its next server."""
        self._begin_early_dialog()
        attempt = self._attempt
        offer = filter_codecs(self._offer, attempt.codecs) if self._offer else self._offer
        assert offer is not None  # it was sent to the gateway
        place = self._next_place(attempt)
        if place is None:
            self._attempt_failed(self._branches.best)
            return
        leg = self.parties.callee = CalleeLeg(self._driver.endpoint, place.flow, self, self._driver.user_agent)
        if not self._redirections.is_sent_on:
            leg.gateway_id = attempt.gateway.id
        self.record.sip_code = 0
        self._branches.add(leg)
        self._invite_all([(leg, place)], attempt, offer)

    def _next_place(self, attempt: Attempt) -> Contact | None:
        """What follows a place that has failed; those that cannot be reached are passed over."""
        if not self._redirections.has_left and not self._redirections.is_sent_on:
            return next(iter(self._places(attempt)), None)
        while (uri := self._redirections.next()) is not None:
            if (place := self._place_at(uri)) is not None:
                return place
        return None

    def _place_at(self, uri: URI) -> Contact | None:
        """A URI that the gateway has sent us to; None: we cannot call it, or it is ourselves."""
        endpoint, gateway = self._driver.endpoint, self._attempt.gateway
        transport = (uri.parameters.get("transport") or ("tls" if uri.scheme == "sips" else "udp")).lower()
        port = uri.port or DEFAULT_PORT.get(transport, 5060)
        try:
            host = str(ip_address(uri.host))
        except ValueError:
            return None
        if endpoint.is_ours(host, port):
            return None
        flow = endpoint.flow_to(transport, host, port, trust=Trust(gateway.tls_verify, host))
        return None if flow is None else Contact(str(uri), flow)

    def _invite(self, leg: CalleeLeg, place: Contact, attempt: Attempt, offer: bytes) -> None:
        record, gateway = self.record, attempt.gateway
        # Only the gateway itself may ask for what we prove to it.
        if gateway.login is not None and (not self._redirections.is_sent_on or place.flow.host == gateway.host):
            leg.proof = DigestClient(gateway.login.username, gateway.login.secret, new_token)
        who = self._identity(attempt, leg.flow)
        address = join_host_port(leg.flow.host, leg.flow.port)
        domain = self._servers.domain if self._servers is not None else address
        to = f"<sip:{escape_user(attempt.destination)}@{domain}>"
        extra = who.headers | self._extra(attempt, place)
        dialog = leg.send_invite(place.uri, who.caller, to, self._max_forwards, self.parties.as_ours(offer, leg), extra)
        self._driver.ladders.join(self.call_id, dialog.call_id)
        if leg is self.callee:
            record.b_call_id, record.b_transport, record.b_address = dialog.call_id, leg.flow.transport, address

    def _places(self, attempt: Attempt) -> list[Contact]:
        """Where an attempt's INVITEs go."""
        endpoint, gateway = self._driver.endpoint, attempt.gateway
        if attempt.contacts:
            return attempt.contacts
        if attempt.kind == "forward":
            flow: Flow | None = endpoint.flow_to_self()
        elif self._servers is not None:
            flow = self._servers.flow
        else:
            flow, self._servers = self._driver.locator.first(gateway)
        if flow is None:
            return []
        domain = join_host_port(flow.host, flow.port) if self._servers is None else self._servers.domain
        transport = "" if flow.transport == "udp" else flow.parameter
        return [Contact(f"sip:{escape_user(attempt.destination)}@{domain}{transport}", flow)]

    def _identity(self, attempt: Attempt, flow: Flow) -> CallerIdentity:
        request = self.caller.request
        return present(
            attempt.source,
            self._driver.endpoint.sent_by(flow),
            privacy=self._privacy,
            rules=attempt.gateway.presentation,
            received=request.headers if request is not None else None,
        )

    def _extra(self, attempt: Attempt, place: Contact) -> Headers:
        extra = Headers()
        if place.path:
            extra["route"] = [", ".join(place.path)]
        gateway = attempt.gateway
        seconds = gateway.session_timer if attempt.carrier is not None else self._driver.session_timer
        if seconds and attempt.kind != "forward":
            for name, value in request_headers(seconds).items():
                extra[name] = [value]
        tags = offer_tags(gateway.reliable_ringing, has_offer=bool(self._offer))
        if attempt.kind in ("user", "device"):
            tags["supported"] = REPLACES
        for name, tag in tags.items():
            extra[name] = [", ".join([*extra.get(name, ()), tag])]
        if attempt.kind == "forward":
            account = self.decision.account
            assert account is not None
            extra[FORWARD_HEADER] = [self._driver.signer.sign(account.id, attempt.destination, time.time())]
        return extra

    def _send_cancel(self, _: do.SendCancel) -> None:
        self._branches.abandon()

    def _send_ack(self, effect: do.SendAck) -> None:
        # One that comes from another call has been acknowledged long ago.
        if self.callee is not None and not self.callee.is_acknowledged:
            self.callee.send_ack(effect.body)

    def _send_provisional(self, effect: do.SendProvisional) -> None:
        self.caller.send_provisional(effect.status, effect.body)

    def _send_answer(self, effect: do.SendAnswer) -> None:
        request = self.caller.request
        headers = self._sessions.begin_as_uas(self.caller, request, effect.body) if request is not None else {}
        self.caller.answer(effect.body, headers)
        self._driver.add_dialogs(self)

    def _send_failure(self, effect: do.SendFailure) -> None:
        disposition = effect.disposition
        extra = {"retry-after": str(disposition.retry_after)} if disposition.retry_after is not None else {}
        self.caller.send_failure(disposition.status, disposition.cause, disposition.code, extra)

    def _send_bye(self, effect: do.SendBye) -> None:
        leg = self.parties.on(effect.side)
        has_left = self._transfer is not None and self._transfer.has_left and leg is self._transfer.transferor
        if leg is not None and not has_left:
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
        self._recording.answered(self._dialog_records(), self._attempt, self._media_names())

    def answered_line(self) -> dict[str, Any]:
        """The journal line that lets a successor of this process end the call."""
        return self._recording.answered_line(self._dialog_records(), self._attempt, self._media_names())

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
        self._recording.ended(self._attempt, effect.cause, effect.ended_by, effect.reason)

    def _forget(self, _: do.Forget) -> None:
        for exchange in self._exchanges[:]:
            exchange.abandon()
        self._exchanges.clear()
        self._sessions.stop()
        if self._transfer is not None:
            self._transfer.abandon()
            self._transfer = None
        if self.anchor is not None:
            self._end_anchor(self.anchor)
        self._driver.forget(self)
        # Late messages find the legs through their transactions; the call itself is freed at once.
        self.caller.outlive_call(self._driver.remove_dialog)
        for leg in (*self.parties.legs, *self._branches.legs):
            leg.user = NOBODY
        if self._custody is not None:
            self._custody.send_bye(NORMAL_CLEARING, "")
            self._custody = None

    def _end_anchor(self, anchor: Anchor) -> None:
        legs = self.parties.on(Side.CALLER), self.parties.on(Side.CALLEE)
        if self.record.answered_at is None or legs[0] is None or legs[1] is None:
            anchor.end()
            return
        record = self.record
        tags = anchor.tag_of(legs[0]), anchor.tag_of(legs[1])
        anchor.end(partial(self._driver.media_reported, record.call_id, record.attempt, record.received_at, tags))

    def to_live(self) -> dict[str, Any]:
        """The call as the control interface shows it."""
        record = self.record
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


def _whatever(_: object) -> None:
    """What comes of it changes nothing."""
