"""A whole call driver on a wire: caller, two carriers or more, a live store in memory, and a journal on disk."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from b2bua.call.authentication import Authenticator
from b2bua.call.driver import CallDriver
from b2bua.call.forwarding import ForwardSigner
from b2bua.call.gateway_location import GatewayLocator
from b2bua.live.admission import Admission
from b2bua.policy.accounts import Account, Device
from b2bua.policy.dids import DID, DIDDestination
from b2bua.policy.numbers import DialPatterns
from b2bua.policy.routes import Carrier, Gateway, Route, RouteEntry
from b2bua.policy.snapshot import Snapshot
from b2bua.registrar.bindings import Binding, bindings_key, encode
from b2bua.registrar.service import Registrar
from b2bua.registrar.store import BindingStore
from b2bua.sip.digest import NonceMaker, ha1
from b2bua.sip.flow import Flow
from b2bua.sip.message import Response
from b2bua.transport.resolver import Resolver
from cdr.journal import JournalWriter, read_lines, segment_path, segments
from conf.settings import CallSettings, Settings, SIPSettings
from rating.charge import Billing
from rating.funds import funds_key, micros_down
from rating.tariff import Rate, Ratecard, Tariff
from tests.support.legs import Carried, Store, Wire, WiredAnswerer, WiredCaller, WiredEndpoint

CALLER = "198.51.100.7"
SWITCH = "192.0.2.1"
CARRIERS = ("203.0.113.1", "203.0.113.2", "203.0.113.3", "203.0.113.4")
"""Addresses of their gateways; the snapshot has the first two, unless more are added."""
DEVICE = "198.51.100.20"
"""Where calls to a DID may be delivered."""
OTHER = "198.51.100.30"
"""A caller of another customer."""
NUMBER = "442079460000"
DID_NUMBER = "4930900900"
REALM = "softswitch"
SECRET = "correct horse"
RESELLER, CUSTOMER, NEIGHBOUR = 1, 2, 3
"""Ids of the accounts; the customer is below the reseller, and the neighbour, where there is one, below nobody."""


def make_snapshot() -> Snapshot:
    """A customer below a reseller, at CALLER; a SIP user; a route to two carriers with a gateway each."""
    tariff = Tariff(1, "retail", "EUR", ratecards=[(1, Ratecard.of(1, [Rate(1, "44", Decimal("0.06"))]))])
    wholesale = Tariff(2, "wholesale", "EUR", ratecards=[(1, Ratecard.of(2, [Rate(2, "", Decimal("0.03"))]))])
    billing = Billing(4)
    reseller = Account(1, "RESE0001", "reseller", None, "active", "EUR", 1, billing)
    customer = Account(2, "CUST0001", "customer", 1, "active", "EUR", 1, billing)
    snapshot = Snapshot(1, REALM, accounts={1: reseller, 2: customer}, tariffs={1: tariff, 2: wholesale})
    snapshot.link_accounts()
    device = Device("ip", 7, customer, "active")
    user = Device("user", 9, customer, "active", username="alice", ha1_md5=ha1("alice", REALM, SECRET))
    for each in (device, user):
        snapshot.link_device(each)
    snapshot.devices.add(f"{CALLER}/32", device)
    snapshot.users.add(user)
    route = Route(1, "all")
    snapshot.routes[route.id] = route
    for number in (1, 2):
        add_carrier(snapshot, number)
    reseller.route_ids = frozenset([1])
    customer.patterns = DialPatterns.of([("%", route)])
    return snapshot


def add_carrier(snapshot: Snapshot, number: int) -> Carrier:
    """One more carrier of the route, which is tried after those before it."""
    host = CARRIERS[number - 1]
    gateway = Gateway(number, f"gateway-{number}", host, 5060, "udp", 1, 1, None, None, 5.0, 10.0, 60.0, None)
    carrier = Carrier(number, f"CARR000{number}", f"Carrier {number}", "EUR", 2, None, None, gateways=[gateway])
    snapshot.link_carrier(carrier)
    snapshot.carriers[number] = carrier
    snapshot.routes[1].add(RouteEntry(number, "", carrier, number, 1))
    return carrier


class Rig:
    """Everything, with names for its parts."""

    def __init__(
        self,
        directory: Path,
        *,
        call: Mapping[str, Any] | None = None,
        resolver: Resolver | None = None,
        **sip: Any,
    ) -> None:
        self.wire = Wire()
        self.store = Store()
        self.snapshot = make_snapshot()
        for account in (CUSTOMER, RESELLER):
            self.pay(account, "1000")
        own = replace(SIPSettings(listen=(f"udp://{SWITCH}:5060",)), **sip)
        self.settings = replace(Settings(), sip=own, call=replace(CallSettings(), **(call or {})))
        self.failed_addresses: list[str] = []
        """Who answered our nonces with wrong proofs."""
        self.directory = directory / "journal"
        self.journal = JournalWriter(
            self.directory,
            "sip-1",
            "sip-1:1",
            segment_size=10_000_000,
            sync_interval=0.01,
            carried=lambda: self.driver.answered_lines(),  # noqa: PLW0108 - the driver is made below
        )
        self.journal.open(0.0, [])
        admission = Admission("sip-1:1")
        admission.attach(self.store)
        self.store.answer()
        self.driver = CallDriver(
            self.settings,
            "sip-1",
            admission,
            self.journal,
            lambda: self.snapshot,
            Authenticator(NonceMaker(b"key"), lambda address, _: self.failed_addresses.append(address)),
            ForwardSigner(b"key"),
        )
        self.switch = WiredEndpoint(self.wire, SWITCH, self.driver, ("udp",))
        self.driver.endpoint = self.switch
        self.driver.locator = GatewayLocator(self.switch, resolver or Resolver(("udp",)))
        self.wire.help(self._store_answers)
        self.caller = WiredCaller(self.wire, CALLER)
        self.carriers: list[WiredAnswerer] = []

    def _store_answers(self) -> bool:
        if not self.store.answer():
            return False
        self.switch.end_of_turn()
        return True

    def carrier(self, number: int = 1, **how: Any) -> WiredAnswerer:
        """A carrier at the address of one of the gateways."""
        carrier = WiredAnswerer(self.wire, CARRIERS[number - 1], **how)
        self.carriers.append(carrier)
        return carrier

    # What the configuration may have beside

    @property
    def customer(self) -> Account:
        """The caller's account."""
        return self.snapshot.accounts[CUSTOMER]

    @property
    def device(self) -> Device:
        """The caller's device."""
        device = self.snapshot.devices.find(CALLER, NUMBER)
        assert device is not None
        return device

    def gateway(self, number: int = 1) -> Gateway:
        """The one gateway of a carrier."""
        return self.snapshot.carriers[number].gateways[0]

    def link(self) -> None:
        """Limits were changed."""
        self.snapshot.link_accounts()
        self.snapshot.link_device(self.device)

    def load(self) -> None:
        """The driver hears that there is another configuration."""
        self.driver.configuration_changed(self.snapshot)
        self.wire.settle()

    def add_neighbour(self) -> WiredCaller:
        """A customer that has nothing to do with the other, and its caller."""
        other = Account(NEIGHBOUR, "CUST0002", "customer", None, "active", "EUR", 1, Billing(4))
        other.patterns = self.customer.patterns
        self.snapshot.accounts[NEIGHBOUR] = other
        self.link()
        device = Device("ip", 8, other, "active")
        self.snapshot.link_device(device)
        self.snapshot.devices.add(f"{OTHER}/32", device)
        self.store.funds[funds_key(NEIGHBOUR, NEIGHBOUR)] = {"base": micros_down(Decimal(1000))}
        return WiredCaller(self.wire, OTHER)

    def add_device(self, **how: Any) -> WiredAnswerer:
        """An IP device of the customer at DEVICE that can be called."""
        device = Device("ip", 11, self.customer, "active", network=f"{DEVICE}/32")
        self.snapshot.link_device(device)
        self.snapshot.devices.add(device.network, device)
        return WiredAnswerer(self.wire, DEVICE, **how)

    def register(self, *places: Binding) -> None:
        """The SIP user is registered at these places, and its extension is 101."""
        user = self.snapshot.users.get("alice")
        assert user is not None
        user.extension = "101"
        self.snapshot.users.add(user)
        self.driver.registrar = Registrar(BindingStore(self.store), "sip-1:1")
        self.store.values[bindings_key(user.id)] = encode(places)

    def add_did(self, *destinations: DIDDestination, number: str = DID_NUMBER, channels: int | None = None) -> DID:
        """A DID of the customer, for calls from any carrier, that leads to the device unless told otherwise."""
        led_to = list(destinations) or [DIDDestination("ip_device", ("ip", 11))]
        did = DID(5, number, None, self.customer, channels, destinations=led_to)
        self.snapshot.dids[number] = did
        return did

    def price_incoming(self, tariff: int, per_minute: str) -> None:
        """A tariff has a price for calls to DIDs from now on."""
        rates = [Rate(10 + tariff, "", Decimal(per_minute))]
        incoming = Tariff(tariff, "incoming", "EUR", ratecards=[(1, Ratecard.of(10 + tariff, rates))])
        self.snapshot.tariffs[tariff].incoming = incoming

    # What happens

    def dial(self, number: str = NUMBER) -> None:
        """The caller calls a number through the switch."""
        self.caller.dial(SWITCH, number)

    def dial_in(self, number: str = DID_NUMBER, carrier: int = 1) -> WiredCaller:
        """Somebody calls from a carrier's gateway."""
        caller = WiredCaller(self.wire, CARRIERS[carrier - 1])
        caller.dial(SWITCH, number)
        return caller

    def hang_up(self, agent: WiredCaller | WiredAnswerer) -> None:
        """One side hangs up."""
        agent.hang_up()
        self.wire.settle()

    def send(self, data: bytes, source: str = CALLER) -> Response:
        """Something comes to the switch; returns the last answer to it."""
        before = len(self.wire.carried)
        self.switch.receive(data, Flow("udp", source, 5060))
        self.switch.end_of_turn()
        self.wire.settle()
        answers = [each.message for each in self.wire.carried[before:] if each.target == source]
        assert isinstance(answers[-1], Response)
        return answers[-1]

    def pay(self, account: int, balance: str) -> None:
        """An account has so much to spend now, but for what is held and owed."""
        self.store.funds.setdefault(funds_key(RESELLER, account), {})["base"] = micros_down(Decimal(balance))

    def held(self) -> list[int]:
        """Micros that are held of the customer and the reseller."""
        return [self.store.held.get(funds_key(RESELLER, account), 0) for account in (CUSTOMER, RESELLER)]

    def owed(self) -> list[int]:
        """Micros that the two owe."""
        return [self.store.owed.get(funds_key(RESELLER, account), 0) for account in (CUSTOMER, RESELLER)]

    # What it wrote

    def lines(self) -> list[dict[str, Any]]:
        """What the journal has on disk, but for the heads of segments."""
        found: list[dict[str, Any]] = []
        for number in segments(self.directory):
            found += [line for _, line in read_lines(segment_path(self.directory, number), 0, 1_000_000)]
        return [line for line in found if line["kind"] != "segment"]

    def records(self) -> list[dict[str, Any]]:
        """The finished records on disk."""
        return [line["record"] for line in self.lines() if line["kind"] == "cdr"]

    def note_lines_at(self, label: str, source: str = SWITCH) -> list[list[str]]:
        """A list that gets, for each message with this label, the kinds of lines that were on disk when it left."""
        noted: list[list[str]] = []

        def watch(carried: Carried) -> None:
            if carried.label == label and carried.source == source:
                noted.append([line["kind"] for line in self.lines()])

        self.wire.watchers.append(watch)
        return noted

    def assert_nothing_is_left(self) -> None:
        """No call, leg, session or hold is left over, and after a while no transaction or timer."""
        assert self.driver.calls == {}
        assert self.driver.dialogs == 0
        assert self.store.taken == {}
        assert self.store.held == {}
        assert self.driver.admission.taken == 0
        assert set(self.driver.admission._held.values()) <= {0}
        self.wire.advance(120.0)
        assert self.switch.transactions.count == 0
        assert self.switch.wheel.count == 0


@contextmanager
def running_rig(directory: Path, **how: Any) -> Iterator[Rig]:
    """A rig whose journal is closed at the end."""
    rig = Rig(directory, **how)
    try:
        yield rig
    finally:
        rig.journal.close(0.0)
