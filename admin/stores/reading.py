"""How lists are read: in a read-only transaction with a time limit and plans made for the very values."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import asyncpg

from admin.errors import SearchTooLong

if TYPE_CHECKING:
    Pool = asyncpg.Pool[asyncpg.Record]
else:
    Pool = asyncpg.Pool  # takes no parameter at run time


@asynccontextmanager
async def reading(pool: Pool) -> AsyncIterator[Any]:
    """Yield a connection for the queries of one page.

    Filters that are not set are NULL parameters; a plan made for the values drops them and finds the right index,
    where a generic one would scan.

    Raises:
        SearchTooLong: a query took longer than its limit.
    """
    async with pool.acquire(timeout=5) as connection, connection.transaction(readonly=True):
        await connection.execute("SET LOCAL plan_cache_mode = force_custom_plan; SET LOCAL statement_timeout = '8s'")
        try:
            yield connection
        except asyncpg.QueryCanceledError as error:
            raise SearchTooLong from error
