"""Bring records from the journals into PostgreSQL: rows, charges and debits in one transaction, exactly once.

A batch is copied into staging tables; rows that the database has already are left out, and only those that went in are
charged and debited. The position in the journal moves in the same transaction, so a crash repeats nothing and skips
nothing. A row that the database refuses is kept in a file beside the journal and named in the log. The messages of
calls (`cdr.trace`) go with the rows; what is refused of them is only named.
"""

import asyncio
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import asyncpg
import structlog

from cdr.export import POSTING_LOCK, exported_up_to
from cdr.journal import encode_line, is_locked, read_lines, segment_path, segments, waiting_bytes
from cdr.media import UPDATE
from cdr.media import to_arguments as to_media_arguments
from cdr.record import COLUMNS, moment, to_row
from cdr.retention import drop_old
from cdr.trace import to_row as to_trace_row
from rating.errors import UnknownAccount
from rating.ledger import Usage, post_usage, take_back_expired_credit

log = structlog.get_logger()

_CHARGE_COLUMNS: Final = (
    "call_id",
    "attempt",
    "received_at",
    "level",
    "account_id",
    "carrier_id",
    "tariff_id",
    "rate_id",
    "billed_seconds",
    "net",
    "tax",
    "gross",
    "currency",
    "profit",
)

_STAGING: Final = """
    CREATE TEMP TABLE IF NOT EXISTS cdr_staging (LIKE cdr) ON COMMIT DELETE ROWS;
    CREATE TEMP TABLE IF NOT EXISTS cdr_charge_staging (LIKE cdr_charge) ON COMMIT DELETE ROWS;
"""

_COLUMN_LIST: Final = ", ".join(COLUMNS)
_CHARGE_LIST: Final = ", ".join(_CHARGE_COLUMNS)
# The names are ours, none comes from a record.
_POST: Final = f"""
    WITH arrived AS (
        INSERT INTO cdr ({_COLUMN_LIST})
        SELECT {_COLUMN_LIST} FROM cdr_staging
        ON CONFLICT DO NOTHING
        RETURNING call_id, attempt
    ), charged AS (
        INSERT INTO cdr_charge ({_CHARGE_LIST})
        SELECT {", ".join(f"staged.{name}" for name in _CHARGE_COLUMNS)}
        FROM cdr_charge_staging AS staged JOIN arrived USING (call_id, attempt)
        RETURNING account_id, gross, currency
    )
    SELECT account_id, currency, sum(gross) AS amount, count(*)::integer AS calls
    FROM charged WHERE account_id IS NOT NULL
    GROUP BY account_id, currency ORDER BY account_id
"""  # noqa: S608

_TRACE: Final = """
    INSERT INTO call_trace (call_id, received_at, messages) VALUES ($1, $2, $3::text::jsonb) ON CONFLICT DO NOTHING
"""

BATCH_BYTES: Final = 16 * 1024 * 1024
"""A batch ends once it has so much of the journal: traces are long."""

_BEAT: Final = """
    INSERT INTO cdr_writer (name, beat_at, backlog_bytes) VALUES ($1, now(), $2)
    ON CONFLICT (name) DO UPDATE SET beat_at = excluded.beat_at, backlog_bytes = excluded.backlog_bytes
"""


REFUSALS: Final = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    UnknownAccount,
    ValueError,
    OverflowError,
)
"""What a row raises that will never go in; the last two come from asyncpg, for values too large for their column."""


@dataclass(slots=True)
class Batch:
    """What was read from one journal and is not committed yet."""

    rows: list[list[Any]] = field(default_factory=list)
    charges: list[list[Any]] = field(default_factory=list)
    traces: list[tuple[Any, ...]] = field(default_factory=list)
    media: list[tuple[Any, ...]] = field(default_factory=list)
    lines: list[dict[str, Any]] = field(default_factory=list)

    def add(self, line: dict[str, Any]) -> None:
        """Take a line; of most kinds nothing is left to do."""
        if line["kind"] == "cdr":
            self._add_record(line)
        elif line["kind"] == "trace":
            self.traces.append(to_trace_row(line))
            self.lines.append(line)
        elif line["kind"] == "media":
            self.media.append(to_media_arguments(line))
            self.lines.append(line)

    def _add_record(self, line: dict[str, Any]) -> None:
        record = line["record"]
        call_id = uuid.UUID(record["call_id"])
        row = to_row(record)
        row[0] = call_id
        self.rows.append(row)
        self.lines.append(line)
        received_at = moment(record["received_at"])
        for level, account, carrier, tariff, rate, billed, net, tax, gross, currency, profit in line["charges"]:
            head = [call_id, record["attempt"], received_at, level, account, carrier, tariff, rate, billed]
            amounts = [Decimal(net), Decimal(tax), Decimal(gross), currency, Decimal(profit) if profit else None]
            self.charges.append([*head, *amounts])


