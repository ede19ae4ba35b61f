"""Sessions and calls per second in a real Valkey."""

import asyncio
import subprocess
import sys
import time

import pytest

from b2bua.live.admission import Admission, Outcome, Refusal
from b2bua.live.connection import StoreAway
from b2bua.policy.limits import Chain, Level
from tests.support.admitting import CHAIN
from tests.support.live import Worker, store_at, worker_at
from tests.support.servers import Run


def chain_of(*limits: tuple[int | None, int | None], tag: str = "a:1") -> Chain:
    """A chain of levels with (greatest number of sessions, calls per second); the last is level 1 upwards."""
    return Chain([Level(tag, f"l:{n}", f"level {n}", sessions, cps) for n, (sessions, cps) in enumerate(limits, 1)])


def admitted(outcomes: list[Outcome]) -> int:
    return outcomes.count(None)


def refusers(outcomes: list[Outcome]) -> dict[tuple[str, bool], int]:
    """How often each level refused, and whether for calls per second."""
    counts: dict[tuple[str, bool], int] = {}
    for outcome in outcomes:
        if outcome is not None:
            assert isinstance(outcome, Refusal), outcome
            key = (outcome.level.name, outcome.of_cps)
            counts[key] = counts.get(key, 0) + 1
    return counts


class TestSessions:
    """docs/behaviour.md §2, 14."""

    def test_exactly_the_limit_is_admitted_when_ten_thousand_ask_over_four_connections(
        self, run: Run, live_url: str
    ) -> None:
        chain = chain_of((None, None), (1000, None), (None, None))

        async def ask(worker: Worker) -> list[Outcome]:
            outcomes: list[Outcome] = []
            for batch in await asyncio.gather(*(worker.admit(chain, 50) for _ in range(50))):
                outcomes += batch
            return outcomes

        async def main() -> None:
            async with (
                worker_at(live_url, "sip-1:a") as one,
                worker_at(live_url, "sip-2:b") as two,
                worker_at(live_url, "sip-3:c") as three,
                worker_at(live_url, "sip-4:d") as four,
            ):
                results = await asyncio.gather(*(ask(worker) for worker in (one, two, three, four)))
                outcomes = [outcome for result in results for outcome in result]
                assert len(outcomes) == 10_000
                assert admitted(outcomes) == 1000
                assert refusers(outcomes) == {("level 2", False): 9000}
                assert [worker.admission.taken for worker in (one, two, three, four)] == [
                    3 * admitted(result) for result in results
                ]
                with store_at(live_url) as store:
                    for key in chain.sessions_keys:
                        assert sum(int(count) for count in store.hash(key).values()) == 1000

        run(main())

    def test_exactly_the_limit_is_admitted_when_four_processes_ask(self, live_url: str) -> None:
        command = [sys.executable, "-m", "tests.support.admitting", live_url]
        processes = [
            subprocess.Popen([*command, f"sip-{number}:x", "2500"], stdout=subprocess.PIPE, text=True)
            for number in range(1, 5)
        ]
        counts = [int(process.communicate(timeout=60)[0]) for process in processes]
        assert sum(counts) == 1000
        with store_at(live_url) as store:
            assert sum(int(count) for count in store.hash(CHAIN.sessions_keys[1]).values()) == 1000

    @pytest.mark.parametrize("place", [1, 2, 3])
    def test_all_levels_are_taken_or_none_and_the_refuser_is_named(self, run: Run, live_url: str, place: int) -> None:
        chain = chain_of(*((1 if number == place else 5, 100) for number in (1, 2, 3)))

        async def main() -> None:
            async with worker_at(live_url) as worker:
                outcomes = await worker.admit(chain, 3)
                assert admitted(outcomes) == 1
                assert refusers(outcomes) == {(f"level {place}", False): 2}
                with store_at(live_url) as store:
                    assert [store.hash(key) for key in chain.sessions_keys] == [{"sip-1:a": "1"}] * 3

        run(main())

    def test_nothing_is_admitted_when_the_limit_is_zero(self, run: Run, live_url: str) -> None:
        async def main() -> None:
            async with worker_at(live_url) as worker:
                assert refusers(await worker.admit(chain_of((None, None), (0, None)), 3)) == {("level 2", False): 3}
                with store_at(live_url) as store:
                    assert store.counters() == []
                assert worker.admission.taken == 0

        run(main())

    def test_everything_is_admitted_when_there_is_no_limit(self, run: Run, live_url: str) -> None:
        async def main() -> None:
            async with worker_at(live_url) as worker:
                assert admitted(await worker.admit(chain_of((None, None), (None, None)), 500)) == 500
                assert worker.admission.taken == 1000

        run(main())

    def test_sessions_of_every_worker_count(self, run: Run, live_url: str) -> None:
        chain = chain_of((3, None))

        async def main() -> None:
            async with worker_at(live_url, "sip-1:a") as one, worker_at(live_url, "sip-2:b") as two:
                assert admitted(await one.admit(chain, 2)) == 2
                assert admitted(await two.admit(chain, 2)) == 1
                await one.release(chain)
                assert admitted(await two.admit(chain, 2)) == 1
                assert (one.admission.taken, two.admission.taken) == (1, 2)

        run(main())

    def test_chains_that_share_a_level_share_its_sessions(self, run: Run, live_url: str) -> None:
        account = Level("a:1", "a:1", "account CUST0001", 2, None)
        chains = [Chain([Level("a:1", f"ip:{n}", f"device ip:{n}", None, None), account]) for n in (1, 2)]

        async def main() -> None:
            async with worker_at(live_url) as worker:
                assert admitted(await worker.admit(chains[0], 2)) == 2
                assert refusers(await worker.admit(chains[1])) == {("account CUST0001", False): 1}

        run(main())


