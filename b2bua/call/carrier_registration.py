"""Our registrations at carriers (RFC 3261 §10.2), each made by one worker of all at a time.

Whoever holds the lease `gateway-registration:<id>` in the live store registers; the others ask for it now and then.
A worker that stops takes the registration back and then gives the lease up; one that dies loses it within `LEASE`
seconds. While the store is away everything stays as it is: two workers that register the same contact do no harm.

Not done: several contacts, outbound flows (RFC 5626, but for the waits of §4.5), Service-Route, bulk numbers.
"""

import asyncio
import random
import time
from collections.abc import Callable, Iterable
from enum import IntEnum
from functools import partial
from typing import Any, Final

import structlog

from b2bua.call.client_request import ClientRequest
from b2bua.call.gateway_location import Locate, Servers
from b2bua.call.leg import ALLOW
from b2bua.live.lease import Leases
from b2bua.policy.routes import Gateway
from b2bua.sip.address import Address
from b2bua.sip.comparison import is_same_uri
from b2bua.sip.digest_client import DigestClient, Tries
from b2bua.sip.errors import ParseError
from b2bua.sip.flow import Flow
from b2bua.sip.grammar import split_outside_quotes
from b2bua.sip.headers import Headers
from b2bua.sip.message import Request, Response
from b2bua.sip.timers import Timer
from b2bua.sip.transactions import ClientTransaction
from b2bua.sip.uri import URI, escape_user, join_host_port
from b2bua.transport.endpoint import Endpoint, TimerOwner, new_token

log = structlog.get_logger()

LEASE: Final = 15.0
"""Seconds that a worker has a gateway for, unless it asks again."""

BEAT: Final = 5.0
"""Seconds between two requests for it."""

REFRESH: Final = 0.8
"""Share of the granted time after which it is asked for again."""

LONGEST: Final = 86_400
"""Most seconds that are asked for, or believed to be granted."""

BACK_OFF: Final = 30.0
"""RFC 5626 §4.5: the bound of the wait is twice this after a failure, and doubles with each further one …"""
BACK_OFF_LONGEST: Final = 1800.0
"""… up to this."""


def lease_key(gateway_id: int) -> str:
    """What stands for the registration at a gateway in the live store."""
    return f"gateway-registration:{gateway_id}"


def back_off(failures: int, draw: float) -> float:
    """Seconds to wait after so many failures in a row; `draw` from 0 to 1 is a random number (RFC 5626 §4.5)."""
    bound = min(BACK_OFF_LONGEST, BACK_OFF * 2.0 ** min(failures, 10))
    return bound * (0.5 + draw / 2)


def registered_user(gateway: Gateway) -> str:
    """The user that we register, and that calls to our contact are for; empty: there is none."""
    return gateway.presentation.from_user or (gateway.login.username if gateway.login is not None else "")


def dialled_number(request: Request, number: str, gateways: Iterable[Gateway]) -> str:
    """The number that a carrier's INVITE is for.

    A call that goes to our registered contact has its user in the Request-URI, and the number in To.

    Args:
        request: The INVITE.
        number: Of its Request-URI.
        gateways: Those that it may come from.
    """
    if not any(gateway.registers and registered_user(gateway) == number for gateway in gateways):
        return number
    try:
        return Address.parse(request.headers["to"][0]).uri.number or number
    except ParseError:
        return number


class _RegistrationTimer(IntEnum):
    NEXT = 0
    """Register, for the first time or again."""


