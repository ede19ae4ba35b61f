"""The types of a decision by themselves."""

import pytest

from b2bua.policy.decision import FAIR_WEATHER, CallRequest, Case, Decision, Trace
from tests.support.policy import NOW, World, make_gateway, make_route


class TestDecision:
    @pytest.mark.parametrize(("mode", "shares"), [("least_cost", False), ("load_share", True)])
    def test_decision_shares_load_when_its_route_does(self, mode: str, shares: bool) -> None:
        assert Decision(route=make_route(mode=mode)).shares_load is shares
        assert not Decision().shares_load
        assert not Decision(kind="emergency", route=make_route(mode=mode)).shares_load

    def test_decisions_share_nothing_that_is_filled_in(self) -> None:
        one, other = Decision(), Decision()
        assert one.attempts is not other.attempts
        assert one.levels is not other.levels
        assert Trace().steps is not Trace().steps


class TestCase:
    def test_refusal_names_its_object_and_leaves_the_code_to_whoever_made_the_check(self) -> None:
        world = World()
        decision = world.decide()
        case = Case(CallRequest("", "", ""), world.snapshot, NOW, FAIR_WEATHER, decision)
        assert case.account is world.account
        assert case.refuse("NO_RATE", "account CUST0001") == "NO_RATE"
        assert (decision.code, decision.object) == ("", "account CUST0001")


class TestFairWeather:
    def test_nothing_is_in_the_way(self) -> None:
        assert FAIR_WEATHER.has_media
        assert not FAIR_WEATHER.is_down(make_gateway(1))
        assert FAIR_WEATHER.turn(1) == FAIR_WEATHER.turn(1) == 0
