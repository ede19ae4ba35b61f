"""`softswitch route`: which carriers take which numbers, who dials over which route, and which reseller may."""

from enum import StrEnum
from typing import Annotated, Any, Final

import typer

from b2bua.cli import changes, policy_queries, queries
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
from b2bua.cli.find import find_account, find_carrier, find_reseller, find_route
from b2bua.cli.option import (
    JSONOption,
    PriorityOption,
    StatusOption,
    WeightOption,
    chosen,
    given,
    parse_hours,
    parse_name,
    parse_pattern,
    parse_prefix,
    refuse_nothing,
    show,
)
from b2bua.cli.output import Format, FormatOption, print_row, print_rows
from b2bua.routing import store
from b2bua.routing.field import show_days
from conf.settings import Settings
from rating.ledger import Connection

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Routes.")
entry_app = typer.Typer(add_completion=False, no_args_is_help=True, help="Entries of a route: prefix and carrier.")
dial_app = typer.Typer(add_completion=False, no_args_is_help=True, help="Which route an account's numbers take.")
app.add_typer(entry_app, name="entry")
app.add_typer(dial_app, name="dial")

COLUMNS: Final = (
    "route",
    "route_status",
    "mode",
    "zone",
    "prefix",
    "carrier",
    "priority",
    "weight",
    "days",
    "hours",
    "status",
    "entry",
)
DETAILS: Final = (
    "name",
    "status",
    "mode",
    "zone",
    "failover_codes",
    "ring_failover",
    "entries",
    "dialed_by",
    "permitted_to",
    "emergency_numbers",
)
DIAL_COLUMNS: Final = ("account", "pattern", "route", "route_status")


class Mode(StrEnum):
    """How a route chooses among entries of equal priority."""

    LEAST_COST = "least_cost"
    LOAD_SHARE = "load_share"


RouteArgument = Annotated[str, typer.Argument(metavar="ROUTE", help="Name of the route.")]
AccountArgument = Annotated[str, typer.Argument(metavar="CODE", help="Account code.")]
ResellerArgument = Annotated[str, typer.Argument(metavar="CODE", help="Account code of the reseller.")]
PatternArgument = Annotated[str, typer.Argument(metavar="PATTERN", help="Such as 44%, {10}%, 00|%, or % for all.")]
ModeOption = Annotated[Mode | None, typer.Option("--mode", help="Order within a priority: by cost, or by weight.")]
ZoneOption = Annotated[
    str | None, typer.Option("--zone", metavar="NAME", help="Time zone of its entries' hours, such as Europe/Berlin.")
]
FailoverCodesOption = Annotated[
    str | None,
    typer.Option(
        "--failover-codes",
        metavar="LIST|none|default",
        help="SIP answers after which the next carrier is tried, such as 404,5xx; default: the system's.",
    ),
]
RingFailoverOption = Annotated[
    bool | None,
    typer.Option("--ring-failover/--no-ring-failover", help="Whether the next is tried when one rings too long."),
]
DaysOption = Annotated[
    str | None, typer.Option("--days", metavar="DAYS|all", help="When it counts: mon-fri, or sat,sun.")
]
HoursOption = Annotated[
    str | None, typer.Option("--hours", metavar="FROM-UNTIL|all", help="When it counts: 08:00-18:00, or 22:00-06:00.")
]


@app.command(
    "list",
    epilog="Examples: softswitch route list --format json\n\nsoftswitch route list --route europe\n\n"
    "softswitch route list --after europe,44,1,CARR0001,7",
)
def list_routes(
    context: typer.Context,
    *,
    route: Annotated[str | None, typer.Option(metavar="ROUTE", help="Only this route.")] = None,
    after: Annotated[
        str | None, typer.Option(metavar="ROUTE,PREFIX,PRIORITY,CARRIER,ENTRY", help="List on after this entry.")
    ] = None,
    limit: LimitOption = DEFAULT_LIMIT,
    output: FormatOption = Format.TABLE,
    as_json: JSONOption = False,
) -> None:
    """List the entries of every route; prefix and carrier are empty for a route without entries."""
    cursor = None if after is None else _parse_cursor(after)
    page = run(_list(settings_of(context), route, cursor, limit))
    print_rows(page.rows, COLUMNS, chosen(output, as_json=as_json))
    tell_more(page.after)


async def _list(
    settings: Settings, route: str | None, after: policy_queries.RouteCursor | None, limit: int
) -> queries.Page:
    async with database(settings) as connection:
        if route is not None:
            await find_route(connection, route)
        return await policy_queries.route_entries(connection, route=route, after=after, limit=limit)


