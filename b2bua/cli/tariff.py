"""`softswitch tariff`: what accounts pay and carriers cost."""

from typing import Annotated, Final

import typer

from b2bua.cli import queries
from b2bua.cli.context import DEFAULT_LIMIT, LimitOption, database, run, settings_of, tell_more
from b2bua.cli.option import JSONOption, chosen
from b2bua.cli.output import Format, FormatOption, print_rows
from conf.settings import Settings

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Tariffs.")

COLUMNS: Final = ("name", "kind", "currency", "status", "ratecards", "rates", "used_by")


@app.callback()
def group() -> None:
    """Tariffs."""


@app.command("list", epilog="Examples: softswitch tariff list --format json\n\nsoftswitch tariff list --after retail")
def list_tariffs(
    context: typer.Context,
    *,
    after: Annotated[str | None, typer.Option(metavar="NAME", help="List on after this tariff.")] = None,
    limit: LimitOption = DEFAULT_LIMIT,
    output: FormatOption = Format.TABLE,
    as_json: JSONOption = False,
) -> None:
    """List tariffs by name with their ratecards and how many accounts or carriers use them."""
    page = run(_list(settings_of(context), after, limit))
    print_rows(page.rows, COLUMNS, chosen(output, as_json=as_json))
    tell_more(page.after)


async def _list(settings: Settings, after: str | None, limit: int) -> queries.Page:
    async with database(settings) as connection:
        return await queries.tariffs(connection, after=after, limit=limit)
