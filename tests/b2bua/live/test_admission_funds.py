"""Funds of accounts in a real Valkey: held, extended, turned into debts, and put back (docs/behaviour.md §7)."""

import asyncio
from collections.abc import Sequence

import pytest

from b2bua.live.admission import Outcome, Refusal, Shortage
from b2bua.live.connection import StoreAway
from b2bua.policy.limits import Chain, Level
from rating.funds import funds_key
from tests.support.live import Store, Worker, store_at, worker_at
from tests.support.servers import Run

RUN = "sip-1:a"
KEYS = tuple(funds_key(3, account) for account in (1, 2, 3))
CENT = 10_000
"""Micros."""


def chain_of_accounts(*limits: tuple[int | None, int | None]) -> Chain:
    """A device, a customer 1, its reseller 2 and the topmost reseller 3; `limits` are those of the first levels."""
    all_limits = [*limits, *[(None, None)] * (4 - len(limits))]
    names = (("ip:7", "device ip:7"), ("a:1", "account 1"), ("a:2", "reseller 2"), ("a:3", "reseller 3"))
    return Chain([Level("a:3", *name, *limit) for name, limit in zip(names, all_limits, strict=True)], KEYS)


CHAIN = chain_of_accounts()


def pay(store: Store, *bases: int | None) -> None:
    """The accounts have so much to spend, but for what is held and owed; None: the store does not know."""
    for key, base in zip(KEYS, bases, strict=True):
        if base is not None:
            store("HSET", key, "base", base, "version", 1)


def fields(store: Store) -> list[dict[str, str]]:
    """The accounts' hashes, without what PostgreSQL says."""
    hashes = [store.hash(key) for key in KEYS]
    return [{name: value for name, value in each.items() if name not in ("base", "version")} for each in hashes]


def held(store: Store, amounts: Sequence[int], run: str = RUN) -> bool:
    """Whether just so much is held of each, by one run, and nothing owed."""
    return fields(store) == [{f"h:{run}": str(amount)} if amount else {} for amount in amounts]


def short(outcome: Outcome) -> tuple[int, list[int | None]]:
    assert isinstance(outcome, Shortage), outcome
    return outcome.account, outcome.available


async def is_back(worker: Worker, store: Store, *, empty: bool = True) -> None:
    """The store comes back, without its data unless told otherwise, and the worker has connected again."""
    number = worker.attached + 1
    if empty:
        store("FLUSHALL")
        store("SCRIPT", "FLUSH")
    store.cut_others()
    await worker.wait_for_connection(number)


