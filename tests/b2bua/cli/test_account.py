"""`softswitch account`: filters, pages, formats and changes."""

import csv
import io
from pathlib import Path

import pytest

from tests.b2bua.cli.command_line import CommandLine


@pytest.fixture(autouse=True)
def _demo(cli: CommandLine) -> None:
    cli("demo")


def codes(cli: CommandLine, *filters: str) -> list[str]:
    return [row["code"] for row in cli.json("account", "list", *filters)]


class TestList:
    def test_filter_leaves_what_fits(self, cli: CommandLine) -> None:
        cli("account", "suspend", "DEMO0003")
        assert codes(cli) == ["DEMO0001", "DEMO0002", "DEMO0003"]
        assert codes(cli, "--kind", "reseller") == ["DEMO0001"]
        assert codes(cli, "--status", "suspended") == ["DEMO0003"]
        assert codes(cli, "--parent", "DEMO0001") == ["DEMO0002"]
        assert codes(cli, "--parent", "DEMO0002") == []

    def test_pages_join_when_the_list_is_cut(self, cli: CommandLine) -> None:
        first = cli("account", "list", "--limit", "2", "--format", "json")
        assert first.stderr == "there is more: --after DEMO0002\n"
        assert codes(cli, "--limit", "2", "--after", "DEMO0002") == ["DEMO0003"]
        assert cli("account", "list", "--limit", "3").stderr == ""

    def test_csv_has_one_line_per_account(self, cli: CommandLine) -> None:
        rows = list(csv.DictReader(io.StringIO(cli("account", "list", "--format", "csv").stdout)))
        assert [row["code"] for row in rows] == ["DEMO0001", "DEMO0002", "DEMO0003"]
        assert rows[0]["balance"] == "1000.00"

    def test_table_shows_the_accounts(self, cli: CommandLine) -> None:
        assert "DEMO0002" in cli("account", "list").stdout

    def test_error_is_one_line_when_the_reseller_is_unknown(self, cli: CommandLine) -> None:
        result = cli("account", "list", "--parent", "NONE0001", status=1)
        assert (result.stdout, result.stderr) == ("", "error: no account NONE0001\n")


class TestShow:
    def test_account_is_one_object(self, cli: CommandLine) -> None:
        account = cli.json("account", "show", "DEMO0002")
        assert (account["parent"], account["decimals"], account["ip_devices"]) == ("DEMO0001", 4, 1)
        assert "DEMO0001" in cli("account", "show", "DEMO0002").stdout

    def test_error_is_one_line_when_it_is_unknown(self, cli: CommandLine) -> None:
        assert cli("account", "show", "NONE0001", status=1).stderr == "error: no account NONE0001\n"


