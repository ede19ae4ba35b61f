"""Number rules, CLI rules and dialing patterns."""

import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from b2bua.policy.numbers import (
    CLIRule,
    CLIRules,
    DialPatterns,
    InvalidRule,
    NumberRule,
    NumberRules,
    Pattern,
    Verdict,
    is_number,
)

# The constraints of number_rule.rule and dialing_route.pattern in the schema.
SQL_PATTERN = r"\+?[0-9*#]*(\{[0-9]{1,3}\})?(\|[0-9*#]*)?(\{[0-9]{1,3}\})?%?"
SQL_RULE = SQL_PATTERN + r"(=>\+?[0-9*#]*%?)?"

RIGHTS = st.sampled_from(["", "=>", "=>%", "=>9%", "=>+%", "=>+9%", "=>9", "=>*#"])
PATTERNS = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["", "", "+"]),
    st.text("12*", max_size=3),
    st.sampled_from(["", "|", "{2}", "{3}|", "|1", "{3}|2", "|2{4}"]),
    st.sampled_from(["", "%", "%"]),
)
NUMBERS = st.builds("{}{}".format, st.sampled_from(["", "+"]), st.text("12*", max_size=5)) | st.just("anonymous")


def is_accepted(text: str) -> bool:
    """Whether a text is a rule."""
    try:
        NumberRule.parse(text)
    except InvalidRule:
        return False
    return True


RULES = st.builds("{}{}".format, PATTERNS, RIGHTS).filter(is_accepted)


def translated(number: str, *rules: str) -> str:
    """The translated number, or the code when the rules refuse it."""
    verdict = NumberRules.of(rules).translate(number)
    return verdict.code or verdict.number


def winner(number: str, *rules: str) -> str:
    """The rule that wins, which must not hang on the order of the rules."""
    found = {NumberRules.of(each).translate(number).rule for each in (rules, rules[::-1])}
    assert len(found) == 1
    return found.pop()


class TestTable:
    """docs/behaviour.md §3: what must hold."""

    @pytest.mark.parametrize(
        ("rule", "number", "result"),
        [
            ("%=>%", "4420", "4420"),
            ("44|%=>%", "442079460000", "2079460000"),
            ("44|%=>0044%", "442079460000", "00442079460000"),
            ("44{4}|%=>%", "4412", "12"),
            ("44{4}|%=>%", "44123", "NONE"),
            ("{10}%=>91%", "9876543210", "919876543210"),
            ("%=>919949800228", "4420", "919949800228"),
            ("%=>919949800228", "anonymous", "919949800228"),
            ("%=>919949800228", "", "919949800228"),
            ("44%", "44", "BLOCKED"),
            ("44%", "442079460000", "BLOCKED"),
        ],
    )
    def test_number_rules_translate_as_the_table_says(self, rule: str, number: str, result: str) -> None:
        assert translated(number, rule) == result

    @pytest.mark.parametrize(
        ("rule", "destination", "cli", "result"),
        [("44%=>441234567", "442079460000", "123", "441234567"), ("%=>44%", "33123456", "123", "44123")],
    )
    def test_cli_rules_rewrite_as_the_table_says(self, rule: str, destination: str, cli: str, result: str) -> None:
        assert CLIRules.of([rule]).rewrite(destination, cli) == (result, rule)


