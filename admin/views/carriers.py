"""Carriers: the list, adding one, changing, suspending and deleting it."""

from collections.abc import Mapping
from typing import Any

from aiohttp import web
from pydantic import ValidationError

from admin import audit, render
from admin.errors import NotFound
from admin.forms import carrier as layout
from admin.forms.field import Filled, Section, faults, typed
from admin.keys import POOL
from admin.paging import page_request
from admin.stores import carriers
from admin.stores.carriers import STATUSES, Carrier
from admin.views.carrier_frame import find, frame
from admin.views.customer_frame import address
from b2bua.account.errors import Refused
from b2bua.routing import carrier as form_model
from b2bua.routing import removal, store
from b2bua.routing.registry import add_carrier, change_carrier


async def show_list(request: web.Request) -> web.StreamResponse:
    """Show a page of the carriers."""
    search, status = request.query.get("q", "").strip()[:100], request.query.get("status", "")
    status = status if status in STATUSES else ""
    page = await carriers.list_carriers(request.app[POOL], search, status, page_request(request.query, (str,)))
    return await render.page(request, "carriers/list", {"page": page, "search": search, "status": status})


def _new_sections() -> list[Section]:
    first, *rest = layout.SECTIONS
    return [Section(first.name, first.title, first.purpose, (*layout.NEW, *first.inputs)), *rest]


async def new_form(request: web.Request) -> web.StreamResponse:
    """Show an empty form."""
    code = await carriers.next_code(request.app[POOL])
    return await _new(request, {**form_model.START, "code": code}, {})


async def add(request: web.Request) -> web.StreamResponse:
    """Make a carrier, and go on to its gateways."""
    values = typed(await request.post(), (each for section in _new_sections() for each in section.inputs))
    try:
        form = form_model.NewCarrier.model_validate(values)
        async with request.app[POOL].acquire(timeout=5) as connection, connection.transaction():
            await add_carrier(connection, form)
            new = form.columns() | {"tariff": form.tariff, "currency": form.currency}
            await audit.write(connection, request, "carrier.add", f"carrier {form.code}", new=new)
    except (ValidationError, Refused) as error:
        return await _new(request, values, faults(error))
    await render.flash(
        request, f"Carrier {form.name} added: it takes calls once it has a gateway and stands in a route"
    )
    return render.see_other(address(request, "carrier_gateway.list", carrier=form.code))


async def _new(request: web.Request, values: Mapping[str, str], errors: Mapping[str, str]) -> web.StreamResponse:
    page = {
        "form": Filled(values, errors, await _choices(request, values)),
        "sections": _new_sections(),
    }
    return await render.page(request, "carriers/new", page, status=422 if errors else 200)


async def _choices(request: web.Request, values: Mapping[str, str]) -> dict[str, Mapping[str, str]]:
    tariffs = await carriers.tariff_names(request.app[POOL])
    if name := values.get("tariff"):
        tariffs.setdefault(name, name)
    return {"tariff": {"": "None: it takes no calls", **tariffs}}


async def details(request: web.Request) -> web.StreamResponse:
    """Show a carrier in its form."""
    carrier = await find(request)
    row = await carriers.read_form(request.app[POOL], carrier)
    return await _details(request, carrier, form_model.texts_of(row), {})


async def change(request: web.Request) -> web.StreamResponse:
    """Store what was changed."""
    carrier = await find(request)
    values = typed(await request.post(), (each for section in layout.SECTIONS for each in section.inputs))
    try:
        form = form_model.Carrier.model_validate(values)
        async with request.app[POOL].acquire(timeout=5) as connection, connection.transaction():
            old, new = await change_carrier(connection, carrier.code, form)
            if new:
                await audit.write(connection, request, "carrier.change", carrier.title, old=old, new=new)
    except (ValidationError, Refused) as error:
        return await _details(request, carrier, values, faults(error))
    await render.flash(request, "Changes saved: they hold from the next call on" if new else "Nothing was changed")
    return render.see_other(address(request, "carrier.details", carrier=carrier.code))


async def _details(
    request: web.Request, carrier: Carrier, values: Mapping[str, str], errors: Mapping[str, str]
) -> web.StreamResponse:
    page = {
        **frame(request, carrier, "details"),
        "form": Filled(values, errors, await _choices(request, values)),
        "sections": layout.SECTIONS,
    }
    return await render.page(request, "carriers/details", page, status=422 if errors else 200)


async def set_status(request: web.Request) -> web.StreamResponse:
    """Suspend a carrier or let it take calls again; calls in progress go on."""
    carrier = await find(request)
    status = str((await request.post()).get("status", ""))
    if status not in STATUSES:
        raise NotFound
    if status != carrier.status:
        async with request.app[POOL].acquire(timeout=5) as connection, connection.transaction():
            await store.set_carrier(connection, carrier.code, {"status": status})
            old, new = {"status": carrier.status}, {"status": status}
            await audit.write(connection, request, "carrier.set_status", carrier.title, old=old, new=new)
    more = ": new calls go elsewhere" if status == "inactive" else ""
    await render.flash(request, f"{carrier.name} is {status}{more}")
    return render.see_other(address(request, "carrier.details", carrier=carrier.code))


async def delete_form(request: web.Request) -> web.StreamResponse:
    """Ask for the name, or say what stands against it."""
    carrier = await find(request)
    async with request.app[POOL].acquire(timeout=5) as connection, connection.transaction():
        reasons = await removal.against_carrier(connection, carrier.carrier_id)
    return await _delete_form(request, carrier, reasons, {})


async def _delete_form(
    request: web.Request, carrier: Carrier, reasons: list[str], errors: dict[str, str]
) -> web.StreamResponse:
    page: dict[str, Any] = {**frame(request, carrier, ""), "reasons": reasons, "form": Filled({}, errors)}
    return await render.page(request, "carriers/delete", page, status=422 if errors or reasons else 200)


async def delete(request: web.Request) -> web.StreamResponse:
    """Delete a carrier whose name was typed and that nothing names."""
    carrier = await find(request)
    name = str((await request.post()).get("typed_name", "")).strip()
    async with request.app[POOL].acquire(timeout=5) as connection, connection.transaction():
        reasons = await removal.against_carrier(connection, carrier.carrier_id)
        if reasons:
            return await _delete_form(request, carrier, reasons, {})
        if name != carrier.name:
            return await _delete_form(request, carrier, [], {"typed_name": f"Type the name as it is: {carrier.name}"})
        old = {**await carriers.read_form(connection, carrier), "currency": carrier.currency}
        await store.remove_carrier(connection, carrier.carrier_id)
        await audit.write(connection, request, "carrier.delete", carrier.title, old=old)
    await render.flash(request, f"Carrier {carrier.name} ({carrier.code}) deleted")
    return render.see_other(address(request, "carrier.list"))
