"""Files of records for outside billing: each record in exactly one file, each file there only when it is whole.

Which records a file holds is decided in the database, table `cdr_export`: those posted after the file before it, up to
the newest. Then the file is written as `NAME.partial` and synced, the database is told that it is whole, and it gets
its name. A crash at any point leaves either a decision without `written_at`, whose file is written again from the
start, or a whole `.partial` file, which only wants its name: so whoever takes files away may do so at once.

Prices are those of the moment the file is written; `softswitch cdr rerate` changes no file.
"""

import asyncio
import csv
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO, Final

import asyncpg
import orjson
import structlog

from cdr.media import COLUMNS as MEDIA_COLUMNS
from cdr.record import CARRIER_LEVEL

log = structlog.get_logger()

POSTING_LOCK: Final = 5_060_117_002
"""Advisory lock: shared by who posts records, exclusive for who decides where a file ends. So when a file is decided,
no record with a smaller number is still on its way."""

MOST_RECORDS: Final = 200_000
"""Records of one file; what is more goes into another at once."""

LOOK_INTERVAL: Final = 5.0
"""Seconds between two looks whether a file is due."""

_CHUNK: Final = 1000
_PARTIAL: Final = ".partial"

FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r")
"""A cell that begins with one of these is a formula to a spreadsheet."""

RECORD_COLUMNS: Final = (
    "posted_id",
    "call_id",
    "attempt",
    "is_last",
    "received_at",
    "ringing_at",
    "answered_at",
    "ended_at",
    "post_dial_delay",
    "duration",
    "account",
    "account_chain",
    "device",
    "carrier",
    "gateway",
    "route",
    "worker",
    "a_call_id",
    "b_call_id",
    "source_received",
    "source_sent",
    "destination_received",
    "destination_sent",
    "a_address",
    "a_transport",
    "a_user_agent",
    "b_address",
    "b_transport",
    "b_user_agent",
    "sip_code",
    "q850_cause",
    "code",
    "object",
    "ended_by",
    "reason",
    "codecs_offered",
    "codec_used",
    "media_mode",
)
CHARGE_COLUMNS: Final = ("billed_seconds", "net", "tax", "gross", "currency")
CSV_COLUMNS: Final = (*RECORD_COLUMNS, *CHARGE_COLUMNS, "carrier_cost", "carrier_currency", "resellers", *MEDIA_COLUMNS)
"""Columns of a CSV file: the record, what the account pays, what the carrier costs, what each reseller pays, as
CODE:GROSS:CURRENCY, the nearest first, and what media engines have measured, as far as it has come by then. A JSON file
has a list `charges` instead."""

_RECORDS: Final = """
    SELECT cdr.posted_id, cdr.call_id, cdr.attempt, cdr.is_last, cdr.received_at, cdr.ringing_at, cdr.answered_at,
        cdr.ended_at, cdr.post_dial_delay, cdr.duration, account.code AS account,
        ARRAY(
            SELECT above.code
            FROM unnest(cdr.account_chain) WITH ORDINALITY AS level (account_id, position)
            JOIN account AS above ON above.id = level.account_id
            ORDER BY level.position
        ) AS account_chain,
        cdr.device, carrier.code AS carrier, gateway.name AS gateway, route.name AS route, cdr.worker, cdr.a_call_id,
        cdr.b_call_id, cdr.source_received, cdr.source_sent, cdr.destination_received, cdr.destination_sent,
        cdr.a_address, cdr.a_transport, cdr.a_user_agent, cdr.b_address, cdr.b_transport, cdr.b_user_agent,
        cdr.sip_code, cdr.q850_cause, cdr.code, cdr.object, cdr.ended_by, cdr.reason, cdr.codecs_offered,
        cdr.codec_used, cdr.media_mode, cdr.a_packets, cdr.a_lost, cdr.a_jitter_ms, cdr.a_mos, cdr.a_round_trip_ms,
        cdr.b_packets, cdr.b_lost, cdr.b_jitter_ms, cdr.b_mos, cdr.b_round_trip_ms, cdr.audio
    FROM cdr
    LEFT JOIN account ON account.id = cdr.account_id
    LEFT JOIN carrier ON carrier.id = cdr.carrier_id
    LEFT JOIN gateway ON gateway.id = cdr.gateway_id
    LEFT JOIN route ON route.id = cdr.route_id
    WHERE cdr.posted_id > $1 AND cdr.posted_id <= $2
    ORDER BY cdr.posted_id
"""

