"""Long jobs as the database has them: made, told how far they are, ended, listed within the scope of a login."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import orjson

from admin.errors import NotFound
from admin.paging import KeyParts, Page, PageRequest, make_page
from admin.permissions import Permission
from admin.stores.reading import Pool, reading
from admin.stores.tariffs import Ratecard, read_id
from admin.stores.users import User
from rating.ledger import Connection

KEPT: Final = timedelta(days=7)
"""How long a job and its files stay after its end."""
SILENCE: Final = timedelta(seconds=20)
"""After so long without a sign of life the process that had a job is dead."""
OPEN: Final = ("waiting", "running")
KINDS: Final = {"preview": "Look through file", "import": "Import", "undo": "Undo import", "export": "Export"}
DIED: Final = "The panel stopped while this was running. Nothing was changed: start it again."
BROKEN: Final = "Something went wrong; the fault has been logged. Nothing was changed."
STOPPED: Final = "The panel was stopped before this was done. Nothing was changed: start it again."

KEY: Final[KeyParts] = (int,)


@dataclass(frozen=True, slots=True)
class Job:
    """One job."""

    job_id: int
    kind: str
    status: str
    title: str
    login: str
    user_id: int | None
    account_id: int | None
    ratecard_id: int | None
    ratecard: str | None
    parameters: Mapping[str, Any]
    step: str
    part: float
    """Of the step that is done, 0 to 1."""
    total: int | None
    """Rows; None: not known."""
    fault: str
    result: Mapping[str, Any]
    created_at: datetime
    started_at: datetime | None
    step_at: datetime | None
    ended_at: datetime | None

    @property
    def is_open(self) -> bool:
        """Whether it is not at its end."""
        return self.status in OPEN

    @property
    def done(self) -> int | None:
        """Rows of the step that are done; None: it does not count rows."""
        if self.step == "rows":
            return self.total  # of a list whose end nobody knows
        counted = "writing" if self.kind == "export" else "reading"
        return None if self.total is None or self.step != counted else round(self.part * self.total)

    def rate(self, now: datetime) -> float | None:
        """Rows a second."""
        seconds = (now - self.step_at).total_seconds() if self.step_at else 0.0
        return self.done / seconds if self.done and seconds > 0.5 else None

    def left(self, now: datetime) -> float | None:
        """Seconds that the step still takes, if it goes on so."""
        seconds = (now - self.step_at).total_seconds() if self.step_at else 0.0
        return seconds * (1 - self.part) / self.part if self.part > 0.02 and seconds > 0.5 else None


async def create(
    connection: Connection,
    kind: str,
    title: str,
    user: User,
    instance: UUID,
    *,
    ratecard: Ratecard | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> int:
    """Make a job that waits and return its id."""
    made: int = await connection.fetchval(
        """
        INSERT INTO job (kind, title, login, user_id, account_id, ratecard_id, parameters, instance)
        VALUES ($1, $2, $3, $4, $5, $6, $7::text::jsonb, $8) RETURNING id
        """,
        kind,
        title[:200],
        user.switched_by or user.login,
        user.user_id,
        user.account_id if ratecard is None else ratecard.owner_id,
        None if ratecard is None else ratecard.ratecard_id,
        orjson.dumps(parameters or {}, default=str).decode(),
        instance,
    )
    return made


async def begin(pool: Pool, job_id: int) -> bool:
    """Say that it runs; False: it was cancelled while it waited."""
    done = await pool.fetchval(
        """
        UPDATE job SET status = 'running', started_at = now(), step_at = now(), beat_at = now()
        WHERE id = $1 AND status = 'waiting' RETURNING true
        """,
        job_id,
    )
    return bool(done)


async def tell(pool: Pool, job_id: int, step: str, part: float, total: int | None) -> None:
    """Say how far it is."""
    await pool.execute(
        """
        UPDATE job SET step_at = CASE WHEN step = $2 THEN step_at ELSE now() END, step = $2, part = $3, total = $4,
            beat_at = now()
        WHERE id = $1 AND status = 'running'
        """,
        job_id,
        step,
        part,
        total,
    )


async def end(pool: Pool, job_id: int, status: str, fault: str = "", result: Mapping[str, Any] | None = None) -> None:
    """Say how it ended; what has ended stays as it is."""
    await pool.execute(
        """
        UPDATE job SET status = $2, fault = $3, result = $4::text::jsonb, ended_at = now(), part = 1
        WHERE id = $1 AND status IN ('waiting', 'running')
        """,
        job_id,
        status,
        fault[:2000],
        orjson.dumps(result or {}, default=str).decode(),
    )


async def imported(pool: Pool, job_id: int) -> Mapping[str, Any] | None:
    """What an import has written, whatever became of the process that did it; None: nothing."""
    row = await pool.fetchrow(
        """
        SELECT rate_import.id AS import_id, rate_import.rows_new AS new, rate_import.rows_changed AS changed,
               rate_import.rows_removed AS removed
        FROM rate_import JOIN job ON job.ratecard_id = rate_import.ratecard_id
        WHERE job.id = $1 AND rate_import.by_whom = 'panel: ' || job.login || ', job ' || job.id
        """,
        job_id,
    )
    return None if row is None else dict(row)


async def beat(pool: Pool, instance: UUID) -> None:
    """Say that the process that has these jobs lives."""
    await pool.execute(
        "UPDATE job SET beat_at = now() WHERE instance = $1 AND status IN ('waiting', 'running')", instance
    )


async def find_dead(pool: Pool) -> list[int]:
    """Jobs whose process has not been heard of."""
    rows = await pool.fetch(
        "SELECT id FROM job WHERE status IN ('waiting', 'running') AND beat_at < now() - $1::interval", SILENCE
    )
    return [row["id"] for row in rows]


async def forget_old(pool: Pool) -> None:
    """Delete what ended long ago."""
    await pool.execute("DELETE FROM job WHERE ended_at < now() - $1::interval", KEPT)


async def known(pool: Pool, ids: list[int]) -> set[int]:
    """Which of these jobs there are."""
    return {row["id"] for row in await pool.fetch("SELECT id FROM job WHERE id = ANY($1)", ids)}


# An administrator sees every job, anybody its own; of imports and the like whoever sees the ratecard.
_SELECT: Final = """
    WITH RECURSIVE own AS (
        SELECT top.id FROM account AS top WHERE top.id = $4
        UNION ALL
        SELECT below.id FROM account AS below JOIN own ON below.parent_id = own.id WHERE below.kind = 'reseller'
    )
    SELECT job.id, job.kind, job.status, job.title, job.login, job.user_id, job.account_id, job.ratecard_id,
           ratecard.name AS ratecard, job.parameters::text, job.step, job.part, job.total, job.fault,
           job.result::text, job.created_at, job.started_at, job.step_at, job.ended_at
    FROM job LEFT JOIN ratecard ON ratecard.id = job.ratecard_id
    WHERE ($1 OR job.user_id = $2
           OR ($3 AND job.kind <> 'export' AND ($4::bigint IS NULL OR job.account_id IN (SELECT own.id FROM own))))
