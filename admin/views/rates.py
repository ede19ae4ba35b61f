"""Rates of a ratecard: searched, added, changed and removed in place; and those that a customer pays."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from aiohttp import web
from pydantic import ValidationError

from admin import audit, render
from admin.errors import NotFound
from admin.forms import tariff as layout
from admin.forms.field import Filled, Input, faults, typed
from admin.keys import POOL, USER
from admin.paging import COUNT_LIMIT, page_request
from admin.permissions import Permission
from admin.stores import rates
from admin.stores.rates import Rate, RateFilter
from admin.stores.tariffs import Ratecard
from admin.views import ratecards
from admin.views.customer_frame import address, find, frame, sees_rates
from b2bua.account import pricing
from b2bua.account import tariff as forms
from b2bua.account.errors import Refused


def _inputs(ratecard: Ratecard) -> list[Input]:
    """What only DIDs have is not asked where there are none."""
    return [each for each in layout.RATE if ratecard.direction == "incoming" or each not in layout.OF_DIDS]


async def show_list(request: web.Request) -> web.StreamResponse:
    """Show a page of the rates, with an empty form."""
    return await _page(request, await ratecards.find(request), layout.START, {})


async def add(request: web.Request) -> web.StreamResponse:
    """Add a rate."""
    ratecard = await ratecards.find(request)
    values = typed(await request.post(), _inputs(ratecard))
    try:
        form = forms.Rate.model_validate(values)
        async with request.app[POOL].acquire(timeout=5) as connection, connection.transaction():
            added = await pricing.add_rate(connection, ratecard.ratecard_id, form)
            new = (await rates.find_rate(connection, ratecard.ratecard_id, str(added))).values
            await _audit(connection, request, ratecard, "rate.add", form.prefix, new=forms.texts_of(new))
    except (ValidationError, Refused) as error:
        return await _page(request, ratecard, values, faults(error))
    await render.flash(request, f"Rate of {form.prefix or '%'} added: it counts from the next call on")
    return _back(request, ratecard, form.prefix)


async def edit_form(request: web.Request) -> web.StreamResponse:
    """Show one rate in its form."""
    ratecard, rate = await _find(request)
    return await _page(request, ratecard, forms.texts_of(rate.values), {}, rate=rate)


async def change(request: web.Request) -> web.StreamResponse:
    """Store a changed rate."""
    ratecard, rate = await _find(request)
    values = typed(await request.post(), _inputs(ratecard))
    try:
        form = forms.Rate.model_validate(forms.texts_of(rate.values) | values)
        async with request.app[POOL].acquire(timeout=5) as connection, connection.transaction():
            old, new = await pricing.change_rate(connection, rate.rate_id, form)
            if new:
                await _audit(connection, request, ratecard, "rate.change", rate.prefix, old=old, new=new)
    except (ValidationError, Refused) as error:
        return await _page(request, ratecard, values, faults(error), rate=rate)
    text = f"Rate of {form.prefix or '%'} saved: it counts from the next call on" if new else "Nothing was changed"
    await render.flash(request, text)
    return _back(request, ratecard, form.prefix)


def _back(request: web.Request, ratecard: Ratecard, prefix: str) -> web.StreamResponse:
    """Go where the rate is seen among a million."""
    place = address(request, "rate.list", ratecard=ratecard.ratecard_id)
    return render.see_other(f"{place}?{urlencode({'q': prefix})}" if prefix else place)


async def remove(request: web.Request) -> web.StreamResponse:
    """Remove a rate."""
    ratecard, rate = await _find(request)
    async with request.app[POOL].acquire(timeout=5) as connection, connection.transaction():
        await pricing.remove_rate(connection, rate.rate_id)
        await _audit(connection, request, ratecard, "rate.remove", rate.prefix, old=forms.texts_of(rate.values))
    await render.flash(request, f"Rate of {rate.prefix} removed")
    return render.see_other(address(request, "rate.list", ratecard=ratecard.ratecard_id))


async def _find(request: web.Request) -> tuple[Ratecard, Rate]:
    ratecard = await ratecards.find(request)
    return ratecard, await rates.find_rate(request.app[POOL], ratecard.ratecard_id, request.match_info["rate"])


async def _audit(
    connection: Any,  # noqa: ANN401
    request: web.Request,
    ratecard: Ratecard,
    action: str,
    prefix: str,
    *,
    old: Mapping[str, Any] | None = None,
    new: Mapping[str, Any] | None = None,
) -> None:
    subject = f"rate {prefix or '%'} of {ratecard.title}"
    await audit.write(connection, request, action, subject, account_id=ratecard.owner_id, old=old, new=new)


async def _page(
    request: web.Request,
    ratecard: Ratecard,
    values: Mapping[str, str],
    errors: Mapping[str, str],
    *,
    rate: Rate | None = None,
) -> web.StreamResponse:
    chosen = RateFilter.read(request.query)
    asked = page_request(request.query, rates.KEY)
    page, total = await rates.list_rates(request.app[POOL], ratecard.ratecard_id, chosen, asked)
    context = {
        "ratecard": ratecard,
        "page": page,
        "total": total,
        "count_limit": COUNT_LIMIT,
        "filter": chosen,
        "whens": rates.WHENS,
        "statuses": forms.RATE_STATUSES,
        "at": datetime.now(UTC),
        "form": Filled(values, errors),
        "inputs": _inputs(ratecard),
        "rate": rate,
        "may_change": request[USER].may(Permission.TARIFFS_WRITE),
    }
    return await render.page(request, "rates/list", context, status=422 if errors else 200)


# What a customer or reseller pays


async def show_own(request: web.Request) -> web.StreamResponse:
    """Lead a customer or reseller to its own rates."""
    user = request[USER]
    route = "reseller_account_rate.list" if user.role == "reseller" else "account_rate.list"
    return render.see_other(address(request, route, code=user.account or "-"))


async def show_of_account(request: web.Request) -> web.StreamResponse:
    """Show a page of the rates that a customer or reseller pays now."""
    account = await find(request, takes_own=True)
    if not sees_rates(request, account):
        raise NotFound
    search = request.query.get("q", "").strip()[:100]
    asked = page_request(request.query, rates.OWN_KEY)
    context = {
        **frame(request, account, "rates"),
        "page": await rates.list_own(request.app[POOL], account.account_id, search, asked),
        "tariff": await rates.tariff_of(request.app[POOL], account.account_id),
        "search": search,
    }
    return await render.page(request, "rates/own", context)
