"""A configuration for tests: accounts, devices, carriers and routes linked into a snapshot, and rows of them."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from b2bua.policy.accounts import Account, Device, RuleSet
from b2bua.policy.checks import decide
from b2bua.policy.decision import FAIR_WEATHER, CallRequest, Conditions, Decision, Trace
from b2bua.policy.devices import DeviceTable, UserTable
from b2bua.policy.dids import DID, DIDDestination
from b2bua.policy.numbers import CLIRules, DialPatterns, NumberRules
from b2bua.policy.routes import Carrier, Gateway, Route, RouteEntry
from b2bua.policy.snapshot import Snapshot
from rating.tariff import Rate, Ratecard, Tariff
from rating.window import Window
from tests.support.records import make_billing, make_rate

NOW = datetime(2026, 9, 1, 12, 0, tzinfo=UTC)
SOURCE = "198.51.100.7"
NUMBER = "442079460000"


def make_tariff(*rates: Rate, tariff_id: int = 1, currency: str = "EUR", status: str = "active") -> Tariff:
    """A tariff of one ratecard; with a rate of 1 a minute for every number unless told otherwise."""
    card = Ratecard.of(tariff_id, rates or [make_rate()])
    return Tariff(tariff_id, f"tariff {tariff_id}", currency, status, [(1, card)])


def make_account(
    account_id: int, parent_id: int | None = None, *, tariff_id: int | None = 1, **changed: Any
) -> Account:
    """An account: a reseller when its id is 10 or more."""
    kind = "reseller" if account_id >= 10 else "customer"
    code = f"{'RESE' if kind == 'reseller' else 'CUST'}{account_id:04}"
    values: dict[str, Any] = {"status": "active", "currency": "EUR", "billing": make_billing(), **changed}
    return Account(id=account_id, code=code, kind=kind, parent_id=parent_id, tariff_id=tariff_id, **values)


def make_device(device_id: int, account: Account, kind: str = "ip", **changed: Any) -> Device:
    """A device of an account."""
    return Device(kind, device_id, account, **{"status": "active", **changed})


def make_gateway(gateway_id: int, *, priority: int = 1, weight: int = 100, **changed: Any) -> Gateway:
    """A gateway of no carrier yet."""
    values: dict[str, Any] = {
        "host": f"192.0.2.{gateway_id}",
        "port": 5060,
        "transport": "udp",
        "max_sessions": None,
        "cps": None,
        "invite_timeout": 5,
        "progress_timeout": 10,
        "ring_timeout": 60,
        "max_duration": None,
        **changed,
    }
    return Gateway(id=gateway_id, name=f"gateway-{gateway_id}", priority=priority, weight=weight, **values)


def make_carrier(carrier_id: int, *gateways: Gateway, tariff_id: int | None = 1, **changed: Any) -> Carrier:
    """A carrier with these gateways, or with one of its own number."""
    values: dict[str, Any] = {"max_sessions": None, "cps": None, **changed}
    code = f"CARR{carrier_id:04}"
    carrier = Carrier(carrier_id, code, code, "EUR", tariff_id, **values)
    carrier.gateways = list(gateways) or [make_gateway(carrier_id)]
    return carrier


def make_entry(
    entry_id: int,
    carrier: Carrier,
    prefix: str = "",
    *,
    priority: int = 1,
    weight: int = 100,
    window: Window | None = None,
) -> RouteEntry:
    """An entry of a route."""
    return RouteEntry(entry_id, prefix, carrier, priority, weight, window)


def make_route(*entries: RouteEntry, route_id: int = 1, **changed: Any) -> Route:
    """A route with these entries."""
    route = Route(route_id, f"route-{route_id}", **changed)
    for entry in entries:
        route.add(entry)
    return route


def make_rules(**changed: list[str]) -> RuleSet:
    """Number rules: `%=>%` for every kind that is not named, no CLI rules."""
    kinds = {kind: NumberRules.of(texts) for kind, texts in changed.items() if kind != "cli"}
    return RuleSet(**kinds, cli=CLIRules.of(changed.get("cli", ())))


def make_did(number: str, account: Account | None, *destinations: DIDDestination, **changed: Any) -> DID:
    """A DID of whichever carrier, without a limit."""
    values: dict[str, Any] = {"carrier_id": None, "channels": None, **changed}
    return DID(id=int(number[-4:]), number=number, account=account, destinations=list(destinations), **values)


@dataclass
class Weather:
    """Conditions that a test sets."""

    has_media: bool = True
    down: set[int] = field(default_factory=set)
    """Ids of gateways."""
    turns: int = 0

    def is_down(self, gateway: Gateway) -> bool:
        """Whether it was said to be down."""
        return gateway.id in self.down

    def turn(self, route_id: int) -> int:
        """The next turn, whichever route is asked for."""
        self.turns += 1
        return self.turns - 1


class World:
    """One customer of one reseller, with one IP device and one SIP user, and one carrier with one gateway.

    A test changes what it is about, and then calls.
    """

    def __init__(self) -> None:
        self.snapshot = Snapshot(revision=1, realm="test")
        self.snapshot.tariffs = {1: make_tariff(), 2: make_tariff(tariff_id=2)}
        self.reseller = make_account(10, tariff_id=2)
        self.account = make_account(1, 10)
        self.accounts = [self.account, self.reseller]
        self.device = make_device(7, self.account, network=f"{SOURCE}/32")
        self.devices = [self.device]
        self.user = make_device(9, self.account, "user", username="alice", ha1_md5="0" * 32)
        self.users = [self.user]
        self.carrier = make_carrier(1)
        self.carriers: list[Carrier] = []
        """Those that no route leads to."""
        self.route = make_route(make_entry(1, self.carrier))
        self.dialing_routes = [("%", self.route)]
        self.permitted: list[Route] | None = None
        """Routes that resellers may use; None: all."""
        self.emergency: list[tuple[str, Route]] = []
        self.dids: list[DID] = []

    @property
    def routes(self) -> list[Route]:
        """All that lead anywhere."""
        return [self.route, *(route for _, route in [*self.dialing_routes, *self.emergency])]

    def lead_to(self, *entries: RouteEntry, **changed: Any) -> Route:
        """Let every number go by a new route with these entries."""
        self.route = make_route(*entries, **changed)
        self.dialing_routes = [("%", self.route)]
        return self.route

    def link(self) -> Snapshot:
        """The snapshot as it is now."""
        snapshot = self.snapshot
        snapshot.accounts = {account.id: account for account in self.accounts}
        snapshot.link_accounts()
        snapshot.devices, snapshot.users = DeviceTable(), UserTable()
        for device in self.devices:
            snapshot.link_device(device)
            snapshot.devices.add(device.network, device)
        for user in self.users:
            snapshot.link_device(user)
            snapshot.users.add(user)
        entries = [entry for route in self.routes for found in route.entries.values() for entry in found]
        carriers = [*self.carriers, *(entry.carrier for entry in entries)]
        snapshot.carriers = {carrier.id: carrier for carrier in carriers}
        snapshot.gateways_at = {}
        for carrier in snapshot.carriers.values():
            snapshot.link_carrier(carrier)
        snapshot.routes = {route.id: route for route in self.routes}
        self.account.patterns = DialPatterns.of(self.dialing_routes)
        permitted = self.routes if self.permitted is None else self.permitted
        for account in self.accounts:
            if account.kind == "reseller":
                account.route_ids = frozenset(route.id for route in permitted)
        snapshot.emergency = DialPatterns.of(self.emergency)
        snapshot.dids = {did.number: did for did in self.dids}
        return snapshot

    def decide(
        self,
        *,
        source_address: str = SOURCE,
        destination: str = NUMBER,
        source: str = "4930123456",
        now: datetime = NOW,
        trace: Trace | None = None,
        conditions: Conditions = FAIR_WEATHER,
        snapshot: Snapshot | None = None,
        **changed: Any,
    ) -> Decision:
        """Decide on a call, over a snapshot that was linked before or just now."""
        request = CallRequest(source_address, destination, source, **changed)
        return decide(request, snapshot or self.link(), now, conditions, trace)

    def verdict(self, **changed: Any) -> tuple[str, str]:
        """Code and object of the decision on a call."""
        decision = self.decide(**changed)
        return decision.code, decision.object

    def carriers_tried(self, **changed: Any) -> list[int]:
        """Ids of the carriers of the attempts, in order."""
        return [attempt.carrier.id for attempt in self.decide(**changed).attempts if attempt.carrier is not None]


# Rows

Connection = asyncpg.Connection | PoolConnectionProxy


async def insert(connection: Connection, table: str, **values: Any) -> int:
    """Insert a row and return its id."""
    columns = ", ".join(values)
    places = ", ".join(f"${number}" for number in range(1, len(values) + 1))
    row_id: int = await connection.fetchval(
        f"INSERT INTO {table} ({columns}) VALUES ({places}) RETURNING id",
        *values.values(),
    )
    return row_id


async def insert_rate(connection: Connection, ratecard_id: int, prefix: str, per_minute: str, **values: Any) -> int:
    """Insert a rate."""
    row_id: int = await connection.fetchval(
        "INSERT INTO rate (ratecard_id, prefix, rate_per_minute) VALUES ($1, $2, $3::text::numeric) RETURNING id",
        ratecard_id,
        prefix,
        per_minute,
    )
    for name, value in values.items():
        await connection.execute(f"UPDATE rate SET {name} = $1 WHERE id = $2", value, row_id)
    return row_id