"""
_FORWARD: Final = _SELECT + " AND ($5::bigint IS NULL OR job.id < $5) ORDER BY job.id DESC LIMIT $6"
_BACKWARD: Final = _SELECT + " AND job.id > $5 ORDER BY job.id LIMIT $6"
_FIND: Final = _SELECT + " AND job.id = $5"
_OF_RATECARD: Final = _SELECT + " AND job.ratecard_id = $5 ORDER BY job.id DESC LIMIT 5"


def _visible(user: User) -> tuple[Any, ...]:
    return user.role == "administrator", user.user_id, user.may(Permission.TARIFFS_READ), user.scope.account_id


async def list_jobs(pool: Pool, user: User, asked: PageRequest) -> Page[Job]:
    """A page of the jobs that a login sees, the newest first."""
    async with reading(pool) as connection:
        query = _BACKWARD if asked.backward else _FORWARD
        rows = await connection.fetch(query, *_visible(user), *asked.parts(1), asked.size + 1)
    return make_page([_job(row) for row in rows], asked, lambda job: (job.job_id,))


async def jobs_of(pool: Pool, user: User, ratecard: Ratecard) -> list[Job]:
    """The last jobs of a ratecard."""
    return [_job(row) for row in await pool.fetch(_OF_RATECARD, *_visible(user), ratecard.ratecard_id)]


async def find_job(pool: Pool, user: User, text: str) -> Job:
    """Find a job by the number in an address.

    Raises:
        NotFound: there is none that the login sees.
    """
    row = await pool.fetchrow(_FIND, *_visible(user), read_id(text))
    if row is None:
        raise NotFound
    return _job(row)


def _job(row: Any) -> Job:  # noqa: ANN401 - asyncpg's row
    values = dict(row)
    values["job_id"] = values.pop("id")
    values["parameters"], values["result"] = orjson.loads(values["parameters"]), orjson.loads(values["result"])
    for name in ("created_at", "started_at", "step_at", "ended_at"):
        values[name] = values[name] and values[name].astimezone(UTC)
    return Job(**values)
