"""Connections to PostgreSQL for every service: one clear fault when it is away or was migrated by other code."""

from urllib.parse import parse_qs, urlsplit

import asyncpg

from conf.embedded.location import database_url
from conf.errors import ServerUnavailable
from conf.migrate import check_version
from conf.settings import Settings

CONNECT_TIMEOUT = 5.0
"""Longest wait for a connection, in seconds."""

COMMAND_TIMEOUT = 60.0
"""Longest wait for one statement, in seconds; a call may ask for more."""


async def connect_pool(
    settings: Settings, *, min_size: int = 1, max_size: int = 4, check: bool = True
) -> "asyncpg.Pool[asyncpg.Record]":
    """Open a pool on the database of the settings.

    Args:
        settings: `database.url`, or the embedded server of `system.directory`.
        min_size: Connections kept open.
        max_size: Most connections.
        check: Whether to refuse a database of a version that this code does not know.

    Raises:
        ServerUnavailable: the server does not answer or refuses us.
        SchemaMismatch: the database is older or newer than this code.
    """
    url = database_url(settings)
    try:
        pool = await asyncpg.create_pool(
            url, min_size=min_size, max_size=max_size, timeout=CONNECT_TIMEOUT, command_timeout=COMMAND_TIMEOUT
        )
    except CONNECT_ERRORS as error:
        raise unavailable(url, error) from error
    if check:
        try:
            async with pool.acquire() as connection:
                await check_version(connection)
        except BaseException:
            pool.terminate()
            raise
    return pool


async def connect(url: str) -> "asyncpg.Connection[asyncpg.Record]":
    """Open one connection.

    Raises:
        ServerUnavailable: the server does not answer or refuses us.
    """
    try:
        return await asyncpg.connect(url, timeout=CONNECT_TIMEOUT)
    except CONNECT_ERRORS as error:
        raise unavailable(url, error) from error


CONNECT_ERRORS = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError)
"""What asyncpg raises when there is no connection to be had, or the URL is none."""


def unavailable(url: str, error: Exception) -> ServerUnavailable:
    """Make the one-line fault that names the server."""
    reason = str(error).splitlines()[0] if str(error) else "no answer in time"
    return ServerUnavailable(f"PostgreSQL at {without_password(url)} is not available: {reason}")


def without_password(url: str) -> str:
    """Return a URL as it may be shown: the password left out, the directory of a Unix socket in its place."""
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    user, _, host = parts.netloc.rpartition("@")
    shown = f"{user.partition(':')[0]}@{host}" if user else host
    directory = query.get("host", [""])[0]
    return f"{parts.scheme}://{shown}{parts.path}" + (f" ({directory})" if directory else "")