class CarrierRegistration(ClientRequest, TimerOwner):
    """Our registration at one gateway.

    Args:
        endpoint: Sends the requests.
        gateway: Where, and as whom.
        locate: Finds the way there.
        user_agent: Our User-Agent header; empty: none.
        clock: Gives seconds since 1970.
        draw: Gives random numbers from 0 to 1.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        gateway: Gateway,
        locate: Locate,
        *,
        user_agent: str = "",
        clock: Callable[[], float] = time.time,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._endpoint = endpoint
        self._locate = locate
        self._user_agent = user_agent
        self._clock = clock
        self._draw = draw
        self.gateway = gateway
        login = gateway.login
        self._proof = DigestClient(login.username, login.secret, new_token) if login is not None else None
        self._tries = Tries()
        self._call_id = f"{new_token()}{new_token()}"
        self._tag = new_token()
        self._cseq = 0
        self._contact: URI | None = None
        self._expires = min(gateway.register_expires, LONGEST)
        self._may_ask_longer = True
        self._asked: ClientTransaction | None = None
        self._round = 0
        self._flow: Flow | None = None
        """The way of the last request."""
        self._servers: Servers | None = None
        self._timer: Timer[TimerOwner] | None = None
        self._failures = 0
        self._ended: Callable[[], None] | None = None
        self.is_running = False
        """Whether it is ours to register."""
        self.registered_until = 0.0
        """Seconds since 1970; what is past has no meaning."""
        self.reason = ""
        """Why the last request failed; empty: it did not."""
        self.next_at = 0.0
        """When the next request is sent, in seconds since 1970."""

    @property
    def is_registered(self) -> bool:
        """Whether calls reach us there, as far as we know."""
        return self.registered_until > self._clock()

    # Orders

    def begin(self) -> None:
        """Register, and stay registered."""
        self.is_running = True
        self._failures = 0
        self._register()

    def pause(self) -> None:
        """Another worker registers from now on."""
        self._rest()
        self.registered_until = 0.0
        self.reason = ""

    def end(self, ended: Callable[[], None]) -> None:
        """Take the registration back, and say when that is done, or given up."""
        was_asked = self._asked is not None
        is_there = self.is_running and (self.is_registered or was_asked) and self._contact is not None
        self._rest()
        if not is_there:
            ended()
            return
        self._ended = ended
        self._tries = Tries()
        self._expires = 0
        self._find_way()

    def _rest(self) -> None:
        """Wait for nothing any more; a request that is under way is not repeated, so that it overtakes no later one."""
        self.is_running = False
        self._stop_timer()
        self._round += 1
        if self._asked is not None:
            self._endpoint.transactions.stop_repeating(self._asked)
            self._asked = None

    def on_timer(self, kind: int, now: float) -> None:
        """It is time for the next REGISTER."""
        self._timer = None
        self._register()

    # The request

    def _register(self) -> None:
        self._tries = Tries()
        self._may_ask_longer = True
        if not registered_user(self.gateway):
            self._failed("no user name")
        else:
            self._find_way()

    def _find_way(self) -> None:
        self._round += 1
        self._locate(self.gateway, partial(self._located, self._round))

    def _located(self, round_: int, flow: Flow | None, servers: Servers | None = None) -> None:
        if round_ != self._round:
            return  # meanwhile something else was ordered
        self._servers = servers
        if flow is None:
            self._failed("no way to it")
        else:
            self._send(flow)

    def _next_server(self, response: Response | None = None) -> bool:
        """Whether another server of the gateway's name is asked, now that one has failed (RFC 3263 §4.3)."""
        if self._servers is not None and response is not None:
            self._servers.refused(response)
        flow = self._servers.fail() if self._servers is not None else None
        if flow is not None:
            self._send(flow)
        return flow is not None

    def _send(self, flow: Flow) -> None:
        self._flow = flow
        request = self._request(flow)
        if self._proof is not None:
            self._proof.prove(request)
        self._asked = self._endpoint.transactions.send_request(request, flow, self._endpoint.now(), self)

    def _request(self, flow: Flow) -> Request:
        gateway, rules = self.gateway, self.gateway.presentation
        domain = rules.from_domain or join_host_port(gateway.host, None)
        user = escape_user(registered_user(gateway))
        if self._contact is None:
            self._contact = URI.parse(f"sip:{user}@{self._endpoint.sent_by(flow)}{flow.parameter}")
        address = f"<sip:{user}@{domain}>"
        self._cseq += 1
        headers = Headers()
        headers["max-forwards"] = ["70"]
        headers["from"] = [f"{address};tag={self._tag}"]
        headers["to"] = [address]
        headers["call-id"] = [self._call_id]
        headers["cseq"] = [f"{self._cseq} REGISTER"]
        headers["contact"] = [f"<{self._contact}>"]
        headers["expires"] = [str(self._expires)]
        headers["allow"] = [ALLOW]
        if self._user_agent:
            headers["user-agent"] = [self._user_agent]
        return Request("REGISTER", f"sip:{domain}", headers)

    # What comes of it

    def answered(self, transaction: ClientTransaction, response: Response) -> None:
        """An answer came, provisional or final."""
        status = response.status
        if transaction is not self._asked or status < 200:
            return
        self._asked = None
        if status < 300:
            self._registered(response)
        elif self._flow is not None and self._may_try_again(response):
            self._send(self._flow)  # the same server: another one would ask for other proof
        elif status != 503 or not self._next_server(response):
            self._failed(f"{status} {response.reason}".strip(), _seconds(response.headers.first("retry-after")))

    def failed(self, transaction: ClientTransaction, code: str) -> None:
        """None will come."""
        if transaction is self._asked:
            self._asked = None
            if self._next_server():
                return
            self._failed("no answer" if code == "NO_RESPONSE" else "not reachable")

    def _may_try_again(self, response: Response) -> bool:
        """Whether the request is sent again at once, with proof or for a longer time."""
        if self._proof is not None and self._proof.take(response, self._tries):
            return True
        return response.status == 423 and self._asks_longer(response)

    def _asks_longer(self, response: Response) -> bool:
        """Whether a 423 names a time that can be asked for (§10.2.8)."""
        least = _seconds(response.headers.first("min-expires"))
        if self._ended is not None or not self._may_ask_longer or not self._expires < least <= LONGEST:
            return False
        self._may_ask_longer = False
        self._expires = least
        return True

    def _registered(self, response: Response) -> None:
        if self._servers is not None:
            self._servers.answered()
        if self._ended is not None:
            self.registered_until = 0.0
            self._finish()
            return
        granted = min(self._granted(response), LONGEST)
        if granted <= 0:
            self._failed("granted for no time")
            return
        if self._failures or not self.is_registered:
            log.info("registered at a gateway", gateway=self.gateway.name, seconds=granted)
        self._failures, self.reason = 0, ""
        self.registered_until = self._clock() + granted
        self._wait(max(granted * REFRESH, 1.0))

    def _granted(self, response: Response) -> int:
        """Seconds that our contact has: its own parameter, else the header, else what we asked for (§10.2.4)."""
        values = [part for value in response.headers.get("contact", ()) for part in _parts(value)]
        contacts = [contact for value in values if (contact := _address(value)) is not None]
        assert self._contact is not None
        # Where there is one only it is ours, whatever a border element has made of it.
        ours = [each for each in contacts if len(contacts) == 1 or is_same_uri(each.uri, self._contact)]
        text = (ours[0].parameters.get("expires") or "") if ours else ""
        text = text or response.headers.first("expires")
        return _seconds(text) if text else self._expires

    def _failed(self, reason: str, retry_after: int = 0) -> None:
        if self._ended is not None:
            self._finish()
            return
        self._failures += 1
        if reason != self.reason:
            log.warning("not registered at a gateway", gateway=self.gateway.name, reason=reason)
        self.reason = reason
        self._wait(max(back_off(self._failures, self._draw()), min(retry_after, BACK_OFF_LONGEST)))

    def _finish(self) -> None:
        ended, self._ended = self._ended, None
        assert ended is not None
        ended()

    def _wait(self, seconds: float) -> None:
        self._stop_timer()
        self.next_at = self._clock() + seconds
        self._timer = self._endpoint.add_timer(seconds, self, _RegistrationTimer.NEXT)

    def _stop_timer(self) -> None:
        self.next_at = 0.0
        if self._timer is not None:
            self._endpoint.wheel.cancel(self._timer)
            self._timer = None

    def to_row(self) -> dict[str, Any]:
        """The registration as the control interface shows it."""
        if not self.is_running:
            state = "elsewhere"
        elif self.is_registered:
            state = "registered"
        else:
            state = "failed" if self.reason else "trying"
        return {
            "gateway": self.gateway.name,
            "gateway_id": self.gateway.id,
            "user": registered_user(self.gateway),
            "state": state,
            "registered_until": self.registered_until if self.is_registered else None,
            "next_at": self.next_at or None,
            "reason": self.reason,
        }


