"""`softswitch rule`: number rules, listed, added, removed and tried."""

import pytest

from tests.b2bua.cli.command_line import CommandLine


@pytest.fixture(autouse=True)
def _demo(cli: CommandLine) -> None:
    cli("demo")


def rules(cli: CommandLine, *options: str) -> list[str]:
    return [row["rule"] for row in cli.json("rule", "list", *options)]


def tried(cli: CommandLine, number: str, *options: str) -> str:
    return cli("rule", "test", number, "--account", "DEMO0002", *options).stdout.strip()


def add(cli: CommandLine, *texts: str, kind: str = "destination") -> None:
    cli("rule", "add", *texts, "--account", "DEMO0002", "--kind", kind)


class TestList:
    def test_owner_and_kind_narrow_the_list(self, cli: CommandLine) -> None:
        add(cli, "900%")
        assert rules(cli, "--account", "DEMO0002", "--kind", "destination") == ["%=>%", "900%"]
        assert rules(cli, "--account", "DEMO0002", "--kind", "cli") == []
        (row,) = cli.json("rule", "list", "--carrier", "CARR0001", "--kind", "did_source")
        assert (row["account"], row["carrier"], row["rule"]) == (None, "CARR0001", "%=>%")
        assert "900%" in cli("rule", "list").stdout

    def test_error_is_one_line_when_the_owner_is_unknown(self, cli: CommandLine) -> None:
        assert cli("rule", "list", "--account", "NONE0001", status=1).stderr == "error: no account NONE0001\n"
        assert cli("rule", "list", "--carrier", "NONE0001", status=1).stderr == "error: no carrier NONE0001\n"


class TestChange:
    def test_rules_come_and_go(self, cli: CommandLine) -> None:
        result = cli("rule", "add", "%=>99#%", "44{12}|%=>%", "--carrier", "CARR0001", "--kind", "destination")
        assert result.stdout == "carrier CARR0001: destination rules %=>99#%, 44{12}|%=>% added\n"
        options = ["--carrier", "CARR0001", "--kind", "destination"]
        assert rules(cli, *options) == ["%=>%", "%=>99#%", "44{12}|%=>%"]
        cli("rule", "remove", "%=>%", "44{12}|%=>%", *options)
        assert rules(cli, *options) == ["%=>99#%"]
        assert "no destination rule is left" in cli("rule", "remove", "%=>99#%", *options).stderr

    def test_nothing_changes_when_one_of_them_is_there_or_is_not(self, cli: CommandLine) -> None:
        options = ["--account", "DEMO0002", "--kind", "source"]
        revision = cli.value("SELECT revision FROM config_revision")
        assert cli("rule", "add", "44%", "%=>%", *options, status=1).stderr == (
            "error: account DEMO0002: there is the source rule %=>% already\n"
        )
        assert cli("rule", "remove", "%=>%", "44%", *options, status=1).stderr == (
            "error: account DEMO0002: there is no source rule 44%\n"
        )
        assert rules(cli, *options) == ["%=>%"]
        assert cli.value("SELECT revision FROM config_revision") == revision

    @pytest.mark.parametrize(
        ("kind", "rule", "fault"),
        [
            ("source", "44%1=>%", "% may stand only once, at the end"),
            ("source", "4a%", "'a' is not among digits"),
            ("destination", "4412{2}%", "no number of 4 digits is {2} long"),
            ("destination", "44%=>x", "the right side is"),
            ("cli", "44%", "a CLI rule needs =>"),
            ("cli", "44|%=>%", "a CLI rule has no |"),
        ],
    )
    def test_error_names_the_fault_of_a_rule(self, cli: CommandLine, kind: str, rule: str, fault: str) -> None:
        error = cli("rule", "add", rule, "--account", "DEMO0002", "--kind", kind, status=2).stderr
        assert fault in " ".join(error.replace("│", " ").split())

    @pytest.mark.parametrize(
        "options",
        [
            ["--kind", "source"],
            ["--kind", "source", "--account", "DEMO0002", "--carrier", "CARR0001"],
            ["--kind", "cli", "--carrier", "CARR0001"],
            ["--account", "DEMO0002"],
        ],
    )
    def test_owner_and_kind_are_needed(self, cli: CommandLine, options: list[str]) -> None:
        cli("rule", "add", "44%=>%", *options, status=2)
        cli("rule", "remove", "44%=>%", *options, status=2)


class TestTry:
    def test_number_is_translated_by_the_rule_that_wins(self, cli: CommandLine) -> None:
        add(cli, "44|%=>%")
        assert tried(cli, "442079460000") == "442079460000 becomes 2079460000, by rule 44|%=>%"
        assert tried(cli, "442079460000;phone-context=x") == "442079460000 becomes 2079460000, by rule 44|%=>%"
        assert tried(cli, "331") == "331 stays as it is, by rule %=>%"
        assert tried(cli, "442079460000", "--kind", "source") == "442079460000 stays as it is, by rule %=>%"

    def test_refusal_is_named_as_in_records(self, cli: CommandLine) -> None:
        add(cli, "44%")
        assert tried(cli, "4420") == "4420 is barred by rule 44%: NUMBER_BLOCKED"
        cli("rule", "remove", "%=>%", "--account", "DEMO0002", "--kind", "did_source")
        assert tried(cli, "1", "--kind", "did_source") == "1 matches no did_source rule: CLI_NOT_ALLOWED"

    def test_cli_is_chosen_by_the_destination(self, cli: CommandLine) -> None:
        add(cli, "44%=>441234567", "33%=>44%", kind="cli")
        assert (
            tried(cli, "9", "--kind", "cli", "--destination", "4420") == "9 becomes 441234567, by rule 44%=>441234567"
        )
        assert tried(cli, "123", "--kind", "cli", "--destination", "331") == "123 becomes 44123, by rule 33%=>44%"
        assert tried(cli, "9", "--kind", "cli", "--destination", "1") == "9 stays as it is: no cli rule matches"

    def test_json_has_the_verdict(self, cli: CommandLine) -> None:
        cli("rule", "add", "{10}%=>91%", "0%", "--carrier", "CARR0001", "--kind", "destination")
        test = ["rule", "test", "--carrier", "CARR0001", "--kind", "destination"]
        assert cli.json(*test, "9876543210") == {
            "number": "9876543210",
            "result": "919876543210",
            "is_allowed": True,
            "code": "",
            "rule": "{10}%=>91%",
        }
        refused = cli.json(*test, "0")
        assert (refused["result"], refused["is_allowed"], refused["code"]) == (None, False, "NUMBER_BLOCKED")

    @pytest.mark.parametrize(
        "options",
        [
            [],
            ["--account", "DEMO0002", "--kind", "cli"],
            ["--account", "DEMO0002", "--destination", "44"],
            ["--carrier", "CARR0001", "--kind", "cli", "--destination", "44"],
        ],
    )
    def test_question_is_refused_when_it_makes_no_sense(self, cli: CommandLine, options: list[str]) -> None:
        cli("rule", "test", "44", *options, status=2)
