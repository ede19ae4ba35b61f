"""`softswitch ratecard`: made, changed, removed."""

from tests.b2bua.cli.command_line import CommandLine


def test_ratecard_is_made_changed_and_removed_once_no_tariff_has_it(cli: CommandLine) -> None:
    cli("ratecard", "add", "dids", "--direction", "incoming")
    cli("ratecard", "set", "dids", "--name", "numbers")
    assert cli.json("ratecard", "list") == [
        {"name": "numbers", "direction": "incoming", "owner": None, "tariffs": [], "rates": 0}
    ]
    cli("tariff", "add", "retail", "--currency", "EUR")
    cli("tariff", "map", "retail", "numbers")
    assert "is in the tariff retail: take it out" in cli("ratecard", "remove", "numbers", status=1).stderr
    cli("tariff", "unmap", "retail", "numbers")
    cli("ratecard", "remove", "numbers")
    assert cli.json("ratecard", "list") == []


def test_direction_that_there_is_not_is_refused(cli: CommandLine) -> None:
    error = cli("ratecard", "add", "x", "--direction", "sideways", status=1).stderr
    assert "Direction must be Outgoing calls or Incoming calls, to DIDs" in error