_CHARGES: Final = """
    SELECT charge.call_id, charge.attempt, charge.level, coalesce(account.code, carrier.code) AS code,
        tariff.name AS tariff, rate.prefix, charge.billed_seconds, charge.net, charge.tax, charge.gross,
        charge.currency
    FROM unnest($1::uuid[], $2::smallint[], $3::timestamptz[]) AS wanted (call_id, attempt, received_at)
    JOIN cdr_charge AS charge USING (call_id, attempt, received_at)
    LEFT JOIN account ON account.id = charge.account_id
    LEFT JOIN carrier ON carrier.id = charge.carrier_id
    LEFT JOIN tariff ON tariff.id = charge.tariff_id
    LEFT JOIN rate ON rate.id = charge.rate_id
    ORDER BY charge.level < 0, charge.level
"""

Row = asyncpg.Record
Key = tuple[Any, int]


@dataclass(frozen=True, slots=True)
class Decision:
    """What a file holds."""

    id: int
    name: str
    format: str
    after: int
    """Posting before its first record."""
    last: int
    """Posting of its last."""


def is_due(decided_at: datetime | None, now: datetime, interval: int) -> bool:
    """Whether another file is due: one per interval, cut at whole multiples of it (UTC), the first one at once."""
    if decided_at is None:
        return True
    seconds = max(1, interval)
    return int(now.timestamp()) // seconds > int(decided_at.timestamp()) // seconds


async def exported_up_to(connection: asyncpg.Connection) -> int:
    """The posting up to which every record is in a file that is whole."""
    found: int = await connection.fetchval(
        """
        SELECT coalesce(
            (SELECT min(after_posted_id) FROM cdr_export WHERE written_at IS NULL),
            (SELECT max(last_posted_id) FROM cdr_export),
            0)
        """
    )
    return found


class Exporter:
    """Writes the files of one node.

    Args:
        directory: Where they appear; made if missing.
        form: `csv` or `json`.
        interval: Seconds between two files.
        node: Name of this machine; each finishes the files that it decided on.
        most_records: Records of one file.
    """

    def __init__(self, directory: Path, form: str, interval: int, node: str, most_records: int = MOST_RECORDS) -> None:
        self._directory = directory
        self._form = form
        self._interval = interval
        self._node = node
        self._most_records = most_records

    async def prepare(self, connection: asyncpg.Connection) -> None:
        """Give whole files that an earlier run left their names, and write those again that are not whole."""
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o750)
        names = [path.name.removesuffix(_PARTIAL) for path in self._directory.glob(f"*{_PARTIAL}")]
        whole = await connection.fetch(
            "SELECT name FROM cdr_export WHERE name = ANY($1) AND node = $2 AND written_at IS NOT NULL",
            names,
            self._node,
        )
        for row in whole:
            self._publish(row["name"])
        rows = await connection.fetch(
            "SELECT id, name, format, after_posted_id, last_posted_id FROM cdr_export"
            " WHERE node = $1 AND written_at IS NULL ORDER BY id",
            self._node,
        )
        for row in rows:
            await self._write(connection, Decision(*row))

    async def step(self, connection: asyncpg.Connection) -> Path | None:
        """Make the next file, if one is due and there is something to put into it."""
        decision = await self._decide(connection)
        return None if decision is None else await self._write(connection, decision)

    async def _decide(self, connection: asyncpg.Connection) -> Decision | None:
        try:
            async with connection.transaction():
                await connection.execute("SET LOCAL lock_timeout = '5s'")
                last = await connection.fetchrow(
                    "SELECT last_posted_id, decided_at, records FROM cdr_export ORDER BY id DESC LIMIT 1"
                )
                now = await connection.fetchval("SELECT clock_timestamp()")
                after = last["last_posted_id"] if last else 0
                is_full = last is not None and last["records"] >= self._most_records
                if not is_full and not is_due(last["decided_at"] if last else None, now, self._interval):
                    return None
                if not await connection.fetchval("SELECT EXISTS (SELECT FROM cdr WHERE posted_id > $1)", after):
                    return None
                return await self._claim(connection, now)
        except asyncpg.LockNotAvailableError:
            return None  # somebody posts for very long; the next look will do

    async def _claim(self, connection: asyncpg.Connection, now: datetime) -> Decision | None:
        # Behind this lock every posting has been committed, and so has another node's decision.
        await connection.execute("SELECT pg_advisory_xact_lock($1)", POSTING_LOCK)
        after = await connection.fetchval("SELECT coalesce(max(last_posted_id), 0) FROM cdr_export")
        upper = await connection.fetchrow(
            """
            SELECT count(*)::integer AS records, max(posted_id) AS last
            FROM (SELECT posted_id FROM cdr WHERE posted_id > $1 ORDER BY posted_id LIMIT $2) AS waiting
            """,
            after,
            self._most_records,
        )
        if upper is None or not upper["records"]:
            return None
        # The name says when, and is unique also when a restored database counts its files once more.
        name = f"cdr-{self._node}-{now.astimezone(UTC):%Y%m%dT%H%M%SZ}-{upper['last']:010d}.{self._form}"
        row = await connection.fetchrow(
            """
            INSERT INTO cdr_export (node, name, format, after_posted_id, last_posted_id, records, decided_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7)
            RETURNING id, name, format, after_posted_id, last_posted_id
            """,
            self._node,
            name,
            self._form,
            after,
            upper["last"],
            upper["records"],
            now,
        )
        assert row is not None
        return Decision(*row)

    async def _write(self, connection: asyncpg.Connection, decision: Decision) -> Path:
        partial = self._directory / (decision.name + _PARTIAL)
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
        with os.fdopen(descriptor, "wb") as file:
            records = await _write_records(connection, decision, file)
            file.flush()
            await asyncio.to_thread(os.fsync, file.fileno())
        self._sync_directory()
        # From here on the file is never written again, only named: it may be taken away as soon as it has its name.
        await connection.execute("UPDATE cdr_export SET written_at = now() WHERE id = $1", decision.id)
        log.info("records exported", file=decision.name, records=records)
        return self._publish(decision.name)

    def _publish(self, name: str) -> Path:
        final = self._directory / name
        (self._directory / (name + _PARTIAL)).rename(final)
        self._sync_directory()
        return final

    def _sync_directory(self) -> None:
        descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


