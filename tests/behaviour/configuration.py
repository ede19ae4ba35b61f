"""The switch's configuration for one row: changed in one transaction, known to the worker, put back for the next."""

import asyncio
import time
from decimal import Decimal
from types import TracebackType
from typing import Any, Final, Self

import asyncpg

from rating.funds import funds_key, micros_down
from tests.support.switch import Switch

PATIENCE: Final = 10.0

_TABLES: Final = (
    *("tariff", "ratecard", "tariff_ratecard", "rate", "account", "ip_device", "sip_user", "carrier", "gateway"),
    *("number_rule", "route", "route_entry", "dialing_route", "reseller_route", "did", "did_destination"),
)
"""All that rows change; whoever refers to another comes after it."""

_KEYS: Final = {"reseller_route": ("account_id", "route_id")}


class Configuration:
    """What rows change, in the database of a running switch.

    Args:
        switch: Running, with the demo data.
    """

    def __init__(self, switch: Switch) -> None:
        self._switch = switch
        self._runner = asyncio.Runner()
        self._restoring = ""
        self._has_spent = False
        """Whether the row before took funds away."""

    def __enter__(self) -> Self:
        directory = str(self._switch.run_directory)
        self._connection = self._runner.run(asyncpg.connect(host=directory, user="softswitch", database="softswitch"))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._runner.run(self._connection.close())
        self._runner.close()

    def fetch(self, sql: str, *arguments: object) -> list[asyncpg.Record]:
        """Ask the database."""
        found: list[asyncpg.Record] = self._runner.run(self._connection.fetch(sql, *arguments))
        return found

    def set_up(self, sql: str) -> None:
        """Make what all rows begin with, and remember it."""
        copies = "".join(f"CREATE TABLE behaviour.{table} AS TABLE {table};" for table in _TABLES)
        self._run(sql + "CREATE SCHEMA behaviour;" + copies)
        self._restoring = "".join([self._remove(table) for table in reversed(_TABLES)])
        self._restoring += "".join([self._put_back(table) for table in _TABLES])
        self._restoring += "UPDATE account_balance SET granted = 0 WHERE granted <> 0;"
        self._wait_for_revision()
        self._wait_for_funds()

    def change(self, sql: str) -> None:
        """Put everything back as it was set up, change it, and wait until the worker knows."""
        self._run(self._restoring + sql)
        self._wait_for_revision()
        spends = "account_balance" in sql
        if spends or self._has_spent:
            self._wait_for_funds()
        self._has_spent = spends

    def _run(self, sql: str) -> None:
        # Several statements at once are one transaction: one revision.
        self._runner.run(self._connection.execute(sql))

    # Putting back

    def _columns(self, table: str) -> list[str]:
        rows = self.fetch(
            "SELECT column_name FROM information_schema.columns WHERE table_schema = 'public' AND table_name = $1",
            table,
        )
        return [row["column_name"] for row in rows]

    def _is_same(self, table: str) -> str:
        return " AND ".join(f"now.{key} = old.{key}" for key in _KEYS.get(table, ("id",)))

    def _remove(self, table: str) -> str:
        return (
            f"DELETE FROM {table} AS now WHERE NOT EXISTS"
            f" (SELECT FROM behaviour.{table} AS old WHERE {self._is_same(table)});"
        )

    def _put_back(self, table: str) -> str:
        columns = self._columns(table)
        names = ", ".join(columns)
        restored = (
            f"INSERT INTO {table} ({names}) OVERRIDING SYSTEM VALUE SELECT {names} FROM behaviour.{table} AS old"
            f" WHERE NOT EXISTS (SELECT FROM {table} AS now WHERE {self._is_same(table)});"
        )
        others = [column for column in columns if column not in _KEYS.get(table, ("id",))]
        if others:
            assigned = ", ".join(f"{column} = old.{column}" for column in others)
            now, old = (", ".join(f"{which}.{column}" for column in others) for which in ("now", "old"))
            restored += (
                f"UPDATE {table} AS now SET {assigned} FROM behaviour.{table} AS old"
                f" WHERE {self._is_same(table)} AND ({now}) IS DISTINCT FROM ({old});"
            )
        return restored

    # Waiting

    def _wait_for_revision(self) -> None:
        newest = self.fetch("SELECT revision FROM config_revision")[0]["revision"]
        deadline = time.monotonic() + PATIENCE
        while self._switch.ask("ping").get("revision", 0) < newest:
            assert time.monotonic() < deadline, f"the worker has not heard of revision {newest}"
            time.sleep(0.01)

    def _wait_for_funds(self) -> None:
        """Until the live store has what each account of the chain may spend."""
        deadline = time.monotonic() + PATIENCE
        while not self._funds_are_known():
            assert time.monotonic() < deadline, "the live store has not heard of the funds"
            time.sleep(0.02)

    def _funds_are_known(self) -> bool:
        rows: list[Any] = self.fetch(
            """
            WITH RECURSIVE chain AS (
                SELECT id, id AS top FROM account WHERE parent_id IS NULL
                UNION ALL
                SELECT account.id, chain.top FROM account JOIN chain ON account.parent_id = chain.id
            )
            SELECT id, top, balance + granted AS base FROM chain JOIN account_balance ON account_id = id
            """
        )
        for account_id, top, base in rows:
            known = self._switch.live("HGET", funds_key(top, account_id), "base")
            if known is None or int(known) != micros_down(Decimal(base)):
                return False
        return True
