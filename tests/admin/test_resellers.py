"""Resellers: the list, adding one at any depth, changing it, and the routes that are permitted to it."""

import re

from tests.admin.conftest import Play
from tests.admin.panel import Panel
from tests.admin.test_customer_form import entries, errors, stock
from tests.b2bua.account.test_customer import TYPED


async def tree(panel: Panel) -> dict[str, int]:
    """The accounts of a form's tests, a reseller below the first, and three routes, of which the first has two."""
    ids = await stock(panel)
    ids["below"] = await panel.data.account("RESE0003", kind="reseller", parent=ids["reseller"], name="Below")
    ids["deep"] = await panel.data.account("CUST0103", parent=ids["below"], name="Deep customer")
    for name in ("gold", "iron", "lead"):
        ids[name] = await panel.data.connection.fetchval("INSERT INTO route (name) VALUES ($1) RETURNING id", name)
    for name in ("gold", "iron"):
        await panel.data.connection.execute("INSERT INTO reseller_route VALUES ($1, $2)", ids["reseller"], ids[name])
    return ids


async def permitted(panel: Panel, code: str) -> list[str]:
    rows = await panel.data.connection.fetch(
        """
        SELECT route.name FROM reseller_route JOIN route ON route.id = route_id JOIN account ON account.id = account_id
        WHERE account.code = $1 ORDER BY 1
        """,
        code,
    )
    return [row["name"] for row in rows]


def listed(text: str) -> list[str]:
    return re.findall(r'<tr id="reseller-(RESE\d+)"', text)


def fields(text: str) -> dict[str, str]:
    """What the form of a page would send."""
    form = text[text.index('class="sw-long-form"') :]
    found = {}
    for tag in re.findall(r"<input\s[^>]*>", form):
        name, value = re.search(r'name="([^"]+)"', tag), re.search(r'value="([^"]*)"', tag)
        if name and value and not (re.search(r'type="(checkbox|radio)"', tag) and "checked" not in tag):
            found[name[1]] = value[1]
    for name, options in re.findall(r'<select[^>]*?name="([^"]+)".*?>(.*?)</select>', form, re.S):
        chosen = re.search(r'value="([^"]*)" selected', options)
        found[name] = chosen[1] if chosen else ""
    return found


