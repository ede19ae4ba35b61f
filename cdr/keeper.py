"""Keeps the live store's figure of what each account may spend equal to PostgreSQL's (docs/behaviour.md §7).

Listens to the news that funds have changed and writes the new figure, newest version only, so that several keepers do
not disturb each other. After the live store has lost its data no account has a figure, and nobody is admitted, until
every worker of this machine has put back what it holds and the journals are posted.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import asyncpg
import structlog
from valkey.asyncio import Valkey
from valkey.exceptions import ValkeyError

from rating.funds import funds_key, micros_down, posted_key, worker_key

log = structlog.get_logger()

LOADED_KEY: Final = "funds-loaded"
"""Present in a live store whose accounts have their figures."""

# KEYS: funds hash of the account. ARGV: micros, version, 1 to wait for no worker. Returns 1 where the figure waits.
_SET: Final = """
local known = redis.call('HMGET', KEYS[1], 'base', 'version', 'next_version')
local version = tonumber(ARGV[2])
if tonumber(known[2] or 0) > version or tonumber(known[3] or 0) > version then
    return 0
end
if ARGV[3] == '0' and known[1] and tonumber(ARGV[1]) < tonumber(known[1]) then
    for _, name in ipairs(redis.call('HKEYS', KEYS[1])) do
        if string.sub(name, 1, 2) == 'p:' then
            redis.call('HSET', KEYS[1], 'next', ARGV[1], 'next_version', ARGV[2])
            return 1
        end
    end
end
redis.call('HSET', KEYS[1], 'base', ARGV[1], 'version', ARGV[2])
redis.call('HDEL', KEYS[1], 'next', 'next_version')
return 0
"""

_FUNDS: Final = """
    WITH RECURSIVE chain AS (
        SELECT id, id AS top, parent_id, 1 AS depth FROM account WHERE $1::bigint[] IS NULL OR id = ANY($1::bigint[])
        UNION ALL
        -- Parents in a circle have no top, and nobody below them may spend.
        SELECT chain.id, account.id, account.parent_id, chain.depth + 1
        FROM chain JOIN account ON account.id = chain.parent_id WHERE chain.depth < 100
    )
    SELECT chain.id, chain.top, account_balance.version,
           account_balance.balance + account_balance.granted
               + CASE account.billing_type WHEN 'postpaid' THEN account.credit_limit ELSE 0 END AS spendable
    FROM chain
        JOIN account ON account.id = chain.id
        JOIN account_balance ON account_balance.account_id = chain.id
    WHERE chain.parent_id IS NULL
