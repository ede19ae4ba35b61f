"""`softswitch did`: DIDs and their destinations."""

import pytest

from tests.b2bua.cli.command_line import CommandLine

NUMBER = "493023125001"
"""The demo's."""


@pytest.fixture(autouse=True)
def _demo(cli: CommandLine) -> None:
    cli("demo")


def did(cli: CommandLine, number: str = NUMBER) -> dict[str, object]:
    (found,) = [row for row in cli.json("did", "list") if row["number"] == number]
    return dict(found)


class TestChange:
    def test_everything_given_is_kept(self, cli: CommandLine) -> None:
        options = ["--account", "DEMO0002", "--carrier", "CARR0001", "--channels", "10", "--status", "inactive"]
        assert cli("did", "add", "+442079460000", *options).stdout == "DID 442079460000 added\n"
        assert did(cli, "442079460000") == {
            "number": "442079460000",
            "account": "DEMO0002",
            "carrier": "CARR0001",
            "channels": 10,
            "destination": None,
            "failover": None,
            "status": "inactive",
        }
        cli("did", "remove", "442079460000")
        assert len(cli.json("did", "list")) == 1

    def test_filters_leave_what_fits(self, cli: CommandLine) -> None:
        cli("did", "add", "442079460000", "--account", "DEMO0002", "--carrier", "CARR0001", "--status", "inactive")
        for options in (["--account", "DEMO0002"], ["--carrier", "CARR0001"], ["--status", "inactive"]):
            assert [row["number"] for row in cli.json("did", "list", *options)] == ["442079460000"]
        assert cli("did", "list", "--account", "NONE0001", status=1).stderr == "error: no account NONE0001\n"
        assert cli("did", "list", "--carrier", "NONE0001", status=1).stderr == "error: no carrier NONE0001\n"

    def test_only_named_values_change(self, cli: CommandLine) -> None:
        before = did(cli)
        result = cli("did", "set", NUMBER, "--channels", "2", "--carrier", "CARR0002")
        assert result.stdout == f"DID {NUMBER}: channels 2, carrier CARR0002\n"
        assert did(cli) == {**before, "channels": 2, "carrier": "CARR0002"}
        cli("did", "set", NUMBER, "--channels", "none", "--carrier", "none")
        assert did(cli) == before

    def test_destinations_are_forgotten_when_it_changes_hands(self, cli: CommandLine) -> None:
        cli("did", "set", NUMBER, "--account", "DEMO0003")
        assert did(cli)["destination"] == "sip_user:demo1001"
        cli("did", "set", NUMBER, "--account", "DEMO0002")
        assert did(cli)["destination"] is None

    def test_revision_stays_when_nothing_changes(self, cli: CommandLine) -> None:
        revision = cli.value("SELECT revision FROM config_revision")
        cli("did", "set", NUMBER, "--account", "DEMO0003", "--status", "active")
        cli("did", "route", NUMBER, "sip_user:demo1001")
        assert cli.value("SELECT revision FROM config_revision") == revision

    def test_error_names_what_there_is_or_is_not(self, cli: CommandLine) -> None:
        assert cli("did", "add", NUMBER, status=1).stderr == f"error: there is a DID {NUMBER} already\n"
        assert cli("did", "add", "4420", "--account", "NONE0001", status=1).stderr == "error: no account NONE0001\n"
        assert cli("did", "set", "4420", "--channels", "1", status=1).stderr == "error: no DID 4420\n"
        assert cli("did", "remove", "4420", status=1).stderr == "error: no DID 4420\n"
        assert cli("did", "route", "4420", "none", status=1).stderr == "error: no DID 4420\n"
        cli("did", "set", NUMBER, status=2)
        cli("did", "add", "44-20", status=2)


class TestRoute:
    def test_each_kind_of_destination_is_found(self, cli: CommandLine) -> None:
        cli("device", "add", "--account", "DEMO0003", "--address", "2001:db8::7")
        for text in (
            "sip_user:demo1001",
            "extension:1001",
            "number:+442079460000",
            "ip_device:2001:db8::7",
        ):
            cli("did", "route", NUMBER, text)
            assert (did(cli)["destination"], did(cli)["failover"]) == (text, None)

    def test_failover_comes_second(self, cli: CommandLine) -> None:
        result = cli("did", "route", NUMBER, "number:44", "--failover", "sip_user:demo1001")
        assert result.stdout == f"calls to DID {NUMBER} go to number:44, then to sip_user:demo1001\n"
        assert (did(cli)["destination"], did(cli)["failover"]) == ("number:44", "sip_user:demo1001")
        assert cli("did", "route", NUMBER, "none").stdout == f"calls to DID {NUMBER} go nowhere\n"
        assert (did(cli)["destination"], did(cli)["failover"]) == (None, None)

    def test_device_may_be_named_as_in_lists(self, cli: CommandLine) -> None:
        cli("did", "route", NUMBER, "none")
        key = cli.value("SELECT 'user:' || id FROM sip_user")
        cli("did", "route", NUMBER, f"sip_user:{key}")
        assert did(cli)["destination"] == "sip_user:demo1001"

    @pytest.mark.parametrize(
        ("text", "error"),
        [
            ("sip_user:nobody", "no SIP user nobody"),
            ("ip_device:192.0.2.99", "no IP device 192.0.2.99"),
            ("voice_mail:demo1001", "voice mail is not there yet"),
            ("extension:9", "no SIP user of the DID's account has extension 9"),
            ("ip_device:127.0.0.1", "IP device 127.0.0.1/32 is DEMO0002's: a DID leads to its own account only"),
            ("ip_device:192.0.2.0/24", "IP device 192.0.2.0/24 is a network: calls can be sent to one address only"),
        ],
    )
    def test_error_names_the_fault(self, cli: CommandLine, text: str, error: str) -> None:
        cli("device", "add", "--account", "DEMO0003", "--address", "192.0.2.0/24")
        assert cli("did", "route", NUMBER, text, status=1).stderr == f"error: {error}\n"
        assert cli("did", "route", NUMBER, "number:44", "--failover", text, status=1).stderr == f"error: {error}\n"
        assert did(cli)["destination"] == "sip_user:demo1001"

    def test_error_when_there_is_no_account_or_no_sense(self, cli: CommandLine) -> None:
        cli("did", "add", "4420")
        assert cli("did", "route", "4420", "number:1", status=1).stderr == (
            "error: DID 4420 has no account: softswitch did set 4420 --account CODE\n"
        )
        assert "the same" in cli("did", "route", NUMBER, "number:1", "--failover", "number:1", status=1).stderr
        cli("did", "route", NUMBER, "none", "--failover", "number:1", status=2)
        cli("did", "route", NUMBER, "number:abc", status=2)
        cli("did", "route", NUMBER, "demo1001", status=2)
