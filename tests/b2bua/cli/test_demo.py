"""The demo data: complete, loaded once, and safe beside real data."""

import hashlib
import re

from rating.ledger import balances_off
from tests.b2bua.cli.command_line import CommandLine

TABLES = (
    "tariff",
    "ratecard",
    "tariff_ratecard",
    "rate",
    "account",
    "ip_device",
    "sip_user",
    "carrier",
    "gateway",
    "route",
    "route_entry",
    "dialing_route",
    "reseller_route",
    "did",
    "did_destination",
    "emergency_number",
    "ledger_entry",
)


def count_rows(cli: CommandLine) -> dict[str, int]:
    return {table: cli.value(f"SELECT count(*) FROM {table}") for table in TABLES}


class TestFirstTime:
    def test_everything_a_call_needs_is_there(self, cli: CommandLine) -> None:
        cli("demo")
        assert count_rows(cli) == {
            "tariff": 4,
            "ratecard": 4,
            "tariff_ratecard": 4,
            "rate": 40,
            "account": 3,
            "ip_device": 1,
            "sip_user": 1,
            "carrier": 2,
            "gateway": 2,
            "route": 1,
            "route_entry": 2,
            "dialing_route": 2,
            "reseller_route": 1,
            "did": 1,
            "did_destination": 1,
            "emergency_number": 1,
            "ledger_entry": 3,
        }
        assert cli.sql(balances_off) == []
        accounts = {row["code"]: row for row in cli.json("account", "list")}
        assert {row["balance"] for row in accounts.values()} == {"1000.00"}
        assert accounts["DEMO0002"]["parent"] == "DEMO0001"
        assert accounts["DEMO0002"]["tariff"] == "demo retail"
        assert accounts["DEMO0001"]["tariff"] == "demo wholesale"

    def test_calls_come_in_and_help_can_be_called(self, cli: CommandLine) -> None:
        cli("demo")
        (did,) = cli.json("did", "list")
        assert (did["account"], did["destination"]) == ("DEMO0003", "sip_user:demo1001")
        (emergency,) = cli.json("emergency", "list")
        assert (emergency["pattern"], emergency["route"]) == ("112", "demo")
        assert cli.json("account", "show", "DEMO0001")["permitted_routes"] == ["demo"]

    def test_nobody_sells_below_cost(self, cli: CommandLine) -> None:
        cli("demo")
        worst = cli.value(
            """
            SELECT count(*) FROM rate AS low JOIN rate AS high USING (prefix)
            JOIN ratecard AS low_card ON low_card.id = low.ratecard_id
            JOIN ratecard AS high_card ON high_card.id = high.ratecard_id
            WHERE (low_card.name, high_card.name) IN (
                ('demo wholesale', 'demo retail'), ('demo carrier A', 'demo wholesale'),
                ('demo carrier B', 'demo wholesale'), ('demo carrier A', 'demo carrier B')
            ) AND low.rate_per_minute >= high.rate_per_minute
            """
        )
        assert worst == 0

    def test_secret_fits_its_hash_in_the_realm_of_the_system(self, cli: CommandLine) -> None:
        cli.sql(lambda connection: connection.execute("INSERT INTO system_value VALUES ('realm', 'voice.example')"))
        found = re.search(r"realm voice\.example, secret (\S+)", cli("demo").stdout)
        assert found is not None
        expected = hashlib.md5(f"demo1001:voice.example:{found[1]}".encode()).hexdigest()
        assert cli.value("SELECT ha1_md5 FROM sip_user WHERE username = 'demo1001'") == expected


class TestAgain:
    def test_nothing_changes_when_it_is_loaded_twice(self, cli: CommandLine) -> None:
        cli("demo")
        before = count_rows(cli)
        revision = cli.value("SELECT revision FROM config_revision")
        again = cli("demo").stdout
        assert "made" not in again
        assert "secret" not in again
        assert count_rows(cli) == before
        assert cli.value("SELECT revision FROM config_revision") == revision

    def test_change_stays_when_it_is_loaded_again(self, cli: CommandLine) -> None:
        cli("demo")
        cli("gateway", "set", "demo-a", "--port", "5090")
        cli("account", "set", "DEMO0002", "--max-sessions", "7")
        cli("did", "route", "493023125001", "number:442079460000")
        cli("demo")
        assert cli.json("did", "list")[0]["destination"] == "number:442079460000"
        assert cli.value("SELECT port FROM gateway WHERE name = 'demo-a'") == 5090
        assert cli.value("SELECT max_sessions FROM account WHERE code = 'DEMO0002'") == 7

    def test_nothing_is_made_when_a_real_carrier_has_the_code(self, cli: CommandLine) -> None:
        cli.sql(
            lambda connection: connection.execute(
                "INSERT INTO carrier (code, name, currency) VALUES ('CARR0001', 'Real', 'EUR')"
            )
        )
        assert "CARR0001" in cli("demo", status=1).stderr
        assert cli.value("SELECT count(*) FROM account") == 0
