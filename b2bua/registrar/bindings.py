"""Bindings of one SIP user and what a REGISTER makes of them (RFC 3261 §10.3, RFC 3327 §5.3): values in, values out.

Not here: who may register (`b2bua/registrar/service.py`), instances and flows that outlive a connection, GRUUs.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from ipaddress import ip_address
from typing import Any, Final

import orjson

from b2bua.policy.devices import normalise_address
from b2bua.sip.address import Address
from b2bua.sip.comparison import is_same_uri
from b2bua.sip.errors import ParseError
from b2bua.sip.flow import DEFAULT_PORT, Flow
from b2bua.sip.grammar import split_outside_quotes
from b2bua.sip.headers import Headers
from b2bua.sip.message import Request
from b2bua.sip.uri import URI, join_host_port

DEFAULT_EXPIRES: Final = 3600
"""Seconds that a binding lasts when the user agent asks for none, or for something that is no number (§20.10)."""
LEAST_EXPIRES: Final = 60
MOST_EXPIRES: Final = 7200
CONTACTS_LIMIT: Final = 10
"""Most contacts of one SIP user."""

_URI_LIMIT: Final = 512
"""Most characters of a contact."""
_PATH_LIMIT: Final = 2048
"""Most characters of all Path values together."""
_TEXT_LIMIT: Final = 255
"""Most characters of a Call-ID or User-Agent that are kept."""


@dataclass(slots=True)
class Binding:
    """One contact of a SIP user."""

    contact: str
    """URI as the user agent wrote it, without brackets."""
    expires_at: float
    """Seconds since 1970."""
    registered_at: float
    """When it was last refreshed; seconds since 1970."""
    call_id: str
    cseq: int
    transport: str
    """This and the next two: where the REGISTER came from, which behind a NAT is the only way back."""
    host: str
    port: int
    listener: int
    """Which listener of that worker it came to, by index."""
    connection: int
    """Number of the connection in that run of the worker; 0 for a datagram."""
    worker: str
    """Run of the worker that it came to, `sip-1:0192…`: numbers of connections mean nothing to another one."""
    source: str
    """Address of the user agent: `host`, or what a proxy of ours that the REGISTER came through has seen."""
    q: float = 1.0
    """Preference from 0 to 1."""
    user_agent: str = ""
    path: tuple[str, ...] = ()
    """Route to the user agent, the first hop first (RFC 3327); empty: it sent the REGISTER itself."""
    is_behind_nat: bool = False
    """Whether something between translates its address: it names another one than that which it comes from."""

    @property
    def received(self) -> tuple[str, int]:
        """Address and port of the user agent; through a proxy the port is not known, and 0."""
        return (self.source, self.port) if self.source == self.host else (self.source, 0)

    @property
    def worker_name(self) -> str:
        """Name of the worker that it came to."""
        return self.worker.partition(":")[0]

    @property
    def request_uri(self) -> str:
        """The contact as the Request-URI of a request to it, which has neither headers nor method (§19.1.1)."""
        uri = URI.parse(self.contact)
        uri.headers = ""
        uri.parameters.pop("method", None)
        return str(uri)

    def flow(self, worker: str) -> Flow | None:
        """The way back to the user agent, as this run of a worker has it; None: another one had it."""
        if worker != self.worker:
            return None
        return Flow(self.transport, self.host, self.port, self.listener, self.connection)


@dataclass(slots=True)
class Contact:
    """One contact of a REGISTER."""

    text: str
    """URI as written, without brackets."""
    uri: URI
    expires: int
    """Seconds that were asked for; 0: remove it."""
    q: float


@dataclass(slots=True)
class Registration:
    """What a REGISTER asks for."""

    contacts: list[Contact]
    is_wildcard: bool
    """`Contact: *`: remove everything."""
    call_id: str
    cseq: int
    flow: Flow
    worker: str
    source: str
    user_agent: str = ""
    path: tuple[str, ...] = ()
    sent_by: str = ""
    """Host of the one Via: what the user agent takes for its own; empty: a proxy is between."""


@dataclass(slots=True)
class Result:
    """The answer to a REGISTER, and the bindings that hold after it."""

    status: int
    bindings: list[Binding]
    """Those that live; unless the status is 200, those from before."""
    is_changed: bool = False
    """Whether the bindings have to be written."""


def read_registration(request: Request, flow: Flow, source: str, worker: str) -> Registration:
    """What a REGISTER asks for.

    Args:
        request: The REGISTER.
        flow: Where it came from.
        source: Address of the user agent, which is not the flow's where a proxy of ours is between.
        worker: This run of this worker.

    Raises:
        ParseError: a contact or path is malformed, too long, or of a scheme that cannot be registered; a wildcard is
            not alone or does not expire at once.
    """
    headers = request.headers
    values = _split(headers, "contact")
    expires = _seconds(headers.first("expires"))
    is_wildcard = "*" in values
    if is_wildcard and (len(values) > 1 or headers.first("expires").strip() != "0"):
        raise ParseError("Contact * must be alone and have Expires 0")
    return Registration(
        [] if is_wildcard else [_read_contact(value, expires) for value in values],
        is_wildcard,
        _printable(request.call_id),
        request.cseq,
        flow,
        worker,
        source,
        _printable(headers.first("user-agent")),
        _read_path(headers),
        request.via.host if len(headers["via"]) == 1 else "",
    )


def apply(registration: Registration, existing: Sequence[Binding], now: float) -> Result:
    """What becomes of a SIP user's bindings: all that is asked for, or nothing.

    Args:
        registration: What is asked for.
        existing: The bindings so far; expired ones are dropped.
        now: Seconds since 1970.

    Returns:
        Status 200; 423 for a contact that would expire too soon; 403 for too many contacts; 500 where a newer REGISTER
        of the same Call-ID has been handled before (§10.3, steps 6 and 7).
    """
    before = live(existing, now)
    if len(registration.contacts) > CONTACTS_LIMIT:
        return Result(403, before)
    if any(0 < contact.expires < LEAST_EXPIRES for contact in registration.contacts):
        return Result(423, before)
    after = _without_all(registration, before) if registration.is_wildcard else _updated(registration, before, now)
    if after is None:
        return Result(500, before)
    if len(after) > CONTACTS_LIMIT:
        return Result(403, before)
    return Result(200, after, registration.is_wildcard or bool(registration.contacts))


def live(bindings: Sequence[Binding], now: float) -> list[Binding]:
    """Those that have not expired."""
    return [binding for binding in bindings if binding.expires_at > now]


def by_preference(bindings: Sequence[Binding]) -> list[Binding]:
    """In the order in which they should be tried: highest q, then the newest."""
    return sorted(bindings, key=lambda binding: (-binding.q, -binding.registered_at))


def format_contacts(bindings: Sequence[Binding], now: float) -> str:
    """The Contact header of a 200: every binding with the seconds that it has left (§10.3, step 8)."""
    return ", ".join(
        f"<{binding.contact}>"
        + (f";q={binding.q:g}" if binding.q != 1.0 else "")
        + f";expires={max(1, round(binding.expires_at - now))}"
        for binding in bindings
    )


def _without_all(registration: Registration, before: Sequence[Binding]) -> list[Binding] | None:
    return None if any(_is_older(registration, binding) for binding in before) else []


def _updated(registration: Registration, before: Sequence[Binding], now: float) -> list[Binding] | None:
    kept = [(URI.parse(binding.contact), binding) for binding in before]
    made: list[tuple[URI, Binding]] = []
    for contact in registration.contacts:
        same = [binding for uri, binding in kept if is_same_uri(uri, contact.uri)]
        if any(_is_older(registration, binding) for binding in same):
            return None
        # A contact that is named twice counts as it stands last.
        kept, made = _others(kept, contact.uri), _others(made, contact.uri)
        if contact.expires:
            made.append((contact.uri, _bind(registration, contact, now)))
    return [binding for _, binding in kept + made]


def _others(pairs: list[tuple[URI, Binding]], uri: URI) -> list[tuple[URI, Binding]]:
    return [pair for pair in pairs if not is_same_uri(pair[0], uri)]


def _is_older(registration: Registration, binding: Binding) -> bool:
    return registration.call_id == binding.call_id and registration.cseq <= binding.cseq


def _bind(registration: Registration, contact: Contact, now: float) -> Binding:
    flow = _way_of(registration, contact.uri)
    return Binding(
        contact.text,
        now + min(contact.expires, MOST_EXPIRES),
        now,
        registration.call_id,
        registration.cseq,
        flow.transport,
        flow.host,
        flow.port,
        flow.listener,
        flow.connection,
        registration.worker,
        registration.source if flow is registration.flow else flow.host,
        contact.q,
        registration.user_agent,
        registration.path,
        flow is registration.flow and _is_behind_nat(registration, contact.uri),
    )


def _way_of(registration: Registration, contact: URI) -> Flow:
    """The way that the REGISTER came; of one that names several places, to those that are not the sender's its own."""
    flow = registration.flow
    port = contact.port or DEFAULT_PORT.get(flow.transport, 5060)
    transport = (contact.parameters.get("transport") or flow.transport).lower()
    if len(registration.contacts) < 2 or registration.path or transport != flow.transport or flow.connection:
        return flow
    if (contact.host, port) == (flow.host, flow.port) or _is_other_address(registration.sent_by, flow.host):
        return flow  # the sender, or one behind NAT, whose places cannot be told apart
    try:
        host = str(ip_address(contact.host))
    except ValueError:
        return flow
    return Flow(transport, host, port, flow.listener)


