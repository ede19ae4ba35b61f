"""Tariffs: the list, one with its ratecards, and their forms in place."""

from collections.abc import Mapping
from typing import Any

from aiohttp import web
from pydantic import ValidationError

from admin import audit, render
from admin.forms import tariff as layout
from admin.forms.field import Filled, Input, faults, typed
from admin.keys import POOL, USER
from admin.paging import page_request
from admin.permissions import Permission
from admin.stores import tariffs
from admin.stores.tariffs import Entry, Tariff
from admin.views.customer_frame import address
from b2bua.account import pricing
from b2bua.account import tariff as forms
from b2bua.account.errors import Refused


def _inputs(request: web.Request) -> list[Input]:
    """A reseller's tariffs are for accounts alone."""
    is_reseller = request[USER].scope.top is not None
    return [each for each in layout.TARIFF if not (is_reseller and each is layout.KIND)]


async def find(request: web.Request) -> Tariff:
    """The tariff that the address names.

    Raises:
        NotFound: there is none in the scope of the login.
    """
    return await tariffs.find_tariff(request.app[POOL], request[USER].scope, request.match_info["tariff"])


async def show_list(request: web.Request) -> web.StreamResponse:
    """Show a page of the tariffs in scope, with an empty form."""
    return await _list(request, await _start(request), {})


async def _start(request: web.Request) -> dict[str, str]:
    user = request[USER]
    query = "SELECT currency FROM account WHERE id = $1"
    currency = await request.app[POOL].fetchval(query, user.account_id) if user.account_id else ""
    return {**layout.START, "currency": currency}


async def _list(request: web.Request, values: Mapping[str, str], errors: Mapping[str, str]) -> web.StreamResponse:
    search = request.query.get("q", "").strip()[:100]
    asked = page_request(request.query, tariffs.KEY)
    context = {
        "page": await tariffs.list_tariffs(request.app[POOL], request[USER].scope, search, asked),
        "search": search,
        "kinds": forms.KINDS,
        "form": Filled(values, errors),
        "inputs": _inputs(request),
    }
    return await render.page(request, "tariffs/list", context, status=422 if errors else 200)


async def add(request: web.Request) -> web.StreamResponse:
    """Make a tariff and go on to it; a reseller's is its own."""
    user, values = request[USER], typed(await request.post(), _inputs(request))
    try:
        form = forms.Tariff.model_validate(values)
        async with request.app[POOL].acquire(timeout=5) as connection, connection.transaction():
            added = await pricing.add_tariff(connection, form, user.account_id)
            await audit.write(
                connection,
                request,
                "tariff.add",
                f"tariff {form.name}",
                account_id=user.account_id,
                new=form.model_dump(mode="json"),
            )
    except (ValidationError, Refused) as error:
        return await _list(request, values, faults(error))
    await render.flash(request, f"Tariff {form.name} added: put ratecards into it")
    return render.see_other(address(request, "tariff.details", tariff=added))


async def details(request: web.Request) -> web.StreamResponse:
    """Show a tariff in its form, and its ratecards."""
    return await _details(request, await find(request))


async def change(request: web.Request) -> web.StreamResponse:
    """Store a changed tariff."""
    tariff, values = await find(request), typed(await request.post(), _inputs(request))
    try:
        form = forms.Tariff.model_validate(values)
        async with request.app[POOL].acquire(timeout=5) as connection, connection.transaction():
            old, new = await pricing.change_tariff(connection, tariff.tariff_id, form)
            if new:
                await _audit(connection, request, tariff, "tariff.change", old=old, new=new)
    except (ValidationError, Refused) as error:
        return await _details(request, tariff, values, faults(error))
    text = "Changes saved: they hold from the next call on" if new else "Nothing was changed"
    await render.flash(request, text)
    return render.see_other(address(request, "tariff.details", tariff=tariff.tariff_id))


async def remove(request: web.Request) -> web.StreamResponse:
    """Remove a tariff that nobody has."""
    tariff = await find(request)
    try:
        async with request.app[POOL].acquire(timeout=5) as connection, connection.transaction():
            await pricing.remove_tariff(connection, tariff.tariff_id)
            old = {"name": tariff.name, "kind": tariff.kind, "currency": tariff.currency, "status": tariff.status}
            await _audit(connection, request, tariff, "tariff.remove", old=old)
    except Refused as error:
        return await _details(request, tariff, errors=faults(error))
    await render.flash(request, f"Tariff {tariff.name} removed; its ratecards are still there")
    return render.see_other(address(request, "tariff.list"))


