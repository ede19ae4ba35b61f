"""Number rules in words."""

import pytest

from admin.rules import explain, in_order, patterns_in_order, try_number


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("%=>%", "lets every number through"),
        ("44|%=>%", "lets numbers that begin with 44 through: 44 is taken off"),
        ("{10}%=>91%", "lets every number of 10 digits through: 91 is put before it"),
        ("%=>919949800228", "lets every number through: becomes 919949800228"),
        ("44%", "bars numbers that begin with 44"),
        ("112", "bars 112"),
        ("nonsense", "cannot be read"),
    ],
)
def test_rule_says_what_it_does(rule: str, words: str) -> None:
    assert explain(rule, "destination").startswith(words)


def test_cli_rule_says_what_it_does() -> None:
    assert explain("44%=>441234567", "cli") == (
        "on calls to numbers that begin with 44: the caller's number becomes 441234567"
    )


def test_order_is_that_in_which_rules_win() -> None:
    assert in_order(["%=>%", "nonsense", "44%=>%", "44", "449%"], "source") == [
        "449%",
        "44",
        "44%=>%",
        "%=>%",
        "nonsense",
    ]
    assert patterns_in_order(["%", "44%", "112"]) == ["112", "44%", "%"]


def test_number_without_a_rule_is_refused() -> None:
    assert try_number(["44%=>%"], "source", "33").text == "33 is refused: no rule matches"
    assert not try_number(["nonsense"], "source", "33").is_allowed
    assert try_number(["44%=>1"], "cli", "5", "33").text == "5 stays as it is: no rule matches 33"
