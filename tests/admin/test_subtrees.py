"""Every route as every role against another subtree's objects: 404 each time, and nothing changed."""

import re
from typing import Any

import pytest

from admin.permissions import ROLE_PERMISSIONS, STAFF
from admin.routes import ROUTES
from tests.admin.conftest import Play
from tests.admin.panel import Panel
from tests.admin.test_customer_form import stock
from tests.admin.test_tariffs import made
from tests.b2bua.account.test_customer import TYPED

TABLES = (
    *("account", "account_balance", "ip_device", "sip_user", "dialing_route", "number_rule", "ledger_entry"),
    *("panel_user", "audit_entry", "did", "did_destination", "carrier", "gateway", "route", "route_entry"),
    *("tariff", "ratecard", "tariff_ratecard", "rate", "job"),
)
FIELDS = {
    **TYPED,
    **{"status": "suspended", "typed_name": "Foreign customer", "option": "add_balance", "amount": "5"},
    **{"paid_by": "cash", "request_key": "7b2d9a52-95a3-4b7e-9a33-0a2c6f0f4c11", "address": "203.0.113.9"},
    **{"act": "release", "number": "4930900002", "numbers": "4930900002", "kind": "number", "target": "4420"},
    **{"currency": "EUR", "ratecard": "Foreign card", "prefix": "44", "rate_per_minute": "1"},
    **{"direction": "outgoing", "blocks_mode": "from_zero", "minimum": "1", "resolution": "1"},
    **{"username": "zoe", "pattern": "%", "route": "standard", "rule": "1%=>%", "transport": "udp", "port": "5060"},
}
"""Good for every form, so that only the scope can stand against it."""


async def foreign_objects(panel: Panel, account: int) -> dict[str, str]:
    """One of each kind of the foreign customer: the id of each, by its tab."""
    row, ids = panel.data.connection, {}
    await row.execute("INSERT INTO route (name) VALUES ('standard')")
    for tab, statement in {
        "ip-devices": "INSERT INTO ip_device (account_id, address) VALUES ($1, '192.0.2.1') RETURNING id",
        "sip-users": """
            INSERT INTO sip_user (account_id, username, ha1_md5) VALUES ($1, 'f', repeat('0', 32)) RETURNING id
        """,
        "dialing-routes": "INSERT INTO dialing_route (account_id, route_id) SELECT $1, id FROM route RETURNING id",
        "source-rules": "SELECT id FROM number_rule WHERE account_id = $1 AND kind = 'source'",
        "cli-rules": "INSERT INTO number_rule (account_id, kind, rule) VALUES ($1, 'cli', '1%=>2') RETURNING id",
        "entry": """
            INSERT INTO ledger_entry (account_id, kind, amount, currency) VALUES ($1, 'credit', 5, 'EUR') RETURNING id
        """,
    }.items():
        ids[tab] = str(await row.fetchval(statement, account))
    return ids


async def picture(panel: Panel) -> dict[str, list[Any]]:
    """Every row of every table that these routes write."""
    return {
        table: [tuple(row) for row in await panel.data.connection.fetch(f"SELECT * FROM {table} ORDER BY 1")]
        for table in TABLES
    }


def paths(path: str, code: str, ids: dict[str, str]) -> list[str]:
    if path.startswith("/resellers/"):
        code = code.replace("CUST010", "RESE000")
    if "{tab}" not in path:
        return [path.replace("{code}", code).replace("{entry}", ids["entry"]).replace("{login}", "f")]
    tabs = [tab for tab in ids if tab != "entry"]
    return [path.replace("{code}", code).replace("{tab}", tab).replace("{item}", ids[tab]) for tab in tabs]


