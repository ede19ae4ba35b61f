"""`softswitch gateway`: the addresses of carriers."""

import sys
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Final

import typer

from b2bua.account.field import Fault, read_field
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
from b2bua.cli.find import find_carrier
from b2bua.cli.option import (
    NONE,
    CPSOption,
    DTMFOption,
    JSONOption,
    MaxDurationOption,
    MaxSessionsOption,
    PriorityOption,
    SRTPOption,
    StatusOption,
    TrustOption,
    WeightOption,
    chosen,
    parse_host,
    parse_name,
    refuse_nothing,
    show,
)
from b2bua.cli.output import Format, FormatOption, print_rows
from b2bua.control.client import ControlClient
from b2bua.routing import removal, store
from b2bua.routing.field import DAY
from b2bua.routing.gateway import Gateway
from conf.embedded import run_directory
from conf.secret import CARRIERS, Vault, load_secret
from conf.settings import Settings
from rating.ledger import Connection

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
    "tls_verify",
    "prefers_tcp",
    "reliable_ringing",
    "session_timer",
    "follows_redirects",
    "identity",
    "diversion",
    "from_user",
    "from_domain",
    "passed_headers",
    "added_headers",
    "auth_user",
    "has_secret",
    "registers",
    "register_expires",
    "srtp",
    "dtmf",
)
TABLE_COLUMNS: Final = (*COLUMNS[:9], *COLUMNS[13:16])
"""What a table has room for."""

REGISTRATION_COLUMNS: Final = ("gateway", "user", "state", "registered_until", "next_at", "reason", "worker")
_STATES: Final = ("registered", "failed", "trying", "elsewhere")
"""Of a registration, by whose word counts most."""


class Transport(StrEnum):
    """Transports towards a gateway."""

    UDP = "udp"
    TCP = "tcp"
    TLS = "tls"
    WS = "ws"
    WSS = "wss"


class TLSVerify(StrEnum):
    """What a gateway's certificate has to show."""

    NAME = "name"
    CHAIN = "chain"
    NONE = "none"


class ReliableRinging(StrEnum):
    """What becomes of 100rel."""

    OFF = "off"
    SUPPORTED = "supported"
    REQUIRED = "required"


class Identity(StrEnum):
    """Header with the caller's number."""

    NONE = "none"
    PAI = "pai"
    RPID = "rpid"


