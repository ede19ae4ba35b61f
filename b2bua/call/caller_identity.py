"""Who a gateway is told that calls: From, the headers of identity and privacy, what of the caller's INVITE goes along.

Pure (RFC 3323, RFC 3325 §9, RFC 5806; Remote-Party-ID as draft-ietf-sip-privacy has it). Names are not kept. What
would show the caller's own network is left behind: a Diversion keeps number and parameters, and gets our host.
"""

from dataclasses import dataclass, field
from typing import Final

from b2bua.policy.presentation import PLAIN, Presentation
from b2bua.sip.address import Address
from b2bua.sip.errors import ParseError
from b2bua.sip.grammar import split_outside_quotes
from b2bua.sip.headers import Headers
from b2bua.sip.params import format_parameters
from b2bua.sip.uri import escape_user

ANONYMOUS: Final = '"Anonymous" <sip:anonymous@anonymous.invalid>'
"""From of a caller that wants to be hidden (RFC 3323 §4.1.1.3)."""

DIVERSIONS_LIMIT: Final = 10
"""Most values of Diversion that are passed on."""

_NOBODY: Final = frozenset({"", "anonymous", "unavailable", "unknown", "restricted", "private"})
"""What stands for a number where there is none, so that nobody asserts it."""


@dataclass(slots=True)
class CallerIdentity:
    """How an INVITE names its caller."""

    caller: str
    """From, without a tag."""
    headers: Headers = field(default_factory=Headers)


def present(
    number: str, host: str, *, privacy: str = "", rules: Presentation = PLAIN, received: Headers | None = None
) -> CallerIdentity:
    """Tell a gateway who calls.

    Args:
        number: The caller's.
        host: Our `host:port` as the gateway sees it.
        privacy: What the caller wants hidden, as its Privacy header has it; empty: nothing.
        rules: What the gateway wants to know.
        received: Headers of the caller's INVITE; None: it had none.
    """
    host = rules.from_domain or host
    identity = CallerIdentity(ANONYMOUS if privacy else f"<{_uri(rules.from_user or number, host)}>")
    headers = identity.headers
    if received is not None:
        _carry(received, headers, rules, host)
    if privacy:
        headers["privacy"] = [_privacy(privacy, rules)]
    if rules.identity != "none" and number.lower() not in _NOBODY:
        if rules.identity == "pai":
            headers["p-asserted-identity"] = [f"<{_uri(number, host)}>"]
        else:
            shown = "full" if privacy else "off"
            headers["remote-party-id"] = [f"<{_uri(number, host)}>;party=calling;screen=yes;privacy={shown}"]
    for name in {name for name, _ in rules.added}:
        headers[name] = [value for added, value in rules.added if added == name]
    return identity


def _privacy(wanted: str, rules: Presentation) -> str:
    # RFC 3325 §9.3: without `id` the next network may show whom we assert.
    if rules.identity == "pai" and "id" not in wanted.split(";"):
        return f"{wanted};id"
    return wanted


def _uri(user: str, host: str) -> str:
    return f"sip:{escape_user(user)}@{host}" if user else f"sip:{host}"


def _carry(received: Headers, headers: Headers, rules: Presentation, host: str) -> None:
    for name in rules.passed:
        if name in received:
            headers[name] = list(received[name])
    if rules.passes_diversion and (diversions := _diversions(received, host)):
        headers["diversion"] = diversions


def _diversions(received: Headers, host: str) -> list[str]:
    """Who has sent the call on, the last one first (RFC 5806 §3.2); what cannot be read is left out."""
    found = []
    for value in received.get("diversion", ()):
        try:
            for part in split_outside_quotes(value, ","):
                address = Address.parse(part)
                uri = address.uri
                if uri.user:
                    shown = str(uri) if uri.scheme == "tel" else f"sip:{uri.user}@{host}"
                    found.append(f"<{shown}>{format_parameters(address.parameters)}")
        except ParseError:
            continue
    return found[:DIVERSIONS_LIMIT]
