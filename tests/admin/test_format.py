"""How values are shown."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from admin import format as formats
from admin import signalling
from b2bua.call.disposition import REFUSALS, carrier_failure


@pytest.mark.parametrize(
    ("amount", "currency", "decimals", "shown"),
    [
        (Decimal("-1234.56"), "EUR", 4, "−1,234.5600 EUR"),
        (Decimal("0"), "USD", 2, "0.00 USD"),
        (Decimal("-0.004"), "USD", 2, "0.00 USD"),
        (Decimal("2.5"), "JPY", 0, "3 JPY"),
        (None, "EUR", 4, "–"),
        (Decimal(1), None, 4, "–"),
    ],
)
def test_money_is_shown_with_its_currency(
    amount: Decimal | None, currency: str | None, decimals: int, shown: str
) -> None:
    assert formats.money(amount, currency, decimals) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0:00"), (184.9, "3:04"), (3599, "59:59"), (3729, "1:02:09"), (None, "–")]
)
def test_duration_has_hours_from_one_hour_on(seconds: float | None, shown: str) -> None:
    assert formats.duration(seconds) == shown


def test_time_has_the_year_when_it_is_not_this_one() -> None:
    now = datetime(2026, 11, 23, 12, tzinfo=UTC)
    assert formats.clock(datetime(2026, 11, 23, 2, 14, 7, tzinfo=UTC), now) == "23 Nov 02:14:07"
    assert formats.clock(datetime(2025, 11, 3, 2, 14, 7, tzinfo=UTC), now) == "3 Nov 2025 02:14:07"
    east = timezone(timedelta(hours=2))
    assert 'datetime="2026-11-23T02:14:07.000+00:00"' in formats.time(
        datetime(2026, 11, 23, 4, 14, 7, tzinfo=east), now
    )


def test_share_of_nothing_is_unknown() -> None:
    assert formats.share(579, 1000) == "57.9 %"
    assert formats.share(0, 0) == "–"


def test_number_of_rows_is_exact_below_the_limit() -> None:
    assert formats.total(9999, 10_000) == "9,999"
    assert formats.total(10_000, 10_000) == "more than 9,999"


def test_codes_are_never_bare() -> None:
    assert signalling.sip_result(503) == "503 Service Unavailable"
    assert signalling.sip_result(799) == "799"
    assert signalling.q850_cause(34) == "Q.850 34 no circuit"
    assert signalling.q850_cause(None) == ""
    assert signalling.explain("UNHEARD_OF") == ""


def test_every_code_that_the_switch_gives_is_explained() -> None:
    assert set(REFUSALS) <= set(signalling.CODES)
    for status in range(400, 700):
        assert signalling.explain(carrier_failure(status, None, "").code)
