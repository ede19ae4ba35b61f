"""`softswitch account`: filters, pages, formats and changes."""

import csv
import io

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


def test_status_is_2_when_there_is_no_database(cli: CommandLine) -> None:
    from dataclasses import replace

    away = replace(cli.settings, database=replace(cli.settings.database, url="postgresql://x@/x?host=/nonexistent"))
    result = CommandLine(away)("account", "list", status=2)
    assert result.stderr.startswith("error: PostgreSQL at ")
    assert result.stderr.count("\n") == 1
