"""The ban services of workers, on a real Valkey."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from b2bua.ban.firewall import Firewall
from b2bua.ban.service import BanService
from b2bua.live.connection import LiveConnection
from conf.settings import BanSettings
from tests.support.live import close, make_connection

SOURCE = "203.0.113.9"
OTHER = "2001:db8::9"


class Member:
    """One worker's service over a connection of its own; it looks at the store when it is told to."""

    def __init__(self, url: str, name: str, firewall: Firewall | None, **settings: Any) -> None:
        self.exempt: set[str] = set()
        self.service = BanService(BanSettings(**settings), name, self.exempt.__contains__, firewall)
        self.attached = 0
        self.connection, _ = make_connection(url, 5.0, self._attach)

    def _attach(self, connection: LiveConnection) -> None:
        self.attached += 1
        self.service.attach(connection)

    def has_banned(self, address: str) -> bool:
        """Whether the worker drops what comes from an address now."""
        return self.service.is_banned(address, self.service._now())

    async def settle(self) -> None:
        """Wait until everything that was said is answered, and what the answers led to."""
        while self.connection.is_up:
            said = self.connection.operations
            await self.connection.call("PING")
            if self.connection.operations == said + 1:
                return

    async def look(self) -> None:
        """Look at what has changed."""
        self.service.look()
        await self.settle()

    async def fail(self, address: str, times: int = 1, user: str = "alice") -> None:
        """Let an address fail to prove a user, and wait for what comes of it."""
        for _ in range(times):
            self.service.failed(address, user)
        await self.settle()


@asynccontextmanager
async def member_at(
    url: str, name: str = "sip-1", firewall: Firewall | None = None, **settings: Any
) -> AsyncIterator[Member]:
    """A connected worker that has loaded all bans."""
    member = Member(url, name, firewall, **settings)
    await member.connection.open()
    try:
        await member.settle()
        yield member
    finally:
        await close(member.connection)
