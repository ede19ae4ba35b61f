"""DID numbers: listed, added in ranges, assigned, led somewhere, by who may; no carrier where carriers are hidden."""

import re
from typing import Any

import pytest

from tests.admin.conftest import Play
from tests.admin.panel import Answer, Panel
from tests.admin.test_customer_form import entries, errors, stock
from tests.admin.test_items import plain, rows

QUERY = "SELECT number, account.code, did.status FROM did LEFT JOIN account ON account.id = account_id ORDER BY number"


async def numbers(panel: Panel) -> dict[str, int]:
    """The accounts of a form's tests, a free number and one of each customer, brought by a carrier."""
    ids = await stock(panel)
    carrier = await panel.data.carrier("CARR0001", "Hidden Carrier")
    await panel.data.connection.execute(
        """
        INSERT INTO did (number, account_id, carrier_id)
        VALUES ('442079460000', NULL, $1), ('442079460001', $2, $1), ('442079460002', $3, $1)
        """,
        carrier,
        ids["own"],
        ids["foreign"],
    )
    await panel.data.connection.execute(
        """
        INSERT INTO sip_user (account_id, username, extension, ha1_md5)
        VALUES ($1, 'anna', '1001', repeat('0', 32)), ($2, 'bob', '', repeat('0', 32))
        """,
        ids["own"],
        ids["foreign"],
    )
    return ids


def listed(text: str) -> list[str]:
    return re.findall(r'<tr id="did-(\d+)"', text)


async def as_role(panel: Panel, role: str, account: int | None = None) -> None:
    panel.forget()
    await panel.signed_in(role, account, login=f"as{role}")


async def send(panel: Panel, place: str, **typed: Any) -> Answer:
    return await panel.post(place, typed, form="/dids")


