"""What the tables of accounts, the ledger and the audit log take and what they refuse, in a real PostgreSQL."""

from collections.abc import Callable, Coroutine
from decimal import Decimal
from typing import Any

import asyncpg
import pytest

from tests.support.policy import insert
from tests.support.servers import Run

Rows = asyncpg.Connection
Work = Callable[[Rows], Coroutine[Any, Any, None]]
CODE = "CUST0001"


@pytest.fixture
def with_account(run: Run, database_url: str) -> Callable[[Work], None]:
    """Run a test over a connection to a database with one customer."""

    def start(work: Work) -> None:
        async def main() -> None:
            row = await asyncpg.connect(database_url)
            try:
                await insert(row, "account", code=CODE, kind="customer", name="c", currency="EUR")
                await work(row)
            finally:
                await row.close()

        run(main())

    return start


async def is_taken(row: Rows, table: str, **values: Any) -> bool:
    """Whether the only row of a table may have these values."""
    change = row.transaction()
    await change.start()
    try:
        for name, value in values.items():
            await row.execute(f"UPDATE {table} SET {name} = $1", value)
    except asyncpg.IntegrityConstraintViolationError:
        return False
    finally:
        await change.rollback()
    return True


class TestAccount:
    @pytest.mark.parametrize(
        ("column", "good", "bad"),
        [
            ("customer_type", ["live", "demo"], ["trial", ""]),
            ("payment_term", [1, 30], [0, 31]),
            ("max_credit_limit", [None, Decimal(0), Decimal(500)], [Decimal(-1)]),
            ("tax_certificate", ["", "N" * 30], ["N" * 31]),
            ("email", ["", "a@example.com"], ["a@example", "a b@e.com", "@e.com", "a" * 19 + "@example.com"]),
            ("address", ["", "x" * 200], ["x" * 201]),
            ("phone", ["", "3090182000", "+493090182000"], ["309018200", "+0493090182", "49 30"]),
            ("country", ["", "DE"], ["de", "DEU"]),
            ("pin", ["", "10115", "SW1A 1AA"], ["1", "12_45", "12345678901"]),
            ("tax_percents", [[Decimal(0), Decimal(100)]], [[Decimal(101)], [Decimal(-1)]]),
        ],
    )
    def test_column_takes_what_its_rule_says(
        self, with_account: Callable[[Work], None], column: str, good: list[Any], bad: list[Any]
    ) -> None:
        async def work(row: Rows) -> None:
            assert [value for value in good if not await is_taken(row, "account", **{column: value})] == []
            assert [value for value in bad if await is_taken(row, "account", **{column: value})] == []

        with_account(work)

    def test_credit_limit_stays_below_its_maximum(self, with_account: Callable[[Work], None]) -> None:
        async def work(row: Rows) -> None:
            assert await is_taken(row, "account", max_credit_limit=Decimal(50), credit_limit=Decimal(50))
            assert not await is_taken(row, "account", max_credit_limit=Decimal(50), credit_limit=Decimal("50.01"))

        with_account(work)

    def test_demo_account_is_prepaid_and_owes_nothing(self, with_account: Callable[[Work], None]) -> None:
        async def work(row: Rows) -> None:
            assert not await is_taken(row, "account", customer_type="demo", billing_type="postpaid")
            assert not await is_taken(row, "account", customer_type="demo", credit_limit=Decimal(1))

        with_account(work)

    def test_code_never_changes(self, with_account: Callable[[Work], None]) -> None:
        async def work(row: Rows) -> None:
            assert not await is_taken(row, "account", code="CUST0002")
            assert await is_taken(row, "account", code=CODE, name="another")

        with_account(work)


class TestLedger:
    def test_demo_account_cannot_pay_in_but_gets_credit(self, with_account: Callable[[Work], None]) -> None:
        async def work(row: Rows) -> None:
            await row.execute("UPDATE account SET customer_type = 'demo'")
            account = await row.fetchval("SELECT id FROM account")
            values = {"account_id": account, "amount": Decimal(5), "currency": "EUR"}
            with pytest.raises(asyncpg.CheckViolationError, match="DEMO"):
                await insert(row, "ledger_entry", kind="payment", **values)
            await insert(row, "ledger_entry", kind="credit", **values)

        with_account(work)


class TestAudit:
    def test_entries_are_never_changed(self, with_account: Callable[[Work], None]) -> None:
        async def work(row: Rows) -> None:
            await insert(row, "audit_entry", login="a", role="administrator", action="customer.edit", object="x")
            for statement in ("UPDATE audit_entry SET login = 'b'", "DELETE FROM audit_entry"):
                with pytest.raises(asyncpg.RaiseError, match="never changed"):
                    await row.execute(statement)

        with_account(work)


def test_prices_of_a_reseller_stay_with_it_and_those_directly_below(with_account: Callable[[Work], None]) -> None:
    async def work(row: Rows) -> None:
        owner = await insert(row, "account", code="RESE0001", kind="reseller", name="r", currency="EUR")
        tariff = await insert(row, "tariff", name="t", kind="customer", currency="EUR", owner_id=owner)
        ratecard = await insert(row, "ratecard", name="r")
        with pytest.raises(asyncpg.CheckViolationError, match="a ratecard must be of the same account"):
            await insert(row, "tariff_ratecard", tariff_id=tariff, ratecard_id=ratecard)
        with pytest.raises(asyncpg.CheckViolationError, match="CUST0001 must be the operator's or of the reseller"):
            await row.execute("UPDATE account SET tariff_id = $1 WHERE code = $2", tariff, CODE)
        await row.execute("UPDATE account SET tariff_id = $1, parent_id = $2 WHERE code = $3", tariff, owner, CODE)
        with pytest.raises(asyncpg.CheckViolationError, match="tariff_owner_check"):
            await insert(row, "tariff", name="c", kind="carrier", currency="EUR", owner_id=owner)

    with_account(work)
