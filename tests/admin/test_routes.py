"""Rules that hold for every address."""

import re

import pytest

from admin.middleware import POLICY
from admin.permissions import ROLE_PERMISSIONS, STAFF, Permission, has_permission
from admin.routes import PERMISSIONS, ROUTES
from tests.admin.conftest import Play
from tests.admin.panel import Panel

PAGES = [
    route.path
    for route in ROUTES
    if route.method == "GET"
    and "{" not in route.path
    and "stream" not in route.path
    and has_permission("administrator", route.permission)
]


def test_every_route_has_a_permission_and_a_name_of_its_own() -> None:
    assert len(PERMISSIONS) == len(ROUTES)
    assert {route.path for route in ROUTES if route.permission is Permission.PUBLIC} == {
        "/healthz",
        "/metrics",
        "/sign-in",
        "/sign-in/code",
    }
    for route in ROUTES:
        assert route.name.count(".") == 1


def test_every_role_of_the_schema_has_permissions() -> None:
    assert set(ROLE_PERMISSIONS) == {"administrator", "support", "accounts", "reseller", "customer"}
    for role in ("reseller", "customer"):
        assert not ROLE_PERMISSIONS[role] & {Permission.CARRIERS_READ, Permission.CARRIER_COST_READ}


def test_visitor_reaches_no_page_without_signing_in(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        for route in ROUTES:
            if route.method == "GET" and route.permission is not Permission.PUBLIC:
                answer = await panel.get(re.sub(r"\{[a-z_]+\}", "1", route.path))
                assert answer.status == 303, route.name
                assert answer.location.startswith("/sign-in")

    play(scenario)


@pytest.mark.parametrize("path", PAGES)
def test_every_answer_carries_the_policy_and_is_not_kept(play: Play, path: str) -> None:
    async def scenario(panel: Panel) -> None:
        await panel.signed_in()
        answer = await panel.get(path)
        assert answer.status in {200, 303, 503}
        assert answer.header("Content-Security-Policy") == POLICY
        assert answer.header("X-Content-Type-Options") == "nosniff"
        assert answer.header("Cache-Control") == "no-store"
        assert len(answer.header("X-Request-Id")) == 16

    play(scenario)


def test_each_role_opens_the_pages_it_may_and_no_other(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        account = await panel.data.account("CUST0001")
        for role, permissions in ROLE_PERMISSIONS.items():
            panel.forget()
            await panel.signed_in(role, None if role in STAFF else account, login=f"as{role}")
            for route in ROUTES:
                if route.method != "GET" or "{" in route.path or "stream" in route.path:
                    continue
                answer = await panel.get(route.path)
                if route.permission in permissions:
                    assert answer.status in {200, 303, 503}, (role, route.name)
                else:
                    assert answer.status == 404, (role, route.name)

    play(scenario)


def test_stranger_sees_no_difference_between_missing_and_forbidden(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        account = await panel.data.account("CUST0001")
        await panel.signed_in("customer", account)
        forbidden, missing = await panel.get("/customers"), await panel.get("/nothing-here")
        assert forbidden.status == missing.status == 404
        for answer in (forbidden, missing):
            assert "Page not found" in answer.text
            assert answer.header("X-Request-Id") in answer.text
            assert 'aria-label="Main"' in answer.text

    play(scenario)


def test_customer_is_offered_only_the_pages_it_may_open(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        account = await panel.data.account("CUST0001")
        await panel.signed_in("customer", account)
        text = (await panel.get("/")).text
        assert 'href="/live-calls"' in text
        assert 'href="/customers"' not in text
        assert "Gateways" not in text
        assert "Health" not in text

    play(scenario)


def test_database_fault_is_a_page_of_its_own_when_it_stops_answering(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        from admin.keys import POOL

        await panel.signed_in()
        await panel.app[POOL].close()
        answer = await panel.get("/customers")
        assert answer.status == 503
        assert "The database does not answer" in answer.text

    play(scenario)
