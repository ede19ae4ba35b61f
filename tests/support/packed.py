"""Large tables of a real database: rows, files, and what a worker has of them."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg

from b2bua.policy.builder import build
from b2bua.policy.packed_files import Name, all_files
from b2bua.policy.packed_tables import PackedTables, load_packed
from rating.packed import OverlaidRatecard
from tests.support.servers import Run

NOW = datetime(2026, 9, 1, tzinfo=UTC)


class Rows:
    """A database with a ratecard named "retail" and an account, and the directory of the files.

    Args:
        url: The database.
        run: Runs coroutines.
        directory: Of the files.
    """

    def __init__(self, url: str, run: Run, directory: Path) -> None:
        self.run = run
        self.directory = directory
        self.connection: asyncpg.Connection[asyncpg.Record] = run(asyncpg.connect(url))
        self.card: int = self.value("INSERT INTO ratecard (name) VALUES ('retail') RETURNING id")
        self.account: int = self.value(
            "INSERT INTO account (code, kind, name, currency) VALUES ('CUST0001', 'customer', 'c', 'EUR') RETURNING id"
        )

    def execute(self, query: str, *arguments: object) -> None:
        """Change something."""
        self.run(self.connection.execute(query, *arguments))

    def value(self, query: str, *arguments: object) -> Any:
        """One value of the database."""
        return self.run(self.connection.fetchval(query, *arguments))

    def add_rates(self, first: int, last: int, price: str = "1", card: int | None = None) -> None:
        """Add a rate for each of these prefixes by one statement."""
        self.execute(
            "INSERT INTO rate (ratecard_id, prefix, rate_per_minute)"
            " SELECT $1, n::text, $4::text::numeric FROM generate_series($2::bigint, $3) AS n",
            card or self.card,
            first,
            last,
            price,
        )

    def add_users(self, first: int, last: int) -> None:
        """Add SIP users `u1`, … by one statement."""
        self.execute(
            "INSERT INTO sip_user (account_id, username, ha1_md5, extension)"
            " SELECT $1, 'u' || n, repeat('a', 32), n::text FROM generate_series($2::bigint, $3) AS n",
            self.account,
            first,
            last,
        )

    def build(self) -> list[Name]:
        """Write the files that there should be, and return of which tables."""
        return self.run(build(self.connection, self.directory))

    def files(self) -> list[tuple[str, int, int]]:
        """Table, key and revision of each file."""
        return sorted((file.table, file.key, file.version.revision) for file in all_files(self.directory))

    def revision(self) -> int:
        """Of the configuration."""
        return int(self.value("SELECT revision FROM config_revision"))

    def load(self) -> PackedTables:
        """What a worker that starts has."""

        async def main() -> PackedTables:
            async with self.connection.transaction(isolation="repeatable_read", readonly=True):
                return await load_packed(self.connection, self.directory)

        return self.run(main())

    def refresh(self, tables: PackedTables) -> None:
        """Bring the tables to the newest revision."""

        async def main() -> None:
            async with self.connection.transaction(isolation="repeatable_read", readonly=True):
                refresh = await tables.prepare(self.connection)
            tables.take(refresh)

        self.run(main())

    def retail(self, tables: PackedTables) -> OverlaidRatecard:
        """The ratecard as a worker has it."""
        return tables.ratecards[self.card]

    def close(self) -> None:
        """Give the connection back."""
        self.run(self.connection.close())


def price(card: OverlaidRatecard, number: str) -> str | None:
    """The price of a number, without zeros at its end."""
    found = card.find(number, NOW)
    return f"{found[0].rate_per_minute.normalize():f}" if found else None
