"""Payments and usage against a real PostgreSQL."""

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import TypeVar

import asyncpg
import pytest

from rating.errors import InvalidAmount, InvalidEntryKind, UnknownAccount
from rating.ledger import (
    Connection,
    Correction,
    Usage,
    balances_off,
    check_amount,
    post_corrections,
    post_payment,
    post_usage,
)

Result = TypeVar("Result")


def run(url: str, work: Callable[[Connection], Awaitable[Result]]) -> Result:
    async def main() -> Result:
        connection = await asyncpg.connect(url)
        try:
            return await work(connection)
        finally:
            await connection.close()

    return asyncio.run(main())


async def make_account(connection: Connection, code: str) -> int:
    account_id: int = await connection.fetchval(
        "INSERT INTO account (code, kind, name, currency) VALUES ($1, 'customer', $1, 'EUR') RETURNING id", code
    )
    return account_id


async def balance_of(connection: Connection, account_id: int) -> Decimal:
    balance: Decimal = await connection.fetchval(
        "SELECT balance FROM account_balance WHERE account_id = $1", account_id
    )
    return balance


class TestAmount:
    @pytest.mark.parametrize(
        "text", ["0.01", "1", "1000.00", "0.0000000001", "99999999999999999999.9999999999", "1E+3"]
    )
    def test_amount_passes_when_the_ledger_can_keep_it(self, text: str) -> None:
        check_amount(Decimal(text))

    @pytest.mark.parametrize(
        "text", ["0", "-0.01", "-0", "NaN", "sNaN", "Infinity", "-Infinity", "0.00000000001", "1E+20", "1E-11"]
    )
    def test_amount_is_refused_when_the_ledger_cannot_keep_it(self, text: str) -> None:
        with pytest.raises(InvalidAmount):
            check_amount(Decimal(text))


class TestPayment:
    def test_payment_is_an_entry_and_a_balance(self, database_url: str) -> None:
        async def work(connection: Connection) -> None:
            account_id = await make_account(connection, "CUST0001")
            posting = await post_payment(connection, "CUST0001", Decimal("12.3456789012"), reference="r", note="n")
            assert posting.amount == posting.balance == Decimal("12.3456789012")
            assert (posting.account_code, posting.currency, posting.kind) == ("CUST0001", "EUR", "payment")
            assert not posting.repeated
            entry = await connection.fetchrow("SELECT * FROM ledger_entry WHERE id = $1", posting.entry_id)
            assert entry is not None
            assert (entry["account_id"], entry["reference"], entry["note"]) == (account_id, "r", "n")
            assert await balance_of(connection, account_id) == posting.amount

        run(database_url, work)

    def test_payment_is_booked_once_when_its_reference_comes_twice(self, database_url: str) -> None:
        async def work(connection: Connection) -> None:
            account_id = await make_account(connection, "CUST0001")
            first = await post_payment(connection, "CUST0001", Decimal(10), reference="bank 1")
            await post_payment(connection, "CUST0001", Decimal(5), reference="bank 2")
            again = await post_payment(connection, "CUST0001", Decimal(10), reference="bank 1")
            assert again.repeated
            assert (again.entry_id, again.amount, again.created_at) == (first.entry_id, first.amount, first.created_at)
            assert again.balance == await balance_of(connection, account_id) == Decimal(15)

        run(database_url, work)

    def test_payment_is_booked_once_when_its_reference_comes_at_the_same_time(self, database_url: str) -> None:
        async def work(connection: Connection) -> None:
            account_id = await make_account(connection, "CUST0001")
            pool = await asyncpg.create_pool(database_url, min_size=8, max_size=8)

            async def pay() -> bool:
                async with pool.acquire() as other:
                    return (await post_payment(other, "CUST0001", Decimal(7), reference="same")).repeated

            repeated = await asyncio.gather(*(pay() for _ in range(8)))
            await pool.close()
            assert sorted(repeated) == [False] + [True] * 7
            assert await balance_of(connection, account_id) == Decimal(7)

        run(database_url, work)

    def test_reference_is_another_when_account_or_kind_differ(self, database_url: str) -> None:
        async def work(connection: Connection) -> None:
            await make_account(connection, "CUST0001")
            await make_account(connection, "CUST0002")
            postings = [
                await post_payment(connection, "CUST0001", Decimal(1), reference="x"),
                await post_payment(connection, "CUST0001", Decimal(1), kind="refund", reference="x"),
                await post_payment(connection, "CUST0002", Decimal(1), reference="x"),
            ]
            assert not any(posting.repeated for posting in postings)

        run(database_url, work)

    def test_payment_is_booked_each_time_when_it_has_no_reference(self, database_url: str) -> None:
        async def work(connection: Connection) -> None:
            account_id = await make_account(connection, "CUST0001")
            for _ in range(2):
                await post_payment(connection, "CUST0001", Decimal("0.1"), reference=None)
            assert await balance_of(connection, account_id) == Decimal("0.2")

        run(database_url, work)

    def test_payment_leaves_nothing_when_it_is_refused(self, database_url: str) -> None:
        async def work(connection: Connection) -> None:
            await make_account(connection, "CUST0001")
            with pytest.raises(UnknownAccount, match="CUST9999"):
                await post_payment(connection, "CUST9999", Decimal(1), reference=None)
            with pytest.raises(InvalidAmount):
                await post_payment(connection, "CUST0001", Decimal(-1), reference=None)
            with pytest.raises(InvalidEntryKind):
                await post_payment(connection, "CUST0001", Decimal(1), kind="usage", reference=None)
            assert await connection.fetchval("SELECT count(*) FROM ledger_entry") == 0

        run(database_url, work)

    def test_payment_is_gone_when_the_transaction_around_it_is_rolled_back(self, database_url: str) -> None:
        async def work(connection: Connection) -> None:
            account_id = await make_account(connection, "CUST0001")
            transaction = connection.transaction()
            await transaction.start()
            await post_payment(connection, "CUST0001", Decimal(1), reference="x")
            await transaction.rollback()
            assert await balance_of(connection, account_id) == 0
            assert not (await post_payment(connection, "CUST0001", Decimal(1), reference="x")).repeated

        run(database_url, work)


