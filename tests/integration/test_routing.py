"""Where calls go, with real calls: shared load, failover within the timers, one answer (docs/behaviour.md §4, §5)."""

import time
from collections.abc import Iterator

import pytest

from tests.support.configuration import Configuration
from tests.support.datagrams import Callers, Carrier, carriers
from tests.support.switch import Switch, free_port

ADDRESS = "127.0.0.15"


@pytest.fixture
def configuration(switch: Switch) -> Iterator[Configuration]:
    configuration = Configuration(switch)
    yield configuration
    configuration.remove()


class TestLoadShare:
    def test_thousand_calls_are_shared_by_weight(self, switch: Switch, configuration: Configuration) -> None:
        heavy, light = Carrier(free_port(), (486,)), Carrier(free_port(), (486,))
        both = [configuration.carrier(each.port)[0] for each in (heavy, light)]
        configuration.customer(ADDRESS, configuration.route(both, weights=(70, 30), mode="load_share"))
        switch.wait_for_configuration()
        with carriers(heavy, light), Callers(switch, ADDRESS) as callers:
            callers.pace(250, 4)
            callers.listen(5.0)
            assert callers.count(486) == 1000
        assert abs(len(heavy.arrivals) - 700) <= 10
        assert len(heavy.arrivals) + len(light.arrivals) == 1000


class TestFailover:
    def test_fourth_carrier_is_reached_when_three_do_not_take_the_call(
        self, switch: Switch, configuration: Configuration
    ) -> None:
        timers = {"invite_timeout": 1, "progress_timeout": 2}
        answers = ((), (503,), (100,), (180, 200))
        all_four = [Carrier(free_port(), each) for each in answers]
        ids = [configuration.carrier(each.port, gateway=timers)[0] for each in all_four]
        configuration.customer(ADDRESS, configuration.route(ids))
        switch.wait_for_configuration()
        with carriers(*all_four), Callers(switch, ADDRESS) as callers:
            began = time.monotonic()
            call_id = callers.invite()
            callers.listen(10.0)
            heard = callers.calls[call_id]
            assert heard.final == 200
            assert [status for status in heard.provisional if status > 100] == [180]
            assert 3.0 <= heard.at - began <= 3.5  # silence for 1 s, nothing but 100 for 2 s
            switch.ask("hangup", account_id=switch.query("SELECT max(id) AS id FROM account")[0]["id"])
        records = switch.wait_for_records(4)
        assert [record["code"] for record in records] == ["NO_RESPONSE", "CARRIER_FAILURE", "NO_RESPONSE", "ANSWERED"]
        assert [record["is_last"] for record in records] == [False, False, False, True]

    def test_caller_is_told_480_when_it_rings_for_ever(self, switch: Switch, configuration: Configuration) -> None:
        ringing, other = Carrier(free_port(), (180,)), Carrier(free_port(), (486,))
        ids = [configuration.carrier(each.port, gateway={"ring_timeout": 1})[0] for each in (ringing, other)]
        configuration.customer(ADDRESS, configuration.route(ids))
        switch.wait_for_configuration()
        with carriers(ringing, other), Callers(switch, ADDRESS) as callers:
            began = time.monotonic()
            call_id = callers.invite()
            callers.listen(5.0)
            heard = callers.calls[call_id]
            assert (heard.final, heard.reason) == (480, 'Q.850;cause=19;text="RING_TIMEOUT"')
            assert 0.9 <= heard.at - began <= 1.5
            assert other.arrivals == []


