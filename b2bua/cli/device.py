"""`softswitch device`: what calls come from, IP devices and SIP users."""

from dataclasses import dataclass
from typing import Annotated, Any, Final

import typer

from b2bua.account import store
from b2bua.account.device import ha1_md5, make_secret
from b2bua.cli import policy_queries, queries
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
from b2bua.cli.demo_data import realm_of
from b2bua.cli.find import Device, find_account, find_device
from b2bua.cli.option import (
    NONE,
    USERNAME,
    CPSOption,
    DTMFOption,
    JSONOption,
    MaxSessionsOption,
    PortOption,
    SRTPOption,
    StatusOption,
    TransportOption,
    TrustOption,
    chosen,
    given,
    parse_network,
    refuse_nothing,
    show,
)
from b2bua.cli.output import Format, FormatOption, print_row, print_rows
from conf.settings import Settings
from rating.ledger import Connection

app = typer.Typer(add_completion=False, no_args_is_help=True, help="IP devices and SIP users.")

COLUMNS: Final = (
    "device",
    "account",
    "kind",
    "identity",
    "dial_prefix",
    "extension",
    "address",
    "port",
    "transport",
    "is_trusted",
    "description",
    "max_sessions",
    "cps",
    "status",
    "srtp",
    "dtmf",
)
TABLE_COLUMNS: Final = (*COLUMNS[:6], *COLUMNS[11:14])
"""What a table has room for."""
_OF_IP_DEVICES: Final = ("dial_prefix", "description", "port", "transport", "is_trusted")
_OF_SIP_USERS: Final = ("extension",)

DeviceArgument = Annotated[
    str, typer.Argument(metavar="DEVICE", help="As lists name it (ip:7, user:9), its user name, or its address.")
]
DialPrefixOption = Annotated[
    str | None, typer.Option("--dial-prefix", metavar="DIGITS|none", help="IP device: only numbers that begin so.")
]
DescriptionOption = Annotated[str | None, typer.Option("--description", help="IP device: free text.")]
ExtensionOption = Annotated[
    str | None, typer.Option("--extension", metavar="DIGITS|none", help="SIP user: its number within the account.")
]


@app.command(
    "list",
    epilog="Examples: softswitch device list\n\nsoftswitch device list --account CUST0007 --format json",
)
def list_devices(
    context: typer.Context,
    *,
    account: Annotated[str | None, typer.Option(metavar="CODE", help="Only devices of this account.")] = None,
    after: Annotated[str | None, typer.Option(metavar="CODE,DEVICE", help="List on after this device.")] = None,
    limit: LimitOption = DEFAULT_LIMIT,
    output: FormatOption = Format.TABLE,
    as_json: JSONOption = False,
) -> None:
    """List IP devices (by address) and SIP users (by name) with their account, limits and state."""
    page = run(_list(settings_of(context), account, after, limit))
    output = chosen(output, as_json=as_json)
    print_rows(page.rows, TABLE_COLUMNS if output is Format.TABLE else COLUMNS, output)
    tell_more(page.after)


async def _list(settings: Settings, account: str | None, after: str | None, limit: int) -> queries.Page:
    if after is not None and "," not in after:
        raise CommandError(f"--after {after} is not of the form CODE,DEVICE")
    async with database(settings) as connection:
        if account is not None and await queries.account_id(connection, account) is None:
            raise NotFound(f"no account {account}")
        return await queries.devices(connection, account=account, after=after, limit=limit)


@dataclass(frozen=True, slots=True)
class Secret:
    """What a SIP user signs in with."""

    username: str
    realm: str
    secret: str

    def show(self) -> None:
        """Show it."""
        typer.echo(f"SIP user {self.username}, realm {self.realm}, secret {self.secret}")
        typer.echo("The secret is shown this once; only its hash is kept.")


