"""Our addresses: parsed, and chosen by name, version and route."""

import pytest

from conf.errors import InvalidSetting
from media.errors import InvalidDescription
from media.interface import Interface, Interfaces, parse_interfaces


def test_interfaces_are_read_with_name_and_shown_address() -> None:
    assert parse_interfaces(["192.0.2.1", "priv=10.0.0.1", "pub=10.0.0.2!198.51.100.2", "2001:DB8::1"]) == (
        Interface("192.0.2.1", "192.0.2.1"),
        Interface("10.0.0.1", "10.0.0.1", "priv"),
        Interface("10.0.0.2", "198.51.100.2", "pub"),
        Interface("2001:db8::1", "2001:db8::1"),
    )


@pytest.mark.parametrize("text", ["", "host", "=192.0.2.1", "192.0.2.1!", "a=192.0.2.1!2001:db8::1", "a="])
def test_malformed_is_named(text: str) -> None:
    with pytest.raises(InvalidSetting, match="looks like"):
        parse_interfaces([text])


class TestSet:
    interfaces = Interfaces(parse_interfaces(["pub=192.0.2.1", "priv=10.0.0.1!10.9.9.9", "2001:db8::1"]))

    def test_first_of_the_version_is_chosen(self) -> None:
        assert self.interfaces.choose("", 4, "10.0.0.7").address == "192.0.2.1"
        assert self.interfaces.choose("", 6, "").address == "2001:db8::1"

    def test_name_is_obeyed(self) -> None:
        assert self.interfaces.choose("priv", 4, "") == Interface("10.0.0.1", "10.9.9.9", "priv")
        for name, version in (("none", 4), ("priv", 6)):
            with pytest.raises(InvalidDescription, match=f"no interface {name}"):
                self.interfaces.choose(name, version, "")

    def test_shown_address_must_be_one(self) -> None:
        with pytest.raises(InvalidDescription, match="no IP address"):
            self.interfaces.choose("", 4, "", "host")

    def test_shown_address_is_the_one_asked_for(self) -> None:
        assert self.interfaces.choose("priv", 4, "", "198.51.100.1").shown == "198.51.100.1"


class TestRoutes:
    def test_address_is_the_one_towards_the_peer(self) -> None:
        assert Interfaces().choose("", 4, "127.0.0.9") == Interface("127.0.0.1", "127.0.0.1")
        assert Interfaces().choose("", 6, "::1") == Interface("::1", "::1")

    def test_address_asked_for_is_used_where_it_is_ours(self) -> None:
        assert Interfaces().choose("", 4, "127.0.0.1", "127.0.0.7") == Interface("127.0.0.7", "127.0.0.7")
        assert Interfaces().choose("", 4, "127.0.0.1", "192.0.2.77") == Interface("127.0.0.1", "192.0.2.77")

    def test_own_addresses_are_known(self) -> None:
        interfaces = Interfaces()
        for _ in range(2):
            assert interfaces.is_own("127.0.0.1")
            assert not interfaces.is_own("192.0.2.77")
            interfaces.forget()
