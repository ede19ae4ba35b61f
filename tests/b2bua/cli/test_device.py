"""`softswitch device`: IP devices and SIP users, added, changed, removed."""

import hashlib
import re

import pytest

from tests.b2bua.cli.command_line import CommandLine


@pytest.fixture(autouse=True)
def _demo(cli: CommandLine) -> None:
    cli("demo")


def device(cli: CommandLine, identity: str) -> dict[str, object]:
    (found,) = [row for row in cli.json("device", "list") if row["identity"] == identity]
    return dict(found)


class TestList:
    def test_account_narrows_the_list(self, cli: CommandLine) -> None:
        (device,) = cli.json("device", "list", "--account", "DEMO0003")
        assert device["kind"] == "user"
        assert device["extension"] == "1001"
        assert device["device"].startswith("user:")

    def test_error_is_one_line_when_account_or_cursor_are_wrong(self, cli: CommandLine) -> None:
        assert cli("device", "list", "--account", "NONE0001", status=1).stderr == "error: no account NONE0001\n"
        cli("device", "list", "--after", "x", status=1)

    def test_json_option_is_the_format(self, cli: CommandLine) -> None:
        assert cli("device", "list", "--json").stdout == cli("device", "list", "--format", "json").stdout
        assert "demo1001" in cli("device", "list").stdout


class TestIPDevice:
    def test_everything_given_is_kept(self, cli: CommandLine) -> None:
        options = ["--dial-prefix", "77", "--port", "5062", "--transport", "tcp", "--trusted", "--description", "desk"]
        limits = [
            "--max-sessions",
            "30",
            "--cps",
            "none",
            "--status",
            "inactive",
            "--srtp",
            "required",
            "--dtmf",
            "info",
        ]
        result = cli("device", "add", "--account", "DEMO0002", "--address", "2001:db8::/64", *options, *limits)
        assert re.fullmatch(r"device ip:[0-9]+ of DEMO0002 added\n", result.stdout)
        found = device(cli, "2001:db8::/64")
        del found["device"]
        assert found == {
            "account": "DEMO0002",
            "kind": "ip",
            "identity": "2001:db8::/64",
            "dial_prefix": "77",
            "extension": "",
            "address": "2001:db8::/64",
            "port": 5062,
            "transport": "tcp",
            "is_trusted": True,
            "description": "desk",
            "max_sessions": 30,
            "cps": None,
            "status": "inactive",
            "srtp": "required",
            "dtmf": "info",
        }

    def test_only_named_values_change(self, cli: CommandLine) -> None:
        before = device(cli, "127.0.0.1/32")
        assert cli("device", "set", "127.0.0.1", "--address", "192.0.2.7", "--port", "5080", "--trusted").stdout == (
            "IP device 127.0.0.1/32: port 5080, is_trusted yes, address 192.0.2.7/32\n"
        )
        changed = {"identity": "192.0.2.7/32", "address": "192.0.2.7/32", "port": 5080, "is_trusted": True}
        assert device(cli, "192.0.2.7/32") == {**before, **changed}

    def test_mapped_address_is_the_address(self, cli: CommandLine) -> None:
        cli("device", "add", "--account", "DEMO0002", "--address", "::ffff:192.0.2.9")
        assert device(cli, "192.0.2.9/32")["kind"] == "ip"

    def test_revision_stays_when_nothing_changes(self, cli: CommandLine) -> None:
        revision = cli.value("SELECT revision FROM config_revision")
        cli("device", "set", "127.0.0.1", "--port", "5060", "--address", "127.0.0.1", "--dial-prefix", "none")
        assert cli.value("SELECT revision FROM config_revision") == revision

    def test_dial_prefix_is_refused_when_it_means_the_same_as_another(self, cli: CommandLine) -> None:
        cli("device", "add", "--account", "DEMO0003", "--address", "127.0.0.1", "--dial-prefix", "77%")
        same = ["--address", "127.0.0.1", "--dial-prefix", "+77"]
        error = cli("device", "add", "--account", "DEMO0003", *same, status=1).stderr
        assert re.fullmatch(r"error: ip:[0-9]+ of DEMO0003 has 127.0.0.1/32 with dial prefix \+77 already\n", error)
        error = cli("device", "set", "127.0.0.1", "--port", "1", status=1).stderr
        assert re.fullmatch(r"error: 127.0.0.1 may be any of ip:[0-9]+, ip:[0-9]+: name one of them so\n", error)

    def test_address_stays_when_a_did_leads_to_it(self, cli: CommandLine) -> None:
        cli("device", "add", "--account", "DEMO0003", "--address", "192.0.2.8")
        cli("did", "route", "493023125001", "ip_device:192.0.2.8")
        error = cli("device", "set", "192.0.2.8", "--address", "192.0.2.0/24", status=1).stderr
        assert error.startswith("error: IP device 192.0.2.8/32 is where DID 493023125001 leads")
        assert "493023125001" in cli("device", "remove", "192.0.2.8", status=1).stderr
        cli("did", "route", "493023125001", "none")
        assert cli("device", "remove", "192.0.2.8").stdout == "IP device 192.0.2.8/32 of DEMO0003 removed\n"
        assert len(cli.json("device", "list")) == 2

    @pytest.mark.parametrize(
        "options",
        [
            ["--address", "192.0.2.1/24"],
            ["--address", "host.example"],
            ["--address", "192.0.2.1", "--extension", "1"],
            ["--address", "192.0.2.1", "--dial-prefix", "7a"],
            ["--address", "192.0.2.1", "--port", "0"],
            [],
        ],
    )
    def test_option_is_refused_when_it_makes_no_sense(self, cli: CommandLine, options: list[str]) -> None:
        cli("device", "add", "--account", "DEMO0002", *options, status=2)


