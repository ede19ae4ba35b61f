"""Gateways that are down, and load that is shared (docs/behaviour.md §4)."""

from collections.abc import Callable

import pytest

from b2bua.policy.numbers import DialPatterns
from tests.b2bua.call.rig import CALLER, CARRIERS, NUMBER, SWITCH, Rig, add_carrier
from tests.support import sip
from tests.support.legs import on_loop

MakeRig = Callable[..., Rig]


def with_four(rig: Rig) -> Rig:
    """The rig with four carriers; what is down is measured by the wire's clock."""
    for number in (3, 4):
        add_carrier(rig.snapshot, number)
    rig.driver.health._clock = rig.wire.clock
    return rig


def tried(rig: Rig) -> list[int]:
    """Which carriers the last call was sent to, in their order."""
    call_id = rig.wire.requests("INVITE", CALLER)[-1].call_id
    ids = [record["gateway_id"] for record in rig.records() if record["a_call_id"] == call_id]
    return ids + [call.record.gateway_id for call in rig.driver.calls.values() if call.record.a_call_id == call_id]


def call(rig: Rig, seconds: float = 20.0) -> list[int]:
    """Dial, wait for the end of all failovers, hang up; returns which carriers were tried."""
    rig.caller.is_answered.clear()
    rig.dial()
    rig.wire.advance(seconds)
    if rig.caller.is_answered.is_set():
        rig.hang_up(rig.caller)
    return tried(rig)


