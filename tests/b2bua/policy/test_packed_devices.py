"""Devices in a file are found as those in memory are."""

from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from b2bua.policy.packed_devices import DeviceKey, DeviceRow, OverlaidDevices, PackedDevices, write_devices
from rating.errors import InvalidPackedFile
from rating.packed import RateRow, write_ratecard


def ip(device_id: int, network: str, dial_prefix: str = "", **changed: object) -> DeviceRow:
    values: dict[str, object] = {"network": network, "dial_prefix": dial_prefix, **changed}
    return DeviceRow("ip", device_id, 1, "active", None, None, **values)  # type: ignore[arg-type]


def user(user_id: int, username: str, account_id: int = 1, extension: str = "", network: str = "") -> DeviceRow:
    return DeviceRow("user", user_id, account_id, "active", 5, 6, username, "a" * 32, extension, network)


def overlaid(path: Path, *rows: DeviceRow) -> OverlaidDevices:
    """Devices out of a file alone."""
    write_devices(path, 5, rows)
    return OverlaidDevices(5, PackedDevices(path))


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("packed") / "device.pack"


def found(devices: OverlaidDevices, address: str, number: str = "44") -> int:
    row = devices.find(address, number)
    return row.id if row is not None else 0


class TestAddress:
    """docs/behaviour.md §1.4: the longest mask, then the longest dial prefix."""

    @pytest.mark.parametrize(
        ("address", "number", "device_id"),
        [
            ("192.0.2.7", "33", 3),
            ("192.0.2.7", "4420", 5),
            ("192.0.2.7", "442", 4),
            ("192.0.2.8", "4420", 2),
            ("192.0.3.1", "44", 1),
            ("198.51.100.1", "44", 1),
            ("198.51.100.1", "49", 6),
            ("::ffff:192.0.2.7", "33", 3),
            ("2001:db8::1", "44", 8),
            ("2001:db8:1::1", "44", 7),
            ("2001:db9::1", "44", 0),
            ("example.com", "44", 0),
            ("", "44", 0),
        ],
    )
    def test_device_is_that_of_the_longest_mask_then_the_longest_prefix(
        self, path: Path, address: str, number: str, device_id: int
    ) -> None:
        devices = overlaid(
            path,
            ip(1, "0.0.0.0/0", "44"),
            ip(6, "0.0.0.0/0"),
            ip(2, "192.0.2.0/24"),
            ip(3, "192.0.2.7/32"),
            ip(4, "192.0.2.7/32", "44"),
            ip(5, "192.0.2.7/32", "4420"),
            ip(7, "2001:db8::/32"),
            ip(8, "2001:db8::/48"),
        )
        assert found(devices, address, number) == device_id

    def test_shorter_mask_counts_when_no_prefix_of_the_longer_fits(self, path: Path) -> None:
        devices = overlaid(path, ip(1, "192.0.2.0/24"), ip(2, "192.0.2.7/32", "44"))
        assert found(devices, "192.0.2.7", "33") == 1

    def test_all_devices_of_an_address_are_told_whatever_is_dialled(self, path: Path) -> None:
        devices = overlaid(path, ip(1, "192.0.2.0/24"), ip(2, "192.0.2.7/32", "44"))
        assert [row.id for row in devices.at("192.0.2.7")] == [2, 1]
        assert devices.at("203.0.113.1") == ()

    def test_most_addresses_are_forgotten_when_they_are_many(self, path: Path) -> None:
        devices = overlaid(path, ip(1, "10.0.0.0/8"))
        for number in range(10_000):
            assert found(devices, str(ip_address("10.0.0.0") + number)) == 1
        assert len(devices._by_address) <= 4096


class TestNames:
    """A device is found by its id, its user name, and its extension within the account."""

    def test_row_is_what_was_written(self, path: Path) -> None:
        rows = [
            DeviceRow("ip", 7, 2, "inactive", 0, 9, "", "", "", "2001:db8::/32", "*#44", 5080, "tcp", is_trusted=True),
            DeviceRow("user", 7, 3, "active", None, None, "Alice.B-_1", "f" * 32, "100", "192.0.2.0/24"),
            user(8, "bob"),
        ]
        devices = overlaid(path, *rows)
        assert [devices.get(row.kind, row.id) for row in rows] == rows
        assert (devices.get("ip", 8), devices.get("user", 9)) == (None, None)

    def test_user_is_found_by_the_exact_name_only(self, path: Path) -> None:
        devices = overlaid(path, user(1, "alice"), user(2, "Alice"))
        alice = devices.get_user("alice")
        assert alice is not None
        assert alice.id == 1
        assert (devices.get_user("alic"), devices.get_user(""), devices.get_user("\udcff")) == (None, None, None)

    def test_extension_is_one_of_its_account(self, path: Path) -> None:
        devices = overlaid(path, user(1, "a", 1, "100"), user(2, "b", 2, "100"), user(3, "c", 1))
        for account, wanted in ((1, "a"), (2, "b")):
            row = devices.by_extension(account, "100")
            assert row is not None
            assert row.username == wanted
        assert (devices.by_extension(3, "100"), devices.by_extension(1, "")) == (None, None)

    def test_rows_of_the_database_are_read_as_they_are(self) -> None:
        row = (7, 2, "active", 3, None, ip_network("192.0.2.0/24"), "+44%", 5070, "tcp", True, "required", "info")
        device = DeviceRow.of_ip(row)
        assert device == ip(7, "192.0.2.0/24", "44", port=5070, transport="tcp", is_trusted=True)._replace(
            account_id=2, max_sessions=3, srtp="required", dtmf="info"
        )
        assert DeviceRow.of_user((8, 1, "active", 5, 6, None, "bob", "a" * 32, "", "offered", "passed")) == user(
            8, "bob"
        )

    def test_file_of_another_table_is_refused(self, path: Path) -> None:
        write_ratecard(path, 1, 1, [RateRow(1, "44", "1")])
        with pytest.raises(InvalidPackedFile, match="not of device"):
            PackedDevices(path)