class TestRelease:
    def test_no_key_is_left_when_all_sessions_are_given_back(self, run: Run, live_url: str) -> None:
        chain, carrier = chain_of((10, None), (None, None)), chain_of((10, None), tag="c:1")

        async def main() -> None:
            async with worker_at(live_url) as worker:
                assert admitted(await worker.admit(chain, 5)) == 5
                assert admitted(await worker.admit_carrier(carrier, 5)) == 5
                await worker.release(chain, 5)
                await worker.release(carrier, 5)
                assert worker.admission.taken == 0
                with store_at(live_url) as store:
                    assert store.counters() == []

        run(main())

    def test_keys_of_calls_per_second_go_by_themselves(self, run: Run, live_url: str) -> None:
        chain, carrier = chain_of((None, 5), (None, 7)), chain_of((None, 5), tag="c:1")

        async def main() -> None:
            async with worker_at(live_url) as worker:
                await worker.count(chain)
                await worker.admit_carrier(carrier)
                await worker.release(carrier)
                with store_at(live_url) as store:
                    assert len(store.counters()) == 3
                    assert all(
                        0 < store("PTTL", key) <= 2000 for key in (chain.keys[1], chain.keys[3], carrier.keys[1])
                    )

        run(main())

    def test_session_of_another_worker_is_never_given_back(self, run: Run, live_url: str) -> None:
        chain = chain_of((1, None))

        async def main() -> None:
            async with worker_at(live_url, "sip-1:a") as one, worker_at(live_url, "sip-2:b") as two:
                await one.admit(chain)
                await two.release(chain)
                with store_at(live_url) as store:
                    assert store.hash(chain.sessions_keys[0]) == {"sip-1:a": "1"}

        run(main())