"""

_RETRY: Final = 0.25
"""Wait after the live store has refused, in seconds."""

_TAKE_OVER: Final = 2.0
"""Seconds after which a figure that no worker has taken over is in force all the same: who owes may be gone."""

_CHUNK: Final = 1000
_LOOK_EVERY: Final = 1.0
"""Seconds between two looks whether the live store still has its figures."""


@dataclass(frozen=True, slots=True)
class AccountFunds:
    """What PostgreSQL says that an account may spend."""

    account_id: int
    key: str
    """Its hash in the live store."""
    micros: int
    """Rounded down."""
    version: int
    """Higher is newer."""


async def read_funds(
    connection: "asyncpg.Connection[asyncpg.Record]", account_ids: list[int] | None = None
) -> list[AccountFunds]:
    """Balance, granted credit and credit limit of some accounts (None: of all), added up."""
    rows = await connection.fetch(_FUNDS, account_ids)
    return [
        AccountFunds(row["id"], funds_key(row["top"], row["id"]), micros_down(row["spendable"]), row["version"])
        for row in rows
    ]


class FundsKeeper:
    """Writes figures of accounts into the live store.

    Args:
        live_url: `unix:///path` or `valkey://…`.
        live_workers: Names of this machine's workers that run.
        backlog: Bytes of their journals that are not posted.
    """

    def __init__(self, live_url: str, live_workers: Callable[[], list[str]], backlog: Callable[[], int]) -> None:
        self._store: Valkey = Valkey.from_url(live_url, socket_timeout=5.0, socket_connect_timeout=5.0)
        self._set = self._store.register_script(_SET)
        self._live_workers = live_workers
        self._backlog = backlog
        self._changed: set[int] = set()
        self._posted: dict[str, tuple[int, int]] = {}
        """Positions of journals that are in the balances, and not yet in the live store."""
        self._waiting: dict[int, tuple[float, AccountFunds]] = {}
        """Figures that a worker is to take over, and since when."""
        self._wake = asyncio.Event()
        self.is_loaded = asyncio.Event()
        """Set once every account has its figure."""

    def posted(self, worker: str, position: tuple[int, int], accounts: set[int]) -> None:
        """A worker's journal is committed up to a position, which debited these accounts."""
        self._changed.update(accounts)
        self._posted[worker] = position
        self._wake.set()

    async def run(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        """Follow changes on a connection of its own until it is cancelled or the connection is lost.

        Raises:
            asyncpg.PostgresError, asyncpg.InterfaceError, OSError: the connection is lost.
        """
        await connection.add_listener("funds", self._notified)
        is_loaded = False
        task = asyncio.current_task()
        while not connection.is_closed():
            if task is not None and task.cancelling():
                # The store's client may take a cancellation for a broken connection, and swallow it.
                raise asyncio.CancelledError
            self._wake.clear()
            try:
                if not is_loaded or not await self._store.exists(LOADED_KEY):
                    is_loaded = await self._load(connection, is_first=not is_loaded)
                elif self._changed or self._posted:
                    await self._update(connection)
                if is_loaded:
                    await self._write_overdue()
            except (ValkeyError, OSError) as error:
                log.warning("live store does not take the accounts' funds", error=str(error))
                is_loaded = False
                await asyncio.sleep(_RETRY)
            try:
                async with asyncio.timeout(_LOOK_EVERY if is_loaded else 0.1):
                    await self._wake.wait()
            except TimeoutError:
                continue
        raise ConnectionResetError("database connection lost")

    async def close(self) -> None:
        """Close the connection to the live store."""
        await self._store.aclose()

    async def _load(self, connection: "asyncpg.Connection[asyncpg.Record]", *, is_first: bool) -> bool:
        if not await self._store.exists(LOADED_KEY) and not await self._is_settled():
            return False
        self._changed.clear()
        self._posted.clear()
        positions = await connection.fetch('SELECT worker, segment, "offset" FROM journal_position')
        rows = await read_funds(connection)
        for start in range(0, len(rows), _CHUNK):
            await self._write(rows[start : start + _CHUNK])
        await self._publish({row["worker"]: (row["segment"], row["offset"]) for row in positions})
        await self._store.set(LOADED_KEY, "1")
        self.is_loaded.set()
        log.info("funds of all accounts are in the live store", accounts=len(rows), first=is_first)
        return True

    async def _is_settled(self) -> bool:
        """Whether all that this machine's workers hold and owe is in the live store or in the balances."""
        if self._backlog():
            return False
        return all([await self._store.exists(worker_key(name)) for name in self._live_workers()])

    async def _update(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        changed, posted = list(self._changed), self._posted
        self._changed.clear()
        self._posted = {}
        try:
            if changed:
                await self._write(await read_funds(connection, changed))
            await self._publish(posted)
        except BaseException:
            self._changed.update(changed)
            self._posted = posted | self._posted
            raise

    async def _write(self, accounts: list[AccountFunds], *, waits: bool = True) -> None:
        pipeline = self._store.pipeline(transaction=False)
        for funds in accounts:
            await self._set(keys=[funds.key], args=[funds.micros, funds.version, int(not waits)], client=pipeline)
        now = asyncio.get_running_loop().time()
        for funds, is_waiting in zip(accounts, await pipeline.execute(), strict=True):
            if is_waiting:
                self._waiting[funds.account_id] = now, funds
            else:
                self._waiting.pop(funds.account_id, None)

    async def _write_overdue(self) -> None:
        until = asyncio.get_running_loop().time() - _TAKE_OVER
        overdue = [funds for since, funds in self._waiting.values() if since < until]
        if overdue:
            await self._write(overdue, waits=False)

    async def _publish(self, posted: dict[str, tuple[int, int]]) -> None:
        """Say how far the journals are posted, after the figures of the accounts are there."""
        for worker, (segment, offset) in posted.items():
            await self._store.set(posted_key(worker), f"{segment}:{offset}")

    def _notified(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        if isinstance(payload, str) and payload.isdigit():
            self._changed.add(int(payload))
        self._wake.set()
