"""Calls that come from carriers for DIDs (docs/behaviour.md §1.2, §8)."""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import pytest

from b2bua.policy.accounts import PLAIN_HANDLING, CallHandling
from b2bua.policy.checks import FORWARD_RING_TIMEOUT
from b2bua.policy.decision import Trace
from b2bua.policy.dids import DIDDestination
from media.sdp import CodecList
from tests.support.policy import (
    SOURCE,
    Weather,
    World,
    make_account,
    make_carrier,
    make_device,
    make_did,
    make_entry,
    make_gateway,
    make_rules,
    make_tariff,
)
from tests.support.records import make_rate

Change = Callable[[World], object]

GATEWAY = "192.0.2.1"
DID = "493012340000"
TO_USER = DIDDestination("sip_user", ("user", 9))


@pytest.fixture
def world() -> World:
    """A world whose account has a DID that leads to its SIP user."""
    world = World()
    world.dids = [make_did(DID, world.account, TO_USER)]
    return world


def call(world: World, **changed: object) -> tuple[str, str]:
    """Code and object of a call from the carrier to the DID."""
    return world.verdict(**{"source_address": GATEWAY, "destination": DID, **changed})


class TestCarrier:
    """§1.2: an active gateway's address, and a number that after the carrier's incoming rules is one of our DIDs."""

    def test_call_from_a_gateway_to_a_did_is_incoming(self, world: World) -> None:
        decision = world.decide(source_address=GATEWAY, destination=DID, source="33123")
        assert (decision.code, decision.kind, decision.did) == ("", "incoming", world.dids[0])
        assert (decision.account, decision.device) == (world.account, None)
        assert (decision.carrier, decision.gateway) == (world.carrier, world.carrier.gateways[0])
        assert (decision.source, decision.destination, decision.sent_destination) == ("33123", DID, DID)
        assert decision.counts_cps

    @pytest.mark.parametrize("dialled", [f"00{DID}", f"+{DID}", f"9{DID}"])
    def test_number_is_looked_up_after_the_carriers_incoming_rules(self, world: World, dialled: str) -> None:
        world.carrier.rules = make_rules(did_destination=["00|%=>%", "9|%=>+%", "+49%=>%"], did_source=["0|%=>49%"])
        decision = world.decide(source_address=GATEWAY, destination=dialled, source="030")
        assert (decision.kind, decision.destination, decision.source) == ("incoming", DID, "4930")

    def test_outgoing_rules_of_the_carrier_do_not_matter(self, world: World) -> None:
        world.carrier.rules = make_rules(destination=["%"], source=["%"])
        assert call(world) == ("", "")

    @pytest.mark.parametrize("rules", [{"did_destination": ["33%=>%"]}, {"did_destination": ["%"]}])
    def test_number_that_the_rules_do_not_let_in_is_no_did(self, world: World, rules: dict[str, list[str]]) -> None:
        world.carrier.rules = make_rules(**rules)
        assert call(world) == ("DID_NOT_FOUND", f"number {DID}")

    @pytest.mark.parametrize(("rule", "code"), [("33%", "CLI_BLOCKED"), ("44%=>%", "CLI_NOT_ALLOWED")])
    def test_call_is_refused_when_the_carriers_rules_bar_the_caller(self, world: World, rule: str, code: str) -> None:
        world.carrier.rules = make_rules(did_source=[rule])
        assert call(world, source="33123")[0] == code

    def test_barred_caller_does_not_make_it_a_call_of_the_device_at_the_same_address(self, world: World) -> None:
        world.carrier.rules = make_rules(did_source=["33%"])
        world.devices.append(make_device(8, world.account, network=f"{GATEWAY}/32"))
        decision = world.decide(source_address=GATEWAY, destination=DID, source="33123")
        assert (decision.kind, bool(decision.code)) != ("outgoing", False)

    def test_did_of_another_carrier_is_not_found(self, world: World) -> None:
        world.dids[0].carrier_id = 2
        world.carriers.append(make_carrier(2))
        assert call(world) == ("DID_NOT_FOUND", f"number {DID}")
        assert call(world, source_address="192.0.2.2") == ("", "")

    def test_right_carrier_is_found_when_two_are_at_one_address(self, world: World) -> None:
        world.carriers.append(make_carrier(2, make_gateway(21, host=GATEWAY)))
        for carrier_id in (1, 2):
            world.dids[0].carrier_id = carrier_id
            decision = world.decide(source_address=GATEWAY, destination=DID)
            assert decision.carrier is not None
            assert (decision.code, decision.carrier.id) == ("", carrier_id)

    @pytest.mark.parametrize("host", ["192.0.2.1", "::ffff:192.0.2.1", "[::ffff:192.0.2.1]"])
    def test_address_of_the_gateway_may_be_written_in_any_way(self, world: World, host: str) -> None:
        world.carrier.gateways[0].host = host
        assert call(world) == ("", "")

    @pytest.mark.parametrize(
        "change",
        [
            lambda w: setattr(w.carrier, "status", "inactive"),
            lambda w: setattr(w.carrier.gateways[0], "status", "inactive"),
        ],
    )
    def test_gateway_that_is_inactive_brings_no_calls(self, world: World, change: Change) -> None:
        change(world)
        assert call(world)[0] in {"DID_NOT_FOUND", "AUTHENTICATE"}

    def test_other_gateway_of_the_address_brings_calls_when_one_is_inactive(self, world: World) -> None:
        world.carrier.gateways += [make_gateway(12, host=GATEWAY)]
        world.carrier.gateways[0].status = "inactive"
        decision = world.decide(source_address=GATEWAY, destination=DID)
        assert decision.gateway is not None
        assert decision.gateway.id == 12

    @pytest.mark.parametrize(
        ("trusted", "asserted", "source"),
        [(True, "4940", "4940"), (True, "", "4930123456"), (False, "4940", "4930123456")],
    )
    def test_asserted_number_counts_when_the_gateway_is_trusted(
        self, world: World, trusted: bool, asserted: str, source: str
    ) -> None:
        world.carrier.gateways[0].is_trusted = trusted
        assert world.decide(source_address=GATEWAY, destination=DID, asserted=asserted).source == source

    def test_gateway_comes_before_credentials(self, world: World) -> None:
        assert world.decide(source_address=GATEWAY, destination=DID, claims_user=True).kind == "incoming"
        assert world.decide(source_address=GATEWAY, destination=DID, authenticated_user="alice").kind == "incoming"


