"""Users and roles: who may sign in, and what administrators do to logins."""

import re
from dataclasses import replace

import pytest

from admin.keys import POOL
from admin.paging import PageRequest
from admin.permissions import SECTIONS, Permission
from admin.stores.logins import LoginFilter, list_logins
from tests.admin.conftest import Play
from tests.admin.data import PASSWORD
from tests.admin.panel import Answer, Panel
from tests.admin.test_customer_form import entries, errors, stock

NEW = "/users/new-user"


def shown_password(answer: Answer) -> str:
    found = re.search(r"Password\s+(\S+)</pre>", answer.text)
    assert found, answer.text[:2000]
    return found[1]


async def other(panel: Panel) -> Answer:
    """A login of support beside the administrator that is signed in."""
    await panel.signed_in()
    return await panel.post(NEW, {"login": "helper", "role": "support", "time_zone": "Europe/Berlin"}, form=NEW)


def test_new_user_gets_a_password_that_is_shown_once_and_must_be_changed(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        answer = await other(panel)
        password = shown_password(answer)
        assert answer.header("Cache-Control") == "no-store"
        assert password not in (await panel.get("/users/helper")).text
        [entry] = await entries(panel, "login.add")
        assert entry["new"] == {"role": "support", "time_zone": "Europe/Berlin"}
        assert password not in str(entry)
        panel.forget()
        await panel.sign_in("helper", password)
        assert (await panel.get("/customers")).location == "/password"

    play(scenario)


def test_refused_user_is_told_what_would_be_right(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        await panel.signed_in()
        answer = await panel.post(NEW, {"login": "a b", "role": "customer", "time_zone": "Mars/Base"}, form=NEW)
        assert answer.status == 422
        assert [text.split(" must")[0] for text in errors(answer)] == ["Login", "Time zone", "Role"]
        taken = await panel.post(NEW, {"login": "somebody", "role": "support", "time_zone": "UTC"}, form=NEW)
        assert errors(taken) == ["Login somebody is taken: choose another"]

    play(scenario)


@pytest.mark.usefixtures("way")
def test_list_is_searched_by_login_account_role_and_status(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        accounts = await stock(panel)
        await panel.data.user("anna", "customer", accounts["own"])
        await panel.data.user("gone", "support", status="inactive")
        await panel.signed_in()
        for query, expected in {
            "": {"anna", "gone", "somebody"},
            "q=NN": {"anna"},
            "q=cust0101": {"anna"},
            "q=%25": set(),
            "role=support": {"gone"},
            "status=inactive": {"gone"},
            "role=nonsense": {"anna", "gone", "somebody"},
        }.items():
            text = (await panel.get(f"/users?{query}")).text
            assert set(re.findall(r'<a href="/users/([a-z]+)">', text)) == expected, query
        pool, first = panel.app[POOL], PageRequest(size=2)
        page = await list_logins(pool, LoginFilter(), first)
        assert ([row.login for row in page.rows], page.previous) == (["anna", "gone"], None)
        rest = await list_logins(pool, LoginFilter(), replace(first, key=("gone",)))
        assert ([row.login for row in rest.rows], rest.next) == (["somebody"], None)
        back = await list_logins(pool, LoginFilter(), replace(first, key=("somebody",), backward=True))
        assert [row.login for row in back.rows] == ["anna", "gone"]

    play(scenario)


def test_another_role_counts_at_once_and_is_kept_with_the_old_one(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        await other(panel)
        page = "/users/helper"
        assert (await panel.post(page, {"role": "accounts", "time_zone": "UTC"}, form=page)).status == 303
        [entry] = await entries(panel, "login.change")
        assert (entry["old"]["role"], entry["new"]["role"]) == ("support", "accounts")
        assert (
            "Nothing was changed"
            in (
                await panel.get((await panel.post(page, {"role": "accounts", "time_zone": "UTC"}, form=page)).location)
            ).text
        )
        assert len(await entries(panel, "login.change")) == 1

    play(scenario)


def test_login_of_an_account_keeps_its_role(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        accounts = await stock(panel)
        await panel.data.user("anna", "customer", accounts["own"])
        await panel.signed_in()
        fields = {"role": "administrator", "time_zone": "Asia/Tokyo"}
        assert (await panel.post("/users/anna", fields, form="/users/anna")).status == 303
        row = await panel.data.connection.fetchrow("SELECT role, time_zone FROM panel_user WHERE login = 'anna'")
        assert row is not None
        assert tuple(row) == ("customer", "Asia/Tokyo")

    play(scenario)


def test_locked_login_is_out_at_once_and_unlocked_it_signs_in_again(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        await panel.data.user("helper", "support")
        await panel.sign_in("helper")
        helper = panel.client.session.cookie_jar.filter_cookies(panel.client.make_url("/"))["sw_session"].value
        panel.forget()
        await panel.signed_in()
        page = "/users/helper"
        await panel.post(f"{page}/status", {"status": "inactive"}, form=page)
        count = await panel.data.connection.fetchval("SELECT count(*) FROM panel_session")
        assert count == 1, helper
        assert "Locked" in (await panel.get(page)).text
        await panel.data.connection.execute("UPDATE panel_user SET locked_until = now() + interval '1 hour'")
        await panel.post(f"{page}/status", {"status": "active"}, form=page)
        panel.forget()
        assert (await panel.sign_in("helper")).status == 303
        assert [entry["new"]["status"] for entry in await entries(panel, "login.set_status")] == ["inactive", "active"]

    play(scenario)


def test_sessions_end_when_an_administrator_ends_them_or_resets_the_password(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        await panel.data.user("helper", "support")
        await panel.sign_in("helper")
        panel.forget()
        await panel.signed_in()
        assert (await panel.post("/users/helper/sessions", {}, form="/users/helper")).status == 303
        assert await panel.data.connection.fetchval("SELECT count(*) FROM panel_session") == 1
        [entry] = await entries(panel, "login.end_sessions")
        assert (entry["old"], entry["new"]) == ({"sessions": 1}, {"sessions": 0})
        panel.forget()
        await panel.sign_in("helper")
        panel.forget()
        await panel.sign_in("somebody")
        password = shown_password(await panel.post("/users/helper/password", {}, form="/users/helper"))
        assert await panel.data.connection.fetchval("SELECT count(*) FROM panel_session") == 2
        [entry] = await entries(panel, "login.reset_password")
        assert entry["new"] == {"password": "changed"}
        panel.forget()
        assert (await panel.sign_in("helper", PASSWORD)).status == 422
        assert (await panel.sign_in("helper", password)).status == 303
        assert (await panel.get("/")).location == "/password"

    play(scenario)


def test_nobody_locks_resets_or_removes_the_login_that_is_signed_in(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        await panel.signed_in()
        await panel.data.user("other")
        page = "/users/somebody"
        for act, fields in {"status": {"status": "inactive"}, "password": {}, "remove": {}}.items():
            answer = await panel.post(f"{page}/{act}", fields, form=page)
            assert answer.status == 422
            assert "You are signed in as somebody" in answer.text
        await panel.post(page, {"role": "support", "time_zone": "UTC"}, form=page)
        assert await panel.data.connection.fetchval("SELECT role FROM panel_user WHERE login = 'somebody'") == (
            "administrator"
        )

    play(scenario)


def test_last_administrator_stays_when_the_others_are_locked(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        await panel.data.user("root")
        await panel.signed_in()
        # Signed in still, but locked by somebody else in this very moment: the other one is the last.
        await panel.data.connection.execute("UPDATE panel_user SET role = 'support' WHERE login = 'root'")
        page = "/users/root"
        token = await panel.token(page)
        await panel.data.connection.execute("UPDATE panel_user SET role = 'administrator' WHERE login = 'root'")
        await panel.data.connection.execute(
            """
            CREATE FUNCTION lock_the_first() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN UPDATE panel_user SET status = ''inactive'' WHERE login = ''somebody''; RETURN NEW; END';
            CREATE TRIGGER lock_the_first AFTER UPDATE OF seen_at ON panel_session
                FOR EACH ROW EXECUTE FUNCTION lock_the_first();
            """
        )
        for act, fields in {
            "/status": {"status": "inactive"},
            "/remove": {},
            "": {"role": "support", "time_zone": "UTC"},
        }.items():
            await panel.data.connection.execute("UPDATE panel_user SET status = 'active' WHERE login = 'somebody'")
            await panel.data.connection.execute("ALTER TABLE panel_session DISABLE TRIGGER lock_the_first")
            await panel.data.connection.execute("UPDATE panel_session SET seen_at = now() - interval '40 seconds'")
            await panel.data.connection.execute("ALTER TABLE panel_session ENABLE TRIGGER lock_the_first")
            answer = await panel.post_raw(f"{page}{act}", {"csrf_token": token, **fields})
            assert answer.status == 422, act
            assert "root is the last administrator" in answer.text
        assert await panel.data.connection.fetchval(
            "SELECT count(*) FROM panel_user WHERE login = 'root' AND role = 'administrator' AND status = 'active'"
        )

    play(scenario)


def test_removed_login_is_gone_and_its_name_stays_in_the_log(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        await other(panel)
        answer = await panel.post("/users/helper/remove", {}, form="/users/helper")
        assert answer.location == "/users"
        assert (await panel.get("/users/helper")).status == 404
        [entry] = await entries(panel, "login.remove")
        assert (entry["object"], entry["old"]["role"]) == ("login helper", "support")

    play(scenario)


def test_table_of_roles_tells_of_every_permission(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        told = [permission for members in SECTIONS.values() for permission in members]
        assert sorted(told) == sorted(set(Permission) - {Permission.PUBLIC, Permission.SIGNED_IN})
        await panel.signed_in()
        text = re.sub(r"\s+", " ", (await panel.get("/roles")).text)
        row = text.partition("Book payments and credit</th>")[2].partition("</tr>")[0]
        assert re.findall(r'visually-hidden">(yes|no)<', row) == ["yes", "no", "yes", "yes", "no"]

    play(scenario)


def test_find_box_leads_to_a_login_of_the_operator_for_who_may_see_it(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        await panel.data.user("helper", "support")
        await panel.signed_in()
        assert (await panel.get("/find?q=helper")).location == "/users/helper"
        assert (await panel.get("/find?q=helpers")).location == "/customers?q=helpers"
        panel.forget()
        await panel.sign_in("helper")
        assert (await panel.get("/find?q=somebody")).location == "/customers?q=somebody"

    play(scenario)
