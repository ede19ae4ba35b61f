"""What happens around every view: request id, headers, error pages, sign-in and permission, CSRF."""

import secrets
from typing import Final
from urllib.parse import quote, urlsplit

import asyncpg
import structlog
from aiohttp import web
from aiohttp.typedefs import Handler
from aiohttp_session import get_session

from admin import csrf, render, second_factor
from admin.errors import NotFound, SearchTooLong
from admin.jobs import TooManyJobs
from admin.keys import METRICS, REQUEST_ID, SETTINGS, USER, VISIT
from admin.permissions import Permission
from admin.routes import PERMISSIONS

log = structlog.get_logger()

POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)

WITH_FORCED_CHANGE: Final = frozenset({"password.form", "password.change", "session.sign_out", "theme.set"})
"""Routes of a login that has to change its password first."""
WITH_FORCED_FACTOR: Final = frozenset(
    {"factor.show", "factor.begin", "factor.confirm", "session.sign_out", "theme.set", "switch.end"}
)
"""Routes of a login that has to set up its second factor first."""

TEXTS: Final = {
    403: (
        "This form is no longer valid",
        "It was opened too long ago or in another session. Go back and send it again.",
    ),
    404: ("Page not found", "There is nothing at this address, or nothing that you may see."),
    405: ("Page not found", "There is nothing at this address that can be opened."),
    413: ("Too much at once", "What was sent is larger than this page takes."),
    429: ("Too many at once", "Wait a moment, then go back and try again."),
    500: ("Something went wrong", "The panel could not answer. The fault has been logged with the number below."),
    503: ("The database does not answer", "Calls are not affected. Try again in a moment."),
    504: ("The search took too long", "Choose a shorter time span or fewer conditions, then search again."),
}
"""Heading and text of each error page."""


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Signal handler: the headers of every answer, streams and files too."""
    headers = response.headers
    headers["Content-Security-Policy"] = POLICY
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Referrer-Policy"] = "same-origin"
    headers["X-Request-Id"] = request.get(REQUEST_ID, "-")
    if request.path.startswith("/static/vendor/") and response.status in {200, 206, 304}:
        headers["Cache-Control"] = "public, max-age=31536000, immutable"
    else:
        headers["Cache-Control"] = "no-store"
        headers["Vary"] = "HX-Request-Type"
    headers["Server"] = "softswitch"


@web.middleware
async def answer_faults(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give the request its id, turn faults into pages, count the answers."""
    request[REQUEST_ID] = secrets.token_hex(8)
    try:
        response = await _answer(request, handler)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        response = await _fault_page(request, error.status, error)
    request.app[METRICS].requests.labels(str(response.status)).inc()
    if isinstance(response, web.Response) and response.content_type == "text/html":
        response.enable_compression()
    if VISIT in request:
        secure = request.app[SETTINGS].panel.secure_cookie
        response.set_cookie(
            csrf.visit_cookie_name(secure), request[VISIT], secure=secure, httponly=True, samesite="Lax", path="/"
        )
    return response


async def _answer(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException:
        raise
    except NotFound as error:
        return await _fault_page(request, 404, error)
    except SearchTooLong as error:
        return await _fault_page(request, 504, error)
    except TooManyJobs as error:
        return await _fault_page(request, 429, error)
    except (asyncpg.PostgresConnectionError, asyncpg.InterfaceError, asyncpg.CannotConnectNowError, OSError) as error:
        log.warning("database away", request_id=request[REQUEST_ID], error=str(error) or type(error).__name__)
        return await _fault_page(request, 503, error)
    except Exception as error:
        log.exception("request failed", request_id=request[REQUEST_ID], method=request.method, path=request.path)
        return await _fault_page(request, 500, error)


async def _fault_page(request: web.Request, status: int, error: Exception) -> web.StreamResponse:
    title, text = TEXTS.get(status, ("That did not work", "The panel could not do what was asked."))
    if render.is_htmx(request):
        # Shown as a toast by app.js.
        response = web.Response(status=status, text=f"{title}. {text}")
    else:
        context = {"status": status, "title": title, "text": text}
        response = await render.error_page(request, context, status)
    if isinstance(error, web.HTTPMethodNotAllowed):
        response.headers["Allow"] = error.headers["Allow"]
    return response


@web.middleware
async def require_permission(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let a request through to its view if its login has the route's permission."""
    name = request.match_info.route.name
    permission = PERMISSIONS.get(name or "")
    if permission is Permission.PUBLIC or request.path.startswith("/static/"):
        return await handler(request)
    await get_session(request)
    user = request.get(USER)
    if permission is None:
        return await handler(request)  # no such address: the answer is 404, for a login inside its shell
    if user is None:
        return _to_sign_in(request)
    if user.must_change_password and name not in WITH_FORCED_CHANGE:
        return render.see_other(str(request.app.router["password.form"].url_for()))
    if second_factor.is_due(user, request.app[SETTINGS]) and name not in WITH_FORCED_CHANGE | WITH_FORCED_FACTOR:
        return render.see_other(str(request.app.router["factor.show"].url_for()))
    if not user.may(permission):
        raise NotFound
    return await handler(request)


def _to_sign_in(request: web.Request) -> web.StreamResponse:
    """Ask for a sign-in that comes back to where the browser is."""
    sign_in = str(request.app.router["session.sign_in_form"].url_for())
    if render.is_htmx(request):
        parts = urlsplit(request.headers.get("HX-Current-URL", "/"))
        back = render.own_address(f"{parts.path}?{parts.query}" if parts.query else parts.path)
        return web.Response(status=401, headers={"HX-Redirect": f"{sign_in}?next={quote(back, safe='')}"})
    if request.method not in csrf.SAFE_METHODS or request.path_qs == "/":
        return render.see_other(sign_in)
    return render.see_other(f"{sign_in}?next={quote(request.path_qs, safe='')}")


@web.middleware
async def refuse_forgeries(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse a request that changes something and does not carry its token."""
    known = request.match_info.http_exception is None
    if known and request.method not in csrf.SAFE_METHODS and not await csrf.is_genuine(request):
        log.warning("request without its CSRF token", request_id=request[REQUEST_ID], path=request.path)
        raise web.HTTPForbidden
    return await handler(request)
