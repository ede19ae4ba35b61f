"""`softswitch gateway`: the addresses of carriers."""

from typing import Annotated, Any, Final

import typer

from b2bua.cli import changes, queries
from b2bua.cli.context import DEFAULT_LIMIT, LimitOption, NotFound, database, run, settings_of, tell_more
from b2bua.cli.find import find_carrier
from b2bua.cli.option import (
    CPSOption,
    JSONOption,
    MaxDurationOption,
    MaxSessionsOption,
    PortOption,
    PriorityOption,
    StatusOption,
    TransportOption,
    TrustOption,
    WeightOption,
    chosen,
    given,
    parse_host,
    parse_name,
    refuse_nothing,
    show,
)
from b2bua.cli.output import Format, FormatOption, print_rows
from conf.settings import Settings

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Gateways of carriers.")

COLUMNS: Final = (
    "name",
    "carrier",
    "host",
    "port",
    "transport",
    "priority",
    "weight",
    "max_sessions",
    "cps",
    "invite_timeout",
    "progress_timeout",
    "ring_timeout",
    "max_duration",
    "is_trusted",
    "probe_interval",
    "status",
)
TABLE_COLUMNS: Final = (*COLUMNS[:9], *COLUMNS[13:])
"""What a table has room for."""

DAY: Final = 86_400

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of the gateway.")]
InviteTimeoutOption = Annotated[
    int | None,
    typer.Option("--invite-timeout", metavar="SECONDS", min=1, max=DAY, help="Longest silence after INVITE."),
]
ProgressTimeoutOption = Annotated[
    int | None,
    typer.Option("--progress-timeout", metavar="SECONDS", min=1, max=DAY, help="Longest time until it rings."),
]
RingTimeoutOption = Annotated[
    int | None, typer.Option("--ring-timeout", metavar="SECONDS", min=1, max=DAY, help="Longest ringing.")
]
ProbeIntervalOption = Annotated[
    int | None,
    typer.Option("--probe-interval", metavar="SECONDS", min=0, max=DAY, help="Time between OPTIONS; 0: none is sent."),
]


@app.command(
    "list",
    epilog="Examples: softswitch gateway list\n\nsoftswitch gateway list --carrier CARR0001 --format csv",
)
def list_gateways(
    context: typer.Context,
    *,
    carrier: Annotated[str | None, typer.Option(metavar="CODE", help="Only gateways of this carrier.")] = None,
    after: Annotated[str | None, typer.Option(metavar="NAME", help="List on after this gateway.")] = None,
    limit: LimitOption = DEFAULT_LIMIT,
    output: FormatOption = Format.TABLE,
    as_json: JSONOption = False,
) -> None:
    """List gateways by name with their carrier, address, transport, limits, timeouts (JSON, CSV) and state."""
    page = run(_list(settings_of(context), carrier, after, limit))
    output = chosen(output, as_json=as_json)
    print_rows(page.rows, TABLE_COLUMNS if output is Format.TABLE else COLUMNS, output)
    tell_more(page.after)


async def _list(settings: Settings, carrier: str | None, after: str | None, limit: int) -> queries.Page:
    async with database(settings) as connection:
        if carrier is not None:
            await find_carrier(connection, carrier)
        return await queries.gateways(connection, carrier=carrier, after=after, limit=limit)


@app.command(
    "add",
    epilog="Examples: softswitch gateway add london-1 --carrier CARR0001 --host 192.0.2.10\n\n"
    "softswitch gateway add london-2 --carrier CARR0001 --host sip.carrier.example --transport tcp --priority 2 "
    "--probe-interval 30",
)
def add_gateway(
    context: typer.Context,
    name: NameArgument,
    *,
    carrier: Annotated[str, typer.Option(metavar="CODE", help="Whose it is.")],
    host: Annotated[str, typer.Option("--host", help="Address or host name.")],
    port: PortOption = None,
    transport: TransportOption = None,
    status: StatusOption = None,
    priority: PriorityOption = None,
    weight: WeightOption = None,
    max_sessions: MaxSessionsOption = None,
    cps: CPSOption = None,
    max_duration: MaxDurationOption = None,
    invite_timeout: InviteTimeoutOption = None,
    progress_timeout: ProgressTimeoutOption = None,
    ring_timeout: RingTimeoutOption = None,
    trusted: TrustOption = None,
    probe_interval: ProbeIntervalOption = None,
) -> None:
    """Make a gateway of a carrier."""
    values = given(
        port=port,
        transport=transport,
        status=status,
        priority=priority,
        weight=weight,
        max_sessions=max_sessions,
        cps=cps,
        max_duration=max_duration,
        invite_timeout=invite_timeout,
        progress_timeout=progress_timeout,
        ring_timeout=ring_timeout,
        is_trusted=trusted,
        probe_interval=probe_interval,
    )
    run(_add(settings_of(context), parse_name(name), carrier, parse_host(host), values))
    typer.echo(f"gateway {name} of {carrier} added")


async def _add(settings: Settings, name: str, carrier: str, host: str, values: dict[str, Any]) -> None:
    async with database(settings) as connection:
        carrier_id = await find_carrier(connection, carrier)
        await changes.add_gateway(connection, name, carrier_id=carrier_id, host=host, values=values)


@app.command(
    "set",
    epilog="Examples: softswitch gateway set london-1 --host 192.0.2.10 --port 5060\n\n"
    "softswitch gateway set london-1 --status inactive\n\n"
    "softswitch gateway set london-1 --trusted --probe-interval 30 --invite-timeout 3",
)
def set_gateway(
    context: typer.Context,
    name: NameArgument,
    *,
    host: Annotated[str | None, typer.Option("--host", help="Address or host name.")] = None,
    port: PortOption = None,
    transport: TransportOption = None,
    status: StatusOption = None,
    priority: PriorityOption = None,
    weight: WeightOption = None,
    max_sessions: MaxSessionsOption = None,
    cps: CPSOption = None,
    max_duration: MaxDurationOption = None,
    invite_timeout: InviteTimeoutOption = None,
    progress_timeout: ProgressTimeoutOption = None,
    ring_timeout: RingTimeoutOption = None,
    trusted: TrustOption = None,
    probe_interval: ProbeIntervalOption = None,
) -> None:
    """Change a gateway. Active in every worker within a second; calls in progress stay where they are."""
    values = given(
        host=host,
        port=port,
        transport=transport,
        status=status,
        priority=priority,
        weight=weight,
        max_sessions=max_sessions,
        cps=cps,
        max_duration=max_duration,
        invite_timeout=invite_timeout,
        progress_timeout=progress_timeout,
        ring_timeout=ring_timeout,
        is_trusted=trusted,
        probe_interval=probe_interval,
    )
    refuse_nothing(values)
    run(_set(settings_of(context), name, values))
    typer.echo(f"gateway {name}: {show(values)}")


async def _set(settings: Settings, name: str, values: dict[str, Any]) -> None:
    async with database(settings) as connection:
        if not await changes.set_gateway(connection, name, values):
            raise NotFound(f"no gateway {name}")