class TestOtherNumbers:
    """§1.2: otherwise go on: one company may be customer and carrier from one address."""

    def test_call_is_the_devices_when_the_address_is_also_one(self, world: World) -> None:
        world.device.network = f"{GATEWAY}/32"
        decision = world.decide(source_address=GATEWAY)
        assert (decision.kind, decision.device, decision.code) == ("outgoing", world.device, "")
        assert world.decide(source_address=GATEWAY, destination=DID).kind == "incoming"

    def test_call_is_the_devices_when_the_did_is_of_another_carrier(self, world: World) -> None:
        world.device.network = f"{GATEWAY}/32"
        world.dids[0].carrier_id = 2
        assert world.decide(source_address=GATEWAY, destination=DID).kind == "outgoing"

    def test_number_that_is_neither_is_not_found(self, world: World) -> None:
        assert call(world, destination="4420") == ("DID_NOT_FOUND", "number 4420")
        world.device.network, world.device.dial_prefix = f"{GATEWAY}/32", "33"
        assert call(world, destination="4420") == ("DID_NOT_FOUND", "number 4420")

    def test_did_called_by_a_customer_is_a_number_like_others(self, world: World) -> None:
        assert world.decide(source_address=SOURCE, destination=DID).kind == "outgoing"

    def test_user_at_the_address_of_a_gateway_calls_when_it_has_proved_its_secret(self, world: World) -> None:
        decision = world.decide(source_address=GATEWAY, destination="4420", authenticated_user="alice")
        assert (decision.kind, decision.device) == ("outgoing", world.user)


