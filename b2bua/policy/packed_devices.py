"""IP devices and SIP users in a file that every worker maps, and what was changed since it was written.

A device is found by any of its names: its id, its network, its user name, its extension within the account. A name is
looked for by a hash of 64 bits, in order, of which each has the place of its row; the row itself says whether it is
the one. A row becomes an object when it is looked for.
"""

from array import array
from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator
from functools import lru_cache
from hashlib import blake2b
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Final, NamedTuple

import orjson

from b2bua.policy.media_wishes import AS_OFFERED
from rating.packed_file import Head, PackedFile, write_packed

TABLE: Final = "device"

IP_COLUMNS: Final = (
    "id, account_id, status, max_sessions, cps, address, dial_prefix, port, transport, is_trusted, srtp, dtmf"
)
"""Columns of the table `ip_device` as `DeviceRow.of_ip` takes them."""

USER_COLUMNS: Final = "id, account_id, status, max_sessions, cps, address, username, ha1_md5, extension, srtp, dtmf"
"""Columns of the table `sip_user` as `DeviceRow.of_user` takes them."""

DeviceKey = tuple[str, int]
"""`ip` or `user`, and the id."""

_ADDRESSES: Final = 4096
"""Source addresses whose devices are remembered."""


class DeviceRow(NamedTuple):
    """An IP device or a SIP user as the database has it."""

    kind: str
    """`ip` or `user`."""
    id: int
    account_id: int
    status: str
    max_sessions: int | None
    cps: int | None
    username: str = ""
    ha1_md5: str = ""
    extension: str = ""
    network: str = ""
    """CIDR that calls come from; of a user empty for any."""
    dial_prefix: str = ""
    """Digits, without the percent sign and the plus."""
    port: int = 5060
    transport: str = "udp"
    is_trusted: bool = False
    srtp: str = AS_OFFERED.srtp
    dtmf: str = AS_OFFERED.dtmf

    @classmethod
    def of_ip(cls, row: Iterable[object]) -> "DeviceRow":
        """The device of a row with IP_COLUMNS."""
        number, account, status, sessions, cps, address, prefix, *rest = row
        digits = str(prefix).rstrip("%").removeprefix("+")
        values = (number, account, status, sessions, cps, "", "", "", str(address), digits, *rest)
        return cls("ip", *values)  # type: ignore[arg-type]

    @classmethod
    def of_user(cls, row: Iterable[object]) -> "DeviceRow":
        """The user of a row with USER_COLUMNS."""
        number, account, status, sessions, cps, address, username, ha1, extension, srtp, dtmf = row
        network = str(address) if address is not None else ""
        values = (number, account, status, sessions, cps, username, ha1, extension, network)
        return cls("user", *values, srtp=srtp, dtmf=dtmf)  # type: ignore[arg-type]

    @property
    def key(self) -> DeviceKey:
        """Its kind and id."""
        return self.kind, self.id

    @property
    def mask(self) -> tuple[int, int]:
        """Version and length of the mask of its network."""
        network = ip_network(self.network)
        return network.version, network.prefixlen

    def names(self) -> Iterator[str]:
        """All that it is found by."""
        yield f"{self.kind} {self.id}"
        if self.kind == "ip":
            network = ip_network(self.network)
            yield _network_name(network.version, network.prefixlen, int(network.network_address))
            return
        yield f"name {self.username}"
        if self.extension:
            yield f"extension {self.account_id} {self.extension}"


_DEFAULTS: Final = tuple(DeviceRow._field_defaults.get(name, ...) for name in DeviceRow._fields)
"""What is left out at the end of a row in a file."""


def _network_name(version: int, mask: int, address: int) -> str:
    return f"network {version} {mask} {address:x}"


def _hash(name: str) -> int:
    return int.from_bytes(blake2b(name.encode(errors="surrogatepass"), digest_size=8).digest())


