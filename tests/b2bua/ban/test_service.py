"""The bans of several workers over one store."""

import asyncio

from b2bua.ban import store
from b2bua.ban.firewall import USER_SPACE
from b2bua.tasks import spawn
from tests.b2bua.ban.workers import OTHER, SOURCE, Member, member_at
from tests.support.live import PATIENCE, close, store_at
from tests.support.servers import Run


class TestFailed:
    def test_source_is_banned_after_five_failures(self, run: Run, live_url: str) -> None:
        async def main() -> None:
            async with member_at(live_url) as member:
                await member.fail(SOURCE, 4)
                assert not member.has_banned(SOURCE)
                await member.fail(SOURCE)
                assert member.has_banned(SOURCE)
                assert not member.has_banned(OTHER)
                left = member.service.bans.ends_at(SOURCE) - member.service._now()
                assert 890 < left <= 900

        run(main())

    def test_failures_at_all_workers_are_counted_together(self, run: Run, live_url: str) -> None:
        async def main() -> None:
            async with member_at(live_url) as one, member_at(live_url, "sip-2") as other:
                await one.fail(SOURCE, 3)
                await other.fail(SOURCE, 2)
                assert other.has_banned(SOURCE)
                await one.look()
                assert one.has_banned(SOURCE)

        run(main())

    def test_mapped_address_fails_as_the_one_that_is_mapped(self, run: Run, live_url: str) -> None:
        async def main() -> None:
            async with member_at(live_url, failures=2) as member:
                await member.fail(SOURCE)
                await member.fail(f"::ffff:{SOURCE}")
                assert member.has_banned(SOURCE)

        run(main())

    def test_exempt_source_is_never_banned(self, run: Run, live_url: str) -> None:
        async def main() -> None:
            async with member_at(live_url) as member:
                member.exempt.add(SOURCE)
                await member.fail(SOURCE, 20)
                await member.fail(f"::ffff:{SOURCE}", 20)
                assert not member.has_banned(SOURCE)
                # What it did then does not count when it is exempt no longer.
                member.exempt.clear()
                await member.fail(SOURCE, 4)
                assert not member.has_banned(SOURCE)

        run(main())

    def test_nobody_is_banned_when_failures_are_set_to_none(self, run: Run, live_url: str) -> None:
        async def main() -> None:
            async with member_at(live_url, failures=0) as member:
                await member.fail(SOURCE, 20)
                assert not member.has_banned(SOURCE)

        run(main())


class TestScanner:
    def test_scanner_is_banned_at_once(self, run: Run, live_url: str) -> None:
        async def main() -> None:
            async with member_at(live_url) as one, member_at(live_url, "sip-2") as other:
                assert one.service.scanner_seen(SOURCE)
                # Before the store has answered.
                assert one.has_banned(SOURCE)
                await one.settle()
                await other.look()
                assert other.has_banned(SOURCE)

        run(main())

    def test_only_the_user_is_refused_when_its_source_is_exempt(self, run: Run, live_url: str) -> None:
        async def main() -> None:
            async with member_at(live_url) as member, member_at(live_url, "sip-2") as other:
                for each in (member, other):
                    each.exempt.add(SOURCE)
                await member.fail(SOURCE, 5, "alice")
                await member.fail(SOURCE, 4, "bob")
                await other.look()
                for each in (member, other):
                    assert not each.has_banned(SOURCE)
                    assert each.service.is_refused(SOURCE, "alice")
                    assert not each.service.is_refused(SOURCE, "bob")
                    assert not each.service.is_refused(OTHER, "alice")

        run(main())

    def test_exempt_scanner_is_heard(self, run: Run, live_url: str) -> None:
        async def main() -> None:
            async with member_at(live_url) as member:
                member.exempt.add(SOURCE)
                assert not member.service.scanner_seen(SOURCE)
                assert not member.has_banned(SOURCE)

        run(main())

    def test_scanner_is_heard_when_the_setting_says_so(self, run: Run, live_url: str) -> None:
        async def main() -> None:
            async with member_at(live_url, scanners=False) as member:
                assert not member.service.scanner_seen(SOURCE)
                assert not member.has_banned(SOURCE)

        run(main())


