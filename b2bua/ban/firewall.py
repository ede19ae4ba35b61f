"""Banned sources dropped by the kernel, where this process may: what changes is written by a thread of its own.

A write takes well under a millisecond, but waits for whoever changes the rules of the machine just then. Elsewhere, and
always besides, the endpoint drops them in user space; the kernel only makes that cheaper.
"""

import asyncio
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

import structlog

from b2bua.tasks import spawn

if TYPE_CHECKING:
    from b2bua.ban.nftables import BanTable

log = structlog.get_logger()

KERNEL: Final = "kernel"
USER_SPACE: Final = "user space"


class Firewall:
    """The kernel's side of the ban list.

    Args:
        name: Of the table in nftables; no other process of this machine may have it.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(1, "firewall")
        self._table: BanTable | None = None
        self._is_wanted = True
        # Address -> when its ban ends, None: it is lifted. Never more than there are bans, and those just lifted.
        self._changes: dict[str, float | None] = {}
        self._has_changed = asyncio.Event()
        self.writes = 0
        """Batches that the kernel has taken."""

    @property
    def path(self) -> str:
        """Where banned sources are dropped: kernel or user space."""
        return USER_SPACE if self._table is None else KERNEL

    async def open(self, ports: Iterable[tuple[str, int]]) -> None:
        """Make the table, if the kernel lets us, with what has changed so far.

        Args:
            ports: Transport and port of each listener.
        """
        try:
            self._table = await self._loop.run_in_executor(self._thread, _make_table, self._name, list(ports))
        except OSError as error:
            self._give_up()
            log.info("banned sources are dropped in user space", reason=error.strerror or str(error))
            return
        log.info("banned sources are dropped by the kernel", table=f"inet {self._name}")
        spawn(self._write(self._table), "firewall")

    def change(self, address: str, seconds: float | None) -> None:
        """Ban an address for so long, or lift its ban (None); written soon."""
        if self._is_wanted:
            self._changes[address] = None if seconds is None else self._loop.time() + seconds
            self._has_changed.set()

    async def close(self) -> None:
        """Remove the table."""
        table = self._table
        self._give_up()
        if table is not None:
            # After what the thread is writing.
            await self._loop.run_in_executor(self._thread, table.close)
        self._thread.shutdown(wait=False)

    def _give_up(self) -> None:
        self._is_wanted, self._table = False, None
        self._changes.clear()

    async def _write(self, table: "BanTable") -> None:
        while True:
            await self._has_changed.wait()
            self._has_changed.clear()
            changes, self._changes = self._changes, {}
            now = self._loop.time()
            seconds = {address: None if end is None else end - now for address, end in changes.items()}
            try:
                await self._loop.run_in_executor(self._thread, table.change, seconds)
            except OSError as error:
                log.error("banned sources are dropped in user space from now on", reason=str(error))
                self._give_up()
                table.close()
                return
            self.writes += 1


def _make_table(name: str, ports: list[tuple[str, int]]) -> "BanTable":
    # Imported only here, and in the thread: pyroute2 takes a while, and a worker without a firewall does without it.
    from b2bua.ban.nftables import BanTable

    return BanTable(name, ports)
