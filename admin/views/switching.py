"""Working as a login of somebody below, and back."""

from aiohttp import web

from admin import audit, render, session
from admin.errors import NotFound
from admin.keys import POOL, USER
from admin.stores import users
from admin.views.customer_frame import address, find_open, place


async def begin(request: web.Request) -> web.StreamResponse:
    """Go on as the first active login of an account; what is done so is recorded under both names."""
    account, user = await find_open(request), request[USER]
    if user.switched_by:
        raise NotFound  # one step at a time: the way back is one click
    target = await users.first_login(request.app[POOL], account.account_id)
    if target is None:
        await render.flash(request, f"{account.name} has no active login to switch to")
        return render.see_other(place(request, account, "customer.details"))
    async with request.app[POOL].acquire(timeout=5) as connection, connection.transaction():
        new = {"acting_as": target.login}
        await audit.write(connection, request, "switch.begin", account.title, account_id=account.account_id, new=new)
    await session.start_session(request, user.user_id, acting_as=target.user_id)
    return render.see_other(address(request, "overview.show"))


async def end(request: web.Request) -> web.StreamResponse:
    """Be oneself again, at the account that was left."""
    user = request[USER]
    if not user.switched_by:
        raise NotFound
    account_id, subject = user.account_id, f"account {user.account}"
    async with request.app[POOL].acquire(timeout=5) as connection, connection.transaction():
        old = {"acting_as": user.login}
        await audit.write(connection, request, "switch.end", subject, account_id=account_id, old=old)
    await session.start_session(request, user.real_user_id)
    return render.see_other(address(request, f"{user.role}.details", code=user.account or "-"))