class TestHold:
    def test_call_holds_of_every_account_when_all_have_enough(self, run: Run, live_url: str) -> None:
        async def main() -> None:
            async with worker_at(live_url) as worker:
                with store_at(live_url) as store:
                    pay(store, 30, 20, 10)
                    assert await worker.admit(CHAIN, holds=[30, 20, 10]) == [None]
                    assert held(store, [30, 20, 10])
                    assert store.hash(CHAIN.sessions_keys[3]) == {RUN: "1"}

        run(main())

    @pytest.mark.parametrize(
        ("bases", "first"), [((49, 30, 20), 0), ((100, 30, 20), 1), ((100, 50, 20), 2), ((-5, 50, 50), 0)]
    )
    def test_call_holds_nothing_and_the_first_short_account_is_named_when_any_has_too_little(
        self, run: Run, live_url: str, bases: tuple[int, int, int], first: int
    ) -> None:
        async def main() -> None:
            async with worker_at(live_url) as worker:
                with store_at(live_url) as store:
                    pay(store, *bases)
                    (outcome,) = await worker.admit(CHAIN, holds=[50, 50, 50])
                    assert short(outcome) == (first, list(bases))
                    assert held(store, [0, 0, 0])
                    assert store.counters() == sorted(KEYS)
                    assert worker.admission.taken == 0

        run(main())

    @pytest.mark.parametrize(
        ("bases", "first"),
        [((None, 90, 90), 0), ((90, None, 90), 1), ((90, 90, None), 2), ((None, None, None), 0), ((9, 90, None), 0)],
    )
    def test_call_is_short_of_what_the_store_does_not_know_when_it_has_lost_its_data(
        self, run: Run, live_url: str, bases: tuple[int | None, ...], first: int
    ) -> None:
        async def main() -> None:
            async with worker_at(live_url) as worker:
                with store_at(live_url) as store:
                    pay(store, *bases)
                    (outcome,) = await worker.admit(CHAIN, holds=[10, 0, 10])
                    assert short(outcome) == (first, list(bases))
                    assert held(store, [0, 0, 0])

        run(main())

    def test_account_never_refuses_when_the_call_costs_it_nothing(self, run: Run, live_url: str) -> None:
        async def main() -> None:
            async with worker_at(live_url) as worker:
                with store_at(live_url) as store:
                    pay(store, 10, -50, 0)
                    assert await worker.admit(CHAIN, holds=[10, 0, 0]) == [None]

        run(main())

    def test_held_and_owed_of_every_worker_count_when_another_asks(self, run: Run, live_url: str) -> None:
        async def main() -> None:
            async with worker_at(live_url, "sip-1:a") as one, worker_at(live_url, "sip-2:b") as two:
                with store_at(live_url) as store:
                    pay(store, 100, 100, 100)
                    await one.admit(CHAIN, holds=[30, 20, 10])
                    await two.admit(CHAIN, holds=[5, 5, 5])
                    await two.release(CHAIN, holds=[5, 5, 5], owed=[4, 3, 2])
                    (outcome,) = await two.admit(CHAIN, holds=[67, 1, 1])
                    assert short(outcome) == (0, [66, 77, 88])
                    assert await two.admit(CHAIN, holds=[66, 77, 88]) == [None]

        run(main())

    @pytest.mark.parametrize(("amount", "passes"), [(60 * CENT, 1), (50 * CENT, 2), (10 * CENT, 10), (3 * CENT, 33)])
    def test_accounts_never_hold_more_than_they_have_when_many_ask_at_once(
        self, run: Run, live_url: str, amount: int, passes: int
    ) -> None:
        async def main() -> None:
            async with worker_at(live_url, "sip-1:a") as one, worker_at(live_url, "sip-2:b") as two:
                with store_at(live_url) as store:
                    pay(store, 500 * CENT, 100 * CENT, 300 * CENT)
                    results = await asyncio.gather(
                        *(worker.admit(CHAIN, 5, holds=[amount] * 3) for worker in (one, two) for _ in range(5))
                    )
                    outcomes = [outcome for result in results for outcome in result]
                    assert len(outcomes) == 50
                    assert outcomes.count(None) == passes
                    for each in fields(store):
                        assert sum(int(value) for value in each.values()) == passes * amount
                    assert {short(outcome)[0] for outcome in outcomes if outcome} == {1}

        run(main())

    def test_session_limit_refuses_when_funds_are_short_too(self, run: Run, live_url: str) -> None:
        async def main() -> None:
            async with worker_at(live_url) as worker:
                with store_at(live_url) as store:
                    pay(store, 0, 0, 0)
                    (outcome,) = await worker.admit(chain_of_accounts((None, None), (0, None)), holds=[1, 1, 1])
                    assert isinstance(outcome, Refusal)
                    assert (outcome.level.name, outcome.of_cps) == ("account 1", False)

        run(main())

    def test_call_counts_once_when_it_asks_again_for_less(self, run: Run, live_url: str) -> None:
        chain = chain_of_accounts((None, 1))

        async def main() -> None:
            async with worker_at(live_url) as worker:
                with store_at(live_url) as store:
                    pay(store, 10, 10, 10)
                    (outcome,) = await worker.admit(chain, holds=[11, 1, 1])
                    assert short(outcome)[0] == 0
                    assert await worker.admit(chain, holds=[10, 1, 1], is_counted=True) == [None]
                    # The short one has used up the second's token.
                    (outcome,) = await worker.admit(chain, holds=[0, 0, 0])
                    assert isinstance(outcome, Refusal)
                    assert outcome.of_cps

        run(main())

    def test_refused_call_needs_no_funds_when_it_is_only_counted(self, run: Run, live_url: str) -> None:
        async def main() -> None:
            async with worker_at(live_url) as worker:
                assert await worker.count(CHAIN) == [None]
                with store_at(live_url) as store:
                    assert store.counters() == []

        run(main())

    def test_call_costs_one_command_when_it_is_admitted_extended_and_released(self, run: Run, live_url: str) -> None:
        async def main() -> None:
            async with worker_at(live_url) as worker:
                with store_at(live_url) as store:
                    pay(store, 99, 99, 99)
                before = worker.connection.operations
                await worker.admit(CHAIN, holds=[1, 1, 1])
                await worker.extend(CHAIN, [1, 1, 1])
                worker.admission.release(CHAIN, [2, 2, 2], [1, 1, 1])
                assert worker.connection.operations == before + 3
                await worker.settle()

        run(main())


