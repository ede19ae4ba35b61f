"""Entries of a route, and what it would choose for a number."""

from typing import Any

from tests.admin.answers import candidate
from tests.admin.conftest import Play
from tests.admin.panel import Panel
from tests.admin.test_carriers import stock as carriers
from tests.admin.test_customer_form import entries, errors
from tests.admin.test_items import plain, rows
from tests.b2bua.routing.test_route import ENTRY

QUERY = """
    SELECT route_entry.id, prefix, code, priority, weight, days, hours_from::text, hours_until::text, route_entry.status
    FROM route_entry JOIN carrier ON carrier.id = carrier_id ORDER BY prefix, priority, code, route_entry.id
"""


async def stock(panel: Panel) -> str:
    """Two carriers and a route without entries; its page."""
    await carriers(panel)
    route = await panel.data.connection.fetchval(
        "INSERT INTO route (name, zone) VALUES ('europe', 'Europe/Berlin') RETURNING id"
    )
    return f"/routes/{route}/entries"


def test_entry_is_added_changed_and_removed(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        base = await stock(panel)
        await panel.signed_in()
        typed = {**ENTRY, "prefix": "+44", "days": "mon-fri", "hours": "08:00-18:00", "weight": "30"}
        assert (await panel.post(base, typed, form=base)).status == 303
        [(entry, *values)] = await rows(panel, QUERY)
        assert values == ["44", "CARR0001", 1, 30, 62, "08:00:00", "18:00:00", "active"]
        assert "44 Atlantic Voice CARR0001 1 30 mon,tue,wed,thu,fri 08:00-18:00 Active" in plain(await panel.get(base))
        answer = await panel.post(base, typed, form=base)
        assert errors(answer) == ["CARR0001 takes 44 at these days and hours already: change that entry"]
        shown = (await panel.get(f"{base}/{entry}")).text
        assert 'value="08:00-18:00"' in shown
        assert 'name="prefix"' not in shown
        typed |= {"hours": "", "days": "", "priority": "2", "prefix": "33", "carrier": "CARR0002"}
        await panel.post(f"{base}/{entry}", typed, form=base)
        [(_, *values)] = await rows(panel, QUERY)
        assert values == ["44", "CARR0001", 2, 30, 127, "00:00:00", "00:00:00", "active"]
        [change] = await entries(panel, "route_entry.change")
        assert (change["object"], change["new"]) == (
            "entry 44 to CARR0001 of route europe",
            {"priority": "2", "days": "", "hours": ""},
        )
        await panel.post(f"{base}/{entry}/remove", {}, form=base)
        assert await rows(panel, QUERY) == []
        assert [len(await entries(panel, f"route_entry.{act}")) for act in ("add", "remove")] == [1, 1]
        for changed, words in (
            ({"carrier": ""}, "Carrier is needed: one of the list"),
            ({"carrier": "CARR0009"}, "Carrier must be one of the list"),
            ({"days": "monday"}, "Days must be like mon-fri, or sat,sun, or all"),
        ):
            assert errors(await panel.post(base, {**ENTRY, **changed}, form=base)) == [words]

    play(scenario)


def test_entries_have_pages_and_those_of_another_route_are_not_found(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        base = await stock(panel)
        row = panel.data.connection
        await row.execute(
            """
            INSERT INTO route_entry (route_id, prefix, carrier_id)
            SELECT route.id, number::text, carrier.id FROM route, carrier, generate_series(10, 45) AS number
            """
        )
        other = await row.fetchval("INSERT INTO route (name) VALUES ('other') RETURNING id")
        await panel.signed_in()
        first = await panel.get(base)
        second = await panel.get(base + (first.next_page() or ""))
        assert [answer.text.count('data-l="Weight"') for answer in (first, second)] == [50, 22]
        back = await panel.get(base + (second.next_page("Previous") or ""))
        assert back.text.count('data-l="Weight"') == 50
        entry = await row.fetchval("SELECT id FROM route_entry LIMIT 1")
        for act in ("", "/remove"):
            answer = await panel.post(f"/routes/{other}/entries/{entry}{act}", {**ENTRY, "weight": "7"}, form=base)
            assert answer.status == 404
        assert await row.fetchval("SELECT count(*) FROM route_entry WHERE weight = 100") == 72

    play(scenario)


def chosen(*candidates: dict[str, Any], code: str = "") -> dict[str, Any]:
    return {"decision": {"code": code}, "candidates": candidates, "reference_seconds": 60}


def test_tester_asks_a_worker_what_the_route_would_choose(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        base = await stock(panel)
        await panel.signed_in()
        panel.worker.explanation = chosen(
            candidate("CARR0003", [], "0.09", dropped="no gateway up"),
            candidate("CARR0002", [2], "0.05"),
            candidate("CARR0001", [1], "0.03"),
        )
        for page in (f"{base}?number=44%2020&source=49", f"{base}/try?number=44%2020&source=49"):
            shown = plain(await panel.get(page))
            assert shown.index("CARR0001-gateway Attempt 1") < shown.index("CARR0002-gateway Attempt 2")
            assert "CARR0003-gateway Not tried no gateway up" in shown
            assert "0.03 EUR" in shown
        asked = [request for request in panel.worker.requests if request["verb"] == "explain"]
        assert [(each["route"], each["destination"], each["source"]) for each in asked] == [
            ("europe", "4420", "49")
        ] * 2
        panel.worker.explanation = chosen(code="NO_ROUTE")
        assert "NO_ROUTE: no gateway takes 33 now" in plain(await panel.get(f"{base}/try?number=33"))
        panel.worker.explanation = {"error": "no route europe"}
        assert "Nobody can tell worker sip-1: no route europe" in plain(await panel.get(f"{base}/try?number=33"))

    play(scenario)
