"""A carrier on the wire that wants to know who we are: it challenges, judges what it is answered, and registers."""

from collections import Counter
from typing import Any

from b2bua.sip.digest import Challenge, Credentials, ha1
from b2bua.sip.errors import ParseError
from b2bua.sip.events import Event as SIPEvent
from b2bua.sip.events import RequestReceived
from b2bua.sip.message import Request, Response
from b2bua.transport.endpoint import new_token
from tests.support.legs import Wire, WiredAnswerer

USER, SECRET, REALM = "4930900", "correct horse", "carrier.example"


class WaryCarrier(WiredAnswerer):
    """Answers nothing but what is proved.

    Args:
        wire: Where it is.
        host: Its address.
        algorithms: What it offers, one challenge each, in this order.
        status: 401 or 407.
        methods: What it wants proof of.
        uses: How often it takes one nonce; 0: for ever.
        how: As of a WiredAnswerer.
    """

    def __init__(
        self,
        wire: Wire,
        host: str,
        *,
        algorithms: tuple[str, ...] = ("MD5",),
        status: int = 407,
        methods: tuple[str, ...] = ("INVITE", "BYE", "REGISTER"),
        uses: int = 0,
        qop: str = "auth",
        **how: Any,
    ) -> None:
        super().__init__(wire, host, **how)
        self.algorithms = algorithms
        self.status = status
        self.methods = methods
        self.uses = uses
        self.qop = qop
        self.secret = SECRET
        self.registers = 600
        """Seconds that it grants."""
        self.least = 0
        """Least seconds that it grants: less is answered with 423."""
        self.shown: str | None = None
        """Contact header of its answers; None: what is registered, each with its time."""
        self.refuses = 0
        """Status of every answer to a REGISTER that was proved; 0: 200."""
        self.more: dict[str, str] = {}
        """Headers of these answers."""
        self.is_silent = False
        """Whether it answers no REGISTER."""
        self.accepted: list[Credentials] = []
        """Proofs that were right, in their order."""
        self.contacts: list[str] = []
        """Contacts that are registered."""
        self._counts: Counter[str] = Counter()
        self._nonces: set[str] = set()

    @property
    def last_seen(self) -> Request:
        """The last request that came."""
        return self._last_seen

    def handle_event(self, event: SIPEvent, now: float) -> None:
        """Challenge, or go on."""
        if not isinstance(event, RequestReceived) or event.request.method not in self.methods:
            super().handle_event(event, now)
            return
        request = self._last_seen = event.request
        if request.method == "REGISTER" and self.is_silent:
            return
        fault = self._fault(request)
        if fault is not None:
            self._respond(event, fault)
        elif request.method == "REGISTER":
            self._respond(event, self._register(request))
        else:
            super().handle_event(event, now)

    def _respond(self, event: RequestReceived, response: Response) -> None:
        self.endpoint.transactions.send_response(event.transaction, response, self.endpoint.now())

    def _fault(self, request: Request) -> Response | None:
        name = "authorization" if self.status == 401 else "proxy-authorization"
        is_stale = False
        for value in request.headers.get(name, ()):
            try:
                credentials = Credentials.parse(value)
            except ParseError:
                continue
            known = ha1(USER, REALM, self.secret, credentials.algorithm)
            if credentials.username != USER or not credentials.proves(known, request.method):
                continue
            if credentials.nonce in self._nonces and self._takes(credentials):
                self.accepted.append(credentials)
                return None
            is_stale = True
        return self._challenge(request, is_stale=is_stale)

    def _takes(self, credentials: Credentials) -> bool:
        nonce = credentials.nonce
        if self.uses and self._counts[nonce] >= self.uses:
            return False
        if credentials.qop and int(credentials.nc, 16) != self._counts[nonce] + 1:
            return False
        self._counts[nonce] += 1
        return True

    def _challenge(self, request: Request, *, is_stale: bool) -> Response:
        response = Response.to(request, self.status, new_token())
        name = "www-authenticate" if self.status == 401 else "proxy-authenticate"
        for algorithm in self.algorithms:
            nonce = new_token()
            self._nonces.add(nonce)
            response.headers.add(name, str(Challenge(REALM, nonce, algorithm, self.qop, is_stale, "op")))
        return response

    def _register(self, request: Request) -> Response:
        asked = int(request.headers.first("expires"))
        status = self.refuses or (423 if 0 < asked < self.least else 200)
        response = Response.to(request, status, new_token())
        for name, value in self.more.items():
            response.headers[name] = [value]
        if status == 423 and self.least:
            response.headers["min-expires"] = [str(self.least)]
        if status == 200:
            self.contacts = request.headers["contact"] if asked else []
            ours = [f"{each};expires={self.registers}" for each in self.contacts]
            response.headers["contact"] = ours if self.shown is None else [self.shown]
        return response
