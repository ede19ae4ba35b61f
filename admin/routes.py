"""Every address of the panel: its name, method, path, view and the permission that opens it.

Names are `<resource>.<action>`. A login without the permission gets 404. Lists end in `.list` and are paged.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from admin.permissions import Permission
from admin.views import (
    call_records,
    customers,
    find,
    live_calls,
    monitoring,
    overview,
    password,
    registrations,
    session,
    theme,
)

View = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Route:
    """One address."""

    name: str
    method: str
    path: str
    view: View
    permission: Permission


ROUTES: Final = (
    Route("monitoring.health", "GET", "/healthz", monitoring.healthz, Permission.PUBLIC),
    Route("monitoring.metrics", "GET", "/metrics", monitoring.metrics, Permission.PUBLIC),
    Route("session.sign_in_form", "GET", "/sign-in", session.sign_in_form, Permission.PUBLIC),
    Route("session.sign_in", "POST", "/sign-in", session.sign_in, Permission.PUBLIC),
    Route("session.sign_out", "POST", "/sign-out", session.sign_out, Permission.SIGNED_IN),
    Route("password.form", "GET", "/password", password.form, Permission.SIGNED_IN),
    Route("password.change", "POST", "/password", password.change, Permission.SIGNED_IN),
    Route("theme.set", "POST", "/theme", theme.choose, Permission.SIGNED_IN),
    Route("find.show", "GET", "/find", find.find, Permission.RECORDS_READ),
    Route("overview.show", "GET", "/", overview.show, Permission.OVERVIEW),
    Route("overview.stream", "GET", "/overview/stream", overview.stream, Permission.OVERVIEW),
    Route("call.list", "GET", "/live-calls", live_calls.show_list, Permission.CALLS_READ),
    Route("call.stream", "GET", "/live-calls/stream", live_calls.stream, Permission.CALLS_READ),
    Route("call.hang_up", "POST", "/live-calls/{call_id}/hang-up", live_calls.hang_up, Permission.CALLS_HANG_UP),
    Route("record.list", "GET", "/call-records", call_records.show_list, Permission.RECORDS_READ),
    Route(
        "record.detail", "GET", "/call-records/{call_id}/{attempt}", call_records.show_detail, Permission.RECORDS_READ
    ),
    Route("registration.list", "GET", "/registrations", registrations.show_list, Permission.REGISTRATIONS_READ),
    Route(
        "registration.remove",
        "POST",
        "/registrations/{sip_user_id}/remove",
        registrations.remove,
        Permission.REGISTRATIONS_REMOVE,
    ),
    Route("customer.list", "GET", "/customers", customers.show_list, Permission.CUSTOMERS_READ),
)

PERMISSIONS: Final = {route.name: route.permission for route in ROUTES}
"""By route name. An address that is not here is none."""


def add_routes(app: web.Application) -> None:
    """Put the table into the router."""
    for route in ROUTES:
        if route.method == "GET":
            app.router.add_get(route.path, route.view, name=route.name)  # answers HEAD too
        else:
            app.router.add_route(route.method, route.path, route.view, name=route.name)
