"""A panel and the system's Chromium in one loop."""

import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from playwright.async_api import Page, async_playwright

from conf.settings import Settings
from tests.admin.data import PASSWORD
from tests.admin.panel import Panel, open_panel

CHROMIUM: Final = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
AXE: Final = Path(__file__).parents[2] / "admin/assets/node_modules/axe-core/axe.min.js"
WIDE: Final = {"width": 1280, "height": 900}
NARROW: Final = {"width": 390, "height": 844}


@dataclass
class Browser:
    """One page, and what its console said."""

    base: str
    page: Page
    faults: list[str] = field(default_factory=list)

    def address(self, path: str) -> str:
        return f"{self.base}{path}"

    async def open(self, path: str) -> None:
        answer = await self.page.goto(self.address(path))
        assert answer is not None
        assert answer.status == 200, (path, answer.status)

    async def sign_in(self, login: str, password: str = PASSWORD) -> None:
        await self.open("/sign-in")
        await self.page.fill("[name=login]", login)
        await self.page.fill("[name=password]", password)
        await self.page.click("[type=submit]")
        await self.page.wait_for_url(lambda url: "/sign-in" not in url)

    async def has_sideways_scroll(self) -> bool:
        found: bool = await self.page.evaluate(
            "document.documentElement.scrollWidth > document.documentElement.clientWidth"
        )
        return found

    async def accessibility_faults(self) -> list[str]:
        """What axe-core finds of grade serious or critical."""
        await self.page.evaluate(AXE.read_text())
        found: dict[str, Any] = await self.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        return [
            f"{each['id']}: {node['html'][:160]}"
            for each in found["violations"]
            if each["impact"] in {"serious", "critical"}
            for node in each["nodes"]
        ]


@asynccontextmanager
async def open_page(base: str, *, dark: bool = False, narrow: bool = False) -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = await chromium.new_context(
            viewport=NARROW if narrow else WIDE,  # type: ignore[arg-type]
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",
        )
        context.set_default_timeout(15_000)
        browser = Browser(base, await context.new_page())
        browser.page.on(
            "console", lambda message: browser.faults.append(message.text) if message.type == "error" else None
        )
        browser.page.on("pageerror", lambda error: browser.faults.append(str(error)))
        try:
            yield browser
        finally:
            await chromium.close()


@asynccontextmanager
async def open_browser(settings: Settings, **how: bool) -> AsyncIterator[tuple[Panel, Browser]]:
    """A panel of its own, and a browser that looks at it."""
    async with open_panel(settings) as panel, open_page(str(panel.client.make_url("")).rstrip("/"), **how) as browser:
        yield panel, browser


def expected(faults: list[str], status: int) -> list[str]:
    """What is left when the refusals that a test provoked are taken away."""
    return [fault for fault in faults if not re.search(rf"status of {status}\b", fault)]
