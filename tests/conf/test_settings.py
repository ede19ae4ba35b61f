import tomllib
from collections.abc import Iterator
from dataclasses import Field, fields
from pathlib import Path
from typing import Any

import pytest

from conf.loader import load
from conf.settings import Settings

ROOT = Path(__file__).parents[2]


def every_setting() -> Iterator[tuple[str, "Field[Any]", object]]:
    for section in fields(Settings):
        content = getattr(Settings(), section.name)
        for field in fields(content):
            yield section.name, field, getattr(content, field.name)


def show(value: object) -> str:
    """The value as TOML; three and more whole numbers in a row are shortened to first…last."""
    if isinstance(value, tuple):
        return "[" + ", ".join(show_runs(value) if value and isinstance(value[0], int) else map(show, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)


def show_runs(numbers: tuple[int, ...]) -> Iterator[str]:
    rest = list(numbers)
    while rest:
        length = next((n for n in range(1, len(rest)) if rest[n] != rest[0] + n), len(rest))
        if length < 3:
            length = 1
        yield str(rest[0]) if length == 1 else f"{rest[0]}…{rest[length - 1]}"
        del rest[:length]


def row(section: str, field: "Field[Any]", default: object) -> str:
    meaning, choices = field.metadata["help"], field.metadata["choices"]
    if choices:
        meaning += f": {', '.join(choices)}"
    return f"| {section} | {field.name} | `{show(default)}` | {field.metadata['unit']} | {meaning} |"


def test_default_file_holds_every_setting_at_its_default() -> None:
    text = (ROOT / "conf" / "default.toml").read_text(encoding="utf-8")
    document = tomllib.loads(text)
    assert {(section, name) for section in document for name in document[section]} == {
        (section, field.name) for section, field, _ in every_setting()
    }
    assert load(ROOT / "conf" / "default.toml", {}) == Settings()


def test_default_file_explains_every_setting() -> None:
    comments = " ".join(
        line.removeprefix("# ")
        for line in (ROOT / "conf" / "default.toml").read_text(encoding="utf-8").splitlines()
        if line.startswith("#")
    )
    missing = [
        f"{section}.{field.name}" for section, field, _ in every_setting() if field.metadata["help"] not in comments
    ]
    assert not missing


def test_manual_has_one_row_for_every_setting() -> None:
    lines = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8").splitlines()
    rows = [line for line in lines if line.startswith("| ") and not line.startswith("| section ")]
    assert rows == [row(section, field, default) for section, field, default in every_setting()]


@pytest.mark.parametrize("section", [section.name for section in fields(Settings)])
def test_every_section_has_a_heading_in_the_manual(section: str) -> None:
    assert f"## [{section}]" in (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
