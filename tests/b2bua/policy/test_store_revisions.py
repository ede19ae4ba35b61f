"""Revisions of the configuration as a real PostgreSQL gives them out."""

import asyncio

import asyncpg

from tests.support.policy import insert
from tests.support.servers import Run


class TestRevision:
    """Revisions commit in sequence and without gaps."""

    def test_revisions_have_no_gap_when_transactions_commit_together(self, run: Run, database_url: str) -> None:
        async def main() -> None:
            pool = await asyncpg.create_pool(database_url, min_size=8, max_size=8)
            async with pool.acquire() as connection:
                first = await connection.fetchval("SELECT revision FROM config_revision")

            async def change(number: int) -> None:
                async with pool.acquire() as connection:
                    transaction = connection.transaction()
                    await transaction.start()
                    await insert(connection, "route", name=f"route {number}")
                    await insert(connection, "ratecard", name=f"card {number}")
                    await (transaction.rollback if number % 3 == 0 else transaction.commit)()

            await asyncio.gather(*(change(number) for number in range(60)))
            async with pool.acquire() as connection:
                last = await connection.fetchval("SELECT revision FROM config_revision")
                rows = await connection.fetch("SELECT revision, count(*) FROM config_change GROUP BY 1 ORDER BY 1")
            pool.terminate()
            assert last == first + 40
            assert [tuple(row) for row in rows if row["revision"] > first] == [
                (revision, 2) for revision in range(first + 1, last + 1)
            ]

        run(main())

    def test_second_transaction_waits_for_the_first_and_comes_after_it(self, run: Run, database_url: str) -> None:
        async def main() -> None:
            one, two = await asyncpg.connect(database_url), await asyncpg.connect(database_url)
            before = await one.fetchval("SELECT revision FROM config_revision")
            transaction = one.transaction()
            await transaction.start()
            await insert(one, "route", name="first")
            second = asyncio.ensure_future(insert(two, "route", name="second"))  # noqa: TID251 - of this test
            while not await one.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):  # noqa: ASYNC110 - the server's
                await asyncio.sleep(0.01)
            assert not second.done()
            await transaction.commit()
            await second
            rows = await one.fetch(
                "SELECT c.revision, r.name FROM config_change c JOIN route r ON r.id = c.key ORDER BY c.revision"
            )
            assert [tuple(row) for row in rows] == [(before + 1, "first"), (before + 2, "second")]
            await one.close()
            await two.close()

        run(main())
