"""Accounts and their devices as the snapshot holds them."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from b2bua.policy.limits import Chain, Level
from b2bua.policy.media_wishes import AS_OFFERED, MediaWishes
from b2bua.policy.numbers import CLIRules, DialPatterns, NumberRules
from media.sdp import CodecList
from rating.charge import Billing
from rating.funds import funds_key
from rating.tariff import Tariff

if TYPE_CHECKING:
    from b2bua.policy.routes import Route

EVERY_CODEC: Final = CodecList.of(())
EVERY_NUMBER: Final = NumberRules.of(["%=>%"])
NO_CLI_RULES: Final = CLIRules.of(())


@dataclass(slots=True, eq=False)
class RuleSet:
    """Number rules of an account or a carrier (docs/behaviour.md §3)."""

    source: NumberRules = EVERY_NUMBER
    destination: NumberRules = EVERY_NUMBER
    did_source: NumberRules = EVERY_NUMBER
    """Of calls to DIDs, as all whose names begin so."""
    did_destination: NumberRules = EVERY_NUMBER
    cli: CLIRules = NO_CLI_RULES
    """The caller's number by the destination; accounts only."""


OPEN_RULES: Final = RuleSet()


@dataclass(slots=True)
class CallHandling:
    """What becomes of calls to a SIP user."""

    forward_all: str = ""
    """Number that all calls go to; empty, here and below: none."""
    forward_busy: str = ""
    forward_no_answer: str = ""
    forward_not_registered: str = ""
    ring_time: int = 30
    """Seconds, then it is no answer."""
    do_not_disturb: bool = False


PLAIN_HANDLING: Final = CallHandling()
NO_PATTERNS: "Final[DialPatterns[Route]]" = DialPatterns.of(())


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
    codec_check: bool = False
    """Whether calls must offer a codec of the list, and others are removed."""
    codecs: CodecList = EVERY_CODEC
    """In the order of preference."""
    with_media: bool = False
    """Whether audio crosses our machine."""
    loss_guard: bool = False
    """Whether a carrier that costs more than the account pays is not used."""
    rules: RuleSet = OPEN_RULES
    patterns: "DialPatterns[Route]" = NO_PATTERNS
    """Its dialing routes."""
    route_ids: frozenset[int] = frozenset()
    """Of a reseller: routes that it may use."""
    tariff: Tariff | None = None
    chain: "tuple[Account, ...]" = ()
    """The account and every reseller above it, the topmost last; filled when the snapshot is linked."""
    limits: Chain = field(default_factory=lambda: Chain([]))
    """The account and every reseller above it, filled likewise."""

    @property
    def title(self) -> str:
        """How refusals and traces name it: `account CUST0007`, `reseller RESE0001`."""
        return f"{'reseller' if self.kind == 'reseller' else 'account'} {self.code}"

    def chain_with(self, key: str, name: str, max_sessions: int | None, cps: int | None) -> Chain:
        """What a call takes sessions of: one more thing (a device, a DID), the account, every reseller above."""
        levels = self.limits.levels
        tag = f"a:{self.chain[-1].id}"
        return Chain([Level(tag, key, name, max_sessions, cps), *levels], self.limits.funds_keys)

    def link(self, above: "tuple[Account, ...]") -> None:
        """Fill in the chain and its limits.

        Args:
            above: The account's reseller, the reseller above that, …
        """
        self.chain = (self, *above)
        top = self.chain[-1].id
        levels = [Level(f"a:{top}", f"a:{each.id}", each.title, each.max_sessions, each.cps) for each in self.chain]
        self.limits = Chain(levels, tuple(funds_key(top, each.id) for each in self.chain))


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
    """Of an IP device: its CIDR. Of a SIP user: what its requests must come from; empty: any."""
    extension: str = ""
    """Of a SIP user: its number within the account."""
    port: int = 5060
    """Of an IP device: where calls to it are sent."""
    transport: str = "udp"
    is_trusted: bool = False
    """Whether its P-Asserted-Identity is the caller's number."""
    media: MediaWishes = AS_OFFERED
    """What is asked of media that goes through an engine."""
    limits: Chain = field(default_factory=lambda: Chain([]))
    """Everything that a call of this device takes a session of: itself, its account, every reseller."""

    @property
    def key(self) -> str:
        """`ip:7` or `user:9`, as records and counters name it."""
        return f"{self.kind}:{self.id}"
