"""Which gateways are tried, and in which order: cost, shares, windows, what is down (docs/behaviour.md §4)."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, time
from decimal import Decimal

import pytest

from b2bua.policy.decision import Trace
from b2bua.policy.routes import Carrier, RouteEntry
from rating.exchange import CurrencyRate, Exchange
from rating.tariff import ALWAYS, Rate
from rating.window import EVERY_DAY, Window
from tests.support.policy import (
    NUMBER,
    Weather,
    World,
    make_carrier,
    make_entry,
    make_gateway,
    make_route,
    make_tariff,
)
from tests.support.records import make_rate


@pytest.fixture
def world() -> World:
    return World()


def carrier_at(world: World, carrier_id: int, rate: Rate, currency: str = "EUR") -> Carrier:
    """A carrier with a tariff of its own: 100 and its id."""
    tariff_id = 100 + carrier_id
    world.snapshot.tariffs[tariff_id] = make_tariff(rate, tariff_id=tariff_id, currency=currency)
    return make_carrier(carrier_id, tariff_id=tariff_id)


def know_dollars(world: World, rate: str = "0.8", from_currency: str = "USD", to_currency: str = "EUR") -> None:
    """Let one currency be worth so much of another."""
    world.snapshot.exchange = Exchange([CurrencyRate(from_currency, to_currency, Decimal(rate), ALWAYS)])


class TestLeastCost:
    """By the cost of the reference call, unrounded, then weight."""

    # What 60 s cost: the rate, its currency, and the amount in EUR where one USD is 0.8 EUR.
    COSTS = (
        (make_rate("0.0500", connection="0.01"), "EUR", "0.06"),  # 0.05 + 0.01
        (make_rate("0.0600", minimum=30, resolution=45), "EUR", "0.09"),  # 90 s
        (make_rate("0.0500", multiplier="1.1", addition="0.004"), "EUR", "0.059"),
        (make_rate("0.0730"), "USD", "0.0584"),
        (make_rate("0.0700", minimum=90, resolution=30, mode="after_minimum"), "USD", "0.084"),  # 90 s
    )

    def test_carriers_in_two_currencies_come_by_what_the_reference_call_costs(self, world: World) -> None:
        know_dollars(world)
        carriers = [carrier_at(world, number, rate, money) for number, (rate, money, _) in enumerate(self.COSTS, 1)]
        trace = Trace()
        for turned in (carriers, carriers[::-1]):
            world.lead_to(*(make_entry(carrier.id, carrier) for carrier in turned))
            assert world.carriers_tried() == [4, 3, 1, 5, 2]
        world.decide(trace=trace)
        assert {each.entry.carrier.id: each.cost for each in trace.candidates} == {
            number: Decimal(cost) for number, (_, _, cost) in enumerate(self.COSTS, 1)
        }
        assert {each.price for each in trace.candidates} == {Decimal(1)}

    def test_length_of_the_reference_call_decides_what_a_connection_charge_weighs(self, world: World) -> None:
        cheap_minutes = carrier_at(world, 1, make_rate("0.01", connection="0.05"))
        cheap_start = carrier_at(world, 2, make_rate("0.05"))
        world.lead_to(make_entry(1, cheap_minutes), make_entry(2, cheap_start))
        for seconds, order in ((60, [2, 1]), (75, [1, 2]), (300, [1, 2])):
            world.snapshot.reference_seconds = seconds
            assert world.carriers_tried() == order

    def test_cost_is_not_rounded(self, world: World) -> None:
        world.account.billing.decimals = 0
        dear, cheap = (carrier_at(world, n, make_rate(p)) for n, p in ((1, "0.0100000001"), (2, "0.01")))
        world.lead_to(make_entry(1, dear), make_entry(2, cheap))
        assert world.carriers_tried() == [2, 1]

    def test_taxes_and_rounding_of_the_carrier_do_not_count(self, world: World) -> None:
        dear, cheap = (carrier_at(world, n, make_rate(p)) for n, p in ((1, "0.02"), (2, "0.01")))
        cheap.billing.tax_percents, cheap.billing.decimals = (Decimal(300),), 0
        world.lead_to(make_entry(1, dear), make_entry(2, cheap))
        assert world.carriers_tried() == [2, 1]

    def test_call_within_the_grace_costs_nothing_but_what_is_due_once(self, world: World) -> None:
        graced = carrier_at(world, 1, make_rate("9", grace=61))
        world.lead_to(make_entry(1, carrier_at(world, 2, make_rate("0.01"))), make_entry(2, graced))
        assert world.carriers_tried() == [1, 2]

    def test_heavier_comes_first_when_costs_are_equal(self, world: World) -> None:
        know_dollars(world)
        carriers = [
            carrier_at(world, 1, make_rate("0.08")),
            carrier_at(world, 2, make_rate("0.1"), "USD"),
            carrier_at(world, 3, make_rate("0.04", connection="0.04")),
            carrier_at(world, 4, make_rate("0.08000000001")),
        ]
        weights = (10, 30, 20, 900)
        world.lead_to(*(make_entry(c.id, c, weight=w) for c, w in zip(carriers, weights, strict=True)))
        assert world.carriers_tried() == [2, 3, 1, 4]

    def test_older_entry_comes_first_when_costs_and_weights_are_equal(self, world: World) -> None:
        world.lead_to(*(make_entry(10 - number, make_carrier(number)) for number in (1, 2, 3)))
        assert world.carriers_tried() == [3, 2, 1]

    def test_carrier_of_unknown_exchange_comes_last(self, world: World) -> None:
        know_dollars(world)
        unknown = carrier_at(world, 1, make_rate("0.0001"), "CHF")
        world.lead_to(
            make_entry(1, unknown, weight=900),
            make_entry(2, carrier_at(world, 2, make_rate("501"), "USD")),
            make_entry(3, carrier_at(world, 3, make_rate("400"))),
        )
        trace = Trace()
        assert world.carriers_tried(trace=trace) == [3, 2, 1]
        assert {each.entry.carrier.id: each.cost for each in trace.candidates}[1] is None

    def test_exchange_rate_of_the_other_direction_is_inverted(self, world: World) -> None:
        know_dollars(world, "1.25", "EUR", "USD")
        world.lead_to(
            make_entry(1, carrier_at(world, 1, make_rate("0.09"))),
            make_entry(2, carrier_at(world, 2, make_rate("0.1"), "USD")),
        )
        assert world.carriers_tried() == [2, 1]

    def test_priority_comes_before_cost(self, world: World) -> None:
        prices = {1: ("5", 1), 2: ("0.01", 2), 3: ("4", 1), 4: ("0.02", 2), 5: ("0.001", 3)}
        carriers = {number: carrier_at(world, number, make_rate(price)) for number, (price, _) in prices.items()}
        world.lead_to(*(make_entry(n, carriers[n], priority=priority) for n, (_, priority) in prices.items()))
        assert world.carriers_tried() == [3, 1, 2, 4, 5]

    def test_mode_needs_no_turn(self, world: World) -> None:
        weather = Weather()
        decision = world.decide(conditions=weather)
        assert (weather.turns, decision.shares_load) == (0, False)


class TestLoadShare:
    """By weight, smooth."""

    def share(self, world: World, *weights: int, turns: int) -> list[list[int]]:
        """The carriers of each turn; entry 1 has the first weight."""
        entries = [make_entry(number, make_carrier(number), weight=w) for number, w in enumerate(weights, 1)]
        world.lead_to(*entries, mode="load_share")
        snapshot, weather = world.link(), Weather()
        return [world.carriers_tried(snapshot=snapshot, conditions=weather) for _ in range(turns)]

    @pytest.mark.parametrize(
        ("weights", "shares"),
        [
            ((70, 30), (700, 300)),
            ((1, 1, 1), (333, 333, 333)),
            ((50, 30, 15, 5), (500, 300, 150, 50)),
            ((1, 99), (10, 990)),
            ((0, 70, 30), (0, 700, 300)),
        ],
    )
    def test_calls_are_shared_by_weight(self, world: World, weights: tuple[int, ...], shares: tuple[int, ...]) -> None:
        first = Counter(order[0] for order in self.share(world, *weights, turns=1000))
        for number, share in enumerate(shares, 1):
            assert abs(first[number] - share) <= 10

    def test_share_is_right_in_every_stretch_of_calls(self, world: World) -> None:
        orders = self.share(world, 70, 30, turns=1000)
        for start in range(0, 900, 50):
            count = sum(order[0] == 1 for order in orders[start : start + 100])
            assert abs(count - 70) <= 3

    def test_equal_weights_do_not_come_in_bursts(self, world: World) -> None:
        firsts = [order[0] for order in self.share(world, 1, 1, 1, turns=300)]
        assert all(len(set(firsts[at : at + 7])) == 3 for at in range(293))

    def test_failover_is_shared_by_the_weights_of_those_that_are_left(self, world: World) -> None:
        orders = self.share(world, 60, 30, 10, turns=2000)
        seconds = {first: Counter(order[1] for order in orders if order[0] == first) for first in (1, 2, 3)}
        assert abs(seconds[1][2] / seconds[1].total() - 30 / 40) < 0.03
        assert abs(seconds[2][1] / seconds[2].total() - 60 / 70) < 0.03
        assert abs(seconds[3][1] / seconds[3].total() - 60 / 90) < 0.05
        assert all(sorted(order) == [1, 2, 3] for order in orders)

    def test_carriers_without_weight_come_last(self, world: World) -> None:
        for order in self.share(world, 0, 70, 0, 30, turns=50):
            assert sorted(order[:2]) == [2, 4]
            assert order[2:] == [1, 3]

    def test_carriers_are_all_tried_when_none_has_a_weight(self, world: World) -> None:
        assert self.share(world, 0, 0, turns=2) == [[1, 2], [1, 2]]

    def test_load_is_shared_within_a_priority_only(self, world: World) -> None:
        entries = [make_entry(number, make_carrier(number), priority=1 + number // 3) for number in (1, 2, 3, 4)]
        world.lead_to(*entries, mode="load_share")
        weather = Weather()
        orders = [world.carriers_tried(conditions=weather) for _ in range(40)]
        assert all(sorted(order[:2]) == [1, 2] for order in orders)
        assert {tuple(order[:2]) for order in orders} == {(1, 2), (2, 1)}
        assert {tuple(order[2:]) for order in orders} == {(3, 4), (4, 3)}

    def test_cost_does_not_matter(self, world: World) -> None:
        dear, cheap = (carrier_at(world, n, make_rate(p)) for n, p in ((1, "5"), (2, "0.01")))
        world.lead_to(make_entry(1, dear, weight=90), make_entry(2, cheap, weight=10), mode="load_share")
        weather = Weather()
        firsts = Counter(world.carriers_tried(conditions=weather)[0] for _ in range(100))
        assert abs(firsts[1] - 90) <= 2

    def test_share_of_a_gateway_that_is_down_goes_to_the_others(self, world: World) -> None:
        entries = [make_entry(number, make_carrier(number), weight=w) for number, w in ((1, 50), (2, 30), (3, 20))]
        world.lead_to(*entries, mode="load_share")
        weather = Weather(down={1})
        firsts = Counter(world.carriers_tried(conditions=weather)[0] for _ in range(1000))
        assert firsts[1] == 0
        assert abs(firsts[2] - 600) <= 10

    def test_order_is_that_of_the_turn(self, world: World) -> None:
        entries = [make_entry(number, make_carrier(number)) for number in (1, 2, 3)]
        world.lead_to(*entries, mode="load_share")
        orders = [world.carriers_tried(conditions=Weather(turns=turn)) for turn in (0, 1, 2, 10**9)]
        assert orders == [world.carriers_tried(conditions=Weather(turns=turn)) for turn in (0, 1, 2, 10**9)]
        assert all(sorted(order) == [1, 2, 3] for order in orders)
        assert world.decide().shares_load


BERLIN = "Europe/Berlin"
FRIDAY, SATURDAY, SUNDAY = 0b100000, 0b1000000, 0b1


def window(days: int, begin: str, end: str, zone: str = BERLIN) -> Window:
    """A window that is not always open."""
    found = Window.of(days, time.fromisoformat(begin), time.fromisoformat(end), zone)
    assert found is not None
    return found


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


class TestWindows:
    """Entries that are active now: days, Sunday = 0, and hours in the route's zone."""

    def codes(self, world: World, entry_window: Window, *moments: str) -> list[str]:
        """What a route of one entry says at some moments, UTC."""
        world.lead_to(make_entry(1, world.carrier, window=entry_window))
        snapshot = world.link()
        return [world.verdict(snapshot=snapshot, now=utc(moment))[0] for moment in moments]

    def test_window_wraps_midnight(self, world: World) -> None:
        # Berlin is UTC+2 in September.
        night = window(EVERY_DAY, "22:00", "06:00")
        moments = ("2026-09-01T19:59", "2026-09-01T20:00", "2026-09-01T23:00", "2026-09-02T03:59", "2026-09-02T04:00")
        assert self.codes(world, night, *moments) == ["NO_ROUTE", "", "", "", "NO_ROUTE"]

    def test_window_wraps_the_week(self, world: World) -> None:
        # Saturday 22:00 to Sunday 06:00 in Berlin; the 5th of September 2026 is a Saturday.
        night = window(SATURDAY, "22:00", "06:00")
        moments = ("2026-09-05T19:59", "2026-09-05T20:00", "2026-09-06T03:59", "2026-09-06T04:00", "2026-09-06T20:30")
        assert self.codes(world, night, *moments) == ["NO_ROUTE", "", "", "NO_ROUTE", "NO_ROUTE"]
        # Sunday night belongs to Sunday, although it ends on Monday.
        sunday = window(SUNDAY, "22:00", "06:00")
        mornings = ("2026-09-06T03:59", "2026-09-06T20:00", "2026-09-07T03:59", "2026-09-07T20:00")
        assert self.codes(world, sunday, *mornings) == ["NO_ROUTE", "", "", "NO_ROUTE"]

    def test_window_follows_the_clocks_of_its_zone(self, world: World) -> None:
        morning = window(EVERY_DAY, "08:00", "12:00")
        # Winter time until the 28th of March 2027, 01:00 UTC.
        assert self.codes(world, morning, "2027-03-27T06:59", "2027-03-27T07:00", "2027-03-27T10:59") == [
            "NO_ROUTE", "", "",
        ]  # fmt: skip
        assert self.codes(world, morning, "2027-03-28T05:59", "2027-03-28T06:00", "2027-03-28T10:00") == [
            "NO_ROUTE", "", "NO_ROUTE",
        ]  # fmt: skip

    def test_window_is_as_long_as_the_clocks_make_the_night(self, world: World) -> None:
        # On the 25th of October 2026 the hour from 2 to 3 comes twice, on the 28th of March 2027 not at all.
        hour = window(EVERY_DAY, "02:00", "03:00")
        assert self.codes(
            world, hour, "2026-10-24T23:59", "2026-10-25T00:00", "2026-10-25T01:59", "2026-10-25T02:00"
        ) == ["NO_ROUTE", "", "", "NO_ROUTE"]
        assert self.codes(world, hour, "2027-03-28T00:59", "2027-03-28T01:00") == ["NO_ROUTE", "NO_ROUTE"]

    def test_window_of_another_zone_is_open_at_other_hours(self, world: World) -> None:
        morning = window(EVERY_DAY, "08:00", "12:00", "America/New_York")
        assert self.codes(world, morning, "2026-09-01T11:59", "2026-09-01T12:00", "2026-09-01T15:59") == [
            "NO_ROUTE", "", "",
        ]  # fmt: skip

    def test_whole_day_ends_at_its_midnight(self, world: World) -> None:
        friday = window(FRIDAY, "00:00", "00:00")
        moments = ("2026-09-03T21:59", "2026-09-03T22:00", "2026-09-04T21:59", "2026-09-04T22:00")
        assert self.codes(world, friday, *moments) == ["NO_ROUTE", "", "", "NO_ROUTE"]

    def test_each_window_of_one_prefix_has_its_own_priority_and_weight(self, world: World) -> None:
        day, night = window(EVERY_DAY, "06:00", "22:00", "UTC"), window(EVERY_DAY, "22:00", "06:00", "UTC")
        other = make_carrier(2)
        world.lead_to(
            make_entry(1, world.carrier, "44", priority=1, window=day),
            make_entry(2, world.carrier, "44", priority=9, window=night),
            make_entry(3, other, "44", priority=5),
        )
        assert world.carriers_tried(now=utc("2026-09-01T12:00")) == [1, 2]
        assert world.carriers_tried(now=utc("2026-09-01T23:00")) == [2, 1]

    def test_carrier_comes_once_when_several_of_its_windows_are_open(self, world: World) -> None:
        morning, noon = window(EVERY_DAY, "06:00", "13:00", "UTC"), window(EVERY_DAY, "11:00", "18:00", "UTC")
        other = make_carrier(2)
        entries = [
            make_entry(1, world.carrier, "44", priority=9, window=noon),
            make_entry(2, world.carrier, "44", priority=1, window=morning),
            make_entry(3, other, "44", priority=5),
        ]
        for order in (entries, entries[::-1]):
            world.lead_to(*order)
            assert world.carriers_tried(now=utc("2026-09-01T12:00")) == [1, 2]
            assert world.carriers_tried(now=utc("2026-09-01T15:00")) == [2, 1]