class TestPattern:
    """docs/behaviour.md §3: LEFT."""

    @pytest.mark.parametrize(
        ("text", "pattern"),
        [
            ("%", Pattern("", "", None, True, False)),
            ("|%", Pattern("", "", None, True, False)),
            ("44", Pattern("", "44", None, False, False)),
            ("44%", Pattern("", "44", None, True, False)),
            ("44|", Pattern("44", "44", None, False, False)),
            ("44|20%", Pattern("44", "4420", None, True, False)),
            ("44{4}|%", Pattern("44", "44", 4, True, False)),
            ("44|20{12}%", Pattern("44", "4420", 12, True, False)),
            ("44{2}", Pattern("", "44", 2, False, False)),
            ("{10}%", Pattern("", "", 10, True, False)),
            ("+%", Pattern("", "", None, True, True)),
            ("+44%", Pattern("", "44", None, True, True)),
            ("+|44%", Pattern("+", "44", None, True, True)),
            ("+44|20", Pattern("+44", "4420", None, False, True)),
            ("*9#%", Pattern("", "*9#", None, True, False)),
        ],
    )
    def test_pattern_is_read_when_well_formed(self, text: str, pattern: Pattern) -> None:
        assert Pattern.parse(text) == pattern

    @pytest.mark.parametrize(
        ("text", "fault"),
        [
            ("", "names no number"),
            ("|", "names no number"),
            ("+", "names no number"),
            ("{10}", "names no number"),
            ("44x%", "'x' is not among"),
            (" 44%", "' ' is not among"),
            ("44%\n", "is not among"),
            ("٤٤%", "'٤' is not among"),
            ("44=", "'=' is not among"),
            ("4+4%", r"\+ may stand only at the beginning"),
            ("++44%", r"\+ may stand only at the beginning"),
            ("44|+20%", r"\+ may stand only at the beginning"),
            ("4|4|%", r"\| may stand only once"),
            ("4%4", "% may stand only once, at the end"),
            ("44%%", "% may stand only once, at the end"),
            ("44%|", "% may stand only once, at the end"),
            ("44{}%", "one to three digits in braces"),
            ("44{1000}%", "one to three digits in braces"),
            ("44{4%", "one to three digits in braces"),
            ("44}4{%", "one to three digits in braces"),
            ("44{x}%", "'x' is not among"),
            ("44{4}20%", "after the digits and before"),
            ("+{4}44%", "after the digits and before"),
            ("44{4}{4}%", r"\{N\} may stand only once"),
            ("44{4}|20{4}%", r"\{N\} may stand only once"),
            ("{5}{5}{5}%", r"\{N\} may stand only once"),
            ("{0}%", r"no number of any digits is \{0\} long"),
            ("442{2}%", r"no number of 3 digits is \{2\} long"),
            ("44{4}", r"has 2 digits, not \{4\}"),
            ("44{4}|", r"has 2 digits, not \{4\}"),
        ],
    )
    def test_pattern_names_the_fault_when_malformed(self, text: str, fault: str) -> None:
        with pytest.raises(InvalidRule, match=fault) as raised:
            Pattern.parse(text)
        assert repr(text) in str(raised.value)

    @pytest.mark.parametrize(
        ("text", "number", "matches"),
        [
            ("44", "44", True),
            ("44", "442", False),
            ("44", "+44", True),
            ("44%", "4", False),
            ("44{4}%", "4412", True),
            ("44{4}%", "+4412", True),
            ("44{4}%", "441", False),
            ("+44%", "4420", False),
            ("+44%", "+4420", True),
            ("+44{4}%", "+4420", True),
            ("+44{5}%", "+4420", False),
            ("%", "anonymous", True),
            ("|%", "anonymous", True),
            ("%", "", True),
            ("%", "+", True),
            ("+%", "+", False),
            ("{9}%", "anonymous", False),
        ],
    )
    def test_pattern_matches_when_the_number_fits(self, text: str, number: str, *, matches: bool) -> None:
        assert Pattern.parse(text).matches(number) is matches

    def test_pattern_ranks_digits_then_exact_then_length(self) -> None:
        worst_first = ["%", "{4}%", "4%", "4{4}%", "4", "4{1}", "44%"]
        assert sorted(worst_first[::-1], key=lambda text: Pattern.parse(text).rank) == worst_first

    @given(PATTERNS)
    def test_pattern_reads_its_own_spelling(self, text: str) -> None:
        try:
            pattern = Pattern.parse(text)
        except InvalidRule:
            return
        assert Pattern.parse(str(pattern)) == pattern
        assert re.fullmatch(SQL_PATTERN, str(pattern))


