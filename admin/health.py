"""Whether each part of the switch works, for /healthz, /metrics and the overview."""

import asyncio
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

import asyncpg
from aiohttp import web

from admin.keys import CONTROL, PICTURES, POOL
from admin.stores.reading import Pool
from b2bua.control.client import ControlClient
from b2bua.control.messages import ControlError, Message

ANSWER_TIMEOUT: Final = 2.0
"""Longest wait for an answer of the database, in seconds."""

BEAT_LIMIT: Final = timedelta(seconds=10)
"""Age from which on the writer's last sign of life counts as none."""

QUARTER: Final = timedelta(minutes=15)
"""Time over which ratios of the overview are taken."""

MUCH_WAITING: Final = 16_000_000
"""Bytes of journal that wait, from which on people are told."""

SHARED_FOR: Final = 1.0
"""Seconds that one look serves for: anybody may ask."""


@dataclass(frozen=True, slots=True)
class Part:
    """The state of one part."""

    name: str
    """`database`, `live`, `sip`, `cdr` or `media`."""
    title: str
    up: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Health:
    """The state of every part."""

    parts: tuple[Part, ...]
    calls: int
    """Calls in progress in all workers."""

    @property
    def up(self) -> bool:
        """Whether every part works."""
        return all(part.up for part in self.parts)


async def look(app: web.Application) -> Health:
    """Look at every part, or take what was seen a moment ago."""
    health: Health = await app[PICTURES].get("health", SHARED_FOR, lambda: _look(app[POOL], app[CONTROL]))
    return health


async def _look(pool: Pool, control: ControlClient) -> Health:
    database, cdr = await _database_and_cdr(pool)
    workers = control.workers()
    answers = await asyncio.gather(*(_ping(control, worker) for worker in workers))
    calls = sum(answer["calls"] for answer in answers if answer is not None)
    parts = [database, _live(answers), _sip(workers, answers), _with_journal(cdr, answers)]
    return Health((*parts, *_media(answers)), calls)


async def _database_and_cdr(pool: Pool) -> tuple[Part, Part]:
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT), pool.acquire() as connection:
            await connection.fetchval("SELECT 1")
            age = await connection.fetchval("SELECT now() - max(beat_at) FROM cdr_writer")
    except (TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        reason = "does not answer in time" if isinstance(error, TimeoutError) else "does not answer"
        return (
            Part("database", "Database", False, reason),
            Part("cdr", "Record writer", False, "unknown while the database is away"),
        )
    return Part("database", "Database", True, "answers"), _cdr(age)


def _cdr(age: timedelta | None) -> Part:
    if age is None:
        return Part("cdr", "Record writer", False, "has never run")
    if age > BEAT_LIMIT:
        return Part("cdr", "Record writer", False, f"last seen {int(age.total_seconds())} s ago")
    return Part("cdr", "Record writer", True, "writes")


def _with_journal(cdr: Part, answers: list[Message | None]) -> Part:
    """Say how much waits for the writer, once it is more than a moment's worth, and whether calls are refused."""
    seen = [answer for answer in answers if answer is not None]
    waiting = sum(int(answer.get("journal_waiting") or 0) for answer in seen)
    if waiting < MUCH_WAITING:
        return cdr
    refusing = any(0 < int(a.get("journal_limit") or 0) <= int(a.get("journal_waiting") or 0) for a in seen)
    consequence = ", new calls are refused" if refusing else ""
    detail = f"{cdr.detail}; {waiting / 1_000_000:,.0f} MB of records wait{consequence}"
    return replace(cdr, up=cdr.up and not refusing, detail=detail)


async def _ping(control: ControlClient, worker: str) -> Message | None:
    try:
        return await control.request(worker, "ping")
    except ControlError:
        return None


def _sip(workers: list[str], answers: list[Message | None]) -> Part:
    silent = [worker for worker, answer in zip(workers, answers, strict=True) if answer is None]
    if not workers:
        return Part("sip", "SIP workers", False, "none runs")
    if silent:
        return Part("sip", "SIP workers", False, f"{', '.join(silent)} does not answer")
    return Part("sip", "SIP workers", True, f"{len(workers)} of {len(workers)} answer")


def _media(answers: list[Message | None]) -> list[Part]:
    """Media engines as the workers see them: one that is silent carries no call; without any there is no such part."""
    engines: dict[str, bool] = {}
    for answer in answers:
        for name, is_up in ((answer or {}).get("engines") or {}).items():
            engines[name] = engines.get(name, True) and bool(is_up)
    if not engines:
        return []
    silent = [name for name, is_up in engines.items() if not is_up]
    detail = f"{', '.join(silent)} does not answer" if silent else f"{len(engines)} of {len(engines)} answer"
    return [Part("media", "Media engines", not silent, detail)]


def _live(answers: list[Message | None]) -> Part:
    """The live store as the workers see it; when none answers, nobody knows."""
    seen = [answer for answer in answers if answer is not None]
    away = [str(answer.get("worker", "?")) for answer in seen if not answer.get("live_up")]
    if not seen:
        return Part("live", "Live store", False, "unknown: no worker answers")
    if away:
        return Part("live", "Live store", False, f"away for {', '.join(away)}")
    return Part("live", "Live store", True, "answers")
