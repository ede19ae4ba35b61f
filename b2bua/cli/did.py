"""`softswitch did`: numbers that calls from carriers come for, and where such calls go (docs/behaviour.md §8)."""

import re
from typing import Annotated, Any, Final

import typer

from b2bua.cli import policy_queries, queries
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
from b2bua.cli.find import find_account, find_carrier, find_device, find_did, find_named
from b2bua.cli.option import (
    NONE,
    JSONOption,
    Status,
    StatusOption,
    chosen,
    given,
    read,
    refuse_nothing,
    show,
)
from b2bua.cli.output import Format, FormatOption, print_rows
from b2bua.routing import store
from b2bua.routing.field import did_number
from conf.settings import Settings
from rating.ledger import Connection

app = typer.Typer(add_completion=False, no_args_is_help=True, help="DIDs, and where calls to them go.")

COLUMNS: Final = ("number", "account", "carrier", "channels", "destination", "failover", "status")

DESTINATIONS: Final = "sip_user:NAME, ip_device:ADDRESS, extension:DIGITS, number:DIGITS (a second, charged call)"

NumberArgument = Annotated[str, typer.Argument(metavar="NUMBER", help="The DID: country code and number.")]
OwnerOption = Annotated[
    str | None, typer.Option("--account", metavar="CODE|none", help="Whose it is; another loses its destinations.")
]
BringerOption = Annotated[
    str | None, typer.Option("--carrier", metavar="CODE|none", help="Who must bring the calls; none: any carrier.")
]
ChannelsOption = Annotated[str | None, typer.Option("--channels", metavar="N|none", help="Most calls at once.")]


def parse_number(text: str) -> str:
    """Read a DID; the + before a country code is left out."""
    number: str = read(did_number("the DID"), text)
    return number


@app.command(
    "list", epilog="Examples: softswitch did list --account CUST0007\n\nsoftswitch did list --status inactive --json"
)
def list_dids(
    context: typer.Context,
    *,
    account: Annotated[str | None, typer.Option(metavar="CODE", help="Only DIDs of this account.")] = None,
    carrier: Annotated[str | None, typer.Option(metavar="CODE", help="Only DIDs of this carrier.")] = None,
    status: Annotated[Status | None, typer.Option(help="Only DIDs in this state.")] = None,
    after: Annotated[str | None, typer.Option(metavar="NUMBER", help="List on after this DID.")] = None,
    limit: LimitOption = DEFAULT_LIMIT,
    output: FormatOption = Format.TABLE,
    as_json: JSONOption = False,
) -> None:
    """List DIDs by number, with where calls to them go."""
    page = run(_list(settings_of(context), account, carrier, status, after, limit))
    print_rows(page.rows, COLUMNS, chosen(output, as_json=as_json))
    tell_more(page.after)


async def _list(
    settings: Settings,
    account: str | None,
    carrier: str | None,
    status: Status | None,
    after: str | None,
    limit: int,
) -> queries.Page:
    async with database(settings) as connection:
        if account is not None:
            await find_account(connection, account)
        if carrier is not None:
            await find_carrier(connection, carrier)
        return await policy_queries.dids(
            connection, account=account, carrier=carrier, status=status, after=after, limit=limit
        )


@app.command(
    "add",
    epilog="Examples: softswitch did add 442079460000 --account CUST0007 --carrier CARR0001 --channels 10\n\n"
    "softswitch did add +493023125001",
)
def add_did(
    context: typer.Context,
    number: NumberArgument,
    *,
    account: OwnerOption = None,
    carrier: BringerOption = None,
    channels: ChannelsOption = None,
    status: StatusOption = None,
) -> None:
    """Make a DID; calls to it go somewhere once it has an account and a destination."""
    did = parse_number(number)
    run(_add(settings_of(context), did, account, carrier, given(channels=channels, status=status)))
    typer.echo(f"DID {did} added")
    if account is not None:
        tell(f"where its calls go: softswitch did route {did} DESTINATION")


async def _add(
    settings: Settings, number: str, account: str | None, carrier: str | None, values: dict[str, Any]
) -> None:
    async with database(settings) as connection:
        named = await find_named(connection, account=account, carrier=carrier)
        await store.add_did(connection, number, values | named)


