"""Calls from carriers to our numbers (docs/behaviour.md §8)."""

from collections.abc import Callable
from typing import Any

import pytest

from b2bua.policy.accounts import RuleSet
from b2bua.policy.dids import DIDDestination
from b2bua.policy.numbers import NumberRules
from b2bua.policy.routes import Gateway
from rating.tariff import Tariff
from tests.b2bua.call.rig import (
    CARRIERS,
    CUSTOMER,
    DEVICE,
    DID_NUMBER,
    NUMBER,
    RESELLER,
    SWITCH,
    Rig,
    add_carrier,
)
from tests.support import sip
from tests.support.legs import WiredAnswerer, on_loop

MakeRig = Callable[..., Rig]
OUTSIDE = DIDDestination("number", number=NUMBER)
TO_DEVICE = DIDDestination("ip_device", ("ip", 11))
TO_ALICE = DIDDestination("sip_user", ("user", 9))
TO_EXTENSION = DIDDestination("extension", number="101")


def with_did(rig: Rig, *destinations: DIDDestination, channels: int | None = None) -> Rig:
    """The rig with a DID for whose calls the customer and its reseller pay."""
    rig.price_incoming(1, "0.012")
    rig.add_did(*destinations, channels=channels)
    return rig


def charges(rig: Rig) -> list[list[list[Any]]]:
    return [line["charges"] for line in rig.lines() if line["kind"] == "cdr"]


class TestToDevice:
    @on_loop
    async def test_device_is_called_when_a_carrier_calls_the_did(self, make_rig: MakeRig) -> None:
        rig = with_did(make_rig())
        device = rig.add_device()
        caller = rig.dial_in()
        assert caller.is_answered.is_set()
        assert device.is_answered.is_set()
        (invite,) = rig.wire.requests("INVITE", SWITCH)
        assert invite.uri == f"sip:{DID_NUMBER}@{DEVICE}:5060"
        assert invite.headers["to"] == [f"<sip:{DID_NUMBER}@{DEVICE}:5060>"]
        assert invite.headers["from"][0].startswith(f"<sip:441234567890@{SWITCH}:5060>;tag=")
        assert invite.headers["max-forwards"] == ["69"]

    @on_loop
    async def test_device_is_called_at_its_own_port(self, make_rig: MakeRig) -> None:
        rig = with_did(make_rig())
        rig.add_device()
        device = rig.snapshot.device("ip", 11)
        assert device is not None
        device.port = 5080
        rig.dial_in()
        assert rig.wire.requests("INVITE", SWITCH)[0].uri == f"sip:{DID_NUMBER}@{DEVICE}:5080"

    @on_loop
    async def test_numbers_are_translated_by_the_carrier_and_the_account(self, make_rig: MakeRig) -> None:
        rig = with_did(make_rig())
        rig.snapshot.carriers[1].rules = RuleSet(
            did_destination=NumberRules.of(["0|%=>49%"]), did_source=NumberRules.of(["44|%=>0044%"])
        )
        rig.customer.rules = RuleSet(
            did_destination=NumberRules.of(["4930|%=>%"]), did_source=NumberRules.of(["00|%=>+%"])
        )
        rig.add_device(answers=False)
        rig.dial_in("030900900")
        (invite,) = rig.wire.requests("INVITE", SWITCH)
        assert invite.uri == f"sip:900900@{DEVICE}:5060"
        assert invite.headers["from"][0].startswith(f"<sip:+441234567890@{SWITCH}:5060>")

    @on_loop
    async def test_plus_sign_is_no_part_of_the_did(self, make_rig: MakeRig) -> None:
        rig = with_did(make_rig())
        device = rig.add_device()
        rig.dial_in(f"+{DID_NUMBER}")
        assert len(device.invites) == 1

    @on_loop
    async def test_record_says_what_it_was(self, make_rig: MakeRig) -> None:
        rig = with_did(make_rig())
        rig.add_device()
        caller = rig.dial_in(carrier=2)
        rig.wire.advance(30.0)
        rig.hang_up(caller)
        (record,) = rig.records()
        assert (record["kind"], record["did_id"], record["carrier_id"], record["gateway_id"]) == ("incoming", 5, 2, 2)
        assert (record["account_id"], record["account_chain"], record["device"], record["route_id"]) == (
            CUSTOMER, [CUSTOMER, RESELLER], "", None,
        )  # fmt: skip
        assert (record["attempt"], record["is_last"], record["code"], record["ended_by"]) == (
            1, True, "ANSWERED", "caller",
        )  # fmt: skip
        assert (record["a_address"], record["b_address"]) == (f"{CARRIERS[1]}:5060", f"{DEVICE}:5060")
        assert (record["destination_received"], record["destination_used"], record["destination_sent"]) == (
            DID_NUMBER, DID_NUMBER, DID_NUMBER,
        )  # fmt: skip
        rig.assert_nothing_is_left()

    @on_loop
    async def test_customer_calls_out_as_before_when_the_carrier_has_dids(self, make_rig: MakeRig) -> None:
        rig = with_did(make_rig())
        rig.carrier()
        rig.dial()
        assert rig.caller.is_answered.is_set()

    @on_loop
    async def test_silence_of_the_device_is_no_silence_of_a_gateway(self, make_rig: MakeRig) -> None:
        rig = with_did(make_rig())
        rig.add_device(rings=False, answers=False)
        rig.wire.lose("100 INVITE", DEVICE, 1000)
        for _ in range(4):
            rig.dial_in()
            rig.wire.advance(6)
        assert [record["code"] for record in rig.records()] == ["NO_RESPONSE"] * 4
        assert rig.driver.health.down() == {}

    @on_loop
    async def test_caller_of_a_trusted_gateway_is_the_asserted_one(self, make_rig: MakeRig) -> None:
        rig = with_did(make_rig())
        rig.add_device(refuse=486)
        rig.gateway().is_trusted = True
        asserted = {"P-Asserted-Identity": "<sip:33140000000@example.org>"}
        rig.send(
            sip.request(sent_by=f"{CARRIERS[0]}:5060", uri=f"sip:{DID_NUMBER}@{SWITCH}", changed=asserted), CARRIERS[0]
        )
        assert rig.wire.requests("INVITE", SWITCH)[0].headers["from"][0].startswith("<sip:33140000000@")


