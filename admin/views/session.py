"""Sign-in, by password and where there is a second factor by a code; and sign-out."""

import time
from typing import Final

import structlog
from aiohttp import web
from aiohttp_session import get_session

from admin import audit, render, second_factor, session
from admin.keys import PASSWORDS, POOL, SETTINGS, USER, VAULT
from admin.passwords import TooManySignIns
from admin.stores import factors, users
from admin.stores.users import SecondStep
from admin.views.theme import restore_theme

log = structlog.get_logger()

WRONG_CODE: Final = "This code is not right, or was used before: wait for the next one"


async def sign_in_form(request: web.Request) -> web.StreamResponse:
    """Show the form; who is signed in already goes on to the page asked for."""
    back = render.own_address(request.query.get("next"))
    await get_session(request)
    if USER in request:
        return render.see_other(back)
    return await _form(request, "", back)


async def sign_in(request: web.Request) -> web.StreamResponse:
    """Check the password and begin a session, or ask for the code of the second factor.

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
        await audit.write_refusal(request, login[:30], "password", counts=found is not None)
        return await _form(request, login, back, refused=True)
    if found.has_second_factor:
        await users.await_second_step(pool, found, panel.lock_after)
        note = second_factor.seal_sign_in(request.app[VAULT], found.user_id, time.time())
        return await _code_form(request, note, back)
    return await _begin(request, found.user_id, login, back)


async def give_code(request: web.Request) -> web.StreamResponse:
    """Check the code of the second factor, or a recovery code, and begin a session."""
    form = await request.post()
    note, code = str(form.get("note", "")), str(form.get("code", ""))[:100]
    back = render.own_address(str(form.get("next", "")))
    pool, panel, vault = request.app[POOL], request.app[SETTINGS].panel, request.app[VAULT]
    user_id = second_factor.open_sign_in(vault, note, time.time())
    found = await users.begin_second_step(pool, user_id, panel.lock_after, panel.lock_time) if user_id else None
    if user_id is None or found is None:
        return await _form(request, "", back, refused=user_id is not None, expired=user_id is None)
    if not await is_right_code(request, user_id, found, code):
        log.warning("code refused", login=found.login, source=request.remote)
        await audit.write_refusal(request, found.login, "code")
        return await _code_form(request, note, back, error=WRONG_CODE)
    return await _begin(request, user_id, found.login, back)


async def is_right_code(request: web.Request, user_id: int, found: SecondStep, code: str) -> bool:
    """Whether a code of the telephone or a recovery code is right; it is used up then."""
    pool = request.app[POOL]
    secret = request.app[VAULT].open(found.sealed_secret)
    step = second_factor.matching_step(secret, code, time.time(), found.last_step)
    if step is not None:
        return await factors.take_step(pool, user_id, step)
    return await factors.take_recovery_code(pool, user_id, second_factor.hash_recovery_code(code))


async def _begin(request: web.Request, user_id: int, login: str, back: str) -> web.StreamResponse:
    await users.finish_sign_in(request.app[POOL], user_id)
    await session.start_session(request, user_id)
    log.info("signed in", login=login, source=request.remote)
    response = render.see_other(back)
    await restore_theme(request, response, user_id)
    return response


async def _form(
    request: web.Request, login: str, back: str, *, refused: bool = False, expired: bool = False
) -> web.StreamResponse:
    panel = request.app[SETTINGS].panel
    context = {
        "login": login,
        "next": back,
        "refused": refused,
        "expired": expired,
        "lock_after": panel.lock_after,
        "lock_minutes": max(1, round(panel.lock_time / 60)),
    }
    return await render.page(request, "session/sign_in", context, status=422 if refused or expired else 200)


async def _code_form(request: web.Request, note: str, back: str, *, error: str = "") -> web.StreamResponse:
    context = {"note": note, "next": back, "error": error}
    return await render.page(request, "session/code", context, status=422 if error else 200)


async def sign_out(request: web.Request) -> web.StreamResponse:
    """End the session."""
    await session.forget_session(request)
    response = render.see_other(str(request.app.router["session.sign_in_form"].url_for()))
    session.clear_cookie(request, response)
    return response
