"""What becomes of the numbers of an outgoing call: rules of accounts and resellers, CLI, patterns, carriers (§3)."""

import pytest

from b2bua.policy.decision import Trace
from tests.support.policy import NUMBER, World, make_account, make_carrier, make_entry, make_rules, make_tariff
from tests.support.records import make_rate


@pytest.fixture
def world() -> World:
    return World()


class TestPlus:
    """docs/behaviour.md §3: a leading + is removed before matching unless a rule names it."""

    def test_numbers_lose_their_plus_and_nothing_else(self, world: World) -> None:
        decision = world.decide(destination="+442079460000", source="+49301")
        assert (decision.destination, decision.source) == ("442079460000", "49301")
        attempt = decision.attempts[0]
        assert (attempt.destination, attempt.source) == ("442079460000", "49301")

    def test_rule_that_names_the_plus_is_for_numbers_that_came_with_one(self, world: World) -> None:
        world.account.rules = make_rules(destination=["+44|%=>%", "4%"])
        assert world.decide(destination="+4420").destination == "20"
        assert world.verdict(destination="4420") == ("NUMBER_BLOCKED", "account CUST0001")

    def test_rated_and_routed_number_has_no_plus_when_a_rule_puts_one_there(self, world: World) -> None:
        world.account.rules = make_rules(destination=["00|%=>+%"])
        world.snapshot.tariffs[1] = make_tariff(make_rate(prefix="44"))
        decision = world.decide(destination="004420")
        assert (decision.code, decision.destination, decision.sent_destination) == ("", "4420", "4420")

    def test_carrier_gets_the_plus_that_its_rules_put_there(self, world: World) -> None:
        world.carrier.rules = make_rules(destination=["%=>+%"], source=["%=>+%"])
        attempt = world.decide().attempts[0]
        assert (attempt.destination, attempt.source) == (f"+{NUMBER}", "+4930123456")


class TestDestination:
    """§2.6: destination rules: none matches, or a disallowing rule wins."""

    @pytest.mark.parametrize(
        ("rules", "number", "result"),
        [
            (["%=>%"], "4420", "4420"),
            (["44|%=>%"], "442079460000", "2079460000"),
            (["44|%=>0044%"], "442079460000", "00442079460000"),
            (["44{4}|%=>%"], "4412", "12"),
            (["{10}%=>91%"], "9876543210", "919876543210"),
            (["%=>919949800228"], "1", "919949800228"),
            (["%=>%", "44%", "4420%=>%"], "4420", "4420"),
        ],
    )
    def test_number_is_what_the_rule_makes_of_it(
        self, world: World, rules: list[str], number: str, result: str
    ) -> None:
        world.account.rules = make_rules(destination=rules)
        decision = world.decide(destination=number)
        assert (decision.code, decision.destination, decision.attempts[0].destination) == ("", result, result)

    @pytest.mark.parametrize(
        ("rules", "number", "code"),
        [
            (["44%"], "4420", "NUMBER_BLOCKED"),
            (["%=>%", "44%"], "4420", "NUMBER_BLOCKED"),
            (["44%=>%", "44%"], "4420", "NUMBER_BLOCKED"),
            (["44{4}|%=>%"], "44123", "NUMBER_NOT_ALLOWED"),
            (["33%=>%"], "4420", "NUMBER_NOT_ALLOWED"),
            ([], "4420", "NUMBER_NOT_ALLOWED"),
        ],
    )
    @pytest.mark.parametrize("is_reseller", [False, True])
    def test_account_or_reseller_whose_rules_forbid_the_number_is_named(
        self, world: World, rules: list[str], number: str, code: str, is_reseller: bool
    ) -> None:
        account = world.reseller if is_reseller else world.account
        account.rules = make_rules(destination=rules)
        assert world.verdict(destination=number) == (code, account.title)

    def test_rules_of_each_reseller_see_what_those_below_made(self, world: World) -> None:
        top = make_account(11, rules=make_rules(destination=["00|%=>%"]))
        world.accounts.append(top)
        world.reseller.parent_id = 11
        world.account.rules = make_rules(destination=["9|%=>%"])
        world.reseller.rules = make_rules(destination=["%=>00%"])
        assert world.decide(destination="94420").destination == "4420"
        world.account.rules = make_rules(destination=["9%=>%"])
        top.rules = make_rules(destination=["009%"])
        assert world.verdict(destination="94420") == ("NUMBER_BLOCKED", "reseller RESE0011")

    def test_number_that_the_rules_leave_nothing_of_is_refused(self, world: World) -> None:
        world.account.rules = make_rules(destination=["44|%=>%"])
        assert world.verdict(destination="44") == ("NUMBER_NOT_ALLOWED", "account CUST0001")

    def test_name_as_number_matches_only_the_rule_for_everything(self, world: World) -> None:
        assert world.decide(destination="sales").destination == "sales"
        world.account.rules = make_rules(destination=["4%=>%", "{5}%=>%"])
        assert world.verdict(destination="sales") == ("NUMBER_NOT_ALLOWED", "account CUST0001")