class TestNumberRule:
    """docs/behaviour.md §3: RIGHT, and what the schema accepts."""

    @pytest.mark.parametrize(
        ("rule", "result"),
        [
            ("44|%=>", "2079"),
            ("44|%=>%", "2079"),
            ("44|%=>0%", "02079"),
            ("44|%=>+1%", "+12079"),
            ("44|%=>33", "33"),
            ("44|%=>+33", "+33"),
            ("44|20%=>*9#%", "*9#2079"),
            ("442079=>%", "442079"),
            ("442079|=>%", ""),
            ("442079|=>100", "100"),
        ],
    )
    def test_right_side_keeps_prepends_or_replaces_when_the_left_matches(self, rule: str, result: str) -> None:
        assert translated("442079", rule) == result

    @pytest.mark.parametrize(
        ("text", "fault"),
        [
            ("", "names no number"),
            ("=>%", "names no number"),
            ("44%=>x", "the right side is"),
            ("44%=>%%", "the right side is"),
            ("44%=>%1", "the right side is"),
            ("44%=>1+", "the right side is"),
            ("44%=>1{4}", "the right side is"),
            ("44%=>1=>2", "the right side is"),
            ("44%=> ", "the right side is"),
            ("44%=>1\n", "the right side is"),
            ("44%=1", "'=' is not among"),
        ],
    )
    def test_rule_names_the_fault_when_malformed(self, text: str, fault: str) -> None:
        with pytest.raises(InvalidRule, match=fault):
            NumberRule.parse(text)
        with pytest.raises(InvalidRule, match=fault):
            NumberRules.of(["%=>%", text])

    @given(RULES)
    def test_rule_reads_its_own_spelling(self, text: str) -> None:
        rule = NumberRule.parse(text)
        assert NumberRule.parse(str(rule)) == rule
        assert rule.text == text

    @given(st.text("014*#+|{}%=>", max_size=12) | st.from_regex(SQL_RULE, fullmatch=True) | st.text())
    def test_rule_is_refused_when_the_schema_refuses_it(self, text: str) -> None:
        assert not is_accepted(text) or re.fullmatch(SQL_RULE, text)

    @given(st.from_regex(SQL_RULE, fullmatch=True))
    def test_rule_of_the_schema_is_refused_only_when_it_matches_nothing_or_says_the_length_twice(
        self, text: str
    ) -> None:
        digits = re.sub(r"\{.*?\}|[^0-9*#]", "", text.partition("=>")[0])
        length = re.search(r"\{(.*?)\}", text)
        twice = text.count("{") > 1
        is_open = text.partition("=>")[0].endswith("%")
        allowed = (is_open or digits) and (
            length is None or int(length[1]) == len(digits) > 0 or (is_open and int(length[1]) > len(digits))
        )
        assert is_accepted(text) is bool(allowed and not twice)


