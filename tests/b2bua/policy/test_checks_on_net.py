"""Calls from one device of an account to another (docs/behaviour.md §2.5)."""

import pytest

from media.sdp import CodecList
from tests.support.policy import World, make_account, make_device, make_rules


@pytest.fixture
def world() -> World:
    return World()


class TestOnNet:
    """§2.5: an extension of the same account is called free of charge."""

    @pytest.fixture
    def bob(self, world: World) -> None:
        world.users.append(make_device(10, world.account, "user", username="bob", extension="101"))

    @pytest.mark.usefixtures("bob")
    def test_call_to_an_extension_goes_to_its_user_and_is_free(self, world: World) -> None:
        decision = world.decide(destination="101")
        assert (decision.code, decision.kind, decision.levels, decision.route) == ("", "on_net", [], None)
        (attempt,) = decision.attempts
        assert (attempt.kind, attempt.user, attempt.destination) == ("user", world.users[1], "101")
        assert (attempt.carrier, attempt.tariff, attempt.rate) == (None, None, None)
        assert decision.limits is world.device.limits
        assert decision.counts_cps

    @pytest.mark.usefixtures("bob")
    def test_call_to_an_extension_needs_no_rules_no_prices_and_no_route(self, world: World) -> None:
        world.account.rules = make_rules(destination=["%"], source=["%"])
        world.account.tariff_id, world.route.status, world.account.loss_guard = None, "inactive", True
        world.dialing_routes.clear()
        assert world.verdict(destination="101") == ("", "")

    @pytest.mark.usefixtures("bob")
    def test_call_to_an_extension_passes_the_checks_before(self, world: World) -> None:
        world.account.codec_check, world.account.codecs = True, CodecList.of(["GSM"])
        assert world.verdict(destination="101", codecs=("PCMU",)) == ("CODEC_NOT_ALLOWED", "account CUST0001")
        world.reseller.status = "suspended"
        assert world.verdict(destination="101", codecs=("PCMU",)) == ("ACCOUNT_INACTIVE", "reseller RESE0010")
        world.device.status = "inactive"
        assert world.verdict(destination="101", codecs=("PCMU",)) == ("DEVICE_INACTIVE", "device ip:7")

    def test_extension_of_another_account_is_a_number_like_others(self, world: World) -> None:
        world.accounts.append(make_account(2, 10))
        other = make_device(10, world.accounts[-1], "user", username="bob", extension="101")
        parent = make_device(11, world.reseller, "user", username="carol", extension="101")
        world.users += [other, parent]
        decision = world.decide(destination="101")
        assert (decision.kind, decision.attempts[0].kind) == ("outgoing", "gateway")
        assert [level.account.id for level in decision.levels] == [1, 10]

    @pytest.mark.parametrize("number", ["1010", "10", "1"])
    @pytest.mark.usefixtures("bob")
    def test_number_that_only_begins_like_an_extension_is_none(self, world: World, number: str) -> None:
        assert world.decide(destination=number).kind == "outgoing"

    @pytest.mark.usefixtures("bob")
    def test_call_is_refused_when_the_user_of_the_extension_is_inactive(self, world: World) -> None:
        world.users[1].status = "inactive"
        assert world.verdict(destination="101") == ("NOT_REGISTERED", "extension 101")

    @pytest.mark.usefixtures("bob")
    def test_callee_gets_the_codecs_of_the_account(self, world: World) -> None:
        world.account.codecs = CodecList.of(["PCMA"])
        assert world.decide(destination="101").attempts[0].codecs.is_open
        world.account.codec_check = True
        assert world.decide(destination="101", codecs=("PCMA",)).attempts[0].codecs is world.account.codecs

    @pytest.mark.usefixtures("bob")
    def test_call_to_an_extension_lasts_as_long_as_the_account_allows(self, world: World) -> None:
        world.reseller.max_duration = 77
        assert world.decide(destination="101").max_duration == 77

    @pytest.mark.usefixtures("bob")
    def test_user_that_calls_its_own_extension_is_called(self, world: World) -> None:
        decision = world.decide(destination="101", source_address="203.0.113.1", authenticated_user="bob")
        assert (decision.kind, decision.device, decision.attempts[0].user) == ("on_net", world.users[1], world.users[1])
