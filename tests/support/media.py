"""What the tests of media share."""

import asyncio
import time
from collections.abc import Callable

PATIENCE = 10.0


async def until(condition: Callable[[], object], patience: float = PATIENCE) -> None:
    """Let the loop run until something is so."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        await asyncio.sleep(0.005)
