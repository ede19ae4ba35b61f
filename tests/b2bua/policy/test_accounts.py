"""Accounts and devices as values."""

import pytest

from tests.support.policy import make_account, make_device


class TestDevice:
    @pytest.mark.parametrize(("kind", "key"), [("ip", "ip:7"), ("user", "user:7")])
    def test_device_has_the_key_that_records_name_it_by(self, kind: str, key: str) -> None:
        assert make_device(7, make_account(1), kind).key == key

    def test_devices_do_not_share_their_limits(self) -> None:
        one, other = (make_device(number, make_account(1)) for number in (1, 2))
        assert one.limits is not other.limits
        assert one.limits.levels == []


class TestAccount:
    @pytest.mark.parametrize(("account_id", "title"), [(7, "account CUST0007"), (12, "reseller RESE0012")])
    def test_account_is_named_by_kind_and_code(self, account_id: int, title: str) -> None:
        assert make_account(account_id).title == title

    def test_account_is_its_own_chain_when_nobody_is_above(self) -> None:
        account = make_account(1, max_sessions=3, cps=4)
        account.link(())
        assert account.chain == (account,)
        assert [(level.name, level.max_sessions, level.cps) for level in account.limits.levels] == [
            ("account CUST0001", 3, 4)
        ]

    def test_chain_with_one_thing_more_has_the_accounts_keys_and_funds(self) -> None:
        account, above = make_account(1, 10), make_account(10)
        account.link((above,))
        chain = account.chain_with("ip:7", "device ip:7", 1, None)
        assert chain.sessions_keys == ("sessions:{a:10}:ip:7", "sessions:{a:10}:a:1", "sessions:{a:10}:a:10")
        assert chain.funds_keys == account.limits.funds_keys
        assert len(chain.funds_keys) == 2

    def test_new_account_may_call_every_number_and_has_no_route(self) -> None:
        account = make_account(1)
        assert account.rules.destination.translate("44").code == account.rules.source.translate("x").code == ""
        assert account.patterns.find("44") is None
        assert account.codecs.is_open
