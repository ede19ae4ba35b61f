"""Digest access authentication for SIP (RFC 3261 §22, RFC 7616, RFC 8760): parse, compute, compare.

Nonces are made and judged by `NonceMaker`: they carry their time and are signed, so that no table of them is kept and
any worker with the same key accepts them.
"""

import hashlib
import hmac
from dataclasses import dataclass
from typing import Final

from b2bua.sip.errors import ParseError
from b2bua.sip.grammar import quote, split_outside_quotes, unquote

ALGORITHMS: Final = {"MD5": "md5", "SHA-256": "sha256", "SHA-512-256": "sha512_256"}


def hash_hex(algorithm: str, text: str) -> str:
    """Hash text with an algorithm of RFC 8760 and return lower-case hex."""
    return hashlib.new(
        ALGORITHMS[algorithm], text.encode("utf-8", "surrogateescape"), usedforsecurity=False
    ).hexdigest()


def ha1(username: str, realm: str, secret: str, algorithm: str = "MD5") -> str:
    """H(A1) of RFC 7616 §3.4.2, what is kept in place of the secret."""
    return hash_hex(algorithm, f"{username}:{realm}:{secret}")


@dataclass(slots=True)
class Credentials:
    """An Authorization or Proxy-Authorization value."""

    username: str
    realm: str
    nonce: str
    uri: str
    response: str
    algorithm: str = "MD5"
    qop: str = ""
    nc: str = ""
    cnonce: str = ""
    opaque: str | None = None
    """As the challenge had it; None: it had none."""

    @classmethod
    def parse(cls, text: str) -> "Credentials":
        """Parse `Digest username="…", …`.

        Raises:
            ParseError: another scheme, a missing part, or an unknown algorithm.
        """
        scheme, _, rest = text.partition(" ")
        if scheme.lower() != "digest":
            raise ParseError("credentials are not Digest")
        fields: dict[str, str] = {}
        for part in split_outside_quotes(rest, ","):
            name, equals, value = part.partition("=")
            if equals:
                fields[name.strip().lower()] = unquote(value.strip())
        missing = [name for name in ("username", "realm", "nonce", "uri", "response") if not fields.get(name)]
        if missing:
            raise ParseError(f"credentials without {missing[0]}")
        algorithm = fields.get("algorithm", "MD5").upper()
        if algorithm not in ALGORITHMS:
            raise ParseError("unknown digest algorithm")
        return cls(
            fields["username"],
            fields["realm"],
            fields["nonce"],
            fields["uri"],
            fields["response"].lower(),
            algorithm,
            fields.get("qop", "").lower(),
            fields.get("nc", ""),
            fields.get("cnonce", ""),
            fields.get("opaque"),
        )

    def expected_response(self, ha1_hex: str, method: str) -> str:
        """The response that somebody who knows H(A1) would have sent (RFC 7616 §3.4.1)."""
        ha2 = hash_hex(self.algorithm, f"{method}:{self.uri}")
        if self.qop:
            middle = f"{self.nonce}:{self.nc}:{self.cnonce}:{self.qop}"
        else:
            middle = self.nonce
        return hash_hex(self.algorithm, f"{ha1_hex}:{middle}:{ha2}")

    def proves(self, ha1_hex: str, method: str) -> bool:
        """Whether the response is right, compared in constant time."""
        if self.qop not in ("", "auth"):
            return False
        given = self.response.encode("utf-8", "replace")  # text that is not ASCII cannot be compared
        return hmac.compare_digest(self.expected_response(ha1_hex, method).encode(), given)

    def __str__(self) -> str:
        quoted = {"username": self.username, "realm": self.realm, "nonce": self.nonce, "uri": self.uri}
        parts = [f"{name}={quote(value)}" for name, value in quoted.items()]
        parts += [f'response="{self.response}"', f"algorithm={self.algorithm}"]
        if self.qop:
            parts += [f"qop={self.qop}", f"nc={self.nc}", f"cnonce={quote(self.cnonce)}"]
        if self.opaque is not None:
            parts.append(f"opaque={quote(self.opaque)}")
        return "Digest " + ", ".join(parts)


