"""The gateways of a carrier: the list, adding one, changing, suspending and deleting it."""

from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web
from pydantic import ValidationError

from admin import audit, render
from admin.errors import NotFound
from admin.forms import carrier as layout
from admin.forms.field import Filled, Section, faults, typed, without_secrets
from admin.keys import POOL, SETTINGS
from admin.paging import page_request
from admin.stores import carriers
from admin.stores.carriers import STATUSES, Carrier
from admin.views.carrier_frame import find, frame, in_progress, number_in, sessions
from admin.views.customer_frame import address
from b2bua.account.errors import Refused
from b2bua.routing import gateway as form_model
from b2bua.routing import removal, store
from b2bua.routing.registry import add_gateway, change_gateway
from conf.secret import CARRIERS, Vault, load_secret


async def show_list(request: web.Request) -> web.StreamResponse:
    """Show a page of the gateways."""
    carrier = await find(request)
    page = await carriers.list_gateways(request.app[POOL], carrier, page_request(request.query, (str,)))
    return await render.page(request, "carriers/gateways", {**frame(request, carrier, "gateways"), "page": page})


def _sections(*, is_new: bool) -> list[Section]:
    first, *rest = layout.GATEWAY_SECTIONS
    if not is_new:
        return [first, *rest]
    last = rest.pop()
    kept = tuple(each for each in last.inputs if each.name != "forgets_secret")
    return [
        Section(first.name, first.title, first.purpose, (layout.NAME, *first.inputs)),
        *rest,
        Section(last.name, last.title, last.purpose, kept),
    ]


async def _typed(request: web.Request, sections: Sequence[Section]) -> dict[str, str]:
    return typed(await request.post(), (each for section in sections for each in section.inputs))


def _sealed(request: web.Request, secret: str) -> str:
    """A secret as it is kept."""
    return Vault(load_secret(request.app[SETTINGS]), CARRIERS).seal(secret) if secret else ""


async def new_form(request: web.Request) -> web.StreamResponse:
    """Show an empty form."""
    return await _page(request, await find(request), form_model.START, {})


async def add(request: web.Request) -> web.StreamResponse:
    """Make a gateway."""
    carrier = await find(request)
    values = await _typed(request, _sections(is_new=True))
    try:
        form = form_model.NewGateway.model_validate(values)
        async with request.app[POOL].acquire(timeout=5) as connection, connection.transaction():
            await add_gateway(connection, carrier.carrier_id, form, _sealed(request, form.auth_secret))
            new = form.columns() | ({"auth_secret": ""} if form.auth_secret else {})
            await audit.write(connection, request, "gateway.add", _title(carrier, form.name), new=new)
    except (ValidationError, Refused) as error:
        return await _page(request, carrier, values, faults(error))
    await render.flash(request, f"Gateway {form.name} added: it takes calls from the next one on")
    return render.see_other(address(request, "carrier_gateway.list", carrier=carrier.code))


def _title(carrier: Carrier, name: str) -> str:
    return f"gateway {name} of {carrier.code}"


async def _find(request: web.Request) -> tuple[Carrier, dict[str, Any]]:
    carrier = await find(request)
    return carrier, await carriers.find_gateway(request.app[POOL], carrier, number_in(request, "gateway"))


async def details(request: web.Request) -> web.StreamResponse:
    """Show a gateway in its form."""
    carrier, row = await _find(request)
    return await _page(request, carrier, form_model.texts_of(row), {}, row=row)


async def change(request: web.Request) -> web.StreamResponse:
    """Store what was changed; an empty secret leaves the one that is kept."""
    carrier, row = await _find(request)
    values = await _typed(request, _sections(is_new=False))
    try:
        form = form_model.ChangedGateway.model_validate(values)
        secret = _sealed(request, form.auth_secret) if form.auth_secret else "" if form.forgets_secret else None
        async with request.app[POOL].acquire(timeout=5) as connection, connection.transaction():
            old, new = await change_gateway(connection, row["name"], form, secret)
            if new:
                title = _title(carrier, row["name"])
                await audit.write(connection, request, "gateway.change", title, old=old, new=new)
    except (ValidationError, Refused) as error:
        return await _page(request, carrier, values, faults(error), row=row)
    await render.flash(request, "Changes saved: they hold from the next call on" if new else "Nothing was changed")
    return render.see_other(address(request, "carrier_gateway.details", carrier=carrier.code, gateway=row["id"]))


async def _page(
    request: web.Request,
    carrier: Carrier,
    values: Mapping[str, str],
    errors: Mapping[str, str],
    *,
    row: Mapping[str, Any] | None = None,
    reasons: Sequence[str] = (),
) -> web.StreamResponse:
    sections = _sections(is_new=row is None)
    inputs = [each for section in sections for each in section.inputs]
    page = {
        **frame(request, carrier, "gateways"),
        "form": Filled(without_secrets(values, inputs), errors),
        "sections": sections,
        "row": row,
        "reasons": reasons,
    }
    return await render.page(request, "carriers/gateway", page, status=422 if errors or reasons else 200)


async def set_status(request: web.Request) -> web.StreamResponse:
    """Suspend a gateway or let it take calls again; calls in progress go on."""
    carrier, row = await _find(request)
    status = str((await request.post()).get("status", ""))
    if status not in STATUSES:
        raise NotFound
    if status != row["status"]:
        async with request.app[POOL].acquire(timeout=5) as connection, connection.transaction():
            await store.set_gateway(connection, row["name"], {"status": status})
            old, new, title = {"status": row["status"]}, {"status": status}, _title(carrier, row["name"])
            await audit.write(connection, request, "gateway.set_status", title, old=old, new=new)
    await render.flash(request, f"Gateway {row['name']} is {status}")
    return render.see_other(address(request, "carrier_gateway.list", carrier=carrier.code))


async def remove(request: web.Request) -> web.StreamResponse:
    """Delete a gateway that nothing names, or say what stands against it."""
    carrier, row = await _find(request)
    reasons = in_progress(await sessions(request, [row["id"]]))
    async with request.app[POOL].acquire(timeout=5) as connection, connection.transaction():
        reasons += await removal.against_gateway(connection, row["id"])
        if not reasons:
            await store.remove_gateway(connection, row["id"])
            old = {name: value for name, value in row.items() if name != "has_secret"}
            await audit.write(connection, request, "gateway.delete", _title(carrier, row["name"]), old=old)
    if reasons:
        return await _page(request, carrier, form_model.texts_of(row), {}, row=row, reasons=reasons)
    await render.flash(request, f"Gateway {row['name']} deleted")
    return render.see_other(address(request, "carrier_gateway.list", carrier=carrier.code))
