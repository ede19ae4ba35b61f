"""Lists and statements as files: CSV and TXT as they are read, XLSX, PDF and XLS by way of a temporary file.

Values are raw: amounts as numbers without a currency, times in UTC. A text that a spreadsheet would take for a formula
gets a quote before it. What a format cannot hold is left out, and the file's last line says so.
"""

import asyncio
import csv
import io
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Protocol

import structlog
from aiohttp import web

from admin import audit
from admin.keys import EXPORTS, JOBS, POOL, USER
from admin.stores import jobs

log = structlog.get_logger()

Value = str | int | Decimal | None
Rows = AsyncIterator[Sequence[Value]]

TYPES: Final = {
    "csv": "text/csv; charset=utf-8",
    "txt": "text/plain; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "pdf": "application/pdf",
    "xls": "application/vnd.ms-excel",
}
BOUNDS: Final = {"xlsx": 1_048_000, "xls": 65_000, "pdf": 5_000}
"""Most rows of a file; CSV and TXT have no bound."""
NOTES: Final = {
    "csv": "all rows",
    "txt": "all rows, tabs between",
    "xlsx": "all rows, up to 1,048,000",
    "pdf": "up to 5,000 rows",
    "xls": "up to 65,000 rows, for old programs",
}

AT_ONCE: Final = 10_000
"""Most rows of a file that is sent at once; a longer one is made as a job."""

_BATCH: Final = 500
_TOLD: Final = 5_000
"""Rows between two words on how many are done."""
_CHUNK: Final = 256 * 1024
_EXACT: Final = 15
"""Digits of a number that a spreadsheet keeps."""
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n")
_FONT: Final = Path("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf")
"""Has the letters of most languages; without it a PDF has those of Western Europe."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """What a file is about."""

    title: str
    file_name: str
    """Without its ending."""
    columns: Sequence[str]
    widths: Sequence[int]
    """Of a PDF's columns, in relation to each other."""


class Writer(Protocol):
    """Writes one format; runs in a thread."""

    def append(self, row: Sequence[Value]) -> None:
        """Write a row."""
        ...

    def save(self, path: Path) -> None:
        """Write the file."""
        ...


