"""Listening addresses as they are written in the settings."""

import socket

import pytest

from b2bua.transport.address import ListenAddress, is_link_local, local_address, normal_host
from conf.errors import InvalidSetting


class TestParse:
    @pytest.mark.parametrize(
        ("text", "transport", "host", "port"),
        [
            ("udp://0.0.0.0:5060", "udp", "0.0.0.0", 5060),
            ("tcp://192.0.2.1:5070", "tcp", "192.0.2.1", 5070),
            ("udp://[::]:5060", "udp", "::", 5060),
            ("tcp://[2001:db8::1]:5060", "tcp", "2001:db8::1", 5060),
            ("udp://127.0.0.1:0", "udp", "127.0.0.1", 0),
            ("UDP://127.0.0.1:5060", "udp", "127.0.0.1", 5060),
        ],
    )
    def test_value_is_read_when_it_is_well_formed(self, text: str, transport: str, host: str, port: int) -> None:
        assert ListenAddress.parse(text) == ListenAddress(transport, host, port)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "0.0.0.0:5060",
            "udp://0.0.0.0",
            "udp://:5060",
            "sctp://0.0.0.0:5060",
            "udp://0.0.0.0:sip",
            "udp://0.0.0.0:65536",
            "udp://0.0.0.0:-1",
            "udp://[::1:5060",
            "udp:0.0.0.0:5060",
            "udp://[fe80::1]:5060",
            "udp://[fe80::1%25eth0]:5060",
            "ws://0.0.0.0:80/sip",
            "udp://0.0.0.0:5060?advertise",
            "udp://0.0.0.0:5060?advertise=",
            "udp://0.0.0.0:5060?advertise=fe80::1",
            "udp://0.0.0.0:5060?advertise=a.example:sip",
            "udp://0.0.0.0:5060?shown=a.example",
            "udp://0.0.0.0:5060?advertise=a.example&advertise=b.example",
        ],
    )
    def test_fault_names_the_setting_and_the_value_when_it_is_malformed(self, text: str) -> None:
        with pytest.raises(InvalidSetting, match=r"^\[sip\] listen ") as fault:
            ListenAddress.parse(text)
        assert repr(text) in str(fault.value)

    @pytest.mark.parametrize(
        ("shown", "host", "port"),
        [
            ("203.0.113.5", "203.0.113.5", None),
            ("203.0.113.5:5080", "203.0.113.5", 5080),
            ("sip.example.com", "sip.example.com", None),
            ("2001:db8::5", "2001:db8::5", None),
            ("[2001:db8::5]:5080", "2001:db8::5", 5080),
        ],
    )
    def test_listener_has_what_it_advertises(self, shown: str, host: str, port: int | None) -> None:
        address = ListenAddress.parse(f"tls://0.0.0.0:5061?advertise={shown}")
        assert (address.transport, address.host, address.port) == ("tls", "0.0.0.0", 5061)
        assert (address.advertise, address.advertise_port) == (host, port)

    @pytest.mark.parametrize(
        "text",
        [
            "udp://0.0.0.0:5060",
            "tcp://[::1]:5060",
            "tls://0.0.0.0:5061?advertise=203.0.113.5",
            "wss://[::]:443?advertise=[2001:db8::5]:8443",
        ],
    )
    def test_address_is_written_as_it_was_read(self, text: str) -> None:
        assert str(ListenAddress.parse(text)) == text


class TestKind:
    @pytest.mark.parametrize(
        ("host", "family", "is_wildcard"),
        [
            ("0.0.0.0", socket.AF_INET, True),
            ("192.0.2.1", socket.AF_INET, False),
            ("::", socket.AF_INET6, True),
            ("::1", socket.AF_INET6, False),
        ],
    )
    def test_family_follows_from_the_host(self, host: str, family: socket.AddressFamily, is_wildcard: bool) -> None:
        address = ListenAddress("udp", host, 5060)
        assert (address.family, address.is_wildcard) == (family, is_wildcard)


class TestHosts:
    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("SIP.Example.com", "sip.example.com"),
            ("2001:DB8:0:0::1", "2001:db8::1"),
            ("[::1", "[::1"),
            ("192.0.2.1", "192.0.2.1"),
        ],
    )
    def test_writings_of_one_host_are_the_same(self, one: str, other: str) -> None:
        assert normal_host(one) == normal_host(other)

    @pytest.mark.parametrize(
        ("host", "is_so"),
        [
            ("fe80::1", True),
            ("fe80::1%eth0", True),
            ("2001:db8::1", False),
            ("169.254.1.1", False),
            ("a.example", False),
        ],
    )
    def test_address_of_one_link_is_known(self, host: str, is_so: bool) -> None:
        assert is_link_local(host) is is_so


class TestLocalAddress:
    @pytest.mark.parametrize(("peer", "ours"), [("127.0.0.1", "127.0.0.1"), ("::1", "::1")])
    def test_loopback_is_ours_when_the_peer_is_on_it(self, peer: str, ours: str) -> None:
        assert local_address(peer) == ours

    @pytest.mark.parametrize(("peer", "ours"), [("not an address", "127.0.0.1"), ("fe80::1%nowhere", "::1")])
    def test_loopback_is_ours_when_there_is_no_route(self, peer: str, ours: str) -> None:
        assert local_address(peer) == ours
