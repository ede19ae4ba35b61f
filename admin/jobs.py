"""Runs long jobs beside the panel: a few at a time, each in a process of its own, so that pages stay quick.

A job's process (`admin.job_process`) reads its order from its standard input and ends when that is closed: so it ends
with the panel, however that ends. What it says is written into its row. Its files lie in `jobs/<number>` below the data
directory for seven days.
"""

import asyncio
import contextlib
import shutil
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import asyncpg
import orjson
import structlog

from admin.errors import SearchTooLong
from admin.stores import jobs
from admin.stores.reading import Pool
from b2bua.tasks import spawn
from conf.embedded.location import database_url
from conf.settings import Settings

log = structlog.get_logger()

AT_A_TIME: Final = 2
MOST_OPEN: Final = 20
"""Jobs that wait or run in this panel."""
MOST_OF_ONE: Final = 3
"""The same of one login."""
PATIENCE: Final = 5.0
"""Seconds that a job's process has to end."""
LONGEST: Final = 6 * 3600.0
"""Seconds that a job may take."""
BEAT: Final = 5.0
TIDY: Final = 3600.0
_LINE: Final = 8 * 1024 * 1024
"""Bytes of the longest line that a job's process writes: its result."""


Work = Callable[[Path, Callable[[int], Awaitable[None]]], Awaitable[Mapping[str, Any]]]
"""Takes the directory of its files and whom to tell how many rows are done, and returns its result."""


class TooManyJobs(Exception):
    """The login, or everybody together, has as many unfinished jobs as are allowed."""


@dataclass(slots=True)
class _Open:
    """A job that waits or runs."""

    job_id: int
    user_id: int
    order: Mapping[str, Any]
    work: Work | None = None
    """Done in this process; None: in one of its own."""
    process: asyncio.subprocess.Process | None = None
    task: asyncio.Task[None] | None = None
    is_cancelled: bool = False


