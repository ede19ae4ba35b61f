"""Session timers: a call whose peer has gone ends (RFC 4028). Each leg has its own, negotiated with its own peer.

Terms are negotiated by plain functions; `SessionTimer` waits. Who refreshes sends UPDATE without a body, which changes
nothing, or an INVITE with the session as it was; who waits for a refresh in vain ends the call.
"""

from enum import IntEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from b2bua.sip.errors import ParseError
from b2bua.sip.grammar import split_outside_quotes
from b2bua.sip.message import Request, Response
from b2bua.sip.timers import Timer
from b2bua.transport.endpoint import TimerOwner

if TYPE_CHECKING:
    from b2bua.call.leg import Leg

LEAST: Final = 90
"""Seconds: the shortest interval that we agree to, and that there may be (§4)."""

TAG: Final = "timer"
"""The option tag."""

_MARGIN: Final = 32.0
"""Seconds before its end at which a session without a refresh is ended, or a third of it if that is less (§10)."""

_RETRY: Final = 5.0
"""Seconds after which a refresh that was refused for the moment is sent again."""

_NO_TAGS: Final[frozenset[str]] = frozenset()

_KNOWN_LENGTH: Final = 256
"""Longest value that is remembered with its tags, so that a peer that invents them cannot fill the memory."""


class Terms(NamedTuple):
    """What two sides agreed on."""

    seconds: int
    is_ours: bool
    """Whether we refresh."""


class TooShort(Exception):
    """The interval that is asked for is below `LEAST`: 422 with Min-SE."""


def read_interval(message: Request | Response) -> tuple[int, str]:
    """Session-Expires (§4): its seconds, 0 where there is none, and its refresher, `uac`, `uas` or empty.

    Raises:
        ParseError: it is malformed.
    """
    value = message.headers.first("session-expires")
    if not value:
        return 0, ""
    number, *parameters = (part.strip() for part in value.split(";"))
    if not (number.isascii() and number.isdigit()) or len(number) > 9:
        raise ParseError("Session-Expires is not a number")
    refresher = ""
    for parameter in parameters:
        name, _, text = parameter.partition("=")
        if name.strip().lower() == "refresher":
            refresher = text.strip().lower()
    return int(number), refresher if refresher in ("uac", "uas") else ""


def read_least(message: Request | Response) -> int:
    """Min-SE (§5) in seconds; `LEAST` where there is none or it is malformed."""
    value = message.headers.first("min-se").partition(";")[0].strip()
    return max(LEAST, int(value)) if value.isascii() and value.isdigit() and len(value) < 9 else LEAST


def supports(message: Request | Response, tag: str = TAG) -> bool:
    """Whether a peer knows an option tag: it stands in Supported or Require."""
    return tag in _tags(message, "supported") or tag in _tags(message, "require")


def allows(message: Request | Response, method: str) -> bool:
    """Whether Allow says that a peer takes a method."""
    return method.lower() in _tags(message, "allow")


def _tags(message: Request | Response, name: str) -> frozenset[str]:
    values = message.headers.get(name)
    if values is None:
        return _NO_TAGS
    if len(values) == 1 and len(values[0]) <= _KNOWN_LENGTH:
        return _known_tags(values[0])
    return _NO_TAGS.union(*map(_read_tags, values))


def _read_tags(value: str) -> frozenset[str]:
    try:
        return frozenset(part.lower() for part in split_outside_quotes(value, ","))
    except ParseError:
        return _NO_TAGS


# Telephones of a make all say the same.
_known_tags = lru_cache(1024)(_read_tags)


def terms_as_uas(request: Request, wanted: int) -> Terms | None:
    """What we agree to for a request that came to us (§9); None: no timer.

    Args:
        request: An INVITE or UPDATE.
        wanted: Seconds that we would have where the peer names none; 0: none.

    Raises:
        ParseError: Session-Expires is malformed.
        TooShort: it is too short.
    """
    seconds, refresher = read_interval(request)
    knows = supports(request)
    if seconds:
        if seconds < LEAST and knows:
            raise TooShort
        # A proxy may have put it in for a peer that knows nothing of it: then the work is ours.
        return Terms(max(seconds, LEAST), is_ours=not knows or refresher == "uas")
    if not wanted or not (knows or allows(request, "UPDATE")):
        return None
    return Terms(max(wanted, read_least(request)), is_ours=not knows)


