"""Users and roles: every login of the panel, and what each role may do."""

from collections.abc import Mapping

from aiohttp import web
from pydantic import ValidationError

from admin import audit, render
from admin.forms.field import Filled, Input, faults, typed
from admin.forms.user import ALL_ROLES, LOGIN, ROLE, TIME_ZONE, AccountLogin, StaffLogin, zones
from admin.keys import PASSWORDS, POOL, USER
from admin.paging import page_request
from admin.permissions import ROLE_PERMISSIONS, SECTIONS
from admin.stores import logins
from admin.stores.logins import Login, LoginFilter
from admin.views import login_acts
from admin.views.customer_frame import address
from b2bua.account.errors import Refused
from conf.first_start import make_password

STATUSES = {"active": "Active", "inactive": "Locked"}


async def show_list(request: web.Request) -> web.StreamResponse:
    """Show a page of the logins."""
    query = request.query
    chosen = LoginFilter(
        search=query.get("q", "").strip()[:100],
        role=query.get("role", "") if query.get("role") in ALL_ROLES else "",
        status=query.get("status", "") if query.get("status") in STATUSES else "",
    )
    page = await logins.list_logins(request.app[POOL], chosen, page_request(query, (str,)))
    context = {"page": page, "filter": chosen, "roles": ALL_ROLES, "statuses": STATUSES}
    return await render.page(request, "users/list", context)


async def show_roles(request: web.Request) -> web.StreamResponse:
    """Show what each role may do."""
    context = {"roles": ALL_ROLES, "sections": SECTIONS, "permissions": ROLE_PERMISSIONS}
    return await render.page(request, "users/roles", context)


async def new_form(request: web.Request) -> web.StreamResponse:
    """Show an empty form."""
    return await _new(request, {"role": "support", "time_zone": request[USER].time_zone}, {})


async def add(request: web.Request) -> web.StreamResponse:
    """Make a login of the operator; its first password is shown in the answer, and never again."""
    values = typed(await request.post(), (LOGIN, ROLE, TIME_ZONE))
    password = make_password()
    try:
        form = StaffLogin.model_validate(values)
        password_hash = await request.app[PASSWORDS].hash(password)
        async with request.app[POOL].acquire(timeout=5) as connection, connection.transaction():
            await logins.add_login(connection, form.login, form.role, form.time_zone, password_hash)
            new = {"role": form.role, "time_zone": form.time_zone}
            await audit.write(connection, request, "login.add", f"login {form.login}", new=new)
    except (ValidationError, Refused) as error:
        return await _new(request, values, faults(error))
    return await _details(request, await logins.find_login(request.app[POOL], form.login), password=password)


async def _new(request: web.Request, values: Mapping[str, str], errors: dict[str, str]) -> web.StreamResponse:
    form = Filled(values, errors, {"time_zone": zones()})
    context = {"form": form, "inputs": (LOGIN, ROLE, TIME_ZONE)}
    return await render.page(request, "users/new", context, status=422 if errors else 200)


async def _find(request: web.Request) -> Login:
    return await logins.find_login(request.app[POOL], request.match_info["login"])


async def details(request: web.Request) -> web.StreamResponse:
    """Show a login in its form."""
    return await _details(request, await _find(request))


async def change(request: web.Request) -> web.StreamResponse:
    """Store another role or time zone."""
    login = await _find(request)
    values = {"login": login.login, "role": login.role} | typed(await request.post(), _inputs(request, login))
    try:
        form = (AccountLogin if login.account else StaffLogin).model_validate(values)
        role = form.role if isinstance(form, StaffLogin) else login.role
        async with request.app[POOL].acquire(timeout=5) as connection, connection.transaction():
            await logins.change_login(connection, login, role, form.time_zone)
            old = {"role": login.role, "time_zone": login.time_zone}
            new = {"role": role, "time_zone": form.time_zone}
            if old != new:
                await audit.write(
                    connection, request, "login.change", login.title, account_id=login.account_id, old=old, new=new
                )
    except (ValidationError, Refused) as error:
        return await _details(request, login, values=values, errors=faults(error))
    await render.flash(request, f"Login {login.login} saved" if old != new else "Nothing was changed")
    return render.see_other(address(request, "user.details", login=login.login))


async def set_status(request: web.Request) -> web.StreamResponse:
    """Lock or unlock."""
    login = await _find(request)
    try:
        await login_acts.set_status(request, login)
    except Refused as error:
        return await _details(request, login, errors=faults(error))
    return render.see_other(address(request, "user.details", login=login.login))


async def reset_password(request: web.Request) -> web.StreamResponse:
    """Make a password for one sign-in, and show it once."""
    login = await _find(request)
    try:
        password = await login_acts.reset_password(request, login)
    except Refused as error:
        return await _details(request, login, errors=faults(error))
    return await _details(request, await _find(request), password=password)


async def end_sessions(request: web.Request) -> web.StreamResponse:
    """End every session."""
    login = await _find(request)
    await login_acts.end_sessions(request, login)
    return render.see_other(address(request, "user.details", login=login.login))


async def reset_factor(request: web.Request) -> web.StreamResponse:
    """Switch off the second factor of somebody who lost it."""
    login = await _find(request)
    try:
        await login_acts.reset_factor(request, login)
    except Refused as error:
        return await _details(request, login, errors=faults(error))
    return render.see_other(address(request, "user.details", login=login.login))


async def remove(request: web.Request) -> web.StreamResponse:
    """Remove a login, unless it is the last administrator."""
    login = await _find(request)
    try:
        await login_acts.remove(request, login)
    except Refused as error:
        return await _details(request, login, errors=faults(error))
    return render.see_other(address(request, "user.list"))


def _inputs(request: web.Request, login: Login) -> tuple[Input, ...]:
    """Nobody changes the role of the login that is signed in, and those of accounts have theirs."""
    return (TIME_ZONE,) if login.account or login.user_id == request[USER].user_id else (ROLE, TIME_ZONE)


async def _details(
    request: web.Request,
    login: Login,
    *,
    values: Mapping[str, str] | None = None,
    errors: dict[str, str] | None = None,
    password: str = "",
) -> web.StreamResponse:
    shown = values or {"role": login.role, "time_zone": login.time_zone}
    context = {
        "login": login,
        "form": Filled(shown, errors or {}, {"time_zone": zones()}),
        "inputs": _inputs(request, login),
        "is_self": login.user_id == request[USER].user_id,
        "password": password,
        "roles": ALL_ROLES,
    }
    return await render.page(request, "users/details", context, status=422 if errors else 200)