class TestSource:
    """§2.7: source rules: none matches, or a disallowing rule wins."""

    @pytest.mark.parametrize(
        ("rules", "code"), [(["%=>%", "49%"], "CLI_BLOCKED"), (["44%=>%"], "CLI_NOT_ALLOWED"), ([], "CLI_NOT_ALLOWED")]
    )
    @pytest.mark.parametrize("is_reseller", [False, True])
    def test_account_or_reseller_whose_rules_forbid_the_caller_is_named(
        self, world: World, rules: list[str], code: str, is_reseller: bool
    ) -> None:
        account = world.reseller if is_reseller else world.account
        account.rules = make_rules(source=rules)
        assert world.verdict() == (code, account.title)

    @pytest.mark.parametrize("source", ["anonymous", ""])
    def test_caller_that_is_no_number_matches_only_the_rule_for_everything(self, world: World, source: str) -> None:
        assert world.decide(source=source).source == source
        world.account.rules = make_rules(source=["%=>4411"])
        assert world.decide(source=source).source == "4411"
        world.account.rules = make_rules(source=["4%=>%"])
        assert world.verdict(source=source) == ("CLI_NOT_ALLOWED", "account CUST0001")

    def test_rules_of_each_reseller_see_what_those_below_made(self, world: World) -> None:
        world.account.rules = make_rules(source=["49|%=>0%"])
        world.reseller.rules = make_rules(source=["0|%=>44%"])
        decision = world.decide(source="49301")
        assert (decision.source, decision.attempts[0].source) == ("44301", "44301")

    def test_destination_is_looked_at_before_the_source(self, world: World) -> None:
        world.account.rules = make_rules(destination=["%"], source=["%"])
        world.reseller.rules = make_rules(destination=["%"])
        assert world.decide().code == "NUMBER_BLOCKED"
        world.account.rules = make_rules(source=["%"])
        assert world.verdict() == ("NUMBER_BLOCKED", "reseller RESE0010")


class TestCLI:
    """§2.8: the caller's number by the destination; it rewrites and never refuses."""

    @pytest.mark.parametrize(
        ("rule", "destination", "cli"),
        [
            ("44%=>441234567", "4420", "441234567"),
            ("%=>44%", "3312", "44123"),
            ("33%=>9", "4420", "123"),
            ("44%=>%", "4420", "123"),
        ],
    )
    def test_caller_is_shown_as_the_destination_has_it(
        self, world: World, rule: str, destination: str, cli: str
    ) -> None:
        world.account.rules = make_rules(cli=[rule])
        decision = world.decide(destination=destination, source="123")
        assert (decision.code, decision.source, decision.attempts[0].source) == ("", cli, cli)

    def test_rule_of_the_destination_sees_the_translated_number(self, world: World) -> None:
        world.account.rules = make_rules(destination=["00|%=>%"], source=["0|%=>49%"], cli=["44%=>1%", "00%=>2%"])
        decision = world.decide(destination="004420", source="030")
        assert (decision.destination, decision.source) == ("4420", "14930")

    def test_reseller_rewrites_after_the_account(self, world: World) -> None:
        world.account.rules, world.reseller.rules = make_rules(cli=["44%=>1%"]), make_rules(cli=["4%=>2%"])
        assert world.decide(destination="4420", source="3").source == "213"

    def test_source_rules_are_not_asked_about_what_was_rewritten(self, world: World) -> None:
        world.account.rules = make_rules(source=["3%=>%"], cli=["%=>999"])
        assert world.decide(source="3").source == "999"