def _is_behind_nat(registration: Registration, contact: URI) -> bool:
    """Whether a user agent that sent the REGISTER itself names another address than that which it came from."""
    flow = registration.flow
    if not registration.sent_by or registration.path or registration.source != flow.host:
        return False  # the proxy between keeps the way open
    if normalise_address(contact.host) != flow.host or _is_other_address(registration.sent_by, flow.host):
        return True
    # The port that a connection comes from is never the one that is listened on.
    return flow.transport == "udp" and (contact.port or DEFAULT_PORT["udp"]) != flow.port


def _is_other_address(host: str, address: str) -> bool:
    """Whether a host is an address, and another one."""
    try:
        return ip_address(host.strip("[]")) != ip_address(address)
    except ValueError:
        return False  # a name says nothing


def source_of(binding: Binding) -> str:
    """Where a binding came from, as it is shown: `host:port`, or a host alone where a proxy is between."""
    host, port = binding.received
    return join_host_port(host, port or None)


def bindings_key(sip_user_id: int) -> str:
    """Name of a SIP user's bindings in the live store."""
    return f"bindings:{{u:{sip_user_id}}}"


def user_of_key(key: str) -> int:
    """Which SIP user's bindings a key of the live store names; 0: none's."""
    number = key.removeprefix("bindings:{u:").removesuffix("}")
    return int(number) if number.isascii() and number.isdigit() else 0


