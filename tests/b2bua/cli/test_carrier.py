"""`softswitch carrier`: carriers, added and changed."""

import pytest

from tests.b2bua.cli.command_line import CommandLine


@pytest.fixture(autouse=True)
def _demo(cli: CommandLine) -> None:
    cli("demo")


def carrier(cli: CommandLine, code: str) -> dict[str, object]:
    (found,) = [row for row in cli.json("carrier", "list") if row["code"] == code]
    return dict(found)


class TestAdd:
    def test_everything_given_is_kept(self, cli: CommandLine) -> None:
        options = ["--codecs", "PCMA,pcmu,G729", "--max-sessions", "30", "--cps", "5", "--status", "inactive"]
        billing = ["--decimals", "6", "--rounding", "CEIL", "--tax-inclusive", "--tax-percents", "19,1.5"]
        cli("carrier", "add", "CARR0007", "--name", "Atlantic", "--tariff", "demo carrier A", *options, *billing)
        assert carrier(cli, "CARR0007") == {
            "code": "CARR0007",
            "name": "Atlantic",
            "tariff": "demo carrier A",
            "currency": "EUR",
            "codecs": ["PCMA", "pcmu", "G729"],
            "max_sessions": 30,
            "cps": 5,
            "decimals": 6,
            "rounding": "CEIL",
            "tax_inclusive": True,
            "tax_percents": ["19.00", "1.50"],
            "gateways": 0,
            "status": "inactive",
        }

    def test_it_begins_with_rules_that_allow_all(self, cli: CommandLine) -> None:
        cli("carrier", "add", "CARR0007", "--name", "Atlantic", "--currency", "USD")
        assert [row["rule"] for row in cli.json("rule", "list", "--carrier", "CARR0007")] == ["%=>%"] * 4

    def test_error_names_the_fault(self, cli: CommandLine) -> None:
        add = ["carrier", "add", "--name", "x"]
        assert "CARR0001 already" in cli(*add, "CARR0001", "--currency", "EUR", status=1).stderr
        assert "needs --currency" in cli(*add, "CARR0007", status=1).stderr
        assert cli(*add, "CARR0007", "--tariff", "nothing", status=1).stderr == "error: no tariff nothing\n"
        error = cli(*add, "CARR0007", "--tariff", "demo retail", status=1).stderr
        assert error == "error: tariff demo retail is a customer's, not a carrier's\n"

    @pytest.mark.parametrize(
        "options",
        [["--currency", "eur"], ["--codecs", "PCMA,,"], ["--tax-percents", "1,2,3,4"], ["--tax-percents", "x"]],
    )
    def test_option_is_refused_when_it_makes_no_sense(self, cli: CommandLine, options: list[str]) -> None:
        cli("carrier", "add", "CARR0007", "--name", "x", *options, status=2)
        cli("carrier", "add", "C7", "--name", "x", "--currency", "EUR", status=2)


class TestSet:
    def test_only_named_values_change(self, cli: CommandLine) -> None:
        before = carrier(cli, "CARR0001")
        result = cli("carrier", "set", "CARR0001", "--codecs", "PCMA,PCMU", "--cps", "none", "--tariff", "none")
        assert result.stdout == "carrier CARR0001: codecs PCMA PCMU, cps none, tariff none\n"
        changed = {"codecs": ["PCMA", "PCMU"], "cps": None, "tariff": None}
        assert carrier(cli, "CARR0001") == {**before, **changed}
        cli("carrier", "set", "CARR0001", "--codecs", "none", "--tariff", "demo carrier B")
        assert carrier(cli, "CARR0001")["codecs"] == []

    def test_revision_stays_when_nothing_changes(self, cli: CommandLine) -> None:
        revision = cli.value("SELECT revision FROM config_revision")
        cli("carrier", "set", "CARR0001", "--name", "Demo carrier A", "--tax-percents", "none")
        assert cli.value("SELECT revision FROM config_revision") == revision

    def test_error_when_it_is_unknown_or_nothing_is_given(self, cli: CommandLine) -> None:
        assert cli("carrier", "set", "NONE0001", "--cps", "1", status=1).stderr == "error: no carrier NONE0001\n"
        cli("carrier", "set", "CARR0001", status=2)
