"""`softswitch emergency`: numbers that anybody active may always call (docs/behaviour.md §1)."""

from typing import Annotated, Final

import typer

from b2bua.cli import changes, policy_queries, queries
from b2bua.cli.context import DEFAULT_LIMIT, LimitOption, NotFound, database, run, settings_of, tell_more
from b2bua.cli.find import find_route
from b2bua.cli.option import JSONOption, chosen, parse_pattern
from b2bua.cli.output import Format, FormatOption, print_rows
from conf.settings import Settings

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Emergency numbers.")

COLUMNS: Final = ("pattern", "route", "route_status")

NumberArgument = Annotated[str, typer.Argument(metavar="NUMBER", help="Such as 112; 112% with anything after it.")]


@app.callback()
def group() -> None:
    """Emergency numbers."""


@app.command("list", epilog="Example: softswitch emergency list --json")
def list_numbers(
    context: typer.Context,
    *,
    after: Annotated[str | None, typer.Option(metavar="NUMBER", help="List on after this number.")] = None,
    limit: LimitOption = DEFAULT_LIMIT,
    output: FormatOption = Format.TABLE,
    as_json: JSONOption = False,
) -> None:
    """List emergency numbers and the route of each."""
    page = run(_list(settings_of(context), after, limit))
    print_rows(page.rows, COLUMNS, chosen(output, as_json=as_json))
    tell_more(page.after)


async def _list(settings: Settings, after: str | None, limit: int) -> queries.Page:
    async with database(settings) as connection:
        return await policy_queries.emergency_numbers(connection, after=after, limit=limit)


@app.command(
    "add",
    epilog="Examples: softswitch emergency add 112 --route emergency\n\n"
    "softswitch emergency add 999 --route london --replace",
)
def add(
    context: typer.Context,
    number: NumberArgument,
    *,
    route: Annotated[str, typer.Option(metavar="ROUTE", help="Over which it is called.")],
    replace: Annotated[bool, typer.Option("--replace", help="Change the route of a number that there is.")] = False,
) -> None:
    """Let everybody call a number, without limits, funds or rules."""
    pattern = parse_pattern(number)
    if not pattern.literal or "|" in number:
        raise typer.BadParameter(f"{number!r}: an emergency number has digits, and nothing is stripped from it")
    run(_add(settings_of(context), number, route, replaces=replace))
    typer.echo(f"emergency number {number} goes over route {route}")


async def _add(settings: Settings, number: str, route: str, *, replaces: bool) -> None:
    async with database(settings) as connection:
        route_id = await find_route(connection, route)
        await changes.add_emergency_number(connection, number, route_id, replaces=replaces)


@app.command("remove", epilog="Example: softswitch emergency remove 112")
def remove(context: typer.Context, number: NumberArgument) -> None:
    """Make an emergency number a number like any other."""
    run(_remove(settings_of(context), number))
    typer.echo(f"emergency number {number} removed")


async def _remove(settings: Settings, number: str) -> None:
    async with database(settings) as connection:
        if not await changes.remove_emergency_number(connection, number):
            raise NotFound(f"no emergency number {number}")
