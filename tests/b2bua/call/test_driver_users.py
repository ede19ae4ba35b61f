"""Calls to SIP users, where they are registered (docs/behaviour.md §2.5, §8)."""

from collections.abc import Callable
from typing import Any

import pytest

from b2bua.policy.accounts import CallHandling
from b2bua.policy.dids import DIDDestination
from b2bua.registrar.bindings import Binding
from tests.b2bua.call.rig import CUSTOMER, NUMBER, SWITCH, Rig
from tests.support.legs import WiredAnswerer, on_loop
from tests.support.registrations import make_binding

MakeRig = Callable[..., Rig]
DESK, HOME = "198.51.100.41", "198.51.100.42"


def at(host: str, **changed: Any) -> Binding:
    """A registration of this run of the worker, for longer than any test."""
    values = {"host": host, "source": host, "port": 5060, "contact": f"sip:alice@{host}:5062", "worker": "sip-1:1"}
    return make_binding(**(values | changed))


def with_did(rig: Rig, *places: Binding) -> Rig:
    """The rig with a DID that leads to the SIP user, who is registered at these places."""
    rig.price_incoming(1, "0.012")
    rig.add_did(DIDDestination("sip_user", ("user", 9)))
    rig.register(*places)
    return rig


class TestRegistered:
    @on_loop
    async def test_user_is_called_where_it_is_registered(self, make_rig: MakeRig) -> None:
        rig = with_did(make_rig(), at(DESK))
        desk = WiredAnswerer(rig.wire, DESK)
        caller = rig.dial_in()
        assert caller.is_answered.is_set()
        assert [invite.uri for invite in desk.invites] == [f"sip:alice@{DESK}:5062"]
        rig.hang_up(caller)
        (record,) = rig.records()
        assert (record["attempt"], record["b_address"], record["carrier_id"]) == (1, f"{DESK}:5060", 1)
        rig.assert_nothing_is_left()

    @on_loop
    async def test_flow_is_made_again_when_another_run_had_it(self, make_rig: MakeRig) -> None:
        rig = with_did(make_rig(), at(DESK, worker="sip-1:0"))
        desk = WiredAnswerer(rig.wire, DESK)
        rig.dial_in()
        assert len(desk.invites) == 1

    @on_loop
    async def test_all_places_ring_and_the_first_to_answer_has_the_call(self, make_rig: MakeRig) -> None:
        rig = with_did(make_rig(), at(HOME, q=0.5), at(DESK))
        desk = WiredAnswerer(rig.wire, DESK, answers=False)
        home = WiredAnswerer(rig.wire, HOME)
        caller = rig.dial_in()
        assert [len(phone.invites) for phone in (desk, home)] == [1, 1]
        assert home.is_answered.is_set()
        assert not desk.is_answered.is_set()
        assert [message.method for message in rig.wire.requests("CANCEL", SWITCH)] == ["CANCEL"]
        rig.hang_up(caller)
        (record,) = rig.records()
        assert (record["attempt"], record["code"], record["b_address"]) == (1, "ANSWERED", f"{HOME}:5060")
        assert rig.driver.health.down() == {}
        rig.assert_nothing_is_left()

    @on_loop
    async def test_caller_hears_the_best_answer_when_none_takes_the_call(self, make_rig: MakeRig) -> None:
        rig = with_did(make_rig(), at(HOME), at(DESK))
        WiredAnswerer(rig.wire, DESK, refuse=404)
        WiredAnswerer(rig.wire, HOME, refuse=486)
        assert rig.dial_in().status == 486
        assert [record["code"] for record in rig.records()] == ["BUSY"]
        rig.assert_nothing_is_left()

    @on_loop
    async def test_next_destination_is_called_when_no_place_answers(self, make_rig: MakeRig) -> None:
        rig = with_did(make_rig(), at(DESK), at(HOME))
        device = rig.add_device()
        rig.snapshot.dids.clear()
        rig.add_did(DIDDestination("sip_user", ("user", 9)), DIDDestination("ip_device", ("ip", 11)))
        rig.wire.unreachable |= {DESK, HOME}
        rig.dial_in()
        assert device.is_answered.is_set()
        assert [record["code"] for record in rig.records()] == ["TRANSPORT_FAILURE"]

    @on_loop
    async def test_caller_is_refused_when_the_registration_is_over(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        with_did(rig, at(DESK, expires_at=rig.wire.time_of_day() - 1))
        assert rig.dial_in().status == 480
        assert [record["code"] for record in rig.records()] == ["NOT_REGISTERED"]

    @on_loop
    async def test_caller_is_refused_when_the_live_store_goes_away(self, make_rig: MakeRig) -> None:
        rig = with_did(make_rig(), at(DESK))
        rig.store.is_slow = True
        caller = rig.dial_in()
        rig.store.is_slow = False
        rig.store.answer()
        rig.store.is_away = True
        rig.wire.settle()
        assert caller.status == 503
        assert [record["code"] for record in rig.records()] == ["LIVE_STORE_AWAY"]
        assert rig.driver.calls == {}

    @on_loop
    @pytest.mark.parametrize("places", [[], [DESK], [DESK, HOME]])
    async def test_nobody_is_called_when_the_caller_cancels_before(self, make_rig: MakeRig, places: list[str]) -> None:
        rig = with_did(make_rig(), *map(at, places))
        rig.store.is_slow = True
        caller = rig.dial_in()
        rig.store.is_slow = False
        rig.store.answer()
        rig.store.is_slow = True
        rig.wire.advance(0.2)  # 100 Trying: a caller cancels only what was answered
        caller.cancel()
        rig.wire.settle()
        rig.store.is_slow = False
        rig.wire.settle()
        assert rig.wire.requests("INVITE", SWITCH) == []
        assert [record["code"] for record in rig.records()] == ["CANCELLED"]
        rig.assert_nothing_is_left()


class TestOnNet:
    @on_loop
    async def test_extension_is_free(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.register(at(DESK))
        WiredAnswerer(rig.wire, DESK)
        rig.pay(CUSTOMER, "0")
        rig.dial("101")
        assert rig.caller.is_answered.is_set()
        assert rig.held() == [0, 0]
        assert len(rig.store.taken) == 3  # device, customer, reseller
        rig.wire.advance(600.0)
        rig.hang_up(rig.caller)
        (line,) = [line for line in rig.lines() if line["kind"] == "cdr"]
        record = line["record"]
        assert (record["kind"], record["code"], record["duration"], record["gross"]) == (
            "on_net", "ANSWERED", 600.0, None,
        )  # fmt: skip
        assert line["charges"] == []
        rig.assert_nothing_is_left()

    @on_loop
    async def test_extension_is_registered_nowhere(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.register()
        rig.dial("101")
        assert rig.caller.status == 480
        assert [(record["kind"], record["code"]) for record in rig.records()] == [("on_net", "NOT_REGISTERED")]
        rig.assert_nothing_is_left()


class TestCallHandling:
    """Forwarding and do-not-disturb of a SIP user."""

    def rig(self, make_rig: MakeRig, *places: Any, **handling: Any) -> Rig:
        rig = with_did(make_rig(), *places)
        rig.snapshot.handling[9] = CallHandling(**handling)
        return rig

    @pytest.mark.parametrize(
        ("places", "refuse", "handling"),
        [
            ([DESK], None, {"forward_all": NUMBER}),
            ([DESK], 486, {"forward_busy": NUMBER}),
            ([DESK], 480, {"forward_no_answer": NUMBER}),
            ([], None, {"forward_not_registered": NUMBER}),
            ([DESK], None, {"do_not_disturb": True, "forward_busy": NUMBER}),
        ],
    )
    @on_loop
    async def test_call_is_forwarded_when_it_is_wanted_so(
        self, make_rig: MakeRig, places: list[str], refuse: int | None, handling: dict[str, Any]
    ) -> None:
        rig = self.rig(make_rig, *map(at, places), **handling)
        desk = WiredAnswerer(rig.wire, DESK, refuse=refuse or 0)
        carrier = rig.carrier(1)
        caller = rig.dial_in(carrier=2)
        assert carrier.is_answered.is_set()
        assert len(desk.invites) == (1 if refuse else 0)
        rig.hang_up(caller)
        assert [record["code"] for record in rig.records()].count("ANSWERED") == 2

    @pytest.mark.parametrize(
        ("refuse", "handling"),
        [
            (486, {"forward_no_answer": NUMBER, "forward_not_registered": NUMBER}),
            (480, {"forward_busy": NUMBER, "forward_not_registered": NUMBER}),
        ],
    )
    @on_loop
    async def test_call_is_not_forwarded_when_it_fails_otherwise(
        self, make_rig: MakeRig, refuse: int, handling: dict[str, Any]
    ) -> None:
        rig = self.rig(make_rig, at(DESK), **handling)
        WiredAnswerer(rig.wire, DESK, refuse=refuse)
        assert rig.dial_in().status == refuse
        assert len(rig.records()) == 1

    @on_loop
    async def test_call_is_no_answer_after_the_users_own_ring_time(self, make_rig: MakeRig) -> None:
        rig = self.rig(make_rig, at(DESK), ring_time=5)
        WiredAnswerer(rig.wire, DESK, answers=False)
        caller = rig.dial_in()
        rig.wire.advance(5.5)
        assert caller.status == 480
        assert [record["code"] for record in rig.records()] == ["RING_TIMEOUT"]