class TestUsage:
    def test_usage_is_one_entry_per_account_when_several_come(self, database_url: str) -> None:
        async def work(connection: Connection) -> None:
            first = await make_account(connection, "CUST0001")
            second = await make_account(connection, "CUST0002")
            await post_usage(
                connection,
                [
                    Usage(second, Decimal("0.5"), "EUR", 2),
                    Usage(first, Decimal("0.0000000001"), "EUR", 1),
                    Usage(second, Decimal("0.25"), "EUR", 1),
                ],
            )
            entries = await connection.fetch("SELECT account_id, kind, amount, currency, calls FROM ledger_entry")
            assert [tuple(entry) for entry in entries] == [
                (first, "usage", Decimal("-0.0000000001"), "EUR", 1),
                (second, "usage", Decimal("-0.75"), "EUR", 3),
            ]
            assert await balance_of(connection, second) == Decimal("-0.75")

        run(database_url, work)

    def test_usage_writes_an_entry_when_the_calls_were_free(self, database_url: str) -> None:
        async def work(connection: Connection) -> None:
            account_id = await make_account(connection, "CUST0001")
            await post_usage(connection, [Usage(account_id, Decimal(0), "EUR", 4)])
            assert await connection.fetchval("SELECT calls FROM ledger_entry WHERE amount = 0") == 4
            assert await balance_of(connection, account_id) == 0

        run(database_url, work)

    def test_usage_does_nothing_when_there_is_none(self, database_url: str) -> None:
        async def work(connection: Connection) -> None:
            await post_usage(connection, [])
            assert await connection.fetchval("SELECT count(*) FROM ledger_entry") == 0

        run(database_url, work)

    def test_usage_debits_nobody_when_one_account_is_unknown(self, database_url: str) -> None:
        async def work(connection: Connection) -> None:
            account_id = await make_account(connection, "CUST0001")
            with pytest.raises(UnknownAccount, match="424242"):
                await post_usage(
                    connection, [Usage(account_id, Decimal(1), "EUR", 1), Usage(424242, Decimal(1), "EUR", 1)]
                )
            assert await balance_of(connection, account_id) == 0

        run(database_url, work)

    def test_usage_keeps_every_digit_when_amounts_are_large(self, database_url: str) -> None:
        async def work(connection: Connection) -> None:
            account_id = await make_account(connection, "CUST0001")
            large = Decimal("12345678901234567890.1234567891")
            await post_usage(
                connection, [Usage(account_id, large, "EUR", 1), Usage(account_id, Decimal("0.0000000001"), "EUR", 1)]
            )
            assert await balance_of(connection, account_id) == Decimal("-12345678901234567890.1234567892")

        run(database_url, work)

    def test_writers_do_not_deadlock_when_they_debit_the_same_accounts(self, database_url: str) -> None:
        async def work(connection: Connection) -> None:
            accounts = [await make_account(connection, f"CUST{number:04}") for number in range(10)]
            pool = await asyncpg.create_pool(database_url, min_size=4, max_size=4)

            async def write(order: list[int]) -> None:
                async with pool.acquire() as other:
                    for _ in range(10):
                        async with other.transaction():
                            await post_usage(other, [Usage(one, Decimal("0.01"), "EUR", 1) for one in order])

            async def pay() -> None:
                async with pool.acquire() as other:
                    for number in range(10):
                        await post_payment(other, f"CUST{number:04}", Decimal("0.20"), reference=None)

            await asyncio.gather(write(accounts), write(accounts[::-1]), pay())
            await pool.close()
            assert {await balance_of(connection, one) for one in accounts} == {Decimal(0)}
            assert await balances_off(connection) == []

        run(database_url, work)


