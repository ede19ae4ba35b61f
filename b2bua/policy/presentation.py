"""How a gateway wants to be told who calls, and which headers it gets beside ours."""

from dataclasses import dataclass
from typing import Final

from b2bua.sip.errors import ParseError
from b2bua.sip.headers import canonical_name

HEADER_LENGTH: Final = 1000
"""Longest value of a header that is added."""

_OURS: Final = frozenset(
    {
        # What makes a transaction, a dialog and its session belongs to one leg (RFC 3261 §8, §12).
        "via", "route", "record-route", "contact", "from", "to", "cseq", "call-id", "max-forwards", "path",
        "service-route", "expires", "min-expires", "require", "proxy-require", "supported", "unsupported", "allow",
        "session-expires", "min-se", "rseq", "rack", "timestamp", "replaces", "join", "target-dialog", "refer-to",
        "refer-sub", "event", "subscription-state", "mime-version", "retry-after",
        # Secrets of one leg (§22).
        "authorization", "proxy-authorization", "www-authenticate", "proxy-authenticate", "authentication-info",
        "proxy-authentication-info",
        # What the rules for identity are about.
        "p-asserted-identity", "remote-party-id", "privacy", "diversion",
    }
)  # fmt: skip

_OF_OUR_NETWORK: Final = ("content-", "p-softswitch-")


class InvalidHeaderRule(ValueError):
    """A header that cannot be carried on or added."""


@dataclass(frozen=True, slots=True)
class Presentation:
    """What a gateway gets to know of a caller."""

    identity: str = "none"
    """Header with the caller's number: `pai` (P-Asserted-Identity), `rpid` (Remote-Party-ID) or `none`."""
    passes_diversion: bool = False
    from_user: str = ""
    """User of From in place of the caller's number; empty: that number."""
    from_domain: str = ""
    """Host of From and of the headers above; empty: our address."""
    passed: tuple[str, ...] = ()
    """Canonical names of the caller's headers that are carried on."""
    added: tuple[tuple[str, str], ...] = ()
    """Canonical names and values of headers of its own."""


PLAIN: Final = Presentation()
"""The caller's number in From, and nothing else."""


def parse_passed_name(text: str) -> str:
    """The canonical name of a header that may be carried on.

    Raises:
        InvalidHeaderRule: it is no name, or that of a header which is made anew on each leg.
    """
    name = _parse_name(text)
    if name == "p-preferred-identity":
        raise InvalidHeaderRule(f"{text} is never carried on: it is set by identity")
    return name


def parse_added_header(line: str) -> tuple[str, str]:
    """The canonical name and value of `Name: value`.

    Raises:
        InvalidHeaderRule: it is no header, has control characters, is too long, or is one that we make ourselves.
    """
    name, colon, value = line.partition(":")
    value = value.strip(" \t")
    if not colon or not value:
        raise InvalidHeaderRule(f"{line!r} is not a header such as 'X-Trunk: 7'")
    if not value.isprintable() or len(value) > HEADER_LENGTH:
        raise InvalidHeaderRule(f"the value of {name.strip()} has control characters, or more than {HEADER_LENGTH}")
    return _parse_name(name), value


def _parse_name(text: str) -> str:
    try:
        name = canonical_name(text.strip(" \t"))
    except ParseError:
        raise InvalidHeaderRule(f"{text!r} is not the name of a header") from None
    if name in _OURS or name.startswith(_OF_OUR_NETWORK):
        raise InvalidHeaderRule(f"{text.strip()} is made anew on each leg and can be neither carried on nor added")
    return name
