"""Decisions on random configurations: nothing raises, and what must hold whatever is configured holds."""

from datetime import UTC, datetime, time
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from b2bua.policy.decision import Decision, Trace
from b2bua.policy.dids import DIDDestination
from media.sdp import CodecList
from rating.exchange import CurrencyRate, Exchange
from rating.tariff import ALWAYS
from rating.window import Window
from tests.support.policy import (
    SOURCE,
    Weather,
    World,
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

CURRENCIES = ("EUR", "USD", "CHF")
RULES = ("%=>%", "44|%=>%", "4%", "+4%=>%", "{3}%=>9%", "%=>", "%=>7", "00|%=>+%", "44{4}|%=>%", "9%=>%")
CLI_RULES = ("%=>%", "4%=>1", "44%=>4%", "{3}%=>", "9=>+1%")
NUMBERS = ("", "+", "4", "44", "4420", "+4420", "112", "101", "999", "sales", "00442", "493012340000", "*9#", "é", "%")
statuses = st.sampled_from(("active", "active", "active", "inactive"))
prefixes = st.sampled_from(("", "4", "44", "4420", "9", "00"))
amounts = st.sampled_from(("0", "0.01", "0.0100000001", "1", "12.5"))


@st.composite
def rates(draw: st.DrawFn) -> Any:
    return make_rate(
        draw(amounts),
        draw(prefixes),
        connection=draw(amounts),
        minimum=draw(st.integers(0, 90)),
        resolution=draw(st.integers(1, 90)),
        grace=draw(st.sampled_from((0, 5, 61))),
        multiplier=draw(amounts),
        status=draw(st.sampled_from(("active", "active", "blocked"))),
    )


rule_sets = st.builds(
    lambda kinds, cli: make_rules(
        **dict(zip(("source", "destination", "did_source", "did_destination"), kinds, strict=True)), cli=cli
    ),
    st.lists(st.just(["%=>%"]) | st.lists(st.sampled_from(RULES), max_size=3), min_size=4, max_size=4),
    st.lists(st.sampled_from(CLI_RULES), max_size=2),
)
windows = st.none() | st.builds(
    lambda days, begin, end, zone: Window.of(days, time(begin), time(end), zone),
    st.integers(1, 127),
    st.integers(0, 23),
    st.integers(0, 23),
    st.sampled_from(("UTC", "Europe/Berlin")),
)


@st.composite
def routes(draw: st.DrawFn, route_id: int) -> Any:
    entries = []
    for number in range(draw(st.integers(0, 6))):
        carrier_id = draw(st.integers(1, 4))
        carrier = make_carrier(
            carrier_id,
            *(
                make_gateway(
                    10 * carrier_id + each, host="192.0.2.1", status=draw(statuses), is_trusted=draw(st.booleans())
                )
                for each in range(draw(st.integers(1, 3)))
            ),
            tariff_id=draw(st.integers(1, 5)),
            status=draw(statuses),
            rules=draw(rule_sets),
            codecs=CodecList.of(draw(st.sampled_from(((), ("PCMA",), ("PCMA", "G729"))))),
        )
        entries.append(
            make_entry(
                100 * route_id + number,
                carrier,
                draw(prefixes),
                priority=draw(st.integers(0, 2)),
                weight=draw(st.integers(0, 3)),
                window=draw(windows),
            )
        )
    return make_route(
        *entries, route_id=route_id, status=draw(statuses), mode=draw(st.sampled_from(("least_cost", "load_share")))
    )


@st.composite
def worlds(draw: st.DrawFn) -> World:
    world = World()
    world.snapshot.tariffs = {
        number: make_tariff(
            *draw(st.lists(rates(), min_size=1, max_size=3)),
            tariff_id=number,
            currency=draw(st.sampled_from(CURRENCIES)) if number > 2 else "EUR",
            status=draw(statuses),
        )
        for number in range(1, 5)
    }
    world.snapshot.tariffs[1].incoming = draw(st.none() | st.just(world.snapshot.tariffs[2]))
    world.snapshot.exchange = Exchange(
        draw(
            st.lists(
                st.builds(CurrencyRate, st.just("USD"), st.just("EUR"), st.just(Decimal("0.8")), st.just(ALWAYS)),
                max_size=1,
            )
        )
    )
    for account in world.accounts:
        account.status, account.rules = draw(statuses), draw(rule_sets)
        account.loss_guard, account.codec_check = draw(st.booleans()), draw(st.booleans())
        account.codecs = CodecList.of(draw(st.sampled_from(((), ("PCMU",)))))
        account.with_media = draw(st.booleans())
        account.tariff_id = draw(st.sampled_from((1, 1, 2, 3, None)))
    world.account.parent_id = draw(st.sampled_from((10, None)))
    world.device.status, world.device.is_trusted = draw(statuses), draw(st.booleans())
    world.device.network = draw(st.sampled_from((f"{SOURCE}/32", "192.0.2.1/32", "0.0.0.0/0")))
    world.users.append(make_device(10, world.account, "user", username="bob", extension="101", status=draw(statuses)))
    world.route = draw(routes(1))
    world.dialing_routes = [
        (pattern, world.route) for pattern in draw(st.sets(st.sampled_from(("%", "44|%", "4%", "4420", "{4}%"))))
    ]
    world.permitted = draw(st.none() | st.just([]))
    world.emergency = draw(st.just([]) | st.builds(lambda route: [("112", route)], routes(2)))
    destinations = st.sampled_from(
        (
            DIDDestination("sip_user", ("user", 9)),
            DIDDestination("ip_device", ("ip", 7)),
            DIDDestination("ip_device", ("ip", 99)),
            DIDDestination("extension", number="101"),
            DIDDestination("number", number="+4420"),
            DIDDestination("voice_mail", ("user", 9)),
        )
    )
    world.dids = [
        make_did(
            "493012340000",
            draw(st.sampled_from((world.account, None))),
            *draw(st.lists(destinations, max_size=2)),
            carrier_id=draw(st.sampled_from((None, 1, 2))),
            status=draw(statuses),
        )
    ]
    return world


calls = st.fixed_dictionaries(
    {
        "source_address": st.sampled_from((SOURCE, "192.0.2.1", "::ffff:192.0.2.1", "nonsense", "")),
        "destination": st.sampled_from(NUMBERS) | st.text(max_size=8),
        "source": st.sampled_from(NUMBERS) | st.text(max_size=8),
        "codecs": st.sampled_from(((), ("PCMU",), ("opus", "PCMA"))),
        "max_forwards": st.sampled_from((0, 70)),
        "is_looped": st.booleans(),
        "authenticated_user": st.sampled_from((None, None, "alice", "nobody")),
        "claims_user": st.booleans(),
        "asserted": st.sampled_from(("", "49301")),
        "forwarded_by": st.sampled_from((None, None, None, 1, 99)),
        "now": st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC)),  # noqa: DTZ001 - of the strategy
    }
)
weathers = st.builds(Weather, st.booleans(), st.sets(st.integers(10, 42)), st.integers(0, 10**6))


