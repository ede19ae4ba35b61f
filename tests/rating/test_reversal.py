"""Entries that are booked by hand: how they came, what is refused, and how a mistake is taken back."""

from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from rating.errors import InvalidAmount, InvalidEntryKind, UnknownEntry
from rating.ledger import Origin, balances_off, post_payment, revert_entry, take_back_expired_credit
from tests.rating.test_credit import ACCOUNT, make_account, sums
from tests.support.servers import Run

Rows = asyncpg.Connection
Work = Callable[[Rows], Coroutine[Any, Any, None]]


@pytest.fixture
def with_account(run: Run, database_url: str) -> Callable[[Work], None]:
    def start(work: Work) -> None:
        async def main() -> None:
            connection = await asyncpg.connect(database_url)
            try:
                await make_account(connection)
                await work(connection)
                assert await balances_off(connection) == []
            finally:
                await connection.close()

        run(main())

    return start


async def pay(row: Rows, amount: int, kind: str = "payment", **more: Any) -> Any:
    return await post_payment(row, ACCOUNT, Decimal(amount), kind=kind, **{"reference": None, **more})


def test_form_that_comes_twice_is_booked_once(with_account: Callable[[Work], None]) -> None:
    async def work(row: Rows) -> None:
        origin = Origin("card", "clerk", uuid4())
        first = await pay(row, 10, reference="A1", origin=origin)
        second = await pay(row, 10, reference="A1", origin=origin)
        assert (second.entry_id, second.repeated) == (first.entry_id, True)
        assert await sums(row) == (10, 0)
        entry = await row.fetchrow("SELECT method, by_whom, request_key FROM ledger_entry")
        assert entry is not None
        assert tuple(entry) == ("card", "clerk", origin.request_key)

    with_account(work)


def test_mistake_is_taken_back_once_by_a_second_entry(with_account: Callable[[Work], None]) -> None:
    async def work(row: Rows) -> None:
        mistake = await pay(row, 10)
        await pay(row, 7)
        reversal = await revert_entry(row, ACCOUNT, mistake.entry_id, note="typed twice", by_whom="clerk")
        assert (reversal.kind, reversal.amount, reversal.balance) == ("payment", Decimal(-10), Decimal(7))
        again = await revert_entry(row, ACCOUNT, mistake.entry_id, note="", by_whom="clerk")
        assert (again.entry_id, again.repeated) == (reversal.entry_id, True)
        with pytest.raises(UnknownEntry):
            await revert_entry(row, ACCOUNT, reversal.entry_id, note="", by_whom="clerk")

    with_account(work)


def test_temporary_credit_that_was_taken_back_does_not_expire_too(with_account: Callable[[Work], None]) -> None:
    async def work(row: Rows) -> None:
        granted = await pay(row, 5, "credit", expires_at=datetime.now(UTC) - timedelta(seconds=1))
        await revert_entry(row, ACCOUNT, granted.entry_id, note="", by_whom="clerk")
        assert await take_back_expired_credit(row) == 0
        assert await sums(row) == (0, 0)

    with_account(work)


def test_credit_stays_between_none_and_its_maximum(with_account: Callable[[Work], None]) -> None:
    async def work(row: Rows) -> None:
        await row.execute("UPDATE account SET max_credit_limit = 20")
        first = await pay(row, 15, "credit")
        with pytest.raises(InvalidAmount, match="5 more"):
            await pay(row, 6, "credit")
        await pay(row, 10, "credit", reduces=True)
        with pytest.raises(InvalidAmount, match="only 5"):
            await pay(row, 6, "credit", reduces=True)
        with pytest.raises(InvalidAmount, match="only 5"):
            await revert_entry(row, ACCOUNT, first.entry_id, note="", by_whom="clerk")
        assert await sums(row) == (0, 5)

    with_account(work)


def test_demo_account_gets_credit_and_cannot_pay_in(with_account: Callable[[Work], None]) -> None:
    async def work(row: Rows) -> None:
        await row.execute("UPDATE account SET customer_type = 'demo'")
        with pytest.raises(InvalidEntryKind, match="DEMO"):
            await pay(row, 10)
        await pay(row, 3, "credit")
        assert await sums(row) == (0, 3)

    with_account(work)