Posted = Callable[[str, tuple[int, int], set[int]], None]
"""Hears that a worker's journal is committed up to a position, and which accounts were debited."""


def _ignore(_worker: str, _position: tuple[int, int], _accounts: set[int]) -> None:
    return


class JournalFollower:
    """Follows the journal of one worker.

    Args:
        directory: The worker's.
        limit: Most lines of a batch.
        posted: Hears of every batch that is committed.
    """

    def __init__(self, directory: Path, limit: int, posted: Posted = _ignore) -> None:
        self._directory = directory
        self._limit = limit
        self._posted = posted
        self.worker = directory.name
        self._segment = 0
        self._offset = 0
        self._is_placed = False

    async def catch_up(self, connection: asyncpg.Connection) -> int:
        """Commit one batch and return how many lines it had; 0 when there is nothing new."""
        if not self._is_placed:
            await self._find_place(connection)
        numbers = segments(self._directory)
        if not numbers:
            return 0
        if self._segment not in numbers:
            later = [number for number in numbers if number > self._segment]
            if not later:
                return 0
            self._segment, self._offset = later[0], 0
        batch, offset, lines = self._read()
        if offset == self._offset:
            return await self._next_segment(connection, numbers)
        await self._commit(connection, batch, self._segment, offset)
        self._offset = offset
        return lines

    def backlog(self) -> int:
        """Bytes that are not committed yet."""
        return waiting_bytes(self._directory, self._segment, self._offset)

    async def _find_place(self, connection: asyncpg.Connection) -> None:
        place = await connection.fetchrow(
            'SELECT segment, "offset" FROM journal_position WHERE worker = $1', self.worker
        )
        if place is not None:
            self._segment, self._offset = place["segment"], place["offset"]
        self._is_placed = True

    def _read(self) -> tuple[Batch, int, int]:
        batch, offset, lines = Batch(), self._offset, 0
        for behind, line in read_lines(segment_path(self._directory, self._segment), offset, self._limit):
            offset, lines = behind, lines + 1
            batch.add(line)
            if offset - self._offset >= BATCH_BYTES:
                break
        return batch, offset, lines

    async def _next_segment(self, connection: asyncpg.Connection, numbers: list[int]) -> int:
        """Go on to the next segment, if there is one, and remove those that are committed."""
        later = [number for number in numbers if number > self._segment]
        if not later:
            return 0
        self._look_at_rest()
        await self._commit(connection, Batch(), later[0], 0)
        self._segment, self._offset = later[0], 0
        for number in numbers:
            if number < self._segment:
                segment_path(self._directory, number).unlink(missing_ok=True)
        return await self.catch_up(connection)

    def _look_at_rest(self) -> None:
        """A crash may cut the last line short; whole lines that cannot be read are kept for a person to look at."""
        path = segment_path(self._directory, self._segment)
        with path.open("rb") as file:
            file.seek(self._offset)
            rest = file.read()
        if b"\n" in rest:
            damaged = path.with_suffix(".damaged")
            path.rename(damaged)
            log.error("journal is damaged", kept=str(damaged), offset=self._offset, unread_bytes=len(rest))
        elif rest:
            log.warning("journal ends in half a line", segment=str(path), bytes=len(rest))

    async def _commit(self, connection: asyncpg.Connection, batch: Batch, segment: int, offset: int) -> None:
        try:
            debited = await self._post(connection, batch, segment, offset)
        except REFUSALS:
            # One bad row must not hold up the others: post them one by one, keep the bad ones.
            debited = set()
            for line in batch.lines:
                single = Batch()
                single.add(line)
                try:
                    debited |= await self._post(connection, single, None, 0)
                except REFUSALS as error:
                    self._keep(line, error)
            await self._post(connection, Batch(), segment, offset)
        self._posted(self.worker, (segment, offset), debited)

    def _keep(self, line: dict[str, Any], error: Exception) -> None:
        if line["kind"] != "cdr":
            log.warning(
                "what belongs to a record refused by the database",
                what=line["kind"],
                call_id=line["call_id"],
                error=str(error),
            )
            return
        path = self._directory / "refused.journal-lines"
        log.error("record refused by the database", call_id=line["record"]["call_id"], error=str(error), kept=str(path))
        with path.open("ab") as file:
            file.write(encode_line(line))

    async def _post(self, connection: asyncpg.Connection, batch: Batch, segment: int | None, offset: int) -> set[int]:
        """Commit a batch; returns the accounts that were debited."""
        usages: list[Usage] = []
        async with connection.transaction():
            if batch.rows:
                # Before the rows get their numbers: an export that is decided meanwhile waits for them.
                await connection.execute("SELECT pg_advisory_xact_lock_shared($1)", POSTING_LOCK)
                await connection.copy_records_to_table("cdr_staging", records=batch.rows, columns=COLUMNS)
                await connection.copy_records_to_table(
                    "cdr_charge_staging", records=batch.charges, columns=_CHARGE_COLUMNS
                )
                debits = await connection.fetch(_POST)
                usages = [Usage(row["account_id"], row["amount"], row["currency"], row["calls"]) for row in debits]
                await post_usage(connection, usages)
            if batch.traces:
                await connection.executemany(_TRACE, batch.traces)
            if batch.media:
                await connection.executemany(UPDATE, batch.media)
            if segment is not None:
                await connection.execute(
                    'INSERT INTO journal_position (worker, segment, "offset") VALUES ($1, $2, $3)'
                    ' ON CONFLICT (worker) DO UPDATE SET segment = excluded.segment, "offset" = excluded."offset"',
                    self.worker,
                    segment,
                    offset,
                )
        return {usage.account_id for usage in usages}