def test_each_role_lists_the_resellers_of_its_own_subtree(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        ids = await tree(panel)
        for role, account, codes in (
            ("administrator", None, ["RESE0001", "RESE0002", "RESE0003"]),
            ("accounts", None, ["RESE0001", "RESE0002", "RESE0003"]),
            ("reseller", ids["reseller"], ["RESE0003"]),
        ):
            panel.forget()
            await panel.signed_in(role, account, login=role)
            text = (await panel.get("/resellers")).text
            assert listed(text) == codes
            assert ('href="/resellers/new"' in text) == (role != "accounts")
        assert listed((await panel.get("/resellers?q=RESE0002")).text) == []
        assert listed((await panel.get("/resellers?q=below")).text) == ["RESE0003"]
        for role, account in (("support", None), ("customer", ids["own"])):
            panel.forget()
            await panel.signed_in(role, account, login=role)
            assert (await panel.get("/resellers")).status == 404

    play(scenario)


def test_list_has_pages_in_both_directions(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        for number in range(60):
            await panel.data.account(f"RESE{number:04}", kind="reseller")
        await panel.signed_in()
        first = await panel.get("/resellers")
        second = await panel.get(first.next_page() or "")
        assert (len(listed(first.text)), len(listed(second.text))) == (50, 10)
        assert listed((await panel.get(second.next_page("Previous") or "")).text) == listed(first.text)

    play(scenario)


def test_new_reseller_has_its_login_and_its_routes(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        ids = await tree(panel)
        await panel.signed_in()
        typed = {**TYPED, "parent": "RESE0003", f"route_{ids['lead']}": "yes"}
        answer = await panel.post("/resellers/new", typed, form="/resellers/new")
        assert answer.status == 303, errors(answer)
        code = answer.location.rpartition("/")[2]
        row = await panel.data.connection.fetchrow(
            "SELECT kind, parent_id, customer_type FROM account WHERE code = $1", code
        )
        assert row is not None
        assert code.startswith("RESE")
        assert tuple(row) == ("reseller", ids["below"], "live")
        assert await permitted(panel, code) == ["lead"]
        [entry] = await entries(panel, "reseller.add")
        assert (entry["object"], entry["new"]["routes"], entry["new"]["parent"]) == (
            f"account {code}",
            ["lead"],
            "RESE0003",
        )
        assert "Correct-horse-7" not in str(entry)
        panel.forget()
        assert (await panel.sign_in("anna1", "Correct-horse-7")).status == 303
        assert "No resellers yet" in (await panel.get("/resellers")).text

    play(scenario)


def test_reseller_makes_resellers_below_itself_only_and_permits_its_own_routes_only(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        ids = await tree(panel)
        await panel.signed_in("reseller", ids["reseller"])
        text = (await panel.get("/resellers/new")).text
        assert ("gold" in text, "lead" in text, "RESE0002" in text) == (True, False, False)
        routes = {f"route_{ids[name]}": "yes" for name in ("gold", "lead")}
        for parent in ("RESE0002", ""):
            answer = await panel.post("/resellers/new", {**TYPED, "parent": parent}, form="/resellers/new")
            assert (answer.status, errors(answer)) == (422, ["Reseller must be one of the list"])
        typed = {**TYPED, "parent": "RESE0001", **routes}
        answer = await panel.post("/resellers/new", typed, form="/resellers/new")
        assert answer.status == 303, errors(answer)
        assert await permitted(panel, answer.location.rpartition("/")[2]) == ["gold"]

    play(scenario)


def test_refused_form_says_what_would_be_right_and_keeps_what_was_typed(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        ids = await tree(panel)
        await panel.signed_in()
        typed = {**TYPED, "phone": "12", f"route_{ids['iron']}": "yes", "tariff": "nothing"}
        answer = await panel.post("/resellers/new", typed, form="/resellers/new")
        assert answer.status == 422
        assert errors(answer) == ["Phone number must be 10 digits, like 3090182000"]
        kept = fields(answer.text)
        assert (kept["phone"], kept[f"route_{ids['iron']}"], kept["password"]) == ("12", "yes", "")
        assert await permitted(panel, "RESE0004") == []

    play(scenario)


def test_change_is_stored_and_audited_and_leaves_the_rest_as_it_was(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        ids = await tree(panel)
        await panel.data.connection.execute(
            """
            UPDATE account SET tariff_id = (SELECT id FROM tariff WHERE name = 'retail'), company = 'C',
                   phone = '3090182000', max_credit_limit = 0, codecs = '{PCMA}', with_media = true
            WHERE id = $1
            """,
            ids["below"],
        )
        await panel.data.connection.execute("INSERT INTO reseller_route VALUES ($1, $2)", ids["below"], ids["lead"])
        await panel.signed_in("reseller", ids["reseller"])
        page = "/resellers/RESE0003"
        typed = fields((await panel.get(page)).text)
        typed.pop("csrf_token")
        answer = await panel.post(page, {**typed, "max_sessions": "77", f"route_{ids['gold']}": "yes"}, form=page)
        assert answer.status == 303, errors(answer)
        row = await panel.data.connection.fetchrow("SELECT * FROM account WHERE code = 'RESE0003'")
        assert row is not None
        assert (row["max_sessions"], row["codecs"], row["with_media"], row["cli_by_destination"]) == (
            77,
            ["PCMA"],
            True,
            True,
        )
        assert await permitted(panel, "RESE0003") == ["gold", "lead"], "the operator permitted lead, which stays"
        [entry] = await entries(panel, "reseller.change")
        assert entry["old"] == {"max_sessions": None, "routes": []}
        assert entry["new"] == {"max_sessions": 77, "routes": ["gold"]}
        assert "Changes saved" in (await panel.get(page)).text
        typed = fields((await panel.get(page)).text)
        assert (await panel.post(page, typed, form=page)).status == 303
        assert "Nothing was changed" in (await panel.get(page)).text

    play(scenario)


def test_reseller_reaches_neither_itself_nor_another_subtree(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        ids = await tree(panel)
        await panel.signed_in("reseller", ids["reseller"])
        before = await panel.data.connection.fetch("SELECT * FROM account ORDER BY id")
        for code in ("RESE0001", "RESE0002", "CUST0101", "RESE9999"):
            assert (await panel.get(f"/resellers/{code}")).status == 404
            routes = {f"route_{ids['gold']}": "yes"}
            assert (await panel.post(f"/resellers/{code}", {**TYPED, **routes}, form="/resellers")).status == 404
        assert await panel.data.connection.fetch("SELECT * FROM account ORDER BY id") == before
        assert await permitted(panel, "RESE0002") == []

    play(scenario)


def test_pages_of_customers_lead_to_their_reseller(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        ids = await tree(panel)
        await panel.signed_in("reseller", ids["reseller"])
        assert 'href="/resellers/RESE0003"' in (await panel.get("/customers/CUST0103")).text
        assert 'href="/resellers/RESE0003"' in (await panel.get("/customers")).text
        assert 'href="/resellers/RESE0001"' not in (await panel.get("/customers/CUST0101")).text

    play(scenario)