class TestPrefixes:
    """The longest prefix of the number per carrier, among the entries active now."""

    def test_carrier_is_used_with_its_longest_prefix_whatever_its_priority(self, world: World) -> None:
        world.lead_to(
            make_entry(1, world.carrier, "", priority=1),
            make_entry(2, world.carrier, "4420", priority=5),
            make_entry(3, make_carrier(2), "44", priority=3),
        )
        assert world.carriers_tried() == [2, 1]
        assert world.carriers_tried(destination="449") == [1, 2]
        assert world.carriers_tried(destination="33") == [1]

    def test_longest_prefix_is_looked_for_among_the_open_windows(self, world: World) -> None:
        night = window(EVERY_DAY, "22:00", "06:00", "UTC")
        world.lead_to(
            make_entry(1, world.carrier, "44", priority=9),
            make_entry(2, world.carrier, "4420", priority=1, window=night),
            make_entry(3, make_carrier(2), "4", priority=5),
        )
        assert world.carriers_tried(now=utc("2026-09-01T12:00")) == [2, 1]
        assert world.carriers_tried(now=utc("2026-09-01T23:00")) == [1, 2]

    def test_prefix_is_of_the_translated_number_before_the_strip(self, world: World) -> None:
        world.route = make_route(make_entry(1, world.carrier, "7744"))
        world.dialing_routes = [("77|%", world.route)]
        assert world.carriers_tried(destination=f"77{NUMBER}") == [1]