class TestChecks:
    """§8: checks 1-3, 14 and 15 and the DID's channels; the account's DID rules."""

    @pytest.mark.parametrize(
        ("change", "verdict"),
        [
            (lambda w: setattr(w.dids[0], "account", None), ("DID_NOT_FOUND", f"did {DID}")),
            (lambda w: setattr(w.dids[0], "status", "inactive"), ("DID_INACTIVE", f"did {DID}")),
            (lambda w: setattr(w.account, "status", "suspended"), ("ACCOUNT_INACTIVE", "account CUST0001")),
            (lambda w: setattr(w.reseller, "status", "closed"), ("ACCOUNT_INACTIVE", "reseller RESE0010")),
            (
                lambda w: setattr(w.account, "rules", make_rules(did_destination=["49%"])),
                ("NUMBER_BLOCKED", "account CUST0001"),
            ),
            (
                lambda w: setattr(w.account, "rules", make_rules(did_destination=["33%=>%"])),
                ("NUMBER_NOT_ALLOWED", "account CUST0001"),
            ),
            (
                lambda w: setattr(w.account, "rules", make_rules(did_source=["49%"])),
                ("CLI_BLOCKED", "account CUST0001"),
            ),
            (
                lambda w: setattr(w.account, "rules", make_rules(did_source=["33%=>%"])),
                ("CLI_NOT_ALLOWED", "account CUST0001"),
            ),
            (lambda w: w.dids[0].destinations.clear(), ("NO_ROUTE", f"did {DID}")),
            (lambda w: setattr(w.user, "status", "inactive"), ("NO_ROUTE", f"did {DID}")),
        ],
    )
    def test_call_is_refused_by_what_does_not_allow_it(
        self, world: World, change: Change, verdict: tuple[str, str]
    ) -> None:
        change(world)
        assert call(world) == verdict

    def test_call_is_refused_when_it_runs_in_a_circle(self, world: World) -> None:
        assert call(world, is_looped=True) == ("LOOP", "Via")
        assert call(world, max_forwards=0) == ("LOOP", "Max-Forwards")

    def test_call_is_refused_when_its_audio_cannot_cross_us(self, world: World) -> None:
        world.account.with_media = True
        assert call(world, conditions=Weather(has_media=False)) == ("NO_MEDIA", "account CUST0001")

    def test_outgoing_rules_rates_and_routes_do_not_matter(self, world: World) -> None:
        world.account.rules = make_rules(source=["%"], destination=["%"])
        world.account.tariff_id, world.account.loss_guard, world.permitted = None, True, []
        world.dialing_routes.clear()
        world.carriers.append(world.carrier)
        assert call(world) == ("", "")

    @pytest.mark.parametrize(("channels", "limit"), [(3, 3), (0, 0), (None, -1)])
    def test_call_takes_a_channel_of_the_did_and_sessions_of_every_account(
        self, world: World, channels: int | None, limit: int
    ) -> None:
        world.dids[0].channels = channels
        world.account.max_sessions, world.reseller.cps = 5, 6
        limits = world.decide(source_address=GATEWAY, destination=DID).limits
        assert limits is not None
        assert [(level.name, level.max_sessions, level.cps) for level in limits.levels] == [
            (f"did {DID}", limit, -1),
            ("account CUST0001", 5, -1),
            ("reseller RESE0010", -1, 6),
        ]
        assert limits.funds_keys == world.account.limits.funds_keys != ()

    def test_call_lasts_as_long_as_the_account_allows(self, world: World) -> None:
        world.reseller.max_duration = 77
        assert world.decide(source_address=GATEWAY, destination=DID).max_duration == 77

    def test_rules_of_the_account_make_the_numbers_that_the_callee_sees(self, world: World) -> None:
        world.account.rules = make_rules(did_destination=["49|%=>0%"], did_source=["33|%=>0033%"])
        decision = world.decide(source_address=GATEWAY, destination=DID, source="33123")
        assert (decision.destination, decision.sent_destination) == (DID, f"0{DID[2:]}")
        assert (decision.source, decision.attempts[0].source) == ("0033123", "0033123")
        assert decision.attempts[0].destination == f"0{DID[2:]}"


