"""Carriers: listed, added, changed, suspended, deleted where nothing names them."""

import re

from tests.admin.conftest import Play
from tests.admin.panel import Panel
from tests.admin.test_customer_form import entries, errors
from tests.b2bua.routing.test_carrier import TYPED

PAGE = "/carriers/CARR0001"


async def stock(panel: Panel) -> dict[str, int]:
    """Two tariffs for carriers, one for customers, and two carriers of which one has a gateway."""
    await panel.data.connection.execute(
        """
        INSERT INTO tariff (name, kind, currency)
        VALUES ('atlantic', 'carrier', 'EUR'), ('pacific', 'carrier', 'USD'), ('retail', 'customer', 'EUR')
        """
    )
    first = await panel.data.carrier("CARR0001", "Atlantic Voice")
    await panel.data.carrier("CARR0002", "Baltic")
    return {"first": first, "gateway": await panel.data.gateway(first, "london-1")}


def listed(text: str) -> list[str]:
    return re.findall(r'<tr id="carrier-(CARR\d+)"', text)


def test_list_is_searched_and_narrowed_and_has_pages(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        await stock(panel)
        await panel.signed_in()
        await panel.data.connection.execute("UPDATE carrier SET status = 'inactive' WHERE code = 'CARR0002'")
        for query, codes in (
            ("", ["CARR0001", "CARR0002"]),
            ("?q=voice", ["CARR0001"]),
            ("?q=london", ["CARR0001"]),
            ("?q=198.51.100.9", ["CARR0001"]),
            ("?q=%25", []),
            ("?status=inactive", ["CARR0002"]),
        ):
            assert listed((await panel.get(f"/carriers{query}")).text) == codes, query
        await panel.data.connection.execute(
            """
            INSERT INTO carrier (code, name, currency)
            SELECT 'CARR' || lpad(number::text, 4, '0'), 'x', 'EUR' FROM generate_series(3, 60) AS number
            """
        )
        first = await panel.get("/carriers")
        second = await panel.get(first.next_page() or "")
        assert (len(listed(first.text)), len(listed(second.text))) == (50, 10)
        assert listed((await panel.get(second.next_page("Previous") or "")).text) == listed(first.text)

    play(scenario)


def test_new_carrier_has_all_that_was_typed(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        await stock(panel)
        await panel.signed_in()
        assert 'value="CARR0003"' in (await panel.get("/carriers/new")).text
        typed = {**TYPED, "code": "CARR0007", "tariff": "pacific", "tax_1": "19", "codecs": "PCMA, G729"}
        answer = await panel.post("/carriers/new", typed, form="/carriers/new")
        assert answer.status == 303, errors(answer)
        assert answer.location == "/carriers/CARR0007/gateways"
        row = await panel.data.connection.fetchrow(
            """
            SELECT carrier.name, carrier.currency, tariff.name, codecs, max_sessions, cps, tax_percents::text[]
            FROM carrier JOIN tariff ON tariff.id = tariff_id WHERE code = 'CARR0007'
            """
        )
        assert row is not None
        assert tuple(row) == ("Nordic", "USD", "pacific", ["PCMA", "G729"], 30, None, ["19.0000"])
        [entry] = await entries(panel, "carrier.add")
        assert (entry["object"], entry["new"]["tariff"]) == ("carrier CARR0007", "pacific")
        assert "Carrier added" in (await panel.get("/audit-log")).text

    play(scenario)


def test_refused_form_says_what_would_be_right(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        await stock(panel)
        await panel.signed_in()
        for changed, words in (
            ({"code": "x"}, "Code must be four capital letters and digits, like CARR0001"),
            ({"code": "CARR0001", "currency": "EUR"}, "Code CARR0001 is taken: choose another"),
            ({"tariff": "retail"}, "Tariff must be one of the list"),
            ({}, "Currency is needed where there is no tariff, like EUR"),
            ({"name": "", "currency": "EUR"}, "Name is needed"),
        ):
            typed = {**TYPED, "code": "CARR0009", **changed}
            answer = await panel.post("/carriers/new", typed, form="/carriers/new")
            assert (answer.status, errors(answer)) == (422, [words])
        assert await panel.data.connection.fetchval("SELECT count(*) FROM carrier") == 2

    play(scenario)


def test_change_suspension_and_resumption_are_stored_and_audited(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        await stock(panel)
        await panel.signed_in()
        typed = {**TYPED, "name": "Atlantic", "tariff": "atlantic", "decimals": "6"}
        assert (await panel.post(PAGE, typed, form=PAGE)).status == 303
        [entry] = await entries(panel, "carrier.change")
        assert (entry["old"]["name"], entry["old"]["tariff"]) == ("Atlantic Voice", None)
        assert "status" not in entry["old"]
        assert (entry["new"]["name"], entry["new"]["tariff"]) == ("Atlantic", "atlantic")
        assert (await panel.post(PAGE, typed, form=PAGE)).status == 303
        assert "Nothing was changed" in (await panel.get(PAGE)).text
        for status in ("inactive", "active"):
            await panel.post(f"{PAGE}/status", {"status": status}, form=PAGE)
            assert await panel.data.connection.fetchval("SELECT status FROM carrier WHERE code = 'CARR0001'") == status
        assert len(await entries(panel, "carrier.set_status")) == 2
        assert (await panel.post(f"{PAGE}/status", {"status": "gone"}, form=PAGE)).status == 404

    play(scenario)


def test_carrier_is_deleted_only_when_nothing_names_it(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        ids, row = await stock(panel), panel.data.connection
        route = await row.fetchval("INSERT INTO route (name) VALUES ('europe') RETURNING id")
        await row.execute("INSERT INTO route_entry (route_id, carrier_id) VALUES ($1, $2)", route, ids["first"])
        await row.execute("INSERT INTO did (number, carrier_id) VALUES ('4420', $1)", ids["first"])
        await panel.signed_in()
        answer = await panel.get(f"{PAGE}/delete")
        assert answer.status == 422
        for words in (
            "It is active: suspend it first",
            "It has 1 gateway: delete them first",
            "It is in route europe: remove its entries there",
            "It brings 1 DID number: let another carrier bring them",
        ):
            assert words in answer.text
        await row.execute("DELETE FROM did; DELETE FROM route_entry; DELETE FROM gateway")
        await row.execute("UPDATE carrier SET status = 'inactive'")
        await panel.data.record(None, carrier_id=ids["first"])
        assert "Call records name it" in (await panel.get(f"{PAGE}/delete")).text
        await row.execute("DELETE FROM cdr")
        answer = await panel.post(f"{PAGE}/delete", {"typed_name": "atlantic"}, form="/carriers")
        assert "Type the name as it is: Atlantic Voice" in answer.text
        answer = await panel.post(f"{PAGE}/delete", {"typed_name": "Atlantic Voice"}, form="/carriers")
        assert answer.location == "/carriers"
        assert await row.fetchval("SELECT count(*) FROM carrier WHERE code = 'CARR0001'") == 0
        assert await row.fetchval("SELECT count(*) FROM number_rule WHERE carrier_id = $1", ids["first"]) == 0
        assert len(await entries(panel, "carrier.delete")) == 1

    play(scenario)