class TestRandomConfigurations:
    @settings(max_examples=300, deadline=None)
    @given(worlds(), st.lists(st.tuples(calls, weathers), min_size=1, max_size=4))
    def test_decision_is_whole_whatever_is_configured(
        self, world: World, asked: list[tuple[dict[str, Any], Weather]]
    ) -> None:
        snapshot = world.link()
        for call, weather in asked:
            turns, trace = weather.turns, Trace()
            decision = world.decide(snapshot=snapshot, conditions=weather, **call)
            weather.turns = turns
            traced = world.decide(snapshot=snapshot, conditions=weather, trace=trace, **call)
            assert (decision.code, decision.object) == (traced.code, traced.object)
            assert [self.shape(each) for each in decision.attempts] == [self.shape(each) for each in traced.attempts]
            assert trace.steps[-1].outcome == (f"{decision.code} {decision.object}".rstrip() or "ok")
            self.check(decision, snapshot.max_attempts)
            self.check_candidates(decision, trace, weather)

    @staticmethod
    def shape(attempt: Any) -> tuple[object, ...]:
        return attempt.kind, attempt.gateway.id, attempt.gateway.name, attempt.source, attempt.destination

    @staticmethod
    def check(decision: Decision, most: int) -> None:
        if decision.code:
            assert decision.object or decision.code == "AUTHENTICATE"
            return
        assert 1 <= len(decision.attempts) <= most
        assert decision.max_duration > 0
        assert decision.account is not None
        assert (decision.limits is None) == (decision.kind == "emergency")
        if decision.kind == "outgoing":
            assert [level.account for level in decision.levels] == list(decision.account.chain)
            assert all(attempt.rate is not None for attempt in decision.attempts)
        elif decision.kind != "incoming":
            assert decision.levels == []

    @staticmethod
    def check_candidates(decision: Decision, trace: Trace, weather: Weather) -> None:
        if decision.code or decision.kind not in {"outgoing", "emergency"}:
            return
        usable = [
            gateway.id
            for candidate in trace.candidates
            if not candidate.dropped
            for gateway in candidate.entry.carrier.gateways
            if gateway.status == "active" and (decision.kind == "emergency" or gateway.id not in weather.down)
        ]
        tried = [attempt.gateway.id for attempt in decision.attempts]
        assert sorted(tried) == sorted(usable) or (len(usable) > len(tried) and set(tried) < set(usable))
        assert len(set(tried)) == len(tried)
        priorities = {candidate.entry.carrier.id: candidate.entry.priority for candidate in trace.candidates}
        order = [priorities[attempt.carrier.id] for attempt in decision.attempts if attempt.carrier is not None]
        assert order == sorted(order)


class TestOrder:
    @settings(deadline=None)
    @given(
        st.lists(st.tuples(st.integers(0, 2), st.integers(0, 4), st.integers(0, 3)), min_size=1, max_size=8),
        st.sampled_from(("least_cost", "load_share")),
        st.integers(0, 10**9),
    )
    def test_order_is_a_permutation_of_what_may_be_used(
        self, entries: list[tuple[int, int, int]], mode: str, turn: int
    ) -> None:
        world = World()
        for tariff_id in range(4):
            world.snapshot.tariffs[100 + tariff_id] = make_tariff(make_rate(str(tariff_id)), tariff_id=100 + tariff_id)
        world.lead_to(
            *(
                make_entry(number, make_carrier(number, tariff_id=100 + cost), priority=priority, weight=weight)
                for number, (priority, weight, cost) in enumerate(entries, 1)
            ),
            mode=mode,
        )
        tried = world.carriers_tried(conditions=Weather(turns=turn))
        assert sorted(tried) == list(range(1, len(entries) + 1))
        keys = [
            (priority, *((cost, -weight, number) if mode == "least_cost" else (not weight,)))
            for number, (priority, weight, cost) in ((each, entries[each - 1]) for each in tried)
        ]
        assert keys == sorted(keys)
