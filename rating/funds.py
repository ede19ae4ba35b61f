"""What an account may spend: the figure that the live store holds for admission (docs/behaviour.md §7).

available = balance + granted credit − what calls in progress hold − what ended calls owe and is not posted yet.

The first two are PostgreSQL's and are put into the live store by the `FundsKeeper`, as an absolute figure with a
version; the others belong to the workers, each of which writes only its own fields. So any of them can be put back
after the store lost it, and nothing is added or taken twice. The live store counts in micros, millionths of the
account's currency: what may be spent is rounded down, what is held and owed up.

An account has the hash `funds:{a:<topmost account>}:a:<account>` with the fields `base` and `version`, and for each
worker run `h:<run>` (held) and `p:<run>` (owed, not posted). A figure that is lower than the one before, since debits
were posted that a worker still says are owed, waits as `next` and `next_version`: the worker takes it over in the step
that drops them. How far a worker's journal is in the figures stands in `posted:<worker>`.
"""

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Final

MICRO: Final = Decimal(1_000_000)
"""Micros in one unit of a currency."""


def funds_key(top_account_id: int, account_id: int) -> str:
    """The hash of an account; the tag in braces keeps a chain on one node of a cluster."""
    return f"funds:{{a:{top_account_id}}}:a:{account_id}"


def micros_up(amount: Decimal) -> int:
    """An amount to hold or owe, in micros, rounded up."""
    return int((amount * MICRO).to_integral_value(ROUND_CEILING))


def micros_down(amount: Decimal) -> int:
    """An amount that may be spent, in micros, rounded down."""
    return int((amount * MICRO).to_integral_value(ROUND_FLOOR))


def from_micros(micros: int) -> Decimal:
    """Micros as an amount."""
    return Decimal(micros) / MICRO


def posted_key(name: str) -> str:
    """The key that says up to where a worker's journal is in the figures that the live store has: `segment:offset`."""
    return f"posted:{name}"


def worker_key(name: str) -> str:
    """The key that says that a worker has put back all it holds since the live store lost its data."""
    return f"worker:{name}"
