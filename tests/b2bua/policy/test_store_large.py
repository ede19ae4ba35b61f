"""A store whose tables are too large to be read without files."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import asyncpg
import pytest

from b2bua.policy import packed_tables
from b2bua.policy.packed_files import snapshot_directory
from b2bua.policy.store import SnapshotStore
from b2bua.tasks import stop_all
from conf.settings import Settings
from tests.support.packed import NOW, Rows
from tests.support.servers import Run

PATIENCE = 10.0


@pytest.fixture
def settings(rows: Rows, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of a system with two thousand rates, where fifty are many."""
    monkeypatch.setattr(packed_tables, "MOST_ROWS", 50)
    rows.add_rates(1000, 2999)
    rows.execute(
        "INSERT INTO tariff (name, kind, currency) VALUES ('t', 'customer', 'EUR');"
        "INSERT INTO tariff_ratecard (tariff_id, ratecard_id) SELECT tariff.id, ratecard.id FROM tariff, ratecard"
    )
    settings = Settings()
    system = replace(settings.system, directory=str(rows.directory.parent))
    return replace(settings, system=system, database=replace(settings.database, url=database_url))


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[tuple[SnapshotStore, asyncio.Event]]:
    changed = asyncio.Event()
    pool = await asyncpg.create_pool(settings.database.url, min_size=1, max_size=3)
    store = SnapshotStore(pool, settings, lambda _: changed.set())
    try:
        await store.open()
        yield store, changed
    finally:
        await stop_all()
        pool.terminate()


def price(store: SnapshotStore) -> int:
    (tariff,) = store.current.tariffs.values()
    rate = tariff.find("12345", NOW)
    assert rate is not None
    return int(rate.rate_per_minute)


def test_files_are_written_when_there_are_none(settings: Settings, run: Run) -> None:
    async def main() -> None:
        async with opened(settings) as (store, _):
            assert price(store) == 1
            assert len(list(snapshot_directory(settings).glob("*.pack"))) == 2

    run(main())


def test_bulk_change_is_followed_without_anybody_else_who_writes_files(
    settings: Settings, rows: Rows, run: Run
) -> None:
    async def main() -> None:
        async with opened(settings) as (store, changed), asyncio.timeout(PATIENCE):
            await rows.connection.execute("UPDATE rate SET rate_per_minute = 2; UPDATE tariff SET name = 'other'")
            while price(store) == 1:
                changed.clear()
                await changed.wait()
                # Everything else does not wait for the file.
                assert {tariff.name for tariff in store.current.tariffs.values()} == {"other"}

    run(main())
