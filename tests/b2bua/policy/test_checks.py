"""The checks of an outgoing call, in their order: what refuses, how it is named, and what a call that may go gets."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest

from b2bua.policy.accounts import EVERY_CODEC
from b2bua.policy.decision import Step, Trace
from media.sdp import CodecList
from rating.tariff import Tariff
from tests.support.policy import (
    NOW,
    NUMBER,
    SOURCE,
    Weather,
    World,
    make_account,
    make_carrier,
    make_device,
    make_entry,
    make_route,
    make_rules,
    make_tariff,
)
from tests.support.records import make_rate

Change = Callable[[World], object]


@pytest.fixture
def world() -> World:
    return World()


def shut_codecs(world: World) -> None:
    world.account.codec_check, world.account.codecs = True, CodecList.of(["GSM"])


def shut_losses(world: World) -> None:
    world.carrier.tariff_id, world.account.loss_guard = 3, True
    world.snapshot.tariffs[3] = make_tariff(make_rate("1.01"), tariff_id=3)


# In the order of the checks: what makes each fail, what undoes it, its code, and the object that it names.
CHECKS: dict[str, tuple[Change, Change, str, str]] = {
    "device": (
        lambda w: setattr(w.device, "status", "inactive"),
        lambda w: setattr(w.device, "status", "active"),
        "DEVICE_INACTIVE",
        "device ip:7",
    ),
    "account": (
        lambda w: setattr(w.account, "status", "suspended"),
        lambda w: setattr(w.account, "status", "active"),
        "ACCOUNT_INACTIVE",
        "account CUST0001",
    ),
    "reseller": (
        lambda w: setattr(w.reseller, "status", "closed"),
        lambda w: setattr(w.reseller, "status", "active"),
        "ACCOUNT_INACTIVE",
        "reseller RESE0010",
    ),
    "codecs": (
        shut_codecs,
        lambda w: setattr(w.account, "codec_check", False),
        "CODEC_NOT_ALLOWED",
        "account CUST0001",
    ),
    "destination": (
        lambda w: setattr(w.account, "rules", make_rules(destination=["%"], source=["%"])),
        lambda w: setattr(w.account, "rules", make_rules(source=["%"])),
        "NUMBER_BLOCKED",
        "account CUST0001",
    ),
    "destination of the reseller": (
        lambda w: setattr(w.reseller, "rules", make_rules(destination=["33%=>%"], source=["33%=>%"])),
        lambda w: setattr(w.reseller, "rules", make_rules(source=["33%=>%"])),
        "NUMBER_NOT_ALLOWED",
        "reseller RESE0010",
    ),
    "source": (
        lambda _: None,
        lambda w: setattr(w.account, "rules", make_rules()),
        "CLI_BLOCKED",
        "account CUST0001",
    ),
    "source of the reseller": (
        lambda _: None,
        lambda w: setattr(w.reseller, "rules", make_rules()),
        "CLI_NOT_ALLOWED",
        "reseller RESE0010",
    ),
    "tariff": (
        lambda w: setattr(w.snapshot.tariffs[1], "status", "inactive"),
        lambda w: setattr(w.snapshot.tariffs[1], "status", "active"),
        "TARIFF_INACTIVE",
        "account CUST0001",
    ),
    "tariff of the reseller": (
        lambda w: setattr(w.snapshot.tariffs[2], "status", "inactive"),
        lambda w: setattr(w.snapshot.tariffs[2], "status", "active"),
        "TARIFF_INACTIVE",
        "reseller RESE0010",
    ),
    "dialing route": (
        lambda w: w.dialing_routes.clear(),
        lambda w: w.dialing_routes.append(("%", w.route)),
        "NO_DIALING_ROUTE",
        "account CUST0001",
    ),
    "route of the reseller": (
        lambda w: setattr(w, "permitted", []),
        lambda w: setattr(w, "permitted", None),
        "NO_DIALING_ROUTE",
        "reseller RESE0010",
    ),
    "route": (
        lambda w: setattr(w.route, "status", "inactive"),
        lambda w: setattr(w.route, "status", "active"),
        "NO_ROUTE",
        "route route-1",
    ),
    "loss guard": (
        shut_losses,
        lambda w: setattr(w.account, "loss_guard", False),
        "LOSS_ROUTE",
        "route route-1",
    ),
}


class TestCaller:
    """docs/behaviour.md §1: who is calling."""

    def test_caller_is_the_device_of_the_source_address(self, world: World) -> None:
        decision = world.decide()
        assert (decision.code, decision.device, decision.account) == ("", world.device, world.account)
        assert decision.limits is world.device.limits
        assert decision.kind == "outgoing"

    def test_caller_must_prove_who_it_is_when_the_address_is_unknown(self, world: World) -> None:
        decision = world.decide(source_address="203.0.113.1")
        assert (decision.code, decision.device, decision.limits) == ("AUTHENTICATE", None, None)

    def test_caller_is_the_user_when_it_has_proved_its_secret(self, world: World) -> None:
        decision = world.decide(source_address="203.0.113.1", authenticated_user="alice")
        assert (decision.code, decision.device, decision.limits) == ("", world.user, world.user.limits)

    def test_caller_is_the_user_when_its_address_is_also_a_device(self, world: World) -> None:
        assert world.decide(authenticated_user="alice").device is world.user

    def test_caller_must_prove_who_it_is_when_the_user_is_gone(self, world: World) -> None:
        assert world.verdict(authenticated_user="nobody") == ("AUTHENTICATE", "")

    @pytest.mark.parametrize(
        ("address", "verdict"),
        [("203.0.113.9", ("", "")), ("203.0.114.9", ("ADDRESS_NOT_ALLOWED", "user alice"))],
    )
    def test_user_is_refused_when_it_calls_from_elsewhere(
        self, world: World, address: str, verdict: tuple[str, str]
    ) -> None:
        world.user.network = "203.0.113.0/24"
        assert world.verdict(source_address=address, authenticated_user="alice") == verdict

    def test_device_is_found_by_the_number_without_its_plus(self, world: World) -> None:
        world.device.dial_prefix = "44"
        assert world.decide(destination=f"+{NUMBER}").device is world.device
        assert world.decide(destination="33").code == "AUTHENTICATE"

    def test_nothing_is_stripped_when_the_device_has_a_dial_prefix(self, world: World) -> None:
        world.device.dial_prefix = "44"
        assert world.decide().attempts[0].destination == NUMBER


class TestClaims:
    """§1.3: who carries credentials, or comes from a registration, is asked for its secret, whatever its address is."""

    def test_user_that_claims_to_be_one_is_asked_when_its_address_is_a_device(self, world: World) -> None:
        decision = world.decide(claims_user=True)
        assert (decision.code, decision.device, decision.account) == ("AUTHENTICATE", None, None)

    def test_user_that_claims_to_be_one_is_asked_when_its_address_is_a_gateway(self, world: World) -> None:
        assert world.verdict(source_address="192.0.2.1") == ("DID_NOT_FOUND", f"number {NUMBER}")
        assert world.verdict(source_address="192.0.2.1", claims_user=True) == ("AUTHENTICATE", "")

    def test_user_that_has_proved_its_secret_is_not_asked_again(self, world: World) -> None:
        assert world.decide(claims_user=True, authenticated_user="alice").device is world.user


class TestAssertedIdentity:
    """§1.7: the caller's number is P-Asserted-Identity where the device is trusted, else From."""

    @pytest.mark.parametrize(
        ("trusted", "asserted", "source"),
        [(True, "4940", "4940"), (True, "", "4930123456"), (False, "4940", "4930123456"), (False, "", "4930123456")],
    )
    def test_asserted_number_counts_when_the_device_is_trusted(
        self, world: World, trusted: bool, asserted: str, source: str
    ) -> None:
        world.device.is_trusted = trusted
        decision = world.decide(asserted=asserted)
        assert (decision.source, decision.attempts[0].source) == (source, source)

    def test_asserted_number_is_what_the_source_rules_see(self, world: World) -> None:
        world.device.is_trusted = True
        world.account.rules = make_rules(source=["4940%=>%"])
        assert world.verdict(asserted="49401") == ("", "")
        assert world.verdict(source="49401", asserted="4930") == ("CLI_NOT_ALLOWED", "account CUST0001")

    def test_asserted_number_does_not_count_when_a_user_sends_it(self, world: World) -> None:
        assert world.decide(authenticated_user="alice", asserted="4940").source == "4930123456"