def _parse_cursor(text: str) -> policy_queries.RouteCursor:
    try:
        # A name may contain commas, the rest may not. Without an entry the list goes on after all of that carrier.
        rest, _, last = text.rpartition(",")
        entry = int(last) if last.isdecimal() else policy_queries.LAST_ENTRY
        route, prefix, priority, carrier = (rest if last.isdecimal() else text).rsplit(",", 3)
        return policy_queries.RouteCursor(route, prefix, int(priority), carrier, entry)
    except ValueError:
        raise typer.BadParameter(f"--after takes what an earlier list printed, not {text!r}") from None


@app.command("show", epilog="Example: softswitch route show europe --json")
def show_route(
    context: typer.Context, name: RouteArgument, output: FormatOption = Format.TABLE, *, as_json: JSONOption = False
) -> None:
    """Show how a route chooses, which accounts dial over it, and which resellers may."""
    print_row(run(_show(settings_of(context), name)), DETAILS, chosen(output, as_json=as_json))


async def _show(settings: Settings, name: str) -> queries.Row:
    async with database(settings) as connection:
        route = await policy_queries.route(connection, name)
    if route is None:
        raise NotFound(f"no route {name}")
    return route


@app.command(
    "add",
    epilog="Examples: softswitch route add europe\n\n"
    "softswitch route add night --mode load_share --zone Europe/Berlin --failover-codes 404,5xx",
)
def add_route(
    context: typer.Context,
    name: RouteArgument,
    *,
    mode: ModeOption = None,
    zone: ZoneOption = None,
    failover_codes: FailoverCodesOption = None,
    ring_failover: RingFailoverOption = None,
    status: StatusOption = None,
) -> None:
    """Make a route without entries."""
    values = given(mode=mode, zone=zone, failover_codes=failover_codes, ring_failover=ring_failover, status=status)
    run(_add(settings_of(context), parse_name(name), values))
    typer.echo(f"route {name} added")


async def _add(settings: Settings, name: str, values: dict[str, Any]) -> None:
    async with database(settings) as connection:
        await store.add_route(connection, name, values)


@app.command(
    "set",
    epilog="Examples: softswitch route set europe --mode load_share --ring-failover\n\n"
    "softswitch route set europe --failover-codes default --status inactive",
)
def set_route(
    context: typer.Context,
    name: RouteArgument,
    *,
    mode: ModeOption = None,
    zone: ZoneOption = None,
    failover_codes: FailoverCodesOption = None,
    ring_failover: RingFailoverOption = None,
    status: StatusOption = None,
) -> None:
    """Change how a route chooses. Active in every worker within a second."""
    values = given(mode=mode, zone=zone, failover_codes=failover_codes, ring_failover=ring_failover, status=status)
    refuse_nothing(values)
    run(_set(settings_of(context), name, values))
    typer.echo(f"route {name}: {show(values | _as_given(failover_codes))}")


def _as_given(failover_codes: str | None) -> dict[str, str]:
    return {} if failover_codes is None else {"failover_codes": failover_codes}


async def _set(settings: Settings, name: str, values: dict[str, Any]) -> None:
    async with database(settings) as connection:
        if not await store.set_route(connection, name, values):
            raise NotFound(f"no route {name}")


@app.command("remove", epilog="Example: softswitch route remove europe")
def remove_route(context: typer.Context, name: RouteArgument) -> None:
    """Remove a route with its entries; nobody may dial over it any more."""
    run(_remove(settings_of(context), name))
    typer.echo(f"route {name} removed")


async def _remove(settings: Settings, name: str) -> None:
    async with database(settings) as connection:
        route = await policy_queries.route(connection, name)
        if route is None:
            raise NotFound(f"no route {name}")
        users = [f"{user} (route dial)" for user in route["dialed_by"]]
        users += [f"emergency number {number}" for number in route["emergency_numbers"]]
        if users:
            more = f" and {len(users) - 3} more" if len(users) > 3 else ""
            raise CommandError(f"route {name} is used by {', '.join(users[:3])}{more}: change that first")
        await store.remove_route(connection, route["id"])


# Entries


@entry_app.command(
    "add",
    epilog="Examples: softswitch route entry add europe --prefix 44 --carrier CARR0001\n\n"
    "softswitch route entry add europe --carrier CARR0002 --priority 2 --days mon-fri --hours 08:00-18:00",
)
def add_entry(
    context: typer.Context,
    route: RouteArgument,
    *,
    prefix: Annotated[str, typer.Option(metavar="DIGITS", help="Of the numbers; without it, all of them.")] = "",
    carrier: Annotated[str, typer.Option(metavar="CODE", help="Who takes them.")],
    priority: PriorityOption = None,
    weight: WeightOption = None,
    days: DaysOption = None,
    hours: HoursOption = None,
    status: StatusOption = None,
) -> None:
    """Let a carrier take numbers with a prefix."""
    values = given(priority=priority, weight=weight, days=days, status=status) | _hours(hours)
    entry = run(_add_entry(settings_of(context), route, parse_prefix(prefix), carrier, values))
    typer.echo(f"route {route}: entry {entry} added, {parse_prefix(prefix) or '%'} to {carrier}")


