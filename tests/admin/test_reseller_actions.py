"""Resellers suspended, activated and deleted, with payments and a statement as customers have them."""

import re

from b2bua.account.customer import SELF_CARE
from tests.admin.conftest import Play
from tests.admin.panel import Panel
from tests.admin.test_customer_form import entries, errors
from tests.admin.test_resellers import tree
from tests.b2bua.account.test_customer import TYPED

PAGE = "/resellers/RESE0003"


async def status(panel: Panel, code: str) -> str | None:
    found: str | None = await panel.data.connection.fetchval("SELECT status FROM account WHERE code = $1", code)
    return found


def reasons(text: str) -> list[str]:
    return re.findall(r"<li>(It has [^<]+|Its balance [^<]+)</li>", re.sub(r"\s+", " ", text))


async def book(panel: Panel, page: str, amount: str) -> int:
    text = (await panel.get(page)).text
    found = re.search(r'name="request_key" value="([^"]+)"', text)
    assert found
    typed = {"option": "add_balance", "amount": amount, "paid_by": "cash", "request_key": found[1]}
    return (await panel.post(page, typed, form=page)).status


def test_reseller_is_suspended_by_the_one_above_and_activated_again(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        ids = await tree(panel)
        await panel.signed_in("reseller", ids["reseller"])
        assert "Calls in progress end." in (await panel.get(PAGE)).text
        assert (await panel.post(f"{PAGE}/status", {"status": "suspended"}, form=PAGE)).location == PAGE
        assert await status(panel, "RESE0003") == "suspended"
        assert (await panel.post(f"{PAGE}/status", {"status": "closed"}, form=PAGE)).status == 404
        await panel.post(f"{PAGE}/status", {"status": "active"}, form=PAGE)
        assert await status(panel, "RESE0003") == "active"
        kept = [(entry["old"], entry["new"]) for entry in await entries(panel, "reseller.set_status")]
        assert kept[0] == ({"status": "active"}, {"status": "suspended"})
        assert len(kept) == 2
        assert "Status of reseller changed" in (await panel.get("/audit-log")).text
        assert (await panel.post("/resellers/RESE0001/status", {"status": "suspended"}, form=PAGE)).status == 404

    play(scenario)


def test_reseller_is_deleted_only_when_nothing_is_open_below_it(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        ids = await tree(panel)
        data = panel.data
        await data.user("below", "reseller", ids["below"])
        await data.connection.execute("INSERT INTO reseller_route VALUES ($1, $2)", ids["below"], ids["gold"])
        await data.connection.execute("INSERT INTO did (number, account_id) VALUES ('493090182', $1)", ids["below"])
        panel.worker.add_call("00000000-0000-4000-8000-000000000001", data.chains[ids["deep"]], account="CUST0103")
        await panel.signed_in()
        assert await book(panel, f"{PAGE}/payments", "5") == 303
        answer = await panel.get(f"{PAGE}/delete")
        assert answer.status == 422
        assert [text.split(":")[0] for text in reasons(answer.text)] == [
            "It has 1 call in progress",
            "It has 1 customer below it",
            "Its balance is 5 EUR",
            "It has 1 DID number",
        ]
        assert (await panel.post(f"{PAGE}/delete", {"typed_name": "Below"}, form=PAGE)).status == 422
        assert await status(panel, "RESE0003") == "active"
        panel.worker.calls.clear()
        await data.connection.execute("UPDATE did SET account_id = NULL")
        await data.connection.execute("UPDATE account SET status = 'closed' WHERE code = 'CUST0103'")
        entry = await data.connection.fetchval("SELECT id FROM ledger_entry")
        await panel.post(f"{PAGE}/payments/{entry}/reverse", {}, form=PAGE)
        answer = await panel.post(f"{PAGE}/delete", {"typed_name": "below"}, form=PAGE)
        assert errors(answer) == ["Type the name as it is: Below"]
        answer = await panel.post(f"{PAGE}/delete", {"typed_name": "Below"}, form=PAGE)
        assert answer.location == "/resellers"
        assert await status(panel, "RESE0003") == "closed"
        for table in ("panel_user", "reseller_route"):
            count = await data.connection.fetchval(f"SELECT count(*) FROM {table} WHERE account_id = {ids['below']}")
            assert count == 0, table
        [kept] = await entries(panel, "reseller.delete")
        assert (kept["old"]["name"], kept["new"]) == ("Below", {"status": "closed"})

    play(scenario)


def test_reseller_that_never_did_anything_is_gone_altogether(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        await tree(panel)
        await panel.signed_in()
        answer = await panel.post(
            "/resellers/RESE0002/delete", {"typed_name": "Name of RESE0002"}, form="/resellers/RESE0002"
        )
        assert answer.status == 422  # the foreign customer is below it
        await panel.data.connection.execute(
            "DELETE FROM account_balance WHERE account_id IN (SELECT id FROM account WHERE code = 'CUST0102')"
        )
        await panel.data.connection.execute("DELETE FROM number_rule; DELETE FROM account WHERE code = 'CUST0102'")
        await panel.post("/resellers/RESE0002/delete", {"typed_name": "Name of RESE0002"}, form="/resellers/RESE0002")
        assert await status(panel, "RESE0002") is None

    play(scenario)


def test_reseller_books_below_itself_and_reads_its_own_books_only(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        ids = await tree(panel)
        await panel.signed_in("reseller", ids["reseller"])
        assert await book(panel, f"{PAGE}/payments", "12.5") == 303
        assert "12.5000 EUR" in (await panel.get(f"{PAGE}/statement")).text
        assert (await panel.client.get(f"{PAGE}/statement/export?format=xlsx")).status == 200
        own = "/resellers/RESE0001"
        assert (await panel.get("/statement")).location == f"{own}/statement"
        for page in ("statement", "payments"):
            text = (await panel.get(f"{own}/{page}")).text
            assert 'href="/statement" aria-current="page"' in " ".join(text.split())
            assert f'href="{own}"' not in text
            assert "Suspend" not in text
            assert "Book an entry" not in text
        typed = {"option": "add_balance", "amount": "9", "paid_by": "cash"}
        typed["request_key"] = "7b2d9a52-95a3-4b7e-9a33-0a2c6f0f4c11"
        for address, values in (
            (f"{own}/payments", typed),
            (f"{own}/payments/1/reverse", {}),
            (f"{own}/logins", {"login": "x"}),
            (f"{own}/delete", {"typed_name": "x"}),
        ):
            assert (await panel.post(address, values, form="/")).status == 404, address
        assert (await panel.get("/resellers/RESE0002/statement")).status == 404
        assert await panel.data.connection.fetchval("SELECT count(*) FROM ledger_entry") == 1

    play(scenario)


def test_administrator_works_as_a_login_of_a_reseller_and_comes_back_to_it(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        ids = await tree(panel)
        await panel.data.user("below", "reseller", ids["below"])
        await panel.signed_in()
        assert (await panel.post(f"{PAGE}/switch", {}, form=PAGE)).location == "/"
        text = (await panel.get("/customers")).text
        assert "You work as <strong>below</strong> (RESE0003)" in text
        assert "Deep customer" in text
        assert "Own customer" not in text
        assert (await panel.post("/switch-back", {}, form="/")).location == PAGE

    play(scenario)


def test_reseller_changes_of_its_customers_what_its_switches_say(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        ids = await tree(panel)
        await panel.signed_in()
        page = "/resellers/RESE0001"
        typed = {**TYPED, **dict.fromkeys(SELF_CARE, "no"), "own_ip_devices": "yes"}
        answer = await panel.post(page, typed, form=page)
        assert answer.status == 303, errors(answer)
        row = await panel.data.connection.fetchrow(
            "SELECT own_ip_devices, own_sip_users, own_source_rules FROM account WHERE code = 'RESE0001'"
        )
        assert row is not None
        assert tuple(row) == (True, False, False)
        panel.forget()
        await panel.signed_in("reseller", ids["reseller"], login="below")
        customer = "/customers/CUST0101"
        assert "Add SIP user" not in (await panel.get(f"{customer}/sip-users")).text
        assert (await panel.post(f"{customer}/sip-users", {"username": "zoe"}, form=customer)).status == 404
        assert (await panel.post(f"{customer}/source-rules", {"rule": "1%=>%"}, form=customer)).status == 404
        device = {"address": "192.0.2.44", "status": "active", "transport": "udp", "port": "5060"}
        answer = await panel.post(f"{customer}/ip-devices", device, form=customer)
        assert answer.status == 303, errors(answer)

    play(scenario)