class TestCorrections:
    def test_correction_is_an_entry_of_either_sign_and_a_balance(self, database_url: str) -> None:
        async def work(connection: Connection) -> None:
            one, two = await make_account(connection, "CUST0001"), await make_account(connection, "CUST0002")
            most = Decimal("-99999999999999999999.9999999999")
            await post_corrections(
                connection,
                [Correction(two, most, "EUR", "too little"), Correction(one, Decimal("0.0000000001"), "EUR")],
            )
            rows = await connection.fetch("SELECT account_id, kind, amount, note FROM ledger_entry ORDER BY id")
            assert [tuple(row) for row in rows] == [
                (one, "correction", Decimal("0.0000000001"), ""),
                (two, "correction", most, "too little"),
            ]
            assert await balance_of(connection, two) == most
            assert await balances_off(connection) == []
            await post_corrections(connection, [])

        run(database_url, work)

    @pytest.mark.parametrize("amount", ["0", "NaN", "0.00000000001", "-1E+20"])
    def test_nothing_is_booked_when_one_amount_cannot_be(self, database_url: str, amount: str) -> None:
        async def work(connection: Connection) -> None:
            one = await make_account(connection, "CUST0001")
            with pytest.raises(InvalidAmount):
                await post_corrections(
                    connection, [Correction(one, Decimal(1), "EUR"), Correction(one, Decimal(amount), "EUR")]
                )
            assert await balance_of(connection, one) == 0

        run(database_url, work)

    def test_nothing_is_booked_when_one_account_is_unknown(self, database_url: str) -> None:
        async def work(connection: Connection) -> None:
            one = await make_account(connection, "CUST0001")
            with pytest.raises(UnknownAccount, match="id 99"):
                await post_corrections(
                    connection, [Correction(one, Decimal(1), "EUR"), Correction(99, Decimal(1), "EUR")]
                )
            assert await balance_of(connection, one) == 0

        run(database_url, work)


class TestBalancesOff:
    def test_balance_is_off_when_it_was_changed_without_an_entry(self, database_url: str) -> None:
        async def work(connection: Connection) -> None:
            account_id = await make_account(connection, "CUST0001")
            await make_account(connection, "CUST0002")
            await post_payment(connection, "CUST0001", Decimal(3), reference=None)
            assert await balances_off(connection) == []
            await connection.execute("UPDATE account_balance SET balance = 4 WHERE account_id = $1", account_id)
            (off,) = await balances_off(connection)
            assert (off.code, off.balance, off.entries) == ("CUST0001", Decimal(4), Decimal(3))

        run(database_url, work)
