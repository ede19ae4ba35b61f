"""The list of customers."""

import re

import pytest

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