class TestPrecedence:
    """docs/behaviour.md §3: most literal digits, then exact, then with {N}, then disallow."""

    @pytest.mark.parametrize(
        ("best", "other"),
        [
            ("442%=>%", "44%"),
            ("44|2%=>%", "44%"),
            ("44|2%=>%", "44{4}%"),
            ("4420%=>%", "442{4}%"),
            ("4420=>%", "4420%"),
            ("4420=>%", "4420{4}%"),
            ("4420|=>%", "4420%"),
            ("4420{4}=>%", "4420"),
            ("44{4}%=>%", "44%"),
            ("{4}%=>%", "%"),
            ("44{4}|%=>%", "44%"),
            ("4420", "4420=>%"),
            ("44%", "44%=>%"),
            ("44%", "44|%=>%"),
            ("44{4}%", "44{4}|%=>%"),
            ("%", "%=>%"),
        ],
    )
    def test_better_rule_wins_when_both_match(self, best: str, other: str) -> None:
        assert winner("4420", best, other) == best
        assert winner("4420", best, other, "%=>%", "5%=>%", "44205%=>%") == best

    @pytest.mark.parametrize(
        ("rule", "number"), [("44{5}%", "4420"), ("442", "4420"), ("4420{4}", "44201"), ("5%", "4420")]
    )
    def test_better_rule_is_passed_over_when_it_does_not_match(self, rule: str, number: str) -> None:
        assert winner(number, rule, "44%=>%", "%") == "44%=>%"

    def test_equal_rules_give_one_winner_when_the_order_differs(self) -> None:
        assert winner("4420", "44%=>1%", "44%=>2%") == "44%=>1%"
        assert winner("4420", "44|%=>%", "44%=>%") == "44%=>%"

    def test_no_rule_matches_when_there_is_none(self) -> None:
        assert NumberRules.of([]).translate("44") == Verdict("44", "NONE", "")
        assert NumberRules.of(["33%=>%", "4{5}%=>%"]).translate("+44") == Verdict("+44", "NONE", "")

    def test_verdict_says_number_and_rule_when_blocked_or_allowed(self) -> None:
        rules = NumberRules.of(["%=>%", "44|%=>0%", "449%"])
        assert rules.translate("4490") == Verdict("4490", "BLOCKED", "449%")
        assert rules.translate("4480") == Verdict("080", "", "44|%=>0%")
        assert rules.translate("3380") == Verdict("3380", "", "%=>%")

    def test_thousands_of_rules_are_told_apart(self) -> None:
        rules = NumberRules.of([f"{prefix}|%=>{prefix % 7}%" for prefix in range(1000, 4000)])
        assert [rules.translate(f"{prefix}55").number for prefix in range(1000, 4000)] == [
            f"{prefix % 7}55" for prefix in range(1000, 4000)
        ]
        assert rules.translate("99955").code == "NONE"

    @given(st.lists(RULES, max_size=8), NUMBERS)
    def test_compiled_rules_find_what_looking_at_every_rule_finds(self, texts: list[str], number: str) -> None:
        fitting = [rule for rule in map(NumberRule.parse, texts) if rule.pattern.matches(number)]
        verdict = NumberRules.of(texts).translate(number)
        if not fitting:
            assert verdict == Verdict(number, "NONE", "")
            return
        best = max(rule.rank for rule in fitting)
        named = [rule for rule in fitting if rule.rank == best and rule.pattern.has_plus]
        last = min(named or [rule for rule in fitting if rule.rank == best], key=lambda rule: rule.text)
        expected = Verdict(last.apply(number), "", last.text)
        assert verdict == (expected if last.is_allowed else Verdict(number, "BLOCKED", last.text))


class TestPlus:
    """docs/behaviour.md §3: a leading + is removed before matching unless a rule names it."""

    @pytest.mark.parametrize(
        ("rules", "number", "result"),
        [
            (["%=>%"], "+4420", "4420"),
            (["%=>00%"], "+4420", "004420"),
            (["%=>+%"], "+4420", "+4420"),
            (["%=>+%"], "4420", "+4420"),
            (["44|%=>%"], "+4420", "20"),
            (["44{4}%=>%"], "+4420", "4420"),
            (["+44%=>%"], "+4420", "+4420"),
            (["+44%=>"], "+4420", "+4420"),
            (["+44%=>%"], "4420", "NONE"),
            (["+44%=>00%"], "+4420", "004420"),
            (["+|%=>%"], "+4420", "4420"),
            (["+|44%=>%"], "+4420", "4420"),
            (["+44|%=>0%"], "+4420", "020"),
            (["+44{4}|%=>0%"], "+4420", "020"),
            (["+4420=>100"], "+4420", "100"),
            (["+%", "44%=>%"], "+4420", "4420"),
            (["+%", "44%=>%"], "+3320", "BLOCKED"),
            (["+%", "44%=>%"], "3320", "NONE"),
            (["+44%=>1%", "%=>%"], "+3320", "3320"),
            (["+44%=>1%", "442%=>%"], "+4420", "4420"),
        ],
    )
    def test_plus_is_kept_or_dropped_as_the_winner_says(self, rules: list[str], number: str, result: str) -> None:
        assert translated(number, *rules) == result

    def test_rule_that_names_the_plus_wins_when_all_else_is_equal(self) -> None:
        assert winner("+4420", "44%=>%", "+44%=>1%") == "+44%=>1%"
        assert winner("4420", "44%=>%", "+44%=>1%") == "44%=>%"

    def test_disallow_wins_when_only_the_plus_differs(self) -> None:
        assert winner("+4420", "44%", "+44%=>1%") == "44%"