class Oracle:
    """Devices one after the other."""

    def __init__(self, rows: dict[DeviceKey, DeviceRow]) -> None:
        self.rows = list(rows.values())

    def find(self, address: str, number: str) -> DeviceRow | None:
        source = ip_address(address)
        networks: dict[int, IPv4Network | IPv6Network] = {}
        for row in self.rows:
            if row.kind == "ip" and source in (network := ip_network(row.network)):
                networks[row.id] = network
        fitting = [row for row in self.rows if row.kind == "ip" and row.id in networks]
        fitting = [row for row in fitting if number.startswith(row.dial_prefix)]
        return min(fitting, key=lambda row: (-networks[row.id].prefixlen, -len(row.dial_prefix), row.id), default=None)

    def named(self, username: str) -> DeviceRow | None:
        return next((row for row in self.rows if row.kind == "user" and row.username == username), None)

    def by_extension(self, account_id: int, extension: str) -> DeviceRow | None:
        return next(
            (
                row
                for row in self.rows
                if row.kind == "user" and (row.account_id, row.extension) == (account_id, extension)
            ),
            None,
        )


ADDRESSES = ["10.0.0.0", "10.0.0.1", "10.0.1.1", "10.1.0.0", "2001:db8::", "2001:db8::1", "2001:db8:1::"]
NETWORKS = st.tuples(st.sampled_from(ADDRESSES), st.integers(0, 128)).map(
    lambda pair: str(ip_network((pair[0], min(pair[1], ip_address(pair[0]).max_prefixlen)), strict=False))
)
DEVICES = st.one_of(
    st.builds(lambda network, prefix: ip(0, network, prefix), NETWORKS, st.text("4*", max_size=3)),
    st.builds(
        lambda name, account, extension: user(0, name, account, extension),
        st.sampled_from("abcdef"),
        st.integers(1, 2),
        st.sampled_from(["", "1", "2"]),
    ),
)
Step = tuple[str, int, DeviceRow]
BATCHES = st.lists(
    st.lists(st.tuples(st.sampled_from(["remove", "change", "add"]), st.integers(0, 30), DEVICES), max_size=6),
    max_size=5,
)


def is_free(rows: dict[DeviceKey, DeviceRow], row: DeviceRow) -> bool:
    """Whether the database would take a row beside the others."""
    taken = {name for key, each in rows.items() if key != row.key for name in each.names() if row.kind != "ip"}
    prefixes = {(each.network, each.dial_prefix) for key, each in rows.items() if key != row.key}
    return taken.isdisjoint(row.names()) and (row.kind != "ip" or (row.network, row.dial_prefix) not in prefixes)


def change(rows: dict[DeviceKey, DeviceRow], steps: list[Step], ids: "count[int]") -> set[DeviceKey]:
    """Change rows as statements would, and return which were."""
    changed: set[DeviceKey] = set()
    for what, which, row in steps:
        if what == "add":
            made = row._replace(id=next(ids))
        elif rows:
            old = rows[sorted(rows)[which % len(rows)]]
            if what == "remove":
                del rows[old.key]
                changed.add(old.key)
                continue
            made = row._replace(kind=old.kind, id=old.id) if row.kind == old.kind else old._replace(status="inactive")
        else:
            continue
        if is_free(rows, made):
            rows[made.key] = made
            changed.add(made.key)
    return changed


def assert_same(devices: OverlaidDevices, rows: dict[DeviceKey, DeviceRow]) -> None:
    """All are found as one after the other."""
    oracle = Oracle(rows)
    for address in [*ADDRESSES, "192.0.2.1"]:
        for number in ("44*", "4", "*4", ""):
            assert devices.find(address, number) == oracle.find(address, number), (address, number)
    for name in "abcdefg":
        assert devices.get_user(name) == oracle.named(name)
    for account in (1, 2):
        for extension in ("1", "2"):
            assert devices.by_extension(account, extension) == oracle.by_extension(account, extension)
    for kind in ("ip", "user"):
        for device_id in range(1, 60):
            assert devices.get(kind, device_id) == rows.get((kind, device_id))


class TestOverlay:
    """A file and what was changed since are as one."""

    @settings(deadline=None, max_examples=60)
    @given(BATCHES, BATCHES, BATCHES, st.booleans())
    def test_devices_are_found_as_one_after_the_other(
        self,
        path: Path,
        first: list[list[Step]],
        missed: list[list[Step]],
        seen: list[list[Step]],
        has_file: bool,
    ) -> None:
        rows: dict[DeviceKey, DeviceRow] = {}
        ids = count(1)
        for steps in first:
            change(rows, steps, ids)
        base = None
        if has_file:
            write_devices(path, 5, rows.values())
            base = PackedDevices(path)
        changed = {each for steps in missed for each in change(rows, steps, ids)} if has_file else set(rows)
        devices = OverlaidDevices().based(5, base, changed, [rows[each] for each in changed if each in rows])
        assert_same(devices, rows)
        for steps in seen:
            before, devices_before = dict(rows), devices
            changed = change(rows, steps, ids)
            devices = devices.changed(6, changed, [rows[each] for each in changed if each in rows])
            assert_same(devices, rows)
            assert_same(devices_before, before)
        write_devices(path, 6, rows.values())
        devices = devices.based(7, PackedDevices(path), [], [])
        assert_same(devices, rows)
        assert (devices.revision, devices.changes) == (7, 0)
