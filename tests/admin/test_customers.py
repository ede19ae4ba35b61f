"""The list of customers."""

import csv
import io
import re
from collections.abc import Awaitable, Callable

import openpyxl
import pytest

from admin.keys import POOL
from admin.stores.users import set_preference
from tests.admin.conftest import Play
from tests.admin.panel import Panel


async def tree(panel: Panel) -> dict[str, int]:
    """Two resellers, the second below the first, and a customer of each and of nobody."""
    data = panel.data
    first = await data.account("RESL0001", kind="reseller", name="First reseller")
    second = await data.account("RESL0002", kind="reseller", parent=first, name="Second reseller")
    return {
        "first": first,
        "second": second,
        "free": await data.account("CUST0001", name="Free Ltd", company="Free & Sons", balance="-1234.5"),
        "of_first": await data.account("CUST0002", parent=first, name="Of first", status="suspended"),
        "of_second": await data.account("CUST0003", parent=second, name="Of second", max_sessions=20),
    }


def codes(text: str) -> list[str]:
    return sorted(set(re.findall(r"CUST\d{4}", text)))


def test_administrator_sees_every_customer_and_no_reseller(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        await tree(panel)
        await panel.signed_in()
        text = (await panel.get("/customers")).text
        assert codes(text) == ["CUST0001", "CUST0002", "CUST0003"]
        assert "−1,234.5000 EUR" in text
        assert "Free &amp; Sons" in text
        assert "3 customers" in text

    play(scenario)


@pytest.mark.parametrize(("reseller", "seen"), [("first", ["CUST0002", "CUST0003"]), ("second", ["CUST0003"])])
def test_reseller_sees_the_customers_below_it_only(play: Play, reseller: str, seen: list[str]) -> None:
    async def scenario(panel: Panel) -> None:
        accounts = await tree(panel)
        await panel.signed_in("reseller", accounts[reseller])
        assert codes((await panel.get("/customers")).text) == seen
        assert codes((await panel.get("/customers?q=Free")).text) == []

    play(scenario)


def test_support_sees_no_money(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        await tree(panel)
        await panel.signed_in("support")
        text = (await panel.get("/customers")).text
        assert codes(text) == ["CUST0001", "CUST0002", "CUST0003"]
        assert "EUR" not in text

    play(scenario)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("q=cust0001", ["CUST0001"]),
        ("q=of%20f", ["CUST0002"]),
        ("q=sons", ["CUST0001"]),
        ("q=192.0.2.17", ["CUST0003"]),
        ("q=192.0.2", ["CUST0003"]),
        ("q=alice", ["CUST0002"]),
        ("q=%25", []),
        ("q=_", []),
        ("status=suspended", ["CUST0002"]),
        ("status=nonsense", ["CUST0001", "CUST0002", "CUST0003"]),
        ("q=of&status=active", ["CUST0003"]),
        ("q=of&sort=nonsense", ["CUST0002", "CUST0003"]),
    ],
)
def test_administrator_finds_customers_by_what_is_known_of_them(play: Play, query: str, found: list[str]) -> None:
    async def scenario(panel: Panel) -> None:
        accounts = await tree(panel)
        await panel.data.connection.execute(
            "INSERT INTO ip_device (account_id, address) VALUES ($1, '192.0.2.16/28')", accounts["of_second"]
        )
        await panel.data.connection.execute(
            "INSERT INTO sip_user (account_id, username, ha1_md5) VALUES ($1, 'alice', repeat('0', 32))",
            accounts["of_first"],
        )
        await panel.signed_in()
        answer = await panel.get(f"/customers?{query}")
        assert answer.status == 200
        assert codes(answer.text) == found

    play(scenario)


