"""`softswitch gateway`: the addresses of carriers."""

from enum import StrEnum
from typing import Annotated, Any, Final

import typer

from b2bua.cli import queries
from b2bua.cli.context import (
    DEFAULT_LIMIT,
    LimitOption,
    NotFound,
    database,
    parse_limit,
    run,
    settings_of,
    tell_more,
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
    "status",
)


class Transport(StrEnum):
    """Transports of a gateway."""

    UDP = "udp"
    TCP = "tcp"


class Status(StrEnum):
    """States of a gateway."""

    ACTIVE = "active"
    INACTIVE = "inactive"


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
) -> None:
    """List gateways by name with their carrier, address, transport and state."""
    page = run(_list(settings_of(context), carrier, after, limit))
    print_rows(page.rows, COLUMNS, output)
    tell_more(page.after)


async def _list(settings: Settings, carrier: str | None, after: str | None, limit: int) -> queries.Page:
    async with database(settings) as connection:
        if carrier is not None and not await queries.has_carrier(connection, carrier):
            raise NotFound(f"no carrier {carrier}")
        return await queries.gateways(connection, carrier=carrier, after=after, limit=limit)


@app.command(
    "set",
    epilog="Examples: softswitch gateway set london-1 --host 192.0.2.10 --port 5060\n\n"
    "softswitch gateway set london-1 --status inactive",
)
def set_gateway(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the gateway.")],
    *,
    host: Annotated[str | None, typer.Option(help="Address or host name.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Port.")] = None,
    transport: Annotated[Transport | None, typer.Option(help="Transport.")] = None,
    status: Annotated[Status | None, typer.Option(help="An inactive gateway gets no calls.")] = None,
    priority: Annotated[int | None, typer.Option(min=0, max=2**31 - 1, help="Lower is tried first.")] = None,
    weight: Annotated[int | None, typer.Option(min=0, max=2**31 - 1, help="Share among equal priorities.")] = None,
    max_sessions: Annotated[str | None, typer.Option(metavar="N|none", help="Most calls at once.")] = None,
    cps: Annotated[str | None, typer.Option(metavar="N|none", help="Most new calls per second.")] = None,
) -> None:
    """Change a gateway. Active in every worker within a second; calls in progress stay where they are."""
    values = {"host": host, "port": port, "transport": transport, "status": status, "priority": priority}
    changes: dict[str, Any] = {key: value for key, value in {**values, "weight": weight}.items() if value is not None}
    limits = {"max_sessions": max_sessions, "cps": cps}
    changes |= {key: parse_limit(text) for key, text in limits.items() if text is not None}
    if not changes:
        raise typer.BadParameter("nothing to set: give at least one option")
    if host is not None and not host.strip():
        raise typer.BadParameter("the host is empty")
    run(_set(settings_of(context), name, changes))


async def _set(settings: Settings, name: str, changes: dict[str, Any]) -> None:
    async with database(settings) as connection:
        if not await queries.set_gateway(connection, name, changes):
            raise NotFound(f"no gateway {name}")
    shown = ", ".join(f"{key} {'none' if value is None else value}" for key, value in changes.items())
    typer.echo(f"gateway {name}: {shown}")