@pytest.mark.usefixtures("way")
def test_each_role_lists_the_numbers_of_its_own_subtree(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        ids = await numbers(panel)
        everything = ["442079460000", "442079460001", "442079460002"]
        for role, account, found, is_hidden in (
            ("administrator", None, everything, False),
            ("support", None, everything, False),
            ("reseller", ids["reseller"], ["442079460001"], True),
            ("customer", ids["own"], ["442079460001"], True),
        ):
            await as_role(panel, role, account)
            text = (await panel.get("/dids")).text
            assert listed(text) == found
            assert ("CARR0001" not in text) == is_hidden
            assert ('name="number"' in text) == (role != "customer")
            page = await panel.get("/dids/442079460001")
            assert (page.status, "CARR0001" in page.text) == (200, role == "administrator")
            status = (await panel.get("/dids/442079460002")).status
            assert status == (404 if is_hidden else 200)
        await as_role(panel, "accounts")
        assert (await panel.get("/dids")).status == 404

    play(scenario)


@pytest.mark.usefixtures("way")
def test_list_is_searched_narrowed_and_has_pages(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        await numbers(panel)
        await panel.signed_in()
        await panel.data.connection.execute("UPDATE did SET status = 'inactive' WHERE number = '442079460002'")
        for query, found in (
            ("?q=%2B44%2020%207946%200001", ["442079460001"]),
            ("?q=60002", ["442079460002"]),
            ("?q=foreign", ["442079460002"]),
            ("?q=cust0101", ["442079460001"]),
            ("?state=free", ["442079460000"]),
            ("?state=inactive", ["442079460002"]),
            ("?account=cust0101", ["442079460001"]),
            ("?q=999", []),
        ):
            assert listed((await panel.get(f"/dids{query}")).text) == found, query
        await panel.data.connection.execute(
            "INSERT INTO did (number) SELECT (500 + number)::text FROM generate_series(1, 60) AS number"
        )
        first = await panel.get("/dids")
        second = await panel.get(first.next_page() or "")
        assert (len(listed(first.text)), len(listed(second.text))) == (50, 13)
        assert listed((await panel.get(second.next_page("Previous") or "")).text) == listed(first.text)
        assert "63 numbers" in plain(first)

    play(scenario)


def test_range_is_added_whole_or_not_at_all(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        await numbers(panel)
        await panel.signed_in()
        typed = {"account": "CUST0101", "carrier": "CARR0001", "channels": "5", "status": "active"}
        answer = await send(panel, "/dids/new", numbers="442079460001-442079460009", **typed)
        assert errors(answer) == ["Numbers must be new: 442079460001, 442079460002 are there already"]
        for changed, words in (
            ({"account": "CUST9999"}, "Account must be the code of one of your accounts; there is no CUST9999"),
            ({"carrier": "CARR9999"}, "Carrier must be one of the list"),
        ):
            assert errors(await send(panel, "/dids/new", numbers="4420", **{**typed, **changed})) == [words]
        assert len(await rows(panel, QUERY)) == 3
        answer = await send(panel, "/dids/new", numbers="442079460010-442079460019\n4930-4931", **typed)
        assert answer.location == "/dids"
        found = await rows(
            panel, "SELECT count(*), min(channels), max(carrier_id) FROM did WHERE account_id IS NOT NULL"
        )
        assert found[0][:2] == (14, 5)
        [entry] = await entries(panel, "did.add")
        assert entry["object"] == "DID 4930-4931, 442079460010-442079460019"
        assert "CARR0001" not in str(entry)
        [hidden] = await entries(panel, "did.carrier")
        assert hidden["new"] == {"carrier": "CARR0001"}
        answer = await send(panel, "/dids/new", numbers="+33 1 23 45", status="active")
        assert answer.location == "/dids/3312345"

    play(scenario)


def test_number_is_led_to_devices_of_its_account_only(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        await numbers(panel)
        await panel.signed_in()
        page = "/dids/442079460001"
        for kind, target, words in (
            ("sip_user", "bob", "SIP user bob must be one of the DID"),
            ("ip_device", "192.0.2.9", "IP device 192.0.2.9 must be one of the DID"),
            ("ip_device", "1:2", "Destination must be the address of an IP device"),
            ("extension", "9", "Extension 9 must be that of a SIP user of the DID"),
        ):
            [said] = errors(await send(panel, f"{page}/destinations", kind=kind, target=target))
            assert said.startswith(words)
        typed = {"kind": "extension", "target": "1001", "failover_kind": "number", "failover_target": "+4420"}
        assert (await send(panel, f"{page}/destinations", **typed)).status == 303
        query = "SELECT priority, kind, number FROM did_destination ORDER BY priority"
        assert await rows(panel, query) == [(1, "extension", "1001"), (2, "number", "+4420")]
        assert "Extension 1001" in plain(await panel.get("/dids"))
        [entry] = await entries(panel, "did.lead")
        assert entry["new"] == {"destination": "Extension 1001", "failover": "Outside number +4420"}
        await send(panel, page, account="CUST0102", channels="3", status="active", carrier="CARR0001")
        assert await rows(panel, query) == []
        assert "Calls to it go nowhere now" in plain(await panel.get(page))
        assert (await send(panel, "/dids/442079460000/destinations", kind="")).status == 404
        await send(panel, f"{page}/remove")
        assert len(await rows(panel, QUERY)) == 2

    play(scenario)


def test_many_are_assigned_released_and_suspended_within_the_scope(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        ids = await numbers(panel)
        await panel.signed_in()
        answer = await send(panel, "/dids/many", act="assign", number="442079460000", account="cust0101")
        assert answer.location == "/dids"
        assert "1 DID number assigned" in plain(await panel.get("/dids"))
        assert (await rows(panel, QUERY))[0] == ("442079460000", "CUST0101", "active")
        await as_role(panel, "reseller", ids["reseller"])
        for typed, words in (
            ({"act": "assign", "numbers": "442079460000-442079460002", "account": "CUST0101"}, "442079460002 is not"),
            ({"act": "release", "numbers": "442079460002"}, "442079460002 is not"),
            ({"act": "assign", "number": "442079460001", "account": "CUST0102"}, "there is no CUST0102"),
            ({"act": "assign", "number": "442079460001"}, "Account is needed"),
            ({"act": "inactive"}, "Numbers are needed"),
        ):
            answer = await send(panel, "/dids/many", **typed)
            assert (answer.status, words in answer.text) == (422, True), typed
            assert 'name="next" value="/dids"' in answer.text
        assert (await rows(panel, QUERY))[2] == ("442079460002", "CUST0102", "active")
        await send(panel, "/dids/many", act="release", numbers="442079460000-442079460001")
        await send(panel, "/dids/many", act="inactive", number="442079460001")
        assert (await rows(panel, QUERY))[:2] == [
            ("442079460000", "RESE0001", "active"),
            ("442079460001", "RESE0001", "inactive"),
        ]
        assert (await send(panel, "/dids/many", act="burn", number="442079460001")).status == 404
        assert len(await entries(panel, "did.change_many")) == 3
        assert "Hidden" not in (await panel.get("/audit-log")).text

    play(scenario)


def test_reseller_changes_its_own_numbers_and_leaves_the_carrier(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        ids = await numbers(panel)
        await as_role(panel, "reseller", ids["reseller"])
        page = "/dids/442079460001"
        typed = {"account": "CUST0101", "channels": "7", "status": "active", "carrier": ""}
        assert (await send(panel, page, **typed)).status == 303
        query = "SELECT channels, carrier_id IS NOT NULL, account_id FROM did WHERE number = '442079460001'"
        assert await rows(panel, query) == [(7, True, ids["own"])]
        answer = await send(panel, page, **{**typed, "account": "CUST0102"})
        assert "there is no CUST0102" in answer.text
        await send(panel, page, **{**typed, "account": ""})
        assert await rows(panel, query) == [(7, True, ids["reseller"])]
        for place in ("/dids/new", f"{page}/remove", "/dids/442079460002", "/dids/442079460002/destinations"):
            assert (await send(panel, place, **typed)).status == 404
        assert len(await rows(panel, QUERY)) == 3

    play(scenario)


def test_customer_leads_its_numbers_where_its_account_lets_it(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        ids = await numbers(panel)
        await as_role(panel, "customer", ids["own"])
        page, typed = "/dids/442079460001", {"kind": "sip_user", "target": "anna"}
        assert (await send(panel, f"{page}/destinations", **typed)).status == 303
        assert "SIP user anna" in plain(await panel.get("/dids"))
        for place in ("/dids/442079460002/destinations", page, "/dids/many", f"{page}/remove"):
            assert (await send(panel, place, **typed, act="release", number="442079460001")).status == 404
        await panel.data.connection.execute("UPDATE account SET own_did_destination_rules = false")
        assert (await send(panel, f"{page}/destinations", **typed)).status == 404
        assert "Save destinations" not in (await panel.get(page)).text

    play(scenario)


def test_find_box_opens_what_is_named_in_full(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        ids = await numbers(panel)
        row = panel.data.connection
        gateway = await row.fetchval(
            "INSERT INTO gateway (carrier_id, name, host) SELECT id, 'london-1', '192.0.2.1' FROM carrier RETURNING id"
        )
        route = await row.fetchval("INSERT INTO route (name) VALUES ('europe') RETURNING id")
        await panel.signed_in()
        for text, place in (
            ("%2B44%2020%207946%200002", "/dids/442079460002"),
            ("carr0001", "/carriers/CARR0001"),
            ("london-1", f"/carriers/CARR0001/gateways/{gateway}"),
            ("europe", f"/routes/{route}/entries"),
            ("4930", "/call-records?number=4930"),
        ):
            assert (await panel.get(f"/find?q={text}")).location == place
        await as_role(panel, "reseller", ids["reseller"])
        for text, place in (
            ("442079460002", "/call-records?number=442079460002"),
            ("442079460001", "/dids/442079460001"),
            ("london-1", "/customers?q=london-1"),
        ):
            assert (await panel.get(f"/find?q={text}")).location == place

    play(scenario)