class TestChanges:
    def test_change_in_the_database_counts_for_the_next_call_within_a_second(
        self, switch: Switch, configuration: Configuration
    ) -> None:
        busy = Carrier(free_port(), (486,))
        account, _ = configuration.customer(ADDRESS, configuration.route([configuration.carrier(busy.port)[0]]))
        switch.wait_for_configuration()
        cards = "(SELECT ratecard_id FROM tariff_ratecard WHERE tariff_id = $1)"
        changes = {
            "SESSION_LIMIT": ("UPDATE account SET max_sessions = 0 WHERE id = $1", account),
            "ACCOUNT_INACTIVE": ("UPDATE account SET status = 'suspended' WHERE id = $1", account),
            "NO_DIALING_ROUTE": ("DELETE FROM dialing_route WHERE account_id = $1", account),
            "RATE_BLOCKED": (f"UPDATE rate SET status = 'blocked' WHERE ratecard_id IN {cards}", configuration.tariff),
        }
        undo = {
            "SESSION_LIMIT": ("UPDATE account SET max_sessions = NULL WHERE id = $1", account),
            "ACCOUNT_INACTIVE": ("UPDATE account SET status = 'active' WHERE id = $1", account),
            "NO_DIALING_ROUTE": (
                "INSERT INTO dialing_route (account_id, route_id) SELECT $1, max(id) FROM route",
                account,
            ),
            "RATE_BLOCKED": (f"UPDATE rate SET status = 'active' WHERE ratecard_id IN {cards}", configuration.tariff),
        }
        with carriers(busy), Callers(switch, ADDRESS) as callers:
            for code, change in changes.items():
                for statement, wanted in ((change, code), (undo[code], "BUSY")):
                    switch.query(*statement)
                    changed = time.monotonic()
                    while (heard := self._call(callers)) != wanted:
                        assert time.monotonic() - changed < 1.0, (wanted, heard)

    def _call(self, callers: Callers) -> str:
        call_id = callers.invite()
        callers.listen(5.0)
        heard = callers.calls[call_id]
        return "BUSY" if heard.final == 486 else heard.reason.partition('text="')[2].rstrip('"')


class TestDuration:
    def test_call_ends_on_both_legs_when_its_longest_duration_is_over(
        self, switch: Switch, configuration: Configuration
    ) -> None:
        carrier = Carrier(free_port(), (200,))
        route = configuration.route([configuration.carrier(carrier.port)[0]])
        configuration.customer(ADDRESS, route, max_duration=5)
        switch.wait_for_configuration()
        with carriers(carrier), Callers(switch, ADDRESS) as callers:
            call_id = callers.invite()
            callers.listen(5.0)
            answered = callers.calls[call_id].at
            ended = callers.wait_for_bye(8.0)
            assert abs(ended - answered - 5.0) <= 0.2
            assert abs(carrier.wait_for_bye(2.0) - answered - 5.0) <= 0.2
        (record,) = switch.wait_for_records(1, "code = 'ANSWERED'")
        assert (record["reason"], record["ended_by"]) == ("MAX_DURATION", "system")
        (charge,) = switch.query("SELECT billed_seconds FROM cdr_charge WHERE level = 0")
        assert charge["billed_seconds"] >= 5
        assert float(record["duration"]) == 5.0

    def test_calls_of_a_suspended_account_end(self, switch: Switch, configuration: Configuration) -> None:
        carrier = Carrier(free_port(), (200,))
        route = configuration.route([configuration.carrier(carrier.port)[0]])
        account, _ = configuration.customer(ADDRESS, route)
        switch.wait_for_configuration()
        with carriers(carrier), Callers(switch, ADDRESS) as callers:
            callers.invite()
            callers.listen(5.0)
            suspended = time.monotonic()
            switch.query("UPDATE account SET status = 'suspended' WHERE id = $1", account)
            assert callers.wait_for_bye(3.0) - suspended < 1.0
        (record,) = switch.wait_for_records(1, "code = 'ANSWERED'")
        assert (record["reason"], record["ended_by"]) == ("ACCOUNT_SUSPENDED", "system")


class TestEmergency:
    def test_emergency_call_goes_out_when_nothing_else_may(self, switch: Switch, configuration: Configuration) -> None:
        carrier = Carrier(free_port(), (200,))
        route = configuration.route([configuration.carrier(carrier.port)[0]])
        number = configuration.insert("emergency_number", pattern="1189", route_id=route)
        account = configuration.account(credit_limit=0, max_sessions=0, cps=0)
        configuration.insert("ip_device", account_id=account, address=ADDRESS, max_sessions=0)
        switch.wait_for_configuration()
        assert number
        with carriers(carrier), Callers(switch, ADDRESS) as callers:
            refused, gone = callers.invite(), callers.invite("1189")
            callers.listen(5.0)
            assert callers.calls[refused].reason == 'Q.850;cause=42;text="CPS_LIMIT"'
            assert callers.calls[gone].final == 200
            switch.ask("hangup", account_id=account)
            callers.wait_for_bye(3.0)
        (record,) = switch.wait_for_records(1, "kind = 'emergency'")
        assert (record["code"], record["gross"]) == ("ANSWERED", None)