class Runner:
    """Runs jobs.

    Args:
        settings: For the data directory and the database.
        pool: The panel's.
    """

    def __init__(self, settings: Settings, pool: Pool) -> None:
        self.instance = uuid4()
        self._pool = pool
        self._url = database_url(settings)
        self._directory = settings.system.path / "jobs"
        self._open: dict[int, _Open] = {}
        self._turn = asyncio.Semaphore(AT_A_TIME)
        self._keeper: asyncio.Task[None] | None = None
        self._is_stopping = False
        self._tidied_at = float("-inf")

    def start(self) -> None:
        """Begin to look after jobs."""
        self._keeper = spawn(self._keep(), "jobs")

    async def stop(self) -> None:
        """End every job; what was not done is told so."""
        self._is_stopping = True
        if self._keeper is not None:
            self._keeper.cancel()
        tasks = [job.task for job in self._open.values() if job.task is not None]
        for job in list(self._open.values()):
            self._interrupt(job)
        if tasks:
            await asyncio.wait(tasks, timeout=PATIENCE)

    def open_of(self, user_id: int) -> list[int]:
        """The unfinished jobs of a login."""
        return [job.job_id for job in self._open.values() if job.user_id == user_id]

    def refuse_more(self, user_id: int) -> None:
        """See that another job may be made.

        Raises:
            TooManyJobs: it may not.
        """
        counts = Counter(job.user_id for job in self._open.values())
        if counts[user_id] >= MOST_OF_ONE or counts.total() >= MOST_OPEN:
            raise TooManyJobs

    def make_place(self) -> Path:
        """Make a directory for the files of a job that is still to be made."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        place = self._directory / f"new-{uuid4()}"
        place.mkdir(mode=0o700)
        return place

    def place_of(self, job_id: int) -> Path:
        """The directory of a job's files."""
        return self._directory / str(job_id)

    def adopt(self, place: Path, job_id: int) -> None:
        """Give a directory to the job that was made meanwhile."""
        place.rename(self.place_of(job_id))

    def add(self, job_id: int, user_id: int, order: Mapping[str, Any], work: Work | None = None) -> None:
        """Run a job when its turn comes."""
        self.place_of(job_id).mkdir(mode=0o700, parents=True, exist_ok=True)
        job = self._open[job_id] = _Open(job_id, user_id, order, work)
        job.task = spawn(self._run(job), f"job {job_id}")

    def cancel(self, job_id: int) -> bool:
        """Cancel a job; False: this process does not have it."""
        job = self._open.get(job_id)
        if job is None:
            return False
        job.is_cancelled = True
        self._interrupt(job)
        return True

    @staticmethod
    def _interrupt(job: _Open) -> None:
        if job.process is not None and job.process.stdin is not None:
            job.process.stdin.close()
        elif job.task is not None:
            job.task.cancel()

    async def _run(self, job: _Open) -> None:
        try:
            async with self._turn:
                if not await jobs.begin(self._pool, job.job_id):
                    return
                if job.work is None:
                    await self._carry_out(job)
                else:
                    await self._do_here(job, job.work)
        except asyncio.CancelledError:
            await self._end(job, "cancelled" if job.is_cancelled else "failed", jobs.STOPPED)
        except Exception:
            log.exception("job failed", job=job.job_id)
            await self._end(job, "failed", "Something went wrong; the fault has been logged.")
        finally:
            self._open.pop(job.job_id, None)

    async def _do_here(self, job: _Open, work: Work) -> None:
        async def tell(count: int) -> None:
            await jobs.tell(self._pool, job.job_id, "rows", 0.0, count)

        try:
            async with asyncio.timeout(LONGEST):
                await self._end(job, "finished", "", await work(self.place_of(job.job_id), tell))
        except (SearchTooLong, TimeoutError):
            await self._end(job, "failed", "It took too long: choose a shorter time span or more conditions")

    async def _carry_out(self, job: _Open) -> None:
        job.process = process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "admin.job_process"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=_LINE,
        )
        last: dict[str, Any] = {}
        try:
            async with asyncio.timeout(LONGEST):
                order = {**job.order, "url": self._url, "directory": str(self.place_of(job.job_id))}
                if job.is_cancelled or self._is_stopping:
                    self._interrupt(job)
                else:
                    assert process.stdin is not None
                    process.stdin.write(orjson.dumps(order, default=str) + b"\n")
                    await process.stdin.drain()
                last = await self._listen(job, process)
        except (TimeoutError, ConnectionError, ValueError) as error:
            log.warning("job broke off", job=job.job_id, error=repr(error))
        finally:
            await self._see_off(process)
        await self._conclude(job, last)

    async def _listen(self, job: _Open, process: asyncio.subprocess.Process) -> dict[str, Any]:
        """Write down how far it is until it says how it ended; nothing: it said no such thing."""
        assert process.stdout is not None
        while line := await process.stdout.readline():
            said: dict[str, Any] = orjson.loads(line)
            if "step" not in said:
                return said
            await jobs.tell(self._pool, job.job_id, said["step"], said["part"], said["total"])
        return {}

    @staticmethod
    async def _see_off(process: asyncio.subprocess.Process) -> None:
        if process.stdin is not None:
            process.stdin.close()
        try:
            async with asyncio.timeout(PATIENCE):
                await process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _conclude(self, job: _Open, last: dict[str, Any]) -> None:
        if "result" in last:
            await self._end(job, "failed" if last.get("fault") else "finished", last.get("fault", ""), last["result"])
        elif job.is_cancelled:
            await self._end(job, "cancelled")
        else:
            await self._end(job, "failed", jobs.STOPPED if self._is_stopping else jobs.BROKEN)

    async def _end(self, job: _Open, status: str, fault: str = "", result: Mapping[str, Any] | None = None) -> None:
        """Write down the end. An import that was committed is done, even where nobody was left to say so."""
        if status != "finished" and (written := await jobs.imported(self._pool, job.job_id)):
            status, fault, result = "finished", "", written
        await jobs.end(self._pool, job.job_id, status, "" if status == "cancelled" else fault, result)

    async def _keep(self) -> None:
        while True:
            try:
                await self.look_after()
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
                log.warning("jobs cannot be looked after", error=str(error))
            await asyncio.sleep(BEAT)

    async def look_after(self) -> None:
        """Say that this panel lives, end the jobs of those that do not, and from time to time delete what is old."""
        await jobs.beat(self._pool, self.instance)
        for job_id in await jobs.find_dead(self._pool):
            await self._end(_Open(job_id, 0, {}), "failed", jobs.DIED)
        now = time.monotonic()
        if now - self._tidied_at > TIDY:
            self._tidied_at = now
            await self._tidy()

    async def _tidy(self) -> None:
        """Delete old jobs, and files whose job is gone or that no job was made of."""
        await jobs.forget_old(self._pool)
        if not self._directory.is_dir():
            return
        for place in self._directory.glob("new-*"):
            if time.time() - place.stat().st_mtime > TIDY:
                await asyncio.to_thread(shutil.rmtree, place, ignore_errors=True)
        places = {int(place.name): place for place in self._directory.iterdir() if place.name.isdecimal()}
        known = await jobs.known(self._pool, list(places))
        for job_id, place in places.items():
            if job_id not in known:
                await asyncio.to_thread(shutil.rmtree, place, ignore_errors=True)