class TestGateways:
    """Gateways of a carrier: priority, then weight; at most so many attempts."""

    def test_attempts_are_the_gateways_of_each_carrier_in_the_order_of_the_entries(self, world: World) -> None:
        first = make_carrier(2, make_gateway(21, priority=2), make_gateway(22), make_gateway(23, status="inactive"))
        second = make_carrier(3, make_gateway(31, weight=1), make_gateway(32, weight=2))
        world.lead_to(make_entry(1, second, "44", priority=2), make_entry(2, first, priority=1))
        decision = world.decide()
        assert [attempt.gateway.id for attempt in decision.attempts] == [22, 21, 32, 31]
        assert [attempt.carrier.id for attempt in decision.attempts if attempt.carrier] == [2, 2, 3, 3]
        assert decision.route is world.route

    def test_carrier_without_a_price_is_left_out(self, world: World) -> None:
        other = make_carrier(2, tariff_id=99)
        world.lead_to(make_entry(1, other, priority=1), make_entry(2, world.carrier, priority=2))
        assert world.carriers_tried() == [1]

    @pytest.mark.parametrize(("most", "count"), [(1, 1), (3, 3), (10, 4)])
    def test_attempts_are_cut_at_the_most(self, world: World, most: int, count: int) -> None:
        world.carrier.gateways = [make_gateway(number) for number in (1, 2, 3, 4)]
        world.snapshot.max_attempts = most
        assert [attempt.gateway.id for attempt in world.decide().attempts] == [1, 2, 3, 4][:count]

    def test_gateway_that_is_down_is_not_tried(self, world: World) -> None:
        world.carrier.gateways = [make_gateway(number) for number in (1, 2, 3)]
        world.lead_to(make_entry(1, world.carrier), make_entry(2, make_carrier(5), priority=2))
        for down, tried in (({2}, [1, 3, 5]), ({1, 2, 3}, [5]), ({5}, [1, 2, 3])):
            decision = world.decide(conditions=Weather(down=down))
            assert [attempt.gateway.id for attempt in decision.attempts] == tried
        assert world.verdict(conditions=Weather(down={1, 2, 3, 5})) == ("NO_ROUTE", "route route-1")

    def test_attempt_carries_the_carriers_price(self, world: World) -> None:
        carrier = carrier_at(world, 2, make_rate("0.3", "44"))
        world.lead_to(make_entry(1, carrier))
        (attempt,) = world.decide().attempts
        assert (attempt.tariff, attempt.kind) == (world.snapshot.tariffs[102], "gateway")
        assert attempt.rate is not None
        assert attempt.rate.rate_per_minute == Decimal("0.3")


