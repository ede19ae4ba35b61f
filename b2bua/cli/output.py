"""Rows on standard output: a table for people, JSON or CSV for programs.

Money is written digit by digit, never as a float. Times are UTC and ISO 8601 in JSON and CSV, local in a table. Text in
a record may come from anybody who can send a packet, so a table shows no control characters and a CSV no formulas.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Final

import orjson
import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cdr.export import FORMULA_STARTS

Row = Mapping[str, Any]
"""One line: column name to value."""

PIPE_WIDTH: Final = 1000
"""Width of a table that goes to a file or a pipe, where nothing should be cut to 80 columns."""


class Format(StrEnum):
    """How rows are written."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


FormatOption = Annotated[Format, typer.Option("--format", help="A table for people, json or csv for programs.")]


def exact(amount: Decimal) -> str:
    """Write an amount with all its digits, at least two decimals, and no zeros beyond them.

    `exact(Decimal("0.0600000000"))` is `0.06`; no digit that is not zero is ever dropped.
    """
    whole, _, fraction = f"{amount:f}".partition(".")
    return f"{whole}.{fraction.rstrip('0').ljust(2, '0')}"


def iso(moment: datetime) -> str:
    """Write a time as UTC, to the millisecond, such as `2026-01-31T08:00:00.000Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def print_rows(rows: Sequence[Row], columns: Sequence[str], output: Format, *, title: str | None = None) -> None:
    """Print these columns of the rows; an empty list still has its heading."""
    if output is Format.JSON:
        print_json([{name: row[name] for name in columns} for row in rows])
    elif output is Format.CSV:
        _print_csv(rows, columns)
    else:
        _print_table(rows, columns, title)


def print_row(row: Row, columns: Sequence[str], output: Format) -> None:
    """Print one object: its fields below each other, as a JSON object, or as a CSV of one line."""
    if output is Format.JSON:
        print_json({name: row[name] for name in columns})
    elif output is Format.CSV:
        _print_csv([row], columns)
    else:
        grid = Table.grid(padding=(0, 2))
        for name in columns:
            grid.add_row(Text(_heading(name), style="bold"), Text(_cell(row[name])))
        _console().print(grid)


def print_json(value: object) -> None:
    """Print any value as JSON: amounts as strings, times as UTC."""
    typer.echo(orjson.dumps(_plain(value), option=orjson.OPT_INDENT_2).decode())


def _print_csv(rows: Sequence[Row], columns: Sequence[str]) -> None:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_csv_cell(row[name]) for name in columns] for row in rows)
    typer.echo(buffer.getvalue(), nl=False)


def _print_table(rows: Sequence[Row], columns: Sequence[str], title: str | None) -> None:
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False)
    for name in columns:
        numbers = all(isinstance(row[name], int | Decimal | None) for row in rows)
        table.add_column(_heading(name), justify="right" if numbers and rows else "left")
    for row in rows:
        table.add_row(*(Text(_cell(row[name])) for name in columns))
    _console().print(table)


def _console() -> Console:
    # Made for each print, because standard output may be another file by then.
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=PIPE_WIDTH)


def _heading(column: str) -> str:
    return column.replace("_", " ")


def _plain(value: Any) -> Any:  # noqa: ANN401
    """Turn a value of the database into one that JSON has."""
    if isinstance(value, Decimal):
        return exact(value)
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def _cell(value: Any) -> str:  # noqa: ANN401
    """Write a value for a person."""
    if isinstance(value, datetime):
        return value.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in _text(value))


def _csv_cell(value: Any) -> str:  # noqa: ANN401
    text = _text(value)
    # A negative amount begins with a minus too, but it is ours and a number.
    is_number = isinstance(value, int | Decimal)
    return f"'{text}" if text.startswith(FORMULA_STARTS) and not is_number else text


def _text(value: Any) -> str:  # noqa: ANN401
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return " ".join(_text(part) for part in value)
    return str(_plain(value))
