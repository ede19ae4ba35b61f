"""Explaining a call: the decision that a call would get, told with all digits, and nothing changed by it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import orjson
import pytest

from b2bua.policy.decision import FAIR_WEATHER, Conditions
from b2bua.policy.dids import DIDDestination
from b2bua.policy.explain import InvalidQuestion, Question, explain
from media.sdp import CodecList
from rating.exchange import CurrencyRate, Exchange
from tests.support.policy import (
    NOW,
    NUMBER,
    SOURCE,
    Weather,
    World,
    make_account,
    make_carrier,
    make_device,
    make_did,
    make_entry,
    make_gateway,
    make_route,
    make_rules,
    make_tariff,
)
from tests.support.records import make_rate

CLI = "4930123456"
DID_NUMBER = "4930900900"


@pytest.fixture
def world() -> World:
    return World()


def read(**fields: Any) -> Question:
    return Question.read({"source": CLI, "destination": NUMBER, **fields})


def ask(world: World, *, conditions: Conditions = FAIR_WEATHER, **fields: Any) -> Any:
    """Explain a call of the device, unless told whose it is."""
    whose = {"account", "address", "user"} & set(fields)
    question = read(**fields) if whose else read(address=SOURCE, **fields)
    return explain(question, world.link(), NOW, conditions)


def candidate(world: World, place: int = 0, **fields: Any) -> Any:
    return ask(world, **fields)["candidates"][place]


def values(answer: Any) -> Iterator[Any]:
    """Everything that an answer has, however deep."""
    if isinstance(answer, dict):
        answer = list(answer.values())
    if not isinstance(answer, list):
        yield answer
        return
    for part in answer:
        yield from values(part)


class TestWhose:
    def test_device_is_found_by_the_address_as_in_a_call(self, world: World) -> None:
        answer = ask(world, address=SOURCE)
        assert (answer["decision"]["account"], answer["decision"]["device"]) == ("CUST0001", "ip:7")
        assert answer["steps"][0] == {"check": "caller", "looked_at": f"{SOURCE}: ip:7", "outcome": "ok"}
        assert ask(world, address=f"::ffff:{SOURCE}") == answer

    def test_account_alone_calls_without_a_device(self, world: World) -> None:
        answer = ask(world, account="CUST0001")
        assert (answer["decision"]["account"], answer["decision"]["device"]) == ("CUST0001", None)
        assert answer["steps"][0]["looked_at"] == "account CUST0001: no device"
        assert [limit["name"] for limit in answer["decision"]["limits"]] == ["account CUST0001", "reseller RESE0010"]

    def test_user_calls_as_if_it_had_proved_its_secret(self, world: World) -> None:
        answer = ask(world, user="alice")
        assert (answer["decision"]["code"], answer["decision"]["device"]) == ("", "user:9 alice")
        assert answer["steps"][0]["looked_at"] == "SIP user alice: user:9"

    def test_user_comes_from_its_own_network_unless_told_otherwise(self, world: World) -> None:
        world.user.network = "203.0.113.0/24"
        assert ask(world, user="alice")["decision"]["code"] == ""
        elsewhere = ask(world, user="alice", address="203.0.114.9")["decision"]
        assert (elsewhere["code"], elsewhere["object"]) == ("ADDRESS_NOT_ALLOWED", "user alice")

    def test_caller_has_to_prove_who_it_is_when_no_device_has_the_address(self, world: World) -> None:
        answer = ask(world, address="203.0.113.9", account="CUST0001")
        assert answer["decision"]["code"] == "AUTHENTICATE"
        assert (answer["decision"]["account"], answer["decision"]["limits"]) == (None, [])
        assert [step["outcome"] for step in answer["steps"]] == ["AUTHENTICATE"]

    def test_call_of_a_carrier_is_one_to_a_did(self, world: World) -> None:
        world.dids = [make_did(DID_NUMBER, world.account, DIDDestination("number", number="4411"))]
        answer = ask(world, address="192.0.2.1", destination=DID_NUMBER)
        decision = answer["decision"]
        assert (decision["code"], decision["kind"], decision["did"]) == ("", "incoming", DID_NUMBER)
        assert (decision["from_carrier"], decision["from_gateway"]) == ("CARR0001", "gateway-1")
        assert answer["candidates"] == []
        (attempt,) = decision["attempts"]
        assert (attempt["kind"], attempt["gateway"], attempt["carrier"], attempt["rate"]) == (
            "forward",
            "number 4411",
            None,
            None,
        )

    @pytest.mark.parametrize(
        ("fields", "fault"),
        [
            ({"account": "NONE0001"}, "no account NONE0001"),
            ({"account": "NONE0001", "address": SOURCE}, "no account NONE0001"),
            ({"user": "nobody"}, "no SIP user nobody"),
            (
                {"account": "CUST0002", "address": SOURCE},
                f"{SOURCE} (device ip:7) belongs to account CUST0001, not to account CUST0002",
            ),
            (
                {"account": "RESE0010", "user": "alice"},
                "SIP user alice belongs to account CUST0001, not to reseller RESE0010",
            ),
            (
                {"account": "CUST0002", "address": "192.0.2.1", "destination": DID_NUMBER},
                f"did {DID_NUMBER} belongs to account CUST0001, not to account CUST0002",
            ),
        ],
    )
    def test_question_is_refused_when_the_names_do_not_fit(
        self, world: World, fields: dict[str, Any], fault: str
    ) -> None:
        world.accounts.append(make_account(2))
        world.dids = [make_did(DID_NUMBER, world.account)]
        with pytest.raises(InvalidQuestion) as caught:
            ask(world, **fields)
        assert str(caught.value) == fault


class TestQuestion:
    def test_question_takes_the_moment_from_any_zone(self, world: World) -> None:
        assert read(account="A", at="2026-01-31T08:00+01:00").at == datetime(2026, 1, 31, 7, tzinfo=UTC)
        answer = ask(world, at="2026-01-31T08:00:00.5Z")
        assert answer["at"] == "2026-01-31T08:00:00.500000+00:00"

    def test_moment_of_the_question_decides_which_rate_holds(self, world: World) -> None:
        until = make_rate("7", valid_until=NOW)
        world.snapshot.tariffs[1] = make_tariff(until, make_rate("9", valid_from=NOW))
        before = (NOW - timedelta(seconds=1)).astimezone(timezone(timedelta(hours=5))).isoformat()
        assert ask(world)["decision"]["levels"][0]["rate_per_minute"] == "9.00"
        assert ask(world, at=before)["decision"]["levels"][0]["rate_per_minute"] == "7.00"

    def test_question_is_about_now_when_it_names_no_moment(self, world: World) -> None:
        assert ask(world)["at"] == NOW.isoformat()
        assert read(account="A").at is None

    def test_codecs_are_those_that_are_offered(self, world: World) -> None:
        world.account.codec_check, world.account.codecs = True, CodecList.of(["PCMA", "opus"])
        assert ask(world, codecs=["G729"])["decision"]["code"] == "CODEC_NOT_ALLOWED"
        decision = ask(world, codecs=["PCMA", "G729"])["decision"]
        assert decision["attempts"][0]["codecs"] == ["PCMA", "opus"]
        assert read(account="A", codecs=["alaw", "PCMA"]).codecs == ("PCMA",)

    @pytest.mark.parametrize(
        ("fields", "fault"),
        [
            ({}, "whose call?"),
            ({"account": ""}, "whose call?"),
            ({"account": 7}, "account is not a text"),
            ({"account": "A", "source": "4" * 129}, "source is not a text of at most 128"),
            ({"account": "A", "destination": ["44"]}, "destination is not a text"),
            ({"address": "example.net"}, "'example.net' is not an IPv4 or IPv6 address"),
            ({"address": "198.51.100.0/24"}, "is not an IPv4 or IPv6 address"),
            ({"account": "A", "codecs": "PCMA"}, "codecs is not a list"),
            ({"account": "A", "codecs": [7]}, "codecs is not a list"),
            ({"account": "A", "codecs": ["PCMA;"]}, "not a codec name"),
            ({"account": "A", "at": "soon"}, "'soon' is not a time"),
            ({"account": "A", "at": "2026-01-31T08:00"}, "has no zone"),
            ({"account": "A", "at": "0001-01-01T00:00+05:00"}, "is not a time"),
            ({"account": "A", "at": "9999-01-01T00:00Z"}, "is not a time of our days"),
        ],
    )
    def test_question_is_refused_when_it_is_malformed(self, fields: dict[str, Any], fault: str) -> None:
        with pytest.raises(InvalidQuestion, match=r"^[^\n]+$") as caught:
            read(**fields)
        assert fault in str(caught.value)


class TestCandidates:
    def test_candidate_shows_what_it_costs_and_what_is_left(self, world: World) -> None:
        world.snapshot.tariffs[3] = make_tariff(make_rate("0.0600000000", "44"), tariff_id=3)
        carrier = make_carrier(1, tariff_id=3, rules=make_rules(destination=["44|%=>0044%"]))
        world.lead_to(make_entry(1, carrier, "4420", priority=3, weight=70))
        assert candidate(world) == {
            "carrier": "CARR0001",
            "gateways": [{"name": "gateway-1", "state": "up"}],
            "prefix": "4420",
            "priority": 3,
            "weight": 70,
            "number": "00442079460000",
            "cost": "0.06",
            "price": "1.00",
            "margin": "0.94",
            "currency": "EUR",
            "order": [1],
            "dropped": "",
        }

    def test_margin_is_never_rounded_to_nothing(self, world: World) -> None:
        world.snapshot.tariffs[1] = make_tariff(make_rate("9999999999.0000000000"))
        smallest = Decimal("0.0000000001")
        dearer = make_rate(str(Decimal("9999999999") + smallest), multiplier=str(1 + smallest))
        world.snapshot.tariffs[3] = make_tariff(dearer, tariff_id=3)
        world.lead_to(make_entry(1, make_carrier(1, tariff_id=3)))
        found = candidate(world)
        assert found["cost"] == "10000000000.00000000000000000001"
        assert found["margin"] == "-1.00000000000000000001"

    def test_cost_is_in_the_currency_of_the_account(self, world: World) -> None:
        world.snapshot.tariffs[3] = make_tariff(make_rate("0.5"), tariff_id=3, currency="USD")
        world.lead_to(make_entry(1, make_carrier(1, tariff_id=3)))
        unknown = candidate(world)
        assert (unknown["cost"], unknown["margin"], unknown["order"]) == (None, None, [1])
        world.snapshot.exchange = Exchange([CurrencyRate("USD", "EUR", Decimal("0.9"), NOW)])
        known = candidate(world)
        assert (known["cost"], known["price"], known["margin"], known["currency"]) == ("0.45", "1.00", "0.55", "EUR")

    def test_order_is_that_of_the_attempts(self, world: World) -> None:
        world.snapshot.tariffs[3] = make_tariff(make_rate("0.5"), tariff_id=3)
        cheap = make_carrier(2, make_gateway(2), make_gateway(3), tariff_id=3)
        world.lead_to(make_entry(1, make_carrier(1)), make_entry(2, cheap, weight=1))
        answer = ask(world)
        assert [(each["carrier"], each["order"]) for each in answer["candidates"]] == [
            ("CARR0001", [3]),
            ("CARR0002", [1, 2]),
        ]
        assert [each["gateway"] for each in answer["decision"]["attempts"]] == ["gateway-2", "gateway-3", "gateway-1"]

    def test_gateways_are_shown_with_their_state(self, world: World) -> None:
        gateways = [make_gateway(1), make_gateway(2), make_gateway(3, status="inactive")]
        world.lead_to(make_entry(1, make_carrier(1, *gateways)))
        found = candidate(world, conditions=Weather(down={2}))
        assert [(each["name"], each["state"]) for each in found["gateways"]] == [
            ("gateway-1", "up"),
            ("gateway-2", "down"),
            ("gateway-3", "inactive"),
        ]
        assert (found["order"], found["dropped"]) == ([1], "")
        lost = candidate(world, conditions=Weather(down={1, 2}))
        assert (lost["order"], lost["dropped"]) == ([], "no gateway up")

    def test_dropped_says_why(self, world: World) -> None:
        world.snapshot.tariffs[3] = make_tariff(make_rate("1.0000000001"), tariff_id=3)
        world.account.loss_guard = True
        entries = [
            make_entry(1, make_carrier(1, status="inactive")),
            make_entry(2, make_carrier(2, tariff_id=None)),
            make_entry(3, make_carrier(3, rules=make_rules(source=["1%"]))),
            make_entry(4, make_carrier(4, tariff_id=3)),
            make_entry(5, make_carrier(5)),
            make_entry(6, make_carrier(6)),
        ]
        world.lead_to(*entries)
        world.snapshot.max_attempts = 1
        assert [each["dropped"] for each in ask(world)["candidates"]] == [
            "carrier inactive",
            "no rate",
            "caller's number not allowed",
            "loss",
            "",
            "after the first 1 attempts",
        ]

    def test_nothing_is_tried_when_a_reseller_would_lose(self, world: World) -> None:
        world.account.loss_guard = True
        world.snapshot.tariffs[2] = make_tariff(make_rate("2"), tariff_id=2)
        answer = ask(world)
        assert (answer["decision"]["code"], answer["decision"]["object"]) == ("LOSS_ROUTE", "reseller RESE0010")
        assert (answer["candidates"][0]["order"], answer["candidates"][0]["dropped"]) == (
            [],
            "loss of reseller RESE0010",
        )


class TestDecision:
    def test_prices_of_every_level_are_told_with_all_digits(self, world: World) -> None:
        rate = make_rate("0.0050000001", connection="0.0100000000", minimum=30, resolution=6, multiplier="1.5")
        world.snapshot.tariffs[2] = make_tariff(rate, tariff_id=2)
        account, reseller = ask(world)["decision"]["levels"]
        assert (account["account"], account["kind"], account["reference_price"]) == ("CUST0001", "customer", "1.00")
        assert reseller == {
            "account": "RESE0010",
            "kind": "reseller",
            "tariff": "tariff 2",
            "currency": "EUR",
            "prefix": "",
            "prefix_name": "",
            "rate_per_minute": "0.0050000001",
            "connection_charge": "0.01",
            "addition": "0.00",
            "multiplier": "1.50",
            "minimum": 30,
            "resolution": 6,
            "grace": 0,
            "blocks_mode": "from_zero",
            "reference_price": "0.01750000015",
        }

    def test_numbers_are_those_that_are_used_and_those_that_are_sent(self, world: World) -> None:
        world.account.rules = make_rules(source=["49|%=>0%"], destination=["00|%=>%"])
        world.dialing_routes = [("44|%", world.route)]
        decision = ask(world, destination=f"00{NUMBER}")["decision"]
        assert (decision["source"], decision["destination"]) == ("030123456", NUMBER)
        assert decision["sent_destination"] == NUMBER[2:]
        (attempt,) = decision["attempts"]
        assert (attempt["source"], attempt["destination"]) == ("030123456", NUMBER[2:])

    def test_longest_duration_is_that_of_the_gateway_too(self, world: World) -> None:
        world.carrier.gateways = [make_gateway(1, max_duration=60), make_gateway(2)]
        world.account.max_duration = 600
        decision = ask(world)["decision"]
        assert decision["max_duration"] == 600
        assert [attempt["max_duration"] for attempt in decision["attempts"]] == [60, 600]

    def test_emergency_call_is_never_cut_and_takes_nothing(self, world: World) -> None:
        world.emergency = [("112", world.route)]
        answer = ask(world, destination="112")
        decision = answer["decision"]
        assert (decision["kind"], decision["max_duration"], decision["limits"]) == ("emergency", None, [])
        assert [(each["order"], each["currency"]) for each in answer["candidates"]] == [([1], None)]

    def test_limits_are_those_that_the_call_would_take_of(self, world: World) -> None:
        world.device.max_sessions, world.account.cps = 3, 0
        assert ask(world)["decision"]["limits"] == [
            {"name": "device ip:7", "max_sessions": 3, "cps": None},
            {"name": "account CUST0001", "max_sessions": None, "cps": 0},
            {"name": "reseller RESE0010", "max_sessions": None, "cps": None},
        ]

    @pytest.mark.parametrize("status", ["active", "suspended"])
    def test_refusal_ends_the_checks(self, world: World, status: str) -> None:
        world.account.status = status
        answer = ask(world)
        refused = status != "active"
        assert answer["decision"]["code"] == ("ACCOUNT_INACTIVE" if refused else "")
        last = answer["steps"][-1]
        assert last["check"] == ("accounts" if refused else "duration")
        assert last["outcome"] == ("ACCOUNT_INACTIVE account CUST0001" if refused else "ok")
        assert (answer["decision"]["max_duration"] is None) == refused

    def test_user_that_is_dialled_is_an_attempt_without_a_carrier(self, world: World) -> None:
        world.users.append(make_device(11, world.account, "user", username="bob", extension="101"))
        answer = ask(world, user="alice", destination="101")
        assert (answer["decision"]["kind"], answer["candidates"]) == ("on_net", [])
        assert answer["decision"]["attempts"][0]["gateway"] == "user bob"


class TestHarmless:
    """What is only asked about leaves no trace in what is decided next."""

    def test_decision_is_the_one_that_a_call_gets(self, world: World) -> None:
        world.lead_to(*(make_entry(number, make_carrier(number)) for number in (1, 2, 3)), mode="load_share")
        asked = ask(world, conditions=Weather(turns=2), source=CLI)["decision"]
        decided = world.decide(conditions=Weather(turns=2), source=CLI)
        assert asked["code"] == decided.code
        assert [each["gateway"] for each in asked["attempts"]] == [each.gateway.name for each in decided.attempts]

    def test_asking_again_gives_the_same(self, world: World) -> None:
        world.lead_to(*(make_entry(number, make_carrier(number)) for number in (1, 2, 3)), mode="load_share")
        snapshot, question = world.link(), read(address=SOURCE)
        before = repr(snapshot.carriers), repr(world.account.rules)
        first = explain(question, snapshot, NOW, FAIR_WEATHER)
        assert explain(question, snapshot, NOW, FAIR_WEATHER) == first
        assert (repr(snapshot.carriers), repr(world.account.rules)) == before

    def test_answer_has_no_float_and_is_json(self, world: World) -> None:
        world.lead_to(make_entry(1, make_carrier(1)), route_id=2)
        answer = ask(world)
        assert not [value for value in values(answer) if isinstance(value, float | Decimal)]
        assert orjson.loads(orjson.dumps(answer)) == answer

    def test_route_that_is_not_used_is_told_too(self, world: World) -> None:
        world.route = make_route(make_entry(1, world.carrier), status="inactive")
        world.dialing_routes = [("%", world.route)]
        answer = ask(world)
        assert (answer["decision"]["code"], answer["decision"]["route"]) == ("NO_ROUTE", "route-1")
        assert answer["candidates"] == []


class TestRoute:
    """What a route would choose, whoever calls."""

    def test_order_is_that_of_a_call_and_costs_are_told_without_prices(self, world: World) -> None:
        world.snapshot.tariffs[3] = make_tariff(make_rate("0.0100000000"), tariff_id=3)
        cheap = make_carrier(2, make_gateway(2), make_gateway(3), tariff_id=3)
        world.lead_to(make_entry(1, make_carrier(1)), make_entry(2, cheap, weight=1))
        answer = ask(world, route="route-1")
        called = ask(world)
        attempts = [[each["gateway"] for each in found["decision"]["attempts"]] for found in (answer, called)]
        assert attempts == [["gateway-2", "gateway-3", "gateway-1"]] * 2
        for each, other in zip(answer["candidates"], called["candidates"], strict=True):
            assert each == {**other, "price": None, "margin": None}
        assert (answer["steps"], answer["decision"]["account"]) == ([], None)

    def test_what_is_down_or_has_no_rate_is_told(self, world: World) -> None:
        world.lead_to(make_entry(1, make_carrier(1)), make_entry(2, make_carrier(2, make_gateway(2), tariff_id=99)))
        answer = ask(world, route="route-1", conditions=Weather(down={1}))
        assert [each["dropped"] for each in answer["candidates"]] == ["no gateway up", "no rate"]
        assert (answer["decision"]["code"], answer["decision"]["object"]) == ("NO_ROUTE", "route route-1")

    def test_error_when_there_is_no_such_route(self, world: World) -> None:
        with pytest.raises(InvalidQuestion, match=r"^no route nowhere$"):
            ask(world, route="nowhere")