class TestRefused:
    @on_loop
    async def test_number_is_no_did(self, make_rig: MakeRig) -> None:
        rig = with_did(make_rig())
        assert rig.dial_in("4930900901").status == 404
        (record,) = rig.records()
        assert (record["code"], record["object"], record["account_id"]) == ("DID_NOT_FOUND", "number 4930900901", None)

    @on_loop
    async def test_did_is_nobodys(self, make_rig: MakeRig) -> None:
        rig = with_did(make_rig())
        rig.snapshot.dids[DID_NUMBER].account = None
        assert rig.dial_in().status == 404
        (record,) = rig.records()
        assert (record["code"], record["object"], record["did_id"]) == ("DID_NOT_FOUND", f"did {DID_NUMBER}", 5)

    @on_loop
    async def test_did_is_not_active(self, make_rig: MakeRig) -> None:
        rig = with_did(make_rig())
        rig.snapshot.dids[DID_NUMBER].status = "inactive"
        assert rig.dial_in().status == 404
        assert [record["code"] for record in rig.records()] == ["DID_INACTIVE"]

    @on_loop
    async def test_did_is_for_another_carrier(self, make_rig: MakeRig) -> None:
        rig = with_did(make_rig())
        rig.snapshot.dids[DID_NUMBER].carrier_id = 2
        rig.add_device()
        assert rig.dial_in(carrier=1).status == 404
        assert rig.dial_in(carrier=2).is_answered.is_set()

    @on_loop
    async def test_account_is_suspended(self, make_rig: MakeRig) -> None:
        rig = with_did(make_rig())
        rig.snapshot.accounts[RESELLER].status = "suspended"
        assert rig.dial_in().status == 403
        assert [record["object"] for record in rig.records()] == ["reseller RESE0001"]

    @on_loop
    async def test_channels_are_used_up(self, make_rig: MakeRig) -> None:
        rig = with_did(make_rig(), channels=1)
        rig.add_device()
        first = rig.dial_in(carrier=1)
        second = rig.dial_in(carrier=2)
        assert (first.is_answered.is_set(), second.status) == (True, 503)
        (record,) = rig.records()
        assert (record["code"], record["object"], record["q850_cause"]) == ("DID_LIMIT", f"did {DID_NUMBER}", 34)
        rig.hang_up(first)
        third = rig.dial_in(carrier=2)
        assert third.is_answered.is_set()
        rig.hang_up(third)
        rig.assert_nothing_is_left()

    @on_loop
    async def test_sessions_of_the_account_are_used_up(self, make_rig: MakeRig) -> None:
        rig = with_did(make_rig(), channels=1)
        rig.add_device()
        rig.customer.max_sessions = 0
        rig.link()
        assert rig.dial_in().status == 503
        (record,) = rig.records()
        assert (record["code"], record["object"]) == ("SESSION_LIMIT", "account CUST0001")

    @on_loop
    async def test_calls_per_second_of_the_account_are_used_up(self, make_rig: MakeRig) -> None:
        rig = with_did(make_rig(), channels=1)
        rig.add_device()
        rig.customer.cps = 0
        rig.link()
        assert rig.dial_in().status == 503
        assert [record["code"] for record in rig.records()] == ["CPS_LIMIT"]

    @on_loop
    async def test_account_has_no_money(self, make_rig: MakeRig) -> None:
        rig = with_did(make_rig())
        rig.add_device()
        rig.pay(CUSTOMER, "0")
        assert rig.dial_in().status == 402
        (record,) = rig.records()
        assert (record["code"], record["object"]) == ("NO_FUNDS", "account CUST0001")

    @on_loop
    async def test_did_leads_nowhere(self, make_rig: MakeRig) -> None:
        rig = with_did(make_rig())  # its device is not there
        assert rig.dial_in().status == 404
        (record,) = rig.records()
        assert (record["code"], record["object"]) == ("NO_ROUTE", f"did {DID_NUMBER}")

    @on_loop
    @pytest.mark.parametrize("destination", [TO_ALICE, TO_EXTENSION])
    async def test_user_is_registered_nowhere(self, make_rig: MakeRig, destination: DIDDestination) -> None:
        rig = make_rig()
        alice = rig.snapshot.users.get("alice")
        assert alice is not None
        alice.extension = "101"
        rig.snapshot.users.add(alice)
        with_did(rig, destination)
        caller = rig.dial_in()
        assert caller.status == 480
        (record,) = rig.records()
        assert (record["code"], record["q850_cause"], record["object"]) == ("NOT_REGISTERED", 20, "user alice")
        rig.assert_nothing_is_left()


