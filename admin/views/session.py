"""Sign-in and sign-out."""

import structlog
from aiohttp import web
from aiohttp_session import get_session

from admin import render, session
from admin.keys import PASSWORDS, POOL, SETTINGS, USER
from admin.passwords import TooManySignIns
from admin.stores import users

log = structlog.get_logger()


async def sign_in_form(request: web.Request) -> web.StreamResponse:
    """Show the form; who is signed in already goes on to the page asked for."""
    back = render.own_address(request.query.get("next"))
    await get_session(request)
    if USER in request:
        return render.see_other(back)
    return await _form(request, "", back)


async def sign_in(request: web.Request) -> web.StreamResponse:
    """Check the password and begin a session.

    A login that does not exist, a wrong password and a locked login are told apart by nobody outside: the answer is
    the same, and takes as long.
    """
    form = await request.post()
    login, password = str(form.get("login", "")).strip(), str(form.get("password", ""))
    back = render.own_address(str(form.get("next", "")))
    pool, panel = request.app[POOL], request.app[SETTINGS].panel
    found = await users.begin_sign_in(pool, login[:30], panel.lock_after, panel.lock_time)
    try:
        right = await request.app[PASSWORDS].verify(found.password_hash if found else None, password)
    except TooManySignIns:
        raise web.HTTPTooManyRequests from None
    if found is None or not right:
        log.warning("sign-in refused", login=login[:30], source=request.remote)
        return await _form(request, login, back, refused=True)
    await users.finish_sign_in(pool, found.user_id)
    await session.start_session(request, found.user_id)
    log.info("signed in", login=login, source=request.remote)
    return render.see_other(back)


async def _form(request: web.Request, login: str, back: str, *, refused: bool = False) -> web.StreamResponse:
    panel = request.app[SETTINGS].panel
    context = {
        "login": login,
        "next": back,
        "refused": refused,
        "lock_after": panel.lock_after,
        "lock_minutes": max(1, round(panel.lock_time / 60)),
    }
    return await render.page(request, "session/sign_in", context, status=422 if refused else 200)


async def sign_out(request: web.Request) -> web.StreamResponse:
    """End the session."""
    await session.forget_session(request)
    response = render.see_other(str(request.app.router["session.sign_in_form"].url_for()))
    session.clear_cookie(request, response)
    return response
