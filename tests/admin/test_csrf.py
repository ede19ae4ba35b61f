"""Forged requests are refused."""

import re

from admin.csrf import mask, secret_of, unmask
from tests.admin.conftest import Play
from tests.admin.data import PASSWORD
from tests.admin.panel import Panel


def test_token_differs_each_time_and_means_the_same() -> None:
    secret = secret_of("cookie")
    first, second = mask(secret), mask(secret)
    assert first != second
    assert unmask(first) == unmask(second) == secret


def test_token_is_refused_when_it_is_no_token() -> None:
    for text in ("", "x", "é", "QUJD", mask(secret_of("a"))[:-4]):
        assert unmask(text) is None


def test_stranger_cannot_sign_somebody_in_without_the_token(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        await panel.data.user("root")
        await panel.get("/sign-in")
        foreign = mask(secret_of("another browser"))
        for fields in ({}, {"csrf_token": ""}, {"csrf_token": foreign}):
            answer = await panel.post_raw("/sign-in", {"login": "root", "password": PASSWORD, **fields})
            assert answer.status == 403
        assert await panel.data.connection.fetchval("SELECT count(*) FROM panel_session") == 0

    play(scenario)


def test_every_changing_route_is_refused_without_the_token(play: Play) -> None:
    from admin.routes import ROUTES

    async def scenario(panel: Panel) -> None:
        await panel.signed_in()
        for route in ROUTES:
            if route.method != "GET":
                answer = await panel.post_raw(re.sub(r"\{[a-z_]+\}", "1", route.path), {})
                assert answer.status == 403, route.name

    play(scenario)


def test_header_is_taken_in_place_of_the_field(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        await panel.signed_in()
        headers = {"X-CSRF-Token": await panel.token("/password"), "HX-Request": "true"}
        answer = await panel.post_raw("/theme", {"theme": "dark"}, headers)
        assert answer.status == 204
        assert 'data-theme-choice="dark"' in (await panel.get("/password")).text

    play(scenario)