class Diversion(StrEnum):
    """What becomes of the caller's Diversion."""

    PASS = "pass"  # noqa: S105 - no password
    DROP = "drop"


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
PortOption = Annotated[
    str | None, typer.Option("--port", metavar="PORT|none", help="Port of calls to it; none: found by DNS.")
]
TransportOption = Annotated[Transport | None, typer.Option("--transport", help="Transport of calls to it.")]
TLSVerifyOption = Annotated[
    TLSVerify | None,
    typer.Option("--tls-verify", help="What its certificate has to show: issuer and name, the issuer, or nothing."),
]
PrefersTCPOption = Annotated[
    bool | None, typer.Option("--prefers-tcp/--no-prefers-tcp", help="TCP for requests above 1,300 bytes.")
]
ReliableRingingOption = Annotated[
    ReliableRinging | None, typer.Option("--reliable-ringing", help="Whether ringing is acknowledged (100rel).")
]
SessionTimerOption = Annotated[
    str | None,
    typer.Option("--session-timer", metavar="SECONDS|none", help="Session timer that we ask for, from 90 seconds."),
]
FollowsRedirectsOption = Annotated[
    bool | None, typer.Option("--follows-redirects/--no-follows-redirects", help="Follow its 3xx, five at most.")
]
IdentityOption = Annotated[
    Identity | None,
    typer.Option("--identity", help="Caller's number in P-Asserted-Identity (pai), Remote-Party-ID (rpid), or none."),
]
DiversionOption = Annotated[Diversion | None, typer.Option("--diversion", help="Whether Diversion goes along.")]
FromUserOption = Annotated[
    str | None, typer.Option("--from-user", metavar="TEXT|none", help="User of From instead of the caller's number.")
]
FromDomainOption = Annotated[
    str | None, typer.Option("--from-domain", metavar="HOST|none", help="Host of From instead of our address.")
]
PassedHeadersOption = Annotated[
    str | None,
    typer.Option("--passed-headers", metavar="NAMES|none", help="Headers of the caller that go along: X-A,X-B."),
]
AddedHeadersOption = Annotated[
    list[str] | None,
    typer.Option("--added-header", metavar="LINE|none", help="A header to add: 'X-Trunk: 7'. May be repeated."),
]
AuthUserOption = Annotated[
    str | None, typer.Option("--auth-user", metavar="NAME|none", help="Who we are there, for digest.")
]
AuthSecretOption = Annotated[
    str | None,
    typer.Option("--auth-secret", metavar="-|none", help="With -: ask for the secret, or read a line of the input."),
]
RegistersOption = Annotated[bool | None, typer.Option("--registers/--no-registers", help="Whether we register there.")]
RegisterExpiresOption = Annotated[
    int | None,
    typer.Option("--register-expires", metavar="SECONDS", min=60, max=DAY, help="Time to register for."),
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
    "--probe-interval 30\n\n"
    "softswitch gateway add berlin --carrier CARR0001 --host sip.carrier.example --port none --auth-user 4930900 "
    "--auth-secret - --registers --identity pai --from-user 4930900",
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
    tls_verify: TLSVerifyOption = None,
    prefers_tcp: PrefersTCPOption = None,
    reliable_ringing: ReliableRingingOption = None,
    session_timer: SessionTimerOption = None,
    follows_redirects: FollowsRedirectsOption = None,
    identity: IdentityOption = None,
    diversion: DiversionOption = None,
    from_user: FromUserOption = None,
    from_domain: FromDomainOption = None,
    passed_headers: PassedHeadersOption = None,
    added_header: AddedHeadersOption = None,
    auth_user: AuthUserOption = None,
    auth_secret: AuthSecretOption = None,
    registers: RegistersOption = None,
    register_expires: RegisterExpiresOption = None,
    srtp: SRTPOption = None,
    dtmf: DTMFOption = None,
) -> None:
    """Make a gateway of a carrier."""
    values = _given(
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
        tls_verify=tls_verify,
        prefers_tcp=prefers_tcp,
        reliable_ringing=reliable_ringing,
        session_timer=session_timer,
        follows_redirects=follows_redirects,
        identity=identity,
        diversion=diversion,
        from_user=from_user,
        from_domain=from_domain,
        passed_headers=passed_headers,
        added_headers=added_header or None,
        auth_user=auth_user,
        auth_secret=auth_secret,
        registers=registers,
        register_expires=register_expires,
        srtp=srtp,
        dtmf=dtmf,
    )
    settings = settings_of(context)
    run(_add(settings, parse_name(name), carrier, parse_host(host), _sealed(settings, values)))
    typer.echo(f"gateway {name} of {carrier} added")


async def _add(settings: Settings, name: str, carrier: str, host: str, values: dict[str, Any]) -> None:
    async with database(settings) as connection:
        carrier_id = await find_carrier(connection, carrier)
        async with connection.transaction():
            await store.add_gateway(connection, name, carrier_id=carrier_id, host=host, values=values)
            await _refuse_nobody(connection, name)


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
    tls_verify: TLSVerifyOption = None,
    prefers_tcp: PrefersTCPOption = None,
    reliable_ringing: ReliableRingingOption = None,
    session_timer: SessionTimerOption = None,
    follows_redirects: FollowsRedirectsOption = None,
    identity: IdentityOption = None,
    diversion: DiversionOption = None,
    from_user: FromUserOption = None,
    from_domain: FromDomainOption = None,
    passed_headers: PassedHeadersOption = None,
    added_header: AddedHeadersOption = None,
    auth_user: AuthUserOption = None,
    auth_secret: AuthSecretOption = None,
    registers: RegistersOption = None,
    register_expires: RegisterExpiresOption = None,
    srtp: SRTPOption = None,
    dtmf: DTMFOption = None,
) -> None:
    """Change a gateway. Active in every worker within a second; calls in progress stay where they are."""
    values = _given(
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
        tls_verify=tls_verify,
        prefers_tcp=prefers_tcp,
        reliable_ringing=reliable_ringing,
        session_timer=session_timer,
        follows_redirects=follows_redirects,
        identity=identity,
        diversion=diversion,
        from_user=from_user,
        from_domain=from_domain,
        passed_headers=passed_headers,
        added_headers=added_header or None,
        auth_user=auth_user,
        auth_secret=auth_secret,
        registers=registers,
        register_expires=register_expires,
        srtp=srtp,
        dtmf=dtmf,
    )
    refuse_nothing(values)
    settings = settings_of(context)
    run(_set(settings, name, _sealed(settings, values)))
    typer.echo(f"gateway {name}: {show(_shown(values))}")


