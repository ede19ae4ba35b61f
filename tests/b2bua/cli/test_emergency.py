"""`softswitch emergency`: emergency numbers and their routes."""

import pytest

from tests.b2bua.cli.command_line import CommandLine


@pytest.fixture(autouse=True)
def _demo(cli: CommandLine) -> None:
    cli("demo")


def numbers(cli: CommandLine) -> list[tuple[str, str]]:
    return [(row["pattern"], row["route"]) for row in cli.json("emergency", "list")]


def test_number_comes_changes_and_goes(cli: CommandLine) -> None:
    cli("route", "add", "rescue")
    assert cli("emergency", "add", "999%", "--route", "demo").stdout == "emergency number 999% goes over route demo\n"
    assert cli("emergency", "add", "999%", "--route", "rescue", status=1).stderr == (
        "error: there is the emergency number 999% already; --replace changes its route\n"
    )
    cli("emergency", "add", "999%", "--route", "rescue", "--replace")
    assert numbers(cli) == [("112", "demo"), ("999%", "rescue")]
    assert "999%" in cli("route", "remove", "rescue", status=1).stderr
    cli("emergency", "remove", "999%")
    assert numbers(cli) == [("112", "demo")]
    assert "112" in cli("emergency", "list").stdout


@pytest.mark.parametrize("number", ["%", "{3}%", "0|112", "11a", "112%3"])
def test_number_is_refused_when_it_is_none(cli: CommandLine, number: str) -> None:
    cli("emergency", "add", number, "--route", "demo", status=2)


def test_error_names_what_there_is_not(cli: CommandLine) -> None:
    assert cli("emergency", "add", "110", "--route", "x", status=1).stderr == "error: no route x\n"
    assert cli("emergency", "remove", "110", status=1).stderr == "error: no emergency number 110\n"
