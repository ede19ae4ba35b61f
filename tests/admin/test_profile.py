"""My login: settings and sessions of whoever is signed in."""

import re
from datetime import UTC, datetime

from tests.admin.conftest import Play
from tests.admin.panel import Panel
from tests.admin.test_customer_form import entries, errors, stock

PAGE = "/my-login"


def test_every_role_sees_its_login_and_keeps_its_settings(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        accounts = await stock(panel)
        for role, account in (
            ("administrator", None),
            ("accounts", None),
            ("reseller", accounts["reseller"]),
            ("customer", accounts["own"]),
        ):
            panel.forget()
            await panel.signed_in(role, account, login=f"as{role}")
            assert f"<strong>as{role}</strong>" in (await panel.get(PAGE)).text
            answer = await panel.post(PAGE, {"time_zone": "Asia/Tokyo", "theme": "dark"}, form=PAGE)
            assert answer.location == PAGE
            assert answer.response.cookies["sw_theme"].value == "dark"
            text = (await panel.get(PAGE)).text
            assert 'value="Asia/Tokyo" selected' in text
            assert 'data-theme-choice="dark"' in text
        assert len(await entries(panel, "login.change")) == 4
        answer = await panel.post(PAGE, {"time_zone": "../etc/passwd", "theme": "pink"}, form=PAGE)
        assert (answer.status, errors(answer)) == (
            422,
            ["Time zone must be one of the list, like Europe/Berlin", "Theme must be As the device, Light or Dark"],
        )
        panel.forget()  # another browser has the theme of the login too
        assert 'data-theme-choice="auto"' in (await panel.get("/sign-in")).text
        await panel.sign_in("asreseller")
        assert 'data-theme-choice="dark"' in (await panel.get("/")).text

    play(scenario)


def test_own_sessions_are_listed_and_others_end_alone(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        await panel.data.user("other")
        await panel.sign_in("other")
        panel.forget()
        await panel.signed_in()
        panel.forget()
        assert (await panel.sign_in("somebody")).status == 303
        text = (await panel.get(PAGE)).text
        ids = re.findall(r'action="/my-login/sessions/(\d+)/end"', text)
        assert len(ids) == 1
        assert text.count("This one") == 1
        assert "127.0.0.1" in text
        foreign = await panel.data.connection.fetchval(
            """
            SELECT panel_session.id FROM panel_session JOIN panel_user ON panel_user.id = user_id WHERE login = 'other'
            """
        )
        for number in (foreign, "x", "0"):
            assert (await panel.post(f"{PAGE}/sessions/{number}/end", {}, form=PAGE)).status == 404
        assert (await panel.post(f"{PAGE}/sessions/{ids[0]}/end", {}, form=PAGE)).location == PAGE
        assert await panel.data.connection.fetchval("SELECT count(*) FROM panel_session") == 2
        assert (await panel.get(PAGE)).status == 200

    play(scenario)


def test_switched_login_does_not_touch_what_is_somebody_elses(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        accounts = await stock(panel)
        await panel.data.user("owner", "customer", accounts["own"])
        await panel.signed_in()
        await panel.post("/customers/CUST0101/switch", {}, form="/customers")
        for page in (PAGE, "/second-factor"):
            assert (await panel.get(page)).status == 404
        for page in ("/second-factor", "/second-factor/confirm", "/second-factor/off", "/second-factor/codes", PAGE):
            assert (await panel.post(page, {"time_zone": "UTC", "theme": "dark"}, form="/")).status == 404
        assert PAGE not in (await panel.get("/")).text

    play(scenario)


def test_times_are_shown_in_the_zone_of_the_login_and_files_stay_in_utc(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        accounts = await stock(panel)
        await panel.data.connection.execute(
            "INSERT INTO audit_entry (at, login, role, action, account_id, object) "
            "VALUES ('2025-07-01 12:00+00', 'x', 'support', 'customer.change', $1, 'account CUST0101')",
            accounts["own"],
        )
        await panel.data.record(accounts["own"], received_at=datetime(2025, 1, 31, 23, 30, tzinfo=UTC))
        await panel.signed_in()
        assert ">1 Jul 2025 12:00:00</time>" in (await panel.get("/audit-log")).text
        await panel.post(PAGE, {"time_zone": "Europe/Berlin", "theme": "auto"}, form=PAGE)
        text = (await panel.get("/audit-log?what=customer.change")).text
        assert "Times in Europe/Berlin" in text
        assert 'title="2025-07-01 12:00:00 UTC">1 Jul 2025 14:00:00</time>' in text
        record = (await panel.get("/call-records")).text
        assert ">1 Feb 2025 00:30:00</time>" in record  # another day, and winter time
        found = re.search(r'href="(/call-records/[^"]+/1)"', record)
        assert found
        assert "00:30:00.000 CET" in (await panel.get(found[1])).text
        assert "2025-07-01 12:00:00" in (await panel.get("/audit-log/export?what=customer.change")).text

    play(scenario)
