"""What the controller needs to know of a call's plan, as protocols: it sees no money, record or media itself."""

from collections.abc import Sequence
from typing import Protocol


class GatewayTimers(Protocol):
    """How long a gateway may take, in seconds."""

    invite_timeout: float
    progress_timeout: float
    ring_timeout: float
    max_duration: int | None
    name: str


class PlannedAttempt(Protocol):
    """One gateway to try."""

    @property
    def gateway(self) -> GatewayTimers:
        """Its timers."""

    @property
    def only_after(self) -> "tuple[PlannedAttempt, frozenset[str]] | None":
        """Made only when that attempt has failed with one of these codes; None: when the one before it has failed."""


class Plan(Protocol):
    """What was decided: a refusal, or attempts in their order."""

    code: str
    object: str
    counts_cps: bool
    max_duration: int
    ring_failover: bool
    """Whether an attempt that rings too long is followed by the next."""
    any_failover: bool
    """Whether whatever goes wrong is followed by the next attempt."""

    @property
    def attempts(self) -> Sequence[PlannedAttempt]:
        """Gateways in the order in which they are tried."""
