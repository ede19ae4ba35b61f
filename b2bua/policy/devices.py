"""Which device a call is of: IP devices by longest mask, then dial prefix (docs/behaviour.md §1.4); SIP users."""

from functools import lru_cache
from ipaddress import ip_address, ip_network

from b2bua.policy.accounts import Device


@lru_cache(maxsize=100_000)
def _address_number(address: str) -> tuple[int, int]:
    """IP version and the address as a number; (0, 0) for what is no address. An IPv4-mapped address counts as IPv4."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return 0, 0
    if parsed.version == 6 and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return parsed.version, int(parsed)


def normalise_address(host: str) -> str:
    """An address as sockets show it; what is no address stays as it is."""
    try:
        parsed = ip_address(host.strip("[]"))
    except ValueError:
        return host
    return str(parsed.ipv4_mapped) if parsed.version == 6 and parsed.ipv4_mapped is not None else str(parsed)


def network_contains(network: str, address: str) -> bool:
    """Whether an address lies in a CIDR."""
    version, number = _address_number(address)
    parsed = ip_network(network)
    return (
        parsed.version == version
        and parsed.prefixlen <= parsed.max_prefixlen
        and number & int(parsed.netmask) == int(parsed.network_address)
    )


class DeviceTable:
    """IP devices by network."""

    __slots__ = ("_by_id", "_by_mask", "_masks")

    def __init__(self) -> None:
        self._by_id: dict[int, Device] = {}
        self._by_mask: dict[tuple[int, int, int], list[Device]] = {}
        self._masks: dict[int, list[int]] = {4: [], 6: []}

    def add(self, network: str, device: Device) -> None:
        """Take in a device at a CIDR."""
        self._by_id[device.id] = device
        parsed = ip_network(network)
        key = (parsed.version, parsed.prefixlen, int(parsed.network_address))
        devices = self._by_mask.setdefault(key, [])
        devices.append(device)
        devices.sort(key=lambda each: -len(each.dial_prefix))
        masks = self._masks[parsed.version]
        if parsed.prefixlen not in masks:
            masks.append(parsed.prefixlen)
            masks.sort(reverse=True)

    def find(self, address: str, number: str) -> Device | None:
        """The device of a source address and a dialled number, or None."""
        version, value = _address_number(address)
        width = 32 if version == 4 else 128
        for mask in self._masks.get(version, ()):
            shift = width - mask
            for device in self._by_mask.get((version, mask, value >> shift << shift), ()):
                if number.startswith(device.dial_prefix):
                    return device
        return None

    def get(self, device_id: int) -> Device | None:
        """The device of an id, or None."""
        return self._by_id.get(device_id)

    def has(self, address: str) -> bool:
        """Whether any device may call from an address, whatever it dials."""
        version, value = _address_number(address)
        width = 32 if version == 4 else 128
        return any(
            (version, mask, value >> (width - mask) << (width - mask)) in self._by_mask
            for mask in self._masks.get(version, ())
        )


class UserTable:
    """SIP users by name, by id, and by extension within their account."""

    __slots__ = ("_by_extension", "_by_id", "_by_name")

    def __init__(self) -> None:
        self._by_id: dict[int, Device] = {}
        self._by_name: dict[str, Device] = {}
        self._by_extension: dict[tuple[int, str], Device] = {}

    def add(self, user: Device) -> None:
        """Take in a user."""
        self._by_id[user.id] = self._by_name[user.username] = user
        if user.extension:
            self._by_extension[user.account.id, user.extension] = user

    def get(self, username: str) -> Device | None:
        """The user of a name, or None."""
        return self._by_name.get(username)

    def get_by_id(self, user_id: int) -> Device | None:
        """The user of an id, or None."""
        return self._by_id.get(user_id)

    def by_extension(self, account_id: int, number: str) -> Device | None:
        """The user that a number is the extension of, within an account, or None."""
        return self._by_extension.get((account_id, number))
