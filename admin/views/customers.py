"""The list of customers."""

from collections import Counter

from aiohttp import web

from admin import render
from admin.keys import CONTROL, POOL, USER
from admin.paging import COUNT_LIMIT, page_request
from admin.stores.customers import SORTS, STATUSES, Customer, CustomerFilter, list_customers
from b2bua.control.client import ControlClient
from b2bua.control.messages import CALLS_LIMIT


async def show_list(request: web.Request) -> web.StreamResponse:
    """Show a page of the customers in scope."""
    chosen = CustomerFilter.read(request.query)
    sort = request.query.get("sort", "code")
    descending = sort.startswith("-")
    name = sort.lstrip("-") if sort.lstrip("-") in SORTS else "code"
    asked = page_request(request.query, SORTS[name].key)
    page, total = await list_customers(
        request.app[POOL], request[USER].scope, chosen, asked, sort=name, descending=descending
    )
    context = {
        "page": page,
        "total": total,
        "count_limit": COUNT_LIMIT,
        "filter": chosen,
        "statuses": STATUSES,
        "sort": f"-{name}" if descending else name,
        "calls": await _calls_now(request.app[CONTROL], page.rows),
    }
    return await render.page(request, "customers/list", context)


async def _calls_now(control: ControlClient, customers: list[Customer]) -> Counter[int] | None:
    """Live calls of each account; None when there are more than one answer holds."""
    if not customers:
        return Counter()
    total, calls = await control.calls([customer.account_id for customer in customers], limit=CALLS_LIMIT)
    return Counter(call["account_id"] for call in calls) if total == len(calls) else None
