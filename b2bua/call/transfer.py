"""Transfers: a side asks us to connect the other side with somebody else (RFC 3515, RFC 3891, RFC 5589).

The side that asks is the transferor, the one that is to be connected the transferee. The new connection is a call of
its own, of the transferor's account: sent to ourselves, signed, so that it is decided, admitted, rated and recorded
like any other. Once it is answered the transferee is offered its session, and it takes the transferor's place; until
then nothing has changed for anybody, and the transferor may leave or stay. `docs/behaviour.md` §5 says what is charged.
"""

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from b2bua.call.anchor import Anchor
from b2bua.call.callee_leg import CalleeLeg
from b2bua.call.client_request import ClientRequest
from b2bua.call.leg import NOBODY, Leg, next_hop
from b2bua.call.reinvite import ReInvite
from b2bua.sip.address import Address
from b2bua.sip.errors import ParseError
from b2bua.sip.grammar import BLANKS
from b2bua.sip.message import Request, Response
from b2bua.sip.params import parse_parameters
from b2bua.sip.status import reason_phrase
from b2bua.sip.timers import Timer
from b2bua.sip.transactions import ClientTransaction, ServerTransaction
from b2bua.sip.uri import escape_user, join_host_port, unescape
from b2bua.transport.endpoint import TimerOwner

if TYPE_CHECKING:
    from b2bua.call.active import ActiveCall

LONGEST: Final = 180.0
"""Seconds that the new call may take until it is answered."""

REPLACES: Final = "replaces"
"""Header and option tag of RFC 3891."""

_FRAGMENT: Final = "message/sipfrag;version=2.0"
_HEADER: Final = re.compile(r"(?:^|&)([^=&]*)=([^&]*)")
_TOKEN_LIMIT: Final = 256


class ReferTarget(NamedTuple):
    """Whom the other side is to be connected with."""

    number: str
    replaces: str
    """Value of the Replaces header; empty: nobody's dialog is taken over."""


def read_refer_to(request: Request) -> ReferTarget:
    """Read the one Refer-To of a REFER (RFC 3515 §2.1), in whose URI a Replaces header may be escaped.

    Raises:
        ParseError: there is none, or it is not a URI that can be called.
    """
    values = request.headers.get("refer-to", [])
    if len(values) != 1:
        raise ParseError("REFER needs one Refer-To")
    uri = Address.parse(values[0]).uri
    if (uri.parameters.get("method") or "INVITE").upper() != "INVITE":
        raise ParseError("only calls can be referred to")
    number = uri.number
    if not number or len(number) > _TOKEN_LIMIT:
        raise ParseError("Refer-To names nobody")
    replaces = ""
    for name, value in _HEADER.findall(uri.headers):
        if unescape(name).lower() == REPLACES:
            replaces = unescape(value)
            Replaces.parse(replaces)
    return ReferTarget(number, replaces)


class Replaces(NamedTuple):
    """A dialog that a new one is to take the place of (RFC 3891 §6.1)."""

    call_id: str
    to_tag: str
    """Tag of whoever gets the INVITE: ours."""
    from_tag: str
    is_early_only: bool = False

    @classmethod
    def parse(cls, text: str) -> "Replaces":
        """Parse the header's value.

        Raises:
            ParseError: no Call-ID, or not both tags.
        """
        call_id, _, rest = text.partition(";")
        parameters = parse_parameters(rest)
        to_tag, from_tag = parameters.get("to-tag") or "", parameters.get("from-tag") or ""
        call_id = call_id.strip(BLANKS)
        if not call_id or not to_tag or not from_tag or "\r" in text or "\n" in text:
            raise ParseError("Replaces needs a Call-ID and two tags")
        return cls(call_id, to_tag, from_tag, "early-only" in parameters)