class TestForwarded:
    """§8: a call that a DID forwards to an outside number is a call of the DID's account."""

    def test_forwarded_call_is_of_the_account_and_of_no_device(self, world: World) -> None:
        decision = world.decide(source_address="127.0.0.1", forwarded_by=1)
        assert (decision.code, decision.kind, decision.device) == ("", "outgoing", None)
        assert (decision.account, decision.limits) == (world.account, world.account.limits)
        assert [level.account.id for level in decision.levels] == [1, 10]
        assert [level.name for level in world.account.limits.levels] == ["account CUST0001", "reseller RESE0010"]

    def test_forwarded_call_passes_the_checks_of_the_account(self, world: World) -> None:
        world.account.rules = make_rules(destination=["44%"])
        assert world.verdict(forwarded_by=1) == ("NUMBER_BLOCKED", "account CUST0001")
        world.account.status = "suspended"
        assert world.verdict(forwarded_by=1) == ("ACCOUNT_INACTIVE", "account CUST0001")

    def test_forwarded_call_is_refused_when_the_account_is_gone(self, world: World) -> None:
        assert world.verdict(forwarded_by=99) == ("ACCOUNT_INACTIVE", "account 99")

    def test_forwarded_call_is_the_accounts_whatever_its_address_is(self, world: World) -> None:
        other = make_account(2)
        world.accounts.append(other)
        world.devices.append(make_device(8, other, network="127.0.0.1/32"))
        assert world.decide(source_address="127.0.0.1", forwarded_by=1).account is world.account


