"""What every page of a route has around it, and how it is found."""

from typing import Any

from aiohttp import web

from admin.keys import POOL
from admin.stores.routes import Route, find_route
from admin.views.carrier_frame import number_in
from admin.views.customer_frame import TabLink, address
from b2bua.routing.route import MODES


async def find(request: web.Request) -> Route:
    """The route that the address names.

    Raises:
        NotFound: there is none.
    """
    return await find_route(request.app[POOL], number_in(request, "route"))


def frame(request: web.Request, route: Route, current: str) -> dict[str, Any]:
    """The values that `routes/frame.html` takes."""
    pages = [
        ("Entries", "entries", address(request, "route_entry.list", route=route.route_id)),
        ("Details", "details", address(request, "route.details", route=route.route_id)),
    ]
    tabs = [TabLink(title, place, name == current) for title, name, place in pages]
    return {"route": route, "tabs": tabs, "modes": MODES}
