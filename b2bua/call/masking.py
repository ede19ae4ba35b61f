"""Masks what proves or decrypts something in a SIP message, before it is kept or leaves for a capture server.

Masked are credentials (of Digest all but what the peer shows everybody: the name, nonce and so on), the signature of
calls to ourselves, passwords in URIs (RFC 3261 §19.1.1) and keys of media in a body (RFC 4568, RFC 8839, `k=` lines).
A challenge stays as it is. A body keeps its length, so that Content-Length stays right. The time is linear in the
length of a message, whatever is in it.
"""

import re
from typing import Final

MASK: Final = b"***"

_HEADER: Final = re.compile(
    rb"\n((?:proxy-)?authorization|(?:proxy-)?authentication-info|p-softswitch-forward)"
    rb"([ \t]*:[ \t]*)([^\n]*(?:\n[ \t][^\n]*)*)",
    re.IGNORECASE,
)
_NAMES: Final = (b"authori", b"authentication-info", b"p-softswitch-forward")
"""What such a header has in it, in small letters: most messages have none, and this look is much quicker."""
_PARAMETER: Final = re.compile(rb'(?<![\w-])([\w-]++)\s*+=\s*+("(?:[^"\\]|\\.)*+"|[^\s,"]*+)', re.DOTALL)
_SHOWN: Final = frozenset(
    {b"username", b"realm", b"nonce", b"nextnonce", b"uri", b"algorithm", b"qop", b"opaque", b"userhash", b"nc"}
)
"""Parameters of Digest that help to find a fault and nobody can use."""

_MAYBE_PASSWORD: Final = re.compile(rb':[^\s@:<>"]*+:[^\s@:<>"]++@')
_SCHEME: Final = re.compile(rb"sips?:", re.IGNORECASE)
_BEFORE_URI: Final = (b" ", b"<", b'"', b"\n", b"\t")

_MEDIA_KEY: Final = re.compile(
    rb"(?:^|(?<=[\r\n]))(a=crypto:[^\r\n]*?inline:|a=ice-pwd:|a=key-mgmt:[^\s]*+[ \t]|k=[^:\r\n]*+:)([^\r\n]+)",
    re.IGNORECASE,
)


def mask(data: bytes) -> bytes:
    """The message without its secrets."""
    head, separator, body = data.partition(b"\r\n\r\n")
    head = mask_head(head)
    return head + separator + mask_body(body) if separator else head


def mask_head(head: bytes) -> bytes:
    """The start line and headers without their secrets."""
    small = head.lower()
    if any(name in small for name in _NAMES):
        head = _HEADER.sub(_mask_header, head)
    # Most heads have no password, and this look is much quicker than the search for its ends.
    return _mask_passwords(head) if _MAYBE_PASSWORD.search(head) else head


def mask_body(body: bytes) -> bytes:
    """The body without the keys of media, as long as before."""
    return _MEDIA_KEY.sub(lambda match: match[1] + b"*" * len(match[2]), body) if body else body


def _mask_header(match: re.Match[bytes]) -> bytes:
    name, colon, value = match[1], match[2], match[3].rstrip(b"\r")
    kind = name.lower()
    if kind == b"p-softswitch-forward":
        masked = value.rpartition(b";")[0] + b";" + MASK
    elif kind.endswith(b"-info"):
        masked = _shown_parameters(value)
    else:
        scheme, _, credentials = value.partition(b" ")
        masked = scheme + b" " + (_shown_parameters(credentials) if scheme.lower() == b"digest" else MASK)
    # The end of the line is not ours to change.
    return b"\n" + name + colon + masked + match[3][len(value) :]


def _shown_parameters(value: bytes) -> bytes:
    # Built anew: what cannot be read as a parameter is left out rather than shown.
    return b", ".join(
        match[1] + b"=" + (match[2] if match[1].lower() in _SHOWN else MASK) for match in _PARAMETER.finditer(value)
    )


def _mask_passwords(head: bytes) -> bytes:
    parts = head.split(b"@")
    for index, part in enumerate(parts[:-1]):
        begin = max(part.rfind(mark) for mark in _BEFORE_URI) + 1
        scheme = _SCHEME.search(part, begin)
        user = scheme.end() if scheme else part.find(b":", begin) + 1
        password = part.find(b":", user) + 1 if user else 0
        if password:
            parts[index] = part[:password] + MASK
    return b"@".join(parts)