class TestNoNumber:
    """docs/behaviour.md §3: what is no number matches only `%`."""

    STRANGE: Sequence[str] = (
        "anonymous",
        "",
        "+",
        "+anonymous",
        "44a",
        "4+4",
        "44 20",
        "44-20",
        "44%",
        "٤٤",
        "²",
        "44\n",
    )

    @pytest.mark.parametrize("number", STRANGE)
    def test_no_number_is_kept_or_replaced_when_the_rule_is_any(self, number: str) -> None:
        assert not is_number(number)
        assert NumberRules.of(["%=>%"]).translate(number) == Verdict(number, "", "%=>%")
        assert NumberRules.of(["%=>", "44%"]).translate(number) == Verdict(number, "", "%=>")
        assert translated(number, "%=>44%") == "44"
        assert translated(number, "%=>44") == "44"
        assert translated(number, "%") == "BLOCKED"
        assert translated(number, "%", "%=>%") == "BLOCKED"

    @pytest.mark.parametrize("number", STRANGE)
    def test_no_number_matches_nothing_when_no_rule_is_any(self, number: str) -> None:
        rules = ["+%=>%", "{9}%=>%", "{1}%", "44%=>%", "44", "4|%=>%"]
        assert translated(number, *rules) == "NONE"
        assert winner(number, *rules, "%=>%") == "%=>%"

    @pytest.mark.parametrize("number", ["4", "*", "#", "*98#", "+4", "+*1", "0" * 40])
    def test_number_is_known_when_digits_stars_and_hashes(self, number: str) -> None:
        assert is_number(number)

    @pytest.mark.parametrize(
        ("rule", "number", "result"),
        [("*9|%=>%", "*98#", "8#"), ("#|%=>0%", "#31", "031"), ("*98", "*98", "BLOCKED"), ("{3}%=>1%", "*98", "1*98")],
    )
    def test_stars_and_hashes_count_as_digits(self, rule: str, number: str, result: str) -> None:
        assert translated(number, rule) == result

    @given(st.lists(RULES, max_size=5), st.text() | NUMBERS)
    def test_rules_never_raise_for_any_text(self, texts: list[str], number: str) -> None:
        for rules in (NumberRules.of(texts), NumberRules.of([*texts, "%=>%"]), NumberRules.of(["%=>%"])):
            verdict = rules.translate(number)
            assert verdict.code in {"", "NONE", "BLOCKED"}
            assert verdict.rule in {*texts, "%=>%", ""}


