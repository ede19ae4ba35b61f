"""Who writes files when, and what is noted of changes."""

import fcntl
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import pytest

from b2bua.policy import builder
from b2bua.policy.packed_files import all_files
from rating.packed_file import read_head
from tests.support.packed import Rows


def noted(rows: Rows) -> set[tuple[str, int, int | None]]:
    """What the newest revision notes."""
    query = "SELECT table_name, key, row_id FROM config_change WHERE revision = $1"
    return {tuple(row) for row in rows.run(rows.connection.fetch(query, rows.revision()))}


class TestChangeTracking:
    """A statement notes each rate or device that it changed, or that they were many."""

    def test_each_rate_is_noted(self, rows: Rows) -> None:
        rows.add_rates(1, 3)
        ids = [row["id"] for row in rows.run(rows.connection.fetch("SELECT id FROM rate"))]
        assert noted(rows) == {("rate", rows.card, each) for each in ids}
        rows.execute("UPDATE rate SET prefix = '9' WHERE prefix = '1'")
        assert noted(rows) == {("rate", rows.card, ids[0])}
        rows.execute("DELETE FROM rate WHERE prefix IN ('2', '3')")
        assert noted(rows) == {("rate", rows.card, each) for each in ids[1:]}

    def test_rate_that_moves_is_noted_with_both_ratecards(self, rows: Rows) -> None:
        other = rows.value("INSERT INTO ratecard (name) VALUES ('other') RETURNING id")
        rows.add_rates(1, 1)
        rate = rows.value("UPDATE rate SET ratecard_id = $1 RETURNING id", other)
        assert noted(rows) == {("rate", rows.card, rate), ("rate", other, rate)}

    @pytest.mark.parametrize("statement", ["UPDATE rate SET rate_per_minute = 2", "DELETE FROM rate"])
    def test_ratecards_are_noted_when_a_thousand_rates_are_exceeded(self, rows: Rows, statement: str) -> None:
        other = rows.value("INSERT INTO ratecard (name) VALUES ('other') RETURNING id")
        rows.add_rates(1, 1000)
        assert len(noted(rows)) == 1000
        rows.add_rates(1, 1, card=other)
        rows.execute(statement)
        assert noted(rows) == {("rate", rows.card, None), ("rate", other, None)}
        rows.add_rates(10_000, 11_000)
        assert noted(rows) == {("rate", rows.card, None)}

    def test_devices_are_noted_each_or_all(self, rows: Rows) -> None:
        rows.add_users(1, 2)
        ids = [row["id"] for row in rows.run(rows.connection.fetch("SELECT id FROM sip_user"))]
        assert noted(rows) == {("sip_user", each, each) for each in ids}
        device = rows.value(
            "INSERT INTO ip_device (account_id, address) VALUES ($1, '192.0.2.0/24') RETURNING id", rows.account
        )
        assert noted(rows) == {("ip_device", device, device)}
        rows.add_users(3, 1003)
        assert noted(rows) == {("sip_user", 0, None)}

    def test_other_tables_note_their_keys_as_before(self, rows: Rows) -> None:
        rows.execute("UPDATE account SET name = 'other'")
        assert noted(rows) == {("account", rows.account, None)}

    def test_statement_that_changes_nothing_makes_a_revision(self, rows: Rows) -> None:
        revision = rows.revision()
        rows.execute("UPDATE rate SET rate_per_minute = 2")
        assert (rows.revision(), noted(rows)) == (revision + 1, set())


class TestMerge:
    """Old changes are merged, so that the table does not grow for ever."""

    def test_old_changes_become_one_per_ratecard_and_table(self, rows: Rows) -> None:
        rows.add_rates(1, 3)
        rows.add_users(1, 3)
        rows.execute("UPDATE rate SET rate_per_minute = 2 WHERE prefix = '2'")
        newest = rows.revision()
        rows.execute("UPDATE config_change SET changed_at = now() - interval '25 hours'")
        rows.execute("DELETE FROM rate WHERE prefix = '1'")
        assert rows.value("SELECT merge_config_changes('1 day')") > 0
        rest = rows.run(rows.connection.fetch("SELECT revision, table_name, key, row_id FROM config_change ORDER BY 1"))
        assert [tuple(row)[1:] for row in rest if row["table_name"] == "sip_user"] == [("sip_user", 0, None)]
        rates = [tuple(row) for row in rest if row["table_name"] == "rate"]
        assert rates[0] == (newest, "rate", rows.card, None)
        assert [row[:3] for row in rates[1:]] == [(newest + 1, "rate", rows.card)]
        assert rows.value("SELECT merge_config_changes('1 day')") == 0


