"""Keeps the sessions of both legs alive, and tells when one has expired (RFC 4028)."""

from typing import Final, Protocol

from b2bua.call.callee_leg import CalleeLeg
from b2bua.call.client_request import ClientRequest
from b2bua.call.leg import ALLOW, SDP, Leg, next_hop
from b2bua.call.session_timer import (
    SessionTimer,
    Terms,
    TooShort,
    allows,
    answer_headers,
    read_least,
    request_headers,
    supports,
    terms_as_uac,
    terms_as_uas,
)
from b2bua.sip.errors import ParseError
from b2bua.sip.message import Request, Response
from b2bua.sip.transactions import ClientTransaction


class Keeping(Protocol):
    """The call."""

    def session_expired(self, leg: Leg) -> None:
        """A leg's peer has gone."""

    def targets_refreshed(self) -> None:
        """A peer's answer to a refresh may have named another place."""

    def is_exchanging(self) -> bool:
        """Whether an offer is under way, which a refresh must not cross."""


class _Nobody:
    """Stands in for a call that is over, so that neither keeps the other in memory."""

    def session_expired(self, leg: Leg) -> None:
        """Ignore it."""

    def targets_refreshed(self) -> None:
        """Ignore it."""

    def is_exchanging(self) -> bool:
        """Nothing is."""
        return False


_NOBODY: Final = _Nobody()


class _Side:
    __slots__ = ("session", "takes_update", "timer")

    def __init__(self, timer: SessionTimer, session: bytes, *, takes_update: bool) -> None:
        self.timer = timer
        self.session = session
        self.takes_update = takes_update


class SessionKeeper:
    """The session timers of a call.

    Args:
        call: Is told when one expires.
        wanted: Seconds that we ask for; 0: we ask for none.
    """

    def __init__(self, call: Keeping, wanted: int) -> None:
        self._call: Keeping = call
        self._wanted = wanted
        self._sides: dict[Leg, _Side] = {}

    def stop(self) -> None:
        """The call is over."""
        for side in self._sides.values():
            side.timer.stop()
        self._sides.clear()
        self._call = _NOBODY

    def drop(self, leg: Leg) -> None:
        """A leg is none of the call's any more."""
        side = self._sides.pop(leg, None)
        if side is not None:
            side.timer.stop()

    # The first INVITE

    def begin_as_uas(self, leg: Leg, request: Request, session: bytes) -> dict[str, str]:
        """We answer a caller with success; returns headers for that."""
        terms = self._terms(request)
        if terms is None:
            return {}
        self._begin(leg, terms, session, takes_update=allows(request, "UPDATE"))
        return answer_headers(terms, peer_knows=supports(request))

    def begin_as_uac(self, leg: Leg, response: Response, session: bytes) -> None:
        """A callee has answered with success."""
        terms = terms_as_uac(response)
        if terms is not None:
            self._begin(leg, terms, session, takes_update=allows(response, "UPDATE"))

    def _terms(self, request: Request) -> Terms | None:
        try:
            return terms_as_uas(request, self._wanted)
        except (ParseError, TooShort):
            return None  # refused before

    def _begin(self, leg: Leg, terms: Terms, session: bytes, *, takes_update: bool) -> None:
        self._sides[leg] = _Side(SessionTimer(leg, self, terms), session, takes_update=takes_update)

    # Requests within the dialog

    def answer_headers(self, leg: Leg, request: Request) -> dict[str, str]:
        """A peer's INVITE or UPDATE succeeds, which refreshes its session; returns headers for the answer."""
        side, terms = self._sides.get(leg), self._terms(request)
        if terms is None:
            return {}
        if side is None:
            self._begin(leg, terms, b"", takes_update=allows(request, "UPDATE"))
        else:
            side.timer.restart(terms)
        return answer_headers(terms, peer_knows=supports(request))

    def request_headers(self, leg: Leg) -> dict[str, str]:
        """Headers of an INVITE or UPDATE of ours, which refreshes a session."""
        side = self._sides.get(leg)
        if side is None:
            return {}
        terms = side.timer.terms
        return request_headers(terms.seconds, "uac" if terms.is_ours else "uas")

    def refreshed(self, leg: Leg, response: Response | None = None) -> None:
        """A peer has answered it with success; without the answer the terms stay as they are."""
        side = self._sides.get(leg)
        if side is not None:
            side.timer.restart((terms_as_uac(response) if response is not None else None) or side.timer.terms)
            if response is None:
                # The session has changed: only UPDATE leaves it as it is from now on.
                side.session = b""
            else:
                self._call.targets_refreshed()

    # Timers

    def refresh(self, leg: Leg) -> None:
        """It is time to refresh."""
        side = self._sides.get(leg)
        if side is None:
            return
        if self._call.is_exchanging():
            side.timer.retry()
        elif side.takes_update or side.session:
            method = "UPDATE" if side.takes_update else "INVITE"
            _Refresh(self, leg, method, b"" if side.takes_update else side.session).send()
        else:
            side.timer.restart(side.timer.terms)  # nothing that we could send would leave the session as it is

    def session_expired(self, leg: Leg) -> None:
        """Nobody has refreshed it."""
        self._call.session_expired(leg)

    def failed(self, leg: Leg, response: Response | None) -> None:
        """A refresh was not agreed to (§10)."""
        side = self._sides.get(leg)
        if side is None:
            return
        status = 408 if response is None else response.status
        if status in (408, 481):
            self._call.session_expired(leg)
        elif response is not None and status == 422:
            side.timer.terms = Terms(max(read_least(response), side.timer.terms.seconds), is_ours=True)
            self.refresh(leg)
        else:
            side.timer.retry()


class _Refresh(ClientRequest):
    """One UPDATE, or INVITE, that changes nothing."""

    __slots__ = ("_cseq", "_keeper", "_leg", "_method", "_session")

    def __init__(self, keeper: SessionKeeper, leg: Leg, method: str, session: bytes) -> None:
        self._keeper = keeper
        self._leg = leg
        self._method = method
        self._session = session
        self._cseq = 0

    def send(self) -> None:
        leg, dialog = self._leg, self._leg.dialog
        assert dialog is not None
        request = dialog.request(self._method, self._session)
        self._cseq = dialog.local_cseq
        request.headers["contact"] = [dialog.contact]
        request.headers["allow"] = [ALLOW]
        if self._session:
            request.headers["content-type"] = [SDP]
        for name, value in self._keeper.request_headers(leg).items():
            request.headers[name] = [value]
        if isinstance(leg, CalleeLeg) and leg.proof is not None:
            leg.proof.prove(request)
        flow = next_hop(leg.endpoint, dialog.flow, request)
        leg.endpoint.transactions.send_request(request, flow, leg.endpoint.now(), self)

    def answered(self, transaction: ClientTransaction, response: Response) -> None:
        """Agreed, or not."""
        if response.status < 200:
            return
        if response.status >= 300:
            self._keeper.failed(self._leg, response)
            return
        dialog = self._leg.dialog
        assert dialog is not None
        dialog.refresh_target(response)
        if self._method == "INVITE":
            ack = dialog.request("ACK", cseq=self._cseq)
            self._leg.endpoint.transactions.send_stateless(ack, next_hop(self._leg.endpoint, dialog.flow, ack))
        self._keeper.refreshed(self._leg, response)

    def failed(self, transaction: ClientTransaction, code: str) -> None:
        """The peer answers no more."""
        self._keeper.failed(self._leg, None)
