"""Route entries: which count for a number, and their order."""

from datetime import time, timedelta

from hypothesis import given
from hypothesis import strategies as st

from b2bua.policy.routes import RouteEntry
from rating.window import EVERY_DAY, Window
from tests.support.policy import NOW, make_carrier, make_entry, make_route

DAY = Window(EVERY_DAY, time(6), time(22))
NIGHT = Window(EVERY_DAY, time(22), time(6))


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
        assert [entry.id for entry in route.find("442079", NOW)] == [4, 2]
        assert [entry.id for entry in route.find("449", NOW)] == [3, 4]
        assert [entry.id for entry in route.find("33", NOW)] == [1, 5]
        assert [entry.id for entry in route.find("", NOW)] == [1]

    def test_carriers_come_by_priority_then_the_heavier_then_the_older(self) -> None:
        entries = [
            make_entry(1, make_carrier(1), priority=2, weight=900),
            make_entry(2, make_carrier(2), priority=1, weight=10),
            make_entry(3, make_carrier(3), priority=1, weight=20),
            make_entry(5, make_carrier(5), priority=1, weight=20),
            make_entry(4, make_carrier(4), "4", priority=1, weight=20),
        ]
        for order in (entries, entries[::-1]):
            assert [entry.id for entry in make_route(*order).find("44", NOW)] == [3, 4, 5, 2, 1]

    def test_no_entry_is_found_when_no_prefix_fits(self) -> None:
        assert make_route(make_entry(1, make_carrier(1), "33")).find("44", NOW) == []
        assert make_route().find("44", NOW) == []

    def test_entry_counts_within_its_window_only(self) -> None:
        carrier = make_carrier(1)
        route = make_route(
            make_entry(1, carrier, "44", window=NIGHT), make_entry(2, carrier, "44", window=DAY), make_entry(3, carrier)
        )
        assert [entry.id for entry in route.find("44", NOW)] == [2]
        assert [entry.id for entry in route.find("44", NOW + timedelta(hours=10))] == [1]
        assert [entry.id for entry in route.find("33", NOW)] == [3]

    def test_shorter_prefix_counts_while_the_longer_does_not(self) -> None:
        carrier = make_carrier(1)
        route = make_route(make_entry(1, carrier, "44", window=NIGHT), make_entry(2, carrier, "4"))
        assert [entry.id for entry in route.find("44", NOW)] == [2]
        assert [entry.id for entry in route.find("44", NOW + timedelta(hours=10))] == [1]

    @given(
        st.lists(
            st.tuples(
                st.integers(1, 4),
                st.text("12", max_size=4),
                st.integers(0, 3),
                st.integers(0, 3),
                st.sampled_from((None, DAY, NIGHT)),
            ),
            max_size=12,
        ),
        st.text("12", max_size=6),
        st.integers(0, 23),
    )
    def test_route_finds_what_looking_at_every_entry_finds(
        self, rows: list[tuple[int, str, int, int, Window | None]], number: str, hour: int
    ) -> None:
        at = NOW.replace(hour=hour)
        carriers = {carrier_id: make_carrier(carrier_id) for carrier_id in range(1, 5)}
        entries = [
            make_entry(entry_id, carriers[carrier_id], prefix, priority=priority, weight=weight, window=window)
            for entry_id, (carrier_id, prefix, priority, weight, window) in enumerate(rows, 1)
        ]

        def order(entry: RouteEntry) -> tuple[int, int, int]:
            return entry.priority, -entry.weight, entry.id

        best = []
        for carrier_id in carriers:
            fitting = [
                entry
                for entry in entries
                if entry.carrier.id == carrier_id
                and number.startswith(entry.prefix)
                and (entry.window is None or entry.window.is_open(at))
            ]
            best += sorted(fitting, key=lambda entry: (-len(entry.prefix), *order(entry)))[:1]
        assert make_route(*entries).find(number, at) == sorted(best, key=order)
