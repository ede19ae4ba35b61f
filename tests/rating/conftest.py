"""A ratecard to import into."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.decks import Decks
from tests.support.servers import Run


@pytest.fixture
def decks(database_url: str, run: Run, tmp_path: Path) -> Iterator[Decks]:
    decks = Decks(database_url, run, tmp_path)
    yield decks
    decks.close()
