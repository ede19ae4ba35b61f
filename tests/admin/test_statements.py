"""Statements: every entry of a period, and the balance after each."""

import io
import re
from decimal import Decimal

import openpyxl

from rating.ledger import Usage, post_payment, post_usage
from tests.admin.conftest import Play
from tests.admin.panel import Panel
from tests.admin.test_customer_form import stock

PAGE = "/customers/CUST0101/statement"


async def fill(panel: Panel, entries: int = 0) -> int:
    accounts, row = await stock(panel), panel.data.connection
    own = accounts["own"]
    await row.execute(
        """
        INSERT INTO ledger_entry (account_id, kind, amount, currency, created_at)
        VALUES ($1, 'payment', 100, 'EUR', '2026-01-31T23:59:59Z')
        """,
        own,
    )
    await row.execute("UPDATE account_balance SET balance = 100 WHERE account_id = $1", own)
    await post_payment(row, "CUST0101", Decimal("50.5"), reference="=1+1", note="-2+3")
    await post_payment(row, "CUST0101", Decimal(9), kind="credit", reference=None)
    for number in range(entries + 1):
        await post_usage(row, [Usage(own, Decimal("0.0000000001") * (number + 1), "EUR", 2)])
    return own


def test_running_balance_ends_at_that_of_the_ledger(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        own = await fill(panel)
        await panel.signed_in()
        text = re.sub(r"<[^>]+>", " ", (await panel.get(PAGE)).text)
        balances = re.findall(r"([\d,.]+) EUR\s", text[text.index("Debit") :])
        stored = await panel.data.connection.fetchval("SELECT balance FROM account_balance WHERE account_id = $1", own)
        assert balances[-1] == f"{stored:f}" == "150.4999999999"
        assert "100.0000 EUR" in text  # the balance before
        assert "9.0000 EUR granted beside the balance" in text
        january = re.sub(r"<[^>]+>", " ", (await panel.get(f"{PAGE}?since=2026-01-01&until=2026-01-31")).text)
        assert "31 Jan" in january
        assert "=1+1" not in january
        assert (await panel.get(f"{PAGE}?since=nonsense&until=9999-99-99&after=x")).status == 200

    play(scenario)


def test_pages_go_on_with_the_balance(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        own = await fill(panel, entries=70)
        await panel.signed_in()
        first = await panel.get(PAGE)
        after = re.search(r'href="\?([^"]+)"\s+rel="next"', first.text)
        assert after
        second = await panel.get(f"{PAGE}?{after[1].replace('&amp;', '&')}")
        stored = await panel.data.connection.fetchval("SELECT balance FROM account_balance WHERE account_id = $1", own)
        assert f"{stored:f}" in second.text
        assert 'rel="next"' not in second.text
        back = re.search(r'href="\?([^"]+)"\s+rel="prev"', second.text)
        assert back
        again = await panel.get(f"{PAGE}?{back[1].replace('&amp;', '&')}")
        rows = re.compile(r'<span class="sw-number">([\d.]+) EUR')
        assert rows.findall(again.text) == rows.findall(first.text)

    play(scenario)


def test_files_hold_the_same_entries(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        own = await fill(panel)
        await panel.signed_in()
        response = await panel.client.get(f"{PAGE}/export?format=xlsx")
        sheet = openpyxl.load_workbook(io.BytesIO(await response.read()), read_only=True).active
        assert sheet is not None
        rows = [list(row) for row in sheet.iter_rows(values_only=True)]
        assert [row[1] for row in rows] == ["What", "Balance before", "Payment", "Credit", "Calls"]
        assert rows[2][2:4] == ["'=1+1", "'-2+3"]
        assert rows[-1][4] == 2
        stored = await panel.data.connection.fetchval("SELECT balance FROM account_balance WHERE account_id = $1", own)
        assert Decimal(str(rows[-1][-1])) == stored
        response = await panel.client.get(f"{PAGE}/export?format=pdf")
        assert (await response.read()).startswith(b"%PDF-")
        assert (await panel.get(f"{PAGE}/export?format=csv")).status == 404

    play(scenario)


def test_customer_reads_its_own_statement_and_no_other(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        own = await fill(panel)
        await panel.signed_in("customer", own)
        assert (await panel.get("/statement")).location == PAGE
        text = (await panel.get(PAGE)).text
        assert "150.4999999999 EUR" in text
        assert (await panel.get("/customers/CUST0102/statement")).status == 404

    play(scenario)