def answer_headers(terms: Terms, *, peer_knows: bool) -> dict[str, str]:
    """Headers of a 2xx that agrees to terms (§9)."""
    headers = {"session-expires": f"{terms.seconds};refresher={'uas' if terms.is_ours else 'uac'}"}
    if peer_knows:
        headers["require"] = TAG
    return headers


def request_headers(seconds: int, refresher: str = "") -> dict[str, str]:
    """Headers of an INVITE or UPDATE that asks for a timer, or refreshes one (§7.1)."""
    whom = f";refresher={refresher}" if refresher else ""
    return {"supported": TAG, "session-expires": f"{seconds}{whom}", "min-se": str(LEAST)}


def lengthen(request: Request, response: Response) -> bool:
    """Ask for the session that a 422 wants, at least (§7.3); returns whether it is longer than what was asked for."""
    try:
        seconds, _ = read_interval(request)
    except ParseError:
        return False
    least = read_least(response)
    if response.status != 422 or not seconds or seconds >= least:
        return False
    for name, value in request_headers(least).items():
        request.headers[name] = [value]
    request.headers["min-se"] = [str(least)]
    return True


def terms_as_uac(response: Response) -> Terms | None:
    """What a peer agreed to in its 2xx (§7.2); None: no timer."""
    try:
        seconds, refresher = read_interval(response)
    except ParseError:
        return None
    return Terms(max(seconds, LEAST), is_ours=refresher != "uas") if seconds else None


class SessionTimerUser(Protocol):
    """The call."""

    def refresh(self, leg: "Leg") -> None:
        """It is time to refresh the session with a leg's peer."""

    def session_expired(self, leg: "Leg") -> None:
        """The peer has not refreshed it."""


class _Kind(IntEnum):
    REFRESH = 0
    EXPIRED = 1


class SessionTimer(TimerOwner):
    """The timer of one leg's session.

    Args:
        leg: Whose.
        user: Is told.
        terms: What was agreed on.
    """

    __slots__ = ("_leg", "_timer", "_user", "_waited", "terms")

    def __init__(self, leg: "Leg", user: SessionTimerUser, terms: Terms) -> None:
        self._leg = leg
        self._user = user
        self._timer: Timer[TimerOwner] | None = None
        self._waited = 0.0
        self.terms = terms
        self.restart(terms)

    def restart(self, terms: Terms) -> None:
        """The session was refreshed; it lasts as long as these terms say."""
        self.terms, self._waited = terms, 0.0
        if terms.is_ours:
            self._wait(terms.seconds / 2, _Kind.REFRESH)
        else:
            self._wait(self._end, _Kind.EXPIRED)

    @property
    def _end(self) -> float:
        return self.terms.seconds - min(_MARGIN, self.terms.seconds / 3)

    def retry(self) -> None:
        """Our refresh was refused for the moment."""
        self._wait(min(_RETRY, max(0.0, self._end - self._waited)), _Kind.REFRESH)

    def stop(self) -> None:
        """The call is over."""
        if self._timer is not None:
            self._leg.endpoint.wheel.cancel(self._timer)
            self._timer = None

    def on_timer(self, kind: int, now: float) -> None:
        """Refresh, or give up."""
        self._timer = None
        if kind == _Kind.EXPIRED or self._waited >= self._end:
            self._user.session_expired(self._leg)
        else:
            self._user.refresh(self._leg)

    def _wait(self, seconds: float, kind: _Kind) -> None:
        self.stop()
        self._waited += seconds
        self._timer = self._leg.endpoint.add_timer(seconds, self, kind)
