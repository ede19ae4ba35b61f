"""What a decision on a call is made from, what it consists of, and how it is told (docs/behaviour.md §1-5, §8).

`b2bua.policy.checks.decide` makes it. What needs the live store (calls per second, sessions, funds) is taken
afterwards, over the limits that the decision names.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Final, Protocol

from b2bua.policy.accounts import Account, Device
from b2bua.policy.dids import DID
from b2bua.policy.limits import Chain
from b2bua.policy.routes import Carrier, Gateway, Route, RouteEntry
from b2bua.policy.snapshot import Snapshot
from b2bua.sip.flow import Flow
from media.sdp import CodecList
from rating.tariff import Rate, Tariff

AUTHENTICATE: Final = "AUTHENTICATE"
"""Code of a decision that waits for the caller to prove who it is."""


@dataclass(slots=True)
class CallRequest:
    """The facts of an INVITE that a decision needs."""

    source_address: str
    """IP address that it came from."""
    destination: str
    """User part of the Request-URI, unescaped, without parameters."""
    source: str
    """The caller's number: user part of From."""
    codecs: tuple[str, ...] = ()
    max_forwards: int = 70
    is_looped: bool = False
    """Whether a Via of ours is in it."""
    authenticated_user: str | None = None
    """SIP user that has proved its secret."""
    claims_user: bool = False
    """Whether it carries credentials for our realm, or comes from the address and port of a live registration."""
    asserted: str = ""
    """Number of P-Asserted-Identity, which counts where the peer is trusted; empty: none."""
    forwarded_by: int | None = None
    """Account that this call is forwarded by, as we ourselves have signed it."""
    is_behind_nat: bool = False
    """Whether it names an address of a network that we do not see, where that matters for media."""


class Conditions(Protocol):
    """What a decision asks of the present, beside the configuration."""

    @property
    def has_media(self) -> bool:
        """Whether an engine is there that can carry audio."""

    def is_down(self, gateway: Gateway) -> bool:
        """Whether a gateway is known not to answer."""

    def turn(self, route_id: int) -> int:
        """How many calls have gone by a route that shares its load."""


class FairWeather:
    """Nothing is down, nothing was shared yet, audio can be carried: for tests and for what is only asked about."""

    has_media = True

    def is_down(self, gateway: Gateway) -> bool:
        """Say no."""
        return False

    def turn(self, route_id: int) -> int:
        """Say none."""
        return 0


FAIR_WEATHER: Final = FairWeather()


@dataclass(slots=True)
class LevelPrice:
    """What one level of the chain pays."""

    account: Account
    tariff: Tariff
    rate: Rate


@dataclass(slots=True)
class Contact:
    """Where a SIP user can be reached."""

    uri: str
    """Request-URI of what is sent there."""
    flow: Flow
    """The way to it."""
    path: tuple[str, ...] = ()
    """Route to it, the first hop first (RFC 3327)."""


@dataclass(slots=True)
class Attempt:
    """One gateway, device or forwarding to try."""

    gateway: Gateway
    """Its name, address and timers; of a device ours, with a carrier and an id that are none."""
    carrier: Carrier | None
    tariff: Tariff | None
    rate: Rate | None
    source: str
    destination: str
    codecs: CodecList
    """What may be spoken."""
    kind: str = "gateway"
    """`gateway`, `device` (an IP device), `user` (the contacts of a SIP user), or `forward` (a call of its own)."""
    user: Device | None = None
    """The SIP user whose contacts are still to be found."""
    contacts: list[Contact] = field(default_factory=list)
    """They, once they are found: all are called at once."""
    only_after: "tuple[Attempt, frozenset[str]] | None" = None
    """Made only when that attempt has failed with one of these codes; None: when the attempt before it has failed."""


@dataclass(slots=True)
class Decision:
    """A refusal (`code` and `object`), or everything that the call needs."""

    code: str = ""
    """Empty: allowed. Otherwise one of docs/behaviour.md §2."""
    object: str = ""
    """What refused, like `account CUST0007`."""
    kind: str = "outgoing"
    """`outgoing`, `on_net`, `incoming` or `emergency`."""
    device: Device | None = None
    account: Account | None = None
    did: DID | None = None
    carrier: Carrier | None = None
    """The one that an incoming call comes from."""
    gateway: Gateway | None = None
    limits: Chain | None = None
    """What to take sessions of; None: of nothing."""
    source: str = ""
    destination: str = ""
    sent_destination: str = ""
    """The destination after the dialing pattern's own strip."""
    route: Route | None = None
    levels: list[LevelPrice] = field(default_factory=list)
    """The account first, then each reseller; empty: free."""
    attempts: list[Attempt] = field(default_factory=list)
    max_duration: int = 0
    """Seconds, before the gateway's own limit."""
    counts_cps: bool = False
    """Whether the INVITE counts in calls per second even though it is refused (every check after 3)."""
    failover_codes: Collection[int] | None = None
    """Answers after which the next attempt is made; None: the system's."""
    ring_failover: bool = False
    """Whether an attempt that rings too long is followed by the next."""
    any_failover: bool = False
    """Whether whatever goes wrong is followed by the next attempt."""
    is_anchored: bool = False
    """Whether its media goes through an engine."""

    @property
    def must_be_anchored(self) -> bool:
        """Whether it is refused where no engine carries it."""
        return self.account is not None and self.account.with_media and self.kind != "emergency"

    @property
    def shares_load(self) -> bool:
        """Whether the order of the attempts came from the turn of the route."""
        return self.route is not None and self.route.mode == "load_share" and self.kind == "outgoing"


@dataclass(slots=True)
class Step:
    """One check of a trace."""

    check: str
    looked_at: str
    outcome: str
    """`ok`, or the code."""


@dataclass(slots=True)
class Candidate:
    """One entry of the route as the trace shows it."""

    entry: RouteEntry
    gateway: str = ""
    destination: str = ""
    """As the carrier would get it."""
    cost: Decimal | None = None
    """Of the reference call, in the account's currency; None: not known."""
    price: Decimal | None = None
    """What the account pays for it."""
    dropped: str = ""
    """Why it is not tried; empty: it is."""


@dataclass(slots=True)
class Trace:
    """How a decision was come to."""

    steps: list[Step] = field(default_factory=list)
    candidates: list[Candidate] = field(default_factory=list)
    currency: str = ""
    """Of the amounts of candidates; empty: there are none."""


@dataclass(slots=True)
class Case:
    """A decision in the making: what the checks look at and fill in."""

    request: CallRequest
    snapshot: Snapshot
    now: datetime
    conditions: Conditions
    decision: Decision
    trace: Trace | None = None

    @property
    def account(self) -> Account:
        """The account that the call is for."""
        account = self.decision.account
        assert account is not None
        return account

    def refuse(self, code: str, object_: str) -> str:
        """Name what refuses, and return the code."""
        self.decision.object = object_
        return code
