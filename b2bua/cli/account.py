"""`softswitch account`: list, show, add and change customers and resellers, suspend and activate them."""

import csv
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from argon2 import PasswordHasher
from pydantic import ValidationError

from b2bua.account import store
from b2bua.account.customer import SELF_CARE, START, NewCustomer, read_field
from b2bua.account.errors import Refused
from b2bua.account.field import Fault, faults_of
from b2bua.account.registry import add_customer
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
from b2bua.cli.find import Account, Tariff, find_account, find_reseller, find_tariff
from b2bua.cli.option import (
    NONE,
    CodecsOption,
    CPSOption,
    DecimalsOption,
    JSONOption,
    MaxDurationOption,
    MaxSessionsOption,
    RoundingOption,
    TaxInclusiveOption,
    TaxPercentsOption,
    chosen,
    given,
    parse_code,
    parse_currency,
    parse_name,
    refuse_nothing,
    show,
)
from b2bua.cli.output import Format, FormatOption, print_row, print_rows
from conf.settings import Settings
from rating.ledger import Connection

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Customers and resellers.")

COLUMNS: Final = (
    "code",
    "name",
    "kind",
    "parent",
    "status",
    "billing_type",
    "balance",
    "currency",
    "tariff",
    "max_sessions",
    "cps",
)
DETAILS: Final = (
    "code",
    "name",
    "company",
    "kind",
    "parent",
    "status",
    "billing_type",
    "balance",
    "currency",
    "tariff",
    "decimals",
    "rounding",
    "tax_flag",
    "tax_inclusive",
    "tax_percents",
    "credit_limit",
    "max_sessions",
    "cps",
    "max_duration",
    "codec_check",
    "codecs",
    "with_media",
    "loss_guard",
    "cli_by_destination",
    "customer_type",
    "payment_term",
    "max_credit_limit",
    "tax_certificate",
    "email",
    "phone",
    "address",
    "country",
    "pin",
    *SELF_CARE,
    "dialing_routes",
    "permitted_routes",
    "children",
    "ip_devices",
    "sip_users",
    "dids",
    "created_at",
)

CodeArgument = Annotated[str, typer.Argument(metavar="CODE", help="Account code, such as CUST0007.")]
NameOption = Annotated[str | None, typer.Option("--name", help="Name.")]
CompanyOption = Annotated[str | None, typer.Option("--company", help="Company.")]
TariffOption = Annotated[str | None, typer.Option("--tariff", metavar="NAME|none", help="What it pays.")]
CreditLimitOption = Annotated[
    str | None, typer.Option("--credit-limit", metavar="AMOUNT", help="What a postpaid account may owe.")
]
CodecCheckOption = Annotated[
    bool | None,
    typer.Option("--codec-check/--no-codec-check", help="Refuse calls that offer no codec of the list, remove others."),
]
MediaOption = Annotated[
    bool | None, typer.Option("--with-media/--without-media", help="Whether audio crosses this machine.")
]
LossGuardOption = Annotated[
    bool | None,
    typer.Option("--loss-guard/--no-loss-guard", help="Use no carrier that costs more than the account pays."),
]
FieldOption = Annotated[
    list[str] | None,
    typer.Option(
        "--field", metavar="NAME=VALUE", help="Any other field of the panel's form, such as phone=3090182000."
    ),
]


class Kind(StrEnum):
    """Kinds of account."""

    CUSTOMER = "customer"
    RESELLER = "reseller"


class Billing(StrEnum):
    """Who pays first."""

    PREPAID = "prepaid"
    POSTPAID = "postpaid"


class TaxFlag(StrEnum):
    """What documents call the tax."""

    NONE = "NONE"
    TAX = "TAX"
    VAT = "VAT"


BillingOption = Annotated[Billing | None, typer.Option("--billing-type", help="Who pays first.")]
TaxFlagOption = Annotated[TaxFlag | None, typer.Option("--tax-flag", help="The tax's name on documents; NONE: no tax.")]