class TestPrices:
    """§8: charged by the incoming ratecards of every level; what has no incoming rate is free."""

    def test_every_level_is_charged_by_its_incoming_ratecards(self, world: World) -> None:
        world.snapshot.tariffs[1].incoming = make_tariff(make_rate("0.2", "4930"), make_rate("0.3"))
        world.snapshot.tariffs[2].incoming = make_tariff(make_rate("0.1", "49"), tariff_id=2)
        decision = world.decide(source_address=GATEWAY, destination=DID)
        assert [(level.account.id, level.tariff.id, level.rate.rate_per_minute) for level in decision.levels] == [
            (1, 1, Decimal("0.2")),
            (10, 2, Decimal("0.1")),
        ]
        assert all(level.tariff.currency == level.account.currency for level in decision.levels)

    @pytest.mark.parametrize(
        "change",
        [
            lambda w: setattr(w.snapshot.tariffs[1], "incoming", None),
            lambda w: setattr(w.snapshot.tariffs[1], "incoming", make_tariff(make_rate(prefix="33"))),
            lambda w: setattr(w.account, "tariff_id", None),
        ],
    )
    def test_level_without_an_incoming_rate_pays_nothing(self, world: World, change: Change) -> None:
        for tariff in world.snapshot.tariffs.values():
            tariff.incoming = make_tariff(make_rate("0.1"), tariff_id=tariff.id)
        change(world)
        decision = world.decide(source_address=GATEWAY, destination=DID)
        assert (decision.code, [level.account.id for level in decision.levels]) == ("", [10])

    def test_call_is_free_when_no_level_has_a_rate(self, world: World) -> None:
        decision = world.decide(source_address=GATEWAY, destination=DID)
        assert (decision.code, decision.levels) == ("", [])

    @pytest.mark.parametrize(("tariff_id", "name"), [(1, "account CUST0001"), (2, "reseller RESE0010")])
    def test_call_is_refused_when_a_level_has_blocked_its_rate(self, world: World, tariff_id: int, name: str) -> None:
        world.snapshot.tariffs[tariff_id].incoming = make_tariff(make_rate(status="blocked"))
        assert call(world) == ("RATE_BLOCKED", name)

    def test_rate_is_found_by_the_did_and_not_by_what_the_rules_make_of_it(self, world: World) -> None:
        world.snapshot.tariffs[1].incoming = make_tariff(make_rate("0.2", "49"))
        world.account.rules = make_rules(did_destination=["49|%=>%"])
        decision = world.decide(source_address=GATEWAY, destination=DID)
        assert [level.rate.prefix for level in decision.levels] == ["49"]


