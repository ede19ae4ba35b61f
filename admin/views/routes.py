"""Routes: the list, adding one, changing, suspending and deleting it."""

from collections.abc import Mapping

from aiohttp import web
from pydantic import ValidationError

from admin import audit, render
from admin.errors import NotFound
from admin.forms import route as layout
from admin.forms.field import Filled, Section, faults, typed
from admin.keys import POOL
from admin.paging import page_request
from admin.stores import routes
from admin.stores.routes import Route
from admin.views.customer_frame import address
from admin.views.route_frame import find, frame
from b2bua.account.device import STATUSES
from b2bua.account.errors import Refused
from b2bua.routing import removal, store
from b2bua.routing import route as form_model
from b2bua.routing.registry import add_route, change_route


async def show_list(request: web.Request) -> web.StreamResponse:
    """Show a page of the routes."""
    search = request.query.get("q", "").strip()[:100]
    page = await routes.list_routes(request.app[POOL], search, page_request(request.query, (str,)))
    return await render.page(request, "routes/list", {"page": page, "search": search, "modes": form_model.MODES})


def _sections(*, is_new: bool) -> list[Section]:
    first, *rest = layout.SECTIONS
    if is_new:
        first = Section(first.name, first.title, first.purpose, (layout.NAME, *first.inputs))
    return [first, *rest]


async def new_form(request: web.Request) -> web.StreamResponse:
    """Show an empty form."""
    return await _new(request, form_model.START, {})


async def add(request: web.Request) -> web.StreamResponse:
    """Make a route, and go on to its entries."""
    values = typed(await request.post(), (each for section in _sections(is_new=True) for each in section.inputs))
    try:
        form = form_model.NewRoute.model_validate(values)
        async with request.app[POOL].acquire(timeout=5) as connection, connection.transaction():
            route_id = await add_route(connection, form)
            await audit.write(connection, request, "route.add", f"route {form.name}", new=form.columns())
    except (ValidationError, Refused) as error:
        return await _new(request, values, faults(error))
    await render.flash(request, f"Route {form.name} added: it leads nowhere until it has an entry")
    return render.see_other(address(request, "route_entry.list", route=route_id))


async def _new(request: web.Request, values: Mapping[str, str], errors: Mapping[str, str]) -> web.StreamResponse:
    page = {"form": Filled(values, errors), "sections": _sections(is_new=True)}
    return await render.page(request, "routes/new", page, status=422 if errors else 200)


async def details(request: web.Request) -> web.StreamResponse:
    """Show a route in its form, and who calls over it."""
    route = await find(request)
    values = form_model.texts_of(await routes.read_form(request.app[POOL], route))
    return await _details(request, route, values, {})


async def change(request: web.Request) -> web.StreamResponse:
    """Store what was changed."""
    route = await find(request)
    values = typed(await request.post(), (each for section in layout.SECTIONS for each in section.inputs))
    try:
        form = form_model.Route.model_validate(values)
        async with request.app[POOL].acquire(timeout=5) as connection, connection.transaction():
            old, new = await change_route(connection, route.name, form)
            if new:
                await audit.write(connection, request, "route.change", route.title, old=old, new=new)
    except (ValidationError, Refused) as error:
        return await _details(request, route, values, faults(error))
    await render.flash(request, "Changes saved: they hold from the next call on" if new else "Nothing was changed")
    return render.see_other(address(request, "route.details", route=route.route_id))


async def _details(
    request: web.Request, route: Route, values: Mapping[str, str], errors: Mapping[str, str]
) -> web.StreamResponse:
    page = {
        **frame(request, route, "details"),
        "form": Filled(values, errors),
        "sections": layout.SECTIONS,
        "users": await routes.used_by(request.app[POOL], route),
    }
    return await render.page(request, "routes/details", page, status=422 if errors else 200)


async def set_status(request: web.Request) -> web.StreamResponse:
    """Suspend a route or let it lead calls again; calls in progress go on."""
    route = await find(request)
    status = str((await request.post()).get("status", ""))
    if status not in STATUSES:
        raise NotFound
    if status != route.status:
        async with request.app[POOL].acquire(timeout=5) as connection, connection.transaction():
            await store.set_route(connection, route.name, {"status": status})
            old, new = {"status": route.status}, {"status": status}
            await audit.write(connection, request, "route.set_status", route.title, old=old, new=new)
    await render.flash(request, f"Route {route.name} is {status}")
    return render.see_other(address(request, "route_entry.list", route=route.route_id))


async def delete_form(request: web.Request) -> web.StreamResponse:
    """Ask for the name, or say what stands against it."""
    route = await find(request)
    async with request.app[POOL].acquire(timeout=5) as connection, connection.transaction():
        reasons = await removal.against_route(connection, route.route_id)
    return await _delete_form(request, route, reasons, {})


async def _delete_form(
    request: web.Request, route: Route, reasons: list[str], errors: dict[str, str]
) -> web.StreamResponse:
    page = {**frame(request, route, ""), "reasons": reasons, "form": Filled({}, errors)}
    return await render.page(request, "routes/delete", page, status=422 if errors or reasons else 200)


async def delete(request: web.Request) -> web.StreamResponse:
    """Delete a route whose name was typed and that nobody calls over, with its entries and permissions."""
    route = await find(request)
    name = str((await request.post()).get("typed_name", "")).strip()
    async with request.app[POOL].acquire(timeout=5) as connection, connection.transaction():
        reasons = await removal.against_route(connection, route.route_id)
        if reasons:
            return await _delete_form(request, route, reasons, {})
        if name != route.name:
            return await _delete_form(request, route, [], {"typed_name": f"Type the name as it is: {route.name}"})
        old = dict(await routes.read_form(connection, route))
        await store.remove_route(connection, route.route_id)
        await audit.write(connection, request, "route.delete", route.title, old=old)
    await render.flash(request, f"Route {route.name} deleted")
    return render.see_other(address(request, "route.list"))
