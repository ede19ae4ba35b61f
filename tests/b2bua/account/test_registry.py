"""Customers as their form makes and changes them, in a real PostgreSQL."""

from collections.abc import Callable, Coroutine
from decimal import Decimal
from typing import Any

import asyncpg
import pytest

from b2bua.account.customer import Customer, NewCustomer
from b2bua.account.errors import Refused
from b2bua.account.registry import add_customer, change_customer
from tests.b2bua.account.test_customer import TYPED
from tests.support.policy import insert
from tests.support.servers import Run

Rows = asyncpg.Connection
Work = Callable[[Rows], Coroutine[Any, Any, None]]


@pytest.fixture
def with_tariffs(run: Run, database_url: str) -> Callable[[Work], None]:
    """Run a test over a database with two tariffs and a reseller."""

    def start(work: Work) -> None:
        async def main() -> None:
            row = await asyncpg.connect(database_url)
            try:
                await insert(row, "tariff", name="retail", kind="customer", currency="EUR")
                await insert(row, "tariff", name="dollars", kind="customer", currency="USD")
                await insert(row, "account", code="RESE0001", kind="reseller", name="r", currency="EUR")
                await work(row)
            finally:
                await row.close()

        run(main())

    return start


def form(**typed: str) -> NewCustomer:
    return NewCustomer.model_validate({**TYPED, **typed})


def changed(**typed: str) -> Customer:
    return Customer.model_validate({**TYPED, **typed})


def test_customer_opens_with_a_login_and_the_currency_of_its_tariff(with_tariffs: Callable[[Work], None]) -> None:
    async def work(row: Rows) -> None:
        code = await add_customer(row, form(parent="RESE0001"), "hash")
        record = await row.fetchrow(
            """
            SELECT account.kind, account.currency, account.codecs, parent.code AS parent, panel_user.role
            FROM account JOIN panel_user ON panel_user.account_id = account.id
            JOIN account AS parent ON parent.id = account.parent_id
            WHERE account.code = $1 AND panel_user.login = 'anna1' AND panel_user.password_hash = 'hash'
            """,
            code,
        )
        assert record is not None
        assert tuple(record) == ("customer", "EUR", ["G729", "PCMU", "PCMA", "G722"], "RESE0001", "customer")

    with_tariffs(work)


@pytest.mark.parametrize(
    ("typed", "field"),
    [
        ({"tariff": "none such"}, "tariff"),
        ({"tariff": "dollars", "parent": "RESE0001"}, "tariff"),
        ({"parent": "RESE0009"}, "parent"),
        ({"login": "taken"}, "login"),
    ],
)
def test_nothing_is_made_when_something_named_is_not_there(
    with_tariffs: Callable[[Work], None], typed: dict[str, str], field: str
) -> None:
    async def work(row: Rows) -> None:
        await insert(row, "panel_user", login="taken", password_hash="x", role="administrator")
        with pytest.raises(Refused) as caught:
            await add_customer(row, form(**typed), "hash")
        assert caught.value.field == field
        assert await row.fetchval("SELECT count(*) FROM account WHERE kind = 'customer'") == 0

    with_tariffs(work)


def test_change_says_what_was_and_what_is(with_tariffs: Callable[[Work], None]) -> None:
    async def work(row: Rows) -> None:
        code = await add_customer(row, form(), "hash")
        revision = await row.fetchval("SELECT revision FROM config_revision")
        assert await change_customer(row, code, changed()) == ({}, {})
        assert await row.fetchval("SELECT revision FROM config_revision") == revision
        old, new = await change_customer(row, code, changed(max_sessions="30", codecs="PCMA"))
        assert old == {"max_sessions": 1, "codecs": ["G729", "PCMU", "PCMA", "G722"]}
        assert new == {"max_sessions": 30, "codecs": ["PCMA"]}
        assert await row.fetchval("SELECT revision FROM config_revision") == revision + 1

    with_tariffs(work)


@pytest.mark.parametrize(
    ("balance", "typed", "field"),
    [
        ({"granted": Decimal(50)}, {"max_credit_limit": "49"}, "max_credit_limit"),
        ({"balance": Decimal(5)}, {"customer_type": "demo"}, "customer_type"),
        ({}, {"tariff": "dollars"}, "tariff"),
    ],
)
def test_change_is_refused_when_money_stands_against_it(
    with_tariffs: Callable[[Work], None], balance: dict[str, Decimal], typed: dict[str, str], field: str
) -> None:
    async def work(row: Rows) -> None:
        code = await add_customer(row, form(), "hash")
        for name, value in balance.items():
            await row.execute(f"UPDATE account_balance SET {name} = $1", value)
        with pytest.raises(Refused) as caught:
            await change_customer(row, code, changed(**typed))
        assert caught.value.field == field

    with_tariffs(work)