class TestDestinations:
    """§8: SIP user, IP device, extension, voice mail or outside number; a failover destination."""

    def attempts(self, world: World, *destinations: DIDDestination) -> list[tuple[str, str]]:
        """Kind and name of each attempt."""
        world.dids = [replace(world.dids[0], destinations=list(destinations))]
        decision = world.decide(source_address=GATEWAY, destination=DID)
        return [(attempt.kind, attempt.gateway.name) for attempt in decision.attempts]

    def test_sip_user_is_called(self, world: World) -> None:
        assert self.attempts(world, TO_USER) == [("user", "user alice")]
        (attempt,) = world.decide(source_address=GATEWAY, destination=DID).attempts
        assert (attempt.user, attempt.destination) == (world.user, DID)
        assert attempt.gateway.ring_timeout == PLAIN_HANDLING.ring_time

    @pytest.mark.parametrize(
        ("network", "host"), [("203.0.113.5/32", "203.0.113.5"), ("2001:db8::5/128", "2001:db8::5")]
    )
    def test_ip_device_is_called_at_its_address(self, world: World, network: str, host: str) -> None:
        world.devices.append(make_device(8, world.account, network=network, port=5080, transport="tcp"))
        assert self.attempts(world, DIDDestination("ip_device", ("ip", 8))) == [("device", "device ip:8")]
        (attempt,) = world.decide(source_address=GATEWAY, destination=DID).attempts
        gateway = attempt.gateway
        assert (gateway.host, gateway.port, gateway.transport) == (host, 5080, "tcp")
        assert (attempt.user, attempt.destination, gateway.limits.levels) == (None, DID, [])

    def test_extension_leads_to_the_user_that_has_it(self, world: World) -> None:
        world.users.append(make_device(10, world.account, "user", username="bob", extension="101"))
        assert self.attempts(world, DIDDestination("extension", number="101")) == [("user", "user bob")]

    def test_extension_of_another_account_leads_nowhere(self, world: World) -> None:
        world.accounts.append(make_account(2))
        world.users.append(make_device(10, world.accounts[-1], "user", username="bob", extension="101"))
        assert self.attempts(world, DIDDestination("extension", number="101")) == []

    def test_outside_number_is_forwarded(self, world: World) -> None:
        assert self.attempts(world, DIDDestination("number", number="+4420")) == [("forward", "number +4420")]
        (attempt,) = world.decide(source_address=GATEWAY, destination=DID).attempts
        assert attempt.destination == "+4420"
        assert (attempt.gateway.ring_timeout, attempt.gateway.progress_timeout) == (
            FORWARD_RING_TIMEOUT,
            FORWARD_RING_TIMEOUT,
        )
        assert (attempt.carrier, attempt.tariff, attempt.rate) == (None, None, None)

    def test_failover_destination_comes_after_the_first(self, world: World) -> None:
        number = DIDDestination("number", number="4420")
        assert self.attempts(world, TO_USER, number) == [("user", "user alice"), ("forward", "number 4420")]
        decision = world.decide(source_address=GATEWAY, destination=DID)
        assert (decision.any_failover, decision.ring_failover) == (True, True)

    def test_failover_destination_is_the_only_one_when_the_first_is_inactive(self, world: World) -> None:
        world.user.status = "inactive"
        assert self.attempts(world, TO_USER, DIDDestination("number", number="4420")) == [("forward", "number 4420")]

    @pytest.mark.parametrize("destination", [TO_USER, DIDDestination("extension", number="101")])
    def test_user_who_wants_no_calls_is_busy(self, world: World, destination: DIDDestination) -> None:
        world.user.extension = "101"
        world.snapshot.handling[9] = CallHandling(do_not_disturb=True)
        world.dids[0].destinations[:] = [destination]
        assert call(world) == ("DO_NOT_DISTURB", "user alice")
        assert self.attempts(world, TO_USER, DIDDestination("number", number="4420")) == [("forward", "number 4420")]

    @pytest.mark.parametrize(
        "destination",
        [
            DIDDestination("sip_user", ("user", 99)),
            DIDDestination("ip_device", ("ip", 99)),
            DIDDestination("sip_user"),
            DIDDestination("extension", number="999"),
        ],
    )
    def test_destination_that_is_gone_leads_nowhere(self, world: World, destination: DIDDestination) -> None:
        assert self.attempts(world, destination) == []
        assert call(world) == ("NO_ROUTE", f"did {DID}")

    def test_voice_mail_is_passed_over_while_there_is_none(self, world: World) -> None:
        voice_mail = DIDDestination("voice_mail", ("user", 9))
        assert self.attempts(world, voice_mail, TO_USER) == [("user", "user alice")]
        assert self.attempts(world, voice_mail) == []

    def test_callee_gets_the_codecs_of_the_account(self, world: World) -> None:
        world.account.codec_check, world.account.codecs = True, CodecList.of(["PCMA"])
        world.devices.append(make_device(8, world.account, network="203.0.113.5/32"))
        self.attempts(world, TO_USER, DIDDestination("ip_device", ("ip", 8)))
        decision = world.decide(source_address=GATEWAY, destination=DID, codecs=("PCMU", "PCMA"))
        assert [attempt.codecs.names for attempt in decision.attempts] == [("PCMA",), ("PCMA",)]


class TestTrace:
    def test_trace_shows_the_did_and_where_it_leads(self, world: World) -> None:
        trace = Trace()
        world.decide(source_address=GATEWAY, destination=DID, trace=trace)
        assert [step.check for step in trace.steps] == [
            "caller", "device", "accounts", "kind", "did_rules", "did_prices", "did_destination", "loop", "media",
            "duration",
        ]  # fmt: skip
        assert trace.steps[0].looked_at == f"did {DID} from carrier CARR0001"
        assert trace.steps[6].looked_at == "user alice"

    def test_trace_ends_when_the_did_is_nobodys(self, world: World) -> None:
        trace = Trace()
        world.dids[0].account = None
        world.decide(source_address=GATEWAY, destination=DID, trace=trace)
        assert trace.steps[-1].outcome == f"DID_NOT_FOUND did {DID}"

    def test_decision_is_the_same_when_it_is_traced_or_not(self, world: World) -> None:
        world.lead_to(make_entry(1, world.carrier))
        snapshot = world.link()
        plain = world.decide(source_address=GATEWAY, destination=DID, snapshot=snapshot)
        traced = world.decide(source_address=GATEWAY, destination=DID, snapshot=snapshot, trace=Trace())
        assert (plain.code, plain.attempts, plain.levels) == (traced.code, traced.attempts, traced.levels)
