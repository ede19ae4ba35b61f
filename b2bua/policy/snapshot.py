"""The configuration as a worker holds it: values linked to each other, never changed, replaced as a whole."""

from dataclasses import dataclass, field

from b2bua.policy.accounts import Account, Device
from b2bua.policy.devices import DeviceTable
from b2bua.policy.limits import Chain, Level
from b2bua.policy.routes import Carrier, DialingRoute
from rating.exchange import Exchange
from rating.funds import funds_key
from rating.tariff import Tariff


@dataclass(slots=True)
class Snapshot:
    """Everything that decisions are made from, at one revision."""

    revision: int = 0
    realm: str = ""
    max_duration: int = 7200
    """The system's, in seconds."""
    max_attempts: int = 10
    devices: DeviceTable = field(default_factory=DeviceTable)
    users: dict[str, Device] = field(default_factory=dict)
    """SIP users by name."""
    accounts: dict[int, Account] = field(default_factory=dict)
    carriers: dict[int, Carrier] = field(default_factory=dict)
    dialing_routes: dict[int, list[DialingRoute]] = field(default_factory=dict)
    """Account id -> its dialing routes."""
    tariffs: dict[int, Tariff] = field(default_factory=dict)
    exchange: Exchange = field(default_factory=Exchange)
    """What one currency is worth in another."""

    def link_accounts(self) -> None:
        """Fill in each account's tariff and chain; a circle of parents, which the database forbids, is cut."""
        for account in self.accounts.values():
            account.tariff = self.tariffs.get(account.tariff_id or 0)
            chain: list[Account] = []
            above: Account | None = account
            while above is not None and above not in chain:
                chain.append(above)
                above = self.accounts.get(above.parent_id or 0)
            account.chain = tuple(chain)

    def link_device(self, device: Device) -> None:
        """Fill in what a call of this device takes sessions of."""
        top_account = device.account.chain[-1].id
        top = f"a:{top_account}"
        levels = [Level(top, device.key, f"device {device.key}", device.max_sessions, device.cps)]
        for account in device.account.chain:
            name = f"{account.kind if account.kind == 'reseller' else 'account'} {account.code}"
            levels.append(Level(top, f"a:{account.id}", name, account.max_sessions, account.cps))
        device.limits = Chain(levels, tuple(funds_key(top_account, account.id) for account in device.account.chain))

    def link_carrier(self, carrier: Carrier) -> None:
        """Fill in a carrier's tariff, the order of its gateways, and what an attempt takes sessions of."""
        carrier.tariff = self.tariffs.get(carrier.tariff_id or 0)
        carrier.gateways.sort(key=lambda gateway: (gateway.priority, -gateway.weight, gateway.id))
        tag = f"c:{carrier.id}"
        for gateway in carrier.gateways:
            gateway.limits = Chain(
                [
                    Level(tag, tag, f"carrier {carrier.code}", carrier.max_sessions, carrier.cps),
                    Level(tag, f"g:{gateway.id}", f"gateway {gateway.name}", gateway.max_sessions, gateway.cps),
                ]
            )
