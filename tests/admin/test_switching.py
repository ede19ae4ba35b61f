"""Working as a login of somebody below."""

from tests.admin.conftest import Play
from tests.admin.panel import Panel
from tests.admin.test_customer_form import entries, stock


async def owners(panel: Panel) -> dict[str, int]:
    accounts = await stock(panel)
    await panel.data.user("owner", "customer", accounts["own"], must_change_password=True)
    await panel.data.user("stranger", "customer", accounts["foreign"])
    return accounts


def test_switched_login_sees_what_the_customer_sees_and_goes_back_in_one_click(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        await owners(panel)
        await panel.signed_in()
        before = panel.client.session.cookie_jar.filter_cookies(panel.client.make_url("/"))["sw_session"].value
        answer = await panel.post("/customers/CUST0101/switch", {}, form="/customers")
        assert answer.location == "/"
        after = panel.client.session.cookie_jar.filter_cookies(panel.client.make_url("/"))["sw_session"].value
        assert after != before
        text = (await panel.get("/statement")).location
        assert text == "/customers/CUST0101/statement"
        shown = (await panel.get(text)).text
        assert "You work as <strong>owner</strong> (CUST0101)" in shown
        assert "Back to somebody" in shown
        assert (await panel.get("/customers")).status == 404
        assert (await panel.get("/password")).status == 404
        assert (await panel.post("/theme", {"theme": "dark"}, form="/")).status == 303
        answer = await panel.post("/switch-back", {}, form="/")
        assert answer.location == "/customers/CUST0101"
        shown = (await panel.get("/customers")).text
        assert "You work as" not in shown
        [begun], [ended] = await entries(panel, "switch.begin"), await entries(panel, "switch.end")
        assert (begun["login"], begun["new"]) == ("somebody", {"acting_as": "owner"})
        assert (ended["login"], ended["old"]) == ("somebody", {"acting_as": "owner"})
        assert (await panel.post("/switch-back", {}, form="/")).status == 404

    play(scenario)


def test_reseller_switches_to_its_own_customers_only(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        accounts = await owners(panel)
        await panel.signed_in("reseller", accounts["reseller"])
        assert (await panel.post("/customers/CUST0102/switch", {}, form="/customers")).status == 404
        assert (await panel.post("/customers/CUST0101/switch", {}, form="/customers")).status == 303
        assert "You work as" in (await panel.get("/")).text
        # Moved away from below it, the customer is out of reach at once.
        await panel.data.connection.execute(
            "UPDATE account SET parent_id = $2 WHERE id = $1", accounts["own"], accounts["other"]
        )
        text = (await panel.get("/")).text
        assert "You work as" not in text
        assert 'href="/customers"' in text

    play(scenario)


def test_roles_that_may_not_switch_and_customers_without_a_login_stay(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        await stock(panel)
        await panel.signed_in()
        answer = await panel.post("/customers/CUST0101/switch", {}, form="/customers")
        assert answer.location == "/customers/CUST0101"
        assert "has no active login" in (await panel.get("/customers/CUST0101")).text
        panel.forget()
        await panel.signed_in("support", login="helper")
        assert (await panel.post("/customers/CUST0101/switch", {}, form="/customers")).status == 404

    play(scenario)
