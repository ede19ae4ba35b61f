"""`softswitch registration`: where SIP users are registered now, read from the live store."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, Any, Final

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
    tell,
    tell_more,
)
from b2bua.cli.output import Format, FormatOption, print_rows
from b2bua.control.client import ControlClient
from b2bua.registrar.bindings import KEY_PATTERN, Binding, bindings_key, decode, live, source_of, user_of_key
from conf.embedded import live_url, run_directory
from conf.settings import Settings
from rating.ledger import Connection

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Registered SIP users.")

COLUMNS: Final = (
    "username",
    "account",
    "contact",
    "transport",
    "source",
    "q",
    "user_agent",
    "worker",
    "registered_at",
    "expires_at",
)

_AT_A_TIME: Final = 1000
"""SIP users whose bindings are read in one go."""


@app.callback()
def group() -> None:
    """Registered SIP users."""


@app.command(
    "list",
    epilog="Examples: softswitch registration list\n\nsoftswitch registration list --account RESE0001 --json",
)
def list_registrations(
    context: typer.Context,
    *,
    account: Annotated[
        str | None, typer.Option(metavar="CODE", help="Only SIP users of this account and of those below it.")
    ] = None,
    after: Annotated[str | None, typer.Option(metavar="USERNAME,CONTACT", help="List on after this one.")] = None,
    limit: LimitOption = DEFAULT_LIMIT,
    output: FormatOption = Format.TABLE,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
) -> None:
    """List the contacts of registered SIP users, by name: where from, with which software, until when."""
    page = run(_list(settings_of(context), account, after, limit))
    print_rows(page.rows, COLUMNS, Format.JSON if as_json else output)
    tell_more(page.after)


async def _list(settings: Settings, account: str | None, after: str | None, limit: int) -> queries.Page:
    if after is not None and "," not in after:
        raise CommandError(f"--after {after} is not of the form USERNAME,CONTACT")
    async with database(settings) as connection, _live_store(settings) as store:
        account_ids = None
        if account is not None and not (account_ids := await queries.account_ids_below(connection, account)):
            raise NotFound(f"no account {account}")
        names = await _names(connection, await _registered(store), account_ids)
        rows = await _rows(store, names)
    place = tuple((after or ",").split(",", 1))
    rows = sorted((row for row in rows if _place(row) > place), key=_place)
    return queries.Page(rows[:limit], ",".join(_place(rows[limit - 1])) if len(rows) > limit else None)


@app.command("remove", epilog="Example: softswitch registration remove alice")
def remove(
    context: typer.Context,
    username: Annotated[str, typer.Argument(metavar="USERNAME", help="Name of the SIP user.")],
) -> None:
    """Remove every contact of a SIP user: no call reaches it until it registers again."""
    count = run(_remove(settings_of(context), username))
    typer.echo(f"{count} {'contact' if count == 1 else 'contacts'} of {username} removed")


async def _remove(settings: Settings, username: str) -> int:
    async with database(settings) as connection, _live_store(settings) as store:
        sip_user_id = await queries.sip_user_id(connection, username)
        if sip_user_id is None:
            raise NotFound(f"no SIP user {username}")
        value = await store.getdel(bindings_key(sip_user_id))
    if value is None:
        raise NotFound(f"{username} is not registered")
    bindings = _read(username, value)
    # Workers remember where registrations came from.
    await ControlClient(run_directory(settings)).request_all("unregister", sip_user_id=sip_user_id)
    return len(bindings)


@asynccontextmanager
async def _live_store(settings: Settings) -> AsyncIterator[Valkey]:
    timeout = settings.live.timeout
    store = Valkey.from_url(live_url(settings), socket_timeout=timeout, socket_connect_timeout=timeout)
    try:
        yield store
    except ValkeyError as error:
        raise CommandError(f"live store: {error}") from error
    finally:
        await store.aclose()


async def _registered(store: Valkey) -> list[int]:
    """Ids of the SIP users that have bindings."""
    keys = {key.decode("utf-8", "replace") async for key in store.scan_iter(match=KEY_PATTERN, count=_AT_A_TIME)}
    return [sip_user_id for key in keys if (sip_user_id := user_of_key(key))]


async def _names(connection: Connection, ids: list[int], account_ids: list[int] | None) -> dict[int, tuple[str, str]]:
    return {
        row["id"]: (row["username"], row["account"])
        for row in await queries.sip_users(connection, ids=ids, account_ids=account_ids)
    }


async def _rows(store: Valkey, names: dict[int, tuple[str, str]]) -> list[queries.Row]:
    wanted, now = list(names), time.time()
    rows: list[queries.Row] = []
    for start in range(0, len(wanted), _AT_A_TIME):
        some = wanted[start : start + _AT_A_TIME]
        # Not MGET: on a cluster the keys lie on different nodes.
        pipeline = store.pipeline(transaction=False)
        for sip_user_id in some:
            pipeline.get(bindings_key(sip_user_id))
        for sip_user_id, value in zip(some, await pipeline.execute(), strict=True):
            username, account = names[sip_user_id]
            rows += [_row(username, account, binding) for binding in live(_read(username, value), now)]
    return rows


def _read(username: str, value: bytes | None) -> list[Binding]:
    try:
        return decode(value) if value else []
    except ValueError as error:
        tell(f"{username}: {error}")
        return []


def _row(username: str, account: str, binding: Binding) -> queries.Row:
    values: dict[str, Any] = {
        "username": username,
        "account": account,
        "contact": binding.contact,
        "transport": binding.transport,
        "source": source_of(binding),
        "q": f"{binding.q:g}",
        "user_agent": binding.user_agent,
        "worker": binding.worker_name,
        "registered_at": datetime.fromtimestamp(binding.registered_at, UTC),
        "expires_at": datetime.fromtimestamp(binding.expires_at, UTC),
    }
    return {name: values[name] for name in COLUMNS}


def _place(row: queries.Row) -> tuple[str, str]:
    return row["username"], row["contact"]
