"""Dialing routes, route entries and their order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from b2bua.policy.routes import DialingRoute, choose_dialing_route
from tests.support.policy import make_carrier, make_entry, make_route

ROUTES = {pattern: make_route(route_id=number) for number, pattern in enumerate(("%", "44%", "44", "4420%", "*9%"), 1)}
DIALING_ROUTES = [DialingRoute.of(pattern, route) for pattern, route in ROUTES.items()]


def chosen(number: str, patterns: list[DialingRoute]) -> str:
    """Pattern of the chosen route; empty: none."""
    route = choose_dialing_route(patterns, number)
    return "" if route is None else route.prefix + ("" if route.exact else "%")


class TestDialingRoute:
    """docs/behaviour.md §4: most literal digits win."""

    @pytest.mark.parametrize(
        ("number", "pattern"),
        [
            ("442079460000", "4420%"),
            ("4420", "4420%"),
            ("442", "44%"),
            ("44", "44"),
            ("4", "%"),
            ("331", "%"),
            ("", "%"),
            ("*98", "*9%"),
        ],
    )
    @pytest.mark.parametrize("turned", [False, True])
    def test_most_literal_digits_win_and_exact_before_open(self, number: str, pattern: str, turned: bool) -> None:
        assert chosen(number, DIALING_ROUTES[::-1] if turned else DIALING_ROUTES) == pattern

    @pytest.mark.parametrize(("pattern", "number"), [("44", "441"), ("44", "4"), ("44%", "4"), ("44%", "33")])
    def test_no_route_is_chosen_when_none_matches(self, pattern: str, number: str) -> None:
        assert chosen(number, [DialingRoute.of(pattern, ROUTES["%"])]) == ""
        assert chosen(number, []) == ""

    def test_route_of_the_pattern_is_given(self) -> None:
        found = choose_dialing_route(DIALING_ROUTES, "44")
        assert found is not None
        assert found.route is ROUTES["44"]


class TestEntries:
    """The longest prefix of the number per carrier, then priority, then weight."""

    def test_each_carrier_is_used_with_its_longest_prefix(self) -> None:
        one, two = make_carrier(1), make_carrier(2)
        route = make_route(
            make_entry(1, one, "", priority=1),
            make_entry(2, one, "4420", priority=5),
            make_entry(3, one, "44", priority=3),
            make_entry(4, two, "44", priority=4),
            make_entry(5, two, "33", priority=1),
        )
        assert [entry.id for entry in route.find("442079")] == [4, 2]
        assert [entry.id for entry in route.find("449")] == [3, 4]
        assert [entry.id for entry in route.find("33")] == [1, 5]
        assert [entry.id for entry in route.find("")] == [1]

    def test_carriers_come_by_priority_then_the_heavier_then_the_older(self) -> None:
        entries = [
            make_entry(1, make_carrier(1), priority=2, weight=900),
            make_entry(2, make_carrier(2), priority=1, weight=10),
            make_entry(3, make_carrier(3), priority=1, weight=20),
            make_entry(5, make_carrier(5), priority=1, weight=20),
            make_entry(4, make_carrier(4), "4", priority=1, weight=20),
        ]
        for order in (entries, entries[::-1]):
            assert [entry.id for entry in make_route(*order).find("44")] == [3, 4, 5, 2, 1]

    def test_no_entry_is_found_when_no_prefix_fits(self) -> None:
        assert make_route(make_entry(1, make_carrier(1), "33")).find("44") == []
        assert make_route().find("44") == []

    @given(
        st.lists(
            st.tuples(st.integers(1, 4), st.text("12", max_size=4), st.integers(0, 3), st.integers(0, 3)),
            max_size=12,
            unique_by=lambda entry: entry[:2],
        ),
        st.text("12", max_size=6),
    )
    def test_route_finds_what_looking_at_every_entry_finds(
        self, rows: list[tuple[int, str, int, int]], number: str
    ) -> None:
        carriers = {carrier_id: make_carrier(carrier_id) for carrier_id in range(1, 5)}
        entries = [
            make_entry(entry_id, carriers[carrier_id], prefix, priority=priority, weight=weight)
            for entry_id, (carrier_id, prefix, priority, weight) in enumerate(rows, 1)
        ]
        best = []
        for carrier_id in carriers:
            fitting = [e for e in entries if e.carrier.id == carrier_id and number.startswith(e.prefix)]
            best += sorted(fitting, key=lambda entry: -len(entry.prefix))[:1]
        best.sort(key=lambda entry: (entry.priority, -entry.weight, entry.id))
        assert make_route(*entries).find(number) == best
