"""The configuration as a worker holds it: values linked to each other, never changed, replaced as a whole."""

from dataclasses import dataclass, field

from b2bua.policy.accounts import Account, CallHandling, Device
from b2bua.policy.devices import DeviceTable, UserTable, normalise_address
from b2bua.policy.dids import DID
from b2bua.policy.limits import Chain, Level
from b2bua.policy.numbers import DialPatterns
from b2bua.policy.routes import Carrier, Gateway, Route
from rating.exchange import Exchange
from rating.tariff import Tariff


@dataclass(slots=True)
class Snapshot:
    """Everything that decisions are made from, at one revision."""

    revision: int = 0
    realm: str = ""
    max_duration: int = 7200
    """The system's, in seconds."""
    max_attempts: int = 10
    reference_seconds: int = 60
    """Length of the reference call, by which carriers are compared."""
    devices: DeviceTable = field(default_factory=DeviceTable)
    users: UserTable = field(default_factory=UserTable)
    handling: dict[int, CallHandling] = field(default_factory=dict)
    """Of SIP users that have any of their own, by id."""
    accounts: dict[int, Account] = field(default_factory=dict)
    carriers: dict[int, Carrier] = field(default_factory=dict)
    gateways_at: dict[str, list[tuple[Carrier, Gateway]]] = field(default_factory=dict)
    """IP address -> the gateways there, in use or not; a worker adds those whose names lead there now."""
    routes: dict[int, Route] = field(default_factory=dict)
    dids: dict[str, DID] = field(default_factory=dict)
    """By number."""
    emergency: DialPatterns[Route] = field(default_factory=lambda: DialPatterns[Route].of(()))
    """Numbers that anybody active may always call."""
    tariffs: dict[int, Tariff] = field(default_factory=dict)
    exchange: Exchange = field(default_factory=Exchange)
    """What one currency is worth in another."""

    def device(self, kind: str, device_id: int) -> Device | None:
        """An IP device (`ip`) or a SIP user (`user`) by its id, or None."""
        return self.devices.get(device_id) if kind == "ip" else self.users.get_by_id(device_id)

    def link_accounts(self) -> None:
        """Fill in each account's tariff and chain; a circle of parents, which the database forbids, is cut."""
        for account in self.accounts.values():
            account.tariff = self.tariffs.get(account.tariff_id or 0)
            above: list[Account] = []
            parent = self.accounts.get(account.parent_id or 0)
            while parent is not None and parent is not account and parent not in above:
                above.append(parent)
                parent = self.accounts.get(parent.parent_id or 0)
            account.link(tuple(above))

    def link_device(self, device: Device) -> None:
        """Fill in what a call of this device takes sessions of."""
        device.limits = device.account.chain_with(device.key, f"device {device.key}", device.max_sessions, device.cps)

    def link_carrier(self, carrier: Carrier) -> None:
        """Fill in a carrier's tariff, the order, limits and addresses of its gateways."""
        carrier.tariff = self.tariffs.get(carrier.tariff_id or 0)
        carrier.gateways.sort(key=lambda gateway: (gateway.priority, -gateway.weight, gateway.id))
        tag = f"c:{carrier.id}"
        for gateway in carrier.gateways:
            self.gateways_at.setdefault(normalise_address(gateway.host), []).append((carrier, gateway))
            gateway.limits = Chain(
                [
                    Level(tag, tag, f"carrier {carrier.code}", carrier.max_sessions, carrier.cps),
                    Level(tag, f"g:{gateway.id}", f"gateway {gateway.name}", gateway.max_sessions, gateway.cps),
                ]
            )
