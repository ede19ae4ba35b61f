"""`softswitch route`: which carriers take which numbers."""

from typing import Annotated, Final

import typer

from b2bua.cli import queries
from b2bua.cli.context import DEFAULT_LIMIT, LimitOption, database, run, settings_of, tell_more
from b2bua.cli.output import Format, FormatOption, print_rows
from conf.settings import Settings

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Routes.")

COLUMNS: Final = ("route", "route_status", "prefix", "carrier", "priority", "weight", "status")


@app.callback()
def group() -> None:
    """Routes."""


@app.command(
    "list", epilog="Examples: softswitch route list --format json\n\nsoftswitch route list --after europe,44,1,CARR0001"
)
def list_routes(
    context: typer.Context,
    *,
    after: Annotated[
        str | None, typer.Option(metavar="ROUTE,PREFIX,PRIORITY,CARRIER", help="List on after this entry.")
    ] = None,
    limit: LimitOption = DEFAULT_LIMIT,
    output: FormatOption = Format.TABLE,
) -> None:
    """List the entries of every route; prefix and carrier are empty for a route without entries."""
    cursor = None if after is None else _parse_cursor(after)
    page = run(_list(settings_of(context), cursor, limit))
    print_rows(page.rows, COLUMNS, output)
    tell_more(page.after)


async def _list(settings: Settings, after: queries.RouteCursor | None, limit: int) -> queries.Page:
    async with database(settings) as connection:
        return await queries.route_entries(connection, after=after, limit=limit)


def _parse_cursor(text: str) -> queries.RouteCursor:
    try:
        # A name may contain commas, the rest may not.
        route, prefix, priority, carrier = text.rsplit(",", 3)
        return queries.RouteCursor(route, prefix, int(priority), carrier)
    except ValueError:
        raise typer.BadParameter(f"--after takes what an earlier list printed, not {text!r}") from None
