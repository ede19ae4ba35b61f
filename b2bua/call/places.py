"""Where an attempt's INVITEs go: its gateway, the next server of its name, where it sends us, or telephones.

One attempt may reach several places one after the other; all of them are priced as it.
"""

from ipaddress import ip_address
from typing import TYPE_CHECKING

from b2bua.call.gateway_location import Servers
from b2bua.call.redirection import Redirections
from b2bua.policy.decision import Attempt, Contact
from b2bua.sip.flow import DEFAULT_PORT, Flow, Trust
from b2bua.sip.message import Response
from b2bua.sip.uri import URI, escape_user, join_host_port

if TYPE_CHECKING:
    from b2bua.call.driver import CallDriver


class Places:
    """The places of the attempt under way.

    Args:
        driver: What all calls share.
    """

    __slots__ = ("_driver", "_redirections", "_servers")

    def __init__(self, driver: "CallDriver") -> None:
        self._driver = driver
        self._redirections = Redirections()
        self._servers: Servers | None = None
        """Those of the attempt's gateway, where it has a name."""

    def begin(self) -> None:
        """Another attempt."""
        self._redirections.begin()
        self._servers = None

    @property
    def is_sent_on(self) -> bool:
        """Whether the attempt has left its gateway."""
        return self._redirections.is_sent_on

    @property
    def is_spent(self) -> bool:
        """Whether silence here is the whole gateway's: no other server of it is left."""
        return not self.is_sent_on and (self._servers is None or not self._servers.has_left)

    @property
    def has_redirection(self) -> bool:
        """Whether the gateway has named a place that was not tried yet."""
        return self._redirections.has_left

    @property
    def domain(self) -> str:
        """The gateway's name and port as URIs have them; empty: it has an address."""
        return "" if self._servers is None else self._servers.domain

    # What comes of one

    def refused(self, attempt: Attempt, response: Response) -> None:
        """A place has answered 3xx to 6xx: it may have named others, or asked to be spared for a while."""
        if response.status < 400 and attempt.gateway.follows_redirects:
            self._redirections.note(response)
        elif response.status == 503 and self._servers is not None:
            self._servers.refused(response)

    def answered(self) -> None:
        """A place has answered with success."""
        if self._servers is not None and not self.is_sent_on:
            self._servers.answered()

    def takes_next_server(self, status: int, code: str) -> bool:
        """Whether there is another server of the gateway's name, now that one has failed (RFC 3263 §4.3)."""
        is_failed = status == 503 or code in ("NO_RESPONSE", "TRANSPORT_FAILURE")
        servers = None if self.is_sent_on else self._servers
        return is_failed and servers is not None and servers.fail() is not None

    # Finding them

    def first(self, attempt: Attempt) -> list[Contact]:
        """Where an attempt's INVITEs go; nowhere: it cannot be reached."""
        endpoint, gateway = self._driver.endpoint, attempt.gateway
        if attempt.contacts:
            return attempt.contacts
        if attempt.kind == "forward":
            flow: Flow | None = endpoint.flow_to_self()
        elif self._servers is not None:
            flow = self._servers.flow
        else:
            flow, self._servers = self._driver.locator.first(gateway)
        if flow is None:
            return []
        domain = self.domain or join_host_port(flow.host, flow.port)
        transport = "" if flow.transport == "udp" else flow.parameter
        return [Contact(f"sip:{escape_user(attempt.destination)}@{domain}{transport}", flow)]

    def next(self, attempt: Attempt) -> Contact | None:
        """What follows a place that has failed; those that cannot be reached are passed over."""
        if not self.has_redirection and not self.is_sent_on:
            return next(iter(self.first(attempt)), None)
        while (uri := self._redirections.next()) is not None:
            if (place := self._at(uri, attempt)) is not None:
                return place
        return None

    def _at(self, uri: URI, attempt: Attempt) -> Contact | None:
        """A URI that the gateway has sent us to; None: we cannot call it, or it is ourselves."""
        endpoint = self._driver.endpoint
        transport = (uri.parameters.get("transport") or ("tls" if uri.scheme == "sips" else "udp")).lower()
        port = uri.port or DEFAULT_PORT.get(transport, 5060)
        try:
            host = str(ip_address(uri.host))
        except ValueError:
            return None
        if endpoint.is_ours(host, port):
            return None
        flow = endpoint.flow_to(transport, host, port, trust=Trust(attempt.gateway.tls_verify, host))
        return None if flow is None else Contact(str(uri), flow)