@dataclass(slots=True)
class Challenge:
    """A WWW-Authenticate or Proxy-Authenticate value."""

    realm: str
    nonce: str
    algorithm: str = "MD5"
    qop: str = "auth"
    stale: bool = False
    opaque: str | None = None

    @classmethod
    def parse(cls, text: str) -> "Challenge":
        """Parse `Digest realm="…", …`.

        Raises:
            ParseError: another scheme, no nonce, an unknown algorithm, or a quality of protection that is not ours.
        """
        scheme, _, rest = text.partition(" ")
        fields: dict[str, str] = {}
        for part in split_outside_quotes(rest, ","):
            name, equals, value = part.partition("=")
            if equals:
                fields[name.strip().lower()] = unquote(value.strip())
        algorithm = fields.get("algorithm", "MD5").upper()
        if scheme.lower() != "digest" or not fields.get("nonce") or algorithm not in ALGORITHMS:
            raise ParseError("challenge cannot be answered")
        qop = fields.get("qop", "").lower()
        if qop and "auth" not in [each.strip() for each in qop.split(",")]:
            raise ParseError("challenge asks for a quality of protection other than auth")
        stale = fields.get("stale", "").lower() == "true"
        return cls(
            fields.get("realm", ""), fields["nonce"], algorithm, "auth" if qop else "", stale, fields.get("opaque")
        )

    def answer(self, username: str, secret: str, method: str, uri: str, cnonce: str, count: int = 1) -> Credentials:
        """The credentials that answer this challenge, for the so-manyth time."""
        credentials = Credentials(username, self.realm, self.nonce, uri, "", self.algorithm, self.qop)
        credentials.opaque = self.opaque
        if self.qop:
            credentials.nc, credentials.cnonce = f"{count:08x}", cnonce
        credentials.response = credentials.expected_response(ha1(username, self.realm, secret, self.algorithm), method)
        return credentials

    def __str__(self) -> str:
        stale = ", stale=true" if self.stale else ""
        qop = f', qop="{self.qop}"' if self.qop else ""
        opaque = f", opaque={quote(self.opaque)}" if self.opaque is not None else ""
        return f'Digest realm={quote(self.realm)}, nonce="{self.nonce}", algorithm={self.algorithm}{qop}{stale}{opaque}'


class NonceMaker:
    """Makes signed nonces and tells fresh ones from old and foreign ones.

    Args:
        key: Secret of the system.
        lifetime: How long a nonce is good, in seconds.
    """

    __slots__ = ("_key", "_made", "lifetime")

    def __init__(self, key: bytes, lifetime: float = 60.0) -> None:
        self._key = key
        self._made = 0
        self.lifetime = lifetime

    def make(self, now: float, host: str) -> str:
        """A nonce for a peer's address; `now` in seconds since 1970."""
        # Numbered, since phones behind one address that come back at once would count up one nonce together.
        self._made = (self._made + 1) & 0xFFFF
        moment = f"{int(now * 1000):x}-{self._made:x}"
        return f"{moment}.{self._sign(moment, host)}"

    def is_ours(self, nonce: str, host: str) -> bool:
        """Whether we made this nonce for this address."""
        moment, _, signature = nonce.partition(".")
        return hmac.compare_digest(signature.encode("utf-8", "replace"), self._sign(moment, host).encode())

    def is_fresh(self, nonce: str, now: float) -> bool:
        """Whether a nonce of ours is young enough."""
        try:
            made = int(nonce.partition(".")[0].partition("-")[0], 16) / 1000
        except (ValueError, OverflowError):
            return False
        return -1.0 <= now - made <= self.lifetime

    def _sign(self, moment: str, host: str) -> str:
        data = f"{moment}|{host}".encode("utf-8", "surrogateescape")
        return hmac.digest(self._key, data, "sha256").hex()[:32]
