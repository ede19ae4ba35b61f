"""The admission scripts on a Valkey in cluster mode: all keys of one script lie in one slot."""

from collections.abc import Iterator

import pytest

from b2bua.live.admission import Outcome, Refusal, Shortage
from b2bua.policy.limits import Chain
from b2bua.policy.snapshot import Snapshot
from rating.funds import funds_key
from tests.support.live import cluster_of_one, store_at, worker_at
from tests.support.policy import make_account, make_carrier, make_device, make_gateway
from tests.support.servers import Run

RUN = "sip-1:a"


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """One node, for all tests of this file."""
    with cluster_of_one() as url:
        yield url


@pytest.fixture
def cluster_url(cluster: str) -> str:
    """The same, without any key."""
    with store_at(cluster) as store:
        store("FLUSHALL")
    return cluster


def caller() -> Chain:
    """The chain of a device, a customer and two resellers, as a snapshot links them."""
    accounts = [make_account(1, 10, max_sessions=2, cps=100), make_account(10, 11, cps=100), make_account(11)]
    snapshot = Snapshot(accounts={account.id: account for account in accounts})
    snapshot.link_accounts()
    device = make_device(7, accounts[0], max_sessions=9, cps=100)
    snapshot.link_device(device)
    return device.limits


def carrier() -> Chain:
    """The chain of a carrier and its gateway."""
    carrier = make_carrier(3, make_gateway(8, max_sessions=2, cps=50), cps=50)
    Snapshot().link_carrier(carrier)
    return carrier.gateways[0].limits


def kinds(*outcomes: Outcome) -> list[type | None]:
    return [None if outcome is None else type(outcome) for outcome in outcomes]


def test_node_refuses_a_script_when_its_keys_lie_in_two_slots(cluster_url: str) -> None:
    with store_at(cluster_url) as store, pytest.raises(AssertionError, match="CROSSSLOT"):
        store("EVAL", "return 0", 2, "funds:{a:1}:a:1", "funds:{a:2}:a:2")


def test_call_is_admitted_extended_and_released_on_a_cluster(run: Run, cluster_url: str) -> None:
    chain = caller()

    async def main() -> None:
        async with worker_at(cluster_url) as worker:
            with store_at(cluster_url) as store:
                assert kinds(*await worker.admit(chain, holds=[60, 50, 40])) == [Shortage]
                for account in (1, 10, 11):
                    store("HSET", funds_key(11, account), "base", 100, "version", 1)
                assert await worker.count(chain) == [None]
                assert await worker.admit(chain, holds=[60, 50, 40]) == [None]
                assert await worker.extend(chain, [30, 30, 30]) == [None]
                assert kinds(*await worker.extend(chain, [30, 30, 30])) == [Shortage]
                assert kinds(*await worker.admit(chain, holds=[60, 50, 40])) == [Shortage]
                assert await worker.admit(chain, holds=[5, 5, 5], is_counted=True) == [None]
                assert kinds(*await worker.admit(chain, holds=[0, 0, 0])) == [Refusal]
                await worker.release(chain, holds=[90, 80, 70], owed=[80, 70, 60])
                await worker.release(chain, holds=[5, 5, 5], owed=[5, 5, 5])
                left = [store.hash(key) for key in chain.funds_keys]
                assert left == [{"base": "100", "version": "1", f"p:{RUN}": owed} for owed in ("85", "75", "65")]
                assert [key for key in store.counters() if key.startswith("sessions:")] == []

    run(main())


def test_carrier_is_admitted_and_released_on_a_cluster(run: Run, cluster_url: str) -> None:
    chain = carrier()

    async def main() -> None:
        async with worker_at(cluster_url) as worker:
            assert kinds(*await worker.admit_carrier(chain, 3)) == [None, None, Refusal]
            await worker.release(chain, 2)
            with store_at(cluster_url) as store:
                assert [key for key in store.counters() if key.startswith("sessions:")] == []

    run(main())


def test_everything_is_put_back_and_predecessors_are_dropped_on_a_cluster(run: Run, cluster_url: str) -> None:
    chain = caller()

    async def main() -> None:
        async with worker_at(cluster_url) as worker:
            with store_at(cluster_url) as store:
                for account in (1, 10, 11):
                    store("HSET", funds_key(11, account), "base", 100)
                await worker.admit(chain, holds=[3, 2, 1])
                store("FLUSHALL")
                store("SCRIPT", "FLUSH")
                store.cut_others()
                await worker.wait_for_connection(2)
                assert [store.hash(key) for key in chain.funds_keys] == [{f"h:{RUN}": held} for held in ("3", "2", "1")]
                assert [store.hash(key) for key in chain.sessions_keys] == [{RUN: "1"}] * 4
        async with worker_at(cluster_url, "sip-1:b") as successor:
            assert await successor.admission.drop_predecessors() == 7
            with store_at(cluster_url) as store:
                assert store.counters() == []

    run(main())