class TestRefusals:
    """§2: the checks, in order; the first that fails ends the call, and the object that refused is named."""

    def test_first_check_that_fails_is_the_one_that_is_named(self, world: World) -> None:
        request = {"is_looped": True, "codecs": ("PCMU",)}
        for make_fail, _, _, _ in CHECKS.values():
            make_fail(world)
        for name, (_, undo, code, refuser) in CHECKS.items():
            assert world.verdict(**request) == (code, refuser), name
            undo(world)
        assert world.verdict(**request) == ("LOOP", "Via")
        assert world.verdict(codecs=("PCMU",)) == ("", "")

    @pytest.mark.parametrize("name", [name for name in CHECKS if not name.startswith("source")])
    def test_call_is_refused_by_what_does_not_allow_it(self, world: World, name: str) -> None:
        make_fail, _, code, refuser = CHECKS[name]
        make_fail(world)
        assert world.verdict(codecs=("PCMU",)) == (code, refuser)

    @pytest.mark.parametrize("destination", ["", "+"])
    def test_call_is_refused_when_it_has_no_number(self, world: World, destination: str) -> None:
        assert world.decide(destination=destination).code == "NUMBER_NOT_ALLOWED"

    NO_ROUTES: tuple[tuple[str, Change], ...] = (
        ("route", lambda w: setattr(w.route, "status", "inactive")),
        ("carrier", lambda w: setattr(w.carrier, "status", "inactive")),
        ("gateway", lambda w: setattr(w.carrier.gateways[0], "status", "inactive")),
        ("carrier without tariff", lambda w: setattr(w.carrier, "tariff_id", None)),
        ("carrier with an inactive tariff", lambda w: setattr(w.snapshot.tariffs[3], "status", "inactive")),
        ("carrier without rate", lambda w: w.snapshot.tariffs.__setitem__(3, make_tariff(make_rate(prefix="33")))),
        (
            "carrier with a blocked rate",
            lambda w: w.snapshot.tariffs.__setitem__(3, make_tariff(make_rate(status="blocked"))),
        ),
        ("no entry", lambda w: w.route.entries.clear()),
    )

    @pytest.mark.parametrize("change", [each[1] for each in NO_ROUTES], ids=[each[0] for each in NO_ROUTES])
    def test_call_is_refused_when_no_gateway_is_left(self, world: World, change: Change) -> None:
        world.snapshot.tariffs[3] = make_tariff(tariff_id=3)
        world.carrier.tariff_id = 3
        world.carriers.append(world.carrier)
        assert world.verdict() == ("", "")
        change(world)
        assert world.verdict() == ("NO_ROUTE", "route route-1")

    @pytest.mark.parametrize(
        ("changed", "verdict"),
        [
            ({"is_looped": True}, ("LOOP", "Via")),
            ({"max_forwards": 0}, ("LOOP", "Max-Forwards")),
            ({"max_forwards": 1}, ("", "")),
        ],
    )
    def test_call_is_refused_when_it_runs_in_a_circle(
        self, world: World, changed: dict[str, int], verdict: tuple[str, str]
    ) -> None:
        assert world.verdict(**changed) == verdict

    @pytest.mark.parametrize(
        ("with_media", "has_media", "code"),
        [(True, False, "NO_MEDIA"), (True, True, ""), (False, False, "")],
    )
    def test_call_is_refused_when_its_audio_cannot_cross_us(
        self, world: World, with_media: bool, has_media: bool, code: str
    ) -> None:
        world.account.with_media = with_media
        decision = world.decide(conditions=Weather(has_media=has_media))
        assert (decision.code, decision.is_anchored) == (code, with_media and has_media)

    @pytest.mark.parametrize("has_media", [True, False])
    def test_audio_of_a_caller_behind_nat_crosses_us_when_it_can(self, world: World, has_media: bool) -> None:
        decision = world.decide(is_behind_nat=True, conditions=Weather(has_media=has_media))
        assert (decision.code, decision.is_anchored) == ("", has_media)

    def test_invite_counts_only_when_device_and_accounts_are_active(self, world: World) -> None:
        assert world.decide().counts_cps
        assert world.decide(is_looped=True).counts_cps
        assert not world.decide(source_address="203.0.113.1").counts_cps
        world.reseller.status = "suspended"
        assert not world.decide().counts_cps

    @pytest.mark.parametrize("name", [name for name in CHECKS if name not in {"device", "account", "reseller"}])
    def test_invite_counts_when_a_later_check_refuses_it(self, world: World, name: str) -> None:
        CHECKS[name][0](world)
        assert world.decide(codecs=("PCMU",)).counts_cps


