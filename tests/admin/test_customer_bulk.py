"""Several customers at once."""

import csv
import io
from typing import Any

from tests.admin.conftest import Play
from tests.admin.panel import Answer, Panel
from tests.admin.test_customer_form import entries, stock

LIST = "/customers"


async def act(panel: Panel, codes: list[str], what: str, **fields: str) -> Answer:
    token = await panel.token(LIST)
    values: list[tuple[str, str]] = [("csrf_token", token), ("act", what), *(("code", code) for code in codes)]
    response = await panel.client.post("/customers/selected", data=[*values, *fields.items()], allow_redirects=False)
    return Answer(response, await response.text())


async def three(panel: Panel) -> dict[str, int]:
    """Own, its brother that is suspended, and the foreign one."""
    accounts = await stock(panel)
    accounts["brother"] = await panel.data.account("CUST0103", parent=accounts["reseller"], status="suspended")
    return accounts


async def column(panel: Panel, name: str) -> list[Any]:
    query = f"SELECT {name} FROM account WHERE kind = 'customer' ORDER BY code"
    return [row[0] for row in await panel.data.connection.fetch(query)]


def test_selected_customers_are_suspended_and_those_that_changed_come_back_with_undo(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        await three(panel)
        await panel.signed_in()
        answer = await act(panel, ["CUST0101", "CUST0103"], "suspend", next="/customers?q=CUST")
        assert answer.location == "/customers?q=CUST"
        assert await column(panel, "status") == ["suspended", "active", "suspended"]
        text = (await panel.get(LIST)).text
        assert "1 customer suspended" in text
        assert 'action="/customers/undo"' in text
        assert [entry["object"] for entry in await entries(panel, "customer.set_status")] == ["account CUST0101"]
        await panel.post("/customers/undo", {}, form=LIST)
        assert await column(panel, "status") == ["active", "active", "suspended"]
        assert "1 customer is as before" in (await panel.get(LIST)).text
        await panel.post("/customers/undo", {}, form=LIST)
        assert "nothing to take back" in (await panel.get(LIST)).text

    play(scenario)


def test_undo_leaves_alone_what_was_changed_again_since(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        await three(panel)
        await panel.signed_in()
        await act(panel, ["CUST0101", "CUST0102", "CUST0103"], "activate")
        assert await column(panel, "status") == ["active"] * 3
        await act(panel, ["CUST0101", "CUST0102"], "suspend")
        await panel.data.connection.execute("UPDATE account SET status = 'active' WHERE code = 'CUST0102'")
        await panel.data.connection.execute("UPDATE account SET status = 'suspended' WHERE code = 'CUST0103'")
        await panel.post("/customers/undo", {}, form=LIST)
        assert await column(panel, "status") == ["active", "active", "suspended"]
        assert "1 customer is as before" in (await panel.get(LIST)).text

    play(scenario)


def test_tariff_is_given_to_all_or_to_none(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        await three(panel)
        await panel.data.connection.execute(
            """
            INSERT INTO tariff (name, kind, currency) VALUES ('gold', 'customer', 'EUR'), ('iron', 'customer', 'EUR');
            UPDATE account SET tariff_id = (SELECT id FROM tariff WHERE name = 'retail') WHERE kind = 'customer';
            """
        )
        await panel.signed_in()
        names = "(SELECT name FROM tariff WHERE tariff.id = tariff_id)"
        await act(panel, ["CUST0101", "CUST0102"], "tariff", tariff="gold")
        assert await column(panel, names) == ["gold", "gold", "retail"]
        assert "2 customers now on tariff gold" in (await panel.get(LIST)).text
        [first, _second] = await entries(panel, "customer.set_tariff")
        assert (first["old"], first["new"]) == ({"tariff": "retail"}, {"tariff": "gold"})
        await act(panel, ["CUST0101", "CUST0103"], "tariff", tariff="dollars")
        assert await column(panel, names) == ["gold", "gold", "retail"]
        text = (await panel.get(LIST)).text
        assert "Nothing was changed: Tariff must be in EUR, as account CUST0101 is; dollars is in USD" in text
        await panel.data.connection.execute(
            "UPDATE account SET tariff_id = (SELECT id FROM tariff WHERE name = 'iron') WHERE code = 'CUST0102'"
        )
        await panel.post("/customers/undo", {}, form=LIST)
        assert await column(panel, names) == ["retail", "iron", "retail"]

    play(scenario)


def test_selection_that_reaches_out_of_the_subtree_changes_nothing(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        accounts = await three(panel)
        await panel.signed_in("reseller", accounts["reseller"])
        assert (await act(panel, ["CUST0101", "CUST0102"], "suspend")).status == 404
        assert (await act(panel, ["CUST0101", "CUST9999"], "suspend")).status == 404
        assert (await act(panel, ["CUST0101"], "explode")).status == 404
        assert await column(panel, "status") == ["active", "active", "suspended"]
        assert await entries(panel, "customer.set_status") == []
        await act(panel, [], "suspend")
        assert "Select customers first" in (await panel.get(LIST)).text
        await act(panel, ["CUST0101"], "tariff", tariff="")
        assert "Choose the tariff" in (await panel.get(LIST)).text

    play(scenario)


def test_selected_customers_are_exported_as_far_as_they_are_in_view(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        accounts = await three(panel)
        await panel.signed_in("reseller", accounts["reseller"])
        token = await panel.token(LIST)
        chosen = [("code", code) for code in ("CUST0103", "CUST0102", "CUST9999")]
        fields = [("csrf_token", token), ("format", "csv"), *chosen]
        response = await panel.client.post("/customers/export", data=fields)
        rows = list(csv.DictReader(io.StringIO((await response.text()).lstrip("\ufeff"))))
        assert [row["Account"] for row in rows] == ["CUST0103"]
        assert (await panel.client.post("/customers/export", data=[("csrf_token", token)])).status == 404

    play(scenario)


def test_roles_that_may_not_change_customers_can_select_and_export_only(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        await three(panel)
        await panel.signed_in("support")
        text = (await panel.get(LIST)).text
        assert "Export selected" in text
        assert 'value="suspend"' not in text
        assert (await act(panel, ["CUST0101"], "suspend")).status == 404
        assert await column(panel, "status") == ["active", "active", "suspended"]

    play(scenario)
