"""A browser for each test: real PostgreSQL, the panel, and the system's Chromium."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from conf.settings import Settings, SystemSettings
from tests.admin.panel import Panel
from tests.browser.browsing import Browser, open_browser
from tests.support.servers import Run

Browse = Callable[..., None]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """aiohttp-session keeps its values in a request under texts, which aiohttp advises against since 3.14."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("ignore:It is recommended to use web.RequestKey"))


@pytest.fixture
def browse(run: Run, database_url: str, tmp_path: Path) -> Browse:
    """Play a scenario in a browser: `browse(scenario, dark=True)`."""

    def browse(scenario: Callable[[Panel, Browser], Awaitable[None]], **how: Any) -> None:
        settings = Settings(system=SystemSettings(directory=str(tmp_path)))
        settings = replace(settings, database=replace(settings.database, url=database_url))

        async def whole() -> None:
            async with open_browser(settings, **how) as (panel, browser):
                await scenario(panel, browser)

        run(whole())

    return browse
