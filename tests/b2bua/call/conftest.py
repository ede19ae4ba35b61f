"""The rig of the driver's tests."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.b2bua.call.rig import Rig, running_rig


@pytest.fixture
def make_rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Rig]]:
    """Make a rig, from inside a coroutine, with other settings of section [sip], and `call` of [call], if need be.

    The time of day, which records carry, is that of its wire.
    """
    with ExitStack() as rigs:

        def make(**sip: Any) -> Rig:
            rig = rigs.enter_context(running_rig(tmp_path, **sip))
            monkeypatch.setattr("time.time", rig.wire.time_of_day)
            return rig

        yield make
