"""What can be banned by hand: one address that packets come from."""

from ipaddress import ip_address, ip_network

from b2bua.policy.devices import normalise_address


class InvalidSource(ValueError):
    """A text that names no source; it says in one line what it is."""


def parse_source(text: str) -> str:
    """Read an address that packets can come from, as sockets show it.

    Raises:
        InvalidSource: it is none.
    """
    try:
        address = ip_address(text)
    except ValueError:
        raise InvalidSource(f"{text!r} is {_kind(text)}; give one IPv4 or IPv6 address") from None
    if address.is_multicast or address.is_unspecified:
        raise InvalidSource(f"{text} is not an address that anybody sends from")
    return normalise_address(text)


def _kind(text: str) -> str:
    try:
        ip_network(text, strict=False)
    except ValueError:
        return "not an address"
    return "a network"