class Status(StrEnum):
    """States of an account."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    CLOSED = "closed"


@app.command(
    "list",
    epilog="Examples: softswitch account list --kind customer --status active\n\n"
    "softswitch account list --parent RESE0001 --format csv",
)
def list_accounts(
    context: typer.Context,
    *,
    kind: Annotated[Kind | None, typer.Option(help="Only customers or only resellers.")] = None,
    status: Annotated[Status | None, typer.Option(help="Only accounts in this state.")] = None,
    parent: Annotated[str | None, typer.Option(metavar="CODE", help="Only those directly below this reseller.")] = None,
    after: Annotated[str | None, typer.Option(metavar="CODE", help="List on after this account.")] = None,
    limit: LimitOption = DEFAULT_LIMIT,
    output: FormatOption = Format.TABLE,
    as_json: JSONOption = False,
) -> None:
    """List accounts by code, with their balances and limits."""
    page = run(_list(settings_of(context), kind=kind, status=status, parent=parent, after=after, limit=limit))
    print_rows(page.rows, COLUMNS, chosen(output, as_json=as_json))
    tell_more(page.after)


async def _list(
    settings: Settings, *, kind: str | None, status: str | None, parent: str | None, after: str | None, limit: int
) -> queries.Page:
    async with database(settings) as connection:
        if parent is not None and await queries.account_id(connection, parent) is None:
            raise NotFound(f"no account {parent}")
        return await queries.accounts(connection, kind=kind, status=status, parent=parent, after=after, limit=limit)


@app.command("show", epilog="Example: softswitch account show CUST0007 --format json")
def show_account(
    context: typer.Context, code: CodeArgument, output: FormatOption = Format.TABLE, *, as_json: JSONOption = False
) -> None:
    """Show one account: tariff, billing, taxes, limits, codecs, routes, and what belongs to it."""
    print_row(run(_show(settings_of(context), code)), DETAILS, chosen(output, as_json=as_json))


async def _show(settings: Settings, code: str) -> queries.Row:
    async with database(settings) as connection:
        account = await queries.account(connection, code)
    if account is None:
        raise NotFound(f"no account {code}")
    return account


@app.command("suspend", epilog="Example: softswitch account suspend CUST0007")
def suspend(context: typer.Context, code: CodeArgument) -> None:
    """Suspend an account: it and those below it can make no calls."""
    run(_set_status(settings_of(context), code, Status.SUSPENDED))


@app.command("activate", epilog="Example: softswitch account activate CUST0007")
def activate(context: typer.Context, code: CodeArgument) -> None:
    """Let a suspended account make calls again."""
    run(_set_status(settings_of(context), code, Status.ACTIVE))


async def _set_status(settings: Settings, code: str, status: Status) -> None:
    async with database(settings) as connection:
        old = await store.set_account_status(connection, code, status)
    if old is None:
        raise NotFound(f"no account {code}")
    if old == Status.CLOSED:
        raise CommandError(f"account {code} is closed")
    typer.echo(f"account {code} was {status} already" if old == status else f"account {code} is {status}")


@app.command(
    "add",
    epilog="Examples: softswitch account add --name 'Acme Ltd' --tariff retail --parent RESE0001\n\n"
    "softswitch account add RESE0002 --kind reseller --name 'City Telecom' --tariff wholesale --max-sessions 500",
)
def add_account(
    context: typer.Context,
    code: Annotated[
        str | None, typer.Argument(metavar="[CODE]", help="Such as CUST0007; without it, the next that is free.")
    ] = None,
    *,
    name: Annotated[str, typer.Option("--name", help="Name.")],
    kind: Annotated[Kind, typer.Option(help="What it is.")] = Kind.CUSTOMER,
    parent: Annotated[str | None, typer.Option(metavar="CODE", help="The reseller above it.")] = None,
    currency: Annotated[str | None, typer.Option(help="Such as EUR; without it, the tariff's.")] = None,
    company: CompanyOption = None,
    tariff: TariffOption = None,
    billing_type: BillingOption = None,
    credit_limit: CreditLimitOption = None,
    decimals: DecimalsOption = None,
    rounding: RoundingOption = None,
    tax_flag: TaxFlagOption = None,
    tax_inclusive: TaxInclusiveOption = None,
    tax_percents: TaxPercentsOption = None,
    max_sessions: MaxSessionsOption = None,
    cps: CPSOption = None,
    max_duration: MaxDurationOption = None,
    codec_check: CodecCheckOption = None,
    codecs: CodecsOption = None,
    with_media: MediaOption = None,
    loss_guard: LossGuardOption = None,
    fields: FieldOption = None,
) -> None:
    """Make an account; it may call once it has a tariff, a device, a dialing route, and funds."""
    values = given(
        company=company,
        billing_type=billing_type,
        credit_limit=credit_limit,
        decimals=decimals,
        rounding=rounding,
        tax_flag=tax_flag,
        tax_inclusive=tax_inclusive,
        tax_percents=tax_percents,
        codec_check=codec_check,
        codecs=codecs,
        with_media=with_media,
        loss_guard=loss_guard,
        max_sessions=max_sessions,
        cps=cps,
        max_duration=max_duration,
    ) | _read_fields(settings_of(context), fields)
    new = NewAccount(
        None if code is None else parse_code(code),
        kind.value,
        parse_name(name),
        None if tariff is None or tariff.lower() == NONE else tariff,
        parent,
        None if currency is None else parse_currency(currency),
    )
    made = run(_add(settings_of(context), new, values))
    typer.echo(f"{kind} {made} added")
    if kind is Kind.RESELLER:
        tell(f"accounts below it can call over routes that it is permitted: softswitch route permit {made} ROUTE")
    else:
        tell(f"what it may dial: softswitch route dial add {made} % ROUTE")


def _read_fields(settings: Settings, fields: list[str] | None) -> dict[str, Any]:
    """Read `--field phone=3090182000` by the rules of the panel's form."""
    values = {}
    for text in fields or []:
        name, _, typed = text.partition("=")
        try:
            values[name] = read_field(name, typed, _form_context(settings))
        except Fault as fault:
            raise typer.BadParameter(str(fault)) from None
    return values