class Transfer(TimerOwner):
    """One transfer, from the REFER to its end.

    Args:
        call: What it is of.
        transferor: The leg that asked.
        transferee: The other one.
        target: Whom it is to be connected with.
        refer: The REFER, for the number of its subscription.
    """

    __slots__ = (
        "_call",
        "_has_rung",
        "_is_connecting",
        "_join",
        "_refer_cseq",
        "_target",
        "_timer",
        "anchor",
        "has_left",
        "leg",
        "transferee",
        "transferor",
    )

    def __init__(
        self, call: "ActiveCall", transferor: Leg, transferee: Leg, target: ReferTarget, refer: Request
    ) -> None:
        self._call = call
        self._target = target
        self._refer_cseq = refer.cseq
        self._has_rung = self._is_connecting = False
        self._join: ReInvite | None = None
        self._timer: Timer[TimerOwner] | None = None
        self.transferor = transferor
        self.transferee = transferee
        self.leg: CalleeLeg
        """The new connection."""
        self.anchor: Anchor | None = None
        """What its session descriptions go through; None: its media goes from end to end."""
        self.has_left = False
        """Whether the transferor has hung up before it was over."""

    @property
    def is_joining(self) -> bool:
        """Whether the transferee is being offered the new session, and has not answered yet."""
        return self._is_connecting

    def begin(self, signature: dict[str, list[str]], caller: str, max_forwards: int) -> None:
        """Make the new call.

        Args:
            signature: Header that shows ourselves whose call it is.
            caller: From value, without a tag.
            max_forwards: Hops that are left.
        """
        endpoint = self.transferor.endpoint
        flow = endpoint.flow_to_self()
        self.leg = CalleeLeg(endpoint, flow, self, self.transferor.user_agent)
        uri = f"sip:{escape_user(self._target.number)}@{join_host_port(flow.host, flow.port)}"
        headers = dict(signature)
        if self._target.replaces:
            headers[REPLACES] = [self._target.replaces]
        self._timer = endpoint.add_timer(LONGEST, self, 0)
        self._notify(100)

        def offered(session: bytes | int) -> None:
            if isinstance(session, int):
                self._fail(session)
            else:
                self.leg.send_invite(f"{uri}{flow.parameter}", caller, f"<{uri}>", max_forwards, session, headers)

        self._call.transfers.offer_of(self._call, self, offered)

    # The new call

    def callee_responded(self, leg: CalleeLeg, response: Response) -> None:
        """It proceeds, is answered, or has failed."""
        status = response.status
        if status < 200:
            if status >= 180 and not self._has_rung:
                self._has_rung = True
                self._notify(180)
        elif status < 300:
            self._answered(response)
        else:
            self._fail(status)

    def _answered(self, response: Response) -> None:
        self._stop()
        self._is_connecting = True
        if response.body:
            self.leg.send_ack(b"")
            self._call.transfers.leg_added(self.leg)
            self._call.transfers.prepare_session(self._call, self, response.body, self._offer_session)
        else:
            self.leg.refuse_answer(65, "CODEC_NOT_ALLOWED")
            self._fail(488)

    def _offer_session(self, session: bytes | int) -> None:
        if isinstance(session, int):
            self._drop_leg(*((65, "CODEC_NOT_ALLOWED") if session == 488 else (47, "NO_MEDIA")))
            self._fail(session)
            return
        self._join = ReInvite(self.transferee, session, self._joined, self._call.session_headers(self.transferee))
        self._join.send()

    def _joined(self, status: int, response: Response | None) -> None:
        """The transferee has been offered the new session."""
        self._join = None
        self._is_connecting = False
        if response is None or status >= 300:
            self._drop_leg(41)
            self._fail(status)
            return
        self._call.transfers.succeeded(self._call, self, response)
        if self.has_left:
            return
        self.transferor.user = self
        self._notify(200)

    def callee_unreachable(self, leg: CalleeLeg, code: str) -> None:
        """It never came about."""
        self._fail(503)

    def on_timer(self, kind: int, now: float) -> None:
        """Nobody answers it."""
        self._timer = None
        self.leg.abandon()
        self._fail(408)

    def _fail(self, status: int) -> None:
        self._stop()
        self._end_anchor()
        self._notify(status)
        self._call.transfers.failed(self._call, self)

    def _end_anchor(self) -> None:
        if self.anchor is not None:
            self.anchor.end()

    def _drop_leg(self, cause: int, text: str = "") -> None:
        self.leg.user = NOBODY
        if self.leg.is_answered:
            self.leg.send_bye(cause, text)
            self._call.transfers.leg_removed(self.leg)
        else:
            self.leg.abandon()

    def abandon(self) -> None:
        """The call is over."""
        self._stop()
        self._end_anchor()
        if self._join is not None:
            self._join.abandon()
            self._join = None
        self._drop_leg(16)

    def _stop(self) -> None:
        if self._timer is not None:
            self.transferor.endpoint.wheel.cancel(self._timer)
            self._timer = None

    # The transferor, and the new leg before it is connected

    def transferor_left(self) -> None:
        """It has hung up, and waits for nothing."""
        self.has_left = True
        self._call.transfers.leg_removed(self.transferor)

    def leg_hung_up(self, leg: Leg, cause: int | None) -> None:
        """The transferor leaves after all is done, or the new leg's peer before it was connected."""
        if leg is self.transferor:
            self.transferor_left()
            return
        if self._join is not None:
            self._join.abandon()
            self._join = None
        self._call.transfers.leg_removed(leg)
        self._fail(480)

    def notified(self, status: int) -> None:
        """The transferor has been told the outcome: nothing holds it any more."""
        if status == 200 and not self.has_left:
            self.transferor_left()
            self.transferor.send_bye(16, "TRANSFERRED")

    def request_received(self, leg: Leg, transaction: ServerTransaction, request: Request) -> None:
        """It is too early, or too late, for anything else."""
        leg.answer_request(transaction, request, 481 if leg is self.transferor else 491)

    def ack_received(self, leg: Leg, request: Request) -> bool:
        """Of nothing that is known here."""
        return False

    def caller_acknowledged(self, body: bytes) -> None:
        """Nothing waits for it."""

    def caller_is_gone(self) -> None:
        """Nothing waits for it."""

    def caller_is_deaf(self) -> None:
        """Nothing waits for it."""

    def early_dialog_begun(self, leg: Leg) -> None:
        """Both legs have their dialogs."""

    # The subscription (RFC 3515 §2.4.4)

    def _notify(self, status: int) -> None:
        if not self.has_left:
            _Notify(self, self.transferor, self._refer_cseq, status).send()


