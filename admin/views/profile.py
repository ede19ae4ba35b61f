"""My login: what somebody sees and changes of the login that is signed in."""

from collections.abc import Mapping

from aiohttp import web
from pydantic import ValidationError

from admin import audit, render, session
from admin.errors import NotFound
from admin.forms.field import Filled, faults, typed
from admin.forms.user import ALL_ROLES, THEME, TIME_ZONE, Preferences, zones
from admin.keys import POOL, SETTINGS, USER
from admin.stores import factors, users
from admin.stores.users import User
from admin.views.customer_frame import address
from admin.views.theme import keep_theme

INPUTS = (TIME_ZONE, THEME)


def own_login(request: web.Request) -> User:
    """The login that is signed in.

    Raises:
        NotFound: it is somebody else's, who works as it.
    """
    user = request[USER]
    if user.switched_by:
        raise NotFound
    return user


async def show(request: web.Request) -> web.StreamResponse:
    """Show the login with its sessions."""
    theme = request.cookies.get(render.THEME_COOKIE, "auto")
    return await _page(request, {"time_zone": own_login(request).time_zone, "theme": theme}, {})


async def change(request: web.Request) -> web.StreamResponse:
    """Keep another time zone or theme."""
    user = own_login(request)
    values = typed(await request.post(), INPUTS)
    try:
        form = Preferences.model_validate(values)
    except ValidationError as error:
        return await _page(request, values, faults(error))
    if form.time_zone != user.time_zone:
        async with request.app[POOL].acquire(timeout=5) as connection, connection.transaction():
            await users.set_time_zone(connection, user.user_id, form.time_zone)
            old, new = {"time_zone": user.time_zone}, {"time_zone": form.time_zone}
            title = f"login {user.login}"
            await audit.write(connection, request, "login.change", title, account_id=user.account_id, old=old, new=new)
    await render.flash(request, "Settings saved")
    response = render.see_other(address(request, "profile.show"))
    await keep_theme(request, response, form.theme)
    return response


async def end_session(request: web.Request) -> web.StreamResponse:
    """End one of the own sessions, such as one that was left open elsewhere."""
    user, text = own_login(request), request.match_info["session"]
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise NotFound
    if not await users.end_session(request.app[POOL], user.user_id, int(text)):
        raise NotFound
    audit.record(request, "session.end")
    await render.flash(request, "The session has ended")
    return render.see_other(address(request, "profile.show"))


async def _page(request: web.Request, values: Mapping[str, str], errors: dict[str, str]) -> web.StreamResponse:
    user, pool, panel = own_login(request), request.app[POOL], request.app[SETTINGS].panel
    token = request.cookies.get(session.cookie_name(panel.secure_cookie), "")
    context = {
        "form": Filled(values, errors, {"time_zone": zones()}),
        "inputs": INPUTS,
        "role": ALL_ROLES[user.role],
        "codes_left": await factors.count_recovery_codes(pool, user.user_id),
        "sessions": await users.open_sessions(pool, user.user_id, session.hash_token(token), panel.session_idle),
    }
    return await render.page(request, "profile/show", context, status=422 if errors else 200)
