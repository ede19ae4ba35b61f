"""The own second factor: set up with a telephone, given new recovery codes, switched off."""

import time
from typing import Any, Final

from aiohttp import web
from aiohttp_session import get_session

from admin import audit, qr_code, render, second_factor
from admin.errors import NotFound
from admin.keys import PASSWORDS, POOL, SETTINGS, VAULT
from admin.passwords import TooManySignIns
from admin.stores import factors, users
from admin.stores.users import User
from admin.views.customer_frame import address
from admin.views.profile import own_login
from admin.views.session import WRONG_CODE, is_right_code
from b2bua.account.panel_login import switch_off_factor
from conf.secret import UnreadableSecret

PENDING: Final = "second_factor"
"""In the data of a session: the encrypted secret that is being set up."""


async def show(request: web.Request) -> web.StreamResponse:
    """Show whether there is one, and what can be done about it."""
    return await _page(request, own_login(request), {})


async def begin(request: web.Request) -> web.StreamResponse:
    """Make a secret, and show it as a QR code and as text until its first code has come."""
    user = own_login(request)
    if user.has_second_factor:
        raise NotFound  # it is switched off first, with its own code
    secret = second_factor.make_secret()
    (await get_session(request))[PENDING] = request.app[VAULT].seal(secret)
    return await _set_up(request, user, secret)


async def confirm(request: web.Request) -> web.StreamResponse:
    """Switch it on once the telephone gave a right code, and show the recovery codes, which are not shown again."""
    user, pool, vault = own_login(request), request.app[POOL], request.app[VAULT]
    session = await get_session(request)
    try:
        secret = vault.open(session.get(PENDING, ""))
    except UnreadableSecret:
        return render.see_other(address(request, "factor.show"))
    code = str((await request.post()).get("code", ""))[:100]
    step = second_factor.matching_step(secret, code, time.time(), None)
    if user.has_second_factor:
        raise NotFound
    if step is None:
        error = "This code is not right: check the telephone's clock, and type the code it shows now"
        return await _set_up(request, user, secret, error)
    codes = second_factor.make_recovery_codes()
    hashes = [second_factor.hash_recovery_code(each) for each in codes]
    async with pool.acquire(timeout=5) as connection, connection.transaction():
        await factors.switch_on(connection, user.user_id, session.pop(PENDING), step, hashes)
        await audit.write(connection, request, "factor.on", f"login {user.login}", account_id=user.account_id)
    return await render.page(request, "factor/codes", {"codes": codes, "is_new": True})


async def new_codes(request: web.Request) -> web.StreamResponse:
    """Replace the recovery codes, for whoever has password and code."""
    user = own_login(request)
    if errors := await _refusals(request, user):
        return await _page(request, user, errors)
    codes = second_factor.make_recovery_codes()
    async with request.app[POOL].acquire(timeout=5) as connection, connection.transaction():
        hashes = [second_factor.hash_recovery_code(each) for each in codes]
        await factors.set_recovery_codes(connection, user.user_id, hashes)
        await audit.write(connection, request, "factor.new_codes", f"login {user.login}", account_id=user.account_id)
    return await render.page(request, "factor/codes", {"codes": codes, "is_new": False})


async def switch_off(request: web.Request) -> web.StreamResponse:
    """Switch it off, for whoever has password and code."""
    user = own_login(request)
    if errors := await _refusals(request, user):
        return await _page(request, user, errors)
    async with request.app[POOL].acquire(timeout=5) as connection, connection.transaction():
        await switch_off_factor(connection, user.user_id)
        await audit.write(connection, request, "factor.off", f"login {user.login}", account_id=user.account_id)
    await render.flash(request, "The second factor is off")
    return render.see_other(address(request, "profile.show"))


async def _refusals(request: web.Request, user: User) -> dict[str, str]:
    """What is wrong with the password and the code; each attempt counts towards the lock, as at the sign-in."""
    pool, panel = request.app[POOL], request.app[SETTINGS].panel
    fields = await request.post()
    password, code = (str(fields.get(name, ""))[:100] for name in ("password", "code"))
    if not user.has_second_factor:
        raise NotFound
    found = await users.begin_second_step(pool, user.user_id, panel.lock_after, panel.lock_time)
    if found is None:
        return {"password": "Too many attempts: wait some minutes"}
    try:
        if not await request.app[PASSWORDS].verify(await users.password_hash(pool, user.user_id), password):
            return {"password": "This is not your password"}
    except TooManySignIns:
        raise web.HTTPTooManyRequests from None
    if not await is_right_code(request, user.user_id, found, code):
        return {"code": WRONG_CODE}
    await users.finish_sign_in(pool, user.user_id)
    return {}


async def _set_up(request: web.Request, user: User, secret: str, error: str = "") -> web.StreamResponse:
    context = {
        "secret": " ".join(secret[at : at + 4] for at in range(0, len(secret), 4)),
        "code": qr_code.svg(second_factor.address(secret, user.login)),
        "error": error,
    }
    return await render.page(request, "factor/set_up", context, status=422 if error else 200)


async def _page(request: web.Request, user: User, errors: dict[str, str]) -> web.StreamResponse:
    context: dict[str, Any] = {
        "errors": errors,
        "codes_left": await factors.count_recovery_codes(request.app[POOL], user.user_id),
        "is_due": second_factor.is_due(user, request.app[SETTINGS]),
    }
    return await render.page(request, "factor/show", context, status=422 if errors else 200)
