"""`softswitch mailbox`: how many messages wait for SIP users, which their telephones show."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Final

import typer
from valkey.asyncio import Valkey
from valkey.exceptions import ValkeyError

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
from b2bua.cli.output import Format, FormatOption, print_rows
from b2bua.registrar import mailbox
from conf.database import without_password
from conf.embedded import live_url
from conf.settings import Settings

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Messages that wait for SIP users.")

COLUMNS: Final = ("username", "account", "new", "old")


@app.callback()
def group() -> None:
    """Messages that wait for SIP users."""


@app.command(
    "list", epilog="Examples: softswitch mailbox list\n\nsoftswitch mailbox list --account RESE0001 --format json"
)
def list_mailboxes(
    context: typer.Context,
    *,
    account: Annotated[
        str | None, typer.Option(metavar="CODE", help="Only SIP users of this account and of those below it.")
    ] = None,
    after: Annotated[str | None, typer.Option(metavar="USERNAME", help="List on after this one.")] = None,
    limit: LimitOption = DEFAULT_LIMIT,
    output: FormatOption = Format.TABLE,
) -> None:
    """List the mailboxes that were ever reported, by name: messages not heard yet, and those that were."""
    page = run(_list(settings_of(context), account, after or "", limit))
    print_rows(page.rows, COLUMNS, output)
    tell_more(page.after)


async def _list(settings: Settings, account: str | None, after: str, limit: int) -> queries.Page:
    async with database(settings) as connection, _live_store(settings) as store:
        account_ids = None
        if account is not None and not (account_ids := await queries.account_ids_below(connection, account)):
            raise NotFound(f"no account {account}")
        answer = await store.execute_command(*mailbox.LIST)  # type: ignore[no-untyped-call]
        held = dict(mailbox.read_mailbox(name, value) for name, value in answer.items())
        users = await queries.sip_users(connection, ids=list(held), account_ids=account_ids)
    rows = sorted(
        (
            {"username": user["username"], "account": user["account"], **held[user["id"]]._asdict()}
            for user in users
            if user["username"] > after
        ),
        key=lambda row: str(row["username"]),
    )
    return queries.Page(rows[:limit], str(rows[limit - 1]["username"]) if len(rows) > limit else None)


@app.command("set", epilog="Example: softswitch mailbox set alice --new 2 --old 5")
def set_mailbox(
    context: typer.Context,
    username: Annotated[str, typer.Argument(metavar="USERNAME", help="Name of the SIP user.")],
    *,
    new: Annotated[int, typer.Option(metavar="N", min=0, max=mailbox.MOST, help="Messages not heard yet.")],
    old: Annotated[int, typer.Option(metavar="N", min=0, max=mailbox.MOST, help="Messages that were heard.")] = 0,
) -> None:
    """Report how many messages a SIP user has; telephones that subscribed to it show that within a second."""
    run(_set(settings_of(context), username, new, old))
    typer.echo(f"{username} has {new} new and {old} old messages")


async def _set(settings: Settings, username: str, new: int, old: int) -> None:
    async with database(settings) as connection, _live_store(settings) as store:
        sip_user_id = await queries.sip_user_id(connection, username)
        if sip_user_id is None:
            raise NotFound(f"no SIP user {username}")
        await store.execute_command(*mailbox.report(sip_user_id, new, old))  # type: ignore[no-untyped-call]


@asynccontextmanager
async def _live_store(settings: Settings) -> AsyncIterator[Valkey]:
    url, timeout = live_url(settings), settings.live.timeout
    store = Valkey.from_url(url, socket_timeout=timeout, socket_connect_timeout=timeout)
    try:
        yield store
    except ValkeyError as error:
        raise CommandError(f"live store at {without_password(url)}: {error}") from error
    finally:
        await store.aclose()
