"""`softswitch ratecard`: rates of one direction, under a name. The rates themselves are `softswitch rate`'s."""

from typing import Annotated, Any, Final

import typer

from b2bua.account import pricing
from b2bua.account.tariff import Ratecard
from b2bua.cli import queries
from b2bua.cli.context import DEFAULT_LIMIT, LimitOption, database, run, settings_of, tell_more
from b2bua.cli.option import JSONOption, chosen, refuse_nothing, show
from b2bua.cli.output import Format, FormatOption, print_rows
from b2bua.cli.pricing import OwnerOption, filled, find_row, owner_of, texts
from conf.settings import Settings

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Ratecards.")

COLUMNS: Final = ("name", "direction", "owner", "tariffs", "rates")

NameArgument = Annotated[str, typer.Argument(metavar="RATECARD", help="Name of the ratecard.")]
DirectionOption = Annotated[
    str | None, typer.Option("--direction", metavar="outgoing|incoming", help="incoming: of calls to DIDs.")
]

_FIND: Final = "SELECT to_jsonb(ratecard)::text FROM ratecard WHERE name = $1"


@app.callback()
def group() -> None:
    """Ratecards."""


@app.command("list", epilog="Example: softswitch ratecard list --format json")
def list_ratecards(
    context: typer.Context,
    *,
    after: Annotated[str | None, typer.Option(metavar="NAME", help="List on after this ratecard.")] = None,
    limit: LimitOption = DEFAULT_LIMIT,
    output: FormatOption = Format.TABLE,
    as_json: JSONOption = False,
) -> None:
    """List ratecards by name with the tariffs that they are in."""
    page = run(_list(settings_of(context), after, limit))
    print_rows(page.rows, COLUMNS, chosen(output, as_json=as_json))
    tell_more(page.after)


async def _list(settings: Settings, after: str | None, limit: int) -> queries.Page:
    async with database(settings) as connection:
        return await queries.ratecards(connection, after=after, limit=limit)


@app.command("add", epilog="Example: softswitch ratecard add 'retail rates'")
def add(
    context: typer.Context, name: NameArgument, *, direction: DirectionOption = None, owner: OwnerOption = None
) -> None:
    """Make a ratecard without rates."""
    run(_add(settings_of(context), {"name": name, "direction": direction}, owner))
    typer.echo(f"ratecard {name} added")


async def _add(settings: Settings, values: dict[str, Any], owner: str | None) -> None:
    form = filled(Ratecard, values)
    async with database(settings) as connection, connection.transaction():
        await pricing.add_ratecard(connection, form, await owner_of(connection, owner))


@app.command("set", epilog="Example: softswitch ratecard set 'retail rates' --name retail")
def change(
    context: typer.Context,
    ratecard: NameArgument,
    *,
    name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="Another name.")] = None,
    direction: DirectionOption = None,
) -> None:
    """Change a ratecard."""
    options = {"name": name, "direction": direction}
    given = {key: value for key, value in options.items() if value is not None}
    refuse_nothing(given)
    run(_set(settings_of(context), ratecard, given))
    typer.echo(f"ratecard {ratecard}: {show(given)}")


async def _set(settings: Settings, ratecard: str, given: dict[str, Any]) -> None:
    async with database(settings) as connection, connection.transaction():
        row = await find_row(connection, _FIND, f"ratecard {ratecard}", ratecard)
        await pricing.change_ratecard(connection, row["id"], filled(Ratecard, texts(row) | given))


@app.command("remove", epilog="Example: softswitch ratecard remove 'old rates'")
def remove(context: typer.Context, ratecard: NameArgument) -> None:
    """Remove a ratecard that is in no tariff, with all its rates."""
    run(_remove(settings_of(context), ratecard))
    typer.echo(f"ratecard {ratecard} removed")


async def _remove(settings: Settings, ratecard: str) -> None:
    async with database(settings) as connection, connection.transaction():
        row = await find_row(connection, _FIND, f"ratecard {ratecard}", ratecard)
        await pricing.remove_ratecard(connection, row["id"])
