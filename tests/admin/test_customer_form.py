"""Adding a customer and changing it."""

import re
from typing import Any

import orjson
from argon2 import PasswordHasher

from tests.admin.conftest import Play
from tests.admin.panel import Answer, Panel
from tests.b2bua.account.test_customer import TYPED


async def stock(panel: Panel) -> dict[str, int]:
    """Tariffs in two currencies, a reseller with a customer, and a reseller beside it."""
    data = panel.data
    await data.connection.execute(
        "INSERT INTO tariff (name, kind, currency) VALUES ('retail', 'customer', 'EUR'), ('dollars', 'customer', 'USD')"
    )
    reseller = await data.account("RESE0001", kind="reseller")
    other = await data.account("RESE0002", kind="reseller")
    return {
        "reseller": reseller,
        "other": other,
        "own": await data.account("CUST0101", parent=reseller, name="Own customer", company="Own"),
        "foreign": await data.account("CUST0102", parent=other, name="Foreign customer"),
    }


def errors(answer: Answer) -> list[str]:
    summary = re.search(r'id="summary".*?</ul>', answer.text, re.S)
    return re.findall(r'<a href="#[a-z_0-9]+">([^<]+)</a>', summary[0]) if summary else []


async def entries(panel: Panel, action: str) -> list[dict[str, Any]]:
    rows = await panel.data.connection.fetch(
        "SELECT login, object, old::text, new::text FROM audit_entry WHERE action = $1 ORDER BY id", action
    )
    return [
        {**row, "old": orjson.loads(row["old"] or "null"), "new": orjson.loads(row["new"] or "null")} for row in rows
    ]


