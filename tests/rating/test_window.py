"""Days and hours on the clock of a zone, past midnight, past the week's end and across a change of the clock."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rating.window import EVERY_DAY, Window

SUNDAY, MONDAY, FRIDAY, SATURDAY = 0b1, 0b10, 0b100000, 0b1000000
FIRST = datetime(2026, 9, 6, tzinfo=UTC)
"""A Sunday."""


def at(day: int, hour: int, minute: int = 0) -> datetime:
    """A moment of the week that begins with FIRST."""
    return FIRST + timedelta(days=day, hours=hour, minutes=minute)


class TestHours:
    @pytest.mark.parametrize(
        ("hour", "minute", "is_open"), [(7, 59, False), (8, 0, True), (17, 59, True), (18, 0, False), (0, 0, False)]
    )
    def test_window_is_open_from_its_begin_until_before_its_end(self, hour: int, minute: int, is_open: bool) -> None:
        assert Window(EVERY_DAY, time(8), time(18)).is_open(at(3, hour, minute)) is is_open

    @pytest.mark.parametrize(
        ("hour", "minute", "is_open"), [(21, 59, False), (22, 0, True), (0, 0, True), (5, 59, True), (6, 0, False)]
    )
    def test_window_is_open_past_midnight_when_it_ends_earlier_than_it_begins(
        self, hour: int, minute: int, is_open: bool
    ) -> None:
        assert Window(EVERY_DAY, time(22), time(6)).is_open(at(3, hour, minute)) is is_open

    def test_window_ends_at_midnight_when_its_end_is_midnight(self) -> None:
        evening = Window(FRIDAY, time(18), time(0))
        assert evening.is_open(at(5, 23, 59))
        assert not evening.is_open(at(6, 0))
        assert not evening.is_open(at(5, 17, 59))


class TestDays:
    def test_window_is_open_on_its_days_only(self) -> None:
        weekend = Window(SUNDAY | SATURDAY)
        assert [weekend.is_open(at(day, 12)) for day in range(7)] == [True, *[False] * 5, True]
        assert weekend.is_open(at(0, 0))
        assert not weekend.is_open(at(1, 0))

    def test_night_belongs_to_the_day_on_which_it_began(self) -> None:
        night = Window(FRIDAY, time(22), time(6))
        assert night.is_open(at(5, 23))
        assert night.is_open(at(6, 3))
        assert not night.is_open(at(5, 3))
        assert not night.is_open(at(6, 23))

    def test_night_goes_on_into_the_next_week_when_it_began_on_saturday(self) -> None:
        night = Window(SATURDAY, time(22), time(6))
        assert night.is_open(at(6, 22))
        assert night.is_open(at(7, 5))
        assert not night.is_open(at(7, 6))
        assert not night.is_open(at(0, 22))

    def test_day_lasts_24_hours_from_its_begin_when_its_hours_are_equal(self) -> None:
        shift = Window(MONDAY, time(6), time(6))
        assert not shift.is_open(at(1, 5, 59))
        assert shift.is_open(at(1, 6))
        assert shift.is_open(at(2, 5, 59))
        assert not shift.is_open(at(2, 6))


class TestZone:
    def test_hours_and_days_are_those_of_the_zone(self) -> None:
        monday = Window.of(MONDAY, time(0), time(0), "Asia/Kolkata")
        assert monday is not None
        assert monday.is_open(at(0, 18, 30))
        assert not monday.is_open(at(0, 18, 29))
        assert not monday.is_open(at(1, 18, 30))

    def test_hour_that_the_clock_repeats_is_inside_twice(self) -> None:
        window = Window(EVERY_DAY, time(2), time(3), ZoneInfo("Europe/Berlin"))
        change = datetime(2026, 10, 25, 0, 0, tzinfo=UTC)
        assert [window.is_open(change + timedelta(minutes=30 * n)) for n in range(-1, 5)] == [False, *[True] * 4, False]

    def test_hour_that_the_clock_leaves_out_never_comes(self) -> None:
        window = Window(EVERY_DAY, time(2), time(3), ZoneInfo("Europe/Berlin"))
        change = datetime(2026, 3, 29, 1, 0, tzinfo=UTC)
        assert not any(window.is_open(change + timedelta(minutes=30 * n)) for n in range(-2, 4))

    def test_error_when_there_is_no_such_zone(self) -> None:
        with pytest.raises(ZoneInfoNotFoundError):
            Window.of(MONDAY, time(0), time(0), "Europe/Atlantis")


class TestNone:
    def test_there_is_no_window_when_it_would_be_open_at_all_times(self) -> None:
        assert Window.of(EVERY_DAY, time(0), time(0), "Europe/Berlin") is None
        assert Window.of(EVERY_DAY, time(6), time(6), "UTC") is None
        assert Window.of(EVERY_DAY, time(6), time(7), "UTC") == Window(EVERY_DAY, time(6), time(7))

    @given(st.times(), st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
    def test_window_of_every_day_and_equal_hours_is_always_open(self, hour: time, moment: datetime) -> None:
        assert Window(EVERY_DAY, hour, hour).is_open(moment)

    @given(
        st.integers(1, EVERY_DAY),
        st.times(),
        st.times(),
        st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    )
    def test_window_and_its_complement_share_no_moment(
        self, days: int, begin: time, end: time, moment: datetime
    ) -> None:
        if begin == end:
            return
        inside = Window(days, begin, end).is_open(moment)
        whole = Window(days, begin, begin).is_open(moment)
        assert whole or not inside
