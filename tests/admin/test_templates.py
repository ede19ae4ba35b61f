"""What the content policy forbids stands in no template and no script."""

import re
from pathlib import Path

import pytest

from admin.app import TEMPLATES
from admin.assets import STATIC

FORBIDDEN = {
    "an inline script": re.compile(r"<script(?![^>]*(src=|application/json))", re.I),
    "an inline style": re.compile(r"<style|\sstyle=", re.I),
    "an event attribute": re.compile(r"\son[a-z]+=", re.I),
    "hx-on, which needs eval": re.compile(r"hx-on", re.I),
    "a filter in hx-trigger, which needs eval": re.compile(r'hx-trigger="[^"\[]*(?<!target:)\['),
    "js: in hx-vals, which needs eval": re.compile(r"\bjs:"),
    "a field whose name hides a property of its form": re.compile(r'name="(id|action|method|submit)"'),
    "an address of another site": re.compile(r"https?://"),
}


def pages() -> list[Path]:
    return sorted(TEMPLATES.rglob("*.html"))


@pytest.mark.parametrize("page", pages(), ids=lambda path: str(path.relative_to(TEMPLATES)))
def test_template_holds_nothing_that_the_policy_forbids(page: Path) -> None:
    text = page.read_text()
    for name, pattern in FORBIDDEN.items():
        assert not pattern.search(text), name


@pytest.mark.parametrize("page", pages(), ids=lambda path: str(path.relative_to(TEMPLATES)))
def test_every_posting_form_carries_its_token(page: Path) -> None:
    for form in re.findall(r"<form.*?</form>", page.read_text(), re.S):
        if 'method="post"' in form:
            assert 'name="csrf_token"' in form or "{{ csrf_field() }}" in form


def test_every_icon_in_use_is_in_the_sprite() -> None:
    names = set((STATIC / "icons.txt").read_text().split("\n"))
    call = re.compile(r"""(?:icon\(|row_request\("[a-z-]+", [^"]*?, )['"]([a-z0-9-]+)['"]""")
    used = {name for page in pages() for name in call.findall(page.read_text())}
    assert {"x", "phone-off"} <= used
    assert used <= names


@pytest.mark.parametrize("sheet", sorted(STATIC.glob("*.css")), ids=lambda path: path.name)
def test_every_block_of_a_style_sheet_ends(sheet: Path) -> None:
    depth = 0
    for number, line in enumerate(sheet.read_text().splitlines(), 1):
        assert not depth or not line or line[0] in " }", f"{number}: the block before does not end: {line}"
        depth += line.count("{") - line.count("}")
    assert depth == 0