class TestBuild:
    """A file is written when it is missing or lacks too much."""

    def test_every_table_gets_a_file_of_the_newest_revision(self, rows: Rows) -> None:
        other = rows.value("INSERT INTO ratecard (name) VALUES ('other') RETURNING id")
        rows.add_rates(1, 3)
        assert rows.build() == [("device", 0), ("ratecard", rows.card), ("ratecard", other)]
        revision = rows.revision()
        assert rows.files() == [
            ("device", 0, revision),
            ("ratecard", rows.card, revision),
            ("ratecard", other, revision),
        ]
        assert {file.key: read_head(file.path).rows for file in all_files(rows.directory)} == {
            0: 0,
            rows.card: 3,
            other: 0,
        }
        assert rows.build() == []

    def test_few_changes_are_left_to_the_workers(self, rows: Rows) -> None:
        rows.add_rates(1, 3000)
        rows.build()
        files = rows.files()
        for first in (1, 1001):
            rows.execute(
                "UPDATE rate SET rate_per_minute = 2 WHERE prefix::integer BETWEEN $1::integer AND $1 + 999", first
            )
        assert (rows.build(), rows.files()) == ([], files)
        rows.execute("UPDATE rate SET rate_per_minute = 2 WHERE prefix = '3000'")
        assert rows.build() == [("ratecard", rows.card)]
        assert ("ratecard", rows.card, rows.revision()) in rows.files()

    def test_more_changes_are_left_when_the_ratecard_is_large(self, rows: Rows) -> None:
        rows.add_rates(1, 50_000)
        rows.build()
        change = "UPDATE rate SET rate_per_minute = 2 WHERE prefix::integer BETWEEN $1::integer AND $1 + 999"
        for first in (1, 1001, 2001):
            rows.execute(change, first)
        assert builder.MOST_CHANGES < 50_000 // builder.LARGEST_PART
        assert rows.build() == [("ratecard", rows.card)]

    def test_ratecard_is_written_when_it_was_changed_as_a_whole(self, rows: Rows) -> None:
        other = rows.value("INSERT INTO ratecard (name) VALUES ('other') RETURNING id")
        rows.add_rates(1, 1500)
        rows.add_rates(1, 3, card=other)
        rows.build()
        rows.execute("DELETE FROM rate WHERE ratecard_id = $1", rows.card)
        assert rows.build() == [("ratecard", rows.card)]

    @pytest.mark.parametrize("statement", ["UPDATE rate SET rate_per_minute = 2", "DELETE FROM sip_user"])
    def test_file_is_written_before_its_changes_are_merged(self, rows: Rows, statement: str) -> None:
        rows.add_rates(1, 1)
        rows.add_users(1, 1)
        rows.build()
        rows.execute(statement)
        rows.execute("UPDATE config_change SET changed_at = now() - interval '11 hours'")
        assert rows.build() == []
        rows.execute("UPDATE config_change SET changed_at = now() - interval '13 hours'")
        assert len(rows.build()) == 1

    def test_devices_are_written_when_many_changed(self, rows: Rows) -> None:
        rows.add_users(1, 10)
        rows.build()
        for first in (1000, 2000, 3000):
            assert rows.build() == []
            rows.add_users(first, first + 999)
        assert rows.build() == [("device", 0)]

    def test_files_that_nobody_needs_are_removed(self, rows: Rows) -> None:
        other = rows.value("INSERT INTO ratecard (name) VALUES ('other') RETURNING id")
        rows.build()
        rows.execute("DELETE FROM ratecard WHERE id = $1", other)
        rows.directory.joinpath("ratecard-1-1-0badcafe.pack").touch()
        rows.directory.joinpath(".ratecard-1-1-0badcafe.pack.9.part").touch()
        rows.build()
        assert {file[:2] for file in rows.files()} == {("device", 0), ("ratecard", rows.card)}
        assert sorted(path.suffix for path in rows.directory.iterdir()) == ["", ".pack", ".pack"]

    def test_workers_are_told_when_a_file_is_there(self, rows: Rows, database_url: str) -> None:
        async def main() -> list[str]:
            told: list[str] = []
            listener = await asyncpg.connect(database_url)
            await listener.add_listener("config", lambda *what: told.append(str(what[3])))
            await builder.build(rows.connection, rows.directory)
            await listener.execute("SELECT 1")
            await listener.close()
            return told

        assert rows.run(main()) == [str(rows.revision())] * 2

    def test_second_builder_waits_for_the_first(self, rows: Rows, database_url: str) -> None:
        rows.add_rates(1, 3)
        rows.directory.mkdir()
        environ = {
            **os.environ,
            "SOFTSWITCH_DATABASE__URL": database_url,
            "SOFTSWITCH_SYSTEM__DIRECTORY": str(rows.directory.parent),
        }
        with held(rows):
            process = subprocess.Popen([sys.executable, "-m", "b2bua", "snapshot", "--once"], env=environ)
            while not re.search(rf"-> FLOCK .* {process.pid} ", Path("/proc/locks").read_text()):
                assert process.poll() is None
            assert rows.files() == []
        assert process.wait(10.0) == 0
        assert len(rows.files()) == 2


@contextmanager
def held(rows: Rows) -> Iterator[None]:
    """Hold the lock as a builder does."""
    with (rows.directory / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