KEY_PATTERN: Final = "bindings:*"


# Reading


def _split(headers: Headers, name: str) -> list[str]:
    return [part for value in headers.get(name, ()) for part in split_outside_quotes(value, ",") if part]


def _read_contact(value: str, expires: int | None) -> Contact:
    address = Address.parse(value)
    uri = address.uri
    if uri.scheme not in ("sip", "sips"):
        # A number of the telephone network would be a forwarding that nobody has allowed or charges.
        raise ParseError("Contact is neither sip nor sips")
    text = str(uri)
    if len(text) > _URI_LIMIT or not _is_text(text):
        raise ParseError("Contact is too long or not UTF-8")
    asked = _seconds(address.parameters.get("expires") or "") if "expires" in address.parameters else expires
    return Contact(text, uri, DEFAULT_EXPIRES if asked is None else asked, _read_q(address.parameters.get("q", "1")))


def _seconds(text: str) -> int | None:
    """The number, or None for what is none; one that is too large is as good as any above the most we grant."""
    text = text.strip()
    if not text.isascii() or not text.isdigit():
        return None
    return int(text) if len(text) <= 10 else MOST_EXPIRES


def _read_q(text: str | None) -> float:
    # §25.1 qvalue: 0 or 1 with at most three decimals, of which 1 has only zeros.
    whole, point, decimals = (text or "").partition(".")
    fits = whole in ("0", "1") and len(decimals) <= 3 and (not decimals or (decimals.isascii() and decimals.isdigit()))
    if not fits or (whole == "1" and decimals.strip("0")):
        raise ParseError("q is not between 0 and 1")
    return float(f"{whole}{point}{decimals}")


def _read_path(headers: Headers) -> tuple[str, ...]:
    path = _split(headers, "path")
    # RFC 3327 §4: without `lr` a proxy would take the contact's place in the Request-URI.
    for value in path:
        if "lr" not in Address.parse(value).uri.parameters:
            raise ParseError("Path is not a loose route")
    if sum(len(value) for value in path) > _PATH_LIMIT or not _is_text("".join(path)):
        raise ParseError("Path is too long or not UTF-8")
    return tuple(path)


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _printable(text: str) -> str:
    """Text that can be stored and shown: bytes that are not UTF-8 are spelt out, what is too long is cut."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")[:_TEXT_LIMIT]


# Storing


def encode(bindings: Sequence[Binding]) -> bytes:
    """The bindings of a SIP user as they are stored."""
    return orjson.dumps(list(bindings))


def decode(data: bytes) -> list[Binding]:
    """Stored bindings; fields that a later version added are left out.

    Raises:
        ValueError: they are none.
    """
    try:
        return [_restored(stored) for stored in orjson.loads(data)]
    except (ValueError, TypeError, AttributeError, ParseError) as error:
        raise ValueError(f"stored bindings cannot be read: {error}") from error


def _restored(stored: dict[str, Any]) -> Binding:
    binding = Binding(**{name: value for name, value in stored.items() if name in _FIELDS})
    URI.parse(binding.contact)
    binding.path = tuple(binding.path)
    binding.user_agent = sys.intern(binding.user_agent)  # one of few, kept thousands of times
    return binding


_FIELDS: Final = frozenset(field.name for field in fields(Binding))