class TestCallsPerSecond:
    """docs/behaviour.md §2, 3: a bucket that holds `cps` tokens and gains `cps` a second."""

    def test_bucket_of_ten_admits_ten_when_a_hundred_ask_at_once(self, run: Run, live_url: str) -> None:
        chain = chain_of((None, None), (None, 10))

        async def main() -> None:
            async with worker_at(live_url) as worker:
                started = time.monotonic()
                outcomes = await worker.admit(chain, 100)
                gained = int((time.monotonic() - started) * 10)
                assert 10 <= admitted(outcomes) <= 10 + gained
                assert set(refusers(outcomes)) == {("level 2", True)}

        run(main())

    @pytest.mark.parametrize(("age", "tokens"), [(0.05, 0), (0.31, 3), (0.91, 9), (1.5, 10), (60.0, 10)])
    def test_bucket_gains_its_rate_and_holds_no_more_than_it(
        self, run: Run, live_url: str, age: float, tokens: int
    ) -> None:
        chain = chain_of((None, 10))

        async def main() -> None:
            async with worker_at(live_url) as worker:
                with store_at(live_url) as store:
                    started = time.monotonic()
                    store("HSET", chain.keys[1], "tokens", "0", "at", f"{store.now() - age:.6f}")
                outcomes = await worker.admit(chain, 50)
                gained = (time.monotonic() - started) * 10
                assert tokens <= admitted(outcomes) <= int(min(age * 10, 10) + gained)

        run(main())

    def test_invite_refused_for_calls_per_second_takes_no_session_and_no_other_token(
        self, run: Run, live_url: str
    ) -> None:
        async def main() -> None:
            async with worker_at(live_url) as worker:
                outcomes = await worker.admit(chain_of((5, 10), (5, 0), (5, 10)), 4)
                assert refusers(outcomes) == {("level 2", True): 4}
                assert worker.admission.taken == 0
                with store_at(live_url) as store:
                    assert store.counters() == []

        run(main())

    def test_invite_refused_for_sessions_counts_all_the_same(self, run: Run, live_url: str) -> None:
        async def main() -> None:
            async with worker_at(live_url) as worker:
                outcomes = await worker.admit(chain_of((0, 10)), 15)
                assert refusers(outcomes)["level 1", False] in (10, 11)
                assert sum(refusers(outcomes).values()) == 15

        run(main())

    def test_invite_counts_and_takes_no_session_when_it_is_refused_by_another_check(
        self, run: Run, live_url: str
    ) -> None:
        chain = chain_of((0, 10))

        async def main() -> None:
            async with worker_at(live_url) as worker:
                outcomes = await worker.count(chain, 15)
                assert admitted(outcomes) in (10, 11)
                assert set(refusers(outcomes)) == {("level 1", True)}
                assert worker.admission.taken == 0
                with store_at(live_url) as store:
                    assert store.counters() == [chain.keys[1]]

        run(main())


class TestCarrier:
    """docs/behaviour.md §2, 16: never more than `cps` INVITEs in any one second."""

    def test_carrier_gets_no_more_than_its_rate_in_any_second(self, run: Run, live_url: str) -> None:
        chain = chain_of((None, None), (None, 20), tag="c:1")

        async def main() -> None:
            async with worker_at(live_url) as worker:
                with store_at(live_url) as store:
                    sent: list[int] = []
                    started = store.now()
                    while store.now() < started + 1.4:
                        if admitted(await worker.admit_carrier(chain)):
                            sent.append(int(store("LINDEX", chain.keys[3], 0)))
                # It goes on after a second, and no window of a second has more than twenty.
                assert len(sent) == 40
                assert all(later - earlier >= 1_000_000 for earlier, later in zip(sent, sent[20:], strict=False))

        run(main())

    def test_sessions_of_each_gateway_are_told_while_they_last(self, run: Run, live_url: str) -> None:
        async def main() -> None:
            async with worker_at(live_url, "sip-1:a") as worker:
                chains = [
                    Chain([Level("c:1", "c:1", "carrier", None, None), Level("c:1", f"g:{n}", "gateway", None, None)])
                    for n in (7, 77)
                ]
                await worker.admit(chains[0], 3)
                await worker.admit(chains[1], 1)
                assert worker.admission.taken_of("g") == {"7": 3, "77": 1}
                assert worker.admission.taken_of("c") == {"1": 4}
                worker.admission.release(chains[1])
                assert worker.admission.taken_of("g") == {"7": 3}

        run(main())

    @pytest.mark.parametrize(("age", "passes"), [(0.1, False), (0.5, False), (1.1, True), (1.9, True)])
    def test_invite_passes_when_the_oldest_of_its_window_is_a_second_old(
        self, run: Run, live_url: str, age: float, passes: bool
    ) -> None:
        chain = chain_of((None, 3), tag="c:1")

        async def main() -> None:
            async with worker_at(live_url) as worker:
                with store_at(live_url) as store:
                    now = store.now()
                    for ago in (age, 0.05, 0.02):
                        store("LPUSH", chain.keys[1], f"{(now - ago) * 1_000_000:.0f}")
                assert admitted(await worker.admit_carrier(chain)) == passes

        run(main())

    @pytest.mark.parametrize(
        ("limits", "refuser"),
        [
            (((0, None), (None, None)), ("level 1", False)),
            (((None, None), (0, None)), ("level 2", False)),
            (((None, 0), (None, None)), ("level 1", True)),
            (((None, 9), (None, 0)), ("level 2", True)),
            (((9, 9), (0, 9)), ("level 2", False)),
        ],
    )
    def test_carrier_and_gateway_are_taken_both_or_neither(
        self,
        run: Run,
        live_url: str,
        limits: tuple[tuple[int | None, int | None], ...],
        refuser: tuple[str, bool],
    ) -> None:
        async def main() -> None:
            async with worker_at(live_url) as worker:
                assert refusers(await worker.admit_carrier(chain_of(*limits, tag="c:1"), 2)) == {refuser: 2}
                assert worker.admission.taken == 0
                with store_at(live_url) as store:
                    assert store.counters() == []

        run(main())

    def test_attempt_refused_for_sessions_does_not_count_as_an_invite(self, run: Run, live_url: str) -> None:
        chain = chain_of((1, 2), tag="c:1")

        async def main() -> None:
            async with worker_at(live_url) as worker:
                assert admitted(await worker.admit_carrier(chain, 5)) == 1
                with store_at(live_url) as store:
                    assert store("LLEN", chain.keys[1]) == 1

        run(main())


