"""Keys of SRTP in a session description: a=crypto lines (RFC 4568), suites of RFC 4568 and RFC 7714.

Of several keys offered the first that we can use counts. Not: MKI, several keys in a line, key derivation rates, FEC,
sessions that are not encrypted or not authenticated; a line that asks for one of them is passed over. A lifetime is
read and must be one; nobody is asked for another key when it ends, which at 50 packets a second takes 500 days.
"""

import re
import secrets
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from media.errors import InvalidDescription

KEY_SIZES: Final = {
    "AES_CM_128_HMAC_SHA1_80": 30,
    "AES_CM_128_HMAC_SHA1_32": 30,
    "AEAD_AES_256_GCM": 44,
    "AEAD_AES_128_GCM": 28,
}
"""Bytes of master key and salt by suite, in the order in which we offer them: first what every telephone has."""

PREFIX: Final = b"a=crypto:"

LIFETIME_LIMIT: Final = 1 << 48
"""Most packets of a key (RFC 3711 §9.2)."""

_LINE: Final = re.compile(
    r"([1-9][0-9]{0,8}|0)[ \t]+([A-Za-z0-9_]{1,64})[ \t]+(\S{1,1024})((?:[ \t]+\S{1,256}){0,16})[ \t]*"
)
_LIFETIME: Final = re.compile(r"(2\^)?([1-9][0-9]{0,14})")
_IGNORED: Final = ("-", "WSH=", "KDR=0")
"""Beginnings of parameters that change nothing for us (RFC 4568 §6.3.7: those with a hyphen may be unknown)."""


@dataclass(frozen=True, slots=True)
class Crypto:
    """A key of one direction, as one a=crypto line has it."""

    tag: int
    suite: str
    key: bytes = field(repr=False)
    """Master key and salt."""

    @classmethod
    def make(cls, tag: int, suite: str) -> "Crypto":
        """Make a key of our own."""
        return cls(tag, suite, secrets.token_bytes(KEY_SIZES[suite]))

    def tagged(self, tag: int) -> "Crypto":
        """The same key under another tag."""
        return replace(self, tag=tag)

    def is_same_key(self, other: "Crypto | None") -> bool:
        """Whether nothing but the tag differs."""
        return other is not None and (self.suite, self.key) == (other.suite, other.key)

    def __str__(self) -> str:
        return f"{self.tag} {self.suite}"

    def to_line(self) -> bytes:
        """The line of a description."""
        return PREFIX + f"{self.tag} {self.suite} inline:{b64encode(self.key).decode()}".encode()


def make_offer() -> tuple[Crypto, ...]:
    """A key for each suite."""
    return tuple(Crypto.make(tag, suite) for tag, suite in enumerate(KEY_SIZES, 1))


def has_keys(lines: Sequence[bytes]) -> bool:
    """Whether a medium has keys of its own."""
    return any(line.startswith(PREFIX) for line in lines)


def choose(lines: Sequence[bytes]) -> Crypto:
    """Take the first key of a medium that we can use.

    Raises:
        InvalidDescription: there is none; the reason names no key.
    """
    reason = "there is no a=crypto line"
    for line in lines:
        if line.startswith(PREFIX):
            try:
                return parse(line)
            except InvalidDescription as error:
                reason = str(error)
    raise InvalidDescription(f"no key of SRTP can be used: {reason}")


def find_answer(lines: Sequence[bytes], offered: Sequence[Crypto]) -> tuple[Crypto, Crypto]:
    """Take the key of an answer, and ours that it belongs to (RFC 4568 §5.1.2).

    Raises:
        InvalidDescription: it answers none of ours; the reason names no key.
    """
    theirs = choose(lines)
    for ours in offered:
        if (ours.tag, ours.suite) == (theirs.tag, theirs.suite):
            return theirs, ours
    raise InvalidDescription(f"the answer has a key of SRTP that was not offered: {theirs}")


def parse(line: bytes) -> Crypto:
    """Read an a=crypto line.

    Raises:
        InvalidDescription: it is malformed, or asks for what we cannot do; the reason names no key.
    """
    match = _LINE.fullmatch(line[len(PREFIX) :].decode("latin-1"))
    if match is None:
        raise InvalidDescription("an a=crypto line is malformed")
    tag, suite, keys, parameters = match.groups()
    suite = suite.upper()
    if suite not in KEY_SIZES:
        raise InvalidDescription(f"suite {suite} is not known")
    for parameter in parameters.split():
        if not parameter.upper().startswith(_IGNORED) or (parameter[:4].upper() == "KDR=" and parameter[4:] != "0"):
            raise InvalidDescription(f"parameter {parameter.partition('=')[0][:32]} is not supported")
    return Crypto(int(tag), suite, _parse_key(keys, KEY_SIZES[suite]))


def _parse_key(text: str, size: int) -> bytes:
    method, _, info = text.partition(":")
    if method.lower() != "inline":
        raise InvalidDescription("a key is given in another way than inline")
    if ";" in info:
        raise InvalidDescription("several keys in a line are not supported")
    encoded, *rest = info.split("|")
    if rest and ":" not in rest[0]:
        _check_lifetime(rest.pop(0))
    if rest:
        raise InvalidDescription("MKI is not supported")
    try:
        # Some leave out the padding.
        key = b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except ValueError:
        raise InvalidDescription("a key is not written in base64") from None
    if len(key) != size:
        raise InvalidDescription(f"a key has {len(key)} bytes instead of {size}")
    return key


def _check_lifetime(text: str) -> None:
    match = _LIFETIME.fullmatch(text)
    if match is not None:
        number = int(match[2])
        if (match[1] and number <= 48) or (not match[1] and number <= LIFETIME_LIMIT):
            return
    raise InvalidDescription("the lifetime of a key is malformed")
