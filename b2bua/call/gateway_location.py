"""Where a gateway is now: at its address, or where DNS says that its name is (RFC 3263), and whom to trust there.

No packet waits for DNS. Names of active gateways are kept known from the moment the configuration has them; where
nothing is known of one, a call fails at once. A certificate has to show the gateway's own host, whatever DNS made of it
(RFC 5922 §4). Left out: NAPTR, since a gateway has its transport.
"""

import asyncio
import contextlib
from collections.abc import Callable
from functools import lru_cache
from ipaddress import ip_address
from typing import Final, Protocol

import structlog

from b2bua.policy.devices import normalise_address
from b2bua.policy.routes import Carrier, Gateway
from b2bua.policy.snapshot import Snapshot
from b2bua.sip.flow import SECURE, WEBSOCKETS, Flow, Trust
from b2bua.sip.message import Response
from b2bua.sip.uri import join_host_port
from b2bua.tasks import spawn
from b2bua.transport.endpoint import Endpoint
from b2bua.transport.location import FAILED_SECONDS, FailedTargets, ServerNotLocated, Target, Walk
from b2bua.transport.resolver import Destination, Resolver
from conf.settings import DNSSettings

log = structlog.get_logger()

FIRST_WAIT: Final = 3.0
"""Seconds that a worker which starts waits for the names of its gateways."""

_DEMANDING: Final = SECURE | WEBSOCKETS
"""Transports whose flows say whom to trust."""


@lru_cache(maxsize=10_000)
def is_address(host: str) -> bool:
    """Whether a gateway's host is no name."""
    try:
        ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def trust_of(gateway: Gateway) -> Trust | None:
    """What a gateway's certificate has to show; None: nothing is said, or its transport has none."""
    if gateway.transport not in _DEMANDING or not gateway.id:
        return None
    return Trust(gateway.tls_verify, gateway.host.rstrip(".").lower())


def with_trust(flow: Flow, gateway: Gateway) -> Flow:
    """The way that a gateway's call came: what is sent after its connection has ended demands what our calls do."""
    if flow.transport not in SECURE:
        return flow
    trust = Trust(gateway.tls_verify, gateway.host.rstrip(".").lower())
    return Flow(flow.transport, flow.host, flow.port, flow.listener, flow.connection, trust)


class Servers:
    """One request's way from server to server of a gateway that has a name (RFC 3263 §4.3).

    Args:
        domain: The gateway's host and port as URIs have them.
        found: Servers and the flows to them; at least one.
        failed: What is remembered of servers.
        clock: Gives monotonic seconds.
    """

    __slots__ = ("_clock", "_failed", "_flows", "_rest", "_walk", "domain", "flow")

    def __init__(
        self, domain: str, found: list[tuple[Target, Flow]], failed: FailedTargets, clock: Callable[[], float]
    ) -> None:
        self._clock = clock
        self._failed = failed
        self._flows = {(target.transport, target.host, target.port): flow for target, flow in found}
        self._walk = Walk((target for target, _ in found), failed, clock())
        self._rest = FAILED_SECONDS
        self.domain = domain
        self.flow = self._flow_to(self._walk.next())
        """The way to the server that is being tried; None: all have failed."""

    def _flow_to(self, target: Target | None) -> Flow | None:
        return None if target is None else self._flows[target.transport, target.host, target.port]

    @property
    def has_left(self) -> bool:
        """Whether there is another server to try."""
        return self._walk.has_left

    def refused(self, response: Response) -> None:
        """The server answered 503: it is spared for as long as it asks for (RFC 3261 §21.5.4)."""
        digits = response.headers.first("retry-after").strip().partition(";")[0].partition(" ")[0]
        if digits.isascii() and digits.isdigit() and len(digits) <= 10:
            self._rest = float(digits)

    def fail(self) -> Flow | None:
        """The server failed: others are tried before it for a while; returns the way to the next one."""
        self.flow = self._flow_to(self._walk.fail(self._clock(), self._rest))
        self._rest = FAILED_SECONDS
        return self.flow

    def answered(self) -> None:
        """The server is well."""
        if self._walk.target is not None:
            self._failed.forget(self._walk.target)


class Located(Protocol):
    """Hears of the way to a gateway."""

    def __call__(self, flow: Flow | None, servers: Servers | None = None) -> None:
        """Take the way to its first server, None where there is none, and all of them where it has a name."""


Locate = Callable[[Gateway, Located], None]
"""Finds the way to a gateway, now or later."""


