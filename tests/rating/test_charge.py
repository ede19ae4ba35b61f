"""Prices of calls: a table whose results were worked out by hand, and laws that hold for every price."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal, localcontext
from fractions import Fraction
from math import ceil, floor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import rating
from rating.charge import Billing, Charge, billed_seconds, charge, split, unrounded
from rating.tariff import Rate
from tests.support.records import make_billing, make_rate


@dataclass(frozen=True)
class Call:
    """One rated call; amounts are text, so that the number of decimals counts too."""

    name: str
    seconds: int
    rate: Rate
    billing: Billing
    billed: int
    net: str
    taxes: tuple[str, ...]
    gross: str


# Worked out with whole numbers: rate × billed seconds × multiplier / 60 + addition + connection charge, then the tax.
# name | seconds | rate per minute, its other fields | billing | billed seconds | net | taxes | gross
TABLE = """
1 s of 30/7 from zero | 1 | 0.6 minimum=30 resolution=7 | | 30 | 0.3000 | | 0.3000
29 s of 30/7 from zero | 29 | 0.6 minimum=30 resolution=7 | | 30 | 0.3000 | | 0.3000
30 s of 30/7 from zero | 30 | 0.6 minimum=30 resolution=7 | | 35 | 0.3500 | | 0.3500
31 s of 30/7 from zero | 31 | 0.6 minimum=30 resolution=7 | | 35 | 0.3500 | | 0.3500
35 s of 30/7 from zero | 35 | 0.6 minimum=30 resolution=7 | | 35 | 0.3500 | | 0.3500
36 s of 30/7 from zero | 36 | 0.6 minimum=30 resolution=7 | | 42 | 0.4200 | | 0.4200
42 s of 30/7 from zero | 42 | 0.6 minimum=30 resolution=7 | | 42 | 0.4200 | | 0.4200
43 s of 30/7 from zero | 43 | 0.6 minimum=30 resolution=7 | | 49 | 0.4900 | | 0.4900
1 s of 30/7 after minimum | 1 | 0.6 minimum=30 resolution=7 mode=after_minimum | | 30 | 0.3000 | | 0.3000
29 s of 30/7 after minimum | 29 | 0.6 minimum=30 resolution=7 mode=after_minimum | | 30 | 0.3000 | | 0.3000
30 s of 30/7 after minimum | 30 | 0.6 minimum=30 resolution=7 mode=after_minimum | | 30 | 0.3000 | | 0.3000
31 s of 30/7 after minimum | 31 | 0.6 minimum=30 resolution=7 mode=after_minimum | | 37 | 0.3700 | | 0.3700
37 s of 30/7 after minimum | 37 | 0.6 minimum=30 resolution=7 mode=after_minimum | | 37 | 0.3700 | | 0.3700
38 s of 30/7 after minimum | 38 | 0.6 minimum=30 resolution=7 mode=after_minimum | | 44 | 0.4400 | | 0.4400
44 s of 30/7 after minimum | 44 | 0.6 minimum=30 resolution=7 mode=after_minimum | | 44 | 0.4400 | | 0.4400
45 s of 30/7 after minimum | 45 | 0.6 minimum=30 resolution=7 mode=after_minimum | | 51 | 0.5100 | | 0.5100
1 s of 60/60 | 1 | 0.12 minimum=60 resolution=60 | | 60 | 0.1200 | | 0.1200
60 s of 60/60 | 60 | 0.12 minimum=60 resolution=60 | | 60 | 0.1200 | | 0.1200
61 s of 60/60 | 61 | 0.12 minimum=60 resolution=60 | | 120 | 0.2400 | | 0.2400
61 s of 60/60 after minimum | 61 | 0.12 minimum=60 resolution=60 mode=after_minimum | | 120 | 0.2400 | | 0.2400
61 s of 60/6 after minimum | 61 | 0.6 minimum=60 resolution=6 mode=after_minimum | | 66 | 0.6600 | | 0.6600
61 s of 60/6 from zero | 61 | 0.6 minimum=60 resolution=6 | | 66 | 0.6600 | | 0.6600
59 s of 60/1 | 59 | 0.6 minimum=60 | | 60 | 0.6000 | | 0.6000
61 s of 60/1 | 61 | 0.6 minimum=60 | | 61 | 0.6100 | | 0.6100
0 s with a minimum | 0 | 0.6 minimum=30 resolution=6 | | 30 | 0.3000 | | 0.3000
0 s without a minimum | 0 | 0.6 minimum=0 | | 0 | 0.0000 | | 0.0000
0 s without a minimum, connected | 0 | 0.6 minimum=0 connection=0.02 | | 0 | 0.0200 | | 0.0200
1 s without a minimum in minutes | 1 | 0.6 minimum=0 resolution=60 | | 60 | 0.6000 | | 0.6000
1 s in minutes after no minimum | 1 | 0.6 minimum=0 resolution=60 mode=after_minimum | | 60 | 0.6000 | | 0.6000
grace: shorter | 4 | 0.6 minimum=30 grace=5 | | 0 | 0.0000 | | 0.0000
grace: as long | 5 | 0.6 minimum=30 grace=5 | | 30 | 0.3000 | | 0.3000
grace: connection is free too | 4 | 0.6 connection=0.5 addition=0.1 grace=5 | | 0 | 0.0000 | | 0.0000
grace: connection is due | 5 | 0.6 connection=0.5 addition=0.1 grace=5 | | 5 | 0.6500 | | 0.6500
grace: nothing is taxed | 2 | 0.6 grace=3 | decimals=2 taxes=10,5 | 0 | 0.00 | 0.00 0.00 | 0.00
grace: a second short of a minute | 59 | 0.6 minimum=60 resolution=60 grace=60 | | 0 | 0.0000 | | 0.0000
grace: a minute | 60 | 0.6 minimum=60 resolution=60 grace=60 | | 60 | 0.6000 | | 0.6000
grace: one second is longer than none | 1 | 0.6 grace=1 | | 1 | 0.0100 | | 0.0100
grace: zero seconds | 0 | 0.6 grace=1 | | 0 | 0.0000 | | 0.0000
multiplier | 60 | 0.1 multiplier=1.5 | | 60 | 0.1500 | | 0.1500
multiplier below one | 90 | 0.1 multiplier=0.5 | | 90 | 0.0750 | | 0.0750
multiplier of zero leaves the connection | 60 | 0.1 multiplier=0 connection=0.03 | | 60 | 0.0300 | | 0.0300
addition once | 120 | 0.1 addition=0.05 | | 120 | 0.2500 | | 0.2500
addition is not multiplied | 60 | 0.1 multiplier=2 addition=0.05 | | 60 | 0.2500 | | 0.2500
connection is not multiplied | 60 | 0.1 multiplier=2 connection=0.03 | | 60 | 0.2300 | | 0.2300
all of them | 90 | 0.1 multiplier=1.5 addition=0.05 connection=0.03 | | 90 | 0.3050 | | 0.3050
all, blocks | 91 | 0.1 multiplier=1.5 addition=0.05 connection=0.03 minimum=30 resolution=30 | | 120 | 0.3800 | | 0.3800
rounded once, not per part | 20 | 0.0001 connection=0.00003 addition=0.00003 | | 20 | 0.0001 | | 0.0001
long factors | 7 | 0.0123456789 multiplier=1.0000000001 | decimals=10 | 7 | 0.0014403292 | | 0.0014403292
a third of a cent, ROUND 0 | 1 | 0.2 | decimals=0 | 1 | 0 | | 0
a third of a cent, ROUND 2 | 1 | 0.2 | decimals=2 | 1 | 0.00 | | 0.00
a third of a cent, ROUND 4 | 1 | 0.2 | decimals=4 | 1 | 0.0033 | | 0.0033
a third of a cent, ROUND 6 | 1 | 0.2 | decimals=6 | 1 | 0.003333 | | 0.003333
a third of a cent, ROUND 10 | 1 | 0.2 | decimals=10 | 1 | 0.0033333333 | | 0.0033333333
a third of a cent, CEIL 0 | 1 | 0.2 | decimals=0 rounding=CEIL | 1 | 1 | | 1
a third of a cent, CEIL 2 | 1 | 0.2 | decimals=2 rounding=CEIL | 1 | 0.01 | | 0.01
a third of a cent, CEIL 4 | 1 | 0.2 | decimals=4 rounding=CEIL | 1 | 0.0034 | | 0.0034
a third of a cent, CEIL 6 | 1 | 0.2 | decimals=6 rounding=CEIL | 1 | 0.003334 | | 0.003334
a third of a cent, CEIL 10 | 1 | 0.2 | decimals=10 rounding=CEIL | 1 | 0.0033333334 | | 0.0033333334
7 minutes and 7 s at 0.0135, ROUND 0 | 427 | 0.0135 | decimals=0 | 427 | 0 | | 0
7 minutes and 7 s at 0.0135, ROUND 2 | 427 | 0.0135 | decimals=2 | 427 | 0.10 | | 0.10
7 minutes and 7 s at 0.0135, ROUND 4 | 427 | 0.0135 | decimals=4 | 427 | 0.0961 | | 0.0961
7 minutes and 7 s at 0.0135, ROUND 6 | 427 | 0.0135 | decimals=6 | 427 | 0.096075 | | 0.096075
7 minutes and 7 s at 0.0135, ROUND 10 | 427 | 0.0135 | decimals=10 | 427 | 0.0960750000 | | 0.0960750000
7 minutes and 7 s at 0.0135, CEIL 0 | 427 | 0.0135 | decimals=0 rounding=CEIL | 427 | 1 | | 1
7 minutes and 7 s at 0.0135, CEIL 2 | 427 | 0.0135 | decimals=2 rounding=CEIL | 427 | 0.10 | | 0.10
7 minutes and 7 s at 0.0135, CEIL 4 | 427 | 0.0135 | decimals=4 rounding=CEIL | 427 | 0.0961 | | 0.0961
7 minutes and 7 s at 0.0135, CEIL 6 | 427 | 0.0135 | decimals=6 rounding=CEIL | 427 | 0.096075 | | 0.096075
7 minutes and 7 s at 0.0135, CEIL 10 | 427 | 0.0135 | decimals=10 rounding=CEIL | 427 | 0.0960750000 | | 0.0960750000
0.07 for a minute stays 0.07 | 60 | 0.07 | rounding=CEIL | 60 | 0.0700 | | 0.0700
0.07 for two minutes stays 0.14 | 120 | 0.07 | rounding=CEIL | 120 | 0.1400 | | 0.1400
0.07 for a second goes up | 1 | 0.07 | rounding=CEIL | 1 | 0.0012 | | 0.0012
a half goes up | 30 | 0.05 | decimals=2 | 30 | 0.03 | | 0.03
a half goes up from odd | 30 | 0.07 | decimals=2 | 30 | 0.04 | | 0.04
below a half goes down | 29 | 0.05 | decimals=2 | 29 | 0.02 | | 0.02
2.5 goes to 3 | 60 | 2.5 | decimals=0 | 60 | 3 | | 3
an exact price is not moved by CEIL | 60 | 3 | decimals=0 rounding=CEIL | 60 | 3 | | 3
the least rate, CEIL | 1 | 0.0000000001 | decimals=10 rounding=CEIL | 1 | 0.0000000001 | | 0.0000000001
the least rate, ROUND | 1 | 0.0000000001 | decimals=10 | 1 | 0.0000000000 | | 0.0000000000
one tax | 60 | 1 | decimals=2 taxes=20 | 60 | 1.00 | 0.20 | 1.20
one tax inclusive | 60 | 1 | decimals=2 taxes=20 inclusive=True | 60 | 0.83 | 0.17 | 1.00
three equal taxes | 60 | 10 | decimals=2 taxes=5,5,5 | 60 | 10.00 | 0.50 0.50 0.50 | 11.50
three equal taxes that do not divide | 60 | 0.1 | decimals=2 taxes=7,7,7 | 60 | 0.10 | 0.01 0.01 0.00 | 0.12
three taxes of one cent | 60 | 0.05 | decimals=2 taxes=5,5,10 | 60 | 0.05 | 0.00 0.00 0.01 | 0.06
largest remainder is last | 60 | 1 | decimals=2 taxes=1.2,1.3,1.8 | 60 | 1.00 | 0.01 0.01 0.02 | 1.04
equal remainders | 60 | 166666666 | decimals=0 taxes=20,20,0.0044 | 60 | 166666666 | 33333334 33333333 7333 | 233340666
largest remainder is in the middle | 60 | 1 | decimals=2 taxes=2.1,3.7,1.3 | 60 | 1.00 | 0.02 0.04 0.01 | 1.07
three taxes, fine | 60 | 1 | decimals=4 taxes=10,5,2.5 | 60 | 1.0000 | 0.1000 0.0500 0.0250 | 1.1750
three inclusive, fine | 60 | 1 | decimals=4 taxes=10,5,2.5 inclusive=True | 60 | 0.8511 | 0.0851 0.0425 0.0213 | 1.0000
three taxes inclusive | 60 | 1 | decimals=2 taxes=10,5,2.5 inclusive=True | 60 | 0.85 | 0.09 0.04 0.02 | 1.00
three equal taxes inclusive | 60 | 1 | decimals=2 taxes=7,7,7 inclusive=True | 60 | 0.83 | 0.06 0.06 0.05 | 1.00
three taxes inclusive of 0.01 | 60 | 0.01 | decimals=2 taxes=10,10,10 inclusive=True | 60 | 0.01 | 0.00 0.00 0.00 | 0.01
a tax of zero takes nothing | 60 | 1 | decimals=2 taxes=0,19,0 | 60 | 1.00 | 0.00 0.19 0.00 | 1.19
only zero taxes | 60 | 1 | decimals=2 taxes=0,0 | 60 | 1.00 | 0.00 0.00 | 1.00
tax goes half up though the price is CEIL | 1 | 0.9 | decimals=2 taxes=10 rounding=CEIL | 1 | 0.02 | 0.00 | 0.02
tax of a half goes up | 60 | 0.05 | decimals=2 taxes=10 | 60 | 0.05 | 0.01 | 0.06
tax below a half goes down | 60 | 0.04 | decimals=2 taxes=10 | 60 | 0.04 | 0.00 | 0.04
inclusive and CEIL | 1 | 1 | decimals=2 taxes=19 inclusive=True rounding=CEIL | 1 | 0.02 | 0.00 | 0.02
whole units, three taxes | 60 | 33 | decimals=0 taxes=9,9,9 | 60 | 33 | 3 3 3 | 42
whole units, three taxes inclusive | 60 | 42 | decimals=0 taxes=9,9,9 inclusive=True | 60 | 33 | 3 3 3 | 42
fine percents | 60 | 0.0123 | decimals=8 taxes=7.3333,1.6667 | 60 | 0.01230000 | 0.00090200 0.00020500 | 0.01340700
fine inclusive | 83 | 0.0123 | decimals=4 taxes=7.3333,1.6667 inclusive=True | 83 | 0.0156 | 0.0011 0.0003 | 0.0170
a rate of zero | 60 | 0 | | 60 | 0.0000 | | 0.0000
a rate of zero, CEIL | 3600 | 0 | rounding=CEIL | 3600 | 0.0000 | | 0.0000
a rate of zero with connection | 60 | 0 connection=0.02 | decimals=2 taxes=20 | 60 | 0.02 | 0.00 | 0.02
one second | 1 | 0.06 | | 1 | 0.0010 | | 0.0010
two hours | 7200 | 0.0135 | | 7200 | 1.6200 | | 1.6200
two hours and a second in minutes | 7201 | 0.0135 minimum=60 resolution=60 | | 7260 | 1.6335 | | 1.6335
the dearest | 7200 | 9999999999.9999999999 | decimals=10 | 7200 | 1199999999999.9999999880 | | 1199999999999.9999999880
"""


def read_line(line: str) -> Call:
    """A line of the table."""
    name, duration, rate, billing, billed, net, taxes, gross = (part.strip() for part in line.split("|"))
    per_minute, *fields = rate.split()
    options: dict[str, Any] = {}
    for key, _, value in (part.partition("=") for part in [*fields, *billing.split()]):
        options[key] = int(value) if key in ("minimum", "resolution", "grace", "decimals") else value
    of_billing = {key: options.pop(key) for key in ("decimals", "rounding") if key in options}
    percents, inclusive = options.pop("taxes", ""), options.pop("inclusive", "")
    return Call(
        name,
        int(duration),
        make_rate(per_minute, **options),
        make_billing(taxes=percents.split(",") if percents else (), inclusive=inclusive == "True", **of_billing),
        int(billed),
        net,
        tuple(taxes.split()),
        gross,
    )


CALLS = [read_line(line) for line in TABLE.strip().splitlines()]


class TestTable:
    """docs/behaviour.md §6."""

    @pytest.mark.parametrize("call", CALLS, ids=lambda call: call.name)
    def test_call_costs_what_was_worked_out(self, call: Call) -> None:
        price = charge(call.seconds, call.rate, call.billing)
        assert price.billed_seconds == call.billed
        assert (f"{price.net:f}", tuple(f"{tax:f}" for tax in price.taxes), f"{price.gross:f}") == (
            call.net,
            call.taxes,
            call.gross,
        )
        assert price.tax == sum((Decimal(tax) for tax in call.taxes), Decimal(0))

    def test_table_has_each_case_once(self) -> None:
        assert len({call.name for call in CALLS}) == len(CALLS) >= 60

    @pytest.mark.parametrize(
        ("inclusive", "net", "taxes", "gross"),
        [
            (
                False,
                "11999998800000000119.8800000120",
                ["1199999880000000011.9880000012", "599999940000000005.9940000006", "299999970000000002.9970000003"],
                "14099998590000000140.8590000141",
            ),
            (
                True,
                "10212764936170212867.9829787336",
                ["1021276493617021286.7982978734", "510638246808510643.3991489367", "255319123404255321.6995744683"],
                "11999998800000000119.8800000120",
            ),
        ],
        ids=["exclusive", "inclusive"],
    )
    def test_call_costs_every_digit_when_they_are_more_than_decimal_keeps_by_itself(
        self, inclusive: bool, net: str, taxes: list[str], gross: str
    ) -> None:
        rate = make_rate("9999999999.9999999999", multiplier="9999999.0000000001")
        price = charge(7200, rate, make_billing(decimals=10, taxes=("10", "5", "2.5"), inclusive=inclusive))
        assert [str(price.net), [str(tax) for tax in price.taxes], str(price.gross)] == [net, taxes, gross]

    def test_call_costs_the_same_when_the_thread_has_a_narrow_context(self) -> None:
        with localcontext() as context:
            context.prec = 3
            for call in CALLS:
                price = charge(call.seconds, call.rate, call.billing)
                assert (f"{price.net:f}", f"{price.gross:f}") == (call.net, call.gross), call.name


# Laws


def decimals(integer_digits: int, places: int) -> st.SearchStrategy[Decimal]:
    return st.integers(0, 10 ** (integer_digits + places) - 1).map(lambda units: Decimal(units).scaleb(-places))


per_minute = decimals(2, 4) | decimals(10, 10)
"""What people write, and all that numeric(20, 10) holds."""
rates = st.builds(
    Rate,
    id=st.just(1),
    prefix=st.just(""),
    rate_per_minute=per_minute,
    connection_charge=st.just(Decimal(0)) | per_minute,
    minimum=st.integers(0, 120),
    resolution=st.integers(1, 120),
    blocks_mode=st.sampled_from(["from_zero", "after_minimum"]),
    grace=st.integers(0, 10),
    multiplier=st.just(Decimal(1)) | decimals(2, 4) | decimals(10, 10),
    addition=st.just(Decimal(0)) | per_minute,
)
billings = st.builds(
    Billing,
    decimals=st.integers(0, 10),
    rounding=st.sampled_from(["ROUND", "CEIL"]),
    tax_percents=st.lists(st.sampled_from([Decimal(0), Decimal(20)]) | decimals(3, 4), max_size=3).map(tuple),
    tax_inclusive=st.booleans(),
)
seconds = st.integers(0, 300) | st.integers(0, 100_000)


def whole(amount: Fraction, rounding: str) -> int:
    return ceil(amount) if rounding == "CEIL" else floor(amount + Fraction(1, 2))


def blocks(duration: int, rate: Rate) -> int:
    if rate.blocks_mode == "after_minimum":
        return rate.minimum + max(0, ceil(Fraction(duration - rate.minimum, rate.resolution))) * rate.resolution
    return rate.minimum if duration < rate.minimum else ceil(Fraction(duration, rate.resolution)) * rate.resolution


def by_fractions(duration: int, rate: Rate, billing: Billing) -> tuple[int, Fraction, list[Fraction], Fraction]:
    """Billed seconds, net, taxes and gross, worked out in whole quanta with fractions."""
    percents = [Fraction(percent) for percent in billing.tax_percents]
    if duration < rate.grace:
        return 0, Fraction(0), [Fraction(0)] * len(percents), Fraction(0)
    billed, scale = blocks(duration, rate), 10**billing.decimals
    once = Fraction(rate.addition) + Fraction(rate.connection_charge)
    price = Fraction(rate.rate_per_minute) * billed * Fraction(rate.multiplier) / 60 + once
    amount = whole(price * scale, billing.rounding)
    total = sum(percents, Fraction(0))
    if billing.tax_inclusive:
        net = whole(amount * 100 / (100 + total), "ROUND")
        tax = amount - net
    else:
        net = amount
        tax = whole(amount * total / 100, "ROUND")
    shares = [tax * percent / total for percent in percents] if total else [Fraction(0)] * len(percents)
    parts = [floor(share) for share in shares]
    remainders = sorted((parts[index] - shares[index], index) for index in range(len(parts)))
    for _, index in remainders[: tax - sum(parts)]:
        parts[index] += 1
    return billed, Fraction(net, scale), [Fraction(part, scale) for part in parts], Fraction(net + tax, scale)


def amounts(price: Charge) -> Iterator[Decimal]:
    yield price.net
    yield from price.taxes
    yield price.gross


class TestLaws:
    @given(seconds, rates, billings)
    def test_charge_equals_the_same_price_in_fractions(self, duration: int, rate: Rate, billing: Billing) -> None:
        price = charge(duration, rate, billing)
        billed, net, taxes, gross = by_fractions(duration, rate, billing)
        assert price.billed_seconds == billed
        assert Fraction(price.net) == net
        assert [Fraction(tax) for tax in price.taxes] == taxes
        assert Fraction(price.gross) == gross

    @given(seconds, rates, billings)
    def test_charge_is_never_negative(self, duration: int, rate: Rate, billing: Billing) -> None:
        price = charge(duration, rate, billing)
        assert min(amounts(price)) >= 0
        assert price.tax >= 0

    @given(seconds, seconds, rates, billings)
    def test_charge_never_falls_when_the_call_is_longer(
        self, one: int, other: int, rate: Rate, billing: Billing
    ) -> None:
        shorter = charge(min(one, other), rate, billing)
        longer = charge(max(one, other), rate, billing)
        assert shorter.billed_seconds <= longer.billed_seconds
        assert shorter.net <= longer.net
        assert shorter.gross <= longer.gross

    @given(seconds, rates, billings)
    def test_parts_add_up_to_the_whole(self, duration: int, rate: Rate, billing: Billing) -> None:
        price = charge(duration, rate, billing)
        assert Fraction(price.net) + sum(map(Fraction, price.taxes)) == Fraction(price.gross)
        assert Fraction(price.tax) == sum(map(Fraction, price.taxes))
        assert len(price.taxes) == len(billing.tax_percents)

    @given(seconds, rates, billings)
    def test_amounts_have_the_decimals_of_the_account(self, duration: int, rate: Rate, billing: Billing) -> None:
        price = charge(duration, rate, billing)
        assert {amount.as_tuple().exponent for amount in amounts(price)} == {-billing.decimals}

    @given(seconds, rates)
    def test_call_is_billed_at_least_its_length_in_less_than_a_block_more(self, duration: int, rate: Rate) -> None:
        assume(duration >= rate.grace)
        billed = billed_seconds(duration, rate)
        assert billed >= max(duration, rate.minimum)
        assert billed < max(duration, rate.minimum) + rate.resolution

    @given(st.integers(0, 20_000), rates)
    def test_unrounded_price_is_exact_to_a_hundred_digits(self, billed: int, rate: Rate) -> None:
        once = Fraction(rate.addition) + Fraction(rate.connection_charge)
        exact = Fraction(rate.rate_per_minute) * billed * Fraction(rate.multiplier) / 60 + once
        assert abs(Fraction(unrounded(billed, rate)) - exact) <= exact * Fraction(1, 10**100)

    @given(st.integers(0, 10**30), st.lists(decimals(3, 4), min_size=1, max_size=3))
    def test_split_takes_nothing_and_adds_nothing(self, units: int, weights: list[Decimal]) -> None:
        amount, quantum = Decimal(units).scaleb(-10), Decimal(1).scaleb(-10)
        assume(sum(weights) > 0)
        parts = split(amount, weights, quantum)
        assert sum(map(Fraction, parts)) == Fraction(amount)
        for part, weight in zip(parts, weights, strict=True):
            share = Fraction(amount) * Fraction(weight) / sum(map(Fraction, weights))
            assert abs(Fraction(part) - share) < Fraction(quantum)


# Seconds to wait and parts of a progress bar are floats, and a sheet's numbers come as such; no price is made there.
WITH_FLOATS = {"deck_export.py", "deck_file.py", "deck_import.py"}
MODULES = sorted(path for path in Path(rating.__path__[0]).glob("*.py") if path.name not in WITH_FLOATS)


class TestNoFloat:
    @pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
    def test_module_has_no_float(self, path: Path) -> None:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            where = f"{path.name}:{getattr(node, 'lineno', 0)}"
            assert not (isinstance(node, ast.Constant) and isinstance(node.value, float)), where
            assert not (isinstance(node, ast.Name) and node.id == "float"), where
            assert not (isinstance(node, ast.Attribute) and node.attr in ("from_float", "to_float")), where

    @pytest.mark.parametrize(
        "rate",
        [
            Rate(1, "", 0.07),  # type: ignore[arg-type]
            Rate(1, "", Decimal(1), connection_charge=0.07),  # type: ignore[arg-type]
            Rate(1, "", Decimal(1), addition=0.07),  # type: ignore[arg-type]
            Rate(1, "", Decimal(1), multiplier=1.5),  # type: ignore[arg-type]
        ],
        ids=["rate", "connection charge", "addition", "multiplier"],
    )
    def test_charge_refuses_a_rate_when_it_holds_a_float(self, rate: Rate) -> None:
        with pytest.raises(TypeError):
            charge(60, rate, make_billing())

    def test_charge_refuses_a_tax_when_it_is_a_float(self) -> None:
        with pytest.raises(TypeError):
            charge(60, make_rate(), Billing(tax_percents=(19.0,)))  # type: ignore[arg-type]
