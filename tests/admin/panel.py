"""The panel as a browser without scripts sees it."""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import ClientResponse, CookieJar, web
from aiohttp.test_utils import TestClient, TestServer
from yarl import URL

from admin.app import init_app
from admin.csrf import FIELD
from admin.passwords import Passwords
from conf.embedded import run_directory
from conf.settings import Settings
from tests.admin.data import PASSWORD, QUICK, Data, connect
from tests.admin.worker import Worker


@dataclass
class Answer:
    """A response with its text."""

    response: ClientResponse
    text: str

    @property
    def status(self) -> int:
        return self.response.status

    @property
    def location(self) -> str:
        return self.response.headers["Location"]

    def header(self, name: str) -> str:
        return self.response.headers[name]

    def next_page(self, word: str = "Next") -> str | None:
        found = re.search(rf'<a class="btn"\s+href="([^"]+)"[^>]*>{word}</a>', self.text)
        return found[1].replace("&amp;", "&") if found else None


@dataclass
class Panel:
    """A panel with its database, its worker and one browser."""

    app: web.Application
    data: Data
    worker: Worker
    client: TestClient[web.Request, web.Application]

    async def get(self, address: str, headers: Mapping[str, str] | None = None) -> Answer:
        response = await self.client.get(URL(address, encoded=True), headers=headers, allow_redirects=False)
        return Answer(response, await response.text())

    async def post(
        self,
        address: str,
        fields: Mapping[str, Any],
        headers: Mapping[str, str] | None = None,
        *,
        form: str = "/sign-in",
    ) -> Answer:
        """Send a form with the token of the page `form`."""
        token = await self.token(form)
        return await self.post_raw(address, {FIELD: token, **fields}, headers)

    async def post_raw(
        self, address: str, fields: Mapping[str, Any], headers: Mapping[str, str] | None = None
    ) -> Answer:
        response = await self.client.post(address, data=fields, headers=headers, allow_redirects=False)
        return Answer(response, await response.text())

    async def token(self, page: str) -> str:
        text = (await self.get(page)).text
        found = re.search(r'name="csrf-token" content="([^"]+)"', text)
        assert found, f"{page} has no token: {text[:300]}"
        return found[1]

    async def sign_in(self, login: str, password: str = PASSWORD, **fields: str) -> Answer:
        return await self.post("/sign-in", {"login": login, "password": password, **fields})

    async def signed_in(
        self, role: str = "administrator", account_id: int | None = None, login: str = "somebody", zone: str = "UTC"
    ) -> None:
        """Make a login of this role and sign in with it."""
        await self.data.user(login, role, account_id, time_zone=zone)
        assert (await self.sign_in(login)).status == 303

    def forget(self) -> None:
        """Be another browser."""
        self.client.session.cookie_jar.clear()


@asynccontextmanager
async def open_panel(settings: Settings) -> AsyncIterator[Panel]:
    worker = Worker(run_directory(settings))
    await worker.start()
    data = await connect(settings.database.url)
    app = init_app(settings, passwords=Passwords(QUICK))
    client: TestClient[web.Request, web.Application] = TestClient(TestServer(app), cookie_jar=CookieJar(unsafe=True))
    await client.start_server()
    try:
        yield Panel(app, data, worker, client)
    finally:
        await client.close()
        await data.connection.close()
        await worker.stop()
