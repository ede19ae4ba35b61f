"""`softswitch account`: list, show, suspend, activate and limit customers and resellers."""

from enum import StrEnum
from typing import Annotated, Final

import typer

from b2bua.cli import queries
from b2bua.cli.context import (
    DEFAULT_LIMIT,
    CommandError,
    LimitOption,
    NotFound,
    database,
    parse_limit,
    run,
    settings_of,
    tell_more,
)
from b2bua.cli.output import Format, FormatOption, print_row, print_rows
from conf.settings import Settings

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Customers and resellers.")

COLUMNS: Final = (
    "code",
    "name",
    "kind",
    "parent",
    "status",
    "billing_type",
    "balance",
    "currency",
    "tariff",
    "max_sessions",
    "cps",
)
DETAILS: Final = (
    "code",
    "name",
    "company",
    "kind",
    "parent",
    "status",
    "billing_type",
    "balance",
    "currency",
    "tariff",
    "decimals",
    "rounding",
    "tax_flag",
    "tax_inclusive",
    "tax_percents",
    "max_sessions",
    "cps",
    "max_duration",
    "children",
    "ip_devices",
    "sip_users",
    "created_at",
)

CodeArgument = Annotated[str, typer.Argument(metavar="CODE", help="Account code, such as CUST0007.")]


class Kind(StrEnum):
    """Kinds of account."""

    CUSTOMER = "customer"
    RESELLER = "reseller"


class Status(StrEnum):
    """States of an account."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    CLOSED = "closed"


@app.command(
    "list",
    epilog="Examples: softswitch account list --kind customer --status active\n\n"
    "softswitch account list --parent RESE0001 --format csv",
)
def list_accounts(
    context: typer.Context,
    *,
    kind: Annotated[Kind | None, typer.Option(help="Only customers or only resellers.")] = None,
    status: Annotated[Status | None, typer.Option(help="Only accounts in this state.")] = None,
    parent: Annotated[str | None, typer.Option(metavar="CODE", help="Only those directly below this reseller.")] = None,
    after: Annotated[str | None, typer.Option(metavar="CODE", help="List on after this account.")] = None,
    limit: LimitOption = DEFAULT_LIMIT,
    output: FormatOption = Format.TABLE,
) -> None:
    """List accounts by code, with their balances and limits."""
    page = run(_list(settings_of(context), kind=kind, status=status, parent=parent, after=after, limit=limit))
    print_rows(page.rows, COLUMNS, output)
    tell_more(page.after)


async def _list(
    settings: Settings, *, kind: str | None, status: str | None, parent: str | None, after: str | None, limit: int
) -> queries.Page:
    async with database(settings) as connection:
        if parent is not None and await queries.account_id(connection, parent) is None:
            raise NotFound(f"no account {parent}")
        return await queries.accounts(connection, kind=kind, status=status, parent=parent, after=after, limit=limit)


@app.command("show", epilog="Example: softswitch account show CUST0007 --format json")
def show(context: typer.Context, code: CodeArgument, output: FormatOption = Format.TABLE) -> None:
    """Show one account: tariff, billing, taxes, limits, and what belongs to it."""
    print_row(run(_show(settings_of(context), code)), DETAILS, output)


async def _show(settings: Settings, code: str) -> queries.Row:
    async with database(settings) as connection:
        account = await queries.account(connection, code)
    if account is None:
        raise NotFound(f"no account {code}")
    return account


@app.command("suspend", epilog="Example: softswitch account suspend CUST0007")
def suspend(context: typer.Context, code: CodeArgument) -> None:
    """Suspend an account: it and those below it can make no calls."""
    run(_set_status(settings_of(context), code, Status.SUSPENDED))


@app.command("activate", epilog="Example: softswitch account activate CUST0007")
def activate(context: typer.Context, code: CodeArgument) -> None:
    """Let a suspended account make calls again."""
    run(_set_status(settings_of(context), code, Status.ACTIVE))


async def _set_status(settings: Settings, code: str, status: Status) -> None:
    async with database(settings) as connection:
        old = await queries.set_account_status(connection, code, status)
    if old is None:
        raise NotFound(f"no account {code}")
    if old == Status.CLOSED:
        raise CommandError(f"account {code} is closed")
    typer.echo(f"account {code} was {status} already" if old == status else f"account {code} is {status}")


@app.command(
    "set",
    epilog="Examples: softswitch account set CUST0007 --max-sessions 30 --cps 5\n\n"
    "softswitch account set CUST0007 --max-duration none",
)
def set_limits(
    context: typer.Context,
    code: CodeArgument,
    *,
    max_sessions: Annotated[
        str | None, typer.Option(metavar="N|none", help="Most calls at once; 0 allows none.")
    ] = None,
    cps: Annotated[str | None, typer.Option(metavar="N|none", help="Most new calls per second; 0 allows none.")] = None,
    max_duration: Annotated[str | None, typer.Option(metavar="SECONDS|none", help="Longest call.")] = None,
) -> None:
    """Set limits of an account; `none` takes a limit away. Active in every worker within a second."""
    given = {"max_sessions": max_sessions, "cps": cps, "max_duration": max_duration}
    changes = {name: parse_limit(text) for name, text in given.items() if text is not None}
    if not changes:
        raise typer.BadParameter("nothing to set: give at least one limit")
    if changes.get("max_duration") == 0:
        raise typer.BadParameter("the longest call has at least one second")
    run(_set_limits(settings_of(context), code, changes))


async def _set_limits(settings: Settings, code: str, changes: dict[str, int | None]) -> None:
    async with database(settings) as connection:
        if not await queries.set_account_limits(connection, code, changes):
            raise NotFound(f"no account {code}")
    shown = ", ".join(f"{name} {'none' if value is None else value}" for name, value in changes.items())
    typer.echo(f"account {code}: {shown}")
