"""The logins of an account: several, each managed by those above it."""

import re

import pytest

from tests.admin.conftest import Play
from tests.admin.data import PASSWORD
from tests.admin.panel import Panel
from tests.admin.test_customer_form import entries, errors, stock
from tests.admin.test_users import shown_password


def listed(text: str) -> list[str]:
    return re.findall(r'<th scope="row">([a-z0-9]+)</th>', text)


@pytest.mark.parametrize(
    ("base", "key", "role"), [("customers/CUST0101", "own", "customer"), ("resellers/RESE0001", "reseller", "reseller")]
)
def test_account_gets_another_login_that_sees_what_the_first_sees(play: Play, base: str, key: str, role: str) -> None:
    async def scenario(panel: Panel) -> None:
        accounts = await stock(panel)
        await panel.data.user("first", role, accounts[key])
        await panel.signed_in()
        page = f"/{base}/logins"
        answer = await panel.post(page, {"login": "second", "time_zone": "Europe/Paris"}, form=page)
        password = shown_password(answer)
        text = (await panel.get(page)).text
        assert listed(text) == ["first", "second"]
        assert password not in text
        assert (await panel.get(f"/{base}")).text.count(f'href="{page}"') == 1
        [entry] = await entries(panel, "login.add")
        assert entry["new"] == {"role": role, "time_zone": "Europe/Paris"}
        row = await panel.data.connection.fetchrow(
            "SELECT role, account_id, time_zone, must_change_password FROM panel_user WHERE login = 'second'"
        )
        assert row is not None
        assert tuple(row) == (role, accounts[key], "Europe/Paris", True)
        panel.forget()
        await panel.sign_in("second", password)
        assert (await panel.get("/")).location == "/password"

    play(scenario)


def test_refused_login_is_told_what_would_be_right(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        accounts = await stock(panel)
        await panel.data.user("taken", "customer", accounts["foreign"])
        await panel.signed_in("reseller", accounts["reseller"])
        page = "/customers/CUST0101/logins"
        answer = await panel.post(page, {"login": "a-b"}, form=page)
        assert (answer.status, errors(answer)) == (422, ["Login must have 1 to 30 letters or digits, without spaces"])
        answer = await panel.post(page, {"login": "taken"}, form=page)
        assert errors(answer) == ["Login taken is taken: choose another"]

    play(scenario)


def test_reseller_locks_resets_and_removes_logins_of_its_customers(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        accounts = await stock(panel)
        await panel.data.user("anna", "customer", accounts["own"])
        await panel.signed_in("reseller", accounts["reseller"])
        page = "/customers/CUST0101/logins"
        await panel.post(f"{page}/anna/status", {"status": "inactive"}, form=page)
        assert "Locked" in (await panel.get(page)).text
        await panel.post(f"{page}/anna/status", {"status": "active"}, form=page)
        assert (await panel.post(f"{page}/anna/status", {"status": "closed"}, form=page)).status == 404
        password = shown_password(await panel.post(f"{page}/anna/password", {}, form=page))
        await panel.data.connection.execute("UPDATE panel_user SET must_change_password = false")
        panel.forget()
        assert (await panel.sign_in("anna", PASSWORD)).status == 422
        assert (await panel.sign_in("anna", password)).status == 303
        panel.forget()
        await panel.sign_in("somebody")
        await panel.post(f"{page}/anna/sessions", {}, form=page)
        assert not await panel.data.connection.fetchval(
            "SELECT count(*) FROM panel_session JOIN panel_user ON panel_user.id = user_id WHERE login = 'anna'"
        )
        assert (await panel.post(f"{page}/anna/remove", {}, form=page)).location == page
        assert listed((await panel.get(page)).text) == []
        log = (await panel.get("/audit-log")).text
        assert log.count("login anna of CUST0101") == 5

    play(scenario)
