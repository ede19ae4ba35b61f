"""What a file cannot hold, and what it must not do."""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import openpyxl
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from admin import export
from admin.keys import EXPORTS
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
