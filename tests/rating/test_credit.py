"""Credit, refunds and charges beside payments (docs/behaviour.md §7)."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import asyncpg
import pytest

from rating.errors import InvalidAmount
from rating.ledger import balances_off, post_payment, take_back_expired_credit
from tests.support.servers import Run

ACCOUNT = "TEST0001"


async def make_account(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    await connection.execute(
        "INSERT INTO account (code, kind, name, currency) VALUES ($1, 'customer', 'test', 'EUR')", ACCOUNT
    )


async def sums(connection: "asyncpg.Connection[asyncpg.Record]") -> tuple[int, int]:
    row = await connection.fetchrow("SELECT balance, granted FROM account_balance")
    assert row is not None
    return int(row["balance"]), int(row["granted"])


class TestCredit:
    def test_credit_stands_beside_the_balance_when_granted(self, database_url: str, run: Run) -> None:
        async def main() -> None:
            connection = await asyncpg.connect(database_url)
            await make_account(connection)
            await post_payment(connection, ACCOUNT, Decimal(10), reference=None)
            await post_payment(connection, ACCOUNT, Decimal(5), kind="credit", reference=None)
            assert await sums(connection) == (10, 5)
            await post_payment(connection, ACCOUNT, Decimal(2), kind="credit", reference=None, reduces=True)
            assert await sums(connection) == (10, 3)
            assert await balances_off(connection) == []
            await connection.close()

        run(main())

    def test_credit_is_taken_back_once_when_it_has_expired(self, database_url: str, run: Run) -> None:
        async def main() -> None:
            connection = await asyncpg.connect(database_url)
            await make_account(connection)
            now = datetime.now(UTC)
            for expires_at in (now - timedelta(seconds=1), now + timedelta(days=1)):
                await post_payment(
                    connection, ACCOUNT, Decimal(5), kind="credit", reference=None, expires_at=expires_at
                )
            assert await take_back_expired_credit(connection) == 1
            assert await take_back_expired_credit(connection) == 0
            assert await sums(connection) == (0, 5)
            assert await balances_off(connection) == []
            await connection.close()

        run(main())

    def test_expiry_is_refused_when_it_is_no_credit(self, database_url: str, run: Run) -> None:
        async def main() -> None:
            connection = await asyncpg.connect(database_url)
            await make_account(connection)
            with pytest.raises(InvalidAmount):
                await post_payment(connection, ACCOUNT, Decimal(5), reference=None, expires_at=datetime.now(UTC))
            await connection.close()

        run(main())


class TestDirections:
    @pytest.mark.parametrize(("kind", "balance"), [("payment", 5), ("refund", -5), ("charge", -5), ("correction", 5)])
    def test_balance_moves_as_the_kind_says_when_booked(
        self, database_url: str, run: Run, kind: str, balance: int
    ) -> None:
        async def main() -> None:
            connection = await asyncpg.connect(database_url)
            await make_account(connection)
            await post_payment(connection, ACCOUNT, Decimal(5), kind=kind, reference=None)
            assert await sums(connection) == (balance, 0)
            await connection.close()

        run(main())
