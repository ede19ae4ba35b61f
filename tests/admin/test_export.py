"""What a file cannot hold, and what it must not do."""

import asyncio
import re
from collections.abc import AsyncIterator
from decimal import Decimal
from html import unescape
from pathlib import Path

import openpyxl
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from admin import export
from admin.keys import EXPORTS
from admin.routes import ROUTES
from tests.admin.conftest import Play
from tests.admin.opening import open_file
from tests.admin.panel import Panel
from tests.support.servers import Run

SHEET = export.Sheet("Title", "name", ("What", "Amount"), (3, 1))


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@x", "\t=1"])
def test_text_that_begins_like_a_formula_is_quoted(text: str) -> None:
    assert export.defuse(text) == f"'{text}"


def test_number_below_zero_stays_a_number() -> None:
    assert export.defuse(Decimal(-1)) == Decimal(-1)


def test_last_line_says_what_was_left_out(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(export.BOUNDS, "xlsx", 2)

    async def rows() -> AsyncIterator[tuple[export.Value, ...]]:
        for number in range(5):
            yield (f"row {number}", Decimal("0.12345678901234567"))

    async def view(request: web.Request) -> web.StreamResponse:
        return await export.stream(request, "xlsx", SHEET, rows())

    async def main() -> bytes:
        app = web.Application()
        app[EXPORTS] = asyncio.Semaphore(1)
        app.router.add_get("/", view)
        async with TestClient(TestServer(app)) as client:
            return await (await client.get("/")).read()

    path = tmp_path / "file.xlsx"
    path.write_bytes(run(main()))
    sheet = openpyxl.load_workbook(path).active
    assert sheet is not None
    lines = [[cell for cell in row if cell is not None] for row in sheet.iter_rows(values_only=True)]
    assert lines == [
        ["What", "Amount"],
        ["row 0", "0.12345678901234567"],  # as text it keeps every digit
        ["row 1", "0.12345678901234567"],
        ["Only the first 2 rows: XLSX holds no more. Take CSV."],
    ]


LISTS = [
    route.path.removesuffix("/export") for route in ROUTES if route.name.endswith(".export") and "{" not in route.path
]
COUNT = 55
"""Entries of a list: more than a page has."""


async def stock(panel: Panel) -> None:
    """Customers, records and changes, with texts that a file has to be careful with."""
    for number in range(COUNT):
        name = ("=HYPERLINK(1)", 'Número, "no." 2', "Ωмега\t(x) \\", "plain")[number % 4]
        account = await panel.data.account(
            f"CUST{number:04}", name=f"{name} {number}", company="@sum", balance=f"-{number}.0000000001"
        )
        await panel.data.record(
            account,
            code="NO_FUNDS" if number % 3 else "ANSWERED",
            source=f"=44{number}",
            gross=None if number % 3 else Decimal(f"{number}.1234567891"),
            q850_cause=number % 2 or None,
        )
        await panel.data.connection.execute(
            "INSERT INTO audit_entry (login, role, action, account_id, object, new)"
            " VALUES ('root', 'administrator', 'customer.change', $1, $2, '{\"name\": \"-b\"}')",
            account,
            f"account CUST{number:04}",
        )


async def listed(panel: Panel, path: str) -> list[str]:
    """The first cell of each row of a list, on all its pages, as a reader sees it."""
    texts: list[str] = []
    address: str | None = path
    while address is not None:
        answer = await panel.get(address)
        body = answer.text[answer.text.find("<tbody") : answer.text.find("</tbody")]
        for row in body.split("<tr")[1:]:
            texts.append(" ".join(unescape(re.sub(r"<[^>]+>", " ", row)).split()))
        following = answer.next_page()
        address = following if following is None or following.startswith("/") else path + following
    return texts


def is_same(cell: str, other: str) -> bool:
    """Whether a cell of another file says the same; one on paper may be cut."""
    return other == cell or (other.endswith("...") and cell.startswith(other[:-3])) or f"'{other}" == cell


@pytest.mark.parametrize("path", LISTS)
def test_each_file_holds_what_is_listed(play: Play, path: str) -> None:
    async def scenario(panel: Panel) -> None:
        await stock(panel)
        await panel.signed_in()
        offered = sorted(set(re.findall(r"format=(\w+)", (await panel.get(path)).text)))
        rows = {}
        for kind in offered:
            response = await panel.client.get(f"{path}/export?format={kind}")
            assert response.headers["Content-Type"] == export.TYPES[kind]
            # That a file was sent is in the audit log from then on.
            rows[kind] = [row for row in open_file(kind, await response.read()) if "file.export" not in row]
        heads, *lines = rows.pop("csv")
        shown = [text for text in await listed(panel, path) if "File exported" not in text]
        assert len(lines) == len(shown)
        for line, text in zip(lines, shown, strict=True):  # in the same order
            codes = set(re.findall(r"CUST\d{4}", " ".join(line)))
            assert codes <= set(re.findall(r"CUST\d{4}", text)), text
        assert set(rows) == set(export.TYPES) - {"csv"}
        for kind, (other_heads, *others) in rows.items():
            assert len(others) == len(lines), kind
            places = [next(place for place, head in enumerate(heads) if is_same(head, other)) for other in other_heads]
            for line, other in zip(lines, others, strict=True):
                cells = [line[place] for place in places]
                if kind == "pdf":  # empty cells leave no trace there
                    cells = [cell for cell in cells if cell]
                assert len(cells) == len(other), (kind, cells, other)
                for cell, other_cell in zip(cells, other, strict=True):
                    assert is_same(cell, other_cell), (kind, cells, other)

    play(scenario)
