"""`softswitch login`: logins of the panel, for whoever cannot sign in there any more.

What is reset leaves an entry in the audit log like the same act in the panel. There the last administrator is kept from
locking itself out; here is the way back in.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Final

import typer
from argon2 import PasswordHasher

from b2bua.account import audit, panel_login
from b2bua.cli import queries
from b2bua.cli.context import (
    DEFAULT_LIMIT,
    LimitOption,
    NotFound,
    database,
    run,
    settings_of,
    tell,
    tell_more,
    user_name,
)
from b2bua.cli.find import Login, find_login
from b2bua.cli.option import JSONOption, chosen
from b2bua.cli.output import Format, FormatOption, print_row, print_rows
from conf.first_start import make_password
from conf.settings import Settings
from rating.ledger import Connection

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Logins of the panel.")

COLUMNS: Final = ("login", "role", "account", "status", "second_factor", "signed_in_at")

LoginArgument = Annotated[str, typer.Argument(metavar="LOGIN", help="Name of the login, such as admin.")]


class Role(StrEnum):
    """Roles of the panel."""

    ADMINISTRATOR = "administrator"
    SUPPORT = "support"
    ACCOUNTS = "accounts"
    RESELLER = "reseller"
    CUSTOMER = "customer"


@app.command(
    "list",
    epilog="Examples: softswitch login list --role administrator\n\nsoftswitch login list --account RESE0001 --json",
)
def list_logins(
    context: typer.Context,
    *,
    role: Annotated[Role | None, typer.Option(help="Only those of this role.")] = None,
    account: Annotated[str | None, typer.Option(metavar="CODE", help="Only those of this account.")] = None,
    after: Annotated[str | None, typer.Option(metavar="LOGIN", help="List on after this one.")] = None,
    limit: LimitOption = DEFAULT_LIMIT,
    output: FormatOption = Format.TABLE,
    as_json: JSONOption = False,
) -> None:
    """List logins by name: whether they are locked, have a second factor, and when they signed in last."""
    page = run(_list(settings_of(context), role=role, account=account, after=after, limit=limit))
    print_rows(page.rows, COLUMNS, chosen(output, as_json=as_json))
    tell_more(page.after)


async def _list(
    settings: Settings, *, role: str | None, account: str | None, after: str | None, limit: int
) -> queries.Page:
    async with database(settings) as connection:
        if account is not None and await queries.account_id(connection, account) is None:
            raise NotFound(f"no account {account}")
        return await queries.logins(connection, role=role, account=account, after=after, limit=limit)


@app.command("reset-factor", epilog="Example: softswitch login reset-factor admin")
def reset_factor(context: typer.Context, login: LoginArgument) -> None:
    """Remove the second factor of a login whose telephone and recovery codes are lost, and end its sessions."""
    if run(_reset_factor(settings_of(context), login)):
        typer.echo(f"login {login} has no second factor any longer, its sessions have ended")
    else:
        typer.echo(f"login {login} has no second factor")


async def _reset_factor(settings: Settings, name: str) -> bool:
    async with database(settings) as connection, connection.transaction():
        login = await find_login(connection, name)
        if login.has_second_factor:
            await panel_login.reset_factor(connection, login.id)
            await _write(
                connection, "login.reset_factor", login, old={"second_factor": True}, new={"second_factor": False}
            )
    return login.has_second_factor


@app.command(
    "reset-password",
    epilog="Examples: softswitch login reset-password admin\n\nsoftswitch login reset-password admin --json",
)
def reset_password(
    context: typer.Context, login: LoginArgument, output: FormatOption = Format.TABLE, *, as_json: JSONOption = False
) -> None:
    """Make a password for one sign-in, shown once; the login is unlocked and its sessions end."""
    password = make_password()
    found = run(_reset_password(settings_of(context), login, PasswordHasher().hash(password)))
    output = chosen(output, as_json=as_json)
    if output is Format.TABLE:
        typer.echo(f"login {login}, password {password}")
        typer.echo("The password is shown this once, and has to be changed at the next sign-in.")
    else:
        print_row({"login": login, "password": password}, ("login", "password"), output)
    if found.has_second_factor:
        tell(f"its second factor is still asked for: softswitch login reset-factor {login} removes it")


async def _reset_password(settings: Settings, name: str, password_hash: str) -> Login:
    async with database(settings) as connection, connection.transaction():
        login = await find_login(connection, name)
        await panel_login.reset_password(connection, login.id, password_hash)
        await panel_login.set_status(connection, login.id, "active")
        await _write(
            connection,
            "login.reset_password",
            login,
            old={"password": "changed", "status": login.status, "locked_until": login.locked_until},
            new={"password": "changed", "status": "active", "locked_until": None},
        )
    return login


async def _write(
    connection: Connection, action: str, login: Login, *, old: Mapping[str, Any], new: Mapping[str, Any]
) -> None:
    await audit.add(
        connection,
        audit.Entry(
            login="command line",
            role="",
            acting_as="",
            action=action,
            account_id=login.account_id,
            subject=login.title,
            old=old,
            new=new,
            source=user_name(),
            request_id="",
        ),
    )
