"""Where a gateway sends a call instead of taking it: the contacts of its 3xx answers (RFC 3261 §8.1.3.4, §21.3).

Pure. Contacts are tried one after the other, the preferred first; whatever is found on the way is a place of the same
attempt, priced as it. Bounds keep redirections from going on for ever or round in circles.
"""

from typing import Final

from b2bua.sip.address import Address
from b2bua.sip.errors import ParseError
from b2bua.sip.grammar import split_outside_quotes
from b2bua.sip.message import Response
from b2bua.sip.uri import URI

LIMIT: Final = 5
"""Most places that one attempt is sent on to."""

_CALLED: Final = ("sip", "sips")


class Redirections:
    """The places that an attempt has been sent on to."""

    __slots__ = ("_left", "_seen", "_tried")

    def __init__(self) -> None:
        self._left: list[URI] = []
        self._seen: set[str] = set()
        """As URIs are written."""
        self._tried = 0

    def begin(self) -> None:
        """Another attempt."""
        self._left.clear()
        self._seen.clear()
        self._tried = 0

    @property
    def has_left(self) -> bool:
        """Whether there is another place to try."""
        return bool(self._left) and self._tried < LIMIT

    @property
    def is_sent_on(self) -> bool:
        """Whether the attempt has left its gateway."""
        return self._tried > 0

    def note(self, response: Response) -> None:
        """A 3xx came: its contacts are tried before what is left of earlier ones."""
        found = [uri for uri in read_contacts(response) if str(uri) not in self._seen]
        self._seen.update(str(uri) for uri in found)
        self._left[:0] = found

    def next(self) -> URI | None:
        """The next place; None: there is none, or there have been too many."""
        if not self.has_left:
            return None
        self._tried += 1
        return self._left.pop(0)


def read_contacts(response: Response) -> list[URI]:
    """URIs of a 3xx that can be called, by their q (none: 1), at most `LIMIT`; headers within them are cut off."""
    found: list[tuple[float, URI]] = []
    for value in response.headers.get("contact", ()):
        try:
            for part in split_outside_quotes(value, ","):
                address = Address.parse(part)
                uri = address.uri
                if uri.scheme in _CALLED and uri.parameters.pop("method", None) in (None, "INVITE"):
                    uri.headers = ""
                    found.append((_preference(address), uri))
        except ParseError:
            continue  # what can be read of the others is enough
    found.sort(key=lambda pair: -pair[0])
    return [uri for _, uri in found[:LIMIT]]


def _preference(address: Address) -> float:
    try:
        return min(1.0, max(0.0, float(address.parameters.get("q") or 1.0)))
    except ValueError:
        return 1.0
