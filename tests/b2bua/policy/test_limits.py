"""Levels and chains: the keys and limits that the live store is asked with."""

from b2bua.policy.limits import NO_LIMIT, Chain, Level


class TestLevel:
    def test_level_has_no_limit_when_none_is_set(self) -> None:
        level = Level("a:1", "a:7", "account CUST0007", None, None)
        assert (level.max_sessions, level.cps) == (NO_LIMIT, NO_LIMIT)

    def test_level_allows_none_when_its_limit_is_zero(self) -> None:
        level = Level("a:1", "a:7", "account CUST0007", 0, 0)
        assert (level.max_sessions, level.cps) == (0, 0)

    def test_keys_of_one_tag_lie_on_one_node_of_a_cluster(self) -> None:
        level = Level("a:1", "a:7", "account CUST0007", 5, 6)
        assert (level.sessions_key, level.cps_key) == ("sessions:{a:1}:a:7", "cps:{a:1}:a:7")


class TestChain:
    def test_keys_and_limits_come_level_by_level(self) -> None:
        chain = Chain([Level("a:1", "ip:7", "device ip:7", 1, None), Level("a:1", "a:1", "account CUST0001", None, 3)])
        assert chain.keys == ("sessions:{a:1}:ip:7", "cps:{a:1}:ip:7", "sessions:{a:1}:a:1", "cps:{a:1}:a:1")
        assert chain.limits == ("1", "-1", "-1", "3")
        assert chain.sessions_keys == ("sessions:{a:1}:ip:7", "sessions:{a:1}:a:1")

    def test_chain_knows_whether_any_level_counts_calls_per_second(self) -> None:
        free, limited = Level("a:1", "ip:7", "", 1, None), Level("a:1", "a:1", "", None, 0)
        assert [Chain(levels).has_cps for levels in ([], [free], [free, limited])] == [False, False, True]
