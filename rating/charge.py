"""What a call costs: seconds, a rate and an account's rounding and taxes make a charge (docs/behaviour.md §6).

Pure and exact: Decimal throughout, one division, rounded once. No float ever enters.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Context, Decimal
from functools import reduce
from typing import Final

from rating.tariff import ONE, Rate

_EXACT: Final = Context(prec=120)
"""Wide enough that every product of rate, seconds and multiplier is exact and a division by 60 never rounds wrongly."""

_SIXTY: Final = Decimal(60)
_HUNDRED: Final = Decimal(100)
_ZERO: Final = Decimal(0)
_QUANTA: Final = [Decimal(1).scaleb(-decimals) for decimals in range(11)]
_ROUNDING: Final = {"ROUND": ROUND_HALF_UP, "CEIL": ROUND_CEILING}


@dataclass(slots=True)
class Billing:
    """How an account rounds and is taxed."""

    decimals: int = 4
    """0 to 10."""
    rounding: str = "ROUND"
    """`ROUND`: half up; `CEIL`: up."""
    tax_percents: Sequence[Decimal] = field(default_factory=tuple)
    """Up to three percentages; empty: no tax."""
    tax_inclusive: bool = False
    """Whether rates contain the tax."""


@dataclass(slots=True)
class Charge:
    """The price of one call on one level; net + the sum of taxes = gross."""

    billed_seconds: int
    net: Decimal
    taxes: tuple[Decimal, ...]
    gross: Decimal

    @property
    def tax(self) -> Decimal:
        """All taxes together."""
        return _EXACT.subtract(self.gross, self.net)


def billed_seconds(seconds: int, rate: Rate) -> int:
    """Seconds that are paid for, of a call that lasted `seconds` (whole, from answer to end); 0 within the grace."""
    if seconds < rate.grace:
        return 0
    minimum, resolution = rate.minimum, rate.resolution
    if rate.blocks_mode == "after_minimum":
        if seconds <= minimum:
            return minimum
        return minimum + -(-(seconds - minimum) // resolution) * resolution
    if seconds < minimum:
        return minimum
    return -(-seconds // resolution) * resolution


def unrounded(billed: int, rate: Rate) -> Decimal:
    """(rate × billed × multiplier + 60 × (addition + connection charge)) / 60, to 120 digits; for comparing prices."""
    return _EXACT.divide(_sixtyfold(billed, rate), _SIXTY)


def _sixtyfold(billed: int, rate: Rate) -> Decimal:
    amount = _EXACT.multiply(rate.rate_per_minute, billed)
    if rate.multiplier != ONE:
        amount = _EXACT.multiply(amount, rate.multiplier)
    if rate.addition or rate.connection_charge:
        once = _EXACT.add(rate.addition, rate.connection_charge)
        amount = _EXACT.add(amount, _EXACT.multiply(_SIXTY, once))
    return amount


def charge(seconds: int, rate: Rate, billing: Billing) -> Charge:
    """Price an answered call.

    Args:
        seconds: Answered to ended, rounded up to whole seconds; 0 or more.
        rate: The rate fixed when the call was set up.
        billing: The account's rounding and taxes.
    """
    quantum = _QUANTA[billing.decimals]
    if seconds < rate.grace:
        zero = _ZERO.quantize(quantum, context=_EXACT)
        return Charge(0, zero, (zero,) * len(billing.tax_percents), zero)
    billed = billed_seconds(seconds, rate)
    amount = unrounded(billed, rate).quantize(quantum, _ROUNDING[billing.rounding], _EXACT)
    if not billing.tax_percents:
        return Charge(billed, amount, (), amount)
    total = _sum(billing.tax_percents)
    if billing.tax_inclusive:
        net = _EXACT.divide(_EXACT.multiply(amount, _HUNDRED), _EXACT.add(_HUNDRED, total)).quantize(
            quantum, ROUND_HALF_UP, _EXACT
        )
        taxes = split(_EXACT.subtract(amount, net), billing.tax_percents, quantum)
        return Charge(billed, net, taxes, amount)
    tax = _EXACT.divide(_EXACT.multiply(amount, total), _HUNDRED).quantize(quantum, ROUND_HALF_UP, _EXACT)
    return Charge(billed, amount, split(tax, billing.tax_percents, quantum), _EXACT.add(amount, tax))


def split(amount: Decimal, weights: Sequence[Decimal], quantum: Decimal) -> tuple[Decimal, ...]:
    """Split an amount by weights into whole quanta that add up to it, by largest remainder; earlier parts win ties."""
    total = _sum(weights)
    if len(weights) == 1 or not total:
        return (amount, *(_ZERO.quantize(quantum, context=_EXACT),) * (len(weights) - 1))
    products = [_EXACT.multiply(amount, weight) for weight in weights]
    parts = [_EXACT.divide(product, total).quantize(quantum, ROUND_FLOOR, _EXACT) for product in products]
    missing = int(_EXACT.divide(_EXACT.subtract(amount, _sum(parts)), quantum))
    # Of the products, for a quotient without an end is cut off earlier the larger it is, and would break ties.
    remainders = [
        _EXACT.subtract(product, _EXACT.multiply(part, total)) for product, part in zip(products, parts, strict=True)
    ]
    for index in sorted(range(len(parts)), key=remainders.__getitem__, reverse=True)[:missing]:
        parts[index] = _EXACT.add(parts[index], quantum)
    return tuple(parts)


def _sum(amounts: Sequence[Decimal]) -> Decimal:
    # Not sum(): the context of the thread keeps 28 digits only, the ledger has 30.
    return reduce(_EXACT.add, amounts, _ZERO)
