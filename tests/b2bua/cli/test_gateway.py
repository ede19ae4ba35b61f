"""`softswitch gateway`: gateways of carriers, added and changed, and our registrations there."""

from typing import Any

import pytest

from conf.secret import CARRIERS, Vault, load_secret
from tests.b2bua.cli.command_line import CommandLine, Worker


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
            "tls_verify": "chain",
            "reliable_ringing": "supported",
            "session_timer": 1800,
            "identity": "pai",
            "diversion": "pass",
            "from_user": "4930900",
            "from_domain": "carrier.example",
            "auth_user": "me",
            "register_expires": 90,
            "srtp": "required",
            "dtmf": "telephone-event",
        }
        options = [part for name, value in given.items() for part in (f"--{name.replace('_', '-')}", str(value))]
        headers = ["--passed-headers", "x-a,s", "--added-header", "X-B: 1", "--added-header", "x-c:2, 3"]
        switches = ["--trusted", "--prefers-tcp", "--follows-redirects", "--registers", *headers]
        cli("gateway", "add", "london-1", "--carrier", "CARR0001", *switches, *options)
        found = cli.json("gateway", "list")[-1]
        assert found == {
            "name": "london-1",
            "carrier": "CARR0001",
            "is_trusted": True,
            "prefers_tcp": True,
            "follows_redirects": True,
            "registers": True,
            "has_secret": False,
            "passed_headers": ["X-A", "Subject"],
            "added_headers": ["X-B: 1", "X-C: 2, 3"],
            **given,
        }
        cli("gateway", "set", "london-1", "--untrusted", "--max-duration", "none", "--probe-interval", "0")
        changed = {"is_trusted": False, "max_duration": None, "probe_interval": 0}
        assert cli.json("gateway", "list")[-1] == {**found, **changed}

    def test_the_rest_is_as_usual_when_little_is_given(self, cli: CommandLine) -> None:
        cli("gateway", "add", "z", "--carrier", "CARR0001", "--host", "sip.example.com")
        found = cli.json("gateway", "list")[-1]
        assert (found["port"], found["transport"], found["status"]) == (None, "udp", "active")
        assert (found["identity"], found["registers"], found["passed_headers"]) == ("none", False, [])
        assert "sip.example.com" in cli("gateway", "list").stdout

    def test_error_names_what_there_is_or_is_not(self, cli: CommandLine) -> None:
        rest = ["--host", "192.0.2.1", "--carrier"]
        assert cli("gateway", "add", "demo-a", *rest, "CARR0001", status=1).stderr == (
            "error: there is a gateway demo-a already\n"
        )
        assert cli("gateway", "add", "x", *rest, "NONE0001", status=1).stderr == "error: no carrier NONE0001\n"
        cli("gateway", "set", "demo-a", "--max-duration", "0", status=2)
        cli("gateway", "set", "demo-a", "--invite-timeout", "0", status=2)

    def test_values_are_taken_away_when_none_is_given(self, cli: CommandLine) -> None:
        before = cli.json("gateway", "list")[0]
        texts = ["--from-user", "1", "--from-domain", "x", "--passed-headers", "X-A", "--added-header", "X-B: 1"]
        cli("gateway", "set", "demo-a", "--session-timer", "90", "--auth-user", "me", *texts)
        options = ["port", "session-timer", "from-user", "from-domain", "passed-headers", "added-header", "auth-user"]
        cli("gateway", "set", "demo-a", *[part for name in options for part in (f"--{name}", "none")])
        assert cli.json("gateway", "list")[0] == {**before, "port": None}

    @pytest.mark.parametrize(
        ("option", "value"),
        [
            ("--port", "0"), ("--port", "65536"), ("--port", "x"), ("--port", "-1"), ("--transport", "sctp"),
            ("--session-timer", "89"), ("--session-timer", "x"), ("--session-timer", "86401"), ("--identity", "both"),
            ("--from-user", " "), ("--from-user", "a\nb"), ("--from-domain", "a b"), ("--from-domain", "x>y"),
            ("--passed-headers", "X-A,Via"), ("--passed-headers", "X A"), ("--added-header", "X-A"),
            ("--added-header", "Contact: <sip:x>"), ("--added-header", "X-A: 1\r\nVia: 2"),
            ("--register-expires", "59"), ("--auth-user", ""),
        ],
    )  # fmt: skip
    def test_value_is_refused_when_it_cannot_be(self, cli: CommandLine, option: str, value: str) -> None:
        before = cli.json("gateway", "list")
        cli("gateway", "set", "demo-a", option, value, status=2)
        assert cli.json("gateway", "list") == before


