"""Funds that parallel calls cannot overspend (docs/behaviour.md §7)."""

import asyncio
import os
import signal
from decimal import Decimal

import pytest

from b2bua.agent.user_agent import Caller
from b2bua.transport.endpoint import new_token
from tests.support.calls import SOURCE, agents, carrier_on, dial, exchange, hang_up, until, within
from tests.support.crash import find_victim, held
from tests.support.servers import Run
from tests.support.sipp import Load, carrier
from tests.support.switch import NUMBER, Switch, wait_until


def set_funds(switch: Switch, code: str, amount: str) -> None:
    """Make an account own exactly this."""
    switch.query(
        "WITH correction AS (INSERT INTO ledger_entry (account_id, kind, amount, currency)"
        " SELECT account_id, 'correction', $2::numeric - balance, currency FROM account_balance"
        " JOIN account ON id = account_id WHERE code = $1 RETURNING account_id, amount)"
        " UPDATE account_balance SET balance = balance + amount FROM correction"
        " WHERE correction.account_id = account_balance.account_id",
        code,
        Decimal(amount),
    )
    wanted = int(Decimal(amount) * 1_000_000)
    wait_until(lambda: available(switch, code) == wanted, "the funds to arrive")


def available(switch: Switch, code: str) -> int:
    """What the live store lets an account spend, in micros."""
    account = switch.query("SELECT id FROM account WHERE code = $1", code)[0]["id"]
    top = switch.query(
        "WITH RECURSIVE chain AS (SELECT id, parent_id FROM account WHERE code = $1 UNION ALL"
        " SELECT account.id, account.parent_id FROM account JOIN chain ON account.id = chain.parent_id)"
        " SELECT id FROM chain WHERE parent_id IS NULL",
        code,
    )[0]["id"]
    fields = switch.live("HGETALL", f"funds:{{a:{top}}}:a:{account}")
    values = {fields[n].decode(): int(fields[n + 1]) for n in range(0, len(fields), 2)}
    return values["base"] - sum(value for name, value in values.items() if name[:2] in ("h:", "p:"))


def set_rate(switch: Switch, card: str, rate: str, minimum: int, resolution: int) -> None:
    """Give every prefix of the demo's ratecard of an account kind one price."""
    switch.query(
        "UPDATE rate SET rate_per_minute = $2::numeric, connection_charge = 0, minimum = $3, resolution = $4"
        " FROM ratecard WHERE ratecard.id = ratecard_id AND ratecard.name = $1",
        card,
        Decimal(rate),
        minimum,
        resolution,
    )


def invite() -> str:
    """An INVITE as a datagram."""
    token = new_token()
    return (
        f"INVITE sip:{NUMBER}@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{{port}};rport;branch=z9hG4bK{token}\r\n"
        f"From: <sip:{SOURCE}@127.0.0.1>;tag={token}\r\nTo: <sip:{NUMBER}@127.0.0.1>\r\nCall-ID: {token}\r\n"
        f"CSeq: 1 INVITE\r\nContact: <sip:{SOURCE}@127.0.0.1:{{port}}>\r\nMax-Forwards: 70\r\n"
        "Content-Length: 0\r\n\r\n"
    )


def attack(switch: Switch, run: Run, calls: int) -> tuple[list[int], list[int]]:
    """Start calls at once, keep them up until the switch ends them; returns statuses and samples of funds."""
    samples: list[int] = []

    async def go() -> list[int]:
        callers = [Caller() for _ in range(calls)]
        carrier = carrier_on(switch)
        async with agents(carrier, *callers):
            for caller in callers:
                dial(caller, switch)
            await until(lambda: all(caller.status for caller in callers))
            async with asyncio.timeout(150):
                while any(caller.status == 200 and not caller.is_ended.is_set() for caller in callers):
                    samples.append(await asyncio.to_thread(available, switch, "DEMO0002"))
                    samples.append(await asyncio.to_thread(available, switch, "DEMO0001"))
                    await asyncio.sleep(0.2)
            return [caller.status for caller in callers]

    return run(go()), samples


def assert_spent_within(switch: Switch, statuses: list[int], samples: list[int], funds: str, broke: str) -> None:
    """What every overdraft attack must show."""
    assert statuses.count(200) >= 1
    assert statuses.count(402) == len(statuses) - statuses.count(200)
    assert min(samples) >= 0
    # Refusals in a flood share a record.
    wait_until(lambda: switch.recorded_calls() == len(statuses), f"records of {len(statuses)} calls")
    records = switch.records()
    spent = switch.query(
        "SELECT sum(gross) AS spent FROM cdr_charge JOIN account ON id = account_id WHERE code = $1", broke
    )[0]["spent"]
    assert Decimal(funds) * Decimal("0.9") <= spent <= Decimal(funds)
    assert {record["reason"] for record in records if record["code"] == "ANSWERED"} == {"FUNDS_EXHAUSTED"}
    refused = {record["object"].rpartition(" ")[2] for record in records if record["code"] == "NO_FUNDS"}
    assert refused <= {broke}
    wait_until(lambda: not switch.session_counters(), "the sessions to be given back")


