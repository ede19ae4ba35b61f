"""Light, dark, or as the device says."""

from typing import Final

from aiohttp import web

from admin import render
from admin.keys import POOL, SETTINGS, USER
from admin.stores import users

YEAR: Final = 365 * 24 * 3600
PREFERENCE: Final = "theme"


async def choose(request: web.Request) -> web.StreamResponse:
    """Keep the choice, and return to the page it was made on."""
    form = await request.post()
    choice = form.get("theme")
    if choice not in render.THEMES:
        raise web.HTTPUnprocessableEntity
    response = render.see_other(render.own_address(str(form.get("next", ""))))
    if render.is_htmx(request):
        response = web.Response(status=204)
    await keep_theme(request, response, str(choice))
    return response


async def keep_theme(request: web.Request, response: web.StreamResponse, choice: str) -> None:
    """Keep a choice for the login, wherever it signs in, and for this browser."""
    if not request[USER].switched_by:
        await users.set_preference(request.app[POOL], request[USER].user_id, PREFERENCE, {"choice": choice})
    _set_cookie(request, response, choice)


async def restore_theme(request: web.Request, response: web.StreamResponse, user_id: int) -> None:
    """Give a browser that somebody signs in with the theme of that login, if it ever chose one."""
    choice = (await users.preferences(request.app[POOL], user_id)).get(PREFERENCE, {}).get("choice")
    if choice in render.THEMES:
        _set_cookie(request, response, choice)


def _set_cookie(request: web.Request, response: web.StreamResponse, choice: str) -> None:
    secure = request.app[SETTINGS].panel.secure_cookie
    response.set_cookie(
        render.THEME_COOKIE, choice, max_age=YEAR, secure=secure, httponly=True, samesite="Lax", path="/"
    )
