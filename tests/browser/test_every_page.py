"""Every page in a real browser: nothing in its console, no fault that axe-core calls serious, no sideways scroll.

The pages are those that links lead to from the start page, so that one nobody can reach is found as well.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final
from urllib.parse import urldefrag

import pytest

from admin.routes import ROUTES, Route
from benchmarks.panel_data import fill
from conf.settings import Settings, SystemSettings
from tests.admin.panel import Panel, open_panel
from tests.admin.test_subtrees import foreign_prices
from tests.browser.browsing import NARROW, WIDE, Browser, expected, open_page
from tests.browser.screenshots import stage
from tests.support.servers import Run

NO_PAGES: Final = re.compile(
    r"monitoring\.|\.export$|\.stream$|\.file$|\.trial$|^find\.show$|^session\.|\.own$|^factor\.(?!show)|\.preview$"
)
"""Names of routes that answer with something else, or that only others than an administrator have."""
HOWS: Final = ((False, False), (True, True), (False, True), (True, False))
"""Narrow, dark."""


def pattern(route: Route) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(route.path)))


PATTERNS: Final = sorted(
    ((route.name, pattern(route), route.path.count("{")) for route in ROUTES if route.method == "GET"),
    key=lambda known: known[2],
)


def page_of(path: str) -> str:
    """Name of the page at an address, with its tab where it has some; empty: it is none."""
    bare = path.partition("?")[0]
    name = next((name for name, known, _ in PATTERNS if known.fullmatch(bare)), "")
    if not name or NO_PAGES.search(name):
        return ""
    return f"{name} {bare.split('/')[3]}" if name in ("item.list", "carrier_rule.list") else name


async def links(browser: Browser) -> Iterator[str]:
    """Addresses of the panel that a page links to."""
    script = "all => all.map(each => new URL(each.getAttribute('href'), document.baseURI).href)"
    found: list[str] = await browser.page.eval_on_selector_all("a[href]", script)
    return (urldefrag(each)[0].removeprefix(browser.base) for each in found if each.startswith(browser.base + "/"))


async def look(browser: Browser, path: str, hows: tuple[tuple[bool, bool], ...]) -> None:
    for narrow, dark in hows:
        await browser.page.set_viewport_size(NARROW if narrow else WIDE)  # type: ignore[arg-type]
        await browser.page.emulate_media(color_scheme="dark" if dark else "light")
        await browser.page.goto(browser.address(path))
        assert not await browser.has_sideways_scroll(), path
        assert await browser.accessibility_faults() == [], path
        assert expected(browser.faults, 422) == [], path


@pytest.mark.parametrize("count", [1, pytest.param(len(HOWS), marks=pytest.mark.slow)])
def test_every_page_is_usable(run: Run, database_url: str, tmp_path: Path, count: int) -> None:
    async def walk(panel: Panel, browser: Browser) -> None:
        call = await stage(panel)
        prices = await foreign_prices(panel, None)
        await panel.data.connection.execute("UPDATE job SET status = 'failed'")
        await browser.sign_in("admin")
        seen: set[str] = set()
        left = ["/", f"/call-records/{call}/1", f"/tariffs/{prices['tariff']}"]
        while left:
            path = left.pop(0)
            page = page_of(path)
            if not page or page in seen:
                continue
            turn = len(seen) % len(HOWS)
            seen.add(page)
            await look(browser, path, (HOWS[turn:] + HOWS[:turn])[:count])
            left += await links(browser)
        pages = {name for name, _, _ in PATTERNS if not NO_PAGES.search(name)}
        assert pages - {page.partition(" ")[0] for page in seen} == set()

    async def main() -> None:
        await fill(database_url, 60, 600)
        settings = Settings(system=SystemSettings(directory=str(tmp_path)))
        settings = replace(settings, database=replace(settings.database, url=database_url))
        async with open_panel(settings) as panel, open_page(str(panel.client.make_url("")).rstrip("/")) as browser:
            await walk(panel, browser)

    run(main())