class TestCodecs:
    """§2.4: with codec checking on, an offered codec is in the list; no offer passes."""

    @pytest.mark.parametrize(
        ("offered", "code"),
        [
            (("PCMU",), "CODEC_NOT_ALLOWED"),
            (("PCMA",), ""),
            (("pcma",), ""),
            (("opus", "G722", "PCMA"), ""),
            (("opus", "G722"), "CODEC_NOT_ALLOWED"),
            (("G729",), ""),
            (("G729A",), ""),
            (("97",), "CODEC_NOT_ALLOWED"),
            ((), ""),
        ],
    )
    def test_one_codec_of_the_list_must_be_offered(self, world: World, offered: tuple[str, ...], code: str) -> None:
        world.account.codec_check, world.account.codecs = True, CodecList.of(["PCMA", "G729"])
        assert world.decide(codecs=offered).code == code
        world.account.codec_check = False
        assert world.decide(codecs=offered).code == ""

    def test_every_codec_may_be_offered_when_the_list_is_empty(self, world: World) -> None:
        world.account.codec_check = True
        assert world.verdict(codecs=("opus",)) == ("", "")

    def test_list_of_the_reseller_does_not_matter(self, world: World) -> None:
        world.reseller.codec_check, world.reseller.codecs = True, CodecList.of(["GSM"])
        assert world.verdict(codecs=("opus",)) == ("", "")

    def test_list_of_the_carrier_cuts_that_of_the_account(self, world: World) -> None:
        """§5: the carrier's own list cuts further."""
        world.account.codecs = CodecList.of(["PCMA", "G729", "PCMU"])
        world.carrier.codecs = CodecList.of(["PCMU", "opus", "PCMA"])
        world.account.codec_check = True
        assert world.decide().attempts[0].codecs.names == ("PCMA", "PCMU")
        world.account.codec_check = False
        assert world.decide().attempts[0].codecs.names == ("PCMU", "opus", "PCMA")
        world.carrier.codecs = EVERY_CODEC
        assert world.decide().attempts[0].codecs.is_open
        world.account.codec_check = True
        assert world.decide().attempts[0].codecs is world.account.codecs