def test_new_customer_has_all_that_was_typed_and_can_sign_in(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        await stock(panel)
        await panel.signed_in()
        typed = {**TYPED, "tax_flag": "VAT", "tax_1": "19", "max_sessions": "30", "codec_check": "yes", "country": "DE"}
        answer = await panel.post("/customers/new", typed, form="/customers/new")
        assert answer.status == 303, errors(answer)
        code = answer.location.rpartition("/")[2]
        row = await panel.data.connection.fetchrow("SELECT * FROM account WHERE code = $1", code)
        assert row is not None
        assert (row["name"], row["company"], row["phone"], row["country"]) == (
            "Anna Example",
            "Example & Sons",
            "3090182000",
            "DE",
        )
        assert (row["max_sessions"], row["max_duration"], row["codec_check"]) == (30, 7200, True)
        assert [str(percent) for percent in row["tax_percents"]] == ["19.0000"]
        assert (row["own_sip_users"], row["with_media"]) == (True, False)
        text = (await panel.get(answer.location)).text
        assert f"added with the code {code}" in text
        assert "Add an IP device" in text
        assert "Add a dialing route" in text
        [entry] = await entries(panel, "customer.add")
        assert (entry["login"], entry["object"], entry["old"]) == ("somebody", f"account {code}", None)
        assert "Correct-horse-7" not in str(entry)
        stored = await panel.data.connection.fetchval("SELECT password_hash FROM panel_user WHERE login = 'anna1'")
        assert stored.startswith("$argon2id$")
        assert PasswordHasher().verify(stored, "Correct-horse-7")
        panel.forget()
        assert (await panel.sign_in("anna1", "Correct-horse-7")).status == 303

    play(scenario)


def test_refused_form_keeps_all_but_the_password_and_says_what_would_be_right(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        await stock(panel)
        await panel.signed_in()
        typed = {**TYPED, "phone": "12", "company": "Kept & Co", "login": "b b", "own_ip_devices": "no"}
        typed.pop("own_ip_devices")
        answer = await panel.post("/customers/new", typed, form="/customers/new")
        assert answer.status == 422
        assert errors(answer) == [
            "Phone number must be 10 digits, like 3090182000",
            "Web user name must have 1 to 30 letters or digits, without spaces",
        ]
        assert "<title>Error: Add customer" in answer.text
        assert 'value="Kept &amp; Co"' in answer.text
        assert 'value="b b"' in answer.text
        assert "Correct-horse-7" not in answer.text
        assert not re.search(r'name="own_ip_devices"[^>]*checked', answer.text)
        assert re.search(r'name="own_sip_users"[^>]*checked', answer.text)
        assert re.search(r'id="phone"[^>]*aria-describedby="phone-hint phone-error"[^>]*aria-invalid', answer.text)
        assert await panel.data.connection.fetchval("SELECT count(*) FROM account WHERE name = 'Anna Example'") == 0

    play(scenario)


RULES: list[tuple[dict[str, str], str]] = [
    ({"customer_type": ""}, "Customer type must be LIVE or DEMO"),
    ({"login": "a" * 31}, "Web user name must have 1 to 30 letters or digits, without spaces"),
    ({"login": "somebody"}, "Web user name somebody is taken: choose another"),
    ({"password": "nocapital7!"}, "Web password needs a capital letter"),
    ({"password": "NoDigits!!"}, "Web password needs a digit"),
    ({"password": "NoSpecial77"}, "Web password needs a special character, like ! or #"),
    ({"password": "Sh0rt!"}, "Web password must have 8 to 30 characters"),
    ({"tariff": ""}, "Tariff is needed"),
    ({"tariff": "nonsense"}, "Tariff must be one of the list"),
    ({"billing_type": "later"}, "Billing type must be Prepaid or Postpaid"),
    ({"payment_term": "31"}, "Payment term must be a whole number from 1 to 30"),
    ({"max_credit_limit": ""}, "Maximum credit limit is needed: an amount from 0, like 250.00"),
    ({"decimals": "11"}, "Billing decimals must be a whole number from 0 to 10"),
    ({"tax_flag": ""}, "VAT or tax must be NONE, VAT or TAX"),
    ({"max_sessions": ""}, "Maximum call sessions is needed: a whole number from 0, or none for no limit"),
    ({"cps": "1.5"}, "Call sessions per second must be a whole number from 0, or none for no limit"),
    ({"max_duration": "0"}, "Maximum call duration must be in minutes, like 120 or 1:30"),
    ({"name": ""}, "Name is needed"),
    ({"company": ""}, "Company is needed"),
    (
        {"email": "x" * 20 + "@example.com"},
        "E-mail address must be an e-mail address of at most 30 characters, like anna@example.com",
    ),
    ({"address": "x" * 201}, "Address must have at most 200 characters; this has 201"),
    ({"phone": "+493090182000"}, "Phone number must be 10 digits, like 3090182000"),
    ({"country": "XX"}, "Country must be one of the list"),
    ({"pin": "!"}, "PIN code must have 3 to 10 letters or digits, like 10115 or SW1A 1AA"),
    ({"parent": "RESE0009"}, "Reseller must be one of the list"),
]


def test_every_rule_is_refused_with_its_words(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        await stock(panel)
        await panel.signed_in()
        token = await panel.token("/customers/new")
        for typed, words in RULES:
            answer = await panel.post_raw("/customers/new", {"csrf_token": token, **TYPED, **typed})
            assert (answer.status, errors(answer)) == (422, [words])
        assert await panel.data.connection.fetchval("SELECT count(*) FROM account WHERE name = 'Anna Example'") == 0

    play(scenario)


def test_phone_may_be_e164_when_the_setting_allows_it(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        await stock(panel)
        await panel.signed_in()
        answer = await panel.post("/customers/new", {**TYPED, "phone": "+493090182000"}, form="/customers/new")
        assert answer.status == 303

    play(scenario, e164_phones=True)


def test_reseller_makes_customers_of_its_own_only(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        accounts = await stock(panel)
        await panel.signed_in("reseller", accounts["reseller"])
        text = (await panel.get("/customers/new")).text
        assert "RESE0002" not in text
        assert "dollars" not in text
        for foreign in ("", "RESE0002"):
            answer = await panel.post("/customers/new", {**TYPED, "parent": foreign}, form="/customers/new")
            assert errors(answer) == ["Reseller must be one of the list"]
        answer = await panel.post("/customers/new", {**TYPED, "parent": "RESE0001"}, form="/customers/new")
        assert answer.status == 303
        parent = await panel.data.connection.fetchval("SELECT parent_id FROM account WHERE name = 'Anna Example'")
        assert parent == accounts["reseller"]

    play(scenario)


def test_change_is_stored_and_audited_and_raises_the_revision(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        await stock(panel)
        await panel.signed_in()
        revision = await panel.data.connection.fetchval("SELECT revision FROM config_revision")
        typed = {**TYPED, "name": "Own customer", "max_sessions": "7", "loss_guard": "yes"}
        answer = await panel.post("/customers/CUST0101", typed, form="/customers/CUST0101")
        assert answer.location == "/customers/CUST0101"
        row = await panel.data.connection.fetchrow("SELECT * FROM account WHERE code = 'CUST0101'")
        assert row is not None
        assert (row["max_sessions"], row["loss_guard"], row["company"]) == (7, True, "Example & Sons")
        assert await panel.data.connection.fetchval("SELECT revision FROM config_revision") == revision + 1
        [entry] = await entries(panel, "customer.change")
        assert (entry["old"]["max_sessions"], entry["new"]["max_sessions"]) == (None, 7)
        assert "name" not in entry["new"]
        again = await panel.post("/customers/CUST0101", typed, form="/customers/CUST0101")
        assert again.status == 303
        assert len(await entries(panel, "customer.change")) == 1

    play(scenario)


def test_support_reads_the_form_without_its_money_and_cannot_save(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        await stock(panel)
        await panel.signed_in("support")
        text = (await panel.get("/customers/CUST0101")).text
        assert "<fieldset disabled>" in text
        assert "Save changes" not in text
        assert "Maximum credit limit" not in text
        assert (await panel.post("/customers/CUST0101", TYPED, form="/customers")).status == 404

    play(scenario)


class TestActions:
    def test_customer_is_suspended_and_activated(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            await stock(panel)
            await panel.signed_in()
            for status in ("suspended", "active"):
                await panel.post("/customers/CUST0101/status", {"status": status}, form="/customers")
                stored = await panel.data.connection.fetchval("SELECT status FROM account WHERE code = 'CUST0101'")
                assert stored == status
            assert [entry["new"] for entry in await entries(panel, "customer.set_status")] == [
                {"status": "suspended"},
                {"status": "active"},
            ]

        play(scenario)

    def test_deletion_is_refused_while_money_calls_and_numbers_are_open(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            accounts = await stock(panel)
            own, connection = accounts["own"], panel.data.connection
            await connection.execute("UPDATE account_balance SET balance = -5, granted = 3 WHERE account_id = $1", own)
            await connection.execute("INSERT INTO did (number, account_id) VALUES ('493023125001', $1)", own)
            panel.worker.add_call("00000001-0000-7000-8000-000000000000", [own, accounts["reseller"]])
            await panel.signed_in()
            typed = {"typed_name": "Own customer"}
            answer = await panel.post("/customers/CUST0101/delete", typed, form="/customers")
            assert answer.status == 422
            for reason in ("1 call in progress", "balance is -5 EUR", "credit of 3 EUR", "1 DID number"):
                assert reason in answer.text
            assert await connection.fetchval("SELECT count(*) FROM account WHERE code = 'CUST0101'") == 1

        play(scenario)

    def test_deletion_takes_the_name_and_everything_that_is_its_own(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            accounts = await stock(panel)
            connection = panel.data.connection
            await panel.data.user("owner", "customer", accounts["own"])
            await connection.execute(
                "INSERT INTO ip_device (account_id, address) VALUES ($1, '192.0.2.1')", accounts["own"]
            )
            await panel.signed_in()
            answer = await panel.post("/customers/CUST0101/delete", {"typed_name": "own"}, form="/customers")
            assert errors(answer) == ["Type the name as it is: Own customer"]
            answer = await panel.post("/customers/CUST0101/delete", {"typed_name": "Own customer"}, form="/customers")
            assert answer.location == "/customers"
            assert await connection.fetchval("SELECT count(*) FROM account WHERE code = 'CUST0101'") == 0
            assert await connection.fetchval("SELECT count(*) FROM ip_device") == 0

        play(scenario)

    def test_customer_with_records_stays_closed_in_the_books(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            accounts = await stock(panel)
            await panel.data.record(accounts["own"])
            await panel.data.user("owner", "customer", accounts["own"])
            await panel.signed_in()
            await panel.post("/customers/CUST0101/delete", {"typed_name": "Own customer"}, form="/customers")
            status = await panel.data.connection.fetchval("SELECT status FROM account WHERE code = 'CUST0101'")
            assert status == "closed"
            assert 'href="/customers/CUST0101"' not in (await panel.get("/customers")).text
            assert 'href="/customers/CUST0101"' in (await panel.get("/customers?status=closed")).text
            assert (await panel.post("/customers/CUST0101", TYPED, form="/customers")).status == 404
            panel.forget()
            assert (await panel.sign_in("owner")).status == 422

        play(scenario)
