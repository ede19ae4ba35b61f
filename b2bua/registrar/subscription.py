"""Subscriptions to message waiting: what a SUBSCRIBE asks for, and what a NOTIFY says (RFC 3842, RFC 6665).

Values in, values out. Not here: dialogs and who may subscribe (`b2bua/call/subscriptions.py`), other packages, partial
state, urgent messages, media beside voice.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

from b2bua.sip.errors import ParseError
from b2bua.sip.grammar import split_outside_quotes
from b2bua.sip.message import Request
from b2bua.sip.uri import URI, join_host_port

EVENT: Final = "message-summary"
BODY_TYPE: Final = "application/simple-message-summary"

DEFAULT_EXPIRES: Final = 3600
"""Seconds that a subscription lasts when none are asked for (RFC 3842 §3.4)."""
LEAST_EXPIRES: Final = 60
MOST_EXPIRES: Final = 7200

_ID_LIMIT: Final = 64
"""Most characters of an event's id."""

GONE: Final = frozenset({404, 405, 408, 410, 416, 480, 481, 482, 483, 484, 485, 489, 501, 604})
"""Answers to a NOTIFY that end its subscription (RFC 6665 §4.2.2, RFC 5057 §5.1)."""


class Mailbox(NamedTuple):
    """How many messages a SIP user has."""

    new: int
    old: int


class SubscribeRefused(Exception):
    """A SUBSCRIBE that is not followed.

    Args:
        status: Of the answer.
        headers: Of the answer.
    """

    def __init__(self, status: int, headers: dict[str, str]) -> None:
        super().__init__(f"SUBSCRIBE refused with {status}")
        self.status = status
        self.headers = headers


class Asked(NamedTuple):
    """What a SUBSCRIBE asks for."""

    expires: int
    """Seconds that are granted; 0: end it, or tell once."""
    event_id: str


@dataclass(slots=True)
class Subscription:
    """What one subscription is of, and what was told."""

    sip_user_id: int
    account: str
    """URI of the mailbox, as the subscriber knows it."""
    event_id: str
    expires_at: float
    """On the clock that its owner reads."""
    told: Mailbox | None = None
    """What the last NOTIFY said; None: nothing."""

    @property
    def event(self) -> str:
        """Value of the Event header."""
        return f"{EVENT};id={self.event_id}" if self.event_id else EVENT

    def state(self, now: float) -> str:
        """Value of Subscription-State for as long as it lasts."""
        return f"active;expires={max(0, round(self.expires_at - now))}"


def read_subscribe(request: Request) -> Asked:
    """What a SUBSCRIBE asks for.

    Raises:
        SubscribeRefused: an extension that we do not have (420), another event (489), a body that we do not have (406),
            too short (423), malformed (400).
    """
    if "require" in request.headers:
        raise SubscribeRefused(420, {"unsupported": ", ".join(request.headers["require"])})
    try:
        event, *parameters = split_outside_quotes(request.headers.first("event"), ";") or [""]
        is_readable = request.accepts(BODY_TYPE)
    except ParseError as error:
        raise SubscribeRefused(400, {}) from error
    if event.strip().lower() != EVENT:
        raise SubscribeRefused(489, {"allow-events": EVENT})
    if not is_readable:
        raise SubscribeRefused(406, {"accept": BODY_TYPE})
    return Asked(_read_expires(request.headers.first("expires")), _read_id(parameters))


def _read_expires(text: str) -> int:
    text = text.strip()
    if not text:
        return DEFAULT_EXPIRES
    if not text.isascii() or not text.isdigit():
        raise SubscribeRefused(400, {})
    seconds = int(text) if len(text) <= 10 else MOST_EXPIRES
    if 0 < seconds < LEAST_EXPIRES:
        raise SubscribeRefused(423, {"min-expires": str(LEAST_EXPIRES)})
    return min(seconds, MOST_EXPIRES)


def _read_id(parameters: list[str]) -> str:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "id":
            event_id = value.strip()
            if not event_id or len(event_id) > _ID_LIMIT or not event_id.isprintable() or " " in event_id:
                raise SubscribeRefused(400, {})
            return event_id
    return ""


def account_of(request: Request, username: str) -> str:
    """URI of the mailbox that a SUBSCRIBE names: the SIP user at the host that it knows us by.

    Raises:
        ParseError: its Request-URI is malformed, or of a scheme without hosts.
    """
    uri = URI.parse(request.uri)
    if not uri.host:
        raise ParseError("mailbox is at no host", 416)
    return f"{uri.scheme}:{username}@{join_host_port(uri.host, None)}"


def format_summary(mailbox: Mailbox, account: str) -> bytes:
    """Body of a NOTIFY (RFC 3842 §5.2)."""
    waiting = "yes" if mailbox.new else "no"
    lines = (
        f"Messages-Waiting: {waiting}",
        f"Message-Account: {account}",
        f"Voice-Message: {mailbox.new}/{mailbox.old} (0/0)",
    )
    return "".join(f"{line}\r\n" for line in lines).encode("utf-8", "surrogateescape")
