"""Which device a source address belongs to."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from b2bua.policy.accounts import Device
from b2bua.policy.devices import DeviceTable, UserTable, network_contains, normalise_address
from tests.support.policy import make_account, make_device

ACCOUNT = make_account(1)


def table_of(*devices: tuple[str, str]) -> DeviceTable:
    """A table of (network, dial prefix); the devices are numbered from 1."""
    table = DeviceTable()
    for number, (network, prefix) in enumerate(devices, 1):
        table.add(network, make_device(number, ACCOUNT, dial_prefix=prefix))
    return table


def found(table: DeviceTable, address: str, number: str = "44") -> int:
    """Number of the device; 0: none."""
    device: Device | None = table.find(address, number)
    return device.id if device is not None else 0


class TestMask:
    """docs/behaviour.md §1.4: longest mask."""

    NETWORKS = (
        ("10.0.0.0/8", ""),
        ("10.1.0.0/16", ""),
        ("10.1.2.3/32", ""),
        ("2001:db8::/32", ""),
        ("2001:db8::1/128", ""),
    )

    @pytest.mark.parametrize(
        ("address", "device"),
        [
            ("10.1.2.3", 3),
            ("10.1.2.4", 2),
            ("10.2.0.0", 1),
            ("10.255.255.255", 1),
            ("11.0.0.0", 0),
            ("9.255.255.255", 0),
            ("2001:db8::1", 5),
            ("2001:DB8:0::0001", 5),
            ("2001:db8::2", 4),
            ("2001:db9::", 0),
            ("::ffff:10.1.2.3", 3),
            ("::ffff:0a01:0204", 2),
            ("::10.1.2.3", 0),
            ("", 0),
            ("localhost", 0),
            ("10.1.2", 0),
        ],
    )
    @pytest.mark.parametrize("turned", [False, True])
    def test_longest_mask_wins_in_whatever_order_devices_were_added(
        self, address: str, device: int, turned: bool
    ) -> None:
        networks = list(enumerate(self.NETWORKS, 1))
        table = DeviceTable()
        for number, (network, _) in networks[::-1] if turned else networks:
            table.add(network, make_device(number, ACCOUNT))
        assert found(table, address) == device

    def test_device_of_everything_is_found_when_no_other_fits(self) -> None:
        table = table_of(("0.0.0.0/0", ""), ("::/0", ""), ("10.0.0.0/8", ""))
        assert [found(table, address) for address in ("1.2.3.4", "::1", "10.0.0.1")] == [1, 2, 3]

    def test_no_device_is_found_when_there_is_none(self) -> None:
        assert found(DeviceTable(), "10.0.0.1") == 0
        assert found(DeviceTable(), "::1") == 0


class TestDialPrefix:
    """Then longest dial prefix."""

    @pytest.mark.parametrize(
        ("number", "device"), [("77123", 3), ("7123", 2), ("123", 1), ("77", 3), ("7", 2), ("", 1)]
    )
    @pytest.mark.parametrize("prefixes", [("", "7", "77"), ("77", "7", ""), ("7", "77", "")])
    def test_longest_dial_prefix_wins_among_devices_of_one_address(
        self, number: str, device: int, prefixes: tuple[str, ...]
    ) -> None:
        table = DeviceTable()
        for prefix in prefixes:
            table.add("10.0.0.1/32", make_device(len(prefix) + 1, ACCOUNT, dial_prefix=prefix))
        assert found(table, "10.0.0.1", number) == device

    def test_longer_mask_wins_when_the_shorter_has_the_longer_dial_prefix(self) -> None:
        table = table_of(("10.0.0.0/8", "77"), ("10.0.0.1/32", "7"))
        assert found(table, "10.0.0.1", "7712") == 2

    def test_shorter_mask_is_used_when_no_dial_prefix_of_the_longer_fits(self) -> None:
        table = table_of(("10.0.0.0/8", ""), ("10.0.0.1/32", "7"))
        assert found(table, "10.0.0.1", "44") == 1

    def test_no_device_is_found_when_no_dial_prefix_fits(self) -> None:
        assert found(table_of(("10.0.0.1/32", "7")), "10.0.0.1", "44") == 0


class TestNetwork:
    @pytest.mark.parametrize(
        ("network", "address", "contains"),
        [
            ("10.0.0.0/8", "10.1.2.3", True),
            ("10.0.0.0/8", "11.0.0.0", False),
            ("10.0.0.1/32", "10.0.0.1", True),
            ("10.0.0.1/32", "10.0.0.2", False),
            ("0.0.0.0/0", "1.2.3.4", True),
            ("0.0.0.0/0", "::1", False),
            ("::/0", "1.2.3.4", False),
            ("10.0.0.0/8", "::ffff:10.1.2.3", True),
            ("2001:db8::/32", "2001:db8:1::", True),
            ("2001:db8::/32", "2001:db9::", False),
            ("0.0.0.0/0", "nonsense", False),
        ],
    )
    def test_network_contains_its_addresses_only(self, network: str, address: str, contains: bool) -> None:
        assert network_contains(network, address) is contains

    @given(
        st.one_of(
            st.tuples(st.ip_addresses(v=4), st.integers(0, 32), st.ip_addresses(v=4)),
            st.tuples(st.ip_addresses(v=6), st.integers(0, 128), st.ip_addresses(v=6)),
        )
    )
    def test_table_and_network_agree_with_the_standard_library(
        self, case: tuple[IPv4Address | IPv6Address, int, IPv4Address | IPv6Address]
    ) -> None:
        base, mask, address = case
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            return
        network = ip_network((base, mask), strict=False)
        expected = ip_address(str(address)) in network
        assert network_contains(str(network), str(address)) is expected
        assert bool(found(table_of((str(network), "")), str(address))) is expected
        assert found(table_of((str(network), "")), str(base)) == (
            0 if isinstance(base, IPv6Address) and base.ipv4_mapped is not None else 1
        )


class TestAddress:
    @pytest.mark.parametrize(
        ("host", "address"),
        [
            ("192.0.2.1", "192.0.2.1"),
            ("2001:DB8:0::0001", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("gw.example.com", "gw.example.com"),
            ("", ""),
        ],
    )
    def test_address_is_written_as_sockets_show_it(self, host: str, address: str) -> None:
        assert normalise_address(host) == address


class TestLookUp:
    def test_device_is_found_by_its_id(self) -> None:
        table = table_of(("10.0.0.1/32", ""), ("10.0.0.1/32", "7"))
        device = table.get(2)
        assert device is not None
        assert (device.id, device.dial_prefix) == (2, "7")
        assert table.get(3) is None

    @pytest.mark.parametrize(
        ("address", "has"),
        [
            ("10.1.2.3", True),
            ("::ffff:10.1.2.3", True),
            ("11.0.0.1", False),
            ("2001:db8::9", True),
            ("2001:db9::9", False),
            ("nonsense", False),
        ],
    )
    def test_address_is_known_whatever_is_dialled_from_it(self, address: str, has: bool) -> None:
        assert table_of(("10.0.0.0/8", "7"), ("2001:db8::/32", "8")).has(address) is has


class TestUsers:
    @pytest.fixture
    def users(self) -> UserTable:
        """Two accounts that both have the extension 101, and a user that has none."""
        users = UserTable()
        for number, account_id, name, extension in ((1, 1, "bob", "101"), (2, 2, "eve", "101"), (3, 1, "ann", "")):
            users.add(make_device(number, make_account(account_id), "user", username=name, extension=extension))
        return users

    def test_user_is_found_by_name_id_and_extension(self, users: UserTable) -> None:
        bob = users.get("bob")
        assert bob is not None
        assert bob is users.get_by_id(1) is users.by_extension(1, "101")
        assert users.by_extension(2, "101") is users.get("eve")

    def test_no_user_is_found_where_there_is_none(self, users: UserTable) -> None:
        assert (users.get("Bob"), users.get_by_id(9), users.by_extension(3, "101")) == (None, None, None)
        assert users.by_extension(1, "") is None