class TestPredecessors:
    def test_counters_of_dead_instances_of_the_name_are_dropped_and_others_kept(self, run: Run, live_url: str) -> None:
        async def main() -> None:
            async with worker_at(live_url, "sip-1:new") as worker:
                with store_at(live_url) as store:
                    for number in range(1200):
                        store("HSET", f"sessions:{{a:1}}:a:{number}", "sip-1:old", 2, "sip-1:older", 1)
                    shared = "sessions:{a:1}:a:7"
                    store("HSET", shared, "sip-10:x", 3, "sip-2:y", 4, "sip-1:new", 5, "asip-1:z", 6)
                    store("HSET", "cps:{a:1}:a:7", "tokens", 1)
                    assert await worker.admission.drop_predecessors() == 2400
                    assert store.hash(shared) == {"sip-10:x": "3", "sip-2:y": "4", "sip-1:new": "5", "asip-1:z": "6"}
                    assert store.counters() == ["cps:{a:1}:a:7", shared]

        run(main())

    def test_sessions_are_free_again_when_a_killed_worker_has_a_successor(self, run: Run, live_url: str) -> None:
        chain = chain_of((2, None))

        async def main() -> None:
            async with worker_at(live_url, "sip-1:a") as dead:
                assert admitted(await dead.admit(chain, 2)) == 2
            async with worker_at(live_url, "sip-1:b") as successor:
                assert admitted(await successor.admit(chain)) == 0
                await successor.admission.drop_predecessors()
                assert admitted(await successor.admit(chain, 2)) == 2

        run(main())

    def test_dropping_fails_when_the_store_is_away(self, run: Run) -> None:
        with pytest.raises(StoreAway):
            run(Admission("sip-1:a").drop_predecessors())