class TestPrices:
    """§2.9: on every level a rate, not blocked, of an active tariff in the account's currency."""

    @pytest.mark.parametrize(
        ("tariff", "code"),
        [
            (make_tariff(make_rate(prefix="33")), "NO_RATE"),
            (make_tariff(make_rate(), make_rate(prefix="44", status="blocked")), "RATE_BLOCKED"),
            (make_tariff(status="inactive"), "TARIFF_INACTIVE"),
            (make_tariff(currency="USD"), "CURRENCY_MISMATCH"),
            (make_tariff(make_rate(prefix="33"), status="inactive", currency="USD"), "NO_RATE"),
            (make_tariff(make_rate(status="blocked"), status="inactive", currency="USD"), "RATE_BLOCKED"),
            (make_tariff(status="inactive", currency="USD"), "TARIFF_INACTIVE"),
            (None, "NO_RATE"),
        ],
    )
    @pytest.mark.parametrize(("tariff_id", "name"), [(1, "account CUST0001"), (2, "reseller RESE0010")])
    def test_call_is_refused_by_the_level_that_has_no_price(
        self, world: World, tariff: Tariff | None, code: str, tariff_id: int, name: str
    ) -> None:
        world.carrier.tariff_id = 3
        world.snapshot.tariffs[3] = make_tariff(tariff_id=3)
        if tariff is None:
            del world.snapshot.tariffs[tariff_id]
        else:
            world.snapshot.tariffs[tariff_id] = tariff
        assert world.verdict() == (code, name)

    def test_call_is_refused_when_the_account_has_no_tariff(self, world: World) -> None:
        world.account.tariff_id = None
        assert world.verdict() == ("NO_RATE", "account CUST0001")

    def test_every_level_is_priced_by_its_own_tariff(self, world: World) -> None:
        world.snapshot.tariffs[1] = make_tariff(make_rate("0.03", "44"), make_rate("0.09"))
        world.snapshot.tariffs[2] = make_tariff(make_rate("0.02", "4420"), tariff_id=2)
        decision = world.decide()
        assert [(price.account.code, price.tariff.id, price.rate.rate_per_minute) for price in decision.levels] == [
            ("CUST0001", 1, Decimal("0.03")),
            ("RESE0010", 2, Decimal("0.02")),
        ]

    def test_price_is_the_one_in_force_at_the_call(self, world: World) -> None:
        world.snapshot.tariffs[1] = make_tariff(
            make_rate("0.03", "44", valid_until=NOW), make_rate("0.04", "44", valid_from=NOW)
        )
        for now, price in ((NOW - timedelta(microseconds=1), "0.03"), (NOW, "0.04")):
            decision = world.decide(now=now)
            assert decision.levels[0].rate.rate_per_minute == Decimal(price)
            assert decision.attempts[0].rate is decision.levels[0].rate

    def test_incoming_ratecards_do_not_price_a_call_that_goes_out(self, world: World) -> None:
        world.snapshot.tariffs[1].incoming = make_tariff(make_rate("9", "4420"))
        assert world.decide().levels[0].rate.rate_per_minute == Decimal(1)


