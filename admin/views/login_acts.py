"""What those who manage a login do to it, on the page of users and on those of accounts: each act leaves its entry."""

from typing import Final

from aiohttp import web

from admin import audit, render
from admin.errors import NotFound
from admin.keys import PASSWORDS, POOL, USER
from admin.stores import logins
from admin.stores.logins import Login
from b2bua.account import panel_login
from b2bua.account.errors import Refused
from conf.first_start import make_password

_WORDS: Final = {"active": "unlocked", "inactive": "locked: its sessions have ended"}


def _refuse_own(request: web.Request, login: Login, act: str) -> None:
    user = request[USER]
    if login.user_id in {user.user_id, user.real_user_id}:
        raise Refused("", f"You are signed in as {login.login}: somebody else has to {act}")


async def set_status(request: web.Request, login: Login) -> None:
    """Lock or unlock.

    Raises:
        Refused: it is one's own, or the last administrator.
    """
    status = str((await request.post()).get("status", ""))
    if status not in _WORDS:
        raise NotFound
    _refuse_own(request, login, "lock it")
    async with request.app[POOL].acquire(timeout=5) as connection, connection.transaction():
        await logins.set_status(connection, login, status)
        old = {"status": login.status, "locked_until": str(login.locked_until) if login.locked_until else None}
        new = {"status": status, "locked_until": None}
        await audit.write(
            connection, request, "login.set_status", login.title, account_id=login.account_id, old=old, new=new
        )
    await render.flash(request, f"Login {login.login} is {_WORDS[status]}")


async def reset_password(request: web.Request, login: Login) -> str:
    """Make a password for one sign-in.

    Raises:
        Refused: it is one's own, whose password is changed on one's own page.
    """
    _refuse_own(request, login, "reset its password, and you can change it under My login")
    password = make_password()
    password_hash = await request.app[PASSWORDS].hash(password)
    async with request.app[POOL].acquire(timeout=5) as connection, connection.transaction():
        await panel_login.reset_password(connection, login.user_id, password_hash)
        hidden = {"password": ""}
        await audit.write(
            connection,
            request,
            "login.reset_password",
            login.title,
            account_id=login.account_id,
            old=hidden,
            new=hidden,
        )
    return password


async def end_sessions(request: web.Request, login: Login) -> None:
    """End every session; who is signed in there has to do so again."""
    async with request.app[POOL].acquire(timeout=5) as connection, connection.transaction():
        await panel_login.end_sessions(connection, login.user_id)
        old, new = {"sessions": login.sessions}, {"sessions": 0}
        await audit.write(
            connection, request, "login.end_sessions", login.title, account_id=login.account_id, old=old, new=new
        )
    await render.flash(request, f"Every session of {login.login} has ended")


async def reset_factor(request: web.Request, login: Login) -> None:
    """Switch off a second factor that was lost, so that the password alone opens the login; its sessions end.

    Raises:
        Refused: it is one's own, which is switched off with its code.
    """
    _refuse_own(request, login, "reset its second factor")
    async with request.app[POOL].acquire(timeout=5) as connection, connection.transaction():
        await panel_login.reset_factor(connection, login.user_id)
        old, new = {"second_factor": login.has_second_factor}, {"second_factor": False}
        await audit.write(
            connection, request, "login.reset_factor", login.title, account_id=login.account_id, old=old, new=new
        )
    await render.flash(request, f"The second factor of {login.login} is off: it can set up another one")


async def remove(request: web.Request, login: Login) -> None:
    """Remove a login.

    Raises:
        Refused: it is one's own, or the last administrator.
    """
    _refuse_own(request, login, "remove it")
    async with request.app[POOL].acquire(timeout=5) as connection, connection.transaction():
        await logins.remove_login(connection, login)
        old = {"role": login.role, "status": login.status}
        await audit.write(connection, request, "login.remove", login.title, account_id=login.account_id, old=old)
    await render.flash(request, f"Login {login.login} removed")
