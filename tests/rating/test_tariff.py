"""Which rate a number gets."""

from datetime import UTC, datetime, time, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rating.tariff import ALWAYS, FOREVER, Rate, Ratecard, Tariff
from rating.window import Window
from tests.support.records import make_rate

NOW = datetime(2026, 9, 1, tzinfo=UTC)
MOMENT = timedelta(microseconds=1)
YESTERDAY, TOMORROW = NOW - timedelta(days=1), NOW + timedelta(days=1)


def tariff_of(*ratecards: tuple[int, list[Rate]]) -> Tariff:
    """A tariff of (priority, rates)."""
    cards = [(priority, Ratecard.of(number, rates)) for number, (priority, rates) in enumerate(ratecards, 1)]
    return Tariff(1, "retail", "EUR", ratecards=cards)


def found(tariff: Tariff, number: str, at: datetime = NOW) -> int:
    """Id of the rate of a number; 0: none."""
    rate = tariff.find(number, at)
    return rate.id if rate is not None else 0


class TestPrefix:
    """docs/behaviour.md §6 "Rate choice": the longest prefix over all ratecards."""

    @pytest.mark.parametrize(
        ("number", "rate_id"),
        [("442079460000", 2), ("447700900000", 3), ("44", 2), ("4", 1), ("33", 1), ("", 1), ("4477", 3), ("447", 2)],
    )
    def test_number_gets_the_rate_of_its_longest_prefix(self, number: str, rate_id: int) -> None:
        rates = [make_rate(rate_id=1), make_rate(prefix="44", rate_id=2), make_rate(prefix="4477", rate_id=3)]
        assert found(tariff_of((1, rates)), number) == rate_id

    def test_longer_prefix_wins_when_its_ratecard_has_the_worse_priority(self) -> None:
        first = make_rate("0.01", "44", rate_id=1)
        second = make_rate("9", "4477", rate_id=2)
        assert found(tariff_of((1, [first]), (9, [second])), "447700900000") == 2
        assert found(tariff_of((9, [second]), (1, [first])), "447700900000") == 2

    def test_number_gets_no_rate_when_no_prefix_fits(self) -> None:
        assert found(tariff_of((1, [make_rate(prefix="44")])), "33") == 0
        assert found(tariff_of((1, [])), "33") == 0
        assert found(tariff_of(), "33") == 0

    def test_number_gets_the_rate_of_a_prefix_when_it_has_stars_and_hashes(self) -> None:
        assert found(tariff_of((1, [make_rate(prefix="*#1", rate_id=5)])), "*#12") == 5

    def test_blocked_rate_is_found_when_it_has_the_longest_prefix(self) -> None:
        rates = [make_rate(prefix="44", rate_id=1), make_rate(prefix="4477", rate_id=2, status="blocked")]
        assert found(tariff_of((1, rates)), "4477") == 2

    @given(
        st.sets(st.text("123", max_size=5), max_size=12),
        st.sets(st.text("123", max_size=5), max_size=12),
        st.text("123", max_size=7),
    )
    def test_number_gets_what_looking_at_every_rate_finds(self, one: set[str], other: set[str], number: str) -> None:
        cards = [
            (1, [make_rate(prefix=prefix, rate_id=n) for n, prefix in enumerate(sorted(one), 100)]),
            (2, [make_rate(prefix=prefix, rate_id=n) for n, prefix in enumerate(sorted(other), 200)]),
        ]
        fitting = [
            (len(rate.prefix), -priority, rate.id)
            for priority, rates in cards
            for rate in rates
            if number.startswith(rate.prefix)
        ]
        assert found(tariff_of(*cards), number) == (max(fitting)[2] if fitting else 0)


class TestPriority:
    """Among equal prefixes the mapping's priority."""

    @pytest.mark.parametrize("turned", [False, True])
    def test_better_priority_wins_when_the_other_is_newer_and_cheaper(self, turned: bool) -> None:
        better = make_rate("9", "44", rate_id=1)
        worse = make_rate("0.01", "44", rate_id=2, valid_from=YESTERDAY)
        cards = [(1, [better]), (2, [worse])]
        assert found(tariff_of(*(cards[::-1] if turned else cards)), "44") == 1

    def test_worse_priority_is_used_when_the_better_has_nothing_in_force(self) -> None:
        ended = make_rate(prefix="44", rate_id=1, valid_until=YESTERDAY)
        assert found(tariff_of((1, [ended]), (2, [make_rate(prefix="44", rate_id=2)])), "44") == 2


