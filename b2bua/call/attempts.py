"""The attempts of a call, one after the other: whom an attempt's INVITEs go to, and what comes of their answers.

An attempt may reach several places one after the other (`places`) or several telephones at once (`branches`), or takes
over a leg that is up already (`custody`). The call is given to every method and not kept, so that it can be freed when
it ends.
"""

from functools import partial
from typing import TYPE_CHECKING

from b2bua.call.anchor import NO_MEDIA, code_of
from b2bua.call.branches import Branches, Failure
from b2bua.call.callee_leg import CalleeLeg
from b2bua.call.custody import Custody
from b2bua.call.disposition import STOPS
from b2bua.call.events import AttemptFailed, CallTimer, Progressed, SentOn
from b2bua.call.invitation import asked_for, shown_caller
from b2bua.call.places import Places
from b2bua.policy.decision import Attempt, Contact
from b2bua.sip.digest_client import DigestClient
from b2bua.sip.message import Response
from b2bua.sip.reason import q850_cause
from b2bua.sip.uri import escape_user
from b2bua.transport.endpoint import new_token
from media.errors import MediaError
from media.sdp import filter_codecs

if TYPE_CHECKING:
    from b2bua.call.active import ActiveCall
    from b2bua.call.driver import CallDriver


class Attempts:
    """What one call does to be answered.

    Args:
        driver: What all calls share.
        privacy: Privacy header that the caller's number is hidden by; empty: it may be shown.
    """

    __slots__ = ("_branches", "_driver", "_places", "_privacy", "custody")

    def __init__(self, driver: "CallDriver", privacy: str) -> None:
        self._driver = driver
        self._privacy = privacy
        self._branches = Branches()
        self._places = Places(driver)
        self.custody = Custody(driver)
        """What was taken over from another call, and is to be answered by."""

    @property
    def legs(self) -> list[CalleeLeg]:
        """Those that ring, or the one that has answered."""
        return self._branches.legs

    def abandon(self) -> None:
        """Take back what rings."""
        self._branches.abandon()

    # Beginning one

    def begin(self, call: "ActiveCall", number: int) -> None:
        """Begin an attempt, the first one being 0."""
        driver = self._driver
        attempt = call.decision.attempts[number]
        gateway = attempt.gateway
        if number:
            call.begin_early_dialog()
        record = call.record
        record.attempt = number + 1
        if attempt.carrier is not None:
            record.carrier_id, record.gateway_id = attempt.carrier.id, gateway.id
        record.source_sent, record.destination_sent = attempt.source, attempt.destination
        self._branches.begin()
        self._places.begin()
        if self.custody.leg is not None:
            self.custody.invite(call, self.custody.leg, attempt)
            return
        places = self._places.first(attempt)
        offer = filter_codecs(call.offer, attempt.codecs) if call.offer else call.offer
        if not places or offer is None:
            call.handle(AttemptFailed(0, None, "CODEC_NOT_ALLOWED" if places else "TRANSPORT_FAILURE"))
            return
        if attempt.carrier is not None and call.decision.kind != "emergency":
            if driver.health.is_down(gateway):
                # Another call went to try it, after this one was decided on.
                call.handle(AttemptFailed(0, None, "NO_RESPONSE"))
                return
            driver.health.tried(gateway.id)
        legs = [CalleeLeg(driver.endpoint, place.flow, call, driver.user_agent) for place in places]
        for leg in legs:
            leg.gateway_id, leg.media = gateway.id, gateway.media
            self._branches.add(leg)
        call.parties.callee = legs[0]
        if call.anchor is None:
            self._anchor_as_needed(call, attempt, places)
        self._invite_all(call, list(zip(legs, places, strict=True)), attempt, offer)

    def send_on(self, call: "ActiveCall") -> None:
        """Call the next place that the gateway has named, or its next server."""
        call.begin_early_dialog()
        attempt = call.attempt
        offer = filter_codecs(call.offer, attempt.codecs) if call.offer else call.offer
        assert offer is not None  # it was sent to the gateway
        place = self._places.next(attempt)
        if place is None:
            self._failed(call, self._branches.best)
            return
        leg = call.parties.callee = CalleeLeg(self._driver.endpoint, place.flow, call, self._driver.user_agent)
        leg.media = attempt.gateway.media
        if not self._places.is_sent_on:
            leg.gateway_id = attempt.gateway.id
        call.record.sip_code = 0
        self._branches.add(leg)
        self._invite_all(call, [(leg, place)], attempt, offer)

    def _anchor_as_needed(self, call: "ActiveCall", attempt: Attempt, places: list[Contact]) -> None:
        """Let media go through an engine where it would not find a telephone behind NAT, or is to be converted."""
        driver = self._driver
        is_hidden = attempt.contacts and driver.anchors_nat and any(place.flow.is_behind_nat for place in places)
        is_converted = attempt.gateway.media.needs_engine or call.caller.media.needs_engine
        if (is_hidden or is_converted) and driver.has_media:
            call.anchor = driver.new_anchor(call.call_id)

    def _invite_all(
        self, call: "ActiveCall", calls: list[tuple[CalleeLeg, Contact]], attempt: Attempt, offer: bytes
    ) -> None:
        """Call the places of an attempt, with one offer for all."""
        if call.anchor is None and attempt.gateway.media.needs_encryption:
            self._branches.abandon()
            call.handle(AttemptFailed(0, None, NO_MEDIA))
        elif call.anchor is None:
            for leg, place in calls:
                self._invite(call, leg, place, attempt, offer)
        elif offer:
            done = partial(self._offer_passed, call, calls, attempt, offer)
            call.anchor.offer(call.parties.caller, calls[0][0], offer, done)
        else:
            self._renew_anchor(call)
            self._offer_passed(call, calls, attempt, offer, offer)

    def _renew_anchor(self, call: "ActiveCall") -> None:
        """Whoever was called before has made an offer, and has gone: the next one's is the first again."""
        if call.anchor is not None and call.anchor.is_begun:
            call.anchor.end()
            call.anchor = self._driver.new_anchor(call.next_media())

    def _offer_passed(
        self,
        call: "ActiveCall",
        calls: list[tuple[CalleeLeg, Contact]],
        attempt: Attempt,
        offer: bytes,
        result: bytes | MediaError,
    ) -> None:
        left = [(leg, place) for leg, place in calls if leg in self._branches.legs]
        if not left:
            return  # given up meanwhile
        if isinstance(result, MediaError):
            code, must_pass = code_of(result), call.anchor is None or call.decision.must_be_anchored
            if call.anchor is not None and not must_pass:
                # Nobody has asked for it: such a call goes from end to end rather than not at all.
                call.anchor.end()
                call.anchor = None
            if must_pass or attempt.gateway.media.needs_encryption:
                self._branches.abandon()
                call.handle(AttemptFailed(0, None, code))
                return
            result = offer
        for leg, place in left:
            self._invite(call, leg, place, attempt, result)

    def _invite(self, call: "ActiveCall", leg: CalleeLeg, place: Contact, attempt: Attempt, offer: bytes) -> None:
        driver, gateway, parties = self._driver, attempt.gateway, call.parties
        # Only the gateway itself may ask for what we prove to it.
        if gateway.login is not None and (not self._places.is_sent_on or place.flow.host == gateway.host):
            leg.proof = DigestClient(gateway.login.username, gateway.login.secret, new_token)
        who = shown_caller(driver, attempt, leg.flow, parties.caller.request, self._privacy)
        address = leg.flow.address
        to = f"<sip:{escape_user(attempt.destination)}@{self._places.domain or address}>"
        extra = who.headers | asked_for(driver, call.decision.account, attempt, place, has_offer=bool(call.offer))
        dialog = leg.send_invite(place.uri, who.caller, to, call.max_forwards, parties.as_ours(offer, leg), extra)
        driver.ladders.join(call.call_id, dialog.call_id)
        if leg is parties.callee:
            record = call.record
            record.b_call_id, record.b_transport, record.b_address = dialog.call_id, leg.flow.transport, address

    # What comes of it

    def responded(self, call: "ActiveCall", leg: CalleeLeg, response: Response) -> None:
        """An answer to an INVITE came."""
        if leg not in self._branches.legs:
            return
        status = response.status
        if status < 200:
            body = call.permitted(response.body) or b""
            if body and call.anchor is not None:
                done = partial(self._progressed, call, leg, status)
                call.pass_from_callee(call.anchor, leg, body, done, is_early=True)
            else:
                call.handle(Progressed(status, call.parties.as_ours(body, call.parties.caller)))
        elif status < 300:
            self._answered(call, leg, response)
        else:
            self._places.refused(call.attempt, response)
            self._branch_failed(call, leg, status, q850_cause(response.headers))

    def _progressed(self, call: "ActiveCall", leg: CalleeLeg, status: int, result: bytes | MediaError) -> None:
        if leg in self._branches.legs:
            body = b"" if isinstance(result, MediaError) else result  # it rings all the same
            call.handle(Progressed(status, call.parties.as_ours(body, call.parties.caller)))

    def _answered(self, call: "ActiveCall", leg: CalleeLeg, response: Response) -> None:
        body = call.permitted(response.body)
        if body is None:
            leg.refuse_answer(65, "CODEC_NOT_ALLOWED")
            self._branch_failed(call, leg, 0, None, "CODEC_NOT_ALLOWED")
            return
        self._branches.win(leg)
        self._places.answered()
        if call.anchor is None:
            call.answered_by(leg, response, body)
            return
        call.early_dialog_begun(leg)  # it may hang up meanwhile
        # One that came while it rang is passed again: it may have been silent for long, or another leg's is newer.
        asked = body or call.anchor.last_answer(leg)
        if asked:
            done = partial(self._answer_passed, call, leg, response, has_session=bool(body))
            call.pass_from_callee(call.anchor, leg, asked, done)
        else:
            call.answered_by(leg, response, body)

    def _answer_passed(
        self, call: "ActiveCall", leg: CalleeLeg, response: Response, result: bytes | MediaError, *, has_session: bool
    ) -> None:
        if leg not in self._branches.legs:
            return
        if isinstance(result, MediaError):
            leg.refuse_answer(47, code_of(result))
            self._branch_failed(call, leg, 0, None, code_of(result))
        else:
            call.answered_by(leg, response, result if has_session else b"")

    def unreachable(self, call: "ActiveCall", leg: CalleeLeg, code: str) -> None:
        """No answer will come."""
        if leg in self._branches.legs:
            self._note_silence(call)
            self._branch_failed(call, leg, 0, None, code)

    def hung_up(self, call: "ActiveCall", leg: CalleeLeg, cause: int | None) -> None:
        """A BYE came before the call was up: of a leg whose answer still waits for the media engine, perhaps."""
        if leg.is_answered and leg in self._branches.legs:
            self._branch_failed(call, leg, 480, cause)

    def timed_out(self, call: "ActiveCall", timer: CallTimer) -> bool:
        """A timer of the call ran out; returns whether the attempt goes on, at another place."""
        is_silent = timer == CallTimer.SILENCE
        if is_silent:
            self._note_silence(call)
        if (self._places.has_redirection and timer in (CallTimer.SILENCE, CallTimer.PROGRESS)) or (
            is_silent and self._places.takes_next_server(0, "NO_RESPONSE")
        ):
            self._branches.abandon()
            call.handle(SentOn())
            return True
        return False

    def _note_silence(self, call: "ActiveCall") -> None:
        gateway_id = call.attempt.gateway.id
        if gateway_id and self._places.is_spent:
            self._driver.health.silent(gateway_id)

    def _branch_failed(
        self, call: "ActiveCall", leg: CalleeLeg, status: int, cause: int | None, code: str = ""
    ) -> None:
        whole = self._branches.fail(leg, status, cause, code)
        if whole is None:
            return
        call.record.sip_code = whole[0]
        if (self._places.has_redirection and whole[0] not in STOPS) or self._places.takes_next_server(status, code):
            call.handle(SentOn())
        else:
            self._failed(call, whole)

    @staticmethod
    def _failed(call: "ActiveCall", whole: Failure) -> None:
        if 300 <= whole[0] < 400 and call.attempt.gateway.follows_redirects:
            whole = (0, None, "TRANSPORT_FAILURE")  # it has led to nowhere
        call.handle(AttemptFailed(*whole))
