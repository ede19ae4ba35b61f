"""What a worker has of rates and devices, and the work that a change is."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from b2bua.policy import packed_tables
from b2bua.policy.packed_tables import BuildNeeded, PackedTables
from rating.tariff import Ratecard
from tests.support.packed import NOW, Rows, price


@pytest.fixture
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """More than fifty rows are too many to be read without a file."""
    monkeypatch.setattr(packed_tables, "MOST_ROWS", 50)


def names(tables: PackedTables) -> set[str]:
    """Users that are found by name, of those that there may be."""
    return {name for n in range(200) if tables.devices.get_user(name := f"u{n}") is not None}


class TestStart:
    """A worker begins with the newest files, or without."""

    def test_rates_and_devices_come_from_the_files(self, rows: Rows) -> None:
        rows.add_rates(100, 199, "0.0312345678")
        rows.add_users(1, 3)
        rows.build()
        tables = rows.load()
        assert (rows.retail(tables).base is not None, rows.retail(tables).changes) == (True, 0)
        assert (price(rows.retail(tables), "1234"), price(rows.retail(tables), "99")) == ("0.0312345678", None)
        assert names(tables) == {"u1", "u2", "u3"}
        assert tables.version.revision == rows.revision()

    def test_what_was_changed_since_the_file_counts(self, rows: Rows) -> None:
        rows.add_rates(100, 199)
        rows.add_users(1, 3)
        rows.build()
        rows.execute("UPDATE rate SET rate_per_minute = 2 WHERE prefix = '123'")
        rows.execute("DELETE FROM rate WHERE prefix = '124'; DELETE FROM sip_user WHERE username = 'u2'")
        rows.add_rates(1250, 1250, "3")
        rows.add_users(4, 4)
        tables = rows.load()
        card = rows.retail(tables)
        assert [price(card, number) for number in ("1230", "1240", "1250", "1251")] == ["2", None, "3", "1"]
        assert (card.changes, names(tables)) == (3, {"u1", "u3", "u4"})

    def test_small_tables_are_read_when_there_is_no_file(self, rows: Rows) -> None:
        rows.add_rates(100, 149)
        rows.add_users(1, 3)
        tables = rows.load()
        assert (rows.retail(tables).base, len(rows.retail(tables).rates)) == (None, 50)
        assert (price(rows.retail(tables), "1234"), names(tables)) == ("1", {"u1", "u2", "u3"})

    @pytest.mark.usefixtures("_small")
    def test_build_is_needed_when_there_is_no_file_of_a_large_table(self, rows: Rows) -> None:
        rows.add_rates(100, 150)
        with pytest.raises(BuildNeeded, match=f"no file of ratecard {rows.card}"):
            rows.load()
        rows.execute("DELETE FROM rate")
        rows.add_users(1, 51)
        with pytest.raises(BuildNeeded, match="no file of device 0"):
            rows.load()
        rows.build()
        rows.load()

    @pytest.mark.usefixtures("_small")
    def test_small_ratecards_are_too_many_when_they_are_large_together(self, rows: Rows) -> None:
        other = rows.value("INSERT INTO ratecard (name) VALUES ('other') RETURNING id")
        rows.add_rates(100, 129)
        rows.add_rates(100, 129, card=other)
        with pytest.raises(BuildNeeded, match=f"no file of ratecard {rows.card}, {other}"):
            rows.load()

    @pytest.mark.usefixtures("_small")
    def test_build_is_needed_when_the_only_file_lacks_too_much(self, rows: Rows) -> None:
        rows.add_rates(100, 299)
        rows.build()
        rows.execute("UPDATE rate SET rate_per_minute = 2 WHERE prefix < '150'")
        assert rows.retail(rows.load()).changes == 50
        rows.execute("UPDATE rate SET rate_per_minute = 2 WHERE prefix = '150'")
        with pytest.raises(BuildNeeded):
            rows.load()

    @pytest.mark.parametrize("damage", [lambda whole: whole[:-9], lambda whole: whole[:-1] + b"?", lambda _: b""])
    @pytest.mark.usefixtures("_small")
    def test_damaged_file_is_removed_and_written_anew(self, rows: Rows, damage: Callable[[bytes], bytes]) -> None:
        rows.add_rates(100, 299)
        rows.build()
        (path,) = rows.directory.glob("ratecard-*.pack")
        path.write_bytes(damage(path.read_bytes()))
        with pytest.raises(BuildNeeded):
            rows.load()
        assert rows.build() == [("ratecard", rows.card)]
        assert price(rows.retail(rows.load()), "1234") == "1"

    @pytest.mark.usefixtures("_small")
    def test_file_that_is_newer_than_the_transaction_is_not_used(self, rows: Rows) -> None:
        rows.add_rates(100, 299)
        rows.build()
        (path,) = rows.directory.glob("ratecard-*.pack")
        table, key, revision, database = path.name.split("-")
        path.rename(path.with_name(f"{table}-{key}-{int(revision) + 1}-{database}"))
        with pytest.raises(BuildNeeded):
            rows.load()

    def test_files_of_another_history_are_not_used(self, rows: Rows) -> None:
        rows.add_rates(100, 109)
        rows.build()
        rows.execute("UPDATE rate SET rate_per_minute = 9")
        rows.execute("CREATE TABLE restored (LIKE config_change); DROP TABLE config_change CASCADE")
        rows.execute("ALTER TABLE restored RENAME TO config_change")
        tables = rows.load()
        assert (rows.retail(tables).base, price(rows.retail(tables), "100")) == (None, "9")
        rows.build()
        assert [file[2] for file in rows.files()] == [rows.revision()] * 2


class TestChange:
    """A change costs work in proportion to it."""

    def test_only_changed_rates_are_read(self, rows: Rows) -> None:
        rows.add_rates(1000, 1999)
        rows.build()
        tables = rows.load()
        kept = []
        for statement in (
            "UPDATE account SET name = 'other'",
            "UPDATE rate SET rate_per_minute = 2 WHERE prefix = '1234'",
            "UPDATE rate SET prefix = '5' || prefix WHERE prefix < '1003'",
            "DELETE FROM rate WHERE prefix LIKE '5%' OR prefix IN ('1234', '1999')",
        ):
            rows.execute(statement)
            rows.refresh(tables)
            card = rows.retail(tables)
            kept.append((len(card.rates), card.changes))
        assert kept == [(0, 0), (1, 1), (4, 4), (0, 5)]
        assert [price(card, number) for number in ("1234", "51001", "1001", "1003")] == [None, None, None, "1"]

    def test_nobody_sees_anything_before_it_is_applied(self, rows: Rows) -> None:
        rows.add_rates(100, 109)
        rows.add_users(1, 1)
        rows.build()
        tables = rows.load()
        before = tables.version
        rows.execute("UPDATE rate SET rate_per_minute = 2; DELETE FROM sip_user")
        rows.execute("INSERT INTO ratecard (name) VALUES ('other')")

        async def prepare() -> packed_tables.Refresh:
            async with rows.connection.transaction(isolation="repeatable_read", readonly=True):
                return await tables.prepare(rows.connection)

        refresh = rows.run(prepare())
        seen = (price(rows.retail(tables), "100"), names(tables), len(tables.ratecards), tables.version)
        assert seen == ("1", {"u1"}, 1, before)
        tables.take(refresh)
        assert (price(rows.retail(tables), "100"), names(tables), len(tables.ratecards)) == ("2", set(), 2)
        assert tables.version.revision == rows.revision()

    def test_rate_that_moves_to_another_ratecard_is_found_there_only(self, rows: Rows) -> None:
        other = rows.value("INSERT INTO ratecard (name) VALUES ('other') RETURNING id")
        rows.add_rates(100, 109)
        rows.build()
        tables = rows.load()
        rows.execute("UPDATE rate SET ratecard_id = $1 WHERE prefix = '101'", other)
        rows.refresh(tables)
        assert (price(rows.retail(tables), "101"), price(tables.ratecards[other], "101")) == (None, "1")

    def test_ratecard_that_is_removed_is_gone(self, rows: Rows) -> None:
        rows.add_rates(100, 109)
        rows.build()
        tables = rows.load()
        rows.execute("DELETE FROM ratecard")
        rows.refresh(tables)
        assert tables.ratecards == {}

    def test_small_ratecard_is_read_again_when_it_was_changed_as_a_whole(self, rows: Rows) -> None:
        rows.add_rates(1000, 2999)
        rows.build()
        tables = rows.load()
        rows.execute("UPDATE rate SET rate_per_minute = 2")
        rows.refresh(tables)
        card = rows.retail(tables)
        assert (card.base, price(card, "1234"), tables.waiting) == (None, "2", frozenset())
        rows.build()
        assert tables.has_newer_files()
        rows.refresh(tables)
        card = rows.retail(tables)
        assert (card.base is not None, card.rates, price(card, "1234")) == (True, {}, "2")
        assert not tables.has_newer_files()

    @pytest.mark.usefixtures("_small")
    def test_large_ratecard_waits_for_its_file_and_nothing_else_does(self, rows: Rows) -> None:
        rows.add_rates(1000, 2999)
        rows.build()
        tables = rows.load()
        rows.execute("UPDATE rate SET rate_per_minute = 2")
        rows.add_users(1, 1)
        rows.refresh(tables)
        assert (price(rows.retail(tables), "1234"), names(tables)) == ("1", {"u1"})
        assert tables.waiting == {("ratecard", rows.card)}
        rows.execute("UPDATE rate SET rate_per_minute = 3 WHERE prefix = '1234'")
        rows.refresh(tables)
        assert price(rows.retail(tables), "1234") == "1"
        assert rows.build() == [("ratecard", rows.card)]
        rows.execute("UPDATE rate SET rate_per_minute = 4 WHERE prefix = '1235'")
        rows.refresh(tables)
        card = rows.retail(tables)
        assert [price(card, number) for number in ("1234", "1235", "1236")] == ["3", "4", "2"]
        assert tables.waiting == frozenset()

    @pytest.mark.usefixtures("_small")
    def test_many_devices_wait_for_their_file(self, rows: Rows) -> None:
        rows.add_users(1, 60)
        rows.build()
        tables = rows.load()
        rows.add_users(100, 1100)
        rows.refresh(tables)
        assert names(tables) == {f"u{n}" for n in range(1, 61)}
        assert tables.waiting == {("device", 0)}
        assert rows.build() == [("device", 0)]
        rows.refresh(tables)
        assert (len(names(tables)), tables.waiting) == (160, frozenset())

    def test_devices_follow_every_kind_of_change(self, rows: Rows) -> None:
        rows.add_users(1, 3)
        rows.execute("INSERT INTO ip_device (account_id, address) VALUES ($1, '192.0.2.0/24')", rows.account)
        rows.build()
        tables = rows.load()
        rows.execute("UPDATE sip_user SET username = 'u9', extension = '9' WHERE username = 'u1'")
        rows.execute(
            "UPDATE ip_device SET address = '192.0.2.7/32', dial_prefix = '+44%', is_trusted = true, port = 5070"
        )
        rows.add_users(100, 101)
        rows.refresh(tables)
        device = tables.devices.find("192.0.2.7", "4420")
        assert device is not None
        assert (device.network, device.dial_prefix, device.is_trusted, device.port) == (
            "192.0.2.7/32",
            "44",
            True,
            5070,
        )
        assert (tables.devices.find("192.0.2.7", "33"), tables.devices.find("192.0.2.8", "4420")) == (None, None)
        assert names(tables) == {"u2", "u3", "u9", "u100", "u101"}
        user = tables.devices.by_extension(rows.account, "9")
        assert user is not None
        assert user.username == "u9"

    def test_everything_is_read_when_the_database_was_restored_meanwhile(self, rows: Rows) -> None:
        rows.add_rates(100, 109)
        rows.build()
        tables = rows.load()
        rows.execute("CREATE TABLE restored (LIKE config_change); DROP TABLE config_change CASCADE")
        rows.execute("ALTER TABLE restored RENAME TO config_change")
        rows.execute("ALTER TABLE rate DISABLE TRIGGER USER; UPDATE rate SET rate_per_minute = 5")
        rows.refresh(tables)
        assert price(rows.retail(tables), "100") == "5"

    def test_worker_that_missed_merged_changes_reads_everything(self, rows: Rows) -> None:
        rows.add_rates(100, 109)
        rows.add_users(1, 2)
        rows.build()
        tables, current = rows.load(), rows.load()
        rows.execute("UPDATE rate SET rate_per_minute = 2 WHERE prefix = '100'")
        rows.execute("DELETE FROM sip_user WHERE username = 'u1'")
        rows.refresh(current)
        rows.execute("UPDATE config_change SET changed_at = now() - interval '2 days'")
        assert rows.value("SELECT merge_config_changes('1 day')") > 0
        for each in (tables, current):
            rows.refresh(each)
            assert (price(rows.retail(each), "100"), names(each)) == ("2", {"u2"})
        assert (rows.retail(tables).base, rows.retail(current).changes) == (None, 1)

    def test_tables_are_those_of_the_database_whatever_happens(self, rows: Rows, tmp_path: Path) -> None:
        """Random changes, builds and refreshes; the rates found are those that the database has."""
        chance = random.Random(5)
        rows.add_rates(100, 160)
        tables = rows.load()
        for _ in range(60):
            prefix = str(chance.randrange(90, 170))
            statement = chance.choice(
                [
                    "UPDATE rate SET rate_per_minute = rate_per_minute + 1 WHERE prefix = $1",
                    "DELETE FROM rate WHERE prefix = $1",
                    "INSERT INTO rate (ratecard_id, prefix, rate_per_minute) SELECT max(id), $1, 7 FROM ratecard"
                    " ON CONFLICT DO NOTHING",
                    "UPDATE rate SET rate_per_minute = rate_per_minute * 2 WHERE prefix > $1",
                ]
            )
            rows.execute(statement, prefix)
            if chance.random() < 0.2:
                rows.build()
            if chance.random() < 0.1:
                rows.execute("SELECT merge_config_changes('0')")
            rows.refresh(tables)
            if chance.random() < 0.2:
                tables = rows.load()
            found = {str(n): price(rows.retail(tables), str(n)) for n in range(90, 170)}
            assert {number: text for number, text in found.items() if text} == prices(rows)
        assert isinstance(rows.retail(tables), Ratecard)


def prices(rows: Rows) -> dict[str, str]:
    """The prices of the database."""
    query = "SELECT prefix, trim_scale(rate_per_minute)::text FROM rate WHERE valid_from <= $1"
    return {row[0]: row[1] for row in rows.run(rows.connection.fetch(query, NOW))}