def _form_context(settings: Settings) -> dict[str, Any]:
    return {"e164_phones": settings.panel.e164_phones}


@app.command("import", epilog="Example: softswitch account import customers.csv")
def import_customers(
    context: typer.Context,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="CSV whose first line names fields of the panel's form.")
    ],
) -> None:
    """Make customers with their logins, all of a file or none. Fields that the file lacks are as in an empty form."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            rows = list(csv.DictReader(lines))
    except (UnicodeDecodeError, csv.Error) as error:
        raise CommandError(f"{file} is no CSV: {error}") from None
    settings = settings_of(context)
    unknown = set(rows[0] if rows else ()) - set(NewCustomer.model_fields)
    if unknown:
        raise typer.BadParameter(f"there is no field {', '.join(map(str, sorted(unknown, key=str)))}")
    forms = [_read_row(settings, number, row) for number, row in enumerate(rows, 2)]
    codes = run(_import(settings, forms))
    typer.echo(
        f"{len(codes)} customer{'' if len(codes) == 1 else 's'} added{f': {codes[0]} to {codes[-1]}' if codes else ''}"
    )


def _read_row(settings: Settings, number: int, row: dict[str, str]) -> NewCustomer:
    try:
        return NewCustomer.model_validate({**START, **row}, context=_form_context(settings))
    except ValidationError as error:
        raise typer.BadParameter(f"line {number}: {'; '.join(faults_of(error).values())}") from None


async def _import(settings: Settings, forms: list[NewCustomer]) -> list[str]:
    hasher, codes = PasswordHasher(), []
    async with database(settings) as connection, connection.transaction():
        for number, form in enumerate(forms, 2):
            try:
                codes.append(await add_customer(connection, form, hasher.hash(form.password)))
            except Refused as error:
                raise CommandError(f"line {number}: {error}") from None
    return codes


@dataclass(frozen=True, slots=True)
class NewAccount:
    """What cannot be changed of an account, or has to be found by its name."""

    code: str | None
    kind: str
    name: str
    tariff: str | None
    parent: str | None
    currency: str | None


async def _add(settings: Settings, new: NewAccount, values: dict[str, Any]) -> str:
    async with database(settings) as connection:
        parent = None if new.parent is None else await find_reseller(connection, new.parent)
        tariff = None if new.tariff is None else await find_tariff(connection, new.tariff, "customer")
        currency = new.currency or _currency_of(tariff, parent)
        if tariff is not None:
            _refuse_other_currency(tariff, currency, "the account")
            values["tariff_id"] = tariff.id
        code = new.code or await store.next_account_code(connection, new.kind)
        parent_id = None if parent is None else parent.id
        await store.add_account(
            connection,
            code,
            kind=new.kind,
            name=new.name,
            currency=currency,
            parent_id=parent_id,
            values=values,
        )
    return code


def _currency_of(tariff: Tariff | None, parent: Account | None) -> str:
    if tariff is not None:
        return tariff.currency
    if parent is not None:
        return parent.currency
    raise CommandError("an account without a tariff and without a reseller above it needs --currency")


def _refuse_other_currency(tariff: Tariff, currency: str, whose: str) -> None:
    if tariff.currency != currency:
        raise CommandError(f"tariff {tariff.name} is in {tariff.currency}, {whose} in {currency}")


@app.command(
    "set",
    epilog="Examples: softswitch account set CUST0007 --max-sessions 30 --cps 5\n\n"
    "softswitch account set CUST0007 --max-duration none\n\n"
    "softswitch account set CUST0007 --codec-check --codecs PCMA,PCMU,G729 --with-media --loss-guard",
)
def set_account(
    context: typer.Context,
    code: CodeArgument,
    *,
    name: NameOption = None,
    company: CompanyOption = None,
    tariff: TariffOption = None,
    billing_type: BillingOption = None,
    credit_limit: CreditLimitOption = None,
    decimals: DecimalsOption = None,
    rounding: RoundingOption = None,
    tax_flag: TaxFlagOption = None,
    tax_inclusive: TaxInclusiveOption = None,
    tax_percents: TaxPercentsOption = None,
    max_sessions: MaxSessionsOption = None,
    cps: CPSOption = None,
    max_duration: MaxDurationOption = None,
    codec_check: CodecCheckOption = None,
    codecs: CodecsOption = None,
    with_media: MediaOption = None,
    loss_guard: LossGuardOption = None,
    fields: FieldOption = None,
) -> None:
    """Change an account; `none` takes a limit away. Active in every worker within a second."""
    values = given(
        name=name,
        company=company,
        billing_type=billing_type,
        credit_limit=credit_limit,
        decimals=decimals,
        rounding=rounding,
        tax_flag=tax_flag,
        tax_inclusive=tax_inclusive,
        tax_percents=tax_percents,
        codec_check=codec_check,
        codecs=codecs,
        with_media=with_media,
        loss_guard=loss_guard,
        max_sessions=max_sessions,
        cps=cps,
        max_duration=max_duration,
    ) | _read_fields(settings_of(context), fields)
    refuse_nothing(values | given(tariff=tariff))
    run(_set(settings_of(context), code, values, tariff))
    typer.echo(f"account {code}: {show(values | given(tariff=tariff))}")


async def _set(settings: Settings, code: str, values: dict[str, Any], tariff: str | None) -> None:
    async with database(settings) as connection:
        account = await find_account(connection, code)
        more = {} if tariff is None else {"tariff_id": await _tariff_id(connection, tariff, account)}
        await store.set_account(connection, code, values | more)


async def _tariff_id(connection: Connection, name: str, account: Account) -> int | None:
    if name.lower() == NONE:
        return None
    tariff = await find_tariff(connection, name, "customer")
    _refuse_other_currency(tariff, account.currency, f"account {account.code}")
    return tariff.id
