"""Which gateways are taken for down, and when they are tried again (docs/behaviour.md §4)."""

from collections.abc import Callable
from typing import Any

import pytest

from b2bua.call.health import FAILURES, RETRY, GatewayHealth
from b2bua.policy.routes import Gateway
from tests.b2bua.call.rig import CARRIERS, SWITCH, Rig
from tests.support.legs import on_loop
from tests.support.policy import make_gateway

MakeRig = Callable[..., Rig]
PLAIN = make_gateway(1)
PROBED = make_gateway(1, probe_interval=60)


class Watched:
    """Health whose clock the test sets."""

    def __init__(self, *, failures: int = 0) -> None:
        self.now = 1000.0
        self.health = GatewayHealth(lambda: self.now)
        for _ in range(failures):
            self.health.silent(1)

    def is_down(self, gateway: Gateway = PLAIN) -> bool:
        return self.health.is_down(gateway)


class TestDown:
    def test_gateway_is_up_when_nothing_is_known_of_it(self) -> None:
        assert not Watched().is_down()

    @pytest.mark.parametrize("gateway", [PLAIN, PROBED])
    @pytest.mark.parametrize(("failures", "is_down"), [(1, False), (2, False), (3, True), (4, True)])
    def test_gateway_is_down_when_three_in_a_row_met_silence(
        self, gateway: Gateway, failures: int, is_down: bool
    ) -> None:
        assert FAILURES == 3
        assert Watched(failures=failures).is_down(gateway) == is_down

    @pytest.mark.parametrize("failures", [1, 2, 3, 10])
    def test_any_answer_is_life_and_the_row_begins_anew(self, failures: int) -> None:
        watched = Watched(failures=failures)
        watched.health.answered(1)
        assert not watched.is_down()
        watched.health.silent(1)
        watched.health.silent(1)
        assert not watched.is_down()
        watched.health.silent(1)
        assert watched.is_down()

    def test_others_stay_up_when_one_is_down(self) -> None:
        assert not Watched(failures=3).is_down(make_gateway(2))

    def test_others_answers_bring_nobody_back(self) -> None:
        watched = Watched(failures=3)
        watched.health.answered(2)
        assert watched.is_down()


class TestRetry:
    def test_one_call_tries_it_when_half_a_minute_has_passed(self) -> None:
        assert RETRY == 30.0
        watched = Watched(failures=3)
        watched.now += 29.9
        assert watched.is_down()
        watched.now += 0.1
        assert not watched.is_down()
        watched.health.tried(1)
        assert watched.is_down()
        watched.now += 29.9
        assert watched.is_down()
        watched.now += 0.1
        assert not watched.is_down()

    def test_wait_begins_anew_when_that_call_meets_silence_too(self) -> None:
        watched = Watched(failures=3)
        watched.now += 30
        watched.health.tried(1)
        watched.now += 5
        watched.health.silent(1)
        watched.now += 29.9
        assert watched.is_down()
        watched.now += 0.1
        assert not watched.is_down()

    def test_nothing_waits_when_a_gateway_that_is_up_is_called(self) -> None:
        watched = Watched(failures=2)
        watched.health.tried(1)
        watched.health.tried(2)
        assert not watched.is_down()
        assert not watched.is_down(make_gateway(2))

    def test_no_call_tries_it_when_it_is_probed(self) -> None:
        watched = Watched(failures=3)
        watched.now += 100_000
        assert watched.is_down(PROBED)
        watched.health.answered(1)
        assert not watched.is_down(PROBED)


class TestList:
    def test_list_says_for_how_long_each_is_down(self) -> None:
        watched = Watched(failures=3)
        watched.now += 10
        watched.health.silent(1)  # is down since the third
        for gateway in (2, 2, 3, 3, 3):
            watched.health.silent(gateway)
        watched.now += 5
        assert watched.health.down() == {1: 15.0, 3: 5.0}

    def test_gateway_is_forgotten_when_it_is_configured_no_more(self) -> None:
        watched = Watched(failures=3)
        for _ in range(3):
            watched.health.silent(2)
        watched.health.follow(make_gateway(number) for number in (2, 7))
        assert set(watched.health.down()) == {2}