class TestExtend:
    def test_more_is_held_of_every_account_when_all_have_enough(self, run: Run, live_url: str) -> None:
        async def main() -> None:
            async with worker_at(live_url) as worker:
                with store_at(live_url) as store:
                    pay(store, 30, 30, 30)
                    await worker.admit(CHAIN, holds=[10, 10, 10])
                    assert await worker.extend(CHAIN, [20, 5, 0]) == [None]
                    assert held(store, [30, 15, 10])
                    assert store.hash(CHAIN.sessions_keys[0]) == {RUN: "1"}

        run(main())

    def test_nothing_more_is_held_and_the_first_short_account_is_named_when_any_has_too_little(
        self, run: Run, live_url: str
    ) -> None:
        async def main() -> None:
            async with worker_at(live_url) as worker:
                with store_at(live_url) as store:
                    pay(store, 30, 30, 30)
                    await worker.admit(CHAIN, holds=[10, 11, 12])
                    (outcome,) = await worker.extend(CHAIN, [20, 19, 19])
                    assert short(outcome) == (2, [20, 19, 18])
                    assert held(store, [10, 11, 12])

        run(main())

    def test_accounts_never_hold_more_than_they_have_when_many_extend_at_once(self, run: Run, live_url: str) -> None:
        async def main() -> None:
            async with worker_at(live_url, "sip-1:a") as one, worker_at(live_url, "sip-2:b") as two:
                with store_at(live_url) as store:
                    pay(store, 100, 100, 100)
                    results = await asyncio.gather(one.extend(CHAIN, [7, 7, 7], 25), two.extend(CHAIN, [7, 7, 7], 25))
                    assert sum(result.count(None) for result in results) == 14

        run(main())

    def test_extension_is_refused_when_the_store_has_lost_its_data(self, run: Run, live_url: str) -> None:
        async def main() -> None:
            async with worker_at(live_url) as worker:
                (outcome,) = await worker.extend(CHAIN, [1, 1, 1])
                assert short(outcome) == (0, [None, None, None])

        run(main())

    @pytest.mark.parametrize("admit_when_away", [False, True])
    def test_extension_is_refused_when_the_store_is_away(self, run: Run, live_url: str, admit_when_away: bool) -> None:
        async def main() -> None:
            worker = Worker(live_url, RUN, admit_when_away=admit_when_away)
            (outcome,) = await worker.extend(CHAIN, [1, 1, 1])
            assert isinstance(outcome, StoreAway)

        run(main())


