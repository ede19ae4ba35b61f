"""Lists of devices, gateways, carriers, tariffs and routes, and changes of a gateway."""

import pytest

from tests.b2bua.cli.command_line import CommandLine


@pytest.fixture(autouse=True)
def _demo(cli: CommandLine) -> None:
    cli("demo")


class TestPages:
    @pytest.mark.parametrize(
        ("group", "column", "names"),
        [
            ("device", "identity", ["127.0.0.1/32", "demo1001"]),
            ("gateway", "name", ["demo-a", "demo-b"]),
            ("carrier", "code", ["CARR0001", "CARR0002"]),
            ("tariff", "name", ["demo carrier A", "demo carrier B", "demo retail", "demo wholesale"]),
            ("route", "carrier", ["CARR0001", "CARR0002"]),
        ],
    )
    def test_every_row_comes_once_when_pages_have_one_row(
        self, cli: CommandLine, group: str, column: str, names: list[str]
    ) -> None:
        assert [row[column] for row in cli.json(group, "list")] == names
        seen: list[str] = []
        after: list[str] = []
        for _ in names:
            result = cli(group, "list", "--limit", "1", "--format", "csv", *after)
            seen.append(result.stdout.splitlines()[1])
            after = ["--after", result.stderr.removeprefix("there is more: --after ").strip()]
        assert seen == cli(group, "list", "--format", "csv").stdout.splitlines()[1:]
        assert after == ["--after", ""]


class TestDevice:
    def test_account_narrows_the_list(self, cli: CommandLine) -> None:
        (device,) = cli.json("device", "list", "--account", "DEMO0003")
        assert device["kind"] == "user"
        assert device["extension"] == "1001"
        assert device["device"].startswith("user:")

    def test_error_is_one_line_when_account_or_cursor_are_wrong(self, cli: CommandLine) -> None:
        assert cli("device", "list", "--account", "NONE0001", status=1).stderr == "error: no account NONE0001\n"
        cli("device", "list", "--after", "x", status=1)


class TestRoute:
    def test_route_is_listed_when_it_has_no_entries(self, cli: CommandLine) -> None:
        cli.value("INSERT INTO route (name) VALUES ('empty')")
        rows = cli.json("route", "list", "--after", "demo,,2,CARR0002")
        assert [(row["route"], row["carrier"]) for row in rows] == [("empty", "")]

    @pytest.mark.parametrize("cursor", ["demo", "demo,44,first,CARR0001"])
    def test_cursor_is_refused_when_it_is_none(self, cli: CommandLine, cursor: str) -> None:
        cli("route", "list", "--after", cursor, status=2)


class TestGateway:
    def test_carrier_narrows_the_list(self, cli: CommandLine) -> None:
        assert [row["name"] for row in cli.json("gateway", "list", "--carrier", "CARR0002")] == ["demo-b"]
        assert cli("gateway", "list", "--carrier", "NONE0001", status=1).stderr == "error: no carrier NONE0001\n"

    def test_only_named_values_change(self, cli: CommandLine) -> None:
        before = cli.json("gateway", "list")[0]
        cli("gateway", "set", "demo-a", "--host", "192.0.2.1", "--status", "inactive", "--cps", "none")
        assert cli.json("gateway", "list")[0] == {**before, "host": "192.0.2.1", "status": "inactive", "cps": None}

    def test_revision_stays_when_nothing_changes(self, cli: CommandLine) -> None:
        revision = cli.value("SELECT revision FROM config_revision")
        cli("gateway", "set", "demo-a", "--port", "5070")
        assert cli.value("SELECT revision FROM config_revision") == revision

    def test_error_when_it_is_unknown_or_nothing_is_given(self, cli: CommandLine) -> None:
        assert cli("gateway", "set", "none", "--port", "1", status=1).stderr == "error: no gateway none\n"
        cli("gateway", "set", "demo-a", status=2)
        cli("gateway", "set", "demo-a", "--port", "70000", status=2)
        cli("gateway", "set", "demo-a", "--host", " ", status=2)
