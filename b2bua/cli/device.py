"""`softswitch device`: what calls come from, IP devices and SIP users."""

from typing import Annotated, Final

import typer

from b2bua.cli import queries
from b2bua.cli.context import DEFAULT_LIMIT, CommandError, LimitOption, NotFound, database, run, settings_of, tell_more
from b2bua.cli.output import Format, FormatOption, print_rows
from conf.settings import Settings

app = typer.Typer(add_completion=False, no_args_is_help=True, help="IP devices and SIP users.")

COLUMNS: Final = (
    "device",
    "account",
    "kind",
    "identity",
    "dial_prefix",
    "extension",
    "max_sessions",
    "cps",
    "status",
)


@app.callback()
def group() -> None:
    """IP devices and SIP users."""


@app.command(
    "list",
    epilog="Examples: softswitch device list\n\nsoftswitch device list --account CUST0007 --format json",
)
def list_devices(
    context: typer.Context,
    *,
    account: Annotated[str | None, typer.Option(metavar="CODE", help="Only devices of this account.")] = None,
    after: Annotated[str | None, typer.Option(metavar="CODE,DEVICE", help="List on after this device.")] = None,
    limit: LimitOption = DEFAULT_LIMIT,
    output: FormatOption = Format.TABLE,
) -> None:
    """List IP devices (by address) and SIP users (by name) with their account, limits and state."""
    page = run(_list(settings_of(context), account, after, limit))
    print_rows(page.rows, COLUMNS, output)
    tell_more(page.after)


async def _list(settings: Settings, account: str | None, after: str | None, limit: int) -> queries.Page:
    if after is not None and "," not in after:
        raise CommandError(f"--after {after} is not of the form CODE,DEVICE")
    async with database(settings) as connection:
        if account is not None and await queries.account_id(connection, account) is None:
            raise NotFound(f"no account {account}")
        return await queries.devices(connection, account=account, after=after, limit=limit)
