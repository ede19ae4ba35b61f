"""Answers that several readers share for a moment, so that ten open pages cost as much as one."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

T = TypeVar("T")

KEEP: Final = 30.0
"""Seconds after which an answer nobody asks for is forgotten; bounds the memory to the scopes being watched."""


@dataclass(slots=True)
class _Entry:
    value: Any = None
    made_at: float = float("-inf")
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Shared:
    """Values by key, made again only when they are older than the reader wants."""

    def __init__(self) -> None:
        self._entries: dict[Hashable, _Entry] = {}

    async def get(self, key: Hashable, age: float, make: Callable[[], Awaitable[T]]) -> T:
        """Return the value of `key` if it is younger than `age` seconds, else make it; one reader makes it for all."""
        self._forget_old()
        entry = self._entries.setdefault(key, _Entry())
        async with entry.lock:
            if time.monotonic() - entry.made_at >= age:
                entry.value = await make()
                entry.made_at = time.monotonic()
        value: T = entry.value
        return value

    def _forget_old(self) -> None:
        limit = time.monotonic() - KEEP
        old = [key for key, entry in self._entries.items() if entry.made_at < limit and not entry.lock.locked()]
        for key in old:
            del self._entries[key]
