"""Amounts in another currency, at the rate in force (docs/behaviour.md §6). Pure and unrounded."""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Context, Decimal
from typing import Final

from rating.errors import MissingExchangeRate

_EXACT: Final = Context(prec=120)
"""As in `rating.charge`: products of what the database keeps are exact, and a quotient never rounds wrongly."""


@dataclass(frozen=True, slots=True)
class CurrencyRate:
    """What one unit of a currency is worth in another from some moment on."""

    from_currency: str
    to_currency: str
    rate: Decimal
    """Units of `to_currency` for one of `from_currency`; above zero."""
    valid_from: datetime
    """Aware."""


class Exchange:
    """All exchange rates, whatever their dates.

    Args:
        rates: In any order.
    """

    def __init__(self, rates: Iterable[CurrencyRate] = ()) -> None:
        self._rates: dict[tuple[str, str], tuple[list[datetime], list[Decimal]]] = {}
        for rate in sorted(rates, key=lambda rate: rate.valid_from):
            moments, values = self._rates.setdefault((rate.from_currency, rate.to_currency), ([], []))
            moments.append(rate.valid_from)
            values.append(rate.rate)

    def convert(self, amount: Decimal, from_currency: str, to_currency: str, at: datetime) -> Decimal:
        """Return an amount in another currency, unrounded.

        The newest rate of the pair that holds at the moment; where there is none, the other direction's, inverted. No
        third currency is gone through.

        Raises:
            MissingExchangeRate: neither direction has a rate at the moment.
        """
        if from_currency == to_currency:
            return amount
        rate = self._in_force(from_currency, to_currency, at)
        if rate is not None:
            return _EXACT.multiply(amount, rate)
        inverse = self._in_force(to_currency, from_currency, at)
        if inverse is not None:
            return _EXACT.divide(amount, inverse)
        raise MissingExchangeRate(f"no exchange rate of {from_currency} and {to_currency} holds at {at.isoformat()}")

    def _in_force(self, from_currency: str, to_currency: str, at: datetime) -> Decimal | None:
        found = self._rates.get((from_currency, to_currency))
        if found is None:
            return None
        place = bisect_right(found[0], at)
        return found[1][place - 1] if place else None
