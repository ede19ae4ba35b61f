"""The charge of a call: `python -m benchmarks.rating`."""

from decimal import Decimal

from benchmarks.timing import microseconds, report
from rating.charge import Billing, charge
from rating.tariff import Rate


def main() -> None:
    """Run the benchmark."""
    rate = Rate(1, "44", Decimal("0.0612500000"), Decimal("0.01"), 30, 6)
    plain, taxed = Billing(), Billing(tax_percents=(Decimal(5), Decimal("7.5"), Decimal(1)))
    report("charge without tax", microseconds(lambda: charge(61, rate, plain)), 10)
    report("charge with three taxes", microseconds(lambda: charge(61, rate, taxed)), 10)


if __name__ == "__main__":
    main()
