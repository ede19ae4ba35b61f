"""Sessions of dead runs, on whatever machine, are given back, never twice; and what one run at a time may have."""

import asyncio

from b2bua.live.admission import LEASE
from b2bua.live.lease import Leases
from b2bua.policy.limits import Chain, Level
from tests.support.live import Store, Worker, store_at, worker_at
from tests.support.servers import Run

CHAIN = Chain([Level("a:1", "a:1", "account", 10, None)])
(KEY,) = CHAIN.sessions_keys


def age(store: Store, instance: str, seconds: float) -> None:
    """Let a run's last life sign be so old."""
    store("HSET", "workers", instance, int(store.now() - seconds))


class TestLease:
    def test_sessions_of_a_run_without_life_signs_are_given_back(self, run: Run, live_url: str) -> None:
        async def main() -> None:
            async with worker_at(live_url, "sip-1:a") as dead, worker_at(live_url, "sip-2:b") as alive:
                await dead.admission.keep_lease()
                await dead.admit(CHAIN, 3)
                await alive.admit(CHAIN, 2)
                with store_at(live_url) as store:
                    age(store, "sip-1:a", LEASE)
                    assert await alive.admission.keep_lease() == 0
                    assert store.hash(KEY) == {"sip-1:a": "3", "sip-2:b": "2"}
                    age(store, "sip-1:a", LEASE + 2)
                    assert await alive.admission.keep_lease() == 1
                    assert await alive.admission.keep_lease() == 0
                    assert store.hash(KEY) == {"sip-2:b": "2"}
                    assert list(store.hash("workers")) == ["sip-2:b"]

        run(main())

    def test_funds_of_a_dead_run_stay_until_its_journal_was_read(self, run: Run, live_url: str) -> None:
        async def main() -> None:
            async with worker_at(live_url, "sip-2:b") as alive:
                with store_at(live_url) as store:
                    store("HSET", "funds:{a:1}:a:1", "base", 5, "h:sip-1:a", 3, "p:sip-1:a", 1)
                    age(store, "sip-1:a", 60)
                    assert await alive.admission.keep_lease() == 1
                    assert store.hash("funds:{a:1}:a:1") == {"base": "5", "h:sip-1:a": "3", "p:sip-1:a": "1"}

        run(main())

    def test_run_that_stood_still_puts_back_its_numbers_once(self, run: Run, live_url: str) -> None:
        async def main() -> None:
            async with worker_at(live_url, "sip-1:a") as still, worker_at(live_url, "sip-2:b") as other:
                await still.admission.keep_lease()
                await still.admit(CHAIN, 3)
                with store_at(live_url) as store:
                    age(store, "sip-1:a", LEASE + 2)
                    assert await other.admission.keep_lease() == 1
                    assert store.hash(KEY) == {}
                    await still.admission.keep_lease()
                    await still.admission.keep_lease()
                    assert store.hash(KEY) == {"sip-1:a": "3"}

        run(main())

    def test_run_that_ends_leaves_no_life_sign(self, run: Run, live_url: str) -> None:
        async def main() -> None:
            async with worker_at(live_url, "sip-1:a") as worker:
                await worker.admission.keep_lease()
                await worker.admission.give_up_lease()
                with store_at(live_url) as store:
                    assert store.hash("workers") == {}

        run(main())


KEY_OF_ONE = "gateway-registration:1"


async def take(worker: Worker, instance: str, seconds: float = 60.0) -> bool | None:
    """Ask for it, and wait for the answer."""
    future: asyncio.Future[bool | None] = asyncio.get_running_loop().create_future()
    Leases(worker.connection, instance).take(KEY_OF_ONE, seconds, future.set_result)
    worker.connection.flush()
    return await asyncio.wait_for(future, 5.0)


class TestLeases:
    """What one run at a time may have."""

    def test_first_has_it_until_it_gives_it_up(self, run: Run, live_url: str) -> None:
        async def main() -> None:
            async with worker_at(live_url, "sip-1:a") as worker:
                assert [await take(worker, name) for name in ("sip-1:a", "sip-2:b", "sip-1:a")] == [True, False, True]
                Leases(worker.connection, "sip-2:b").give_up(KEY_OF_ONE)
                assert await take(worker, "sip-2:b") is False
                Leases(worker.connection, "sip-1:a").give_up(KEY_OF_ONE)
                assert await take(worker, "sip-2:b") is True

        run(main())

    def test_it_is_free_when_its_time_is_over(self, run: Run, live_url: str) -> None:
        async def main() -> None:
            async with worker_at(live_url, "sip-1:a") as worker:
                assert await take(worker, "sip-1:a", 60.0)
                with store_at(live_url) as store:
                    assert 59_000 < store("PTTL", KEY_OF_ONE) <= 60_000
                    assert await take(worker, "sip-1:a", 90.0)
                    assert 89_000 < store("PTTL", KEY_OF_ONE) <= 90_000
                    store("PEXPIRE", KEY_OF_ONE, 0)
                assert await take(worker, "sip-2:b") is True

        run(main())

    def test_nothing_is_known_while_the_store_is_away(self, run: Run, live_url: str) -> None:
        async def main() -> None:
            async with worker_at(live_url, "sip-1:a") as worker:
                await worker.connection.close()
                assert await take(worker, "sip-1:a") is None

        run(main())
