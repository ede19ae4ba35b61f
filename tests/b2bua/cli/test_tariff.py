"""`softswitch tariff`: made, changed, filled with ratecards, removed."""

from tests.b2bua.cli.command_line import CommandLine


def tariff(cli: CommandLine, name: str = "retail") -> dict[str, object]:
    return next(row for row in cli.json("tariff", "list") if row["name"] == name)


def test_tariff_is_made_filled_changed_and_removed(cli: CommandLine) -> None:
    cli("tariff", "add", "retail", "--currency", "eur")
    cli("ratecard", "add", "days")
    cli("tariff", "map", "retail", "days", "--days", "mon-fri", "--from", "8:00", "--until", "18:00")
    assert tariff(cli) == {
        **{"name": "retail", "kind": "customer", "currency": "EUR", "status": "active", "owner": None},
        **{"ratecards": ["days"], "rates": 0, "used_by": 0},
    }
    cli("tariff", "map", "retail", "days", "--priority", "3")
    query = "SELECT priority || ' ' || days || ' ' || hours_from || ' ' || hours_until FROM tariff_ratecard"
    assert cli.value(query) == "3 62 08:00:00 18:00:00"
    cli("tariff", "set", "retail", "--status", "inactive", "--name", "old")
    assert tariff(cli, "old")["status"] == "inactive"
    cli("tariff", "unmap", "old", "days")
    cli("tariff", "remove", "old")
    assert cli.json("tariff", "list") == []


def test_commands_say_what_would_be_right(cli: CommandLine) -> None:
    assert "Currency is needed, like EUR" in cli("tariff", "add", "retail", status=1).stderr
    cli("tariff", "add", "retail", "--currency", "EUR")
    assert "Name retail is taken" in cli("tariff", "add", "retail", "--currency", "EUR", status=1).stderr
    assert "Ratecard must be one of the list" in cli("tariff", "map", "retail", "none", status=1).stderr
    assert "no tariff wholesale" in cli("tariff", "remove", "wholesale", status=1).stderr
    cli("account", "add", "--name", "Anna", "--tariff", "retail")
    assert "1 account or carrier uses the tariff" in cli("tariff", "remove", "retail", status=1).stderr
    error = cli("tariff", "set", "retail", "--currency", "USD", status=1).stderr
    assert "It cannot be changed while accounts or carriers use the tariff" in error


def test_reseller_has_tariffs_for_the_accounts_directly_below_it(cli: CommandLine) -> None:
    cli("account", "add", "RESE0001", "--kind", "reseller", "--name", "R", "--currency", "EUR")
    error = cli("tariff", "add", "theirs", "--currency", "USD", "--owner", "RESE0001", status=1).stderr
    assert "Currency must be EUR, that of the reseller" in error
    cli("tariff", "add", "theirs", "--currency", "EUR", "--owner", "RESE0001")
    cli("ratecard", "add", "ours")
    assert "Ratecard must be one of the list" in cli("tariff", "map", "theirs", "ours", status=1).stderr
    cli("account", "add", "--name", "Below", "--parent", "RESE0001", "--tariff", "theirs")
    stranger = cli("account", "add", "--name", "Beside", "--tariff", "theirs", status=1).stderr
    assert "must be the operator's or of the reseller above it" in stranger
