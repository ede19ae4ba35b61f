"""Bans over a control socket: real services of workers, on a real Valkey."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from b2bua.control.bans import BanVerbs
from b2bua.control.client import ControlClient
from b2bua.control.messages import ControlError
from b2bua.control.server import ControlServer
from tests.b2bua.ban.workers import OTHER, SOURCE, Member, member_at
from tests.support.live import close, store_at
from tests.support.servers import Run


@asynccontextmanager
async def asked(directory: Path, live_url: str) -> AsyncIterator[tuple[ControlClient, Member]]:
    """A client, and the worker that it asks."""
    async with member_at(live_url) as member:
        server = ControlServer(directory / "sip-1.sock", BanVerbs(lambda: member.service).verbs())
        await server.open()
        try:
            yield ControlClient(directory, timeout=5.0), member
        finally:
            server.close()


class TestBan:
    def test_ban_by_hand_holds_at_every_worker_and_is_listed(self, run: Run, live_url: str, sockets: Path) -> None:
        async def main() -> None:
            async with asked(sockets, live_url) as (client, member), member_at(live_url, "sip-2") as other:
                assert await client.ban(f"::ffff:{SOURCE}", 120, by="panel: root", reason="floods us") == SOURCE
                assert member.has_banned(SOURCE)
                await other.look()
                assert other.has_banned(SOURCE)
                total, (ban,) = await client.bans()
                assert (total, ban["address"], ban["by"], ban["reason"]) == (1, SOURCE, "panel: root", "floods us")
                assert 119 < ban["until"] - ban["since"] < 121

        run(main())

    def test_source_that_is_known_is_not_banned(self, run: Run, live_url: str, sockets: Path) -> None:
        async def main() -> None:
            async with asked(sockets, live_url) as (client, member):
                member.exempt.add(SOURCE)
                with pytest.raises(ControlError, match="such a source is never banned"):
                    await client.ban(SOURCE, 120, by="", reason="")
                assert await client.bans() == (0, [])

        run(main())

    @pytest.mark.parametrize(
        ("address", "seconds", "fault"),
        [
            ("203.0.113.0/24", 60, "is a network"),
            (SOURCE, 0, "a ban lasts 1 to"),
            (SOURCE, 1e12, "a ban lasts 1 to"),
            (SOURCE, float("nan"), "internal error"),
        ],
    )
    def test_what_is_no_ban_is_refused(
        self, run: Run, live_url: str, sockets: Path, address: str, seconds: float, fault: str
    ) -> None:
        async def main() -> None:
            async with asked(sockets, live_url) as (client, member):
                with pytest.raises(ControlError, match=fault):
                    await client.ban(address, seconds, by="", reason="")
                assert not member.has_banned(SOURCE)

        run(main())


class TestList:
    def test_list_is_narrowed_and_bounded(self, run: Run, live_url: str, sockets: Path) -> None:
        async def main() -> None:
            async with asked(sockets, live_url) as (client, _):
                for number in range(3):
                    await client.ban(f"198.51.100.{number}", 100 + number, by="", reason="")
                await client.ban(OTHER, 50, by="", reason="")
                total, bans = await client.bans("198.", 2)
                assert (total, {ban["address"] for ban in bans}) == (3, {"198.51.100.1", "198.51.100.2"})
                total, bans = await client.bans()
                assert (total, len(bans)) == (4, 4)
                assert bans == sorted(bans, key=lambda ban: (-ban["since"], ban["address"]))

        run(main())


class TestUnban:
    def test_lifted_ban_is_lifted_everywhere(self, run: Run, live_url: str, sockets: Path) -> None:
        async def main() -> None:
            async with asked(sockets, live_url) as (client, member), member_at(live_url, "sip-2") as other:
                await client.ban(SOURCE, 120, by="", reason="")
                assert await client.unban(SOURCE) == 1
                assert not member.has_banned(SOURCE)
                await other.look()
                assert not other.has_banned(SOURCE)
                assert await client.unban(SOURCE) == 0
                with store_at(live_url) as store:
                    assert store.hash("{bans}:detail") == {}

        run(main())

    def test_user_that_is_refused_at_a_known_source_is_heard_again(
        self, run: Run, live_url: str, sockets: Path
    ) -> None:
        async def main() -> None:
            async with asked(sockets, live_url) as (client, member):
                member.exempt.add(SOURCE)
                await member.fail(SOURCE, 5)
                _, (ban,) = await client.bans()
                assert ban["address"] == f"alice@{SOURCE}"
                assert await client.unban(ban["address"]) == 1
                assert not member.service.is_refused(SOURCE, "alice")

        run(main())

    def test_nothing_is_done_while_the_live_store_is_away(self, run: Run, live_url: str, sockets: Path) -> None:
        async def main() -> None:
            async with asked(sockets, live_url) as (client, member):
                await client.ban(SOURCE, 120, by="", reason="")
                await close(member.connection)
                for act in (client.bans(), client.ban(OTHER, 60, by="", reason=""), client.unban(SOURCE)):
                    with pytest.raises(ControlError, match="live store"):
                        await act
                assert member.has_banned(SOURCE)

        run(main())