class TestCarrier:
    """§3: the carrier's source and destination rules come last, per attempt."""

    def test_each_carrier_gets_the_numbers_of_its_own_rules(self, world: World) -> None:
        plain = make_carrier(2)
        world.carrier.rules = make_rules(destination=["44|%=>00%"], source=["49|%=>%"])
        world.lead_to(make_entry(1, world.carrier, priority=1), make_entry(2, plain, priority=2))
        decision = world.decide(destination="4420", source="4930")
        assert [(attempt.destination, attempt.source) for attempt in decision.attempts] == [
            ("0020", "30"),
            ("4420", "4930"),
        ]
        assert (decision.destination, decision.source) == ("4420", "4930")

    def test_carrier_is_priced_by_the_number_before_its_own_rules(self, world: World) -> None:
        world.carrier.rules = make_rules(destination=["44|%=>00%"])
        world.carrier.tariff_id = 3
        world.snapshot.tariffs[3] = make_tariff(make_rate("0.5", "44"), tariff_id=3)
        (attempt,) = world.decide(destination="4420").attempts
        assert (attempt.rate is not None, attempt.destination) == (True, "0020")

    def test_carrier_gets_what_the_pattern_has_stripped(self, world: World) -> None:
        world.dialing_routes = [("77|%", world.route)]
        world.carrier.rules = make_rules(destination=["44|%=>%", "77%"])
        assert world.decide(destination="774420").attempts[0].destination == "20"

    @pytest.mark.parametrize(
        ("rules", "dropped"),
        [
            ({"destination": ["44%"]}, "number not allowed"),
            ({"destination": []}, "number not allowed"),
            ({"source": ["49%"]}, "caller's number not allowed"),
            ({"source": ["33%=>%"]}, "caller's number not allowed"),
        ],
    )
    def test_carrier_is_passed_over_when_its_rules_forbid_a_number(
        self, world: World, rules: dict[str, list[str]], dropped: str
    ) -> None:
        world.carrier.rules = make_rules(**rules)
        world.lead_to(make_entry(1, world.carrier, priority=1), make_entry(2, make_carrier(2), priority=2))
        trace = Trace()
        assert world.carriers_tried(trace=trace) == [2]
        assert [candidate.dropped for candidate in trace.candidates] == [dropped, ""]
        world.lead_to(make_entry(1, world.carrier))
        assert world.verdict() == ("NO_ROUTE", "route route-1")

    @pytest.mark.parametrize(("pattern", "rules"), [("44|%", ["%=>%"]), ("%", ["44|%=>%"]), ("44|%", ["%=>+%"])])
    def test_carrier_is_not_tried_when_nothing_is_left_of_the_number(
        self, world: World, pattern: str, rules: list[str]
    ) -> None:
        world.dialing_routes = [(pattern, world.route)]
        world.carrier.rules = make_rules(destination=rules)
        decision = world.decide(destination="44")
        assert decision.code
        assert [attempt.destination for attempt in decision.attempts if attempt.destination in {"", "+"}] == []

    def test_incoming_rules_of_the_carrier_do_not_matter(self, world: World) -> None:
        world.carrier.rules = make_rules(did_source=["%"], did_destination=["%"])
        assert world.verdict() == ("", "")

    def test_did_rules_of_the_account_do_not_matter(self, world: World) -> None:
        world.account.rules = make_rules(did_source=["%"], did_destination=["%"])
        assert world.verdict() == ("", "")
