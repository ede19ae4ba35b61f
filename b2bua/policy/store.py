"""Load the snapshot from PostgreSQL and keep it at the newest revision.

Everything is read in one REPEATABLE READ transaction, so that a snapshot is one revision and nothing of another. Rates,
which are many, are read again only for the ratecards that the change table names.
"""

import asyncio
import contextlib
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfoNotFoundError

import asyncpg
import structlog

from b2bua.policy.accounts import Account, Device
from b2bua.policy.routes import Carrier, DialingRoute, Gateway, Route, RouteEntry
from b2bua.policy.snapshot import Snapshot
from b2bua.tasks import spawn
from conf.settings import Settings
from rating.charge import Billing
from rating.exchange import CurrencyRate, Exchange
from rating.tariff import ALWAYS, FOREVER, Rate, Ratecard, Tariff
from rating.window import Window

Connection = asyncpg.pool.PoolConnectionProxy

log = structlog.get_logger()

_AT_A_TIME = 500
"""Rates that are read or dropped without a look at what else there is to do."""

_RATE_COLUMNS = """
    SELECT id, prefix, rate_per_minute::text, connection_charge::text, minimum, resolution, blocks_mode, grace,
           multiplier::text, addition::text, status, valid_from, valid_until, destination
    FROM rate
    WHERE ratecard_id = $1
"""


class _Shared(dict[str, Any]):
    """Values by their text, each kept once: a million rates have few prices and destinations."""

    def __init__(self, make: Callable[[str], Any]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, text: str) -> Any:  # noqa: ANN401 - what make returns
        value = self[text] = self._make(text)
        return value


class _RateReader:
    """Makes rates of the rows of one ratecard."""

    def __init__(self) -> None:
        self._amounts = _Shared(Decimal)
        self._texts = _Shared(str)

    def read(self, row: asyncpg.Record) -> Rate:
        """The rate of a row."""
        number, prefix, price, once, minimum, resolution, mode, grace, times, plus, status, since, until, name = row
        amounts, texts = self._amounts, self._texts
        return Rate(
            number,
            prefix,
            amounts[price],
            amounts[once],
            minimum,
            resolution,
            texts[mode],
            grace,
            amounts[times],
            amounts[plus],
            texts[status],
            _since(since),
            until if until.tzinfo else FOREVER,
            texts[name],
        )


def _since(moment: datetime) -> datetime:
    # PostgreSQL's infinities come without a zone.
    return moment if moment.tzinfo else ALWAYS


async def _let_go(rates: list[list[Rate]]) -> None:
    """Drop rates a few at a time: a million at once would hold up calls for half a second."""
    while rates:
        del rates[-_AT_A_TIME:]
        await asyncio.sleep(0)