def _hours(text: str | None) -> dict[str, str]:
    if text is None:
        return {}
    hours_from, hours_until = parse_hours(text)
    return {"hours_from": hours_from, "hours_until": hours_until}


async def _add_entry(settings: Settings, route: str, prefix: str, carrier: str, values: dict[str, Any]) -> int:
    async with database(settings) as connection:
        route_id = await find_route(connection, route)
        carrier_id = await find_carrier(connection, carrier)
        return await store.add_route_entry(connection, route_id, prefix=prefix, carrier_id=carrier_id, values=values)


PrefixOption = Annotated[
    str | None, typer.Option("--prefix", metavar="DIGITS", help="Of the entry; % is the empty one.")
]
EntryCarrierOption = Annotated[str | None, typer.Option("--carrier", metavar="CODE", help="Of the entry.")]
EntryOption = Annotated[
    int | None, typer.Option("--entry", metavar="ID", min=1, help="The entry, as `route list` names it.")
]


@entry_app.command(
    "set",
    epilog="Examples: softswitch route entry set europe --prefix 44 --carrier CARR0001 --priority 2\n\n"
    "softswitch route entry set europe --entry 7 --status inactive",
)
def set_entry(
    context: typer.Context,
    route: RouteArgument,
    *,
    prefix: PrefixOption = None,
    carrier: EntryCarrierOption = None,
    entry: EntryOption = None,
    priority: PriorityOption = None,
    weight: WeightOption = None,
    days: DaysOption = None,
    hours: HoursOption = None,
    status: StatusOption = None,
) -> None:
    """Change an entry, which its prefix and carrier name, or where these have several its number."""
    values = given(priority=priority, weight=weight, days=days, status=status) | _hours(hours)
    refuse_nothing(values)
    found = run(_set_entry(settings_of(context), route, _chosen_entry(prefix, carrier, entry), values))
    shown = values | ({"days": show_days(values["days"]) or "all"} if "days" in values else {})
    typer.echo(f"route {route}, entry {found}: {show(shown)}")


Choice = tuple[str, str] | int
"""Prefix and carrier of an entry, or its number."""


def _chosen_entry(prefix: str | None, carrier: str | None, entry: int | None) -> Choice:
    if entry is not None:
        if prefix is not None or carrier is not None:
            raise typer.BadParameter("give --entry, or --prefix and --carrier, not both")
        return entry
    if carrier is None:
        raise typer.BadParameter("give --prefix and --carrier, or --entry")
    return parse_prefix(prefix or ""), carrier


async def _set_entry(settings: Settings, route: str, choice: Choice, values: dict[str, Any]) -> int:
    async with database(settings) as connection:
        entry = await _find_entry(connection, route, choice)
        await store.set_route_entry(connection, entry, values)
    return entry


async def _find_entry(connection: Connection, route: str, choice: Choice) -> int:
    route_id = await find_route(connection, route)
    if isinstance(choice, int):
        if not await policy_queries.has_route_entry(connection, route_id, choice):
            raise NotFound(f"route {route} has no entry {choice}")
        return choice
    prefix, carrier = choice
    carrier_id = await find_carrier(connection, carrier)
    entries = await policy_queries.route_entry_ids(connection, route_id, prefix, carrier_id)
    if not entries:
        raise NotFound(f"route {route} has no entry for {prefix or '%'} to {carrier}")
    if len(entries) > 1:
        names = ", ".join(str(entry) for entry in entries)
        raise CommandError(f"route {route} has several entries for {prefix or '%'} to {carrier}: --entry {names}")
    return entries[0]


@entry_app.command(
    "remove",
    epilog="Examples: softswitch route entry remove europe --prefix 44 --carrier CARR0001\n\n"
    "softswitch route entry remove europe --entry 7",
)
def remove_entry(
    context: typer.Context,
    route: RouteArgument,
    *,
    prefix: PrefixOption = None,
    carrier: EntryCarrierOption = None,
    entry: EntryOption = None,
) -> None:
    """Remove an entry, which its prefix and carrier name, or where these have several its number."""
    found = run(_remove_entry(settings_of(context), route, _chosen_entry(prefix, carrier, entry)))
    typer.echo(f"route {route}: entry {found} removed")


