"""The ban list in memory."""

from hypothesis import example, given
from hypothesis import strategies as st

from b2bua.ban.bans import BanList


class TestIsBanned:
    def test_address_is_banned_until_its_time(self) -> None:
        bans = BanList()
        bans.add("203.0.113.9", 100.0)
        assert bans.is_banned("203.0.113.9", 99.9)
        assert not bans.is_banned("203.0.113.9", 100.0)

    def test_other_addresses_are_not(self) -> None:
        bans = BanList()
        assert not bans.is_banned("203.0.113.9", 0.0)
        bans.add("203.0.113.9", 100.0)
        assert not bans.is_banned("203.0.113.90", 0.0)
        assert not bans.is_banned("2001:db8::9", 0.0)

    def test_mapped_address_is_the_one_that_is_mapped(self) -> None:
        bans = BanList()
        bans.add("203.0.113.9", 100.0)
        assert bans.is_banned("::ffff:203.0.113.9", 99.0)
        assert not bans.is_banned("::ffff:203.0.113.9", 100.0)
        assert not bans.is_banned("::ffff:203.0.113.10", 99.0)

    def test_later_time_counts_when_an_address_is_banned_again(self) -> None:
        bans = BanList()
        bans.add("2001:db8::9", 100.0)
        bans.add("2001:db8::9", 50.0)
        assert not bans.is_banned("2001:db8::9", 60.0)
        assert len(bans) == 1


class TestLatest:
    def test_bans_that_last_longest_are_told_with_how_many_there_are(self) -> None:
        bans = BanList()
        for number in range(5):
            bans.add(f"203.0.113.{number}", 100.0 + number)
        bans.add("2001:db8::9", 200.0)
        assert bans.latest("", 2) == (6, ["2001:db8::9", "203.0.113.4"])
        assert bans.latest("113.", 2) == (5, ["203.0.113.4", "203.0.113.3"])
        assert bans.latest("198", 2) == (0, [])


class TestRemove:
    def test_address_is_not_banned_any_longer(self) -> None:
        bans = BanList()
        bans.add("203.0.113.9", 100.0)
        assert bans.remove("203.0.113.9")
        assert not bans.remove("203.0.113.9")
        assert not bans.is_banned("203.0.113.9", 0.0)


class TestBound:
    def test_what_ends_soonest_makes_room_when_the_list_is_full(self) -> None:
        bans = BanList(limit=2)
        assert bans.add("203.0.113.1", 300.0) is None
        assert bans.add("203.0.113.2", 100.0) is None
        assert bans.add("203.0.113.3", 200.0) == "203.0.113.2"
        assert bans.add("203.0.113.4", 10.0) == "203.0.113.4"
        assert bans.addresses() == ["203.0.113.1", "203.0.113.3"]

    def test_what_was_prolonged_does_not_make_room(self) -> None:
        bans = BanList(limit=2)
        bans.add("203.0.113.1", 100.0)
        bans.add("203.0.113.2", 200.0)
        bans.add("203.0.113.1", 300.0)
        assert bans.add("203.0.113.3", 400.0) == "203.0.113.2"

    def test_ended_bans_are_forgotten(self) -> None:
        bans = BanList()
        bans.add("203.0.113.1", 100.0)
        bans.add("203.0.113.2", 200.0)
        bans.add("203.0.113.2", 50.0)
        bans.add("203.0.113.3", 50.0)
        bans.add("203.0.113.3", 300.0)
        bans.purge(100.0)
        assert bans.addresses() == ["203.0.113.3"]

    def test_memory_does_not_grow_when_one_address_is_banned_again_and_again(self) -> None:
        bans = BanList()
        for until in range(10_000):
            bans.add("203.0.113.1", float(until))
        assert len(bans._ends) < 100


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 30), st.booleans()), max_size=200))
@example([(number, min(number, 1), False) for number in range(11)])
def test_list_is_a_dictionary_with_a_bound(steps: list[tuple[int, int, bool]]) -> None:
    bans, model = BanList(limit=10), dict[str, float]()
    for number, until, is_removed in steps:
        address = f"203.0.113.{number}"
        if is_removed:
            assert bans.remove(address) == (model.pop(address, None) is not None)
        else:
            model[address] = float(until)
            crowded_out = bans.add(address, float(until))
            assert (crowded_out is not None) == (len(model) > 10)
            if crowded_out is not None:
                soonest = min(model.values())
                assert model.pop(crowded_out) == soonest
        assert set(bans.addresses()) == set(model)
