"""A callee that a new call takes over from another one, instead of calling anybody (RFC 3891).

From the moment it is taken until the new call is answered it is in custody: it is asked to take the new caller's
session. The call is told by events; nothing of it is kept.
"""

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from b2bua.call.anchor import code_of
from b2bua.call.callee_leg import CalleeLeg
from b2bua.call.controller import NORMAL_CLEARING
from b2bua.call.events import AttemptFailed, Replaced, Side
from b2bua.call.reinvite import ReInvite
from b2bua.policy.decision import Attempt
from b2bua.sip.message import Response
from media.errors import MediaError
from media.sdp import filter_codecs

if TYPE_CHECKING:
    from b2bua.call.active import ActiveCall
    from b2bua.call.driver import CallDriver


class Custody:
    """What one call has taken over, and has not been answered by yet.

    Args:
        driver: What all calls share.
    """

    __slots__ = ("_driver", "leg")

    def __init__(self, driver: "CallDriver") -> None:
        self._driver = driver
        self.leg: CalleeLeg | None = None
        """The callee; None: there is none, or it is the call's own by now."""

    def take(self, call: "ActiveCall", old: "ActiveCall") -> None:
        """Take over the callee of a call of the same account, which ends; to be done before anything else."""
        leg = old.parties.on(Side.CALLEE)
        assert isinstance(leg, CalleeLeg)
        call.decision.attempts = [replace(old.attempt, only_after=None)]
        call.parties.take_callee(old.parties, leg)
        old.handle(Replaced())
        self.leg = leg
        leg.user = call
        self._driver.add_leg(leg.key, leg)

    def invite(self, call: "ActiveCall", leg: CalleeLeg, attempt: Attempt) -> None:
        """Ask it to take the caller's session."""
        offer = filter_codecs(call.offer, attempt.codecs) if call.offer else None
        call.parties.callee = leg
        record = call.record
        assert leg.dialog is not None
        record.b_call_id, record.b_transport, record.b_address = (
            leg.dialog.call_id,
            leg.flow.transport,
            leg.flow.address,
        )
        self._driver.ladders.join(call.call_id, leg.dialog.call_id)
        if offer is None:
            call.handle(AttemptFailed(0, None, "CODEC_NOT_ALLOWED"))
        elif call.anchor is None or not offer:
            self._offer(call, leg, offer)
        else:
            call.anchor.offer(call.parties.caller, leg, offer, partial(self._offer, call, leg))

    def _offer(self, call: "ActiveCall", leg: CalleeLeg, offer: bytes | MediaError) -> None:
        if self.leg is not leg:
            return  # the call is over
        if isinstance(offer, MediaError):
            call.handle(AttemptFailed(0, None, code_of(offer)))
        else:
            ReInvite(leg, call.parties.as_ours(offer, leg), partial(self._answered, call)).send()

    def _answered(self, call: "ActiveCall", status: int, response: Response | None) -> None:
        leg = self.leg
        if leg is None:
            return  # the call is over
        body = call.permitted(response.body) if response is not None and status < 300 else None
        if response is None or body is None:
            call.handle(AttemptFailed(status if status >= 300 else 0, None, "CODEC_NOT_ALLOWED"))
        elif call.anchor is None or not body:
            self._described(call, leg, response, body)
        else:
            call.pass_from_callee(call.anchor, leg, body, partial(self._described, call, leg, response))

    def _described(self, call: "ActiveCall", leg: CalleeLeg, response: Response, body: bytes | MediaError) -> None:
        if self.leg is not leg:
            return
        if isinstance(body, MediaError):
            call.handle(AttemptFailed(0, None, code_of(body)))
            return
        self.leg = None
        call.answered_by(leg, response, body)

    def end(self) -> None:
        """The call is over: so is what it had not been answered by."""
        if self.leg is not None:
            self.leg.send_bye(NORMAL_CLEARING, "")
            self.leg = None