async def _write_records(connection: asyncpg.Connection, decision: Decision, file: BinaryIO) -> int:
    count = 0
    write = _write_csv if decision.format == "csv" else _write_json
    if decision.format == "csv":
        file.write((",".join(CSV_COLUMNS) + "\n").encode())
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        cursor = await connection.cursor(_RECORDS, decision.after, decision.last)
        while rows := await cursor.fetch(_CHUNK):
            keys = [(row["call_id"], row["attempt"], row["received_at"]) for row in rows]
            charges: dict[Key, list[Row]] = {}
            for charge in await connection.fetch(_CHARGES, *(list(column) for column in zip(*keys, strict=True))):
                charges.setdefault((charge["call_id"], charge["attempt"]), []).append(charge)
            file.write(write(rows, charges).encode())
            count += len(rows)
    return count


def _write_json(rows: Sequence[Row], charges: Mapping[Key, Sequence[Row]]) -> str:
    lines = []
    for row in rows:
        record = {name: _plain(row[name]) for name in (*RECORD_COLUMNS, *MEDIA_COLUMNS)}
        record["charges"] = [
            {name: _plain(value) for name, value in charge.items() if name not in ("call_id", "attempt")}
            for charge in charges.get((row["call_id"], row["attempt"]), ())
        ]
        lines.append(orjson.dumps(record).decode() + "\n")
    return "".join(lines)


def _write_csv(rows: Sequence[Row], charges: Mapping[Key, Sequence[Row]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    for row in rows:
        levels = {charge["level"]: charge for charge in charges.get((row["call_id"], row["attempt"]), ())}
        own, carrier = levels.pop(0, None), levels.pop(CARRIER_LEVEL, None)
        cells = [_cell(row[name]) for name in RECORD_COLUMNS]
        cells += [_cell(own[name]) if own else "" for name in CHARGE_COLUMNS]
        cells += [_cell(carrier["gross"]), _cell(carrier["currency"])] if carrier else ["", ""]
        cells.append(" ".join(f"{each['code']}:{_plain(each['gross'])}:{each['currency']}" for each in levels.values()))
        cells += [_cell(row[name]) for name in MEDIA_COLUMNS]
        writer.writerow(cells)
    return buffer.getvalue()


def _plain(value: Any) -> Any:  # noqa: ANN401
    """Turn a value of the database into one that JSON has: amounts as text with all their digits, times as UTC."""
    if isinstance(value, Decimal):
        whole, _, fraction = f"{value:f}".partition(".")
        return f"{whole}.{fraction.rstrip('0').ljust(2, '0')}"
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if isinstance(value, list):
        return [_plain(part) for part in value]
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def _cell(value: Any) -> str:  # noqa: ANN401
    """Write a cell of a CSV file: what a peer sent must not become a formula in somebody's spreadsheet."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = " ".join(value) if isinstance(value, list) else str(_plain(value))
    return f"'{text}" if text.startswith(FORMULA_STARTS) and not isinstance(value, int | Decimal) else text
