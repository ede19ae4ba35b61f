"""Payments: money and credit, once each, and mistakes taken back."""

import re
from decimal import Decimal
from typing import Any

from rating.ledger import balances_off
from tests.admin.conftest import Play
from tests.admin.panel import Answer, Panel
from tests.admin.test_customer_form import entries, errors, stock

PAGE = "/customers/CUST0101/payments"


async def book(panel: Panel, *, key: str = "", **typed: str) -> Answer:
    if not key:
        found = re.search(r'name="request_key" value="([^"]+)"', (await panel.get(PAGE)).text)
        assert found
        key = found[1]
    return await panel.post(PAGE, {**typed, "request_key": key}, form=PAGE)


async def sums(panel: Panel) -> tuple[Decimal, Decimal]:
    row = await panel.data.connection.fetchrow(
        "SELECT balance, granted FROM account_balance JOIN account ON account.id = account_id WHERE code = 'CUST0101'"
    )
    assert row is not None
    return row["balance"], row["granted"]


async def ledger(panel: Panel) -> list[tuple[Any, ...]]:
    query = "SELECT kind, amount, method, reference, note, by_whom FROM ledger_entry ORDER BY id"
    return [tuple(row) for row in await panel.data.connection.fetch(query)]


def test_money_and_credit_are_booked_with_how_they_came(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        await stock(panel)
        await panel.signed_in("accounts", login="clerk")
        answer = await book(panel, option="add_balance", amount="250.00", paid_by="bank_transfer", reference="T17")
        assert answer.location == PAGE
        assert "Balance 0.0000 → 250.0000" in (await panel.get(PAGE)).text
        await book(panel, option="refund", amount="50", paid_by="cash", note="paid too much")
        await book(panel, option="add_credit", amount="20", expires="7d")
        await book(panel, option="reduce_credit", amount="5")
        assert await sums(panel) == (Decimal(200), Decimal(15))
        assert await ledger(panel) == [
            ("payment", Decimal(250), "bank_transfer", "T17", "", "clerk"),
            ("refund", Decimal(-50), "cash", None, "paid too much", "clerk"),
            ("credit", Decimal(20), "", None, "", "clerk"),
            ("credit", Decimal(-5), "", None, "", "clerk"),
        ]
        assert await panel.data.connection.fetchval("SELECT count(*) FROM ledger_entry WHERE expires_at > now()") == 1
        assert len(await entries(panel, "payment.add")) == 4
        assert await balances_off(panel.data.connection) == []

    play(scenario)


def test_form_that_is_sent_twice_is_booked_once(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        await stock(panel)
        await panel.signed_in()
        key = "7b2d9a52-95a3-4b7e-9a33-0a2c6f0f4c11"
        for _ in range(3):
            assert (await book(panel, key=key, option="add_balance", amount="10", paid_by="cash")).status == 303
        assert await sums(panel) == (Decimal(10), Decimal(0))
        assert "It was booked before" in (await panel.get(PAGE)).text
        typed = {"option": "add_balance", "paid_by": "card", "reference": "R1"}
        await book(panel, **typed, amount="5")
        answer = await book(panel, **typed, amount="6")
        assert errors(answer) == ["Reference R1 was booked before with 5.0000"]
        assert await sums(panel) == (Decimal(15), Decimal(0))

    play(scenario)


def test_mistake_is_taken_back_by_a_second_entry(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        await stock(panel)
        await panel.signed_in()
        await book(panel, option="add_balance", amount="10", paid_by="cash")
        mistake = await panel.data.connection.fetchval("SELECT id FROM ledger_entry")
        for _ in range(2):
            await panel.post(f"{PAGE}/{mistake}/reverse", {}, form=PAGE)
        assert await sums(panel) == (Decimal(0), Decimal(0))
        text = (await panel.get(PAGE)).text
        assert f"takes back {mistake}" in text
        assert "/reverse" not in text  # neither of both again
        assert len(await entries(panel, "payment.reverse")) == 1
        assert (await panel.post(f"{PAGE}/999/reverse", {}, form=PAGE)).status == 422

    play(scenario)


def test_refused_entry_keeps_what_was_typed(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        await stock(panel)
        await panel.data.connection.execute("UPDATE account SET max_credit_limit = 10 WHERE code = 'CUST0101'")
        await panel.signed_in()
        answer = await book(panel, option="add_balance", amount="-5", note="typed note")
        assert errors(answer) == ["Amount must be an amount above 0, like 250.00"]
        assert 'value="typed note"' in answer.text
        answer = await book(panel, option="add_balance", amount="5", paid_by="cheque")
        assert errors(answer) == ["Reference is needed unless it is cash, like the number of the transfer"]
        answer = await book(panel, option="add_credit", amount="11")
        assert errors(answer) == ["The maximum credit of CUST0101 is 10: 10 more may be granted"]
        assert await ledger(panel) == []

    play(scenario)


def test_demo_account_is_marked_and_gets_credit_only(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        await stock(panel)
        await panel.data.connection.execute("UPDATE account SET customer_type = 'demo' WHERE code = 'CUST0101'")
        await panel.signed_in()
        text = (await panel.get(PAGE)).text
        assert 'value="add_balance"' not in text
        assert "DEMO</span>" in text
        answer = await book(panel, option="add_balance", amount="5", paid_by="cash")
        assert errors(answer) == ["DEMO account CUST0101 cannot pay in: it spends its test credit"]
        await book(panel, option="add_credit", amount="5")
        assert await sums(panel) == (Decimal(0), Decimal(5))

    play(scenario)


def test_support_and_customers_book_nothing(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        accounts = await stock(panel)
        await panel.data.user("owner", "customer", accounts["own"])
        await panel.sign_in("owner")
        assert "Book entry" not in (await panel.get(PAGE)).text
        typed = {"option": "add_balance", "amount": "5", "paid_by": "cash"}
        assert (await panel.post(PAGE, typed, form="/")).status == 404
        panel.forget()
        await panel.signed_in("support")
        assert (await panel.get(PAGE)).status == 404
        assert await ledger(panel) == []

    play(scenario)
