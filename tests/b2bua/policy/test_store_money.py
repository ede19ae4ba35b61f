"""What the store loads for prices beside rates: windows of ratecards and exchange rates, from a real PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal

import asyncpg
import pytest

from b2bua.policy.store import SnapshotStore
from conf.settings import Settings
from rating.errors import MissingExchangeRate
from rating.tariff import Tariff
from tests.support.policy import Connection, insert, insert_rate
from tests.support.servers import Run

FRIDAY = datetime(2026, 9, 4, 20, 30, tzinfo=UTC)
"""22:30 in Berlin."""
PAST_MIDNIGHT = FRIDAY + timedelta(hours=3)
DAYS = 0b100000


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[tuple[Connection, SnapshotStore]]:
    """A connection, and a store that is not open yet."""
    pool = await asyncpg.create_pool(url, min_size=1, max_size=2)
    connection = await asyncpg.connect(url)
    try:
        yield connection, SnapshotStore(pool, Settings(), lambda _: None)
    finally:
        await connection.close()
        pool.terminate()


async def make_tariff(row: Connection) -> int:
    """A tariff with a ratecard for Friday nights in Berlin, and a dearer one for all times."""
    tariff = await insert(row, "tariff", name="retail", kind="customer", currency="EUR")
    for name, price, window in (
        ("night", "0.01", {"days": DAYS, "hours_from": time(22), "hours_until": time(6), "zone": "Europe/Berlin"}),
        ("day", "0.05", {}),
    ):
        ratecard = await insert(row, "ratecard", name=name)
        await insert_rate(row, ratecard, "44", price)
        priority = 1 if window else 2
        await insert(row, "tariff_ratecard", tariff_id=tariff, ratecard_id=ratecard, priority=priority, **window)
    return tariff


def price(tariff: Tariff, at: datetime) -> Decimal:
    """What a minute to 44 costs."""
    rate = tariff.find("442079460000", at)
    assert rate is not None
    return rate.rate_per_minute


class TestWindows:
    def test_ratecard_counts_within_its_window_only(self, run: Run, database_url: str) -> None:
        async def main() -> None:
            async with opened(database_url) as (row, store):
                number = await make_tariff(row)
                await store.reload()
                tariff = store.current.tariffs[number]
                moments = (FRIDAY - timedelta(hours=1), FRIDAY, PAST_MIDNIGHT, PAST_MIDNIGHT + timedelta(hours=6))
                assert [str(price(tariff, at)) for at in moments] == [
                    "0.0500000000", "0.0100000000", "0.0100000000", "0.0500000000",
                ]  # fmt: skip
                assert (len(tariff.ratecards), len(tariff.timed)) == (1, 1)

        run(main())

    def test_window_is_seen_by_the_worker_when_it_changes(self, run: Run, database_url: str) -> None:
        async def main() -> None:
            async with opened(database_url) as (row, store):
                number = await make_tariff(row)
                await store.reload()
                await row.execute("UPDATE tariff_ratecard SET days = 127, hours_until = hours_from")
                await store.reload()
                tariff = store.current.tariffs[number]
                assert not tariff.timed
                assert price(tariff, FRIDAY - timedelta(hours=1)) == Decimal("0.01")

        run(main())

    def test_ratecard_is_left_out_when_its_zone_is_unknown_here(self, run: Run, database_url: str) -> None:
        async def main() -> None:
            async with opened(database_url) as (row, store):
                number = await make_tariff(row)
                # As if the database's list of zones were newer than ours.
                await row.execute(
                    "ALTER TABLE tariff_ratecard DROP CONSTRAINT tariff_ratecard_zone_check;"
                    "UPDATE tariff_ratecard SET zone = 'Europe/Atlantis' WHERE days <> 127"
                )
                await store.reload()
                tariff = store.current.tariffs[number]
                assert price(tariff, FRIDAY) == Decimal("0.05")

        run(main())

    @pytest.mark.parametrize("zone", ["Europe/Atlantis", "CEST", "EST5EDT4", "utc", "", "Europe/berlin"])
    def test_database_refuses_a_zone_that_is_not_named_like_one(self, run: Run, database_url: str, zone: str) -> None:
        async def main() -> None:
            async with opened(database_url) as (row, _):
                await make_tariff(row)
                with pytest.raises((asyncpg.CheckViolationError, asyncpg.InvalidParameterValueError)):
                    await row.execute("UPDATE tariff_ratecard SET zone = $1", zone)

        run(main())


class TestExchange:
    def test_exchange_rates_are_loaded_and_followed(self, run: Run, database_url: str) -> None:
        async def main() -> None:
            async with opened(database_url) as (row, store):
                rate = Decimal("1.123456789012345")
                await insert(row, "currency_rate", from_currency="EUR", to_currency="USD", rate=rate, valid_from=FRIDAY)
                await store.reload()
                exchange = store.current.exchange
                assert exchange.convert(Decimal(1), "EUR", "USD", FRIDAY) == rate
                with pytest.raises(MissingExchangeRate):
                    exchange.convert(Decimal(1), "EUR", "USD", FRIDAY - timedelta(seconds=1))
                await row.execute("UPDATE currency_rate SET rate = 2, valid_from = '-infinity'")
                await store.reload()
                assert store.current.exchange.convert(Decimal(1), "USD", "EUR", FRIDAY) == Decimal("0.5")

        run(main())

    @pytest.mark.parametrize("rate", ["0", "-1", "NaN"])
    def test_database_refuses_a_rate_that_is_none(self, run: Run, database_url: str, rate: str) -> None:
        async def main() -> None:
            async with opened(database_url) as (row, _):
                with pytest.raises(asyncpg.CheckViolationError):
                    await insert(row, "currency_rate", from_currency="EUR", to_currency="USD", rate=Decimal(rate))

        run(main())


class TestManyRates:
    def test_loop_goes_on_while_many_rates_are_loaded(self, run: Run, database_url: str) -> None:
        async def main() -> None:
            async with opened(database_url) as (row, store):
                await insert(row, "ratecard", name="large")
                await row.execute(
                    "INSERT INTO rate (ratecard_id, prefix, rate_per_minute) SELECT ratecard.id, n::text, 1"
                    " FROM ratecard, generate_series(1, 20000) AS n"
                )
                turns = 0
                loading = asyncio.ensure_future(store.reload())  # noqa: TID251 - watched here to its end
                while not loading.done():
                    turns += 1
                    await asyncio.sleep(0)
                await loading
                assert turns > 20

        run(main())
