"""Digest authentication of SIP users, for calls and for registrations (docs/behaviour.md §1.5).

A REGISTER is proved to us as its server (401, WWW-Authenticate, Authorization), every other request to us as a proxy
(407, Proxy-Authenticate, Proxy-Authorization): RFC 3261 §22.2, §22.3.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from b2bua.policy.accounts import Device
from b2bua.policy.snapshot import Snapshot
from b2bua.sip.digest import Challenge, Credentials, NonceMaker, ha1
from b2bua.sip.errors import ParseError
from b2bua.sip.message import Request
from b2bua.sip.uri import URI

_COUNTS_LIMIT: Final = 50_000
"""Most nonces whose counts are remembered, far more than are used within a nonce's lifetime."""


class Authenticator:
    """Tells who a request proves to be.

    Args:
        nonces: Makes and judges nonces.
        failed: Called with the address and the user name of whoever answers a nonce that was given to it with a proof
            that is wrong: of a user that is not there, with another secret, or for another request. Nobody else can
            answer that nonce, so a forged source address accuses nobody.
        is_refused: Whether a user is refused at an address, whatever it proves.
    """

    def __init__(
        self,
        nonces: NonceMaker,
        failed: Callable[[str, str], None] = lambda _, __: None,
        is_refused: Callable[[str, str], bool] = lambda _, __: False,
    ) -> None:
        self._nonces = nonces
        self._failed = failed
        self._is_refused = is_refused
        self._counts: OrderedDict[str, int] = OrderedDict()
        # A user that does not exist costs the same computation and gets the same challenge as one that does.
        self._nobody = ha1("nobody", "nowhere", nonces.make(0.0, ""))

    def check(self, request: Request, host: str, snapshot: Snapshot, now: float) -> str | Challenge:
        """The SIP user that the request's credentials prove, or the challenge to answer with.

        Args:
            request: The request.
            host: Address that it came from.
            snapshot: Where the users are.
            now: Seconds since 1970.
        """
        header = "authorization" if request.method == "REGISTER" else "proxy-authorization"
        for value in request.headers.get(header, ()):
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
            if not proved or user is None or not _is_for(credentials.uri, request.uri):
                self._failed(host, credentials.username)
                break
            if self._is_refused(host, credentials.username):
                break
            if not self._nonces.is_fresh(credentials.nonce, now) or not self._counts_up(credentials):
                return self._challenge(snapshot, host, now, stale=True)
            return credentials.username
        return self._challenge(snapshot, host, now, stale=False)

    def user_of(
        self, request: Request, host: str, snapshot: Snapshot, now: float
    ) -> Device | tuple[int, dict[str, str]]:
        """The SIP user that the request's credentials prove, or status and headers of the answer that asks for them."""
        proof = self.check(request, host, snapshot, now)
        if not isinstance(proof, Challenge):
            user = snapshot.users.get(proof)
            assert user is not None  # proved over the same snapshot
            return user
        if request.method == "REGISTER":
            return 401, {"www-authenticate": str(proof)}
        return 407, {"proxy-authenticate": str(proof)}

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


def _is_for(uri: str, request_uri: str) -> bool:
    """Whether credentials were made for a Request-URI (RFC 7616 §3.4.6).

    Parameters do not count, since user agents leave them out or add them, and neither does the default port.
    """
    if uri == request_uri:
        return True
    try:
        one, other = URI.parse(uri), URI.parse(request_uri)
    except ParseError:
        return False
    return (one.number, one.host.lower(), one.port or 5060) == (other.number, other.host.lower(), other.port or 5060)