class TestBan:
    def test_worker_that_starts_knows_all_bans(self, run: Run, live_url: str) -> None:
        async def main() -> None:
            async with member_at(live_url) as one:
                for number in range(2 * store.PAGE + 500):
                    one.service.ban(f"2001:db8::{number:x}", 900, "test")
                one.service.unban("2001:db8::7")
                await one.settle()
                async with member_at(live_url, "sip-2") as other:
                    assert len(other.service.bans) == 2 * store.PAGE + 499
                    assert set(other.service.bans.addresses()) == set(one.service.bans.addresses())

        run(main())

    def test_ban_ends_everywhere_when_its_time_is_over(self, run: Run, live_url: str) -> None:
        async def main() -> None:
            async with member_at(live_url) as one, member_at(live_url, "sip-2") as other:
                one.service.ban(SOURCE, 0.3, "test")
                await one.settle()
                await other.look()
                assert other.has_banned(SOURCE)
                async with asyncio.timeout(PATIENCE):
                    while one.has_banned(SOURCE) or other.has_banned(SOURCE):  # noqa: ASYNC110 - time has no event
                        await asyncio.sleep(0.02)
                await other.look()
                assert len(other.service.bans) == 0

        run(main())

    def test_lifted_ban_is_lifted_everywhere(self, run: Run, live_url: str) -> None:
        async def main() -> None:
            async with member_at(live_url) as one, member_at(live_url, "sip-2") as other:
                one.service.ban(SOURCE, 900, "test")
                await one.settle()
                await other.look()
                other.service.unban(SOURCE)
                assert not other.has_banned(SOURCE)
                await other.settle()
                await one.look()
                assert not one.has_banned(SOURCE)

        run(main())

    def test_workers_hear_of_it_within_a_second(self, run: Run, live_url: str) -> None:
        async def main() -> None:
            async with member_at(live_url) as one, member_at(live_url, "sip-2") as other:
                spawn(other.service.run(), "bans")
                began = other.service._now()
                one.service.ban(SOURCE, 900, "test")
                one.connection.flush()
                async with asyncio.timeout(PATIENCE):
                    while not other.has_banned(SOURCE):  # noqa: ASYNC110 - what is looked at has no event
                        await asyncio.sleep(0.01)
                assert other.service._now() - began < 1.0

        run(main())

    def test_ban_is_lifted_everywhere_when_a_worker_knows_the_source(self, run: Run, live_url: str) -> None:
        async def main() -> None:
            async with member_at(live_url) as one, member_at(live_url, "sip-2") as other:
                other.exempt.add(SOURCE)
                one.service.ban(SOURCE, 900, "test")
                await one.settle()
                await other.look()
                assert not other.has_banned(SOURCE)
                await one.look()
                assert not one.has_banned(SOURCE)

        run(main())

    def test_bans_of_sources_that_became_exempt_are_lifted(self, run: Run, live_url: str) -> None:
        async def main() -> None:
            async with member_at(live_url) as member:
                for address in (SOURCE, OTHER):
                    member.service.ban(address, 900, "test")
                member.exempt.add(SOURCE)
                member.service.lift_exempt()
                await member.settle()
                assert [member.has_banned(address) for address in (SOURCE, OTHER)] == [False, True]
                with store_at(live_url) as valkey:
                    assert list(valkey.hash("{bans}:detail")) == [OTHER]

        run(main())

    def test_bans_end_in_user_space_when_there_is_no_firewall(self, run: Run, live_url: str) -> None:
        async def main() -> None:
            async with member_at(live_url) as member:
                assert member.service.path == USER_SPACE

        run(main())


class TestAway:
    async def _cut(self, live_url: str, *members: Member) -> None:
        wanted = [member.attached + 1 for member in members]
        with store_at(live_url) as valkey:
            valkey.cut_others()
        async with asyncio.timeout(PATIENCE):
            while [member.attached for member in members] != wanted:  # noqa: ASYNC110 - of another module
                await asyncio.sleep(0.01)
        for member in members:
            await member.settle()

    def test_everything_is_known_again_when_the_connection_was_lost(self, run: Run, live_url: str) -> None:
        async def main() -> None:
            async with member_at(live_url) as member:
                member.service.ban(SOURCE, 900, "test")
                await member.settle()
                with store_at(live_url) as valkey:
                    command = [
                        part.decode() if isinstance(part, bytes) else part for part in store.ban(OTHER, 9, "", "")
                    ]
                    valkey("FLUSHALL")
                    valkey(*command)
                await self._cut(live_url, member)
                assert [member.has_banned(address) for address in (SOURCE, OTHER)] == [False, True]

        run(main())

    def test_ban_holds_here_and_reaches_the_store_when_it_is_back(self, run: Run, live_url: str) -> None:
        async def main() -> None:
            async with member_at(live_url) as one, member_at(live_url, "sip-2") as other:
                one.connection.is_up = False
                one.service.ban(SOURCE, 900, "test")
                one.service.ban(OTHER, 900, "test")
                await asyncio.sleep(0)
                one.service.unban(OTHER)
                assert one.has_banned(SOURCE)
                await self._cut(live_url, one, other)
                await other.look()
                for member in (one, other):
                    assert member.has_banned(SOURCE)
                    assert not member.has_banned(OTHER)

        run(main())

    def test_failures_are_not_counted_when_the_store_is_away(self, run: Run, live_url: str) -> None:
        async def main() -> None:
            async with member_at(live_url) as member:
                await close(member.connection)
                for _ in range(20):
                    member.service.failed(SOURCE, "alice")
                await asyncio.sleep(0)
                assert not member.has_banned(SOURCE)
                member.service.look()

        run(main())

    def test_bans_are_loaded_anew_when_the_store_lost_its_data(self, run: Run, live_url: str) -> None:
        async def main() -> None:
            async with member_at(live_url) as one, member_at(live_url, "sip-2") as other:
                one.service.ban(SOURCE, 900, "test")
                await one.settle()
                await other.look()
                with store_at(live_url) as valkey:
                    valkey("FLUSHALL")
                await other.look()
                assert not other.has_banned(SOURCE)

        run(main())

    def test_bans_are_loaded_anew_when_there_was_no_look_for_long(self, run: Run, live_url: str) -> None:
        async def main() -> None:
            async with member_at(live_url) as member:
                member.service.ban(SOURCE, 900, "test")
                await member.settle()
                with store_at(live_url) as valkey:
                    # As a ban that was lifted more than a minute ago.
                    for key in store.KEYS[:3]:
                        valkey("DEL", key)
                await member.look()
                assert member.has_banned(SOURCE)
                member.service._heard_at -= 31
                await member.look()
                assert not member.has_banned(SOURCE)

        run(main())
