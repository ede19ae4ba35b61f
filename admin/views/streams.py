"""What every live page's stream has in common."""

from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp_session import get_session

from admin import live
from admin.keys import METRICS, POOL, READERS, SETTINGS, STOPPING, USER
from admin.session import hash_token
from admin.stores import users


async def follow(
    request: web.Request, picture: Callable[[], Awaitable[live.Picture]], interval: float
) -> web.StreamResponse:
    """Stream a picture for as long as the login, its role and its session stay."""
    user, app = request[USER], request.app
    token_hash = hash_token(str((await get_session(request)).identity))

    async def is_welcome() -> bool:
        found = await users.find_session(app[POOL], token_hash, app[SETTINGS].panel.session_idle)
        return found is not None and found[0] == user

    try:
        with app[READERS].reading(user.user_id):
            app[METRICS].streams.set(app[READERS].total)
            return await live.stream(
                request, interval=interval, picture=picture, is_welcome=is_welcome, stopping=app[STOPPING]
            )
    except live.TooManyStreams:
        raise web.HTTPTooManyRequests from None
    finally:
        app[METRICS].streams.set(app[READERS].total)