class TestDialingRoutes:
    """§2.10, §4: the pattern with most literal digits; each reseller may use its route."""

    def test_dialing_route_with_most_digits_is_taken(self, world: World) -> None:
        other = make_route(make_entry(9, make_carrier(5)), route_id=2)
        world.dialing_routes.append(("4420%", other))
        assert world.decide().route is other
        assert world.decide(destination="33").route is world.route

    def test_call_is_refused_when_no_dialing_route_matches(self, world: World) -> None:
        world.dialing_routes = [("33%", world.route)]
        assert world.verdict() == ("NO_DIALING_ROUTE", "account CUST0001")

    def test_pattern_is_looked_up_with_the_translated_number(self, world: World) -> None:
        world.account.rules = make_rules(destination=["00|%=>%"])
        world.dialing_routes = [("44%", world.route)]
        assert world.verdict(destination=f"00{NUMBER}") == ("", "")
        world.dialing_routes = [("00%", world.route)]
        assert world.verdict(destination=f"00{NUMBER}") == ("NO_DIALING_ROUTE", "account CUST0001")

    def test_pattern_strips_what_the_carrier_gets_and_not_what_is_rated(self, world: World) -> None:
        world.snapshot.tariffs[1] = make_tariff(make_rate("0.5", "77"))
        world.dialing_routes = [("77|%", world.route)]
        decision = world.decide(destination=f"77{NUMBER}")
        assert (decision.destination, decision.sent_destination) == (f"77{NUMBER}", NUMBER)
        assert decision.attempts[0].destination == NUMBER
        assert decision.levels[0].rate.prefix == "77"

    def test_every_reseller_of_the_chain_must_be_permitted_the_route(self, world: World) -> None:
        world.reseller.parent_id = 11
        world.accounts.append(make_account(11))
        snapshot = world.link()
        assert world.verdict(snapshot=snapshot) == ("", "")
        world.accounts[-1].route_ids = frozenset([2, 3])
        assert world.verdict(snapshot=snapshot) == ("NO_DIALING_ROUTE", "reseller RESE0011")
        world.reseller.route_ids = frozenset()
        assert world.verdict(snapshot=snapshot) == ("NO_DIALING_ROUTE", "reseller RESE0010")

    def test_customer_without_a_reseller_needs_no_permission(self, world: World) -> None:
        world.account.parent_id, world.permitted = None, []
        assert world.verdict() == ("", "")

    def test_longer_pattern_is_not_passed_over_when_its_route_is_not_permitted(self, world: World) -> None:
        world.dialing_routes.append(("4420%", make_route(make_entry(9, world.carrier), route_id=2)))
        world.permitted = [world.route]
        assert world.verdict() == ("NO_DIALING_ROUTE", "reseller RESE0010")

    def test_call_has_the_failover_of_its_route(self, world: World) -> None:
        decision = world.decide()
        assert (decision.failover_codes, decision.ring_failover, decision.any_failover) == (None, False, False)
        world.route.failover_codes, world.route.ring_failover = frozenset([503]), True
        decision = world.decide()
        assert (decision.failover_codes, decision.ring_failover) == (frozenset([503]), True)