class TestTrace:
    """A trace shows every entry, and why it is not tried."""

    def dropped(self, world: World, *entries: RouteEntry, **changed: object) -> list[str]:
        """Why each entry is not tried, in the order of the entries."""
        world.lead_to(*entries)
        trace = Trace()
        world.decide(trace=trace, **changed)  # type: ignore[arg-type]
        by_entry = {candidate.entry.id: candidate.dropped for candidate in trace.candidates}
        return [by_entry[entry.id] for entry in entries]

    def test_trace_says_why_an_entry_is_not_tried(self, world: World) -> None:
        entries: Sequence[RouteEntry] = [
            make_entry(1, make_carrier(1)),
            make_entry(2, make_carrier(2, status="inactive")),
            make_entry(3, make_carrier(3, tariff_id=None)),
            make_entry(4, carrier_at(world, 4, make_rate(status="blocked"))),
            make_entry(5, make_carrier(5, make_gateway(5, status="inactive"))),
            make_entry(6, carrier_at(world, 6, make_rate("2"))),
        ]
        world.account.loss_guard = True
        assert self.dropped(world, *entries) == [
            "", "carrier inactive", "no rate", "rate blocked", "no gateway up", "loss",
        ]  # fmt: skip
        assert self.dropped(world, entries[0], conditions=Weather(down={1})) == ["no gateway up"]

    def test_trace_names_gateways_and_the_number_that_they_get(self, world: World) -> None:
        world.carrier.gateways = [make_gateway(1), make_gateway(2)]
        trace = Trace()
        world.decide(trace=trace)
        (candidate,) = trace.candidates
        assert (candidate.gateway, candidate.destination) == ("gateway-1, gateway-2", NUMBER)

    def test_trace_says_that_an_entry_is_behind_the_last_attempt(self, world: World) -> None:
        world.snapshot.max_attempts = 1
        entries = [make_entry(1, make_carrier(1)), make_entry(2, make_carrier(2), priority=2)]
        assert [bool(reason) for reason in self.dropped(world, *entries)] == [False, True]

    def test_trace_says_that_no_entry_is_tried_when_a_reseller_would_lose(self, world: World) -> None:
        world.account.loss_guard = True
        world.snapshot.tariffs[2] = make_tariff(make_rate("2"), tariff_id=2)
        assert self.dropped(world, make_entry(1, make_carrier(1))) != [""]