# Ratecards in it


async def map_ratecard(request: web.Request) -> web.StreamResponse:
    """Put a ratecard into the tariff."""
    tariff, values = await find(request), typed(await request.post(), layout.MAPPING)
    try:
        form = forms.TariffRatecard.model_validate(values)
        async with request.app[POOL].acquire(timeout=5) as connection, connection.transaction():
            await pricing.map_ratecard(connection, tariff.tariff_id, form)
            await _audit(connection, request, tariff, "tariff.map", new=form.model_dump(mode="json"))
    except (ValidationError, Refused) as error:
        return await _details(request, tariff, mapping=values, errors=faults(error))
    await render.flash(request, f"Ratecard {form.ratecard} is in the tariff from the next call on")
    return render.see_other(address(request, "tariff.details", tariff=tariff.tariff_id))


async def edit_mapping(request: web.Request) -> web.StreamResponse:
    """Show when a ratecard counts, in its form."""
    tariff = await find(request)
    entry = await tariffs.find_mapping(request.app[POOL], tariff, request.match_info["entry"])
    return await _details(request, tariff, mapping=forms.texts_of(entry.row()), entry=entry)


async def change_mapping(request: web.Request) -> web.StreamResponse:
    """Store when a ratecard counts."""
    tariff = await find(request)
    entry = await tariffs.find_mapping(request.app[POOL], tariff, request.match_info["entry"])
    values = typed(await request.post(), layout.MAPPING) | {"ratecard": entry.ratecard}
    try:
        form = forms.TariffRatecard.model_validate(values)
        async with request.app[POOL].acquire(timeout=5) as connection, connection.transaction():
            old, new = await pricing.change_mapping(connection, entry.mapping_id, form)
            if new:
                what = {"ratecard": entry.ratecard}
                await _audit(connection, request, tariff, "tariff.map_change", old=what | old, new=what | new)
    except (ValidationError, Refused) as error:
        return await _details(request, tariff, mapping=values, errors=faults(error), entry=entry)
    await render.flash(request, f"Ratecard {entry.ratecard} saved" if new else "Nothing was changed")
    return render.see_other(address(request, "tariff.details", tariff=tariff.tariff_id))


async def unmap_ratecard(request: web.Request) -> web.StreamResponse:
    """Take a ratecard out of the tariff."""
    tariff = await find(request)
    entry = await tariffs.find_mapping(request.app[POOL], tariff, request.match_info["entry"])
    async with request.app[POOL].acquire(timeout=5) as connection, connection.transaction():
        await pricing.unmap_ratecard(connection, entry.mapping_id)
        await _audit(connection, request, tariff, "tariff.unmap", old=forms.texts_of(entry.row()))
    await render.flash(request, f"Ratecard {entry.ratecard} is not in the tariff any more")
    return render.see_other(address(request, "tariff.details", tariff=tariff.tariff_id))


async def _audit(
    connection: Any,  # noqa: ANN401
    request: web.Request,
    tariff: Tariff,
    action: str,
    *,
    old: Mapping[str, Any] | None = None,
    new: Mapping[str, Any] | None = None,
) -> None:
    await audit.write(connection, request, action, tariff.title, account_id=tariff.owner_id, old=old, new=new)


async def _details(
    request: web.Request,
    tariff: Tariff,
    values: Mapping[str, str] | None = None,
    errors: Mapping[str, str] | None = None,
    *,
    mapping: Mapping[str, str] | None = None,
    entry: Entry | None = None,
) -> web.StreamResponse:
    pool, errors = request.app[POOL], errors or {}
    kept = {name: str(getattr(tariff, name)) for name in ("name", "kind", "currency", "status")}
    offered = await tariffs.offered_ratecards(pool, tariff)
    mapping_errors = {} if mapping is None else errors
    context = {
        "tariff": tariff,
        "kinds": forms.KINDS,
        "entries": await tariffs.list_mappings(pool, tariff),
        "form": Filled(values or kept, {} if mapping is not None else errors),
        "inputs": _inputs(request),
        "mapping_form": Filled(layout.START if mapping is None else mapping, mapping_errors, {"ratecard": offered}),
        "mapping_inputs": [each for each in layout.MAPPING if entry is None or each.name != "ratecard"],
        "entry": entry,
        "may_change": request[USER].may(Permission.TARIFFS_WRITE),
    }
    return await render.page(request, "tariffs/details", context, status=422 if errors else 200)
