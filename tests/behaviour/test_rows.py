"""The list of rows is complete: every code and every rule of docs/behaviour.md has one, with the same answers."""

import re
from collections import Counter
from pathlib import Path

import pytest

from tests.behaviour.rows import ROWS, RULES, Refusal

DOCUMENT = Path(__file__).parents[2] / "docs" / "behaviour.md"

Line = list[str]


def section(number: int) -> str:
    text = DOCUMENT.read_text()
    match = re.search(rf"^## {number}\. .*?(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert match is not None, f"docs/behaviour.md has no section {number}"
    return match[0]


def tables(text: str) -> list[Line]:
    """Cells of all lines of all tables but their heads; `\\|` is no border."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    cells = [
        [cell.replace("\\|", "|").replace("`", "").strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in lines
    ]
    heads = [place - 1 for place, line in enumerate(lines) if re.fullmatch(r"[|\-: ]+", line) and "--" in line]
    return [line for place, line in enumerate(cells) if place not in heads and place - 1 not in heads]


def documented_codes() -> dict[str, tuple[set[int], set[int]]]:
    """Code -> SIP statuses and Q.850 causes, of every code in §2."""
    found = {}
    for *_, codes, statuses, causes in tables(section(2)):
        for code in re.findall(r"\b[A-Z]{2,}(?:_[A-Z]+)*\b", codes):
            found[code] = numbers(statuses), numbers(causes)
    for code, status, cause in re.findall(r"\b([A-Z][A-Z_]{3,}) (\d{3})/(\d{1,3})\b", section(2)):
        found[code] = {int(status)}, {int(cause)}
    return found


def numbers(cell: str) -> set[int]:
    return {int(number) for number in re.findall(r"\d+", cell)}


def refusals() -> list[Refusal]:
    return [row.expected for row in ROWS if isinstance(row.expected, Refusal)]


class TestRows:
    def test_names_are_unique(self) -> None:
        assert [name for name, times in Counter(row.id for row in ROWS).items() if times > 1] == []

    def test_every_code_has_a_row(self) -> None:
        codes = documented_codes()
        assert len(codes) >= 19
        assert set(codes) - {refusal.code for refusal in refusals()} == set()

    def test_every_row_has_a_code_that_is_documented(self) -> None:
        assert {refusal.code for refusal in refusals()} - set(documented_codes()) == set()

    def test_answers_are_those_that_are_documented(self) -> None:
        codes = documented_codes()
        wrong = [
            refusal
            for refusal in refusals()
            if refusal.status not in codes[refusal.code][0] or refusal.cause not in codes[refusal.code][1]
        ]
        assert wrong == []

    @pytest.mark.parametrize("code", sorted(documented_codes()))
    def test_every_answer_of_a_code_has_a_row(self, code: str) -> None:
        statuses, causes = documented_codes()[code]
        given = [(refusal.status, refusal.cause) for refusal in refusals() if refusal.code == code]
        assert statuses == {status for status, _ in given}
        assert causes == {cause for _, cause in given}

    def test_every_check_has_a_row(self) -> None:
        checks = {int(found[1]) for line in tables(section(2)) if (found := re.match(r"(\d+) ", line[0]))}
        assert checks == set(range(1, 17))
        named = {int(found[1]) for row in ROWS if (found := re.match(r"§2\.(\d+) ", row.id))}
        assert checks - named == set()


class TestRules:
    def test_table_is_the_documented_one(self) -> None:
        assert {tuple(line) for line in tables(section(3))} == set(RULES)

    def test_every_rule_has_a_row(self) -> None:
        assert set(RULES) - {row.rule for row in ROWS} == set()
