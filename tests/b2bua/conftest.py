"""Large tables in a database."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.packed import Rows
from tests.support.servers import Run


@pytest.fixture
def rows(database_url: str, run: Run, tmp_path: Path) -> Iterator[Rows]:
    rows = Rows(database_url, run, tmp_path / "snapshot")
    yield rows
    rows.close()
