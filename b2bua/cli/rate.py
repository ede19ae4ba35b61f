"""`softswitch rate`: rates of ratecards, in and out of files."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from b2bua.account import pricing
from b2bua.account.tariff import Rate
from b2bua.cli import queries
from b2bua.cli.context import DEFAULT_LIMIT, LimitOption, database, run, settings_of, tell, tell_more, user_name
from b2bua.cli.output import Format, FormatOption, exact, iso, print_json, print_rows
from b2bua.cli.pricing import FieldOption, filled, find_row, read_fields, texts
from conf.settings import Settings
from rating.deck_cell import Adjustment, parse_moment
from rating.deck_export import export_deck
from rating.deck_import import Change, ImportOptions, ImportReport, find_ratecard, import_deck
from rating.deck_import import Progress as ProgressCallback
from rating.deck_undo import Undone, undo_import
from rating.errors import InvalidAdjustment

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Rates of ratecards.")

COLUMNS: Final = (
    "id",
    "prefix",
    "destination",
    "rate_per_minute",
    "connection_charge",
    "minimum",
    "resolution",
    "blocks_mode",
    "grace",
    "multiplier",
    "addition",
    "status",
    "valid_from",
    "valid_until",
)
TABLE_COLUMNS: Final = (*COLUMNS[:7], *COLUMNS[11:])
"""What a table has room for."""
DID_COLUMNS: Final = ("setup", "rental", "channels")
"""What rates of incoming ratecards have besides."""

SHOWN_FAULTS: Final = 20
"""Faults of a file that are written for people; JSON has more."""

_FIND_RATE: Final = "SELECT to_jsonb(rate)::text FROM rate WHERE id = $1"

RateArgument = Annotated[int, typer.Argument(metavar="ID", min=1, help="Number of the rate, as list has it.")]
RatecardOption = Annotated[str, typer.Option("--ratecard", metavar="NAME", help="The ratecard.")]


@app.command(
    "import",
    epilog="Examples: softswitch rate import prices.csv --ratecard retail --dry-run\n\n"
    "softswitch rate import carrier.xlsx --ratecard 'carrier A' --map rate_per_minute='Price EUR' "
    "--effective 2026-02-01 --adjust rate_per_minute=multiply:1.1 --replace",
)
def import_file(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, help="CSV or XLSX.")],
    ratecard: RatecardOption,
    *,
    mapping: Annotated[
        list[str] | None,
        typer.Option(
            "--map", metavar="COLUMN=HEADER", help="What a header means; nothing after =: leave the column out."
        ),
    ] = None,
    adjust: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN=ACTION[:VALUE]", help="Change a column: as_is, multiply, add or replace."),
    ] = None,
    effective: Annotated[
        str | None,
        typer.Option(metavar="WHEN", help="From when the file holds; without it, rates are changed in place."),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace/--update", help="Remove rates that the file lacks, or leave them alone.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done and change nothing.")] = False,
    output: FormatOption = Format.TABLE,
) -> None:
    """Import rates, all of the file or nothing of it."""
    options = ImportOptions(
        dict(_parse_map(text) for text in mapping or ()),
        [_parse_adjustment(text) for text in adjust or ()],
        _parse_when(effective),
        replace,
        dry_run,
    )
    with _progress_bar() as progress:
        report = run(_import(settings_of(context), file, ratecard, options, progress))
    _print_report(report, options, output)
    if report.fault_count:
        raise typer.Exit(1)


async def _import(
    settings: Settings, file: Path, ratecard: str, options: ImportOptions, progress: ProgressCallback
) -> ImportReport:
    async with database(settings) as connection:
        now = datetime.now(UTC)
        return await import_deck(
            connection, file, ratecard, options, by_whom=f"command line: {user_name()}", now=now, progress=progress
        )


def _parse_map(text: str) -> tuple[str, str]:
    column, separator, header = text.partition("=")
    if not separator:
        raise typer.BadParameter(f"{text!r} is not like rate_per_minute='Price EUR'")
    return column.strip(), header.strip()


def _parse_adjustment(text: str) -> Adjustment:
    try:
        return Adjustment.parse(text)
    except InvalidAdjustment as error:
        raise typer.BadParameter(str(error)) from None


def _parse_when(text: str | None) -> datetime | None:
    if text is None:
        return None
    if text == "now":
        return datetime.now(UTC)
    try:
        return parse_moment(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is neither now nor a time such as 2026-01-31T08:00") from None


@contextmanager
def _progress_bar() -> Iterator[ProgressCallback]:
    """A bar on a terminal, and nothing elsewhere."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
    with Progress(
        *columns, TimeElapsedColumn(), console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("reading", total=1.0)
        yield lambda what, part: bar.update(task, description=what, completed=part)


def _print_report(report: ImportReport, options: ImportOptions, output: Format) -> None:
    if output is Format.JSON:
        print_json(_plain(report))
        return
    for header in report.ignored:
        tell(f'header "{header}" means nothing here and is ignored')
    if report.fault_count:
        for fault in report.faults[:SHOWN_FAULTS]:
            tell(f"error: {fault}")
        if report.fault_count > SHOWN_FAULTS:
            tell(f"… and {report.fault_count - SHOWN_FAULTS} more")
        tell("nothing was imported")
        return
    rows = [_change_row(change) for change in report.changes]
    if rows and (options.dry_run or output is Format.CSV):
        print_rows(rows, ("kind", "line", "prefix", "destination", "differences"), output, title="some of the changes")
    tell(f"{report.new} new, {report.changed} changed, {report.unchanged} unchanged, {report.removed} removed")
    if options.dry_run:
        tell("a dry run: nothing was changed")
    elif report.import_id is None:
        tell("there was nothing to change")


def _change_row(change: Change) -> dict[str, Any]:
    texts = (f"{name}: {_value(old)} → {_value(new)}" for name, (old, new) in change.differences.items())
    if change.kind != "changed":
        pair = change.differences.get("rate_per_minute", (None, None))
        texts = (f"rate_per_minute: {_value(pair[0] if change.kind == 'removed' else pair[1])}" for _ in (0,))
    return {
        "kind": change.kind,
        "line": change.line,
        "prefix": change.prefix or "%",
        "destination": change.destination,
        "differences": ", ".join(texts),
    }


def _value(value: object) -> str:
    if isinstance(value, Decimal):
        return exact(value)
    if isinstance(value, datetime):
        return iso(value)
    return "none" if value is None else str(value)


def _plain(report: ImportReport) -> dict[str, Any]:
    return {
        "new": report.new,
        "changed": report.changed,
        "unchanged": report.unchanged,
        "removed": report.removed,
        "import_id": report.import_id,
        "ignored_headers": report.ignored,
        "error_count": report.fault_count,
        "errors": [
            {"line": fault.line, "column": fault.column, "value": fault.value, "expected": fault.expected}
            for fault in report.faults
        ],
        "changes": [
            {
                "kind": change.kind,
                "line": change.line,
                "prefix": change.prefix,
                "destination": change.destination,
                "differences": {name: {"old": old, "new": new} for name, (old, new) in change.differences.items()},
            }
            for change in report.changes
        ],
    }


@app.command("export", epilog="Example: softswitch rate export --ratecard retail retail.xlsx")
def export_file(
    context: typer.Context,
    ratecard: RatecardOption,
    file: Annotated[Path, typer.Argument(metavar="FILE", dir_okay=False, help="XLSX where it ends so, else CSV.")],
) -> None:
    """Write all rates of a ratecard to a file that can be imported again."""
    with _progress_bar() as progress:
        count = run(_export(settings_of(context), ratecard, file, progress))
    tell(f"{count} rates written to {file}")


async def _export(settings: Settings, ratecard: str, file: Path, progress: ProgressCallback) -> int:
    async with database(settings) as connection:
        return await export_deck(connection, ratecard, file, progress=lambda part: progress("writing", part))


@app.command("undo", epilog="Example: softswitch rate undo --ratecard retail")
def undo(context: typer.Context, ratecard: RatecardOption) -> None:
    """Undo the last import of a ratecard; its rates are again what they were."""
    undone = run(_undo(settings_of(context), ratecard))
    tell(
        f"import {undone.import_id} of {undone.file_name} by {undone.by_whom} at {iso(undone.created_at)} is undone: "
        f"{undone.new} taken away, {undone.changed} put back, {undone.removed} brought back"
    )


async def _undo(settings: Settings, ratecard: str) -> Undone:
    async with database(settings) as connection:
        return await undo_import(connection, ratecard)


@app.command(
    "list",
    epilog="Examples: softswitch rate list --ratecard retail --prefix 44\n\n"
    "softswitch rate list --ratecard retail --number 442079460000",
)
def list_rates(
    context: typer.Context,
    ratecard: RatecardOption,
    *,
    prefix: Annotated[str, typer.Option(metavar="DIGITS", help="Only prefixes that begin so.")] = "",
    number: Annotated[str | None, typer.Option(metavar="NUMBER", help="Only prefixes of this number.")] = None,
    after: Annotated[int | None, typer.Option(metavar="ID", help="List on after this rate.")] = None,
    limit: LimitOption = DEFAULT_LIMIT,
    output: FormatOption = Format.TABLE,
) -> None:
    """List rates by prefix and date."""
    page, is_incoming = run(_list(settings_of(context), ratecard, prefix, number, after, limit))
    columns = TABLE_COLUMNS if output is Format.TABLE else COLUMNS
    print_rows(page.rows, (*columns[:-3], *DID_COLUMNS, *columns[-3:]) if is_incoming else columns, output)
    tell_more(page.after)


async def _list(
    settings: Settings, ratecard: str, prefix: str, number: str | None, after: int | None, limit: int
) -> tuple[queries.Page, bool]:
    async with database(settings) as connection:
        ratecard_id = await find_ratecard(connection, ratecard)
        direction = await connection.fetchval("SELECT direction FROM ratecard WHERE id = $1", ratecard_id)
        page = await queries.rates(
            connection, ratecard_id=ratecard_id, prefix=prefix, number=number, after=after, limit=limit
        )
        return page, direction == "incoming"


@app.command(
    "add",
    epilog="Examples: softswitch rate add 44 0.012 --ratecard retail --field destination='United Kingdom'\n\n"
    "softswitch rate add 44 0.015 --ratecard retail --field valid_from=2026-02-01",
)
def add_rate(
    context: typer.Context,
    prefix: Annotated[str, typer.Argument(metavar="PREFIX", help="Digits; % for every number.")],
    price: Annotated[str, typer.Argument(metavar="PRICE", help="Per minute.")],
    ratecard: RatecardOption,
    *,
    fields: FieldOption = None,
) -> None:
    """Add one rate."""
    values = {"prefix": prefix, "rate_per_minute": price, **read_fields(Rate, fields)}
    added = run(_add_rate(settings_of(context), ratecard, values))
    typer.echo(f"rate {added} added")


async def _add_rate(settings: Settings, ratecard: str, values: dict[str, str]) -> int:
    form = filled(Rate, values)
    async with database(settings) as connection, connection.transaction():
        return await pricing.add_rate(connection, await find_ratecard(connection, ratecard), form)


@app.command("set", epilog="Example: softswitch rate set 1207 --field rate_per_minute=0.013 --field status=blocked")
def set_rate(context: typer.Context, rate: RateArgument, *, fields: FieldOption = None) -> None:
    """Change one rate. Active in every worker within a second."""
    values = read_fields(Rate, fields)
    if not values:
        raise typer.BadParameter("nothing to set: give at least one --field")
    run(_set_rate(settings_of(context), rate, values))
    typer.echo(f"rate {rate}: {', '.join(f'{name} {value}' for name, value in values.items())}")


async def _set_rate(settings: Settings, rate: int, values: dict[str, str]) -> None:
    async with database(settings) as connection, connection.transaction():
        row = await find_row(connection, _FIND_RATE, f"rate {rate}", rate)
        await pricing.change_rate(connection, rate, filled(Rate, texts(row) | values))


@app.command("remove", epilog="Example: softswitch rate remove 1207")
def remove_rate(context: typer.Context, rate: RateArgument) -> None:
    """Remove one rate."""
    run(_remove_rate(settings_of(context), rate))
    typer.echo(f"rate {rate} removed")


async def _remove_rate(settings: Settings, rate: int) -> None:
    async with database(settings) as connection:
        await find_row(connection, _FIND_RATE, f"rate {rate}", rate)
        await pricing.remove_rate(connection, rate)
