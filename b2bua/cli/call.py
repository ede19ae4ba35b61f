"""`softswitch call`: calls in progress on this machine, asked of its SIP workers, and the messages of any call."""

from datetime import UTC, datetime
from typing import Annotated, Any, Final

import typer

from b2bua.cli import queries
from b2bua.cli.context import DEFAULT_LIMIT, CommandError, NotFound, database, run, settings_of, tell
from b2bua.cli.output import Format, FormatOption, print_json, print_row, print_rows
from b2bua.cli.trace import Trace, draw, find_trace
from b2bua.control.client import ControlClient
from b2bua.control.messages import CALLS_LIMIT, Message
from cdr.trace import TracedMessage, read_messages
from conf.embedded import run_directory
from conf.settings import Settings

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Calls in progress, and the messages of calls.")

COLUMNS: Final = (
    "call_id",
    "worker",
    "account",
    "device",
    "source",
    "destination",
    "carrier",
    "gateway",
    "attempt",
    "state",
    "received_at",
    "answered_at",
    "seconds",
)

AccountOption = Annotated[
    str | None, typer.Option("--account", metavar="CODE", help="Calls of this account and of those below it.")
]


@app.command(
    "list",
    epilog="Examples: softswitch call list\n\nsoftswitch call list --account RESE0001 --format json",
)
def list_calls(
    context: typer.Context,
    *,
    account: AccountOption = None,
    limit: Annotated[int, typer.Option(min=1, max=CALLS_LIMIT, help="Most rows to list.")] = DEFAULT_LIMIT,
    output: FormatOption = Format.TABLE,
) -> None:
    """List calls in progress, the oldest first; `seconds` counts from the answer."""
    total, calls = run(_list(settings_of(context), account, limit))
    now = datetime.now(UTC)
    print_rows([_row(call, now) for call in calls], COLUMNS, output)
    if total > len(calls):
        tell(f"{len(calls)} of {total} calls are listed")


async def _list(settings: Settings, account: str | None, limit: int) -> tuple[int, list[Message]]:
    account_ids = None
    if account is not None:
        async with database(settings) as connection:
            account_ids = await queries.account_ids_below(connection, account)
        if not account_ids:
            raise NotFound(f"no account {account}")
    client = await _connect(settings)
    return await client.calls(account_ids, limit)


@app.command(
    "hangup",
    epilog="Examples: softswitch call hangup 0193a5b0-7c1e-7000-8000-3f1c2d9e4b5a\n\n"
    "softswitch call hangup --account CUST0007",
)
def hang_up(
    context: typer.Context,
    call_id: Annotated[str | None, typer.Argument(metavar="CALL_ID", help="As `call list` shows it.")] = None,
    *,
    account: AccountOption = None,
) -> None:
    """End one call, or all calls of an account and of those below it. Both sides get BYE."""
    if (call_id is None) == (account is None):
        raise typer.BadParameter("give either a call id or --account")
    run(_hang_up(settings_of(context), call_id, account))


async def _hang_up(settings: Settings, call_id: str | None, account: str | None) -> None:
    account_id = None
    if account is not None:
        async with database(settings) as connection:
            account_id = await queries.account_id(connection, account)
        if account_id is None:
            raise NotFound(f"no account {account}")
    client = await _connect(settings)
    ended = await client.hang_up(call_id=call_id, account_id=account_id)
    if call_id is not None and not ended:
        raise NotFound(f"no call {call_id} is in progress")
    typer.echo(f"{ended} {'call' if ended == 1 else 'calls'} ended")


QUALITY_COLUMNS: Final = ("side", "packets", "lost", "jitter_ms", "round_trip_ms", "mos", "in_kernel")


