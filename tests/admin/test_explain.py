"""The page that explains a call: what is asked, what is shown, what is refused."""

import html
import re
from urllib.parse import parse_qs, urlsplit

from tests.admin.answers import answer, refusal
from tests.admin.conftest import Play
from tests.admin.panel import Answer, Panel
from tests.admin.test_customer_form import errors, stock

CALL = "source=442079460001&destination=4930901820"


def words(text: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text))


def asked(panel: Panel) -> list[dict[str, object]]:
    return [request for request in panel.worker.requests if request["verb"] == "explain"]


class TestForm:
    def test_question_is_asked_as_it_was_typed(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            panel.worker.explanation = answer()
            await panel.signed_in()
            query = "account=cust0101&address=198.51.100.7&user=&codecs=PCMA,+G729&at=2026-01-31+08:00"
            page = await panel.get(f"/explain?{CALL}&{query}")
            assert page.status == 200
            (question,) = asked(panel)
            assert {name: question[name] for name in ("source", "destination", "account", "address", "user")} == {
                "source": "442079460001",
                "destination": "4930901820",
                "account": "CUST0101",
                "address": "198.51.100.7",
                "user": "",
            }
            assert (question["codecs"], question["at"]) == (["PCMA", "G729"], "2026-01-31T08:00:00+00:00")
            assert 'value="PCMA, G729"' in page.text

        play(scenario)

    def test_empty_form_asks_nothing(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            await panel.signed_in()
            assert (await panel.get("/explain")).status == 200
            assert asked(panel) == []

        play(scenario)

    def test_what_is_no_question_is_refused_beside_its_field(self, play: Play) -> None:
        faults = {
            "destination=&account=CUST0101": "Number called must be given",
            CALL: "Whose call it is must be said",
            f"{CALL}&address=example.com": "Address must be one",
            f"{CALL}&account=CUST0101&codecs=P;CMA": "Codecs must be names",
            f"{CALL}&account=CUST0101&at=soon": "Time must be a day and an hour",
        }

        async def scenario(panel: Panel) -> None:
            await panel.signed_in()
            for query, fault in faults.items():
                page = await panel.get(f"/explain?{query}")
                assert page.status == 422, query
                assert fault in errors(page)[0]
            assert asked(panel) == []

        play(scenario)

    def test_page_says_so_when_the_worker_refuses_or_none_answers(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            await panel.signed_in()
            panel.worker.explanation = {"error": "no account CUST9999"}
            page = await panel.get(f"/explain?{CALL}&account=CUST9999")
            assert page.status == 422
            assert "No account CUST9999" in page.text
            panel.worker.path.unlink()
            page = await panel.get(f"/explain?{CALL}&account=CUST9999")
            assert page.status == 503
            assert "Nobody can tell: no SIP worker runs" in page.text

        play(scenario)


class TestAnswer:
    def test_administrator_sees_checks_candidates_costs_and_prices(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            panel.worker.explanation = answer()
            await panel.signed_in()
            text = (await panel.get(f"/explain?{CALL}&account=CUST0101")).text
            assert text.count("sw-check-passed") == 4
            assert "sw-check-failed" not in text
            shown = words(text)
            assert "Allowed 442079460001 to 4930901820 of CUST0101 , 1 attempt, at most 1:00:00." in shown
            row = r"CARR0001 CARR0001-gateway Attempt 1 49 99#4930901820 0.039100 EUR 0.071200 EUR 0.032100 EUR"
            assert re.search(row, shown)
            assert re.search(r"CARR0002 .* Not tried loss of account RESE0009", shown)

        play(scenario)

    def test_refusal_is_a_cross_with_its_meaning(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            panel.worker.explanation = refusal("SESSION_LIMIT", "account RESE0009")
            await panel.signed_in()
            text = (await panel.get(f"/explain?{CALL}&account=CUST0101")).text
            assert text.count("sw-check-failed") == 1
            shown = words(text)
            assert "503 Service Unavailable · SESSION_LIMIT account RESE0009 · Q.850 34 no circuit" in shown
            assert "As many calls at once as the device" in shown

        play(scenario)

    def test_caller_that_has_to_prove_itself_is_not_a_refusal(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            panel.worker.explanation = refusal("AUTHENTICATE", "", account=None)
            await panel.signed_in()
            text = words((await panel.get(f"/explain?{CALL}&address=192.0.2.99")).text)
            assert "Not decided No device has this address" in text

        play(scenario)

    def test_reseller_sees_prices_of_its_own_levels_alone(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            accounts = await stock(panel)
            panel.worker.explanation = answer()
            await panel.signed_in("reseller", accounts["reseller"])
            text = (await panel.get(f"/explain?{CALL}&account=CUST0101")).text
            for part in ("0.0712", "0.0533", "Carrier 1", "CUST0101 &lt; RESE0001"):
                assert part in text
            for hidden in ("CARR", "99#", "0.0391", "0.0899", "0.0321", "0.0499", "RESE0009"):
                assert hidden not in text

        play(scenario)


class TestScope:
    async def _is_refused(self, panel: Panel, query: str) -> Answer:
        page = await panel.get(f"/explain?{CALL}&{query}")
        assert page.status == 404, query
        for hidden in ("Foreign", "0.0712", "sw-check"):
            assert hidden not in page.text
        return page

    def test_reseller_gets_404_for_what_is_somebody_elses_and_for_what_there_is_not(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            accounts = await stock(panel)
            for name, account in (("alice", "own"), ("mallory", "foreign")):
                await panel.data.connection.execute(
                    "INSERT INTO sip_user (account_id, username, ha1_md5) VALUES ($1, $2, repeat('0', 32))",
                    accounts[account],
                    name,
                )
            await panel.signed_in("reseller", accounts["reseller"])
            panel.worker.explanation = answer()
            texts = [
                errors(await self._is_refused(panel, f"account={code}"))
                for code in ("CUST0102", "RESE0002", "CUST9999", "cust0102")
            ]
            assert texts == [["No account of yours has this code"]] * 4
            for user in ("mallory", "nobody"):
                assert errors(await self._is_refused(panel, f"user={user}")) == ["No SIP user of yours has this name"]
            assert asked(panel) == []
            assert (await panel.get(f"/explain?{CALL}&user=alice")).status == 200

        play(scenario)

    def test_reseller_cannot_tell_a_foreign_address_from_one_that_nobody_has(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            accounts = await stock(panel)
            await panel.signed_in("reseller", accounts["reseller"])
            pages = []
            for explanation in (
                answer(account="CUST0102"),
                answer(account="CUST0101", from_carrier="CARR0001"),
                refusal("AUTHENTICATE", "", account=None),
                {"error": "192.0.2.1 (device ip:3) belongs to account CUST0102, not to account CUST0101"},
            ):
                panel.worker.explanation = explanation
                page = await self._is_refused(panel, "address=192.0.2.1&account=CUST0101")
                assert "CUST0102" not in page.text
                pages.append(errors(page))
            assert pages == [["No device of yours calls so from this address"]] * 4

        play(scenario)

    def test_others_do_not_find_the_page(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            account = await panel.data.account("CUST0101")
            panel.worker.explanation = answer()
            for role in ("accounts", "customer"):
                panel.forget()
                await panel.signed_in(role, account if role == "customer" else None, login=role)
                assert (await panel.get(f"/explain?{CALL}&account=CUST0101")).status == 404
                assert 'href="/explain"' not in (await panel.get("/")).text
            assert asked(panel) == []

        play(scenario)


class TestRecord:
    async def _link(self, panel: Panel, call_id: object) -> dict[str, list[str]]:
        text = html.unescape((await panel.get(f"/call-records/{call_id}/1")).text)
        found = re.search(r'href="(/explain\?[^"]+)"', text)
        return parse_qs(urlsplit(found[1]).query) if found else {}

    def test_record_carries_the_values_of_its_call(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            accounts = await stock(panel)
            call_id = await panel.data.record(accounts["own"], destination="+4930 9018")
            await panel.data.connection.execute("UPDATE cdr SET codecs_offered = '{PCMA,G729}'")
            await panel.signed_in()
            assert await self._link(panel, call_id) == {
                "source": ["442079460001"],
                "destination": ["+4930 9018"],
                "account": ["CUST0101"],
                "address": ["192.0.2.1"],
                "codecs": ["PCMA, G729"],
            }

        play(scenario)

    def test_call_of_a_sip_user_is_asked_about_by_its_name(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            accounts = await stock(panel)
            user = await panel.data.connection.fetchval(
                "INSERT INTO sip_user (account_id, username, ha1_md5) VALUES ($1, 'zoe', repeat('0', 32)) RETURNING id",
                accounts["own"],
            )
            call_id = await panel.data.record(accounts["own"])
            await panel.data.connection.execute("UPDATE cdr SET device = $1", f"user:{user}")
            await panel.signed_in("reseller", accounts["reseller"])
            assert (await self._link(panel, call_id))["user"] == ["zoe"]

        play(scenario)

    def test_reseller_is_not_offered_the_address_of_a_carrier(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            accounts = await stock(panel)
            call_id = await panel.data.record(accounts["own"], kind="incoming")
            await panel.signed_in("reseller", accounts["reseller"])
            assert await self._link(panel, call_id) == {}
            panel.forget()
            await panel.signed_in("support", login="helper")
            assert (await self._link(panel, call_id))["address"] == ["192.0.2.1"]

        play(scenario)
