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

from rating.funds import funds_key, micros_down, worker_key

log = structlog.get_logger()

LOADED_KEY: Final = "funds-loaded"
"""Present in a live store whose accounts have their figures."""

_SET: Final = """
local known = redis.call('HGET', KEYS[1], 'version')
if not known or tonumber(known) <= tonumber(ARGV[2]) then
    redis.call('HSET', KEYS[1], 'base', ARGV[1], 'version', ARGV[2])
end
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
        self._wake = asyncio.Event()
        self.is_loaded = asyncio.Event()
        """Set once every account has its figure."""

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
                elif self._changed:
                    await self._update(connection)
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
        rows = await read_funds(connection)
        for start in range(0, len(rows), _CHUNK):
            await self._write(rows[start : start + _CHUNK])
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
        changed = list(self._changed)
        self._changed.clear()
        try:
            await self._write(await read_funds(connection, changed))
        except BaseException:
            self._changed.update(changed)
            raise

    async def _write(self, accounts: list[AccountFunds]) -> None:
        pipeline = self._store.pipeline(transaction=False)
        for funds in accounts:
            await self._set(keys=[funds.key], args=[funds.micros, funds.version], client=pipeline)
        await pipeline.execute()

    def _notified(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        if isinstance(payload, str) and payload.isdigit():
            self._changed.add(int(payload))
        self._wake.set()