class TestDuration:
    """§5: the least of all limits."""

    @pytest.mark.parametrize(
        ("account", "reseller", "system", "duration"),
        [
            (None, None, 7200, 7200),
            (600, None, 7200, 600),
            (None, 300, 7200, 300),
            (600, 300, 7200, 300),
            (300, 600, 7200, 300),
            (9000, 8000, 7200, 7200),
        ],
    )
    def test_call_may_last_as_long_as_the_strictest_level_allows(
        self, world: World, account: int | None, reseller: int | None, system: int, duration: int
    ) -> None:
        world.account.max_duration, world.reseller.max_duration = account, reseller
        world.snapshot.max_duration = system
        assert world.decide().max_duration == duration


class TestChain:
    def test_every_reseller_of_a_deep_chain_is_checked_priced_and_limited(self, world: World) -> None:
        above = [make_account(number, number + 1 if number < 19 else None) for number in range(11, 20)]
        world.accounts += above
        world.reseller.parent_id = 11
        decision = world.decide()
        assert [price.account.id for price in decision.levels] == [1, 10, *range(11, 20)]
        assert len(world.device.limits.levels) == 12
        above[-1].max_duration = 42
        assert world.decide().max_duration == 42
        above[-1].status = "suspended"
        assert world.verdict() == ("ACCOUNT_INACTIVE", "reseller RESE0019")

    def test_accounts_outside_the_chain_do_not_matter(self, world: World) -> None:
        world.accounts += [make_account(2, 10, status="closed"), make_account(11, status="closed", max_duration=1)]
        decision = world.decide()
        assert (decision.code, decision.max_duration) == ("", 7200)


class TestTrace:
    NAMES = (
        "caller", "device", "accounts", "kind", "codecs", "destination", "source", "cli", "prices", "dialing_route",
        "route", "loop", "media", "duration",
    )  # fmt: skip

    def test_trace_names_every_check_when_the_call_may_go(self, world: World) -> None:
        trace = Trace()
        world.decide(trace=trace, codecs=("PCMU", "PCMA"))
        assert [step.check for step in trace.steps] == list(self.NAMES)
        assert {step.outcome for step in trace.steps} == {"ok"}
        seen = {step.check: step.looked_at for step in trace.steps}
        assert seen["caller"] == f"{SOURCE}: ip:7"
        assert seen["accounts"] == "CUST0001 < RESE0010"
        assert seen["kind"] == f"{NUMBER}: outgoing"
        assert seen["codecs"] == "PCMU, PCMA"
        assert seen["source"] == f"4930123456 -> {NUMBER}"
        assert seen["prices"] == "CUST0001 1 EUR/min by tariff 1 any, RESE0010 1 EUR/min by tariff 2 any"
        assert seen["dialing_route"] == f"{NUMBER}: route-1"
        assert seen["route"] == "route-1: 1 to try"

    def test_trace_ends_with_the_check_that_refused(self, world: World) -> None:
        trace = Trace()
        world.dialing_routes = []
        world.decide(trace=trace)
        assert [step.check for step in trace.steps] == list(self.NAMES[:10])
        assert trace.steps[-1] == Step("dialing_route", f"{NUMBER}: no route", "NO_DIALING_ROUTE account CUST0001")

    def test_trace_says_what_was_looked_at_when_nobody_was_recognised(self, world: World) -> None:
        trace = Trace()
        world.decide(source_address="203.0.113.1", trace=trace)
        assert trace.steps == [Step("caller", "203.0.113.1: no device", "AUTHENTICATE")]

    @pytest.mark.parametrize("name", CHECKS)
    def test_decision_is_the_same_when_it_is_traced_or_not(self, world: World, name: str) -> None:
        for change in CHECKS[name][:2]:
            change(world)
            snapshot = world.link()
            plain = world.decide(snapshot=snapshot, codecs=("PCMU",))
            assert plain == world.decide(snapshot=snapshot, codecs=("PCMU",), trace=Trace())
            assert plain.attempts or plain.code
