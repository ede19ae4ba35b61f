"""DIDs as values."""

from tests.support.policy import World, make_did


class TestDID:
    def test_did_is_named_by_its_number(self) -> None:
        assert make_did("493012340000", None).title == "did 493012340000"

    def test_call_to_a_did_takes_a_channel_and_sessions_of_every_account(self) -> None:
        world = World()
        world.link()
        did = make_did("493012340012", world.account, channels=2)
        assert [(level.name, level.max_sessions, level.cps) for level in did.limits.levels] == [
            ("did 493012340012", 2, -1),
            ("account CUST0001", -1, -1),
            ("reseller RESE0010", -1, -1),
        ]
        assert did.limits.sessions_keys == ("sessions:{a:10}:d:12", "sessions:{a:10}:a:1", "sessions:{a:10}:a:10")
        assert did.limits.funds_keys == world.account.limits.funds_keys