@app.command("show", epilog="Example: softswitch call show 0193a5b0-7c1e-7000-8000-3f1c2d9e4b5a")
def show(
    context: typer.Context,
    call_id: Annotated[str, typer.Argument(metavar="CALL_ID", help="As `call list` shows it.")],
    *,
    output: FormatOption = Format.TABLE,
) -> None:
    """Show a call in progress, with what its media engine measures of the sound of either side.

    `audio` says `one-way` or `silent` when one side or both have not been heard for [media] silent_after. What nobody
    measures is empty. CSV holds the figures only.
    """
    call, quality = run(_show(settings_of(context), call_id))
    row = _row(call, datetime.now(UTC)) | {"engine": quality.get("engine"), "audio": quality.get("audio")}
    sides = [{"side": side, **figures} for side, name in _SIDES if (figures := quality.get(name)) is not None]
    if output is Format.JSON:
        print_json({**row, "quality": sides})
        return
    if output is Format.TABLE:
        print_row(row, (*COLUMNS, "engine", "audio"), output)
        typer.echo()
    if output is Format.CSV or sides:
        print_rows([{name: each.get(name) for name in QUALITY_COLUMNS} for each in sides], QUALITY_COLUMNS, output)


_SIDES: Final = (("caller", "a"), ("callee", "b"))


async def _show(settings: Settings, call_id: str) -> tuple[Message, Message]:
    client = await _connect(settings)
    answers = await client.request_all("calls", call_id=call_id)
    calls = [call for answer in answers for call in answer["calls"] if call["call_id"] == call_id]
    if not calls:
        raise NotFound(f"no call {call_id} is in progress")
    return calls[0], (await client.quality([call_id])).get(call_id, {})


TRACE_COLUMNS: Final = ("seconds", "leg", "direction", "peer", "message")


@app.command(
    "trace",
    epilog="Examples: softswitch call trace 0193a5b0-7c1e-7000-8000-3f1c2d9e4b5a\n\n"
    "softswitch call trace --text 1a2b3c4d@198.51.100.7",
)
def trace(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="ID", help="The call's id, or the SIP Call-ID of one of its legs.")],
    *,
    text: Annotated[bool, typer.Option("--text", help="Print what each message says.")] = False,
    since: Annotated[
        str, typer.Option(metavar="SPAN|TIME", help="How far back a SIP Call-ID is looked for: 2h, 1d, an ISO time.")
    ] = "1d",
    output: FormatOption = Format.TABLE,
    json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
) -> None:
    """Show the SIP messages of a call that is up, has failed, or is one of the share that is kept.

    Times count from the first message. Secrets are masked; bodies are there when [trace] bodies says so.
    """
    from b2bua.cli.cdr import parse_since

    begin = parse_since(since, datetime.now(UTC))
    found = run(_trace(settings_of(context), name, begin))
    if json or output is Format.JSON:
        messages = [_message(each) for each in found.messages]
        print_json({"call_id": found.call_id, "received_at": found.received_at, "messages": messages})
    elif output is Format.CSV:
        rows = [{**_message(each), "message": each.title} for each in found.messages]
        print_rows(rows, TRACE_COLUMNS, output)
    else:
        typer.echo(f"call {found.call_id}, {found.received_at.astimezone():%Y-%m-%d %H:%M:%S}")
        for line in draw(found.messages, with_texts=text):
            typer.echo(line)


async def _trace(settings: Settings, name: str, since: datetime) -> Trace:
    # A call that is up is in the memory of its worker alone.
    up = await ControlClient(run_directory(settings)).trace(name)
    if up is not None:
        return Trace(up["call_id"], datetime.fromtimestamp(up["received_at"], UTC), read_messages(up["messages"]))
    async with database(settings) as connection:
        return await find_trace(connection, name, since)


def _message(message: TracedMessage) -> dict[str, Any]:
    return {
        # A number of exactly these digits, not the nearest float's.
        "seconds": f"{message.seconds:.6f}",
        "leg": message.leg,
        "direction": ("sent" if message.is_sent else "received") if message.leg else "",
        "peer": message.peer,
        "message": message.text,
    }


async def _connect(settings: Settings) -> ControlClient:
    client = ControlClient(run_directory(settings))
    if not await client.request_all("ping"):
        raise CommandError("no SIP worker runs on this machine")
    return client


def _row(call: Message, now: datetime) -> dict[str, Any]:
    answered_at = _moment(call.get("answered_at"))
    row: dict[str, Any] = {name: call.get(name) for name in COLUMNS}
    row["received_at"] = _moment(call.get("received_at"))
    row["answered_at"] = answered_at
    row["seconds"] = None if answered_at is None else max(0, int((now - answered_at).total_seconds()))
    return row


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
