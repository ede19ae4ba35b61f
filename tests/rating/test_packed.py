"""Ratecards in files find what ordinary ones find."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rating.packed import OverlaidRatecard, PackedRatecard, RatecardPacker, RateRow, forget_rates, write_ratecard
from rating.tariff import ALWAYS, FOREVER, Rate, Ratecard

NOW = datetime(2026, 9, 1, tzinfo=UTC)
DAY = timedelta(days=1)
MOMENTS = [ALWAYS, NOW - DAY, NOW, NOW + DAY, FOREVER]

PREFIXES = st.one_of(
    st.text("01*#", max_size=4),
    st.text("0123456789*#", max_size=8),
    # As long as the packed number of a prefix, and longer.
    st.text("19", max_size=4).map(lambda end: "0" * 14 + end),
)
NUMBERS = st.one_of(PREFIXES, st.tuples(PREFIXES, st.text("019*#+aé ", max_size=6)).map("".join))
TIMES = (
    st.sampled_from(MOMENTS)
    .flatmap(
        lambda since: st.tuples(
            st.just(since), st.sampled_from([each for each in MOMENTS if each > since] or [FOREVER])
        )
    )
    .filter(lambda pair: pair[0] < pair[1])
)
AMOUNTS = st.sampled_from(["0.0000000001", "9999999999.9999999999", "1.0000000000", "0.0312500000"])


@st.composite
def rate_rows(draw: st.DrawFn) -> RateRow:
    since, until = draw(TIMES)
    return RateRow(
        0,
        draw(PREFIXES),
        draw(AMOUNTS),
        draw(AMOUNTS),
        draw(st.integers(0, 2**31 - 1)),
        draw(st.integers(1, 2**31 - 1)),
        draw(st.sampled_from(["from_zero", "after_minimum"])),
        draw(st.integers(0, 2**31 - 1)),
        draw(AMOUNTS),
        draw(AMOUNTS),
        draw(st.sampled_from(["active", "blocked"])),
        since,
        until,
        draw(st.sampled_from(["", "France", "Åland ☎"])),
    )


UNIQUE_ROWS = st.lists(rate_rows(), max_size=25, unique_by=lambda row: (row.prefix, row.valid_from)).map(
    lambda rows: {number: row._replace(id=number) for number, row in enumerate(rows, 1)}
)


def in_order(rates: list[Rate]) -> list[Rate]:
    return sorted(rates, key=lambda rate: rate.id)


def oracle(rows: dict[int, RateRow]) -> Ratecard:
    return Ratecard.of(1, (row.to_rate() for row in rows.values()))


def assert_same(card: Ratecard | PackedRatecard, rows: dict[int, RateRow], numbers: list[str]) -> None:
    """The card finds what an ordinary one of these rows finds."""
    plain = oracle(rows)
    for number in [*numbers, *(row.prefix for row in rows.values())]:
        for at in MOMENTS:
            assert in_order(card.find(number, at)) == in_order(plain.find(number, at)), (number, at)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("packed") / "card.pack"


def packed(path: Path, *rows: RateRow) -> PackedRatecard:
    write_ratecard(path, 1, 5, rows)
    return PackedRatecard(path)


class TestPackedRatecard:
    """A file finds the rates in force for the longest prefix of a number that has any."""

    @settings(deadline=None)
    @given(UNIQUE_ROWS, st.lists(NUMBERS, max_size=20))
    def test_finds_what_an_ordinary_one_finds(self, path: Path, rows: dict[int, RateRow], numbers: list[str]) -> None:
        assert_same(packed(path, *rows.values()), rows, numbers)

    def test_rate_is_the_same_to_the_last_digit_and_microsecond(self, path: Path) -> None:
        row = RateRow(
            2**62,
            "*44#",
            "0.0312345678",
            "9999999999.9999999999",
            30,
            6,
            "after_minimum",
            3,
            "1.5000000000",
            "0.2500000000",
            "blocked",
            NOW - timedelta(microseconds=1),
            NOW + timedelta(microseconds=1),
            "Åland",
        )
        (rate,) = packed(path, row).find("*44#1", NOW)
        assert rate == row.to_rate()
        assert str(rate.rate_per_minute) == "0.0312345678"
        assert str(rate.connection_charge) == "9999999999.9999999999"
        assert rate.valid_from == NOW - timedelta(microseconds=1)

    def test_infinities_of_the_database_are_always_and_for_ever(self, path: Path) -> None:
        row = RateRow(1, "44", "1", valid_from=datetime.min, valid_until=datetime.max)  # noqa: DTZ901 - as they come
        (rate,) = packed(path, row).find("44", NOW)
        assert rate == row.to_rate() == RateRow(1, "44", "1", valid_from=ALWAYS, valid_until=FOREVER).to_rate()

    def test_empty_ratecard_finds_nothing(self, path: Path) -> None:
        card = packed(path)
        assert (card.find("44", NOW), card.find("", NOW)) == ([], [])
        assert (card.head.key, card.head.revision, card.head.rows) == (1, 5, 0)

    def test_shorter_prefix_counts_when_no_rate_of_the_longer_is_in_force(self, path: Path) -> None:
        later = RateRow(2, "4420", "2", valid_from=NOW + DAY)
        card = packed(path, RateRow(1, "44", "1"), later, RateRow(3, "4419", "3"))
        assert [rate.id for rate in card.find("44207", NOW)] == [1]
        assert [rate.id for rate in card.find("44207", NOW + DAY)] == [2]

    def test_hidden_rates_do_not_count(self, path: Path) -> None:
        card = packed(path, RateRow(1, "44", "1"), RateRow(2, "4420", "2"), RateRow(3, "4420", "3", valid_from=NOW))
        assert [rate.id for rate in card.find("44207", NOW, {3})] == [2]
        assert [rate.id for rate in card.find("44207", NOW, {2, 3})] == [1]
        assert card.find("44207", NOW, {1, 2, 3}) == []

    def test_prefixes_of_the_same_first_characters_are_told_apart(self, path: Path) -> None:
        start = "1234567890123456"
        rows = {n: RateRow(n, start + end, "1") for n, end in enumerate(("", "0", "01", "1", "19", "*"), 1)}
        card = packed(path, *rows.values())
        for end in ("", "0", "00", "01", "011", "02", "1", "18", "19", "190", "*", "#", "2"):
            assert_same(card, rows, [start + end])
        assert card.find(start[:-1], NOW) == []

    def test_rows_must_come_in_order(self) -> None:
        packer = RatecardPacker()
        packer.add(RateRow(1, "44", "1"))
        with pytest.raises(ValueError, match=r"prefix '43' comes after '44'"):
            packer.add(RateRow(2, "43", "1"))

    def test_rates_of_a_newer_file_are_found_when_it_has_the_name_of_an_older(self, path: Path) -> None:
        old = packed(path, RateRow(1, "44", "1"))
        assert old.find("44", NOW)[0].rate_per_minute == 1
        new = packed(path, RateRow(1, "44", "2"))
        assert new.find("44", NOW)[0].rate_per_minute == 2
        forget_rates()
        assert (old.find("44", NOW)[0].rate_per_minute, new.id) == (Decimal(1), 1)


Step = tuple[str, int, RateRow]

STEPS = st.lists(
    st.lists(st.tuples(st.sampled_from(["remove", "change", "add"]), st.integers(0, 30), rate_rows()), max_size=6),
    max_size=6,
)


def change(rows: dict[int, RateRow], steps: list[Step], new_ids: "count[int]") -> set[int]:
    """Change rows as statements would, and return the ids of those that were."""
    changed: set[int] = set()
    for what, which, row in steps:
        if what != "add" and not rows:
            continue
        rate_id = next(new_ids) if what == "add" else sorted(rows)[which % len(rows)]
        others = {(each.prefix, each.valid_from) for number, each in rows.items() if number != rate_id}
        if what == "remove":
            del rows[rate_id]
        elif (row.prefix, row.valid_from) in others:
            continue
        else:
            rows[rate_id] = row._replace(id=rate_id)
        changed.add(rate_id)
    return changed


class TestOverlaidRatecard:
    """A file and what was changed since are as one."""

    @settings(deadline=None, max_examples=150)
    @given(UNIQUE_ROWS, STEPS, STEPS, st.lists(NUMBERS, max_size=10), st.booleans())
    def test_finds_what_an_ordinary_one_of_the_newest_rows_finds(
        self,
        path: Path,
        rows: dict[int, RateRow],
        missed: list[list[Step]],
        seen: list[list[Step]],
        numbers: list[str],
        has_file: bool,
    ) -> None:
        rows, ids = dict(rows), count(100)
        base = packed(path, *rows.values()) if has_file else None
        # What was changed between the file and the start …
        changed = {each for steps in missed for each in change(rows, steps, ids)} if has_file else set(rows)
        card = OverlaidRatecard(1).based(5, base, changed, [rows[each].to_rate() for each in changed if each in rows])
        assert_same(card, rows, numbers)
        # … and what was changed from then on.
        for steps in seen:
            before, card_before = dict(rows), card
            changed = change(rows, steps, ids)
            card = card.changed(6, changed, [rows[each].to_rate() for each in changed if each in rows])
            assert_same(card, rows, numbers)
            assert_same(card_before, before, numbers)
        card = card.based(7, packed(path, *rows.values()), [], [])
        assert_same(card, rows, numbers)
        assert (card.revision, card.changes, card.rates) == (7, 0, {})

    def test_ratecard_without_a_file_is_an_ordinary_one(self) -> None:
        empty = OverlaidRatecard(1)
        assert (empty.find("44", NOW), empty.changes, empty.revision) == ([], 0, 0)
        card = empty.based(5, None, [], [RateRow(1, "44", "1").to_rate()])
        assert (len(card.rates), card.changes, card.revision) == (1, 1, 5)
        card = card.changed(6, [1], [replace(card.find("44", NOW)[0], prefix="45")])
        assert (card.find("44", NOW), len(card.find("45", NOW)), card.revision) == ([], 1, 6)

    def test_changed_rates_of_the_same_prefix_join_those_of_the_file(self, path: Path) -> None:
        rows = [RateRow(1, "44", "1"), RateRow(2, "4420", "2", valid_from=NOW - DAY)]
        added = [RateRow(n, "4420", "3", valid_from=NOW).to_rate() for n in (3, 4)]
        card = OverlaidRatecard(1).based(5, packed(path, *rows), [3, 4], added)
        assert sorted(rate.id for rate in card.find("44201", NOW)) == [2, 3, 4]
        assert card.changes == 2