class CarrierRegistrations(TimerOwner):
    """The registrations at all gateways that want one.

    Args:
        endpoint: Sends the requests.
        leases: Says which of them are ours.
        locate: Finds the way to a gateway.
        user_agent: Our User-Agent header; empty: none.
        clock: Gives seconds since 1970.
        draw: Gives random numbers from 0 to 1.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        leases: Leases,
        locate: Locate,
        *,
        user_agent: str = "",
        clock: Callable[[], float] = time.time,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._endpoint = endpoint
        self._leases = leases
        self._locate = locate
        self._user_agent = user_agent
        self._clock = clock
        self._draw = draw
        self._wanted: dict[int, Gateway] = {}
        self._all: dict[int, CarrierRegistration] = {}
        self._ending: dict[int, CarrierRegistration] = {}
        self._timer: Timer[TimerOwner] | None = None
        self._all_ended = asyncio.Event()

    def update(self, gateways: Iterable[Gateway]) -> None:
        """Register at these as they say, and at no others; the caller ends the turn."""
        self._wanted = {each.id: each for each in gateways if each.registers and each.status == "active"}
        for gateway_id, registration in list(self._all.items()):
            gateway = self._wanted.get(gateway_id)
            if gateway is None or _terms(gateway) != _terms(registration.gateway):
                del self._all[gateway_id]
                self._ending[gateway_id] = registration
                registration.end(partial(self._has_ended, gateway_id))
            else:
                registration.gateway = gateway
        self._add_missing()

    def _add_missing(self) -> None:
        for gateway_id, gateway in self._wanted.items():
            # A new registration must not be overtaken by the end of the one before.
            if gateway_id not in self._all and gateway_id not in self._ending:
                self._all[gateway_id] = CarrierRegistration(
                    self._endpoint,
                    gateway,
                    self._locate,
                    user_agent=self._user_agent,
                    clock=self._clock,
                    draw=self._draw,
                )
                self._ask_for(gateway_id)
        if self._all and self._timer is None:
            self._timer = self._endpoint.add_timer(BEAT, self, 0)

    def _has_ended(self, gateway_id: int) -> None:
        self._ending.pop(gateway_id, None)
        self._leases.give_up(lease_key(gateway_id))
        if gateway_id in self._wanted:
            self._add_missing()
        if not self._ending:
            self._all_ended.set()

    # Which are ours

    def on_timer(self, kind: int, now: float) -> None:
        """Ask for all of them again: to keep what is ours, and to take what nobody has."""
        self._timer = None
        for gateway_id in self._all:
            self._ask_for(gateway_id)
        for gateway_id in self._ending:
            self._leases.take(lease_key(gateway_id), LEASE, _ignore)
        if self._all or self._ending:
            self._timer = self._endpoint.add_timer(BEAT, self, 0)

    def _ask_for(self, gateway_id: int) -> None:
        registration = self._all[gateway_id]
        self._leases.take(lease_key(gateway_id), LEASE, partial(self._told, registration))

    def _told(self, registration: CarrierRegistration, is_ours: bool | None) -> None:
        if self._all.get(registration.gateway.id) is not registration or is_ours is None:
            return
        if is_ours and not registration.is_running:
            registration.begin()
        elif not is_ours and registration.is_running:
            registration.pause()

    # The end

    async def close(self, seconds: float) -> None:
        """Take all registrations back, and wait for the answers for so many seconds at most."""
        self._all_ended.clear()
        self.update(())
        is_waiting = bool(self._ending)
        self._endpoint.end_of_turn()
        if is_waiting and self._ending:
            try:
                await asyncio.wait_for(self._all_ended.wait(), seconds)
            except TimeoutError:
                log.warning("registrations at gateways were not taken back", gateways=len(self._ending))
        if self._timer is not None:
            self._endpoint.wheel.cancel(self._timer)
            self._timer = None

    def to_rows(self) -> list[dict[str, Any]]:
        """All of them by name, as the control interface shows them."""
        return sorted((each.to_row() for each in self._all.values()), key=lambda row: row["gateway"])


def _terms(gateway: Gateway) -> tuple[object, ...]:
    """What another registration is needed for when it changes."""
    rules = gateway.presentation
    place = (gateway.transport, gateway.host, gateway.port)
    return (*place, gateway.login, rules.from_user, rules.from_domain, gateway.register_expires)


def _seconds(text: str) -> int:
    # RFC 3261 §20.33: a comment or parameter may follow a Retry-After.
    digits = text.strip().partition(";")[0].partition(" ")[0]
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= 10 else 0


def _parts(value: str) -> list[str]:
    try:
        return split_outside_quotes(value, ",")
    except ParseError:
        return []


def _address(value: str) -> Address | None:
    try:
        return Address.parse(value)
    except ParseError:
        return None


def _ignore(_: bool | None) -> None:
    pass
