"""`softswitch tariff`: what accounts pay and carriers cost, and which ratecards that is made of."""

from typing import Annotated, Any, Final

import typer

from b2bua.account import pricing
from b2bua.account.tariff import Tariff, TariffRatecard, show_days
from b2bua.cli import queries
from b2bua.cli.context import DEFAULT_LIMIT, LimitOption, database, run, settings_of, tell_more
from b2bua.cli.option import JSONOption, PriorityOption, StatusOption, chosen, refuse_nothing, show
from b2bua.cli.output import Format, FormatOption, print_rows
from b2bua.cli.pricing import OwnerOption, filled, find_row, owner_of, texts
from conf.settings import Settings
from rating.ledger import Connection

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Tariffs.")

COLUMNS: Final = ("name", "kind", "currency", "status", "owner", "ratecards", "rates", "used_by")

NameArgument = Annotated[str, typer.Argument(metavar="TARIFF", help="Name of the tariff.")]
RatecardArgument = Annotated[str, typer.Argument(metavar="RATECARD", help="Name of the ratecard.")]
CurrencyOption = Annotated[str | None, typer.Option("--currency", metavar="CODE", help="Of its prices, such as EUR.")]
KindOption = Annotated[str | None, typer.Option("--kind", metavar="customer|carrier", help="Whom it is for.")]
RenameOption = Annotated[str | None, typer.Option("--name", metavar="NAME", help="Another name.")]
DaysOption = Annotated[str | None, typer.Option("--days", metavar="DAYS|all", help="mon-fri, or sat,sun.")]
FromOption = Annotated[str | None, typer.Option("--from", metavar="HH:MM", help="Begin of its hours.")]
UntilOption = Annotated[str | None, typer.Option("--until", metavar="HH:MM", help="End of its hours.")]
ZoneOption = Annotated[str | None, typer.Option("--zone", metavar="NAME", help="Of its hours, such as Europe/Berlin.")]

_FIND: Final = "SELECT to_jsonb(tariff)::text FROM tariff WHERE name = $1"
_FIND_ENTRY: Final = """
    SELECT (to_jsonb(tariff_ratecard) || jsonb_build_object('ratecard', ratecard.name))::text
    FROM tariff_ratecard
    JOIN tariff ON tariff.id = tariff_ratecard.tariff_id
    JOIN ratecard ON ratecard.id = tariff_ratecard.ratecard_id
    WHERE tariff.name = $1 AND ratecard.name = $2
"""


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


@app.command(
    "add",
    epilog="Examples: softswitch tariff add retail --currency EUR\n\n"
    "softswitch tariff add 'carrier A' --currency USD --kind carrier",
)
def add(
    context: typer.Context,
    name: NameArgument,
    *,
    currency: CurrencyOption = None,
    kind: KindOption = None,
    status: StatusOption = None,
    owner: OwnerOption = None,
) -> None:
    """Make a tariff without ratecards."""
    values = {"name": name, "currency": currency, "kind": kind, "status": status}
    run(_add(settings_of(context), values, owner))
    typer.echo(f"tariff {name} added")


async def _add(settings: Settings, values: dict[str, Any], owner: str | None) -> None:
    form = filled(Tariff, values)
    async with database(settings) as connection, connection.transaction():
        await pricing.add_tariff(connection, form, await owner_of(connection, owner))


@app.command("set", epilog="Example: softswitch tariff set retail --status inactive")
def change(
    context: typer.Context,
    tariff: NameArgument,
    *,
    name: RenameOption = None,
    currency: CurrencyOption = None,
    kind: KindOption = None,
    status: StatusOption = None,
) -> None:
    """Change a tariff. Active in every worker within a second."""
    options = {"name": name, "currency": currency, "kind": kind, "status": status}
    given = {key: value for key, value in options.items() if value is not None}
    refuse_nothing(given)
    run(_set(settings_of(context), tariff, given))
    typer.echo(f"tariff {tariff}: {show(given)}")


async def _set(settings: Settings, tariff: str, given: dict[str, Any]) -> None:
    async with database(settings) as connection, connection.transaction():
        row = await find_row(connection, _FIND, f"tariff {tariff}", tariff)
        await pricing.change_tariff(connection, row["id"], filled(Tariff, texts(row) | given))


@app.command("remove", epilog="Example: softswitch tariff remove retail")
def remove(context: typer.Context, tariff: NameArgument) -> None:
    """Remove a tariff that nobody uses; its ratecards stay."""
    run(_remove(settings_of(context), tariff))
    typer.echo(f"tariff {tariff} removed")


async def _remove(settings: Settings, tariff: str) -> None:
    async with database(settings) as connection, connection.transaction():
        row = await find_row(connection, _FIND, f"tariff {tariff}", tariff)
        await pricing.remove_tariff(connection, row["id"])


@app.command(
    "map",
    epilog="Examples: softswitch tariff map retail 'retail rates'\n\n"
    "softswitch tariff map retail nights --days mon-fri --from 22:00 --until 06:00 --zone Europe/Berlin",
)
def map_ratecard(
    context: typer.Context,
    tariff: NameArgument,
    ratecard: RatecardArgument,
    *,
    priority: PriorityOption = None,
    days: DaysOption = None,
    hours_from: FromOption = None,
    hours_until: UntilOption = None,
    zone: ZoneOption = None,
) -> None:
    """Put a ratecard into a tariff, or change when it counts there."""
    options = {
        "priority": None if priority is None else str(priority),
        "days": days,
        "hours_from": hours_from,
        "hours_until": hours_until,
        "zone": zone,
    }
    given = {name: value for name, value in options.items() if value is not None}
    run(_map(settings_of(context), tariff, ratecard, given))
    typer.echo(f"ratecard {ratecard} is in tariff {tariff}{': ' if given else ''}{show(given)}")


async def _map(settings: Settings, tariff: str, ratecard: str, given: dict[str, Any]) -> None:
    async with database(settings) as connection, connection.transaction():
        row = await find_row(connection, _FIND, f"tariff {tariff}", tariff)
        entry = await _entry(connection, tariff, ratecard)
        if entry is None:
            form = filled(TariffRatecard, {"ratecard": ratecard, **given})
            await pricing.map_ratecard(connection, row["id"], form)
        else:
            kept = {name: str(value) for name, value in entry.items()} | {"days": show_days(entry["days"])}
            await pricing.change_mapping(connection, entry["id"], filled(TariffRatecard, kept | given))


async def _entry(connection: Connection, tariff: str, ratecard: str) -> dict[str, Any] | None:
    if not await connection.fetchval(_FIND_ENTRY, tariff, ratecard):
        return None
    return await find_row(connection, _FIND_ENTRY, "entry", tariff, ratecard)


@app.command("unmap", epilog="Example: softswitch tariff unmap retail nights")
def unmap_ratecard(context: typer.Context, tariff: NameArgument, ratecard: RatecardArgument) -> None:
    """Take a ratecard out of a tariff; the ratecard stays."""
    run(_unmap(settings_of(context), tariff, ratecard))
    typer.echo(f"ratecard {ratecard} is no more in tariff {tariff}")


async def _unmap(settings: Settings, tariff: str, ratecard: str) -> None:
    async with database(settings) as connection:
        what = f"ratecard {ratecard} in tariff {tariff}"
        entry = await find_row(connection, _FIND_ENTRY, what, tariff, ratecard)
        await pricing.unmap_ratecard(connection, entry["id"])
