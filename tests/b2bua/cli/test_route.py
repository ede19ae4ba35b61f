"""`softswitch route`: routes, their entries, dialing patterns and permissions."""

import pytest

from tests.b2bua.cli.command_line import CommandLine


@pytest.fixture(autouse=True)
def _demo(cli: CommandLine) -> None:
    cli("demo")


def entries(cli: CommandLine, route: str) -> list[dict[str, object]]:
    columns = ("prefix", "carrier", "priority", "weight", "days", "hours", "status")
    return [{name: row[name] for name in columns} for row in cli.json("route", "list", "--route", route)]


class TestList:
    def test_route_is_listed_when_it_has_no_entries(self, cli: CommandLine) -> None:
        cli.value("INSERT INTO route (name) VALUES ('empty')")
        rows = cli.json("route", "list", "--after", "demo,,2,CARR0002")
        assert [(row["route"], row["carrier"]) for row in rows] == [("empty", "")]

    @pytest.mark.parametrize("cursor", ["demo", "demo,44,first,CARR0001"])
    def test_cursor_is_refused_when_it_is_none(self, cli: CommandLine, cursor: str) -> None:
        cli("route", "list", "--after", cursor, status=2)

    def test_every_entry_comes_once_when_several_are_alike(self, cli: CommandLine) -> None:
        for hours in ("00:00-08:00", "08:00-18:00", "18:00-24:00"):
            cli("route", "entry", "add", "demo", "--carrier", "CARR0001", "--priority", "1", "--hours", hours)
        seen, after = [], ["--limit", "1"]
        for _ in range(5):
            result = cli("route", "list", "--format", "csv", *after)
            seen.append(result.stdout.splitlines()[1])
            after = ["--limit", "1", "--after", result.stderr.removeprefix("there is more: --after ").strip()]
        assert seen == cli("route", "list", "--format", "csv").stdout.splitlines()[1:]

    def test_error_is_one_line_when_the_route_is_unknown(self, cli: CommandLine) -> None:
        assert cli("route", "list", "--route", "x", status=1).stderr == "error: no route x\n"
        assert cli("route", "show", "x", status=1).stderr == "error: no route x\n"


class TestRoute:
    def test_everything_given_is_kept(self, cli: CommandLine) -> None:
        options = ["--mode", "load_share", "--zone", "Europe/Berlin", "--failover-codes", "404,5xx,486"]
        cli("route", "add", "night", *options, "--ring-failover", "--status", "inactive")
        assert cli.json("route", "show", "night") == {
            "name": "night",
            "status": "inactive",
            "mode": "load_share",
            "zone": "Europe/Berlin",
            "failover_codes": "404,486,5xx",
            "ring_failover": True,
            "entries": 0,
            "dialed_by": [],
            "permitted_to": [],
            "emergency_numbers": [],
        }
        codes = cli.value("SELECT failover_codes FROM route WHERE name = 'night'")
        assert codes == [404, 486, *range(500, 600)]
        cli("route", "set", "night", "--failover-codes", "none", "--no-ring-failover", "--mode", "least_cost")
        assert cli.value("SELECT failover_codes FROM route WHERE name = 'night'") == []
        result = cli("route", "set", "night", "--failover-codes", "default", "--status", "active")
        assert result.stdout == "route night: failover_codes default, status active\n"
        assert cli.value("SELECT failover_codes FROM route WHERE name = 'night'") is None

    def test_it_shows_who_uses_it(self, cli: CommandLine) -> None:
        route = cli.json("route", "show", "demo")
        assert (route["dialed_by"], route["permitted_to"]) == (["DEMO0002 %", "DEMO0003 %"], ["DEMO0001"])
        assert (route["emergency_numbers"], route["failover_codes"]) == (["112"], "default")
        assert "DEMO0003 %" in cli("route", "show", "demo").stdout

    def test_it_stays_when_it_is_used(self, cli: CommandLine) -> None:
        error = cli("route", "remove", "demo", status=1).stderr
        assert error == (
            "error: route demo is used by DEMO0002 % (route dial), DEMO0003 % (route dial), emergency number 112: "
            "change that first\n"
        )

    def test_it_goes_with_entries_and_permissions(self, cli: CommandLine) -> None:
        cli("route", "add", "europe")
        cli("route", "entry", "add", "europe", "--prefix", "44", "--carrier", "CARR0001")
        cli("route", "permit", "DEMO0001", "europe")
        assert cli("route", "remove", "europe").stdout == "route europe removed\n"
        assert cli.value("SELECT count(*) FROM route_entry") == 2
        assert cli.json("account", "show", "DEMO0001")["permitted_routes"] == ["demo"]

    @pytest.mark.parametrize(
        "options",
        [
            ["--zone", "CET"],
            ["--zone", "Europe/Nowhere"],
            ["--zone", "../etc/passwd"],
            ["--failover-codes", "200"],
            ["--failover-codes", "5x"],
            ["--mode", "random"],
        ],
    )
    def test_option_is_refused_when_it_makes_no_sense(self, cli: CommandLine, options: list[str]) -> None:
        cli("route", "set", "demo", *options, status=2)

    def test_error_names_what_there_is_or_is_not(self, cli: CommandLine) -> None:
        assert cli("route", "add", "demo", status=1).stderr == "error: there is a route demo already\n"
        assert cli("route", "set", "x", "--mode", "load_share", status=1).stderr == "error: no route x\n"
        assert cli("route", "remove", "x", status=1).stderr == "error: no route x\n"
        cli("route", "set", "demo", status=2)


