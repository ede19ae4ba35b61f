"""Call records: the list and one record."""

from uuid import UUID

from aiohttp import web

from admin import render, signalling
from admin.errors import NotFound
from admin.keys import POOL, USER
from admin.ladder import make_ladder
from admin.paging import page_request
from admin.permissions import Permission
from admin.stores.records import KEY, RecordFilter, find_record, list_records
from admin.views import explain


async def show_list(request: web.Request) -> web.StreamResponse:
    """Show a page of the records in scope, newest first."""
    chosen = RecordFilter.read(request.query)
    user = request[USER]
    if not user.may(Permission.CARRIERS_READ) and chosen.gateway:
        raise NotFound
    page = await list_records(request.app[POOL], user.scope, chosen, page_request(request.query, KEY))
    context = {"page": page, "filter": chosen, "codes": list(signalling.CODES)[1:]}
    return await render.page(request, "call_records/list", context)


async def show_detail(request: web.Request) -> web.StreamResponse:
    """Show one record with its charges and messages."""
    user = request[USER]
    try:
        call_id, attempt = UUID(request.match_info["call_id"]), int(request.match_info["attempt"])
    except ValueError:
        raise NotFound from None
    record = await find_record(
        request.app[POOL],
        user.scope,
        call_id,
        attempt,
        money=user.may(Permission.MONEY_READ),
        carrier_cost=user.may(Permission.CARRIER_COST_READ),
        carriers=user.may(Permission.CARRIERS_READ),
    )
    context = {
        "record": record.fields,
        "charges": record.charges,
        "attempts": record.attempts,
        "ladder": make_ladder(record.messages),
        "explain_address": explain.address_for(request, record.fields),
    }
    return await render.page(request, "call_records/detail", context)
