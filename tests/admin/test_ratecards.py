"""Ratecards."""

from tests.admin.conftest import Play
from tests.admin.panel import Panel
from tests.admin.test_customer_form import entries, errors
from tests.admin.test_tariffs import made


def test_ratecard_is_made_renamed_and_deleted_by_its_name(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        await panel.signed_in()
        page = (await panel.post("/ratecards", {"name": "europe", "direction": "outgoing"}, form="/ratecards")).location
        assert "No rates yet" in (await panel.get(page)).text
        answer = await panel.post("/ratecards", {"name": "europe", "direction": "outgoing"}, form="/ratecards")
        assert errors(answer) == ["Name europe is taken: choose another"]
        await panel.post(f"{page}/details", {"name": "eu", "direction": "incoming"}, form=page)
        assert "Incoming" in (await panel.get("/ratecards?q=EU")).text
        answer = await panel.post(f"{page}/remove", {"typed_name": "europe"}, form=page)
        assert (answer.status, errors(answer)) == (422, ["Type eu to delete it"])
        assert (await panel.post(f"{page}/remove", {"typed_name": "eu"}, form=page)).status == 303
        for action in ("add", "change", "remove"):
            assert len(await entries(panel, f"ratecard.{action}")) == 1

    play(scenario)


def test_list_is_paged_by_name(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        for number in range(70):
            await made(panel, "ratecard", f"card {number:02}")
        await panel.signed_in()
        first = await panel.get("/ratecards")
        second = await panel.get(first.next_page() or "")
        assert ("card 49" in first.text, "card 50" in first.text) == (True, False)
        assert ("card 50" in second.text, second.next_page()) == (True, None)
        assert "card 49" in (await panel.get(second.next_page("Previous") or "")).text

    play(scenario)


def test_ratecard_in_a_tariff_is_kept(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        card, tariff = await made(panel, "ratecard", "eu"), await made(panel, "tariff", "retail")
        await panel.data.connection.execute(
            "INSERT INTO tariff_ratecard (tariff_id, ratecard_id) VALUES ($1, $2)", tariff, card
        )
        await panel.signed_in()
        answer = await panel.post(f"/ratecards/{card}/remove", {"typed_name": "eu"}, form="/ratecards")
        assert (answer.status, "is in the tariff retail: take it out" in answer.text) == (422, True)

    play(scenario)
