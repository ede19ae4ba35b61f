"""Sessions: the cookie holds a random token, the table panel_session its SHA-256 and the data.

Built on aiohttp-session, whose storage this is. Somebody who reads the table cannot sign in with what is there. A
session exists from sign-in on (visitors have none, so a crowd of them fills no table), gets a new token at sign-in,
and ends after [panel] session_idle without a request.
"""

import hashlib
import secrets
from typing import Any, Final

from aiohttp import web
from aiohttp_session import AbstractStorage, Session, new_session

from admin.keys import POOL, SETTINGS, USER
from admin.stores import users

USER_ID: Final = "user_id"
FLASHES: Final = "flashes"


def cookie_name(secure: bool) -> str:
    """Name of the session cookie; with the prefix that ties it to this host over HTTPS where that is so."""
    return "__Host-sw_session" if secure else "sw_session"


def hash_token(token: str) -> bytes:
    """What the table holds of a token."""
    return hashlib.sha256(token.encode()).digest()


class DatabaseStorage(AbstractStorage):
    """Keeps sessions in PostgreSQL. Loading one also loads its login into the request."""

    def __init__(self, *, secure: bool) -> None:
        super().__init__(cookie_name=cookie_name(secure), secure=secure, httponly=True, samesite="Lax")

    async def load_session(self, request: web.Request) -> Session:
        """Return the session of the request's cookie, or a new empty one."""
        token = self.load_cookie(request)
        if not token:
            return await self.new_session()
        pool, idle = request.app[POOL], request.app[SETTINGS].panel.session_idle
        found = await users.find_session(pool, hash_token(token), idle)
        if found is None:
            return await self.new_session()
        request[USER], data = found
        await users.touch_session(pool, hash_token(token))
        return Session(token, data={"session": data}, new=False)

    async def save_session(self, request: web.Request, response: web.StreamResponse, session: Session) -> None:
        """Store what changed; a new session gets its token and cookie here. Sign-out is `forget_session`."""
        pool = request.app[POOL]
        data: dict[str, Any] = dict(session)
        user_id = data.pop(USER_ID, None)
        if session.new:
            if user_id is None:
                return
            token = secrets.token_urlsafe(32)
            idle = request.app[SETTINGS].panel.session_idle
            agent = "".join(filter(str.isprintable, request.headers.get("User-Agent", "")))[:200]
            source = request.remote or ""
            await users.create_session(pool, hash_token(token), user_id, data, idle, source=source, agent=agent)
            self.save_cookie(response, token)
        else:
            await users.update_session(pool, hash_token(str(session.identity)), data)


async def start_session(request: web.Request, user_id: int, *, acting_as: int | None = None) -> None:
    """Begin a session with a new token; the one that came with the request ends.

    Args:
        request: What is answered.
        user_id: Whose it is.
        acting_as: The login that it works as, where that is another one.
    """
    await forget_session(request)
    session = await new_session(request)
    session[USER_ID] = user_id
    if acting_as is not None:
        session[users.ACTING_AS] = acting_as


async def forget_session(request: web.Request) -> None:
    """End the session of the request's cookie, if it has one."""
    token = request.cookies.get(cookie_name(request.app[SETTINGS].panel.secure_cookie))
    if token:
        await users.delete_session(request.app[POOL], hash_token(token))


def clear_cookie(request: web.Request, response: web.StreamResponse) -> None:
    """Take the session cookie back."""
    secure = request.app[SETTINGS].panel.secure_cookie
    response.del_cookie(cookie_name(secure), path="/", secure=secure, httponly=True, samesite="Lax")
