"""`softswitch ban`: sources that get no answer, as the live store has them for every worker."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Final

import typer
from valkey.asyncio import Valkey
from valkey.exceptions import ValkeyError

from b2bua.ban import store
from b2bua.ban.source import InvalidSource, parse_source
from b2bua.cli.context import DEFAULT_LIMIT, CommandError, LimitOption, NotFound, run, settings_of, tell, user_name
from b2bua.cli.output import Format, FormatOption, print_rows
from conf.database import without_password
from conf.embedded import live_url
from conf.settings import Settings

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Sources that get no answer.")

COLUMNS: Final = ("address", "since", "until", "seconds_left", "by", "reason")

AddressArgument = Annotated[str, typer.Argument(metavar="ADDRESS", help="IPv4 or IPv6 address.")]


@app.command("list", epilog="Examples: softswitch ban list\n\nsoftswitch ban list --limit 1000 --format json")
def list_bans(
    context: typer.Context, *, limit: LimitOption = DEFAULT_LIMIT, output: FormatOption = Format.TABLE
) -> None:
    """List banned sources, the latest first: since when, until when, by whom and why."""
    now, bans = run(_list(settings_of(context)))
    rows = [
        {
            "address": ban.address,
            "since": ban.since,
            "until": ban.until,
            "seconds_left": round(ban.until.timestamp() - now),
            "by": ban.by,
            "reason": ban.reason,
        }
        for ban in bans[:limit]
    ]
    print_rows(rows, COLUMNS, output)
    if len(bans) > limit:
        tell(f"{limit} of {len(bans)} bans are listed")


async def _list(settings: Settings) -> tuple[float, list[store.Ban]]:
    async with _live(settings) as live:
        details = await live.execute_command(*store.LIST)  # type: ignore[no-untyped-call]
        seconds, microseconds = await live.time()
    now = seconds + microseconds / 1_000_000
    bans = [store.Ban.read(address.decode(), detail) for address, detail in details.items()]
    lasting = [ban for ban in bans if ban.until.timestamp() > now]
    return now, sorted(lasting, key=lambda ban: ban.since, reverse=True)


@app.command(
    "add",
    epilog="Examples: softswitch ban add 203.0.113.9\n\n"
    'softswitch ban add 2001:db8::9 --seconds 86400 --reason "floods us"',
)
def add(
    context: typer.Context,
    address: AddressArgument,
    *,
    seconds: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, max=store.LONGEST, help="How long; default: the setting ban.time."),
    ] = None,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why, for the list.")] = "",
) -> None:
    """Ban a source for some time; every worker drops what it sends within a second.

    A source with a device, a gateway or a live registration is never banned: the workers lift such a ban at once.
    A ban that is there already is replaced.
    """
    chosen, settings = _address(address), settings_of(context)
    lasts = settings.ban.time if seconds is None else seconds
    run(_execute(settings, store.ban(chosen, lasts, f"command line: {user_name()}", reason)))
    typer.echo(f"{chosen} is banned for {lasts} s")


@app.command("remove", epilog="Example: softswitch ban remove 203.0.113.9")
def remove(context: typer.Context, address: AddressArgument) -> None:
    """Lift the ban of a source; every worker hears it again within a second."""
    chosen = _address(address)
    run(_remove(settings_of(context), chosen))
    typer.echo(f"{chosen} is not banned any longer")


async def _remove(settings: Settings, address: str) -> None:
    if not await _execute(settings, store.unban(address)):
        raise NotFound(f"{address} is not banned")


async def _execute(settings: Settings, command: store.Command) -> int:
    async with _live(settings) as live:
        return int(await live.execute_command(*command))  # type: ignore[no-untyped-call]


@asynccontextmanager
async def _live(settings: Settings) -> AsyncIterator[Valkey]:
    """Lend a connection to the live store for the time of a command."""
    url, timeout = live_url(settings), settings.live.timeout
    live = Valkey.from_url(url, socket_timeout=timeout, socket_connect_timeout=timeout)
    try:
        yield live
    except ValkeyError as error:
        raise CommandError(f"live store at {without_password(url)}: {error}") from error
    finally:
        await live.aclose()


def _address(text: str) -> str:
    """Read an address that packets can come from.

    Raises:
        typer.BadParameter: it is none.
    """
    try:
        return parse_source(text)
    except InvalidSource as error:
        raise typer.BadParameter(str(error)) from None
