"""The statement of an account: every entry of a period with the balance after it, on screen, as PDF and as XLSX."""

from datetime import UTC, datetime, timedelta

from aiohttp import web

from admin import export, render
from admin.errors import NotFound
from admin.format import parse_day
from admin.keys import POOL, USER
from admin.paging import page_request
from admin.stores import ledger
from admin.stores.ledger import Period
from admin.views.customer_frame import address, find, frame

KINDS = {
    "payment": "Payment",
    "refund": "Refund",
    "credit": "Credit",
    "usage": "Calls",
    "charge": "Charge",
    "correction": "Correction",
}
COLUMNS = ("Time (UTC)", "What", "Reference", "Note", "Calls", "Debit", "Credit", "Granted", "Balance")


async def show_own(request: web.Request) -> web.StreamResponse:
    """Lead a customer or reseller to its own statement."""
    user = request[USER]
    route = "reseller_statement.list" if user.role == "reseller" else "statement.list"
    return render.see_other(address(request, route, code=user.account or "-"))


def _period(request: web.Request) -> Period:
    """What the address asks for; this month without it. Days are whole ones, in UTC."""
    now = datetime.now(UTC)
    since = parse_day(request.query.get("since", "")) or now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    last = parse_day(request.query.get("until", "")) or now.replace(hour=0, minute=0, second=0, microsecond=0)
    return Period(since, max(since, last) + timedelta(days=1))


async def show_list(request: web.Request) -> web.StreamResponse:
    """Show a page of the entries of a period."""
    account, period = await find(request, takes_own=True), _period(request)
    asked = page_request(request.query, ledger.STATEMENT_KEY)
    opening, page = await ledger.statement(request.app[POOL], account, period, asked)
    closing = await ledger.opening_balance(request.app[POOL], account, period.until)
    context = {
        **frame(request, account, "statement"),
        "page": page,
        "opening": opening,
        "closing": closing,
        "since": f"{period.since:%Y-%m-%d}",
        "until": f"{period.until - timedelta(days=1):%Y-%m-%d}",
        "kinds": KINDS,
    }
    return await render.page(request, "statement/list", context)


async def write_file(request: web.Request) -> web.StreamResponse:
    """Send the whole period as a file."""
    account, period = await find(request, takes_own=True), _period(request)
    kind = request.query.get("format", "")
    if kind not in {"pdf", "xlsx"}:
        raise NotFound
    days = f"{period.since:%Y-%m-%d} to {period.until - timedelta(days=1):%Y-%m-%d}"
    opening = await ledger.opening_balance(request.app[POOL], account, period.since)
    sheet = export.Sheet(
        title=f"Statement of {account.name} ({account.code}), {days}, {account.currency}",
        file_name=f"statement-{account.code}-{period.since:%Y%m%d}-{period.until - timedelta(days=1):%Y%m%d}",
        columns=COLUMNS,
        widths=(30, 18, 26, 40, 12, 24, 24, 24, 26),
    )

    async def rows() -> export.Rows:
        yield ("", "Balance before", "", "", None, None, None, None, opening)
        async for line in ledger.whole_statement(request.app[POOL], account, period):
            yield _row(line)

    return await export.send(request, kind, sheet, rows())


def _row(line: ledger.Line) -> tuple[export.Value, ...]:
    granted = line.amount if line.kind == "credit" else None
    return (
        f"{line.created_at.astimezone(UTC):%Y-%m-%d %H:%M:%S}",
        KINDS[line.kind],
        line.reference,
        line.note,
        line.calls or None,
        line.debit,
        line.credit,
        granted,
        line.balance,
    )
