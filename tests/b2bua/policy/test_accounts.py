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