class TestDown:
    @on_loop
    async def test_gateways_that_were_silent_three_times_are_left_out(self, make_rig: MakeRig) -> None:
        rig = with_four(make_rig())
        rig.carrier(4)
        for _ in range(3):
            assert call(rig, 16.0) == [1, 2, 3, 4]
            assert rig.caller.is_answered.is_set()
        began = rig.wire.now
        rig.dial()
        assert tried(rig) == [4]
        assert rig.caller.is_answered.is_set()
        assert rig.wire.now == began  # at once
        rig.hang_up(rig.caller)
        rig.assert_nothing_is_left()

    @on_loop
    async def test_gateways_that_cannot_be_reached_are_left_out(self, make_rig: MakeRig) -> None:
        rig = with_four(make_rig())
        rig.wire.unreachable |= set(CARRIERS[:3])
        rig.carrier(4)
        assert [call(rig, 1.0) for _ in range(4)] == [[1, 2, 3, 4]] * 3 + [[4]]

    @on_loop
    @pytest.mark.parametrize("status", [403, 404, 408, 500, 503])
    async def test_gateway_that_refuses_is_alive(self, make_rig: MakeRig, status: int) -> None:
        rig = with_four(make_rig())
        rig.carrier(1, refuse=status)
        rig.carrier(2)
        assert [call(rig, 1.0) for _ in range(5)] == [[1, 2]] * 5
        assert rig.driver.health.down() == {}

    @on_loop
    async def test_gateway_that_only_tries_is_alive(self, make_rig: MakeRig) -> None:
        rig = with_four(make_rig())
        rig.carrier(1, rings=False, answers=False)
        rig.carrier(2)
        assert [call(rig, 12.0) for _ in range(5)] == [[1, 2]] * 5
        assert rig.driver.health.down() == {}

    @on_loop
    async def test_row_is_broken_when_a_call_is_answered(self, make_rig: MakeRig) -> None:
        rig = with_four(make_rig())
        rig.carrier(2)
        for _ in range(2):
            call(rig, 6.0)
        rig.carrier(1)
        assert call(rig, 1.0) == [1]
        rig.wire.unreachable.add(CARRIERS[0])
        assert [call(rig, 1.0) for _ in range(4)] == [[1, 2]] * 3 + [[2]]

    @on_loop
    async def test_call_is_refused_when_every_gateway_is_down(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        for gateway in (1, 2):
            for _ in range(3):
                rig.driver.health.silent(gateway)
        rig.dial()
        assert rig.caller.status == 404
        assert [(record["code"], record["object"]) for record in rig.records()] == [("NO_ROUTE", "route all")]

    @on_loop
    async def test_caller_that_gives_up_is_no_silence(self, make_rig: MakeRig) -> None:
        rig = with_four(make_rig())
        rig.carrier(2)
        for _ in range(4):
            rig.dial()
            rig.wire.advance(4.0)
            rig.caller.cancel()
            rig.wire.settle()
        assert rig.driver.health.down() == {}


class TestBack:
    @on_loop
    async def test_one_call_tries_it_after_half_a_minute(self, make_rig: MakeRig) -> None:
        rig = with_four(make_rig())
        rig.wire.unreachable.add(CARRIERS[0])
        rig.carrier(2)
        for _ in range(3):
            call(rig, 1.0)
        rig.wire.advance(28.0)  # the last silence is 29 s ago
        assert call(rig, 1.5) == [2]
        assert call(rig, 1.0) == [1, 2]
        assert call(rig, 1.0) == [2]

    @on_loop
    async def test_it_is_back_when_that_call_is_answered(self, make_rig: MakeRig) -> None:
        rig = with_four(make_rig())
        rig.carrier(2)
        for _ in range(3):
            call(rig, 6.0)
        rig.wire.advance(30.0)
        rig.carrier(1)
        assert [call(rig, 1.0) for _ in range(3)] == [[1]] * 3

    @on_loop
    async def test_one_call_tries_it_when_many_come_at_the_moment(self, make_rig: MakeRig) -> None:
        rig = with_four(make_rig())
        rig.carrier(2)
        for _ in range(3):
            rig.driver.health.silent(1)
        rig.wire.advance(30.0)
        rig.store.is_slow = True
        for _ in range(5):
            rig.dial()
        rig.store.is_slow = False
        rig.wire.settle()
        assert len(rig.wire.requests("INVITE", SWITCH, CARRIERS[0])) == 1

    @on_loop
    async def test_probed_one_is_back_when_its_options_is_answered(self, make_rig: MakeRig) -> None:
        rig = with_four(make_rig())
        rig.gateway(1).probe_interval = 100
        for _ in range(3):
            rig.driver.health.silent(1)
        rig.load()
        rig.carrier(2)
        assert call(rig, 60.0) == [2]  # no call tries it, however long it is down
        rig.carrier(1, options=503)
        assert call(rig, 44.0) == [2]
        rig.wire.advance(2.0)
        assert call(rig, 1.0) == [1]

    @on_loop
    async def test_it_is_down_by_probes_before_any_call_came(self, make_rig: MakeRig) -> None:
        rig = with_four(make_rig())
        rig.gateway(1).probe_interval = 10
        rig.load()
        rig.wire.advance(40.0)
        rig.carrier(2)
        assert call(rig, 1.0) == [2]

    @pytest.mark.parametrize("interval", [0, 60])
    @on_loop
    async def test_it_is_up_when_it_has_another_address(self, make_rig: MakeRig, interval: int) -> None:
        rig = with_four(make_rig())
        rig.load()
        for _ in range(3):
            rig.driver.health.silent(1)
        gateway = rig.gateway(1)
        rig.snapshot.carriers[1].gateways[0] = type(gateway)(
            1, "gateway-1", CARRIERS[2], 5060, "udp", 1, 1, None, None, 5.0, 10.0, 60.0, None, probe_interval=interval
        )
        rig.load()
        assert not rig.driver.is_down(rig.gateway(1))


class TestLoadShare:
    """`load_share`: by weight, smooth."""

    def sharing(self, rig: Rig, *weights: int) -> Rig:
        route = rig.snapshot.routes[1]
        route.mode = "load_share"
        for entry, weight in zip(route.entries[""], weights or (1, 1), strict=True):
            entry.priority, entry.weight = 1, weight
        return rig

    def firsts(self, rig: Rig, calls: int) -> list[int]:
        return [call(rig, 1.0)[0] for _ in range(calls)]

    @on_loop
    async def test_calls_are_shared_by_weight(self, make_rig: MakeRig) -> None:
        rig = self.sharing(make_rig(), 3, 1)
        rig.carrier(1)
        rig.carrier(2)
        firsts = self.firsts(rig, 40)
        assert abs(firsts.count(1) - 30) <= 1
        # Never many calls to the lighter one in a row.
        assert "22" not in "".join(map(str, firsts))

    @on_loop
    async def test_turn_goes_on_with_each_call_that_goes(self, make_rig: MakeRig) -> None:
        rig = self.sharing(make_rig())
        rig.carrier(1)
        rig.carrier(2)
        assert rig.driver.turn(1) == 0
        for turn in (1, 2, 3):
            call(rig, 1.0)
            assert rig.driver.turn(1) == turn

    @on_loop
    async def test_turn_stays_when_the_route_does_not_share(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.carrier(1)
        call(rig, 1.0)
        assert rig.driver.turn(1) == 0

    @on_loop
    @pytest.mark.parametrize("why", ["hops", "down", "media", "draining"])
    async def test_turn_stays_when_the_call_is_refused(self, make_rig: MakeRig, why: str) -> None:
        rig = self.sharing(make_rig())
        if why == "down":
            for gateway in (1, 2):
                for _ in range(3):
                    rig.driver.health.silent(gateway)
        rig.customer.with_media = why == "media"
        rig.driver.is_draining = why == "draining"
        hops = {"Max-Forwards": "0" if why == "hops" else "70"}
        assert rig.send(sip.request(sent_by=f"{CALLER}:5060", uri=f"sip:{NUMBER}@{SWITCH}", changed=hops)).status >= 400
        assert rig.driver.turn(1) == 0

    @on_loop
    async def test_turn_stays_when_the_caller_is_challenged(self, make_rig: MakeRig) -> None:
        rig = self.sharing(make_rig())
        invite = sip.request(sent_by="198.51.100.99:5060", uri=f"sip:{NUMBER}@{SWITCH}")
        assert rig.send(invite, "198.51.100.99").status == 407
        assert rig.driver.turn(1) == 0

    @on_loop
    async def test_next_in_turn_is_called_when_the_first_refuses(self, make_rig: MakeRig) -> None:
        rig = self.sharing(make_rig())
        rig.carrier(1, refuse=503)
        rig.carrier(2, refuse=503)
        assert sorted(call(rig, 1.0)) == [1, 2]


class TestRouteSettings:
    @on_loop
    async def test_routes_own_failover_codes_count(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.snapshot.routes[1].failover_codes = frozenset({404})
        rig.carrier(1, refuse=503)
        rig.carrier(2)
        assert call(rig, 1.0) == [1]
        rig.carrier(1, refuse=404)
        assert call(rig, 1.0) == [1, 2]

    @on_loop
    async def test_system_setting_counts_when_the_route_has_none(self, make_rig: MakeRig) -> None:
        rig = make_rig(call={"failover_codes": (404,)})
        rig.carrier(1, refuse=503)
        rig.carrier(2)
        assert call(rig, 1.0) == [1]
        rig.carrier(1, refuse=404)
        assert call(rig, 1.0) == [1, 2]

    @on_loop
    async def test_no_code_leads_on_when_the_routes_list_is_empty(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.snapshot.routes[1].failover_codes = frozenset()
        rig.carrier(1, refuse=503)
        rig.carrier(2)
        assert call(rig, 1.0) == [1]

    @on_loop
    @pytest.mark.parametrize("goes_on", [True, False])
    async def test_ringing_leads_on_when_the_route_says_so(self, make_rig: MakeRig, goes_on: bool) -> None:
        rig = make_rig()
        rig.snapshot.routes[1].ring_failover = goes_on
        first = rig.carrier(1, answers=False)
        rig.carrier(2)
        assert call(rig, 60.1) == ([1, 2] if goes_on else [1])
        assert first.is_ended.is_set()

    @on_loop
    async def test_dialing_patterns_choose_among_routes(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        route = rig.snapshot.routes[1]
        closed = type(route)(2, "closed", "inactive")
        rig.customer.patterns = DialPatterns.of([("%", route), ("4420%", closed)])
        rig.snapshot.accounts[1].route_ids = frozenset([1, 2])
        rig.dial()
        assert [record["object"] for record in rig.records()] == ["route closed"]