class TestFailover:
    @on_loop
    @pytest.mark.parametrize("status", [404, 480, 486, 503, 603])
    async def test_next_destination_is_called_whatever_the_first_says(self, make_rig: MakeRig, status: int) -> None:
        rig = with_did(make_rig(), TO_DEVICE, OUTSIDE)
        rig.add_device(refuse=status)
        rig.carrier(1)
        caller = rig.dial_in(carrier=2)
        assert caller.is_answered.is_set()
        first = rig.records()[0]
        assert (first["kind"], first["attempt"], first["is_last"], first["sip_code"]) == ("incoming", 1, False, status)
        rig.hang_up(caller)
        rig.assert_nothing_is_left()

    @on_loop
    async def test_next_destination_is_called_when_the_first_rings_too_long(self, make_rig: MakeRig) -> None:
        rig = with_did(make_rig(), TO_DEVICE, OUTSIDE)
        device = rig.add_device(answers=False)
        rig.carrier(1)
        caller = rig.dial_in(carrier=2)
        rig.wire.advance(60.1)
        assert device.is_ended.is_set()
        assert caller.is_answered.is_set()
        assert [record["code"] for record in rig.records()] == ["RING_TIMEOUT"]

    @on_loop
    async def test_next_destination_is_called_when_the_user_is_registered_nowhere(self, make_rig: MakeRig) -> None:
        rig = with_did(make_rig(), TO_ALICE, TO_DEVICE)
        device = rig.add_device()
        caller = rig.dial_in()
        assert device.is_answered.is_set()
        rig.hang_up(caller)
        record = rig.records()[-1]
        assert (record["attempt"], record["code"], record["b_address"]) == (2, "ANSWERED", f"{DEVICE}:5060")
        rig.assert_nothing_is_left()

    @on_loop
    async def test_every_attempt_keeps_the_carrier_and_the_did(self, make_rig: MakeRig) -> None:
        rig = with_did(make_rig(), TO_DEVICE, DIDDestination("ip_device", ("ip", 7)))
        device = rig.snapshot.device("ip", 7)
        assert device is not None
        device.network = "198.51.100.21/32"
        rig.add_device(refuse=486)
        second = WiredAnswerer(rig.wire, "198.51.100.21", refuse=480)
        caller = rig.dial_in()
        assert (caller.status, len(second.invites)) == (480, 1)
        assert [
            (record["kind"], record["did_id"], record["carrier_id"], record["gateway_id"], record["attempt"])
            for record in rig.records()
        ] == [("incoming", 5, 1, 1, 1), ("incoming", 5, 1, 1, 2)]
        assert len({record["b_call_id"] for record in rig.records()}) == 2
        rig.assert_nothing_is_left()

    @on_loop
    async def test_nobody_else_is_called_when_the_caller_cancels(self, make_rig: MakeRig) -> None:
        rig = with_did(make_rig(), TO_DEVICE, OUTSIDE)
        device = rig.add_device(answers=False)
        carrier = rig.carrier(1)
        caller = rig.dial_in(carrier=2)
        caller.cancel()
        rig.wire.settle()
        assert device.is_ended.is_set()
        assert carrier.invites == []
        assert [record["code"] for record in rig.records()] == ["CANCELLED"]
        rig.assert_nothing_is_left()


