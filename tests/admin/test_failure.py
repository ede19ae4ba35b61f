"""Classes of failures."""

from admin.failure import BY_CODE, CLASSES, OTHER, failure_class
from admin.signalling import CODES


def test_every_code_that_is_explained_has_one_class_with_advice() -> None:
    assert set(BY_CODE) >= set(CODES) - {"ANSWERED"}
    assert sum(len(each.codes) for each in CLASSES) == len(BY_CODE)
    for each in (*CLASSES, OTHER):
        assert each.advice.endswith(".")
        assert each.advice.count(". ") == 0, "one sentence"


def test_code_that_is_not_known_is_of_no_class() -> None:
    assert failure_class("NO_FUNDS").title == "Not enough money"
    assert failure_class("FROM_THE_FUTURE") is OTHER
