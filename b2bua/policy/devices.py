"""Which IP device a source address belongs to: longest mask, then longest dial prefix (docs/behaviour.md §1.4)."""

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

    __slots__ = ("_by_mask", "_masks")

    def __init__(self) -> None:
        self._by_mask: dict[tuple[int, int, int], list[Device]] = {}
        self._masks: dict[int, list[int]] = {4: [], 6: []}

    def add(self, network: str, device: Device) -> None:
        """Take in a device at a CIDR."""
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