class TestCLIRules:
    """docs/behaviour.md §3: LEFT is the destination's, RIGHT the CLI's."""

    @pytest.mark.parametrize(
        ("rule", "cli", "result"),
        [
            ("%=>%", "+123", "+123"),
            ("%=>", "+123", "+123"),
            ("%=>44%", "+123", "44123"),
            ("%=>+44%", "+123", "+44123"),
            ("%=>44", "+123", "44"),
            ("%=>44%", "anonymous", "anonymous"),
            ("%=>44%", "", ""),
            ("%=>%", "anonymous", "anonymous"),
            ("%=>44", "anonymous", "44"),
        ],
    )
    def test_cli_is_kept_prepended_or_replaced_when_the_destination_matches(
        self, rule: str, cli: str, result: str
    ) -> None:
        assert CLIRules.of([rule]).rewrite("442079", cli) == (result, rule)

    @pytest.mark.parametrize(
        ("destination", "result"),
        [
            ("4420", ("1", "4420=>1")),
            ("44201", ("2", "4420%=>2")),
            ("4421", ("3", "44{4}%=>3")),
            ("+4421", ("3", "44{4}%=>3")),
            ("44219", ("4", "44%=>4")),
            ("+33", ("5", "+33%=>5")),
            ("33", ("77", "")),
            ("anonymous", ("77", "")),
            ("", ("77", "")),
        ],
    )
    def test_best_rule_for_the_destination_wins(self, destination: str, result: tuple[str, str]) -> None:
        texts = ["44%=>4", "44{4}%=>3", "4420%=>2", "4420=>1", "+33%=>5"]
        for order in (texts, texts[::-1]):
            assert CLIRules.of(order).rewrite(destination, "77") == result

    def test_cli_is_unchanged_when_there_is_no_rule(self) -> None:
        assert CLIRules.of([]).rewrite("44", "+77") == ("+77", "")

    @pytest.mark.parametrize(
        ("text", "fault"),
        [
            ("44%", "needs =>"),
            ("44|%=>1%", r"has no \|"),
            ("44x%=>1%", "'x' is not among"),
            ("44%=>x", "the right side is"),
            ("=>1", "names no number"),
        ],
    )
    def test_cli_rule_names_the_fault_when_malformed(self, text: str, fault: str) -> None:
        with pytest.raises(InvalidRule, match=fault):
            CLIRule.parse(text)
        with pytest.raises(InvalidRule, match=fault):
            CLIRules.of([text])

    @given(st.lists(RULES.filter(lambda text: "=>" in text and "|" not in text), max_size=5), st.text(), st.text())
    def test_rewrite_never_raises_for_any_text(self, texts: list[str], destination: str, cli: str) -> None:
        assert CLIRules.of(texts).rewrite(destination, cli)[1] in {*texts, ""}


class TestDialPatterns:
    """docs/behaviour.md §4: patterns as LEFT of §3; most literal digits win."""

    PATTERNS: Sequence[tuple[str, int]] = (
        ("%", 1),
        ("44%", 2),
        ("44", 3),
        ("44|20%", 4),
        ("44{4}%", 5),
        ("*9|%", 6),
        ("+1|%", 7),
    )

    @pytest.mark.parametrize(
        ("number", "found"),
        [
            ("442079", (4, "2079", "44|20%")),
            ("+442079", (4, "2079", "44|20%")),
            ("4421", (5, "4421", "44{4}%")),
            ("44219", (2, "44219", "44%")),
            ("+44219", (2, "44219", "44%")),
            ("44", (3, "44", "44")),
            ("4", (1, "4", "%")),
            ("*98", (6, "8", "*9|%")),
            ("+1212", (7, "212", "+1|%")),
            ("1212", (1, "1212", "%")),
            ("anonymous", (1, "anonymous", "%")),
            ("", (1, "", "%")),
        ],
    )
    def test_best_pattern_is_found_when_several_match(self, number: str, found: tuple[int, str, str]) -> None:
        for order in (self.PATTERNS, self.PATTERNS[::-1]):
            assert DialPatterns.of(order).find(number) == found

    def test_nothing_is_found_when_no_pattern_matches(self) -> None:
        nothing: list[tuple[str, int]] = []
        assert DialPatterns.of(nothing).find("44") is None
        assert DialPatterns.of([("44%", 1), ("3{3}%", 2)]).find("3") is None
        assert DialPatterns.of([("44%", 1)]).find("anonymous") is None

    def test_first_value_stands_when_a_pattern_comes_twice(self) -> None:
        assert DialPatterns.of([("44%", None), ("44%", 2)]).find("44") == (None, "44", "44%")

    def test_patterns_name_the_fault_when_malformed(self) -> None:
        with pytest.raises(InvalidRule, match="'=' is not among"):
            DialPatterns.of([("44%=>%", 1)])
