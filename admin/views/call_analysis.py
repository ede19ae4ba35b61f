"""Call analysis: what the calls of an account and a period came to, and what to do about those that failed."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson
from aiohttp import web

from admin import format as formats
from admin import render
from admin.failure import OTHER, FailureClass, failure_class
from admin.keys import POOL, USER
from admin.permissions import Permission
from admin.stores.analysis import SHOWN, Analysis, Figures, analyse, find_account
from admin.stores.record_filter import RecordFilter

PERIODS: Final = {
    "today": "Today",
    "yesterday": "Yesterday",
    "7-days": "7 days",
    "30-days": "30 days",
    "month": "This month",
}
DAY: Final = timedelta(days=1)
HOUR: Final = timedelta(hours=1)
MOST_HOURS: Final = timedelta(days=8)
"""Longer periods are shown by day."""
LONGEST: Final = timedelta(days=366)


@dataclass(frozen=True, slots=True)
class Period:
    """Whole days, in UTC."""

    name: str
    """One of PERIODS; empty for dates of the reader's own."""
    since: datetime
    until: datetime
    """The end of the last day."""

    @property
    def step(self) -> timedelta:
        """Length of the parts it is shown by."""
        return HOUR if self.until - self.since <= MOST_HOURS else DAY

    @property
    def last_day(self) -> datetime:
        """Its last day."""
        return self.until - DAY


@dataclass(frozen=True, slots=True)
class Failure:
    """A class of failures with its calls."""

    kind: FailureClass
    calls: int
    codes: list[tuple[str, int]]


def read_period(query: Mapping[str, str], now: datetime) -> Period:
    """Read which period an address asks for; today without any."""
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    name = query.get("period", "")
    first, last = formats.parse_day(query.get("since", "")), formats.parse_day(query.get("until", ""))
    if name not in PERIODS and (first or last):
        since = first or last or today
        until = max(since, last or today) + DAY
        return Period("", since, min(until, since + LONGEST))
    if name == "yesterday":
        return Period(name, today - DAY, today)
    begins = {"7-days": today - 6 * DAY, "30-days": today - 29 * DAY, "month": today.replace(day=1)}
    return Period(name if name in PERIODS else "today", begins.get(name, today), today + DAY)


async def show(request: web.Request) -> web.StreamResponse:
    """Show the figures of an account, or of all in scope, for a period."""
    user, pool = request[USER], request.app[POOL]
    code = request.query.get("account", "").strip().upper()[:40]
    account = await find_account(pool, user.scope, code) if code else None
    period = read_period(request.query, datetime.now(UTC))
    since, until = (formats.input_time(moment, user.zone) for moment in (period.since, period.until))
    chosen = RecordFilter.read({"account": code, "since": since, "until": until}, user.zone)
    analysis = await analyse(
        pool,
        user.scope,
        chosen,
        period.step,
        money=user.may(Permission.MONEY_READ),
        cost=user.may(Permission.CARRIER_COST_READ) or user.scope.top is not None,
        carriers=user.may(Permission.CARRIERS_READ),
    )
    times = _times(analysis, period)
    context = {
        "account": account,
        "period": period,
        "periods": PERIODS,
        "total": analysis.total,
        "analysis": analysis,
        "times": times,
        "chart": _chart(times),
        "failures": _failures(analysis),
        "answers": analysis.answers[:SHOWN],
        "records": {**chosen.query, **({"attempts": "last"} if user.may(Permission.CARRIERS_READ) else {})},
        "attempts": chosen.query,
    }
    return await render.page(request, "call_analysis/show", context)


def _times(analysis: Analysis, period: Period) -> list[tuple[datetime, Figures]]:
    """The figures of each part of the period, those without calls too, but none of the future."""
    times = []
    start, now = period.since, datetime.now(UTC)
    while start < period.until and start <= now:
        times.append((start, analysis.times.get(start, Figures())))
        start += period.step
    return times


def _chart(times: list[tuple[datetime, Figures]]) -> str:
    """Data of the chart as JSON that may stand inside an element."""
    columns: list[list[Any]] = [
        [int(start.timestamp()) for start, _ in times],
        [figures.answered for _, figures in times],
        [figures.calls - figures.answered for _, figures in times],
    ]
    return orjson.dumps(columns).decode().replace("<", "\\u003c")


def _failures(analysis: Analysis) -> list[Failure]:
    """Classes of failures with the codes of each, by calls."""
    classes: dict[str, list[tuple[str, int]]] = {}
    kinds: dict[str, FailureClass] = {OTHER.name: OTHER}
    for code, figures in analysis.codes.items():
        if code != "ANSWERED":
            kind = failure_class(code)
            kinds[kind.name] = kind
            classes.setdefault(kind.name, []).append((code, figures.calls))
    found = [
        Failure(kinds[name], sum(calls for _, calls in codes), sorted(codes, key=lambda each: (-each[1], each[0])))
        for name, codes in classes.items()
    ]
    return sorted(found, key=lambda each: -each.calls)
