"""`softswitch mailbox`: what stands in the real live store, with names from the database."""

from dataclasses import replace

import pytest

from b2bua.registrar.mailbox import KEYS
from tests.b2bua.cli.command_line import CommandLine
from tests.support.live import store_at


@pytest.fixture
def users(cli: CommandLine, live_url: str) -> dict[str, int]:
    """Two SIP users by name, of different accounts."""
    cli.settings = replace(cli.settings, live=replace(cli.settings.live, url=live_url))
    cli("demo")
    insert = (
        "INSERT INTO sip_user (account_id, username, ha1_md5)"
        " SELECT id, $2, repeat('0', 32) FROM account WHERE code = $1 RETURNING id"
    )
    accounts = {"alice": "DEMO0002", "bob": "DEMO0003"}
    return {name: cli.value(insert, code, name) for name, code in accounts.items()}


def test_what_is_set_is_in_the_store_and_listed(cli: CommandLine, users: dict[str, int], live_url: str) -> None:
    assert cli("mailbox", "set", "alice", "--new", "2", "--old", "5").stdout == "alice has 2 new and 5 old messages\n"
    cli("mailbox", "set", "bob", "--new", "0")
    with store_at(live_url) as store:
        assert store.hash(KEYS[0]) == {str(users["alice"]): "2/5", str(users["bob"]): "0/0"}
        store("HSET", KEYS[0], users["bob"] + 1000, "1/1")  # of a SIP user that is gone
    assert cli.json("mailbox", "list") == [
        {"username": "alice", "account": "DEMO0002", "new": 2, "old": 5},
        {"username": "bob", "account": "DEMO0003", "new": 0, "old": 0},
    ]
    assert [row["username"] for row in cli.json("mailbox", "list", "--account", "DEMO0003")] == ["bob"]
    first = cli("mailbox", "list", "--limit", "1", "--format", "csv")
    assert first.stderr == "there is more: --after alice\n"
    assert [row["username"] for row in cli.json("mailbox", "list", "--after", "alice")] == ["bob"]


def test_error_when_there_is_no_such_user_or_account_or_count(cli: CommandLine, users: dict[str, int]) -> None:
    assert cli("mailbox", "set", "nobody", "--new", "1", status=1).stderr == "error: no SIP user nobody\n"
    assert cli("mailbox", "list", "--account", "NONE0001", status=1).stderr == "error: no account NONE0001\n"
    cli("mailbox", "set", "alice", "--new", "-1", status=2)
    cli("mailbox", "set", "alice", status=2)


def test_error_is_one_line_when_the_live_store_is_away(cli: CommandLine) -> None:
    cli("demo")
    assert cli("mailbox", "list", status=1).stderr.startswith("error: live store at ")