def probing(rig: Rig, *, interval: int = 60, carrier: int = 1) -> Rig:
    """The rig with one gateway that is probed."""
    rig.gateway(carrier).probe_interval = interval
    rig.driver.health._clock = rig.wire.clock
    rig.load()
    return rig


def change_gateway(rig: Rig, **changed: Any) -> None:
    """Another configuration is loaded, with another gateway in place of the one that is probed."""
    values = {"host": CARRIERS[0], "probe_interval": 60, **changed}
    rig.snapshot.carriers[1].gateways[0] = make_gateway(1, **values)
    rig.load()


def asked_at(rig: Rig, carrier: int = 1) -> list[int]:
    """At which second an OPTIONS went to a carrier, its repetitions left out."""
    seen: dict[str, float] = {}
    for each in rig.wire.carried:
        if each.label == "OPTIONS" and each.target == CARRIERS[carrier - 1]:
            seen.setdefault(each.message.call_id, each.at)
    return [round(at) for at in seen.values()]


def is_down(rig: Rig, carrier: int = 1) -> bool:
    return rig.driver.is_down(rig.gateway(carrier))


class TestProbe:
    """RFC 3261 §11."""

    @on_loop
    async def test_gateway_is_asked_once_an_interval(self, make_rig: MakeRig) -> None:
        rig = probing(make_rig())
        rig.carrier()
        rig.wire.advance(185)
        assert asked_at(rig) == [0, 60, 120, 180]
        assert asked_at(rig, 2) == []
        assert rig.records() == []

    @on_loop
    async def test_request_is_a_whole_one(self, make_rig: MakeRig) -> None:
        rig = probing(make_rig())
        rig.carrier()
        rig.wire.advance(1)
        (options,) = rig.wire.requests("OPTIONS", SWITCH)
        there = f"sip:{CARRIERS[0]}:5060"
        assert options.uri == there
        assert options.headers["to"] == [f"<{there}>"]
        assert options.headers["max-forwards"] == ["70"]
        assert options.headers["cseq"] == ["1 OPTIONS"]
        assert options.headers["accept"] == ["application/sdp"]
        assert SWITCH in options.headers["from"][0]
        assert options.from_tag
        assert not options.to_tag

    @on_loop
    @pytest.mark.parametrize("status", [200, 302, 404, 405, 486, 501, 503, 603])
    async def test_answer_of_any_status_brings_it_back(self, make_rig: MakeRig, status: int) -> None:
        rig = make_rig()
        for _ in range(3):
            rig.driver.health.silent(1)
        rig.carrier(options=status)
        probing(rig)
        assert is_down(rig)
        rig.wire.advance(0.1)
        assert not is_down(rig)

    @on_loop
    async def test_silence_for_the_invite_timeout_counts(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.gateway().invite_timeout = 7.0
        rig.driver.health.silent(1)
        rig.driver.health.silent(1)
        probing(rig)
        rig.wire.advance(6.9)
        assert not is_down(rig)
        rig.wire.advance(0.2)
        assert is_down(rig)

    @on_loop
    async def test_it_is_down_when_three_probes_met_silence_and_up_when_one_is_answered(
        self, make_rig: MakeRig
    ) -> None:
        rig = probing(make_rig())
        rig.wire.advance(134.9)
        assert asked_at(rig) == [0, 65, 130]
        assert not is_down(rig)
        rig.wire.advance(0.2)
        assert is_down(rig)
        rig.wire.advance(40)  # until the last OPTIONS is repeated no more: an answer to it would be life, too
        rig.carrier()
        rig.wire.advance(19.5)
        assert is_down(rig)
        rig.wire.advance(0.5)
        assert not is_down(rig)

    @on_loop
    async def test_transport_fault_counts_as_silence(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.wire.unreachable.add(CARRIERS[0])
        probing(rig)
        rig.wire.advance(119.9)
        assert not is_down(rig)
        rig.wire.advance(0.2)
        assert is_down(rig)

    @on_loop
    async def test_gateway_counts_as_silent_when_no_listener_has_its_transport(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.gateway().transport = "tcp"
        probing(rig)
        rig.wire.advance(120.1)
        assert is_down(rig)
        assert asked_at(rig) == []

    @on_loop
    async def test_probe_of_before_is_no_silence_of_the_present_one(self, make_rig: MakeRig) -> None:
        """Timer F of an unanswered OPTIONS runs out 32 s later, while the next one is being asked."""
        rig = make_rig()
        rig.driver.health.silent(1)
        probing(rig, interval=26)
        rig.wire.advance(30)
        rig.carrier(options=0)
        rig.wire.advance(2.5)
        assert asked_at(rig) == [0, 31]
        assert not is_down(rig)
        rig.wire.advance(4)
        assert is_down(rig)

    @on_loop
    async def test_late_answer_is_life_too(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        for _ in range(2):
            rig.driver.health.silent(1)
        probing(rig)
        rig.wire.advance(5.5)
        assert is_down(rig)
        rig.carrier()  # is there for the next repetition of the OPTIONS
        rig.wire.advance(10)
        assert [each.label for each in rig.wire.carried][-1] == "200 OPTIONS"
        assert not is_down(rig)


class TestProber:
    @on_loop
    async def test_gateways_are_not_all_asked_at_once(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.carrier(1)
        rig.carrier(2)
        for number in (1, 2):
            rig.gateway(number).probe_interval = 60
        rig.load()
        rig.wire.advance(100)
        assert (asked_at(rig, 1), asked_at(rig, 2)) == ([0, 60], [30, 90])

    @on_loop
    async def test_rhythm_stays_when_the_configuration_is_loaded_again(self, make_rig: MakeRig) -> None:
        rig = probing(make_rig())
        rig.carrier()
        rig.wire.advance(40)
        rig.load()
        rig.wire.advance(30)
        assert asked_at(rig) == [0, 60]

    @on_loop
    async def test_new_timeout_counts_when_the_configuration_is_loaded_again(self, make_rig: MakeRig) -> None:
        rig = probing(make_rig())
        rig.driver.health.silent(1)
        rig.wire.advance(10)
        change_gateway(rig, invite_timeout=2.0)
        rig.wire.advance(56.5)
        assert asked_at(rig) == [0, 65]
        assert not is_down(rig)
        rig.wire.advance(0.6)
        assert is_down(rig)

    @on_loop
    @pytest.mark.parametrize("answers", [True, False])
    async def test_probing_begins_anew_when_the_address_changes(self, make_rig: MakeRig, answers: bool) -> None:
        rig = probing(make_rig())
        rig.carrier(options=200 if answers else 0)
        rig.carrier(3)
        rig.wire.advance(2)
        change_gateway(rig, host=CARRIERS[2])
        rig.wire.advance(70)
        assert asked_at(rig) == [0]
        assert asked_at(rig, 3) == [2, 62]
        assert rig.driver.health.down() == {}

    @on_loop
    @pytest.mark.parametrize(
        "change",
        [{"status": "inactive"}, {"probe_interval": 0}],
        ids=["inactive", "not probed any more"],
    )
    async def test_gateway_is_asked_no_more_when_it_is(self, make_rig: MakeRig, change: dict[str, object]) -> None:
        rig = probing(make_rig())
        rig.carrier()
        rig.wire.advance(10)
        change_gateway(rig, **change)
        rig.wire.advance(200)
        assert asked_at(rig) == [0]

    @on_loop
    async def test_answer_changes_nothing_when_the_gateway_is_gone(self, make_rig: MakeRig) -> None:
        rig = probing(make_rig())
        rig.wire.advance(1)
        rig.snapshot.carriers[1].gateways.clear()
        rig.load()
        rig.carrier()
        rig.wire.advance(100)
        assert rig.driver.health.down() == {}
        assert asked_at(rig) == [0]
        assert rig.switch.wheel.count == 0

    @on_loop
    async def test_nothing_is_left_when_probing_ends(self, make_rig: MakeRig) -> None:
        rig = probing(make_rig())
        rig.wire.advance(1)
        rig.gateway().probe_interval = 0
        rig.load()
        rig.assert_nothing_is_left()
