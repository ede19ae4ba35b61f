"""How much of a worker's journal waits for the writer process, looked at every few seconds and never per call.

Between two looks the journal itself adds what it writes. How far the writer has committed is read from the database;
while that is away nothing is committed, so what was read last holds.
"""

import asyncio
from typing import Final

import asyncpg
import structlog

from cdr.journal import JournalWriter

log = structlog.get_logger()

LOOK_INTERVAL: Final = 5.0
"""Seconds between two looks."""

WARN_ABOVE: Final = 0.5
"""Part of the limit above which somebody should know."""

_WARN_INTERVAL: Final = 60.0
_ANSWER_TIMEOUT: Final = 2.0


class SpaceWatch:
    """Watches one worker's journal.

    Args:
        journal: What is watched; it has the limit.
        worker: The worker's name.
    """

    def __init__(self, journal: JournalWriter, worker: str) -> None:
        self._journal = journal
        self._worker = worker
        self._segment = 0
        self._offset = 0
        self._warned_at: float | None = None
        self._told_full = False

    async def run(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        """Look until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await self.look(pool, loop.time())
            await asyncio.sleep(LOOK_INTERVAL)

    async def look(self, pool: "asyncpg.Pool[asyncpg.Record]", now: float) -> None:
        """Measure the journal and, once a minute, warn when it is half full."""
        try:
            async with asyncio.timeout(_ANSWER_TIMEOUT):
                place = await pool.fetchrow(
                    'SELECT segment, "offset" FROM journal_position WHERE worker = $1', self._worker
                )
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
            place = None
        if place is not None:
            self._segment, self._offset = place["segment"], place["offset"]
        self._journal.measure(self._segment, self._offset)
        self._warn(now)

    def _warn(self, now: float) -> None:
        waiting, limit = self._journal.waiting, self._journal.limit
        if not limit or waiting < WARN_ABOVE * limit:
            self._warned_at = None
            return
        is_full = waiting >= limit
        # That calls are refused now is told at once, however lately the first half was.
        is_news = is_full and not self._told_full
        if self._warned_at is not None and now - self._warned_at < _WARN_INTERVAL and not is_news:
            return
        self._warned_at, self._told_full = now, is_full
        if is_full:
            log.error("journal is at its limit, new calls are refused", waiting_bytes=waiting, limit_bytes=limit)
        else:
            log.warning("journal waits for the database", waiting_bytes=waiting, limit_bytes=limit)
