"""`softswitch rule`: number rules of accounts and carriers, which translate and bar numbers (docs/behaviour.md §3)."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any, Final

import typer

from b2bua.account.errors import AccountsError
from b2bua.cli import changes, policy_queries, queries
from b2bua.cli.context import (
    DEFAULT_LIMIT,
    CommandError,
    LimitOption,
    database,
    run,
    settings_of,
    tell,
    tell_more,
)
from b2bua.cli.find import find_account, find_carrier
from b2bua.cli.option import AccountOption, CarrierOption, JSONOption, chosen
from b2bua.cli.output import Format, FormatOption, print_row, print_rows
from b2bua.policy.numbers import CLIRule, CLIRules, InvalidRule, NumberRule, NumberRules
from conf.settings import Settings
from rating.ledger import Connection

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Number rules of accounts and carriers.")

COLUMNS: Final = ("id", "account", "carrier", "kind", "rule")
VERDICT: Final = ("number", "result", "is_allowed", "code", "rule")


class Kind(StrEnum):
    """What a rule is for."""

    SOURCE = "source"
    DESTINATION = "destination"
    DID_SOURCE = "did_source"
    DID_DESTINATION = "did_destination"
    CLI = "cli"


KIND_HELP: Final = (
    "source: the caller's number; destination: the number called; did_…: the same of calls to DIDs; "
    "cli: the caller's number by the destination."
)
KindOption = Annotated[Kind, typer.Option("--kind", help=KIND_HELP)]
RulesArgument = Annotated[
    list[str],
    typer.Argument(metavar="RULE...", help="LEFT=>RIGHT allows and translates, LEFT alone bars: 44|%=>0044%, 900%."),
]
_REFUSALS: Final = {
    Kind.SOURCE: "CLI",
    Kind.DESTINATION: "NUMBER",
    Kind.DID_SOURCE: "CLI",
    Kind.DID_DESTINATION: "NUMBER",
}


def _one_owner(account: str | None, carrier: str | None, kind: Kind | None) -> None:
    if (account is None) == (carrier is None):
        raise typer.BadParameter("give --account or --carrier")
    if carrier is not None and kind is Kind.CLI:
        raise typer.BadParameter("only accounts have cli rules")


async def _owner(connection: Connection, account: str | None, carrier: str | None) -> dict[str, int | None]:
    return {
        "account_id": None if account is None else (await find_account(connection, account)).id,
        "carrier_id": None if carrier is None else await find_carrier(connection, carrier),
    }


def _title(account: str | None, carrier: str | None) -> str:
    return f"account {account}" if account is not None else f"carrier {carrier}"


@app.command(
    "list",
    epilog="Examples: softswitch rule list --account CUST0007 --kind destination\n\n"
    "softswitch rule list --carrier CARR0001 --json",
)
def list_rules(
    context: typer.Context,
    *,
    account: AccountOption = None,
    carrier: CarrierOption = None,
    kind: Annotated[Kind | None, typer.Option("--kind", help=KIND_HELP)] = None,
    after: Annotated[int | None, typer.Option(metavar="ID", help="List on after this rule.")] = None,
    limit: LimitOption = DEFAULT_LIMIT,
    output: FormatOption = Format.TABLE,
    as_json: JSONOption = False,
) -> None:
    """List number rules, the oldest first; their order means nothing: the one with most digits wins."""
    page = run(_list(settings_of(context), account, carrier, kind, after, limit))
    print_rows(page.rows, COLUMNS, chosen(output, as_json=as_json))
    tell_more(page.after)


async def _list(
    settings: Settings, account: str | None, carrier: str | None, kind: Kind | None, after: int | None, limit: int
) -> queries.Page:
    async with database(settings) as connection:
        owner = await _owner(connection, account, carrier)
        return await policy_queries.number_rules(connection, **owner, kind=kind, after=after, limit=limit)


@app.command(
    "add",
    epilog="Examples: softswitch rule add '00|%=>%' '900%' --account CUST0007 --kind destination\n\n"
    "softswitch rule add '44%=>442079460000' --account CUST0007 --kind cli\n\n"
    "softswitch rule add '%=>99#%' --carrier CARR0001 --kind destination",
)
def add_rules(
    context: typer.Context,
    rules: RulesArgument,
    *,
    kind: KindOption,
    account: AccountOption = None,
    carrier: CarrierOption = None,
) -> None:
    """Give an account or a carrier number rules, all of them or none."""
    _one_owner(account, carrier, kind)
    for rule in rules:
        _parse(rule, kind)
    run(_add(settings_of(context), account, carrier, kind, rules))
    typer.echo(f"{_title(account, carrier)}: {kind} {_named(rules)} added")


def _parse(rule: str, kind: Kind) -> None:
    try:
        (CLIRule if kind is Kind.CLI else NumberRule).parse(rule)
    except InvalidRule as error:
        raise typer.BadParameter(str(error)) from None


def _named(rules: Sequence[str]) -> str:
    return f"{'rule' if len(rules) == 1 else 'rules'} {', '.join(rules)}"


async def _add(settings: Settings, account: str | None, carrier: str | None, kind: Kind, rules: Sequence[str]) -> None:
    async with database(settings) as connection:
        owner = await _owner(connection, account, carrier)
        try:
            await changes.add_number_rules(connection, **owner, kind=kind, rules=rules)
        except (CommandError, AccountsError) as error:
            raise CommandError(f"{_title(account, carrier)}: {error}") from None


@app.command(
    "remove",
    epilog="Example: softswitch rule remove '900%' --account CUST0007 --kind destination",
)
def remove_rules(
    context: typer.Context,
    rules: RulesArgument,
    *,
    kind: KindOption,
    account: AccountOption = None,
    carrier: CarrierOption = None,
) -> None:
    """Take number rules away, all of them or none."""
    _one_owner(account, carrier, kind)
    left = run(_remove(settings_of(context), account, carrier, kind, rules))
    typer.echo(f"{_title(account, carrier)}: {kind} {_named(rules)} removed")
    if not left and kind is not Kind.CLI:
        tell(f"no {kind} rule is left: no number matches any more, so no such call is let through")


async def _remove(
    settings: Settings, account: str | None, carrier: str | None, kind: Kind, rules: Sequence[str]
) -> int:
    async with database(settings) as connection:
        owner = await _owner(connection, account, carrier)
        try:
            return await changes.remove_number_rules(connection, **owner, kind=kind, rules=rules)
        except (CommandError, AccountsError) as error:
            raise CommandError(f"{_title(account, carrier)}: {error}") from None


@app.command(
    "test",
    epilog="Examples: softswitch rule test 442079460000 --account CUST0007\n\n"
    "softswitch rule test 123 --account CUST0007 --kind cli --destination 33123456789",
)
def try_number(
    context: typer.Context,
    number: Annotated[str, typer.Argument(metavar="NUMBER", help="The number that rules translate, as received.")],
    *,
    kind: KindOption = Kind.DESTINATION,
    account: AccountOption = None,
    carrier: CarrierOption = None,
    destination: Annotated[
        str | None, typer.Option(metavar="NUMBER", help="With --kind cli: the number called, which chooses the rule.")
    ] = None,
    output: FormatOption = Format.TABLE,
    as_json: JSONOption = False,
) -> None:
    """Say which rule wins for a number and what becomes of it; rules of resellers above come after those."""
    _one_owner(account, carrier, kind)
    if (kind is Kind.CLI) != (destination is not None):
        raise typer.BadParameter("--destination is needed with --kind cli, and only there")
    texts = run(_texts(settings_of(context), account, carrier, kind))
    verdict = _try(texts, kind, number.partition(";")[0], destination)
    output = chosen(output, as_json=as_json)
    if output is Format.TABLE:
        typer.echo(_sentence(verdict, kind))
    else:
        print_row(verdict, VERDICT, output)


async def _texts(settings: Settings, account: str | None, carrier: str | None, kind: Kind) -> list[str]:
    async with database(settings) as connection:
        owner = await _owner(connection, account, carrier)
        return await policy_queries.rule_texts(connection, **owner, kind=kind)


def _try(texts: list[str], kind: Kind, number: str, destination: str | None) -> dict[str, Any]:
    try:
        if kind is Kind.CLI:
            result, rule = CLIRules.of(texts).rewrite((destination or "").partition(";")[0], number)
            return dict(zip(VERDICT, (number, result, True, "", rule), strict=True))
        verdict = NumberRules.of(texts).translate(number)
    except InvalidRule as error:
        raise typer.BadParameter(f"a rule in the database cannot be read: {error}") from None
    code = verdict.code and f"{_REFUSALS[kind]}_{'BLOCKED' if verdict.code == 'BLOCKED' else 'NOT_ALLOWED'}"
    translated = None if verdict.code else verdict.number
    return dict(zip(VERDICT, (number, translated, not verdict.code, code, verdict.rule), strict=True))


def _sentence(verdict: dict[str, Any], kind: Kind) -> str:
    number, rule = verdict["number"], verdict["rule"]
    if not verdict["is_allowed"]:
        why = f"is barred by rule {rule}" if rule else f"matches no {kind} rule"
        return f"{number} {why}: {verdict['code']}"
    by = f", by rule {rule}" if rule else f": no {kind} rule matches"
    return f"{number} {'stays as it is' if verdict['result'] == number else 'becomes ' + verdict['result']}{by}"
