"""Devices made of rows are those that the tables of all devices hold."""

from dataclasses import fields

import pytest

from b2bua.policy.accounts import Account, Device
from b2bua.policy.lazy_devices import LazyDeviceTable, LazyUserTable
from b2bua.policy.packed_devices import DeviceRow, OverlaidDevices
from tests.support.policy import make_account

IP = DeviceRow("ip", 7, 1, "inactive", 3, 4, "", "", "", "192.0.2.0/24", "44", 5080, "tcp", is_trusted=True)
USER = DeviceRow("user", 9, 1, "active", None, None, "alice", "a" * 32, "100", "203.0.113.0/24")


@pytest.fixture
def rows() -> OverlaidDevices:
    return OverlaidDevices().based(1, None, [], [IP, USER])


@pytest.fixture
def accounts() -> dict[int, Account]:
    reseller, account = make_account(10), make_account(1, 10)
    reseller.link(())
    account.link((reseller,))
    return {1: account, 10: reseller}


def values(device: Device | None) -> dict[str, object]:
    """All that a device has, its limits as what they are of."""
    assert device is not None
    found = {field.name: getattr(device, field.name) for field in fields(device)}
    return {**found, "limits": [(level.name, level.max_sessions, level.cps) for level in device.limits.levels]}


def test_ip_device_has_all_of_its_row(rows: OverlaidDevices, accounts: dict[int, Account]) -> None:
    table = LazyDeviceTable(rows, accounts)
    device = table.find("192.0.2.7", "4420")
    expected = Device("ip", 7, accounts[1], "inactive", 3, 4, "44", network="192.0.2.0/24", port=5080, transport="tcp")
    expected.is_trusted = True
    expected.limits = accounts[1].chain_with("ip:7", "device ip:7", 3, 4)
    assert device is table.get(7)
    assert values(device) == values(expected)
    assert (table.find("192.0.2.7", "33"), table.find("192.0.3.7", "44"), table.get(9)) == (None, None, None)
    assert (table.has("192.0.2.7"), table.has("192.0.3.7")) == (True, False)


def test_user_is_found_by_name_id_and_extension(rows: OverlaidDevices, accounts: dict[int, Account]) -> None:
    table = LazyUserTable(rows, accounts)
    user = table.get("alice")
    expected = Device("user", 9, accounts[1], "active", None, None, "", "alice", "a" * 32, "203.0.113.0/24", "100")
    expected.limits = accounts[1].chain_with("user:9", "device user:9", None, None)
    assert user is table.get_by_id(9) is table.by_extension(1, "100")
    assert values(user) == values(expected)
    assert (table.get("bob"), table.get_by_id(7), table.by_extension(10, "100")) == (None, None, None)


def test_only_some_devices_are_kept(accounts: dict[int, Account]) -> None:
    users = [USER._replace(id=n, username=f"u{n}", extension="") for n in range(5000)]
    rows = OverlaidDevices().based(1, None, [], users)
    table = LazyUserTable(rows, accounts)
    for number in range(5000):
        assert table.get(f"u{number}") is not None
    assert len(table._maker._made) <= 4096
