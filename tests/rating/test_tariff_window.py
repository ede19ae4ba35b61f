"""Which rate a number gets when ratecards count at some times only."""

from datetime import UTC, datetime, time, timedelta

import pytest

from rating.tariff import Rate, Ratecard, Tariff
from rating.window import EVERY_DAY, Window
from tests.support.records import make_rate

NIGHT = Window(EVERY_DAY, time(22), time(6))
NOON = datetime(2026, 9, 1, 12, tzinfo=UTC)
MIDNIGHT = datetime(2026, 9, 2, tzinfo=UTC)


def tariff_of(*mappings: tuple[int, Rate, Window | None]) -> Tariff:
    """A tariff of (priority, the one rate of a ratecard, its window)."""
    tariff = Tariff(1, "retail", "EUR")
    for number, (priority, rate, window) in enumerate(mappings, 1):
        tariff.add(priority, Ratecard.of(number, [rate]), window)
    return tariff


def found(tariff: Tariff, number: str, at: datetime) -> int:
    """Id of the rate of a number; 0: none."""
    rate = tariff.find(number, at)
    return rate.id if rate is not None else 0


@pytest.mark.parametrize("turned", [False, True])
def test_better_priority_counts_at_night_when_its_window_is_the_night(turned: bool) -> None:
    mappings = [(1, make_rate(prefix="44", rate_id=1), NIGHT), (2, make_rate(prefix="44", rate_id=2), None)]
    tariff = tariff_of(*(mappings[::-1] if turned else mappings))
    assert (found(tariff, "442", NOON), found(tariff, "442", MIDNIGHT)) == (2, 1)


def test_longer_prefix_is_not_seen_when_its_window_is_shut() -> None:
    tariff = tariff_of((1, make_rate(prefix="4420", rate_id=1), NIGHT), (1, make_rate(prefix="44", rate_id=2), None))
    assert (found(tariff, "44207", NOON), found(tariff, "44207", MIDNIGHT)) == (2, 1)


def test_number_has_no_rate_when_every_window_is_shut() -> None:
    tariff = tariff_of((1, make_rate(prefix="44", rate_id=1), NIGHT))
    assert (found(tariff, "442", NOON), found(tariff, "442", MIDNIGHT)) == (0, 1)


def test_rate_changes_at_the_exact_moment_of_the_window() -> None:
    tariff = tariff_of((1, make_rate(rate_id=1), NIGHT), (2, make_rate(rate_id=2), None))
    begin, end, moment = datetime(2026, 9, 1, 22, tzinfo=UTC), datetime(2026, 9, 2, 6, tzinfo=UTC), timedelta(0, 0, 1)
    moments = (begin - moment, begin, end - moment, end)
    assert [found(tariff, "1", at) for at in moments] == [2, 1, 1, 2]
