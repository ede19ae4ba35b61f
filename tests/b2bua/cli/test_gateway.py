"""`softswitch gateway`: gateways of carriers, added and changed."""

import pytest

from tests.b2bua.cli.command_line import CommandLine


@pytest.fixture(autouse=True)
def _demo(cli: CommandLine) -> None:
    cli("demo")


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

    def test_everything_given_is_kept(self, cli: CommandLine) -> None:
        given = {
            "host": "192.0.2.10",
            "port": 5062,
            "transport": "tcp",
            "priority": 2,
            "weight": 50,
            "max_sessions": 30,
            "cps": 0,
            "invite_timeout": 3,
            "progress_timeout": 8,
            "ring_timeout": 90,
            "max_duration": 3600,
            "probe_interval": 30,
            "status": "inactive",
        }
        options = [part for name, value in given.items() for part in (f"--{name.replace('_', '-')}", str(value))]
        cli("gateway", "add", "london-1", "--carrier", "CARR0001", "--trusted", *options)
        found = cli.json("gateway", "list")[-1]
        assert found == {"name": "london-1", "carrier": "CARR0001", "is_trusted": True, **given}
        cli("gateway", "set", "london-1", "--untrusted", "--max-duration", "none", "--probe-interval", "0")
        changed = {"is_trusted": False, "max_duration": None, "probe_interval": 0}
        assert cli.json("gateway", "list")[-1] == {**found, **changed}

    def test_the_rest_is_as_usual_when_little_is_given(self, cli: CommandLine) -> None:
        cli("gateway", "add", "z", "--carrier", "CARR0001", "--host", "sip.example.com")
        found = cli.json("gateway", "list")[-1]
        assert (found["port"], found["transport"], found["status"]) == (5060, "udp", "active")
        assert "sip.example.com" in cli("gateway", "list").stdout

    def test_error_names_what_there_is_or_is_not(self, cli: CommandLine) -> None:
        rest = ["--host", "192.0.2.1", "--carrier"]
        assert cli("gateway", "add", "demo-a", *rest, "CARR0001", status=1).stderr == (
            "error: there is a gateway demo-a already\n"
        )
        assert cli("gateway", "add", "x", *rest, "NONE0001", status=1).stderr == "error: no carrier NONE0001\n"
        cli("gateway", "set", "demo-a", "--max-duration", "0", status=2)
        cli("gateway", "set", "demo-a", "--invite-timeout", "0", status=2)
