"""`softswitch registration`: what stands in the real live store, with names from the database."""

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from b2bua.registrar.bindings import bindings_key, encode
from tests.b2bua.cli.command_line import CommandLine, Worker
from tests.support.live import Store, store_at
from tests.support.registrations import make_binding


@pytest.fixture
def store(live_url: str) -> Iterator[Store]:
    with store_at(live_url) as store:
        yield store


@pytest.fixture
def phones(cli: CommandLine, live_url: str, store: Store) -> dict[str, int]:
    """Three SIP users by name; alice and bob, who is of another account, are registered."""
    cli.settings = replace(cli.settings, live=replace(cli.settings.live, url=live_url))
    cli("demo")
    insert = (
        "INSERT INTO sip_user (account_id, username, ha1_md5)"
        " SELECT id, $2, repeat('0', 32) FROM account WHERE code = $1 RETURNING id"
    )
    accounts = {"alice": "DEMO0002", "bob": "DEMO0003", "carol": "DEMO0003"}
    ids = {name: cli.value(insert, code, name) for name, code in accounts.items()}
    keep(store, ids["alice"], "sip:alice@h2", "sip:alice@h1", user_agent="Phone/1.0", q=0.5)
    keep(store, ids["bob"], "sip:bob,1@h", transport="tcp")
    return ids


def keep(store: Store, user: int, *contacts: str, seconds: float = 600.0, **changed: Any) -> None:
    expires_at = 1_900_000_000.0 if seconds > 0 else time.time() + seconds
    bindings = [make_binding(contact=contact, expires_at=expires_at, **changed) for contact in contacts]
    store("SET", bindings_key(user), encode(bindings).decode())


def contacts(rows: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(row["username"], row["contact"]) for row in rows]


class TestList:
    def test_contacts_are_shown_by_name(self, cli: CommandLine, phones: dict[str, int]) -> None:
        rows = cli.json("registration", "list")
        assert contacts(rows) == [("alice", "sip:alice@h1"), ("alice", "sip:alice@h2"), ("bob", "sip:bob,1@h")]
        assert rows[0] == {
            "username": "alice",
            "account": "DEMO0002",
            "contact": "sip:alice@h1",
            "transport": "udp",
            "source": "198.51.100.7:5062",
            "q": "0.5",
            "user_agent": "Phone/1.0",
            "worker": "sip-1",
            "registered_at": "2027-01-15T08:00:00.000Z",
            "expires_at": "2030-03-17T17:46:40.000Z",
        }
        assert cli("registration", "list", "--json").stdout == cli("registration", "list", "--format", "json").stdout
        assert "Phone/1.0" in cli("registration", "list").stdout

    def test_account_takes_those_below_it_along(self, cli: CommandLine, phones: dict[str, int]) -> None:
        assert len(cli.json("registration", "list", "--account", "DEMO0001")) == 2
        assert len(cli.json("registration", "list", "--account", "DEMO0002")) == 2
        assert contacts(cli.json("registration", "list", "--account", "DEMO0003")) == [("bob", "sip:bob,1@h")]
        assert cli("registration", "list", "--account", "NONE0001", status=1).stderr == "error: no account NONE0001\n"

    def test_every_row_comes_once_when_pages_have_one_row(self, cli: CommandLine, phones: dict[str, int]) -> None:
        seen: list[str] = []
        after: list[str] = []
        for _ in range(3):
            result = cli("registration", "list", "--limit", "1", "--format", "csv", *after)
            seen += result.stdout.splitlines()[1:]
            after = ["--after", result.stderr.removeprefix("there is more: --after ").strip()]
        assert seen == cli("registration", "list", "--format", "csv").stdout.splitlines()[1:]
        assert after == ["--after", ""]
        cli("registration", "list", "--after", "alice", status=1)

    def test_expired_unknown_and_foreign_keys_are_left_out(
        self, cli: CommandLine, phones: dict[str, int], store: Store
    ) -> None:
        keep(store, phones["alice"], "sip:alice@h1", seconds=-1)
        keep(store, phones["carol"] + 1000, "sip:nobody@h")
        store("SET", "bindings:x", "x")
        assert contacts(cli.json("registration", "list")) == [("bob", "sip:bob,1@h")]

    def test_others_are_shown_when_a_value_cannot_be_read(
        self, cli: CommandLine, phones: dict[str, int], store: Store
    ) -> None:
        store("SET", bindings_key(phones["carol"]), "nonsense")
        result = cli("registration", "list", "--format", "csv")
        assert len(result.stdout.splitlines()) == 4
        assert result.stderr.startswith("carol: stored bindings cannot be read")

    def test_error_is_one_line_when_the_live_store_is_away(self, cli: CommandLine) -> None:
        cli("demo")
        assert cli("registration", "list", status=1).stderr.startswith("error: live store: ")


class TestRemove:
    def test_user_is_not_registered_any_more(
        self, cli: CommandLine, phones: dict[str, int], worker: Worker, store: Store
    ) -> None:
        worker.answers["unregister"] = {"removed": 2}
        assert cli("registration", "remove", "alice").stdout == "2 contacts of alice removed\n"
        assert worker.requests[-1] == {"verb": "unregister", "sip_user_id": phones["alice"]}
        assert store.keys("bindings:*") == [bindings_key(phones["bob"])]
        assert cli("registration", "remove", "bob").stdout == "1 contact of bob removed\n"

    def test_user_is_removed_when_no_worker_runs(self, cli: CommandLine, phones: dict[str, int]) -> None:
        cli("registration", "remove", "alice")
        assert cli("registration", "remove", "alice", status=1).stderr == "error: alice is not registered\n"

    def test_value_is_removed_when_it_cannot_be_read(
        self, cli: CommandLine, phones: dict[str, int], store: Store
    ) -> None:
        store("SET", bindings_key(phones["carol"]), "nonsense")
        assert cli("registration", "remove", "carol").stdout == "0 contacts of carol removed\n"
        assert cli("registration", "remove", "carol", status=1).stderr == "error: carol is not registered\n"

    def test_error_when_there_is_no_such_user(self, cli: CommandLine, phones: dict[str, int]) -> None:
        assert cli("registration", "remove", "nobody", status=1).stderr == "error: no SIP user nobody\n"
