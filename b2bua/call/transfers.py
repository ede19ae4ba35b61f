"""What a call does for a transfer: who may ask for one, whose session the sides see, who takes whose place.

`Transfer` is the one under way. The call is given to every method and not kept, so that it can be freed when it ends.
"""

import time
from functools import partial
from typing import TYPE_CHECKING

from b2bua.call.callee_leg import CalleeLeg
from b2bua.call.events import HungUp, Side
from b2bua.call.exchange import Described
from b2bua.call.forwarding import HEADER as FORWARD_HEADER
from b2bua.call.leg import Leg
from b2bua.call.reinvite import ReInvite
from b2bua.call.transfer import Transfer, read_refer_to
from b2bua.policy.accounts import Account
from b2bua.sip.errors import ParseError
from b2bua.sip.message import Request, Response
from b2bua.sip.transactions import ServerTransaction
from b2bua.sip.uri import escape_user
from media.sdp import filter_codecs, is_same_media, resume

if TYPE_CHECKING:
    from b2bua.call.active import ActiveCall
    from b2bua.call.driver import CallDriver


class Transfers:
    """The transfers of one call, one at a time.

    Args:
        driver: What all calls share.
    """

    __slots__ = ("_driver", "current")

    def __init__(self, driver: "CallDriver") -> None:
        self._driver = driver
        self.current: Transfer | None = None
        """The one under way."""

    @property
    def is_joining(self) -> bool:
        """Whether the transferee is being offered the new session."""
        return self.current is not None and self.current.is_joining

    def is_asked_by(self, leg: Leg) -> bool:
        """Whether a leg's peer has asked for the one under way."""
        return self.current is not None and self.current.transferor is leg

    def has_left(self, leg: Leg) -> bool:
        """Whether a leg is that of a transferor who has hung up."""
        return self.current is not None and self.current.has_left and self.current.transferor is leg

    def transferor_left(self) -> None:
        """Whoever asked has hung up: the other side waits for the new connection."""
        if self.current is not None:
            self.current.transferor_left()

    def abandon(self) -> None:
        """The call is over."""
        if self.current is not None:
            self.current.abandon()
            self.current = None

    # Asking

    def refer_received(
        self, call: "ActiveCall", leg: Leg, far: Leg, transaction: ServerTransaction, request: Request
    ) -> None:
        """A side wants the other one to be connected with somebody else."""
        assert leg.dialog is not None
        account = _pays(call, call.parties.side_of(leg))
        try:
            target = read_refer_to(request)
        except ParseError:
            leg.answer_request(transaction, request, 400)
            return
        if account is None:
            leg.answer_request(transaction, request, 403)
        elif self.current is not None or call.is_exchanging():
            leg.answer_request(transaction, request, 491)
        else:
            leg.answer_request(transaction, request, 202, {"contact": leg.dialog.contact})
            self.current = Transfer(call, leg, far, target, request)
            signature = self._driver.signer.sign(account.id, target.number, time.time())
            here = leg.endpoint.sent_by(leg.endpoint.flow_to_self())
            caller = f"<sip:{escape_user(call.record.source_received)}@{here}>"
            self.current.begin({FORWARD_HEADER: [signature]}, caller, call.max_forwards)

    # The new leg

    def offer_of(self, call: "ActiveCall", transfer: Transfer, done: Described) -> None:
        """Tell how the peer of a new leg should see the session of the transferee, not on hold."""
        speaker, towards = transfer.transferee, transfer.leg
        offer = resume(call.parties.said(call.parties.side_of(speaker)))
        if not offer:
            done(488)  # nobody knows what the transferee speaks
        elif call.anchor is None:
            done(call.parties.as_ours(offer, towards))
        else:
            # A call of the engine has two sides: the new connection is another one.
            transfer.anchor = self._driver.new_anchor(call.next_media())
            if transfer.anchor is None:
                done(503)
            else:
                transfer.anchor.offer(speaker, towards, offer, partial(call.described, towards, done))

    def leg_added(self, leg: CalleeLeg) -> None:
        """A new connection has its dialog."""
        self._driver.add_leg(leg.key, leg)

    def leg_removed(self, leg: Leg) -> None:
        """A dialog is over before the call is."""
        self._driver.remove_dialog(leg)

    def prepare_session(self, call: "ActiveCall", transfer: Transfer, body: bytes, done: Described) -> None:
        """Tell how the transferee should see the new connection's session: later than all that it has seen before."""
        towards, anchor = transfer.transferee, transfer.anchor
        call.parties.begin_anew(body, towards)
        call.parties.heard_from(body, towards)
        permitted = filter_codecs(body, call.attempt.codecs)
        if permitted is None:
            done(488)
        elif anchor is None:
            done(call.parties.as_ours(permitted, towards))
        else:
            anchor.answer(towards, transfer.leg, permitted, partial(call.described, towards, done))

    # The outcome

    def succeeded(self, call: "ActiveCall", transfer: Transfer, response: Response) -> None:
        """The transferee talks with the new leg from now on."""
        side = call.parties.side_of(transfer.transferor)
        self.current = None
        call.parties.replace(side, transfer.leg)
        transfer.leg.user = call
        if call.anchor is not None and transfer.anchor is not None:
            call.anchor.end()  # what is recorded is of the connection at the end
            call.anchor, transfer.anchor = transfer.anchor, None
        offered, answer = call.parties.said(call.parties.side_of(transfer.transferee)), response.body
        call.parties.heard_from(answer, transfer.leg)
        self._driver.ladders.join(call.call_id, transfer.leg.key[0])
        call.leg_replaced(transfer.transferor)
        if not is_same_media(offered, answer):
            call.describe(answer, transfer.leg, partial(_renew_session, call, transfer.leg), is_offer=True)

    def failed(self, call: "ActiveCall", transfer: Transfer) -> None:
        """All is as it was, but that the transferor may have left."""
        self.current = None
        if transfer.has_left:
            call.handle(HungUp(call.parties.side_of(transfer.transferor)))


def _pays(call: "ActiveCall", side: Side) -> Account | None:
    """The account of whoever is on a side; None: it is no device of ours, and may not make us call anybody."""
    decision = call.decision
    if call.parties.is_replaced(side) or decision.account is None:
        return None
    if side == Side.CALLER:
        return decision.account if decision.kind != "incoming" else None
    return decision.account if call.attempt.kind in ("user", "device") else None


def _renew_session(call: "ActiveCall", leg: CalleeLeg, session: bytes | int) -> None:
    """Tell whoever a side is connected with now how that describes its session."""
    if not isinstance(session, int):
        ReInvite(leg, session, partial(_session_renewed, call, leg)).send()


def _session_renewed(call: "ActiveCall", leg: CalleeLeg, status: int, response: Response | None) -> None:
    speaker = call.parties.opposite(leg)
    if call.anchor is not None and speaker is not None and response is not None and response.body and status < 300:
        call.anchor.answer(speaker, leg, response.body, _whatever)


def _whatever(_: object) -> None:
    """What comes of it changes nothing."""