class _Notify(ClientRequest):
    """Tells the transferor how the new call fares."""

    __slots__ = ("_leg", "_refer_cseq", "_status", "_transfer")

    def __init__(self, transfer: Transfer, leg: Leg, refer_cseq: int, status: int) -> None:
        self._transfer = transfer
        self._leg = leg
        self._refer_cseq = refer_cseq
        self._status = status

    def send(self) -> None:
        leg, dialog = self._leg, self._leg.dialog
        assert dialog is not None
        text = f"SIP/2.0 {self._status} {reason_phrase(self._status)}\r\n"
        notify = dialog.request("NOTIFY", text.encode())
        state = "active;expires=180" if self._status < 200 else "terminated;reason=noresource"
        notify.headers["event"] = [f"refer;id={self._refer_cseq}"]
        notify.headers["subscription-state"] = [state]
        notify.headers["contact"] = [dialog.contact]
        notify.headers["content-type"] = [_FRAGMENT]
        if leg.proof is not None:
            leg.proof.prove(notify)
        flow = next_hop(leg.endpoint, dialog.flow, notify)
        leg.endpoint.transactions.send_request(notify, flow, leg.endpoint.now(), self)

    def answered(self, transaction: ClientTransaction, response: Response) -> None:
        """It knows."""
        if response.status >= 200:
            self._transfer.notified(self._status)

    def failed(self, transaction: ClientTransaction, code: str) -> None:
        """It will never know."""
        self._transfer.notified(self._status)