@app.command(
    "add",
    epilog="Examples: softswitch device add --account CUST0007 --address 192.0.2.10 --port 5062 --trusted\n\n"
    "softswitch device add --account CUST0007 --address 192.0.2.0/24 --dial-prefix 77\n\n"
    "softswitch device add --account CUST0007 --user alice --extension 1001 --json",
)
def add_device(
    context: typer.Context,
    *,
    account: Annotated[str, typer.Option(metavar="CODE", help="Whose calls its calls are.")],
    user: Annotated[str | None, typer.Option(metavar="NAME", help="Make a SIP user of this name.")] = None,
    address: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Address or CIDR of an IP device; what a SIP user must come from."),
    ] = None,
    dial_prefix: DialPrefixOption = None,
    description: DescriptionOption = None,
    extension: ExtensionOption = None,
    port: PortOption = None,
    transport: TransportOption = None,
    trusted: TrustOption = None,
    max_sessions: MaxSessionsOption = None,
    cps: CPSOption = None,
    status: StatusOption = None,
    srtp: SRTPOption = None,
    dtmf: DTMFOption = None,
    output: FormatOption = Format.TABLE,
    as_json: JSONOption = False,
) -> None:
    """Make an IP device, or with --user a SIP user, whose secret is made up and shown once."""
    values = given(
        dial_prefix=dial_prefix,
        description=description,
        extension=extension,
        port=port,
        transport=transport,
        is_trusted=trusted,
        max_sessions=max_sessions,
        cps=cps,
        status=status,
        srtp=srtp,
        dtmf=dtmf,
    )
    network = None if address is None else parse_network(address)
    if user is None and network is None:
        raise typer.BadParameter("give --address for an IP device, or --user for a SIP user")
    if user is not None and USERNAME.fullmatch(user) is None:
        raise typer.BadParameter(f"{user!r} is not a user name: up to 64 letters, digits, dots, dashes, underscores")
    _refuse_foreign(values, "ip" if user is None else "user")
    settings = settings_of(context)
    if user is None:
        key, secret = run(_add_ip_device(settings, account, str(network), values)), None
    else:
        key, secret = run(_add_sip_user(settings, account, user, values | given(address=network)))
    _print_new({"device": key, "account": account}, secret, chosen(output, as_json=as_json))


def _print_new(row: dict[str, Any], secret: Secret | None, output: Format) -> None:
    if output is not Format.TABLE:
        if secret is not None:
            row |= {"username": secret.username, "realm": secret.realm, "secret": secret.secret}
        print_row(row, tuple(row), output)
        return
    typer.echo(f"device {row['device']} of {row['account']} added")
    if secret is not None:
        secret.show()


def _refuse_foreign(values: dict[str, Any], kind: str) -> None:
    """Refuse options that this kind of device does not have."""
    foreign = _OF_SIP_USERS if kind == "ip" else _OF_IP_DEVICES
    for name in foreign:
        if name in values:
            option = "trusted" if name == "is_trusted" else name.replace("_", "-")
            raise typer.BadParameter(f"--{option} is for {'SIP users' if kind == 'ip' else 'IP devices'} only")


async def _add_ip_device(settings: Settings, account: str, network: str, values: dict[str, Any]) -> str:
    async with database(settings) as connection:
        owner = await find_account(connection, account)
        await _refuse_same(connection, network, values.get("dial_prefix", ""))
        return f"ip:{await store.add_ip_device(connection, owner.id, network, values)}"


async def _refuse_same(connection: Connection, network: str, prefix: str, but: str = "") -> None:
    same = await policy_queries.same_dial_prefix(connection, network, prefix)
    if same is not None and same["device"] != but:
        what = f"dial prefix {prefix}" if prefix else "no dial prefix"
        raise CommandError(f"{same['device']} of {same['account']} has {network} with {what} already")


async def _add_sip_user(settings: Settings, account: str, username: str, values: dict[str, Any]) -> tuple[str, Secret]:
    async with database(settings) as connection:
        owner = await find_account(connection, account)
        secret = await _make_secret(connection, settings, username)
        user = await store.add_sip_user(connection, owner.id, username, _hash(secret), values)
    return f"user:{user}", secret


async def _make_secret(connection: Connection, settings: Settings, username: str) -> Secret:
    return Secret(username, await realm_of(connection, settings), make_secret())


def _hash(secret: Secret) -> str:
    return ha1_md5(secret.username, secret.realm, secret.secret)