class TestSIPUser:
    def test_secret_is_shown_once_and_fits_its_hash(self, cli: CommandLine) -> None:
        result = cli("device", "add", "--account", "DEMO0002", "--user", "alice", "--extension", "1002")
        found = re.search(r"^SIP user alice, realm (\S+), secret (\S+)$", result.stdout, re.MULTILINE)
        assert found is not None
        expected = hashlib.md5(f"alice:{found[1]}:{found[2]}".encode()).hexdigest()
        assert cli.value("SELECT ha1_md5 FROM sip_user WHERE username = 'alice'") == expected
        assert device(cli, "alice")["extension"] == "1002"

    def test_json_has_the_secret(self, cli: CommandLine) -> None:
        made = cli.json("device", "add", "--account", "DEMO0002", "--user", "bob", "--address", "192.0.2.0/24")
        expected = hashlib.md5(f"bob:{made['realm']}:{made['secret']}".encode()).hexdigest()
        assert cli.value("SELECT ha1_md5 FROM sip_user WHERE username = 'bob'") == expected
        assert made["device"] == device(cli, "bob")["device"]
        assert device(cli, "bob")["address"] == "192.0.2.0/24"

    def test_new_secret_takes_the_place_of_the_old(self, cli: CommandLine) -> None:
        old = cli.value("SELECT ha1_md5 FROM sip_user")
        result = cli("device", "set", "demo1001", "--new-secret")
        found = re.search(r"realm (\S+), secret (\S+)", result.stdout)
        assert found is not None
        new = hashlib.md5(f"demo1001:{found[1]}:{found[2]}".encode()).hexdigest()
        assert cli.value("SELECT ha1_md5 FROM sip_user") == new != old

    def test_only_named_values_change(self, cli: CommandLine) -> None:
        before = device(cli, "demo1001")
        key = str(before["device"])
        result = cli("device", "set", key, "--address", "192.0.2.1", "--extension", "none", "--status", "inactive")
        assert result.stdout == "SIP user demo1001: extension none, status inactive, address 192.0.2.1/32\n"
        changed = {"address": "192.0.2.1/32", "extension": "", "status": "inactive"}
        assert device(cli, "demo1001") == {**before, **changed}
        cli("device", "set", key, "--address", "none")
        assert device(cli, "demo1001")["address"] is None

    def test_error_names_what_there_is_already(self, cli: CommandLine) -> None:
        user = ["device", "add", "--account", "DEMO0003", "--user"]
        assert cli(*user, "demo1001", status=1).stderr == "error: there is a SIP user demo1001 already\n"
        error = cli(*user, "carol", "--extension", "1001", status=1).stderr
        assert error == "error: the account has a SIP user with extension 1001 already\n"
        assert cli.value("SELECT count(*) FROM sip_user") == 1

    def test_user_stays_when_a_did_leads_to_it(self, cli: CommandLine) -> None:
        error = cli("device", "remove", "demo1001", status=1).stderr
        assert error.startswith("error: SIP user demo1001 is where DID 493023125001 leads")
        cli("did", "remove", "493023125001")
        cli("device", "remove", "demo1001")
        assert [row["kind"] for row in cli.json("device", "list")] == ["ip"]

    @pytest.mark.parametrize(
        "options", [["--port", "5060"], ["--trusted"], ["--dial-prefix", "1"], ["--extension", "a"], []]
    )
    def test_option_is_refused_when_it_makes_no_sense(self, cli: CommandLine, options: list[str]) -> None:
        cli("device", "set", "demo1001", *options, status=2)

    def test_name_is_refused_when_it_is_none(self, cli: CommandLine) -> None:
        cli("device", "add", "--account", "DEMO0003", "--user", "a b", status=2)
        assert cli("device", "add", "--account", "NONE0001", "--user", "a", status=1).stderr == (
            "error: no account NONE0001\n"
        )

    @pytest.mark.parametrize("command", [["set", "--cps", "1"], ["remove"]])
    @pytest.mark.parametrize("name", ["nobody", "ip:999999", "user:0", "192.0.2.99"])
    def test_error_is_one_line_when_it_is_unknown(self, cli: CommandLine, command: list[str], name: str) -> None:
        assert cli("device", *command, name, status=1).stderr == f"error: no device {name}\n"
