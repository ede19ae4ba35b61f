"""Accounts and their devices as the snapshot holds them."""

from dataclasses import dataclass, field

from b2bua.policy.limits import Chain
from rating.charge import Billing
from rating.tariff import Tariff


@dataclass(slots=True)
class Account:
    """A customer or a reseller."""

    id: int
    code: str
    kind: str
    """`customer` or `reseller`."""
    parent_id: int | None
    status: str
    currency: str
    tariff_id: int | None
    billing: Billing
    max_sessions: int | None = None
    cps: int | None = None
    max_duration: int | None = None
    """Seconds."""
    tariff: Tariff | None = None
    chain: "tuple[Account, ...]" = ()
    """The account and every reseller above it, the topmost last; filled when the snapshot is linked."""


@dataclass(slots=True)
class Device:
    """What a call comes from: an address of an account (`ip`), or a SIP user (`user`)."""

    kind: str
    id: int
    account: Account
    status: str
    max_sessions: int | None = None
    cps: int | None = None
    dial_prefix: str = ""
    """Of an IP device: only numbers that begin so are its own; digits, without the percent sign."""
    username: str = ""
    ha1_md5: str = ""
    network: str = ""
    """Of a SIP user: CIDR that its requests must come from; empty: any."""
    limits: Chain = field(default_factory=lambda: Chain([]))
    """Everything that a call of this device takes a session of: itself, its account, every reseller."""

    @property
    def key(self) -> str:
        """`ip:7` or `user:9`, as records and counters name it."""
        return f"{self.kind}:{self.id}"
