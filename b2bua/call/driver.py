"""The driver: makes calls of SIP events and tells them what happens to them."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

import structlog

from b2bua.call.active import ActiveCall
from b2bua.call.authentication import Authenticator
from b2bua.call.controller import FundsRules
from b2bua.call.disposition import refusal
from b2bua.call.events import Cancelled, Event, HangupOrdered, Invited
from b2bua.call.identity import new_call_id
from b2bua.call.leg import ALLOW, SDP, CalleeLeg, CallerLeg, Leg
from b2bua.live.admission import Admission
from b2bua.policy.decision import CallRequest, Decision, decide
from b2bua.policy.snapshot import Snapshot
from b2bua.sip.address import Address
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
from b2bua.sip.grammar import split_outside_quotes
from b2bua.sip.message import Request, Response
from b2bua.sip.reason import format_reason
from b2bua.sip.transactions import ClientTransaction, ServerTransaction
from b2bua.sip.uri import URI
from b2bua.sip.via import Via
from b2bua.transport.endpoint import Endpoint, EndpointUser, new_token
from cdr.journal import JournalWriter
from cdr.record import AttemptRecord
from conf.settings import Settings
from media.sdp import audio_codecs
from rating.errors import MissingExchangeRate
from rating.tariff import ONE

log = structlog.get_logger()

_METHODS: Final = frozenset({"INVITE", "BYE", "OPTIONS"})
_LONGEST_NUMBER: Final = 128
"""Most characters of a number or name that a record keeps."""


class CallDriver(EndpointUser):
    """All calls of a worker.

    Args:
        settings: Everything that was set.
        worker: The worker's name.
        admission: The live store.
        journal: Where records go.
        snapshot: Gives the current configuration.
        authenticator: Judges credentials of SIP users.
    """

    def __init__(
        self,
        settings: Settings,
        worker: str,
        admission: Admission,
        journal: JournalWriter,
        snapshot: Callable[[], Snapshot],
        authenticator: Authenticator,
    ) -> None:
        self._max_calls = settings.sip.max_calls
        self._worker = worker
        self._snapshot = snapshot
        self._authenticator = authenticator
        self.admission = admission
        self.journal = journal
        self.endpoint: Endpoint
        self.user_agent = settings.sip.user_agent
        self.funds_rules = FundsRules(settings.call.funds_slice, settings.call.funds_lead)
        self.failover_codes = frozenset(settings.call.failover_codes)
        self.calls: dict[str, ActiveCall] = {}
        self._legs: dict[tuple[str, str], Leg] = {}
        self.is_draining = False
        self.counts: Counter[str] = Counter()
        """Attempts by the code of their record, and calls received, since the start."""

    # EndpointUser

    def before_send(self) -> None:
        """Write the journal before anything leaves."""
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
        leg = event.transaction.user
        if isinstance(leg, CalleeLeg):
            leg.receive_response(event.response)

    def _transaction_failed(self, event: TransactionTimedOut | TransportFailed) -> None:
        transaction = event.transaction
        if isinstance(transaction, ClientTransaction) and isinstance(transaction.user, CalleeLeg):
            timed_out = isinstance(event, TransactionTimedOut)
            transaction.user.unreachable("NO_RESPONSE" if timed_out else "TRANSPORT_FAILURE")

    def _ack_received(self, request: Request) -> None:
        leg = self._legs.get((request.call_id, request.to_tag))
        if isinstance(leg, CallerLeg):
            leg.receive_ack(request)

    def _cancel_received(self, event: CancelReceived) -> None:
        call = event.transaction.user
        if isinstance(call, ActiveCall):
            call.handle(Cancelled())

    # Requests

    def _request_received(self, event: RequestReceived, now: float) -> None:
        request, transaction = event.request, event.transaction
        if request.to_tag:
            self._in_dialog(transaction, request)
        elif request.method == "INVITE":
            try:
                self._invite_received(transaction, request, event.flow)
            except Exception:
                # A fault of ours must not leave the caller without an answer.
                log.exception("call could not be set up", call_id=request.call_id, peer=str(event.flow))
                if not transaction.is_answered:
                    self._answer(transaction, request, 500, {})
        else:
            self._answer(transaction, request, *self._out_of_dialog(request))

    def _in_dialog(self, transaction: ServerTransaction, request: Request) -> None:
        leg = self._legs.get((request.call_id, request.to_tag))
        if leg is None:
            self._answer(transaction, request, 481, {})
        elif request.method == "BYE":
            leg.receive_bye(transaction, request)
        elif request.method == "INVITE":
            # The session stays as it is (RFC 3261 §14.2).
            self._answer(transaction, request, 488, {})
        else:
            self._answer(transaction, request, *self._out_of_dialog(request))

    def _out_of_dialog(self, request: Request) -> tuple[int, dict[str, str]]:
        if request.method not in _METHODS:
            return 405, {"allow": ALLOW}
        if unsupported := _required(request):
            return 420, {"unsupported": unsupported}
        if request.method == "OPTIONS":
            return 200, {"allow": ALLOW, "accept": SDP}
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
        content_type = request.headers.first("content-type")
        if request.body and content_type.partition(";")[0].strip().lower() != SDP:
            self._answer(transaction, request, 415, {"accept": SDP})
            return
        if len(self.calls) >= self._max_calls or self.journal.is_stuck:
            # Not recorded: a flood must not fill the disk, and a full disk takes nothing.
            overload = refusal("OVERLOAD")
            reason = format_reason(overload.cause, overload.code)
            self._answer(transaction, request, 503, {"reason": reason, "retry-after": str(overload.retry_after)})
            return
        try:
            facts = self._read_facts(request, flow)
        except ParseError as error:
            self._answer(transaction, request, error.status_hint, {})
            return
        self._decide(transaction, request, flow, facts)

    def _read_facts(self, request: Request, flow: Flow) -> CallRequest:
        number = URI.parse(request.uri).number
        caller = Address.parse(request.headers["from"][0]).uri.number
        hops = request.headers.first("max-forwards") or "70"
        if not (hops.isascii() and hops.isdigit()) or len(hops) > 3:
            raise ParseError("Max-Forwards is not a number up to 255")
        return CallRequest(
            flow.host,
            number[:_LONGEST_NUMBER],
            caller[:_LONGEST_NUMBER],
            tuple(audio_codecs(request.body)),
            int(hops),
            self._is_looped(request),
        )

    def _is_looped(self, request: Request) -> bool:
        vias = request.headers["via"]
        if len(vias) < 2:
            return False
        for value in vias[1:]:
            via = Via.parse(value)
            if self.endpoint.is_ours(via.host, via.port):
                return True
        return False

    def _decide(self, transaction: ServerTransaction, request: Request, flow: Flow, facts: CallRequest) -> None:
        snapshot = self._snapshot()
        epoch = time.time()
        moment = datetime.fromtimestamp(epoch, UTC)
        decision = None if "proxy-authorization" in request.headers else decide(facts, snapshot, moment)
        if decision is None or decision.code == "AUTHENTICATE":
            proof = self._authenticator.check(request, flow.host, snapshot, epoch)
            if isinstance(proof, Challenge):
                self._answer(transaction, request, 407, {"proxy-authenticate": str(proof)})
                return
            facts.authenticated_user = proof
            decision = decide(facts, snapshot, moment)
        if self.is_draining:
            decision.code, decision.object = "DRAINING", ""
        self._begin(transaction, request, flow, facts, decision, epoch)

    def _begin(
        self,
        transaction: ServerTransaction,
        request: Request,
        flow: Flow,
        facts: CallRequest,
        decision: Decision,
        epoch: float,
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
        )
        call = ActiveCall(self, record.call_id, decision, record, request.body, facts.max_forwards - 1)
        call.caller = CallerLeg(self.endpoint, transaction, request, flow, call, self.user_agent)
        transaction.user = call
        self.calls[call.call_id] = call
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
            carrier_id=None,
            gateway_id=None,
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

    def add_dialogs(self, call: ActiveCall) -> None:
        """A call is answered: requests in its two dialogs find their legs from now on."""
        self._legs[call.caller.key] = call.caller
        if call.callee is not None:
            self._legs[call.callee.key] = call.callee

    def forget(self, call: ActiveCall) -> None:
        """A call is over."""
        self.calls.pop(call.call_id, None)
        for leg in (call.caller, call.callee):
            if leg is not None and leg.dialog is not None:
                self._legs.pop(leg.key, None)

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


def _required(request: Request) -> str:
    """Option tags of Require and Proxy-Require that we do not have: all there are, so far (RFC 3261 §8.2.2.3)."""
    tags: list[str] = []
    for name in ("require", "proxy-require"):
        for value in request.headers.get(name, ()):
            try:
                tags += [tag for tag in split_outside_quotes(value, ",") if tag]
            except ParseError:
                tags.append(value)
    return ", ".join(tags)
