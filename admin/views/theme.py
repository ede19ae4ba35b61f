"""Light, dark, or as the device says."""

from typing import Final

from aiohttp import web

from admin import render
from admin.keys import SETTINGS

YEAR: Final = 365 * 24 * 3600


async def choose(request: web.Request) -> web.StreamResponse:
    """Keep the choice in a cookie, and return to the page it was made on."""
    form = await request.post()
    choice = form.get("theme")
    if choice not in render.THEMES:
        raise web.HTTPUnprocessableEntity
    response = render.see_other(render.own_address(str(form.get("next", ""))))
    if render.is_htmx(request):
        response = web.Response(status=204)
    secure = request.app[SETTINGS].panel.secure_cookie
    response.set_cookie(
        render.THEME_COOKIE, str(choice), max_age=YEAR, secure=secure, httponly=True, samesite="Lax", path="/"
    )
    return response
