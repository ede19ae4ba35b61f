"""Tariffs, with the ratecards in them."""

from typing import Any

from tests.admin.conftest import Play
from tests.admin.panel import Panel
from tests.admin.test_customer_form import entries, errors, stock

TARIFF = {"name": "nights", "kind": "customer", "currency": "EUR", "status": "active"}
WINDOW = {"ratecard": "cheap", "priority": "2", "days": "mon-fri", "hours_from": "22:00", "hours_until": "06:00"}


async def made(panel: Panel, table: str, name: str, owner: int | None = None, **columns: Any) -> int:
    """A tariff or a ratecard."""
    if table == "tariff":
        columns = {"kind": "customer", "currency": "EUR", **columns}
    names = ["name", "owner_id", *columns]
    places = ", ".join(f"${number}" for number in range(1, len(names) + 1))
    found: int = await panel.data.connection.fetchval(
        f"INSERT INTO {table} ({', '.join(names)}) VALUES ({places}) RETURNING id", name, owner, *columns.values()
    )
    return found


def test_tariff_is_made_filled_changed_and_removed(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        await made(panel, "ratecard", "cheap")
        await panel.signed_in()
        answer = await panel.post("/tariffs", TARIFF, form="/tariffs")
        page = answer.location
        assert answer.status == 303
        assert "No ratecards in it yet" in (await panel.get(page)).text
        await panel.post(f"{page}/ratecards", {**WINDOW, "zone": "Europe/Berlin"}, form=page)
        text = (await panel.get(page)).text
        assert "mon,tue,wed,thu,fri 22:00–06:00 Europe/Berlin" in text
        entry = await panel.data.connection.fetchval("SELECT id FROM tariff_ratecard")
        assert 'value="mon,tue,wed,thu,fri"' in (await panel.get(f"{page}/ratecards/{entry}")).text
        await panel.post(f"{page}/ratecards/{entry}", {"priority": "7", "days": "sat", "zone": "UTC"}, form=page)
        row = await panel.data.connection.fetchrow("SELECT priority, days, hours_from::text FROM tariff_ratecard")
        assert tuple(row) == (7, 64, "00:00:00")
        await panel.post(page, {**TARIFF, "status": "inactive"}, form=page)
        assert "Inactive" in (await panel.get("/tariffs")).text
        await panel.post(f"{page}/ratecards/{entry}/remove", {}, form=page)
        assert (await panel.post(f"{page}/remove", {}, form=page)).status == 303
        assert await panel.data.connection.fetchval("SELECT count(*) FROM tariff") == 0
        for action in ("add", "change", "remove", "map", "map_change", "unmap"):
            assert [entry["object"] for entry in await entries(panel, f"tariff.{action}")] == ["tariff nights"], action

    play(scenario)


def test_what_cannot_be_is_said_beside_its_field(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        accounts = await stock(panel)
        tariff = await panel.data.connection.fetchval("SELECT id FROM tariff WHERE name = 'retail'")
        await panel.data.connection.execute("UPDATE account SET tariff_id = $1 WHERE id = $2", tariff, accounts["own"])
        await panel.signed_in()
        answer = await panel.post("/tariffs", {**TARIFF, "name": "retail"}, form="/tariffs")
        assert (answer.status, errors(answer)) == (422, ["Name retail is taken: choose another"])
        page = f"/tariffs/{tariff}"
        answer = await panel.post(page, {**TARIFF, "name": "retail", "currency": "USD"}, form=page)
        assert (answer.status, "while accounts or carriers use the tariff" in answer.text) == (422, True)
        answer = await panel.post(f"{page}/remove", {}, form=page)
        assert (answer.status, "1 account or carrier uses the tariff" in answer.text) == (422, True)
        await made(panel, "ratecard", "cheap")
        answer = await panel.post(f"{page}/ratecards", {**WINDOW, "days": "weekend", "zone": "Nowhere"}, form=page)
        assert (answer.status, len(errors(answer))) == (422, 2)
        assert await entries(panel, "tariff.change") == []

    play(scenario)


def test_reseller_has_tariffs_of_its_own_and_sees_no_others(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        accounts = await stock(panel)
        await made(panel, "tariff", "beside it", accounts["other"])
        await made(panel, "tariff", "what a carrier costs", kind="carrier")
        await made(panel, "ratecard", "the operator's")
        await panel.signed_in("reseller", accounts["reseller"])
        assert "No tariffs yet" in (await panel.get("/tariffs")).text
        answer = await panel.post("/tariffs", {**TARIFF, "kind": "carrier"}, form="/tariffs")
        page = answer.location
        row = await panel.data.connection.fetchrow("SELECT owner_id, kind FROM tariff WHERE name = 'nights'")
        assert tuple(row) == (accounts["reseller"], "customer")
        answer = await panel.post(f"{page}/ratecards", {"ratecard": "the operator's"}, form=page)
        assert (answer.status, errors(answer)) == (422, ["Ratecard must be one of the list"])
        assert "the operator" not in (await panel.get(page)).text
        answer = await panel.post("/tariffs", {**TARIFF, "name": "dollars of mine", "currency": "USD"}, form="/tariffs")
        assert errors(answer) == ["Currency must be EUR, that of the reseller"]
        form = (await panel.get("/customers/new")).text
        assert "nights" in form
        assert "beside it" not in form

    play(scenario)


def test_accounts_read_every_tariff_and_change_none(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        tariff = await made(panel, "tariff", "what a carrier costs", kind="carrier")
        await panel.signed_in("accounts")
        assert "what a carrier costs" in (await panel.get("/tariffs")).text
        text = (await panel.get(f"/tariffs/{tariff}")).text
        assert "Save tariff" not in text
        answer = await panel.post(f"/tariffs/{tariff}", TARIFF, form="/tariffs")
        assert answer.status == 404

    play(scenario)


def test_name_typed_into_the_search_box_leads_there(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        tariff, card = await made(panel, "tariff", "Retail"), await made(panel, "ratecard", "Europe")
        await panel.signed_in()
        for name, place in (
            ("retail", f"/tariffs/{tariff}"),
            ("EUROPE", f"/ratecards/{card}"),
            ("retai", "/customers?q=retai"),
        ):
            assert (await panel.get(f"/find?q={name}")).location == place
        panel.forget()
        await panel.signed_in("reseller", await panel.data.account("RESE0001", kind="reseller"), login="reseller")
        assert (await panel.get("/find?q=retail")).location == "/customers?q=retail"

    play(scenario)