class TestReconnection:
    """docs/behaviour.md §7: the store loses its data."""

    def test_counts_are_put_back_when_the_store_comes_back_empty(self, run: Run, live_url: str) -> None:
        chain, carrier = chain_of((10, 100), (None, None)), chain_of((10, None), tag="c:1")

        async def main() -> None:
            async with worker_at(live_url) as worker:
                await worker.admit(chain, 3)
                await worker.admit_carrier(carrier, 2)
                with store_at(live_url) as store:
                    store("FLUSHALL")
                    store("SCRIPT", "FLUSH")
                    assert store.cut_others() == 1
                    await worker.wait_for_connection(2)
                    assert [store.hash(key) for key in (*chain.sessions_keys, *carrier.sessions_keys)] == [
                        {"sip-1:a": "3"},
                        {"sip-1:a": "3"},
                        {"sip-1:a": "2"},
                    ]
                assert admitted(await worker.admit(chain, 20)) == 7

        run(main())

    def test_session_given_back_while_away_is_not_put_back(self, run: Run, live_url: str) -> None:
        chain, other = chain_of((10, None)), chain_of((10, None), tag="a:2")

        async def main() -> None:
            async with worker_at(live_url) as worker:
                await worker.admit(chain, 3)
                await worker.admit(other)
                with store_at(live_url) as store:
                    store.cut_others()
                    async with asyncio.timeout(5):
                        while worker.connection.is_up:  # noqa: ASYNC110 - the loop's
                            await asyncio.sleep(0)
                    await worker.release(chain)
                    await worker.release(other)
                    await worker.wait_for_connection(2)
                    assert store.hash(chain.sessions_keys[0]) == {"sip-1:a": "2"}
                    assert store.counters() == [chain.sessions_keys[0]]

        run(main())

    def test_session_is_taken_back_when_its_answer_was_lost_with_the_connection(self, run: Run, live_url: str) -> None:
        chain = chain_of((10, None))

        async def main() -> None:
            async with worker_at(live_url, timeout=0.3) as worker:
                worker.connection.send(("CLIENT", "REPLY", "OFF"), lambda _: None)
                (outcome,) = await worker.admit(chain)
                assert isinstance(outcome, StoreAway)
                await worker.wait_for_connection(2)
                with store_at(live_url) as store:
                    assert store.counters() == []
                assert worker.admission.taken == 0

        run(main())

    def test_counts_of_another_worker_stay_when_one_comes_back(self, run: Run, live_url: str) -> None:
        chain = chain_of((10, None))

        async def main() -> None:
            async with worker_at(live_url, "sip-1:a") as one, worker_at(live_url, "sip-2:b") as two:
                await one.admit(chain, 2)
                await two.admit(chain, 3)
                with store_at(live_url) as store:
                    store.cut_others()
                    await one.wait_for_connection(2)
                    await two.wait_for_connection(2)
                    assert store.hash(chain.sessions_keys[0]) == {"sip-1:a": "2", "sip-2:b": "3"}

        run(main())


class TestAway:
    def test_call_is_told_at_once_when_there_was_never_a_connection(self, run: Run, live_url: str) -> None:
        async def main() -> None:
            worker = Worker(live_url, "sip-1:a")
            for outcomes in (await worker.admit(chain_of((1, 1)), 2), await worker.admit_carrier(chain_of((1, 1)), 2)):
                assert [type(outcome) for outcome in outcomes] == [StoreAway, StoreAway]
            assert worker.admission.taken == 0

        run(main())

    def test_call_passes_and_is_counted_later_when_calls_may_pass_while_away(self, run: Run, live_url: str) -> None:
        chain = chain_of((10, None))

        async def main() -> None:
            worker = Worker(live_url, "sip-1:a", admit_when_away=True)
            assert await worker.admit(chain, 3) == [None] * 3
            assert worker.admission.taken == 3
            await worker.connection.open()
            await worker.wait_for_connection(1)
            with store_at(live_url) as store:
                assert store.hash(chain.sessions_keys[0]) == {"sip-1:a": "3"}
            assert admitted(await worker.admit(chain, 20)) == 7
            await worker.connection.close()

        run(main())

    def test_call_is_told_when_the_store_refuses_the_command(self, run: Run, live_url: str) -> None:
        chain = chain_of((1, 1))

        async def main() -> None:
            async with worker_at(live_url) as worker:
                with store_at(live_url) as store:
                    store("SET", chain.keys[0], "no hash")
                    (outcome,) = await worker.admit(chain)
                    assert isinstance(outcome, StoreAway)
                    assert "WRONGTYPE" in str(outcome)
                assert worker.admission.taken == 0

        run(main())