class TestRelease:
    def test_hold_becomes_debt_when_the_call_ends(self, run: Run, live_url: str) -> None:
        async def main() -> None:
            async with worker_at(live_url) as worker:
                with store_at(live_url) as store:
                    pay(store, 100, 100, 100)
                    await worker.admit(CHAIN, 2, holds=[30, 20, 10])
                    await worker.release(CHAIN, holds=[30, 20, 10], owed=[25, 15, 0])
                    assert fields(store) == [
                        {f"h:{RUN}": "30", f"p:{RUN}": "25"},
                        {f"h:{RUN}": "20", f"p:{RUN}": "15"},
                        {f"h:{RUN}": "10"},
                    ]
                    await worker.release(CHAIN, holds=[30, 20, 10], owed=[1, 1, 1])
                    assert fields(store) == [{f"p:{RUN}": "26"}, {f"p:{RUN}": "16"}, {f"p:{RUN}": "1"}]
                    assert [key for key in store.counters() if key.startswith("sessions:")] == []

        run(main())

    def test_hold_is_given_back_when_the_call_costs_nothing_in_the_end(self, run: Run, live_url: str) -> None:
        async def main() -> None:
            async with worker_at(live_url) as worker:
                with store_at(live_url) as store:
                    pay(store, 100, 100, 100)
                    await worker.admit(CHAIN, holds=[30, 20, 10])
                    await worker.release(CHAIN, holds=[30, 20, 10])
                    assert held(store, [0, 0, 0])
                    assert store.counters() == sorted(KEYS)

        run(main())

    @pytest.mark.parametrize("holds", [(0, 20, 10), (30, 0, 10), (30, 20, 0), (0, 0, 0)])
    def test_everything_is_given_back_when_the_call_cost_one_account_nothing(
        self, run: Run, live_url: str, holds: tuple[int, ...]
    ) -> None:
        async def main() -> None:
            async with worker_at(live_url) as worker:
                with store_at(live_url) as store:
                    pay(store, 100, 100, 100)
                    await worker.admit(CHAIN, holds=holds)
                    await worker.release(CHAIN, holds=holds, owed=[0, 0, 0])
                    assert held(store, [0, 0, 0])
                    assert [key for key in store.counters() if key.startswith("sessions:")] == []

        run(main())

    def test_session_stays_when_a_late_extension_is_given_back(self, run: Run, live_url: str) -> None:
        async def main() -> None:
            async with worker_at(live_url) as worker:
                with store_at(live_url) as store:
                    pay(store, 100, 100, 100)
                    await worker.admit(CHAIN, holds=[30, 20, 10])
                    await worker.extend(CHAIN, [3, 2, 1])
                    worker.admission.release_funds(CHAIN, [3, 2, 1])
                    await worker.settle()
                    assert held(store, [30, 20, 10])
                    assert worker.admission.taken == 4

        run(main())

    def test_carrier_has_no_funds_when_its_session_is_given_back(self, run: Run, live_url: str) -> None:
        carrier = Chain([Level("c:1", "c:1", "carrier", 5, None), Level("c:1", "g:1", "gateway", 5, None)])

        async def main() -> None:
            async with worker_at(live_url) as worker:
                await worker.admit_carrier(carrier)
                await worker.release(carrier)
                with store_at(live_url) as store:
                    assert store.counters() == []

        run(main())


async def with_debts(worker: Worker, store: Store) -> None:
    """Three calls have ended: 1 is owed behind (1, 100), 2 behind (1, 200) and 4 behind (2, 50)."""
    pay(store, 100, 100, 100)
    for position, amount in (((1, 100), 1), ((1, 200), 2), ((2, 50), 4)):
        await worker.admit(CHAIN, holds=[9, 9, 9])
        worker.admission.note_unposted(position, KEYS, [amount, 10 * amount, 0])
        await worker.release(CHAIN, holds=[9, 9, 9], owed=[amount, 10 * amount, 0])