class TestNewest:
    """Then the newest in force, then the cheapest."""

    @pytest.mark.parametrize("turned", [False, True])
    def test_newest_in_force_wins_when_it_is_dearer(self, turned: bool) -> None:
        rates = [
            make_rate("0.01", "44", rate_id=1, valid_from=YESTERDAY),
            make_rate("9", "44", rate_id=2, valid_from=NOW),
            make_rate("0.001", "44", rate_id=3, valid_from=TOMORROW),
        ]
        assert found(tariff_of((1, rates[::-1] if turned else rates)), "44") == 2

    @pytest.mark.parametrize("turned", [False, True])
    def test_cheapest_wins_when_nothing_else_differs(self, turned: bool) -> None:
        cards = [(1, [make_rate("0.02", "44", rate_id=1)]), (1, [make_rate("0.01", "44", rate_id=2)])]
        assert found(tariff_of(*(cards[::-1] if turned else cards)), "44") == 2

    def test_newest_wins_when_ratecards_have_one_priority(self) -> None:
        old, new = make_rate("1", "44", rate_id=1), make_rate("2", "44", rate_id=2, valid_from=YESTERDAY)
        assert found(tariff_of((1, [old]), (1, [new])), "44") == 2
        assert found(tariff_of((1, [new]), (1, [old])), "44") == 2


class TestDates:
    @pytest.mark.parametrize(
        ("at", "rate_id"),
        [(NOW - MOMENT, 1), (NOW, 2), (NOW + MOMENT, 2), (TOMORROW - MOMENT, 2), (TOMORROW, 0)],
        ids=["a moment before", "at the change", "a moment after", "a moment before the end", "at the end"],
    )
    def test_rate_changes_at_the_exact_moment(self, at: datetime, rate_id: int) -> None:
        rates = [
            make_rate(prefix="44", rate_id=1, valid_until=NOW),
            make_rate(prefix="44", rate_id=2, valid_from=NOW, valid_until=TOMORROW),
        ]
        assert found(tariff_of((1, rates)), "442", at) == rate_id

    def test_new_rate_holds_from_its_moment_when_the_old_one_never_ends(self) -> None:
        tariff = tariff_of((1, [make_rate("1", "44", rate_id=1), make_rate("2", "44", rate_id=2, valid_from=NOW)]))
        assert (found(tariff, "44", NOW - MOMENT), found(tariff, "44", NOW)) == (1, 2)

    @pytest.mark.parametrize(
        "dated",
        [
            [make_rate(prefix="4477", rate_id=2, valid_from=TOMORROW)],
            [make_rate(prefix="4477", rate_id=2, valid_until=NOW)],
            [
                make_rate(prefix="4477", rate_id=2, valid_until=YESTERDAY),
                make_rate(prefix="4477", rate_id=3, valid_from=TOMORROW),
            ],
        ],
        ids=["not yet", "no more", "neither"],
    )
    def test_shorter_prefix_is_used_when_the_longer_is_not_in_force(self, dated: list[Rate]) -> None:
        tariff = tariff_of((1, [make_rate(prefix="44", rate_id=1), *dated]))
        assert found(tariff, "4477") == 1

    @pytest.mark.parametrize("at", [ALWAYS, NOW, FOREVER - MOMENT])
    def test_rate_without_dates_is_in_force_at_any_time(self, at: datetime) -> None:
        assert make_rate().is_in_force(at)


class TestWindow:
    """A ratecard counts within its days and hours only."""

    @pytest.mark.parametrize(("hour", "rate_id"), [(7, 1), (8, 2), (17, 2), (18, 1)])
    def test_ratecard_counts_when_its_window_is_open(self, hour: int, rate_id: int) -> None:
        tariff = tariff_of((1, [make_rate(prefix="44", rate_id=1)]))
        day = Window(hours_from=time(8), hours_until=time(18))
        tariff.add(9, Ratecard.of(2, [make_rate(prefix="4420", rate_id=2)]), day)
        assert found(tariff, "442079", NOW.replace(hour=hour)) == rate_id

    @pytest.mark.parametrize(("priority", "rate_id"), [(0, 2), (2, 1)])
    def test_open_ratecard_competes_by_its_priority(self, priority: int, rate_id: int) -> None:
        tariff = tariff_of((1, [make_rate(prefix="44", rate_id=1)]))
        tariff.add(priority, Ratecard.of(2, [make_rate(prefix="44", rate_id=2)]), Window())
        assert found(tariff, "442079") == rate_id

    def test_number_gets_no_rate_when_its_only_ratecard_is_not_open(self) -> None:
        tariff = tariff_of()
        tariff.add(1, Ratecard.of(1, [make_rate()]), Window(days=0))
        assert found(tariff, "44") == 0


class TestRatecard:
    def test_ratecard_gives_every_rate_in_force_of_the_longest_prefix(self) -> None:
        rates = [
            make_rate(prefix="4", rate_id=1),
            make_rate(prefix="44", rate_id=2),
            make_rate(prefix="44", rate_id=3, valid_from=YESTERDAY),
            make_rate(prefix="44", rate_id=4, valid_from=TOMORROW),
        ]
        assert [rate.id for rate in Ratecard.of(1, rates).find("441", NOW)] == [2, 3]

    def test_ratecard_gives_nothing_when_it_is_empty(self) -> None:
        assert Ratecard(1).find("44", NOW) == []

    def test_rate_has_the_defaults_of_the_database(self) -> None:
        rate = Rate(1, "44", Decimal(1))
        assert (rate.minimum, rate.resolution, rate.grace) == (1, 1, 0)
        assert [rate.connection_charge, rate.multiplier, rate.addition] == [Decimal(0), Decimal(1), Decimal(0)]
        assert (rate.blocks_mode, rate.status) == ("from_zero", "active")