@app.command(
    "set",
    epilog="Examples: softswitch did set 442079460000 --channels 20 --status active\n\n"
    "softswitch did set 442079460000 --account none",
)
def set_did(
    context: typer.Context,
    number: NumberArgument,
    *,
    account: OwnerOption = None,
    carrier: BringerOption = None,
    channels: ChannelsOption = None,
    status: StatusOption = None,
) -> None:
    """Change a DID; one that goes to another account, or to none, forgets where its calls went."""
    did = parse_number(number)
    values = given(channels=channels, status=status)
    shown = values | given(account=account, carrier=carrier)
    refuse_nothing(shown)
    run(_set(settings_of(context), did, account, carrier, values))
    typer.echo(f"DID {did}: {show(shown)}")


async def _set(
    settings: Settings, number: str, account: str | None, carrier: str | None, values: dict[str, Any]
) -> None:
    async with database(settings) as connection:
        await find_did(connection, number)
        named = await find_named(connection, account=account, carrier=carrier)
        await store.set_did(connection, number, values | named)


@app.command("remove", epilog="Example: softswitch did remove 442079460000")
def remove_did(context: typer.Context, number: NumberArgument) -> None:
    """Remove a DID; calls in progress go on."""
    did = parse_number(number)
    run(_remove(settings_of(context), did))
    typer.echo(f"DID {did} removed")


async def _remove(settings: Settings, number: str) -> None:
    async with database(settings) as connection:
        if not await store.remove_did(connection, number):
            raise NotFound(f"no DID {number}")


@app.command(
    "route",
    epilog="Examples: softswitch did route 442079460000 sip_user:alice --failover number:447700900123\n\n"
    "softswitch did route 442079460000 ip_device:192.0.2.10\n\nsoftswitch did route 442079460000 none",
)
def route_did(
    context: typer.Context,
    number: NumberArgument,
    destination: Annotated[
        str, typer.Argument(metavar="DESTINATION", help=f"{DESTINATIONS}; or none: calls go nowhere.")
    ],
    *,
    failover: Annotated[
        str | None, typer.Option(metavar="DESTINATION", help="Where they go when that fails; without it, nowhere.")
    ] = None,
) -> None:
    """Say where calls to a DID go, in place of where they went."""
    did = parse_number(number)
    texts = [text for text in (destination, failover) if text is not None]
    if destination.lower() == NONE:
        if failover is not None:
            raise typer.BadParameter("there is no failover without a destination")
        texts = []
    run(_route(settings_of(context), did, texts))
    typer.echo(f"calls to DID {did} go {_where(texts)}")


def _where(texts: list[str]) -> str:
    return f"to {', then to '.join(texts)}" if texts else "nowhere"


async def _route(settings: Settings, number: str, texts: list[str]) -> None:
    async with database(settings) as connection:
        did, account = await find_did(connection, number)
        if account is None and texts:
            raise CommandError(f"DID {number} has no account: softswitch did set {number} --account CODE")
        destinations = [await _destination(connection, account or 0, text) for text in texts]
        if len(destinations) == 2 and destinations[0] == destinations[1]:
            raise CommandError(f"the failover is the same as the destination: {texts[0]}")
        await store.set_did_destinations(connection, did, destinations)


async def _destination(connection: Connection, account: int, text: str) -> dict[str, Any]:
    """Find what a destination names: devices of the account only."""
    kind, _, rest = text.partition(":")
    row: dict[str, Any] = {"kind": kind, "sip_user_id": None, "ip_device_id": None, "number": None}
    if kind == "sip_user":
        return row | {"sip_user_id": await _device(connection, account, rest, "user")}
    if kind == "ip_device":
        return row | {"ip_device_id": await _device(connection, account, rest, "ip")}
    if kind == "voice_mail":
        raise CommandError("voice mail is not there yet")
    if kind not in ("extension", "number") or re.fullmatch(r"\+?[0-9*#]{1,32}", rest) is None:
        raise typer.BadParameter(f"{text!r} is none of {DESTINATIONS}")
    if kind == "extension" and not await policy_queries.has_extension(connection, account, rest):
        raise NotFound(f"no SIP user of the DID's account has extension {rest}")
    return row | {"number": rest}


async def _device(connection: Connection, account: int, text: str, kind: str) -> int:
    device = await find_device(connection, text, kind)
    if device.account_id != account:
        raise CommandError(f"{device.title} is {device.account}'s: a DID leads to its own account only")
    if kind == "ip" and not device.identity.endswith(("/32", "/128")):
        raise CommandError(f"{device.title} is a network: calls can be sent to one address only")
    return device.id
