"""`softswitch carrier`: who takes our calls onward, and brings calls to our DIDs."""

from typing import Annotated, Any, Final

import typer

from b2bua.cli import queries
from b2bua.cli.context import (
    DEFAULT_LIMIT,
    CommandError,
    LimitOption,
    NotFound,
    database,
    run,
    settings_of,
    tell_more,
)
from b2bua.cli.find import find_carrier, find_tariff
from b2bua.cli.option import (
    NONE,
    CodecsOption,
    CPSOption,
    DecimalsOption,
    JSONOption,
    MaxSessionsOption,
    RoundingOption,
    StatusOption,
    TaxInclusiveOption,
    TaxPercentsOption,
    chosen,
    given,
    parse_code,
    parse_currency,
    parse_name,
    refuse_nothing,
    show,
)
from b2bua.cli.output import Format, FormatOption, print_rows
from b2bua.routing import removal, store
from conf.settings import Settings
from rating.ledger import Connection

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Carriers.")

COLUMNS: Final = (
    "code",
    "name",
    "tariff",
    "currency",
    "codecs",
    "max_sessions",
    "cps",
    "decimals",
    "rounding",
    "tax_inclusive",
    "tax_percents",
    "gateways",
    "status",
)
TABLE_COLUMNS: Final = (*COLUMNS[:7], *COLUMNS[11:])
"""What a table has room for."""

CodeArgument = Annotated[str, typer.Argument(metavar="CODE", help="Carrier code, such as CARR0001.")]
TariffOption = Annotated[str | None, typer.Option("--tariff", metavar="NAME|none", help="What it costs.")]


@app.command(
    "list", epilog="Examples: softswitch carrier list --format json\n\nsoftswitch carrier list --after CARR0001"
)
def list_carriers(
    context: typer.Context,
    *,
    after: Annotated[str | None, typer.Option(metavar="CODE", help="List on after this carrier.")] = None,
    limit: LimitOption = DEFAULT_LIMIT,
    output: FormatOption = Format.TABLE,
    as_json: JSONOption = False,
) -> None:
    """List carriers by code with their tariff, codecs, limits and number of gateways."""
    page = run(_list(settings_of(context), after, limit))
    output = chosen(output, as_json=as_json)
    print_rows(page.rows, TABLE_COLUMNS if output is Format.TABLE else COLUMNS, output)
    tell_more(page.after)


async def _list(settings: Settings, after: str | None, limit: int) -> queries.Page:
    async with database(settings) as connection:
        return await queries.carriers(connection, after=after, limit=limit)


@app.command(
    "add",
    epilog="Examples: softswitch carrier add CARR0007 --name 'Atlantic Voice' --tariff 'atlantic A-Z'\n\n"
    "softswitch carrier add CARR0008 --name Baltic --currency EUR --codecs PCMA,PCMU --max-sessions 500 --cps 20",
)
def add_carrier(
    context: typer.Context,
    code: CodeArgument,
    *,
    name: Annotated[str, typer.Option("--name", help="Name.")],
    currency: Annotated[str | None, typer.Option(help="Such as EUR; without it, the tariff's.")] = None,
    tariff: TariffOption = None,
    codecs: CodecsOption = None,
    max_sessions: MaxSessionsOption = None,
    cps: CPSOption = None,
    decimals: DecimalsOption = None,
    rounding: RoundingOption = None,
    tax_inclusive: TaxInclusiveOption = None,
    tax_percents: TaxPercentsOption = None,
    status: StatusOption = None,
) -> None:
    """Make a carrier; it takes calls once it has a tariff, a gateway, and entries in routes."""
    values = given(
        codecs=codecs,
        max_sessions=max_sessions,
        cps=cps,
        decimals=decimals,
        rounding=rounding,
        tax_inclusive=tax_inclusive,
        tax_percents=tax_percents,
        status=status,
    )
    currency = None if currency is None else parse_currency(currency)
    run(_add(settings_of(context), parse_code(code), parse_name(name), currency, tariff, values))
    typer.echo(f"carrier {code} added")


async def _add(
    settings: Settings, code: str, name: str, currency: str | None, tariff: str | None, values: dict[str, Any]
) -> None:
    async with database(settings) as connection:
        if tariff is not None and tariff.lower() != NONE:
            found = await find_tariff(connection, tariff, "carrier")
            currency, values["tariff_id"] = currency or found.currency, found.id
        if currency is None:
            raise CommandError("a carrier without a tariff needs --currency")
        await store.add_carrier(connection, code, name=name, currency=currency, values=values)


@app.command(
    "set",
    epilog="Examples: softswitch carrier set CARR0001 --codecs PCMA,PCMU,G729 --max-sessions 200\n\n"
    "softswitch carrier set CARR0001 --status inactive",
)
def set_carrier(
    context: typer.Context,
    code: CodeArgument,
    *,
    name: Annotated[str | None, typer.Option("--name", help="Name.")] = None,
    tariff: TariffOption = None,
    codecs: CodecsOption = None,
    max_sessions: MaxSessionsOption = None,
    cps: CPSOption = None,
    decimals: DecimalsOption = None,
    rounding: RoundingOption = None,
    tax_inclusive: TaxInclusiveOption = None,
    tax_percents: TaxPercentsOption = None,
    status: StatusOption = None,
) -> None:
    """Change a carrier; `none` takes a limit away. Active in every worker within a second."""
    values = given(
        name=name,
        codecs=codecs,
        max_sessions=max_sessions,
        cps=cps,
        decimals=decimals,
        rounding=rounding,
        tax_inclusive=tax_inclusive,
        tax_percents=tax_percents,
        status=status,
    )
    refuse_nothing(values | given(tariff=tariff))
    run(_set(settings_of(context), code, values, tariff))
    typer.echo(f"carrier {code}: {show(values | given(tariff=tariff))}")


async def _set(settings: Settings, code: str, values: dict[str, Any], tariff: str | None) -> None:
    async with database(settings) as connection:
        more = {} if tariff is None else {"tariff_id": await _tariff_id(connection, tariff)}
        if not await store.set_carrier(connection, code, values | more):
            raise NotFound(f"no carrier {code}")


@app.command("remove", epilog="Example: softswitch carrier remove CARR0001")
def remove_carrier(context: typer.Context, code: CodeArgument) -> None:
    """Remove a carrier that is inactive and that nothing names; it says what does."""
    run(_remove(settings_of(context), code))
    typer.echo(f"carrier {code} removed")


async def _remove(settings: Settings, code: str) -> None:
    async with database(settings) as connection, connection.transaction():
        carrier = await find_carrier(connection, code)
        if reasons := await removal.against_carrier(connection, carrier):
            raise CommandError(f"carrier {code} stays: {'; '.join(reasons)}")
        await store.remove_carrier(connection, carrier)


async def _tariff_id(connection: Connection, name: str) -> int | None:
    return None if name.lower() == NONE else (await find_tariff(connection, name, "carrier")).id
