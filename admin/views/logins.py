"""The logins of a customer or reseller: as many as it needs, each with a password and a second factor of its own."""

from collections.abc import Mapping

from aiohttp import web
from pydantic import ValidationError

from admin import audit, render
from admin.forms.field import Filled, faults, typed
from admin.forms.user import LOGIN, TIME_ZONE, AccountLogin, zones
from admin.keys import PASSWORDS, POOL, USER
from admin.paging import page_request
from admin.stores import logins
from admin.stores.accounts import Account
from admin.stores.logins import Login, LoginFilter
from admin.views import login_acts
from admin.views.customer_frame import find, find_open, frame, place
from b2bua.account.errors import Refused
from conf.first_start import make_password

INPUTS = (LOGIN, TIME_ZONE)


async def show_list(request: web.Request) -> web.StreamResponse:
    """Show the logins of an account, with an empty form."""
    return await _page(request, await find(request), {"time_zone": request[USER].time_zone})


async def add(request: web.Request) -> web.StreamResponse:
    """Add a login; its first password is shown in the answer, and never again."""
    account, values, password = await find_open(request), typed(await request.post(), INPUTS), make_password()
    try:
        form = AccountLogin.model_validate(values)
        password_hash = await request.app[PASSWORDS].hash(password)
        async with request.app[POOL].acquire(timeout=5) as connection, connection.transaction():
            await logins.add_login(
                connection, form.login, account.kind, form.time_zone, password_hash, account.account_id
            )
            await audit.write(
                connection,
                request,
                "login.add",
                f"login {form.login} of {account.code}",
                account_id=account.account_id,
                new={"role": account.kind, "time_zone": form.time_zone},
            )
    except (ValidationError, Refused) as error:
        return await _page(request, account, values, faults(error))
    return await _page(request, account, {"time_zone": form.time_zone}, password=(form.login, password))


async def _find(request: web.Request) -> tuple[Account, Login]:
    account = await find_open(request)
    login = request.match_info["login"]
    return account, await logins.find_login(request.app[POOL], login, account_id=account.account_id)


async def set_status(request: web.Request) -> web.StreamResponse:
    """Lock or unlock a login."""
    account, login = await _find(request)
    await login_acts.set_status(request, login)
    return render.see_other(place(request, account, "login.list"))


async def reset_password(request: web.Request) -> web.StreamResponse:
    """Make a password for one sign-in, and show it once."""
    account, login = await _find(request)
    password = await login_acts.reset_password(request, login)
    return await _page(request, account, {"time_zone": request[USER].time_zone}, password=(login.login, password))


async def end_sessions(request: web.Request) -> web.StreamResponse:
    """End every session of a login."""
    account, login = await _find(request)
    await login_acts.end_sessions(request, login)
    return render.see_other(place(request, account, "login.list"))


async def reset_factor(request: web.Request) -> web.StreamResponse:
    """Switch off the second factor of somebody who lost it."""
    account, login = await _find(request)
    await login_acts.reset_factor(request, login)
    return render.see_other(place(request, account, "login.list"))


async def remove(request: web.Request) -> web.StreamResponse:
    """Remove a login."""
    account, login = await _find(request)
    await login_acts.remove(request, login)
    return render.see_other(place(request, account, "login.list"))


async def _page(
    request: web.Request,
    account: Account,
    values: Mapping[str, str],
    errors: dict[str, str] | None = None,
    *,
    password: tuple[str, str] | None = None,
) -> web.StreamResponse:
    asked = page_request(request.query, (str,))
    context = {
        **frame(request, account, "logins"),
        "page": await logins.list_logins(request.app[POOL], LoginFilter(), asked, account_id=account.account_id),
        "form": Filled(values, errors or {}, {"time_zone": zones()}),
        "inputs": INPUTS,
        "password": password,
        "may_change": account.status != "closed",
    }
    return await render.page(request, "logins/list", context, status=422 if errors else 200)
