"""`softswitch cdr`: records of ended and refused calls. Its `write` is in `b2bua.cli.write`."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final
from uuid import UUID

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
    tell,
    tell_more,
)
from b2bua.cli.output import Format, FormatOption, print_json, print_row, print_rows
from b2bua.policy.store import SnapshotStore
from cdr import rerate
from cdr.errors import RecordError
from cdr.media import COLUMNS as MEDIA_COLUMNS
from conf.database import connect_pool
from conf.settings import Settings

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Call detail records.")

COLUMNS: Final = (
    "received_at",
    "call_id",
    "attempt",
    "is_last",
    "account",
    "device",
    "source",
    "destination",
    "carrier",
    "gateway",
    "sip_code",
    "code",
    "object",
    "duration",
    "gross",
    "currency",
)
ATTEMPT_COLUMNS: Final = (
    "call_id",
    "attempt",
    "is_last",
    "received_at",
    "ringing_at",
    "answered_at",
    "ended_at",
    "post_dial_delay",
    "duration",
    "account",
    "account_chain",
    "device",
    "carrier",
    "gateway",
    "route",
    "worker",
    "a_call_id",
    "b_call_id",
    "source_received",
    "source_sent",
    "destination_received",
    "destination_sent",
    "a_address",
    "a_transport",
    "a_user_agent",
    "b_address",
    "b_transport",
    "b_user_agent",
    "sip_code",
    "q850_cause",
    "code",
    "object",
    "ended_by",
    "reason",
    "codecs_offered",
    "codec_used",
    "media_mode",
    *MEDIA_COLUMNS,
    "gross",
    "currency",
)
CHARGE_COLUMNS: Final = (
    "attempt",
    "level",
    "payer",
    "code",
    "tariff",
    "prefix",
    "destination",
    "rate_per_minute",
    "billed_seconds",
    "net",
    "tax",
    "gross",
    "currency",
    "profit",
)
RERATE_COLUMNS: Final = (
    "payer",
    "code",
    "level",
    "currency",
    "calls",
    "old",
    "new",
    "difference",
    "changed",
    "unpriced",
)

_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse_since(text: str, now: datetime) -> datetime:
    """Read the begin of a time span: `10m` before now (s, m, h, d or w), or an ISO 8601 time, UTC where it has no zone.

    Raises:
        typer.BadParameter: neither.
    """
    if match := re.fullmatch(r"([0-9]{1,5})([smhdw])", text):
        return now - timedelta(**{_UNITS[match[2]]: int(match[1])})
    moment = _parse_time(text)
    if moment is None:
        raise typer.BadParameter(
            f"{text!r} is neither a span such as 10m, 2h or 1d nor a time such as 2026-01-31T08:00"
        )
    return moment


def _parse_time(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _parse_cursor(text: str) -> queries.CDRCursor:
    try:
        received_at, call_id, attempt = text.split(",")
        return queries.CDRCursor(datetime.fromisoformat(received_at).astimezone(UTC), UUID(call_id), int(attempt))
    except ValueError:
        raise typer.BadParameter(f"--after takes what an earlier list printed, not {text!r}") from None


@app.command(
    "list",
    epilog="Examples: softswitch cdr list --since 2h --account CUST0007\n\n"
    "softswitch cdr list --since 2026-01-31T00:00 --code NO_FUNDS --format csv",
)
def list_cdrs(
    context: typer.Context,
    *,
    since: Annotated[str, typer.Option(metavar="SPAN|TIME", help="10m, 2h, 1d … ago, or an ISO time.")] = "1d",
    account: Annotated[
        str | None, typer.Option(metavar="CODE", help="Only calls of this account and of those below it.")
    ] = None,
    code: Annotated[str | None, typer.Option(help="Only this outcome, such as ANSWERED or NO_FUNDS.")] = None,
    after: Annotated[str | None, typer.Option(metavar="CURSOR", help="List on after this record.")] = None,
    limit: LimitOption = DEFAULT_LIMIT,
    output: FormatOption = Format.TABLE,
) -> None:
    """List records, the newest first: one row per attempt, refused calls too."""
    begin = parse_since(since, datetime.now(UTC))
    cursor = None if after is None else _parse_cursor(after)
    page = run(_list(settings_of(context), begin, account=account, code=code, after=cursor, limit=limit))
    print_rows(page.rows, COLUMNS, output)
    tell_more(page.after)


async def _list(
    settings: Settings,
    since: datetime,
    *,
    account: str | None,
    code: str | None,
    after: queries.CDRCursor | None,
    limit: int,
) -> queries.Page:
    async with database(settings) as connection:
        account_ids = None
        if account is not None:
            account_ids = await queries.account_ids_below(connection, account)
            if not account_ids:
                raise NotFound(f"no account {account}")
        return await queries.cdrs(connection, since=since, account_ids=account_ids, code=code, after=after, limit=limit)


@app.command(
    "show",
    epilog="Example: softswitch cdr show 0193a5b0-7c1e-7000-8000-3f1c2d9e4b5a --format json",
)
def show(
    context: typer.Context,
    call_id: Annotated[UUID, typer.Argument(metavar="CALL_ID", help="As `cdr list` shows it.")],
    output: FormatOption = Format.TABLE,
) -> None:
    """Show every attempt of a call, what each level pays and what the carrier costs; CSV holds the charges only."""
    attempts, charges = run(_show(settings_of(context), call_id))
    if output is Format.JSON:
        print_json(
            {
                "call_id": call_id,
                "attempts": [{name: row[name] for name in ATTEMPT_COLUMNS} for row in attempts],
                "charges": [{name: row[name] for name in CHARGE_COLUMNS} for row in charges],
            }
        )
        return
    if output is Format.TABLE:
        for attempt in attempts:
            print_row(attempt, ATTEMPT_COLUMNS, output)
            typer.echo()
    if output is Format.CSV or charges:
        print_rows(charges, CHARGE_COLUMNS, output)


async def _show(settings: Settings, call_id: UUID) -> tuple[list[queries.Row], list[queries.Row]]:
    async with database(settings) as connection:
        attempts = await queries.cdr_attempts(connection, call_id)
        if not attempts:
            raise NotFound(f"no record of call {call_id}")
        return attempts, await queries.cdr_charges(connection, call_id)


@app.command(
    "rerate",
    epilog="Examples: softswitch cdr rerate --since 2026-01-01 --until 2026-02-01 --account CUST0007 --dry-run\n\n"
    "softswitch cdr rerate --since 2d",
)
def rerate_calls(
    context: typer.Context,
    *,
    since: Annotated[str, typer.Option(metavar="SPAN|TIME", help="10m, 2h, 1d … ago, or an ISO time.")],
    until: Annotated[str | None, typer.Option(metavar="SPAN|TIME", help="Where the span ends; default: now.")] = None,
    account: Annotated[
        str | None, typer.Option(metavar="CODE", help="Only calls of this account and of those below it.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show the differences.")] = False,
    output: FormatOption = Format.TABLE,
) -> None:
    """Price answered calls again by today's rates of their tariffs, and book the differences as corrections.

    A rate counts when it was in force at the time of the call. A call that has no rate today keeps its price.
    """
    now = datetime.now(UTC)
    end = None if until is None else parse_since(until, now)
    report, rows = run(_rerate(settings_of(context), parse_since(since, now), end, account, dry_run))
    print_rows(rows, RERATE_COLUMNS, output)
    done = f"{report.changed} charges differ"
    if dry_run:
        tell(f"{done}; {len(report.corrections)} corrections would be booked, nothing was changed")
    else:
        tell(f"{done} and were changed; {len(report.corrections)} corrections were booked")


async def _rerate(
    settings: Settings, since: datetime, until: datetime | None, account: str | None, is_dry_run: bool
) -> tuple[rerate.Report, list[queries.Row]]:
    pool = await connect_pool(settings, max_size=1)
    try:
        store = SnapshotStore(pool, settings, lambda _: None)
        await store.reload()
        billings = rerate.Billings(
            {each.id: each.billing for each in store.current.accounts.values()},
            {each.id: each.billing for each in store.current.carriers.values()},
        )
        async with pool.acquire() as connection:
            account_ids = None
            if account is not None and not (account_ids := await queries.account_ids_below(connection, account)):
                raise NotFound(f"no account {account}")
            report = await rerate.rerate(
                connection,
                store.current.tariffs,
                billings,
                since=since,
                until=until,
                account_ids=account_ids,
                is_dry_run=is_dry_run,
            )
    except RecordError as error:
        raise CommandError(str(error)) from error
    finally:
        await pool.close()
    accounts, carriers = store.current.accounts, store.current.carriers
    rows: list[queries.Row] = []
    for (account_id, carrier_id, level, currency), line in report.lines.items():
        owner = accounts.get(account_id) if account_id is not None else None
        carrier = carriers.get(carrier_id) if carrier_id is not None else None
        rows.append(
            {
                "payer": owner.kind if owner else "carrier",
                "code": owner.code if owner else carrier.code if carrier else "",
                "level": level,
                "currency": currency,
                "calls": line.calls,
                "old": line.old,
                "new": line.new,
                "difference": line.difference,
                "changed": line.changed,
                "unpriced": line.unpriced,
            }
        )
    rows.sort(key=lambda row: (row["level"] < 0, row["level"], row["code"]))
    return report, rows