class TestToOutsideNumber:
    @on_loop
    async def test_second_call_is_made_when_the_did_leads_outside(self, make_rig: MakeRig) -> None:
        rig = with_did(make_rig(), OUTSIDE)
        carrier = rig.carrier(1)
        caller = rig.dial_in(carrier=2)
        assert caller.is_answered.is_set()
        assert len(rig.driver.calls) == 2
        (invite,) = rig.wire.requests("INVITE", SWITCH, CARRIERS[0])
        assert invite.uri == f"sip:{NUMBER}@{CARRIERS[0]}:5060"
        assert invite.headers["from"][0].startswith("<sip:441234567890@")
        assert invite.headers["max-forwards"] == ["68"]
        assert len(invite.headers["via"]) == 1
        rig.hang_up(caller)
        assert carrier.hang_up_causes == [16]
        rig.assert_nothing_is_left()

    @on_loop
    async def test_both_calls_have_a_record_and_levels_of_their_own(self, make_rig: MakeRig) -> None:
        rig = with_did(make_rig(), OUTSIDE)
        rig.snapshot.accounts[RESELLER].tariff = rig.snapshot.tariffs[2]
        rig.price_incoming(2, "0.006")
        rig.carrier(1)
        caller = rig.dial_in(carrier=2)
        rig.wire.advance(60.0)
        rig.hang_up(caller)
        by_kind = {line["record"]["kind"]: line for line in rig.lines() if line["kind"] == "cdr"}
        incoming, outgoing = by_kind["incoming"]["record"], by_kind["outgoing"]["record"]
        assert incoming["call_id"] != outgoing["call_id"]
        assert incoming["b_call_id"] == outgoing["a_call_id"]
        assert (outgoing["account_id"], outgoing["device"], outgoing["did_id"]) == (CUSTOMER, "", None)
        assert (outgoing["a_address"], outgoing["carrier_id"], outgoing["route_id"]) == (f"{SWITCH}:5060", 1, 1)
        assert (incoming["carrier_id"], incoming["route_id"]) == (2, None)
        assert [(charge[0], charge[1], charge[2], charge[8]) for charge in by_kind["incoming"]["charges"]] == [
            (0, CUSTOMER, None, "0.0120"), (1, RESELLER, None, "0.0060"),
        ]  # fmt: skip
        assert [(charge[0], charge[1], charge[2], charge[8]) for charge in by_kind["outgoing"]["charges"]] == [
            (0, CUSTOMER, None, "0.0600"), (1, RESELLER, None, "0.0300"), (-1, None, 1, "0.0300000000"),
        ]  # fmt: skip

    @on_loop
    async def test_sessions_of_both_calls_are_taken(self, make_rig: MakeRig) -> None:
        rig = with_did(make_rig(), OUTSIDE)
        rig.customer.max_sessions = 1
        rig.link()
        rig.carrier(1)
        caller = rig.dial_in(carrier=2)
        assert caller.status == 503
        assert {(record["kind"], record["code"]) for record in rig.records()} == {
            ("outgoing", "SESSION_LIMIT"), ("incoming", "CARRIER_FAILURE"),
        }  # fmt: skip
        rig.assert_nothing_is_left()

    @on_loop
    async def test_cancel_reaches_the_carrier_of_the_second_call(self, make_rig: MakeRig) -> None:
        rig = with_did(make_rig(), OUTSIDE)
        carrier = rig.carrier(1, answers=False)
        caller = rig.dial_in(carrier=2)
        caller.cancel()
        rig.wire.settle()
        assert carrier.is_ended.is_set()
        assert [record["code"] for record in rig.records()] == ["CANCELLED"] * 2
        rig.assert_nothing_is_left()

    @on_loop
    async def test_second_call_may_ring_as_long_as_its_own_gateway_lets_it(self, make_rig: MakeRig) -> None:
        rig = with_did(make_rig(), OUTSIDE)
        rig.gateway(1).ring_timeout = 100.0
        rig.carrier(1, answers=False)
        caller = rig.dial_in(carrier=2)
        rig.wire.advance(99.0)
        assert rig.records() == []
        rig.wire.advance(1.1)
        assert caller.status == 480
        assert [(record["kind"], record["code"]) for record in rig.records()] == [
            ("outgoing", "RING_TIMEOUT"), ("incoming", "NO_ANSWER"),
        ]  # fmt: skip
        rig.assert_nothing_is_left()

    @on_loop
    async def test_second_call_has_failovers_of_its_own(self, make_rig: MakeRig) -> None:
        rig = with_did(make_rig(), OUTSIDE)
        for number in (3, 4):
            add_carrier(rig.snapshot, number)
        for number in (1, 2):
            rig.carrier(number, refuse=503)
        rig.carrier(3)
        caller = rig.dial_in(carrier=4)
        assert caller.is_answered.is_set()
        assert [(record["kind"], record["attempt"], record["code"]) for record in rig.records()] == [
            ("outgoing", 1, "CARRIER_FAILURE"), ("outgoing", 2, "CARRIER_FAILURE"),
        ]  # fmt: skip

    @on_loop
    async def test_caller_hears_the_ringing_of_the_second_call(self, make_rig: MakeRig) -> None:
        rig = with_did(make_rig(), OUTSIDE)
        rig.carrier(1, answers=False)
        rig.dial_in(carrier=2)
        assert len(rig.wire.responses(180, SWITCH, CARRIERS[1])) == 1

    @on_loop
    async def test_calls_end_when_a_did_leads_to_itself(self, make_rig: MakeRig) -> None:
        """A number that our own carrier sends back to us: the hops run out."""
        rig = with_did(make_rig(), DIDDestination("number", number=DID_NUMBER))
        rig.customer.rules = RuleSet(destination=NumberRules.of(["%=>44%"]))
        gateway: Gateway = rig.gateway(1)
        gateway.host = SWITCH
        rig.snapshot.gateways_at[SWITCH] = [(rig.snapshot.carriers[1], gateway)]
        rig.snapshot.carriers[1].rules = RuleSet(destination=NumberRules.of(["44|%=>%"]))
        caller = rig.dial_in(carrier=2)
        rig.wire.advance(400.0)
        assert caller.is_ended.is_set()
        assert any(record["code"] == "LOOP" for record in rig.records())
        rig.assert_nothing_is_left()


