"""docs/rfc.md says what is done of every document that the code cites."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("b2bua", "accounts", "media", "rating", "cdr", "conf", "admin")
ROW = re.compile(r"^\| (\d+) \| ([^|]+) \| ([^|]+) \|([^|]*)\|", re.MULTILINE)

ROWS = {
    int(number): (title.strip(), done.strip(), re.findall(r"`([^`]+)`", modules))
    for number, title, done, modules in ROW.findall((ROOT / "docs/rfc.md").read_text(encoding="utf-8"))
}


def cited() -> dict[int, set[str]]:
    """Every RFC that a Python file cites, and the files that do."""
    found: dict[int, set[str]] = {}
    for package in PACKAGES:
        for file in sorted((ROOT / package).rglob("*.py")):
            if "node_modules" in file.parts:
                continue
            for number in re.findall(r"\bRFCs?\s+(\d{3,5})\b", file.read_text(encoding="utf-8")):
                found.setdefault(int(number), set()).add(str(file.relative_to(ROOT)))
    return found


def test_table_names_every_document_that_the_code_cites() -> None:
    citations = cited()
    assert 3261 in citations
    assert {number: files for number, files in citations.items() if number not in ROWS} == {}


@pytest.mark.parametrize("number", ROWS)
def test_row_names_modules_that_exist_when_something_is_done(number: int) -> None:
    title, done, modules = ROWS[number]
    assert title
    assert done in {"Yes", "Partial", "No"}
    assert bool(modules) == (done != "No")
    assert [module for module in modules if not (ROOT / module).exists()] == []


def test_rows_are_in_order_and_not_repeated() -> None:
    text = (ROOT / "docs/rfc.md").read_text(encoding="utf-8")
    for table in text.split("\n## ")[1:]:
        numbers = [int(match[1]) for match in ROW.finditer(table)]
        assert numbers == sorted(set(numbers))
