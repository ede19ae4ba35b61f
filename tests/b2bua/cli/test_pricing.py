"""Rates one by one on the command line, by the form of the panel."""

from tests.b2bua.cli.command_line import CommandLine


def test_rate_is_added_changed_and_removed(cli: CommandLine) -> None:
    cli("ratecard", "add", "retail")
    said = cli("rate", "add", "+44", "0.012", "--ratecard", "retail", "--field", "destination=United Kingdom").stdout
    rate = said.split()[1]
    cli("rate", "add", "44", "0.015", "--ratecard", "retail", "--field", "valid_from=2099-02-01")
    cli("rate", "set", rate, "--field", "status=blocked", "--field", "minimum=60")
    first, second = cli.json("rate", "list", "--ratecard", "retail")
    assert (first["prefix"], first["minimum"], first["status"], first["valid_from"]) == ("44", 60, "blocked", None)
    assert (first["destination"], second["rate_per_minute"]) == ("United Kingdom", "0.015")
    cli("rate", "remove", rate)
    assert [row["id"] for row in cli.json("rate", "list", "--ratecard", "retail")] == [second["id"]]


def test_rate_is_refused_in_the_words_of_the_form(cli: CommandLine) -> None:
    cli("ratecard", "add", "retail")
    error = cli("rate", "add", "4x", "-1", "--ratecard", "retail", status=2).stderr
    assert error
    error = cli("rate", "add", "4x", "0,1", "--ratecard", "retail", status=1).stderr
    assert "Prefix must be up to 30 digits" in error
    assert "Rate per minute must be a number with a point" in error
    cli("rate", "add", "44", "1", "--ratecard", "retail")
    assert (
        "has a rate that was always valid already"
        in cli("rate", "add", "44", "2", "--ratecard", "retail", status=1).stderr
    )
    assert "no rate 999" in cli("rate", "set", "999", "--field", "minimum=1", status=1).stderr
    cli("rate", "set", "1", "--field", "price=1", status=2)