@app.command(
    "set",
    epilog="Examples: softswitch device set ip:7 --port 5062 --transport tcp --untrusted\n\n"
    "softswitch device set alice --extension 1002 --address none --max-sessions 2\n\n"
    "softswitch device set alice --new-secret",
)
def set_device(
    context: typer.Context,
    device: DeviceArgument,
    *,
    address: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS|none", help="Address or CIDR; of a SIP user, none: it may come from anywhere."),
    ] = None,
    dial_prefix: DialPrefixOption = None,
    description: DescriptionOption = None,
    extension: ExtensionOption = None,
    port: PortOption = None,
    transport: TransportOption = None,
    trusted: TrustOption = None,
    max_sessions: MaxSessionsOption = None,
    cps: CPSOption = None,
    status: StatusOption = None,
    srtp: SRTPOption = None,
    dtmf: DTMFOption = None,
    new_secret: Annotated[
        bool, typer.Option("--new-secret", help="SIP user: make up another secret and show it once.")
    ] = False,
) -> None:
    """Change a device. Active in every worker within a second; calls in progress go on."""
    values = given(
        dial_prefix=dial_prefix,
        description=description,
        extension=extension,
        port=port,
        transport=transport,
        is_trusted=trusted,
        max_sessions=max_sessions,
        cps=cps,
        status=status,
        srtp=srtp,
        dtmf=dtmf,
    )
    if address is not None:
        values["address"] = None if address.lower() == NONE else parse_network(address)
    if not new_secret:
        refuse_nothing(values)
    found, secret = run(_set(settings_of(context), device, values, new_secret=new_secret))
    typer.echo(f"{found.title}: {show(values) if values else 'another secret'}")
    if secret is not None:
        secret.show()


async def _set(
    settings: Settings, text: str, values: dict[str, Any], *, new_secret: bool
) -> tuple[Device, Secret | None]:
    async with database(settings) as connection:
        device = await find_device(connection, text)
        _refuse_foreign(values, device.kind)
        if device.kind == "user":
            return device, await _set_sip_user(connection, settings, device, values, new_secret=new_secret)
        if new_secret:
            raise typer.BadParameter("--new-secret is for SIP users only")
        await _set_ip_device(connection, device, values)
    return device, None


async def _set_sip_user(
    connection: Connection, settings: Settings, user: Device, values: dict[str, Any], *, new_secret: bool
) -> Secret | None:
    secret = await _make_secret(connection, settings, user.identity) if new_secret else None
    more = {} if secret is None else {"ha1_md5": _hash(secret)}
    await store.set_sip_user(connection, user.id, values | more)
    return secret


async def _set_ip_device(connection: Connection, device: Device, values: dict[str, Any]) -> None:
    if values.get("address", "") is None:
        raise CommandError(f"{device.title} needs an address: remove it where it has none")
    if "address" in values or "dial_prefix" in values:
        address = values.get("address", device.identity)
        prefix = values.get("dial_prefix", device.dial_prefix)
        await _refuse_same(connection, address, prefix, f"ip:{device.id}")
    if "/" in values.get("address", "") and not values["address"].endswith(("/32", "/128")):
        await _refuse_destination(connection, device, "a call cannot be sent to a network")
    with store.unique("there is an IP device with that address and dial prefix"):
        await store.set_ip_device(connection, device.id, values)


async def _refuse_destination(connection: Connection, device: Device, why: str) -> None:
    """Refuse what would leave calls to a DID without a destination."""
    dids = await policy_queries.dids_to_device(connection, device.kind, device.id)
    if dids:
        more = f" and {len(dids) - 1} more" if len(dids) > 1 else ""
        raise CommandError(f"{device.title} is where DID {dids[0]}{more} leads: {why}; change that first (did route)")


@app.command("remove", epilog="Examples: softswitch device remove ip:7\n\nsoftswitch device remove alice")
def remove_device(context: typer.Context, device: DeviceArgument) -> None:
    """Remove a device for good. Calls in progress go on; calls to a DID must not lead to it any more."""
    found = run(_remove(settings_of(context), device))
    typer.echo(f"{found.title} of {found.account} removed")


async def _remove(settings: Settings, text: str) -> Device:
    async with database(settings) as connection:
        device = await find_device(connection, text)
        await _refuse_destination(connection, device, "it cannot be removed")
        await store.remove_device(connection, device.kind, device.id)
    return device
