"""What is kept of records by day is what they come to, whoever writes or changes them."""

import random
import shutil
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from conf.migrate import migrate
from tests.admin.data import Data, connect
from tests.support.servers import Run
from tests.support.traffic import differences

SCHEMA = Path(__file__).parents[2] / "conf" / "schema"
NUMBER = 13
NOON = datetime(2026, 3, 31, 12, tzinfo=UTC)
CODES = ("ANSWERED", "ANSWERED", "BUSY", "CARRIER_FAILURE", "SESSION_LIMIT")
Work = Callable[[Data], Coroutine[Any, Any, None]]


@pytest.fixture
def with_data(run: Run, database_url: str) -> Callable[[Work], None]:
    """Run a test over a database with two resellers, one below the other, and a customer of each kind."""

    def start(work: Work) -> None:
        async def main() -> None:
            data = await connect(database_url)
            try:
                await work(data)
            finally:
                await data.connection.close()

        run(main())

    return start


async def accounts(data: Data) -> list[int | None]:
    upper = await data.account("RESL0001", kind="reseller")
    lower = await data.account("RESL0002", kind="reseller", parent=upper)
    customers = [await data.account(f"CUST000{n}", parent=parent) for n, parent in enumerate((lower, upper, None))]
    return [*customers, None]


async def calls(data: Data, owners: list[int | None], count: int) -> None:
    """Calls of all kinds, those that were answered priced on every level."""
    chance = random.Random(count)
    for _ in range(count):
        owner, code = chance.choice(owners), chance.choice(CODES)
        call_id = await data.record(
            owner,
            call_id=uuid4(),
            received_at=NOON + timedelta(minutes=chance.randrange(4000)),
            code=code,
            attempt=0 if code == "SESSION_LIMIT" else 1,
            is_last=code != "CARRIER_FAILURE",
            calls=3 if code == "SESSION_LIMIT" else 1,
            duration=f"{chance.randrange(100_000)}.{chance.randrange(1000):03}",
            kind=chance.choice(("outgoing", "on_net")),
            destination=chance.choice(("4930901820", "44", "2")),
            destination_used=chance.choice(("", "331234567")),
            device=chance.choice(("ip:1", "user:9", "")),
            carrier_id=chance.choice((None, 7)),
            q850_cause=chance.choice((None, 34)),
            currency=chance.choice(("EUR", "USD")),
            gross=Decimal(chance.randrange(10**9)).scaleb(-10) if code == "ANSWERED" else None,
        )
        if code == "ANSWERED":
            chain = data.chains.get(owner or 0, [])
            await data.charge(call_id, -1, f"0.{chance.randrange(10**10):010}", account_id=None, carrier_id=7)
            for level, account in enumerate(chain):
                await data.charge(call_id, level, f"1.{chance.randrange(10**10):010}", account_id=account)


def test_records_of_all_kinds_are_kept_to_the_last_decimal(with_data: Callable[[Work], None]) -> None:
    async def work(data: Data) -> None:
        await calls(data, await accounts(data), 120)
        assert await differences(data.connection) == []
        kinds = await data.connection.fetchval("SELECT count(DISTINCT kind) FROM traffic")
        assert kinds == 7
        assert await data.connection.fetchval("SELECT count(DISTINCT viewer_id) FROM traffic_money") == 3

    with_data(work)


def test_records_that_are_changed_change_what_is_kept(with_data: Callable[[Work], None]) -> None:
    async def work(data: Data) -> None:
        await calls(data, await accounts(data), 60)
        change = data.connection.execute
        await change("UPDATE cdr_charge SET profit = 0.0000000001 * (level + 7) WHERE level >= 0")
        assert await differences(data.connection) == []
        await change(
            "UPDATE cdr_charge SET gross = gross * 1.1 WHERE level < 1; UPDATE cdr SET gross = gross + 0.0000000003"
        )
        await change("UPDATE cdr_charge SET profit = NULL WHERE level = 1")
        assert await differences(data.connection) == []
        await change("UPDATE cdr SET a_packets = 7, a_mos = 4.1")
        assert await differences(data.connection) == []

    with_data(work)


def test_record_that_is_there_already_is_not_kept_twice(with_data: Callable[[Work], None]) -> None:
    async def work(data: Data) -> None:
        await calls(data, await accounts(data), 10)
        await data.connection.execute(
            "CREATE TEMP TABLE again AS TABLE cdr; INSERT INTO cdr SELECT * FROM again ON CONFLICT DO NOTHING"
        )
        assert await differences(data.connection) == []

    with_data(work)


def test_migration_keeps_what_the_records_that_are_there_come_to(run: Run, database_url: str, tmp_path: Path) -> None:
    before = tmp_path / "before"
    before.mkdir()
    for path in SCHEMA.glob("*.sql"):
        if int(path.name[:4]) < NUMBER:
            shutil.copy(path, before)

    async def main() -> None:
        data = await connect(database_url)
        await data.connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        await data.connection.close()
        await migrate(database_url, before)
        data = await connect(database_url)
        await calls(data, await accounts(data), 40)
        await migrate(database_url)
        assert await data.connection.fetchval("SELECT count(*) FROM traffic") > 40
        assert await differences(data.connection) == []
        await calls(data, [None], 10)
        assert await differences(data.connection) == []
        await data.connection.close()

    run(main())