class TestPosted:
    @pytest.mark.parametrize(
        ("position", "left"),
        [
            ((0, 0), 7),
            ((1, 99), 7),
            ((1, 100), 6),
            ((1, 199), 6),
            ((1, 5000), 4),
            ((2, 0), 4),
            ((2, 50), 0),
            ((9, 0), 0),
        ],
    )
    def test_debts_are_dropped_up_to_the_position_when_the_journal_is_posted(
        self, run: Run, live_url: str, position: tuple[int, int], left: int
    ) -> None:
        async def main() -> None:
            async with worker_at(live_url) as worker:
                with store_at(live_url) as store:
                    await with_debts(worker, store)
                    worker.admission.posted(position)
                    await worker.settle()
                    debts = [{f"p:{RUN}": str(amount)} if amount else {} for amount in (left, 10 * left, 0)]
                    assert fields(store) == debts

        run(main())

    def test_debts_are_dropped_once_when_the_same_position_is_seen_again(self, run: Run, live_url: str) -> None:
        async def main() -> None:
            async with worker_at(live_url) as worker:
                with store_at(live_url) as store:
                    await with_debts(worker, store)
                    for _ in range(3):
                        worker.admission.posted((1, 150))
                    await worker.settle()
                    assert fields(store)[0] == {f"p:{RUN}": "6"}

        run(main())

    def test_debt_stays_off_when_it_was_posted_while_the_store_was_away(self, run: Run, live_url: str) -> None:
        async def main() -> None:
            async with worker_at(live_url) as worker:
                with store_at(live_url) as store:
                    await with_debts(worker, store)
                    worker.connection.is_up = False  # as long as it is away
                    worker.admission.posted((1, 100))
                    await is_back(worker, store, empty=False)
                    assert fields(store)[0] == {f"p:{RUN}": "6"}

        run(main())

    @pytest.mark.parametrize("how", ["posted", "back", "successor"])
    def test_figure_that_has_the_debit_comes_in_force_in_the_step_that_drops_the_debt(
        self, run: Run, live_url: str, how: str
    ) -> None:
        async def main() -> None:
            async with worker_at(live_url, "sip-1:b" if how == "successor" else RUN) as worker:
                with store_at(live_url) as store:
                    if how == "successor":
                        pay(store, 100, 100, 100)
                        store("HSET", KEYS[0], "p:sip-1:a", 10)
                    else:
                        await with_debts(worker, store)
                    store("HSET", KEYS[0], "version", 7, "next", 90, "next_version", 8)
                    if how == "successor":
                        await worker.admission.drop_predecessors()
                    elif how == "posted":
                        worker.admission.posted((9, 0))
                        await worker.settle()
                    else:
                        worker.connection.is_up = False
                        worker.admission.posted((9, 0))
                        await is_back(worker, store, empty=False)
                    assert store.hash(KEYS[0]) == {"base": "90", "version": "8"}

        run(main())

    def test_figure_that_waits_is_given_up_when_a_newer_one_came(self, run: Run, live_url: str) -> None:
        async def main() -> None:
            async with worker_at(live_url) as worker:
                with store_at(live_url) as store:
                    await with_debts(worker, store)
                    store("HSET", KEYS[0], "base", 500, "version", 9, "next", 90, "next_version", 8)
                    worker.admission.posted((9, 0))
                    await worker.settle()
                    assert store.hash(KEYS[0]) == {"base": "500", "version": "9"}

        run(main())

    @pytest.mark.parametrize(("said", "position"), [(None, None), ("3:4567", (3, 4567))])
    def test_position_is_what_the_store_has_the_figures_of(
        self, run: Run, live_url: str, said: str | None, position: tuple[int, int] | None
    ) -> None:
        async def main() -> None:
            async with worker_at(live_url) as worker:
                with store_at(live_url) as store:
                    store("SET", "posted:another", "9:9")
                    if said:
                        store("SET", "posted:sip-1", said)
                    assert await worker.admission.posted_position() == position

        run(main())

    def test_debt_of_a_predecessor_is_owed_until_it_is_posted(self, run: Run, live_url: str) -> None:
        async def main() -> None:
            async with worker_at(live_url, "sip-1:b") as worker:
                with store_at(live_url) as store:
                    pay(store, 100, 100, 100)
                    store("HINCRBY", KEYS[0], "p:sip-1:a", 30)
                    worker.admission.owe(KEYS[0], 10)
                    worker.admission.owe(KEYS[0], 20)
                    worker.admission.note_unposted((1, 10), [KEYS[0]], [10])
                    worker.admission.note_unposted((1, 20), [KEYS[0]], [20])
                    assert await worker.admission.drop_predecessors() == 1
                    assert fields(store)[0] == {"p:sip-1:b": "30"}
                    worker.admission.posted((1, 10))
                    await worker.settle()
                    assert fields(store)[0] == {"p:sip-1:b": "20"}
                    worker.admission.posted((1, 20))
                    await worker.settle()
                    assert fields(store)[0] == {}

        run(main())


