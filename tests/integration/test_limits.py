"""Calls per second on every level of the chain, and towards a carrier, with real calls (docs/behaviour.md §2)."""

import threading
import time
from collections.abc import Iterator

import pytest

from tests.support.configuration import Configuration
from tests.support.datagrams import Callers, Carrier, carriers
from tests.support.switch import Switch, free_port, wait_until

BUSY = (486,)
"""What the carrier answers to all: nothing to hang up, no second attempt."""


@pytest.fixture
def configuration(switch: Switch) -> Iterator[Configuration]:
    configuration = Configuration(switch)
    yield configuration
    configuration.remove()


def limited_customers(configuration: Configuration, route: int) -> dict[str, str]:
    """Three customers that may make ten calls a second: by their device, their account, their reseller."""
    addresses = {"device": "127.0.0.11", "account": "127.0.0.12", "reseller": "127.0.0.13"}
    _, device = configuration.customer(addresses["device"], route)
    configuration.update("ip_device", device, cps=10)
    configuration.customer(addresses["account"], route, cps=10)
    reseller = configuration.account(kind="reseller", cps=10)
    configuration.switch.query("INSERT INTO reseller_route VALUES ($1, $2)", reseller, route)
    configuration.customer(addresses["reseller"], route, parent_id=reseller)
    configuration.switch.wait_for_configuration()
    return addresses


class TestCallsPerSecond:
    def test_burst_gets_as_many_calls_as_the_bucket_holds(self, switch: Switch, configuration: Configuration) -> None:
        carrier = Carrier(free_port(), BUSY)
        route = configuration.route([configuration.carrier(carrier.port)[0]])
        refused: dict[str, int] = {}
        with carriers(carrier):
            for level, address in limited_customers(configuration, route).items():
                with Callers(switch, address) as callers:
                    began = time.monotonic()
                    for _ in range(100):
                        callers.invite()
                    callers.listen(10.0)
                    # The bucket holds ten, and gains one each tenth of a second, should the machine need so long.
                    gained = int(10 * (time.monotonic() - began))
                    assert 10 <= callers.count(486) <= 10 + gained, level
                    refused[level] = callers.count(503)
                    assert callers.count(486) + refused[level] == 100
        wait_until(lambda: counted(switch, "CPS_LIMIT") == sum(refused.values()), "all refusals to be recorded")
        refusals = switch.query(
            "SELECT object, count(*) AS rows, sum(calls) AS calls FROM cdr WHERE code = 'CPS_LIMIT' GROUP BY object"
        )
        assert {row["object"].split(" ")[0]: row["calls"] for row in refusals} == refused
        # Of one second twenty have a row each and the others share one; a burst may meet two seconds.
        assert all(21 <= row["rows"] <= 42 for row in refusals)

    def test_steady_calls_get_the_bucket_and_what_it_gains(self, switch: Switch, configuration: Configuration) -> None:
        carrier = Carrier(free_port(), BUSY)
        route = configuration.route([configuration.carrier(carrier.port)[0]])
        addresses = limited_customers(configuration, route)
        admitted: dict[str, int] = {}

        def offer(level: str, address: str) -> None:
            with Callers(switch, address) as callers:
                callers.pace(20, 10)
                callers.listen(5.0)
                assert callers.are_answered
                admitted[level] = callers.count(486)

        with carriers(carrier):
            threads = [threading.Thread(target=offer, args=each) for each in addresses.items()]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(30)
        assert sorted(admitted) == ["account", "device", "reseller"]
        assert all(100 <= count <= 110 for count in admitted.values()), admitted

    def test_carrier_never_gets_more_than_its_calls_in_any_second(
        self, switch: Switch, configuration: Configuration
    ) -> None:
        carrier = Carrier(free_port(), BUSY)
        limited, _ = configuration.carrier(carrier.port, cps=10)
        configuration.customer("127.0.0.14", configuration.route([limited]))
        switch.wait_for_configuration()
        with carriers(carrier), Callers(switch, "127.0.0.14") as callers:
            callers.pace(50, 4)
            callers.listen(5.0)
            assert callers.are_answered
        arrivals = carrier.arrivals
        assert len(arrivals) == callers.count(486)
        assert len(arrivals) >= 40
        # The way from the switch to us takes some and another time: 20 ms are allowed for it.
        assert all(later - first >= 0.98 for first, later in zip(arrivals, arrivals[10:], strict=False))
        assert {heard.reason.partition(";")[0] for heard in callers.calls.values() if heard.final == 503} == {"Q.850"}


def counted(switch: Switch, code: str) -> int:
    """How many calls the records of a code stand for."""
    return int(switch.query("SELECT coalesce(sum(calls), 0) AS calls FROM cdr WHERE code = $1", code)[0]["calls"])
