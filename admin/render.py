"""Answers of the views: whole pages or parts of them, messages, redirects."""

from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp_jinja2
import orjson
import structlog
from aiohttp import web
from aiohttp_session import get_session

from admin import csrf, navigation, second_factor
from admin.keys import ASSETS, JOBS, REQUEST_ID, SETTINGS, USER
from admin.permissions import Permission
from admin.session import FLASHES
from admin.stores.users import User

log = structlog.get_logger()

THEME_COOKIE: Final = "sw_theme"
THEMES: Final = ("auto", "light", "dark")


def is_partial(request: web.Request) -> bool:
    """Whether htmx asks for the part of the page that changes."""
    return request.headers.get("HX-Request-Type") == "partial"


def is_htmx(request: web.Request) -> bool:
    """Whether htmx sent the request."""
    return request.headers.get("HX-Request") == "true"


async def page(
    request: web.Request, template: str, context: dict[str, Any], *, status: int = 200
) -> web.StreamResponse:
    """Answer with a page, or with its part when htmx asks for that.

    Args:
        request: What is answered.
        template: `customers/list`; its part is `customers/_list`.
        context: Values of the template.
        status: 422 for a form that is shown again.
    """
    if is_partial(request):
        folder, _, name = template.rpartition("/")
        text = part(request, f"{folder}/_{name}", context)
    else:
        text = aiohttp_jinja2.render_string(f"{template}.html", request, {**await shell(request), **context})
    return web.Response(text=text, content_type="text/html", status=status)


def part(request: web.Request, template: str, context: dict[str, Any]) -> str:
    """Write a part of a page."""
    return aiohttp_jinja2.render_string(f"{template}.html", request, {**basics(request), **context})


def basics(request: web.Request) -> dict[str, Any]:
    """What every template may use."""
    user = request.get(USER)
    zone = user.zone if user else UTC
    return {
        "user": user,
        "may": (lambda name: user.may(Permission(name))) if user else (lambda name: False),
        "now": datetime.now(UTC),
        "zone": zone,
        "zone_name": str(zone),
        "asset": request.app[ASSETS].url,
    }


async def shell(request: web.Request) -> dict[str, Any]:
    """What the frame around a page needs besides."""
    user = request.get(USER)
    theme = request.cookies.get(THEME_COOKIE)
    route = request.match_info.route.name or ""
    return {
        **basics(request),
        "csrf_token": lambda: csrf.token_for(request),
        "request_id": request.get(REQUEST_ID),
        "theme": theme if theme in THEMES else "auto",
        "groups": navigation.groups_for(user) if user and not _is_held(request, user) else [],
        "resource": _resource(route, user, request.match_info.get("code")),
        "open_jobs": request.app[JOBS].open_of(user.user_id) if user else [],
        "flashes": await _take_flashes(request) if user else [],
        "here": request.path_qs,
    }


def _is_held(request: web.Request, user: User) -> bool:
    """Whether a login has to do something else before it goes anywhere."""
    return user.must_change_password or second_factor.is_due(user, request.app[SETTINGS])


def _resource(route: str, user: User | None, code: str | None) -> str:
    """The entry of the navigation that a page belongs to: pages of an account are in its list."""
    name = route.partition(".")[0]
    if name in {"carrier_gateway", "carrier_rule", "route_entry"}:
        return name.partition("_")[0]
    if name in {"rate", "rate_import"}:
        return "ratecard"
    is_own = user is not None and user.account == code
    if is_own and name in {"account_rate", "reseller_account_rate"}:
        return "rate"
    if name.startswith("reseller_"):
        return "statement" if is_own else "reseller"
    if name not in {"account_rate", "item", "login", "payment", "statement"} or user is None:
        return name
    return "customer" if user.may(Permission.CUSTOMERS_READ) else "statement"


async def _take_flashes(request: web.Request) -> list[dict[str, str]]:
    session = await get_session(request)
    found = session.pop(FLASHES) if session.get(FLASHES) else []
    # Sessions of the release before hold texts alone.
    return [{"text": each, "undo": "", "kind": ""} if isinstance(each, str) else each for each in found]


async def flash(request: web.Request, text: str, *, undo: str = "", is_fault: bool = False) -> None:
    """Show a message on the next page.

    Args:
        request: What is answered.
        text: The message.
        undo: The address that takes back what it tells of, where that can be done.
        is_fault: Whether something was refused.
    """
    session = await get_session(request)
    message = {"text": text, "undo": undo, "kind": "fault" if is_fault else ""}
    session[FLASHES] = [*session.get(FLASHES, []), message][-5:]


async def done(request: web.Request, message: str, route: str) -> web.StreamResponse:
    """Answer a change that succeeded: a toast for htmx, else a message on the page it returns to."""
    if is_htmx(request):
        headers = {"HX-Trigger": orjson.dumps({"toast": {"text": message}}).decode()}
        return web.Response(status=204, headers=headers)
    await flash(request, message)
    return see_other(str(request.app.router[route].url_for()))


async def done_in_place(request: web.Request, message: str, route: str) -> web.StreamResponse:
    """Answer a change of a list that is then shown again: the same page of it, narrowed as it was."""
    if not is_htmx(request):
        return await done(request, message, route)
    await flash(request, message)
    return web.Response(status=204, headers={"HX-Refresh": "true"})


def see_other(location: str) -> web.Response:
    """Send the browser to another page with GET."""
    return web.Response(status=303, headers={"Location": location})


def own_address(text: str | None, default: str = "/") -> str:
    """An address to return to, if it is one of this panel; `default` for any other."""
    if not text or not text.startswith("/") or text.startswith("//") or "\\" in text:
        return default
    parts = urlsplit(text)
    return text if not parts.scheme and not parts.netloc and text.isprintable() else default


async def error_page(request: web.Request, context: dict[str, Any], status: int) -> web.Response:
    """A page that says what went wrong, inside the shell where somebody is signed in."""
    try:
        text = aiohttp_jinja2.render_string("errors/error.html", request, {**await shell(request), **context})
    except Exception:
        log.exception("error page failed", request_id=request.get(REQUEST_ID))
        return web.Response(status=status, text=f"{context['title']}. {context['text']}")
    return web.Response(status=status, text=text, content_type="text/html")
