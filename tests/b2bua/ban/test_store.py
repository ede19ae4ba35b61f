"""The scripts of bans, on a real Valkey."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from b2bua.ban import store
from tests.b2bua.ban.workers import OTHER, SOURCE
from tests.support.live import Store, cluster_of_one, store_at


class Bans:
    """A client of the scripts."""

    def __init__(self, valkey: Store) -> None:
        self.valkey = valkey

    def __call__(self, command: store.Command) -> Any:
        return self.valkey(*(part.decode() if isinstance(part, bytes) else part for part in command))

    def changes(self, version: int = 0, limit: int = store.PAGE) -> store.Changes:
        version_text, is_more, *rest = self(store.changes(version, limit))
        return store.Changes.read([version_text, is_more, *(p.encode() if isinstance(p, str) else p for p in rest)])

    def known(self) -> dict[str, int]:
        """Every address that changed, with the whole seconds that are left."""
        return {address: round(seconds) for address, seconds in self.changes().seconds}

    def fail(self, address: str = SOURCE, failures: int = 3) -> int:
        return int(self(store.failed(address, failures, 60, 900, "sip-1", "test")))

    def fail_earlier(self, seconds: float, address: str = SOURCE) -> None:
        """A failure as if it had been so long ago."""
        self.valkey("LPUSH", f"{{bans}}:failed:{address}", round((self.valkey.now() - seconds) * 1000))


@pytest.fixture
def bans(live_url: str) -> Iterator[Bans]:
    with store_at(live_url) as valkey:
        yield Bans(valkey)


class TestBan:
    def test_ban_is_listed_with_its_reason_and_times(self, bans: Bans) -> None:
        before = datetime.now(UTC)
        assert bans(store.ban(SOURCE, 60.5, "sip-1", "it is late")) == 60_500
        details = bans.valkey.hash(store.LIST[1])  # type: ignore[arg-type]
        ban = store.Ban.read(SOURCE, details[SOURCE])
        assert (ban.address, ban.by, ban.reason) == (SOURCE, "sip-1", "it is late")
        assert abs((ban.since - before).total_seconds()) < 5
        assert (ban.until - ban.since).total_seconds() == pytest.approx(60.5, abs=0.002)

    def test_second_ban_takes_the_place_of_the_first(self, bans: Bans) -> None:
        bans(store.ban(SOURCE, 900, "a", ""))
        bans(store.ban(SOURCE, 60, "b", "shorter"))
        assert bans.known() == {SOURCE: 60}
        assert store.Ban.read(SOURCE, bans.valkey.hash("{bans}:detail")[SOURCE]).reason == "shorter"

    def test_long_reason_is_cut_and_text_that_is_none_is_replaced(self, bans: Bans) -> None:
        bans(store.ban(SOURCE, 60, "a", "x" * 1000 + "\udcff"))
        bans(store.ban(OTHER, 60, "a", "a\udcffb"))
        details = bans.valkey.hash("{bans}:detail")
        assert store.Ban.read(SOURCE, details[SOURCE]).reason == "x" * store.LONGEST_REASON
        assert store.Ban.read(OTHER, details[OTHER]).reason == "a?b"

    def test_ended_bans_are_removed_a_minute_later(self, bans: Bans) -> None:
        bans(store.ban(SOURCE, 60, "a", ""))
        bans.valkey("ZADD", store.KEYS[0], round((bans.valkey.now() - 61) * 1000), SOURCE)
        bans(store.ban(OTHER, 60, "a", ""))
        assert bans.known() == {OTHER: 60}
        assert list(bans.valkey.hash("{bans}:detail")) == [OTHER]

    def test_what_ends_soonest_makes_room_when_there_are_too_many(self, bans: Bans) -> None:
        soon = round((bans.valkey.now() + 10) * 1000)
        for first in range(0, 100_000, 5000):
            pairs = [part for number in range(first, first + 5000) for part in (soon + number, f"x{number}")]
            bans.valkey("ZADD", store.KEYS[0], *pairs)
        bans(store.ban(SOURCE, 900, "a", ""))
        assert bans.valkey("ZCARD", store.KEYS[0]) == 100_000
        assert bans.valkey("ZSCORE", store.KEYS[0], "x0") is None
        assert bans.valkey("ZSCORE", store.KEYS[0], "x1") is not None


class TestUnban:
    def test_workers_hear_of_it(self, bans: Bans) -> None:
        bans(store.ban(SOURCE, 900, "a", ""))
        version = bans.changes().version
        assert bans(store.unban(SOURCE)) == 1
        assert bans.changes(version).seconds == [(SOURCE, 0.0)]
        assert bans.valkey.hash("{bans}:detail") == {}

    def test_there_is_none_when_it_has_ended_or_never_was(self, bans: Bans) -> None:
        assert bans(store.unban(SOURCE)) == 0
        bans(store.ban(SOURCE, 900, "a", ""))
        bans(store.unban(SOURCE))
        assert bans(store.unban(SOURCE)) == 0

    def test_failures_are_forgotten(self, bans: Bans) -> None:
        assert bans.fail() == bans.fail() == 0
        bans(store.unban(SOURCE))
        assert bans.fail() == 0


class TestFailed:
    def test_last_of_so_many_failures_bans(self, bans: Bans) -> None:
        assert [bans.fail() for _ in range(3)] == [0, 0, 900_000]
        assert bans.known() == {SOURCE: 900}

    def test_first_failure_bans_when_one_is_enough(self, bans: Bans) -> None:
        assert bans.fail(failures=1) == 900_000

    def test_failures_before_the_window_do_not_count(self, bans: Bans) -> None:
        bans.fail_earlier(60.5)
        bans.fail_earlier(5)
        assert bans.fail() == 0
        assert bans.fail() == 900_000

    def test_failures_of_others_do_not_count(self, bans: Bans) -> None:
        assert [bans.fail(address) for address in (SOURCE, OTHER, SOURCE, OTHER)] == [0] * 4

    def test_failures_begin_anew_after_a_ban(self, bans: Bans) -> None:
        for _ in range(3):
            bans.fail()
        bans(store.unban(SOURCE))
        assert bans.fail() == bans.fail() == 0

    def test_longer_ban_of_an_operator_stays(self, bans: Bans) -> None:
        bans(store.ban(SOURCE, 86_400, "operator", ""))
        assert bans.fail(failures=1) > 86_000_000
        assert bans.known() == {SOURCE: 86_400}

    def test_counters_vanish_by_themselves(self, bans: Bans) -> None:
        bans.fail()
        assert 0 < bans.valkey("PTTL", f"{{bans}}:failed:{SOURCE}") <= 60_000


class TestChanges:
    def test_there_are_none_when_nobody_was_ever_banned(self, bans: Bans) -> None:
        assert bans.changes() == store.Changes(0, False, [])

    def test_only_what_is_later_than_the_version_is_told(self, bans: Bans) -> None:
        bans(store.ban(SOURCE, 900, "a", ""))
        version = bans.changes().version
        assert bans.changes(version) == store.Changes(version, False, [])
        bans(store.ban(OTHER, 900, "a", ""))
        assert [address for address, _ in bans.changes(version).seconds] == [OTHER]

    def test_pages_together_hold_everything_once(self, bans: Bans) -> None:
        wanted = [f"198.51.100.{number}" for number in range(10)]
        for address in wanted:
            bans(store.ban(address, 900, "a", ""))
        found, version, is_more = list[str](), 0, True
        while is_more:
            page = bans.changes(version, 3)
            assert page.version > version
            found += [address for address, _ in page.seconds]
            version, is_more = page.version, page.is_more
        assert found == wanted
        assert version == bans.changes().version

    def test_version_is_later_than_any_before_when_the_store_lost_its_data(self, bans: Bans) -> None:
        bans(store.ban(SOURCE, 900, "a", ""))
        version = bans.changes().version
        bans.valkey("FLUSHALL")
        bans(store.ban(OTHER, 900, "a", ""))
        assert bans.changes().version > version


def test_scripts_run_on_a_cluster() -> None:
    with cluster_of_one() as url, store_at(url) as valkey:
        bans = Bans(valkey)
        bans(store.ban(OTHER, 900, "a", ""))
        assert [bans.fail() for _ in range(3)] == [0, 0, 900_000]
        assert bans.known() == {OTHER: 900, SOURCE: 900}
        assert bans(store.unban(SOURCE)) == 1
        assert bans.known() == {OTHER: 900, SOURCE: 0}
