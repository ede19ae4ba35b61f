"""Routes that calls take (`admin.views.routes`): listed, added, changed, suspended, deleted where nobody uses them."""

import re

from b2bua.routing.route import START as TYPED
from tests.admin.conftest import Play
from tests.admin.panel import Panel
from tests.admin.test_customer_form import entries, errors
from tests.admin.test_items import plain
from tests.admin.test_route_entries import stock


def listed(text: str) -> list[str]:
    return re.findall(r'href="/routes/\d+/entries">([^<]+)</a>', text)


def test_list_is_searched_and_has_pages(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        base, row = await stock(panel), panel.data.connection
        await row.execute(
            """
            INSERT INTO route_entry (route_id, carrier_id)
            SELECT route.id, carrier.id FROM route, carrier WHERE code = 'CARR0001'
            """
        )
        await row.execute("INSERT INTO route (name) SELECT 'r' || number FROM generate_series(10, 69) AS number")
        await panel.signed_in()
        first = await panel.get("/routes")
        second = await panel.get(first.next_page() or "")
        assert (len(listed(first.text)), len(listed(second.text))) == (50, 11)
        assert listed((await panel.get(second.next_page("Previous") or "")).text) == listed(first.text)
        for query, names in (("atlantic", ["europe"]), ("r11", ["r11"]), ("%25", [])):
            assert listed((await panel.get(f"/routes?q={query}")).text) == names
        assert f'href="{base}"' in first.text

    play(scenario)


def test_route_is_added_changed_suspended_and_audited(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        await stock(panel)
        await panel.signed_in()
        typed = {**TYPED, "name": "night", "mode": "load_share", "failover_codes": "404,5xx", "ring_failover": "yes"}
        answer = await panel.post("/routes/new", typed, form="/routes/new")
        assert answer.status == 303, errors(answer)
        query = "SELECT mode, zone, failover_codes, ring_failover, status FROM route WHERE name = 'night'"
        row = await panel.data.connection.fetchrow(query)
        assert row is not None
        assert tuple(row) == ("load_share", "UTC", [404, *range(500, 600)], True, "active")
        page = answer.location.removesuffix("/entries")
        assert 'value="404,5xx"' in (await panel.get(page)).text
        await panel.post(page, {**TYPED, "zone": "Europe/Berlin"}, form=page)
        row = await panel.data.connection.fetchrow(query)
        assert row is not None
        assert tuple(row) == ("least_cost", "Europe/Berlin", None, False, "active")
        await panel.post(f"{page}/status", {"status": "inactive"}, form=page)
        assert "Inactive" in plain(await panel.get(page))
        [entry] = await entries(panel, "route.change")
        assert (entry["object"], entry["new"]["zone"]) == ("route night", "Europe/Berlin")
        assert len(await entries(panel, "route.set_status")) == 1
        answer = await panel.post("/routes/new", {**typed, "name": "europe"}, form="/routes/new")
        assert errors(answer) == ["Name europe is taken: choose another"]

    play(scenario)


def test_route_is_deleted_only_when_nobody_calls_over_it(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        page = (await stock(panel)).removesuffix("/entries")
        account = await panel.data.account("CUST0001")
        await panel.data.connection.execute(
            "INSERT INTO dialing_route (account_id, route_id) SELECT $1, id FROM route", account
        )
        await panel.signed_in()
        assert "Dialled over by CUST0001" in plain(await panel.get(page))
        answer = await panel.get(f"{page}/delete")
        assert (answer.status, "dialled over by account CUST0001" in answer.text) == (422, True)
        await panel.data.connection.execute("DELETE FROM dialing_route")
        answer = await panel.post(f"{page}/delete", {"typed_name": "x"}, form=page)
        assert "Type the name as it is: europe" in answer.text
        assert (await panel.post(f"{page}/delete", {"typed_name": "europe"}, form=page)).location == "/routes"
        assert (await panel.get(page)).status == 404
        assert len(await entries(panel, "route.delete")) == 1

    play(scenario)