class Writer:
    """Follows every journal of this machine.

    Args:
        journals: Directory with one directory per worker.
        name: Of this writer, for its life signs.
        batch: Most records in one transaction.
        retention_months: Whole months of records that are kept besides the current one; 0: all.
        is_exporting: Whether a month has to be exported before it is dropped.
    """

    posted: Posted = staticmethod(_ignore)
    """Hears of every batch that is committed."""

    def __init__(
        self, journals: Path, name: str, batch: int, retention_months: int = 0, *, is_exporting: bool = False
    ) -> None:
        self._journals = journals
        self._name = name
        self._batch = batch
        self._retention_months = retention_months
        self._is_exporting = is_exporting
        self._followers: dict[str, JournalFollower] = {}
        self._partitions_until: datetime | None = None
        self._beat_at = 0.0

    async def prepare(self, connection: asyncpg.Connection) -> None:
        """Make a new connection ready; each begins with no staging table and an unknown place."""
        await connection.execute(_STAGING)
        self._followers.clear()
        self._partitions_until = None

    async def step(self, connection: asyncpg.Connection) -> int:
        """Commit one batch of every journal, give a sign of life, and return how many lines were read."""
        await self._ensure_partitions(connection)
        count = 0
        for directory in sorted(self._journals.glob("*/")):
            follower = self._followers.get(directory.name)
            if follower is None:
                follower = self._followers[directory.name] = JournalFollower(directory, self._batch, self.posted)
            count += await follower.catch_up(connection)
        now = asyncio.get_running_loop().time()
        if now - self._beat_at >= 1.0:
            self._beat_at = now
            await connection.execute(_BEAT, self._name, self.backlog())
            await take_back_expired_credit(connection)
        return count

    def backlog(self) -> int:
        """Bytes of all journals that are not committed yet."""
        return sum(follower.backlog() for follower in self._followers.values())

    def live_workers(self) -> list[str]:
        """Names of the workers of this machine that run."""
        return [directory.name for directory in self._journals.glob("*/") if is_locked(directory)]

    async def _ensure_partitions(self, connection: asyncpg.Connection) -> None:
        """Partitions for last month (a journal may be late), this one and the next, and none too old, once an hour."""
        now = datetime.now(UTC)
        if self._partitions_until is not None and now < self._partitions_until:
            return
        for at in partition_moments(now):
            await connection.execute("SELECT cdr_ensure_partition($1)", at)
        if self._retention_months:
            exported = await exported_up_to(connection) if self._is_exporting else None
            await drop_old(connection, now, self._retention_months, exported)
        self._partitions_until = now + timedelta(hours=1)


def partition_moments(now: datetime) -> tuple[datetime, datetime, datetime]:
    """A moment of last month, one of this and one of the next."""
    first = now.replace(day=1)
    return first - timedelta(days=1), now, first + timedelta(days=32)
