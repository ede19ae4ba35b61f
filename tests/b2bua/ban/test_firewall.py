"""The firewall that follows a worker's bans, in a network of the test's own."""

import asyncio
from collections.abc import Callable, Coroutine

import structlog.testing

from b2bua.ban.firewall import KERNEL, USER_SPACE, Firewall
from b2bua.ban.service import BanService
from b2bua.tasks import stop_all
from conf.settings import BanSettings
from tests.b2bua.ban.workers import member_at
from tests.support.live import PATIENCE
from tests.support.network import arrives, in_own_network, needs_root
from tests.support.servers import Run

NAME = "softswitch_test"
SIP = 5060
PORTS = (("udp", SIP), ("tcp", SIP))
SOURCE = "127.0.0.2"


def on_network(main: Callable[[], Coroutine[None, None, None]], *, privileged: bool = True) -> None:
    """Run a coroutine in a network of its own."""
    in_own_network(lambda: asyncio.run(main()), privileged=privileged)


async def until(condition: Callable[[], object]) -> None:
    """Look until the thread has written."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - what is looked at has no event
            await asyncio.sleep(0.005)


async def end(firewall: Firewall) -> None:
    await stop_all()
    await firewall.close()


@needs_root
class TestKernel:
    def test_bans_before_and_after_it_is_opened_are_written(self) -> None:
        async def main() -> None:
            firewall = Firewall(NAME)
            firewall.change(SOURCE, 900)
            firewall.change("127.0.0.3", 900)
            firewall.change("127.0.0.3", None)
            assert firewall.path == USER_SPACE
            await firewall.open(PORTS)
            assert firewall.path == KERNEL
            await until(lambda: not arrives(SOURCE, SIP))
            assert arrives("127.0.0.3", SIP)
            firewall.change("127.0.0.3", 900)
            await until(lambda: not arrives("127.0.0.3", SIP))
            await end(firewall)
            assert arrives(SOURCE, SIP)
            assert firewall.path == USER_SPACE

        on_network(main)

    def test_changes_that_come_together_are_written_together(self) -> None:
        async def main() -> None:
            firewall = Firewall(NAME)
            await firewall.open(PORTS)
            for number in range(1000):
                firewall.change(f"10.0.{number >> 8}.{number & 255}", 900)
            firewall.change(SOURCE, 900)
            await until(lambda: not arrives(SOURCE, SIP))
            await until(lambda: firewall.writes)
            assert firewall.writes == 1
            await end(firewall)

        on_network(main)

    def test_user_space_takes_over_when_the_kernel_refuses(self) -> None:
        async def main() -> None:
            one, other = Firewall(NAME), Firewall(NAME)
            await one.open(PORTS)
            with structlog.testing.capture_logs() as logs:
                await other.open(PORTS)
            assert (one.path, other.path) == (KERNEL, USER_SPACE)
            assert [entry["event"] for entry in logs] == ["banned sources are dropped in user space"]
            other.change(SOURCE, 900)
            await other.close()
            await end(one)

        on_network(main)

    def test_user_space_takes_over_when_a_write_fails(self) -> None:
        async def main() -> None:
            firewall = Firewall(NAME)
            await firewall.open(PORTS)
            firewall.change(SOURCE, 900)
            await until(lambda: not arrives(SOURCE, SIP))
            with structlog.testing.capture_logs() as logs:
                # What no set can hold.
                firewall.change("127.0.0.3", 1e15)
                await until(lambda: firewall.path == USER_SPACE)
            assert [entry["log_level"] for entry in logs] == ["error"]
            # Half a firewall would be worse than none.
            assert arrives(SOURCE, SIP)
            await end(firewall)

        on_network(main)

    def test_user_space_is_used_when_the_process_may_not_change_the_network(self) -> None:
        async def main() -> None:
            firewall = Firewall(NAME)
            firewall.change(SOURCE, 900)
            with structlog.testing.capture_logs() as logs:
                await firewall.open(PORTS)
            assert [entry["reason"] for entry in logs] == ["Operation not permitted"]
            assert firewall.path == USER_SPACE
            assert arrives(SOURCE, SIP)
            await firewall.close()

        on_network(main, privileged=False)


@needs_root
class TestService:
    def test_kernel_drops_what_the_service_bans_until_it_is_lifted(self, live_url: str) -> None:
        async def main() -> None:
            firewall = Firewall(NAME)
            await firewall.open(PORTS)
            async with member_at(live_url, "sip-1", firewall, failures=2) as one, member_at(live_url, "sip-2") as other:
                assert one.service.path == KERNEL
                await one.fail(SOURCE, 2)
                await until(lambda: not arrives(SOURCE, SIP))
                other.service.unban(SOURCE)
                await other.settle()
                await one.look()
                await until(lambda: arrives(SOURCE, SIP))
                other.service.ban(SOURCE, 900, "test")
                await other.settle()
                await one.look()
                await until(lambda: not arrives(SOURCE, SIP))
            await end(firewall)

        on_network(main)

    def test_kernel_forgets_what_makes_room_in_a_full_list(self) -> None:
        async def main() -> None:
            firewall = Firewall(NAME)
            await firewall.open(PORTS)
            service = BanService(BanSettings(), "sip-1", lambda _: False, firewall)
            service.bans._limit = 1
            service.ban(SOURCE, 100, "test")
            await until(lambda: not arrives(SOURCE, SIP))
            service.ban("127.0.0.3", 900, "test")
            await until(lambda: arrives(SOURCE, SIP) and not arrives("127.0.0.3", SIP))
            await end(firewall)

        on_network(main)


def test_nothing_is_written_when_it_was_never_opened(run: Run) -> None:
    async def main() -> None:
        firewall = Firewall(NAME)
        firewall.change(SOURCE, 900)
        assert firewall.path == USER_SPACE
        await firewall.close()
        firewall.change(SOURCE, 900)

    run(main())
