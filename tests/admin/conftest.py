"""A running panel for each test: real PostgreSQL, a made-up worker, and a browser without scripts."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from admin.stores import customers, dids, logins
from conf.settings import Settings, SystemSettings
from tests.admin.panel import Panel, open_panel
from tests.support.servers import Run

Play = Callable[..., None]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """aiohttp-session keeps its values in a request under texts, which aiohttp advises against since 3.14."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("ignore:It is recommended to use web.RequestKey"))


@pytest.fixture
def play(run: Run, database_url: str, tmp_path: Path) -> Play:
    """Play a scenario against a panel: `play(scenario, lock_after=3)`."""

    def play(scenario: Callable[[Panel], Awaitable[None]], **panel_settings: Any) -> None:
        settings = Settings(system=SystemSettings(directory=str(tmp_path)))
        settings = replace(
            settings,
            database=replace(settings.database, url=database_url),
            panel=replace(settings.panel, **panel_settings),
        )

        async def whole() -> None:
            async with open_panel(settings) as panel:
                await scenario(panel)

        run(whole())

    return play


@pytest.fixture(params=["looked up first", "read in order"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways in which a search finds its rows: few are looked up, of many the list is read."""
    if request.param == "read in order":
        for store in (customers, dids, logins):
            monkeypatch.setattr(store, "FEW", -1)
