"""Number rules of a carrier, each kind for itself, with their tester."""

from tests.admin.conftest import Play
from tests.admin.panel import Panel
from tests.admin.test_carriers import PAGE, stock
from tests.admin.test_customer_form import entries, errors
from tests.admin.test_items import plain, rows

QUERY = "SELECT id, rule FROM number_rule WHERE carrier_id = $1 AND kind = $2 ORDER BY id"


def test_rules_are_added_tried_changed_and_removed(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        carrier, base, kind = (await stock(panel))["first"], f"{PAGE}/did-destination-rules", "did_destination"
        await panel.signed_in()
        await panel.post(base, {"rule": "44|%=>99#%"}, form=base)
        shown = plain(await panel.get(base))
        assert shown.index("1 44|%=>99#%") < shown.index("2 %=>%")
        for page in (f"{base}?number=4420", f"{base}/try?number=4420"):
            assert "4420 becomes 99#20, by rule 1: 44|%=>99#%" in plain(await panel.get(page))
        answer = await panel.post(base, {"rule": "44|%=>99#%"}, form=base)
        assert errors(answer) == ["Rule 44|%=&gt;99#% is there already"]
        (_, first), (added, _) = await rows(panel, QUERY, carrier, kind)
        assert first == "%=>%"
        assert 'value="44|%=&gt;99#%"' in (await panel.get(f"{base}/{added}")).text
        await panel.post(f"{base}/{added}", {"rule": "44%"}, form=base)
        assert "9001" not in plain(await panel.get(f"{base}?number=4420"))
        assert "4420 is barred" in plain(await panel.get(f"{base}?number=4420"))
        for rule, _text in await rows(panel, QUERY, carrier, kind):
            await panel.post(f"{base}/{rule}/remove", {}, form=base)
        assert "no rule is left, so no such call is let through" in plain(await panel.get(base))
        assert [len(await entries(panel, f"carrier_rule.{act}")) for act in ("add", "change", "remove")] == [1, 1, 2]
        for other in ("source", "destination", "did_source"):
            assert len(await rows(panel, QUERY, carrier, other)) == 1

    play(scenario)


def test_rule_of_another_carrier_or_kind_is_not_found(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        carrier = (await stock(panel))["first"]
        await panel.signed_in()
        [(rule, _)] = await rows(panel, QUERY, carrier, "source")
        for place in (
            f"/carriers/CARR0002/source-rules/{rule}",
            f"{PAGE}/destination-rules/{rule}",
            f"{PAGE}/x/{rule}",
        ):
            assert (await panel.get(place)).status == 404
            for act in ("", "/remove"):
                assert (await panel.post(place + act, {"rule": "1%"}, form="/carriers")).status == 404
        assert len(await rows(panel, QUERY, carrier, "source")) == 1

    play(scenario)
