"""`softswitch carrier`: who takes our calls onward."""

from typing import Annotated, Final

import typer

from b2bua.cli import queries
from b2bua.cli.context import DEFAULT_LIMIT, LimitOption, database, run, settings_of, tell_more
from b2bua.cli.output import Format, FormatOption, print_rows
from conf.settings import Settings

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Carriers.")

COLUMNS: Final = ("code", "name", "tariff", "currency", "max_sessions", "cps", "gateways", "status")


@app.callback()
def group() -> None:
    """Carriers."""


@app.command(
    "list", epilog="Examples: softswitch carrier list --format json\n\nsoftswitch carrier list --after CARR0001"
)
def list_carriers(
    context: typer.Context,
    *,
    after: Annotated[str | None, typer.Option(metavar="CODE", help="List on after this carrier.")] = None,
    limit: LimitOption = DEFAULT_LIMIT,
    output: FormatOption = Format.TABLE,
) -> None:
    """List carriers by code with their tariff, limits and number of gateways."""
    page = run(_list(settings_of(context), after, limit))
    print_rows(page.rows, COLUMNS, output)
    tell_more(page.after)


async def _list(settings: Settings, after: str | None, limit: int) -> queries.Page:
    async with database(settings) as connection:
        return await queries.carriers(connection, after=after, limit=limit)