class TestRemoval:
    def test_gateway_and_carrier_go_when_nothing_names_them(self, cli: CommandLine) -> None:
        cli("carrier", "add", "CARR0009", "--name", "x", "--currency", "EUR")
        cli("gateway", "add", "g9", "--carrier", "CARR0009", "--host", "192.0.2.1")
        assert cli("carrier", "remove", "CARR0009", status=1).stderr == (
            "error: carrier CARR0009 stays: It is active: suspend it first; It has 1 gateway: delete them first\n"
        )
        assert "It is active" in cli("gateway", "remove", "g9", status=1).stderr
        cli("gateway", "set", "g9", "--status", "inactive")
        assert cli("gateway", "remove", "g9").stdout == "gateway g9 removed\n"
        cli("carrier", "set", "CARR0009", "--status", "inactive")
        assert cli("carrier", "remove", "CARR0009").stdout == "carrier CARR0009 removed\n"
        assert cli("gateway", "remove", "g9", status=1).stderr == "error: no gateway g9\n"
        assert cli("carrier", "remove", "CARR0009", status=1).stderr == "error: no carrier CARR0009\n"


class TestSecret:
    def test_secret_is_read_from_the_input_and_kept_encrypted(self, cli: CommandLine) -> None:
        result = cli("gateway", "set", "demo-a", "--auth-user", "me", "--auth-secret", "-", typed="hush hush\n")
        assert result.stdout == "gateway demo-a: auth_user me, auth_secret another one\n"
        kept = cli.value("SELECT auth_secret FROM gateway WHERE name = 'demo-a'")
        assert "hush" not in f"{kept}{result.output}"
        assert Vault(load_secret(cli.settings), CARRIERS).open(kept) == "hush hush"
        found = cli.json("gateway", "list")[0]
        assert (found["auth_user"], found["has_secret"]) == ("me", True)
        assert "auth_secret" not in found

    def test_secret_comes_with_a_new_gateway(self, cli: CommandLine) -> None:
        rest = ["--carrier", "CARR0001", "--host", "192.0.2.1", "--auth-user", "me", "--registers"]
        result = cli("gateway", "add", "new", *rest, "--auth-secret", "-", typed="hush")
        assert result.stdout == "gateway new of CARR0001 added\n"
        kept = cli.value("SELECT auth_secret FROM gateway WHERE name = 'new'")
        assert Vault(load_secret(cli.settings), CARRIERS).open(kept) == "hush"

    def test_secret_is_taken_away(self, cli: CommandLine) -> None:
        cli("gateway", "set", "demo-a", "--auth-secret", "-", typed="hush\n")
        assert cli("gateway", "set", "demo-a", "--auth-secret", "none").stdout == "gateway demo-a: auth_secret none\n"
        assert cli.value("SELECT auth_secret FROM gateway WHERE name = 'demo-a'") == ""

    @pytest.mark.parametrize("typed", ["", "\n"])
    def test_empty_secret_is_refused(self, cli: CommandLine, typed: str) -> None:
        assert "empty" in cli("gateway", "set", "demo-a", "--auth-secret", "-", typed=typed, status=2).stderr

    def test_secret_on_the_command_line_is_refused_and_not_repeated(self, cli: CommandLine) -> None:
        result = cli("gateway", "set", "demo-a", "--auth-secret", "hush", status=2)
        assert "asks for it" in result.stderr
        assert "hush" not in result.output


class TestRegistrations:
    def row(self, gateway: str, state: str, **more: Any) -> dict[str, Any]:
        times = {"registered_until": None, "next_at": None}
        return {"gateway": gateway, "gateway_id": 1, "user": "me", "state": state, "reason": "", **times, **more}

    def test_registration_needs_a_user(self, cli: CommandLine) -> None:
        before = cli.json("gateway", "list")
        error = "error: gateway demo-a cannot register: it needs --auth-user, or --from-user\n"
        assert cli("gateway", "set", "demo-a", "--registers", status=1).stderr == error
        cli("gateway", "add", "x", "--carrier", "CARR0001", "--host", "192.0.2.1", "--registers", status=1)
        assert cli.json("gateway", "list") == before
        cli("gateway", "set", "demo-a", "--registers", "--from-user", "100")
        cli("gateway", "set", "demo-a", "--from-user", "none", status=1)

    def test_registrations_are_shown_by_name(self, cli: CommandLine, worker: Worker) -> None:
        failed = self.row("b", "failed", reason="403 Forbidden", next_at=1_800_000_060.0)
        held = self.row("a", "registered", registered_until=1_800_000_000.0)
        worker.answers["carrier_registrations"] = {
            "worker": "sip-1", "registrations": [failed, held, self.row("c", "elsewhere")],
        }  # fmt: skip
        rows = cli.json("gateway", "registrations")
        assert [(row["gateway"], row["state"], row["worker"]) for row in rows] == [
            ("a", "registered", "sip-1"), ("b", "failed", "sip-1"), ("c", "elsewhere", ""),
        ]  # fmt: skip
        assert rows[0]["registered_until"] == "2027-01-15T08:00:00.000Z"
        assert (rows[1]["reason"], rows[1]["next_at"]) == ("403 Forbidden", "2027-01-15T08:01:00.000Z")
        assert "403 Forbidden" in cli("gateway", "registrations").stdout

    def test_error_when_nobody_runs(self, cli: CommandLine) -> None:
        error = "error: no SIP worker runs on this machine\n"
        assert cli("gateway", "registrations", status=1).stderr == error