class TestEntry:
    def test_everything_given_is_kept(self, cli: CommandLine) -> None:
        cli("route", "add", "europe")
        options = [
            "--priority",
            "3",
            "--weight",
            "7",
            "--days",
            "fri-mon",
            "--hours",
            "22:00-6:30",
            "--status",
            "inactive",
        ]
        cli("route", "entry", "add", "europe", "--prefix", "44%", "--carrier", "CARR0002", *options)
        assert entries(cli, "europe") == [
            {
                "prefix": "44",
                "carrier": "CARR0002",
                "priority": 3,
                "weight": 7,
                "days": "mon,fri,sat,sun",
                "hours": "22:00-06:30",
                "status": "inactive",
            }
        ]

    def test_only_named_values_change(self, cli: CommandLine) -> None:
        before = entries(cli, "demo")
        chosen = ["--prefix", "%", "--carrier", "CARR0002"]
        cli("route", "entry", "set", "demo", *chosen, "--days", "sat,sun", "--hours", "08:00-18:00", "--weight", "1")
        changed = {"days": "sat,sun", "hours": "08:00-18:00", "weight": 1}
        assert entries(cli, "demo") == [before[0], {**before[1], **changed}]
        result = cli("route", "entry", "set", "demo", *chosen, "--days", "all", "--hours", "all", "--weight", "100")
        assert ": weight 100, days all, hours_from 00:00, hours_until 00:00" in result.stdout
        assert entries(cli, "demo") == before

    def test_number_names_it_when_prefix_and_carrier_are_not_enough(self, cli: CommandLine) -> None:
        cli("route", "entry", "add", "demo", "--carrier", "CARR0001", "--days", "sun")
        error = cli("route", "entry", "remove", "demo", "--carrier", "CARR0001", status=1).stderr
        assert error.startswith("error: route demo has several entries for % to CARR0001: --entry ")
        last = error.rsplit(" ", 1)[1].strip()
        cli("route", "entry", "set", "demo", "--entry", last, "--priority", "9")
        cli("route", "entry", "remove", "demo", "--entry", last)
        cli("route", "entry", "remove", "demo", "--carrier", "CARR0001")
        assert [row["carrier"] for row in entries(cli, "demo")] == ["CARR0002"]

    def test_error_names_what_there_is_or_is_not(self, cli: CommandLine) -> None:
        error = cli("route", "entry", "add", "demo", "--carrier", "CARR0001", status=1).stderr
        assert error == "error: the route has such an entry for the same days and hours already\n"
        error = cli("route", "entry", "remove", "demo", "--prefix", "44", "--carrier", "CARR0001", status=1).stderr
        assert error == "error: route demo has no entry for 44 to CARR0001\n"
        error = cli("route", "entry", "remove", "demo", "--entry", "999999", status=1).stderr
        assert error == "error: route demo has no entry 999999\n"
        assert "no carrier" in cli("route", "entry", "add", "demo", "--carrier", "NONE0001", status=1).stderr

    @pytest.mark.parametrize(
        "options",
        [
            ["--carrier", "CARR0001"],
            ["--priority", "1"],
            ["--carrier", "CARR0001", "--entry", "1", "--priority", "1"],
            ["--carrier", "CARR0001", "--days", "monday"],
            ["--carrier", "CARR0001", "--hours", "8-18"],
            ["--carrier", "CARR0001", "--hours", "08:00-24:30"],
            ["--carrier", "CARR0001", "--prefix", "4a", "--priority", "1"],
        ],
    )
    def test_option_is_refused_when_it_makes_no_sense(self, cli: CommandLine, options: list[str]) -> None:
        cli("route", "entry", "set", "demo", *options, status=2)


