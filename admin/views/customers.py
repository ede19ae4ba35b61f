"""The list of customers: searched, sorted, with the columns a login chose, and as a file."""

from collections import Counter
from collections.abc import Mapping
from datetime import UTC
from typing import Any, Final

from aiohttp import web

from admin import export, render
from admin.errors import NotFound
from admin.keys import CONTROL, POOL, SETTINGS, USER
from admin.paging import COUNT_LIMIT, PAGE_SIZE, page_request
from admin.permissions import Permission
from admin.stores import accounts, users
from admin.stores.customers import (
    SORTS,
    STATUSES,
    TYPES,
    Customer,
    CustomerFilter,
    all_customers,
    chosen_customers,
    list_customers,
)
from b2bua.control.client import ControlClient
from b2bua.control.messages import CALLS_LIMIT

LIST: Final = "customers"
COLUMNS: Final = {
    "code": "Code",
    "company": "Company",
    "status": "Status",
    "login": "Web user",
    "tariff": "Tariff",
    "balance": "Balance",
    "credit": "Credit",
    "calls": "Calls now",
    "cps": "Calls/s",
    "billing": "Billing",
    "parent": "Reseller",
    "created": "Since",
}
USUAL: Final = ("code", "status", "balance", "calls", "billing", "parent")
OF_MONEY: Final = frozenset({"balance", "credit", "tariff"})
SIZES: Final = (10, 20, 50, 100, 200, 500)
MOST_CHOSEN: Final = SIZES[-1]
"""Customers that are selected at a time: a page of them."""


def _order(query: Mapping[str, str]) -> tuple[str, bool]:
    text = query.get("sort", "code")
    name = text.lstrip("-")
    return (name, text.startswith("-")) if name in SORTS else ("code", False)


async def show_list(request: web.Request) -> web.StreamResponse:
    """Show a page of the customers in scope."""
    chosen, (name, descending) = CustomerFilter.read(request.query), _order(request.query)
    columns, size = await _preferences(request)
    asked = page_request(request.query, SORTS[name].key, size)
    page, total = await list_customers(
        request.app[POOL], request[USER].scope, chosen, asked, sort=name, descending=descending
    )
    context = {
        "page": page,
        "total": total,
        "count_limit": COUNT_LIMIT,
        "filter": chosen,
        "statuses": {status: status.capitalize() for status in STATUSES},
        "types": TYPES,
        "sort": f"-{name}" if descending else name,
        "calls": await _calls_now(request.app[CONTROL], page.rows) if "calls" in columns else None,
        "columns": columns,
        "all_columns": _allowed(request),
        "size": size,
        "sizes": SIZES,
        "formats": export.NOTES,
        "tariffs": await _tariffs(request),
        "ends_calls": request.app[SETTINGS].call.ends_suspended,
    }
    return await render.page(request, "customers/list", context)


async def _tariffs(request: web.Request) -> dict[str, str]:
    """What the selected ones may be given: a reseller has those of its own currency."""
    user, pool = request[USER], request.app[POOL]
    if not (user.may(Permission.CUSTOMERS_WRITE) and user.may(Permission.MONEY_READ)):
        return {}
    known = await accounts.resellers(pool, user.scope) if user.scope.top is not None else []
    currency = known[0][2] if known else None
    return {name: f"{name} ({money})" for name, money in await accounts.tariff_names(pool, currency, user.scope)}


def _allowed(request: web.Request) -> dict[str, str]:
    sees_money = request[USER].may(Permission.MONEY_READ)
    return {name: title for name, title in COLUMNS.items() if sees_money or name not in OF_MONEY}


async def _preferences(request: web.Request) -> tuple[list[str], int]:
    kept: Any = (await users.preferences(request.app[POOL], request[USER].user_id)).get(LIST, {})
    allowed = _allowed(request)
    columns = [name for name in allowed if name in kept.get("columns", USUAL)]
    size = kept.get("rows", PAGE_SIZE)
    return columns, size if size in SIZES else PAGE_SIZE


async def choose_columns(request: web.Request) -> web.StreamResponse:
    """Keep the columns and rows of a page for this login."""
    fields = await request.post()
    columns = [name for name in COLUMNS if name in fields.getall("column", [])]
    rows = str(fields.get("rows", ""))
    value = {"columns": columns, "rows": int(rows) if rows.isdecimal() and int(rows) in SIZES else PAGE_SIZE}
    await users.set_preference(request.app[POOL], request[USER].user_id, LIST, value)
    back = render.own_address(str(fields.get("next", "")), str(request.app.router["customer.list"].url_for()))
    return render.see_other(back)


async def _calls_now(control: ControlClient, customers: list[Customer]) -> Counter[int] | None:
    """Live calls of each account; None when there are more than one answer holds."""
    if not customers:
        return Counter()
    total, calls = await control.calls([customer.account_id for customer in customers], limit=CALLS_LIMIT)
    return Counter(call["account_id"] for call in calls) if total == len(calls) else None


async def write_file(request: web.Request) -> web.StreamResponse:
    """Send everything that is listed, all pages, as a file."""
    kind = request.query.get("format", "csv")
    if kind not in export.TYPES:
        raise NotFound
    chosen, (name, descending) = CustomerFilter.read(request.query), _order(request.query)
    sees_money = request[USER].may(Permission.MONEY_READ)

    async def rows() -> export.Rows:
        found = all_customers(request.app[POOL], request[USER].scope, chosen, sort=name, descending=descending)
        async for customer in found:
            yield _row(customer, sees_money=sees_money)

    return await export.send(request, kind, _sheet(sees_money=sees_money), rows())


async def write_chosen(request: web.Request) -> web.StreamResponse:
    """Send the customers that were selected as a file."""
    fields = await request.post()
    kind = str(fields.get("format", ""))
    if kind not in export.TYPES:
        raise NotFound
    sees_money = request[USER].may(Permission.MONEY_READ)
    codes = [str(code) for code in fields.getall("code", [])][:MOST_CHOSEN]
    found = await chosen_customers(request.app[POOL], request[USER].scope, codes)

    async def rows() -> export.Rows:
        for customer in found:
            yield _row(customer, sees_money=sees_money)

    return await export.send(request, kind, _sheet(sees_money=sees_money), rows())


def _sheet(*, sees_money: bool) -> export.Sheet:
    heads = ["Account", "Name", "Company", "Type", "Status", "Web user", "Billing", "Sessions", "Calls/s", "Reseller"]
    widths = [22, 34, 34, 12, 18, 22, 18, 19, 16, 22]
    if sees_money:
        heads += ["Tariff", "Balance", "Credit", "Currency"]
        widths += [24, 22, 20, 19]
    return export.Sheet("Customers", "customers", [*heads, "Since (UTC)"], [*widths, 37])


def _row(customer: Customer, *, sees_money: bool) -> list[export.Value]:
    money: list[export.Value] = [customer.tariff or "", customer.balance, customer.credit, customer.currency]
    return [
        customer.code,
        customer.name,
        customer.company,
        customer.customer_type.upper(),
        customer.status,
        customer.login or "",
        customer.billing_type,
        "no limit" if customer.max_sessions is None else customer.max_sessions,
        "no limit" if customer.cps is None else customer.cps,
        customer.parent or "",
        *(money if sees_money else []),
        f"{customer.created_at.astimezone(UTC):%Y-%m-%d %H:%M:%S}",
    ]