class TestChange:
    def test_status_changes_and_comes_back(self, cli: CommandLine) -> None:
        cli("account", "suspend", "DEMO0002")
        assert cli.json("account", "show", "DEMO0002")["status"] == "suspended"
        revision = cli.value("SELECT revision FROM config_revision")
        assert "already" in cli("account", "suspend", "DEMO0002").stdout
        assert cli.value("SELECT revision FROM config_revision") == revision
        cli("account", "activate", "DEMO0002")
        assert cli.json("account", "show", "DEMO0002")["status"] == "active"

    def test_account_stays_closed(self, cli: CommandLine) -> None:
        cli.value("UPDATE account SET status = 'closed' WHERE code = 'DEMO0002'")
        assert "closed" in cli("account", "activate", "DEMO0002", status=1).stderr
        assert cli.json("account", "show", "DEMO0002")["status"] == "closed"

    def test_only_named_limits_change(self, cli: CommandLine) -> None:
        cli("account", "set", "DEMO0002", "--cps", "none", "--max-duration", "600")
        account = cli.json("account", "show", "DEMO0002")
        assert (account["max_sessions"], account["cps"], account["max_duration"]) == (1000, None, 600)
        cli("account", "set", "DEMO0002", "--cps", "0")
        assert cli.json("account", "show", "DEMO0002")["cps"] == 0

    @pytest.mark.parametrize(
        "options", [[], ["--cps", "-1"], ["--cps", "many"], ["--cps", "2147483648"], ["--max-duration", "0"]]
    )
    def test_limit_is_refused_when_it_is_none(self, cli: CommandLine, options: list[str]) -> None:
        cli("account", "set", "DEMO0002", *options, status=2)

    @pytest.mark.parametrize("command", [["suspend"], ["activate"], ["set", "--cps", "1"]])
    def test_error_is_one_line_when_it_is_unknown(self, cli: CommandLine, command: list[str]) -> None:
        assert cli("account", *command, "NONE0001", status=1).stderr == "error: no account NONE0001\n"

    def test_media_and_codecs_change(self, cli: CommandLine) -> None:
        options = ["--codec-check", "--codecs", "PCMA,PCMU,G729", "--with-media", "--loss-guard"]
        result = cli("account", "set", "DEMO0002", *options)
        assert result.stdout == (
            "account DEMO0002: codec_check yes, codecs PCMA PCMU G729, with_media yes, loss_guard yes\n"
        )
        account = cli.json("account", "show", "DEMO0002")
        assert account["codecs"] == ["PCMA", "PCMU", "G729"]
        assert (account["codec_check"], account["with_media"], account["loss_guard"]) == (True, True, True)
        cli("account", "set", "DEMO0002", "--no-codec-check", "--codecs", "none", "--without-media", "--no-loss-guard")
        account = cli.json("account", "show", "DEMO0002")
        assert (account["codec_check"], account["codecs"]) == (False, [])
        assert (account["with_media"], account["loss_guard"]) == (False, False)

    def test_billing_changes(self, cli: CommandLine) -> None:
        options = ["--billing-type", "postpaid", "--credit-limit", "250", "--decimals", "2", "--rounding", "CEIL"]
        taxes = ["--tax-flag", "VAT", "--tax-inclusive", "--tax-percents", "19", "--tariff", "demo wholesale"]
        cli("account", "set", "DEMO0003", *options, *taxes, "--name", "New name", "--company", "New Ltd")
        account = cli.json("account", "show", "DEMO0003")
        expected = {
            "name": "New name",
            "company": "New Ltd",
            "billing_type": "postpaid",
            "credit_limit": "250.00",
            "decimals": 2,
            "rounding": "CEIL",
            "tax_flag": "VAT",
            "tax_inclusive": True,
            "tax_percents": ["19.00"],
            "tariff": "demo wholesale",
        }
        assert {name: account[name] for name in expected} == expected
        cli("account", "set", "DEMO0003", "--tariff", "none")
        assert cli.json("account", "show", "DEMO0003")["tariff"] is None

    def test_revision_stays_when_nothing_changes(self, cli: CommandLine) -> None:
        revision = cli.value("SELECT revision FROM config_revision")
        cli("account", "set", "DEMO0002", "--tariff", "demo retail", "--codecs", "none", "--credit-limit", "0")
        assert cli.value("SELECT revision FROM config_revision") == revision

    def test_tariff_is_refused_when_it_does_not_fit(self, cli: CommandLine) -> None:
        cli.value("INSERT INTO tariff (name, kind, currency) VALUES ('dollars', 'customer', 'USD')")
        assert cli("account", "set", "DEMO0002", "--tariff", "dollars", status=1).stderr == (
            "error: tariff dollars is in USD, account DEMO0002 in EUR\n"
        )
        error = cli("account", "set", "DEMO0002", "--tariff", "demo carrier A", status=1).stderr
        assert error == "error: tariff demo carrier A is a carrier's, not a customer's\n"

    @pytest.mark.parametrize(
        "options",
        [["--codecs", "PCMA,a b"], ["--credit-limit", "-1"], ["--tax-percents", "1,2,3,4"], ["--name", " "]],
    )
    def test_option_is_refused_when_it_makes_no_sense(self, cli: CommandLine, options: list[str]) -> None:
        cli("account", "set", "DEMO0002", *options, status=2)


