"""Choosing a new password."""

import pytest

from b2bua.account.field import password_faults
from conf.first_start import make_administrator
from tests.admin.conftest import Play
from tests.admin.data import PASSWORD
from tests.admin.panel import Panel
from tests.admin.test_customer_form import entries

NEW = "Battery-staple-9"


@pytest.mark.parametrize("password", ["Abcdef1!", "A" * 28 + "1#", "Ünïcode-A1"])
def test_password_is_accepted_when_it_keeps_the_rule(password: str) -> None:
    assert password_faults(password) == []


@pytest.mark.parametrize("password", ["Abc1!", "A1!" * 11, "abcdefg1!", "Abcdefgh!", "Abcdefgh1", "Abcdefg 1"])
def test_password_is_refused_when_it_breaks_the_rule(password: str) -> None:
    assert len(password_faults(password)) == 1


def test_login_sees_nothing_but_the_form_until_a_forced_change_is_made(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        await panel.data.user("fresh", must_change_password=True)
        await panel.sign_in("fresh")
        for address in ("/", "/customers", "/call-records", "/live-calls", "/live-calls/stream"):
            answer = await panel.get(address)
            assert (answer.status, answer.location) == (303, "/password")
        fields = {"current": PASSWORD, "new": NEW, "again": NEW}
        answer = await panel.post("/password", fields, form="/password")
        assert (answer.status, answer.location) == (303, "/")
        page = await panel.get("/")
        assert page.status == 200
        assert "Password changed" in page.text
        assert "Password changed" not in (await panel.get("/")).text
        panel.forget()
        assert (await panel.sign_in("fresh", NEW)).status == 303

    play(scenario)


def test_login_gets_the_form_back_with_every_fault_named(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        await panel.signed_in()
        fields = {"current": "wrong", "new": "short", "again": "other"}
        answer = await panel.post("/password", fields, form="/password")
        assert answer.status == 422
        assert "<title>Error: Change password" in answer.text
        assert "3 fields need your attention" in answer.text
        assert "short" not in answer.text.replace("shorter", "")
        for name in ("current", "new", "again"):
            assert f'href="#{name}"' in answer.text

    play(scenario)


def test_other_sessions_end_when_the_password_changes(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        await panel.signed_in()
        panel.forget()
        await panel.sign_in("somebody")
        await panel.post("/password", {"current": PASSWORD, "new": NEW, "again": NEW}, form="/password")
        assert await panel.data.connection.fetchval("SELECT count(*) FROM panel_session") == 1
        assert (await panel.get("/")).status == 200

    play(scenario)


def test_first_administrator_has_to_change_the_password_it_was_given(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        given = await make_administrator(panel.data.connection)
        assert given is not None
        assert (await panel.sign_in("admin", given)).status == 303
        for address in ("/", "/customers", "/users", "/my-login", "/second-factor"):
            assert (await panel.get(address)).location == "/password", address
        token = await panel.token("/password")
        for address in ("/users/new-user", "/customers/new", "/my-login", "/second-factor"):
            answer = await panel.post_raw(address, {"csrf_token": token, "login": "x", "role": "administrator"})
            assert answer.location == "/password", address
        assert await panel.data.connection.fetchval("SELECT count(*) FROM panel_user") == 1
        same = {"current": given, "new": given, "again": given}
        assert (await panel.post("/password", same, form="/password")).status == 422
        fields = {"current": given, "new": NEW, "again": NEW}
        assert (await panel.post("/password", fields, form="/password")).location == "/"
        assert (await panel.get("/users")).status == 200
        assert len(await entries(panel, "password.change")) == 1
        panel.forget()
        assert (await panel.sign_in("admin", given)).status == 422

    play(scenario)