class GatewayLocator:
    """Finds the gateways of a worker.

    Args:
        endpoint: Makes the flows.
        resolver: Asks DNS, and remembers what it said.
    """

    def __init__(self, endpoint: Endpoint, resolver: Resolver) -> None:
        self._endpoint = endpoint
        self._resolver = resolver
        self._failed = FailedTargets()
        self._told: dict[int, str] = {}
        """Gateway -> why it cannot be found, as the log has it."""
        self._snapshot = Snapshot()
        self._by_address: dict[str, list[tuple[Carrier, Gateway]]] = {}
        """What the snapshot says itself."""
        self._named: list[tuple[Carrier, Gateway]] = []
        """Active gateways that have a name."""
        self._addresses: dict[int, frozenset[str]] = {}
        """Where they are, as far as that is known."""
        self.on_moved: Callable[[], None] | None = None
        """Called when a name has other addresses than before; None: nobody is told."""
        resolver.on_learned = self._recognise

    def close(self) -> None:
        """Ask no more."""
        self._resolver.close()

    @property
    def asked(self) -> int:
        """Questions put to DNS since the start."""
        return self._resolver.asked

    @property
    def unanswered(self) -> int:
        """Those of them without an answer."""
        return self._resolver.failed

    # The way there

    def first(self, gateway: Gateway) -> tuple[Flow | None, Servers | None]:
        """The way to a gateway as far as it is known, and for one that has a name all of its servers.

        Where there is no way the log says why.
        """
        host, port, transport = gateway.host, gateway.port, gateway.transport
        if is_address(host):
            trust = trust_of(gateway) if transport in _DEMANDING else None
            if port is None:
                port = gateway.known_port
            prefers_tcp = gateway.prefers_tcp
            return self._endpoint.flow_to(transport, host, port, trust=trust, prefers_tcp=prefers_tcp), None
        found, reason = [], ""
        targets = self._resolver.lookup_cached(host, port, transport)
        if targets:
            flows = [(each, self._flow_to(gateway, each)) for each in targets]
            found = [(target, flow) for target, flow in flows if flow is not None]
            reason = f"nothing of ours listens on {transport} for its addresses"
        if not found:
            reason = reason or self._resolver.fault(host, port, transport)
            self._tell(gateway, reason)
            return None, None
        self._told.pop(gateway.id, None)
        domain = join_host_port(host, port)
        servers = Servers(domain, found, self._failed, self._endpoint.now)
        return servers.flow, servers

    def _flow_to(self, gateway: Gateway, target: Target) -> Flow | None:
        return self._endpoint.flow_to(
            target.transport, target.host, target.port, trust=trust_of(gateway), prefers_tcp=gateway.prefers_tcp
        )

    def _tell(self, gateway: Gateway, reason: str) -> None:
        if self._told.get(gateway.id) != reason:
            self._told[gateway.id] = reason
            log.warning("gateway cannot be found", gateway=gateway.name, host=gateway.host, reason=reason)

    def locate(self, gateway: Gateway, located: Located) -> None:
        """Find the way to a gateway; where nothing is known of its name DNS is asked first."""
        if is_address(gateway.host) or self._targets(gateway) is not None:
            located(*self.first(gateway))
        else:
            spawn(self._locate_late(gateway, located), f"locate-{gateway.name}")

    async def _locate_late(self, gateway: Gateway, located: Located) -> None:
        with contextlib.suppress(ServerNotLocated):
            await self._resolver.resolve(gateway.host, gateway.port, gateway.transport)
        located(*self.first(gateway))
        self._endpoint.end_of_turn()

    def _targets(self, gateway: Gateway) -> list[Target] | None:
        return self._resolver.lookup_cached(gateway.host, gateway.port, gateway.transport)

    # Names

    def follow(self, snapshot: Snapshot) -> None:
        """Keep the names of a configuration known, and no others; recognise their calls."""
        carriers = snapshot.carriers.values()
        gateways = [(carrier, gateway) for carrier in carriers for gateway in carrier.gateways]
        self._named = [pair for pair in gateways if _is_active(*pair) and not is_address(pair[1].host)]
        names = {gateway.id for _, gateway in self._named}
        self._addresses = {key: found for key, found in self._addresses.items() if key in names}
        self._told = {key: reason for key, reason in self._told.items() if key in names}
        if snapshot is not self._snapshot:
            self._snapshot, self._by_address = snapshot, snapshot.gateways_at
        transports = {address.transport for address in self._endpoint.addresses}
        wanted = [each for _, each in self._named if each.transport in transports]
        self._resolver.prefetch(dict.fromkeys(Destination(each.host, each.port, each.transport) for each in wanted))
        self._learn_addresses()
        self._add_addresses()

    def servers(self) -> dict[str, list[str]]:
        """Where the gateways that have a name are now, by it; empty where nothing is known."""
        return {
            gateway.name: [f"{each.transport}:{join_host_port(each.host, each.port)}" for each in targets]
            for _, gateway in self._named
            for targets in [self._targets(gateway) or ()]
        }

    async def ready(self) -> None:
        """Wait until the names of a configuration that is new are known, but not for long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FIRST_WAIT):
                await self._resolver.refresh_due()
        self._recognise()

    def _recognise(self) -> None:
        """Calls of a gateway come from where its name leads (docs/behaviour.md §1.2)."""
        before = dict(self._addresses)
        self._learn_addresses()
        if before != self._addresses:
            self._add_addresses()
            if self.on_moved is not None:
                self.on_moved()

    def _learn_addresses(self) -> None:
        for _, gateway in self._named:
            targets = self._targets(gateway)
            if targets is not None:  # else what was known has to do
                self._addresses[gateway.id] = frozenset(normalise_address(target.host) for target in targets)

    def _add_addresses(self) -> None:
        if not any(self._addresses.values()):
            self._snapshot.gateways_at = self._by_address
            return
        found = {address: list(pairs) for address, pairs in self._by_address.items()}
        for carrier, gateway in self._named:
            for address in self._addresses.get(gateway.id, ()):
                found.setdefault(address, []).append((carrier, gateway))
        self._snapshot.gateways_at = found


def make_resolver(endpoint: Endpoint, settings: DNSSettings) -> Resolver:
    """A resolver for the transports and versions of IP that we listen on.

    Raises:
        InvalidSetting: a nameserver that is no address.
    """
    transports = dict.fromkeys(address.transport for address in endpoint.addresses)
    families = dict.fromkeys("AAAA" if ":" in address.host else "A" for address in endpoint.addresses)
    return Resolver(tuple(transports), settings.nameservers, settings.timeout, tuple(sorted(families)))


def _is_active(carrier: Carrier, gateway: Gateway) -> bool:
    return carrier.status == "active" and gateway.status == "active"
