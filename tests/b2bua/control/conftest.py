"""A directory for sockets: their paths must be short."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def sockets() -> Iterator[Path]:
    """An empty directory with a short name."""
    directory = Path(tempfile.mkdtemp(prefix="softswitch-"))
    yield directory
    shutil.rmtree(directory)