class TestPutBack:
    """docs/behaviour.md §7: the store loses its data."""

    def test_holds_and_debts_are_put_back_and_the_worker_says_so_when_the_store_comes_back_empty(
        self, run: Run, live_url: str
    ) -> None:
        async def main() -> None:
            async with worker_at(live_url) as worker:
                with store_at(live_url) as store:
                    await with_debts(worker, store)
                    await worker.admit(CHAIN, holds=[5, 6, 7])
                    await worker.extend(CHAIN, [1, 1, 1])
                    before = fields(store)
                    await is_back(worker, store)
                    assert fields(store) == before
                    assert store.hash(CHAIN.sessions_keys[2]) == {RUN: "1"}
                    assert store("GET", "worker:sip-1") == RUN

        run(main())

    def test_nobody_is_admitted_when_the_store_has_come_back_empty_until_it_has_figures(
        self, run: Run, live_url: str
    ) -> None:
        async def main() -> None:
            async with worker_at(live_url) as worker:
                with store_at(live_url) as store:
                    pay(store, 10, 10, 10)
                    await worker.admit(CHAIN, holds=[6, 6, 6])
                    await is_back(worker, store)
                    (outcome,) = await worker.admit(CHAIN, holds=[0, 0, 0])
                    assert short(outcome) == (0, [None, None, None])
                    pay(store, 10, 10, 10)
                    (outcome,) = await worker.admit(CHAIN, holds=[5, 5, 5])
                    assert short(outcome) == (0, [4, 4, 4])

        run(main())

    def test_hold_given_back_while_away_is_not_put_back(self, run: Run, live_url: str) -> None:
        async def main() -> None:
            async with worker_at(live_url) as worker:
                with store_at(live_url) as store:
                    pay(store, 100, 100, 100)
                    await worker.admit(CHAIN, 2, holds=[5, 6, 7])
                    worker.connection.is_up = False  # as long as it is away
                    worker.admission.release(CHAIN, [5, 6, 7], [1, 2, 3])
                    await is_back(worker, store, empty=False)
                    assert fields(store) == [
                        {f"h:{RUN}": "5", f"p:{RUN}": "1"},
                        {f"h:{RUN}": "6", f"p:{RUN}": "2"},
                        {f"h:{RUN}": "7", f"p:{RUN}": "3"},
                    ]

        run(main())

    def test_hold_is_taken_back_when_its_answer_was_lost_with_the_connection(self, run: Run, live_url: str) -> None:
        async def main() -> None:
            async with worker_at(live_url, timeout=0.3) as worker:
                with store_at(live_url) as store:
                    pay(store, 100, 100, 100)
                    worker.connection.send(("CLIENT", "REPLY", "OFF"), lambda _: None)
                    (outcome,) = await worker.admit(CHAIN, holds=[5, 6, 7])
                    assert isinstance(outcome, StoreAway)
                    await worker.wait_for_connection(2)
                    assert held(store, [0, 0, 0])

        run(main())

    def test_call_admitted_while_away_holds_when_the_store_is_back(self, run: Run, live_url: str) -> None:
        async def main() -> None:
            worker = Worker(live_url, RUN, admit_when_away=True)
            assert await worker.admit(CHAIN, holds=[5, 6, 7]) == [None]
            with store_at(live_url) as store:
                pay(store, 1, 1, 1)
                await worker.connection.open()
                await worker.wait_for_connection(1)
                assert held(store, [5, 6, 7])
            await worker.connection.close()

        run(main())


class TestPredecessors:
    def test_holds_and_debts_of_dead_runs_of_the_name_are_dropped_and_others_kept(
        self, run: Run, live_url: str
    ) -> None:
        async def main() -> None:
            async with worker_at(live_url, "sip-1:new") as worker:
                with store_at(live_url) as store:
                    pay(store, 100, 100, 100)
                    kept = {"h:sip-10:x": "3", "p:sip-2:y": "4", "h:sip-1:new": "5", "p:sip-1:new": "6"}
                    for key in KEYS:
                        store("HSET", key, *[part for pair in kept.items() for part in pair])
                        store("HSET", key, "h:sip-1:old", 1, "p:sip-1:old", 2, "p:sip-1:older", 3)
                    assert await worker.admission.drop_predecessors() == 9
                    assert fields(store) == [kept] * 3
                    assert [store.hash(key)["base"] for key in KEYS] == ["100"] * 3

        run(main())

    def test_funds_are_free_again_when_a_killed_worker_has_a_successor(self, run: Run, live_url: str) -> None:
        async def main() -> None:
            with store_at(live_url) as store:
                pay(store, 10, 10, 10)
            async with worker_at(live_url, "sip-1:a") as dead:
                assert await dead.admit(CHAIN, holds=[10, 10, 10]) == [None]
            async with worker_at(live_url, "sip-1:b") as successor:
                (outcome,) = await successor.admit(CHAIN, holds=[10, 10, 10])
                assert short(outcome) == (0, [0, 0, 0])
                await successor.admission.drop_predecessors()
                assert await successor.admit(CHAIN, holds=[10, 10, 10]) == [None]

        run(main())
