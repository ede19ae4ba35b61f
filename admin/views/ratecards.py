"""Ratecards: the list with a form to add one, and the name and direction of one."""

from collections.abc import Mapping

from aiohttp import web
from pydantic import ValidationError

from admin import audit, render
from admin.forms import tariff as layout
from admin.forms.field import Filled, faults, typed
from admin.keys import POOL, USER
from admin.paging import page_request
from admin.permissions import Permission
from admin.stores import tariffs
from admin.stores.tariffs import Ratecard
from admin.views.customer_frame import address
from b2bua.account import pricing
from b2bua.account import tariff as forms
from b2bua.account.errors import Refused


async def find(request: web.Request) -> Ratecard:
    """The ratecard that the address names.

    Raises:
        NotFound: there is none in the scope of the login.
    """
    return await tariffs.find_ratecard(request.app[POOL], request[USER].scope, request.match_info["ratecard"])


async def show_list(request: web.Request) -> web.StreamResponse:
    """Show a page of the ratecards in scope, with an empty form."""
    return await _list(request, layout.START, {})


async def _list(request: web.Request, values: Mapping[str, str], errors: Mapping[str, str]) -> web.StreamResponse:
    search = request.query.get("q", "").strip()[:100]
    asked = page_request(request.query, tariffs.KEY)
    context = {
        "page": await tariffs.list_ratecards(request.app[POOL], request[USER].scope, search, asked),
        "search": search,
        "form": Filled(values, errors),
        "inputs": layout.RATECARD,
    }
    return await render.page(request, "ratecards/list", context, status=422 if errors else 200)


async def add(request: web.Request) -> web.StreamResponse:
    """Make a ratecard and go on to its rates; a reseller's is its own."""
    user, values = request[USER], typed(await request.post(), layout.RATECARD)
    try:
        form = forms.Ratecard.model_validate(values)
        async with request.app[POOL].acquire(timeout=5) as connection, connection.transaction():
            added = await pricing.add_ratecard(connection, form, user.account_id)
            await audit.write(
                connection,
                request,
                "ratecard.add",
                f"ratecard {form.name}",
                account_id=user.account_id,
                new=form.model_dump(mode="json"),
            )
    except (ValidationError, Refused) as error:
        return await _list(request, values, faults(error))
    await render.flash(request, f"Ratecard {form.name} added: add its rates, or import a file")
    return render.see_other(address(request, "rate.list", ratecard=added))


async def details(request: web.Request) -> web.StreamResponse:
    """Show a ratecard in its form."""
    ratecard = await find(request)
    return await _details(request, ratecard, {"name": ratecard.name, "direction": ratecard.direction}, {})


async def change(request: web.Request) -> web.StreamResponse:
    """Store a changed ratecard."""
    ratecard, values = await find(request), typed(await request.post(), layout.RATECARD)
    try:
        form = forms.Ratecard.model_validate(values)
        async with request.app[POOL].acquire(timeout=5) as connection, connection.transaction():
            old, new = await pricing.change_ratecard(connection, ratecard.ratecard_id, form)
            if new:
                await audit.write(
                    connection,
                    request,
                    "ratecard.change",
                    ratecard.title,
                    account_id=ratecard.owner_id,
                    old=old,
                    new=new,
                )
    except (ValidationError, Refused) as error:
        return await _details(request, ratecard, values, faults(error))
    await render.flash(request, "Changes saved" if new else "Nothing was changed")
    return render.see_other(address(request, "rate.list", ratecard=ratecard.ratecard_id))


async def remove(request: web.Request) -> web.StreamResponse:
    """Remove a ratecard that is in no tariff; its name has to be typed, since nothing brings its rates back."""
    ratecard = await find(request)
    kept = {"name": ratecard.name, "direction": ratecard.direction}
    if str((await request.post()).get("typed_name", "")).strip() != ratecard.name:
        return await _details(request, ratecard, kept, {"typed_name": f"Type {ratecard.name} to delete it"})
    try:
        async with request.app[POOL].acquire(timeout=5) as connection, connection.transaction():
            await pricing.remove_ratecard(connection, ratecard.ratecard_id)
            await audit.write(
                connection, request, "ratecard.remove", ratecard.title, account_id=ratecard.owner_id, old=kept
            )
    except Refused as error:
        return await _details(request, ratecard, kept, faults(error))
    await render.flash(request, f"Ratecard {ratecard.name} deleted with its rates")
    return render.see_other(address(request, "ratecard.list"))


async def _details(
    request: web.Request, ratecard: Ratecard, values: Mapping[str, str], errors: Mapping[str, str]
) -> web.StreamResponse:
    context = {
        "ratecard": ratecard,
        "form": Filled(values, errors),
        "inputs": layout.RATECARD,
        "may_change": request[USER].may(Permission.TARIFFS_WRITE),
    }
    return await render.page(request, "ratecards/details", context, status=422 if errors else 200)
