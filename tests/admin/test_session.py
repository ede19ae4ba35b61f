"""Signing in and out, and what is refused on the way."""

import hashlib

from tests.admin.conftest import Play
from tests.admin.data import PASSWORD
from tests.admin.panel import Panel


def test_administrator_reaches_the_overview_after_signing_in(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        await panel.data.user("root")
        answer = await panel.sign_in("root")
        assert (answer.status, answer.location) == (303, "/")
        assert "Overview" in (await panel.get("/")).text

    play(scenario)


def test_visitor_is_sent_to_the_sign_in_and_back_when_asking_for_a_page(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        await panel.data.user("root")
        answer = await panel.get("/call-records?result=failed")
        assert (answer.status, answer.location) == (303, "/sign-in?next=%2Fcall-records%3Fresult%3Dfailed")
        answer = await panel.sign_in("root", next="/call-records?result=failed")
        assert answer.location == "/call-records?result=failed"

    play(scenario)


def test_visitor_returns_to_the_overview_when_the_return_address_is_foreign(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        await panel.data.user("root")
        for address in ("//evil.example", "https://evil.example/", "/\\evil.example", "javascript:alert(1)"):
            assert (await panel.sign_in("root", next=address)).location == "/"
            panel.forget()

    play(scenario)


def test_stranger_gets_the_same_answer_for_an_unknown_login_and_a_wrong_password(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        await panel.data.user("root")
        await panel.data.user("gone", status="inactive")
        answers = [await panel.sign_in(login, "Wrong-horse-7") for login in ("root", "nobody", "gone")]
        assert [answer.status for answer in answers] == [422, 422, 422]
        assert all("Login and password do not match" in answer.text for answer in answers)
        assert "Wrong-horse-7" not in answers[0].text
        assert (await panel.sign_in("gone", PASSWORD)).status == 422

    play(scenario)


def test_login_is_locked_after_so_many_failures_and_opens_again_after_the_lock_time(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        await panel.data.user("root")
        for _ in range(3):
            assert (await panel.sign_in("root", "Wrong-horse-7")).status == 422
        assert (await panel.sign_in("root")).status == 422
        await panel.data.connection.execute("UPDATE panel_user SET locked_until = now() - interval '1 second'")
        assert (await panel.sign_in("root")).status == 303

    play(scenario, lock_after=3)


def test_login_starts_counting_anew_after_a_success(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        await panel.data.user("root")
        for _ in range(2):
            for _ in range(2):
                assert (await panel.sign_in("root", "Wrong-horse-7")).status == 422
            assert (await panel.sign_in("root")).status == 303
            panel.forget()

    play(scenario, lock_after=3)


def test_cookie_is_out_of_reach_of_scripts_and_other_sites(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        await panel.data.user("root")
        answer = await panel.sign_in("root")
        cookie = answer.response.cookies["sw_session"]
        assert cookie["httponly"]
        assert cookie["samesite"] == "Lax"
        assert not cookie["secure"]
        stored = await panel.data.connection.fetchval("SELECT token_hash FROM panel_session")
        assert stored == hashlib.sha256(cookie.value.encode()).digest()

    play(scenario)


def test_cookie_is_bound_to_https_and_the_host_when_the_setting_says_so(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        answer = await panel.get("/sign-in")
        cookie = answer.response.cookies["__Host-sw_visit"]
        assert cookie["secure"]
        assert cookie["path"] == "/"

    play(scenario, secure_cookie=True)


def test_session_gets_a_new_token_at_each_sign_in(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        await panel.data.user("root")
        first = (await panel.sign_in("root")).response.cookies["sw_session"].value
        token = await panel.token("/password")
        answer = await panel.post_raw("/sign-in", {"csrf_token": token, "login": "root", "password": PASSWORD})
        assert answer.response.cookies["sw_session"].value != first
        assert await panel.data.connection.fetchval("SELECT count(*) FROM panel_session") == 1

    play(scenario)


def test_session_ends_after_so_long_without_a_request(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        await panel.signed_in()
        assert (await panel.get("/")).status == 200
        await panel.data.connection.execute("UPDATE panel_session SET seen_at = now() - interval '61 seconds'")
        assert (await panel.get("/")).status == 303

    play(scenario, session_idle=60)


def test_session_ends_when_its_login_is_switched_off(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        await panel.signed_in()
        await panel.data.connection.execute("UPDATE panel_user SET status = 'inactive'")
        assert (await panel.get("/")).location == "/sign-in"

    play(scenario)


def test_session_is_gone_after_signing_out(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        await panel.signed_in()
        answer = await panel.post("/sign-out", {}, form="/password")
        assert (answer.status, answer.location) == (303, "/sign-in")
        assert await panel.data.connection.fetchval("SELECT count(*) FROM panel_session") == 0
        assert (await panel.get("/")).status == 303

    play(scenario)


def test_htmx_is_told_to_sign_in_when_the_session_is_over(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        headers = {"HX-Request": "true", "HX-Current-URL": "http://panel.example/customers?q=x"}
        answer = await panel.get("/customers?q=y", headers)
        assert answer.status == 401
        assert answer.header("HX-Redirect") == "/sign-in?next=%2Fcustomers%3Fq%3Dx"

    play(scenario)
