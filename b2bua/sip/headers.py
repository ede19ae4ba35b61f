"""Header fields as a multimap: canonical name -> values in the order they came (RFC 3261 §7.3)."""

from typing import Final

from b2bua.sip.errors import ParseError
from b2bua.sip.grammar import is_token

COMPACT_FORMS: Final = {
    "a": "accept-contact", "b": "referred-by", "c": "content-type", "d": "request-disposition", "e": "content-encoding",
    "f": "from", "i": "call-id", "j": "reject-contact", "k": "supported", "l": "content-length", "m": "contact",
    "n": "identity-info", "o": "event", "r": "refer-to", "s": "subject", "t": "to", "u": "allow-events", "v": "via",
    "x": "session-expires", "y": "identity",
}  # fmt: skip

_SPECIAL_CASE: Final = {
    "call-id": "Call-ID", "cseq": "CSeq", "www-authenticate": "WWW-Authenticate", "mime-version": "MIME-Version",
    "remote-party-id": "Remote-Party-ID", "rack": "RAck", "rseq": "RSeq", "sip-etag": "SIP-ETag",
    "sip-if-match": "SIP-If-Match", "min-se": "Min-SE",
}  # fmt: skip

_KNOWN_LIMIT: Final = 2000
"""Most spellings that are remembered, so that a peer that invents names cannot fill the memory."""

_KNOWN_LENGTH: Final = 64
"""Longest spelling that is remembered."""

_canonical: dict[str, str] = {}
_written: dict[str, str] = {}


known_names: Final = _canonical
"""Spelling -> canonical name, for the parser's first look."""


def canonical_name(name: str) -> str:
    """The lower-case long form of a header name in any spelling, compact forms and trailing blanks included.

    Raises:
        ParseError: not a token.
    """
    known = _canonical.get(name)
    if known is not None:
        return known
    canonical = name.rstrip(" \t")
    if not is_token(canonical):  # before it is folded: the Kelvin sign's lower case is a "k"
        raise ParseError("malformed header name")
    canonical = canonical.lower()
    canonical = COMPACT_FORMS.get(canonical, canonical)
    if len(_canonical) < _KNOWN_LIMIT and len(name) <= _KNOWN_LENGTH:
        _canonical[name] = canonical
    return canonical


def written_name(canonical: str) -> str:
    """How a header name is written: `Max-Forwards`, `Call-ID`."""
    known = _written.get(canonical)
    if known is not None:
        return known
    written = _SPECIAL_CASE.get(canonical) or "-".join(part.capitalize() for part in canonical.split("-"))
    if len(_written) < _KNOWN_LIMIT:
        _written[canonical] = written
    return written


class _Prefixes(dict[str, str]):
    """Canonical name -> what stands before its value on the wire, for the writer's only look."""

    __slots__ = ()

    def __missing__(self, canonical: str) -> str:
        prefix = f"{written_name(canonical)}: "
        if len(self) < _KNOWN_LIMIT:
            self[canonical] = prefix
        return prefix


written_prefixes: Final = _Prefixes()


class Headers(dict[str, list[str]]):
    """Canonical name -> values; a name is present only with at least one value."""

    __slots__ = ()

    def first(self, name: str) -> str:
        """The first value, or an empty string."""
        values = self.get(name)
        return values[0] if values else ""

    def add(self, name: str, value: str) -> None:
        """Append a value."""
        values = self.get(name)
        if values is None:
            self[name] = [value]
        else:
            values.append(value)

    def replace(self, name: str, value: str) -> None:
        """Set the one value, in place of all there were."""
        self[name] = [value]
