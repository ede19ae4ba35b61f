"""`softswitch payment`: money that accounts paid in."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Annotated, Final

import typer

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
from b2bua.cli.output import Format, FormatOption, exact, print_rows
from conf.settings import Settings
from rating.ledger import Posting, post_payment

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Payments of accounts.")


class Kind(StrEnum):
    """Kinds of entry that are booked by hand."""

    PAYMENT = "payment"
    REFUND = "refund"
    CREDIT = "credit"
    CHARGE = "charge"
    CORRECTION = "correction"


COLUMNS: Final = ("id", "created_at", "account", "kind", "amount", "currency", "reference", "note")


@app.command(
    "add",
    epilog="Examples: softswitch payment add CUST0007 250.00 --reference 'bank 2026-01-31/17'\n\n"
    "softswitch payment add CUST0007 19.99 --note cash\n\n"
    "softswitch payment add CUST0007 50 --kind credit --expires 7d\n\n"
    "softswitch payment add CUST0007 12.50 --kind correction --reduce --note 'booked twice'",
)
def add(
    context: typer.Context,
    code: Annotated[str, typer.Argument(metavar="CODE", help="Account code.")],
    amount: Annotated[str, typer.Argument(metavar="AMOUNT", help="In the account's currency, such as 250.00.")],
    *,
    reference: Annotated[
        str | None, typer.Option(help="The payer's reference; the same one of an account is booked once.")
    ] = None,
    note: Annotated[str, typer.Option(help="Free text.")] = "",
    kind: Annotated[
        Kind, typer.Option(help="refund: paid back out; credit: may be spent, beside the balance; charge: asked for.")
    ] = Kind.PAYMENT,
    reduce: Annotated[bool, typer.Option("--reduce", help="Credit or a correction against the account.")] = False,
    expires: Annotated[
        str | None, typer.Option(metavar="DURATION", help="When granted credit is taken back: 12h, 7d.")
    ] = None,
) -> None:
    """Book a payment, or another entry, for an account; calls in progress see it at their next extension."""
    expires_at = None if expires is None else _parse_expiry(expires)
    posting = run(
        _add(
            settings_of(context),
            code,
            _parse_amount(amount),
            reference=reference or None,
            note=note,
            kind=kind.value,
            reduces=reduce,
            expires_at=expires_at,
        )
    )
    did = "was booked before" if posting.repeated else "booked"
    typer.echo(
        f"{posting.kind} {posting.entry_id} of {exact(posting.amount)} {posting.currency} {did}; "
        f"balance of {code} is {exact(posting.balance)} {posting.currency}"
    )


async def _add(
    settings: Settings,
    code: str,
    amount: Decimal,
    *,
    reference: str | None,
    note: str,
    kind: str,
    reduces: bool,
    expires_at: datetime | None,
) -> Posting:
    async with database(settings) as connection:
        posting = await post_payment(
            connection, code, amount, kind=kind, reference=reference, note=note, reduces=reduces, expires_at=expires_at
        )
    if posting.amount.copy_abs() != amount:
        # The same reference with another amount is a mistake of somebody, not a repetition.
        raise CommandError(
            f"nothing is booked: reference {reference} of {code} was booked before with {exact(posting.amount)} "
            f"{posting.currency}"
        )
    return posting


def _parse_expiry(text: str) -> datetime:
    unit = {"h": timedelta(hours=1), "d": timedelta(days=1)}.get(text[-1:])
    if unit is None or not text[:-1].isdigit() or not 0 < int(text[:-1]) < 100_000:
        raise typer.BadParameter(f"{text!r} is not a time such as 12h or 7d")
    return datetime.now(UTC) + int(text[:-1]) * unit


def _parse_amount(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise typer.BadParameter(f"{text!r} is not an amount such as 250.00") from None


@app.command(
    "list",
    epilog="Examples: softswitch payment list --account CUST0007\n\nsoftswitch payment list --format csv",
)
def list_payments(
    context: typer.Context,
    *,
    account: Annotated[str | None, typer.Option(metavar="CODE", help="Only those of this account.")] = None,
    after: Annotated[int | None, typer.Option(metavar="ID", help="List on after this payment.")] = None,
    limit: LimitOption = DEFAULT_LIMIT,
    output: FormatOption = Format.TABLE,
) -> None:
    """List payments and other entries booked by hand, the newest first; usage is left out."""
    page = run(_list(settings_of(context), account, after, limit))
    print_rows(page.rows, COLUMNS, output)
    tell_more(page.after)


async def _list(settings: Settings, account: str | None, after: int | None, limit: int) -> queries.Page:
    async with database(settings) as connection:
        if account is not None and await queries.account_id(connection, account) is None:
            raise NotFound(f"no account {account}")
        return await queries.payments(connection, account=account, after=after, limit=limit)
