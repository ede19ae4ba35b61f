"""Proves a name and a secret to whoever asks for it (RFC 3261 §22.2, §22.3, RFC 7616 §3.3, RFC 8760 §2.4).

One client is for one peer and one dialog or registration: what it was asked once it proves beforehand in later
requests, with the next count of the same nonce. Not done: `auth-int`, `-sess` algorithms, `nextnonce`.
"""

from collections.abc import Callable
from typing import Final

from b2bua.sip.digest import Challenge
from b2bua.sip.errors import ParseError
from b2bua.sip.message import Request, Response

TRIES_LIMIT: Final = 4
"""Most times that one request is sent again, whatever realms its peers think of."""

REALMS_LIMIT: Final = 4
"""Most realms that are proved to at a time."""

_HEADERS: Final = {
    401: ("www-authenticate", "authorization"),
    407: ("proxy-authenticate", "proxy-authorization"),
}
"""Where a status has its challenges, and where their answer goes."""

PROOFS: Final = ("authorization", "proxy-authorization")

_STRENGTH: Final = {"MD5": 0, "SHA-256": 1, "SHA-512-256": 2}

_Place = tuple[str, str]
"""Header of the answer, and realm."""


class Tries:
    """What one request has been through, on all its ways to the peer."""

    __slots__ = ("_answered", "_count", "_stale")

    def __init__(self) -> None:
        self._answered: set[_Place] = set()
        self._stale: set[_Place] = set()
        self._count = 0

    def allow(self, place: _Place, *, is_stale: bool) -> bool:
        """Whether a challenge is worth an answer: the first of a realm is, and once more one to a nonce gone stale."""
        if self._count >= TRIES_LIMIT:
            return False
        if place in self._answered:
            # RFC 3261 §22.2: credentials that have just been rejected are not sent again.
            if not is_stale or place in self._stale:
                return False
            self._stale.add(place)
        self._answered.add(place)
        return True

    def count(self) -> None:
        """The request goes out once more."""
        self._count += 1


class _Proof:
    __slots__ = ("challenge", "count")

    def __init__(self, challenge: Challenge) -> None:
        self.challenge = challenge
        self.count = 0


class DigestClient:
    """Answers the challenges of a peer.

    Args:
        username: Who we are there.
        secret: Shared with the peer.
        new_cnonce: Gives a token that was never used.
    """

    __slots__ = ("_new_cnonce", "_proofs", "_secret", "_username")

    def __init__(self, username: str, secret: str, new_cnonce: Callable[[], str]) -> None:
        self._username = username
        self._secret = secret
        self._new_cnonce = new_cnonce
        self._proofs: dict[_Place, _Proof] = {}

    def take(self, response: Response, tries: Tries) -> bool:
        """Take the challenges of a 401 or 407.

        Args:
            response: Any final answer.
            tries: What its request has been through.

        Returns:
            Whether the request should be sent again, with what `prove` adds to it.
        """
        if response.status not in _HEADERS:
            return False
        challenges, answer = _HEADERS[response.status]
        is_taken = False
        for realm, challenge in _strongest(response.headers.get(challenges, [])).items():
            place = (answer, realm)
            if place not in self._proofs and len(self._proofs) >= REALMS_LIMIT:
                continue
            if tries.allow(place, is_stale=challenge.stale):
                self._proofs[place] = _Proof(challenge)
                is_taken = True
        if is_taken:
            tries.count()
        return is_taken

    def prove(self, request: Request) -> None:
        """Put our answers to all that was asked so far into a request, in place of earlier ones."""
        headers = request.headers
        for name in PROOFS:
            headers.pop(name, None)
        for (name, _), proof in self._proofs.items():
            proof.count += 1
            credentials = proof.challenge.answer(
                self._username, self._secret, request.method, request.uri, self._new_cnonce(), proof.count
            )
            headers.add(name, str(credentials))


def _strongest(values: list[str]) -> dict[str, Challenge]:
    """For each realm the challenge with the strongest algorithm; what cannot be answered is left out."""
    found: dict[str, Challenge] = {}
    for value in values:
        try:
            challenge = Challenge.parse(value)
        except ParseError:
            continue
        known = found.get(challenge.realm)
        if known is None or _STRENGTH[challenge.algorithm] > _STRENGTH[known.algorithm]:
            found[challenge.realm] = challenge
    return found
