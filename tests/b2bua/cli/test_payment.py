"""`softswitch payment`: booked once per reference, listed newest first."""

import pytest

from tests.b2bua.cli.command_line import CommandLine


@pytest.fixture(autouse=True)
def _demo(cli: CommandLine) -> None:
    cli("demo")


def balance(cli: CommandLine) -> str:
    text: str = cli.json("account", "show", "DEMO0002")["balance"]
    return text


def test_payment_is_booked_once_when_its_reference_comes_twice(cli: CommandLine) -> None:
    first = cli("payment", "add", "DEMO0002", "0.1", "--reference", "bank 7", "--note", "thanks").stdout
    assert "booked; balance of DEMO0002 is 1000.10 EUR" in first
    again = cli("payment", "add", "DEMO0002", "0.10", "--reference", "bank 7").stdout
    assert "was booked before; balance of DEMO0002 is 1000.10 EUR" in again
    assert balance(cli) == "1000.10"


def test_error_when_a_reference_comes_with_another_amount(cli: CommandLine) -> None:
    cli("payment", "add", "DEMO0002", "5", "--reference", "bank 7")
    assert "nothing is booked" in cli("payment", "add", "DEMO0002", "6", "--reference", "bank 7", status=1).stderr
    assert balance(cli) == "1005.00"


def test_payment_is_booked_each_time_when_it_has_no_reference(cli: CommandLine) -> None:
    for _ in range(2):
        cli("payment", "add", "DEMO0002", "1")
    assert balance(cli) == "1002.00"


@pytest.mark.parametrize(("amount", "status"), [("ten", 2), ("0", 1), ("0.00000000001", 1), ("NaN", 1)])
def test_amount_is_refused_when_it_is_none(cli: CommandLine, amount: str, status: int) -> None:
    cli("payment", "add", "DEMO0002", amount, status=status)
    assert balance(cli) == "1000.00"


def test_error_is_one_line_when_the_account_is_unknown(cli: CommandLine) -> None:
    assert cli("payment", "add", "NONE0001", "1", status=1).stderr == "error: no account NONE0001\n"
    assert cli("payment", "list", "--account", "NONE0001", status=1).stderr == "error: no account NONE0001\n"


def test_list_is_newest_first_and_without_usage(cli: CommandLine) -> None:
    cli("payment", "add", "DEMO0002", "1", "--reference", "=HYPERLINK()")
    cli.value(
        """
        INSERT INTO ledger_entry (account_id, kind, amount, currency)
        SELECT id, 'usage', 0, 'EUR' FROM account WHERE code = 'DEMO0002'
        """
    )
    rows = cli.json("payment", "list", "--account", "DEMO0002")
    assert [(row["amount"], row["reference"]) for row in rows] == [("1.00", "=HYPERLINK()"), ("1000.00", "demo")]
    assert len(cli.json("payment", "list")) == 4
    assert "'=HYPERLINK()" in cli("payment", "list", "--format", "csv").stdout
    assert len(cli.json("payment", "list", "--after", str(rows[0]["id"]), "--account", "DEMO0002")) == 1