def defuse(value: Value) -> Value:
    """Keep a text from being a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _text(value: Value) -> str:
    return "" if value is None else f"{value:f}" if isinstance(value, Decimal) else str(defuse(value))


async def send(
    request: web.Request, kind: str, sheet: Sheet, rows: Rows, *, has_times: bool = False
) -> web.StreamResponse:
    """Answer with a file, and keep in the audit log who took it.

    What was ordered by POST and is large is written by a job, to whose page this leads.

    Args:
        request: What is answered.
        kind: One of TYPES.
        sheet: What it is about.
        rows: All of them.
        has_times: Whether `since` and `until` of the address are on the clock of who reads, not days.
    """
    user = request[USER]
    async with request.app[POOL].acquire(timeout=5) as connection, connection.transaction():
        narrowed = {name: value for name, value in request.query.items() if name != "format"}
        if has_times and {"since", "until"} & narrowed.keys():
            narrowed["time_zone"] = str(user.zone)
        subject = f"file {sheet.file_name}.{kind}"
        account_id = user.account_id
        await audit.write(connection, request, "file.export", subject, account_id=account_id, new=narrowed)
    if request.method == "POST":
        head = [row async for row in _up_to(rows, AT_ONCE + 1)]
        if len(head) > AT_ONCE:
            return await _order(request, kind, sheet, _chained(head, rows))
        rows = _chained(head, rows)
    return await stream(request, kind, sheet, rows)


async def stream(request: web.Request, kind: str, sheet: Sheet, rows: Rows) -> web.StreamResponse:
    """Write a file as the answer."""
    async with request.app[EXPORTS]:
        response = web.StreamResponse()
        response.headers["Content-Type"] = TYPES[kind]
        response.headers["Content-Disposition"] = f'attachment; filename="{sheet.file_name}.{kind}"'
        if kind in BOUNDS:
            await _send_file(request, response, kind, sheet, rows)
        else:
            await _send_lines(request, response, kind, sheet, rows)
        return response


async def _up_to(rows: Rows, most: int) -> Rows:
    count = 0
    async for row in rows:
        yield row
        count += 1
        if count == most:
            return


async def _chained(head: list[Sequence[Value]], rest: Rows) -> Rows:
    for row in head:
        yield row
    head.clear()
    async for row in rest:
        yield row


async def _order(request: web.Request, kind: str, sheet: Sheet, rows: Rows) -> web.StreamResponse:
    runner, user, pool = request.app[JOBS], request[USER], request.app[POOL]
    runner.refuse_more(user.user_id)
    name = f"{sheet.file_name}.{kind}"
    async with pool.acquire(timeout=5) as connection:
        title = f"{jobs.KINDS['export']}: {sheet.file_name}"
        job_id = await jobs.create(connection, "export", title, user, runner.instance)

    async def work(place: Path, tell: Callable[[int], Awaitable[None]]) -> Mapping[str, Any]:
        return {"file": name, "rows": await write(kind, sheet, rows, place / name, tell)}

    runner.add(job_id, user.user_id, {}, work)
    place = str(request.app.router["job.show"].url_for(job=str(job_id)))
    return web.Response(status=303, headers={"Location": place})


async def write(kind: str, sheet: Sheet, rows: Rows, path: Path, tell: Callable[[int], Awaitable[None]]) -> int:
    """Write a file and return how many rows it has.

    Args:
        kind: One of TYPES.
        sheet: What it is about.
        rows: All of them.
        path: The file.
        tell: Told now and then how many rows are done.
    """
    writer: Writer = await asyncio.to_thread(_WRITERS[kind], sheet) if kind in BOUNDS else _Lines(sheet, kind, path)
    batch: list[Sequence[Value]] = []
    count = 0
    async for row in rows:
        if count == BOUNDS.get(kind):
            batch.append([f"Only the first {count:,} rows: {kind.upper()} holds no more. Take CSV."])
            break
        count += 1
        batch.append(row)
        if len(batch) >= _BATCH:
            await asyncio.to_thread(_append, writer, batch)
            batch = []
            if count % _TOLD == 0:
                await tell(count)
    await asyncio.to_thread(_append, writer, batch)
    await asyncio.to_thread(writer.save, path)
    return count


async def _send_lines(request: web.Request, response: web.StreamResponse, kind: str, sheet: Sheet, rows: Rows) -> None:
    buffer = io.StringIO()
    writer: Any = csv.writer(buffer, delimiter="\t") if kind == "txt" else csv.writer(buffer)
    buffer.write("\ufeff")  # so that a spreadsheet takes it for UTF-8
    writer.writerow(sheet.columns)
    await response.prepare(request)
    count = 0
    async for row in rows:
        writer.writerow([_line_cell(value, kind) for value in row])
        count += 1
        if count % _BATCH == 0:
            await response.write(buffer.getvalue().encode())
            buffer.seek(0)
            buffer.truncate()
    await response.write(buffer.getvalue().encode())
    await response.write_eof()


def _line_cell(value: Value, kind: str) -> str:
    text = _text(value)
    return " ".join(text.split()) if kind == "txt" else text


async def _send_file(request: web.Request, response: web.StreamResponse, kind: str, sheet: Sheet, rows: Rows) -> None:
    with tempfile.TemporaryDirectory(prefix="softswitch-export-") as directory:
        path = Path(directory) / f"export.{kind}"
        await write(kind, sheet, rows, path, _unheard)
        await response.prepare(request)
        with path.open("rb") as file:
            while chunk := await asyncio.to_thread(file.read, _CHUNK):
                await response.write(chunk)
        await response.write_eof()


async def _unheard(_count: int) -> None:
    """Told how many rows are done, where nobody waits for it."""


def _append(writer: Writer, batch: Sequence[Sequence[Value]]) -> None:
    for row in batch:
        writer.append(row)


class _Lines:
    """CSV and TXT."""

    def __init__(self, sheet: Sheet, kind: str, path: Path) -> None:
        self._kind = kind
        self._file = path.open("w", newline="", encoding="utf-8-sig")
        self._writer = csv.writer(self._file, delimiter="\t") if kind == "txt" else csv.writer(self._file)
        self._writer.writerow(sheet.columns)

    def append(self, row: Sequence[Value]) -> None:
        self._writer.writerow([_line_cell(value, self._kind) for value in row])

    def save(self, _path: Path) -> None:
        self._file.close()


class _XLSX:
    def __init__(self, sheet: Sheet) -> None:
        import openpyxl
        from openpyxl.cell import WriteOnlyCell

        self._cell = WriteOnlyCell
        self._book = openpyxl.Workbook(write_only=True)
        self._sheet = self._book.create_sheet("list")
        self._sheet.freeze_panes = "A2"
        self.append(sheet.columns)

    def append(self, row: Sequence[Value]) -> None:
        self._sheet.append([self._value(value) for value in row])

    def _value(self, value: Value) -> object:
        if isinstance(value, Decimal) and len(value.normalize().as_tuple().digits) <= _EXACT:
            return value
        if not isinstance(value, str | Decimal):
            return value
        # As text, a number keeps all its digits, and nothing is a formula.
        cell = self._cell(self._sheet, value=_printable(_text(value)))
        cell.data_type = "s"
        return cell

    def save(self, path: Path) -> None:
        self._book.save(path)


def _printable(text: str) -> str:
    return "".join(letter for letter in text if letter.isprintable() or letter in "\n\t")


class _XLS:
    def __init__(self, sheet: Sheet) -> None:
        import xlwt

        self._book = xlwt.Workbook(encoding="utf-8")
        self._sheet = self._book.add_sheet("list")
        self._lines = 0
        self.append(sheet.columns)

    def append(self, row: Sequence[Value]) -> None:
        for column, value in enumerate(row):
            if isinstance(value, Decimal) and len(value.normalize().as_tuple().digits) > _EXACT:
                self._sheet.write(self._lines, column, _text(value))
            elif value is not None:
                self._sheet.write(self._lines, column, value if not isinstance(value, str) else str(defuse(value)))
        self._lines += 1
        if self._lines % 1000 == 0:
            self._sheet.flush_row_data()

    def save(self, path: Path) -> None:
        self._book.save(str(path))


class _PDF:
    """A table on landscape pages, its head repeated, each cell in one line and cut where it is too long."""

    MARGIN: Final = 10.0
    HEIGHT: Final = 5.5

    def __init__(self, sheet: Sheet) -> None:
        from fpdf import FPDF

        class Document(FPDF):  # type: ignore[misc, unused-ignore]
            def footer(self) -> None:
                self.set_y(-9)
                self.cell(0, 5, f"{self.page_no()}/{{nb}}", align="R")

        self._sheet = sheet
        self._pdf = Document(orientation="landscape", format="A4")
        self._pdf.set_margin(self.MARGIN)
        self._pdf.set_auto_page_break(auto=False)
        self._pdf.set_title(sheet.title)
        self._is_unicode = _FONT.is_file()
        if self._is_unicode:
            self._pdf.add_font("list", "", str(_FONT))
        self._pdf.set_font("list" if self._is_unicode else "Helvetica", size=7.5)
        share = (self._pdf.w - 2 * self.MARGIN) / sum(sheet.widths)
        self._widths = [width * share for width in sheet.widths]
        self._begin_page(sheet.title)

    def _begin_page(self, title: str = "") -> None:
        self._pdf.add_page()
        if title:
            self._pdf.set_font(size=11)
            self._pdf.cell(0, 8, self._cut(f"{title}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC", 270))
            self._pdf.ln(9)
            self._pdf.set_font(size=7.5)
        self._pdf.set_fill_color(238, 240, 243)
        self._line(self._sheet.columns, fill=True)

    def append(self, row: Sequence[Value]) -> None:
        if self._pdf.get_y() + 2 * self.HEIGHT > self._pdf.h - self.MARGIN:
            self._begin_page()
        if len(row) == 1:
            self._pdf.cell(0, self.HEIGHT, self._cut(str(row[0]), 270))
            self._pdf.ln(self.HEIGHT)
            return
        self._line(row)

    def _line(self, row: Sequence[Value], *, fill: bool = False) -> None:
        for value, width in zip(row, self._widths, strict=True):
            is_number = isinstance(value, int | Decimal)
            # Zeros at the end would take the room of digits that count.
            text = "" if value is None else f"{value.normalize():f}" if isinstance(value, Decimal) else str(value)
            self._pdf.cell(
                width, self.HEIGHT, self._cut(text, width - 2), border="B", align="R" if is_number else "L", fill=fill
            )
        self._pdf.ln(self.HEIGHT)

    def _cut(self, text: str, width: float) -> str:
        text = " ".join(text.split())
        if not self._is_unicode:
            text = text.encode("latin-1", "replace").decode("latin-1")
        if self._pdf.get_string_width(text) <= width:
            return text
        while text and self._pdf.get_string_width(f"{text}...") > width:
            text = text[:-1]
        return f"{text}..."

    def save(self, path: Path) -> None:
        self._pdf.output(str(path))


_WRITERS: Final[dict[str, Any]] = {"xlsx": _XLSX, "xls": _XLS, "pdf": _PDF}
