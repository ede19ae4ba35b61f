"""Setting up a second factor, signing in with it, and losing it."""

import asyncio
import re
import time

import pyotp

from admin.keys import POOL
from admin.second_factor import STEP
from admin.stores.factors import take_step
from tests.admin.conftest import Play
from tests.admin.data import PASSWORD
from tests.admin.panel import Answer, Panel
from tests.admin.test_customer_form import entries, stock

PAGE = "/second-factor"


class Telephone:
    """Shows the codes of now; that of this step can be given anew, so that no test waits for the clock."""

    def __init__(self, secret: str) -> None:
        self._otp = pyotp.TOTP(secret)

    async def code(self, panel: Panel) -> str:
        await panel.data.connection.execute("UPDATE panel_user SET totp_step = totp_step - 3")
        return self._otp.generate_otp(int(time.time() // STEP))


def secret_of(answer: Answer) -> str:
    found = re.search(r'id="secret-text">([A-Z2-7 ]+)<', answer.text)
    assert found, answer.text[:1500]
    return found[1].replace(" ", "")


def codes_of(answer: Answer) -> list[str]:
    return re.findall(r"\b[a-z2-9]{4}(?:-[a-z2-9]{4}){3}\b", answer.text)


async def set_up(panel: Panel, login: str = "somebody") -> tuple[Telephone, list[str]]:
    """A second factor for the login that is signed in."""
    telephone = Telephone(secret_of(await panel.post(PAGE, {}, form=PAGE)))
    answer = await panel.post(f"{PAGE}/confirm", {"code": await telephone.code(panel)}, form=PAGE)
    assert answer.status == 200
    return telephone, codes_of(answer)


async def give_code(panel: Panel, first: Answer, code: str, **fields: str) -> Answer:
    note = re.search(r'name="note" value="([^"]+)"', first.text)
    assert note, first.text[:1500]
    return await panel.post("/sign-in/code", {"note": note[1].replace("&#43;", "+"), "code": code, **fields})


class TestSetUp:
    def test_secret_is_shown_once_and_kept_encrypted_with_hashed_recovery_codes(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            await panel.signed_in()
            shown = await panel.post(PAGE, {}, form=PAGE)
            secret = secret_of(shown)
            assert shown.text.count("<svg") > 1
            assert 'aria-label="QR code' in shown.text
            telephone = Telephone(secret)
            answer = await panel.post(f"{PAGE}/confirm", {"code": await telephone.code(panel)}, form=PAGE)
            codes = codes_of(answer)
            assert len(codes) == 10
            for page in (PAGE, "/my-login", "/audit-log"):
                text = (await panel.get(page)).text
                assert secret not in text.replace(" ", "")
                assert not codes_of(Answer(answer.response, text))
            stored = await panel.data.connection.fetchval("SELECT totp_secret FROM panel_user")
            assert stored.startswith("1.")
            assert secret not in stored
            session = await panel.data.connection.fetchval("SELECT data::text FROM panel_session")
            assert secret not in session
            assert "second_factor" not in session
            hashes = [row[0] for row in await panel.data.connection.fetch("SELECT code_hash FROM panel_recovery_code")]
            assert {len(each) for each in hashes} == {32}
            [entry] = await entries(panel, "factor.on")
            assert (entry["login"], entry["object"]) == ("somebody", "login somebody")
            assert "10 recovery codes are left" in (await panel.get(PAGE)).text

        play(scenario)

    def test_wrong_code_leaves_it_off_and_shows_the_same_secret_again(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            await panel.signed_in()
            secret = secret_of(await panel.post(PAGE, {}, form=PAGE))
            answer = await panel.post(f"{PAGE}/confirm", {"code": "12345"}, form=PAGE)
            assert answer.status == 422
            assert secret_of(answer) == secret
            assert await panel.data.connection.fetchval("SELECT totp_secret FROM panel_user") is None
            panel.forget()
            assert (await panel.sign_in("somebody")).status == 303
            answer = await panel.post(f"{PAGE}/confirm", {"code": await Telephone(secret).code(panel)}, form=PAGE)
            assert answer.location == PAGE  # begun in another session

        play(scenario)

    def test_staff_goes_nowhere_without_one_when_the_setting_says_so(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            accounts = await stock(panel)
            await panel.data.user("owner", "customer", accounts["own"])
            await panel.signed_in()
            for address in ("/", "/customers", "/my-login", "/live-calls/stream", "/users"):
                assert (await panel.get(address)).location == PAGE, address
            text = (await panel.get(PAGE)).text
            assert "Logins of your role need a second factor" in text
            assert 'href="/customers"' not in text
            await set_up(panel)
            assert (await panel.get("/customers")).status == 200
            panel.forget()
            await panel.sign_in("owner")
            assert (await panel.get("/")).status == 200

        play(scenario, staff_second_factor=True)


class TestSignIn:
    def test_code_is_asked_for_and_taken_once(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            await panel.signed_in()
            telephone, _codes = await set_up(panel)
            panel.forget()
            first = await panel.sign_in("somebody", next="/customers")
            assert first.status == 200
            assert "sw_session" not in first.response.cookies
            assert (await panel.get("/")).status == 303
            code = await telephone.code(panel)
            answer = await give_code(panel, first, code, next="/customers")
            assert (answer.status, answer.location) == (303, "/customers")
            assert (await panel.get("/customers")).status == 200
            panel.forget()
            again = await give_code(panel, await panel.sign_in("somebody"), code)
            assert again.status == 422
            assert "was used before" in again.text
            assert (await give_code(panel, again, await telephone.code(panel))).status == 303
            # Two that come with the same code in the same moment have both found it right.
            user_id, step = await panel.data.connection.fetchrow("SELECT id, totp_step FROM panel_user")
            pool = panel.app[POOL]
            taken = await asyncio.gather(*(take_step(pool, user_id, step + 1) for _ in range(2)))
            assert sorted(taken) == [False, True]

        play(scenario)

    def test_wrong_codes_lock_the_login_as_wrong_passwords_do(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            await panel.signed_in()
            telephone, codes = await set_up(panel)
            panel.forget()
            answer = await panel.sign_in("somebody")
            for _ in range(3):
                answer = await give_code(panel, answer, "00000a")
                assert answer.status == 422
            refused = await give_code(panel, answer, await telephone.code(panel))
            assert "the login is locked" in refused.text
            assert (await panel.sign_in("somebody")).status == 422
            assert (await give_code(panel, answer, codes[0])).status == 422
            await panel.data.connection.execute("UPDATE panel_user SET locked_until = now() - interval '1 second'")
            assert (await give_code(panel, await panel.sign_in("somebody"), await telephone.code(panel))).status == 303
            assert len(await entries(panel, "session.refused")) == 2
            [entry] = await entries(panel, "session.locked")
            assert entry["new"] == {"wrong": "code"}

        play(scenario, lock_after=4)

    def test_right_password_at_the_last_attempt_still_gets_to_its_code(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            await panel.signed_in()
            telephone, _codes = await set_up(panel)
            panel.forget()
            for _ in range(2):
                await panel.sign_in("somebody", "Wrong-horse-7")
            first = await panel.sign_in("somebody")
            assert (await give_code(panel, first, await telephone.code(panel))).status == 303

        play(scenario, lock_after=3)

    def test_recovery_code_opens_the_login_once(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            await panel.signed_in()
            _telephone, codes = await set_up(panel)
            panel.forget()
            assert (await give_code(panel, await panel.sign_in("somebody"), codes[3].upper())).status == 303
            assert "9 recovery codes are left" in (await panel.get(PAGE)).text
            panel.forget()
            assert (await give_code(panel, await panel.sign_in("somebody"), codes[3])).status == 422

        play(scenario)

    def test_code_without_the_password_before_it_is_worth_nothing(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            await panel.signed_in()
            telephone, _codes = await set_up(panel)
            panel.forget()
            for note in ("", "1.AAAA", "forged"):
                fields = {"note": note, "code": await telephone.code(panel)}
                answer = await panel.post("/sign-in/code", fields)
                assert answer.status == 422
                assert "The code came too late" in answer.text
            assert (await panel.get("/")).status == 303

        play(scenario)


class TestOff:
    def test_it_is_switched_off_with_password_and_code(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            await panel.signed_in()
            telephone, _codes = await set_up(panel)
            fields = {"password": "Wrong-horse-7", "code": await telephone.code(panel)}
            answer = await panel.post(f"{PAGE}/off", fields, form=PAGE)
            assert "This is not your password" in answer.text
            answer = await panel.post(f"{PAGE}/off", {"password": PASSWORD, "code": "1"}, form=PAGE)
            assert answer.status == 422
            assert await panel.data.connection.fetchval("SELECT totp_secret IS NOT NULL FROM panel_user")
            answer = await panel.post(
                f"{PAGE}/off", {"password": PASSWORD, "code": await telephone.code(panel)}, form=PAGE
            )
            assert answer.location == "/my-login"
            assert await panel.data.connection.fetchval("SELECT count(*) FROM panel_recovery_code") == 0
            assert len(await entries(panel, "factor.off")) == 1
            panel.forget()
            assert (await panel.sign_in("somebody")).status == 303

        play(scenario)

    def test_new_recovery_codes_replace_those_before(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            await panel.signed_in()
            telephone, old = await set_up(panel)
            fields = {"password": PASSWORD, "code": await telephone.code(panel)}
            new = codes_of(await panel.post(f"{PAGE}/codes", fields, form=PAGE))
            assert len(new) == 10
            assert not set(new) & set(old)
            panel.forget()
            first = await panel.sign_in("somebody")
            assert (await give_code(panel, first, old[0])).status == 422
            assert (await give_code(panel, first, new[0])).status == 303

        play(scenario)

    def test_administrator_resets_that_of_somebody_who_lost_it(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            await panel.signed_in("support", login="helper")
            await set_up(panel)
            panel.forget()
            await panel.signed_in()
            page = "/users/helper"
            assert "Reset second factor" in (await panel.get(page)).text
            assert (await panel.post(f"{page}/second-factor", {}, form=page)).status == 303
            [entry] = await entries(panel, "login.reset_factor")
            assert (entry["old"], entry["new"]) == ({"second_factor": True}, {"second_factor": False})
            own = await panel.post("/users/somebody/second-factor", {}, form=page)
            assert own.status == 422
            panel.forget()
            assert (await panel.sign_in("helper")).status == 303

        play(scenario)