@lru_cache(maxsize=_ADDRESSES)
def _parse_address(address: str) -> tuple[int, int]:
    """Version and number of an address; (0, 0) for what is none. An IPv4-mapped address counts as IPv4."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return 0, 0
    if parsed.version == 6 and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return parsed.version, int(parsed)


# Writing


class DevicePacker:
    """Takes devices one by one and writes the file."""

    def __init__(self) -> None:
        self._rows = bytearray()
        self._ends = array("Q")
        self._hashes: list[tuple[int, int]] = []
        self._masks: set[tuple[int, int]] = set()

    @property
    def rows(self) -> int:
        """Devices so far."""
        return len(self._ends)

    def add(self, row: DeviceRow) -> None:
        """Take in a device."""
        self._hashes += [(_hash(name), len(self._ends)) for name in row.names()]
        if row.kind == "ip":
            self._masks.add(row.mask)
        values = list(row)
        while values[-1] == _DEFAULTS[len(values) - 1]:
            values.pop()
        self._rows += orjson.dumps(values)
        self._ends.append(len(self._rows))

    def save(self, path: Path, revision: int) -> None:
        """Write the file."""
        self._hashes.sort()
        sections: dict[str, bytes | bytearray | array[int]] = {
            "rows": self._rows,
            "ends": self._ends,
            "hashes": array("Q", [each for each, _ in self._hashes]),
            "places": array("Q", [place for _, place in self._hashes]),
            "masks": orjson.dumps(sorted(self._masks)),
        }
        write_packed(path, Head(TABLE, 0, revision, self.rows), sections)


def write_devices(path: Path, revision: int, rows: Iterable[DeviceRow]) -> None:
    """Write the file of all devices."""
    packer = DevicePacker()
    for row in rows:
        packer.add(row)
    packer.save(path, revision)


# Reading


class PackedDevices:
    """All devices, out of a file.

    Args:
        path: The file.

    Raises:
        InvalidPackedFile: it is no good.
        OSError: it cannot be read.
    """

    __slots__ = ("_ends", "_hashes", "_places", "_rows", "head", "masks")

    def __init__(self, path: Path) -> None:
        file = PackedFile(path, TABLE)
        self.head = file.head
        self._rows = file.section("rows")
        self._ends = file.section("ends")
        self._hashes = file.section("hashes")
        self._places = file.section("places")
        self.masks: list[tuple[int, int]] = [(version, mask) for version, mask in orjson.loads(file.section("masks"))]

    def named(self, name: str) -> list[DeviceRow]:
        """The devices of a name."""
        wanted = _hash(name)
        index = bisect_left(self._hashes, wanted)
        found = []
        while index < len(self._hashes) and self._hashes[index] == wanted:
            row = self._row(self._places[index])
            if name in row.names():
                found.append(row)
            index += 1
        return found

    def _row(self, place: int) -> DeviceRow:
        return DeviceRow(*orjson.loads(self._rows[self._ends[place - 1] if place else 0 : self._ends[place]]))


class OverlaidDevices:
    """Devices out of a file, with what was changed since; or without a file, all of them. They are never changed.

    Args:
        revision: Of the configuration that the devices are of; 0: they were not read yet.
        base: The file; None: all devices are in memory.
    """

    __slots__ = ("_by_address", "_by_key", "_hidden", "_masks", "_named", "base", "revision")

    def __init__(self, revision: int = 0, base: PackedDevices | None = None) -> None:
        self.revision = revision
        self.base = base
        self._by_key: dict[DeviceKey, DeviceRow] = {}
        self._named: dict[str, list[DeviceRow]] = {}
        self._hidden: set[DeviceKey] = set()
        self._masks: dict[int, list[int]] = {4: [], 6: []}
        self._by_address: dict[str, tuple[DeviceRow, ...]] = {}
        for version, mask in base.masks if base is not None else ():
            self._add_mask(version, mask)

    @property
    def changes(self) -> int:
        """Devices that are in memory or hidden."""
        return max(len(self._by_key), len(self._hidden))

    def based(
        self, revision: int, base: PackedDevices | None, changed: Collection[DeviceKey], rows: Iterable[DeviceRow]
    ) -> "OverlaidDevices":
        """The devices over another file.

        Args:
            revision: The newest that `changed` knows of.
            base: The file; None when `rows` are all there are.
            changed: What was changed, added or removed since the file was written.
            rows: What there is of that.
        """
        devices = OverlaidDevices(revision, base)
        devices._change(changed, rows)
        return devices

    def changed(self, revision: int, changed: Collection[DeviceKey], rows: Iterable[DeviceRow]) -> "OverlaidDevices":
        """The devices with more changes; see `based`."""
        devices = OverlaidDevices(revision, self.base)
        devices._by_key, devices._named = self._by_key.copy(), self._named.copy()
        devices._hidden = self._hidden.copy()
        devices._masks = {version: masks.copy() for version, masks in self._masks.items()}
        devices._change(changed, rows)
        return devices

    def _change(self, changed: Collection[DeviceKey], rows: Iterable[DeviceRow]) -> None:
        # Lists of rows are shared with the devices before, so they are replaced and never changed.
        for key in changed:
            old = self._by_key.pop(key, None)
            if old is not None:
                self._drop(old)
        if self.base is not None:
            self._hidden.update(changed)
        for row in rows:
            self._by_key[row.key] = row
            for name in row.names():
                self._named[name] = [*self._named.get(name, ()), row]
            if row.kind == "ip":
                self._add_mask(*row.mask)

    def _drop(self, old: DeviceRow) -> None:
        for name in old.names():
            rest = [row for row in self._named[name] if row.key != old.key]
            if rest:
                self._named[name] = rest
            else:
                del self._named[name]

    def _add_mask(self, version: int, mask: int) -> None:
        masks = self._masks[version]
        if mask not in masks:
            masks.append(mask)
            masks.sort(reverse=True)

    def _find_named(self, name: str) -> list[DeviceRow]:
        changed = self._named.get(name, [])
        if self.base is None:
            return changed
        return [row for row in self.base.named(name) if row.key not in self._hidden] + changed

    def _first_named(self, name: str) -> DeviceRow | None:
        found = self._find_named(name)
        return found[0] if found else None

    def get(self, kind: str, device_id: int) -> DeviceRow | None:
        """The IP device (`ip`) or SIP user (`user`) of an id, or None."""
        return self._first_named(f"{kind} {device_id}")

    def get_user(self, username: str) -> DeviceRow | None:
        """The SIP user of a name, or None."""
        return self._first_named(f"name {username}")

    def by_extension(self, account_id: int, extension: str) -> DeviceRow | None:
        """The SIP user that a number is the extension of, within an account, or None."""
        return self._first_named(f"extension {account_id} {extension}") if extension else None

    def at(self, address: str) -> tuple[DeviceRow, ...]:
        """The IP devices of a source address: the longest mask first, then the longest dial prefix."""
        found = self._by_address.get(address)
        if found is None:
            if len(self._by_address) >= _ADDRESSES:
                self._by_address = {}
            found = self._by_address[address] = tuple(self._look_up(address))
        return found

    def _look_up(self, address: str) -> Iterator[DeviceRow]:
        version, number = _parse_address(address)
        width = 32 if version == 4 else 128
        for mask in self._masks.get(version, ()):
            shift = width - mask
            rows = self._find_named(_network_name(version, mask, number >> shift << shift))
            yield from sorted(rows, key=lambda row: (-len(row.dial_prefix), row.id))

    def find(self, address: str, number: str) -> DeviceRow | None:
        """The IP device of a source address and a dialled number, or None."""
        for row in self.at(address):
            if number.startswith(row.dial_prefix):
                return row
        return None
