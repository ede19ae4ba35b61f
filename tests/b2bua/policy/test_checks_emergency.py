"""Emergency calls (docs/behaviour.md §1): they pass every check but 1 and 2, and no limit holds for them."""

from collections.abc import Callable

import pytest

from b2bua.policy.checks import UNLIMITED
from b2bua.policy.decision import Trace
from media.sdp import CodecList
from tests.support.policy import (
    NOW,
    Weather,
    World,
    make_carrier,
    make_device,
    make_entry,
    make_gateway,
    make_route,
    make_rules,
    make_tariff,
)
from tests.support.records import make_rate

Change = Callable[[World], object]


@pytest.fixture
def world() -> World:
    """A world in which 112 leads to a route of its own."""
    world = World()
    carrier = make_carrier(5, make_gateway(51, max_duration=60, max_sessions=0, cps=0), max_sessions=0, cps=0)
    world.emergency = [("112", make_route(make_entry(9, carrier), route_id=7))]
    return world


def offer_no_codec(world: World) -> None:
    world.account.codec_check, world.account.codecs = True, CodecList.of(["GSM"])


def lose_on_every_call(world: World) -> None:
    world.account.loss_guard, world.snapshot.tariffs[1] = True, make_tariff(make_rate("0"))


def limit_to_nothing(world: World) -> None:
    world.account.max_sessions = world.reseller.cps = world.device.max_sessions = 0


OBSTACLES: dict[str, Change] = {
    "no rules": lambda w: setattr(w.account, "rules", make_rules(destination=[], source=[])),
    "rules of the reseller": lambda w: setattr(w.reseller, "rules", make_rules(destination=["%"], source=["%"])),
    "codec": offer_no_codec,
    "no tariff": lambda w: setattr(w.account, "tariff_id", None),
    "inactive tariff": lambda w: setattr(w.snapshot.tariffs[2], "status", "inactive"),
    "blocked rate": lambda w: w.snapshot.tariffs.__setitem__(1, make_tariff(make_rate(status="blocked"))),
    "other currency": lambda w: w.snapshot.tariffs.__setitem__(2, make_tariff(tariff_id=2, currency="USD")),
    "no dialing route": lambda w: w.dialing_routes.clear(),
    "no permitted route": lambda w: setattr(w, "permitted", []),
    "loss guard": lose_on_every_call,
    "carrier without tariff": lambda w: setattr(w.emergency[0][1].find("112", NOW)[0].carrier, "tariff_id", None),
    "inactive tariff of the carrier": lambda w: setattr(w.snapshot.tariffs[1], "status", "inactive"),
    "limits": limit_to_nothing,
    "duration": lambda w: setattr(w.account, "max_duration", 1),
    "no engine": lambda w: setattr(w.account, "with_media", True),
}


