"""The checks of a call, in their order: what refuses, how it is named, and what a call that may go gets."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest

from b2bua.policy.decision import Step
from b2bua.policy.routes import DialingRoute
from tests.support.policy import (
    NOW,
    NUMBER,
    World,
    make_account,
    make_carrier,
    make_entry,
    make_gateway,
    make_route,
    make_tariff,
)
from tests.support.records import make_rate

Change = Callable[[World], object]


@pytest.fixture
def world() -> World:
    return World()


def forbid(world: World) -> None:
    """Let every check fail that the configuration can fail."""
    for change in CONFIGURED.values():
        change[0](world)


# In the order of the checks: what makes each fail, its code, and the object that it names.
CONFIGURED: dict[str, tuple[Change, str, str]] = {
    "device": (lambda w: setattr(w.device, "status", "inactive"), "DEVICE_INACTIVE", "device ip:7"),
    "account": (lambda w: setattr(w.account, "status", "suspended"), "ACCOUNT_INACTIVE", "account CUST0001"),
    "reseller": (lambda w: setattr(w.reseller, "status", "closed"), "ACCOUNT_INACTIVE", "reseller RESE0010"),
    "tariff": (
        lambda w: setattr(w.snapshot.tariffs[1], "status", "inactive"),
        "TARIFF_INACTIVE",
        "account CUST0001",
    ),
    "tariff of the reseller": (
        lambda w: setattr(w.snapshot.tariffs[2], "status", "inactive"),
        "TARIFF_INACTIVE",
        "reseller RESE0010",
    ),
    "dialing route": (lambda w: w.dialing_routes.clear(), "NO_DIALING_ROUTE", "account CUST0001"),
}


class TestCaller:
    """docs/behaviour.md §1: who is calling."""

    def test_caller_is_the_device_of_the_source_address(self, world: World) -> None:
        decision = world.decide()
        assert (decision.code, decision.device, decision.account) == ("", world.device, world.account)
        assert decision.limits is world.device.limits

    def test_caller_must_prove_who_it_is_when_the_address_is_unknown(self, world: World) -> None:
        decision = world.decide(source_address="203.0.113.1")
        assert (decision.code, decision.device, decision.limits) == ("AUTHENTICATE", None, None)

    def test_caller_is_the_user_when_it_has_proved_its_secret(self, world: World) -> None:
        decision = world.decide(source_address="203.0.113.1", authenticated_user="alice")
        assert (decision.code, decision.device, decision.limits) == ("", world.user, world.user.limits)

    def test_caller_is_the_user_when_its_address_is_also_a_device(self, world: World) -> None:
        assert world.decide(authenticated_user="alice").device is world.user

    def test_caller_must_prove_who_it_is_when_the_user_is_gone(self, world: World) -> None:
        assert world.verdict(authenticated_user="nobody") == ("AUTHENTICATE", "")

    @pytest.mark.parametrize(
        ("address", "verdict"),
        [("203.0.113.9", ("", "")), ("203.0.114.9", ("ADDRESS_NOT_ALLOWED", "user alice"))],
    )
    def test_user_is_refused_when_it_calls_from_elsewhere(
        self, world: World, address: str, verdict: tuple[str, str]
    ) -> None:
        world.user.network = "203.0.113.0/24"
        assert world.verdict(source_address=address, authenticated_user="alice") == verdict

    def test_device_is_found_by_the_number_without_its_plus(self, world: World) -> None:
        world.device.dial_prefix = "44"
        assert world.decide(destination=f"+{NUMBER}").device is world.device
        assert world.decide(destination="33").code == "AUTHENTICATE"


class TestRefusals:
    """docs/behaviour.md §2: the checks, in order; the first that fails ends the call."""

    @pytest.mark.parametrize(("change", "code", "name"), CONFIGURED.values(), ids=CONFIGURED)
    def test_call_is_refused_by_what_does_not_allow_it(
        self, world: World, change: Change, code: str, name: str
    ) -> None:
        change(world)
        assert world.verdict() == (code, name)

    def test_first_check_that_fails_is_the_one_that_is_named(self, world: World) -> None:
        forbid(world)
        undo: dict[str, Change] = {
            "device": lambda w: setattr(w.device, "status", "active"),
            "account": lambda w: setattr(w.account, "status", "active"),
            "reseller": lambda w: setattr(w.reseller, "status", "active"),
            "tariff": lambda w: setattr(w.snapshot.tariffs[1], "status", "active"),
            "tariff of the reseller": lambda w: setattr(w.snapshot.tariffs[2], "status", "active"),
            "dialing route": lambda w: w.dialing_routes.append(DialingRoute.of("%", w.route)),
        }
        assert list(undo) == list(CONFIGURED)
        for name, (_, code, refuser) in CONFIGURED.items():
            assert world.verdict(is_looped=True) == (code, refuser), name
            undo[name](world)
        world.route.status = "inactive"
        assert world.verdict(is_looped=True) == ("NO_ROUTE", "route route-1")
        world.route.status = "active"
        assert world.verdict(is_looped=True) == ("LOOP", "Via")
        assert world.verdict() == ("", "")

    @pytest.mark.parametrize("destination", ["", "+"])
    def test_call_is_refused_when_it_has_no_number(self, world: World, destination: str) -> None:
        assert world.verdict(destination=destination) == ("NUMBER_NOT_ALLOWED", "empty number")

    @pytest.mark.parametrize(
        ("tariff", "code"),
        [
            (make_tariff(make_rate(prefix="33")), "NO_RATE"),
            (make_tariff(make_rate(), make_rate(prefix="44", status="blocked")), "RATE_BLOCKED"),
            (make_tariff(currency="USD"), "CURRENCY_MISMATCH"),
            (make_tariff(status="inactive"), "TARIFF_INACTIVE"),
        ],
    )
    @pytest.mark.parametrize(("tariff_id", "name"), [(1, "account CUST0001"), (2, "reseller RESE0010")])
    def test_call_is_refused_by_the_level_that_has_no_price(
        self, world: World, tariff: object, code: str, tariff_id: int, name: str
    ) -> None:
        world.carrier.tariff_id = 3
        world.snapshot.tariffs[3] = make_tariff(tariff_id=3)
        world.snapshot.tariffs[tariff_id] = tariff  # type: ignore[assignment]
        assert world.verdict() == (code, name)

    def test_call_is_refused_when_the_account_has_no_tariff(self, world: World) -> None:
        world.account.tariff_id = None
        assert world.verdict() == ("TARIFF_INACTIVE", "account CUST0001")

    def test_call_is_refused_when_no_dialing_route_matches(self, world: World) -> None:
        world.dialing_routes = [DialingRoute.of("33%", world.route)]
        assert world.verdict() == ("NO_DIALING_ROUTE", "account CUST0001")

    NO_ROUTES: tuple[tuple[str, Change], ...] = (
        ("route", lambda w: setattr(w.route, "status", "inactive")),
        ("carrier", lambda w: setattr(w.carrier, "status", "inactive")),
        ("gateway", lambda w: setattr(w.carrier.gateways[0], "status", "inactive")),
        ("carrier without tariff", lambda w: setattr(w.carrier, "tariff_id", None)),
        ("carrier with an inactive tariff", lambda w: w.snapshot.tariffs[3].__setattr__("status", "inactive")),
        ("carrier without rate", lambda w: w.snapshot.tariffs.__setitem__(3, make_tariff(make_rate(prefix="33")))),
        (
            "carrier with a blocked rate",
            lambda w: w.snapshot.tariffs.__setitem__(3, make_tariff(make_rate(status="blocked"))),
        ),
        ("no entry", lambda w: w.route.entries.clear()),
    )

    @pytest.mark.parametrize("change", [each[1] for each in NO_ROUTES], ids=[each[0] for each in NO_ROUTES])
    def test_call_is_refused_when_no_gateway_is_left(self, world: World, change: Change) -> None:
        world.snapshot.tariffs[3] = make_tariff(tariff_id=3)
        world.carrier.tariff_id = 3
        assert world.verdict() == ("", "")
        change(world)
        assert world.verdict() == ("NO_ROUTE", "route route-1")

    @pytest.mark.parametrize(
        ("changed", "verdict"),
        [
            ({"is_looped": True}, ("LOOP", "Via")),
            ({"max_forwards": 0}, ("LOOP", "Max-Forwards")),
            ({"max_forwards": 1}, ("", "")),
        ],
    )
    def test_call_is_refused_when_it_runs_in_a_circle(
        self, world: World, changed: dict[str, int], verdict: tuple[str, str]
    ) -> None:
        assert world.verdict(**changed) == verdict

    def test_invite_counts_only_when_device_and_accounts_are_active(self, world: World) -> None:
        assert world.decide().counts_cps
        assert world.decide(is_looped=True).counts_cps
        assert not world.decide(source_address="203.0.113.1").counts_cps
        world.reseller.status = "suspended"
        assert not world.decide().counts_cps


class TestTrace:
    CHECKS = ("caller", "device", "accounts", "number", "prices", "dialing_route", "route", "loop", "duration")

    def test_trace_names_every_check_when_the_call_may_go(self, world: World) -> None:
        trace: list[Step] = []
        world.decide(trace=trace)
        assert [step[0] for step in trace] == list(self.CHECKS)
        assert {step[2] for step in trace} == {"ok"}
        assert trace[0][1] == "ip:7"
        assert trace[2][1] == "CUST0001 < RESE0010"
        assert trace[4][1] == NUMBER

    def test_trace_ends_with_the_check_that_refused(self, world: World) -> None:
        trace: list[Step] = []
        world.dialing_routes = []
        world.decide(trace=trace)
        assert [step[0] for step in trace] == list(self.CHECKS[:6])
        assert trace[-1] == ("dialing_route", NUMBER, "NO_DIALING_ROUTE")

    def test_trace_says_what_was_looked_at_when_nobody_was_recognised(self, world: World) -> None:
        trace: list[Step] = []
        world.decide(source_address="203.0.113.1", trace=trace)
        assert trace == [("caller", "source address, credentials", "AUTHENTICATE")]

    def test_decision_is_the_same_when_it_is_traced_or_not(self, world: World) -> None:
        for status in ("active", "inactive"):
            world.device.status = status
            snapshot = world.link()
            assert world.decide(snapshot=snapshot) == world.decide(snapshot=snapshot, trace=[])


class TestNumbers:
    def test_number_loses_its_plus_and_nothing_else(self, world: World) -> None:
        decision = world.decide(destination="+442079460000", source="+49301")
        assert (decision.destination, decision.source) == ("442079460000", "+49301")
        assert decision.attempts[0].destination == "442079460000"


class TestPrices:
    def test_every_level_is_priced_by_its_own_tariff(self, world: World) -> None:
        world.snapshot.tariffs[1] = make_tariff(make_rate("0.03", "44"), make_rate("0.09"))
        world.snapshot.tariffs[2] = make_tariff(make_rate("0.02", "4420"), tariff_id=2)
        decision = world.decide()
        assert [(price.account.code, price.tariff.id, price.rate.rate_per_minute) for price in decision.levels] == [
            ("CUST0001", 1, Decimal("0.03")),
            ("RESE0010", 2, Decimal("0.02")),
        ]

    def test_price_is_the_one_in_force_at_the_call(self, world: World) -> None:
        world.snapshot.tariffs[1] = make_tariff(
            make_rate("0.03", "44", valid_until=NOW), make_rate("0.04", "44", valid_from=NOW)
        )
        for now, price in ((NOW - timedelta(microseconds=1), "0.03"), (NOW, "0.04")):
            decision = world.decide(now=now)
            assert decision.levels[0].rate.rate_per_minute == Decimal(price)
            assert decision.attempts[0].rate is decision.levels[0].rate


class TestAttempts:
    def test_attempts_are_the_gateways_of_each_carrier_in_the_order_of_the_entries(self, world: World) -> None:
        first = make_carrier(2, make_gateway(21, priority=2), make_gateway(22), make_gateway(23, status="inactive"))
        second = make_carrier(3, make_gateway(31, weight=1), make_gateway(32, weight=2))
        world.route = make_route(make_entry(1, second, "44", priority=2), make_entry(2, first, priority=1))
        world.dialing_routes = [DialingRoute.of("%", world.route)]
        decision = world.decide()
        assert [attempt.gateway.id for attempt in decision.attempts] == [22, 21, 32, 31]
        assert [attempt.carrier.id for attempt in decision.attempts] == [2, 2, 3, 3]
        assert decision.route is world.route

    def test_carrier_without_a_price_is_left_out(self, world: World) -> None:
        other = make_carrier(2, tariff_id=99)
        world.route = make_route(make_entry(1, other, priority=1), make_entry(2, world.carrier, priority=2))
        world.dialing_routes = [DialingRoute.of("%", world.route)]
        assert [attempt.carrier.id for attempt in world.decide().attempts] == [1]

    @pytest.mark.parametrize(("most", "count"), [(1, 1), (3, 3), (10, 4)])
    def test_attempts_are_cut_at_the_most(self, world: World, most: int, count: int) -> None:
        world.carrier.gateways = [make_gateway(number) for number in (1, 2, 3, 4)]
        world.snapshot.max_attempts = most
        assert [attempt.gateway.id for attempt in world.decide().attempts] == [1, 2, 3, 4][:count]

    def test_dialing_route_with_most_digits_is_taken(self, world: World) -> None:
        other = make_route(make_entry(9, make_carrier(5)), route_id=2)
        for entry in other.find(""):
            world.snapshot.carriers[5] = entry.carrier
        world.dialing_routes.append(DialingRoute.of("4420%", other))
        assert world.decide().route is other
        assert world.decide(destination="33").route is world.route


class TestDuration:
    """docs/behaviour.md §5: the least of all limits."""

    @pytest.mark.parametrize(
        ("account", "reseller", "system", "duration"),
        [
            (None, None, 7200, 7200),
            (600, None, 7200, 600),
            (None, 300, 7200, 300),
            (600, 300, 7200, 300),
            (300, 600, 7200, 300),
            (9000, 8000, 7200, 7200),
        ],
    )
    def test_call_may_last_as_long_as_the_strictest_level_allows(
        self, world: World, account: int | None, reseller: int | None, system: int, duration: int
    ) -> None:
        world.account.max_duration, world.reseller.max_duration = account, reseller
        world.snapshot.max_duration = system
        assert world.decide().max_duration == duration


class TestChain:
    def test_every_reseller_of_a_deep_chain_is_checked_priced_and_limited(self, world: World) -> None:
        above = [make_account(number, number + 1 if number < 19 else None) for number in range(11, 20)]
        world.accounts += above
        world.reseller.parent_id = 11
        decision = world.decide()
        assert [price.account.id for price in decision.levels] == [1, 10, *range(11, 20)]
        assert len(world.device.limits.levels) == 12
        above[-1].max_duration = 42
        assert world.decide().max_duration == 42
        above[-1].status = "suspended"
        assert world.verdict() == ("ACCOUNT_INACTIVE", "reseller RESE0019")

    def test_accounts_outside_the_chain_do_not_matter(self, world: World) -> None:
        world.accounts += [make_account(2, 10, status="closed"), make_account(11, status="closed", max_duration=1)]
        decision = world.decide()
        assert (decision.code, decision.max_duration) == ("", 7200)
