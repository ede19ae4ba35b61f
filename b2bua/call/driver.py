"""The driver: makes calls of SIP events and tells them what happens to them."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import Final

import structlog

from b2bua.ban.scanners import is_scanner
from b2bua.ban.service import BanService
from b2bua.call.active import ActiveCall
from b2bua.call.anchor import Anchor, address_towards, figures_of
from b2bua.call.announcement import Announcement, Announcements
from b2bua.call.authentication import Authenticator
from b2bua.call.call_request import CallRequestReader, is_emergency, wanted_privacy
from b2bua.call.callee_leg import CalleeLeg
from b2bua.call.caller_leg import CallerLeg
from b2bua.call.carrier_registration import CarrierRegistrations
from b2bua.call.client_request import ClientRequest
from b2bua.call.controller import FundsRules, State
from b2bua.call.digits import tell
from b2bua.call.disposition import refusal
from b2bua.call.events import Event, HangupOrdered, Invited
from b2bua.call.exchange import METHODS as EXCHANGED
from b2bua.call.exchange import OFFERING, Exchange
from b2bua.call.forwarding import ForwardSigner
from b2bua.call.gateway_location import GatewayLocator, is_address, with_trust
from b2bua.call.health import GatewayHealth, Probe, Prober
from b2bua.call.identity import new_call_id
from b2bua.call.ladder import Ladders
from b2bua.call.leg import ALLOW, SDP, Leg
from b2bua.call.refusals import RefusalCounter
from b2bua.call.session_timer import LEAST, TooShort, terms_as_uas
from b2bua.call.subscriptions import Subscriptions
from b2bua.call.transfer import REPLACES, Replaces
from b2bua.live.admission import Admission
from b2bua.live.connection import StoreAway
from b2bua.policy.accounts import Device
from b2bua.policy.checks import decide
from b2bua.policy.decision import AUTHENTICATE, CallRequest, Contact, Decision
from b2bua.policy.routes import Gateway
from b2bua.policy.snapshot import Snapshot
from b2bua.registrar.bindings import Binding
from b2bua.registrar.service import EXTENSIONS, Registrar
from b2bua.registrar.subscription import EVENT
from b2bua.sip.digest import Challenge
from b2bua.sip.errors import ParseError
from b2bua.sip.events import (
    AckReceived,
    CancelReceived,
    RequestReceived,
    ResponseReceived,
    TransactionTimedOut,
    TransportFailed,
)
from b2bua.sip.events import Event as SIPEvent
from b2bua.sip.flow import Flow
from b2bua.sip.grammar import METHODS as REGISTERED
from b2bua.sip.grammar import split_outside_quotes
from b2bua.sip.message import Request, Response
from b2bua.sip.multipart import settle_body
from b2bua.sip.reason import format_reason
from b2bua.sip.transactions import ClientTransaction, ServerTransaction
from b2bua.transport.endpoint import Endpoint, EndpointUser, new_token
from cdr.journal import JournalWriter
from cdr.media import make_line
from cdr.record import AttemptRecord
from conf.settings import Settings
from media.client import MediaClient
from media.engine_address import OWN
from media.report import CallReport
from rating.errors import MissingExchangeRate
from rating.tariff import ONE

log = structlog.get_logger()

_METHODS: Final = frozenset({"INVITE", "BYE", "OPTIONS"})
_WITH_SESSION: Final = frozenset({*OFFERING, "ACK", "PRACK"})
"""Methods whose bodies, and those of their answers, are the session's."""