async def _remove_entry(settings: Settings, route: str, choice: Choice) -> int:
    async with database(settings) as connection:
        entry = await _find_entry(connection, route, choice)
        await store.remove_route_entry(connection, entry)
    return entry


# Dialing patterns of accounts


@dial_app.command(
    "list",
    epilog="Examples: softswitch route dial list --account CUST0007\n\nsoftswitch route dial list --format csv",
)
def list_dialing(
    context: typer.Context,
    *,
    account: Annotated[str | None, typer.Option(metavar="CODE", help="Only this account's.")] = None,
    after: Annotated[str | None, typer.Option(metavar="CODE,PATTERN", help="List on after this pattern.")] = None,
    limit: LimitOption = DEFAULT_LIMIT,
    output: FormatOption = Format.TABLE,
    as_json: JSONOption = False,
) -> None:
    """List the dialing patterns of accounts and the route of each."""
    code, comma, pattern = (after or ",").partition(",")
    if not comma:
        raise typer.BadParameter(f"--after takes what an earlier list printed, not {after!r}")
    page = run(_list_dialing(settings_of(context), account, (code, pattern), limit))
    print_rows(page.rows, DIAL_COLUMNS, chosen(output, as_json=as_json))
    tell_more(page.after)


async def _list_dialing(settings: Settings, account: str | None, after: tuple[str, str], limit: int) -> queries.Page:
    async with database(settings) as connection:
        if account is not None:
            await find_account(connection, account)
        return await policy_queries.dialing_routes(connection, account=account, after=after, limit=limit)


@dial_app.command(
    "add",
    epilog="Examples: softswitch route dial add CUST0007 % europe\n\n"
    "softswitch route dial add CUST0007 '00|%' world --replace",
)
def add_dialing(
    context: typer.Context,
    code: AccountArgument,
    pattern: PatternArgument,
    route: RouteArgument,
    *,
    replace: Annotated[bool, typer.Option("--replace", help="Change the route of a pattern that there is.")] = False,
) -> None:
    """Send numbers that an account dials over a route; of several patterns the one with most digits counts."""
    parse_pattern(pattern)
    run(_add_dialing(settings_of(context), code, pattern, route, replaces=replace))
    typer.echo(f"account {code}: {pattern} goes over route {route}")


async def _add_dialing(settings: Settings, code: str, pattern: str, route: str, *, replaces: bool) -> None:
    async with database(settings) as connection:
        account = await find_account(connection, code)
        route_id = await find_route(connection, route)
        await changes.add_dialing_route(connection, account.id, pattern, route_id, replaces=replaces)


@dial_app.command("remove", epilog="Example: softswitch route dial remove CUST0007 '00|%'")
def remove_dialing(context: typer.Context, code: AccountArgument, pattern: PatternArgument) -> None:
    """Take a dialing pattern from an account."""
    run(_remove_dialing(settings_of(context), code, pattern))
    typer.echo(f"account {code}: {pattern} removed")


async def _remove_dialing(settings: Settings, code: str, pattern: str) -> None:
    async with database(settings) as connection:
        account = await find_account(connection, code)
        if not await changes.remove_dialing_route(connection, account.id, pattern):
            raise NotFound(f"account {code} has no pattern {pattern}")


# Resellers


@app.command("permit", epilog="Example: softswitch route permit RESE0001 europe")
def permit(context: typer.Context, code: ResellerArgument, route: RouteArgument) -> None:
    """Let accounts below a reseller call over a route."""
    is_new = run(_permit(settings_of(context), code, route))
    typer.echo(f"reseller {code} {'may' if is_new else 'might already'} use route {route}")


async def _permit(settings: Settings, code: str, route: str) -> bool:
    async with database(settings) as connection:
        reseller = await find_reseller(connection, code)
        return await changes.permit_route(connection, reseller.id, await find_route(connection, route))


@app.command("forbid", epilog="Example: softswitch route forbid RESE0001 europe")
def forbid(context: typer.Context, code: ResellerArgument, route: RouteArgument) -> None:
    """Let accounts below a reseller call over a route no more; calls in progress go on."""
    was_permitted = run(_forbid(settings_of(context), code, route))
    typer.echo(f"reseller {code} may {'no longer' if was_permitted else 'not'} use route {route}")


async def _forbid(settings: Settings, code: str, route: str) -> bool:
    async with database(settings) as connection:
        reseller = await find_reseller(connection, code)
        return await changes.forbid_route(connection, reseller.id, await find_route(connection, route))