class SnapshotStore:
    """Holds the current snapshot; `current` is replaced, never changed.

    Args:
        pool: The database.
        settings: For the system's own limits.
        changed: Called after each replacement.
    """

    def __init__(self, pool: asyncpg.Pool, settings: Settings, changed: Callable[[Snapshot], None]) -> None:
        self._pool = pool
        self._settings = settings
        self._changed = changed
        self._ratecards: dict[int, Ratecard] = {}
        self._wake = asyncio.Event()
        self.current = Snapshot()

    async def open(self) -> None:
        """Load the first snapshot and follow changes from then on.

        Raises:
            asyncpg.PostgresError, OSError: the database did not answer.
        """
        await self.reload()
        spawn(self._follow(), "snapshot")

    async def reload(self) -> None:
        """Bring the snapshot to the newest revision."""
        async with (
            self._pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            revision = await connection.fetchval("SELECT revision FROM config_revision")
            if revision == self.current.revision:
                return
            replaced = await self._load_rates(connection)
            snapshot = await self._load(connection)
        snapshot.revision = revision
        self.current = snapshot
        self._changed(snapshot)
        await _let_go(replaced)

    async def _load_rates(self, connection: Connection) -> list[list[Rate]]:
        """Read the rates of the ratecards that changed, and return those that they replace."""
        replaced: list[list[Rate]] = []
        if not self.current.revision:
            stale = await connection.fetch("SELECT id FROM ratecard")
        else:
            stale = await connection.fetch(
                "SELECT DISTINCT key FROM config_change WHERE revision > $1 AND table_name IN ('rate', 'ratecard')",
                self.current.revision,
            )
        for (card,) in stale:
            ratecard, reader = Ratecard(card), _RateReader()
            # By a cursor, so that calls go on while a million rates arrive.
            async for row in connection.cursor(_RATE_COLUMNS, card, prefetch=_AT_A_TIME):
                ratecard.add(reader.read(row))
            if card in self._ratecards:
                replaced.extend(self._ratecards[card].rates.values())
            self._ratecards[card] = ratecard
        return replaced

    async def _load(self, connection: Connection) -> Snapshot:
        realm = await connection.fetchval("SELECT value FROM system_value WHERE name = 'realm'")
        snapshot = Snapshot(
            realm=realm or self._settings.sip.realm,
            max_duration=self._settings.call.max_duration,
            max_attempts=self._settings.call.max_attempts,
        )
        await self._load_tariffs(connection, snapshot)
        await self._load_exchange(connection, snapshot)
        await self._load_accounts(connection, snapshot)
        await self._load_devices(connection, snapshot)
        await self._load_carriers(connection, snapshot)
        await self._load_routes(connection, snapshot)
        return snapshot

    async def _load_tariffs(self, connection: Connection, snapshot: Snapshot) -> None:
        for row in await connection.fetch("SELECT id, name, currency, status FROM tariff"):
            snapshot.tariffs[row["id"]] = Tariff(*row)
        mappings = await connection.fetch(
            "SELECT m.id, m.tariff_id, m.priority, m.ratecard_id, m.days, m.hours_from, m.hours_until, m.zone"
            " FROM tariff_ratecard m JOIN ratecard c ON c.id = m.ratecard_id"
            " WHERE c.direction = 'outgoing' ORDER BY m.tariff_id, m.priority, m.id"
        )
        for row in mappings:
            try:
                window = Window.of(row["days"], row["hours_from"], row["hours_until"], row["zone"])
            except (ZoneInfoNotFoundError, ValueError):
                # The database's list of zones is newer than ours. No price is better than a wrong one.
                log.error("ratecard left out of its tariff: unknown time zone", mapping=row["id"], zone=row["zone"])
                continue
            ratecard = self._ratecards.get(row["ratecard_id"]) or Ratecard(row["ratecard_id"])
            snapshot.tariffs[row["tariff_id"]].add(row["priority"], ratecard, window)

    async def _load_exchange(self, connection: Connection, snapshot: Snapshot) -> None:
        rows = await connection.fetch("SELECT from_currency, to_currency, rate, valid_from FROM currency_rate")
        snapshot.exchange = Exchange(
            CurrencyRate(row["from_currency"], row["to_currency"], row["rate"], _since(row["valid_from"]))
            for row in rows
        )

    async def _load_accounts(self, connection: Connection, snapshot: Snapshot) -> None:
        rows = await connection.fetch(
            "SELECT id, code, kind, parent_id, status, currency, tariff_id, decimals, rounding, tax_flag,"
            " tax_inclusive, tax_percents, max_sessions, cps, max_duration FROM account"
        )
        for row in rows:
            taxes: list[Decimal] = row["tax_percents"] if row["tax_flag"] != "NONE" else []
            billing = Billing(row["decimals"], row["rounding"], tuple(taxes), row["tax_inclusive"])
            snapshot.accounts[row["id"]] = Account(
                row["id"],
                row["code"],
                row["kind"],
                row["parent_id"],
                row["status"],
                row["currency"],
                row["tariff_id"],
                billing,
                row["max_sessions"],
                row["cps"],
                row["max_duration"],
            )
        snapshot.link_accounts()

    async def _load_devices(self, connection: Connection, snapshot: Snapshot) -> None:
        rows = await connection.fetch(
            "SELECT id, account_id, address, dial_prefix, max_sessions, cps, status FROM ip_device ORDER BY id"
        )
        for row in rows:
            account = snapshot.accounts[row["account_id"]]
            prefix = row["dial_prefix"].rstrip("%").removeprefix("+")
            device = Device("ip", row["id"], account, row["status"], row["max_sessions"], row["cps"], prefix)
            snapshot.link_device(device)
            snapshot.devices.add(str(row["address"]), device)
        rows = await connection.fetch(
            "SELECT id, account_id, username, ha1_md5, address, max_sessions, cps, status FROM sip_user ORDER BY id"
        )
        for row in rows:
            account = snapshot.accounts[row["account_id"]]
            device = Device("user", row["id"], account, row["status"], row["max_sessions"], row["cps"])
            device.username, device.ha1_md5 = row["username"], row["ha1_md5"]
            device.network = str(row["address"]) if row["address"] is not None else ""
            snapshot.link_device(device)
            snapshot.users[device.username] = device

    async def _load_carriers(self, connection: Connection, snapshot: Snapshot) -> None:
        rows = await connection.fetch(
            "SELECT id, code, name, currency, tariff_id, max_sessions, cps, status, decimals, rounding, tax_percents,"
            " tax_inclusive FROM carrier ORDER BY id"
        )
        for row in rows:
            carrier = snapshot.carriers[row["id"]] = Carrier(*tuple(row)[:8])
            carrier.billing = Billing(
                row["decimals"], row["rounding"], tuple(row["tax_percents"]), row["tax_inclusive"]
            )
        rows = await connection.fetch(
            "SELECT carrier_id, id, name, host, port, transport, priority, weight, max_sessions, cps, invite_timeout,"
            " progress_timeout, ring_timeout, max_duration, status FROM gateway ORDER BY id"
        )
        for row in rows:
            snapshot.carriers[row["carrier_id"]].gateways.append(Gateway(*tuple(row)[1:]))
        for carrier in snapshot.carriers.values():
            snapshot.link_carrier(carrier)

    async def _load_routes(self, connection: Connection, snapshot: Snapshot) -> None:
        routes = {
            row["id"]: Route(row["id"], row["name"], row["status"])
            for row in await connection.fetch("SELECT id, name, status FROM route")
        }
        rows = await connection.fetch(
            "SELECT id, route_id, prefix, carrier_id, priority, weight FROM route_entry"
            " WHERE status = 'active' ORDER BY id"
        )
        for row in rows:
            carrier = snapshot.carriers[row["carrier_id"]]
            entry = RouteEntry(row["id"], row["prefix"], carrier, row["priority"], row["weight"])
            routes[row["route_id"]].add(entry)
        for row in await connection.fetch("SELECT account_id, pattern, route_id FROM dialing_route ORDER BY id"):
            dialing_route = DialingRoute.of(row["pattern"].removeprefix("+"), routes[row["route_id"]])
            snapshot.dialing_routes.setdefault(row["account_id"], []).append(dialing_route)

    # Following changes

    async def _follow(self) -> None:
        """Reload after each NOTIFY, and every few seconds for one that was missed."""
        while True:
            try:
                async with self._pool.acquire() as connection:
                    await connection.add_listener("config", self._notified)
                    connection.add_termination_listener(self._notified)
                    try:
                        await self._reload_until_lost(connection)
                    finally:
                        await self._stop_listening(connection)
            except Exception as error:
                # Calls go on from the snapshot that there is. Whatever it was, the next changes must still be heard of.
                log.warning("configuration cannot be read", error=str(error) or type(error).__name__)
                await asyncio.sleep(1.0)

    async def _reload_until_lost(self, connection: Connection) -> None:
        while not connection.is_closed():
            self._wake.clear()
            await self.reload()
            try:
                async with asyncio.timeout(5.0):
                    await self._wake.wait()
            except TimeoutError:
                continue
        raise ConnectionResetError("database connection lost")

    async def _stop_listening(self, connection: Connection) -> None:
        # A connection that was lost has gone from the pool, and can be asked for nothing any more.
        with contextlib.suppress(asyncpg.InterfaceError):
            if not connection.is_closed():
                connection.remove_termination_listener(self._notified)
                await connection.remove_listener("config", self._notified)

    def _notified(self, *_: object) -> None:
        self._wake.set()