class TestEmergency:
    @pytest.mark.parametrize("change", OBSTACLES.values(), ids=OBSTACLES)
    def test_call_goes_through_whatever_is_in_its_way(self, world: World, change: Change) -> None:
        change(world)
        decision = world.decide(
            destination="112",
            codecs=("opus",),
            source="anonymous",
            is_looped=True,
            max_forwards=0,
            conditions=Weather(has_media=False),
        )
        assert (decision.code, decision.kind, decision.is_anchored) == ("", "emergency", False)
        assert [attempt.gateway.id for attempt in decision.attempts] == [51]

    def test_audio_crosses_us_when_that_is_asked_for_and_can_be(self, world: World) -> None:
        world.account.with_media = True
        decision = world.decide(destination="112")
        assert (decision.is_anchored, decision.must_be_anchored) == (True, False)

    @pytest.mark.parametrize("change", OBSTACLES.values(), ids=OBSTACLES)
    def test_other_calls_are_not_helped(self, world: World, change: Change) -> None:
        change(world)
        assert world.decide(destination="1120").kind != "emergency"

    def test_call_takes_no_sessions_counts_nowhere_and_is_free(self, world: World) -> None:
        decision = world.decide(destination="112")
        assert (decision.limits, decision.counts_cps, decision.levels) == (None, False, [])

    def test_call_is_never_cut(self, world: World) -> None:
        world.account.max_duration = world.reseller.max_duration = 5
        decision = world.decide(destination="112")
        assert decision.max_duration == UNLIMITED
        assert [attempt.gateway.max_duration for attempt in decision.attempts] == [None]

    def test_carrier_and_gateway_do_not_limit_it_but_all_other_calls(self, world: World) -> None:
        snapshot = world.link()
        (attempt,) = world.decide(destination="112", snapshot=snapshot).attempts
        assert attempt.gateway.limits.levels == []
        (gateway,) = snapshot.carriers[5].gateways
        assert (gateway.max_duration, [level.max_sessions for level in gateway.limits.levels]) == (60, [0, 0])
        assert (attempt.gateway.host, attempt.gateway.port) == (gateway.host, gateway.port)

    def test_call_goes_by_the_route_of_its_number_and_no_other(self, world: World) -> None:
        world.dialing_routes = [("112", world.route)]
        decision = world.decide(destination="112")
        assert decision.route is world.emergency[0][1]
        assert (decision.destination, decision.sent_destination) == ("112", "112")

    @pytest.mark.parametrize("number", ["+112", "112"])
    def test_number_is_the_same_with_a_plus(self, world: World, number: str) -> None:
        decision = world.decide(destination=number)
        assert (decision.kind, decision.destination, decision.attempts[0].destination) == ("emergency", "112", "112")

    def test_more_digits_are_another_number_unless_the_list_says_so(self, world: World) -> None:
        assert world.decide(destination="1123").kind == "outgoing"
        world.emergency = [("112%", world.emergency[0][1])]
        assert world.decide(destination="1123").kind == "emergency"

    def test_extension_of_the_same_number_does_not_hide_it(self, world: World) -> None:
        world.users.append(make_device(10, world.account, "user", username="bob", extension="112"))
        assert world.decide(destination="112").kind == "emergency"

    def test_user_that_has_proved_its_secret_may_call_it(self, world: World) -> None:
        decision = world.decide(destination="112", source_address="203.0.113.1", authenticated_user="alice")
        assert (decision.kind, decision.device) == ("emergency", world.user)

    def test_stranger_is_asked_for_its_secret(self, world: World) -> None:
        assert world.decide(destination="112", source_address="203.0.113.1").code == "AUTHENTICATE"

    @pytest.mark.parametrize(
        ("change", "verdict"),
        [
            (lambda w: setattr(w.device, "status", "inactive"), ("DEVICE_INACTIVE", "device ip:7")),
            (lambda w: setattr(w.account, "status", "suspended"), ("ACCOUNT_INACTIVE", "account CUST0001")),
            (lambda w: setattr(w.reseller, "status", "closed"), ("ACCOUNT_INACTIVE", "reseller RESE0010")),
            (lambda w: w.emergency[0][1].entries.clear(), ("NO_ROUTE", "route route-7")),
        ],
    )
    def test_call_is_refused_when_device_or_account_is_inactive_or_nothing_leads_there(
        self, world: World, change: Change, verdict: tuple[str, str]
    ) -> None:
        change(world)
        assert world.verdict(destination="112") == verdict

    def test_carriers_come_by_priority_then_weight_whatever_the_mode_is(self, world: World) -> None:
        entries = [
            make_entry(1, make_carrier(1), priority=2),
            make_entry(2, make_carrier(2, tariff_id=None), weight=10),
            make_entry(3, make_carrier(3), weight=90),
        ]
        for mode in ("least_cost", "load_share"):
            world.emergency = [("112", make_route(*entries, route_id=7, mode=mode))]
            weather = Weather()
            for _ in range(3):
                assert world.carriers_tried(destination="112", conditions=weather) == [3, 2, 1]
            assert weather.turns == 0

    def test_call_takes_no_turn_of_a_route_that_shares_its_load(self, world: World) -> None:
        world.emergency[0][1].mode = "load_share"
        assert not world.decide(destination="112").shares_load

    def test_every_codec_may_be_spoken(self, world: World) -> None:
        world.emergency[0][1].find("112", NOW)[0].carrier.codecs = CodecList.of(["PCMA"])
        world.account.codec_check, world.account.codecs = True, CodecList.of(["GSM"])
        assert world.decide(destination="112").attempts[0].codecs.is_open

    def test_trace_shows_the_checks_that_were_made(self, world: World) -> None:
        trace = Trace()
        world.decide(destination="112", trace=trace)
        made = ["caller", "device", "accounts", "kind", "route", "media", "unlimited"]
        assert [step.check for step in trace.steps] == made
        looked_at = [step.looked_at for step in trace.steps]
        assert looked_at[3:] == ["112: emergency", "route-7: 1 to try", "from end to end", "never cut"]
