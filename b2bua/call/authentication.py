"""Digest authentication of calls by SIP users (docs/behaviour.md §1.5)."""

from collections import OrderedDict
from typing import Final

from b2bua.policy.snapshot import Snapshot
from b2bua.sip.digest import Challenge, Credentials, NonceMaker, ha1
from b2bua.sip.errors import ParseError
from b2bua.sip.message import Request

_COUNTS_LIMIT: Final = 50_000
"""Most nonces whose counts are remembered, far more than are used within a nonce's lifetime."""


class Authenticator:
    """Tells who a request proves to be.

    Args:
        nonces: Makes and judges nonces.
    """

    def __init__(self, nonces: NonceMaker) -> None:
        self._nonces = nonces
        self._counts: OrderedDict[str, int] = OrderedDict()
        # A user that does not exist costs the same computation and gets the same challenge as one that does.
        self._nobody = ha1("nobody", "nowhere", nonces.make(0.0, ""))

    def check(self, request: Request, host: str, snapshot: Snapshot, now: float) -> str | Challenge:
        """The SIP user that the request's Proxy-Authorization proves, or the challenge to answer with.

        Args:
            request: The request.
            host: Address that it came from.
            snapshot: Where the users are.
            now: Seconds since 1970.
        """
        for value in request.headers.get("proxy-authorization", ()):
            try:
                credentials = Credentials.parse(value)
            except ParseError:
                continue
            if credentials.realm != snapshot.realm or credentials.algorithm != "MD5":
                continue
            if not self._nonces.is_ours(credentials.nonce, host):
                break
            user = snapshot.users.get(credentials.username)
            proved = credentials.proves(user.ha1_md5 if user else self._nobody, request.method)
            if not proved or user is None:
                break
            if not self._nonces.is_fresh(credentials.nonce, now) or not self._counts_up(credentials):
                return self._challenge(snapshot, host, now, stale=True)
            return credentials.username
        return self._challenge(snapshot, host, now, stale=False)

    def _challenge(self, snapshot: Snapshot, host: str, now: float, *, stale: bool) -> Challenge:
        return Challenge(snapshot.realm, self._nonces.make(now, host), stale=stale)

    def _counts_up(self, credentials: Credentials) -> bool:
        """Whether the nonce count is higher than any before (RFC 7616 §3.4.6); without qop a nonce serves once."""
        try:
            count = int(credentials.nc, 16) if credentials.qop else 1
        except ValueError:
            return False
        if count <= self._counts.get(credentials.nonce, 0):
            return False
        self._counts[credentials.nonce] = count
        self._counts.move_to_end(credentials.nonce)
        if len(self._counts) > _COUNTS_LIMIT:
            self._counts.popitem(last=False)
        return True
