"""How values are shown."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from zoneinfo import ZoneInfo

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


class TestInputTime:
    """Times of filters, on the clock of who reads."""

    BERLIN = ZoneInfo("Europe/Berlin")

    @pytest.mark.parametrize(
        ("typed", "meant"),
        [
            ("2026-07-01T02:00", "2026-07-01T00:00"),
            ("2026-12-01T01:00", "2026-12-01T00:00"),
            ("2026-12-01", "2026-11-30T23:00"),
            ("2026-03-29T02:30", "2026-03-29T01:30"),  # left out: the clock goes from 2 to 3
            ("2026-10-25T02:30", "2026-10-25T00:30"),  # comes twice: the first
            ("2026-10-25T02:30+01:00", "2026-10-25T01:30"),  # the second
            ("2026-07-01T02:00Z", "2026-07-01T02:00"),
        ],
    )
    def test_time_is_read_on_the_clock_of_the_zone(self, typed: str, meant: str) -> None:
        found = formats.parse_input_time(typed, self.BERLIN)
        assert found == datetime.fromisoformat(meant).replace(tzinfo=UTC)

    @pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"])
    def test_every_moment_of_a_year_is_read_as_it_was_written(self, zone: str) -> None:
        moment, there = datetime(2026, 1, 1, tzinfo=UTC), ZoneInfo(zone)
        while moment.year == 2026:
            assert formats.parse_input_time(formats.input_time(moment, there), there) == moment
            moment += timedelta(minutes=15)

    def test_time_has_its_offset_only_where_it_comes_the_second_time(self) -> None:
        first = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
        assert formats.input_time(first, self.BERLIN) == "2026-10-25T02:30"
        assert formats.input_time(first + timedelta(hours=1), self.BERLIN) == "2026-10-25T02:30+01:00"
        assert formats.input_time(first) == "2026-10-25T00:30"
        assert formats.input_time(None) == ""

    @pytest.mark.parametrize("typed", ["", "x", "2026-02-30T00:00", "0001-01-01T00:00", "9999-12-31T23:59", "T", "\0"])
    def test_what_is_no_time_is_none(self, typed: str) -> None:
        for zone in ("UTC", "Asia/Tokyo", "America/Los_Angeles"):
            assert formats.parse_input_time(typed, ZoneInfo(zone)) is None


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