class TestAdd:
    def test_codes_are_counted_when_none_is_given(self, cli: CommandLine) -> None:
        cli("account", "add", "CUST0001", "--name", "First", "--currency", "USD")
        result = cli("account", "add", "--name", "Second", "--tariff", "demo retail", "--parent", "DEMO0001")
        assert result.stdout == "customer CUST0002 added\n"
        assert result.stderr == "what it may dial: softswitch route dial add CUST0002 % ROUTE\n"
        account = cli.json("account", "show", "CUST0002")
        assert (account["parent"], account["currency"], account["tariff"]) == ("DEMO0001", "EUR", "demo retail")
        assert (account["name"], account["balance"], account["max_sessions"]) == ("Second", "0.00", None)
        result = cli("account", "add", "--name", "Third", "--kind", "reseller", "--currency", "EUR", "--cps", "5")
        assert result.stdout == "reseller RESE0003 added\n"
        assert cli.json("account", "show", "RESE0003")["cps"] == 5

    def test_it_begins_with_rules_that_allow_all(self, cli: CommandLine) -> None:
        cli("account", "add", "CUST0001", "--name", "x", "--parent", "DEMO0001", "--with-media", "--codecs", "PCMA")
        assert [row["rule"] for row in cli.json("rule", "list", "--account", "CUST0001")] == ["%=>%"] * 4
        assert cli.json("account", "show", "CUST0001")["with_media"] is True

    @pytest.mark.parametrize(
        ("options", "error"),
        [
            (["DEMO0002", "--currency", "EUR"], "there is an account DEMO0002 already"),
            (["--parent", "DEMO0002"], "account DEMO0002 is no reseller"),
            (["--parent", "NONE0001"], "no account NONE0001"),
            (["--tariff", "nothing"], "no tariff nothing"),
            (["--tariff", "demo retail", "--currency", "USD"], "tariff demo retail is in EUR, the account in USD"),
            ([], "an account without a tariff and without a reseller above it needs --currency"),
        ],
    )
    def test_error_names_the_fault(self, cli: CommandLine, options: list[str], error: str) -> None:
        assert cli("account", "add", "--name", "x", *options, status=1).stderr == f"error: {error}\n"
        assert cli.value("SELECT count(*) FROM account") == 3

    def test_code_is_refused_when_it_is_none(self, cli: CommandLine) -> None:
        cli("account", "add", "cust1", "--name", "x", "--currency", "EUR", status=2)


def test_status_is_2_when_there_is_no_database(cli: CommandLine) -> None:
    from dataclasses import replace

    away = replace(cli.settings, database=replace(cli.settings.database, url="postgresql://x@/x?host=/nonexistent"))
    result = CommandLine(away)("account", "list", status=2)
    assert result.stderr.startswith("error: PostgreSQL at ")
    assert result.stderr.count("\n") == 1


class TestForm:
    def test_fields_of_the_form_are_set_by_name(self, cli: CommandLine) -> None:
        cli("account", "set", "DEMO0002", "--field", "phone=3090182000", "--field", "own_sip_users=no")
        shown = cli.json("account", "show", "DEMO0002")
        assert (shown["phone"], shown["own_sip_users"]) == ("3090182000", False)
        refused = cli("account", "set", "DEMO0002", "--field", "payment_term=31", status=2)
        assert "Payment term must be a whole number from 1 to 30" in " ".join(refused.stderr.split())

    def test_import_makes_all_of_a_file_or_none(self, cli: CommandLine, tmp_path: Path) -> None:
        head, good = "name,company,phone,tariff,login,password", "Anna,Example,3090182000,demo retail,anna1,Secret-77"
        file = tmp_path / "customers.csv"
        file.write_text(f"{head}\n{good}\n{good.replace('anna1', 'b b')}\n")
        refused = cli("account", "import", str(file), status=2)
        assert "line 3: Web user name must have 1 to 30 letters or digits" in " ".join(refused.stderr.split())
        file.write_text(f"{head}\n{good}\n{good}\n")
        assert "line 3: Web user name anna1 is taken" in cli("account", "import", str(file), status=1).stderr
        assert len(codes(cli)) == 3
        file.write_text(f"{head}\n{good}\n")
        assert "1 customer added" in cli("account", "import", str(file)).stdout
        assert len(codes(cli)) == 4
