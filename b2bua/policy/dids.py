"""Numbers that calls from carriers come for, and where they lead (docs/behaviour.md §8)."""

from dataclasses import dataclass, field

from b2bua.policy.accounts import Account
from b2bua.policy.limits import Chain


@dataclass(slots=True)
class DIDDestination:
    """Where calls to a DID go."""

    kind: str
    """`sip_user`, `ip_device`, `extension`, `number` or `voice_mail`."""
    device: tuple[str, int] | None = None
    """Kind and id of the SIP user or IP device."""
    number: str = ""
    """The extension or the outside number."""


@dataclass(slots=True)
class DID:
    """A number of ours."""

    id: int
    number: str
    """E.164 without the plus sign."""
    carrier_id: int | None
    """The carrier that calls must come from; None: any."""
    account: Account | None
    channels: int | None
    """Calls at a time; None: no limit."""
    status: str = "active"
    destinations: list[DIDDestination] = field(default_factory=list)
    """In the order in which they are tried."""

    @property
    def title(self) -> str:
        """How refusals and traces name it."""
        return f"did {self.number}"

    @property
    def limits(self) -> Chain:
        """What a call to it takes sessions of: its channels, its account, every reseller above."""
        assert self.account is not None
        return self.account.chain_with(f"d:{self.id}", self.title, self.channels, None)
