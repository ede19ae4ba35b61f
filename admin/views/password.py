"""Changing one's own password, by choice or because the login has to."""

from aiohttp import web

from admin import audit, render, session
from admin.errors import NotFound
from admin.keys import PASSWORDS, POOL, USER
from admin.passwords import TooManySignIns
from admin.stores import users
from b2bua.account.field import PASSWORD_RULE, password_faults


async def form(request: web.Request) -> web.StreamResponse:
    """Show the form."""
    if request[USER].switched_by:
        raise NotFound  # it is somebody else's
    return await _form(request, {})


async def change(request: web.Request) -> web.StreamResponse:
    """Store the new password, end the login's other sessions and begin a new one."""
    user, pool, passwords = request[USER], request.app[POOL], request.app[PASSWORDS]
    if user.switched_by:
        raise NotFound
    fields = await request.post()
    current, new, again = (str(fields.get(name, "")) for name in ("current", "new", "again"))
    errors: dict[str, str] = {}
    try:
        if not await passwords.verify(await users.password_hash(pool, user.user_id), current):
            errors["current"] = "This is not your current password"
    except TooManySignIns:
        raise web.HTTPTooManyRequests from None
    if faults := password_faults(new):
        errors["new"] = f"The new password {', '.join(faults)}"
    elif new == current:
        errors["new"] = "The new password must differ from the current one"
    if again != new:
        errors["again"] = "Both entries of the new password must be the same"
    if errors:
        return await _form(request, errors)
    new_hash, hidden = await passwords.hash(new), {"password": ""}
    async with pool.acquire(timeout=5) as connection, connection.transaction():
        await users.change_password(connection, user.user_id, new_hash)
        await audit.write(
            connection,
            request,
            "password.change",
            f"login {user.login}",
            account_id=user.account_id,
            old=hidden,
            new=hidden,
        )
    await session.start_session(request, user.user_id)
    await render.flash(request, "Password changed")
    return render.see_other("/")


async def _form(request: web.Request, errors: dict[str, str]) -> web.StreamResponse:
    context = {"errors": errors, "rule": PASSWORD_RULE}
    return await render.page(request, "password/form", context, status=422 if errors else 200)