async def _set(settings: Settings, name: str, values: dict[str, Any]) -> None:
    async with database(settings) as connection, connection.transaction():
        if not await store.set_gateway(connection, name, values):
            raise NotFound(f"no gateway {name}")
        await _refuse_nobody(connection, name)


@app.command("remove", epilog="Example: softswitch gateway remove london-1")
def remove_gateway(context: typer.Context, name: NameArgument) -> None:
    """Remove a gateway that is inactive and that no call record names; calls in progress go on."""
    run(_remove(settings_of(context), name))
    typer.echo(f"gateway {name} removed")


async def _remove(settings: Settings, name: str) -> None:
    async with database(settings) as connection, connection.transaction():
        gateway: int | None = await connection.fetchval("SELECT id FROM gateway WHERE name = $1", name)
        if gateway is None:
            raise NotFound(f"no gateway {name}")
        if reasons := await removal.against_gateway(connection, gateway):
            raise CommandError(f"gateway {name} stays: {'; '.join(reasons)}")
        await store.remove_gateway(connection, gateway)


async def _refuse_nobody(connection: Connection, name: str) -> None:
    """Refuse a registration of nobody."""
    if await queries.registers_nobody(connection, name):
        raise CommandError(f"gateway {name} cannot register: it needs --auth-user, or --from-user")


# Values that other objects do not have


def _given(**options: object) -> dict[str, Any]:
    """The options that were given, read by the rules of the panel's form, as values of their columns."""
    values = {name: _read(name, value) for name, value in options.items() if value is not None}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def _read(name: str, value: object) -> Any:  # noqa: ANN401
    if name == "auth_secret":
        return _read_secret(str(value))
    if isinstance(value, str) and not value.strip():
        raise typer.BadParameter(f"{name} is empty; none takes it away")
    typed = "\n".join(value) if isinstance(value, list) else value
    try:
        return read_field(Gateway, name, typed)
    except Fault as fault:
        raise typer.BadParameter(str(fault)) from None


def _read_secret(text: str) -> str:
    """Ask for the secret, where it does not come on standard input: other users see the arguments of a command."""
    if text.lower() == NONE:
        return ""
    if text != "-":
        raise typer.BadParameter("the secret is not given here, where others see it: --auth-secret - asks for it")
    is_asked = sys.stdin.isatty()
    secret: str = typer.prompt("Secret", hide_input=True) if is_asked else sys.stdin.readline().rstrip("\r\n")
    if not secret:
        raise typer.BadParameter("the secret is empty")
    return secret


def _sealed(settings: Settings, values: dict[str, Any]) -> dict[str, Any]:
    """The values as they are kept: the secret is encrypted."""
    if not values.get("auth_secret"):
        return values
    vault = Vault(load_secret(settings), CARRIERS)
    return {**values, "auth_secret": vault.seal(values["auth_secret"])}


def _shown(values: dict[str, Any]) -> dict[str, Any]:
    """The values as they may be seen."""
    return {**values, "auth_secret": "another one"} if values.get("auth_secret") else values


# Registrations


@app.command(
    "registrations",
    epilog="Examples: softswitch gateway registrations\n\nsoftswitch gateway registrations --json",
)
def list_registrations(
    context: typer.Context,
    *,
    output: FormatOption = Format.TABLE,
    as_json: JSONOption = False,
) -> None:
    """List our registrations at gateways: until when, when we ask next, or why we are not registered."""
    rows = run(_registrations(settings_of(context)))
    print_rows(rows, REGISTRATION_COLUMNS, chosen(output, as_json=as_json))


async def _registrations(settings: Settings) -> list[queries.Row]:
    client = ControlClient(run_directory(settings))
    answers = await client.request_all("carrier_registrations")
    if not answers:
        raise CommandError("no SIP worker runs on this machine")
    found: dict[str, queries.Row] = {}
    for answer in answers:
        for each in answer["registrations"]:
            known = found.get(each["gateway"])
            if known is None or _STATES.index(each["state"]) < _STATES.index(known["state"]):
                found[each["gateway"]] = _row(each, answer["worker"])
    return [found[name] for name in sorted(found)]


def _row(registration: dict[str, Any], worker: str) -> queries.Row:
    values = {**registration, "worker": "" if registration["state"] == "elsewhere" else worker}
    for name in ("registered_until", "next_at"):
        if values[name] is not None:
            values[name] = datetime.fromtimestamp(values[name], UTC)
    return {name: values[name] for name in REGISTRATION_COLUMNS}