class TestCharges:
    @on_loop
    async def test_every_level_pays_by_its_incoming_ratecards(self, make_rig: MakeRig) -> None:
        rig = with_did(make_rig())
        rig.snapshot.accounts[RESELLER].tariff = rig.snapshot.tariffs[2]
        rig.price_incoming(2, "0.006")
        rig.add_device()
        caller = rig.dial_in()
        assert rig.held() == [12_000, 6_000]
        rig.wire.advance(30.0)
        rig.hang_up(caller)
        (levels,) = charges(rig)
        # level, account, carrier, tariff, rate, seconds, net, tax, gross, currency, profit
        assert levels == [
            [0, CUSTOMER, None, 1, 11, 30, "0.0060", "0.0000", "0.0060", "EUR", "0.0030000000"],
            [1, RESELLER, None, 2, 12, 30, "0.0030", "0.0000", "0.0030", "EUR", None],
        ]
        assert rig.owed() == [6_000, 3_000]
        assert rig.records()[0]["gross"] == "0.0060"

    @on_loop
    async def test_funds_are_extended_and_run_out(self, make_rig: MakeRig) -> None:
        rig = with_did(make_rig())
        rig.add_device()
        rig.pay(CUSTOMER, "0.018")
        caller = rig.dial_in()
        rig.wire.advance(90.1)
        assert caller.hang_up_causes == [102]
        (record,) = rig.records()
        assert (record["reason"], record["duration"], record["gross"]) == ("FUNDS_EXHAUSTED", 90.0, "0.0180")

    @pytest.mark.parametrize("paid_by", [None, CUSTOMER, RESELLER])
    @on_loop
    async def test_level_without_an_incoming_ratecard_pays_nothing(
        self, make_rig: MakeRig, paid_by: int | None
    ) -> None:
        rig = make_rig()
        rig.add_did()
        if paid_by is not None:
            rig.snapshot.accounts[paid_by].tariff = own = Tariff(7, "own", "EUR")
            own.incoming = rig.snapshot.tariffs[2]
        rig.add_device()
        caller = rig.dial_in()
        assert caller.is_answered.is_set()
        assert rig.held() == [30_000 if paid_by == CUSTOMER else 0, 30_000 if paid_by == RESELLER else 0]
        rig.wire.advance(60.0)
        rig.hang_up(caller)
        (levels,) = charges(rig)
        assert [(charge[1], charge[8]) for charge in levels] == ([(paid_by, "0.0300")] if paid_by else [])
        assert rig.owed() == [30_000 if paid_by == CUSTOMER else 0, 30_000 if paid_by == RESELLER else 0]
        # What the account itself pays, and nothing of what its reseller does.
        assert rig.records()[0]["gross"] == ("0.0300" if paid_by == CUSTOMER else None)
        rig.assert_nothing_is_left()
