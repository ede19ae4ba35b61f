"""`softswitch explain`: what would become of a call, asked of a running SIP worker."""

import re
from datetime import UTC, datetime, time
from decimal import Decimal
from ipaddress import ip_address
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo

import typer

from b2bua.cli.context import CommandError, run, settings_of, tell
from b2bua.cli.output import Format, print_json, print_rows
from b2bua.control.client import ControlClient
from b2bua.control.messages import Message, Refused
from b2bua.policy.decision import AUTHENTICATE
from conf.embedded import run_directory
from conf.settings import Settings
from media.sdp import CodecList

app = typer.Typer(add_completion=False)

STEPS: Final = ("check", "looked_at", "outcome")
CANDIDATES: Final = ("order", "carrier", "gateways", "prefix", "priority", "weight", "number_sent")
"""Of each candidate, before the amounts."""
AMOUNTS: Final = ("cost", "price", "margin")
ATTEMPTS: Final = ("order", "kind", "to", "caller_sent", "number_sent")

DECIMALS: Final = 10
"""Of an amount in the table; an amount that has more ends in an ellipsis."""

_HOUR: Final = re.compile(r"[0-9]{2}:[0-9]{2}")


@app.command(
    epilog="Examples: softswitch explain --account CUST0007 --from 4930123456 --to 442079460000\n\n"
    "softswitch explain --source 198.51.100.7 --from 4930123456 --to 442079460000 --codecs PCMA,G729\n\n"
    "softswitch explain --user alice --from 101 --to 112 --at 03:00 --json\n\n"
    "softswitch explain --route europe --from 4930123456 --to 442079460000\n\n"
    "softswitch explain --account CUST0007 --from 101 --to 4420 --at '2026-01-31 08:00 Europe/London'"
)
def command(
    context: typer.Context,
    *,
    source: Annotated[str, typer.Option("--from", metavar="CLI", help="The caller's number, as it comes.")],
    destination: Annotated[str, typer.Option("--to", metavar="NUMBER", help="The number, as it is dialled.")],
    account: Annotated[
        str | None, typer.Option(metavar="CODE", help="Whose call it is; alone: of no device of theirs.")
    ] = None,
    address: Annotated[
        str | None, typer.Option("--source", metavar="IP", help="The address that the call comes from.")
    ] = None,
    user: Annotated[
        str | None, typer.Option(metavar="SIPUSER", help="The SIP user that calls, its secret known.")
    ] = None,
    route: Annotated[
        str | None, typer.Option(metavar="ROUTE", help="What this route would choose, whoever calls.")
    ] = None,
    at: Annotated[
        str | None, typer.Option(metavar="TIME", help="ISO 8601, or HH:MM of today; UTC unless it has a zone.")
    ] = None,
    codecs: Annotated[str, typer.Option(metavar="NAMES", help="Codecs that are offered, such as PCMA,PCMU.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="JSON for programs, with all that the worker said.")] = False,
) -> None:
    """Tell what would become of a call: every check, every carrier, the verdict.

    A SIP worker of this machine decides as it does for calls, with its present configuration and what it knows of
    gateways. It changes nothing. Sessions, calls per second and funds of the moment are not looked at.
    """
    if account is None and address is None and user is None and route is None:
        raise typer.BadParameter("give --account, --source, --user or --route")
    if route is not None and (account or address or user):
        raise typer.BadParameter("--route stands alone: no account's rules and prices count for it")
    answer = run(
        _ask(
            settings_of(context),
            source=source,
            destination=destination,
            account=account,
            address=None if address is None else parse_address(address),
            user=user,
            **({} if route is None else {"route": route}),
            codecs=parse_codecs(codecs),
            at=None if at is None else parse_moment(at, datetime.now(UTC)).isoformat(),
        )
    )
    if as_json:
        print_json({name: value for name, value in answer.items() if name != "ok"})
        return
    _print(answer)


async def _ask(settings: Settings, **question: object) -> Message:
    try:
        return await ControlClient(run_directory(settings)).explain(**question)
    except Refused as refused:
        raise CommandError(refused.reason) from refused


# Options


def parse_address(text: str) -> str:
    """Read an address.

    Raises:
        typer.BadParameter: it is none.
    """
    try:
        return str(ip_address(text))
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not an IPv4 or IPv6 address") from None


def parse_codecs(text: str) -> list[str]:
    """Read a list of codecs with commas, such as `PCMA,PCMU`.

    Raises:
        typer.BadParameter: a name is none.
    """
    try:
        return list(CodecList.of([name for name in text.split(",") if name.strip()]).names)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def parse_moment(text: str, now: datetime) -> datetime:
    """Read a time: ISO 8601 or HH:MM, then perhaps an offset, or a space and a zone; without them it is UTC.

    Args:
        text: `08:00`, `2026-01-31T08:00+01:00`, `2026-01-31 08:00 Europe/London`.
        now: Aware; HH:MM is a time of its day in the zone.

    Raises:
        typer.BadParameter: it is no time.
    """
    moment, _, name = text.strip().rpartition(" ")
    try:
        if not moment or not name[:1].isalpha():
            return _parse_moment(text.strip(), now, None)
        return _parse_moment(moment.strip(), now, ZoneInfo(name))
    except (ValueError, LookupError, OSError, OverflowError):
        raise typer.BadParameter(f"{text!r} is not a time such as 08:00 or 2026-01-31T08:00+01:00") from None


def _parse_moment(text: str, now: datetime, zone: ZoneInfo | None) -> datetime:
    if _HOUR.match(text):
        hour = time.fromisoformat(text)
        its_zone = hour.tzinfo or zone or UTC
        moment = datetime.combine(now.astimezone(its_zone).date(), hour, its_zone)
    else:
        moment = datetime.fromisoformat(text)
    if zone is not None and moment.tzinfo not in (None, zone):
        raise ValueError("two zones")
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=zone or UTC)


# The answer


def _print(answer: Message) -> None:
    decision, candidates = answer["decision"], answer["candidates"]
    moment = datetime.fromisoformat(answer["at"]).strftime("%Y-%m-%d %H:%M:%S UTC")
    if answer["steps"]:
        print_rows(answer["steps"], STEPS, Format.TABLE, title=f"checks at {moment}, revision {answer['revision']}")
    if candidates:
        _print_candidates(candidates, f"route {decision['route']}", answer["reference_seconds"])
    elif decision["attempts"]:
        rows = [_attempt(number, attempt) for number, attempt in enumerate(decision["attempts"], 1)]
        print_rows(rows, ATTEMPTS, Format.TABLE, title="where it goes")
    if answer["draining"]:
        tell(f"worker {answer['worker']} is being stopped: it refuses every new call with 503 DRAINING")
    typer.echo(verdict(answer))


def _print_candidates(candidates: list[Message], route: str, seconds: int) -> None:
    """Those that are tried in their order, then the others."""
    candidates = sorted(candidates, key=lambda each: (not each["order"], each["order"]))
    rows, columns, title = [_candidate(candidate) for candidate in candidates], [*CANDIDATES], f"candidates of {route}"
    currency = candidates[0]["currency"]
    # An emergency call has no price to compare with.
    if currency is not None:
        columns += [f"{name}, {currency}" for name in AMOUNTS]
        title += f", amounts for a call of {seconds} s"
        for row, candidate in zip(rows, candidates, strict=True):
            row |= {f"{name}, {currency}": _amount(candidate[name]) for name in AMOUNTS}
            if candidate["cost"] is None and candidate["price"] is not None:
                row[f"cost, {currency}"] = "no exchange rate"
    print_rows(rows, [*columns, "dropped"], Format.TABLE, title=title)


def _candidate(candidate: Message) -> dict[str, Any]:
    return {
        "order": ", ".join(str(place) for place in candidate["order"]),
        "carrier": candidate["carrier"],
        "gateways": ", ".join(
            each["name"] if each["state"] == "up" else f"{each['name']} ({each['state']})"
            for each in candidate["gateways"]
        ),
        "prefix": candidate["prefix"] or "any",
        "priority": candidate["priority"],
        "weight": candidate["weight"],
        "number_sent": candidate["number"],
        "dropped": candidate["dropped"],
    }


def _attempt(number: int, attempt: Message) -> dict[str, Any]:
    return {
        "order": number,
        "kind": attempt["kind"],
        "to": attempt["gateway"],
        "caller_sent": attempt["source"],
        "number_sent": attempt["destination"],
    }


def _amount(text: str | None) -> Decimal | str | None:
    """An amount as it is; one that goes on and on is cut where nobody reads on."""
    if text is None or len(text.partition(".")[2]) <= DECIMALS:
        return None if text is None else Decimal(text)
    whole, _, fraction = text.partition(".")
    return f"{whole}.{fraction[:DECIMALS]}…"


def verdict(answer: Message) -> str:
    """Say in one line what becomes of the call."""
    decision = answer["decision"]
    code = decision["code"]
    if code == AUTHENTICATE:
        return f"not decided: no device has this address, the caller is asked who it is (SIP {decision['sip_status']})"
    if code:
        refused = f"refused: {code} {decision['object']}".rstrip()
        return f"{refused}, SIP {decision['sip_status']}, Q.850 cause {decision['q850_cause']}"
    attempts, seconds = decision["attempts"], decision["max_duration"]
    first, tries = attempts[0], f"{len(attempts)} {'attempt' if len(attempts) == 1 else 'attempts'}"
    to = f"gateway {first['gateway']} of carrier {first['carrier']}" if first["carrier"] else first["gateway"]
    number = f"{decision['source'] or 'nobody'} -> {decision['destination']}"
    lasts = "never cut" if seconds is None else f"at most {first['max_duration']} s"
    if decision["kind"] == "outgoing" and decision["account"] is None:
        lasts = "whoever calls"
    permitting = "" if decision["kind"] == "emergency" else ", if sessions, calls per second and funds permit"
    return f"allowed{permitting}: {decision['kind']} call {number}, {tries}, first {to}, {lasts}"