def test_list_shows_the_calls_of_each_customer_beside_its_limit(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        accounts = await tree(panel)
        for number in range(3):
            panel.worker.add_call(f"0000000{number}-0000-7000-8000-000000000000", [accounts["of_second"]])
        await panel.signed_in()
        text = re.sub(r"<[^>]+>|\s+", " ", (await panel.get("/customers?q=CUST0003")).text)
        assert re.search(r"\b3\s+of 20\b", text)

    play(scenario)


def test_htmx_gets_only_the_list_when_it_asks_for_a_part(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        await tree(panel)
        await panel.signed_in()
        answer = await panel.get("/customers?q=free", {"HX-Request": "true", "HX-Request-Type": "partial"})
        assert "<html" not in answer.text
        assert codes(answer.text) == ["CUST0001"]
        assert answer.header("Vary") == "HX-Request-Type"

    play(scenario)


def test_search_box_leads_to_the_list_that_knows_what_was_typed(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        await panel.signed_in()
        assert (await panel.get("/find?q=%2B44+20+7946")).location == "/call-records?number=%2B44+20+7946"
        assert (await panel.get("/find?q=192.0.2.1")).location == "/customers?q=192.0.2.1"
        assert (await panel.get("/find?q=CUST0001")).location == "/customers?q=CUST0001"

    play(scenario)


FINDS = {
    "company=sons": ["CUST0001"],
    "login=owner": ["CUST0002"],
    "q=OWNER1": ["CUST0002"],
    "q=st0002": ["CUST0002"],
    "q=2.0.2.1": ["CUST0003"],
    "q=192.0.2.17": ["CUST0003"],
    "q=0003": ["CUST0003"],
    "q=zq": [],
    "customer_name=of%20s": ["CUST0003"],
    "ip=192.0.2.17": ["CUST0003"],
    "code=0001": ["CUST0001"],
    "sip_user=alice": ["CUST0002"],
    "type=demo": ["CUST0003"],
    "company=sons&code=0002": [],
}


@pytest.mark.usefixtures("way")
def test_each_field_of_the_search_narrows_the_list(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        accounts = await tree(panel)
        row = panel.data.connection
        await panel.data.user("owner1", "customer", accounts["of_first"])
        await row.execute(
            "INSERT INTO ip_device (account_id, address) VALUES ($1, '192.0.2.16/28')", accounts["of_second"]
        )
        await row.execute(
            "INSERT INTO sip_user (account_id, username, ha1_md5) VALUES ($1, 'alice', repeat('0', 32))",
            accounts["of_first"],
        )
        await row.execute("UPDATE account SET customer_type = 'demo' WHERE code = 'CUST0003'")
        await panel.signed_in()
        for query, found in FINDS.items():
            answer = await panel.get(f"/customers?{query}")
            shown = sorted(set(re.findall(r'href="/customers/(CUST\d+)"', answer.text)))
            assert (query, shown) == (query, found)

    play(scenario)


def test_columns_and_rows_are_kept_for_the_login(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        for number in range(1, 13):
            await panel.data.account(f"CUST{number:04}")
        await panel.signed_in()
        assert "Balance" in (await panel.get("/customers")).text
        typed = [("csrf_token", await panel.token("/customers")), ("rows", "10"), ("column", "code")]
        typed += [("column", "login"), ("column", "nonsense"), ("next", "/customers?sort=-code")]
        response = await panel.client.post("/customers/columns", data=typed, allow_redirects=False)
        assert response.headers["Location"] == "/customers?sort=-code"
        answer = await panel.get("/customers?sort=-code")
        heads = re.findall(r'<th scope="col"[^>]*>(.*?)</th>', answer.text, re.S)
        titles = [" ".join(re.sub(r"<[^>]+>", " ", head).split()) for head in heads]
        assert titles == ["", "Customer", "Code", "Web user", "Actions"]
        assert len(re.findall(r'<tr id="customer-', answer.text)) == 10
        following = answer.next_page()
        assert following
        assert len(re.findall(r'<tr id="customer-', (await panel.get(following)).text)) == 2
        panel.forget()
        await panel.signed_in(login="another")
        assert len(re.findall(r'<tr id="customer-', (await panel.get("/customers")).text)) == 12

    play(scenario)


def test_pages_of_every_order_hold_each_customer_once(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        for number in range(1, 23):
            await panel.data.account(f"CUST{number:04}", name=f"N{number % 3}", company=f"C{number % 2}", balance="1.5")
        user = await panel.data.user("counter")
        await set_preference(panel.app[POOL], user, "customers", {"columns": [], "rows": 10})
        await panel.sign_in("counter")
        for order in ("code", "-code", "name", "-company", "balance", "-created"):
            seen: list[str] = []
            place: str | None = f"/customers?sort={order}"
            while place and len(seen) < 40:
                answer = await panel.get(place)
                seen += re.findall(r'<tr id="customer-(\d+)"', answer.text)
                place = answer.next_page()
            assert len(seen) == len(set(seen)) == 22, order

    play(scenario)


class TestExport:
    """Each file opened again and compared with the list."""

    @pytest.fixture
    def filled(self, play: Play) -> Play:
        def start(scenario: Callable[[Panel], Awaitable[None]], role: str = "administrator") -> None:
            async def whole(panel: Panel) -> None:
                accounts = await tree(panel)
                await panel.data.account("CUST0004", name="=HYPERLINK(1)", company="@sum", balance="-0.0000000001")
                for number in range(5, 70):
                    await panel.data.account(f"CUST{number:04}", name=f"Número {number}", parent=accounts["first"])
                await panel.signed_in(role, accounts["first"] if role == "reseller" else None)
                await scenario(panel)

            play(whole)

        return start

    async def fetch(self, panel: Panel, query: str) -> bytes:
        response = await panel.client.get(f"/customers/export?{query}")
        assert response.status == 200
        assert "attachment" in response.headers["Content-Disposition"]
        return await response.read()

    def test_csv_and_txt_hold_all_pages_with_formulas_defused(self, filled: Play) -> None:
        async def scenario(panel: Panel) -> None:
            text = (await self.fetch(panel, "format=csv")).decode("utf-8-sig")
            rows = list(csv.DictReader(io.StringIO(text)))
            assert [row["Account"] for row in rows] == [f"CUST{number:04}" for number in range(1, 70)]
            assert (rows[3]["Name"], rows[3]["Company"]) == ("'=HYPERLINK(1)", "'@sum")
            assert rows[3]["Balance"] == "-0.0000000001"
            assert rows[0]["Balance"] == "-1234.5000000000"
            assert rows[10]["Name"] == "Número 11"
            lines = (await self.fetch(panel, "format=txt&q=CUST0001")).decode("utf-8-sig").splitlines()
            assert [line.split("\t")[0] for line in lines] == ["Account", "CUST0001"]

        filled(scenario)

    def test_xlsx_and_xls_hold_all_pages_as_text_and_numbers(self, filled: Play) -> None:
        async def scenario(panel: Panel) -> None:
            sheet = openpyxl.load_workbook(io.BytesIO(await self.fetch(panel, "format=xlsx&sort=-code"))).active
            assert sheet is not None
            rows = list(sheet.iter_rows())
            assert [row[0].value for row in rows[1:]] == [f"CUST{number:04}" for number in range(69, 0, -1)]
            assert (rows[-4][1].value, rows[-4][1].data_type) == ("'=HYPERLINK(1)", "s")
            assert rows[-1][11].value == -1234.5
            data = await self.fetch(panel, "format=xls")
            assert data[:8] == bytes.fromhex("d0cf11e0a1b11ae1")
            for text in ("'=HYPERLINK(1)", "Número 69"):
                assert text.encode("utf-16-le") in data or text.encode("latin-1") in data

        filled(scenario)

    def test_pdf_has_the_rows_on_pages(self, filled: Play) -> None:
        async def scenario(panel: Panel) -> None:
            data = await self.fetch(panel, "format=pdf")
            assert data.startswith(b"%PDF-")
            assert len(re.findall(rb"/Type /Page\b", data)) == 3

        filled(scenario)

    def test_reseller_exports_what_is_below_it_only(self, filled: Play) -> None:
        async def scenario(panel: Panel) -> None:
            text = (await self.fetch(panel, "format=csv")).decode("utf-8-sig")
            assert {"CUST0001", "CUST0004"}.isdisjoint(row["Account"] for row in csv.DictReader(io.StringIO(text)))
            assert (await panel.get("/customers/export?format=doc")).status == 404

        filled(scenario, "reseller")

    def test_support_gets_no_money(self, filled: Play) -> None:
        async def scenario(panel: Panel) -> None:
            head = (await self.fetch(panel, "format=csv")).decode("utf-8-sig").splitlines()[0]
            assert "Balance" not in head

        filled(scenario, "support")