def test_no_role_reaches_into_another_subtree(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        accounts = await stock(panel)
        ids = await foreign_objects(panel, accounts["foreign"])
        await panel.data.user("f", "customer", accounts["foreign"])
        for role, account in (("reseller", accounts["reseller"]), ("customer", accounts["own"])):
            panel.forget()
            await panel.signed_in(role, account, login=role)
            token, before = await panel.token("/"), await picture(panel)
            for route in ROUTES:
                if "{code}" not in route.path and "{login}" not in route.path:
                    continue
                for path in paths(route.path, "CUST0102", ids):
                    answer = (
                        await panel.get(path)
                        if route.method == "GET"
                        else await panel.post_raw(path, {"csrf_token": token, **FIELDS})
                    )
                    assert answer.status == 404, (role, route.name, path)
                    assert "Foreign" not in answer.text
                    assert "Name of RESE0002" not in answer.text
            assert await picture(panel) == before

    play(scenario)


async def foreign_prices(panel: Panel, owner: int | None) -> dict[str, str]:
    """A tariff with a ratecard, a rate and a job: the id of each, by its part of an address."""
    tariff, card = await made(panel, "tariff", "Foreign tariff", owner), await made(panel, "ratecard", "Foreign", owner)
    ids = {"tariff": tariff, "ratecard": card}
    for name, statement in {
        "entry": "INSERT INTO tariff_ratecard (tariff_id, ratecard_id) VALUES ($1, $2) RETURNING id",
        "rate": "INSERT INTO rate (ratecard_id, prefix, rate_per_minute) SELECT $2, '44', 1 WHERE $1 > 0 RETURNING id",
    }.items():
        ids[name] = await panel.data.connection.fetchval(statement, tariff, card)
    ids["job"] = await panel.data.connection.fetchval(
        """
        INSERT INTO job (kind, status, title, login, account_id, ratecard_id, instance)
        VALUES ('preview', 'finished', 'Foreign file', 'f', $1, $2, gen_random_uuid()) RETURNING id
        """,
        owner,
        card,
    )
    return {name: str(each) for name, each in ids.items()}


@pytest.mark.parametrize("owner", ["other", None])
def test_no_role_reaches_tariffs_ratecards_and_jobs_of_others(play: Play, owner: str | None) -> None:
    async def scenario(panel: Panel) -> None:
        accounts = await stock(panel)
        ids = await foreign_prices(panel, accounts[owner] if owner else None)
        for role, account in (("reseller", accounts["reseller"]), ("customer", accounts["own"]), ("support", None)):
            panel.forget()
            await panel.signed_in(role, account, login=role)
            token, before = await panel.token("/"), await picture(panel)
            for route in ROUTES:
                if not re.search(r"\{(tariff|ratecard|job)\}", route.path):
                    continue
                path = re.sub(r"\{([a-z]+)\}", lambda part: ids[part[1]], route.path)
                answer = (
                    await panel.get(path)
                    if route.method == "GET"
                    else await panel.post_raw(path, {"csrf_token": token, **FIELDS})
                )
                assert answer.status == 404, (role, route.name, path)
                assert "Foreign" not in answer.text
            assert await picture(panel) == before

    play(scenario)


def test_object_of_another_customer_is_not_found_below_the_own_one(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        accounts = await stock(panel)
        ids = await foreign_objects(panel, accounts["foreign"])
        await panel.data.user("f", "customer", accounts["foreign"])
        await panel.signed_in("reseller", accounts["reseller"])
        token, before = await panel.token("/"), await picture(panel)
        for route in ROUTES:
            parts = set(re.findall(r"{[a-z]+}", route.path))
            if "{code}" not in parts or not {"{item}", "{entry}", "{login}"} & parts:
                continue
            for path in paths(route.path, "CUST0101", ids):
                answer = (
                    await panel.get(path)
                    if route.method == "GET"
                    else await panel.post_raw(path, {"csrf_token": token, **FIELDS})
                )
                assert answer.status in {404, 422}, (route.name, path)
                assert answer.status == 404 or route.name == "payment.reverse"
        assert await picture(panel) == before

    play(scenario)


def test_role_without_the_permission_changes_nothing_of_any_customer(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        accounts = await stock(panel)
        ids = await foreign_objects(panel, accounts["own"])
        for role, permissions in ROLE_PERMISSIONS.items():
            panel.forget()
            await panel.signed_in(role, None if role in STAFF else accounts["own"], login=f"as{role}")
            token, before = await panel.token("/"), await picture(panel)
            for route in ROUTES:
                if not re.search("{(code|login)}", route.path) or route.permission in permissions:
                    continue
                for path in paths(route.path, "CUST0101", ids):
                    answer = (
                        await panel.get(path)
                        if route.method == "GET"
                        else await panel.post_raw(path, {"csrf_token": token, **FIELDS})
                    )
                    assert answer.status == 404, (role, route.name)
            assert await picture(panel) == before

    play(scenario)


def test_address_of_no_customer_is_not_found(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        await panel.signed_in()
        for code in ("CUST9999", "RESE0001", "x%27", "%25"):
            assert (await panel.get(f"/customers/{code}")).status == 404
        await stock(panel)
        for place in ("nonsense", "ip-devices/x", "ip-devices/0", "ip-devices/99999999999999999999", "ip-devices/try"):
            assert (await panel.get(f"/customers/CUST0101/{place}")).status == 404, place
        assert re.search("Own customer", (await panel.get("/customers/CUST0101")).text)

    play(scenario)


async def network(panel: Panel, own: int, foreign: int) -> dict[str, str]:
    """A carrier with gateway and rule, a route with an entry, a DID of each account; the parts of their addresses."""
    row = panel.data.connection
    carrier = await panel.data.carrier("CARR0001", "Foreign carrier")
    gateway = await panel.data.gateway(carrier, "g1")
    route = await row.fetchval("INSERT INTO route (name) VALUES ('standard') RETURNING id")
    entry = await row.fetchval(
        "INSERT INTO route_entry (route_id, carrier_id) VALUES ($1, $2) RETURNING id", route, carrier
    )
    await row.execute(
        "INSERT INTO did (number, account_id) VALUES ('4930900001', $1), ('4930900002', $2)", own, foreign
    )
    rule = await row.fetchval("SELECT id FROM number_rule WHERE carrier_id = $1 AND kind = 'source'", carrier)
    places = {"carrier": "CARR0001", "gateway": gateway, "tab": "source-rules", "rule": rule, "route": route}
    return {name: str(value) for name, value in {**places, "entry": entry, "number": "4930900002"}.items()}


def test_no_role_reaches_the_network_or_numbers_of_others(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        accounts = await stock(panel)
        places = await network(panel, accounts["own"], accounts["foreign"])
        for role, permissions in ROLE_PERMISSIONS.items():
            panel.forget()
            account = accounts["reseller"] if role == "reseller" else accounts["own"]
            await panel.signed_in(role, None if role in STAFF else account, login=f"as{role}")
            token, before = await panel.token("/"), await picture(panel)
            for route in ROUTES:
                is_foreign = "{number}" in route.path and role not in STAFF
                if not route.path.startswith(("/carriers", "/routes", "/dids")):
                    continue
                if route.permission in permissions and not is_foreign:
                    continue
                path = re.sub(r"\{([a-z]+)\}", lambda found: places[found[1]], route.path)
                answer = (
                    await panel.get(path)
                    if route.method == "GET"
                    else await panel.post_raw(path, {"csrf_token": token, **FIELDS})
                )
                assert answer.status == 404, (role, route.name)
                assert "Foreign" not in answer.text
            assert await picture(panel) == before

    play(scenario)
