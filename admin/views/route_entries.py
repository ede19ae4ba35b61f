"""The entries of a route: which carrier takes which numbers, and a tester that asks a worker what it would choose."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from aiohttp import web
from pydantic import ValidationError

from admin import audit, render
from admin.forms import route as layout
from admin.forms.field import Filled, faults, typed
from admin.keys import CONTROL, POOL
from admin.paging import page_request
from admin.stores import routes
from admin.stores.routes import ENTRY_KEY, Entry, Route
from admin.views.carrier_frame import number_in
from admin.views.customer_frame import address
from admin.views.route_frame import find, frame
from b2bua.account.errors import Refused
from b2bua.control.messages import ControlError
from b2bua.routing import route as form_model
from b2bua.routing import store
from b2bua.routing.registry import add_entry, change_entry


@dataclass(frozen=True, slots=True)
class Trial:
    """What a route would choose now for a number."""

    number: str
    fault: str = ""
    """Why nobody can tell."""
    code: str = ""
    """Why nothing is tried; empty: something is."""
    candidates: tuple[Mapping[str, Any], ...] = ()
    """The first to be tried first, then those that are not."""
    seconds: int = 0
    """Of the call that costs are compared for."""


async def show_list(request: web.Request) -> web.StreamResponse:
    """Show a page of the entries, with an empty form and the tester."""
    return await _page(request, await find(request), form_model.ENTRY_START, {})


async def add(request: web.Request) -> web.StreamResponse:
    """Add an entry."""
    route = await find(request)
    values = typed(await request.post(), layout.NEW_ENTRY)
    try:
        form = form_model.Entry.model_validate(values)
        async with request.app[POOL].acquire(timeout=5) as connection, connection.transaction():
            entry = await routes.find_entry(connection, route, await add_entry(connection, route.route_id, form))
            await audit.write(connection, request, "route_entry.add", _title(route, entry), new=_texts(entry))
    except (ValidationError, Refused) as error:
        return await _page(request, route, values, faults(error))
    return await _back(request, route, f"Entry added: {entry.title}, from the next call on")


async def _find(request: web.Request) -> tuple[Route, Entry]:
    route = await find(request)
    return route, await routes.find_entry(request.app[POOL], route, number_in(request, "entry"))


async def edit_form(request: web.Request) -> web.StreamResponse:
    """Show one entry in its form."""
    route, entry = await _find(request)
    return await _page(request, route, _texts(entry), {}, entry=entry)


def _texts(entry: Entry) -> dict[str, str]:
    return form_model.entry_texts_of(asdict(entry))


async def change(request: web.Request) -> web.StreamResponse:
    """Store a changed entry; its prefix and carrier stay."""
    route, entry = await _find(request)
    fixed = {"prefix": entry.prefix, "carrier": entry.carrier}
    values = typed(await request.post(), layout.ENTRY) | fixed
    try:
        form = form_model.Entry.model_validate(values)
        async with request.app[POOL].acquire(timeout=5) as connection, connection.transaction():
            _old, new = await change_entry(connection, entry.entry_id, form)
            if new:
                now = _texts(await routes.find_entry(connection, route, entry.entry_id))
                before = {name: text for name, text in _texts(entry).items() if text != now[name]}
                after = {name: now[name] for name in before}
                await audit.write(
                    connection, request, "route_entry.change", _title(route, entry), old=before, new=after
                )
    except (ValidationError, Refused) as error:
        return await _page(request, route, values, faults(error), entry=entry)
    return await _back(request, route, f"Entry saved: {entry.title}" if new else "Nothing was changed")


async def remove(request: web.Request) -> web.StreamResponse:
    """Remove an entry."""
    route, entry = await _find(request)
    async with request.app[POOL].acquire(timeout=5) as connection, connection.transaction():
        await store.remove_route_entry(connection, entry.entry_id)
        await audit.write(connection, request, "route_entry.remove", _title(route, entry), old=_texts(entry))
    return await _back(request, route, f"Entry removed: {entry.title}")


async def _back(request: web.Request, route: Route, text: str) -> web.StreamResponse:
    await render.flash(request, text)
    return render.see_other(address(request, "route_entry.list", route=route.route_id))


def _title(route: Route, entry: Entry) -> str:
    return f"entry {entry.title} of route {route.name}"


async def try_number(request: web.Request) -> web.StreamResponse:
    """Say which gateways would be tried now, while the number is typed."""
    route = await find(request)
    text = render.part(request, "routes/_trial", {"trial": await _trial(request, route)})
    return web.Response(text=text, content_type="text/html")


async def _trial(request: web.Request, route: Route) -> Trial | None:
    number = request.query.get("number", "").replace(" ", "")[:64]
    if not number:
        return None
    source = request.query.get("source", "").replace(" ", "")[:64]
    try:
        answer = await request.app[CONTROL].explain(route=route.name, destination=number, source=source)
    except ControlError as error:
        return Trial(number, fault=str(error))
    return Trial(
        number,
        code=answer["decision"]["code"],
        candidates=tuple(sorted(answer["candidates"], key=_place)),
        seconds=answer["reference_seconds"],
    )


def _place(candidate: Mapping[str, Any]) -> tuple[bool, int]:
    order = candidate["order"]
    return not order, order[0] if order else 0


async def _page(
    request: web.Request,
    route: Route,
    values: Mapping[str, str],
    errors: Mapping[str, str],
    *,
    entry: Entry | None = None,
) -> web.StreamResponse:
    pool = request.app[POOL]
    page = {
        **frame(request, route, "entries"),
        "page": await routes.list_entries(pool, route, page_request(request.query, ENTRY_KEY)),
        "inputs": layout.NEW_ENTRY if entry is None else layout.ENTRY,
        "form": Filled(values, errors, {"carrier": await routes.carrier_names(pool)}),
        "entry": entry,
        "trial": await _trial(request, route),
        "query": request.query,
    }
    return await render.page(request, "routes/entries", page, status=422 if errors else 200)