class TestDial:
    def test_pattern_comes_changes_and_goes(self, cli: CommandLine) -> None:
        cli("route", "add", "world")
        cli("route", "dial", "add", "DEMO0002", "00|%", "demo")
        assert cli("route", "dial", "add", "DEMO0002", "00|%", "world", status=1).stderr == (
            "error: the account has the pattern 00|% already; --replace changes its route\n"
        )
        cli("route", "dial", "add", "DEMO0002", "00|%", "world", "--replace")
        rows = cli.json("route", "dial", "list", "--account", "DEMO0002")
        assert [(row["pattern"], row["route"]) for row in rows] == [("%", "demo"), ("00|%", "world")]
        cli("route", "dial", "remove", "DEMO0002", "00|%")
        assert cli.json("account", "show", "DEMO0002")["dialing_routes"] == ["% over demo"]

    def test_every_pattern_comes_once_when_pages_have_one_row(self, cli: CommandLine) -> None:
        first = cli("route", "dial", "list", "--limit", "1")
        assert first.stderr == "there is more: --after DEMO0002,%\n"
        (last,) = cli.json("route", "dial", "list", "--after", "DEMO0002,%")
        assert last["account"] == "DEMO0003"
        cli("route", "dial", "list", "--after", "x", status=2)

    def test_revision_stays_when_nothing_changes(self, cli: CommandLine) -> None:
        revision = cli.value("SELECT revision FROM config_revision")
        cli("route", "dial", "add", "DEMO0002", "%", "demo", "--replace")
        cli("route", "dial", "remove", "DEMO0002", "9%", status=1)
        assert cli.value("SELECT revision FROM config_revision") == revision

    def test_pattern_is_refused_with_its_fault(self, cli: CommandLine) -> None:
        error = cli("route", "dial", "add", "DEMO0002", "44%1", "demo", status=2).stderr
        assert "% may stand only once, at the end" in " ".join(error.replace("│", " ").split())

    def test_error_names_what_there_is_not(self, cli: CommandLine) -> None:
        dial = ["route", "dial"]
        assert cli(*dial, "add", "NONE0001", "%", "demo", status=1).stderr == "error: no account NONE0001\n"
        assert cli(*dial, "add", "DEMO0002", "%", "x", status=1).stderr == "error: no route x\n"
        error = cli(*dial, "remove", "DEMO0002", "9%", status=1).stderr
        assert error == "error: account DEMO0002 has no pattern 9%\n"


class TestPermission:
    def test_reseller_may_and_may_not(self, cli: CommandLine) -> None:
        cli("route", "add", "world")
        assert cli("route", "permit", "DEMO0001", "world").stdout == "reseller DEMO0001 may use route world\n"
        assert cli.json("account", "show", "DEMO0001")["permitted_routes"] == ["demo", "world"]
        revision = cli.value("SELECT revision FROM config_revision")
        assert "already" in cli("route", "permit", "DEMO0001", "world").stdout
        assert cli.value("SELECT revision FROM config_revision") == revision
        cli("route", "forbid", "DEMO0001", "world")
        assert cli("route", "forbid", "DEMO0001", "world").stdout == "reseller DEMO0001 may not use route world\n"
        assert cli.json("account", "show", "DEMO0001")["permitted_routes"] == ["demo"]

    @pytest.mark.parametrize("command", ["permit", "forbid"])
    def test_error_names_what_is_no_reseller(self, cli: CommandLine, command: str) -> None:
        error = cli("route", command, "DEMO0002", "demo", status=1).stderr
        assert error == "error: account DEMO0002 is no reseller\n"
        assert cli("route", command, "DEMO0001", "x", status=1).stderr == "error: no route x\n"