class TestOverdraft:
    def test_no_more_is_spent_than_there_is_when_fifty_calls_start_at_once(self, switch: Switch, run: Run) -> None:
        set_rate(switch, "demo retail", "6.00", 1, 1)
        switch.wait_for_configuration()
        set_funds(switch, "DEMO0002", "1.00")
        statuses, samples = attack(switch, run, 50)
        assert_spent_within(switch, statuses, samples, "1.00", "DEMO0002")

    @pytest.mark.slow
    def test_one_unit_pays_a_minute_and_forty_seconds_when_a_minute_costs_sixty_cents(
        self, switch: Switch, run: Run
    ) -> None:
        set_rate(switch, "demo retail", "0.60", 1, 1)
        switch.wait_for_configuration()
        set_funds(switch, "DEMO0002", "1.00")
        statuses, samples = attack(switch, run, 50)
        assert_spent_within(switch, statuses, samples, "1.00", "DEMO0002")
        assert sorted(record["duration"] for record in switch.records("code = 'ANSWERED'")) == [40, 60]

    def test_poor_reseller_stops_the_calls_when_two_levels_above_and_below_are_rich(
        self, switch: Switch, run: Run
    ) -> None:
        # A third level: the demo's reseller gets one above it, and is itself the poor one in the middle.
        set_rate(switch, "demo retail", "0.60", 1, 1)
        set_rate(switch, "demo wholesale", "6.00", 1, 1)
        switch.query(
            "INSERT INTO account (code, kind, name, currency, tariff_id)"
            " SELECT 'DEMO0009', 'reseller', 'top', currency, tariff_id FROM account WHERE code = 'DEMO0001'"
            " ON CONFLICT DO NOTHING"
        )
        switch.query(
            "INSERT INTO reseller_route (account_id, route_id)"
            " SELECT account.id, route.id FROM account, route WHERE code = 'DEMO0009' ON CONFLICT DO NOTHING"
        )
        switch.query(
            "UPDATE account SET parent_id = (SELECT id FROM account WHERE code = 'DEMO0009') WHERE code = 'DEMO0001'"
        )
        try:
            switch.wait_for_configuration()
            wait_until(lambda: len(switch.live("KEYS", "funds:*")) >= 6, "the funds at their new place")
            for code, funds in (("DEMO0009", "100"), ("DEMO0001", "1.00"), ("DEMO0002", "100")):
                set_funds(switch, code, funds)
            statuses, samples = attack(switch, run, 50)
            assert_spent_within(switch, statuses, samples, "1.00", "DEMO0001")
        finally:
            switch.query("UPDATE account SET parent_id = NULL WHERE code = 'DEMO0001'")
            for code in ("DEMO0001", "DEMO0002"):
                set_funds(switch, code, "1000")
            switch.wait_for_configuration()

    def test_call_goes_on_when_money_is_paid_in_before_the_slice_ends(self, switch: Switch, run: Run) -> None:
        set_rate(switch, "demo retail", "6.00", 1, 1)
        switch.wait_for_configuration()
        set_funds(switch, "DEMO0002", "0.40")
        caller, carrier = Caller(), carrier_on(switch)

        async def call() -> None:
            async with agents(caller, carrier):
                dial(caller, switch)
                await within(caller.is_answered)
                await asyncio.to_thread(switch.command, "payment", "add", "DEMO0002", "0.50")
                await within(caller.is_ended)

        run(call())
        (record,) = switch.wait_for_records(1)
        assert (record["reason"], record["gross"]) == ("FUNDS_EXHAUSTED", Decimal("0.90"))


class TestServersAway:
    def test_records_arrive_when_the_database_was_away(self, switch: Switch) -> None:
        for code in ("DEMO0001", "DEMO0002"):
            set_funds(switch, code, "1000")
        database = find_victim(switch, "postgres")
        with carrier(switch.carrier_ports[0], switch.directory):
            os.kill(database, signal.SIGSTOP)
            try:
                result = Load(switch.port, switch.directory, 100, 500, 500).wait()
            finally:
                os.kill(database, signal.SIGCONT)
        assert (result.succeeded, result.failed) == (500, 0)
        assert len(switch.wait_for_records(500)) == 500
        wait_until(lambda: held(switch) == 0, "the debits to be posted")

    def test_calls_are_refused_and_pass_again_when_the_live_store_was_away(self, switch: Switch, run: Run) -> None:
        store = find_victim(switch, "valkey-server")
        os.kill(store, signal.SIGKILL)
        refused = run(exchange(switch, invite()))
        # The store is started again within a fraction of a second: the call is refused, or comes after that.
        assert refused.status in (503, 504)
        wait_until(lambda: switch.ask("ping").get("live_up"), "the live store")

        async def call() -> int:
            caller, carrier = Caller(), carrier_on(switch)
            async with agents(caller, carrier):
                dial(caller, switch)
                await hang_up(caller, carrier)
                return caller.status

        assert run(call()) == 200