class CallDriver(EndpointUser):
    """All calls of a worker.

    Args:
        settings: Everything that was set.
        worker: The worker's name.
        admission: The live store.
        journal: Where records go.
        snapshot: Gives the current configuration.
        authenticator: Judges credentials of SIP users.
        signer: Signs calls that our calls lead to.
    """

    def __init__(
        self,
        settings: Settings,
        worker: str,
        admission: Admission,
        journal: JournalWriter,
        snapshot: Callable[[], Snapshot],
        authenticator: Authenticator,
        signer: ForwardSigner,
    ) -> None:
        self._max_calls = settings.sip.max_calls
        self._worker = worker
        self._snapshot = snapshot
        self._authenticator = authenticator
        self.admission = admission
        self.journal = journal
        self.ladders = Ladders(settings.trace, journal.append_trace)
        self.endpoint: Endpoint
        self.locator: GatewayLocator
        self.user_agent = settings.sip.user_agent
        self.funds_rules = FundsRules(settings.call.funds_slice, settings.call.funds_lead)
        self.failover_codes = frozenset(settings.call.failover_codes)
        self.calls: dict[str, ActiveCall] = {}
        self._legs: dict[tuple[str, str], Leg] = {}
        self.is_draining = False
        self.signer = signer
        self.health = GatewayHealth(time.monotonic)
        self._prober: Prober | None = None
        self._turns: Counter[int] = Counter()
        self.bans: BanService | None = None
        self.registrar: Registrar | None = None
        self.subscriptions: Subscriptions | None = None
        self.carrier_registrations: CarrierRegistrations | None = None
        self.session_timer = settings.sip.session_timer
        self._reader = CallRequestReader(frozenset(settings.sip.trusted_proxies), signer)
        self._ends_suspended = settings.call.ends_suspended
        self.refusals = RefusalCounter(settings.call.refusal_rows, self.write_refusal)
        self.media: MediaClient | None = None
        """The way to media engines; None: there are none."""
        self._media = settings.media
        self.announcements = Announcements(self, settings.media)
        self.ringback = "" if settings.media.ringback == "off" else settings.media.ringback
        """Whose tone callers hear while it rings without sound; empty: none."""
        self.counts: Counter[str] = Counter()
        """Attempts by the code of their record, and calls received, since the start."""

    # Conditions

    @property
    def has_media(self) -> bool:
        """Whether an engine is there that can carry audio."""
        return self.media is not None and self.media.is_up

    def is_down(self, gateway: Gateway) -> bool:
        """Whether a gateway is known not to answer."""
        return self.health.is_down(gateway)

    def turn(self, route_id: int) -> int:
        """How many calls have gone by a route that shares its load."""
        return self._turns[route_id]

    def configuration_changed(self, snapshot: Snapshot) -> None:
        """Follow a new snapshot: probe its gateways, end the calls of accounts that may not call any more."""
        carriers = snapshot.carriers.values()
        self.locator.follow(snapshot)
        self.health.follow([gateway for carrier in carriers for gateway in carrier.gateways])
        gateways = [gateway for carrier in carriers if carrier.status == "active" for gateway in carrier.gateways]
        if self._prober is None:
            self._prober = Prober(self.endpoint, self.health, self.locator.locate)
        self._prober.update(gateways)
        if self.carrier_registrations is not None:
            self.carrier_registrations.update(gateways)
        if self._ends_suspended:
            self._end_suspended(snapshot)
        self.endpoint.end_of_turn()

    def _end_suspended(self, snapshot: Snapshot) -> None:
        barred = {account.id for account in snapshot.accounts.values() if account.status != "active"}
        if barred:
            for call in list(self.calls.values()):
                if call.decision.kind != "emergency" and not barred.isdisjoint(call.record.account_chain):
                    call.handle(HangupOrdered("ACCOUNT_SUSPENDED"))

    # EndpointUser

    def before_send(self) -> None:
        """Write the journal before anything leaves."""
        if self.journal.has_lines:
            self.journal.flush(time.time())

    def handle_event(self, event: SIPEvent, now: float) -> None:
        """One event of the transaction layer."""
        kind = type(event)
        if kind is ResponseReceived:
            self._response_received(event)  # type: ignore[arg-type]
        elif kind is RequestReceived:
            self._request_received(event, now)  # type: ignore[arg-type]
        elif kind is AckReceived:
            self._ack_received(event.request)  # type: ignore[union-attr]
        elif kind is CancelReceived:
            self._cancel_received(event)  # type: ignore[arg-type]
        else:
            self._transaction_failed(event)  # type: ignore[arg-type]

    def _response_received(self, event: ResponseReceived) -> None:
        user = event.transaction.user
        if event.response.body:
            _settle(event.response)
        if user is None:
            return  # nobody waits for it: that of a BYE
        if isinstance(user, CalleeLeg):
            if user.gateway_id:
                self.health.answered(user.gateway_id)
            user.receive_response(event.response)
        elif isinstance(user, Exchange):
            user.receive_response(event.response)
        elif isinstance(user, ClientRequest):
            user.answered(event.transaction, event.response)
        elif isinstance(user, Probe):
            user.answered(event.transaction)

    def _transaction_failed(self, event: TransactionTimedOut | TransportFailed) -> None:
        transaction = event.transaction
        if not isinstance(transaction, ClientTransaction):
            return
        if isinstance(transaction.user, CalleeLeg):
            timed_out = isinstance(event, TransactionTimedOut)
            transaction.user.unreachable("NO_RESPONSE" if timed_out else "TRANSPORT_FAILURE")
        elif isinstance(transaction.user, Exchange):
            if isinstance(event, TransactionTimedOut):
                transaction.user.unreachable()
            else:
                transaction.user.not_sent()
        elif isinstance(transaction.user, ClientRequest):
            timed_out = isinstance(event, TransactionTimedOut)
            transaction.user.failed(transaction, "NO_RESPONSE" if timed_out else "TRANSPORT_FAILURE")
        elif isinstance(transaction.user, Probe):
            transaction.user.failed(transaction)

    def _ack_received(self, request: Request) -> None:
        if request.body:
            _settle(request)
        leg = self._legs.get((request.call_id, request.to_tag))
        if leg is not None:
            leg.receive_ack(request)

    def _cancel_received(self, event: CancelReceived) -> None:
        call = event.transaction.user
        if isinstance(call, ActiveCall | Exchange | Announcement):
            call.cancelled()

    # Requests

    def _request_received(self, event: RequestReceived, now: float) -> None:
        request, transaction = event.request, event.transaction
        try:
            self._handle_request(transaction, request, event.flow, now)
        except Exception:
            # A fault of ours must not leave the peer without an answer, nor the transaction for ever.
            log.exception(
                "request could not be handled", method=request.method, call_id=request.call_id, peer=str(event.flow)
            )
            if not transaction.is_answered:
                self._answer(transaction, request, 500, {})

    def _handle_request(self, transaction: ServerTransaction, request: Request, flow: Flow, now: float) -> None:
        if not request.to_tag and self._is_unwelcome(request, flow):
            # Ends the server transaction without an answer.
            self.endpoint.transactions.transport_failed(transaction, "source is banned", now)
        elif self.subscriptions is not None and self.subscriptions.takes(request):
            self.subscriptions.receive(transaction, request, flow, self._proved_user)
        elif request.to_tag:
            self._in_dialog(transaction, request)
        elif request.method == "INVITE":
            self._invite_received(transaction, request, flow)
        elif request.method == "REGISTER" and self.registrar is not None:
            self._register_received(self.registrar, transaction, request, flow)
        else:
            self._answer(transaction, request, *self._out_of_dialog(request))

    def _register_received(
        self, registrar: Registrar, transaction: ServerTransaction, request: Request, flow: Flow
    ) -> None:
        if unsupported := _required(request, EXTENSIONS):
            self._answer(transaction, request, 420, {"unsupported": unsupported})
        elif (proved := self._proved_user(transaction, request, flow)) is not None:
            answer = partial(self._answer, transaction, request)
            registrar.handle(request, flow, *proved, time.time(), answer)

    def _proved_user(self, transaction: ServerTransaction, request: Request, flow: Flow) -> tuple[str, Device] | None:
        """Where a request comes from and the SIP user that it proves to be of; None: it has been challenged."""
        try:
            source = self._reader.source_address(request, flow)
        except ParseError as error:
            self._answer(transaction, request, error.status_hint, {})
            return None
        proved = self._authenticator.user_of(request, source, self._snapshot(), time.time())
        if isinstance(proved, Device):
            return source, proved
        self._answer(transaction, request, *proved)
        return None

    def _is_unwelcome(self, request: Request, flow: Flow) -> bool:
        """Whether a request comes from a scanner, or from a banned source behind a proxy of ours (§1.6)."""
        if self.bans is None:
            return False
        is_behind_proxy = flow.host in self._reader.proxies
        if not is_behind_proxy and not is_scanner(request.headers.first("user-agent")):
            return False
        try:
            source = self._reader.source_address(request, flow)
        except ParseError:
            return False
        if is_behind_proxy and self.bans.is_banned(source, self.endpoint.now()):
            return True
        return is_scanner(request.headers.first("user-agent")) and self.bans.scanner_seen(source)

    def is_known(self, address: str) -> bool:
        """Whether a call is up with a source, which no ban may cut off."""
        return any(call.record.a_address.rpartition(":")[0].strip("[]") == address for call in self.calls.values())

    def _in_dialog(self, transaction: ServerTransaction, request: Request) -> None:
        if request.body and request.method in _WITH_SESSION and request.headers.first("content-type") != SDP:
            settle_body(request)  # what is no session is refused by whoever wants one
        leg = self._legs.get((request.call_id, request.to_tag))
        if leg is None:
            self._answer(transaction, request, 481, {})
        elif request.method == "PRACK" and isinstance(leg, CallerLeg):
            leg.receive_prack(transaction, request)
        elif leg.dialog is None or leg.dialog.local_tag != request.to_tag:
            self._answer(transaction, request, 481, {})  # the early dialog of an attempt that is over
        elif request.method == "BYE":
            leg.receive_bye(transaction, request)
        elif request.method in EXCHANGED or request.method == "REFER":
            if unsupported := _required(request):
                self._answer(transaction, request, 420, {"unsupported": unsupported})
            else:
                leg.receive_request(transaction, request)
        else:
            self._answer(transaction, request, *self._out_of_dialog(request))

    def _out_of_dialog(self, request: Request) -> tuple[int, dict[str, str]]:
        if request.method not in _METHODS:
            return 405 if request.method in REGISTERED else 501, {"allow": ALLOW}  # RFC 3261 §8.2.1, §21.5.2
        if unsupported := _required(request):
            return 420, {"unsupported": unsupported}
        if request.method == "OPTIONS":
            return 200, {"allow": ALLOW, "accept": SDP, "allow-events": EVENT}
        return 481, {}

    def _answer(self, transaction: ServerTransaction, request: Request, status: int, extra: dict[str, str]) -> None:
        response = Response.to(request, status, new_token())
        if self.user_agent:
            response.headers["server"] = [self.user_agent]
        for name, value in extra.items():
            response.headers[name] = [value]
        self.endpoint.transactions.send_response(transaction, response, self.endpoint.now())

    def _invite_received(self, transaction: ServerTransaction, request: Request, flow: Flow) -> None:
        self.counts["received"] += 1
        if unsupported := _required(request):
            self._answer(transaction, request, 420, {"unsupported": unsupported})
            return
        headers = request.headers
        try:
            if "session-expires" in headers:
                terms_as_uas(request, self.session_timer)
            is_readable = "accept" not in headers or request.accepts(SDP)
        except TooShort:
            self._answer(transaction, request, 422, {"min-se": str(LEAST)})
            return
        except ParseError:
            self._answer(transaction, request, 400, {})
            return
        is_plain = not request.body or (headers.first("content-type") == SDP and "content-encoding" not in headers)
        if not is_plain and not settle_body(request):
            self._answer(transaction, request, 415, {"accept": SDP, "accept-encoding": "identity"})
            return
        if not is_readable:  # what answers a call describes a session
            self._answer(transaction, request, 406, {"accept": SDP})
            return
        is_full = len(self.calls) >= self._max_calls or self.journal.is_stuck
        if is_full and not is_emergency(request, self._snapshot()):
            # Not recorded: a flood must not fill the disk, and a full disk takes nothing.
            overload = refusal("OVERLOAD")
            reason = format_reason(overload.cause, overload.code)
            self._answer(transaction, request, 503, {"reason": reason, "retry-after": str(overload.retry_after)})
            return
        try:
            facts = self._reader.read(request, flow, self._snapshot(), self.endpoint, notes_nat=self.anchors_nat)
        except ParseError as error:
            self._answer(transaction, request, error.status_hint, {})
            return
        self._decide(transaction, request, flow, facts)

    def _decide(self, transaction: ServerTransaction, request: Request, flow: Flow, facts: CallRequest) -> None:
        snapshot = self._snapshot()
        epoch = time.time()
        moment = datetime.fromtimestamp(epoch, UTC)
        facts.claims_user = "proxy-authorization" in request.headers or self._is_registered(facts, flow)
        decision = decide(facts, snapshot, moment, self)
        if decision.code == AUTHENTICATE:
            proof = self._authenticator.check(request, facts.source_address, snapshot, epoch)
            if isinstance(proof, Challenge):
                self._answer(transaction, request, 407, {"proxy-authenticate": str(proof)})
                return
            facts.authenticated_user = proof
            decision = decide(facts, snapshot, moment, self)
        replaced = self._replaced_by(request, decision) if REPLACES in request.headers else None
        if self.is_draining:
            decision.code, decision.object = "DRAINING", f"worker {self._worker}"
        elif decision.route is not None and decision.shares_load and not decision.code:
            self._turns[decision.route.id] += 1
        self._begin(transaction, request, flow, facts, decision, epoch, replaced)

    def _replaced_by(self, request: Request, decision: Decision) -> "ActiveCall | None":
        """The call that a new one is to take the callee of (RFC 3891 §3); where there is none, that refuses it."""
        if decision.code:
            return None
        call = None
        try:
            (value,) = request.headers[REPLACES]
            replaces = Replaces.parse(value)
        except (ParseError, ValueError):
            replaces = None
        if replaces is not None and not replaces.is_early_only:
            leg = self._legs.get((replaces.call_id, replaces.to_tag))
            if leg is not None and leg.dialog is not None and leg.dialog.remote_tag == replaces.from_tag:
                call = leg.user if isinstance(leg.user, ActiveCall) and leg.user.can_hand_over(leg) else None
        if call is None or call.record.account_id != (decision.account.id if decision.account else None):
            decision.code, decision.object = "NO_DIALOG", "Replaces"
            return None
        return call

    def _is_registered(self, facts: CallRequest, flow: Flow) -> bool:
        """Whether the caller is where a SIP user has registered from (docs/behaviour.md §1.3)."""
        port = flow.port if facts.source_address == flow.host else 0
        return self.registrar is not None and self.registrar.has_source(facts.source_address, port)

    def _begin(
        self,
        transaction: ServerTransaction,
        request: Request,
        flow: Flow,
        facts: CallRequest,
        decision: Decision,
        epoch: float,
        replaced: ActiveCall | None = None,
    ) -> None:
        account = decision.account
        record = AttemptRecord(
            call_id=new_call_id(epoch),
            attempt=0,
            is_last=True,
            received_at=epoch,
            account_id=account.id if account else None,
            account_chain=[each.id for each in account.chain] if account else [],
            device=decision.device.key if decision.device else "",
            route_id=decision.route.id if decision.route else None,
            worker=self._worker,
            a_call_id=request.call_id,
            source_received=facts.source,
            destination_received=facts.destination,
            a_address=flow.address,
            a_transport=flow.transport,
            a_user_agent=request.headers.first("user-agent")[:255],
            codecs_offered=list(facts.codecs),
            kind=decision.kind,
            source_used=decision.source,
            destination_used=decision.destination,
        )
        if decision.did is not None and decision.carrier is not None and decision.gateway is not None:
            record.did_id = decision.did.id
            record.carrier_id, record.gateway_id = decision.carrier.id, decision.gateway.id
        if decision.gateway is not None:
            flow = with_trust(flow, decision.gateway)
        hops, privacy = facts.max_forwards - 1, wanted_privacy(request)
        call = ActiveCall(self, record.call_id, decision, record, request.body, hops, privacy)
        if request.via.host != flow.host:
            flow.is_behind_nat = is_address(request.via.host)
        call.parties.caller = CallerLeg(self.endpoint, transaction, request, flow, call, self.user_agent)
        if decision.gateway is not None:
            call.caller.ringing_mode = decision.gateway.reliable_ringing
        if (source := decision.gateway or decision.device) is not None:
            call.caller.media = source.media
        transaction.user = call
        self.calls[call.call_id] = call
        self.ladders.begin(call.call_id, request.call_id, epoch, self.endpoint.now())
        if replaced is not None and not decision.code:
            call.take_over(replaced)
        call.handle(Invited())

    def new_record(self, last: AttemptRecord, attempt: int) -> AttemptRecord:
        """The record of a call's next attempt: what is known of the caller, nothing of the attempt before."""
        return replace(
            last,
            attempt=attempt,
            is_last=False,
            ringing_at=None,
            answered_at=None,
            post_dial_delay=None,
            duration=0.0,
            carrier_id=None if last.kind != "incoming" else last.carrier_id,
            gateway_id=None if last.kind != "incoming" else last.gateway_id,
            b_call_id="",
            source_sent="",
            destination_sent="",
            b_address="",
            b_transport="",
            b_user_agent="",
            sip_code=0,
            q850_cause=None,
            code="",
            object="",
            ended_by="system",
            codec_used="",
        )

    # Calls

    def exchange_rate(self, of: str, into: str) -> Decimal | None:
        """What one unit of a currency is worth in another now; None: not known."""
        try:
            return self._snapshot().exchange.convert(ONE, of, into, datetime.now(UTC))
        except MissingExchangeRate:
            return None

    def find_contacts(self, user: Device, answered: Callable[[list[Contact] | None], None]) -> None:
        """Where a SIP user is: the best place first; None: the live store is away."""
        if self.registrar is None:
            answered([])
            return

        def found(bindings: list[Binding] | StoreAway) -> None:
            answered(None if isinstance(bindings, StoreAway) else self._contacts(bindings))

        self.registrar.find(user.id, found)

    def _contacts(self, bindings: list[Binding]) -> list[Contact]:
        """Bindings as places to call; a connection that another run had is made again."""
        contacts = []
        for binding in bindings:
            flow = binding.flow(self.admission.instance)
            if flow is None:
                flow = self.endpoint.flow_to(binding.transport, binding.host, binding.port)
            if flow is not None:
                flow.is_behind_nat = binding.is_behind_nat
                contacts.append(Contact(binding.request_uri, flow, binding.path))
        return contacts

    # Media

    @property
    def anchors_nat(self) -> bool:
        """Whether media that would not find its way goes through an engine."""
        return self.media is not None and self._media.anchor_nat

    def address_towards(self, flow: Flow) -> str:
        """Our address as a peer should see it; where signalling shows a name, one that leads nowhere."""
        return address_towards(self.endpoint, flow) or ("::1" if ":" in flow.host else "127.0.0.1")

    def new_anchor(self, name: str) -> Anchor | None:
        """Let media of a call go through an engine; None: there is none.

        Args:
            name: That the engine knows it by: the call's id, with a point and a number where it is not its first.
        """
        if self.media is None:
            return None
        # An engine of ours that was told no addresses has those that signalling has.
        knows_us = self._media.engines == (OWN,) and not self._media.interfaces
        return Anchor(self.media, self.endpoint, name, knows_us=knows_us)

    def media_timed_out(self, name: str) -> None:
        """An engine has heard nothing of a call for long, or knows it no more."""
        call = self.calls.get(name.partition(".")[0])
        if (
            call is not None
            and call.anchor is not None
            and call.anchor.name == name
            and call.call.state == State.ANSWERED
        ):
            call.handle(HangupOrdered("MEDIA_TIMEOUT"))
            self.endpoint.end_of_turn()

    def digit_heard(self, name: str, tag: str, digit: str, duration_ms: int) -> None:
        """An engine has taken a digit out of the sound of a side, known by its tag."""
        call = self.calls.get(name.partition(".")[0])
        if call is not None:
            tell(call, name, tag, digit, duration_ms)
            self.endpoint.end_of_turn()

    def media_reported(
        self, call_id: str, attempt: int, received_at: float, talked: float, tags: tuple[str, str], report: CallReport
    ) -> None:
        """An engine has told the last figures of a call, whose record is written.

        Args:
            call_id: Of the record.
            attempt: Of the record.
            received_at: Of the record.
            talked: How long it lasted.
            tags: The caller's and the callee's side.
            report: The figures.
        """
        caller, callee = (figures_of(report, tag) for tag in tags)
        if caller or callee:
            audio = report.verdict(talked, self._media.silent_after)
            if self.journal.append_trace(make_line(call_id, attempt, received_at, caller, callee, audio)):
                self.endpoint.end_of_turn()

    # Dialogs

    @property
    def dialogs(self) -> int:
        """Dialogs in which requests of peers find a leg."""
        return len(self._legs)

    def add_leg(self, key: tuple[str, str], leg: Leg) -> None:
        """Requests in a dialog, known by its Call-ID and our tag, find a leg from now on."""
        self._legs[key] = leg

    def add_dialogs(self, call: ActiveCall) -> None:
        """A call is answered: requests in its two dialogs find their legs from now on."""
        self._legs[call.caller.key] = call.caller
        if call.callee is not None:
            self._legs[call.callee.key] = call.callee

    def forget(self, call: ActiveCall) -> None:
        """A call is over."""
        is_failed = call.record.code != "ANSWERED" or call.record.reason == "NO_ACK"
        if not call.is_announced:
            self.ladders.end(call.call_id, is_failed, self.endpoint.now())
        self.calls.pop(call.call_id, None)
        for key in call.early_keys:
            self._legs.pop(key, None)
        for leg in call.parties.legs:
            if leg.dialog is not None:
                if leg.is_lingering:
                    self._legs[leg.key] = leg
                else:
                    self.remove_dialog(leg)

    def remove_dialog(self, leg: Leg) -> None:
        """Nothing more is to be said in a dialog."""
        self._legs.pop(leg.key, None)

    def leave_dialogs(self) -> None:
        """Say at once what lingering legs have to say; the caller ends the turn."""
        self.announcements.end_all()
        for leg in list(self._legs.values()):
            if isinstance(leg, CallerLeg):
                leg.leave()

    def write_refusal(self, record: AttemptRecord) -> None:
        """Write the record of a call that was never priced."""
        self.journal.append({"kind": "cdr", "record": record, "charges": []})

    def counted(self, record: AttemptRecord) -> None:
        """A record was written."""
        self.counts[record.code] += 1

    def answered_lines(self) -> list[dict[str, object]]:
        """Journal lines of the calls that are up, for the head of a new segment."""
        return [call.answered_line() for call in self.calls.values() if call.record.answered_at is not None]

    def order(self, call: ActiveCall, event: Event) -> None:
        """Give a call an event from outside the SIP stack; the caller ends the turn."""
        call.handle(event)

    def hang_up(self, call_id: str | None, account_id: int | None, reason: str) -> int:
        """End one call, or all of an account and those below it; returns how many."""
        if call_id is not None:
            chosen = [self.calls[call_id]] if call_id in self.calls else []
        else:
            chosen = [call for call in self.calls.values() if account_id in call.record.account_chain]
        for call in chosen:
            call.handle(HangupOrdered(reason))
        self.endpoint.end_of_turn()
        return len(chosen)

    def hang_up_all(self, reason: str) -> int:
        """End every call."""
        chosen = list(self.calls.values())
        for call in chosen:
            call.handle(HangupOrdered(reason))
        self.endpoint.end_of_turn()
        return len(chosen)


def _settle(message: Request | Response) -> None:
    """Take the session out of what cannot be refused, an answer or an ACK; what has none has no body for us."""
    is_plain = message.headers.first("content-type") == SDP or message.method not in _WITH_SESSION
    if not is_plain and not settle_body(message):
        message.body = b""


_EXTENSIONS: Final = frozenset({"timer", "100rel", "replaces"})
"""Option tags that a request within a call, or for one, may require."""


def _required(request: Request, known: frozenset[str] = _EXTENSIONS) -> str:
    """Option tags of Require and Proxy-Require that we do not have (RFC 3261 §8.2.2.3)."""
    tags: list[str] = []
    for name in ("require", "proxy-require"):
        for value in request.headers.get(name, ()):
            try:
                tags += [tag for tag in split_outside_quotes(value, ",") if tag and tag.lower() not in known]
            except ParseError:
                tags.append(value)
    return ", ".join(tags)
